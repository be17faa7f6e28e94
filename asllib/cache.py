"""What is made from data is kept in the cache folder: made once, and anew when what it is made from changes."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from asllib.errors import InputError
from asllib.paths import replacing

T = TypeVar("T")


def digest(about: object, *contents: bytes | np.ndarray) -> str:
    """Hash of all that a result depends on: settings and versions by their text, data by its content."""
    whole = hashlib.blake2b(str(about).encode(), digest_size=20)
    for content in contents:
        whole.update((f"{len(content)} bytes" if isinstance(content, bytes) else str(content.shape)).encode())
        whole.update(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
    return whole.hexdigest()


def code_version(*files: str | os.PathLike[str]) -> str:
    """Hash of source files: what other code made is made anew."""
    return digest("", *(Path(file).read_bytes() for file in files))[:8]


def load(path: Path, read: Callable[[Path], T]) -> T | None:
    """Read a file or folder of the cache; None where there is none, or a broken one, which is as good as none."""
    try:
        return read(path) if path.exists() else None
    except Exception:  # whatever a broken file makes ``read`` raise
        return None


def kept(path: Path, write: Callable[[Path], object], read: Callable[[Path], T]) -> T:
    """Read a file or folder of the cache, which ``write`` makes where it is missing; InputError if it cannot be."""
    found = load(path, read)
    if found is None:
        try:
            with replacing(path) as temporary:
                write(temporary)
        except InputError:
            found = load(path, read)  # another process may have been first
            if found is None:
                raise
    return read(path) if found is None else found
