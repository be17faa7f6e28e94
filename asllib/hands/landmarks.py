"""The 21 hand landmarks: names, bones, tables and drawing."""

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from asllib.errors import InputError
from asllib.files import check_columns, read_csv, read_parquet
from asllib.hands.look import Hand
from asllib.paths import replacing

_THUMB, _FINGER = ("cmc", "mcp", "ip", "tip"), ("mcp", "pip", "dip", "tip")
_JOINTS = {"thumb": _THUMB, "index": _FINGER, "middle": _FINGER, "ring": _FINGER, "little": _FINGER}
LANDMARK_NAMES: tuple[str, ...] = ("wrist", *(f"{name}_{joint}" for name in _JOINTS for joint in _JOINTS[name]))
# Each finger from its base to its tip; the wrist (0) belongs to none.
FINGERS: dict[str, tuple[int, ...]] = {name: tuple(range(4 * k + 1, 4 * k + 5)) for k, name in enumerate(_JOINTS)}
# The bone that ends in landmark i starts in PARENTS[i]; the wrist is its own parent.
PARENTS: tuple[int, ...] = tuple(0 if i == 0 or i % 4 == 1 else i - 1 for i in range(21))
# Lines to draw: the bones of every finger and the line across the knuckles.
CONNECTIONS: tuple[tuple[int, int], ...] = (*((PARENTS[i], i) for i in range(1, 21)), (5, 9), (9, 13), (13, 17))
# RGB, from Okabe and Ito, "Color Universal Design", 2008: colour-blind people can distinguish them.
FINGER_COLORS: dict[str, tuple[int, int, int]] = {
    "thumb": (230, 159, 0),
    "index": (86, 180, 233),
    "middle": (0, 158, 115),
    "ring": (240, 228, 66),
    "little": (204, 121, 167),
}
PALM_COLOR, _OUTLINE = (255, 255, 255), (0, 0, 0)
SIZE_COLUMNS: tuple[str, str] = ("width", "height")
MAX_SIZE = 100_000  # pixels a side
TABLES = (".csv", ".csv.gz", ".parquet")  # endings that ``read_landmarks`` reads

_GROUP = 128  # tables of at most 64 rows that are written together, 4 MB


def image_columns() -> list[str]:
    """Names of the 63 image coordinates: ``x0, y0, z0, .., z20``."""
    return [f"{axis}{i}" for i in range(21) for axis in "xyz"]


def world_columns() -> list[str]:
    """Names of the 63 world coordinates: ``wx0, wy0, wz0, .., wz20``."""
    return [f"w{axis}{i}" for i in range(21) for axis in "xyz"]


def landmark_columns() -> list[str]:
    """Names of the columns that every landmark table has, in order; most have ``SIZE_COLUMNS`` too."""
    return ["file", "label", "side", "score", *image_columns(), *world_columns()]


