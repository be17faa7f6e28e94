"""From hands to text: streams of frames to letters, letters to words.

The names below are imported on first use: ``import asllib.read`` loads neither MediaPipe nor PyTorch.
"""

from asllib.lazy import attach

_MODULES = {
    "decoder": ("FrameListener", "HandListener", "PeakSpeller", "ReadLetter", "Said", "SpellerSettings"),
    "lexicon": ("Lexicon",),
    "reader": ("FrameReading", "ReadWord", "TextReader", "load_network"),
    "subtitles": ("annotate", "annotated_video", "letters_json", "write_subtitles"),
    "videos": ("Reading", "read_stream", "read_text"),
}

__getattr__, __dir__, __all__ = attach(__name__, _MODULES)
