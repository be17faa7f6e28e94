"""Read tables, JSON, images and paths from anybody: a damaged file gives an error of one line."""

import csv
import gzip
import io
import json
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from asllib.errors import InputError, first_line

if TYPE_CHECKING:
    import pandas as pd
    import PIL.Image

MAX_BYTES = 2**29  # of a file or table in memory: six times Sign Language MNIST; a small gzip can unpack to any size
MAX_JSON = 2**24  # JSON takes twenty times its size in memory
MAX_PIXELS = 100_000_000  # a larger image is a mistake or an attack
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")  # by contents; other formats may start programs


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Read a file, unpacked if it ends in ``.gz``; InputError if this fails, or it has more than ``most`` bytes."""
    check_there(path, path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read to its end ({error}); get the file again") from None
    if len(content) > most:
        raise InputError(f"{path}: more than {most / 2**20:,.0f} MB; split it")
    return content


def csv_rows(path: Path, content: bytes) -> Iterator[list[str]]:
    """Yield the rows of a CSV file (UTF-8), the columns' names first; InputError names the first row that is wrong."""
    save = "save it as comma-separated UTF-8"
    try:
        content.replace(b"\0", b"\xff").decode()  # a zero byte, as in UTF-16, is no text either
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start)
        raise InputError(f"{path}: not a readable CSV file (row {line} is not UTF-8); {save}") from None
    # Spreadsheets write a byte order mark; empty lines are no rows.
    rows = filter(None, csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")))
    try:
        names = next(rows, [])
        if not names:
            raise InputError(f"{path}: an empty file; get it again")
        if len(names) == 1 and ";" in names[0]:
            raise InputError(f"{path}: semicolons stand between the values; save it with commas")
        check_columns(path, names)
        yield names
        for number, row in enumerate(rows, 1):
            if len(row) != len(names):
                said = f"row {number} has {len(row)} values instead of {len(names)}"
                raise InputError(f"{path}: {said}; was the file cut off?")
            yield row
    except csv.Error as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); {save}") from None


def check_columns(path: object, names: Sequence[str]) -> None:
    """Raise InputError if a column's name comes twice."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        said = f"column {twice!r} comes {names.count(twice)} times"
        raise InputError(f"{path}: {said}; the first line names each column once")


def read_csv(path: Path) -> "pd.DataFrame":
    """Read a CSV file (UTF-8, plain or gzipped) as text, "" for an empty cell; InputError names a wrong row."""
    import pandas as pd

    names, *rows = csv_rows(path, read_bytes(path))
    return pd.DataFrame(rows, columns=names, dtype=str)


def read_parquet(path: Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a Parquet file, or some columns; InputError if it is damaged, lacks one or exceeds ``MAX_BYTES``."""
    from pyarrow import parquet

    check_there(path, path)
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            check_columns(path, names)
            if missing := [name for name in columns or () if name not in names]:
                raise InputError(f"{path}: {len(missing)} columns are missing ({', '.join(missing[:3])}); get it again")
            # A few bytes can encode millions of equal rows.
            if 8 * file.metadata.num_rows * len(columns or names) > MAX_BYTES:
                raise InputError(f"{path}: more than {MAX_BYTES / 2**20:,.0f} MB of values; split it")
            return file.read(columns).to_pandas(ignore_metadata=True)
    except InputError:
        raise
    except Exception as error:  # Arrow raises many types on broken files, all with the same meaning
        raise InputError(f"{path}: not a readable Parquet file ({first_line(error)}); make it again") from None


def read_json(path: Path, what: str = "JSON file") -> dict[str, Any]:
    """Read a JSON object of at most ``MAX_JSON`` bytes; InputError calls it ``what``."""
    read = read_bytes(path, MAX_JSON)
    try:
        content = json.loads(read)
    except (ValueError, RecursionError) as error:  # text that is no JSON, or no text; lists in lists in lists
        raise InputError(f"{path}: not a {what} ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a {what} (a {type(content).__name__} instead of an object)")
    return content


