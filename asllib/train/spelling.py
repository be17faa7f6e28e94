"""Train the two motion networks that are shipped: what ``asl train motion`` and ``asl train spelling`` do."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asllib.config import profile
from asllib.data import find_photos, load_letters
from asllib.data.other_hands import random_hands
from asllib.data.synthetic import added_letters, signer_version
from asllib.errors import InputError
from asllib.letters import LETTERS, MOVING
from asllib.networks.spelling import NEITHER, MotionConfig, MotionNet
from asllib.networks.store import Network, check_new_run, load_model, save_model, tidy_run
from asllib.paths import write_text
from asllib.results import data_card, versions
from asllib.train.clips import SIGNS, Clip, Stills, film_clip, film_stills, stills_of
from asllib.train.examples import track
from asllib.train.films import SIZE, SMALL, Plan, films, practice_plans
from asllib.train.fitting import fit_motion
from asllib.train.loop import device

# Of the synthetic signer: seeds that no test uses.
PRACTICE_SEED, IDLE_SEED = 1001, 3001
_SMALL_IDLE = 200  # of the films of idle hands are small, the rest as large as the live cell sends them
_FURTHER = 700  # another number of plans is other plans: some of the first are filmed
# The signer of the two videos that are only ever read, never trained on.
LEFT_OUT = "t32rahman"


@dataclass(frozen=True)
class MotionTraining:
    """How a motion network is trained.

    Attributes
    ----------
    network
        Its shape.
    films, more, sharp, slower, strokes, idle
        Films of random letters, of further signers who spell random letters, of still others filmed as large as the
        live cell sends them, of others as large who also spell more slowly, of words in which every second letter is J
        or Z, and of idle hands, every one of another signer.
    shape_steps, steps
        Of the eye for handshapes, and of what is made of them in time.
    pieced
        Part of each batch that is pieced together from still hands.
    photos
        Whether real photos are among the still hands.
    signers
        Synthetic signers whose still letters, and handshapes that are no letter, are among the still hands.
    eager
        The trained network's odds for signs against "neither" are multiplied by it. In training most moments are
        "neither", and a stroke is a moment or two long.
    """

    network: MotionConfig
    films: int = 260
    more: int = 0
    sharp: int = 0
    slower: int = 0
    strokes: int = 150
    idle: int = 24
    shape_steps: int = 2500
    steps: int = 1400
    pieced: float = 0.5
    photos: bool = False
    signers: int = 0
    eager: float = 1.0


TRAINING: dict[str, MotionTraining] = {
    "motion": MotionTraining(MotionConfig(dropout=0.15), shape_steps=0, steps=2500, pieced=0.75, eager=4.0),
    "spelling": MotionTraining(
        MotionConfig(signs=SIGNS, shapes=SIGNS, solid=True, hidden=192, channels=112),
        more=411,
        sharp=320,
        slower=1200,
        idle=440,
        shape_steps=23_000,
        steps=7000,
        photos=True,
        signers=48,
    ),
}


def train_motion(network: str, out: Path, *, seed: int = 0, steps: int | None = None) -> dict[str, Any]:
    """Train a motion network and write a run folder: ``model.safetensors``, ``card.json``, ``history.csv``.

    "motion" tells J and Z from everything else and sees the synthetic signer alone. "spelling" reads all letters as
    they are spelled, and the signs for space and delete; it sees real photos too where they are. Checkpoints in the
    folder let the same call go on after a stop.

    Returns
    -------
    dict
        The model card.

    Raises
    ------
    InputError
        If there is no such network, or the folder holds a finished run.
    """
    if network not in TRAINING:
        raise InputError(f"no motion network {network!r}; there are: {', '.join(TRAINING)}")
    if (out / "card.json").is_file():
        tidy_run(out)  # killed when all was done but this
    check_new_run(out)
    out.mkdir(parents=True, exist_ok=True)  # before the work: it may be a place that cannot be written to
    settings = TRAINING[network]
    if steps is not None:
        settings = dataclasses.replace(settings, steps=steps, shape_steps=min(settings.shape_steps, steps))
    if profile().name == "ci":
        settings = dataclasses.replace(
            settings, films=8, more=0, sharp=0, slower=0, strokes=4, idle=2, signers=min(1, settings.signers)
        )
    signs = settings.network.signs
    clips = practice_clips(settings, signs)
    held = film_stills(clips)
    about: dict[str, Any] = {"signer_version": signer_version()}
    parts = [held]
    if settings.photos and find_photos() is not None:
        photos, about["photos"] = photo_stills()
        parts.insert(0, photos)
    if settings.signers:
        parts += [stills_of(track(drawn(settings.signers)).tables) for drawn in (added_letters, random_hands)]
    model, losses = fit_motion(
        settings.network, clips, join(*parts), shape_steps=settings.shape_steps, steps=settings.steps,
        pieced=settings.pieced, seed=seed, checkpoint=out,
    )  # fmt: skip
    make_eager(model, settings.eager)
    letters = [sign for sign in signs if sign in LETTERS]
    return save_run(out, model, letters, network, settings, seed, about, losses)


def save_run(
    out: Path,
    model: Network,
    alphabet: Sequence[str],
    preset: str,
    settings: Any,
    seed: int,
    about: dict[str, Any],
    losses: Sequence[float],
) -> dict[str, Any]:
    """Write the run folder of a network whose settings are a dataclass with the field ``network``; return its card."""
    write_text(out / "history.csv", "step,loss\n" + "".join(f"{i},{loss:.4f}\n" for i, loss in enumerate(losses, 1)))
    save_model(
        out,
        model,
        alphabet,
        {
            "preset": preset,
            "training": {k: v for k, v in dataclasses.asdict(settings).items() if k != "network"},
            "seed": seed,
            "data": about,
            "metrics": {"loss": float(np.mean(losses[-50:]))},
            "device": device().type,
            "versions": versions(),
        },
    )
    tidy_run(out)
    return load_model(out)[1]


def make_eager(model: MotionNet, factor: float) -> None:
    """Multiply the network's odds for its signs against "neither"."""
    assert model.head.bias is not None
    with torch.no_grad():
        model.head.bias[NEITHER] -= math.log(factor)


