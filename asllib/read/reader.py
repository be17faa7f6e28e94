"""The one way from frames to text: hand, probabilities, letters, words."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import torch

from asllib.hands.look import Hand
from asllib.hands.tracker import HandTracker
from asllib.letters import LETTERS
from asllib.networks.spelling import SpellingNet
from asllib.networks.store import fold, load_model
from asllib.read.decoder import HandListener, PeakSpeller
from asllib.read.lexicon import Lexicon
from asllib.read.recognizer import Recognizer, signs, spread
from asllib.read.speller import MendedLetter, ReadLetter, Speller, SpellerSettings, check_time

# The spelling network weighs moments itself. Chosen on words of practice signers, who are in no test, and on the
# validation signers of `people`: at two letters a second a letter has two moments at least.
MOVING_SETTINGS = SpellerSettings(confidence=0.5, hold_s=0.1, again_s=0.15)
LOWERED = 0.3  # of the hand's height that the wrist sinks when a hand is lowered
TAIL_S = 0.5  # seconds without a hand that are read after the last frame
_WORD_MOMENTS = 1200  # of a word are kept, a minute's


@dataclass(frozen=True)
class FrameReading:
    """What was read in one frame.

    Attributes
    ----------
    hand
        The hand, or None.
    letter, confidence
        The likeliest letter or added sign of this frame and its probability; None and 0 without a hand.
    probabilities
        (26,) float32, A to Z; then signs that were added to the recogniser.
    letters
        The letters and added signs that this frame completed, mostly none.
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
class ReadWord:
    """A word, or an added sign, and when it was seen.

    Attributes
    ----------
    word
        As it is in the text: correction may have changed it.
    start_s, end_s
        Of its first and its last letter, seconds of the video.
    """

    word: str
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

    After the last frame of a film call ``finish``: a frame's letter comes a little later.

    Parameters
    ----------
    recognizer
        None: the shipped network ``spelling`` reads the hand as it moves, all 26 letters. Else another such network,
        see ``load_network``; or a recogniser of single frames, whose answers are put to a vote: J and Z are then not
        read.
    settings
        When a letter counts as shown.
    letters
        The letters that may be read, by default all that are known.

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
        self.recognizer = recognizer = load_network() if recognizer is None else recognizer
        self.correcting = False  # whether a word is corrected when a space follows it
        self._tracker = HandTracker(video=True)
        self._last_time = -np.inf
        self._speller: Speller | PeakSpeller
        if isinstance(recognizer, SpellingNet):
            self._names, outputs = LETTERS, ("neither", *recognizer.config.signs)
            self._listener = HandListener(recognizer)
            self._speller = PeakSpeller(recognizer.config.signs, settings or MOVING_SETTINGS)
            self._places = [0, *map(outputs.index, LETTERS)]
        else:
            self._names = outputs = signs(recognizer.alphabet)
            self._speller = Speller(settings, outputs)
        known = LETTERS if letters is None else tuple(letters)
        self._barred = [place for place, name in enumerate(outputs) if name in LETTERS and name not in known]
        self._now = np.zeros(len(self._names), np.float32)  # what is said of this frame
        self._showing = False  # a letter is being held
        self._letter_height = 0.0  # of the wrist at the last letter, 0 at the top
        self._letter_time: float | None = None  # of the last letter, while no space follows it
        self._words = [_Word()]  # the last is being spelled; empty after a space
        self._moments: deque[np.ndarray] = deque(maxlen=_WORD_MOMENTS)  # what the network said of that word, (27,) each
        self._whole = True  # whether all that was said of the word is among them

    @property
    def text(self) -> str:
        """All that was read so far; may be replaced while reading."""
        return " ".join(word.text for word in self._words)

    @text.setter
    def text(self, text: str) -> None:
        """Replace the text; when and how its words were spelled is not known."""
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
        return tuple(
            ReadWord(word.text, word.letters[0].start_s, word.letters[-1].end_s) for word in self._words if word.letters
        )

    @property
    def settings(self) -> SpellerSettings:
        """When a letter counts as shown; may be replaced while reading."""
        return self._speller.settings

    @settings.setter
    def settings(self, settings: SpellerSettings) -> None:
        """Replace the settings; what is being held goes on."""
        self._speller.settings = settings

    @cached_property
    def lexicon(self) -> Lexicon:
        """The words that suggestions come from, loaded on first use; may be replaced."""
        return Lexicon()

    def read(self, frame: np.ndarray, time_s: float) -> FrameReading:
        """Read the next frame.

        Parameters
        ----------
        frame
            (H, W, 3) uint8 RGB.
        time_s
            Its time in seconds, later than the one before.

        InputError if the frame is no such array, or the time is missing or not later.
        """
        check_time(time_s, self._last_time)
        hand = self._tracker.detect(frame, 1000 * time_s)
        return self.read_hand(hand, time_s, frame.shape[1] / frame.shape[0], frame)

    @_one_thread()
    def read_hand(
        self, hand: Hand | None, time_s: float, aspect: float, frame: np.ndarray | None = None
    ) -> FrameReading:
        """Read the next frame by its hand, or None.

        ``aspect`` is the frame's width / height; the frame itself only the pixel network needs.
        """
        check_time(time_s, self._last_time)
        self._last_time = time_s
        if isinstance(self._speller, Speller):
            shown = self._vote(self._speller, hand, time_s, aspect, frame)
        else:
            shown = self._listen(self._speller, hand, time_s, aspect)
        letters = tuple(sign for sign in shown if sign.letter not in ("space", "del"))
        for sign in shown:
            self._write(sign)
        if hand is not None and letters:
            self._letter_height = float(hand.landmarks[0, 1])
        if self._letter_time is not None:
            if self._showing or self._is_up(hand):
                self._letter_time = time_s
            elif time_s - self._letter_time > self.settings.space_s:
                self._end_word()
        best = int(self._now.argmax())
        letter = self._names[best] if hand is not None and self._now[best] > 0 else None
        confidence = float(self._now[best]) if letter else 0.0
        return FrameReading(hand, letter, confidence, self._now, letters, self.text)

    def finish(self) -> tuple[ReadLetter, ...]:
        """After the last frame, read half a second without a hand: the last letters come a little later.

        Returns the letters and added signs that this completed.
        """
        last, steps = self._last_time, 10 if np.isfinite(self._last_time) else 0
        tail = [self.read_hand(None, last + TAIL_S / steps * step, 1.0) for step in range(1, steps + 1)]
        return tuple(letter for reading in tail for letter in reading.letters)

    def _vote(
        self, speller: Speller, hand: Hand | None, time_s: float, aspect: float, frame: np.ndarray | None
    ) -> list[ReadLetter]:
        """Read by a recogniser of single frames; signs that were added are read too."""
        assert not isinstance(self.recognizer, SpellingNet)
        if hand is None:
            self._now, self._showing = np.zeros(len(self._names), np.float32), False
            return speller.update(None, time_s)
        probabilities = self.recognizer.probabilities([hand], aspect, frame)
        now = spread(np.asarray(probabilities)[None], self.recognizer.alphabet)[0]
        now[self._barred] = 0.0
        self._now = now / max(float(now.sum()), 1e-9)
        self._showing = bool(self._now.max() >= self.settings.confidence)
        return speller.update(self._now, time_s, hand.landmarks, aspect)

    def _listen(self, speller: PeakSpeller, hand: Hand | None, time_s: float, aspect: float) -> list[ReadLetter]:
        """Read by the network that sees the hand move."""
        shown = []
        for said in self._listener.hear(hand, time_s, aspect):
            said.probabilities[self._barred] = 0.0
            shown += speller.update(said, time_s)
            if len(self._moments) == _WORD_MOMENTS and self._moments[0].argmax():
                self._whole = False  # a letter's moment goes
            self._moments.append(said.probabilities[self._places])
            self._now = self._moments[-1][1:]
            self._showing = bool(said.probabilities.argmax())
        return shown

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
        """Log-probabilities (T, 27) of the word, "neither" and A to Z; None if the network saw only a part of it."""
        if not (self._whole and self._moments):
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
        if isinstance(self.recognizer, SpellingNet):
            self._listener.reset()
            self._now = np.zeros(len(LETTERS), np.float32)


@cache
def _shipped() -> SpellingNet:
    model, _ = load_model("spelling")
    assert isinstance(model, SpellingNet)
    fold(model)
    return model


def load_network(model: str | os.PathLike[str] = "spelling") -> Recognizer | SpellingNet:
    """Load what ``TextReader`` reads with: a shipped network, or the one of a run folder.

    InputError if there is no such thing.
    """
    if model == "spelling":
        return _shipped()
    network, card = load_model(os.fspath(model))
    fold(network)
    return network if isinstance(network, SpellingNet) else Recognizer(network, card)


def usual_settings(recognizer: Recognizer | SpellingNet) -> SpellerSettings:
    """When a letter counts as shown, unless somebody chooses otherwise."""
    return MOVING_SETTINGS if isinstance(recognizer, SpellingNet) else SpellerSettings()
