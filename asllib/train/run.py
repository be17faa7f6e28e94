"""Train a preset on a named set into a run folder: what ``asl train`` does, and how the shipped weights are made."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asllib.config import Preset
from asllib.config import preset as find_preset
from asllib.data import leave_people_out, load_letters, split
from asllib.data.letterset import LetterSet
from asllib.data.other_hands import random_hands
from asllib.data.people import find_people, signers_apart
from asllib.data.synthetic import added_letters
from asllib.distributed import first_alone, rank
from asllib.errors import InputError
from asllib.evaluation import read_letters
from asllib.networks.store import check_new_run, load_model, save_model, tidy_run
from asllib.paths import write_text
from asllib.read.recognizer import Recognizer, crop_set, small_set
from asllib.results import data_card, versions
from asllib.train.examples import (
    Looks,
    for_pixels,
    join,
    joint_examples,
    landmark_examples,
    look_probabilities,
    track,
    train,
    turned,
)
from asllib.train.loop import NO_LETTER, Examples, History

KEPT = 0.95  # of the letters of people that a network has never seen should be read, not refused


def train_run(
    network: str, preset: str, data: str, out: Path, *, seed: int = 0, epochs: int | None = None
) -> dict[str, Any] | None:
    """Train a preset and write a run folder: ``model.safetensors``, ``card.json``, ``history.csv``.

    A set with an official test (Sign Language MNIST) is trained on its training part and tested on that test, and one
    whose own split keeps signers apart (``people``) on its training part alone, which others' valid signers judge; any
    other is split 60/30/10 by original and trained on the 60; joint and pixel networks, for which the 30 decide
    nothing, on the 90. Where the preset stops early (patience), the 30, or as large a part of the training data,
    decide when. Else the landmark network's 30 are watched only: their loss is in the history, and the last epoch's
    weights are kept.
    A checkpoint in the folder lets the same call go on after a stop.

    Returns
    -------
    dict
        The model card; None in all but the first of several processes, which writes the folder alone.

    Raises
    ------
    InputError
        If the folder holds a finished run, or the set does not have every letter.
    """
    settings = find_preset(network, preset)
    if (out / "card.json").is_file():
        tidy_run(out)  # killed when all was done but this
    check_new_run(out)
    with first_alone():
        letters = load_for(network, settings, data)
    out.mkdir(parents=True, exist_ok=True)
    run = {"pixel": _train_pixel, "landmark": _train_landmark, "joint": _train_joint}[network]
    checkpoint = out / "checkpoint.pt"
    model, history, metrics = run(settings, letters, seed, epochs, checkpoint)
    if rank() > 0:
        return None
    write_text(out / "history.csv", history_table(history).to_csv(index_label="epoch"))
    about = {
        "preset": preset,
        "training": dataclasses.asdict(settings.training),
        "seed": seed,
        "data": data_card(letters),
        "metrics": metrics,
        "versions": versions(),
    }
    if settings.added:
        about["added"] = [data_card(more) for more in added_sets(settings)]
    if settings.signers:
        about["synthetic_signers"] = settings.signers
    if "refuse_below" in metrics:
        about["refuse_below"] = metrics.pop("refuse_below")
    save_model(out, model, settings.alphabet, about)
    tidy_run(out)
    return load_model(out)[1]


def load_for(network: str, preset: Preset, data: str) -> LetterSet:
    """Load the letters of a preset from a set; InputError if one of them is missing."""
    # Where a preset adds Sign Language MNIST itself, its own data are photos of people.
    pixels = network == "pixel" and data in ("auto", "synthetic") and not preset.added
    letters = load_letters(data, pixels=pixels).only(preset.alphabet)
    absent = sorted(set(preset.alphabet) - set(letters.letters))
    if absent:
        raise InputError(f"{letters.name}: no image of {', '.join(absent)}; the preset needs every letter")
    return letters


def history_table(history: History) -> pd.DataFrame:
    """One row an epoch, from 1; validation columns are empty if there was none."""
    columns = {name: values for name, values in dataclasses.asdict(history).items() if isinstance(values, list)}
    table = pd.DataFrame({name: pd.Series(values, dtype=float) for name, values in columns.items()})
    table.index += 1
    return table


def added_sets(settings: Preset) -> list[LetterSet]:
    """The sets that a preset adds; photos that are not on this machine are left out, which is said in one line."""
    found = []
    for name in settings.added:
        if name == "people" and find_people() is None:
            print("No people in the data folder: trained without them (data/README.md says more).", file=sys.stderr)
        else:
            found.append(load_letters(name).only(settings.alphabet))
    return found


def parts(letters: LetterSet, seed: int = 0) -> np.ndarray:
    """Training, validation and test part of each image: the set's own, or by original.

    A set's own split counts if it is an official test of small images, or keeps signers apart.
    """
    own = letters.table["split"].to_numpy(str)
    if (letters.images[0].ndim == 2 and (own == "test").any()) or signers_apart(letters.table):
        return own
    return split(letters, "original", seed)


def learnable(letters: LetterSet, part: np.ndarray) -> np.ndarray:
    """Mask of the images that are learned from where nothing is decided by the validation part, which then joins.

    Not that of a set whose own split keeps signers apart: its valid signers are never learned from.
    """
    return part == "train" if signers_apart(letters.table) else part != "test"


def strangers(sets: Sequence[LetterSet]) -> list[LetterSet]:
    """The valid signers of those sets that keep signers apart: people whom a network has never seen."""
    apart = [one.subset(parts(one) == "valid") for one in sets if signers_apart(one.table)]
    return [one for one in apart if len(one)]


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
    return learnable(letters, part)


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
        with first_alone():
            drawn = added_letters(settings.signers)
        learned.append(for_pixels(pixel_set(drawn), settings.alphabet))
    valid = examples.subset(deciding) if settings.training.patience is not None else None
    model, history = train(settings, join(learned), valid, seed=seed, epochs=epochs, checkpoint=checkpoint)
    reader = Recognizer(model, {"network": "pixel", "alphabet": settings.alphabet})
    metrics = {}
    for name, data in whole.items():
        tested = parts(data) == "test"
        test = data.subset(tested)
        looks = None if small_set(test.images) is not None else track(data).subset(tested)  # tracked already
        metrics[name] = float((read_letters(reader.read_set(test, looks), settings.alphabet) == test.letters).mean())
    return model, history, metrics


def pixel_parts(letters: LetterSet) -> tuple[LetterSet, np.ndarray]:
    """Bring a set to 28x28 images; return the part of each too, which is that of the photo it was cropped from."""
    letters = pixel_set(dataclasses.replace(letters, table=letters.table.assign(split=parts(letters))))
    return letters, letters.table["split"].to_numpy(str)


def pixel_set(letters: LetterSet, looks: Looks | None = None) -> LetterSet:
    """Crop photos to 28x28 images of hands alone, one for each look that found one; 28x28 images stay as they are."""
    small = small_set(letters.images)
    if small is not None:
        return dataclasses.replace(letters, images=small)
    with first_alone():
        looks = looks or track(letters)
    images, found = crop_set(letters, looks)
    places = np.nonzero(found)[1]
    return dataclasses.replace(letters.subset(places), images=images[found])


def _train_landmark(settings, letters, seed, epochs, checkpoint):
    with first_alone():
        looks = track(letters)
    part = parts(letters)
    labels = letters.labels(settings.alphabet)

    def of(name: str):
        return landmark_examples(looks.subset(part == name), labels[part == name])

    model, history = train(settings, of("train"), of("valid"), seed=seed, epochs=epochs, checkpoint=checkpoint)
    metrics = {}
    for name in ("valid", "test"):
        read = read_letters(look_probabilities(model, looks.subset(part == name)), settings.alphabet)
        metrics[f"{name}_accuracy"] = float((read == letters.letters[part == name]).mean())
    return model, history, metrics


def joint_data(settings: Preset, letters: LetterSet) -> tuple[Looks, Examples | None]:
    """Looks at a set, and the examples of synthetic signers that a preset adds, letters and others."""
    if not settings.signers:
        return track(letters), None
    drawn, others = added_letters(settings.signers).only(settings.alphabet), random_hands(settings.signers)
    added = [
        joint_examples(track(drawn), drawn.labels(settings.alphabet)),
        joint_examples(track(others), np.full(len(others), NO_LETTER)),
    ]
    return track(letters), join(added)


def joint_training(photos: Examples, added: Examples | None) -> Examples:
    """All that the joint network learns from: photos, what a preset adds, and some of these hands turned."""
    known = photos if added is None else join([photos, added])
    return join([known, turned(known)])


def _train_joint(settings, letters, seed, epochs, checkpoint):
    with first_alone():
        looks, added = joint_data(settings, letters)
    labels, part = letters.labels(settings.alphabet), parts(letters)

    def fit(where, checkpoint):
        examples = joint_training(joint_examples(looks.subset(where), labels[where]), added)
        return train(settings, examples, seed=seed, epochs=epochs, checkpoint=checkpoint)

    def read(model, where):
        return look_probabilities(model, looks.subset(where))

    # How sure it is of people it has never seen, as read by a network trained on the others.
    tenth = part == "test"
    folds = [where for _, where in leave_people_out(letters)] or [tenth]
    sure = []
    for number, where in enumerate(folds):
        model, history = fit(~where, checkpoint.with_name(f"checkpoint-{number}.pt"))
        sure.append(read(model, where).max(1)[looks.found[where]])
    known = np.concatenate(sure)
    if len(folds) > 1:
        model, history = fit(~tenth, checkpoint)
    right = read_letters(read(model, tenth), settings.alphabet) == letters.letters[tenth]
    metrics = {
        "test_accuracy": float(right.mean()),
        "refuse_below": float(np.quantile(known, 1 - KEPT)) if len(known) else 0.0,
    }
    return model, history, metrics
