"""From probabilities of letters, frame by frame, to letters: the simple way, thresholds and a vote."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asllib.errors import InputError
from asllib.letters import LETTERS

SIGN_HOLD_S = 0.4  # seconds that a sign which is no letter must be seen at least


@dataclass(frozen=True)
class ReadLetter:
    """A letter, or another sign, that was read.

    Attributes
    ----------
    letter
        "A".."Z", "space", "del", or the name of a sign that somebody added.
    start_s, end_s
        When it was seen, seconds of the video; ``end_s`` is when it was sure.
    confidence
        Mean probability over that time, 0..1.
    """

    letter: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True)
class MendedLetter(ReadLetter):
    """A letter that takes the place of the one before it: an I that was the beginning of a J."""


@dataclass(frozen=True)
class SpellerSettings:
    """When a letter counts as shown.

    Attributes
    ----------
    confidence
        The mean probability that a letter must reach, 0..1.
    hold_s
        Seconds that it must be seen.
    again_s
        Seconds that the motion network must have said something else before it says a letter a second time; after a
        long hold more, up to ``space_s``.
    slide
        Palm sizes that a hand which keeps its shape must have moved for the letter to be written again.
    still
        Palm sizes a second: a hand that changes faster is on its way between two letters.
    gap_s
        A hand that is not seen for longer ends the letter.
    space_s
        Seconds without a letter, the hand lowered or out of view, after which a space is written.
    """

    confidence: float = 0.6
    hold_s: float = 0.12
    again_s: float = 0.22
    slide: float = 0.3
    still: float = 3.0
    gap_s: float = 0.3
    space_s: float = 1.2

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise InputError(f"confidence={self.confidence}: choose a value between 0 and 1")
        for name, value in vars(self).items():
            if not value > 0:
                raise InputError(f"{name}={value}: choose a value above 0")


@dataclass
class _Hold:
    """A letter that is shown from frame to frame, and whether it was written."""

    letter: int | None = None
    start_s: float = 0.0
    total: float = 0.0  # of its probabilities, since the hand last kept still
    count: int = 0
    written_s: float | None = None
    place: np.ndarray | None = None  # where the wrist was then
    moved: bool = False  # the hand was on its way since then


class Speller:
    """Streaming decoder: a letter a hold, none on the way.

    Parameters
    ----------
    settings
        When a letter counts as shown.
    names
        Of the probabilities: letters, and perhaps other signs. These must be seen for longer, and are never doubled.

    Examples
    --------
    >>> speller = Speller(SpellerSettings(hold_s=0.1))
    >>> sure = np.eye(26)[0]
    >>> [letter.letter for i in range(30) for letter in speller.update(sure, i / 30)]
    ['A']
    """

    def __init__(self, settings: SpellerSettings | None = None, names: Sequence[str] = LETTERS) -> None:
        self.settings, self.names = settings or SpellerSettings(), tuple(names)
        self.reset()

    def reset(self) -> None:
        """Forget the hand: the next frame starts anew."""
        self._last_time = self._seen_time = -math.inf
        self._points: np.ndarray | None = None
        self._hold = _Hold()

    def update(
        self, probabilities: np.ndarray | None, time_s: float, landmarks: np.ndarray | None = None, aspect: float = 1.0
    ) -> list[ReadLetter]:
        """Take one frame and return the letters that it completes, mostly none.

        Parameters
        ----------
        probabilities
            (names,), or None: no hand.
        time_s
            Time of the frame in seconds, later than the one before.
        landmarks
            (21, 3) image landmarks; without them, no slide tells a double.
        aspect
            Width / height of the frame.

        InputError if the time is not a number or not later than the one before.
        """
        check_time(time_s, self._last_time)
        settings, step = self.settings, time_s - self._last_time
        self._last_time = time_s
        if probabilities is None:
            if step > settings.gap_s:
                self._seen_time = time_s  # no frame came, which says nothing of the hand
            if time_s - self._seen_time > settings.gap_s:
                self._hold = _Hold()
            return []
        self._seen_time = time_s
        best = int(np.argmax(probabilities))
        sure = float(probabilities[best])
        speed, place, size = self._movement(landmarks, aspect, step)
        if best != self._hold.letter or sure < settings.confidence / 2:
            self._hold = _Hold(best)
        elif speed > settings.still:
            self._hold.count, self._hold.moved = 0, True
        hold = self._hold
        if not hold.count:
            hold.start_s, hold.total = time_s, 0.0
        hold.total, hold.count = hold.total + sure, hold.count + 1
        mean = hold.total / hold.count
        hold_s = settings.hold_s if len(self.names[best]) == 1 else max(settings.hold_s, SIGN_HOLD_S)
        held = time_s - hold.start_s >= hold_s - 1e-9 and mean >= settings.confidence
        if not held or not self._is_new(place, size):
            return []
        hold.written_s, hold.place, hold.moved = time_s, place, False
        return [ReadLetter(self.names[best], hold.start_s, time_s, mean)]

    def _is_new(self, place: np.ndarray | None, size: float) -> bool:
        """Whether the letter that is held is to be written: not yet written, or doubled."""
        hold = self._hold
        if hold.letter is None or hold.written_s is None:
            return True
        if len(self.names[hold.letter]) > 1 or place is None or hold.place is None:
            return False
        return hold.moved and bool(np.abs(place - hold.place).max() > self.settings.slide * size)

    def _movement(
        self, landmarks: np.ndarray | None, aspect: float, step: float
    ) -> tuple[float, np.ndarray | None, float]:
        """Palm sizes a second that the hand's points move, the wrist's place and the palm's size in picture heights."""
        if landmarks is None:
            return 0.0, None, 1.0
        points = landmarks[:, :2] * (aspect, 1.0)
        size = max(float(np.sqrt(((points[[5, 9, 13, 17]] - points[0]) ** 2).sum(1).mean())), 1e-6)
        before, self._points = self._points, points
        # Differences first: a palm that only seems to grow would move every point away from the picture's corner.
        speed = 0.0 if before is None else float(np.abs(points - before).mean()) / size / max(step, 1e-3)
        return speed, points[0], size


def check_time(time_s: float, last: float) -> None:
    """Refuse a time that is no number or not later than the one before."""
    if not (isinstance(time_s, (int, float, np.number)) and math.isfinite(time_s)):
        raise InputError(f"time {time_s!r}: each frame needs its time in seconds")
    if time_s <= last:
        raise InputError(f"time {time_s:g} s after {last:g} s: frames come in order, each later than the one before")
