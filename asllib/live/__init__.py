"""The live cell, and the recorders of your own signs and of words.

The names below are imported on first use: ``import asllib.live`` loads neither PyTorch nor the notebook's widgets.
"""

from __future__ import annotations

from asllib.lazy import attach

_MODULES = {"widget": ("LiveReader", "SignRecorder", "WordRecorder")}

__getattr__, __dir__, __all__ = attach(__name__, _MODULES)
