"""The networks by name. Each is one module of this folder with settings, layers, preparation and presets."""

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from asllib.errors import InputError

# The modules of this folder, and the class in each; each ships with weights.
_CLASSES = {"default": "DefaultNet", "pixel": "PixelCNN", "landmark": "LandmarkCNN", "spelling": "SpellingNet"}
NAMES = tuple(_CLASSES)


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

    @torch.inference_mode()
    def logits(self, inputs: tuple[Tensor, ...], batch: int = 1024) -> Tensor:
        """Read stored tensors (N, ...) without augmentation; return logits (N, classes)."""
        if self.training:  # this check is quicker than eval() on every layer
            self.eval()
        batches = zip(*(tensor.split(batch) for tensor in inputs), strict=True)
        return torch.cat([self(self.prepare(some)) for some in batches])


def network_class(name: str) -> type[Network]:
    """Find the class of a network; InputError if there is none of that name."""
    if name not in NAMES:
        raise InputError(f"no network {name!r}; there are: {', '.join(NAMES)}")
    return getattr(importlib.import_module(f"asllib.networks.{name}"), _CLASSES[name])


def build(config: Any) -> Network:
    """Make the network of a configuration, with fresh weights."""
    return next(network for network in map(network_class, NAMES) if network.Config is type(config))(config)


def preset(network: str, name: str) -> Any:
    """Look up a preset, such as ``preset("pixel", "paper")``; InputError if the network has none of that name."""
    presets = network_class(network).presets
    if name not in presets:
        raise InputError(f"no preset {name!r} for the {network!r} network; there are: {', '.join(presets)}")
    return presets[name]


def parameter_count(model: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
