"""What is seen of the hands in a set of photos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from asllib.data.letterset import LetterSet
from asllib.errors import InputError
from asllib.hands.extract import iter_landmarks
from asllib.hands.look import WIDTH
from asllib.hands.tracker import LOOKS
from asllib.paths import cache_dir


@dataclass(frozen=True)
class Looks:
    """The result of each of the looks of ``asllib.hands.LOOKS`` at each photo."""

    tables: tuple[pd.DataFrame, ...]  # of landmarks, one row per photo, in its coordinates; the first is the plain look
    embeddings: np.ndarray  # (looks, N, 1152) float16; NaN without a hand, or if only landmarks are known

    def __len__(self) -> int:
        return len(self.tables[0])

    @property
    def found(self) -> np.ndarray:
        """(N,) bool: a hand was found."""
        return (self.tables[0]["score"] > 0).to_numpy()

    def subset(self, which: np.ndarray) -> "Looks":
        """Take the photos of a boolean mask."""
        return Looks(tuple(table[which].reset_index(drop=True) for table in self.tables), self.embeddings[:, which])


def without_pictures(tables: Sequence[pd.DataFrame]) -> Looks:
    """Looks that have only landmark tables."""
    return Looks(tuple(tables), np.full((len(tables), len(tables[0]), WIDTH), np.nan, np.float16))


def track(letters: LetterSet, *, workers: int | None = None, progress: bool = True) -> Looks:
    """Look at the hand in each photo of a set, see ``iter_landmarks``; the cache folder keeps the result."""
    if len(letters) and letters.images[0].ndim == 2:
        height, width = letters.images[0].shape
        raise InputError(f"{letters.name}: grey images of {width}x{height} pixels; hands are looked for in photos")
    parts = iter_landmarks(
        letters.images, letters.table["file"].tolist(), letters.letters.tolist(), workers=workers,
        checkpoint=cache_dir() / "looks", every_look=True, progress=progress,
    )  # fmt: skip
    whole = pd.concat(parts, ignore_index=True)
    embeddings = np.full((len(whole), WIDTH), np.nan, np.float16)
    packed = whole.pop("embedding")
    embeddings[[len(one) > 0 for one in packed]] = np.frombuffer(b"".join(packed), np.float16).reshape(-1, WIDTH)
    ways = range(len(LOOKS))  # the looks at each photo in turn
    tables = tuple(whole.iloc[way :: len(LOOKS)].reset_index(drop=True) for way in ways)
    return Looks(tables, np.stack([embeddings[way :: len(LOOKS)] for way in ways]))