def landmark_arrays(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Turn a landmark table into the arrays that ``landmark_features`` takes.

    They are ``landmarks`` and ``world`` (N, 21, 3) float32, ``left`` (N,) bool, ``aspect`` (N,) float32, width / height
    or 1 in a table without them, and ``found`` (N,) bool: if it is False, the coordinates are NaN.
    """
    aspect = table["width"] / table["height"] if {*SIZE_COLUMNS} <= {*table} else pd.Series(1, table.index)
    return {
        "landmarks": table[image_columns()].to_numpy(np.float32).reshape(-1, 21, 3),
        "world": table[world_columns()].to_numpy(np.float32).reshape(-1, 21, 3),
        "left": (table["side"] == "left").fillna(False).to_numpy(bool),
        "aspect": aspect.to_numpy(np.float32),
        "found": (table["score"] > 0).to_numpy(bool),
    }


def read_landmarks(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a landmark table from CSV (plain or gzipped) or Parquet: ``landmark_columns()``, then any further columns.

    Texts are strings or missing, numbers float32 (width and height int32). InputError names the row and the value that
    is missing, no number or out of range, also in a cut-off last row.
    """
    path = _named(path)
    if path.suffix == ".parquet":
        table = read_parquet(path)
    else:
        table = read_csv(path)
        table = table.mask(table == "")  # only empty cells are missing: a file or label may be called "NA"
    return check_landmarks(table, path)


def _named(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.name.endswith(TABLES):
        raise InputError(f"{path}: no landmark table; give an ending of .csv, .csv.gz or .parquet")
    return path


def write_landmarks(table: pd.DataFrame | Iterable[pd.DataFrame], path: str | os.PathLike[str]) -> None:
    """Check a landmark table and write it as CSV or Parquet, by the name's ending, completely or not at all.

    A table in parts (``iter_landmarks``) is never in memory as a whole. InputError as in ``read_landmarks``.
    """
    path = _named(path)
    # Many columns make each part of a file costly, so small parts are joined.
    parts = iter([table] if isinstance(table, pd.DataFrame) else table)
    groups = iter(lambda: list(islice(parts, _GROUP)), [])
    checked = (check_landmarks(pd.concat(group, ignore_index=True), path) for group in groups)
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            first = pa.Table.from_pandas(next(checked), preserve_index=False)
            with pq.ParquetWriter(temporary, first.schema) as writer:
                writer.write_table(first)
                for part in checked:
                    writer.write_table(pa.Table.from_pandas(part, first.schema, preserve_index=False))
            return
        for number, part in enumerate(checked):
            part.to_csv(temporary, index=False, header=number == 0, mode="a", lineterminator="\n")


def check_landmarks(table: pd.DataFrame, name: object = "landmarks") -> pd.DataFrame:
    """Return the table with its columns in order and in their types; InputError names column, row from 1, and value."""
    check_columns(name, [str(column) for column in table])
    columns = landmark_columns()
    if "x_right_hand_0" in table:
        raise InputError(f"{name}: a file of Google's fingerspelling set; benchmarks/phrases.py reads its folder")
    missing = [column for column in columns if column not in table]
    if missing:
        some = ", ".join(missing[:3]) + (", .." if len(missing) > 3 else "")
        raise InputError(f"{name}: {len(missing)} of {len(columns)} columns are missing ({some}); extract again")
    texts, numbers = columns[:3], columns[3:]
    table = table[[*columns, *(column for column in table if column not in columns)]].copy()
    text = table[texts].map(lambda value: isinstance(value, str)).to_numpy(bool)
    _refuse(name, table, texts, ~text & table[texts].notna().to_numpy(), "a text is expected here")
    table["side"] = table["side"].replace({"Left": "left", "Right": "right"})  # as MediaPipe writes the side
    values = np.column_stack([_numbers(table[column]) for column in numbers])
    _refuse(name, table, numbers, np.isnan(values) & table[numbers].notna().to_numpy(), "a number is expected here")
    with np.errstate(over="ignore"):  # overflow gives infinity, an error if a hand was found
        table[numbers] = values.astype(np.float32)
    for column in table.columns.intersection([*SIZE_COLUMNS]):
        values = _numbers(table[column])
        good = (values >= 1) & (values <= MAX_SIZE) & (values % 1 == 0)
        _refuse(name, table, [column], ~good, f"a size is a whole number of pixels from 1 to {MAX_SIZE:,}")
        table[column] = values.astype(np.int32)

    score, values = table["score"].to_numpy(), table[numbers[1:]].to_numpy()
    found, known = score > 0, table["side"].isin(["left", "right"]).to_numpy()
    cut = found[:, None] & ~np.isfinite(values)
    _refuse(name, table, ["score"], ~((score >= 0) & (score <= 1)), "a score is 0 (no hand) to 1")
    _refuse(name, table, ["side"], found & ~known, "the side of a found hand is left or right")
    _refuse(name, table, numbers[1:], cut, "a found hand has 126 finite coordinates; the row may be cut off")
    far = np.abs(values) > 20
    _refuse(name, table, numbers[1:], far, "coordinates are fractions of width and height, or metres, not pixels")
    return table


def _refuse(name: object, table: pd.DataFrame, columns: list[str], bad: np.ndarray, rule: str) -> None:
    """Raise InputError for the first row with a ``bad`` value; (N,) bool of one column, else (N, columns)."""
    if bad.any():
        row, place = np.argwhere(bad.reshape(len(table), len(columns)))[0]
        column = columns[place]
        raise InputError(f"{name}: {column} is {table[column].iloc[row]} in row {row + 1}: {rule}")


def _numbers(values: pd.Series) -> np.ndarray:
    """A column as (N,) float64, NaN for anything but a number: nothing, a word, a truth value, a date, a list."""
    if values.dtype.kind not in "iuf":
        texts = values.astype(object).map(str, na_action="ignore")  # a truth value or a date becomes a word
        values = pd.to_numeric(texts, errors="coerce")
    return values.to_numpy(np.float64, na_value=np.nan)


def draw_hand(image: np.ndarray, hand: Hand | None) -> np.ndarray:
    """Return a copy of an image (H, W, 3) uint8 RGB with the bones and joints of a hand, if any, drawn on it."""
    import cv2

    drawn = np.ascontiguousarray(image).copy()
    if hand is None:
        return drawn
    height, width = drawn.shape[:2]
    # Sixteenths of a pixel, which OpenCV's `shift` reads: joints do not jump by whole pixels in a video.
    points = [tuple(int(v) for v in p) for p in np.round(hand.landmarks[:, :2] * [width, height] * 16)]
    thickness = max(1, round(min(height, width) / 120))
    colors = [PALM_COLOR, *(FINGER_COLORS[finger] for finger, joints in FINGERS.items() for _ in joints)]
    # First all dark outlines: they keep pale colours visible on a pale wall.
    for outline in (True, False):
        for start, end in CONNECTIONS:
            bone = colors[end] if colors[start] == colors[end] else PALM_COLOR
            color, wide = (_OUTLINE, thickness + 2) if outline else (bone, thickness)
            cv2.line(drawn, points[start], points[end], color, wide, cv2.LINE_AA, 4)
    for point, color in zip(points, colors, strict=True):
        cv2.circle(drawn, point, 16 * (thickness + 2), _OUTLINE, -1, cv2.LINE_AA, 4)
        cv2.circle(drawn, point, 16 * (thickness + 1), color, -1, cv2.LINE_AA, 4)
    return drawn
