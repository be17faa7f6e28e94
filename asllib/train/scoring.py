"""How well text comes out: character errors, delays and false letters on films whose truth is known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein

from asllib.errors import InputError
from asllib.hands.stream import RATE, Stream
from asllib.letters import MOVING
from asllib.networks.spelling import NEITHER, SpellingNet
from asllib.paths import data_dir
from asllib.read.decoder import HandListener, PeakSpeller
from asllib.read.lexicon import Lexicon, draw_words
from asllib.read.reader import ReadsLetters, TextReader
from asllib.read.speller import ReadLetter, SpellerSettings
from asllib.train.clips import Clip, film_clip
from asllib.train.films import SIZE, Plan
from asllib.train.fitting import fit_motion
from asllib.train.spelling import TRAINING, make_eager, photo_stills

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


def test_plans(
    count: int, letters_per_second: float, fps: float = 15.0, size: tuple[int, int] = SIZE, words_seed: int = 2026
) -> list[Plan]:
    """Films of words drawn by their frequency, every one by another signer."""
    words = draw_words(max(count, 200), words_seed)[:count]  # fewer are the first of the same
    return [Plan(word, number, TEST_SEED, fps, letters_per_second, size=size) for number, word in enumerate(words)]


def read_stream(
    stream: Stream,
    settings: SpellerSettings | None = None,
    lexicon: Lexicon | None = None,
    recognizer: ReadsLetters | None = None,
) -> Spelled:
    """Read a film's hands as a live video's: the same reader, frame by frame."""
    letters: list[ReadLetter] = []
    reader = TextReader(recognizer, settings)
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
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)


def groups(plan: Plan) -> dict[str, str]:
    """Skin tone, hand and age of the signer of a plan, in groups that are reported apart."""
    from asllib.signer.scene import draw_signer

    person = draw_signer(plan.seed, plan.signer)
    age = person.phenotype[1]
    tone = "light (1-3)" if person.tone <= 3 else "medium (4-6)" if person.tone <= 6 else "dark (7-10)"
    return {
        "skin tone": tone,
        "hand": person.side,
        "age": "below 18" if age < 0.45 else "adult" if age < 0.8 else "old",
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


def read_strokes(model: SpellingNet, stream: Stream, settings: SpellerSettings | None = None) -> str:
    """Read the moving letters of a stream with a motion network, in order; empty for none."""
    listener, speller = HandListener(model), PeakSpeller(model.config.signs, settings or STROKES)
    read = ""
    end = float(stream.times[-1])
    frames = [*zip(stream.hands(), stream.times, strict=True), *((None, end + 0.05 * k) for k in range(1, 11))]
    for hand, time in frames:
        for said in listener.hear(hand, float(time), stream.aspect):
            read += "".join(letter.letter for letter in speller.update(said, float(time)))
    return read


# A stroke is told at once, and never doubled by holding on.
STROKES = SpellerSettings(confidence=0.5, hold_s=0.05, double_s=60.0)


def stroke_clip(stream: Stream, sign: str, signs: Sequence[str] = MOVING) -> Clip:
    """Turn a real sequence of one sign into a clip to train on; in J and Z the later part of the movement is labelled.

    The sequences do not say when the stroke is drawn: it is where the finger that draws is fast.
    """
    clip = film_clip(stream, signs)
    if sign not in signs:
        return clip
    points = stream.landmarks[..., :2] * np.array([stream.aspect, 1], np.float32)
    palm = np.linalg.norm(points[:, 9] - points[:, 0], axis=-1).max()
    speed = np.linalg.norm(np.diff(points[:, 8 if sign == "Z" else 20], axis=0), axis=-1) / palm
    fast = np.flatnonzero(speed > 0.06)
    if len(fast) < 4:
        return clip
    begin, end = stream.times[fast[0]], stream.times[fast[-1] + 1]
    times = np.arange(len(clip.targets)) / RATE
    targets = np.where((times >= (begin + end) / 2) & (times <= end), 1 + signs.index(sign), NEITHER)
    return replace(clip, targets=targets, spelled=(1 + signs.index(sign),))


def read_with_real_strokes(
    part: float = 0.6, steps: int = 1500, pieced: float = 0.1, eager: float = 16.0, seed: int = 0
) -> dict[str, float]:
    """Train the motion network on the first part of the real sequences too, and read the rest.

    Parameters
    ----------
    part
        Of the sequences of each sign that are trained on.
    steps, pieced
        See ``fit_motion``.
    eager
        See ``asllib.train.spelling.MotionTraining``.
    seed
        Of the training.

    Returns
    -------
    dict
        For each sign the part of the rest that was read as it (J and Z), or as J or Z (all others).

    Notes
    -----
    The settings were chosen within the first 60 of the 100 sequences of each sign, each 20 of them read after training
    on the other 40: of 2, 4, 8, 16 and 32, 16 is the least ``eager`` that reads 99 % there (false 1.5 %).
    """
    sequences = load_sequences()
    clips = [
        stroke_clip(replace(stream, times=stream.times * slower), sign)
        for sign, streams in sequences.items()
        for stream in streams[: round(part * len(streams))]
        for slower in ((1.0, 0.75) if sign in MOVING else (1.0,))
    ]
    stills, _ = photo_stills()
    network = replace(TRAINING["motion"].network, signs=MOVING)
    model, _ = fit_motion(network, clips, stills, steps=steps, pieced=pieced, seed=seed)
    make_eager(model, eager)
    rates = {}
    for sign, streams in sequences.items():
        read = [read_strokes(model, stream) for stream in streams[round(part * len(streams)) :]]
        rates[sign] = float(np.mean([sign in one if sign in MOVING else bool(one) for one in read]))
    return rates
