"""The common form of all data sources, and folders of photos: ``FOLDER/LETTER/*.jpg|png``."""

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asllib.errors import InputError
from asllib.files import PhotoFiles, find_photo_files, inside, read_csv
from asllib.files import read_image as read_image  # exported by asllib.data
from asllib.letters import STATIC, encode

COLUMNS = ("file", "label", "source", "signer", "original", "split")


@dataclass(frozen=True)
class LetterSet:
    """Images of letters, each with its letter and its origin.

    ``table`` has one row per image, text columns ``file, label, source, signer, original, split``. ``label`` is a
    letter or a sign such as ``space``; ``original`` is the photo from which the image was made; ``split`` is the set's
    own split, "" for none.
    """

    name: str  # its name in captions
    table: pd.DataFrame
    images: np.ndarray | PhotoFiles  # uint8: (N, 28, 28), or (H, W, 3) RGB images, read on access
    synthetic: bool = False  # drawn by the synthetic signer

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

    def subset(self, which: np.ndarray) -> "LetterSet":
        """Take the items of a boolean mask or of an array of positions."""
        which = np.asarray(which)
        places = np.flatnonzero(which) if which.dtype == bool else which
        if isinstance(self.images, np.ndarray):
            images: np.ndarray | PhotoFiles = self.images[places]
        else:
            images = PhotoFiles(self.images.root, tuple(self.images.files[i] for i in places))
        return replace(self, table=self.table.iloc[places].reset_index(drop=True), images=images)

    def only(self, letters: Sequence[str] = STATIC) -> "LetterSet":
        """Keep the items with one of these letters; return the set itself if it has no others."""
        mask = np.isin(self.letters, list(letters))
        return self if mask.all() else self.subset(mask)

    def thin(self, per_letter: int | None) -> "LetterSet":
        """Keep at most so many items of each letter and source, evenly spaced (neighbours are alike); None: all."""
        if per_letter is None:
            return self
        mask = np.zeros(len(self), bool)
        for places in self.table.groupby(["source", "label"]).indices.values():
            count = min(len(places), per_letter)
            mask[places[np.arange(count) * len(places) // count]] = True
        return self.subset(mask)

    def sha256(self) -> str:
        """Hash of the labels and of the image data, which results store."""
        digest = hashlib.sha256("\n".join(self.letters).encode())
        if isinstance(self.images, np.ndarray):
            digest.update(np.ascontiguousarray(self.images).data)
        else:
            for path in self.images.paths:
                digest.update(path.read_bytes())
        return digest.hexdigest()


def load_photos(folder: str | Path, name: str | None = None) -> LetterSet:
    """Load a folder of photos, by default under the folder's name; photos are read on access.

    The folder has a ``manifest.csv`` (columns ``file,label``, optionally ``source,signer,original,split``), or one
    folder per letter. InputError if there are no photos, or the manifest names a file that is missing or outside.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; a data folder is FOLDER/LETTER/*.jpg or has a manifest.csv")
    manifest = folder / "manifest.csv"
    table = read_manifest(folder) if manifest.is_file() else _from_folders(folder)
    if table.empty:
        raise InputError(f"{folder}: no photos; put .jpg or .png files into {folder.name}/A, {folder.name}/B, ...")
    synthetic = bool((table["source"] == "synthetic").all())
    return LetterSet(name or folder.name, table, PhotoFiles(folder, tuple(table["file"])), synthetic)


def read_manifest(folder: Path) -> pd.DataFrame:
    """Read the ``manifest.csv`` of a folder: text columns ``COLUMNS``; InputError names a row that is wrong."""
    manifest = folder / "manifest.csv"
    table = read_csv(manifest)
    for column in ("file", "label"):
        if column not in table:
            raise InputError(f"{manifest}: column {column} is missing; it has {', '.join(table.columns)}")
        empty = table.index[table[column].str.strip() == ""]
        if len(empty):
            raise InputError(f"{manifest}: row {empty[0] + 1} has no {column}")
    for row, file in enumerate(table["file"], 1):
        inside(folder, file, f"{manifest}: row {row}")
    table["label"] = table["label"].map(_sign)
    return _fill(table, folder.name)


# Names of parts in data sets: train, asl_alphabet_test, Validation. They contain the folders of letters.
_PART = re.compile(r"(?:.*[ _-])?(train|test|val)(?:ing|id|idation)?(?:[ _-](?:set|data))?", re.I)
# The name of a letter's folder: C for letter_C, D for "D (1)" and "D - Copy".
_LETTER = re.compile(r"(?:(?:letter|digit)[ _-]+)?(\w)(?:[ _-]+copy)?\s*(?:\(\d+\))?", re.I)


def _from_folders(folder: Path) -> pd.DataFrame:
    """A row for each photo in a letter's folder, which may lie in ``train/``; one line on stderr counts the others."""
    files = [path.relative_to(folder) for path in find_photo_files(folder)]
    common = len(Path(os.path.commonpath([file.parent for file in files])).parts)  # outer folders of all photos
    in_parts = any(map(_PART.fullmatch, (name for file in files for name in file.parent.parent.parts)))
    rows, left = [], []
    for file in files:
        name, parts = file.parent.name, [_PART.fullmatch(outer) for outer in file.parent.parent.parts]
        if not name or not all(parts[common:]) or (in_parts and _PART.fullmatch(name)):
            left.append(str(file))
            continue
        inside(folder, str(file), str(folder))  # a link may leave the folder, a name may be no text
        split = next((part[1].lower() for part in reversed(parts) if part), "")
        rows.append((str(file), _sign(name), "valid" if split == "val" else split))
    if left:
        some = ", ".join(left[:3]) + (", .." if len(left) > 3 else "")
        print(f"{folder}: photos left out, in no letter's folder: {len(left)} ({some})", file=sys.stderr)
    return _fill(pd.DataFrame(rows, columns=["file", "label", "split"], dtype=str), folder.name)


def _sign(name: str) -> str:
    """The letter or sign of a folder's name or a manifest's cell."""
    letter = _LETTER.fullmatch(name.strip())
    return letter[1].upper() if letter else name.strip()


def _fill(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Fill missing columns and cells: the source is the folder, the original is the photo itself."""
    defaults: dict[str, Any] = {"source": source, "signer": "unknown", "original": table["file"], "split": ""}
    for column, value in defaults.items():
        table[column] = table[column].where(table[column].str.strip() != "", value) if column in table else value
    return table[[*COLUMNS]]
