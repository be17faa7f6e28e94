"""What the networks have in common, and how they are stored: run folders with weights (safetensors) and a card."""

import dataclasses
import hashlib
import importlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Generator, Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from asllib.errors import InputError
from asllib.files import read_bytes, read_json
from asllib.letters import LETTERS
from asllib.paths import write_bytes, write_text

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
# The modules of this folder, and the class in each; each ships with weights.
_CLASSES = {"default": "DefaultNet", "pixel": "PixelCNN", "landmark": "LandmarkCNN", "spelling": "SpellingNet"}
SHIPPED = tuple(_CLASSES)


class Network(nn.Module):
    """The common parts of all networks beside their layers."""

    name: ClassVar[str]
    Config: ClassVar[type]  # a frozen dataclass
    presets: ClassVar[Mapping[str, Any]]
    config: Any

    def prepare(self, inputs: tuple[Tensor, ...], augment: Any = None, generator: Generator | None = None) -> Tensor:
        """Turn a batch of stored tensors into the input of ``forward``; ``augment`` changes it at random."""
        raise NotImplementedError

    def set_statistics(self, inputs: tuple[Tensor, ...]) -> None:
        """Compute the statistics for normalising from stored training tensors; by default there are none."""

    def loss(self, inputs: Tensor, labels: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        """Mean loss of a batch, inputs of ``forward`` with labels (B,) and their smoothing, and its logits."""
        logits = self(inputs).float()
        return F.cross_entropy(logits, labels, label_smoothing=smoothing), logits

    @torch.inference_mode()
    def logits(self, inputs: tuple[Tensor, ...], batch: int = 1024) -> Tensor:
        """Read stored tensors (N, ...) without augmentation; return logits (N, classes)."""
        if self.training:  # this check is quicker than eval() on every layer
            self.eval()
        batches = zip(*(tensor.split(batch) for tensor in inputs), strict=True)
        return torch.cat([self(self.prepare(some)) for some in batches])


def network_class(name: str) -> type[Network]:
    """Find the class of a network; InputError if there is none of that name."""
    if name not in SHIPPED:
        raise InputError(f"no network {name!r}; there are: {', '.join(SHIPPED)}")
    return getattr(importlib.import_module(f"asllib.networks.{name}"), _CLASSES[name])


def build(config: Any) -> Network:
    """Make the network of a configuration, with fresh weights."""
    return next(network for network in map(network_class, SHIPPED) if network.Config is type(config))(config)


def preset(network: str, name: str) -> Any:
    """Look up a preset, such as ``preset("pixel", "paper")``; InputError if the network has none of that name."""
    presets = network_class(network).presets
    if name not in presets:
        raise InputError(f"no preset {name!r} for the {network!r} network; there are: {', '.join(presets)}")
    return presets[name]


def parameter_count(model: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def check_new_run(folder: Path) -> None:
    """Raise InputError if a folder has a shipped network's name, holds a finished run, or lies below a file."""
    if str(folder) in SHIPPED:
        raise InputError(f"{folder}: the name of a shipped network; name another folder, such as runs/{folder}")
    if (folder / "card.json").is_file():
        raise InputError(f"{folder}: holds a finished run; name another folder")
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():  # said before anything is drawn or read
        raise InputError(f"{folder}: {nearest} is a file; name another folder")


def tidy_run(folder: Path) -> None:
    """Delete files that a finished run does not need: checkpoints, and unfinished files of killed runs."""
    for left in folder.iterdir():
        if re.fullmatch(r"checkpoint(-(\d+|shapes))?\.pt|\.[0-9a-f]{8}-.*", left.name) and left.is_file():
            left.unlink()


def save_model(folder: str | Path, model: Network, alphabet: Sequence[str], about: dict[str, Any]) -> Path:
    """Write ``model.safetensors`` and ``card.json`` into a run folder, which is made if it is missing.

    ``alphabet`` has letters, or names of signs, in the order of the outputs; ``about`` has further facts for the card.
    """
    folder = Path(folder)
    weights = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    write_bytes(folder / "model.safetensors", weights)
    card = {
        "network": model.name,
        "config": dataclasses.asdict(model.config),
        "alphabet": "".join(alphabet) if set(alphabet) <= set(LETTERS) else list(alphabet),
        "parameters": parameter_count(model),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **about,
    }
    write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
    return folder


def load_model(name: str | Path) -> tuple[Network, dict[str, Any]]:
    """Load a shipped network (one of ``SHIPPED``) or a run folder; return it with its card.

    A folder may come from a stranger: no code in it runs, and only weights of the right shape take memory. InputError
    if there is no such network, the card is damaged, or the weights do not have the card's hash.
    """
    folder = WEIGHTS / name if name in SHIPPED else Path(name)
    card_file, weights_file = folder / "card.json", folder / "model.safetensors"
    if not (card_file.is_file() and weights_file.is_file()):
        raise InputError(f"{name}: neither a shipped model ({', '.join(SHIPPED)}) nor a run folder with card.json")
    try:
        card = read_json(card_file, "model card")
        network = network_class(card["network"])
        settings = network.Config
        config = settings(**{key: _setting(settings, key, value) for key, value in card["config"].items()})
        with torch.device("meta"):
            shapes = {name: tensor.shape for name, tensor in network(config).state_dict().items()}
        alphabet, expected = card["alphabet"], card["weights_sha256"]
        # A list has names of signs that somebody added, too; a string has letters only.
        known = set(alphabet) <= set(LETTERS) if isinstance(alphabet, str) else all(name.strip() for name in alphabet)
        if not known or not len(alphabet) == len(set(alphabet)) == config.classes:
            raise ValueError(f"alphabet {alphabet!r} for {config.classes} classes")
        if not 0 <= card.get("refuse_below", 0.0) <= 1:
            raise ValueError(f"refuse_below {card['refuse_below']!r} is no share")
    except (InputError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{card_file}: not a model card ({type(error).__name__}: {error}); train again") from error
    content = read_bytes(weights_file)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise InputError(f"{weights_file}: sha256 {found} instead of {expected} as in the card; train again")
    try:
        tensors = load(content)
    except Exception as error:  # another format, such as a pickle, or damaged
        raise InputError(f"{weights_file}: not safetensors ({error}); train again") from None
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
        raise InputError(f"{weights_file}: does not fit the network in the card; train again")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise InputError(f"{weights_file}: some weights are no finite numbers; train again")
    model = network(config)
    model.load_state_dict(tensors)
    return model.eval(), card


def fold(model: Network) -> Network:
    """Speed up a network for reading, in place and with equal answers: remove batch normalisation and dropout."""
    for block in [part for part in model.modules() if isinstance(part, nn.Sequential)]:
        for i in reversed(range(len(block))):
            layer, before = block[i], block[i - 1]
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and isinstance(before, nn.Conv1d | nn.Conv2d):
                block[i - 1] = fuse_conv_bn_eval(before, layer)
                del block[i]
            elif isinstance(layer, nn.Dropout | nn.Dropout2d):
                del block[i]
    return model


def _setting(shape: type, name: str, value: Any) -> Any:
    """A value of a card's config; ValueError unless its type and size fit the network's setting."""
    usual: Any = {field.name: field.default for field in dataclasses.fields(shape)}[name]
    several = isinstance(usual, tuple)
    values = value if several else [value]
    kind = type(usual) if not several else type(usual[0]) if usual else str
    good = isinstance(values, list) and len(values) <= 256
    good = good and all(type(one) in ((float, int) if kind is float else (kind,)) for one in values)
    if not good or not all(kind is str or 0 <= one <= 4096 for one in values):
        raise ValueError(f"{name} is {value!r}")
    return tuple(values) if several else value
