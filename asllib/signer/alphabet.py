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
    f"{finger}_{joint}"
    for finger in ("index", "middle", "ring", "little")
    for joint in ("mcp", "pip", "dip", "spread")
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
    "thumb_mcp": (-15, 80),
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
           (67, 97, 42, -3), (77, 98, 42, 0), (79, 97, 42, 1), (80, 92, 42, 1), (48, 20, -4, 56, 4)),
    _shape("B", "Flat hand, four fingers up and together, the thumb folded across the palm.",
           (0, 4, 3, -4), (0, 4, 3, 0), (0, 4, 3, 2), (0, 4, 3, 7), (41, 21, 15, 74, 68)),
    _shape("C", "Fingers together and thumb bent into the curve of a C.",
           (38, 41, 24, 1), (40, 42, 24, 0), (40, 44, 25, 1), (38, 42, 25, 4), (24, 45, 45, 36, 38), (0, 0, 50, 0, 0, 0)),
    _shape("D", "Index finger up; middle, ring and little finger curve down to the thumb's tip.",
           (0, 4, 3, -4), (55, 65, 35, 0), (54, 64, 36, 2), (62, 70, 38, 6), (11, 31, 40, 42, 35)),
    _shape("E", "Fingers hooked down, their tips at the thumb that is folded below them.",
           (35, 100, 44, 0), (38, 104, 46, 0), (40, 104, 46, 2), (46, 102, 48, 5), (43, 40, 25, 72, 66)),
    _shape("F", "Tips of index finger and thumb touch in a ring; the other three are up and apart.",
           (52, 52, 26, 0), (4, 6, 4, 2), (0, 4, 3, -6), (0, 4, 3, -16), (20, 29, 49, 36, 30)),
    _shape("G", "Index finger and thumb parallel with a gap, pointing to the side; the rest is a fist.",
           (20, 8, 5, 0), (77, 98, 42, 0), (79, 97, 42, 1), (80, 92, 42, 1), (11, 18, 32, 11, 5), (0, 10, 0, 85, 0, 0)),
    _shape("H", "Index and middle finger together, pointing to the side; the thumb holds the ring finger.",
           (0, 4, 3, -4), (0, 4, 3, 2), (80, 97, 42, 1), (80, 92, 42, 1), (8, 30, 11, 41, 37), (0, 10, 0, 85, 0, 0)),
    _shape("I", "Fist with the little finger up, the thumb across the fingers.",
           (74, 99, 42, -3), (82, 98, 42, 0), (79, 97, 42, 1), (0, 5, 4, -8), (24, 43, 7, 40, 47)),
    _shape("J", "The little finger of I draws a J: down, then round with a turn of the wrist.",
           (74, 99, 42, -3), (82, 98, 42, 0), (79, 97, 42, 1), (0, 5, 4, -8), (24, 43, 7, 40, 47)),
    _shape("K", "Index finger up, middle finger forward, the thumb's tip at the middle finger's side between the two.",
           (0, 5, 4, 6), (35, 8, 5, -4), (79, 97, 42, 1), (80, 92, 42, 1), (13, 7, 16, 34, 9)),
    _shape("L", "Index finger up, thumb out to the side: a right angle.",
           (0, 4, 3, 0), (77, 98, 42, 0), (79, 97, 42, 1), (80, 92, 42, 1), (72, 8, 10, 0, 0)),
    _shape("M", "Three fingers folded over the thumb, whose tip lies between ring and little finger.",
           (66, 84, 28, -2), (66, 84, 28, 0), (66, 84, 28, 1), (80, 92, 42, 1), (14, 31, -1, 70, 39)),
    _shape("N", "Two fingers folded over the thumb, whose tip lies between middle and ring finger.",
           (65, 83, 28, -2), (66, 84, 28, 0), (79, 97, 42, 1), (80, 92, 42, 1), (33, 24, 7, 71, 52)),
    _shape("O", "Fingertips meet the thumb's tip in a round O.",
           (46, 50, 31, 0), (56, 55, 33, 0), (53, 55, 33, 3), (54, 51, 30, 6), (2, 24, 55, 29, 35), (0, 0, 45, 0, 0, 0)),
    _shape("P", "The K hand turned down: the middle finger points to the ground, the index finger forward.",
           (0, 5, 4, 6), (35, 8, 5, -4), (79, 97, 42, 1), (80, 92, 42, 1), (13, 7, 16, 34, 9), (20, 0, -80, 112, 0, 0)),
    _shape("Q", "The G hand turned down: index finger and thumb point to the ground.",
           (46, 7, 5, 0), (77, 98, 42, 0), (79, 97, 42, 1), (80, 92, 42, 1), (13, 19, 45, 22, 15), (35, 0, -80, 112, 0, 0)),
    _shape("R", "Index and middle finger up and crossed, the middle finger behind the index finger.",
           (22, 8, 4, -11), (0, 14, 8, 13), (80, 97, 42, 1), (80, 92, 42, 1), (8, 30, 11, 41, 37)),
    _shape("S", "Fist with the thumb across the front of the fingers.",
           (74, 99, 42, -3), (82, 98, 42, 0), (79, 97, 42, 1), (80, 92, 42, 1), (24, 43, 7, 40, 47)),
    _shape("T", "Fist with the index finger over the thumb, whose tip looks out beside the middle finger.",
           (58, 80, 50, 5), (77, 98, 42, -2), (79, 97, 42, 1), (80, 92, 42, 1), (48, 22, 7, 71, 31)),
    _shape("U", "Index and middle finger up and together, the thumb over the ring finger.",
           (0, 4, 3, -4), (0, 4, 3, 2), (80, 97, 42, 1), (80, 92, 42, 1), (8, 30, 11, 41, 37)),
    _shape("V", "Index and middle finger up and apart, the thumb over the ring finger.",
           (0, 4, 3, 12), (0, 4, 3, -11), (80, 97, 42, 1), (80, 92, 42, 1), (8, 30, 11, 41, 37)),
    _shape("W", "Index, middle and ring finger up and apart, the thumb holds the little finger.",
           (0, 4, 3, 14), (0, 4, 3, 1), (2, 5, 3, -12), (71, 74, 40, 6), (-1, 30, 14, 51, 46)),
    _shape("X", "Fist with the index finger up and bent like a hook.",
           (8, 86, 50, 0), (79, 98, 42, 0), (79, 97, 42, 1), (80, 92, 42, 1), (20, 30, 19, 39, 43), (0, 0, -30, 0, 0, 0)),
    _shape("Y", "Thumb and little finger out, the other three folded.",
           (74, 97, 42, -3), (77, 98, 42, 0), (79, 97, 42, 1), (0, 5, 4, -16), (55, 8, 10, -5, -10)),
    _shape("Z", "The index finger points and draws a Z in the air.",
           (0, 4, 3, 0), (80, 99, 42, 0), (79, 97, 42, 1), (80, 92, 42, 1), (19, 34, 14, 37, 45), (0, 0, 0, 0, 0, 15)),
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
    return [
        angle
        for angle, value, (low, high) in zip(ANGLES, pose, ranges, strict=True)
        if not low <= value <= high
    ]


def clip_to_limits(poses: np.ndarray) -> np.ndarray:
    """The nearest poses (B, angles) that human joints reach."""
    low, high = np.array([limit(angle) for angle in ANGLES]).T
    return np.clip(poses, low, high)


def letter_pose(name: str, inward: float = 0.0) -> np.ndarray:
    """(angles,) degrees of a letter, or of one of ``OTHERS``, as one signer turns it to the viewer.

    Parameters
    ----------
    name : str
        ``"A"``..``"Z"`` or a key of ``OTHERS``. J is shown at the end of its stroke, Z at the start.
    inward : float
        0 shows the palm in the letters that point to the side, as in the signer's own eyes; 1 turns it to the
        signer, as a partner sees it.
    """
    pose = np.array((LETTERS.get(name) or OTHERS[name]).angles, np.float64)
    spin, lean, turn = (ANGLES.index(angle) for angle in ("spin", "lean", "turn"))
    if name in "GH":
        pose[turn] += 160 * inward
    elif name in "PQ":
        pose[turn] += 85 * inward
    elif name == "X":
        pose[spin] += 50 * inward - 15
    elif name == "J":
        pose[lean] += 75 * (1 - inward)
        pose[spin] += 70 * inward
    return pose
