"""Settings: how a network is trained, the named presets, and how large the notebooks run."""

from __future__ import annotations

import os
from dataclasses import dataclass

from asllib.errors import InputError
from asllib.letters import FIRST_SIX, STATIC
from asllib.networks.default import JointConfig
from asllib.networks.landmark import LandmarkConfig
from asllib.networks.pixel import PixelConfig
from asllib.train.augment import ImageAugment, LandmarkAugment


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
        Raise the learning rate, then anneal it to 0 over all epochs (Smith and Topin, 2018), with AdamW.
    weight_decay, smoothing
        Of AdamW; of the labels in the loss.
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
    weight_decay: float = 0.0
    smoothing: float = 0.0
    min_steps: int = 0
    bfloat16: bool = False


@dataclass(frozen=True)
class Preset:
    """A network, its training and its data.

    Attributes
    ----------
    network
        Shape of the network.
    training
        How it is trained.
    augment
        Changes to the training data, None for none.
    alphabet
        The letters it tells apart.
    signers
        Synthetic signers who are added to the photos: their letters, and for the joint network hands that show none.
    added
        Sets whose training parts are added.
    """

    network: PixelConfig | LandmarkConfig | JointConfig
    training: Training
    augment: ImageAugment | LandmarkAugment | None
    alphabet: tuple[str, ...] = STATIC
    signers: int = 0
    added: tuple[str, ...] = ()


# The paper's hyperparameters (sections III-D and VII-C). It does not name the optimiser: Adam is the choice here.
# It mostly used rates of 1e-6..1e-8, batch 16, min delta 1e-4, and patience 4 in the end; 1000 epochs at most.
PAPER_TRAINING = Training(epochs=1000, learning_rate=1e-6, batch=16, patience=4, min_delta=1e-4)
PAPER_RATES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)  # all that it names, from its first to its last

PRESETS: dict[tuple[str, str], Preset] = {
    ("pixel", "paper"): Preset(PixelConfig(classes=6), PAPER_TRAINING, None, FIRST_SIX),
    ("landmark", "paper"): Preset(LandmarkConfig(classes=6), PAPER_TRAINING, None, FIRST_SIX),
    ("pixel", "best"): Preset(
        PixelConfig(batch_norm=True, dropout=0.1),
        Training(
            epochs=5,
            learning_rate=4e-3,
            batch=128,
            one_cycle=True,
            weight_decay=0.01,
            smoothing=0.05,
            min_steps=1050,  # as many as five epochs of Sign Language MNIST, also where the set is smaller
            bfloat16=True,
        ),
        ImageAugment(),
    ),
    ("landmark", "best"): Preset(
        LandmarkConfig(),
        Training(epochs=30, learning_rate=4e-3, batch=128, one_cycle=True, weight_decay=0.05, smoothing=0.05),
        LandmarkAugment(),
    ),
    # Photos of many people: cameras and rooms differ more than in Sign Language MNIST.
    ("pixel", "people"): Preset(
        PixelConfig(batch_norm=True, dropout=0.1, standardise=True),
        Training(epochs=8, learning_rate=4e-3, batch=128, one_cycle=True, weight_decay=0.05, smoothing=0.05),
        ImageAugment(turn=15.0, zoom=0.15, contrast=0.4, brightness=0.15),
        signers=48,
        added=("sign-mnist",),
    ),
    ("joint", "best"): Preset(
        JointConfig(),
        Training(epochs=40, learning_rate=3e-3, batch=128, one_cycle=True, weight_decay=0.05, smoothing=0.05),
        LandmarkAugment(),
        signers=48,
    ),
}


def preset(network: str, name: str) -> Preset:
    """Look up a preset: network "pixel", "landmark" or "joint", name "paper", "best" or "people"."""
    try:
        return PRESETS[network, name]
    except KeyError:
        known = ", ".join(" ".join(key) for key in PRESETS)
        raise InputError(f"no preset {name!r} for the {network!r} network; there are: {known}") from None


@dataclass(frozen=True)
class Range:
    """Where a number is searched: from low to high, evenly, or with ``log`` evenly in its logarithm."""

    low: float
    high: float
    log: bool = False


# Where `asl tune` searches around the preset "best": the setting's place in the preset -> range, or values to choose
# from. Smoothing is left out: it raises the loss that is searched for, whatever it does to what is read.
SPACES: dict[str, dict[str, Range | tuple[int, ...]]] = {
    "pixel": {
        "training.learning_rate": Range(5e-4, 2e-2, log=True),
        "training.weight_decay": Range(1e-3, 0.3, log=True),
        "training.batch": (64, 128, 256),
        "network.dropout": Range(0, 0.5),
        "augment.turn": Range(0, 20),
        "augment.shift": Range(0, 0.2),
        "augment.zoom": Range(0, 0.2),
    },
    "landmark": {
        "training.learning_rate": Range(5e-4, 2e-2, log=True),
        "training.weight_decay": Range(1e-3, 0.3, log=True),
        "training.batch": (64, 128, 256),
        "network.dropout": Range(0, 0.6),
        "network.hidden": (64, 128, 256),
        "augment.turn": Range(0, 30),
        "augment.tilt": Range(0, 45),
        "augment.stretch": Range(0, 0.3),
        "augment.jitter": Range(0, 0.06),
    },
}


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
