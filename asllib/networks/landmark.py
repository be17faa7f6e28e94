"""The landmark network: a CNN along the fingers of a hand. The paper leaves its layers as TODO."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Generator, Tensor, nn

from asllib.config import PAPER_TRAINING, Preset, Training
from asllib.data.looks import Looks
from asllib.hands.features import landmark_features, landmark_inputs
from asllib.hands.landmarks import FINGERS
from asllib.letters import FIRST_SIX
from asllib.networks.pixel import check_turn
from asllib.networks.store import Network

# Row f: the wrist, then the four joints of finger f from base to tip.
GRID = [[0, *joints] for joints in FINGERS.values()]  # 5 x 5 landmark numbers


@dataclass(frozen=True)
class LandmarkConfig:
    """Shape of the landmark network."""

    features: int = 9  # numbers a landmark: the channels of ``asllib.hands.landmark_features``
    channels: tuple[int, int, int] = (32, 48, 64)  # feature maps of two convolutions along the fingers, one across
    hidden: int = 128  # width of the fully connected layer
    dropout: float = 0.3  # share of the features before each fully connected layer that is zeroed in training
    classes: int = 24  # letters


@dataclass(frozen=True)
class LandmarkAugment:
    """How far hands are changed, in three dimensions."""

    turn: float = 15.0  # degrees in the image plane, at most 30
    tilt: float = 30.0  # degrees about the axes in the image plane: another camera
    stretch: float = 0.15  # change of the size along each axis, since hands differ
    jitter: float = 0.03  # standard deviation of noise on each point, in palm lengths: the tracker's error
    flat: float = 0.0  # share of hands without world landmarks, as in tables of other programs

    def __post_init__(self) -> None:
        check_turn(self.turn)


PRESETS = {
    "paper": Preset(LandmarkConfig(classes=6), PAPER_TRAINING, alphabet=FIRST_SIX),
    "best": Preset(
        LandmarkConfig(),
        Training(epochs=30, learning_rate=4e-3, batch=128, one_cycle=True, weight_decay=0.05, smoothing=0.05),
        LandmarkAugment(flat=0.2),
    ),
}
PRESETS["people"] = dataclasses.replace(PRESETS["best"], signers=48)


class LandmarkCNN(Network):
    """Convolutions along each finger, shared by all fingers, then across neighbouring fingers, then two layers.

    The 21 landmarks form a grid like a hand, 5 fingers by 5 joints from wrist to tip: a kernel of 3 along a row sees
    two bones and the joint between them; a kernel of 3 across rows sees neighbouring fingers.
    """

    name, Config, presets = "landmark", LandmarkConfig, PRESETS
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

    def prepare(self, inputs: tuple[Tensor, ...], augment: Any = None, generator: Generator | None = None) -> Tensor:
        """Turn landmarks and world (B, 21, 3), left (B,) and aspect (B,) into features (B, 9, 21); ignore the rest."""
        landmarks, world, left, aspect = inputs[:4]
        if augment is not None and generator is not None:
            landmarks, world = augment_landmarks(landmarks, world, aspect, augment, generator)
        return landmark_features(landmarks, world, left, aspect)

    def embed(self, features: Tensor) -> Tensor:
        """Turn features (B, C, 21) into the last layer's input (B, hidden)."""
        x = features[:, :, self.grid]  # (B, C, 5, 5): fingers x joints
        x = self.along(x)  # (B, 48, 5, 3)
        x = self.across(x)  # (B, 64, 3, 1)
        # The points themselves are inputs too: the direction of a finger in the image distinguishes G from Q.
        return self.head[:-1](torch.cat([x.flatten(1), features.flatten(1)], 1))

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (B, C, 21) into logits (B, classes)."""
        return self.head[-1](self.embed(features))


def augment_landmarks(
    landmarks: Tensor, world: Tensor, aspect: Tensor, how: LandmarkAugment, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Turn, tilt, stretch and shake a batch of hands, image and world landmarks (B, 21, 3) from the tracker.

    Both are turned by the same angles, but shaken independently. ``aspect`` (B,), width / height, brings x and y
    to one unit before turning. The generator is on the CPU.
    """
    batch = len(landmarks)

    def draw(limit: float, *shape: int) -> Tensor:
        return limit * (2 * torch.rand(batch, *shape, generator=generator) - 1)

    angles = torch.stack([draw(how.tilt), draw(how.tilt), draw(how.turn)], 1)  # about x, then y, then z
    rotation = torch.from_numpy(Rotation.from_euler("xyz", angles.numpy(), degrees=True).as_matrix()).float()
    matrix = (rotation @ torch.diag_embed(1 + draw(how.stretch, 3))).to(landmarks)  # (B, 3, 3)
    unit = torch.stack([aspect, torch.ones_like(aspect), aspect], -1)[:, None]  # (B, 1, 3)

    def move(points: Tensor) -> Tensor:
        wrist = points[:, :1]
        palm = (points[:, 9] - points[:, 0]).norm(dim=-1)[:, None, None]
        noise = torch.randn(points.shape, generator=generator).to(points) * how.jitter * palm
        return (points - wrist) @ matrix.transpose(1, 2) + wrist + noise

    world = move(world)
    dropped = torch.rand(batch, generator=generator).to(world) < how.flat
    return move(landmarks * unit) / unit, torch.where(dropped[:, None, None], torch.nan, world)


def look_probabilities(model: Network, looks: Looks) -> np.ndarray:
    """Read every look with ``landmark`` or ``default`` and average, (N, classes); zeros where no hand was found."""
    total = np.zeros((len(looks), model.config.classes), np.float32)
    count = np.zeros((len(looks), 1), np.float32)
    for table, embeddings in zip(looks.tables, looks.embeddings, strict=True):
        found = (table["score"] > 0).to_numpy()
        inputs = (*landmark_inputs(table[found]), torch.from_numpy(embeddings[found]))
        total[found] += model.logits(inputs).softmax(1).numpy()
        count[found] += 1
    return total / np.maximum(count, 1)
