"""Folders of photos: ``FOLDER/LETTER/*.jpg|png``, or with a ``manifest.csv``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from asllib.data.letterset import COLUMNS, LetterSet, PhotoFiles
from asllib.errors import InputError
from asllib.files import inside, read_csv

ENDINGS = (".jpg", ".jpeg", ".png")


def load_photos(folder: str | Path, name: str | None = None) -> LetterSet:
    """Load a folder of photos; they are read when they are used.

    Parameters
    ----------
    folder
        With ``manifest.csv`` (columns ``file,label``, optionally ``source,signer,original,split``), or with one
        folder a letter.
    name
        What captions call it, by default the folder's name.

    Raises
    ------
    InputError
        If there are no photos, or a row of the manifest names a file that is missing or outside the folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; a data folder is FOLDER/LETTER/*.jpg or has a manifest.csv")
    manifest = folder / "manifest.csv"
    table = read_manifest(folder) if manifest.is_file() else _from_folders(folder)
    if table.empty:
        raise InputError(f"{folder}: no photos; put .jpg or .png files into {folder.name}/A, {folder.name}/B, ...")
    synthetic = bool((table["source"] == "synthetic").all())
    files = tuple(table["file"])
    return LetterSet(name or folder.name, table, PhotoFiles(folder, files), synthetic)


def read_manifest(folder: Path) -> pd.DataFrame:
    """Read the ``manifest.csv`` of a folder: text columns ``file, label, source, signer, original, split``.

    Raises
    ------
    InputError
        If a row has no file or label, or names a file that is missing or outside the folder.
    """
    manifest = folder / "manifest.csv"
    table = read_csv(manifest)
    for column in ("file", "label"):
        if column not in table:
            raise InputError(f"{manifest}: column {column} is missing; it has {', '.join(table.columns)}")
        empty = table.index[table[column].str.strip() == ""]
        if len(empty):
            raise InputError(f"{manifest}: row {empty[0] + 1} has no {column}")
    for column in table.columns:
        zero = table.index[table[column].str.contains("\0", regex=False)]
        if len(zero):  # numpy takes it for the end of a text
            raise InputError(f"{manifest}: row {zero[0] + 1}, {column} has a zero byte; remove it")
    for row, file in enumerate(table["file"], 1):
        inside(folder, file, f"{manifest}: row {row}")
    table["label"] = table["label"].map(_sign)
    return _fill(table, folder.name)


def _from_folders(folder: Path) -> pd.DataFrame:
    # A hidden name is a half-written photo, or what a system keeps beside it.
    files = sorted(path for path in folder.glob("[!.]*/[!.]*") if path.suffix.lower() in ENDINGS)
    rows = [(str(path.relative_to(folder)), _sign(path.parent.name)) for path in files]
    for file, _ in rows:
        inside(folder, file, str(folder))  # a link may lead elsewhere, a name be no text
    return _fill(pd.DataFrame(rows, columns=["file", "label"], dtype=str), folder.name)


def _sign(name: str) -> str:
    name = name.strip()
    return name.upper() if len(name) == 1 else name


def _fill(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Add what a table does not say, also in single cells: the folder is the source, each photo its own original."""
    defaults: dict[str, str | pd.Series]
    defaults = {"source": source, "signer": "unknown", "original": table["file"], "split": ""}
    for column, value in defaults.items():
        table[column] = table[column].where(table[column].str.strip() != "", value) if column in table else value
    return table[[*COLUMNS]]
