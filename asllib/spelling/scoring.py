"""How well text comes out: character errors, delays and false letters on films whose truth is known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein

from asllib.errors import InputError
from asllib.models.motion_net import MotionNet
from asllib.paths import data_dir
from asllib.spelling.decoder import HandListener, PeakSpeller
from asllib.spelling.lexicon import Lexicon, draw_words
from asllib.spelling.reading import ReadsLetters, TextReader
from asllib.spelling.speller import ReadLetter, SpellerSettings
from asllib.spelling.streams import Plan, Stream

TEST_SEED = 9001  # signers that are in no training and no choice
TAIL_S = 0.5


@dataclass(frozen=True)
class Spelled:
    """A film that was read.

    Attributes
    ----------
    word, read
        What is spelled, and the letters that were read.
    letters
        The same with their times.
    corrected
        After the lexicon.
    delays
        Seconds from the middle of a hold to its letter, for each letter that was read right.
    seconds
        Length of the film.
    """

    word: str
    read: str
    letters: tuple[ReadLetter, ...]
    corrected: str
    delays: tuple[float, ...]
    seconds: float


def test_plans(count: int, letters_per_second: float, fps: float = 15.0, words_seed: int = 2026) -> list[Plan]:
    """Films of words drawn by their frequency, every one by another signer."""
    words = draw_words(max(count, 200), words_seed)[:count]  # fewer are the first of the same
    return [Plan(word, number, TEST_SEED, fps, letters_per_second) for number, word in enumerate(words)]


def read_stream(
    stream: Stream,
    settings: SpellerSettings | None = None,
    lexicon: Lexicon | None = None,
    recognizer: ReadsLetters | None = None,
) -> Spelled:
    """Read a film's hands as a live video's: the same reader, frame by frame."""
    letters: list[ReadLetter] = []
    with TextReader(recognizer, settings) as reader:
        reader.settings = replace(reader.settings, space_s=60.0)  # a film is one word, to its end
        for hand, time in zip(stream.hands(), stream.times, strict=True):
            letters += reader.read_hand(hand, float(time), stream.aspect).letters
        end = float(stream.times[-1])
        for step in range(1, 11):
            letters += reader.read_hand(None, end + TAIL_S * step / 10, stream.aspect).letters
        read = "".join(letter.letter for letter in letters)
        corrected = read if lexicon is None or not read else lexicon.correct(read, reader.evidence())
    return Spelled(stream.word, read, tuple(letters), corrected, tuple(delays(stream, letters)), end)


def delays(stream: Stream, letters: Sequence[ReadLetter]) -> list[float]:
    """Seconds from the middle of each hold to the moment at which its letter was written, for right letters."""
    read = "".join(letter.letter for letter in letters)
    found = []
    for block in Levenshtein.opcodes(read, stream.word):
        if block.tag == "equal":
            for place, position in zip(
                range(block.src_start, block.src_end), range(block.dest_start, block.dest_end), strict=True
            ):
                held = stream.times[stream.positions == position]
                found.append(letters[place].end_s - (held[0] + held[-1]) / 2)
    return found


def character_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Wrong, missing and added letters of pairs (read, meant), per letter that was meant."""
    pairs = list(pairs)
    return sum(Levenshtein.distance(read, meant) for read, meant in pairs) / max(1, sum(len(m) for _, m in pairs))


def errors_by_letter(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    """For each letter, how often it was misread or missed, and how often it was meant."""
    wrong: dict[str, int] = {}
    meant_: dict[str, int] = {}
    for read, meant in pairs:
        for letter in meant:
            meant_[letter] = meant_.get(letter, 0) + 1
        for operation in Levenshtein.editops(read, meant):
            if operation.tag != "delete":  # a letter too many belongs to none
                letter = meant[operation.dest_pos]
                wrong[letter] = wrong.get(letter, 0) + 1
    return {letter: (wrong.get(letter, 0), count) for letter, count in sorted(meant_.items())}


def bootstrap(pairs: Sequence[tuple[str, str]], draws: int = 500, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the character error rate, by drawing words anew."""
    rng = np.random.default_rng(seed)
    wrong = np.array([Levenshtein.distance(*pair) for pair in pairs])
    length = np.array([len(meant) for _, meant in pairs])
    rows = rng.integers(0, len(pairs), (draws, len(pairs)))
    rates = wrong[rows].sum(1) / length[rows].sum(1)
    return tuple(float(x) for x in np.percentile(rates, [2.5, 97.5]))


def groups(plan: Plan) -> dict[str, str]:
    """Skin tone, hand and age of the signer of a plan, in groups that are reported apart."""
    from asllib.signer.scene import draw_signer

    person = draw_signer(plan.seed, plan.signer)
    age = person.phenotype[1]
    tone = "light (1-3)" if person.tone <= 3 else "medium (4-6)" if person.tone <= 6 else "dark (7-10)"
    return {
        "skin tone": tone,
        "hand": person.side,
        "age": "child" if age < 0.5 else "adult" if age < 0.8 else "old",
    }


SEQUENCE_FPS = 15.0  # the real sequences say no rate; at this one a stroke takes about a second
SEQUENCE_ASPECT = 4 / 3


def load_sequences(path: str | os.PathLike[str] | None = None) -> dict[str, list[Stream]]:
    """Load the real sequences of signs in motion (``motion/sequences.npz``), by sign.

    They hold image landmarks alone, 30 frames each, without times or the frames' shape: 15 frames a second and 4 to 3
    are taken.

    Raises
    ------
    InputError
        If they are not there.
    """
    path = data_dir() / "motion" / "sequences.npz" if path is None else Path(path)
    if not path.is_file():
        raise InputError(f"{path}: the real sequences are not here; see data/README.md")
    with np.load(path) as stored:
        return {name: [sequence_stream(sequence) for sequence in stored[name]] for name in stored}


def sequence_stream(sequence: np.ndarray, fps: float = SEQUENCE_FPS) -> Stream:
    """Turn one sequence (F, 63) of image landmarks into a stream."""
    landmarks = np.asarray(sequence, np.float32).reshape(-1, 21, 3)
    count = len(landmarks)
    return Stream(np.arange(count) / fps, landmarks, np.zeros_like(landmarks), np.zeros(count, bool), SEQUENCE_ASPECT)


def read_strokes(model: MotionNet, stream: Stream, settings: SpellerSettings | None = None) -> str:
    """Read the moving letters of a stream with a motion network, in order; empty for none."""
    listener, speller = HandListener(model), PeakSpeller(model.config.signs, settings or STROKES)
    read = ""
    end = float(stream.times[-1])
    frames = [*zip(stream.hands(), stream.times, strict=True), *((None, end + 0.05 * k) for k in range(1, 11))]
    for hand, time in frames:
        for said in listener.hear(hand, float(time), stream.aspect):
            read += "".join(letter.letter for letter in speller.update(said, float(time)))
    return read


# A stroke is told at once; chosen on films of the synthetic signer.
STROKES = SpellerSettings(confidence=0.5, hold_s=0.05, double_s=60.0)
