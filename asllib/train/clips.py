"""What the spelling network is trained on: clips of a hand at even moments, seen otherwise each time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asllib.hands.stream import RATE, Stream, resample
from asllib.letters import MOVING
from asllib.networks.spelling import NEITHER, SIGNS, moment_features
from asllib.signer.motion import minimum_jerk

IGNORE = -100  # a moment that the loss leaves out
TOLD = 0.4  # of a stroke must be drawn before it can be told
NO_WORLD = 0.3  # of the clips have no world points, as landmark sets of others


@dataclass(frozen=True)
class Clip:
    """A hand at T even moments, with what is to be read: a right hand, in one unit for x, y and z."""

    landmarks: np.ndarray  # (T, 21, 3) float32, NaN without a hand
    world: np.ndarray  # the same
    targets: np.ndarray  # (T,) int64: the number of the sign that is shown, NEITHER or IGNORE
    shapes: np.ndarray  # (T,) int64: the number of the handshape that is shown, NEITHER or IGNORE
    spelled: tuple[int, ...]  # numbers of the signs in order


def film_clip(stream: Stream) -> Clip:
    """Turn a film with its truth into a clip."""
    even = resample(stream)
    mirror = np.where(even.left[:, None, None], [-1, 1, 1], 1).astype(np.float32)
    landmarks = even.landmarks * np.array([stream.aspect, 1, stream.aspect], np.float32) * mirror
    targets, shapes = np.full((2, len(even)), NEITHER, np.int64)
    spelled = []
    for position, letter in enumerate(even.word):
        rows = np.flatnonzero(even.positions == position)
        if not len(rows):
            continue
        number = 1 + SIGNS.index(letter)
        # J begins as I, and both are drawn with a hand that turns away.
        shapes[rows] = IGNORE if letter == "J" else number
        # On the way the hand is neither the one letter nor the other, at its ends it is nearly one of them.
        shapes[[max(rows[0] - 1, 0), min(rows[-1] + 1, len(even) - 1)]] = IGNORE
        targets[rows[round(TOLD * len(rows)) :] if letter in MOVING else rows] = number
        spelled.append(number)
    return Clip(landmarks, even.world * mirror, targets, shapes, tuple(spelled))


def rotation(z: np.ndarray | float, x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
    """(..., 3, 3) of a hand that is turned about y, x and z in turn, in degrees; x is right, y down, z away."""
    return Rotation.from_euler("ZXY", np.stack([z, x, y], -1), degrees=True).as_matrix()


def augment(clip: Clip, rng: np.random.Generator) -> Clip:
    """See the clip from elsewhere, by another tracker, faster or slower, with some frames lost."""
    landmarks, world, targets, shapes = clip.landmarks, clip.world, clip.targets, clip.shapes
    count = len(targets)
    if rng.random() < 0.7 and count > 4:  # faster or slower
        places = np.arange(0, count - 1, float(np.exp(rng.uniform(np.log(0.7), np.log(1.6)))))
        landmarks, world = between(landmarks, places), between(world, places)
        nearest, count = np.round(places).astype(int), len(places)
        targets, shapes = targets[nearest], shapes[nearest]
    matrix = _views(1, rng)
    landmarks, world = (_seen(points, matrix, _jitter(count, rng)) for points in (landmarks, world))
    if rng.random() < NO_WORLD:
        world = np.full_like(landmarks, np.nan)
    landmarks[rng.random(count) < rng.choice([0.0, 0.0, 0.02])] = np.nan
    return Clip(landmarks, world, targets, shapes, clip.spelled)


def augment_each(clip: Clip, rng: np.random.Generator) -> Clip:
    """See each moment of a clip from a place of its own: its hands are as many people's."""
    count = len(clip.targets)
    matrices = _views(count, rng)

    def errors() -> np.ndarray:
        spread = rng.uniform(0, 0.04, (count, 1, 1)) + rng.uniform(0.003, 0.015, (count, 1, 1))
        return rng.normal(0, spread, (count, 21, 3))

    landmarks, world = (_seen(points, matrices, errors()) for points in (clip.landmarks, clip.world))
    world[rng.random(count) < NO_WORLD] = np.nan
    return replace(clip, landmarks=landmarks, world=world)


