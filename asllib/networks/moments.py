"""A hand at even moments: frames of any rate brought to one, and what the motion network is told of each moment."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asllib.hands.features import bone_directions, mirror_left, palm_size, true_aspect, wrist_origin
from asllib.hands.look import Hand
from asllib.train.films import Stream

RATE = 20.0  # moments a second
_EMPTY_S = 5.0  # of time without a hand are moments at most
GAP_S = 0.3  # a hand that is lost for no longer is taken to have moved straight on


@dataclass(frozen=True)
class Moment:
    """The hand at one moment.

    Attributes
    ----------
    time_s
        Seconds.
    landmarks, world
        (21, 3) as in ``Hand``; NaN if there is no hand.
    left
        It is a left hand.
    """

    time_s: float
    landmarks: np.ndarray
    world: np.ndarray
    left: bool


class Resampler:
    """Turns frames of any rate, as they come, into moments ``1 / RATE`` seconds apart."""

    def __init__(self, rate: float = RATE, gap_s: float = GAP_S) -> None:
        self.rate, self.gap_s = rate, gap_s
        self._next: int | None = None  # number of the next moment
        self._seen: tuple[float, Hand] | None = None
        self._left = False

    def push(self, hand: Hand | None, time_s: float) -> Iterator[Moment]:
        """Take a frame; yield the moments that are known now, none to some."""
        if self._next is None:
            self._next = math.ceil(time_s * self.rate - 1e-6)
        if hand is None:
            if self._seen is None or time_s - self._seen[0] > self.gap_s:
                self._seen = None
                yield from self._missing(time_s)
            return
        self._left = hand.side == "left"
        before = self._seen
        if before is not None and time_s - before[0] > self.gap_s:
            before = None
        if before is None:
            yield from self._missing(time_s - 0.5 / self.rate)
            before = (time_s - 1.0, hand)
        while self._next <= time_s * self.rate + 1e-6:
            part = float(np.clip((self._next / self.rate - before[0]) / (time_s - before[0]), 0, 1))
            yield self._moment(
                before[1].landmarks + part * (hand.landmarks - before[1].landmarks),
                before[1].world + part * (hand.world - before[1].world),
            )
        self._seen = (time_s, hand)

    def _missing(self, until: float) -> Iterator[Moment]:
        empty = np.full((21, 3), np.nan, np.float32)
        assert self._next is not None  # push sets it first
        # More than the network remembers; after hours without a frame every one of them would take minutes.
        self._next = max(self._next, math.floor((until - _EMPTY_S) * self.rate))
        while self._next <= until * self.rate + 1e-6:
            yield self._moment(empty, empty)

    def _moment(self, landmarks: np.ndarray, world: np.ndarray) -> Moment:
        assert self._next is not None
        moment = Moment(self._next / self.rate, landmarks, world, self._left)
        self._next += 1
        return moment


def resample(stream: Stream, rate: float = RATE) -> Stream:
    """Bring a whole stream to even moments; each takes its truth from the nearest frame."""
    sampler = Resampler(rate)
    moments = [m for hand, time in zip(stream.hands(), stream.times, strict=True) for m in sampler.push(hand, time)]
    times = np.array([m.time_s for m in moments])
    positions = None
    if stream.positions is not None and len(times):
        nearest = np.abs(stream.times[None] - times[:, None]).argmin(1)
        positions = stream.positions[nearest]
    return Stream(
        times,
        np.array([m.landmarks for m in moments], np.float32).reshape(-1, 21, 3),
        np.array([m.world for m in moments], np.float32).reshape(-1, 21, 3),
        np.array([m.left for m in moments], bool),
        stream.aspect,
        stream.word,
        positions,
        stream.signer,
    )


def moment_features(landmarks: Tensor, world: Tensor | None, left: Tensor, aspect: Tensor) -> Tensor:
    """What the motion network is told of hands at even moments.

    Parameters
    ----------
    landmarks
        (B, T, 21, 3) image landmarks, NaN where there is no hand.
    world
        (B, T, 21, 3) world landmarks, or None to leave them out.
    left
        (B, T) bool.
    aspect
        (B,) width / height.

    Returns
    -------
    Tensor
        (B, C, T) float32, C = 6 x 21 + 5 or 9 x 21 + 5: image points in palm sizes from the wrist, unit vectors of the
        image's bones, world points in palm sizes; then the wrist's movement since the moment before (x, y, in palm
        sizes), how much the palm grew (logarithm), how much the shape changed (5 times the root mean square movement of
        the points from the wrist), and whether there is a hand. All 0 without one; left hands are
        mirrored.
    """
    found = torch.isfinite(landmarks[:, :, 0, 0])  # (B, T)
    points = true_aspect(torch.nan_to_num(landmarks), aspect[:, None])  # (B, T, 21, 3)
    hands = wrist_origin(points[None] if world is None else torch.stack([points, torch.nan_to_num(world)]))
    sizes = palm_size(hands)  # (1 or 2, B, T): image and world at once
    image, *solid = mirror_left(hands / sizes.clamp_min(1e-6)[..., None, None], left)
    shape = torch.cat([image, bone_directions(image), *solid], -1).flatten(2)  # (B, T, 21 * (6 or 9))

    size, wrist = sizes[0, ..., None].clamp_min(1e-3), points[:, :, 0]  # (B, T, 1), (B, T, 3)
    move = mirror_left(((wrist - _shift(wrist)) / size)[..., None, :], left)[:, :, 0, :2]
    grow = (size / _shift(size)).log()
    flat = image[..., :2]
    # 5 times the root mean square movement of the 21 points
    change = torch.linalg.vector_norm(flat - _shift(flat), dim=(2, 3))[..., None] * (5 / 21**0.5)  # (B, T, 1)
    motion = torch.cat([move, grow, change], -1).clamp(-2, 2) * (found & _shift(found))[..., None]
    features = torch.cat([shape, motion, torch.ones_like(grow)], -1) * found[..., None]
    return features.transpose(1, 2).clamp(-5, 5).contiguous()  # (B, C, T)


def _shift(x: Tensor) -> Tensor:
    """Each moment's value at the moment before; the first keeps its own."""
    return torch.cat([x[:, :1], x[:, :-1]], 1)
