"""The default network: landmarks and the embedding of a hand, each read by a branch of its own."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from asllib.config import Preset, Training
from asllib.hands.look import WIDTH
from asllib.letters import NO_LETTER
from asllib.networks.landmark import LandmarkAugment, LandmarkCNN, LandmarkConfig
from asllib.networks.store import Network


@dataclass(frozen=True)
class DefaultConfig:
    """Shape of the default network."""

    hidden: int = 256  # width of the layer that reads the embedding
    dropout: float = 0.3  # share of that layer that is zeroed in training; of the embedding it is 0.6 times as much
    noise: float = 0.3  # standard deviation of the noise on the standardised embedding in training
    classes: int = 24  # letters


PRESETS = {
    "best": Preset(
        DefaultConfig(),
        Training(epochs=40, learning_rate=3e-3, batch=128, one_cycle=True, weight_decay=0.05, smoothing=0.05),
        LandmarkAugment(flat=0.2),
        signers=48,
        films=300,
    )
}


class DefaultNet(Network):
    """Reads landmarks with ``LandmarkCNN`` and the embedding with two layers, and multiplies their probabilities.

    Landmarks depend little on light and background, and give the direction of a hand; the embedding shows where fingers
    touch. The landmark branch also says how likely the hand shows no letter. Without an embedding (NaN) it answers
    alone.
    """

    name, Config, presets = "default", DefaultConfig, PRESETS
    mean: Tensor
    std: Tensor

    def __init__(self, config: DefaultConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("std", torch.ones(WIDTH))
        self.landmark = LandmarkCNN(LandmarkConfig(classes=config.classes + 1))  # the last is "no letter"
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

    def branches(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read ``forward``'s inputs by both branches.

        Returns log-probabilities of letters and "no letter" by landmarks (B, classes + 1), of letters by the embedding
        (B, classes), and whether there is an embedding (B,).
        """
        features, embedding = inputs[:, :-WIDTH].unflatten(1, (-1, 21)), inputs[:, -WIDTH:]  # (B, 9, 21), (B, 1152)
        landmark = self.landmark(features).log_softmax(1)
        return landmark, self.read_embedding(embedding.nan_to_num()), ~embedding[:, 0].isnan()

    def forward(self, inputs: Tensor) -> Tensor:
        """Turn features and embedding in one row, (B, 9 * 21 + 1152), into logits (B, classes).

        If the hand shows no letter, each letter is as likely.
        """
        landmark, embedding, seen = self.branches(inputs)
        letters = (landmark[:, :-1] + embedding * seen[:, None]).softmax(1)
        none = landmark[:, -1:].exp()
        return ((1 - none) * letters + none / self.config.classes).clamp_min(1e-12).log()

    def loss(self, inputs: Tensor, labels: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        """Sum of both branches' cross entropy, each by itself, and the landmark branch's logits of the letters.

        A hand that shows no letter, label ``NO_LETTER``, counts half, and for the landmark branch alone.
        """
        landmark, embedding, seen = self.branches(inputs)
        known = labels != NO_LETTER
        wanted = torch.where(known, labels, self.config.classes)
        loss = F.cross_entropy(landmark, wanted, reduction="none", label_smoothing=smoothing)
        loss = (loss * torch.where(known, 1.0, 0.5)).mean()
        seen = seen & known
        more = F.cross_entropy(embedding[seen], labels[seen], reduction="sum", label_smoothing=smoothing)
        return loss + more / len(labels), landmark[:, :-1]
