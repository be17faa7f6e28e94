"""The paper's pixel network: a CNN on 28x28 grey images."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from asllib.config import PAPER_TRAINING, Preset, Training
from asllib.data.letterset import LetterSet
from asllib.data.looks import Looks
from asllib.files import PhotoFiles
from asllib.hands.pixels import SIDE, to_gray, to_pixels
from asllib.hands.tracker import table_hands
from asllib.letters import FIRST_SIX
from asllib.networks.store import Network

MAX_TURN = 30.0  # degrees; G and Q, K and P, H and U are 90 apart: half of it, less 15 for differences of signers


def check_turn(turn: float) -> None:
    """Raise ValueError if a turn in the image plane could make another letter."""
    if not 0 <= turn <= MAX_TURN:
        raise ValueError(f"turn={turn}: turn by 0..{MAX_TURN:g} degrees, beyond that G becomes Q and U becomes H")


@dataclass(frozen=True)
class PixelConfig:
    """Shape of the pixel network.

    The paper counts 2 dropout layers, but describes one per block: here whole feature maps are dropped after blocks 1
    and 2. It explains batch normalisation, but does not list it among the layers.
    """

    channels: tuple[int, int, int] = (32, 64, 128)  # feature maps of the three blocks
    hidden: int = 128  # width of the first fully connected layer; the paper gives none
    dropout: float = 0.25  # share of the features that is zeroed in training
    batch_norm: bool = False
    standardise: bool = False  # each image by itself, not by the training images' mean, since cameras differ
    classes: int = 24  # letters


@dataclass(frozen=True)
class ImageAugment:
    """Limits of changes to grey images; each value is uniform in -x..x (or 1 - x..1 + x for factors).

    Nothing is mirrored, because the mirror image of a right hand is a left hand.
    """

    turn: float = 10.0  # degrees, at most 30
    shift: float = 0.1  # fraction of the width and height
    zoom: float = 0.1
    contrast: float = 0.2
    brightness: float = 0.1  # of the range 0..1

    def __post_init__(self) -> None:
        check_turn(self.turn)


PRESETS = {
    "paper": Preset(PixelConfig(classes=6), PAPER_TRAINING, alphabet=FIRST_SIX),
    "best": Preset(
        PixelConfig(batch_norm=True, dropout=0.1),
        # At least as many steps as five epochs of Sign Language MNIST, also on a smaller set.
        Training(5, 4e-3, 128, one_cycle=True, weight_decay=0.01, smoothing=0.05, bfloat16=True, min_steps=1050),
        ImageAugment(),
    ),
    # Photos of many people: cameras and rooms differ more than in Sign Language MNIST.
    "people": Preset(
        PixelConfig(batch_norm=True, dropout=0.1, standardise=True),
        Training(epochs=8, learning_rate=4e-3, batch=128, one_cycle=True, weight_decay=0.05, smoothing=0.05),
        ImageAugment(turn=15.0, zoom=0.15, contrast=0.4, brightness=0.15),
        signers=48,
        added=("sign-mnist",),
    ),
}


class PixelCNN(Network):
    """Three blocks of convolution, activation, dropout and max pooling, then two fully connected layers.

    The loss contains the paper's softmax. The mean image and the standard deviation of the training images are part of
    the network, so that its input is plain 0..1.
    """

    name, Config, presets = "pixel", PixelConfig, PRESETS
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
            # The paper's order is activation, dropout, pooling. Pooling first gives the same numbers for a quarter of
            # the work, since neither changes which value is largest.
            blocks += [nn.MaxPool2d(2), nn.ReLU()]
            if number < 2:
                blocks.append(nn.Dropout2d(config.dropout))
            wide = channels
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(wide * 9, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.classes)
        )
        # The same numbers in a memory order that is faster for convolutions.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's overloads lack it

    def prepare(self, inputs: tuple[Tensor, ...], augment: Any = None, generator: Generator | None = None) -> Tensor:
        """Turn bytes (B, 28, 28) into (B, 1, 28, 28) float in 0..1, changed at random by ``augment``."""
        images = inputs[0].unsqueeze(1).float() / 255
        return images if augment is None or generator is None else augment_images(images, augment, generator)

    def set_statistics(self, inputs: tuple[Tensor, ...]) -> None:
        """Take mean image and standard deviation from training images (N, 28, 28) uint8."""
        images = inputs[0].float() / 255
        self.mean.copy_(images.mean(0, keepdim=True))
        self.std.copy_((images - self.mean).std(correction=0).clamp_min(1e-3))  # equal images have a deviation of 0

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (B, 1, 28, 28) in 0..1 into logits (B, classes)."""
        if self.config.standardise:
            mean, std = images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True)  # (B, 1, 1, 1)
            std = std + 0.03  # an empty image stays empty
        else:
            mean, std = self.mean, self.std
        x = self.features((images - mean) / std)  # (B, 32, 14, 14), (B, 64, 7, 7), (B, 128, 3, 3)
        return self.head(x)  # (B, 1152), (B, hidden), (B, classes)


