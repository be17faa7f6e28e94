"""The default network: landmarks and the look of the hand, each read by a branch of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asllib.hands.embedding import WIDTH
from asllib.models.landmark_cnn import LandmarkCNN, LandmarkConfig


@dataclass(frozen=True)
class JointConfig:
    """Shape of the joint network.

    Attributes
    ----------
    hidden
        Width of the layer that reads the embedding.
    dropout
        Share of that layer that is zeroed in training; of the embedding it is 0.6 times as much.
    noise
        Standard deviation of what is added to the standardised embedding in training.
    alone
        Share of the training items that one of the branches answers for alone, each as often as the other.
    classes
        Letters, 24 for all still ones.
    """

    hidden: int = 256
    dropout: float = 0.5
    noise: float = 0.3
    alone: float = 0.8
    classes: int = 24


class JointNet(nn.Module):
    """Reads landmarks with ``LandmarkCNN`` and the tracker's embedding with two layers, and multiplies what they say.

    Landmarks hold for any light and background, and say in which direction a hand points; the embedding sees where
    fingers touch. Neither must lean on the other: in training most items are answered for by one branch alone (after
    ModDrop, Neverova et al., "ModDrop: adaptive multi-modal gesture recognition", 2015).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: JointConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("std", torch.ones(WIDTH))
        self.landmark = LandmarkCNN(LandmarkConfig(classes=config.classes))
        self.look = nn.Sequential(
            nn.Dropout(0.6 * config.dropout),
            nn.Linear(WIDTH, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.classes),
        )

    def set_statistics(self, embeddings: Tensor) -> None:
        """Take mean and standard deviation of each number from training embeddings (N, 1152)."""
        self.mean.copy_(embeddings.mean(0))
        self.std.copy_(embeddings.std(0).clamp_min(1e-3))

    def draw_noise(self, look: Tensor) -> Tensor:
        """Draw normal numbers of the embeddings' shape, (B, 1152)."""
        return torch.randn_like(look)

    def draw_branch(self, said: Tensor) -> Tensor:
        """Draw for each item (B, classes) two numbers in 0..1, (2, B, 1): whether one branch is alone, and which."""
        return torch.rand(2, len(said), 1, device=said.device)

    def branches(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, classes) of the landmark branch and of the look's, from ``forward``'s inputs."""
        features, embedding = inputs[:, :-WIDTH].unflatten(1, (-1, 21)), inputs[:, -WIDTH:]  # (B, 9, 21), (B, 1152)
        look = (embedding - self.mean) / self.std
        if self.training:
            look = look + self.config.noise * self.draw_noise(look)
        return self.landmark(features).log_softmax(1), self.look(look).log_softmax(1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Turn features and embedding in one row, (B, 9 * 21 + 1152), into logits (B, classes)."""
        first, second = self.branches(inputs)
        if self.training:
            alone, which = self.draw_branch(first)
            first = first * ~((alone < self.config.alone) & (which < 0.5))
            second = second * ~((alone < self.config.alone) & (which >= 0.5))
        return first + second
