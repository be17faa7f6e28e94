"""Sign Language MNIST: 34,627 grey 28x28 images of the 24 still letters (Kaggle, CC0)."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from asllib.data.letterset import LetterSet
from asllib.data.pixel_csv import read_pixel_csv
from asllib.errors import InputError
from asllib.letters import letters_of_25
from asllib.paths import cache_dir, data_dir

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
    """Load the official train and test files of a folder, plain or gzipped.

    Returns
    -------
    LetterSet
        Images (N, 28, 28) uint8; ``split`` is "train" or "test", the official one. Signer and original are unknown.
    """
    tables, images = [], []
    for split in ROWS:
        path = _file(folder, split)
        if path is None:
            raise InputError(f"{folder}: sign_mnist_{split}.csv is missing; run 'asl data fetch sign-mnist'")
        pixels, labels = read_pixel_csv(path)
        images.append(pixels)
        rows = [f"{path.name}:{row}" for row in range(1, len(labels) + 1)]
        tables.append(pd.DataFrame({"file": rows, "label": letters_of_25(labels), "split": split}))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(source="sign-mnist", signer="unknown", original=table["file"])
    return LetterSet("Sign Language MNIST", table, np.concatenate(images))


def fetch_sign_mnist() -> Path:
    """Download the official files from Kaggle into the cache, check them by sha256, and return their folder."""
    import kagglehub

    target = cache_dir() / "sign-mnist"
    target.mkdir(parents=True, exist_ok=True)
    for split, expected in SHA256.items():
        name = f"sign_mnist_{split}.csv"
        try:
            downloaded = Path(kagglehub.dataset_download(KAGGLE_NAME, path=f"{name}"))
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"{name}: cannot be downloaded from Kaggle ({reason}); "
                f"get {KAGGLE_NAME} by hand and put its files into {target}"
            ) from error
        with downloaded.open("rb") as file:
            content = file.read().replace(b"\r\n", b"\n")  # both line ends are in circulation
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise InputError(f"{downloaded}: sha256 {found} instead of {expected}; delete it and fetch again")
        temporary = target / f".{os.getpid()}-{name}.gz"
        with gzip.open(temporary, "wb", compresslevel=6) as file:
            shutil.copyfileobj(_bytes(content), file)
        temporary.replace(target / f"{name}.gz")
    return target


def _bytes(content: bytes):
    import io

    return io.BytesIO(content)


def _file(folder: Path, split: str) -> Path | None:
    for ending in (".csv", ".csv.gz"):
        path = folder / f"sign_mnist_{split}{ending}"
        if path.is_file():
            return path
    return None