def augment_images(images: Tensor, how: ImageAugment, generator: Generator) -> Tensor:
    """Turn, shift, zoom and relight grey images (B, 1, H, W), 0..1, each in its own way; values are not clipped."""
    batch = len(images)

    def draw(limit: float) -> Tensor:
        return limit * (2 * torch.rand(batch, generator=generator) - 1)

    angle, zoom = draw(math.radians(how.turn)), 1 + draw(how.zoom)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    # Grid coordinates run from -1 to 1, so a shift by a fraction of the width is twice that fraction.
    rows = [torch.stack([cos, -sin, 2 * draw(how.shift)], 1), torch.stack([sin, cos, 2 * draw(how.shift)], 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(images), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    contrast, brightness = (1 + draw(how.contrast)).to(images), draw(how.brightness).to(images)
    middle = moved.mean((1, 2, 3), keepdim=True)
    return (moved - middle) * contrast[:, None, None, None] + middle + brightness[:, None, None, None]


def as_small(image: np.ndarray) -> np.ndarray | None:
    """A 28x28 uint8 image, also from an RGB file, as grey input of the pixel network; None if it is a photo."""
    small = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape in ((SIDE, SIDE), (SIDE, SIDE, 3))
    return to_gray(image) if small else None


def small_set(images: np.ndarray | PhotoFiles) -> np.ndarray | None:
    """All images of a set by ``as_small``, (N, 28, 28); None if the set has photos."""
    if isinstance(images, np.ndarray):
        return images if images.shape[1:] == (SIDE, SIDE) else None
    each = (as_small(images[i]) for i in range(len(images)))  # mostly the first one tells: no need to decode all
    small: list[Any] = list(takewhile(lambda image: image is not None, each))
    return np.stack(small) if len(small) == len(images) > 0 else None


def crop_set(letters: LetterSet, looks: Looks, *, background: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Crop each photo of a set to its hand, for each look: (looks, N, 28, 28) uint8, and found (looks, N)."""
    hands = [table_hands(table) for table in looks.tables]
    found = np.array([[hand is not None for hand in look] for look in hands])
    images = np.zeros((*found.shape, SIDE, SIDE), np.uint8)
    for i in np.flatnonzero(found.any(0)):
        photo = letters.images[i]
        for look in np.flatnonzero(found[:, i]):
            images[look, i] = to_pixels(photo, hands[look][i], background=background)
    return images, found


def set_probabilities(model: Network, letters: LetterSet, track: Callable[[LetterSet], Looks]) -> np.ndarray:
    """Read a set, (N, classes): small images directly, photos by ``track``; zeros if no hand was found."""
    small = small_set(letters.images)
    if small is not None:
        return model.logits((torch.from_numpy(small),)).softmax(1).numpy()
    images, found = crop_set(letters, track(letters))
    each = np.zeros((*found.shape, model.config.classes), np.float32)  # (looks, N, classes)
    each[found] = model.logits((torch.from_numpy(images[found]),)).softmax(1)
    return each.sum(0) / np.maximum(found.sum(0), 1)[:, None]
