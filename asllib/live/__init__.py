"""The live cell, the recorder of your own signs, and what they teach the recogniser.

The names below are imported on first use: ``import asllib.live`` loads neither PyTorch nor the notebook's widgets.
"""

from __future__ import annotations

import importlib

_HOME = {
    "LiveReader": "widget",
    "SignRecorder": "widget",
    "TeachingSettings": "signs",
    "add_signs": "signs",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
