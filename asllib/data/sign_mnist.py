"""Sign Language MNIST: 34,627 grey 28x28 images of the 24 still letters (Kaggle, CC0), and its format, a pixel CSV."""

import gzip
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as pa_csv

from asllib.data.letterset import LetterSet
from asllib.errors import InputError, first_line
from asllib.files import csv_rows, read_bytes
from asllib.lazy import extra
from asllib.letters import letters_of_25
from asllib.paths import cache_dir, data_dir, kept, replacing, write_bytes

SIDE = 28
PIXEL_COLUMNS = [f"pixel{i}" for i in range(1, SIDE * SIDE + 1)]
KAGGLE_NAME = "datamunge/sign-language-mnist"
ROWS = {"train": 27_455, "test": 7_172}
# sha256 of the unzipped official files with LF line ends.
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
    """Load the official train and test files of a folder, plain or gzipped; the cache folder keeps the values.

    Signer and original are unknown: every image counts as its own original, so intervals are too narrow.
    """
    paths = []
    for split in ROWS:
        if (path := _file(folder, split)) is None:
            raise InputError(f"{folder}: sign_mnist_{split}.csv is missing; run 'asl data fetch sign-mnist'")
        paths.append(path)
    with ThreadPoolExecutor() as pool:  # unpacking and NumPy release the interpreter for the other file
        read = list(pool.map(_read, paths))
    tables = []
    for split, path, rows in zip(ROWS, paths, read, strict=True):
        names = [f"{path.name}:{row}" for row in range(1, len(rows) + 1)]
        tables.append(pd.DataFrame({"file": names, "label": letters_of_25(rows[:, 0]), "split": split}))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(source="sign-mnist", signer="unknown", original=table["file"])
    images = np.concatenate([rows[:, 1:] for rows in read]).reshape(-1, SIDE, SIDE)
    return LetterSet("Sign Language MNIST", table, images)


def fetch_sign_mnist() -> Path:
    """Download the official files from Kaggle into the cache, check them by sha256, and return their folder."""
    with extra("download"):
        import kagglehub
    target = cache_dir() / "sign-mnist"
    for split, expected in SHA256.items():
        name = f"sign_mnist_{split}.csv"
        for anew in (False, True):  # a download that was killed may have left half a file
            try:
                file = Path(kagglehub.dataset_download(KAGGLE_NAME, path=name, force_download=anew))
                content = file.read_bytes().replace(b"\r\n", b"\n")  # files with either line end exist
                found = hashlib.sha256(content).hexdigest()
                reason = f"sha256 {found} instead of {expected}"
            except Exception as error:  # of the network or of a broken archive
                found, reason = "", first_line(error)
            if found == expected:
                write_bytes(target / f"{name}.gz", gzip.compress(content, 6, mtime=0))
                break
        else:
            by_hand = f"get {KAGGLE_NAME} by hand and put its files into {target}"
            raise InputError(f"{name}: cannot be downloaded from Kaggle ({reason}); {by_hand}")
    return target


def _read(path: Path) -> np.ndarray:
    """Rows of a file, label and pixels, (N, 785) uint8, from the cache by the file's hash, else from the file."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    stored = cache_dir() / "pixels" / f"{sha256[:32]}.npy"
    try:
        return kept(stored, lambda temporary: np.save(temporary, read_pixel_rows(path)), np.load)
    except InputError:  # a cache that cannot be written only costs time
        return read_pixel_rows(path)


def _file(folder: Path, split: str) -> Path | None:
    name = f"sign_mnist_{split}"  # Kaggle's archive has a folder a file
    paths = (place / f"{name}{ending}" for place in (folder, folder / name) for ending in (".csv", ".csv.gz"))
    return next(filter(Path.is_file, paths), None)


def read_pixel_csv(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a pixel CSV, ``label,pixel1..pixel784``, plain or gzipped, with columns in any order; check every value.

    Images are (N, 28, 28) uint8, 0 is black; labels are (N,) int64, 0..24 without 9. InputError names the file, the row
    and the reason: a missing or repeated column, a short row, a text, a wrong label, a value outside 0..255.
    """
    rows = read_pixel_rows(Path(path))
    return rows[:, 1:].reshape(-1, SIDE, SIDE), rows[:, 0].astype(np.int64)


def read_pixel_rows(path: Path) -> np.ndarray:
    """Read a pixel CSV as ``read_pixel_csv`` does: (N, 785) uint8, in each row the label, then the pixels."""
    content = read_bytes(path)
    header, expected = next(csv_rows(path, content)), ["label", *PIXEL_COLUMNS]
    if missing := [name for name in expected if name not in header]:
        raise InputError(f"{path}: column {missing[0]} is missing ({len(missing)} in all); of label,pixel1..pixel784")
    if len(header) > len(expected):
        raise InputError(f"{path}: {len(header)} columns instead of 785, label,pixel1..pixel784")
    # Every value is one byte: a text, an empty cell or a number outside 0..255 stops the reader.
    types = pa_csv.ConvertOptions(column_types=dict.fromkeys(expected, pa.uint8()), null_values=[])
    how = {"read_options": pa_csv.ReadOptions(use_threads=False)}  # one thread knows the row of an error
    how |= {"parse_options": pa_csv.ParseOptions(newlines_in_values=True), "convert_options": types}
    try:
        table = pa_csv.read_csv(pa.BufferReader(content), **how).select(expected)
    except (pa.ArrowException, KeyError) as error:
        for _ in csv_rows(path, content):  # names a row of another length
            pass
        wrong = re.search(r"column #(\d+): Row #(\d+): .* invalid value '(.*)'", str(error), re.S)
        if not wrong:
            raise InputError(f"{path}: not a pixel CSV ({first_line(error)})") from None
        name, row, value = header[int(wrong[1])], int(wrong[2]) - 1, wrong[3][:20]
        whole = "a number in 0..24 without 9, A is 0" if name == "label" else "a whole number in 0..255"
        raise InputError(f"{path}: row {row}, {name} is {value!r}; expected {whole}") from None
    if table.num_rows == 0:
        raise InputError(f"{path}: no rows below the header")
    rows = np.stack([column.to_numpy() for column in table.columns], axis=1)
    for place in np.flatnonzero((rows[:, 0] > 24) | (rows[:, 0] == 9)):
        raise InputError(f"{path}: row {place + 1}, label is {rows[place, 0]}; expected 0..24 without 9 (J moves)")
    return rows


def write_pixel_csv(path: str | Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write images (N, 28, 28) uint8 and labels (N,), 0..24 without 9, as a pixel CSV, .csv or .csv.gz."""
    table = pd.DataFrame(np.asarray(images).reshape(len(images), -1), columns=PIXEL_COLUMNS)
    table.insert(0, "label", np.asarray(labels))
    with replacing(Path(path)) as temporary:
        table.to_csv(temporary, index=False)
