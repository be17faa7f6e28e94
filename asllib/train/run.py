"""Train a preset into a run folder: what ``asl train`` does, and how the shipped weights are made."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from asllib.config import Preset
from asllib.data.drawn import added_letters, random_hands
from asllib.data.letterset import LetterSet
from asllib.data.looks import Looks, track, without_pictures
from asllib.data.people_set import find_people, join_tables, load_sequences, signer_weights, signers_apart
from asllib.data.registry import SOURCES, find_photos, load_letters
from asllib.data.splits import leave_people_out, split
from asllib.errors import InputError
from asllib.evaluation import read_letters
from asllib.letters import NO_LETTER, STATIC, encode
from asllib.networks.default import DefaultConfig
from asllib.networks.landmark import look_probabilities
from asllib.networks.pixel import crop_set, set_probabilities, small_set
from asllib.networks.store import Network, check_new_run, load_model, preset, save_model, tidy_run
from asllib.paths import write_text
from asllib.results import data_card, versions
from asllib.train.films import films, practice_plans
from asllib.train.loop import Examples, device, for_pixels, hand_examples, join, train, turned
from asllib.train.spelling import PRACTICE_SEED, train_spelling

MOST_LABELS = 60  # of a folder's own; more are mostly a mistake: a folder for each film or person
HELD = 8.0  # weight of a letter that is held in a film, all its frames together, beside 1 of a drawn photo
KEPT = 0.97  # of the letters of people that a network has never seen should be accepted, not rejected


def train_run(
    network: str,
    preset_name: str,
    data: str,
    out: Path,
    *,
    alphabet: str = "letters",
    seed: int = 0,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Train a preset and write a run folder: ``model.safetensors``, ``card.json``, ``history.csv``; return the card.

    A set with an official test (Sign Language MNIST) is trained on its training part and tested on that test; of
    ``people``, whose own split keeps signers apart, the training part is learned from, and the valid signers test. Any
    other set is split 60/30/10 by original: where the preset stops early (patience) the 30, or as large a part of the
    training data, decide when, else they are learned from too. With "auto", ``landmark`` and ``default`` learn from
    photos and people together. ``spelling`` learns from films of its own. A folder of photos may hold any 2 to 60
    labels, of which ``alphabet`` chooses, see ``own_labels``. A checkpoint in the run folder lets the same call go on
    after a stop.

    InputError if the folder holds a finished run, a named set lacks a letter, a folder has other labels, or
    ``spelling`` is given data.
    """
    settings = preset(network, preset_name)
    own = network != "spelling" and data not in (*SOURCES, "auto") and Path(data).is_dir()
    if alphabet != "letters" and not own:
        raise InputError(f"alphabet {alphabet}: only folders have a choice; {data} has letters")
    if (out / "card.json").is_file():
        tidy_run(out)  # killed when all was done but this
    check_new_run(out)
    about: dict[str, Any] = {
        "preset": preset_name,
        "training": dataclasses.asdict(settings.training) | ({} if epochs is None else {"epochs": epochs}),
        "seed": seed,
        "versions": versions(),
    }
    if network == "spelling":
        if data != "auto":
            raise InputError(f"data {data}: spelling learns from films of its own; leave out --data")
        out.mkdir(parents=True, exist_ok=True)
        model, history, more = train_spelling(settings, seed, epochs, out)
        return write_run(out, model, settings.network.signs, history, about | more)
    if own:
        settings = own_labels(settings, load_letters(data), alphabet)
    sets = training_sets(network, settings, data)
    out.mkdir(parents=True, exist_ok=True)
    run = _train_pixel if network == "pixel" else _train_hands
    model, record, more = run(settings, sets, seed, epochs, out / "checkpoint.pt")
    about |= {"data": data_card(sets[0]), **more}
    if len(sets) > 1:
        about["added"] = [data_card(one) for one in sets[1:]]
    if settings.signers:
        about |= {"synthetic_signers": settings.signers, "synthetic_films": settings.films}
    columns = {name: values for name, values in vars(record).items() if isinstance(values, list)}
    history = pd.DataFrame({name: pd.Series(values, dtype=float) for name, values in columns.items()})
    return write_run(out, model, settings.alphabet, history, about)


