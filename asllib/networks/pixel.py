"""The paper's pixel network: a CNN on 28x28 grey images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PixelConfig:
    """Shape of the pixel network.

    Attributes
    ----------
    channels
        Feature maps of the three blocks.
    hidden
        Width of the first fully connected layer. The paper does not give it.
    dropout
        Share of the features that is zeroed in training. The paper says that there are 2 dropout layers, and
        describes one a block; here whole feature maps are dropped after blocks 1 and 2 (2 layers).
    batch_norm
        Normalise each block's features. The paper explains it and does not list it among the network's layers.
    standardise
        Bring each image to mean 0 and standard deviation 1 by itself, in the place of what the training images share:
        people's cameras differ in light and contrast.
    classes
        Letters, 24 for all still ones.
    """

    channels: tuple[int, int, int] = (32, 64, 128)
    hidden: int = 128
    dropout: float = 0.25
    batch_norm: bool = False
    standardise: bool = False
    classes: int = 24


class PixelCNN(nn.Module):
    """Three blocks of convolution, activation, dropout and max pooling, then two fully connected layers.

    The softmax of the paper is left to the loss, which takes logits (cross entropy on logits is stable). The mean
    image and the standard deviation of the training images are part of the network, so that it takes plain 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: PixelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(1, 28, 28))
        self.register_buffer("std", torch.ones(()))
        blocks: list[nn.Module] = []
        wide = 1
        for number, channels in enumerate(config.channels):
            blocks.append(nn.Conv2d(wide, channels, 3, padding=1))
            if config.batch_norm:
                blocks.append(nn.BatchNorm2d(channels))
            # The paper's order is activation, dropout, pooling. Pooling first gives the same numbers, since neither
            # changes which value is largest, for a quarter of the work.
            blocks.append(nn.MaxPool2d(2))
            blocks.append(nn.ReLU())  # 3 of the paper's 4 activations; the fourth is in the head
            if number < 2:
                blocks.append(nn.Dropout2d(config.dropout))
            wide = channels
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(wide * 9, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.classes),
        )
        # The same numbers in an order that convolutions read faster.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's overloads lack it

    def set_statistics(self, images: Tensor) -> None:
        """Take mean image and standard deviation from training images (N, 28, 28) in 0..1."""
        self.mean.copy_(images.mean(0, keepdim=True))
        self.std.copy_((images - self.mean).std(correction=0).clamp_min(1e-3))  # equal images have none

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (B, 1, 28, 28) in 0..1 into logits (B, classes)."""
        if self.config.standardise:
            mean, std = images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True)  # (B, 1, 1, 1)
            x = (images - mean) / (std + 0.03)  # an image of nothing stays nothing
        else:
            x = (images - self.mean) / self.std  # (B, 1, 28, 28)
        x = self.features(x)  # (B, 32, 14, 14), (B, 64, 7, 7), (B, 128, 3, 3)
        return self.head(x)  # (B, 1152), (B, hidden), (B, classes)
