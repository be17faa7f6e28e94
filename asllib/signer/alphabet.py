"""The letters as anatomical joint angles, each with its handshape in words.

The handshapes follow T. Humphries and C. Padden, "Learning American Sign Language", and W. Vicars, lifeprint.com. The
angles are this project's own: set so that fingers touch where the description says so and pass through each other
nowhere, then tuned on what the tracker sees in the training photos of two sources, davidlee and keptsecret.
"""

from dataclasses import dataclass

import numpy as np

# Order of a pose vector. Degrees; zero is a flat hand with parallel fingers that shows its palm, fingers up.
# - mcp, pip, dip flex a finger's three joints; spread leans the finger to the thumb's side.
# - thumb_radial moves the thumb's first bone away from the index finger in the palm's plane, thumb_palmar out of
#   that plane, thumb_pronation turns its pulp to the fingers (opposition is the three together).
# - wrist_flex bends the hand to the palm's side, wrist_radial to the thumb's side.
# - spin turns the hand about its length (the palm to the signer's other side), then pitch tips the fingers to the
#   viewer, lean tips them to the signer's own side, turn is about the vertical.
_FINGERS, _JOINTS = ("index", "middle", "ring", "little"), ("mcp", "pip", "dip", "spread")
_THUMB = ("thumb_radial", "thumb_palmar", "thumb_pronation", "thumb_mcp", "thumb_ip")
_ARM = ("wrist_flex", "wrist_radial", "spin", "lean", "turn", "pitch")
ANGLES = (*(f"{finger}_{joint}" for finger in _FINGERS for joint in _JOINTS), *_THUMB, *_ARM)
INDEX = {angle: place for place, angle in enumerate(ANGLES)}

# What healthy joints reach, degrees in the order of ANGLES, rounded outwards: I. A. Kapandji, "The Physiology of the
# Joints", volume 1; the thumb's first three are in this table's own frame. The shoulder and elbow turn all around.
_LIMITS = [*4 * [(-30, 100), (-5, 120), (-10, 90), (-30, 30)], (-20, 80), (-10, 75), (-30, 100), (-15, 70), (-30, 90)]
LOWEST, HIGHEST = np.array([*_LIMITS, (-75, 85), (-40, 25), *4 * [(-180, 180)]], np.float64).T

# How much signers differ from the table, standard deviation in degrees, in the order of ANGLES.
HABIT_SPREAD = np.array([4, 5, 4, 1.5] * 4 + [4, 4, 5, 5, 5] + [4, 3, 7, 5, 6, 4], np.float64)


@dataclass(frozen=True)
class Handshape:
    """How one would describe a handshape, and its angles in degrees, in the order of ``ANGLES``."""

    words: str
    angles: tuple[float, ...]


def _shape(words: str, angles: str) -> Handshape:
    return Handshape(words, tuple(float(angle) for angle in angles.replace("|", " ").split()))


