"""Reading letters: images in, letters with their confidence out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asllib.data.letterset import LetterSet, PhotoFiles
from asllib.errors import InputError
from asllib.evaluation import NO_HAND, read_letters
from asllib.hands.look import WIDTH, Hand
from asllib.hands.tracker import HandTracker, table_hands
from asllib.letters import LETTERS
from asllib.networks.default import JointNet
from asllib.networks.store import Network, fold, load_model
from asllib.preprocess import SIDE, to_gray, to_pixels
from asllib.train.examples import (
    Looks,
    joint_prepare,
    landmark_prepare,
    look_probabilities,
    pixel_prepare,
    track,
)
from asllib.train.loop import predict_logits


@dataclass(frozen=True)
class Prediction:
    """What was read in one image.

    Attributes
    ----------
    letter
        "A".."Z", the name of a sign that was added, or None where no hand was found or the hand shows no letter that
        the recogniser is sure enough of.
    confidence
        The letter's probability, 0..1; 0 without a hand.
    probabilities
        (26 + signs,) float32, A to Z, then the signs that were added; 0 for letters that the network does not know.
    hand
        The hand, or None: none was found, or the image is a 28x28 one, which needs none.
    """

    letter: str | None
    confidence: float
    probabilities: np.ndarray
    hand: Hand | None


@dataclass
class Recognizer:
    """A trained network with the hand tracker in front of it.

    Attributes
    ----------
    model
        ``JointNet``, ``LandmarkCNN`` or ``PixelCNN``.
    card
        Its model card.
    """

    model: Network
    card: dict[str, Any]
    _tracker: HandTracker | None = field(default=None, repr=False)

    @property
    def alphabet(self) -> Sequence[str]:
        """The letters and signs that it tells apart, in the order of the network's outputs."""
        return self.card["alphabet"]

    @property
    def kind(self) -> str:
        """Which network it is: "joint", "landmark" or "pixel"."""
        return self.card["network"]

    @property
    def refuse_below(self) -> float:
        """Confidence from which on a letter is said: 95 % of the letters of unseen people reach it; 0 refuses none."""
        return self.card.get("refuse_below", 0.0)

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Read the letter in each image.

        Parameters
        ----------
        images
            (H, W, 3) uint8 RGB photos; the pixel network also takes 28x28 images as they are, (28, 28) uint8 or RGB.

        Raises
        ------
        InputError
            If an image is not such an array.
        """
        return [self._predict_one(image) for image in images]

    def probabilities(self, hands: Sequence[Hand], aspect: float, image: np.ndarray | None = None) -> np.ndarray:
        """Probabilities (classes,) of the letters.

        Parameters
        ----------
        hands
            The looks at a hand.
        aspect
            Width / height of the image.
        image
            (H, W, 3) uint8 RGB; only the pixel network needs it.
        """
        inputs: tuple[Tensor, ...]
        if self.kind == "pixel":
            if image is None:
                raise InputError("landmarks have no picture for a pixel network; use spelling, default or landmark")
            pixels = np.stack([to_pixels(image, hand) for hand in hands or (None,)])
            inputs, prepare = (torch.from_numpy(pixels),), pixel_prepare()
        else:
            left = torch.tensor([hand.side == "left" for hand in hands])
            aspects = torch.full((len(hands),), aspect)
            landmarks = torch.from_numpy(np.stack([hand.landmarks for hand in hands]))
            world = torch.from_numpy(np.stack([hand.world for hand in hands]))
            inputs, prepare = (landmarks, world, left, aspects), landmark_prepare()
            if isinstance(self.model, JointNet):
                none = np.full(WIDTH, np.nan, np.float32)
                embeddings = np.stack([none if hand.embedding is None else hand.embedding for hand in hands])
                inputs, prepare = (*inputs, torch.from_numpy(embeddings)), joint_prepare()
        return predict_logits(self.model, inputs, prepare).softmax(1).numpy().mean(0)

    def _predict_one(self, image: np.ndarray) -> Prediction:
        small = as_small(image) if self.kind == "pixel" else None
        hands: tuple[Hand, ...] = ()
        if small is not None:
            image = small
        else:
            self._tracker = self._tracker or HandTracker()
            hands = self._tracker.detect_looks(image)
            if not hands:
                return Prediction(None, 0.0, np.zeros(len(signs(self.alphabet)), np.float32), None)
        aspect = image.shape[1] / image.shape[0]
        probabilities = spread(self.probabilities(hands, aspect, image)[None], self.alphabet)[0]
        best = int(probabilities.argmax())
        sure = float(probabilities[best])
        letter = signs(self.alphabet)[best] if sure >= self.refuse_below else None
        return Prediction(letter, sure, probabilities, hands[0] if hands else None)

    def read_set(self, letters: LetterSet, looks: Looks | None = None, *, progress: bool = True) -> np.ndarray:
        """Read a whole set, by its looks or tracked on all cores: (N, classes) probabilities, 0 without a hand."""
        small = small_set(letters.images) if self.kind == "pixel" else None
        if small is not None:
            return predict_logits(self.model, (torch.from_numpy(small),), pixel_prepare()).softmax(1).numpy()
        looks = looks or track(letters, progress=progress)
        if self.kind != "pixel":
            return look_probabilities(self.model, looks)
        images, found = crop_set(letters, looks)
        said = np.zeros((*found.shape, self.model.config.classes), np.float32)
        said[found] = predict_logits(self.model, (torch.from_numpy(images[found]),), pixel_prepare()).softmax(1)
        return said.sum(0) / np.maximum(found.sum(0), 1)[:, None]


def as_small(image: np.ndarray) -> np.ndarray | None:
    """A 28x28 uint8 image in grey, which files give as RGB, as the pixel network reads it; None if it is a photo."""
    small = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape in ((SIDE, SIDE), (SIDE, SIDE, 3))
    return to_gray(image) if small else None


def small_set(images: np.ndarray | PhotoFiles) -> np.ndarray | None:
    """All of a set's images as ``as_small`` has them, (N, 28, 28); None if the set has photos."""
    if isinstance(images, np.ndarray):
        return images if images.shape[1:] == (SIDE, SIDE) else None
    small = []
    for i in range(len(images)):
        image = as_small(images[i])
        if image is None:  # mostly at the first: no need to decode all
            return None
        small.append(image)
    return np.stack(small) if small else None


