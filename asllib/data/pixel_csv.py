"""Pixel CSV files, the format of Sign Language MNIST: ``label,pixel1..pixel784``."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from asllib.errors import InputError
from asllib.files import csv_header, read_bytes
from asllib.letters import LETTERS
from asllib.paths import replacing

SIDE = 28
PIXEL_COLUMNS = [f"pixel{i}" for i in range(1, SIDE * SIDE + 1)]
EMPTY_LABEL = LETTERS.index("J")  # 9 is never used; labels end at Y, 24


def read_pixel_csv(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a pixel CSV, plain or gzipped, its columns in any order, and check every value.

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
    rows = read_pixel_rows(Path(path))
    return rows[:, 1:].reshape(-1, SIDE, SIDE), rows[:, 0].astype(np.int64)


def read_pixel_rows(path: Path) -> np.ndarray:
    """Read a pixel CSV as ``read_pixel_csv`` does: (N, 785) uint8, in each row the label, then the pixels."""
    content = read_bytes(path)
    rows = _parse_plain(content)
    if rows is None:
        rows = _parse_any(path, content)
    check_labels(rows, path)
    return rows


def check_labels(rows: np.ndarray, path: Path) -> None:
    """Raise InputError unless each row (785,) begins with a label, 0..24 without 9."""
    labels = rows[:, 0]
    wrong = (labels > 24) | (labels == EMPTY_LABEL)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{path}: row {row + 1}, label is {labels[row]}; expected 0..24 without 9 (J moves)")


_HEADER = ",".join(["label", *PIXEL_COLUMNS]).encode() + b"\n"
_ENDS = np.frombuffer(b"," * (SIDE * SIDE) + b"\n", np.uint8)  # what follows each number of a row
_PIECE = 2**18  # bytes parsed at once: what fits into a core's own memory


def _parse_plain(content: bytes) -> np.ndarray | None:
    """Parse a file of nothing but the header, 0..255, commas and line feeds: (N, 785) uint8; None for any other.

    Three times as fast as the parser of any CSV.
    """
    if not content.startswith(_HEADER):
        return None
    pieces, start = [], len(_HEADER)
    while start < len(content):
        stop = content.rfind(b"\n", start, start + _PIECE) + 1
        if stop == 0:
            return None
        pieces.append(np.frombuffer(content, np.uint8, stop - start, start))
        start = stop
    with ThreadPoolExecutor() as pool:  # NumPy leaves the interpreter to the other threads
        parts = [part for part in pool.map(_parse_piece, pieces) if part is not None]
    return np.concatenate(parts) if parts and len(parts) == len(pieces) else None


def _parse_piece(text: np.ndarray) -> np.ndarray | None:
    """Parse bytes of whole rows, (rows, 785) uint8; None if they are not plain."""
    ends = np.flatnonzero(text < ord("0"))  # commas and line feeds, one after each number
    if len(ends) == 0 or len(ends) % len(_ENDS) or (text[ends].reshape(-1, len(_ENDS)) != _ENDS).any():
        return None
    digits = np.diff(ends, prepend=-1) - 1
    if text.max() > ord("9") or digits.min() < 1 or digits.max() > 3:
        return None
    text = text - np.uint8(ord("0"))
    # Two digits at most are below 100 and fit in a byte.
    values = (text[ends - 1] + 10 * text[ends - 2] * (digits > 1)).astype(np.int16)
    values += 100 * (text[ends - 3] * (digits > 2)).astype(np.int16)
    return values.astype(np.uint8).reshape(-1, len(_ENDS)) if values.max() <= 255 else None


def _parse_any(path: Path, content: bytes) -> np.ndarray:
    """Parse a file of any CSV form, its columns in any order, or say what is wrong: (N, 785) uint8."""
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    header = csv_header(path, content)
    expected = ["label", *PIXEL_COLUMNS]
    missing = [name for name in expected if name not in header]
    if missing:
        raise InputError(
            f"{path}: column {missing[0]} is missing ({len(missing)} in all); expected label,pixel1..pixel784"
        )
    if len(header) > len(expected):
        raise InputError(f"{path}: {len(header)} columns instead of 785, label,pixel1..pixel784")
    try:
        # Every value is read as one byte: a text, a hole, a number below 0 or above 255 stops the reader.
        types = pa_csv.ConvertOptions(column_types=dict.fromkeys(expected, pa.uint8()))
        table = pa_csv.read_csv(pa.BufferReader(content), convert_options=types).select(expected)
        if any(column.null_count for column in table.columns):
            raise pa.ArrowInvalid("empty values")
    except (pa.ArrowException, KeyError) as error:
        raise _diagnosis(path, content, header, error) from None
    if table.num_rows == 0:
        raise InputError(f"{path}: no rows below the header")
    return np.stack([column.to_numpy() for column in table.columns], axis=1)


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
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def _diagnosis(path: Path, content: bytes, header: list[str], error: Exception) -> InputError:
    """Read the file once more, slowly, to name the first row that is wrong."""
    try:
        # Invalid bytes become a sign that is no digit. Empty lines are no rows; the first that is one is the header.
        rows = filter(None, csv.reader(io.StringIO(content.decode("utf-8-sig", errors="replace"), newline="")))
        next(rows, None)
        number = 0
        for number, row in enumerate(rows, 1):
            if len(row) != SIDE * SIDE + 1:
                return InputError(f"{path}: row {number} has {len(row)} values instead of 785; was the file cut off?")
            for name, value in zip(header, row, strict=True):
                if not value.isascii() or not value.isdigit() or int(value[:4]) > 255:
                    expected = "0..24 without 9" if name == "label" else "a whole number in 0..255"
                    return InputError(f"{path}: row {number}, {name} is {value[:20]!r}; expected {expected}")
    except csv.Error as cause:
        return InputError(f"{path}: cannot be read to its end ({cause}); get the file again")
    if number == 0:
        return InputError(f"{path}: no rows below the header")
    return InputError(f"{path}: not a pixel CSV ({str(error).splitlines()[0]})")
