"""The path from frames to text: hand, probabilities, letters, words."""

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from os import PathLike, fspath

import numpy as np
import torch

from asllib.errors import InputError
from asllib.hands.look import Hand
from asllib.hands.tracker import HandTracker
from asllib.letters import LETTERS
from asllib.networks.spelling import NEITHER, SpellingNet
from asllib.networks.store import fold, load_model
from asllib.read.decoder import WRITE, FrameListener, HandListener, PeakSpeller, ReadLetter, SpellerSettings
from asllib.read.lexicon import Lexicon
from asllib.read.recognizer import Recognizer

LOWERED = 0.3  # fraction of the hand's height by which the wrist of a lowered hand sinks
TAIL_S = 0.5  # seconds without a hand that the reader adds after the last frame
_WORD_MOMENTS = 1200  # at most so many moments of a word are kept, one minute


@dataclass(frozen=True)
class FrameReading:
    """The reading of one frame."""

    hand: Hand | None
    letter: str | None  # the likeliest letter or added sign of this frame; None without a hand
    confidence: float  # probability of the letter; 0 without one
    probabilities: np.ndarray  # (26 + signs,) float32, A to Z, then added signs
    letters: tuple[ReadLetter, ...]  # letters and added signs that this frame completes; mostly none
    text: str  # all text so far


@dataclass(frozen=True)
class ReadWord:
    """A word, or an added sign, with the times of its first and last letter in seconds of the video."""

    word: str  # as in the text, after correction
    start_s: float
    end_s: float


