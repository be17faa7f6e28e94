"""Phrases that people spell: films as landmarks, with their text, in the layouts of public sets."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from asllib.errors import InputError
from asllib.files import csv_header, inside, read_bytes, read_csv, read_parquet
from asllib.hands.stream import Stream
from asllib.lazy import extra
from asllib.letters import LETTERS

FPS = 30.0  # frames a second of the films behind Kaggle's tables; a .pose file holds its own rate
ASPECT = 3 / 4  # width / height of an upright phone's selfie camera, which the tables do not give
SIDES = ("right", "left")  # if both hands are seen equally often, the first spells
MANIFEST = "manifest.csv"
_TABLES = ("train.csv", "supplemental_metadata.csv")  # of Kaggle's layout
_NAMES = {"path": "file", "sequence_id": "sequence", "phrase": "text", "participant_id": "signer"}  # Kaggle's -> ours
_POINTS = [f"{axis}_{side}_hand_{i}" for side in SIDES for i in range(21) for axis in "xyz"]


def letters_of(text: str) -> str:
    """The letters A-Z of a text, without all other characters."""
    return "".join(letter for letter in text.upper() if letter in LETTERS)


def count_others(texts: Iterable[str]) -> dict[str, int]:
    """Count spaces, digits and other characters in texts."""
    others = [c for c in "".join(texts).upper() if c not in LETTERS]
    counts = Counter("spaces" if c.isspace() else "digits" if c.isdigit() else "other signs" for c in others)
    return {kind: counts[kind] for kind in ("spaces", "digits", "other signs")}


@dataclass(frozen=True)
class Phrases:
    """Phrases in files, which are read on access."""

    folder: Path
    table: pd.DataFrame  # one row per phrase, sorted by file: text columns file, sequence, text, signer, split

    def __len__(self) -> int:
        return len(self.table)

    @property
    def plain(self) -> np.ndarray:
        """(N,) bool: the phrase has only letters and spaces, and at least one letter."""
        return self.table["text"].str.fullmatch(" *[A-Za-z][A-Za-z ]*").to_numpy(bool)

    @property
    def learnable(self) -> np.ndarray:
        """(N,) bool: plain phrases, if the set has its own split only those in "train"."""
        # Other phrases would teach that digits mean nothing, although a 2 has the handshape of V.
        return self.plain & self.table["split"].isin(["", "train"]).to_numpy(bool)

    def subset(self, which: np.ndarray) -> "Phrases":
        """Take the phrases of a boolean mask."""
        return replace(self, table=self.table[which].reset_index(drop=True))

    def sha256(self) -> str:
        """Hash of the table alone, since the landmarks are too large."""
        return hashlib.sha256(self.table.to_csv(index=False).encode()).hexdigest()

    def streams(self) -> Iterator[Stream]:
        """Yield the hand of each phrase, with its letters as ``word``; of two hands the one seen more often.

        There are no world landmarks. InputError names a file that is damaged or lacks a sequence of the table.
        """
        for file, rows in self.table.groupby("file", sort=False):
            path = self.folder / str(file)
            one = _read_pose if path.suffix == ".pose" else _read_parquet
            for row, (points, times, aspect) in zip(rows.itertuples(), one(path, rows["sequence"]), strict=True):
                seen = np.isfinite(points).all((2, 3))  # (F, 2)
                side = int(seen[:, 1].sum() > seen[:, 0].sum())
                landmarks = np.where(seen[:, side, None, None], points[:, side], np.float32(np.nan))
                world, left = np.full_like(landmarks, np.nan), np.full(len(times), SIDES[side] == "left")
                word = letters_of(str(row.text))
                yield Stream(times, landmarks, world, left, aspect, word, signer=str(row.signer))


def _read_parquet(path: Path, wanted: Iterable[str]) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Points of both hands (F, 2, 21, 3), times and aspect of each wanted sequence of a file."""
    table = read_parquet(path, ["sequence_id", "frame", *_POINTS])
    try:
        points = table[_POINTS].to_numpy(np.float32).reshape(-1, 2, 21, 3)
        frames = table["frame"].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: landmarks and frames are numbers ({error}); get the file again") from None
    places = table.groupby(table["sequence_id"].astype(str)).indices
    for sequence in wanted:
        rows = places.get(sequence, np.array([], int))
        if not len(rows) or (np.diff(frames[rows]) <= 0).any():
            raise InputError(f"{path}: sequence {sequence} has no frames, or none that increase; get it again")
        yield points[rows], frames[rows] / FPS, ASPECT


def _read_pose(path: Path, _: Iterable[str]) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """The same of a .pose file of MediaPipe Holistic, whose points are in pixels."""
    with extra("pose"):
        from pose_format import Pose
    content = read_bytes(path)
    try:
        pose = Pose.read(content)
        size, fps = pose.header.dimensions, float(pose.body.fps)
        data = np.ma.filled(pose.body.data[:, 0, :, :3].astype(np.float32), np.nan)  # of the first person
        parts = [part.name for part in pose.header.components]
        ends = np.cumsum([len(part.points) for part in pose.header.components])
        places = [ends[parts.index(f"{side.upper()}_HAND_LANDMARKS")] for side in SIDES]
        points = np.stack([data[:, end - 21 : end] for end in places], 1)  # (F, 2, 21, 3)
        points = points / np.array([size.width, size.height, 1], np.float32)
        if not (len(points) and fps > 0 and size.width and size.height):
            raise ValueError(f"{len(points)} frames of {size.width}x{size.height}, {fps:g} a second")
    except Exception as error:  # the package raises many types on broken files
        raise InputError(f"{path}: not a .pose file of MediaPipe Holistic ({error}); make it again") from None
    yield points, np.arange(len(points)) / fps, size.width / size.height


def has_phrases(folder: str | Path) -> bool:
    """Whether a folder holds phrases, as ``load_phrases`` takes them."""
    manifest = Path(folder) / MANIFEST
    kaggle = any((Path(folder) / name).is_file() for name in _TABLES)
    return kaggle or (manifest.is_file() and "text" in csv_header(manifest, read_bytes(manifest)))


def load_phrases(folder: str | Path) -> Phrases:
    """Load a folder of phrases.

    The folder has the layout of Kaggle's "Google - American Sign Language Fingerspelling Recognition": ``train.csv``,
    ``supplemental_metadata.csv`` or both, and Parquet files with two hands. Or it has a ``manifest.csv`` with columns
    ``file,text,signer`` and .pose files. A column ``split`` may give the part of each phrase.

    InputError if there are no phrases, a column is missing, or a named file is missing or outside the folder.
    """
    folder = Path(folder)
    if not has_phrases(folder):
        raise InputError(f"{folder}: no phrases; name a folder with {_TABLES[0]}, or a {MANIFEST} of file,text,signer")
    tables = [_read_table(folder / name) for name in (*_TABLES, MANIFEST) if (folder / name).is_file()]
    table = pd.concat(tables).sort_values("file", kind="stable", ignore_index=True)
    if table.empty:
        raise InputError(f"{folder}: its table is empty")
    return Phrases(folder, table)


def _read_table(path: Path) -> pd.DataFrame:
    table = read_csv(path)
    missing = [name for name in (("file", "text", "signer") if path.name == MANIFEST else _NAMES) if name not in table]
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing; it has {', '.join(table.columns)}")
    if path.name != MANIFEST:
        table = table.rename(columns=_NAMES)
    for file in table["file"].unique():
        inside(path.parent, file, str(path))
    return table.reindex(columns=["file", "sequence", "text", "signer", "split"], fill_value="")
