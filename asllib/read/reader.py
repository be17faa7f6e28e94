"""The one way from frames to text: hand, probabilities, letters, text."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np

from asllib.errors import InputError
from asllib.hands.landmarks import landmark_arrays, read_landmarks
from asllib.hands.look import Hand
from asllib.hands.tracker import HandTracker, Side, table_hands
from asllib.letters import LETTERS
from asllib.read.lexicon import Lexicon, check_names
from asllib.read.speller import ReadLetter, Speller, SpellerSettings, check_time
from asllib.read.video import count_frames, iter_frames

if TYPE_CHECKING:
    from asllib.networks.spelling import SpellingNet


class ReadsLetters(Protocol):
    """Anything that reads one hand: ``asllib.Recognizer`` is one."""

    @property
    def alphabet(self) -> Sequence[str]:
        """The letters and signs that it tells apart."""
        ...

    def probabilities(self, hands: list[Hand], aspect: float, image: np.ndarray | None = None) -> np.ndarray:
        """Probabilities (classes,) of the alphabet's letters, from looks at a hand in an image of an aspect ratio."""
        ...


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


@dataclass(frozen=True)
class Reading:
    """What was read in a video.

    Attributes
    ----------
    text
        The letters with the spaces between words.
    letters
        Each letter that was not taken back with its time and confidence, as it was read: correction changes none.
    words
        Each word with its time.
    hand_found
        Part of the frames with a hand, 0..1.
    seconds
        Length of the video.
    """

    text: str
    letters: tuple[ReadLetter, ...]
    words: tuple[ReadWord, ...]
    hand_found: float
    seconds: float


