"""How well text comes out: character errors, delays and false letters on films whose truth is known."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from asllib.data.drawn import draw_hands
from asllib.data.letterset import LetterSet
from asllib.errors import InputError
from asllib.evaluation import DRAWS, character_error_rate
from asllib.hands.stream import Stream
from asllib.letters import LETTERS
from asllib.networks.spelling import SpellingNet
from asllib.paths import data_dir
from asllib.read.decoder import HandListener, PeakSpeller, ReadLetter, SpellerSettings
from asllib.read.lexicon import _frequencies
from asllib.train.films import SIZE, Plan

TEST_SEED = 9001  # signers that are in no training and no choice


def draw_words(count: int, seed: int) -> list[str]:
    """Sample different English words of two or more letters by their frequency, to spell them."""
    words = {word: share for word, share in _frequencies(10_000).items() if len(word) > 1}
    shares = np.array(list(words.values()))
    drawn = np.random.default_rng(seed).choice(list(words), count, replace=False, p=shares / shares.sum())
    return [str(word) for word in drawn]


def test_plans(
    count: int, letters_per_second: float, fps: float = 15.0, size: tuple[int, int] = SIZE, words_seed: int = 2026
) -> list[Plan]:
    """Films of words drawn by their frequency, every one by another signer."""
    words = draw_words(max(count, 200), words_seed)[:count]  # fewer are the first of the same
    return [Plan(word, number, TEST_SEED, fps, letters_per_second, size=size) for number, word in enumerate(words)]


def letters_of(text: str) -> str:
    """The letters A-Z of a text, without all other characters."""
    return "".join(letter for letter in text.upper() if letter in LETTERS)


def count_others(texts: Iterable[str]) -> dict[str, int]:
    """Count spaces, digits and other characters in texts."""
    others = [c for c in "".join(texts).upper() if c not in LETTERS]
    counts = Counter("spaces" if c.isspace() else "digits" if c.isdigit() else "other signs" for c in others)
    return {kind: counts[kind] for kind in ("spaces", "digits", "other signs")}


def spelling_report(pairs: Sequence[tuple[str, str]], signers: Iterable[str]) -> dict:
    """Summarise words or phrases, pairs (read, meant) of letters, and their signers: JSON, rates per meant letter.

    ``pairs`` counts each confusion, as "E>S". ``interval``, 95 % of ``cer``, comes from resampling the signers; it is
    None for a single signer.
    """
    edits = [Levenshtein.editops(meant, read) for read, meant in pairs]
    kinds = Counter(edit.tag for one in edits for edit in one)
    swapped = Counter(
        f"{meant[edit.src_pos]}>{read[edit.dest_pos]}"
        for one, (read, meant) in zip(edits, pairs, strict=True) for edit in one if edit.tag == "replace"
    )  # fmt: skip
    table = pd.DataFrame({"wrong": [len(one) for one in edits], "letters": [len(meant) for _, meant in pairs]})
    by_signer = table.groupby(np.array(list(signers), str)).sum()
    wrong, letters = by_signer.to_numpy().T
    drawn = np.random.default_rng(0).integers(len(wrong), size=(DRAWS, len(wrong)))
    rates = wrong[drawn].sum(1) / letters[drawn].sum(1).clip(1)
    return {
        "n": len(pairs),
        "letters": int(letters.sum()),
        "cer": character_error_rate(pairs),
        "interval": np.percentile(rates, [2.5, 97.5]).tolist() if len(wrong) > 1 else None,
        "exact": float(np.mean([read == meant for read, meant in pairs])),
        "insertions": kinds["insert"],
        "deletions": kinds["delete"],
        "substitutions": kinds["replace"],
        "pairs": dict(swapped.most_common()),
        "by_signer": dict(zip(by_signer.index, (wrong / letters.clip(1)).tolist(), strict=True)),
    }


def spelling_lines(found: dict) -> list[str]:
    """The printed form of a ``spelling_report``."""
    over = "" if found["interval"] is None else "(95 % interval {:.1%} to {:.1%}) ".format(*found["interval"])
    swapped = ", ".join(f"{pair} {count}" for pair, count in list(found["pairs"].items())[:10])
    return [
        f"CER {found['cer']:.1%} {over}of {found['letters']:,} letters, signers: {len(found['by_signer'])}; "
        f"{found['exact']:.1%} of {found['n']:,} texts without an error",
        f"  {found['insertions']} letters too many, {found['deletions']} missed, {found['substitutions']} taken for "
        f"others{swapped and ': '}{swapped}",
        *(f"  {name:<24} {rate:.1%}" for name, rate in found["by_signer"].items()),
    ]


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


def named_hands(signers: int = 20, views: int = 3, seed: int = 12) -> LetterSet:
    """Draw the handshapes with a name that are no letter, as a relaxed hand or an open five, by the name as label.

    They measure what a reader refuses. No random hand was made after them, though one in 864 comes within 8 degrees of
    "ily" (finger angles as in ``asllib.data.drawn.distance_to_letters``), and within 14 to 18 of the others.
    """
    from asllib.signer.alphabet import OTHERS

    plan = [
        (number, name, np.array(shape.angles))
        for number in range(signers)
        for name, shape in OTHERS.items()
        for _ in range(views)
    ]
    return draw_hands(f"named-{signers}x{views}-seed{seed}", plan, seed)


def delays(stream: Stream, letters: Sequence[ReadLetter]) -> list[float]:
    """Seconds from the middle of each hold, where it is known, to the moment at which a right letter was written."""
    if stream.positions is None:
        return []
    read = "".join(letter.letter for letter in letters)
    found = []
    for same in Levenshtein.opcodes(read, stream.word).as_matching_blocks():
        for i in range(same.size):
            held = stream.times[stream.positions == same.b + i]
            found.append(letters[same.a + i].end_s - (held[0] + held[-1]) / 2)
    return found


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: how far confidence (N,) in 0..1 and answers (N,) bool lie apart on average, 0..1.

    Equal ranges of confidence are compared (Guo et al., "On calibration of modern neural networks", 2017).
    """
    place = np.clip((np.asarray(confidence) * bins).astype(int), 0, bins - 1)
    gaps = np.bincount(place, weights=np.asarray(confidence) - np.asarray(right), minlength=bins)
    return float(np.abs(gaps).sum() / max(1, len(place)))


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
    """Read the moving letters of a stream with the spelling network, in order; empty for none."""
    listener, speller = HandListener(model), PeakSpeller(model.config.signs, settings or STROKES)
    read = ""
    end = float(stream.times[-1])
    frames = [*zip(stream.hands(), stream.times, strict=True), *((None, end + 0.05 * k) for k in range(1, 11))]
    for hand, time in frames:
        for said in listener.hear(hand, float(time), stream.aspect):
            read += "".join(letter.letter for letter in speller.update(said, float(time)))
    return read


# A stroke is told at once.
STROKES = SpellerSettings(confidence=0.5, hold_s=0.05)
