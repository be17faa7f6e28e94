"""Who signs and how the camera sees it, drawn with a seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch

from asllib.signer.alphabet import HIGHEST, LOWEST, draw_habit, draw_styles, hand_of, letter_pose
from asllib.signer.hand import hand_shape, settle


@dataclass(frozen=True)
class Signer:
    """One person: everything that stays the same from picture to picture."""

    name: str  # synthetic-SEED-NUMBER
    phenotype: tuple[float, ...]  # gender, age, muscle, weight, height, proportions, 0..1
    tone: int  # 1..10 on the Monk scale
    tint: tuple[float, ...]  # factors on the tone's linear colour, near 1
    side: str  # "left" or "right", the signing hand
    habit: tuple[float, ...]  # degrees added to every pose, in the order of ``alphabet.ANGLES``
    inward: float  # 0..1, as in ``letter_pose``: how far the palm turns to the signer in G, H, P, Q
    edge: float  # 0..1, how much of the thumb's edge shows in C, G, H, O, P, X
    styles: Mapping[str, str] = field(default_factory=dict)  # by letter, as in ``alphabet.draw_styles``


@dataclass(frozen=True)
class Shot:
    """One picture's camera, light and surroundings; colours are linear."""

    yaw: float  # degrees of the camera around the hand, to the side
    pitch: float  # above it
    roll: float  # about its own axis
    distance: float  # metres from the hand
    fill: float  # part of the picture's shorter side that the hand's larger extent takes
    place: tuple[float, ...]  # where the hand's centre lies, fractions of width and height off the middle
    light: tuple[float, ...]  # unit vector towards the key light
    key: tuple[float, ...]  # colour of the key light
    sky: tuple[float, ...]  # of what comes from above
    ground: tuple[float, ...]  # and from below
    exposure: float  # factor on the linear picture
    backdrop: int  # seed of the background
    clutter: float  # 0 a flat wall .. 1 full of things
    sleeve: float  # metres of bare forearm below the wrist; 1 and more is a bare arm
    cloth: tuple[float, ...]  # colour of the sleeve
    noise: float  # of the sensor, standard deviation on the scale 0..255
    blur: float  # pixels in a picture of 224
    quality: int  # of the JPEG, 1..100
    smear: tuple[float, ...] = (0.0, 0.0)  # motion blur along x and y, pixels in a picture of 224


def draw_signer(seed: int, number: int) -> Signer:
    """The person ``number`` of the set ``seed``; the same two numbers give the same person."""
    rng = np.random.default_rng([seed, number, 101])
    # The first ten signers of a set have ten different tones, so that a small set spans the scale.
    order = np.random.default_rng([seed, 100]).permutation(10)
    age = rng.uniform(0.45, 1.0) if rng.random() > 0.12 else rng.uniform(0.3, 0.45)
    phenotype = (rng.uniform(0, 1), age, *rng.uniform(0.15, 0.85, 2), *rng.uniform(0.1, 0.9, 2))
    return Signer(
        name=f"synthetic-{seed}-{number:03d}",
        phenotype=tuple(float(v) for v in phenotype),
        tone=int(order[number % 10]) + 1,
        tint=tuple(rng.normal(1, [0.06, 0.04, 0.05]).tolist()),
        side="left" if rng.random() < 0.25 else "right",
        habit=tuple(draw_habit(rng).tolist()),
        inward=float(np.clip(rng.choice([0.05, 0.8], p=[0.85, 0.15]) + rng.normal(0, 0.12), -0.15, 1.1)),
        edge=float(rng.random()),
        styles=draw_styles(np.random.default_rng([seed, number, 102])),
    )


def letter_poses(people: Sequence[Signer], letters: Sequence[str], still: bool = True) -> np.ndarray:
    """(P, L, angles) degrees: how each signer makes each letter, habits included, fingers and thumb in contact."""
    made = [(who, letter, who.styles.get(letter, "")) for who in people for letter in letters]
    poses = [letter_pose(letter, who.inward, who.edge, still, style) + who.habit for who, letter, style in made]
    shapes = hand_shape(who.phenotype for who, *_ in made)
    touch = [hand_of(letter, who.inward, who.edge, style) for who, letter, style in made]
    settled = settle(shapes, torch.as_tensor(np.clip(poses, LOWEST, HIGHEST), dtype=torch.float32), touch, steps=80)
    return settled.numpy().astype(np.float64).reshape(len(people), len(letters), -1)


