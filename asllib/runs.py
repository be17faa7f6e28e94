"""From letters to a trained network: what each network is fed, and one function that trains any preset."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from asllib.augment import ImageAugment, LandmarkAugment, augment_images, augment_landmarks
from asllib.config import Preset, Training
from asllib.data.letterset import LetterSet
from asllib.errors import InputError
from asllib.hands.extract import extract_landmarks
from asllib.hands.features import landmark_features
from asllib.hands.landmarks import landmark_arrays, read_landmarks, write_landmarks
from asllib.hands.tracker import ATTEMPTS, LOOKS, Attempt, tracker_version
from asllib.letters import STATIC
from asllib.models.joint_net import JointNet
from asllib.models.pixel_cnn import PixelCNN
from asllib.models.zoo import Network, build
from asllib.paths import cache_dir
from asllib.preprocess import SIDE
from asllib.training import Examples, History, Prepare, fit, predict_logits, set_seed


def pixel_examples(images: np.ndarray, labels: np.ndarray) -> Examples:
    """Hold 28x28 images in memory as bytes, (N, 28, 28) uint8."""
    return Examples((torch.as_tensor(np.ascontiguousarray(images)),), torch.as_tensor(labels))


def pixel_prepare(augment: ImageAugment | None = None) -> Prepare:
    """Bytes to what ``PixelCNN`` takes: (B, 28, 28) uint8 -> (B, 1, 28, 28) float in 0..1, augmented in training."""

    def prepare(inputs: tuple[Tensor, ...], generator: torch.Generator | None) -> Tensor:
        images = inputs[0].unsqueeze(1).float() / 255
        return images if augment is None or generator is None else augment_images(images, augment, generator)

    return prepare


@dataclasses.dataclass(frozen=True)
class Looks:
    """What the hand tracker saw of each photo, in each of the four ways of ``asllib.hands.LOOKS``.

    Attributes
    ----------
    tables
        Landmark tables, one row a photo, all in the coordinates of the photo. The first is the plain look.
    """

    tables: tuple[pd.DataFrame, ...]

    def __len__(self) -> int:
        return len(self.tables[0])

    @property
    def found(self) -> np.ndarray:
        """(N,) bool: a hand was seen in at least one of the looks."""
        return np.any([table["score"] > 0 for table in self.tables], axis=0)

    def first(self) -> pd.DataFrame:
        """One row a photo, from the first look that found a hand."""
        table = self.tables[0].copy()
        for other in self.tables[1:]:
            rows = ((table["score"] == 0) & (other["score"] > 0)).to_numpy()
            table[rows] = other[rows]
        return table

    def subset(self, which: np.ndarray) -> Looks:
        """Take the photos of a boolean mask."""
        return Looks(tuple(table[which].reset_index(drop=True) for table in self.tables))


def track(
    letters: LetterSet, *, workers: int | None = None, executor: Executor | None = None, progress: bool = True
) -> Looks:
    """Find the hand in each photo of a set, in four ways; what was found is kept in the cache folder."""
    return Looks(
        tuple(track_once(letters, look, workers=workers, executor=executor, progress=progress) for look in LOOKS)
    )


def track_once(
    letters: LetterSet,
    attempts: Sequence[Attempt] = ATTEMPTS,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Find the hand in each photo of a set by the attempts given; the landmark table is kept in the cache folder.

    ``ATTEMPTS[:1]`` is the tracker as it comes, without a retry.
    """
    if len(letters) and letters.images[0].ndim == 2:
        raise InputError(f"{letters.name}: grey images of {SIDE}x{SIDE} pixels; hands are looked for in photos")
    folder = cache_dir() / "landmarks"
    stored = folder / f"{_identity(letters, attempts)}.parquet"
    if stored.is_file():
        return read_landmarks(stored)
    table = extract_landmarks(
        letters.images,
        letters.table["file"].tolist(),
        letters.letters.tolist(),
        attempts=attempts,
        checkpoint=folder / "chunks",
        workers=workers,
        executor=executor,
        progress=progress,
    )
    write_landmarks(table, stored)
    return table


