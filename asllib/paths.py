"""Where things lie; nothing depends on the working directory."""

from __future__ import annotations

import os
from pathlib import Path

from asllib.errors import InputError


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

    return Path(os.environ.get("ASLLIB_CACHE") or platformdirs.user_cache_dir("asllib"))


def results_dir() -> Path:
    """Folder of the committed results."""
    return project_root() / "data" / "results"


def figures_dir(synthetic: bool = False) -> Path:
    """Folder of the figures; those of the synthetic signer have one of their own."""
    figures = project_root() / "figures"
    return figures / "synthetic" if synthetic else figures


def write_text(path: Path, text: str) -> None:
    """Write a text file as ``write_bytes`` does, in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it: readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
