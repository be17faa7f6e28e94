"""The letters as anatomical joint angles, each with its handshape in words.

Handshapes after the manual alphabet's usual descriptions (T. Humphries, C. Padden, "Learning American Sign
Language"; W. Vicars, Lifeprint.com, "Fingerspelling"); the angles are this project's own, set on the hand model so
that fingers touch where the description says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

FINGER_ANGLES = tuple(f"{finger}_{joint}" for finger in ("index", "middle", "ring", "little")
                      for joint in ("mcp", "pip", "dip", "spread"))
THUMB_ANGLES = ("thumb_radial", "thumb_palmar", "thumb_pronation", "thumb_mcp", "thumb_ip")
ARM_ANGLES = ("wrist_flex", "wrist_radial", "spin", "lean", "turn", "pitch")
# Order of a pose vector. Degrees; zero is a flat hand with closed fingers that shows its palm, fingers up.
ANGLES = FINGER_ANGLES + THUMB_ANGLES + ARM_ANGLES

LIMITS = {
    "mcp": (-30, 100), "pip": (-5, 120), "dip": (-10, 90), "spread": (-30, 30),
    "thumb_radial": (-30, 80), "thumb_palmar": (-15, 75), "thumb_pronation": (-40, 110),
    "thumb_mcp": (-15, 70), "thumb_ip": (-30, 90),
    "wrist_flex": (-70, 80), "wrist_radial": (-40, 30),
}


@dataclass(frozen=True)
class Handshape:
    name: str
    angles: tuple[float, ...]
    words: str


def shape(name, words, index, middle, ring, little, thumb, arm=(0, 0, 0, 0, 0, 0)):
    return Handshape(name, (*index, *middle, *ring, *little, *thumb, *arm), words)


FIST = ((85, 100, 60, 0), (88, 100, 60, 0), (88, 100, 60, 0), (88, 95, 60, 0))
S = [
 shape('A','', *FIST, (35,20,20,20,5)),
 shape('B','', (0,3,2,0),(0,3,2,0),(0,3,2,0),(0,3,2,0),(10,45,50,50,40)),
 shape('C','', (45,40,25,0),(45,42,25,0),(45,42,25,0),(45,40,25,0),(45,55,60,10,15),(0,0,60,0,0,0)),
 shape('D','', (0,3,2,0),(55,75,35,0),(60,80,40,0),(65,80,40,0),(25,60,60,30,20)),
 shape('E','', (60,105,50,0),(60,105,50,0),(60,105,50,0),(60,100,50,0),(20,45,50,50,50)),
 shape('F','', (60,60,25,0),(5,5,5,0),(0,5,5,-8),(0,5,5,-18),(30,55,60,25,20)),
 shape('G','', (25,5,5,0),*FIST[1:],(40,40,40,10,5),(0,0,0,90,150,0)),
 shape('H','', (5,5,5,0),(5,5,5,0),*FIST[2:],(30,50,40,40,40),(0,0,0,90,150,0)),
 shape('I','', *FIST[:3],(0,5,5,-10),(30,55,50,40,40)),
 shape('J','', *FIST[:3],(0,5,5,-10),(30,55,50,40,40)),
 shape('K','', (0,5,5,8),(45,5,5,0),*FIST[2:],(35,40,40,10,5)),
 shape('L','', (0,5,5,0),*FIST[1:],(70,20,10,0,0)),
 shape('M','', (80,70,30,0),(80,70,30,0),(80,70,30,0),FIST[3],(10,50,50,40,20)),
 shape('N','', (80,70,30,0),(80,70,30,0),*FIST[2:],(15,50,50,40,20)),
 shape('O','', (55,55,30,0),(58,55,30,0),(60,55,30,0),(62,55,30,0),(30,60,70,20,30),(0,0,60,0,0,0)),
 shape('P','', (0,5,5,8),(45,5,5,0),*FIST[2:],(35,40,40,10,5),(30,0,-80,120,60,0)),
 shape('Q','', (50,5,5,0),*FIST[1:],(40,50,50,10,5),(30,0,-80,120,60,0)),
 shape('R','', (2,5,5,-6),(10,5,5,9),*FIST[2:],(25,55,50,45,45)),
 shape('S','', *FIST,(25,55,50,45,45)),
 shape('T','', (75,85,40,0),*FIST[1:],(35,40,30,20,10)),
 shape('U','', (0,3,3,0),(0,3,3,0),*FIST[2:],(25,55,50,45,45)),
 shape('V','', (0,3,3,12),(0,3,3,-12),*FIST[2:],(25,55,50,45,45)),
 shape('W','', (0,3,3,14),(0,3,3,0),(0,3,3,-14),FIST[3],(15,60,60,50,40)),
 shape('X','', (30,80,50,0),*FIST[1:],(25,55,50,45,45)),
 shape('Y','', *FIST[:3],(0,5,5,-20),(70,15,10,0,0)),
 shape('Z','', (0,5,5,0),*FIST[1:],(25,55,50,45,45)),
]
LETTERS = {s.name: s for s in S}
import numpy as np
# Standard deviation of a signer's habit, degrees, in the order of ANGLES.
HABIT_SPREAD = np.array([4, 5, 4, 1.5] * 4 + [4, 4, 5, 5, 5] + [4, 4, 7, 5, 6, 4], np.float64)


def letter_pose(letter: str, inward: float = 0.5) -> np.ndarray:
    pose = np.array(LETTERS[letter].angles, np.float64)
    if letter in "GH":
        pose[-2] = 150 * inward
    if letter in "PQ":
        pose[-2] = 80 * inward
    return pose
