"""Settings that networks and notebooks share: how a network is trained, and how large the notebooks run."""

import math
import os
from dataclasses import dataclass
from typing import Any

from asllib.errors import InputError
from asllib.letters import STATIC


@dataclass(frozen=True)
class Training:
    """How a network is trained."""

    epochs: int  # passes over the training data, at most
    learning_rate: float  # of Adam (constant), or the peak of one cycle of AdamW
    batch: int  # items a step
    patience: int | None = None  # training stops after so many epochs in a row without progress; None trains all epochs
    min_delta: float = 1e-4  # a validation loss must fall this far below the best so far to count as progress
    one_cycle: bool = False  # AdamW with a rate that rises, then falls to 0 (Smith and Topin, 2018)
    warm_up: float = 0.25  # share of the steps in which the rate rises
    weight_decay: float = 0.0  # of AdamW
    smoothing: float = 0.0  # of the labels in the loss
    min_steps: int = 0  # at least so many steps: a small set gets more than ``epochs`` passes
    clip_norm: float | None = None  # longest gradient norm; longer gradients are scaled down; None leaves them
    bfloat16: bool = False  # products in 16 bits if the processor supports it; sums and weights have 32


@dataclass(frozen=True)
class Preset:
    """A network of still hands, its training and its data."""

    network: Any  # its ``Config``
    training: Training
    augment: Any = None  # changes to the training data, see the network's module
    alphabet: tuple[str, ...] = STATIC  # the letters that it distinguishes
    signers: int = 0  # synthetic signers added to the photos
    films: int = 0  # of words by synthetic signers, whose frames are added
    added: tuple[str, ...] = ()  # sets whose training parts join the photos


# The paper's hyperparameters (sections III-D and VII-C). The paper names no optimiser; we take Adam.
# It mostly used rates of 1e-6..1e-8, batch 16, min delta 1e-4, and patience 4 in the end; 1000 epochs at most.
PAPER_TRAINING = Training(epochs=1000, learning_rate=1e-6, batch=16, patience=4, min_delta=1e-4)
PAPER_RATES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)  # all rates of the paper, in its order


@dataclass(frozen=True)
class Profile:
    """How large the notebooks run; the defaults are those of "paper"."""

    name: str  # "ci" (small) or "paper" (all of the real data)
    per_letter: int | None = None  # at most so many images per letter and source; None for all
    per_letter_pixels: int | None = None  # the same for training images of 28x28 pixels
    seeds: int = 3  # runs of each ``best`` network
    paper_epochs: int = 5  # at most so many epochs with the paper's settings
    most_steps: float = math.inf  # a preset that asks for a least number of steps gets no more than these
    signers: int = 24  # signers of the synthetic set
    views: int = 4  # pictures per letter and signer
    added: int = 48  # more signers, whose still letters join the training part of the synthetic 28x28 set


PROFILES = {
    "ci": Profile(
        "ci", per_letter=10, per_letter_pixels=200, seeds=1, paper_epochs=3, most_steps=300, signers=12, added=0
    ),
    "paper": Profile("paper"),
}


def profile() -> Profile:
    """The profile that ``ASLLIB_PROFILE`` names, by default "paper"."""
    name = os.environ.get("ASLLIB_PROFILE") or "paper"
    if name not in PROFILES:
        raise InputError(f"ASLLIB_PROFILE={name}: choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
