"""Sign Language MNIST: 34,627 grey 28x28 images of the 24 still letters (Kaggle, CC0)."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import tempfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from asllib.data.letterset import LetterSet
from asllib.data.pixel_csv import SIDE, check_labels, read_pixel_rows
from asllib.errors import InputError
from asllib.lazy import extra
from asllib.letters import letters_of_25
from asllib.paths import cache_dir, data_dir, replacing, write_bytes

KAGGLE_NAME = "datamunge/sign-language-mnist"
ROWS = {"train": 27_455, "test": 7_172}
# sha256 of the unzipped official files with LF line ends (first) and CRLF (sizes only are known of these).
SHA256 = {
    "train": "b7ff39ad5f1210fa765ce11aa5f20c2e97fe467ffc22231aac923c863eef75c4",
    "test": "178c0dd21c4b0e86d58df12f14ea1e9efa795ad19d146802b3b28094a16d56ae",
}


def find_sign_mnist() -> Path | None:
    """Folder with the official files: in the data folder, else in the cache; None if neither has them."""
    for folder in (data_dir() / "sign-mnist", data_dir(), cache_dir() / "sign-mnist"):
        if all(_file(folder, split) for split in ROWS):
            return folder
    return None


def load_sign_mnist(folder: Path) -> LetterSet:
    """Load the official train and test files of a folder, plain or gzipped; what was read is kept in the cache folder.

    Returns
    -------
    LetterSet
        Images (N, 28, 28) uint8; ``split`` is "train" or "test", the official one. Signer and original are unknown:
        every image counts as one of its own, so that intervals are narrower than they should be.
    """
    paths: dict[str, Path] = {}
    for split in ROWS:
        path = _file(folder, split)
        if path is None:
            raise InputError(f"{folder}: sign_mnist_{split}.csv is missing; run 'asl data fetch sign-mnist'")
        paths[split] = path
    with ThreadPoolExecutor() as pool:  # unpacking and NumPy leave the interpreter to the other file
        read = list(pool.map(_read, paths.values()))
    tables = []
    for (split, path), rows in zip(paths.items(), read, strict=True):
        names = [f"{path.name}:{row}" for row in range(1, len(rows) + 1)]
        tables.append(pd.DataFrame({"file": names, "label": letters_of_25(rows[:, 0]), "split": split}))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(source="sign-mnist", signer="unknown", original=table["file"])
    images = np.concatenate([rows[:, 1:] for rows in read]).reshape(-1, SIDE, SIDE)
    return LetterSet("Sign Language MNIST", table, images)


def fetch_sign_mnist() -> Path:
    """Download the official files from Kaggle into the cache, check them by sha256, and return their folder."""
    target = cache_dir() / "sign-mnist"
    for split, expected in SHA256.items():
        name = f"sign_mnist_{split}.csv"
        by_hand = f"get {KAGGLE_NAME} by hand and put its files into {target}"
        for anew in (False, True):
            try:
                content = _download(name, anew)
            except Exception as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise InputError(f"{name}: cannot be downloaded from Kaggle ({reason}); {by_hand}") from error
            found = hashlib.sha256(content).hexdigest()
            if found == expected:
                break
        else:
            raise InputError(f"{name}: sha256 {found} instead of {expected}, downloaded anew too; {by_hand}")
        write_bytes(target / f"{name}.gz", gzip.compress(content, 6, mtime=0))
    return target


def _read(path: Path) -> np.ndarray:
    """Rows of a file, label and pixels, (N, 785) uint8: from the cache by the file's hash, else read and kept."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    stored = cache_dir() / "pixels" / f"{digest[:32]}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):  # a broken file is as good as none
        rows = np.load(stored)
        if rows.dtype == np.uint8 and rows.ndim == 2 and rows.shape[1] == 1 + SIDE * SIDE:
            check_labels(rows, stored)
            return rows
    rows = read_pixel_rows(path)
    # A cache that cannot be written costs time, no more.
    with contextlib.suppress(InputError), replacing(stored) as temporary:
        np.save(temporary, rows)
    return rows


def _download(name: str, anew: bool) -> bytes:
    """A file of the set, with LF line ends; one that cannot be unpacked is empty.

    A download that was stopped is gone on with, unless it is to be made ``anew``: one that was killed while it was
    unpacked looks like any other to kagglehub, and what comes of it is damaged.
    """
    with extra("download"):
        import kagglehub
        from kagglehub.exceptions import DataCorruptionError

    with tempfile.TemporaryDirectory() as folder:
        try:
            file = Path(kagglehub.dataset_download(KAGGLE_NAME, path=name, output_dir=folder if anew else None))
        except (DataCorruptionError, zipfile.BadZipFile, zlib.error):
            return b""
        return file.read_bytes().replace(b"\r\n", b"\n")  # both line ends are in circulation


def _file(folder: Path, split: str) -> Path | None:
    for ending in (".csv", ".csv.gz"):
        path = folder / f"sign_mnist_{split}{ending}"
        if path.is_file():
            return path
    return None
