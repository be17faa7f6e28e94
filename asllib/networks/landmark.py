"""The landmark network: a CNN along the fingers of a hand. The paper names one and leaves it as TODO."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asllib.hands.landmarks import FINGERS

# Row f: the wrist, then the four joints of finger f from base to tip.
GRID = [[0, *joints] for joints in FINGERS.values()]  # 5 x 5 landmark numbers


@dataclass(frozen=True)
class LandmarkConfig:
    """Shape of the landmark network.

    Attributes
    ----------
    features
        Numbers a landmark: the channels of ``asllib.hands.landmark_features``.
    channels
        Feature maps of the two convolutions along the fingers and of the one across them.
    hidden
        Width of the fully connected layer.
    dropout
        Share of the features before each fully connected layer that is zeroed in training.
    classes
        Letters, 24 for all still ones.
    """

    features: int = 9
    channels: tuple[int, int, int] = (32, 48, 64)
    hidden: int = 128
    dropout: float = 0.3
    classes: int = 24


class LandmarkCNN(nn.Module):
    """Convolutions along each finger, shared by all fingers, then across neighbouring fingers, then two layers.

    The 21 landmarks are laid out as a grid of 5 fingers by 5 joints, wrist to tip, the way a hand is built: a kernel
    of 3 along a row sees two bones and the joint between them; a kernel of 3 across rows sees fingers side by side.
    """

    grid: Tensor

    def __init__(self, config: LandmarkConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("grid", torch.tensor(GRID), persistent=False)
        first, second, third = config.channels
        self.along = nn.Sequential(
            nn.Conv2d(config.features, first, (1, 3), padding=(0, 1)),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, (1, 3)),
            nn.BatchNorm2d(second),
            nn.ReLU(),
        )
        self.across = nn.Sequential(nn.Conv2d(second, third, (3, 3)), nn.BatchNorm2d(third), nn.ReLU())
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(third * 3 + config.features * 21, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.classes),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (B, C, 21) into logits (B, classes)."""
        x = features[:, :, self.grid]  # (B, C, 5, 5): fingers x joints
        x = self.along(x)  # (B, 48, 5, 3)
        x = self.across(x)  # (B, 64, 3, 1)
        # The points themselves go along: a finger's direction in the image is what tells G from Q.
        return self.head(torch.cat([x.flatten(1), features.flatten(1)], 1))
