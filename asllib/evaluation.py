"""How well a network reads: accuracy with intervals, confusion, by letter, source and signer."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from asllib.data.splits import people
from asllib.letters import encode

NO_HAND = "-"  # stands for a reading without a found hand; always wrong
DRAWS = 2000  # bootstrap samples for an interval


def read_letters(probabilities: np.ndarray, alphabet: Sequence[str]) -> np.ndarray:
    """Take the most likely letter of each row (N, classes); ``NO_HAND`` where all are 0."""
    letters = np.array(list(alphabet))[probabilities.argmax(1)]
    return np.where(probabilities.max(1) > 0, letters, NO_HAND)


def accuracy_interval(right: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """95 % interval of the accuracy of answers (N,) bool; answers of one group (N,) depend on each other.

    Groups are resampled (cluster bootstrap, percentiles). If every sample gives the same value, or without groups, the
    interval is Wilson's (JASA, 1927), with one answer per group.
    """
    if len(right) == 0:
        return 0.0, 1.0
    number = np.arange(len(right)) if groups is None else np.unique(groups, return_inverse=True)[1]
    hits, sizes = np.bincount(number, weights=right), np.bincount(number)
    if groups is None or np.ptp(hits / sizes) == 0:
        share, extra = float(np.mean(right)), 1.959964**2 / len(sizes)  # SciPy's needs a whole number of right answers
        middle = (share + extra / 2) / (1 + extra)
        half = np.sqrt(extra * share * (1 - share) + extra**2 / 4) / (1 + extra)
        return float(max(0.0, middle - half)), float(min(1.0, middle + half))
    rng = np.random.default_rng(0)
    drawn = (rng.integers(len(sizes), size=len(sizes)) for _ in range(DRAWS))  # one at a time, to save memory
    low, high = np.percentile([hits[one].sum() / sizes[one].sum() for one in drawn], [2.5, 97.5])
    return float(low), float(high)


def report(table: pd.DataFrame, probabilities: np.ndarray, alphabet: Sequence[str], refuse_below: float = 0.0) -> dict:
    """Summarise how a set with this table is read: shares, for the JSON of ``asl evaluate``.

    ``probabilities`` (N, classes) are all 0 without a hand. ``refused`` is the share of items with a hand whose
    confidence is below ``refuse_below``, and ``accuracy_said`` the accuracy on the accepted hands, None without any.
    """
    right = table["label"].to_numpy(str) == read_letters(probabilities, alphabet)
    sure = probabilities.max(1).astype(float)
    said = (sure > 0) & (sure >= refuse_below)

    def by(column: pd.Series) -> dict[str, float]:
        return {str(name): float(part.mean()) for name, part in pd.Series(right).groupby(column.to_numpy(str))}

    return {
        "n": len(table),
        "hand_found": float((sure > 0).mean()),
        "accuracy": float(right.mean()),
        "interval": list(accuracy_interval(right, people(table))),
        "by_letter": by(table["label"]),
        "by_source": by(table["source"]),
        "by_signer": by(table["source"] + "/" + table["signer"]),
        "refused": float(((sure > 0) & ~said).mean()),
        "accuracy_said": float(right[said].mean()) if said.any() else None,
    }


def report_lines(found: dict) -> list[str]:
    """A ``report``, with ``model`` and ``data``, as ``asl evaluate`` prints it."""
    low, high = found["interval"]
    lines = [
        f"{found['model']} on {found['data']}: {found['accuracy']:.2%} of {found['n']:,} right "
        f"(95 % interval {low:.1%} to {high:.1%}), a hand in {found['hand_found']:.1%}"
    ]
    if found["refused"]:
        rest = "" if found["accuracy_said"] is None else f"; of the rest {found['accuracy_said']:.2%} right"
        lines.append(f"  {found['refused']:.1%} rejected: below the confidence threshold{rest}")
    lines += [f"  {name:<24} {share:.1%}" for name, share in found["by_source"].items()]
    return [*lines, "  " + "  ".join(f"{letter} {share:.0%}" for letter, share in found["by_letter"].items())]


def character_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Wrong, missing and added letters of pairs (read, meant), per meant letter."""
    pairs = list(pairs)
    return sum(Levenshtein.distance(read, meant) for read, meant in pairs) / max(1, sum(len(m) for _, m in pairs))


def confusion(truth: np.ndarray, read: np.ndarray, alphabet: Sequence[str]) -> np.ndarray:
    """Count truth against reading, (L, L + 1); the last column is "no hand" or a letter not in the alphabet."""
    from sklearn.metrics import confusion_matrix

    letters = list(alphabet)
    encode(truth, letters)  # InputError for a letter that is not among them
    known = np.where(np.isin(read, letters), read, NO_HAND)
    return confusion_matrix(truth, known, labels=[*letters, NO_HAND])[:-1]


def worst_pairs(matrix: np.ndarray, alphabet: Sequence[str], most: int = 10) -> pd.DataFrame:
    """List the most confused pairs: columns ``pair``, ``errors`` and their ``share`` of all items of both letters."""
    errors, totals = matrix[:, : len(alphabet)] + matrix[:, : len(alphabet)].T, matrix.sum(1)
    i, j = np.nonzero(np.tril(errors, -1))
    names = [f"{alphabet[b]}/{alphabet[a]}" for a, b in zip(i.tolist(), j.tolist(), strict=True)]
    pairs = pd.DataFrame({"pair": names, "errors": errors[i, j], "share": errors[i, j] / (totals[i] + totals[j])})
    return pairs.sort_values(["errors", "pair"], ascending=[False, True], ignore_index=True).head(most)
