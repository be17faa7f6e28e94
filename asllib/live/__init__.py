"""The live cell, and the recorders of your own signs and words."""

from asllib.lazy import attach

_MODULES = {"widget": ("LiveReader", "SignRecorder", "WordRecorder")}

__getattr__, __dir__, __all__ = attach(__name__, _MODULES)
