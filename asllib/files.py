"""Read tables, JSON, images and paths from anybody: a damaged file gives an error of one line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from asllib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import PIL.Image

MAX_BYTES = 2**29  # of a file or table in memory: six times Sign Language MNIST; a small gzip can unpack to any size
MAX_COLUMNS = 10_000
MAX_JSON = 2**24  # JSON takes twenty times its size in memory
MAX_PIXELS = 100_000_000  # a larger image is a mistake or an attack
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")  # by contents; other formats may start programs


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Read a file, unpacked if it ends in ``.gz``; InputError if this fails, or it has more than ``most`` bytes."""
    try:
        check_there(path, path)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(most + 1)
    except InputError:
        raise
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(f"{path}: cannot be read to its end ({error}); get the file again") from None
    if len(content) > most:
        raise InputError(f"{path}: more than {most / 2**20:,.0f} MB; split it")
    return content


def csv_header(path: Path, content: bytes) -> list[str]:
    """Names of the columns in a CSV file's first line; InputError if it is no text, or no header of a CSV file."""
    line = re.match(rb"(?:\xef\xbb\xbf)?[\r\n]*([^\r\n]{0,1000000})", content)  # spreadsheets write a byte order mark
    assert line is not None  # the pattern matches any content
    try:
        names = next(csv.reader([line[1].decode()]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); save it as comma-separated UTF-8") from None
    if len(names) == 1 and ";" in names[0]:
        raise InputError(f"{path}: semicolons stand between the values; save it with commas")
    if len(names) > 1 and all(re.fullmatch(r"\s*-?\d+\.?\d*(e-?\d+)?\s*", name) for name in names):
        raise InputError(f"{path}: no header line; the first line names the columns")
    return names


def check_columns(path: object, names: Sequence[str]) -> None:
    """Raise InputError if a column's name comes twice, or there are more than 10,000."""
    if len(names) > MAX_COLUMNS:
        raise InputError(f"{path}: {len(names):,} columns; a table here has at most {MAX_COLUMNS:,}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: column {twice!r} comes {names.count(twice)} times; leave one")


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file (UTF-8, plain or gzipped), every value as text, "" for an empty cell.

    InputError names the fault, and its row if there is one.
    """
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    content = read_bytes(path)
    wrong = []

    def stop(row: pa_csv.InvalidRow) -> str:
        wrong.append(row)
        return "error"

    names = csv_header(path, content)
    check_columns(path, names)
    if not content.isascii():  # else Arrow's error about a row of another length fails with a traceback
        try:
            content.decode()
        except UnicodeDecodeError as error:
            line = max(content.count(end, 0, error.start) for end in (b"\n", b"\r"))
            raise InputError(f"{path}: row {line} is not UTF-8; save it as comma-separated UTF-8") from None
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(content if content.endswith((b"\n", b"\r")) else content + b"\n"),
            read_options=pa_csv.ReadOptions(use_threads=False),  # with threads Arrow does not number the rows
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=stop),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
        if table.column_names != names:
            raise pa.ArrowInvalid("the columns' names do not stand in one line")
    except pa.ArrowException as error:
        if wrong:
            row = wrong[0]
            raise InputError(
                f"{path}: row {row.number - 1} has {row.actual_columns} values instead of {row.expected_columns}; "
                "was the file cut off?"
            ) from None
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable CSV file ({reason}); save it as comma-separated UTF-8") from None
    return table.to_pandas()


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file, or some columns of it.

    InputError if it is missing or damaged, repeats or lacks a column, or holds more than ``MAX_BYTES`` of values.
    """
    import pyarrow as pa
    from pyarrow import parquet

    content = read_bytes(path) if columns is None else None
    try:
        file = parquet.ParquetFile(path if content is None else pa.BufferReader(content))
        check_columns(path, file.schema_arrow.names)
        missing = [name for name in columns or () if name not in file.schema_arrow.names]
        if missing:
            raise InputError(f"{path}: {len(missing)} columns are missing ({', '.join(missing[:3])}); get it again")
        # In pieces: a few bytes can encode millions of equal rows.
        pieces, size = [], 0
        for piece in file.iter_batches(batch_size=4096, columns=columns):
            size += piece.nbytes
            if size > MAX_BYTES:
                raise InputError(f"{path}: more than {MAX_BYTES / 2**20:,.0f} MB of values; split it")
            pieces.append(piece)
        schema = pieces[0].schema if pieces else file.schema_arrow
        return pa.Table.from_batches(pieces, schema).to_pandas(ignore_metadata=True)
    except InputError:
        raise
    except Exception as error:  # Arrow raises many types on broken files, all with the same meaning
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a readable Parquet file ({reason}); make it again") from None


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
def open_image(file: Path | bytes, name: str, most: int = MAX_PIXELS) -> Iterator[PIL.Image.Image]:
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
        unknown = isinstance(error, PIL.UnidentifiedImageError)
        reason = "no known format" if unknown else (str(error) or type(error).__name__).splitlines()[0]
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


_WEB = re.compile(r"(https?|ftp):/")


def check_there(path: Path, name: object, what: str = "file") -> None:
    """Raise InputError, which calls the path ``name``, unless it is a plain file: a pipe would block."""
    if _WEB.match(str(name)):
        raise InputError(f"{name}: an address of the web; download it, and name the file")
    if path.is_dir():
        raise InputError(f"{name}: a folder; name a {what} in it")
    if not path.is_file():
        raise InputError(f"{name}: no such {what}")


# Endings of ``FORMATS`` and of HEIC.
ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif")


def photos_among(paths: Iterable[Path], name: object) -> list[Path]:
    """The paths with the ending of a photo, sorted; one line on stderr counts the other files by ending."""
    paths = sorted(paths)
    photos = [path for path in paths if path.suffix.lower() in ENDINGS]
    others = Counter(path.suffix.lower() for path in set(paths) - set(photos) if path.is_file())
    if others:
        kinds = ", ".join(f"{n} {ending or 'without ending'}" for ending, n in sorted(others.items()))
        print(f"{name}: {others.total()} file{'s' if others.total() > 1 else ''} left out: {kinds}", file=sys.stderr)
    return photos


def find_photo_files(path: Path) -> list[Path]:
    """Photos of a path: a folder with its subfolders, a pattern such as ``*.jpg``, or one file.

    InputError if a folder or pattern has none; a single file may be missing.
    """
    found: Iterable[Path]
    if path.is_dir():
        found = (one for one in path.rglob("*") if not any(p.startswith(".") for p in one.relative_to(path).parts))
    elif path.exists() or _WEB.match(str(path)) or not set("*?[") & set(str(path)):
        return [path]
    else:
        found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    photos = photos_among(found, path)
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
        """Read the bytes of a photo's file for ``decode_image``; InputError if it is missing or too large."""
        return read_bytes(self.root / self.files[i])

    @property
    def paths(self) -> list[Path]:
        """Full paths of the files."""
        return [self.root / file for file in self.files]


Images = Sequence[np.ndarray] | np.ndarray | PhotoFiles  # anything that gives an image for a position


def read_image(path: str | PathLike[str]) -> np.ndarray:
    """Read a photo, (H, W, 3) uint8 RGB, turned upright as its EXIF says; InputError as in ``open_image``."""
    return decode_image(Path(path), path)


def decode_image(file: Path | bytes, name: object) -> np.ndarray:
    """Decode a photo, or the bytes of its file, see ``read_image``; errors call it ``name``."""
    import PIL.ImageOps

    with open_image(file, str(name)) as image:
        image = PIL.ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16-bit grey, which a conversion would clip at 255
            gray = np.clip(np.array(image, np.float64) / 257, 0, 255).astype(np.uint8)
            return np.repeat(gray[..., None], 3, axis=2)
        return np.array(image.convert("RGB"))


def inside(folder: Path, file: str, where: str) -> Path:
    """Path of a file that a table names; InputError, beginning with ``where``, unless it is in the folder."""
    try:
        path = (folder / file).resolve()
        found = (folder / file).is_file()  # as the system opens it: 'none/../a.png' needs a folder none
        file.encode()
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, no UTF-8, links in a circle
        raise InputError(f"{where}, {file[:80]!r} cannot be the name of a file") from None
    if not path.is_relative_to(folder.resolve()):  # links followed
        raise InputError(f"{where}, {file} lies outside the folder; give paths within {folder}")
    if not found:
        raise InputError(f"{where}, {file}: no such file; remove the row or bring the file")
    return path
