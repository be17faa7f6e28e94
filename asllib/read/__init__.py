"""From hands to text: frames to letters, letters to words; names are imported on first use."""

from asllib.lazy import attach

_MODULES = {
    "decoder": ("FrameListener", "HandListener", "PeakSpeller", "ReadLetter", "Said", "SpellerSettings"),
    "lexicon": ("Lexicon",),
    "reader": ("FrameReading", "ReadWord", "TextReader", "load_network"),
    "subtitles": ("annotate", "annotated_video", "letters_json", "write_subtitles"),
    "videos": ("Reading", "read_stream", "read_text"),
}

__getattr__, __dir__, __all__ = attach(__name__, _MODULES)
