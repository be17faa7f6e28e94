"""The networks, each one short module, and how they are stored."""

from asllib.lazy import attach

_MODULES = {
    "default": ("DefaultConfig", "DefaultNet"),
    "landmark": ("LandmarkAugment", "LandmarkCNN", "LandmarkConfig"),
    "pixel": ("ImageAugment", "PixelCNN", "PixelConfig", "augment_images"),
    "spelling": ("SpellingConfig", "SpellingNet"),
    "store": ("Network", "build", "load_model", "parameter_count", "preset", "save_model"),
}

__getattr__, __dir__, __all__ = attach(__name__, _MODULES)