@dataclass
class _Word:
    """A word of the text, and what was read for it."""

    text: str = ""
    letters: list[ReadLetter] = field(default_factory=list)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks that read a hand are tiny: more threads only wait for each other, and reading takes twice as long."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class TextReader:
    """Frames in, text out: what the live cell, the video reader and the evaluation use.

    After the last frame of a film call ``finish``: what a frame shows is said a little later.

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
        recognizer: ReadsLetters | SpellingNet | None = None,
        settings: SpellerSettings | None = None,
        *,
        letters: Iterable[str] | None = None,
    ) -> None:
        from asllib.networks.spelling import SpellingNet

        self.recognizer = recognizer = load_network() if recognizer is None else recognizer
        self._words = [_Word()]  # the last is being spelled; empty after a space
        self._whole = True  # whether the evidence began with the word
        self.correcting = False  # whether a word is corrected when a space follows it
        self._settings = settings or usual_settings(recognizer)
        known = LETTERS if letters is None else tuple(letters)
        self._letters = (
            Moving(recognizer, self._settings, known)
            if isinstance(recognizer, SpellingNet)
            else Voting(recognizer, self._settings, known)
        )
        self._tracker = HandTracker(video=True)
        self._last_time = -np.inf
        self._letter_height = 0.0  # of the wrist at the last letter, 0 at the top
        self._letter_time: float | None = None  # of the last letter, while no space follows it
        self._lexicon: Lexicon | None = None

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
        self._letters.forget_word()
        self._whole = not self.word

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
        return self._settings

    @settings.setter
    def settings(self, settings: SpellerSettings) -> None:
        """Replace the settings; what is being held goes on."""
        self._settings = self._letters.speller.settings = settings

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
        probabilities, signs = self._letters.update(hand, time_s, aspect, frame)
        letters = tuple(sign for sign in signs if sign.letter not in ("space", "del"))
        for sign in signs:
            self._write(sign)
        if hand is not None and letters:
            self._letter_height = float(hand.landmarks[0, 1])
        if self._letter_time is not None:
            if self._letters.showing or self._is_up(hand):
                self._letter_time = time_s
            elif time_s - self._letter_time > self._settings.space_s:
                self._end_word()
        best = int(probabilities.argmax())
        letter = self._letters.names[best] if hand is not None and probabilities[best] > 0 else None
        confidence = float(probabilities[best]) if letter else 0.0
        return FrameReading(hand, letter, confidence, probabilities, letters, self.text)

    def finish(self) -> None:
        """After the last frame, read half a second without a hand: what the frames showed is said a little later."""
        last = self._last_time
        for step in range(1, 11 if np.isfinite(last) else 1):
            self.read_hand(None, last + 0.05 * step, 1.0)

    def _is_up(self, hand: Hand | None) -> bool:
        """Whether the hand is in view and no lower than when it showed the last letter: then the word goes on."""
        if hand is None:
            return False
        length = float(np.ptp(hand.landmarks[:, 1]))
        return float(hand.landmarks[0, 1]) - self._letter_height < LOWERED * length

    def _write(self, sign: ReadLetter) -> None:
        if sign.letter == "space":
            self._end_word()
        elif sign.letter == "del":
            self.delete()
        elif len(sign.letter) == 1:
            self._add(sign)
            self._letter_time = sign.end_s
        else:  # an added sign is a word of its own
            self._end_word()
            self._add(sign)
            self.space()

    def _add(self, sign: ReadLetter) -> None:
        self._words[-1].text += sign.letter
        self._words[-1].letters.append(sign)

    def _end_word(self) -> None:
        if self.correcting:
            self.correct()
        self.space()

    def evidence(self) -> np.ndarray | None:
        """What the network said of the word, (T, 27) logarithms, "neither" and A to Z; None if it saw only a part."""
        return self._letters.evidence() if self._whole else None

    def suggestions(self, count: int = 3) -> tuple[str, ...]:
        """Words that the one being spelled may become, the likeliest first; the lexicon is loaded on first use."""
        word = self.word
        if not word:
            return ()
        found = (self.lexicon.correct(word, self.evidence()), *self.lexicon.complete(word, count))
        return tuple(dict.fromkeys(other for other in found if other != word))[:count]

    def choose(self, word: str) -> None:
        """Put a suggested word in the place of the one being spelled, and a space after it."""
        self._replace(word)
        self.space()

    def correct(self) -> None:
        """Put the word of the lexicon that was most likely meant in the place of the one being spelled."""
        word = self.word
        if word:
            self._replace(self.lexicon.correct(word, self.evidence()))

    def _replace(self, word: str) -> None:
        self._words[-1].text = word

    @property
    def word(self) -> str:
        """The letters since the last space."""
        return self._words[-1].text

    @property
    def lexicon(self) -> Lexicon:
        """The words that suggestions come from; may be replaced."""
        self._lexicon = self._lexicon or Lexicon()
        return self._lexicon

    @lexicon.setter
    def lexicon(self, lexicon: Lexicon) -> None:
        """Replace the words."""
        self._lexicon = lexicon

    def space(self) -> None:
        """Write a space, unless the text is empty or ends with one."""
        self._letter_time = None
        self._letters.forget_word()
        self._whole = True
        if self.word:
            self._words.append(_Word())

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
        self._letters.reset()


class Voting:
    """Hands to letters by a recogniser of single frames and a vote of them; signs that were added are read too."""

    def __init__(self, recognizer: ReadsLetters, settings: SpellerSettings, letters: tuple[str, ...]) -> None:
        from asllib.read.recognizer import signs

        self.recognizer = recognizer
        self.names = signs(recognizer.alphabet)
        self.speller = Speller(settings, self.names)
        self.showing = False  # a letter is being held
        self._barred = [k for k, name in enumerate(self.names) if name in LETTERS and name not in letters]

    def update(
        self, hand: Hand | None, time_s: float, aspect: float, frame: np.ndarray | None
    ) -> tuple[np.ndarray, list[ReadLetter]]:
        """Take a frame's hand; return probabilities (names,) and the letters and signs that are complete."""
        from asllib.read.recognizer import spread

        if hand is None:
            self.showing = False
            return np.zeros(len(self.names), np.float32), self.speller.update(None, time_s)
        said = self.recognizer.probabilities([hand], aspect, frame)
        probabilities = spread(np.asarray(said)[None], self.recognizer.alphabet)[0]
        probabilities[self._barred] = 0.0
        probabilities /= max(float(probabilities.sum()), 1e-9)
        letters = self.speller.update(probabilities, time_s, hand.landmarks, aspect)
        self.showing = bool(probabilities.max() >= self.speller.settings.confidence)
        return probabilities, letters

    def evidence(self) -> None:
        """Nothing beside the letters is kept."""

    def forget_word(self) -> None:
        """Nothing is kept of a word."""

    def reset(self) -> None:
        """Forget the hand."""
        self.speller.reset()


