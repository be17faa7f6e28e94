"""A hand in time: a stream of frames, and resampling of frames of any rate to even moments."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from asllib.hands.look import WIDTH, Hand

RATE = 20.0  # moments a second
_EMPTY_S = 5.0  # at most so much of a time without a hand becomes moments
_EMPTY = np.full((21, 3), np.nan, np.float32)
_NO_HAND = Hand(_EMPTY, _EMPTY, "right", 0.0, embedding=np.zeros(WIDTH))
GAP_S = 0.3  # a hand lost for no longer is interpolated along a straight line
_STALL_S = 0.25  # a longer time without frames is cut to this, since it says nothing about the hand


@dataclass(frozen=True)
class Stream:
    """A hand in F frames."""

    times: np.ndarray  # (F,) seconds
    landmarks: np.ndarray  # (F, 21, 3) float32 as in ``Hand``; NaN where no hand was found
    world: np.ndarray  # the same
    left: np.ndarray  # (F,) bool: the tracker calls it a left hand
    aspect: float  # width / height of the frames
    word: str = ""  # what is spelled
    positions: np.ndarray | None = None  # (F,) place of the letter that is held or drawn, -1 in between and at rest
    signer: str = ""
    embeddings: np.ndarray | None = None  # (F, 1152) float16 as in ``Hand``; None where there were no pictures

    def __len__(self) -> int:
        return len(self.times)

    @property
    def found(self) -> np.ndarray:
        """(F,) bool: there is a hand in the frame."""
        return np.isfinite(self.landmarks[:, 0, 0])

    def hands(self) -> list[Hand | None]:
        """The hand of each frame, or None."""
        looks = [None] * len(self) if self.embeddings is None else self.embeddings.astype(np.float32)
        sides = np.where(self.left, "left", "right").tolist()
        hands = map(Hand, self.landmarks, self.world, sides, repeat(1.0), repeat(1.0), looks)
        return [hand if found else None for hand, found in zip(hands, self.found, strict=True)]


def stream_of(hands: Sequence[Hand | None], times: Sequence[float] | np.ndarray, aspect: float, **truth) -> Stream:
    """Gather the hands of a video's frames into a stream."""
    seen = [hand or _NO_HAND for hand in hands]
    if all(hand.embedding is not None for hand in seen):
        truth["embeddings"] = np.array([hand.embedding for hand in seen], np.float16).reshape(-1, WIDTH)
    points = np.array([(hand.landmarks, hand.world) for hand in seen], np.float32).reshape(-1, 2, 21, 3)
    left = np.array([hand.side == "left" for hand in seen], bool)
    return Stream(np.asarray(times, np.float64), points[:, 0], points[:, 1], left, float(aspect), **truth)


class Resampler:
    """Turn incoming frames of any rate into moments ``1 / RATE`` seconds apart: times, each with the hand, or None."""

    def __init__(self) -> None:
        self._next = 0  # number of the next moment
        self._seen: tuple[float, Hand] | None = None
        self._last = math.inf  # when the last frame came
        self._cut = 0.0  # seconds of stalls that are cut

    def push(self, hand: Hand | None, time_s: float) -> Iterator[tuple[float, Hand | None]]:
        """Take a frame; yield the moments that it completes, if any."""
        if self._last == math.inf:
            self._next = math.ceil(time_s * RATE - 1e-6)
        stall, self._last = time_s - self._last, time_s
        if self._seen is not None and _STALL_S < stall < _EMPTY_S:
            self._cut += stall - _STALL_S
            if hand is None:  # the hand may have been there until this frame
                self._seen = (time_s - self._cut, self._seen[1])
        time_s -= self._cut
        if hand is None:
            if self._seen is None or time_s - self._seen[0] > GAP_S:
                self._seen = None
                yield from self._missing(time_s)
            return
        before = self._seen
        if before is None or time_s - before[0] > GAP_S:
            yield from self._missing(time_s - 0.5 / RATE)
            before = (time_s - 1.0, hand)
        while self._next <= time_s * RATE + 1e-6:
            part = float(np.clip((self._next / RATE - before[0]) / (time_s - before[0]), 0, 1))
            image = before[1].landmarks + part * (hand.landmarks - before[1].landmarks)
            world = before[1].world + part * (hand.world - before[1].world)
            yield self._moment(Hand(image, world, hand.side, hand.score))
        self._seen = (time_s, hand)

    def _missing(self, until: float) -> Iterator[tuple[float, Hand | None]]:
        # This is more than the network remembers; after hours without a hand all moments would take minutes.
        self._next = max(self._next, math.floor((until - _EMPTY_S) * RATE))
        while self._next <= until * RATE + 1e-6:
            yield self._moment(None)

    def _moment(self, hand: Hand | None) -> tuple[float, Hand | None]:
        self._next += 1
        return (self._next - 1) / RATE + self._cut, hand


def resample(stream: Stream) -> Stream:
    """Resample a whole stream to even moments; each takes its true letter from the nearest frame."""
    sampler = Resampler()
    moments = [m for hand, time in zip(stream.hands(), stream.times, strict=True) for m in sampler.push(hand, time)]
    times, positions = np.array([time for time, _ in moments]), None
    if stream.positions is not None and len(times):
        positions = stream.positions[np.abs(stream.times[None] - times[:, None]).argmin(1)]
    hands, truth = [hand for _, hand in moments], {"word": stream.word, "signer": stream.signer}
    return stream_of(hands, times, stream.aspect, positions=positions, **truth)