def practice_clips(settings: MotionTraining, signs: Sequence[str] = SIGNS) -> list[Clip]:
    """Films of random letters and of idle hands as clips; filmed once, then read from the cache folder."""
    plans = practice_plans(settings.films, PRACTICE_SEED)
    plans += practice_plans(settings.strokes, PRACTICE_SEED, length=5, often=MOVING)
    sizes = [SMALL if number < _SMALL_IDLE else SIZE for number in range(settings.idle)]
    idle = [Plan("", number, IDLE_SEED, fps=10.0, seconds=10.0, size=size) for number, size in enumerate(sizes)]
    further = practice_plans(_FURTHER, PRACTICE_SEED + 1)[: settings.more]
    sharp = practice_plans(settings.sharp, PRACTICE_SEED + 2, size=SIZE)
    slower = practice_plans(settings.slower, PRACTICE_SEED + 3, speeds=(1.5, 5.0), size=SIZE)
    return [film_clip(stream, signs) for stream in films([*plans, *idle, *further, *sharp, *slower])]


def photo_stills() -> tuple[Stills, dict[str, Any]]:
    """Hands on the real photos that may be trained on, and their card.

    Test photos are left out, and the one source whose signer also made the two videos that are read as a check.
    """
    letters = load_letters("photos")
    table = letters.table
    keep = ((table["split"] != "test") & (table["source"] != LEFT_OUT) & (table["label"] != "nothing")).to_numpy()
    return stills_of(track(letters).subset(keep).tables), data_card(letters.subset(keep))


def join(*parts: Stills) -> Stills:
    """Stills of several sets as one."""
    return Stills(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("image", "world", "labels")))