def own_labels(settings: Preset, letters: LetterSet, alphabet: str) -> Preset:
    """Make a preset tell apart the labels that a set has: those that are ``letters``, ``digits``, ``both``, or ``all``.

    What is left out, and which letters or digits are missing, is said on stderr. InputError unless 2 to 60 are left.
    """
    there, digits = letters.table["label"].value_counts().sort_index(), tuple("0123456789")
    choices: dict[str, Sequence[str]] = {"letters": settings.alphabet, "digits": digits}
    choices |= {"both": (*settings.alphabet, *digits), "all": tuple(there.index)}
    if alphabet not in choices:
        raise InputError(f"alphabet {alphabet}: choose one of {', '.join(choices)}")
    found = tuple(name for name in choices[alphabet] if name in there)
    if not 2 <= len(found) <= MOST_LABELS:
        said = f"{len(found)} labels with --alphabet {alphabet} where 2 to {MOST_LABELS} are needed"
        raise InputError(f"{letters.name}: {said}; choose another, it has {', '.join(there.index[:MOST_LABELS])}")
    left, missing = there.drop(list(found)), [name for name in choices[alphabet] if name not in there]
    if len(left):
        said = f"{left.sum()} photos left out, of {', '.join(left.index)} (--alphabet {alphabet})"
        print(f"{letters.name}: {said}", file=sys.stderr)
    if missing:
        said = f"no photos of {', '.join(missing)}; the network will tell {', '.join(found)} apart, and nothing else"
        print(f"{letters.name}: {said}", file=sys.stderr)
    network = dataclasses.replace(settings.network, classes=len(found))
    return dataclasses.replace(settings, alphabet=found, network=network)


def write_run(
    out: Path, model: Network, alphabet: tuple[str, ...], history: pd.DataFrame, about: dict[str, Any]
) -> dict[str, Any]:
    """Write a finished run's folder, delete its checkpoints, and return the card."""
    write_text(out / "history.csv", history.set_axis(history.index + 1).to_csv(index_label="epoch"))
    save_model(out, model, alphabet, {**about, "device": device().type})
    tidy_run(out)
    return load_model(out)[1]


def training_sets(network: str, settings: Preset, data: str) -> list[LetterSet]:
    """Load what a preset is trained on: the named set, which must have every letter, and those added."""
    # Where a preset adds Sign Language MNIST itself, its own data are photos of people.
    pixels = network == "pixel" and data in ("auto", "synthetic") and not settings.added
    letters = load_letters(data, pixels=pixels).only(settings.alphabet)
    absent = sorted(set(settings.alphabet) - set(letters.letters))
    if absent:
        raise InputError(f"{letters.name}: no image of {', '.join(absent)}; the preset needs every letter")
    added = list(settings.added)
    if data == "auto" and not pixels and find_photos() is not None and find_people() is not None:
        added.append("people")
    return [letters, *filter(len, (load_letters(name).only(settings.alphabet) for name in added))]


def parts(letters: LetterSet, seed: int = 0) -> np.ndarray:
    """Part of each image: by the set's own split if it is official or keeps signers apart, else by original."""
    own = letters.table["split"].to_numpy(str)
    if (letters.images[0].ndim == 2 and (own == "test").any()) or signers_apart(letters.table):
        return own
    return split(letters, "original", seed)


def learnable(letters: LetterSet, part: np.ndarray) -> np.ndarray:
    """Mask of the images that are learned from where nothing decides; signers held out by the set itself never are."""
    return part == "train" if signers_apart(letters.table) else part != "test"


def trained_on(card: dict[str, Any], letters: LetterSet) -> np.ndarray:
    """Tell which images of a set a network learned from, (N,) bool, known by the set's hash in its card; or all."""
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
    return learnable(letters, parts(letters))


