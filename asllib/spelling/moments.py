"""A hand at even moments: frames of any rate brought to one, and what the motion network is told of each moment."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asllib.hands.features import bone_directions, palm_scale, palm_size, true_aspect, wrist_origin
from asllib.hands.tracker import Hand
from asllib.spelling.streams import Stream

RATE = 20.0  # moments a second
GAP_S = 0.3  # a hand that is lost for no longer is taken to have moved straight on
_SIDE_MEMORY = 0.97  # of the vote on the hand's side, kept from frame to frame: trackers often err for half a second


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
        The side by a vote of the frames so far: the tracker changes its mind now and then.
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
        self._left = 0.0

    def push(self, hand: Hand | None, time_s: float) -> Iterator[Moment]:
        """Take a frame; yield the moments that are known now, none to some."""
        if self._next is None:
            self._next = math.ceil(time_s * self.rate - 1e-6)
        if hand is None:
            if self._seen is None or time_s - self._seen[0] > self.gap_s:
                self._seen = None
                yield from self._missing(time_s)
            return
        self._left = _SIDE_MEMORY * self._left + (1.0 if hand.side == "left" else -1.0)
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
        while self._next <= until * self.rate + 1e-6:
            yield self._moment(empty, empty)

    def _moment(self, landmarks: np.ndarray, world: np.ndarray) -> Moment:
        assert self._next is not None
        moment = Moment(self._next / self.rate, landmarks, world, self._left > 0)
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
    batch, steps = landmarks.shape[:2]
    found = torch.isfinite(landmarks[:, :, 0, 0])  # (B, T)
    aspects = aspect[:, None].expand(batch, steps).flatten()  # (B * T,)
    points = true_aspect(torch.nan_to_num(landmarks).flatten(0, 1), aspects)  # (B * T, 21, 3)
    sign = torch.where(left, -1.0, 1.0).flatten()[:, None]

    def to_right(hands: Tensor) -> Tensor:
        return torch.cat([hands[..., :1] * sign[..., None], hands[..., 1:]], -1)

    image = to_right(palm_scale(wrist_origin(points)))
    parts = [image, bone_directions(image)]
    if world is not None:
        parts.append(to_right(palm_scale(wrist_origin(torch.nan_to_num(world).flatten(0, 1)))))
    shape = torch.cat(parts, -1).unflatten(0, (batch, steps)).flatten(2)  # (B, T, 63 * parts)

    size = palm_size(points).clamp_min(1e-3).unflatten(0, (batch, steps))  # (B, T)
    wrist = points[:, 0, :2].unflatten(0, (batch, steps))
    both = found & _shift(found)
    move = (wrist - _shift(wrist)) / size[..., None]
    move = torch.cat([move[..., :1] * sign.unflatten(0, (batch, steps)), move[..., 1:]], -1)
    grow = (size / _shift(size).clamp_min(1e-3)).log()[..., None]
    flat = image[..., :2].unflatten(0, (batch, steps))
    change = (flat - _shift(flat)).square().sum(-1).mean(-1, keepdim=True).sqrt()  # (B, T, 1)
    motion = torch.cat([move, grow, 5 * change], -1).clamp(-2, 2) * both[..., None]
    features = torch.cat([shape, motion, torch.ones_like(grow)], -1) * found[..., None]
    return features.transpose(1, 2).clamp(-5, 5).contiguous()  # (B, C, T)


def _shift(x: Tensor) -> Tensor:
    """Each moment's value at the moment before; the first keeps its own."""
    return torch.cat([x[:, :1], x[:, :-1]], 1)
