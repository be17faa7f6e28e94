"""Teach the recogniser a new signer, or signs of your own, from a few examples."""

import dataclasses
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from asllib.data.letterset import LetterSet, load_photos
from asllib.data.looks import Looks, track
from asllib.errors import InputError
from asllib.files import read_bytes, read_json
from asllib.networks.landmark import LandmarkAugment, LandmarkCNN
from asllib.networks.store import WEIGHTS, check_new_run, load_model, save_model
from asllib.results import data_card, versions
from asllib.train.loop import Examples, hand_examples

FEWEST = 5  # examples of a sign
MEMORY = WEIGHTS / "landmark" / "memory.safetensors"


@dataclasses.dataclass(frozen=True)
class TeachingSettings:
    """How a few examples are learned and the rest is kept; chosen on synthetic signers and on validation photos."""

    copies: int = 19  # of each example, moved in space
    keep: float = 3.0  # weight of what the network said before about the hands in its memory; the new examples' is 1
    tether: float = 0.03  # weight of the squared distance from the weights as they were
    steps: int = 100  # of L-BFGS; the loss is convex, they are enough
    seed: int = 0  # of the moved copies


def add_signs(
    data: LetterSet | str | Path,
    out: str | Path,
    *,
    base: str | Path = "landmark",
    settings: TeachingSettings | None = None,
) -> dict[str, Any]:
    """Teach a landmark network the signs of a folder, and write it into a run folder; return its card.

    Only the last layer learns, on what the layers before make of the new hands; what it said about other people's hands
    before, it is held to (learning without forgetting, Li and Hoiem 2017, with a memory of such hands). A sign with a
    name that is no letter of the network becomes a new output.

    ``data`` are photos of a few signs, at least 5 of each with a hand that is found, such as the recorder's folder.
    ``base`` is "landmark", or the run folder of a landmark network, also one with new signs.

    The card's ``metrics`` are shares of hands: ``before`` and ``after``, of the new examples that are read right (they
    are what was learned from), and ``kept``, of the memory that is read as before. InputError if a sign has too few
    usable examples, the base is no landmark network, or ``out`` holds a run.
    """
    out, settings = Path(out), settings or TeachingSettings()
    check_new_run(out)
    model, card = load_model(base)
    if not isinstance(model, LandmarkCNN):
        raise InputError(f"{base}: a {card['network']} network; signs are added to a landmark network")
    letters = data if isinstance(data, LetterSet) else load_photos(data)
    looks = track(letters, progress=False)
    signs, usable = Counter(letters.letters.tolist()), Counter(letters.letters[looks.found].tolist())
    for sign in sorted(signs):
        if usable[sign] < FEWEST:
            said = f"{usable[sign]} usable examples of {sign!r}; record at least {FEWEST}, better 10"
            raise InputError(f"{letters.name}: {said}")
    names, memory = [*card["alphabet"], *sorted(signs.keys() - set(card["alphabet"]))], load_memory()
    examples = hand_examples(looks, letters.labels(names))
    taught, hands = teach(model, examples, len(names), memory, settings), features(model, examples)

    def share(network: LandmarkCNN, hands: Tensor, labels: Tensor) -> float:
        return float((network(hands).argmax(1) == labels).float().mean())

    about = {
        "base": {"name": str(base), "weights_sha256": card["weights_sha256"]},
        "teaching": dataclasses.asdict(settings),
        "data": data_card(letters),
        # What the base had learned from; an older base may not say it.
        "added": [{**card.get("data", {}), "alphabet": card["alphabet"]}, *card.get("added", [])],
        "signs": dict(signs),
        "metrics": {
            "before": share(model, hands, examples.labels),
            "after": share(taught, hands, examples.labels),
            "kept": share(taught, memory, model(memory).argmax(1)),
        },
        "versions": versions(),
    }
    return load_model(save_model(out, taught, names, about))[1]


def teach(
    model: LandmarkCNN, examples: Examples, classes: int, memory: Tensor, settings: TeachingSettings
) -> LandmarkCNN:
    """Return a copy of the network whose last layer knows the examples, (M,) with labels below ``classes``."""
    *_, (name, last) = model.named_modules()  # the layer that the network ends with
    assert isinstance(last, nn.Linear)
    known = last.out_features
    layer = nn.Linear(last.in_features, classes)
    with torch.no_grad():
        layer.weight[:known], layer.bias[:known] = last.weight, last.bias
        layer.weight[known:], layer.bias[known:] = last.weight.mean(0), last.bias.mean() - 2  # an unlikely letter
        start = [parameter.clone() for parameter in layer.parameters()]
        new = model.embed(features(model, examples, settings.copies, settings.seed))
        kept = model.embed(memory)
        before = F.pad(last(kept).softmax(1), (0, classes - known))
    labels = examples.labels.repeat(1 + settings.copies)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=settings.steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        learned = F.cross_entropy(layer(new), labels, label_smoothing=0.05)
        stayed = F.cross_entropy(layer(kept), before)
        moved = sum((now - was).square().sum() for now, was in zip(layer.parameters(), start, strict=True))
        loss = learned + settings.keep * stayed + settings.tether * moved
        loss.backward()
        return loss

    optimiser.step(closure)
    taught = LandmarkCNN(dataclasses.replace(model.config, classes=classes))
    taught.load_state_dict({**model.state_dict(), f"{name}.weight": layer.weight, f"{name}.bias": layer.bias})
    return taught.eval()


def features(model: LandmarkCNN, examples: Examples, copies: int = 0, seed: int = 0) -> Tensor:
    """Features (M (1 + copies), 9, 21) of hands: as they are, then moved in space."""
    generator = torch.Generator().manual_seed(seed)
    moved = [model.prepare(examples.inputs, LandmarkAugment(), generator) for _ in range(copies)]
    return torch.cat([model.prepare(examples.inputs), *moved])


def make_memory(model: LandmarkCNN, letters: LetterSet, looks: Looks, per_letter: int = 20) -> Tensor:
    """Draw features (M, 9, 21) of some hands of each letter, from photos that the network was trained on."""
    names = sorted(set(letters.letters))
    examples = hand_examples(looks, letters.labels(names))
    rng = np.random.default_rng(0)
    of = [np.flatnonzero(examples.labels.numpy() == place) for place in range(len(names))]
    drawn = np.concatenate([rng.permutation(places)[:per_letter] for places in of])
    return features(model, examples.subset(np.sort(drawn)))


def load_memory() -> Tensor:
    """Features (M, 9, 21) of the hands that come with asllib: 20 a letter of the shipped network's training photos."""
    content, expected = read_bytes(MEMORY), read_json(MEMORY.with_name("card.json")).get("memory_sha256")
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise InputError(f"{MEMORY}: sha256 {found} instead of {expected} as in the card; install asllib again")
    return load(content)["features"].float()