def _views(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3, 3) that turn row vectors towards another camera and stretch them as hands differ."""
    turns = rotation(*(rng.uniform(-limit, limit, count) for limit in (18, 30, 30)))
    return (turns * (1 + rng.uniform(-0.15, 0.15, (count, 1, 3)))).swapaxes(1, 2)


def _seen(points: np.ndarray, matrices: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Hands (T, 21, 3) turned by matrices (T or 1, 3, 3), with errors (T, 21, 3) in palm sizes."""
    known = points[np.isfinite(points[:, 0, 0])]
    return (points @ matrices + errors * (_palm(known) if len(known) else 1.0)).astype(np.float32)


def wander(clip: Clip, rng: np.random.Generator) -> Clip:
    """Let the whole hand drift aside and come nearer or go, smoothly, as an arm does that holds up a letter for long.

    About the mean place of the wrist, by up to some half a palm and a third of its size, at a pace of 0.5 to 1.5 s a
    turn; what the hand shows does not change.
    """
    found = np.isfinite(clip.landmarks[:, 0, 0])
    if not found.any():
        return clip
    hands = clip.landmarks[found]
    palm, middle = _palm(hands), hands[:, 0].mean(0)
    places = np.arange(len(found)) / (RATE * rng.uniform(0.5, 1.5))
    knots = rng.normal(0, rng.uniform(0, 1), (int(places[-1]) + 2, 3))
    low, part = places.astype(int), (places % 1)[:, None]
    part = (part + minimum_jerk(part)) / 2
    across, down, nearer = (knots[low] * (1 - part) + knots[low + 1] * part).T
    moved = (clip.landmarks - middle) * np.exp(0.35 * nearer)[:, None, None] + middle
    moved[..., :2] += 0.5 * palm * np.stack([across, down], 1)[:, None]
    return replace(clip, landmarks=moved.astype(np.float32))


def between(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Points (T, ..., 3) at places between the moments, linear in between."""
    low = np.minimum(places.astype(int), max(0, len(points) - 2))
    part = (places - low).astype(points.dtype).reshape(-1, *[1] * (points.ndim - 1))
    return points[low] * (1 - part) + points[np.minimum(low + 1, len(points) - 1)] * part


def _palm(hands: np.ndarray) -> float:
    """The median length of the palm in (T, 21, 3), none of them missing."""
    return float(np.median(np.linalg.norm(hands[:, 9] - hands[:, 0], axis=-1)))


def _jitter(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 21, 3) errors in palm sizes: most of them last, some change from moment to moment."""
    size = rng.uniform(0.005, 0.03)
    lasting = rng.normal(0, rng.uniform(0, 0.06), (1, 21, 3))
    slow = between(rng.normal(0, size, (count // 5 + 2, 21, 3)), np.arange(count) / 5)
    return (lasting + slow + rng.normal(0, size / 2, (count, 21, 3))).astype(np.float32)


def batch_clips(clips: Sequence[Clip], tail: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features (B, C, T), targets (B, T), spelled signs in order (B, S), then NEITHER, and handshapes (B, T).

    Shorter clips are padded by moments without a hand. ``tail`` moments more than the longest clip has are added, in
    which late answers have room.
    """
    longest = max(len(clip.targets) for clip in clips) + tail
    points = np.full((2, len(clips), longest, 21, 3), np.nan, np.float32)  # image and world
    targets, shapes = np.full((2, len(clips), longest), IGNORE, np.int64)
    for i, clip in enumerate(clips):
        count = len(clip.targets)
        points[0, i, :count], points[1, i, :count] = clip.landmarks, clip.world
        targets[i, :count], shapes[i, :count] = clip.targets, clip.shapes
        targets[i, count : count + tail] = NEITHER
    right = torch.zeros(points.shape[1:3], dtype=torch.bool)
    image, world = torch.from_numpy(points)
    features = moment_features(image, world, right, torch.ones(len(clips)))
    spelled = pad_sequence([torch.tensor(clip.spelled, dtype=torch.long) for clip in clips], True, NEITHER)
    return features, torch.from_numpy(targets), spelled, torch.from_numpy(shapes)