# Four fingers, index first: mcp, pip, dip, spread | thumb: radial, palmar, pronation, mcp, ip |
# arm: wrist_flex, wrist_radial, spin, lean, turn, pitch.
# fmt: off
LETTERS = {
    "A": _shape("Fist, the thumb straight up along the side of the index finger.",
        "71 102 64   2 | 86 102 64   4 | 86  99 63   7 | 87  98 63  -3 | 38 16  -2 26   8 |  0   0   5   0 10  -6"),
    "B": _shape("Flat hand, four fingers up and together, the thumb folded across the palm.",
        " 4   6  4  -4 |  4   6  4  -1 | -1   5  4   4 |  2   5  3   5 | 41 26  23 46  57 |  0   0   0   0 10  10"),
    "C": _shape("Fingers together and thumb bent into the curve of a C.",
        "34  34 22   1 | 34  35 22   0 | 33  42 24   2 | 33  40 24   3 | 30 39  38 34  34 |  0   0  45   0  0   0"),
    "D": _shape("Index finger up; middle, ring and little finger curve down to the thumb's tip.",
        " 6   9  6  -3 | 53  63 36   0 | 53  60 36   3 | 61  72 40   6 | 16 53  20 33  29 |  0   0   2   0 10   2"),
    "E": _shape("Fingers hooked down, their tips at the thumb that is folded below them.",
        "38  89 46   0 | 46  93 46   2 | 44  87 44   5 | 53 101 50  -1 | 37 43  30 60  75 |  0   0   3   0 10  -6"),
    "F": _shape("Tips of index finger and thumb touch in a ring; the other three are up and apart.",
        "45  49 26   1 |  9   8  4   1 |  2   5  3  -6 |  0   4  3 -17 | 34 40  19 35  33 |  0   0   4   0 10   9"),
    "G": _shape("Index finger and thumb parallel with a gap, pointing to the side; the rest is a fist.",
        "14  11  5   1 | 88 105 71   6 | 88  99 68   9 | 83 100 71  -2 | 10 28  26 10  10 |  2 -19  -4  77  0 -11"),
    "H": _shape("Index and middle finger together, pointing to the side; the thumb holds the ring finger.",
        " 4   5  3  -1 |  4   5  3  -1 | 84 103 68  13 | 84 100 66   1 | 24 47  21 47  41 |  0 -20   0  74  0   0"),
    "I": _shape("Fist with the little finger up, the thumb across the fingers.",
        "79 110 67  -1 | 87 105 68  -1 | 87 104 66   3 | -6   3  4  -8 | 34 56  17 37  59 |  0   0   1   0 10 -17"),
    "J": _shape("The little finger of I draws a J: down, then round with a turn of the wrist.",
        "79 110 67  -1 | 87 105 68  -1 | 87 104 66   3 | -6   3  4  -8 | 34 56  17 37  59 |  0   0   0   0  0   0"),
    "K": _shape("Index finger up, middle finger forward, the thumb's tip at the middle finger's side between the two.",
        " 3   5  4  13 | 43   6  4  -4 | 85 101 66  13 | 90  98 64   3 | 11 31  11 19  13 |  0   0  -1   0 10 -14"),
    "L": _shape("Index finger up, thumb out to the side: a right angle.",
        " 2   5  4  -2 | 77 103 66   6 | 82  98 65   9 | 87  96 62  -1 | 50 19  13  2   6 |  0   0   4   0 10  -7"),
    "M": _shape("Three fingers folded over the thumb, whose tip lies between ring and little finger.",
        "67  81 38   0 | 62  85 11   0 | 60  79 36   3 | 91  91 60   4 | 16 31  11 70  53 |  3   2 -15 -10 14  11"),
    "N": _shape("Two fingers folded over the thumb, whose tip lies between middle and ring finger.",
        "52  82 36   2 | 46  82 29   2 | 94  95 61   7 | 90  99 60  -2 | 25 25  12 66  25 | -3   5  25  -2 17   7"),
    "O": _shape("Fingertips meet the thumb's tip in a round O.",
        "41  51 31   1 | 55  63 35   1 | 50  61 35   3 | 54  53 30   2 | 19 32  49 30  34 |  0   0  55   0  0   0"),
    "P": _shape("The K hand turned down: the middle finger points to the ground, the index finger forward.",
        " 6   5  4  10 | 60   6  6  -7 | 89 102 72  12 | 79  97 75  -3 | 34 28   7 33  14 | 20   0 -61  97 -1   3"),
    "Q": _shape("The G hand turned down: index finger and thumb point to the ground.",
        "46   7  5   0 | 87 105 68   5 | 85 103 68   9 | 85 100 66  -1 | 19 26  44 26  18 | 35   0 -65 108  0   0"),
    "R": _shape("Index and middle finger up and crossed, the middle finger behind the index finger.",
        "22  10  6 -17 | -4  12  7   5 | 69  88 66   8 | 86  96 63  -3 | 28 47  22 43  49 |  0   2   0   0 12 -10"),
    "S": _shape("Fist with the thumb across the front of the fingers.",
        "73 110 68   3 | 86 105 70   4 | 90  98 75   8 | 95 100 68  -2 | 35 54  25 46  60 |  5   2   1   1 18   5"),
    "T": _shape("Fist with the index finger over the thumb, whose tip looks out beside the middle finger.",
        "24  86 50  12 | 76 105 70   0 | 81  93 73   5 | 89  93 65  -4 | 26 39 -28 54  24 |  1  11  -3  -5 20   5"),
    "U": _shape("Index and middle finger up and together, the thumb over the ring finger.",
        " 5   4  5  -2 |  0   5  4   1 | 73  95 73  11 | 77  91 81   0 | 28 47  22 43  49 |  3   5   2   0  6 -10"),
    "V": _shape("Index and middle finger up and apart, the thumb over the ring finger.",
        " 4   5  4  14 |  2   5  4 -11 | 77 101 68  13 | 86  98 63   2 | 14 48  15 44  40 |  0   0   0   0 10  -6"),
    "W": _shape("Index, middle and ring finger up and apart, the thumb holds the little finger.",
        " 3   5  4  17 |  3   6  4   0 |  8   8  4 -12 | 71  73 39   6 |  5 44  -4 45  35 |  0   0   0   0 10   2"),
    "X": _shape("Fist with the index finger up and bent like a hook.",
        " 5  75 43  -5 | 78 103 69   5 | 82  99 70   7 | 83 100 75  -3 | 26 60   1 35  45 |  0   5  -9  -1 12   2"),
    "Y": _shape("Thumb and little finger out, the other three folded.",
        "81 102 65  -2 | 88 104 65  -2 | 87 103 67   1 | -2   5  4 -17 | 45 19  12  6   6 |  0   0   2   0 10 -17"),
    "Z": _shape("The index finger points and draws a Z in the air.",
        " 0   4  3   0 | 87 105 68   5 | 85 103 68   9 | 85 100 66  -1 | 23 52  23 49  48 |  0   0   0   0  0  15"),
}
OTHERS = {  # no letters
    "rest": _shape("A relaxed hand, held low: no letter.",
        "18  28 14   0 | 22  32 16   0 | 26  34 16   1 | 30  34 16   3 | 38 30  25 15  15 |  0   0  25  10  0  25"),
    "open-five": _shape("All fingers straight and spread, as for the number five.",
        " 0   3  2  12 |  0   3  2   1 |  0   3  2  -9 |  0   3  2 -19 | 60 10  10  0   0 |  0   0   0   0  0   0"),
    "ily": _shape("Thumb, index and little finger out: I love you.",
        " 0   4  3   4 | 77  98 42   0 | 79  97 42   1 |  0   5  4 -14 | 68 10  10  0   0 |  0   0   0   0  0   0"),
    "thumb-up": _shape("Fist with the thumb out, shown from the side.",
        "74  97 42  -3 | 77  98 42   0 | 79  97 42   1 | 80  92 42   1 | 55  5   5  0 -10 |  0   0   0  90 20   0"),
}
# fmt: on


