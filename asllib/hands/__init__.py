"""Hands: find them with MediaPipe, store their 21 landmarks, turn them into features, draw them.

The names below are imported on first use: ``import asllib.hands`` loads neither MediaPipe nor PyTorch.
"""

from __future__ import annotations

import importlib

_MODULES = {
    "landmarks": (
        "CONNECTIONS",
        "FINGERS",
        "LANDMARK_NAMES",
        "PARENTS",
        "SIZE_COLUMNS",
        "check_landmarks",
        "image_columns",
        "landmark_arrays",
        "landmark_columns",
        "read_landmarks",
        "world_columns",
        "write_landmarks",
    ),
    "tracker": (
        "ATTEMPTS",
        "LOOKS",
        "Attempt",
        "Hand",
        "HandTracker",
        "mirror_hand",
        "model_file",
    ),
    "extract": ("extract_landmarks",),
    "features": ("landmark_features", "normalisation_steps"),
    "drawing": ("FINGER_COLORS", "draw_hand"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
