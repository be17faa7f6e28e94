"""From letters to a trained network: what each network is fed, and one function that trains any preset."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from asllib.config import Preset, Training
from asllib.data.letterset import LetterSet
from asllib.errors import InputError
from asllib.hands.extract import Looks
from asllib.hands.features import landmark_inputs
from asllib.letters import STATIC
from asllib.networks.registry import Network, build
from asllib.train.loop import NO_LETTER, Examples, History, example_batches, fit, set_seed


def pixel_examples(images: np.ndarray, labels: np.ndarray) -> Examples:
    """Hold 28x28 images in memory as bytes, (N, 28, 28) uint8."""
    return Examples((torch.as_tensor(np.ascontiguousarray(images)),), torch.as_tensor(labels))


def hand_examples(looks: Looks, labels: np.ndarray, weights: np.ndarray | None = None) -> Examples:
    """Hold every hand that was seen, each look at a photo as an example of its own, with its embedding (1152,).

    Each look has its photo's weight (N,).
    """
    parts = []
    shares = None if weights is None else torch.tensor(weights)
    for table, embeddings in zip(looks.tables, looks.embeddings, strict=True):
        found = torch.tensor((table["score"] > 0).to_numpy())
        inputs = (*landmark_inputs(table), torch.from_numpy(embeddings))
        parts.append(Examples(inputs, torch.tensor(labels), shares).subset(found))
    return join(parts)


def join(parts: Sequence[Examples]) -> Examples:
    """Put sets of examples of one kind together; where one has weights, items of the others weigh 1."""
    inputs = zip(*(part.inputs for part in parts), strict=True)
    weights = None
    if any(part.weights is not None for part in parts):
        ones = [torch.ones(len(part), dtype=torch.float64) for part in parts]
        weights = torch.cat([one if p.weights is None else p.weights for p, one in zip(parts, ones, strict=True)])
    return Examples(tuple(map(torch.cat, inputs)), torch.cat([part.labels for part in parts]), weights)


TURNED = 0.4  # of the hands are also learned from as seen in a photo that lies on its side, or on its head


def turned(examples: Examples, seed: int = 0) -> Examples:
    """Turn some of the hands by one to three quarters of a circle: they show no letter, since letters are upright.

    Parameters
    ----------
    examples
        From ``hand_examples``. The crop of a hand turns with it, so that its embedding is the
        same: the turned ones have none, and landmarks alone learn from them.
    """
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.permutation(len(examples))[: round(TURNED * len(examples))])
    chosen = examples.subset(rows)
    landmarks, world, left, aspect, embeddings = chosen.inputs
    quarters = torch.from_numpy(rng.integers(1, 4, len(rows)))
    for quarter in (1, 2, 3):  # each once more clockwise
        more = quarters >= quarter
        points, shape = landmarks[more], aspect[more]
        x, y = points[..., 0] * shape[:, None], points[..., 1]  # in heights
        landmarks[more] = torch.stack([1 - y, x / shape[:, None], points[..., 2] * shape[:, None]], -1)
        world[more] = torch.stack([-world[more][..., 1], world[more][..., 0], world[more][..., 2]], -1)
        aspect[more] = 1 / shape
    none = torch.full_like(embeddings, torch.nan)
    return Examples((landmarks, world, left, aspect, none), torch.full((len(rows),), NO_LETTER), chosen.weights)


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
        See ``asllib.networks.preset``.
    examples, valid
        From ``pixel_examples`` or ``hand_examples``, with labels in the preset's alphabet.
    seed
        Of weights, order and augmentation.
    epochs
        In the place of the preset's.
    checkpoint, progress, on_epoch
        See ``asllib.train.loop.fit``.
    """
    if not len(examples):
        raise InputError("no hand was found in what is to be trained on; look at some of the photos")
    set_seed(seed)
    model = build(preset.network)
    model.set_statistics(examples.inputs)
    settings = dataclasses.replace(preset.training, epochs=epochs or epochs_for(preset.training, len(examples)))
    history = fit(
        model, example_batches(model, examples, settings, preset.augment), settings,
        valid=valid, seed=seed, checkpoint=checkpoint, run=repr(preset), progress=progress, on_epoch=on_epoch,
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
