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

from asllib.config import Preset, Training
from asllib.data.letterset import LetterSet
from asllib.errors import InputError
from asllib.hands.extract import extract_landmarks, extract_looks
from asllib.hands.features import landmark_inputs
from asllib.hands.landmarks import read_landmarks, write_landmarks
from asllib.hands.look import WIDTH, tracker_version
from asllib.hands.tracker import ATTEMPTS, LOOKS, Attempt
from asllib.letters import STATIC
from asllib.networks.registry import Network, build
from asllib.paths import cache_dir, replacing
from asllib.preprocess import SIDE
from asllib.train.loop import NO_LETTER, Examples, History, example_batches, fit, set_seed


def pixel_examples(images: np.ndarray, labels: np.ndarray) -> Examples:
    """Hold 28x28 images in memory as bytes, (N, 28, 28) uint8."""
    return Examples((torch.as_tensor(np.ascontiguousarray(images)),), torch.as_tensor(labels))


@dataclasses.dataclass(frozen=True)
class Looks:
    """What was seen of each photo in each of the ways of ``asllib.hands.LOOKS``.

    Attributes
    ----------
    tables
        Landmark tables, one row a photo, all in the coordinates of the photo. The first is the plain look.
    embeddings
        (looks, N, 1152) float16; NaN where no hand was seen, or where only landmarks are known.
    """

    tables: tuple[pd.DataFrame, ...]
    embeddings: np.ndarray

    def __len__(self) -> int:
        return len(self.tables[0])

    @property
    def found(self) -> np.ndarray:
        """(N,) bool: a hand was found."""
        return (self.tables[0]["score"] > 0).to_numpy()

    def first(self) -> pd.DataFrame:
        """The plain look: one row a photo."""
        return self.tables[0]

    def subset(self, which: np.ndarray) -> Looks:
        """Take the photos of a boolean mask."""
        return Looks(tuple(table[which].reset_index(drop=True) for table in self.tables), self.embeddings[:, which])


def without_pictures(tables: Sequence[pd.DataFrame]) -> Looks:
    """Looks of which only landmark tables are known."""
    return Looks(tuple(tables), np.full((len(tables), len(tables[0]), WIDTH), np.nan, np.float16))


def track(
    letters: LetterSet, *, workers: int | None = None, executor: Executor | None = None, progress: bool = True
) -> Looks:
    """Look at the hand in each photo of a set; what was seen is kept in the cache folder."""
    _check_photos(letters)
    folder = cache_dir() / "looks"
    stored = folder / f"{_identity(letters, (*ATTEMPTS, *LOOKS))}.npy"
    tables = [stored.with_name(f"{stored.stem}-{number}.parquet") for number in range(len(LOOKS))]
    if not stored.is_file():
        seen, embeddings = extract_looks(
            letters.images,
            letters.table["file"].tolist(),
            letters.letters.tolist(),
            checkpoint=folder / "chunks",
            workers=workers,
            executor=executor,
            progress=progress,
        )
        for table, path in zip(seen, tables, strict=True):
            write_landmarks(table, path)
        with replacing(stored) as temporary, temporary.open("wb") as file:  # last: where it is, all is
            np.save(file, embeddings)
    return Looks(tuple(map(read_landmarks, tables)), np.load(stored))


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
    _check_photos(letters)
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


def _check_photos(letters: LetterSet) -> None:
    if len(letters) and letters.images[0].ndim == 2:
        raise InputError(f"{letters.name}: grey images of {SIDE}x{SIDE} pixels; hands are looked for in photos")


def _identity(letters: LetterSet, ways: Sequence[object]) -> str:
    """Name of the cached tables: changes with the photos, the labels, the tracker and the ways of looking."""
    digest = hashlib.sha256(f"3 {tracker_version()} {tuple(ways)}".encode())
    digest.update("\n".join(letters.letters).encode())
    if isinstance(letters.images, np.ndarray):
        digest.update(np.ascontiguousarray(letters.images).data)
    else:
        for path in letters.images.paths:
            status = path.stat()
            digest.update(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


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
