"""Splits into training, validation and test that cannot leak."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from asllib.data.letterset import LetterSet
from asllib.errors import InputError

TENTHS = np.array(["train"] * 6 + ["valid"] * 3 + ["test"])  # the paper's 60/30/10


def groups(letters: LetterSet, by: str) -> np.ndarray:
    """(N,) the group of each item, by "original", "signer" or "source"; a name is unique only within its source."""
    table = letters.table
    if by not in ("original", "signer", "source"):
        raise InputError(f"cannot split by {by!r}; choose original, signer or source")
    keys = table["source"] if by == "source" else table["source"] + "/" + table[by]
    return keys.to_numpy(str)


def people(table: pd.DataFrame) -> np.ndarray:
    """(N,) groups of dependent answers: images of one signer, or of one original in a source with one signer."""
    several = table.groupby("source")["signer"].transform("nunique") > 1
    return (table["source"] + "/" + table["signer"].where(several, table["original"])).to_numpy(str)


def split(letters: LetterSet, by: str | np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Split 60/30/10 into "train", "valid" and "test", (N,), every letter in the same proportion.

    By image, as in the paper, or by "original", "signer", "source" or a given group of each item (N,): then each group
    stays in one part, and the parts are as near to 60/30/10 as the groups allow. ``seed`` sets the shuffle.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    group, labels = groups(letters, by) if isinstance(by, str) else by, letters.letters
    counts = np.unique(labels, return_counts=True)[1]
    few, what = (counts.min(), "images of a letter") if group is None else (len(np.unique(group)), "groups")
    if few < 10:
        raise InputError(f"only {few} {what}: 60/30/10 needs 10; leave one group out instead")
    if counts.max() < 10:
        raise InputError(f"at most {counts.max()} images of a letter: 60/30/10 needs 10")
    folds = (StratifiedKFold if group is None else StratifiedGroupKFold)(10, shuffle=True, random_state=seed)
    part = np.empty(len(labels), TENTHS.dtype)
    for name, (_, test) in zip(TENTHS, folds.split(labels, labels, group), strict=True):
        part[test] = name
    return part


def leave_one_out(letters: LetterSet, by: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name of the group, mask of its items) for each signer or source; the rest is for training."""
    keys = groups(letters, by)
    for name in np.unique(keys):
        yield str(name), keys == name


def leave_people_out(letters: LetterSet) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, mask) of each source, or of each signer if there is only one source; join them into five at most."""
    most = 5
    by = "source" if letters.table["source"].nunique() > 1 else "signer"
    names, number = np.unique(groups(letters, by), return_inverse=True)
    for part in range(min(len(names), most) if len(names) > 1 else 0):
        alone = len(names) <= most
        name = str(names[part]) if alone else f"{by}s, part {part + 1} of {most}"
        yield name, number % most == part
