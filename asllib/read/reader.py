"""The one way from frames to text: hand, probabilities, letters, words."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
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
from asllib.read.decoder import (
    WRITE,
    FrameListener,
    HandListener,
    MendedLetter,
    PeakSpeller,
    ReadLetter,
    SpellerSettings,
)
from asllib.read.lexicon import Lexicon
from asllib.read.recognizer import Recognizer

LOWERED = 0.3  # of the hand's height that the wrist sinks when a hand is lowered
TAIL_S = 0.5  # seconds without a hand that are read after the last frame
_WORD_MOMENTS = 1200  # of a word are kept, a minute's


@dataclass(frozen=True)
class FrameReading:
    """What was read in one frame."""

    hand: Hand | None
    letter: str | None  # the likeliest letter or added sign of this frame; None without a hand
    confidence: float  # its probability; 0 without one
    probabilities: np.ndarray  # (26,) float32, A to Z; then signs that were added to the recogniser
    letters: tuple[ReadLetter, ...]  # that this frame completed, added signs too; mostly none
    text: str  # all that was read so far


@dataclass(frozen=True)
class ReadWord:
    """A word, or an added sign, and when its first and last letter were seen, in seconds of the video."""

    word: str  # as it is in the text: correction may have changed it
    start_s: float
    end_s: float


@dataclass
class _Word:
    """A word of the text, and what was read for it."""

    text: str = ""
    letters: list[ReadLetter] = field(default_factory=list)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks that read a hand are tiny: more threads only wait for each other, and reading takes twice as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class TextReader:
    """Frames in, text out: what the live cell, the video reader and the evaluation use.

    The shipped network ``spelling`` reads the hand as it moves, all 26 letters. Another ``recognizer`` may take its
    place, see ``load_network``; one of single frames reads no J and Z. ``letters`` are those that may be read, by
    default all that are known; ``settings`` may be replaced while reading. After the last frame of a film call
    ``finish``: a frame's letter comes a little later.

    Examples
    --------
    >>> reading = TextReader().read(np.zeros((120, 160, 3), np.uint8), 0.0)
    >>> reading.hand is None, reading.text
    (True, '')
    """

    def __init__(
        self,
        recognizer: Recognizer | SpellingNet | None = None,
        settings: SpellerSettings | None = None,
        *,
        letters: Iterable[str] | None = None,
    ) -> None:
        network = _shipped() if recognizer is None else recognizer
        self.correcting = False  # whether a word is corrected when a space follows it
        self._tracker = HandTracker(video=True)
        self._last_time = -np.inf
        self._listener = HandListener(network) if isinstance(network, SpellingNet) else FrameListener(network)
        outputs = ("neither", *self._listener.signs)
        self._speller = PeakSpeller(self._listener.signs, settings or SpellerSettings())
        self._names = (*LETTERS, *(name for name in outputs[1:] if name not in (*LETTERS, *WRITE)))
        self._places = [outputs.index(name) for name in ("neither", *self._names)]
        known = LETTERS if letters is None else tuple(letters)
        self._barred = [place for place, name in enumerate(outputs) if name in LETTERS and name not in known]
        self._now = np.zeros(1 + len(self._names), np.float32)  # what is said of this frame, "neither" first
        self._showing = False  # a letter is being held
        self._letter_height = 0.0  # of the wrist at the last letter, 0 at the top
        self._letter_time: float | None = None  # of the last letter, while no space follows it
        self._words = [_Word()]  # the last is being spelled; empty after a space
        self._moments: deque[np.ndarray] = deque(maxlen=_WORD_MOMENTS)  # what the network said of that word, (27,) each
        self._whole = True  # whether all that was said of the word is among them

    @property
    def text(self) -> str:
        """All that was read so far; may be replaced: when and how its words were spelled is then not known."""
        return " ".join(word.text for word in self._words)

    @text.setter
    def text(self, text: str) -> None:
        self._words = [_Word(word) for word in text.split(" ")]
        self._forget_word()

    def _forget_word(self) -> None:
        """What was seen so far is no evidence of the word that the text ends with."""
        self._moments.clear()
        self._whole = not self.word

    @property
    def word(self) -> str:
        """The letters since the last space."""
        return self._words[-1].text

    @property
    def letters(self) -> tuple[ReadLetter, ...]:
        """All letters and added signs that were read and not taken back."""
        return tuple(letter for word in self._words for letter in word.letters)

    @property
    def words(self) -> tuple[ReadWord, ...]:
        """The words that were read, with their times."""
        read = [word for word in self._words if word.letters]
        return tuple(ReadWord(word.text, word.letters[0].start_s, word.letters[-1].end_s) for word in read)

    @property
    def settings(self) -> SpellerSettings:
        """When a letter counts as shown; if they are replaced, what is being held goes on."""
        return self._speller.settings

    @settings.setter
    def settings(self, settings: SpellerSettings) -> None:
        self._speller.settings = settings

    @cached_property
    def lexicon(self) -> Lexicon:
        """The words that suggestions come from, loaded on first use; may be replaced."""
        return Lexicon()

    def read(self, frame: np.ndarray, time_s: float) -> FrameReading:
        """Read the next frame, (H, W, 3) uint8 RGB, and its time in seconds, later than the one before.

        InputError if the frame is no such array, or the time is missing or not later.
        """
        _check_time(time_s, self._last_time)
        hand = self._tracker.detect(frame, 1000 * time_s)
        return self.read_hand(hand, time_s, frame.shape[1] / frame.shape[0], frame)

    @_one_thread()
    def read_hand(
        self, hand: Hand | None, time_s: float, aspect: float, frame: np.ndarray | None = None
    ) -> FrameReading:
        """Read the next frame by its hand, or None.

        ``aspect`` is the frame's width / height; the frame itself only the pixel network needs.
        """
        _check_time(time_s, self._last_time)
        self._last_time = time_s
        letters = []
        for said in self._listener.hear(hand, time_s, aspect, frame):
            said.probabilities[self._barred] = 0.0
            for sign in self._speller.update(said, time_s):
                letters += [sign] if sign.letter not in WRITE else []
                self._write(sign)
            if len(self._moments) == _WORD_MOMENTS and self._moments[0].argmax():
                self._whole = False  # a letter's moment goes
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

    def finish(self) -> tuple[ReadLetter, ...]:
        """After the last frame, read half a second without a hand: the last letters come a little later.

        Returns the letters and added signs that this completed.
        """
        last, steps = self._last_time, 10 if np.isfinite(self._last_time) else 0
        tail = [self.read_hand(None, last + TAIL_S / steps * step, 1.0) for step in range(1, steps + 1)]
        return tuple(letter for reading in tail for letter in reading.letters)

    def _is_up(self, hand: Hand | None) -> bool:
        """Whether the hand is in view and no lower than when it showed the last letter: then the word goes on."""
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
        if isinstance(sign, MendedLetter) and self._words[-1].letters:
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
        """Log-probabilities (T, 27) of the word, "neither" and A to Z.

        None if the network saw only a part of it, or sees single frames: of these one is no evidence beside the next.
        """
        if not (self._listener.in_time and self._whole and self._moments):
            return None
        table = np.stack(self._moments) + 1e-6
        return np.log(table / table.sum(1, keepdims=True)).astype(np.float32)

    def suggestions(self, count: int = 3) -> tuple[str, ...]:
        """Words that the one being spelled may become, the likeliest first."""
        word = self.word
        if not word:
            return ()
        found = (self.lexicon.correct(word, self.evidence()), *self.lexicon.complete(word, count))
        return tuple(dict.fromkeys(other for other in found if other != word))[:count]

    def choose(self, word: str) -> None:
        """Replace the word being spelled by a suggested one, with a space after it."""
        self._words[-1].text = word
        self.space()

    def correct(self) -> None:
        """Replace the word being spelled by the lexicon's likeliest."""
        if self.word:
            self._words[-1].text = self.lexicon.correct(self.word, self.evidence())

    def space(self) -> None:
        """Write a space, unless the text is empty or ends with one."""
        self._letter_time = None
        if self.word:
            self._words.append(_Word())
        self._forget_word()

    def delete(self) -> None:
        """Take the last character back, and the letter that it was read from."""
        last = self._words[-1]
        if last.text:
            last.text = last.text[:-1]
            if not last.text:
                last.letters.clear()
            elif len(last.letters) > 1:  # an added sign is one for all of its characters
                last.letters.pop()
        elif len(self._words) > 1:
            self._words.pop()
        self._forget_word()

    def clear(self) -> None:
        """Start anew with no text."""
        self.text, self._letter_time = "", None
        self._speller.reset()
        self._listener.reset()
        self._now = np.zeros(1 + len(self._names), np.float32)


@cache
def _shipped() -> Recognizer | SpellingNet:
    """The shipped network ``spelling``, loaded once: films in a row need a reader each."""
    return load_network()


def load_network(model: str | PathLike[str] = "spelling") -> Recognizer | SpellingNet:
    """Load what ``TextReader`` reads with: a shipped network, or the one of a run folder.

    InputError if there is no such thing.
    """
    network, card = load_model(fspath(model))
    fold(network)
    return network if isinstance(network, SpellingNet) else Recognizer(network, card)


def _check_time(time_s: float, last: float) -> None:
    """Refuse a time that is no number or not later than the one before."""
    if not (isinstance(time_s, (int, float, np.number)) and math.isfinite(time_s)):
        raise InputError(f"time {time_s!r}: each frame needs its time in seconds")
    if time_s <= last:
        raise InputError(f"time {time_s:g} s after {last:g} s: frames come in order, each later than the one before")
