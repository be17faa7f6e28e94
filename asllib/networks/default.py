"""The default network: landmarks and the embedding of a hand, each read by a branch of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asllib.hands.look import WIDTH
from asllib.networks.landmark import LandmarkCNN, LandmarkConfig


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
    sharpen
        Power to which what the landmarks say is raised where there is no embedding: trained to doubt hands that show no
        letter, they are less sure than they are right.
    doubt
        What both say together is no surer than this power of the landmark branch's highest probability.
    classes
        Letters, 24 for all still ones.
    """

    hidden: int = 256
    dropout: float = 0.5
    noise: float = 0.3
    sharpen: float = 1.5
    doubt: float = 0.4
    classes: int = 24


class JointNet(nn.Module):
    """Reads landmarks with ``LandmarkCNN`` and the embedding with two layers, and multiplies what the two say.

    Landmarks hold for any light and background, and say in which direction a hand points; the embedding sees where
    fingers touch. Neither leans on the other: in training each item is answered for by one branch. Which letter it is,
    both decide; that it may be none, landmarks notice better, so that the answer is no surer than they allow. A hand
    without an embedding (NaN) is read by its landmarks alone.
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
        """Take mean and standard deviation of each number from training embeddings (N, 1152); NaN rows have none."""
        embeddings = embeddings[~embeddings[:, 0].isnan()]
        self.mean.copy_(embeddings.mean(0))
        self.std.copy_(embeddings.std(0).clamp_min(1e-3))

    def draw_noise(self, look: Tensor) -> Tensor:
        """Draw normal numbers of the embeddings' shape, (B, 1152)."""
        return torch.randn_like(look)

    def draw_branch(self, said: Tensor) -> Tensor:
        """Draw for each item (B, classes) a number in 0..1, (B, 1): below a half, landmarks answer for it."""
        return torch.rand(len(said), 1, device=said.device)

    def branches(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, classes) of the landmark branch and of the look's, from ``forward``'s inputs."""
        features, embedding = inputs[:, :-WIDTH].unflatten(1, (-1, 21)), inputs[:, -WIDTH:]  # (B, 9, 21), (B, 1152)
        return self.landmark(features).log_softmax(1), self.look_says(embedding.nan_to_num())

    def look_says(self, embedding: Tensor) -> Tensor:
        """Log-probabilities (B, classes) of the look's branch, of embeddings (B, 1152)."""
        look = (embedding - self.mean) / self.std
        if self.training:
            look = look + self.config.noise * self.draw_noise(look)
        return self.look(look).log_softmax(1)

    def together(self, first: Tensor, second: Tensor) -> Tensor:
        """Log-probabilities (B, classes) of the product, flattened to be no surer than landmarks allow."""
        both, even = (first + second).softmax(1), 1 / self.config.classes
        best = both.amax(1, keepdim=True)
        most = torch.minimum(best, first.amax(1, keepdim=True).exp() ** self.config.doubt)
        kept = (most - even) / (best - even).clamp_min(1e-6)
        return torch.lerp(torch.full_like(both, even), both, kept.clamp(0, 1)).clamp_min(1e-12).log()

    def forward(self, inputs: Tensor) -> Tensor:
        """Turn features and embedding in one row, (B, 9 * 21 + 1152), into logits (B, classes)."""
        first, second = self.branches(inputs)
        blind = inputs[:, -1:].isnan()
        if self.training:
            return torch.where(blind | (self.draw_branch(first) < 0.5), first, second)
        return torch.where(blind, self.config.sharpen * first, self.together(first, second))