def _train_pixel(settings, sets, seed, epochs, checkpoint):
    """Train ``pixel``: every crop of a hand is an example."""
    letters, *added = map(pixel_parts, sets)
    part, early = letters.table["split"].to_numpy(str), settings.training.patience is not None
    examples, fitting, deciding = for_pixels(letters, settings.alphabet), learnable(letters, part), part == "valid"
    if early:
        fitting = part == "train"
        if not deciding.any():
            inner = split(letters.subset(fitting), None, 0)
            deciding[np.flatnonzero(fitting)[inner == "valid"]] = True
            fitting &= ~deciding
    more = [one.subset((one.table["split"] == "train").to_numpy()) for one in added]
    if settings.signers:
        more.append(pixel_set(added_letters(settings.signers)))
    learned = [examples.subset(fitting), *(for_pixels(one, settings.alphabet) for one in more)]
    valid = examples.subset(deciding) if early else None
    model, history = train(settings, join(learned), valid, seed=seed, epochs=epochs, checkpoint=checkpoint)
    read = [set_probabilities(model, data, track) for data in sets]
    return model, history, {"metrics": accuracies(sets, read, settings.alphabet)}


def accuracies(sets: Sequence[LetterSet], read: Sequence[np.ndarray], alphabet: tuple[str, ...]) -> dict[str, float]:
    """Share of each set's test part that is read right; of one that keeps signers apart the mean over valid signers."""
    found = {}
    for number, (letters, probabilities) in enumerate(zip(sets, read, strict=True)):
        part, right = parts(letters), read_letters(probabilities, alphabet) == letters.letters
        if signers_apart(letters.table):
            by_signer = letters.table.assign(right=right)[part == "valid"].groupby("signer")["right"].mean()
            found[f"{letters.name}_valid_signers"] = float(by_signer.mean())
        else:
            name = f"{Path(letters.name).name}_test_accuracy" if number else "test_accuracy"
            found[name] = float(right[part == "test"].mean())
    return found


def pixel_parts(letters: LetterSet) -> LetterSet:
    """Bring a set to 28x28 images, whose split is the part of the photo that each was cropped from."""
    return pixel_set(dataclasses.replace(letters, table=letters.table.assign(split=parts(letters))))


def pixel_set(letters: LetterSet, looks: Looks | None = None) -> LetterSet:
    """Crop photos to 28x28 images of hands alone, one for each look that found one; 28x28 images stay as they are."""
    small = small_set(letters.images)
    if small is not None:
        return dataclasses.replace(letters, images=small)
    images, found = crop_set(letters, looks or track(letters))
    places = np.nonzero(found)[1]
    return dataclasses.replace(letters.subset(places), images=images[found])


@dataclasses.dataclass(frozen=True)
class Hands:
    """Hands of one set: a row of its table, what was seen in each look, and a label each."""

    table: pd.DataFrame
    looks: Looks
    labels: np.ndarray

    def subset(self, which: np.ndarray) -> "Hands":
        """Take the hands of a boolean mask."""
        return Hands(self.table[which].reset_index(drop=True), self.looks.subset(which), self.labels[which])


def hands_of(letters: LetterSet, alphabet: tuple[str, ...]) -> Hands:
    """Look at the hands of a set of photos."""
    return Hands(letters.table, track(letters), letters.labels(alphabet))


def sequence_frames(which: str, alphabet: tuple[str, ...], every: int = 2) -> Hands:
    """Frames of the landmark sequences of ``people``, "train" or "valid", that show a letter of the alphabet.

    Of neighbours, which are nearly the same, one in ``every`` is taken.
    """
    table = join_tables(load_sequences(which), every)
    table = table[table["label"].isin(alphabet)].reset_index(drop=True)
    return Hands(table, without_pictures([table]), encode(table["label"], alphabet))


def joined_examples(parts: Sequence[Hands], drawn: Sequence[Examples], doubts: bool) -> Examples:
    """Every hand as an example, of several sets every signer alike; drawn hands too, and turned ones to doubt."""
    tables = [part.table for part in parts]
    weights = signer_weights(pd.concat(tables)) if len(parts) > 1 else np.ones(len(tables[0]))
    places = np.split(weights, np.cumsum([len(table) for table in tables])[:-1])
    known = [hand_examples(part.looks, part.labels, some) for part, some in zip(parts, places, strict=True)]
    examples = join([*known, *drawn])
    return join([examples, turned(examples)]) if doubts else examples


