"""From hands to text: letters out of streams of frames, words out of letters.

The names below are imported on first use: ``import asllib.spelling`` loads neither MediaPipe nor PyTorch.
"""

from __future__ import annotations

import importlib

_MODULES = {
    "decoder": ("HandListener", "PeakSpeller", "Said"),
    "lexicon": ("Lexicon", "draw_words"),
    "reading": ("FrameReading", "Reading", "TextReader", "read_text"),
    "speller": ("ReadLetter", "Speller", "SpellerSettings"),
    "subtitles": ("AnnotatedVideo", "annotate", "letters_json", "write_subtitles"),
    "streams": ("Plan", "Stream", "film", "films", "practice_plans", "stream_of"),
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