def draw_shot(rng: np.random.Generator, angle: float = 35.0) -> Shot:
    """Settings of one picture: the camera at most ``angle`` degrees from the front, all else at random."""
    tilt, around = angle * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    light = np.array([rng.normal(0, 0.7), rng.uniform(0.1, 1.0), rng.uniform(0.35, 1.2)])
    warm = rng.normal(0, 0.10)
    strength, fill_light = rng.uniform(0.5, 1.15), rng.uniform(0.25, 0.6)
    tone = np.array([1 + warm, 1.0, 1 - warm])
    hue = rng.uniform(0.02, 0.6) * rng.dirichlet([2, 2, 2]) * 2
    return Shot(
        yaw=float(tilt * np.cos(around)),
        pitch=float(tilt * np.sin(around)),
        roll=float(rng.normal(0, 7)),
        distance=float(np.exp(rng.uniform(np.log(0.35), np.log(1.3)))),
        fill=float(rng.uniform(0.42, 0.78)),
        place=tuple(rng.uniform(-0.10, 0.10, 2).tolist()),
        light=tuple((light / np.linalg.norm(light)).tolist()),
        key=tuple((strength * tone).tolist()),
        sky=tuple((fill_light * (2 - tone)).tolist()),
        ground=tuple((fill_light * rng.uniform(0.35, 0.8) * rng.normal(1, 0.08, 3)).tolist()),
        exposure=float(np.exp(rng.normal(0, 0.22))),
        backdrop=int(rng.integers(2**31)),
        clutter=float(rng.random()),
        sleeve=float(rng.uniform(0.01, 0.12)) if rng.random() < 0.5 else 1.0,
        cloth=tuple(np.clip(hue, 0.01, 0.8).tolist()),
        noise=float(abs(rng.normal(0, 3.5))),
        blur=float(rng.uniform(0.35, 1.0)),
        quality=int(rng.integers(55, 96)),
    )


def backdrop(seed: int, clutter: float, size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3) float32 linear colour of a room: a plain wall at 0, crowded at 1, alike at any size."""
    rng = np.random.default_rng([seed, 7])
    width, height = size
    scale = max(size) / 224
    base = rng.uniform(0.08, 0.85) * (1 + rng.normal(0, 0.12, 3))
    ramp = np.linspace(-0.5, 0.5, width) * rng.normal(0, 0.3)
    ramp = ramp + np.linspace(-0.5, 0.5, height)[:, None] * rng.normal(0, 0.3)
    room = np.clip(base * (1 + ramp[..., None]), 0.02, 1).astype(np.float32)
    if clutter < 0.15:
        return room
    kind = rng.integers(4)
    if kind == 0:  # boards or blinds
        period, slope = rng.uniform(8, 40) * scale, rng.normal(0, 0.5)
        rows = np.arange(height)[:, None] + slope * np.arange(width)
        rows = rows if rng.random() < 0.5 else rows.T if width == height else rows
        board = np.sin(2 * np.pi * rows / period)
        room *= (1 + rng.uniform(0.05, 0.3) * np.sign(board) * abs(board) ** 0.3)[..., None].astype(np.float32)
    elif kind == 1:  # a floor line and a darker lower half
        cut = int(height * rng.uniform(0.4, 0.8))
        room[cut:] *= (rng.uniform(0.3, 0.9) * (1 + rng.normal(0, 0.1, 3))).astype(np.float32)
    for _ in range(int(rng.integers(2, 4) + clutter * 14)):
        _draw_thing(room, rng, scale)
    if rng.random() < 0.35:  # the signer's own body behind the hand
        shirt = (rng.uniform(0.02, 0.6) * np.clip(1 + rng.normal(0, 0.3, 3), 0.2, 2)).tolist()
        middle = (int(width * rng.uniform(0.1, 0.9)), int(height * rng.uniform(0.9, 1.3)))
        axes = (int(width * rng.uniform(0.4, 0.7)), int(height * rng.uniform(0.5, 0.8)))
        cv2.ellipse(room, middle, axes, 0, 0, 360, shirt, -1, cv2.LINE_AA)
    cv2.GaussianBlur(room, (0, 0), rng.uniform(0.3, 5) * scale, dst=room)
    grain = rng.normal(0, rng.uniform(0, 0.12), (max(2, height // 4), max(2, width // 4))).astype(np.float32)
    return room * (1 + cv2.resize(grain, size, interpolation=cv2.INTER_CUBIC))[..., None]


def _draw_thing(room: np.ndarray, rng: np.random.Generator, scale: float) -> None:
    """Draw a box, an ellipse or a bar somewhere into the room."""
    colour = (rng.uniform(0.02, 0.9) * np.clip(1 + rng.normal(0, 0.35, 3), 0.1, 2)).clip(0.01, 1).tolist()
    x, y = (rng.uniform(0, 1, 2) * room.shape[1::-1]).tolist()
    w, h = (rng.gamma(2, 16, 2) * scale).tolist()
    angle = rng.uniform(0, 180) if rng.random() < 0.3 else 0.0
    kind = rng.random()
    if kind < 0.55:
        corners = cv2.boxPoints(((x, y), (w, h), angle))
        cv2.fillPoly(room, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    elif kind < 0.85:
        axes = (int(w / 2) + 1, int(h / 2) + 1)
        cv2.ellipse(room, (int(x), int(y)), axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
    else:
        end = (int(x + rng.normal(0, 90) * scale), int(y + rng.normal(0, 90) * scale))
        cv2.line(room, (int(x), int(y)), end, colour, max(1, int(rng.uniform(1, 6) * scale)), cv2.LINE_AA)