@contextmanager
def open_image(file: Path | bytes, name: str, most: int = MAX_PIXELS) -> Iterator["PIL.Image.Image"]:
    """Open an image by its header; errors in the body of the ``with``, such as decoding, become an InputError too.

    InputError if it is missing, in none of ``FORMATS``, has more than ``most`` pixels, or is damaged.
    """
    import PIL.Image

    try:
        if isinstance(file, Path):
            check_there(file, name)
        with (
            warnings.catch_warnings(action="ignore", category=PIL.Image.DecompressionBombWarning),  # ours is ``most``
            io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as stream,
            PIL.Image.open(stream, formats=_formats(stream, name)) as image,
        ):
            if image.width * image.height > most:
                raise InputError(f"{name}: {image.width}x{image.height} pixels; scale it down below {most:,}")
            yield image
    except InputError:
        raise
    except Exception as error:  # Pillow raises many types on broken files, all with the same meaning
        reason = "no known format" if isinstance(error, PIL.UnidentifiedImageError) else first_line(error)
        raise InputError(f"{name}: not a readable image ({reason}); give a .jpg or .png photo") from None


def _formats(stream: IO[bytes], name: str) -> tuple[str, ...]:
    """Formats that Pillow may open: ``FORMATS``, or HEIC, which needs a package."""
    start = stream.read(32)
    stream.seek(0)
    if start[4:8] != b"ftyp" or b"avi" in start[8:]:
        return FORMATS
    try:
        import pi_heif
    except ModuleNotFoundError:
        raise InputError(f"{name}: HEIC needs a package: pip install 'asllib[heic]'; or save it as JPEG") from None
    pi_heif.register_heif_opener()
    return ("HEIF",)


def check_there(path: Path, name: object, what: str = "file") -> None:
    """Raise InputError, which calls the path ``name``, unless it is a plain file: a pipe would block."""
    if str(name).startswith(("http:/", "https:/", "ftp:/")):
        raise InputError(f"{name}: an address of the web; download it, and name the file")
    if path.is_dir():
        raise InputError(f"{name}: a folder; name a {what} in it")
    if not path.is_file():
        raise InputError(f"{name}: no such {what}")


# Endings of ``FORMATS`` and of HEIC.
ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif")


def find_photo_files(path: Path) -> list[Path]:
    """Photos of a folder and its subfolders, sorted, or one file, which may be missing; hidden files are left out.

    One line on stderr counts the folder's other files by ending. InputError if it has no photos.
    """
    if not path.is_dir():
        return [path]
    below = [one for one in path.rglob("*") if not any(p.startswith(".") for p in one.relative_to(path).parts)]
    photos = sorted(one for one in below if one.suffix.lower() in ENDINGS)
    others = Counter(one.suffix.lower() for one in below if one.suffix.lower() not in ENDINGS and one.is_file())
    if others:
        kinds = ", ".join(f"{n} {ending or 'without ending'}" for ending, n in sorted(others.items()))
        print(f"{path}: {others.total()} file{'s' if others.total() > 1 else ''} left out: {kinds}", file=sys.stderr)
    if not photos:
        raise InputError(f"{path}: no photos; their names end in {' '.join(ENDINGS)}")
    return photos


@dataclass(frozen=True)
class PhotoFiles:
    """Photos in a folder as a sequence that reads each photo on access; small to send to a process."""

    root: Path  # the folder
    files: tuple[str, ...]  # paths relative to it

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: SupportsIndex) -> np.ndarray:
        return read_image(self.root / self.files[i])

    def read_bytes(self, i: int) -> bytes:
        """Read the bytes of a photo's file for ``read_image``; InputError if it is missing or too large."""
        return read_bytes(self.root / self.files[i])

    @property
    def paths(self) -> list[Path]:
        """Full paths of the files."""
        return [self.root / file for file in self.files]


Images = Sequence[np.ndarray] | np.ndarray | PhotoFiles  # anything that gives an image for a position


def read_image(file: str | PathLike[str] | bytes, name: object = None) -> np.ndarray:
    """Read a photo or its bytes: (H, W, 3) uint8 RGB, upright as its EXIF says; InputError calls it ``name``."""
    import PIL.ImageOps

    with open_image(file if isinstance(file, bytes) else Path(file), str(name or file)) as image:
        image = PIL.ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16-bit grey, which a conversion would clip at 255
            gray = np.clip(np.array(image, np.float64) / 257, 0, 255).astype(np.uint8)
            return np.repeat(gray[..., None], 3, axis=2)
        return np.array(image.convert("RGB"))


def inside(folder: Path, file: str, where: str) -> Path:
    """Path of a file that a table names; InputError, beginning with ``where``, unless it is in the folder."""
    try:
        path = (folder / file).resolve()  # links followed
        found = (folder / file).is_file()  # as the system opens it: 'none/../a.png' needs a folder none
        file.encode()
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, no UTF-8, links in a circle
        found = False
    if not found or not path.is_relative_to(folder.resolve()):
        raise InputError(f"{where}, {file[:80]}: no such file in {folder}; correct the row or bring the file")
    return path