@dataclass(frozen=True)
class Style:
    """Another way in which people make a letter: its share of signers, and where it differs from ``LETTERS``."""

    share: float  # 0..1
    words: str
    angles: dict[str, float]  # degrees by the angle's name


def _bent(fingers: str, *angles: float) -> dict[str, float]:
    return {f"{finger}_{_JOINTS[k]}": angle for finger in fingers.split() for k, angle in enumerate(angles)}


def _thumb(*angles: float) -> dict[str, float]:
    return dict(zip(_THUMB, angles, strict=True))


_HANGING = {"wrist_flex": 50.0, "pitch": 130.0, "spin": 0.0, "lean": 0.0}
# Named "M hanging": a letter, then the style. All other signers make the letter as in LETTERS. Shares are roughly those
# of the photographed signers of the set ``people``, a rare style's a little higher.
# fmt: off
STYLES = {
    "A out": Style(0.15, "The thumb away from the fist.", _thumb(47, 14, 0, 8, -2)),
    "D turned": Style(0.2, "The ring of thumb and fingers is shown from the side.", {"spin": -60.0}),
    "D fist": Style(0.3, "Three fingers closed, the thumb across them.",
                    _bent("middle ring little", 80, 95, 60) | _thumb(30, 52, 20, 45, 45)),
    "D one finger": Style(0.15, "The middle finger alone meets the thumb; ring and little finger are closed.",
                          _bent("ring little", 85, 98, 65)),
    "E open": Style(0.45, "Fingers hooked above the thumb, without touching it.",
                    _bent("index middle ring little", 18, 100, 60) | _thumb(35, 40, 30, 55, 60)),
    "F together": Style(0.35, "The three fingers up are together.",
                        {"middle_spread": 1.0, "ring_spread": 2.0, "little_spread": 3.0}),
    "F pinched": Style(0.2, "The index finger folded down on the thumb: no ring.",
                       _bent("index", 50, 85, 40) | _thumb(36, 40, 20, 35, 40)),
    "G closed": Style(0.25, "The thumb on the side of the fist: no gap.", _thumb(18, 45, 10, 25, 25)),
    "G to the viewer": Style(0.15, "Index finger and thumb point to the viewer.", {"turn": 70.0}),
    "I aside": Style(0.3, "The thumb loose beside the index finger.", _thumb(30, 34, 8, 34, 20)),
    "K flat": Style(0.45, "The middle finger up, in the plane of the hand.", {"middle_mcp": 14.0}),
    "M fist": Style(0.15, "All fingers closed over the thumb.",
                    _bent("index middle ring little", 74, 83, 56) | {"little_spread": -8} | _thumb(-18, 18, 8, 70, 61)),
    "M flat": Style(0.2, "Fingers bent at the knuckles, hardly beyond.",
                    _bent("index middle ring", 78, 59, 5) | _thumb(0, 25, 26, 70, 42)),
    "M hanging": Style(0.15, "The hand hangs down, three straight fingers point to the ground.",
                       _bent("index middle ring", 45, 8, 5) | _HANGING),
    "N fist": Style(0.2, "Fingers closed tightly, the thumb hidden.",
                    _bent("index", 71, 80, 54) | _bent("middle", 64, 75, 56) | _thumb(11, 16, 37, 70, 82)),
    "N flat": Style(0.15, "Fingers bent at the knuckles, hardly beyond.",
                    _bent("index middle", 76, 58, 5) | _thumb(5, 31, 31, 70, 39)),
    "N hanging": Style(0.15, "The hand hangs down, two straight fingers point to the ground.",
                       _bent("index middle", 45, 8, 5) | _HANGING),
    "P hanging": Style(0.2, "Index and middle finger both point to the ground.",
                       {"index_mcp": 40.0, "middle_mcp": 70.0, "lean": 140.0}),
    "Q aside": Style(0.4, "The wrist goes halfway: index finger and thumb point to the side and down.",
                     {"wrist_flex": 15.0, "lean": 75.0}),
    "R slight": Style(0.25, "Fingers hardly crossed.", {"index_spread": -9.0, "middle_spread": 6.0}),
    "S short": Style(0.3, "The thumb in front of the index finger alone.", _thumb(34, 51, 20, 40, 38)),
    "T far out": Style(0.35, "The thumb stands far out between index and middle finger.",
                       _bent("index", 45, 86, 42, 20) | _thumb(20, 40, -30, 54, 0)),
    "X hardly bent": Style(0.2, "The index finger hardly bent.", _bent("index", 5, 42, 25)),
    "X thumb out": Style(0.2, "The thumb away from the fist.", _thumb(40, 40, 10, 10, 5)),
}
# fmt: on
# (angles,) degrees of every handshape: letters and OTHERS, then styles.
POSES = {name: np.array(shape.angles) for name, shape in (LETTERS | OTHERS).items()}
for _name, _style in STYLES.items():
    POSES[_name] = POSES[_name[0]].copy()
    POSES[_name][[INDEX[angle] for angle in _style.angles]] = [*_style.angles.values()]