class Moving:
    """Hands to letters by the spelling network, which sees them move."""

    def __init__(self, model: SpellingNet, settings: SpellerSettings, letters: tuple[str, ...]) -> None:
        from asllib.read.decoder import HandListener, PeakSpeller

        self.names, signs = LETTERS, model.config.signs
        self.listener = HandListener(model)
        self.speller = PeakSpeller(signs, settings)
        self.showing = False
        self._barred = [1 + i for i, sign in enumerate(signs) if len(sign) == 1 and sign not in letters]
        self._places = [1 + signs.index(letter) for letter in LETTERS]
        self._word: deque[np.ndarray] = deque(maxlen=_WORD_MOMENTS)
        self._cut = False  # a letter of the word is no longer among them
        self._now = np.zeros(len(LETTERS), np.float32)

    def update(
        self, hand: Hand | None, time_s: float, aspect: float, frame: np.ndarray | None
    ) -> tuple[np.ndarray, list[ReadLetter]]:
        """Take a frame's hand; return probabilities (26,) and the letters that are complete."""
        read = []
        for said in self.listener.hear(hand, time_s, aspect):
            said.probabilities[self._barred] = 0.0
            read += self.speller.update(said, time_s)
            self._cut |= len(self._word) == _WORD_MOMENTS and bool(self._word[0].argmax())
            self._word.append(said.probabilities[[0, *self._places]])
            self._now = said.probabilities[self._places]
            self.showing = bool(said.probabilities.argmax())
        return self._now, read

    def evidence(self) -> np.ndarray | None:
        """What was said of the moments of this word, (T, 27) logarithms."""
        if not self._word or self._cut:
            return None
        table = np.stack(self._word) + 1e-6
        return np.log(table / table.sum(1, keepdims=True)).astype(np.float32)

    def forget_word(self) -> None:
        """Begin a new word."""
        self._word.clear()
        self._cut = False

    def reset(self) -> None:
        """Forget the hand."""
        self.forget_word()
        self.listener.reset()
        self.speller.reset()
        self._now = np.zeros(len(LETTERS), np.float32)


@cache
def load_spelling():
    """The shipped network that reads letters as they are spelled, and its card."""
    from asllib.networks.store import fold, load_model

    model, card = load_model("spelling")
    return fold(model), card


def load_network(model: str | os.PathLike[str] = "spelling") -> ReadsLetters | SpellingNet:
    """Load what ``TextReader`` reads with: a shipped network, or the one of a run folder.

    Raises
    ------
    InputError
        If there is no such thing.
    """
    from asllib.networks.spelling import SpellingNet
    from asllib.networks.store import fold, load_model
    from asllib.read.recognizer import load_recognizer

    if model == "spelling":
        return load_spelling()[0]
    network, _ = load_model(os.fspath(model))
    if not isinstance(network, SpellingNet):
        return load_recognizer(os.fspath(model))
    fold(network)
    return network


def usual_settings(recognizer: ReadsLetters | SpellingNet) -> SpellerSettings:
    """When a letter counts as shown, unless somebody chooses otherwise."""
    from asllib.networks.spelling import SpellingNet

    return MOVING_SETTINGS if isinstance(recognizer, SpellingNet) else SpellerSettings()


# The spelling network weighs moments itself. Chosen on words of practice signers that are in no test.
MOVING_SETTINGS = SpellerSettings(confidence=0.5, hold_s=0.05, again_s=0.15)
LOWERED = 0.3  # of the hand's height that the wrist sinks when a hand is lowered
_WORD_MOMENTS = 1200  # of a word are kept, a minute's

Video = str | os.PathLike[str] | int | Iterable[tuple[float, np.ndarray]]


