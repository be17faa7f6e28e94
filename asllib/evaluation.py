"""How well a network reads: accuracy with intervals, confusion, by letter, source and signer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from asllib.data.splits import people
from asllib.errors import InputError

NO_HAND = "-"  # what is "read" where no hand was found; always wrong


def read_letters(probabilities: np.ndarray, alphabet: Sequence[str]) -> np.ndarray:
    """Take the most likely letter of each row (N, classes); ``NO_HAND`` where all are 0."""
    letters = np.array(list(alphabet))[probabilities.argmax(1)]
    return np.where(probabilities.max(1) > 0, letters, NO_HAND)


def accuracy_interval(
    right: np.ndarray, groups: np.ndarray | None = None, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of an accuracy.

    Images of one photo or one person are right or wrong together, so groups, not images, are drawn anew (cluster
    bootstrap, percentiles). Where every draw gives the same, and without groups, the interval is Wilson's, of as many
    answers as there are groups.

    Parameters
    ----------
    right
        (N,) bool.
    groups
        (N,) what belongs together.
    draws, seed
        Of the bootstrap.
    """
    n = len(right)
    if n == 0:
        return 0.0, 1.0
    number = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(number.max()) + 1
    hits, sizes = np.bincount(number, weights=right), np.bincount(number)
    if groups is None or np.ptp(hits / sizes) == 0:
        return _wilson(float(np.mean(right)), count)
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(draws):  # one at a time: a set may have a group an image
        drawn = rng.integers(len(sizes), size=len(sizes))
        shares.append(hits[drawn].sum() / sizes[drawn].sum())
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(low), float(high)


def _wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927."""
    extra = z * z / n
    middle = (share + extra / 2) / (1 + extra)
    half = z / (1 + extra) * np.sqrt(share * (1 - share) / n + extra / (4 * n))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def report(table: pd.DataFrame, read: np.ndarray, model: str, data: str) -> dict:
    """Sum up what a model read of a set.

    Parameters
    ----------
    table
        Of the ``LetterSet``: ``label, source, signer, original``.
    read
        (N,) letters, ``NO_HAND`` where no hand was found.

    Returns
    -------
    dict
        ``model, data, n, hand_found, accuracy, interval, by_letter, by_source, by_signer``; accuracies are shares.
    """
    right = table["label"].to_numpy(str) == read

    def by(column: pd.Series) -> dict[str, float]:
        return {str(name): float(part.mean()) for name, part in pd.Series(right).groupby(column.to_numpy(str))}

    return {
        "model": model,
        "data": data,
        "n": len(table),
        "hand_found": float((read != NO_HAND).mean()),
        "accuracy": float(right.mean()),
        "interval": list(accuracy_interval(right, people(table))),
        "by_letter": by(table["label"]),
        "by_source": by(table["source"]),
        "by_signer": by(table["source"] + "/" + table["signer"]),
    }


def refusals(probabilities: np.ndarray, right: np.ndarray, refuse_below: float) -> dict[str, float | None]:
    """Sum up what a recogniser says that refuses hands of which it is not sure.

    Parameters
    ----------
    probabilities
        (N, classes); all 0 where no hand was found.
    right
        (N,) bool: the most likely letter is the right one.
    refuse_below
        The recogniser's.

    Returns
    -------
    dict
        ``refused``: the share that shows a hand, but no letter for sure; ``accuracy_said``: how much is right of the
        letters that are said, None if none is.
    """
    sure = probabilities.max(1).astype(float)
    said = (sure > 0) & (sure >= refuse_below)
    return {
        "refused": float(((sure > 0) & ~said).mean()),
        "accuracy_said": float(right[said].mean()) if said.any() else None,
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart on average, 0..1.

    Parameters
    ----------
    confidence
        (N,) in 0..1.
    right
        (N,) bool.
    bins
        Equal ranges of confidence that are compared (Guo et al., "On calibration of modern neural networks", 2017).
    """
    place = np.clip((np.asarray(confidence) * bins).astype(int), 0, bins - 1)
    gaps = np.bincount(place, weights=np.asarray(confidence) - np.asarray(right), minlength=bins)
    return float(np.abs(gaps).sum() / max(1, len(place)))


def character_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Wrong, missing and added letters of pairs (read, meant), per letter that was meant."""
    pairs = list(pairs)
    return sum(Levenshtein.distance(read, meant) for read, meant in pairs) / max(1, sum(len(m) for _, m in pairs))


def confusion(truth: np.ndarray, read: np.ndarray, alphabet: Sequence[str]) -> np.ndarray:
    """Count truth against what was read, (L, L + 1) integers; the last column is "no hand" or another letter.

    Raises
    ------
    InputError
        If a true letter is not in the alphabet.
    """
    foreign = sorted(set(truth) - set(alphabet))
    if foreign:
        raise InputError(f"{', '.join(foreign)}: not among the letters {', '.join(alphabet)}")
    places = {letter: place for place, letter in enumerate(alphabet)}
    matrix = np.zeros((len(places), len(places) + 1), int)
    for true, seen in zip(truth, read, strict=True):
        matrix[places[true], places.get(seen, len(places))] += 1
    return matrix


def worst_pairs(matrix: np.ndarray, alphabet: Sequence[str], most: int = 10) -> pd.DataFrame:
    """List the pairs of letters that are taken for each other most often.

    Returns
    -------
    pandas.DataFrame
        ``pair, errors, share``: both directions added up; the share is of all items of the two letters.
    """
    letters = matrix[:, : len(alphabet)]
    errors = letters + letters.T
    totals = matrix.sum(1)
    rows = [
        (f"{alphabet[j]}/{alphabet[i]}", int(errors[i, j]), errors[i, j] / max(1, totals[i] + totals[j]))
        for i in range(len(alphabet))
        for j in range(i)
        if errors[i, j]
    ]
    pairs = pd.DataFrame(rows, columns=["pair", "errors", "share"])
    return pairs.sort_values(["errors", "pair"], ascending=[False, True], ignore_index=True).head(most)
