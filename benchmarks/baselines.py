"""What one would write without asllib, as tutorials do: the other side of ``bench.py``. Fair, not slow on purpose."""

from __future__ import annotations

from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np
import pandas as pd
import torch
from mediapipe.tasks.python import BaseOptions, vision
from torch import nn
from torch.utils.data import DataLoader, Dataset

from asllib.config import Preset
from asllib.hands.landmarks import image_columns
from asllib.hands.look import model_file
from asllib.train.loop import Examples


def load_by_pandas(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Sign Language MNIST as tensors, images (N, 1, 28, 28) in 0..1 and labels (N,)."""
    tables = [pd.read_csv(next(folder.glob(f"sign_mnist_{split}.csv*"))) for split in ("train", "test")]
    table = pd.concat(tables, ignore_index=True)
    pixels = table.drop(columns="label").to_numpy(np.float32).reshape(-1, 1, 28, 28) / 255
    return torch.from_numpy(pixels), torch.tensor(table["label"].to_numpy())


class Images(Dataset):
    """Images that are changed one by one as ``asllib.networks.pixel.ImageAugment`` says."""

    def __init__(self, examples: Examples, settings: Preset) -> None:
        self.images, self.labels = examples.inputs[0].numpy(), examples.labels
        self.how, self.rng = settings.augment, np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        how, draw = self.how, self.rng.uniform
        image = self.images[i].astype(np.float32) / 255
        side = len(image)
        matrix = cv2.getRotationMatrix2D(
            ((side - 1) / 2,) * 2, draw(-how.turn, how.turn), 1 + draw(-how.zoom, how.zoom)
        )
        matrix[:, 2] += draw(-how.shift, how.shift, 2) * side
        image = cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
        middle = image.mean()
        image = (
            (image - middle) * (1 + draw(-how.contrast, how.contrast)) + middle + draw(-how.brightness, how.brightness)
        )
        return torch.from_numpy(image.astype(np.float32))[None], self.labels[i]


def loader(examples: Examples, settings: Preset) -> DataLoader:
    """Shuffled batches of changed images."""
    return DataLoader(Images(examples, settings), settings.training.batch, shuffle=True)


def plain_network(settings: Preset) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The preset's pixel network in the order of the paper, and its optimiser."""
    config, layers, wide = settings.network, [], 1
    for number, channels in enumerate(config.channels):
        layers += [nn.Conv2d(wide, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.Dropout2d(config.dropout)] if number < 2 else []
        layers += [nn.MaxPool2d(2)]
        wide = channels
    layers += [nn.Flatten(), nn.Linear(wide * 9, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.classes)]
    network = nn.Sequential(*layers)
    training = settings.training
    return network, torch.optim.AdamW(network.parameters(), training.learning_rate, weight_decay=training.weight_decay)


def train_by_loader(
    network: nn.Module, optimiser: torch.optim.Optimizer, batches: DataLoader, settings: Preset
) -> float:
    """One pass over the batches; the mean loss."""
    loss_of = nn.CrossEntropyLoss(label_smoothing=settings.training.smoothing)
    network.train()
    total = 0.0
    for images, labels in batches:
        optimiser.zero_grad()
        loss = loss_of(network((images - 0.5) / 0.2), labels)
        loss.backward()
        optimiser.step()
        total += loss.item()
    return total / len(batches)


def plain_landmarker() -> vision.HandLandmarker:
    """MediaPipe's hand landmarker for single images, as it comes; to be closed."""
    options = vision.HandLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(model_file())), num_hands=1)
    return vision.HandLandmarker.create_from_options(options)


def hands_by_loop(landmarker: vision.HandLandmarker, paths: list[Path]) -> pd.DataFrame:
    """Image landmarks of each photo, one after the other; NaN where no hand is found."""
    rows = []
    for path in paths:
        photo = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        found = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=photo)).hand_landmarks
        rows.append([c for p in found[0] for c in (p.x, p.y, p.z)] if found else [np.nan] * 63)
    return pd.DataFrame(rows, columns=image_columns(), dtype=np.float32)
