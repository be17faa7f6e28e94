"""Settings that networks and notebooks share: how a network is trained, and how large the notebooks run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from asllib.errors import InputError
from asllib.letters import STATIC


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes
    ----------
    epochs
        At most so many passes over the training data.
    min_steps
        At least so many steps: a small set is passed over more often than ``epochs``.
    learning_rate
        Of Adam (constant), or the peak of one cycle of AdamW.
    batch
        Items a step.
    patience
        Stop after so many epochs in a row without progress; None trains all epochs.
    min_delta
        What counts as progress, in units of the loss.
    stop_rule
        "validation": progress is a validation loss below the best so far by min_delta. "gap", the paper's wording:
        progress is a validation loss that is not above the training loss by min_delta or more.
    one_cycle
        Raise the learning rate for ``warm_up`` of all steps, then anneal it to 0 (Smith and Topin, 2018), with AdamW.
    weight_decay, smoothing
        Of AdamW; of the labels in the loss.
    clip_norm
        Gradients are scaled to be no longer than this; None leaves them.
    bfloat16
        Multiply in 16 bits where the processor has instructions for it, which is faster; sums and weights have 32.
    """

    epochs: int
    learning_rate: float
    batch: int
    patience: int | None = None
    min_delta: float = 1e-4
    stop_rule: str = "validation"
    one_cycle: bool = False
    warm_up: float = 0.25
    weight_decay: float = 0.0
    smoothing: float = 0.0
    min_steps: int = 0
    clip_norm: float | None = None
    bfloat16: bool = False


@dataclass(frozen=True)
class Preset:
    """A network of still hands, its training and its data.

    Attributes
    ----------
    network
        Shape of the network: its ``Config``.
    training
        How it is trained.
    augment
        Changes to the training data, see the network's module; None for none.
    alphabet
        The letters it tells apart.
    signers
        Synthetic signers who are added to the photos.
    added
        Sets whose training parts are added.
    """

    network: Any
    training: Training
    augment: Any = None
    alphabet: tuple[str, ...] = STATIC
    signers: int = 0
    added: tuple[str, ...] = ()


# The paper's hyperparameters (sections III-D and VII-C). It does not name the optimiser: Adam is the choice here.
# It mostly used rates of 1e-6..1e-8, batch 16, min delta 1e-4, and patience 4 in the end; 1000 epochs at most.
PAPER_TRAINING = Training(epochs=1000, learning_rate=1e-6, batch=16, patience=4, min_delta=1e-4)
PAPER_RATES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)  # all that it names, from its first to its last


@dataclass(frozen=True)
class Profile:
    """How large the notebooks run.

    Attributes
    ----------
    name
        "ci" (small) or "paper" (all of the real data).
    per_letter
        Images of a letter and source that are used at most; None for all.
    per_letter_pixels
        The same for the training images of 28x28 pixels.
    seeds
        Runs of each ``best`` network.
    paper_epochs
        Where the runs with the paper's settings end at the latest.
    signers, views
        Of the synthetic signer's set: how many people, and pictures a letter of each.
    added
        More people whose still letters join the training part of the synthetic set of 28x28 images.
    """

    name: str
    per_letter: int | None
    per_letter_pixels: int | None
    seeds: int
    paper_epochs: int
    signers: int
    views: int
    added: int


PROFILES = {
    "ci": Profile("ci", per_letter=10, per_letter_pixels=200, seeds=1, paper_epochs=3, signers=12, views=4, added=0),
    "paper": Profile(
        "paper", per_letter=None, per_letter_pixels=None, seeds=3, paper_epochs=5, signers=24, views=4, added=48
    ),
}


def profile() -> Profile:
    """The profile that ``ASLLIB_PROFILE`` names, by default "paper"."""
    name = os.environ.get("ASLLIB_PROFILE") or "paper"
    if name not in PROFILES:
        raise InputError(f"ASLLIB_PROFILE={name}: choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
