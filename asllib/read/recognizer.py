"""Read letters: images in, letters with their confidence out."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asllib.data.letterset import LetterSet
from asllib.data.looks import track
from asllib.errors import InputError
from asllib.files import read_image
from asllib.hands.look import WIDTH, Hand
from asllib.hands.pixels import to_pixels
from asllib.hands.tracker import HandTracker
from asllib.letters import LETTERS
from asllib.networks.landmark import look_probabilities
from asllib.networks.pixel import PixelCNN, as_small, set_probabilities
from asllib.networks.store import Network, fold, load_model


@dataclass(frozen=True)
class Prediction:
    """The reading of one image."""

    letter: str | None  # "A".."Z" or an added sign; None without a hand, or below the confidence threshold
    confidence: float  # the letter's probability, 0..1; 0 without a hand
    probabilities: np.ndarray  # (26 + signs,) float32, A to Z, then added signs; 0 for letters unknown to the network
    hand: Hand | None  # None also for a 28x28 image, which needs none

    def __str__(self) -> str:
        if self.hand is None and self.letter is None:
            return "no hand found"
        return f"{self.letter or 'rejected'} ({self.confidence:.0%})"


@dataclass
class Recognizer:
    """A trained network with the hand tracker in front of it."""

    model: Network  # ``DefaultNet``, ``LandmarkCNN`` or ``PixelCNN``
    card: dict[str, Any]  # its model card
    _tracker: HandTracker | None = field(default=None, repr=False)

    @property
    def alphabet(self) -> Sequence[str]:
        """The letters and signs that it distinguishes, in the order of the network's outputs."""
        return self.card["alphabet"]

    @property
    def kind(self) -> str:
        """Kind of the network: "default", "landmark" or "pixel"."""
        return self.card["network"]

    @property
    def refuse_below(self) -> float:
        """Confidence threshold: 97 % of the letters of held-out signers reach it; 0 rejects none."""
        return self.card.get("refuse_below", 0.0)

    def predict(self, images: str | PathLike[str] | Sequence[np.ndarray | str | PathLike[str]]) -> list[Prediction]:
        """Read the letter in each image; a line on stderr warns if red and blue seem to be swapped.

        Images are (H, W, 3) uint8 RGB photos, or files of photos; a single file is allowed. The pixel network also
        takes 28x28 images, (28, 28) uint8 or RGB. InputError if an image is no such array, or a file not readable.
        """
        found, blue = [], False
        for one in [images] if isinstance(images, str | PathLike) else images:
            image = read_image(one) if isinstance(one, str | PathLike) else one
            found.append(self._predict_one(image))
            hand = found[-1].hand
            blue |= image is one and hand is not None and looks_blue(image, hand)
        if blue:
            print(BLUE, file=sys.stderr)
        return found

    def probabilities(self, hands: Sequence[Hand], aspect: float, image: np.ndarray | None = None) -> np.ndarray:
        """Probabilities (classes,) by looks at a hand and width / height; only the pixel network needs the image."""
        if self.kind == "pixel":
            if image is None:
                raise InputError(NO_PICTURE)
            pixels = np.stack([to_pixels(image, hand) for hand in hands or (None,)])
            inputs: tuple[Tensor, ...] = (torch.from_numpy(pixels),)
        else:
            none = np.full(WIDTH, np.nan, np.float32)
            inputs = (
                torch.from_numpy(np.stack([hand.landmarks for hand in hands])),
                torch.from_numpy(np.stack([hand.world for hand in hands])),
                torch.tensor([hand.side == "left" for hand in hands]),
                torch.full((len(hands),), aspect),
                torch.from_numpy(np.stack([none if hand.embedding is None else hand.embedding for hand in hands])),
            )
        return self.model.logits(inputs).softmax(1).numpy().mean(0)

    def _predict_one(self, image: np.ndarray) -> Prediction:
        names = signs(self.alphabet)
        small = as_small(image) if self.kind == "pixel" else None
        if small is not None:
            hands, image = [], small
        else:
            self._tracker = self._tracker or HandTracker()
            hands = [*self._tracker.detect_looks(image)]
            if not hands:
                return Prediction(None, 0.0, np.zeros(len(names), np.float32), None)
        known = self.probabilities(hands, image.shape[1] / image.shape[0], image)
        probabilities = spread(known, self.alphabet)
        best = int(probabilities.argmax())
        sure = float(probabilities[best])
        letter = names[best] if sure >= self.refuse_below else None
        return Prediction(letter, sure, probabilities, hands[0] if hands else None)

    def read_set(self, letters: LetterSet, *, progress: bool = True) -> np.ndarray:
        """Read a whole set, whose hands are tracked on all cores: (N, classes) probabilities, 0 without a hand."""
        if isinstance(self.model, PixelCNN):
            return set_probabilities(self.model, letters, partial(track, progress=progress))
        return look_probabilities(self.model, track(letters, progress=progress))


NO_PICTURE = "landmarks have no picture for a pixel network; use spelling, default or landmark"
BLUE = "a hand looks blue: are red and blue swapped, as OpenCV has them? Then give image[..., ::-1]"


def looks_blue(image: np.ndarray, hand: Hand) -> bool:
    """Whether a palm in an image (H, W, 3) has a tenth more blue than red; skin has this only in blue light."""
    palm = hand.landmarks[[0, 5, 9, 13, 17], :2].mean(0)
    between = (hand.landmarks[[0, 1, 5, 9, 13, 17], :2] + palm) / 2
    x, y = (np.clip(between, 0, 0.999) * (image.shape[1], image.shape[0])).astype(int).T
    red, _, blue = np.median(image[y, x], axis=0)
    return bool(blue + 8 > 1.1 * (red + 8))


def signs(alphabet: Sequence[str]) -> tuple[str, ...]:
    """All 26 letters, then those signs of an alphabet that are not letters."""
    return (*LETTERS, *(name for name in alphabet if name not in LETTERS))


def spread(probabilities: np.ndarray, alphabet: Sequence[str]) -> np.ndarray:
    """Spread probabilities (.., classes) of an alphabet over all letters and its other signs, (.., 26 + signs)."""
    names = signs(alphabet)
    full = np.zeros((*probabilities.shape[:-1], len(names)), np.float32)
    full[..., [names.index(name) for name in alphabet]] = probabilities
    return full


def load_recognizer(name: str | Path = "default") -> Recognizer:
    """Load a shipped recogniser, "default", "landmark" or "pixel", or the recogniser of a run folder."""
    model, card = load_model(name)
    if card["network"] == "spelling":
        raise InputError(f"{name}: a spelling network reads videos, not photos: 'asl read', asllib.read.load_network")
    return Recognizer(fold(model), card)