def _identity(letters: LetterSet, attempts: Sequence[Attempt]) -> str:
    """Name of the cached table: changes with the photos, the labels, the tracker and the way they are shown to it."""
    digest = hashlib.sha256(f"2 {tracker_version()} {tuple(attempts)}".encode())
    digest.update("\n".join(letters.letters).encode())
    if isinstance(letters.images, np.ndarray):
        digest.update(np.ascontiguousarray(letters.images).data)
    else:
        for path in letters.images.paths:
            status = path.stat()
            digest.update(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def landmark_inputs(table: pd.DataFrame) -> tuple[Tensor, ...]:
    """Landmark table to tensors: landmarks (N, 21, 3), world (N, 21, 3), left (N,), aspect (N,)."""
    arrays = landmark_arrays(table)
    return tuple(torch.tensor(arrays[name]) for name in ("landmarks", "world", "left", "aspect"))


def landmark_examples(looks: Looks, labels: np.ndarray) -> Examples:
    """Hold every hand that was found, each look at a photo as an example of its own, (M,) with M up to 4 N."""
    return _every_look(looks, labels)


def _every_look(looks: Looks, labels: np.ndarray, *more: np.ndarray) -> Examples:
    parts = []
    for table in looks.tables:
        found = torch.tensor((table["score"] > 0).to_numpy())
        inputs = (*landmark_inputs(table), *map(torch.from_numpy, more))
        parts.append(Examples(inputs, torch.tensor(labels)).subset(found))
    return join(parts)


def join(parts: Sequence[Examples]) -> Examples:
    """Put sets of examples of one kind together."""
    inputs = zip(*(part.inputs for part in parts), strict=True)
    return Examples(tuple(torch.cat(tensors) for tensors in inputs), torch.cat([part.labels for part in parts]))


def landmark_prepare(augment: LandmarkAugment | None = None) -> Prepare:
    """Landmarks to what ``LandmarkCNN`` takes, (B, 9, 21) features; hands are moved in 3-D in training."""

    def prepare(inputs: tuple[Tensor, ...], generator: torch.Generator | None) -> Tensor:
        landmarks, world, left, aspect = inputs
        if augment is not None and generator is not None:
            landmarks, world = augment_landmarks(landmarks, world, aspect, augment, generator)
        return landmark_features(landmarks, world, left, aspect)

    return prepare


def joint_examples(looks: Looks, embeddings: np.ndarray, labels: np.ndarray) -> Examples:
    """As ``landmark_examples``, with the photo's embedding (N, 1152) beside each look at it."""
    return _every_look(looks, labels, embeddings)


def joint_prepare(augment: LandmarkAugment | None = None) -> Prepare:
    """Landmarks and embeddings to what ``JointNet`` takes, (B, 9 * 21 + 1152); hands are moved in 3-D in training."""
    landmarks = landmark_prepare(augment)

    def prepare(inputs: tuple[Tensor, ...], generator: torch.Generator | None) -> Tensor:
        return torch.cat([landmarks(inputs[:4], generator).flatten(1), inputs[4].float()], 1)

    return prepare


def joint_probabilities(model: Network, looks: Looks, embeddings: np.ndarray) -> np.ndarray:
    """As ``look_probabilities``, for the joint network and the photos' embeddings (N, 1152)."""
    return _mean_of_looks(model, looks, joint_prepare(), (torch.from_numpy(embeddings),))


def look_probabilities(model: Network, looks: Looks) -> np.ndarray:
    """Run the landmark network on every look and average, (N, classes); zeros where no hand was found."""
    return _mean_of_looks(model, looks, landmark_prepare())


def _mean_of_looks(model: Network, looks: Looks, prepare: Prepare, more: tuple[Tensor, ...] = ()) -> np.ndarray:
    total = np.zeros((len(looks), model.config.classes), np.float32)
    count = np.zeros((len(looks), 1), np.float32)
    for table in looks.tables:
        found = (table["score"] > 0).to_numpy()
        if found.any():
            inputs = (*landmark_inputs(table[found]), *(tensor[torch.tensor(found)] for tensor in more))
            total[found] += predict_logits(model, inputs, prepare).softmax(1).numpy()
            count[found] += 1
    return total / np.maximum(count, 1)


def train(
    preset: Preset,
    examples: Examples,
    valid: Examples | None = None,
    *,
    seed: int = 0,
    epochs: int | None = None,
    checkpoint: Path | None = None,
    progress: bool = True,
    on_epoch: Callable[[History], None] | None = None,
) -> tuple[Network, History]:
    """Make a preset's network and train it.

    Parameters
    ----------
    preset
        See ``asllib.config.preset``.
    examples, valid
        From ``pixel_examples``, ``landmark_examples`` or ``joint_examples``, with labels in the preset's alphabet.
    seed
        Of weights, order and augmentation.
    epochs
        In the place of the preset's.
    checkpoint, progress, on_epoch
        See ``asllib.training.fit``.
    """
    if not len(examples):
        raise InputError("no hand was found in what is to be trained on; look at some of the photos")
    set_seed(seed)
    model = build(preset.network)
    if isinstance(model, PixelCNN):
        assert not isinstance(preset.augment, LandmarkAugment)
        model.set_statistics(examples.inputs[0].float() / 255)
        prepare = pixel_prepare(preset.augment)
    elif isinstance(model, JointNet):
        assert not isinstance(preset.augment, ImageAugment)
        model.set_statistics(examples.inputs[4].float())
        prepare = joint_prepare(preset.augment)
    else:
        assert not isinstance(preset.augment, ImageAugment)
        prepare = landmark_prepare(preset.augment)
    settings = dataclasses.replace(preset.training, epochs=epochs or epochs_for(preset.training, len(examples)))
    history = fit(
        model, examples, valid, prepare, settings,
        seed=seed, checkpoint=checkpoint, run=repr(preset), progress=progress, on_epoch=on_epoch,
    )  # fmt: skip
    return model, history


def epochs_for(settings: Training, n: int) -> int:
    """Epochs over n items: as the settings say, or more where these make too few steps."""
    return max(settings.epochs, math.ceil(settings.min_steps * settings.batch / n))


def for_pixels(letters: LetterSet, alphabet: tuple[str, ...] = STATIC) -> Examples:
    """Pixel examples of the letters of an alphabet in a set of 28x28 images."""
    kept = letters.only(alphabet)
    assert isinstance(kept.images, np.ndarray)  # photos are files, small images an array
    return pixel_examples(kept.images, kept.labels(alphabet))