@dataclass
class _Word:
    """A word of the text, and the letters that were read for it."""

    text: str = ""
    letters: list[ReadLetter] = field(default_factory=list)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: the networks are so small that more threads would double the time of reading."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class TextReader:
    """Frames in, text out: the live cell, the video reader and the evaluation use this class.

    The shipped network ``spelling`` reads all 26 letters of the moving hand. Another ``recognizer`` may replace it, see
    ``load_network``; a network of single frames reads no J and Z. ``settings`` may be replaced while reading. After
    the last frame of a film call ``finish``: a letter comes a little after its frame.
    """

    def __init__(
        self, recognizer: Recognizer | SpellingNet | None = None, settings: SpellerSettings | None = None
    ) -> None:
        network = _shipped() if recognizer is None else recognizer
        self.correcting = False  # whether a space corrects the word before it
        self._last_time = -np.inf
        self._listener = HandListener(network) if isinstance(network, SpellingNet) else FrameListener(network)
        self._tracker = HandTracker(video=True, rate=getattr(self._listener, "rate", None))
        outputs = ("neither", *self._listener.signs)
        self.settings = settings or SpellerSettings()
        self._speller = PeakSpeller(self._listener.signs, self.settings)
        self._names = (*LETTERS, *(name for name in outputs[1:] if name not in (*LETTERS, *WRITE)))
        self._places = [outputs.index(name) for name in ("neither", *self._names)]
        self._now = np.zeros(1 + len(self._names), np.float32)  # probabilities of this frame, "neither" first
        self._showing = False  # a letter is being held
        self._letter_height = 0.0  # height of the wrist at the last letter, 0 at the top
        self._letter_time: float | None = None  # time of the last letter, until a space follows it
        self._words = [_Word()]  # the last one is being spelled; empty after a space
        self._moments: deque[np.ndarray] = deque(maxlen=_WORD_MOMENTS)  # probabilities of that word, (27,) each
        self._whole = True  # whether these are all moments of the word

    @property
    def text(self) -> str:
        """The text so far; may be replaced, but then the times and letters of its words are unknown."""
        return " ".join(word.text for word in self._words)

    @text.setter
    def text(self, text: str) -> None:
        self._words = [_Word(word) for word in text.split(" ")]
        self._forget_word()

    def _forget_word(self) -> None:
        """Forget the moments so far: they do not belong to the last word of the text."""
        self._moments.clear()
        self._whole = not self.word

    @property
    def word(self) -> str:
        """The letters since the last space."""
        return self._words[-1].text

    @property
    def letters(self) -> tuple[ReadLetter, ...]:
        """All letters and added signs that were read and not deleted."""
        return tuple(letter for word in self._words for letter in word.letters)

    @property
    def words(self) -> tuple[ReadWord, ...]:
        """The words of the text, with their times."""
        read = [word for word in self._words if word.letters]
        return tuple(ReadWord(word.text, word.letters[0].start_s, word.letters[-1].end_s) for word in read)

    @cached_property
    def lexicon(self) -> Lexicon:
        """The source of suggested words, loaded on first use; may be replaced."""
        return Lexicon()

    def read(self, frame: np.ndarray, time_s: float) -> FrameReading:
        """Read the next frame, (H, W, 3) uint8 RGB, at a time in seconds after the last; InputError if one is wrong."""
        _check_time(time_s, self._last_time)
        hand = self._tracker.detect(frame, 1000 * time_s)
        return self.read_hand(hand, time_s, frame.shape[1] / frame.shape[0], frame)

    @_one_thread()
    def read_hand(
        self, hand: Hand | None, time_s: float, aspect: float, frame: np.ndarray | None = None
    ) -> FrameReading:
        """Read the next frame by its hand, if any, and its width / height; only the pixel network needs the frame."""
        _check_time(time_s, self._last_time)
        self._last_time, self._speller.settings = time_s, self.settings
        letters = []
        for said in self._listener.hear(hand, time_s, aspect, frame):
            for sign in self._speller.update(said, time_s):
                letters += [sign] if sign.letter not in WRITE else []
                self._write(sign)
            if len(self._moments) == _WORD_MOMENTS and self._moments[0].argmax():
                self._whole = False  # a moment of the word is dropped
            self._now = said.probabilities[self._places]
            self._moments.append(self._now[: 1 + len(LETTERS)])
            self._showing = said.probabilities.argmax() != NEITHER
        if hand is not None and letters:
            self._letter_height = float(hand.landmarks[0, 1])
        if self._letter_time is not None:
            if self._showing or self._is_up(hand):
                self._letter_time = time_s
            elif time_s - self._letter_time > self.settings.space_s:
                self._end_word()
        now = self._now[1:]
        best = int(now.argmax())
        confidence = 0.0 if hand is None else float(now[best])
        letter = self._names[best] if confidence > 0 else None
        return FrameReading(hand, letter, confidence, now, tuple(letters), self.text)

    def finish(self) -> None:
        """After the last frame, read half a second without a hand, to complete the last letters."""
        last = self._last_time
        if np.isfinite(last):
            for step in range(1, 11):
                self.read_hand(None, last + TAIL_S / 10 * step, 1.0)

    def _is_up(self, hand: Hand | None) -> bool:
        """Whether the hand is in view and not lowered since the last letter: then the word continues."""
        if hand is None:
            return False
        length = float(np.ptp(hand.landmarks[:, 1]))
        return float(hand.landmarks[0, 1]) - self._letter_height < LOWERED * length

    def _write(self, sign: ReadLetter) -> None:
        if sign.letter == "space":
            self._end_word()
            return
        if sign.letter == "del":
            self.delete()
            return
        if sign.mends and self._words[-1].letters:
            self._words[-1].text = self._words[-1].text[:-1]
            self._words[-1].letters.pop()
        added = len(sign.letter) > 1  # an added sign is a word of its own
        if added:
            self._end_word()
        self._words[-1].text += sign.letter
        self._words[-1].letters.append(sign)
        self._letter_time = sign.end_s
        if added:
            self.space()

    def _end_word(self) -> None:
        if self.correcting:
            self.correct()
        self.space()

    def evidence(self) -> np.ndarray | None:
        """Log-probabilities (T, 27) of the word; None if a part was not seen, or if they are of single frames."""
        if not (self._listener.in_time and self._whole and self._moments):
            return None
        table = np.stack(self._moments) + 1e-6
        return np.log(table / table.sum(1, keepdims=True)).astype(np.float32)

    def suggestions(self, count: int = 3) -> tuple[str, ...]:
        """Suggestions for the word that is being spelled, the likeliest first."""
        word = self.word
        if not word:
            return ()
        found = (self.lexicon.correct(word, self.evidence()), *self.lexicon.complete(word, count))
        return tuple(dict.fromkeys(other for other in found if other != word))[:count]

    def choose(self, word: str) -> None:
        """Replace the word that is being spelled by a suggestion, and add a space."""
        self._words[-1].text = word
        self.space()

    def correct(self) -> None:
        """Replace the word that is being spelled by the likeliest word of the lexicon."""
        if self.word:
            self._words[-1].text = self.lexicon.correct(self.word, self.evidence())

    def space(self) -> None:
        """Write a space, unless the text is empty or ends with one."""
        self._letter_time = None
        if self.word:
            self._words.append(_Word())
        self._forget_word()

    def delete(self) -> None:
        """Delete the last character, and its letter."""
        last = self._words[-1]
        if last.text:
            last.text = last.text[:-1]
            if not last.text:
                last.letters.clear()
            elif len(last.letters) > 1:  # an added sign is one letter for all its characters
                last.letters.pop()
        elif len(self._words) > 1:
            self._words.pop()
        self._forget_word()

    def clear(self) -> None:
        """Delete all text."""
        self.text, self._letter_time = "", None
        self._speller.reset()
        self._listener.reset()
        self._now = np.zeros(1 + len(self._names), np.float32)


def load_network(model: str | PathLike[str] = "spelling") -> Recognizer | SpellingNet:
    """Load a shipped network, or that of a run folder, for ``TextReader``; InputError if there is none."""
    network, card = load_model(fspath(model))
    fold(network)
    return network if isinstance(network, SpellingNet) else Recognizer(network, card)


_shipped = cache(load_network)  # loads once, since each film needs its own reader


def _check_time(time_s: float, last: float) -> None:
    """Raise InputError for a time that is no number, or not later than the last one."""
    if not (isinstance(time_s, (int, float, np.number)) and math.isfinite(time_s)):
        raise InputError(f"time {time_s!r}: each frame needs its time in seconds")
    if time_s <= last:
        raise InputError(f"time {time_s:g} s after {last:g} s: frames come in order, each later than the one before")
