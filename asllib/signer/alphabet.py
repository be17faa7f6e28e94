"""The letters as anatomical joint angles, each with its handshape in words.

The handshapes follow the usual descriptions of the American manual alphabet (T. Humphries and C. Padden, "Learning
American Sign Language"; W. Vicars, lifeprint.com, "Fingerspelling"). The angles are this project's own: set on the
hand model so that fingers touch where the description says so and pass through each other nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Order of a pose vector. Degrees; zero is a flat hand with parallel fingers that shows its palm, fingers up.
# - mcp, pip, dip flex a finger's three joints; spread leans the finger to the thumb's side.
# - thumb_radial moves the thumb's first bone away from the index finger in the palm's plane, thumb_palmar out of
#   that plane, thumb_pronation turns its pulp to the fingers (opposition is the three together).
# - wrist_flex bends the hand to the palm's side, wrist_radial to the thumb's side.
# - spin turns the hand about its length (the palm to the signer's other side), then pitch tips the fingers to the
#   viewer, lean tips them to the signer's own side, turn is about the vertical.
FINGER_ANGLES = tuple(
    f"{finger}_{joint}" for finger in ("index", "middle", "ring", "little") for joint in ("mcp", "pip", "dip", "spread")
)
THUMB_ANGLES = ("thumb_radial", "thumb_palmar", "thumb_pronation", "thumb_mcp", "thumb_ip")
ARM_ANGLES = ("wrist_flex", "wrist_radial", "spin", "lean", "turn", "pitch")
ANGLES = FINGER_ANGLES + THUMB_ANGLES + ARM_ANGLES

# What healthy joints reach, degrees, rounded outwards: I. A. Kapandji, "The Physiology of the Joints", volume 1;
# the thumb's three are in this table's own frame. The arm's angles are the shoulder's and elbow's: not limited.
LIMITS = {
    "mcp": (-30, 100),
    "pip": (-5, 120),
    "dip": (-10, 90),
    "spread": (-30, 30),
    "thumb_radial": (-20, 80),
    "thumb_palmar": (-10, 75),
    "thumb_pronation": (-30, 100),
    "thumb_mcp": (-15, 70),
    "thumb_ip": (-30, 90),
    "wrist_flex": (-75, 85),
    "wrist_radial": (-40, 25),
}

# How much signers differ from the table, standard deviation in degrees, in the order of ANGLES.
HABIT_SPREAD = np.array([4, 5, 4, 1.5] * 4 + [4, 4, 5, 5, 5] + [4, 3, 7, 5, 6, 4], np.float64)


@dataclass(frozen=True)
class Handshape:
    """One handshape: ``angles`` in degrees in the order of ``ANGLES``, and how one would describe it."""

    name: str
    words: str
    angles: tuple[float, ...]

    def __getitem__(self, angle: str) -> float:
        return self.angles[ANGLES.index(angle)]


def _shape(name, words, index, middle, ring, little, thumb, arm=(0, 0, 0, 0, 0, 0)) -> Handshape:
    return Handshape(name, words, (*index, *middle, *ring, *little, *thumb, *arm))


# fmt: off
# Each finger is (mcp, pip, dip, spread); the thumb (radial, palmar, pronation, mcp, ip);
# the arm (wrist_flex, wrist_radial, spin, lean, turn, pitch).
_TABLE = (
    _shape("A", "Fist, the thumb straight up along the side of the index finger.",
           (81, 92, 38, -3), (91, 92, 40, 0), (93, 92, 40, 1), (93, 89, 40, 1), (44, 12, 0, 46, 6)),
    _shape("B", "Flat hand, four fingers up and together, the thumb folded across the palm.",
           (0, 4, 3, -4), (0, 4, 3, 0), (0, 4, 3, 2), (0, 4, 3, 7), (36, 19, 14, 68, 69)),
    _shape("C", "Fingers together and thumb bent into the curve of a C.",
           (35, 38, 23, 1), (35, 40, 23, 0), (35, 42, 24, 1), (31, 40, 24, 4), (39, 43, 39, 35, 39),
           (0, 0, 45, 0, 0, 0)),
    _shape("D", "Index finger up; middle, ring and little finger curve down to the thumb's tip.",
           (4, 8, 6, -2), (57, 67, 37, 0), (57, 67, 38, 2), (66, 74, 40, 6), (17, 32, 40, 47, 40)),
    _shape("E", "Fingers hooked down, their tips at the thumb that is folded below them.",
           (45, 96, 46, 0), (48, 100, 48, 0), (49, 101, 48, 2), (57, 102, 50, 5), (34, 45, 21, 68, 67)),
    _shape("F", "Tips of index finger and thumb touch in a ring; the other three are up and apart.",
           (52, 52, 26, 0), (4, 6, 4, 2), (0, 4, 3, -6), (0, 4, 3, -16), (20, 29, 49, 36, 30)),
    _shape("G", "Index finger and thumb parallel with a gap, pointing to the side; the rest is a fist.",
           (13, 8, 5, 0), (91, 92, 40, 0), (93, 92, 40, 1), (93, 89, 40, 1), (8, 20, 28, 8, 4),
           (0, -20, 0, 74, 0, 0)),
    _shape("H", "Index and middle finger together, pointing to the side; the thumb holds the ring finger.",
           (4, 5, 3, -4), (4, 5, 3, 2), (92, 92, 40, 1), (93, 89, 40, 1), (14, 34, 12, 49, 41),
           (0, -20, 0, 74, 0, 0)),
    _shape("I", "Fist with the little finger up, the thumb across the fingers.",
           (88, 93, 38, -3), (93, 92, 40, 0), (93, 92, 40, 1), (0, 5, 4, -8), (26, 46, 11, 48, 48)),
    _shape("J", "The little finger of I draws a J: down, then round with a turn of the wrist.",
           (88, 93, 38, -3), (93, 92, 40, 0), (93, 92, 40, 1), (0, 5, 4, -8), (26, 46, 11, 48, 48)),
    _shape("K", "Index finger up, middle finger forward, the thumb's tip at the middle finger's side between the two.",
           (4, 6, 4, 12), (47, 8, 5, -4), (93, 92, 40, 1), (93, 89, 40, 1), (5, 15, 11, 21, 7)),
    _shape("L", "Index finger up, thumb out to the side: a right angle.",
           (2, 5, 4, 0), (91, 92, 40, 0), (93, 92, 40, 1), (93, 89, 40, 1), (66, 8, 10, 0, 0)),
    _shape("M", "Three fingers folded over the thumb, whose tip lies between ring and little finger.",
           (64, 82, 27, -2), (66, 84, 28, 0), (66, 84, 28, 1), (93, 89, 40, 1), (9, 49, -15, 64, 33)),
    _shape("N", "Two fingers folded over the thumb, whose tip lies between middle and ring finger.",
           (63, 80, 26, -2), (65, 84, 28, 0), (93, 92, 40, 1), (93, 89, 40, 1), (17, 49, -20, 62, 27)),
    _shape("O", "Fingertips meet the thumb's tip in a round O.",
           (54, 54, 32, 0), (65, 60, 36, 0), (61, 60, 36, 3), (63, 56, 34, 6), (30, 30, 45, 44, 49),
           (0, 0, 55, 0, 0, 0)),
    _shape("P", "The K hand turned down: the middle finger points to the ground, the index finger forward.",
           (4, 6, 4, 10), (59, 10, 6, -4), (93, 92, 40, 1), (93, 89, 40, 1), (9, 17, 12, 27, 9),
           (20, 0, -55, 92, 0, 0)),
    _shape("Q", "The G hand turned down: index finger and thumb point to the ground.",
           (46, 7, 5, 0), (91, 92, 40, 0), (93, 92, 40, 1), (93, 89, 40, 1), (13, 19, 45, 22, 15),
           (35, 0, -65, 108, 0, 0)),
    _shape("R", "Index and middle finger up and crossed, the middle finger behind the index finger.",
           (25, 8, 4, -15), (2, 14, 8, 11), (92, 92, 40, 1), (93, 89, 40, 1), (14, 34, 12, 49, 41)),
    _shape("S", "Fist with the thumb across the front of the fingers.",
           (88, 93, 38, -3), (93, 92, 40, 0), (93, 92, 40, 1), (93, 89, 40, 1), (26, 46, 11, 48, 48)),
    _shape("T", "Fist with the index finger over the thumb, whose tip looks out beside the middle finger.",
           (62, 79, 50, 6), (89, 94, 42, -3), (93, 92, 40, 1), (93, 89, 40, 1), (34, 13, 15, 61, 15)),
    _shape("U", "Index and middle finger up and together, the thumb over the ring finger.",
           (4, 5, 3, -4), (4, 5, 3, 2), (92, 92, 40, 1), (93, 89, 40, 1), (14, 34, 12, 49, 41)),
    _shape("V", "Index and middle finger up and apart, the thumb over the ring finger.",
           (3, 5, 4, 14), (3, 5, 4, -11), (92, 92, 40, 1), (93, 89, 40, 1), (14, 34, 12, 49, 41)),
    _shape("W", "Index, middle and ring finger up and apart, the thumb holds the little finger.",
           (3, 5, 4, 17), (2, 5, 4, 1), (8, 8, 4, -12), (75, 75, 40, 6), (0, 30, 14, 53, 47)),
    _shape("X", "Fist with the index finger up and bent like a hook.",
           (4, 78, 46, 0), (91, 92, 40, 0), (93, 92, 40, 1), (93, 89, 40, 1), (27, 34, 21, 48, 47),
           (0, 0, 0, 0, 0, 0)),
    _shape("Y", "Thumb and little finger out, the other three folded.",
           (88, 92, 38, -3), (91, 92, 40, 0), (93, 92, 40, 1), (0, 5, 4, -16), (48, 8, 10, -5, -10)),
    _shape("Z", "The index finger points and draws a Z in the air.",
           (0, 4, 3, 0), (92, 92, 40, 0), (93, 92, 40, 1), (93, 89, 40, 1), (22, 40, 15, 46, 48),
           (0, 0, 0, 0, 0, 15)),
)

_OTHERS = (
    _shape("rest", "A relaxed hand, held low: no letter.",
           (18, 28, 14, 0), (22, 32, 16, 0), (26, 34, 16, 1), (30, 34, 16, 3), (38, 30, 25, 15, 15),
           (0, 0, 25, 10, 0, 25)),
    _shape("open-five", "All fingers straight and spread, as for the number five.",
           (0, 3, 2, 12), (0, 3, 2, 1), (0, 3, 2, -9), (0, 3, 2, -19), (60, 10, 10, 0, 0)),
    _shape("ily", "Thumb, index and little finger out: I love you.",
           (0, 4, 3, 4), (77, 98, 42, 0), (79, 97, 42, 1), (0, 5, 4, -14), (68, 10, 10, 0, 0)),
    _shape("thumb-up", "Fist with the thumb out, shown from the side.",
           (74, 97, 42, -3), (77, 98, 42, 0), (79, 97, 42, 1), (80, 92, 42, 1), (55, 5, 5, 0, -10),
           (0, 0, 0, 90, 20, 0)),
)
# fmt: on

LETTERS: dict[str, Handshape] = {shape.name: shape for shape in _TABLE}
OTHERS: dict[str, Handshape] = {shape.name: shape for shape in _OTHERS}


def limit(angle: str) -> tuple[float, float]:
    """Smallest and largest value of an angle in degrees; the arm's own angles reach all around."""
    return LIMITS.get(angle) or LIMITS.get(angle.rsplit("_", 1)[-1]) or (-180.0, 180.0)


