"""The live cell, and the recorder of your own signs."""

from asllib.lazy import attach

_MODULES = {"widget": ("LiveReader", "SignRecorder")}

__getattr__, __dir__, __all__ = attach(__name__, _MODULES)