def _train_hands(settings, sets, seed, epochs, checkpoint):
    """Train ``landmark`` or ``default``: every hand is an example, and of several sets every signer counts alike."""
    early, doubts = settings.training.patience is not None, isinstance(settings.network, DefaultConfig)
    known, part = [hands_of(letters, settings.alphabet) for letters in sets], [parts(letters) for letters in sets]
    first, tenth, deciding = sets[0], part[0] == "test", known[0].subset(part[0] == "valid")
    valid, drawn = hand_examples(deciding.looks, deciding.labels) if early else None, drawn_examples(settings, doubts)
    films = [sequence_frames("train", settings.alphabet)] if any(signers_apart(one.table) for one in sets) else []

    def fit(left_out: np.ndarray, checkpoint: Path):
        """Train on all but some photos of the first set."""
        pairs = zip(sets, part, strict=True)
        fitting = [own == "train" if early else learnable(letters, own) for letters, own in pairs]
        fitting[0] = fitting[0] & ~left_out
        learned = [hands.subset(mask) for hands, mask in zip(known, fitting, strict=True)]
        examples = joined_examples([*learned, *films], drawn, doubts)
        return train(settings, examples, valid, seed=seed, epochs=epochs, checkpoint=checkpoint)

    model, history = fit(tenth, checkpoint)
    read = [look_probabilities(model, hands.looks) for hands in known]
    about: dict[str, Any] = {"metrics": accuracies(sets, read, settings.alphabet)}
    if doubts:
        sure = [
            probabilities.max(1)[hands.looks.found & (own == "valid")]
            for letters, probabilities, hands, own in zip(sets, read, known, part, strict=True)
            if signers_apart(letters.table)
        ]
        if not sure:  # no signer was held out: each part is read by a network that learned from the others
            folds = [where for _, where in leave_people_out(first)]
            for number, where in enumerate(folds):
                other = fit(where, checkpoint.with_name(f"checkpoint-{number}.pt"))[0]
                unseen = known[0].subset(where).looks
                sure.append(look_probabilities(other, unseen).max(1)[unseen.found])
            if not folds:  # one signer: the test part was not learned from
                sure.append(read[0].max(1)[known[0].looks.found & tenth])
        together = np.concatenate(sure)
        about["refuse_below"] = float(np.quantile(together, 1 - KEPT)) if len(together) else 0.0
    return model, history, about


def drawn_examples(settings: Preset, doubts: bool) -> list[Examples]:
    """Letters of synthetic signers in photos and films, as a preset adds them, and hands that show none to doubt."""
    if not settings.signers:
        return []
    examples, known = [], set(settings.alphabet) & set(STATIC)  # digits are not drawn
    if known:
        letters = added_letters(settings.signers).only(settings.alphabet)
        examples.append(hand_examples(track(letters), letters.labels(settings.alphabet)))
    if doubts:
        others = random_hands(settings.signers)
        examples.append(hand_examples(track(others), np.full(len(others), NO_LETTER)))
    if settings.films and known:
        examples.append(film_examples(settings.films, settings.alphabet))
    return examples


def film_examples(count: int, alphabet: tuple[str, ...]) -> Examples:
    """Frames of films of synthetic signers in which a letter is held: smaller, blurred, and bent by its neighbours."""
    parts = []
    for stream in films(practice_plans(count, PRACTICE_SEED)):
        for place, letter in enumerate(stream.word):
            held = (stream.positions == place) & stream.found
            if letter not in alphabet or not held.any():
                continue
            assert stream.embeddings is not None  # films have pictures
            seen = (stream.landmarks, stream.world, stream.left, stream.embeddings)
            landmarks, world, left, embeddings = (torch.from_numpy(part[held]) for part in seen)
            inputs = landmarks, world, left, torch.full((len(left),), stream.aspect), embeddings
            labels = torch.full((len(left),), alphabet.index(letter))
            parts.append(Examples(inputs, labels, torch.full((len(left),), HELD / len(left), dtype=torch.float64)))
    return join(parts)
