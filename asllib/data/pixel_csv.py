"""Pixel CSV files, the format of Sign Language MNIST: ``label,pixel1..pixel784``."""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from asllib.errors import InputError
from asllib.letters import LETTERS

SIDE = 28
PIXEL_COLUMNS = [f"pixel{i}" for i in range(1, SIDE * SIDE + 1)]
EMPTY_LABEL = LETTERS.index("J")  # 9 is never used; labels end at Y, 24


def read_pixel_csv(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a pixel CSV, plain or gzipped, and check every value.

    Returns
    -------
    images
        (N, 28, 28) uint8, 0 is black.
    labels
        (N,) int64, 0..24 without 9, as in the file.

    Raises
    ------
    InputError
        Naming the file, the row and the reason: a column missing or repeated, a row cut off, a text, a label that
        is not a still letter, a value outside 0..255.
    """
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a pixel CSV (.csv or .csv.gz)")
    header = _header(path)
    expected = ["label", *PIXEL_COLUMNS]
    if header != expected:
        missing = [name for name in expected if name not in header]
        if missing:
            raise InputError(
                f"{path}: column {missing[0]} is missing ({len(missing)} in all); expected label,pixel1..pixel784"
            )
        raise InputError(f"{path}: {len(header)} columns instead of 785 in the order label,pixel1..pixel784")
    try:
        # Every value is read as one byte: a text, a hole, a number below 0 or above 255 stops the reader.
        types = pa_csv.ConvertOptions(column_types=dict.fromkeys(expected, pa.uint8()))
        table = pa_csv.read_csv(path, convert_options=types)
        if any(column.null_count for column in table.columns):
            raise pa.ArrowInvalid("empty values")
    except (pa.ArrowInvalid, OSError) as error:
        raise _diagnosis(path, error) from None
    if table.num_rows == 0:
        raise InputError(f"{path}: no rows below the header")
    labels = table.column("label").to_numpy().astype(np.int64)
    wrong = (labels > 24) | (labels == EMPTY_LABEL)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{path}: row {row + 1}, label is {labels[row]}; expected 0..24 without 9 (J moves)")
    pixels = np.stack([column.to_numpy() for column in table.columns[1:]], axis=1)  # (N, 784)
    return pixels.reshape(-1, SIDE, SIDE), labels


def write_pixel_csv(path: str | Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write images as a pixel CSV; ``read_pixel_csv`` gives the same arrays back.

    Parameters
    ----------
    path
        A .csv or .csv.gz file.
    images
        (N, 28, 28) uint8.
    labels
        (N,) integers in 0..24 without 9: places in the whole alphabet.
    """
    path = Path(path)
    table = pd.DataFrame(np.asarray(images).reshape(len(images), -1), columns=PIXEL_COLUMNS)
    table.insert(0, "label", np.asarray(labels))
    temporary = path.with_name(f".{os.getpid()}-{path.name}")  # keeps the ending, which decides on gzip
    try:
        table.to_csv(temporary, index=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _open(path: Path):
    # utf-8-sig: spreadsheets write a mark before the first column's name.
    return gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else path.open(encoding="utf-8-sig")


def _header(path: Path) -> list[str]:
    try:
        with _open(path) as file:
            return next(csv.reader([file.readline(100_000).strip()]), [])
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from None


def _diagnosis(path: Path, error: Exception) -> InputError:
    """Read the file once more, slowly, to name the first row that is wrong."""
    try:
        with _open(path) as file:
            rows = csv.reader(file)
            next(rows)
            number = 0
            for number, row in enumerate(filter(None, rows), 1):  # empty lines are no rows
                if len(row) != SIDE * SIDE + 1:
                    return InputError(
                        f"{path}: row {number} has {len(row)} values instead of 785; was the file cut off?"
                    )
                for name, value in zip(["label", *PIXEL_COLUMNS], row, strict=True):
                    if not value.isascii() or not value.isdigit() or int(value[:4]) > 255:
                        expected = "0..24 without 9" if name == "label" else "a whole number in 0..255"
                        return InputError(f"{path}: row {number}, {name} is {value[:20]!r}; expected {expected}")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as cause:
        return InputError(f"{path}: cannot be read to its end ({cause}); get the file again")
    if number == 0:
        return InputError(f"{path}: no rows below the header")
    return InputError(f"{path}: not a pixel CSV ({str(error).splitlines()[0]})")