def clip_to_limits(poses: np.ndarray) -> np.ndarray:
    """The nearest poses (..., angles) that human joints reach."""
    return np.clip(poses, LOWEST, HIGHEST)


def draw_habit(rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """(angles,) offsets in degrees: each angle by itself, and all knuckles and all middle joints a little together."""
    habit = rng.normal(0, 1, len(ANGLES)) * HABIT_SPREAD
    habit[:16] += np.tile([*rng.normal(0, (4, 5, 3)), 0.0], 4)
    return habit * scale


def draw_styles(rng: np.random.Generator) -> dict[str, str]:
    """By letter the name of a signer's style; letters that are made as in ``LETTERS`` are left out."""
    drawn = {}
    for letter in sorted({name[0] for name in STYLES}):
        names = [name for name in STYLES if name[0] == letter]
        place = np.searchsorted(np.cumsum([STYLES[name].share for name in names]), rng.random(), side="right")
        drawn |= {letter: names[place]} if place < len(names) else {}
    return drawn


def letter_pose(name: str, inward: float = 0.0, edge: float = 0.0, still: bool = True, style: str = "") -> np.ndarray:
    """(angles,) degrees of a letter, or of one of ``OTHERS``, as one signer turns it to the viewer.

    ``inward`` 0 shows the palm in the letters that point to the side, as in the signer's own eyes; 1 turns it to the
    signer, as a partner sees it. ``edge`` 0..1 is how much of the thumb's edge the hand shows in C, G, H, O, P and X.
    J is shown at the end of its stroke, or with ``still`` False at the start, where Z is shown in any case.
    ``style`` names one of the letter's ``STYLES``; "" is the handshape of ``LETTERS``.
    """
    pose = POSES[hand_of(name, inward, edge, style)].copy()
    spin, lean, turn = INDEX["spin"], INDEX["lean"], INDEX["turn"]
    if name in "GH":
        if hand_of(name, inward, edge, style) == "Q":
            pose[[INDEX["wrist_flex"], spin, lean]] = 10, -65, 25 + 20 * edge
        pose[turn] += (160 - 2 * pose[turn]) * inward
        pose[spin] -= 20 * edge * (1 - inward)
    elif name in "PQ":
        pose[turn] += 85 * inward
        if name == "P":
            pose[lean] -= 12 + 60 * edge
    elif name in "CO":
        pose[spin] += 50 * edge - 20 if edge > 0.3 else -80
    elif name == "X":
        pose[spin] += 110 * edge - 70
    elif name == "J" and still:
        pose[lean] += 75 * (1 - inward)
        pose[spin] += 70 * inward
    return pose


def hand_of(name: str, inward: float, edge: float, style: str = "") -> str:
    """The handshape of ``POSES`` that is shown: in G some bend the knuckle, not the wrist, the hand of Q held up."""
    return style or ("Q" if name == "G" and edge > 0.5 and inward < 0.5 else name)