def beyond_limits(pose: np.ndarray) -> list[str]:
    """Names of the angles of a pose (degrees, in the order of ``ANGLES``) that no healthy joint reaches."""
    ranges = (limit(angle) for angle in ANGLES)
    return [angle for angle, value, (low, high) in zip(ANGLES, pose, ranges, strict=True) if not low <= value <= high]


def clip_to_limits(poses: np.ndarray) -> np.ndarray:
    """The nearest poses (B, angles) that human joints reach."""
    low, high = np.array([limit(angle) for angle in ANGLES]).T
    return np.clip(poses, low, high)


def draw_habit(rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """(angles,) offsets in degrees: each angle by itself, and all knuckles and all middle joints a little together."""
    habit = rng.normal(0, 1, len(ANGLES)) * HABIT_SPREAD
    together = rng.normal(0, (4, 5, 3))
    for joint, value in zip(("_mcp", "_pip", "_dip"), together, strict=True):
        habit += [value if angle in FINGER_ANGLES and angle.endswith(joint) else 0.0 for angle in ANGLES]
    return habit * scale


def letter_pose(name: str, inward: float = 0.0, edge: float = 0.0, still: bool = True) -> np.ndarray:
    """(angles,) degrees of a letter, or of one of ``OTHERS``, as one signer turns it to the viewer.

    Parameters
    ----------
    name : str
        ``"A"``..``"Z"`` or a key of ``OTHERS``. J is shown at the end of its stroke, Z at the start.
    inward : float
        0 shows the palm in the letters that point to the side, as in the signer's own eyes; 1 turns it to the
        signer, as a partner sees it.
    edge : float
        0..1, how much of the thumb's edge the hand shows in C, G, H, O and P.
    still : bool
        False gives J where its stroke begins.
    """
    pose = np.array((LETTERS.get(name) or OTHERS[name]).angles, np.float64)
    spin, lean, turn = (ANGLES.index(angle) for angle in ("spin", "lean", "turn"))
    if name in "GH":
        if name == "G" and edge > 0.5 and inward < 0.5:
            # Some bend the knuckle instead of the wrist: the hand of Q, held up, seen from the thumb's edge.
            pose[:] = LETTERS["Q"].angles
            pose[[ANGLES.index("wrist_flex"), spin, lean]] = 10, -75, 30 + 30 * edge
        pose[turn] += 160 * inward
        pose[spin] -= 20 * edge * (1 - inward)
    elif name in "PQ":
        pose[turn] += 85 * inward
        if name == "P":
            pose[lean] += 25 - 45 * edge
    elif name in "CO":
        pose[spin] += 50 * edge - 20 if edge > 0.3 else -80
    elif name == "X":
        pose[spin] += 120 * inward - 70
    elif name == "J" and still:
        pose[lean] += 75 * (1 - inward)
        pose[spin] += 70 * inward
    return pose
