"""American Sign Language fingerspelling to text; public names are imported on first use."""

from asllib.lazy import attach

__version__ = "0.1.0"

_MODULES = {
    "data.letterset": ("LetterSet",),
    "data.registry": ("load_letters",),
    "errors": ("InputError",),
    "read.recognizer": ("Prediction", "Recognizer", "load_recognizer"),
    "read.videos": ("read_text",),
}

__getattr__, __dir__, __all__ = attach(__name__, _MODULES)
__all__ += ["__version__"]
