"""The networks, each one short module, and how they are stored."""

from asllib.models.landmark_cnn import LandmarkCNN, LandmarkConfig
from asllib.models.pixel_cnn import PixelCNN, PixelConfig

__all__ = ["LandmarkCNN", "LandmarkConfig", "PixelCNN", "PixelConfig"]
