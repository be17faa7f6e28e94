"""The default network: landmarks and the embedding of a hand, each read by a branch of its own."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from asllib.config import Preset, Training
from asllib.hands.look import WIDTH
from asllib.networks.landmark import LandmarkAugment, LandmarkCNN, LandmarkConfig
from asllib.networks.store import Network


@dataclass(frozen=True)
class DefaultConfig:
    """Shape of the default network."""

    hidden: int = 256  # width of the layer that reads the embedding
    dropout: float = 0.5  # share of that layer that is zeroed in training; of the embedding it is 0.6 times as much
    noise: float = 0.3  # standard deviation of the noise on the standardised embedding in training
    # Power of the landmark branch's probabilities without an embedding: this branch learned to doubt hands that show no
    # letter, so its confidence is lower than its accuracy.
    sharpen: float = 1.5
    doubt: float = 0.4  # the confidence of both is at most this power of the landmark branch's highest probability
    share: float = 0.25  # of the hands with an embedding that train the landmark branch instead
    classes: int = 24  # letters


PRESETS = {
    "best": Preset(
        DefaultConfig(),
        Training(epochs=40, learning_rate=3e-3, batch=128, one_cycle=True, weight_decay=0.05, smoothing=0.05),
        LandmarkAugment(flat=0.2),
        signers=48,
    )
}


class DefaultNet(Network):
    """Reads landmarks with ``LandmarkCNN`` and the embedding with two layers, and multiplies their probabilities.

    Landmarks depend little on light and background, and give the direction of a hand; the embedding shows where fingers
    touch. In training one branch answers each item, so that neither relies on the other. The landmark branch recognises
    better that a hand shows no letter, so it limits the confidence. Without an embedding (NaN) it answers alone.
    """

    name, Config, presets = "default", DefaultConfig, PRESETS
    mean: Tensor
    std: Tensor

    def __init__(self, config: DefaultConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("std", torch.ones(WIDTH))
        self.landmark = LandmarkCNN(LandmarkConfig(classes=config.classes))
        self.embedding = nn.Sequential(
            nn.Dropout(0.6 * config.dropout),
            nn.Linear(WIDTH, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.classes),
        )

    def prepare(self, inputs: tuple[Tensor, ...], augment: Any = None, generator: Generator | None = None) -> Tensor:
        """Turn inputs of ``LandmarkCNN.prepare`` and embeddings (B, 1152) into rows of hands (B, 9 * 21 + 1152)."""
        return torch.cat([self.landmark.prepare(inputs, augment, generator).flatten(1), inputs[4].float()], 1)

    def set_statistics(self, inputs: tuple[Tensor, ...]) -> None:
        """Take mean and standard deviation of each number of the training embeddings; skip rows of NaN."""
        embeddings = inputs[4].float()
        embeddings = embeddings[~embeddings[:, 0].isnan()]
        self.mean.copy_(embeddings.mean(0))
        self.std.copy_(embeddings.std(0).clamp_min(1e-3))

    def read_embedding(self, embedding: Tensor) -> Tensor:
        """Log-probabilities (B, classes) of the embedding branch for embeddings (B, 1152)."""
        x = (embedding - self.mean) / self.std
        if self.training:
            x = x + self.config.noise * torch.randn_like(x)
        return self.embedding(x).log_softmax(1)

    def branches(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, classes) of the landmark and the embedding branch, from ``forward``'s inputs."""
        features, embedding = inputs[:, :-WIDTH].unflatten(1, (-1, 21)), inputs[:, -WIDTH:]  # (B, 9, 21), (B, 1152)
        return self.landmark(features).log_softmax(1), self.read_embedding(embedding.nan_to_num())

    def multiply(self, landmark: Tensor, embedding: Tensor) -> Tensor:
        """Log-probabilities (B, classes) of the product of both branches, flattened to the landmark branch's limit."""
        both, even = (landmark + embedding).softmax(1), 1 / self.config.classes
        best = both.amax(1, keepdim=True)
        most = torch.minimum(best, landmark.amax(1, keepdim=True).exp() ** self.config.doubt)
        kept = (most - even) / (best - even).clamp_min(1e-6)
        return torch.lerp(torch.full_like(both, even), both, kept.clamp(0, 1)).clamp_min(1e-12).log()

    def forward(self, inputs: Tensor) -> Tensor:
        """Turn features and embedding in one row, (B, 9 * 21 + 1152), into logits (B, classes)."""
        landmark, embedding = self.branches(inputs)
        blind = inputs[:, -1:].isnan()  # (B, 1): no embedding
        if self.training:
            by_landmarks = torch.rand_like(landmark[:, :1]) < self.config.share
            return torch.where(blind | by_landmarks, landmark, embedding)
        return torch.where(blind, self.config.sharpen * landmark, self.multiply(landmark, embedding))
