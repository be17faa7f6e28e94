"""American Sign Language fingerspelling to text.

The public names are imported on first use, so that ``import asllib`` costs next to nothing.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOME = {
    "LetterSet": "asllib.data.letterset",
    "InputError": "asllib.errors",
    "Prediction": "asllib.recognizer",
    "Recognizer": "asllib.recognizer",
    "load_letters": "asllib.data.registry",
    "load_recognizer": "asllib.recognizer",
    "read_text": "asllib.spelling.reading",
}

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'asllib' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
