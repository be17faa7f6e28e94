"""Train a preset into a run folder: what ``asl train`` does, and how the shipped weights are made."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from asllib.config import Preset
from asllib.data import leave_people_out, load_letters, split
from asllib.data.letterset import LetterSet
from asllib.data.other_hands import random_hands
from asllib.data.synthetic import added_letters
from asllib.errors import InputError
from asllib.evaluation import read_letters
from asllib.networks.landmark import look_probabilities
from asllib.networks.pixel import PixelCNN, crop_set, set_probabilities, small_set
from asllib.networks.registry import Network, preset
from asllib.networks.store import check_new_run, load_model, save_model, tidy_run
from asllib.paths import write_text
from asllib.results import data_card, versions
from asllib.train.examples import Looks, for_pixels, hand_examples, join, track, train, turned
from asllib.train.loop import NO_LETTER, Examples, History
from asllib.train.spelling import train_spelling

KEPT = 0.95  # of the letters of people that a network has never seen should be read, not refused


def train_run(
    network: str, preset_name: str, data: str, out: Path, *, seed: int = 0, epochs: int | None = None
) -> dict[str, Any]:
    """Train a preset and write a run folder: ``model.safetensors``, ``card.json``, ``history.csv``.

    A set with an official test (Sign Language MNIST) is trained on its training part and tested on that test; any other
    is split 60/30/10 by original and trained on the 60; ``default`` and ``pixel``, for which the 30 decide nothing, on
    the 90. Where the preset stops early (patience), the 30, or as large a part of the training data, decide when. Else
    the landmark network's 30 are watched only: their loss is in the history, and the last epoch's weights are kept.
    ``spelling`` learns from films of its own. A checkpoint in the folder lets the same call go on after a stop.

    Returns
    -------
    dict
        The model card.

    Raises
    ------
    InputError
        If the folder holds a finished run, or the set does not have every letter.
    """
    settings = preset(network, preset_name)
    if network == "spelling" and data != "auto":
        raise InputError(f"spelling: {data}: it has its own data; leave out --data")
    if (out / "card.json").is_file():
        tidy_run(out)  # killed when all was done but this
    check_new_run(out)
    about: dict[str, Any] = {
        "preset": preset_name,
        "training": dataclasses.asdict(settings.training),
        "seed": seed,
        "versions": versions(),
    }
    if network == "spelling":
        out.mkdir(parents=True, exist_ok=True)
        model, history, more = train_spelling(settings, seed, epochs, out)
        return write_run(out, model, settings.network.signs, history, about | more)
    letters = load_for(network, settings, data)
    out.mkdir(parents=True, exist_ok=True)
    run = {"pixel": _train_pixel, "landmark": _train_landmark, "default": _train_default}[network]
    model, record, more = run(settings, letters, seed, epochs, out / "checkpoint.pt")
    about |= {"data": data_card(letters), **more}
    if settings.added:
        about["added"] = [data_card(load_letters(name)) for name in settings.added]
    if settings.signers:
        about["synthetic_signers"] = settings.signers
    return write_run(out, model, settings.alphabet, history_table(record), about)


def write_run(
    out: Path, model: Network, alphabet: tuple[str, ...], history: pd.DataFrame, about: dict[str, Any]
) -> dict[str, Any]:
    """Write a finished run's folder, delete its checkpoints, and return the card."""
    write_text(out / "history.csv", history.to_csv(index_label="epoch"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    save_model(out, model, alphabet, {**about, "device": device})
    tidy_run(out)
    return load_model(out)[1]


def load_for(network: str, settings: Preset, data: str) -> LetterSet:
    """Load the letters of a preset from a set; InputError if one of them is missing."""
    # Where a preset adds Sign Language MNIST itself, its own data are photos of people.
    pixels = network == "pixel" and data in ("auto", "synthetic") and not settings.added
    letters = load_letters(data, pixels=pixels).only(settings.alphabet)
    absent = sorted(set(settings.alphabet) - set(letters.letters))
    if absent:
        raise InputError(f"{letters.name}: no image of {', '.join(absent)}; the preset needs every letter")
    return letters


def history_table(history: History) -> pd.DataFrame:
    """One row an epoch, from 1; validation columns are empty if there was none."""
    columns = {name: values for name, values in dataclasses.asdict(history).items() if isinstance(values, list)}
    table = pd.DataFrame({name: pd.Series(values, dtype=float) for name, values in columns.items()})
    table.index += 1
    return table


def parts(letters: LetterSet, seed: int = 0) -> np.ndarray:
    """Training, validation and test part of each image: the official test if there is one, else by original."""
    own = letters.table["split"].to_numpy(str)
    if letters.images[0].ndim == 2 and (own == "test").any():
        return own
    return split(letters, "original", seed)


def trained_on(card: dict[str, Any], letters: LetterSet) -> np.ndarray:
    """Tell which images of a set a network learned from, or was stopped by: (N,) bool, none if the set is new to it.

    A set is known by its hash in the network's card. Where it cannot be said which part was learned from, it is all.
    """
    added = card.get("added")
    named = [one for one in (card.get("data"), *(added if isinstance(added, list) else [])) if isinstance(one, dict)]
    if "teaching" in card:
        seen = np.zeros(len(letters), bool)
        for one in named:  # a network that was taught more signs learned before from the letters that it knew then
            of = np.isin(letters.letters, list(one.get("alphabet", letters.letters)))
            if one.get("sha256") in (letters.sha256(), letters.subset(of).sha256()):
                seen |= of
        return seen
    if letters.sha256() not in [one.get("sha256") for one in named]:
        return np.zeros(len(letters), bool)
    part = parts(letters)
    if card["network"] == "landmark" and card["training"]["patience"] is None:
        return part == "train"  # the validation part was watched, no more
    return part != "test"


def _train_pixel(settings, letters, seed, epochs, checkpoint):
    whole = {"test_accuracy": letters}
    letters, part = pixel_parts(letters)
    examples = for_pixels(letters, settings.alphabet)
    fitting, deciding = part == "train", part == "valid"
    if settings.training.patience is None:
        fitting |= deciding  # nothing is decided, so these can be learned from
    elif not deciding.any():
        inner = split(letters.subset(fitting), None, 0)
        deciding[np.flatnonzero(fitting)[inner == "valid"]] = True
        fitting &= ~deciding
    learned = [examples.subset(fitting)]
    for name in settings.added:
        more = load_letters(name).only(settings.alphabet)
        whole[f"{name}_test_accuracy"] = more
        more, part = pixel_parts(more)
        learned.append(for_pixels(more, settings.alphabet).subset(part == "train"))
    if settings.signers:
        learned.append(for_pixels(pixel_set(added_letters(settings.signers)), settings.alphabet))
    valid = examples.subset(deciding) if settings.training.patience is not None else None
    model, history = train(settings, join(learned), valid, seed=seed, epochs=epochs, checkpoint=checkpoint)
    assert isinstance(model, PixelCNN)
    metrics = {}
    for name, data in whole.items():
        tested = parts(data) == "test"
        read = set_probabilities(model, data, track)[tested]
        metrics[name] = float((read_letters(read, settings.alphabet) == data.letters[tested]).mean())
    return model, history, {"metrics": metrics}


def pixel_parts(letters: LetterSet) -> tuple[LetterSet, np.ndarray]:
    """Bring a set to 28x28 images; return the part of each too, which is that of the photo it was cropped from."""
    letters = pixel_set(dataclasses.replace(letters, table=letters.table.assign(split=parts(letters))))
    return letters, letters.table["split"].to_numpy(str)


def pixel_set(letters: LetterSet, looks: Looks | None = None) -> LetterSet:
    """Crop photos to 28x28 images of hands alone, one for each look that found one; 28x28 images stay as they are."""
    small = small_set(letters.images)
    if small is not None:
        return dataclasses.replace(letters, images=small)
    images, found = crop_set(letters, looks or track(letters))
    places = np.nonzero(found)[1]
    return dataclasses.replace(letters.subset(places), images=images[found])


def _train_landmark(settings, letters, seed, epochs, checkpoint):
    looks, part = track(letters), parts(letters)
    labels = letters.labels(settings.alphabet)
    learned, watched = (hand_examples(looks.subset(part == name), labels[part == name]) for name in ("train", "valid"))
    model, history = train(settings, learned, watched, seed=seed, epochs=epochs, checkpoint=checkpoint)
    metrics = {}
    for name in ("valid", "test"):
        read = read_letters(look_probabilities(model, looks.subset(part == name)), settings.alphabet)
        metrics[f"{name}_accuracy"] = float((read == letters.letters[part == name]).mean())
    return model, history, {"metrics": metrics}


def default_data(settings: Preset, letters: LetterSet) -> tuple[Looks, Examples | None]:
    """Looks at a set, and the examples of synthetic signers that a preset adds, letters and others."""
    if not settings.signers:
        return track(letters), None
    drawn, others = added_letters(settings.signers).only(settings.alphabet), random_hands(settings.signers)
    added = [
        hand_examples(track(drawn), drawn.labels(settings.alphabet)),
        hand_examples(track(others), np.full(len(others), NO_LETTER)),
    ]
    return track(letters), join(added)


def default_examples(photos: Examples, added: Examples | None) -> Examples:
    """All that ``default`` learns from: photos, what a preset adds, and some of these hands turned."""
    known = photos if added is None else join([photos, added])
    return join([known, turned(known)])


def _train_default(settings, letters, seed, epochs, checkpoint):
    looks, added = default_data(settings, letters)
    labels, part = letters.labels(settings.alphabet), parts(letters)

    def fit(where, checkpoint):
        examples = default_examples(hand_examples(looks.subset(where), labels[where]), added)
        return train(settings, examples, seed=seed, epochs=epochs, checkpoint=checkpoint)

    # How sure it is of people it has never seen, as read by a network trained on the others.
    tenth = part == "test"
    folds = [where for _, where in leave_people_out(letters)] or [tenth]
    sure = []
    for number, where in enumerate(folds):
        model, history = fit(~where, checkpoint.with_name(f"checkpoint-{number}.pt"))
        sure.append(look_probabilities(model, looks.subset(where)).max(1)[looks.found[where]])
    known = np.concatenate(sure)
    if len(folds) > 1:
        model, history = fit(~tenth, checkpoint)
    read = read_letters(look_probabilities(model, looks.subset(tenth)), settings.alphabet)
    about = {
        "metrics": {"test_accuracy": float((read == letters.letters[tenth]).mean())},
        "refuse_below": float(np.quantile(known, 1 - KEPT)) if len(known) else 0.0,
    }
    return model, history, about
