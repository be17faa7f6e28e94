"""The one way from frames to text: hand, probabilities, letters, text."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from asllib.hands.tracker import Hand, HandTracker
from asllib.letters import LETTERS
from asllib.spelling.speller import ReadLetter, Speller, SpellerSettings, check_time
from asllib.video import count_frames, iter_frames


class ReadsLetters(Protocol):
    """Anything that reads one hand: ``asllib.Recognizer`` is one."""

    alphabet: str

    def probabilities(self, image: np.ndarray, hands: list[Hand]) -> np.ndarray:
        """Probabilities (classes,) of the alphabet's letters."""
        ...


@dataclass(frozen=True)
class FrameReading:
    """What was read in one frame.

    Attributes
    ----------
    hand
        The hand, or None.
    letter, confidence
        The likeliest letter of this frame and its probability; None and 0 without a hand.
    probabilities
        (26,) float32, A to Z.
    letters
        The letters that this frame completed, mostly none.
    text
        All that was read so far.
    """

    hand: Hand | None
    letter: str | None
    confidence: float
    probabilities: np.ndarray
    letters: tuple[ReadLetter, ...]
    text: str


@dataclass(frozen=True)
class Reading:
    """What was read in a video.

    Attributes
    ----------
    text
        The letters with the spaces between words.
    letters
        Each letter with its time and confidence.
    hand_found
        Part of the frames with a hand, 0..1.
    seconds
        Length of the video.
    """

    text: str
    letters: tuple[ReadLetter, ...]
    hand_found: float
    seconds: float


class TextReader:
    """Frames in, text out: what the live cell, the video reader and the evaluation use.

    Parameters
    ----------
    recognizer
        Reads one hand; by default the shipped landmark network.
    settings
        When a letter counts as shown.

    Examples
    --------
    >>> with TextReader() as reader:
    ...     reading = reader.read(np.zeros((120, 160, 3), np.uint8), 0.0)
    >>> reading.hand is None, reading.text
    (True, '')
    """

    def __init__(self, recognizer: ReadsLetters | None = None, settings: SpellerSettings | None = None) -> None:
        if recognizer is None:
            from asllib.recognizer import load_recognizer

            recognizer = load_recognizer()
        self.recognizer = recognizer
        self.text = ""
        self._speller = Speller(settings)
        self._places = [LETTERS.index(letter) for letter in recognizer.alphabet]
        self._tracker = HandTracker(video=True)
        self._last_time = -np.inf

    @property
    def settings(self) -> SpellerSettings:
        """When a letter counts as shown; may be replaced while reading."""
        return self._speller.settings

    @settings.setter
    def settings(self, settings: SpellerSettings) -> None:
        self._speller.settings = settings

    def read(self, frame: np.ndarray, time_s: float) -> FrameReading:
        """Read the next frame.

        Parameters
        ----------
        frame
            (H, W, 3) uint8 RGB.
        time_s
            Its time in seconds, later than the one before.

        Raises
        ------
        InputError
            If the frame is no such array, or the time is missing or not later.
        """
        check_time(time_s, self._last_time)
        hand = self._tracker.detect(frame, round(1000 * time_s))
        self._last_time = time_s
        return self.read_hand(hand, time_s, frame)

    def read_hand(self, hand: Hand | None, time_s: float, frame: np.ndarray) -> FrameReading:
        """Read the next frame, whose hand is known already."""
        probabilities = np.zeros(len(LETTERS), np.float32)
        if hand is None:
            letters = self._speller.update(None, time_s)
            letter, confidence = None, 0.0
        else:
            probabilities[self._places] = self.recognizer.probabilities(frame, [hand])
            best = int(probabilities.argmax())
            letter, confidence = LETTERS[best], float(probabilities[best])
            aspect = frame.shape[1] / frame.shape[0]
            letters = self._speller.update(probabilities, time_s, hand.landmarks, aspect)
        self.text += "".join(read.letter for read in letters)
        return FrameReading(hand, letter, confidence, probabilities, tuple(letters), self.text)

    def space(self) -> None:
        """Write a space, unless the text is empty or ends with one."""
        if self.text and not self.text.endswith(" "):
            self.text += " "

    def delete(self) -> None:
        """Take the last character back."""
        self.text = self.text[:-1]

    def clear(self) -> None:
        """Start anew with no text."""
        self.text = ""
        self._speller.reset()

    def close(self) -> None:
        """Free the tracker; closing twice does no harm."""
        self._tracker.close()

    def __enter__(self) -> TextReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_text(
    video: str | os.PathLike[str] | int | Iterable[tuple[float, np.ndarray]],
    recognizer: ReadsLetters | None = None,
    settings: SpellerSettings | None = None,
    *,
    fps: float | None = None,
    progress: bool = False,
) -> Reading:
    """Read a video.

    Parameters
    ----------
    video
        A file, a camera's number (read until it ends), or pairs of a time in seconds and a frame (H, W, 3) uint8 RGB.
    recognizer, settings
        See ``TextReader``.
    fps
        Frames a second of a file that does not say it.
    progress
        Show a bar with the time left.

    Raises
    ------
    InputError
        If the video cannot be read, see ``asllib.video.iter_frames``.
    """
    from tqdm.auto import tqdm

    known = isinstance(video, (str, os.PathLike, int))
    frames = iter_frames(video, fps) if known else video
    letters: list[ReadLetter] = []
    count = found = 0
    moment = 0.0
    with TextReader(recognizer, settings) as reader:
        total = count_frames(video) if known else None
        for moment, frame in tqdm(frames, total=total, desc="Reading", unit="frame", disable=not progress):
            reading = reader.read(frame, moment)
            letters += reading.letters
            count += 1
            found += reading.hand is not None
        return Reading(reader.text, tuple(letters), found / max(count, 1), moment)
