"""Imports on first use: public names of a package, and packages of an extra, which may be missing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from asllib.errors import InputError


def attach(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make a package's ``__getattr__``, ``__dir__`` and ``__all__`` from module -> names, imported on first use."""
    places = {name: f"{package}.{module}" for module, listed in names.items() for name in listed}
    exported = sorted(places)

    def find(name: str) -> Any:
        if name in places:
            return getattr(import_module(places[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find, lambda: exported, exported


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import packages of an extra in the body; if one is missing, InputError names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise InputError(f"package {package} is missing; run 'pip install \"asllib[{name}]\"'") from None
