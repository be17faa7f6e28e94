"""The alphabets, and conversion between letters and labels."""

from collections.abc import Collection, Sequence

import numpy as np

from asllib.errors import InputError

LETTERS: tuple[str, ...] = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
MOVING: tuple[str, ...] = ("J", "Z")  # drawn in the air, not shown by a still hand
STATIC: tuple[str, ...] = tuple(letter for letter in LETTERS if letter not in MOVING)
FIRST_SIX: tuple[str, ...] = STATIC[:6]  # the letters of the paper's results
NO_LETTER = -1  # label of a hand that shows no letter


def encode(letters: Collection[str], alphabet: Sequence[str] = STATIC) -> np.ndarray:
    """Turn letters into labels, their places in the alphabet, (N,) int64; InputError if one is not in it."""
    places = {letter: place for place, letter in enumerate(alphabet)}
    foreign = sorted({str(letter) for letter in letters} - places.keys())
    if foreign:
        raise InputError(f"{', '.join(foreign)}: not in the alphabet {''.join(alphabet)}; leave these items out")
    return np.array([places[letter] for letter in letters], np.int64)


def letters_of_25(labels: np.ndarray) -> np.ndarray:
    """Turn Sign Language MNIST's labels, (N,) integers in 0..24 without 9, into letters.

    They number the alphabet up to Y (0 is A, 10 is K), with 9 (J) empty: their letters are those of ``STATIC``.
    """
    return np.array(LETTERS)[labels]
