"""Train the picture network: on drawn hands and photos, and on what MediaPipe's network sees in them."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asllib.augment import PictureAugment, augment_pictures
from asllib.config import profile
from asllib.data import find_photos, load_letters
from asllib.data.letterset import LetterSet, PhotoFiles
from asllib.data.other_hands import random_hands
from asllib.data.synthetic import added_letters, signer_version
from asllib.hands.embedding import WIDTH, embed_set, hand_picture
from asllib.hands.landmarks import read_landmarks
from asllib.hands.tracker import table_hands
from asllib.letters import STATIC
from asllib.models.picture_net import SIDE, PictureConfig, PictureNet
from asllib.models.zoo import check_new_run, tidy_run
from asllib.results import data_card
from asllib.runs import track
from asllib.spelling.fitting import fit_part
from asllib.spelling.pictures import as_input
from asllib.spelling.training import LEFT_OUT, save_run
from asllib.training import NO_LETTER, device, letter_loss, set_seed, sixteen_bits

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PictureTraining:
    """How the picture network is trained.

    Attributes
    ----------
    network
        Its shape.
    augment
        Changes to the pictures.
    signers, others
        Synthetic signers whose still letters are learned, and who show hands that are no letter.
    photos
        How often each photo stands among the drawn hands, which are many more.
    taught
        How much it counts that MediaPipe's embedding of the unchanged picture is told too, beside the letter.
    steps, batch, learning_rate
        Steps, pictures a step, and the peak of one cycle of AdamW.
    """

    network: PictureConfig = field(default_factory=PictureConfig)
    augment: PictureAugment = field(default_factory=PictureAugment)
    signers: int = 192
    others: int = 48
    photos: int = 2
    taught: float = 1.0
    steps: int = 2000
    batch: int = 256
    learning_rate: float = 3e-3


@dataclass(frozen=True)
class Pictures:
    """Hands: ``pictures`` (N, 112, 112, 3) uint8, MediaPipe's ``embeddings`` (N, 1152) float16, ``labels`` (N,)."""

    pictures: np.ndarray
    embeddings: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def cut_out(letters: LetterSet, labels: np.ndarray, table: pd.DataFrame, keep: np.ndarray | None = None) -> Pictures:
    """Cut out the hands of a set's photos by their landmark table; ``keep`` is a mask of those to take, else all."""
    embeddings = embed_set(letters, table)
    found = [(i, hand) for i, hand in enumerate(table_hands(table)) if hand is not None and (keep is None or keep[i])]
    rows = np.array([i for i, _ in found], int)
    pictures = np.empty((len(found), SIDE, SIDE, 3), np.uint8)
    for place, (i, hand) in enumerate(found):
        pictures[place] = hand_picture(letters.images[i], hand, SIDE)
    return Pictures(pictures, embeddings[rows], labels[rows])


def practice_pictures(settings: PictureTraining) -> tuple[Pictures, dict[str, Any]]:
    """All that is learned from, and its card.

    Test photos are left out, and the one source whose signer also made the two videos that are read as a check.
    """
    drawn, others = added_letters(settings.signers), random_hands(settings.others)
    assert isinstance(drawn.images, PhotoFiles)
    about: dict[str, Any] = {"signer_version": signer_version()}
    parts = [
        cut_out(drawn, drawn.labels(STATIC), read_landmarks(drawn.images.root / "landmarks.csv")),
        cut_out(others, np.full(len(others), NO_LETTER), track(others).first()),
    ]
    if find_photos() is not None:
        photos = load_letters("photos").only(STATIC)
        keep = ((photos.table["split"] != "test") & (photos.table["source"] != LEFT_OUT)).to_numpy()
        parts += [cut_out(photos, photos.labels(), track(photos).first(), keep)] * settings.photos
        about["photos"] = data_card(photos.subset(keep))
    return Pictures(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS)), about


_FIELDS = tuple(one.name for one in dataclasses.fields(Pictures))


def draw_pictures(
    hands: Pictures, augment: PictureAugment, batch: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw changed pictures (B, 3, 112, 112), what MediaPipe's network sees unchanged (B, 1152), and labels (B,)."""
    rows = rng.integers(0, len(hands), batch)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    pictures = augment_pictures(as_input(torch.from_numpy(hands.pictures[rows])), augment, generator)
    return pictures, torch.from_numpy(hands.embeddings[rows]), torch.from_numpy(hands.labels[rows])


class Taught(nn.Module):
    """The picture network while it learns: it also tells what MediaPipe's network sees.

    MediaPipe's network has seen far more people than any set of letters shows. Told to say the same of a hand, also
    where it is turned, darkened or partly hidden, a small network learns from it how hands of strangers look (after
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: PictureNet, embeddings: np.ndarray) -> None:
        super().__init__()
        self.model = model
        self.tell = nn.Linear(model.config.features, WIDTH)
        known = torch.from_numpy(embeddings).float()
        self.register_buffer("mean", known.mean(0))
        self.register_buffer("std", known.std(0).clamp_min(0.05))

    def loss(self, pictures: Tensor, embeddings: Tensor, labels: Tensor, taught: float) -> Tensor:
        """Cross entropy of the letters, see ``letter_loss``, and how far the embeddings are missed."""
        with sixteen_bits():
            features = self.model.features(pictures.contiguous(memory_format=torch.channels_last))  # much faster
        features = features.float()
        missed = F.smooth_l1_loss(self.tell(features), (embeddings.float() - self.mean) / self.std)
        return letter_loss(self.model.head(features), labels, 0.05) + taught * missed


def train_picture(out: Path, *, seed: int = 0, steps: int | None = None) -> dict[str, Any]:
    """Train the picture network and write a run folder: ``model.safetensors``, ``card.json``, ``history.csv``.

    Of real photos it sees those that are there. A checkpoint in the folder lets the same call go on after a stop.

    Returns
    -------
    dict
        The model card.

    Raises
    ------
    InputError
        If the folder holds a finished run, or a checkpoint is damaged or of another run.
    """
    from tqdm.auto import tqdm

    if (out / "card.json").is_file():
        tidy_run(out)  # killed when all was done but this
    check_new_run(out)
    out.mkdir(parents=True, exist_ok=True)  # before the work: it may be a place that cannot be written to
    settings = PictureTraining()
    if steps is not None:
        settings = dataclasses.replace(settings, steps=steps)
    if profile().name == "ci":
        settings = dataclasses.replace(settings, signers=1, others=1, batch=32)
    hands, about = practice_pictures(settings)
    set_seed(seed)
    model = PictureNet(settings.network)
    taught = Taught(model, hands.embeddings).to(device()).train()
    with tqdm(total=settings.steps, unit="step", leave=False) as bar:
        losses = fit_part(
            taught, taught, functools.partial(draw_pictures, hands, settings.augment, settings.batch),
            functools.partial(taught.loss, taught=settings.taught), settings.steps, (seed,), decay=0.05,
            learning_rate=settings.learning_rate, warm_up=0.2, bar=bar, checkpoint=out / "checkpoint.pt",
            run=repr((settings, seed, len(hands), about)),
        )  # fmt: skip
    model.cpu().eval().half()  # a file half as large; it is read with 32 bits
    return save_run(out, model, STATIC, "best", settings, seed, about, losses)
