"""The picture network: a residual CNN on the picture of a hand, small enough to look at every frame of a video."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 112  # pixels of the picture that the network takes


@dataclass(frozen=True)
class PictureConfig:
    """Shape of the picture network.

    Attributes
    ----------
    width
        Feature maps of the first convolution; the blocks have 1.5, 3, 6 and 8 times as many.
    dropout
        Share of the last features that is zeroed in training.
    classes
        Letters, 24 for all still ones.
    """

    width: int = 24
    dropout: float = 0.4
    classes: int = 24

    @property
    def features(self) -> int:
        """Numbers that a letter is read from."""
        return 8 * self.width


class Residual(nn.Module):
    """Two convolutions beside a shortcut, at half the height and width (He et al., 2016)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(before, after, 3, 2, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, 2, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, after, H / 2, W / 2)."""
        return F.relu(self.main(x) + self.shortcut(x))


class PictureNet(nn.Module):
    """Reads a letter from the picture of a hand, cut out upright by its landmarks.

    It sees what landmarks do not say, or say wrongly: where the thumb lies in a fist, which finger is in front.
    """

    def __init__(self, config: PictureConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        widths = (width, width * 3 // 2, width * 3, width * 6, width * 8)
        self.enter = nn.Sequential(nn.Conv2d(3, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(*(Residual(*pair) for pair in itertools.pairwise(widths)))
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(config.features, config.classes))

    def features(self, pictures: Tensor) -> Tensor:
        """Turn pictures (B, 3, 112, 112) in 0..1 into what a letter is read from (B, 8 * width)."""
        x = self.enter(pictures - 0.5)  # (B, width, 56, 56)
        return self.blocks(x).mean((2, 3))  # of (B, 8 * width, 4, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        """Turn pictures (B, 3, 112, 112) in 0..1 into logits (B, classes)."""
        return self.head(self.features(pictures))
