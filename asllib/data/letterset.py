"""The one shape that every data source is loaded into."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import pandas as pd

from asllib.errors import InputError
from asllib.files import open_image, read_bytes
from asllib.letters import STATIC, encode

COLUMNS = ("file", "label", "source", "signer", "original", "split")


@dataclass(frozen=True)
class LetterSet:
    """Images of letters, and for each its letter and where it comes from.

    Attributes
    ----------
    name
        What captions call it.
    table
        One row an image, text columns ``file, label, source, signer, original, split``. ``label`` is a letter, or
        a sign such as ``space``; ``original`` is the photo that the image was derived from; ``split`` is the one
        that the set came with, "" for none.
    images
        uint8 images, one a row: an (N, 28, 28) array, or (H, W, 3) RGB images that are read from
        their files when asked for.
    synthetic
        Drawn by the synthetic signer.
    """

    name: str
    table: pd.DataFrame
    images: np.ndarray | PhotoFiles
    synthetic: bool = False

    def __post_init__(self) -> None:
        if len(self.table) != len(self.images):
            raise InputError(f"{self.name}: {len(self.table)} rows for {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"LetterSet({self.name!r}, {len(self):,} images, {self.table['label'].nunique()} signs)"

    @property
    def letters(self) -> np.ndarray:
        """(N,) the letter or sign of each image."""
        return self.table["label"].to_numpy(str)

    def labels(self, alphabet: Sequence[str] = STATIC) -> np.ndarray:
        """(N,) int64: the place of each letter in the alphabet."""
        return encode(self.letters, alphabet)

    def subset(self, which: np.ndarray) -> LetterSet:
        """Take the items of a boolean mask or of an array of positions."""
        which = np.asarray(which)
        places = np.flatnonzero(which) if which.dtype == bool else which
        return replace(self, table=self.table.iloc[places].reset_index(drop=True), images=take(self.images, places))

    def only(self, letters: Sequence[str] = STATIC) -> LetterSet:
        """Keep the items whose letter is one of these; a set of nothing else comes back as it is."""
        mask = np.isin(self.letters, list(letters))
        return self if mask.all() else self.subset(mask)

    def thin(self, per_letter: int | None) -> LetterSet:
        """Keep at most so many items of each letter and source, evenly spread over them; None keeps all.

        Items that follow each other are often frames of one burst or copies of one photo, so the first ones would show
        less than those that lie apart.
        """
        if per_letter is None:
            return self
        if per_letter < 1:
            raise InputError(f"per_letter={per_letter}: keep at least 1 item of each letter, or None for all")
        rows = pd.Series(np.arange(len(self)))
        keys = [self.table[name].to_numpy(str) for name in ("source", "label")]
        kept = [part.to_numpy()[_spread(len(part), per_letter)] for _, part in rows.groupby(keys)]
        return self.subset(np.sort(np.concatenate(kept))) if kept else self

    def sha256(self) -> str:
        """Hash of the labels and of the image data, for results to name what they were made from."""
        digest = hashlib.sha256("\n".join(self.letters).encode())
        if isinstance(self.images, np.ndarray):
            digest.update(np.ascontiguousarray(self.images).data)
        else:
            for path in self.images.paths:
                digest.update(path.read_bytes())
        return digest.hexdigest()


def _spread(n: int, most: int) -> np.ndarray:
    """At most ``most`` of the positions 0..n - 1, at even distances."""
    return np.arange(n) if n <= most else np.arange(most) * n // most


def take(images: np.ndarray | PhotoFiles, places: np.ndarray) -> np.ndarray | PhotoFiles:
    """Take images by position: of an array an array, of a list of files a shorter list of files."""
    if isinstance(images, np.ndarray):
        return images[places]
    return PhotoFiles(images.root, tuple(images.files[i] for i in places))


@dataclass(frozen=True)
class PhotoFiles:
    """Photos in a folder as a sequence that reads each one when it is asked for; small to send to a process.

    Attributes
    ----------
    root
        The folder.
    files
        Paths relative to it.
    """

    root: Path
    files: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: SupportsIndex) -> np.ndarray:
        return read_image(self.root / self.files[i])

    def read_bytes(self, i: int) -> bytes:
        """Read a photo's file as it is, for ``decode_image``.

        Raises
        ------
        InputError
            If the file is missing, or larger than any photo.
        """
        return read_bytes(self.root / self.files[i])

    @property
    def paths(self) -> list[Path]:
        """Full paths of the files."""
        return [self.root / file for file in self.files]


Images = Sequence[np.ndarray] | np.ndarray | PhotoFiles  # whatever gives an image for a position


def read_image(path: str | Path) -> np.ndarray:
    """Read a photo.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8 RGB, turned upright as its EXIF says.

    Raises
    ------
    InputError
        If the file is missing, is no image, or has more than 100 million pixels.
    """
    return decode_image(Path(path), path)


def decode_image(file: Path | bytes, name: object) -> np.ndarray:
    """Decode a photo, or the bytes of its file, see ``read_image``; errors call it ``name``."""
    import PIL.ImageOps

    with open_image(file, str(name)) as image:
        image = PIL.ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # grey of 16 bits, which a conversion would cut off at 255
            gray = np.clip(np.array(image, np.float64) / 257, 0, 255).astype(np.uint8)
            return np.repeat(gray[..., None], 3, axis=2)
        return np.array(image.convert("RGB"))
