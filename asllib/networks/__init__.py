"""The networks, each one short module, and how they are stored."""

from asllib.networks.landmark import LandmarkCNN, LandmarkConfig
from asllib.networks.pixel import PixelCNN, PixelConfig

__all__ = ["LandmarkCNN", "LandmarkConfig", "PixelCNN", "PixelConfig"]
