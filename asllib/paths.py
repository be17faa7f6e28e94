"""Folders, atomic writing of files, and the cache of results derived from data."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from asllib.errors import InputError

T = TypeVar("T")


def project_root() -> Path:
    """Folder of the checkout (the one with ``notebooks/``), else the working directory for an installed wheel."""
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


def data_dir() -> Path:
    """Folder of the data sets: ``ASLLIB_DATA``, else the project's ``data/``."""
    named = os.environ.get("ASLLIB_DATA")
    if not named:
        return project_root() / "data"
    folder = Path(named).expanduser().resolve()
    if not folder.is_dir():
        raise InputError(f"ASLLIB_DATA={named}: no such folder; correct the variable or unset it")
    return folder


def cache_dir() -> Path:
    """Folder of downloaded and derived files: ``ASLLIB_CACHE``, else the user's cache folder."""
    import platformdirs

    named = os.environ.get("ASLLIB_CACHE")
    return Path(named).expanduser().resolve() if named else Path(platformdirs.user_cache_dir("asllib"))


def results_dir() -> Path:
    """Folder of the committed results."""
    return project_root() / "data" / "results"


def figures_dir() -> Path:
    """Folder of the figures."""
    return project_root() / "figures"


def write_text(path: Path, text: str) -> None:
    """Write a text file as ``write_bytes`` does, in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file at once, see ``replacing``."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name for a file or folder, and rename it to ``path`` if the block ends without an error.

    Readers see the old file or the new one, also after a full disk, a killed process or a power cut. The name begins
    with a dot and keeps the ending. A device or a pipe is written directly. InputError if writing fails.
    """
    temporary = path.parent / f".{secrets.token_hex(4)}-{path.name}"  # unique among threads and machines
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        # A system may store the new name first: after a power cut the file would exist, but be empty.
        for file in temporary.rglob("*") if temporary.is_dir() else [temporary]:
            if file.is_file():
                with file.open("rb+") as content:  # Windows flushes only files that are open for writing
                    os.fsync(content.fileno())
        temporary.replace(path)
    except InputError as error:  # about a file in the temporary folder, whose name means nothing to the user
        raise InputError(str(error).replace(str(temporary), str(path))) from error
    except OSError as error:
        # NumPy writes arrays without Python, and reports only how much it wrote.
        reason = "File too large or no space left" if " requested and " in str(error) else error.strerror
        if reason is None:  # not a disk error: a library that does not load, a time-out
            raise
        raise InputError(f"{path}: cannot be written ({reason}); make room or name another place") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):  # the first error is reported already
                temporary.unlink(missing_ok=True)


def digest(about: object, *contents: Any) -> str:
    """Hash of everything that a result depends on: settings and versions as text, bytes and arrays by content."""
    whole = hashlib.blake2b(str(about).encode(), digest_size=20)
    for content in contents:
        whole.update((f"{len(content)} bytes" if isinstance(content, bytes) else str(content.shape)).encode())
        whole.update(content if isinstance(content, bytes) else content.tobytes())
    return whole.hexdigest()


def code_version(*files: str | os.PathLike[str]) -> str:
    """Hash of source files: results of other code are made again."""
    return digest("", *(Path(file).read_bytes() for file in files))[:8]


def load(path: Path, read: Callable[[Path], T]) -> T | None:
    """Read a file or folder of the cache; None if it is missing or broken."""
    try:
        return read(path) if path.exists() else None
    except Exception:  # a broken file may make ``read`` raise anything
        return None


def kept(path: Path, write: Callable[[Path], object], read: Callable[[Path], T]) -> T:
    """Read a file or folder of the cache; if it is missing, ``write`` makes it first; InputError if that fails."""
    found = load(path, read)
    if found is not None:
        return found
    try:
        with replacing(path) as temporary:
            write(temporary)
    except InputError:
        if load(path, read) is None:  # another process may have been first
            raise
    return read(path)