def crop_set(letters: LetterSet, looks: Looks, *, background: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Crop each photo of a set to its hand for the pixel network, as each look at it saw it.

    Parameters
    ----------
    letters, looks
        The set, and its ``asllib.train.examples.track``.
    background
        Keep what lies around the hand, see ``asllib.preprocess.to_pixels``.

    Returns
    -------
    images
        (looks, N, 28, 28) uint8; black where no hand was found.
    found
        (looks, N) bool.
    """
    hands = [table_hands(table) for table in looks.tables]
    found = np.array([[hand is not None for hand in look] for look in hands])
    images = np.zeros((*found.shape, SIDE, SIDE), np.uint8)
    for i in np.flatnonzero(found.any(0)):
        photo = letters.images[i]
        for look in np.flatnonzero(found[:, i]):
            images[look, i] = to_pixels(photo, hands[look][i], background=background)
    return images, found


def signs(alphabet: Sequence[str]) -> tuple[str, ...]:
    """All 26 letters, then the signs of an alphabet that are no letters."""
    return (*LETTERS, *(name for name in alphabet if name not in LETTERS))


def spread(probabilities: np.ndarray, alphabet: Sequence[str]) -> np.ndarray:
    """Bring probabilities (N, classes) of an alphabet to all letters and its further signs, (N, 26 + signs)."""
    names = signs(alphabet)
    full = np.zeros((len(probabilities), len(names)), np.float32)
    full[:, [names.index(name) for name in alphabet]] = probabilities
    return full


def load_recognizer(name: str | Path = "default") -> Recognizer:
    """Load a shipped recogniser, "default", "landmark" or "pixel", or the one of a run folder."""
    model, card = load_model(name)
    if card["network"] == "motion":
        raise InputError(
            f"{name}: a motion network reads videos, not photos; choose default, landmark or pixel, or use 'asl read' "
            "and asllib.read.load_network"
        )
    return Recognizer(fold(model), card)


__all__ = ["NO_HAND", "Prediction", "Recognizer", "crop_set", "load_recognizer", "read_letters", "spread"]