def read_text(
    video: Video,
    recognizer: ReadsLetters | SpellingNet | None = None,
    settings: SpellerSettings | None = None,
    *,
    fps: float | None = None,
    correct: bool = False,
    names: Iterable[str] = (),
    progress: bool = False,
    on_frame: Callable[[float, np.ndarray | None, FrameReading], None] | None = None,
) -> Reading:
    """Read a video, or a table of landmarks.

    Parameters
    ----------
    video
        A file, a camera's number (read until Ctrl+C or until it is unplugged), or pairs of a time in seconds and a
        frame (H, W, 3) uint8 RGB; or a landmark table (.csv, .csv.gz, .parquet; see
        ``asllib.hands.read_landmarks``) of frames in order, with a column ``time_s`` or a frame rate.
    recognizer, settings
        See ``TextReader``.
    fps
        Frames a second of a file that does not say it.
    correct
        Put the words of the lexicon in the place of what was read, where they are likelier.
    names
        Words that are not to be corrected.
    progress
        Show a bar with the time left.
    on_frame
        Called with the time, the frame (None for landmarks) and what was read in it.

    Raises
    ------
    InputError
        If the video or table cannot be read, has no times, or a recogniser of pictures is given landmarks alone.
    """
    from tqdm.auto import tqdm

    names = check_names(names)
    hands = _is_table(video)
    if hands and getattr(recognizer, "kind", "") == "pixel":
        raise InputError(f"{video}: landmarks have no picture for a pixel network; use spelling, default or landmark")
    frames: Iterable[tuple[float, Any]]  # of a table a hand and the aspect in the place of a frame
    total = None
    if _is_table(video):
        frames = read_hands(video, fps)
    elif isinstance(video, (str, os.PathLike, int)):
        frames, total = iter_frames(video, fps), count_frames(video)
    else:
        frames = video
    count = found = 0
    moment = 0.0
    reader = TextReader(recognizer, settings)
    if correct:
        reader.correcting, reader.lexicon = True, Lexicon(names=names)
    try:
        for moment, frame in tqdm(frames, total=total, desc="Reading", unit="frame", delay=1, disable=not progress):
            reading = reader.read_hand(frame[0], moment, frame[1]) if hands else reader.read(frame, moment)
            count += 1
            found += reading.hand is not None
            if on_frame is not None:
                on_frame(moment, None if hands else frame, reading)
    except KeyboardInterrupt:
        if not isinstance(video, int):  # a camera has no end but this: what it showed is kept
            raise
    reader.finish()
    if correct:
        reader.correct()
    return Reading(reader.text.strip(), reader.letters, reader.words, found / max(count, 1), moment)


def _is_table(video: object) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(video, (str, os.PathLike)) and os.fspath(video).endswith((".csv", ".csv.gz", ".parquet"))


def read_hands(
    path: str | os.PathLike[str], fps: float | None = None
) -> Iterator[tuple[float, tuple[Hand | None, float]]]:
    """Go through a landmark table as through a video: times in seconds, and each frame's hand and aspect ratio.

    Raises
    ------
    InputError
        If the table cannot be read, or has neither a column ``time_s`` of increasing numbers nor a frame rate.
    """
    table = read_landmarks(path)
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise InputError(f"fps={fps}: a video has more than 0 frames a second")
    if fps is not None:
        times = np.arange(len(table)) / fps
    elif "time_s" in table:
        times = _numbers(table["time_s"])
    else:
        raise InputError(f"{path}: no column time_s; give the frame rate with fps (--fps)")
    bad = ~np.isfinite(times) | (np.diff(times, prepend=-np.inf) <= 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        if fps is not None:
            raise InputError(f"{path}: with {fps} frames a second row {row + 1} has no later time than the one before")
        raise InputError(
            f"{path}: time_s is {table['time_s'].iloc[row]} in row {row + 1}: times are numbers that increase"
        )
    aspects, side = landmark_arrays(table)["aspect"], Side()
    for moment, hand, aspect in zip(times.tolist(), table_hands(table), aspects.tolist(), strict=True):
        if hand is not None:  # a table's sides are a frame's each, the hand's side is that of all frames so far
            hand = side.of(hand, moment)
        yield moment, (hand, aspect)


def _numbers(column) -> np.ndarray:
    """A table's column as numbers, NaN where there is none."""
    import pandas as pd

    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
