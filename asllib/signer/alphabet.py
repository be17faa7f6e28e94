"""The letters as anatomical joint angles, each with its handshape in words.

The handshapes follow T. Humphries and C. Padden, "Learning American Sign Language", and W. Vicars, lifeprint.com. The
angles are this project's own: set so that fingers touch where the description says so and pass through each other
nowhere, then tuned on what the tracker sees in the training photos of two sources, davidlee and keptsecret.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

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
    share: float  # of the signers who make the letter so, 0..1; 0 of what is no style


with Path(__file__).with_name("handshapes.csv").open(encoding="utf-8", newline="") as file:
    _TABLE = {
        row["name"]: Handshape(row["words"], tuple(float(row[angle]) for angle in ANGLES), float(row["share"] or 0))
        for row in csv.DictReader(file)
    }

# Letters; what is no letter; and styles, other ways to make a letter, named "M hanging": the letter, then the style.
# All other signers make it as in LETTERS. Shares are roughly those of the photographed signers of the set ``people``, a
# rare style's a little higher.
LETTERS = {name: shape for name, shape in _TABLE.items() if len(name) == 1}
OTHERS = {name: shape for name, shape in _TABLE.items() if len(name) > 1 and not shape.share}
STYLES = {name: shape for name, shape in _TABLE.items() if shape.share}
POSES = {name: np.array(shape.angles) for name, shape in _TABLE.items()}  # (angles,) each


def draw_habit(rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """(angles,) offsets in degrees: each angle by itself, and all knuckles and all middle joints a little together."""
    habit = rng.normal(0, 1, len(ANGLES)) * HABIT_SPREAD
    habit[:16] += np.tile([*rng.normal(0, (4, 5, 3)), 0.0], 4)
    return habit * scale


def draw_styles(rng: np.random.Generator) -> dict[str, str]:
    """By letter the name of a signer's style; letters that are made as in ``LETTERS`` are left out."""
    drawn: dict[str, str] = {}
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
