"""The motion network: a CNN along time over the landmarks of a hand, for signs that move and signs in a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

NEITHER = 0  # the output that says: none of the signs


@dataclass(frozen=True)
class MotionConfig:
    """Shape of the motion network.

    Attributes
    ----------
    signs
        What it tells apart, besides "neither", which is its output 0.
    solid
        Whether it sees world landmarks too; sets of landmarks from elsewhere may have none.
    channels
        Width of every layer.
    dilations
        Steps between the three moments that each convolution along time sees.
    dropout
        Share of a layer's features that is zeroed in training.
    delay
        Steps that an answer comes after its moment: what the network sees of the time after it.
    """

    signs: tuple[str, ...] = ("J", "Z")
    solid: bool = False
    channels: int = 96
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    dropout: float = 0.1
    delay: int = 3

    @property
    def features(self) -> int:
        """Numbers a moment, see ``asllib.spelling.features``."""
        return (9 if self.solid else 6) * 21 + 4

    @property
    def classes(self) -> int:
        """Outputs: the signs and "neither"."""
        return len(self.signs) + 1

    @property
    def memory(self) -> int:
        """Steps that one answer depends on."""
        return 1 + 2 * sum(self.dilations)


class MotionNet(nn.Module):
    """A layer on each moment, then convolutions that look back in time, each adding to what it is given.

    It never looks ahead, so that it can answer while the hand still moves.
    """

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.moment = nn.Sequential(
            nn.Conv1d(config.features, width, 1), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(config.dropout)
        )
        self.moment2 = nn.Sequential(nn.Conv1d(width, width, 1), nn.BatchNorm1d(width), nn.ReLU())
        self.back = nn.ModuleList(
            nn.Sequential(nn.Conv1d(width, width, 3, dilation=d), nn.BatchNorm1d(width), nn.ReLU())
            for d in config.dilations
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Conv1d(width, config.classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (B, C, T) into logits (B, classes, T)."""
        x = self.moment2(self.moment(features))  # (B, channels, T)
        for layer, dilation in zip(self.back, self.config.dilations, strict=True):
            x = x + self.dropout(layer(F.pad(x, (2 * dilation, 0))))
        return self.head(x)
