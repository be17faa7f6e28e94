"""Networks on disk: a run folder with weights (safetensors) and a card, and those that are shipped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from asllib.errors import InputError
from asllib.letters import LETTERS
from asllib.models.joint_net import JointConfig, JointNet
from asllib.models.landmark_cnn import LandmarkCNN, LandmarkConfig
from asllib.models.motion_net import MotionConfig, MotionNet
from asllib.models.pixel_cnn import PixelCNN, PixelConfig
from asllib.paths import write_text

SHIPPED = ("default", "pixel", "landmark", "motion", "spelling")
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
NETWORKS = {
    "pixel": (PixelCNN, PixelConfig),
    "landmark": (LandmarkCNN, LandmarkConfig),
    "joint": (JointNet, JointConfig),
    "motion": (MotionNet, MotionConfig),
}


def build(config: PixelConfig | LandmarkConfig | JointConfig | MotionConfig) -> nn.Module:
    """Make the network of a configuration, with fresh weights."""
    return next(network(config) for network, kind in NETWORKS.values() if isinstance(config, kind))


def network_name(model: nn.Module) -> str:
    """Which network it is: "pixel", "landmark", "joint" or "motion"."""
    return next(name for name, (network, _) in NETWORKS.items() if isinstance(model, network))


def parameter_count(model: nn.Module) -> int:
    """How many numbers training sets."""
    return sum(parameter.numel() for parameter in model.parameters())


def check_new_run(folder: Path) -> None:
    """Raise InputError if a finished run stands in the folder; an unfinished one may be gone on with."""
    if (folder / "card.json").is_file():
        raise InputError(f"{folder}: holds a finished run; name another folder")


def save_model(folder: str | Path, model: nn.Module, alphabet: Sequence[str], about: dict[str, Any]) -> Path:
    """Write ``model.safetensors`` and ``card.json`` into a run folder.

    Parameters
    ----------
    folder
        Made if it is not there.
    model
        The network.
    alphabet
        The letters of its outputs, in order; also names of signs.
    about
        What else the card says: preset, seed, data with hashes, versions, metrics.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{os.getpid()}-model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, temporary)
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    temporary.replace(folder / "model.safetensors")
    card = {
        "network": network_name(model),
        "config": dataclasses.asdict(model.config),
        "alphabet": "".join(alphabet) if set(alphabet) <= set(LETTERS) else list(alphabet),
        "parameters": parameter_count(model),
        "weights_sha256": digest,
        **about,
    }
    write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
    return folder


def load_model(name: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Load a shipped network (one of ``SHIPPED``) or a run folder; return it with its card.

    Raises
    ------
    InputError
        If there is no such thing, the card is damaged, or the weights are not those that the card names.
    """
    from safetensors.torch import load

    folder = WEIGHTS / name if name in SHIPPED else Path(name)
    card_file, weights_file = folder / "card.json", folder / "model.safetensors"
    if not (card_file.is_file() and weights_file.is_file()):
        raise InputError(f"{name}: neither a shipped model ({', '.join(SHIPPED)}) nor a run folder with card.json")
    try:
        card = json.loads(card_file.read_text())
        network, shape = NETWORKS[card["network"]]
        config = shape(**{key: tuple(v) if isinstance(v, list) else v for key, v in card["config"].items()})
        model = network(config)
        alphabet, expected = card["alphabet"], card["weights_sha256"]
        # A motion network says "neither" too, and knows signs that are no letters.
        classes = sum(len(s) == 1 for s in config.signs) if isinstance(config, MotionConfig) else config.classes
        # A list has names of signs that somebody added, too; a string has letters only.
        foreign = isinstance(alphabet, str) and not set(alphabet) <= set(LETTERS)
        if not len(alphabet) == len(set(alphabet)) == classes or foreign or not all(name.strip() for name in alphabet):
            raise ValueError(f"alphabet {alphabet!r} for {classes} classes")
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{card_file}: not a model card ({type(error).__name__}: {error}); train again") from error
    content = weights_file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise InputError(f"{weights_file}: sha256 {found} instead of {expected} as in the card; train again")
    try:
        model.load_state_dict(load(content))
    except Exception as error:
        raise InputError(f"{weights_file}: does not fit the network in the card; train again") from error
    return model.eval(), card
