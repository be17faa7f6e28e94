"""The networks, each one short module, and how they are stored."""

from asllib.lazy import attach

_MODULES = {
    "default": ("DefaultConfig", "DefaultNet"),
    "landmark": ("LandmarkAugment", "LandmarkCNN", "LandmarkConfig"),
    "pixel": ("ImageAugment", "PixelCNN", "PixelConfig", "augment_images"),
    "registry": ("Network", "build", "parameter_count", "preset"),
    "spelling": ("SpellingConfig", "SpellingNet"),
    "store": ("load_model", "save_model"),
}

__getattr__, __dir__, __all__ = attach(__name__, _MODULES)
