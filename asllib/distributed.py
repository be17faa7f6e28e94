"""Several processes that train one network, started by ``torchrun``.

All prepare the same batch and draw the same random numbers for it; then each takes its share. So the run is the one
that a single process would make, up to the rounding of sums.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from asllib.errors import InputError
from asllib.networks.default import JointNet


def started_together() -> bool:
    """Tell whether ``torchrun`` started this process."""
    return dist.is_torchelastic_launched()


@contextlib.contextmanager
def processes() -> Iterator[int]:
    """Join the processes that ``torchrun`` started, if it did; only the first prints.

    Yields
    ------
    int
        Number of this process, 0 for the first and for one that is alone.
    """
    if not started_together():
        yield 0
        return
    if torch.cuda.is_available():
        number, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= count:
            raise InputError(f"{number + 1} processes or more, and {count} GPU here; use --nproc-per-node {count}")
        torch.cuda.set_device(number)
    # The others wait while the first one draws and tracks, which may take longer than the usual limit of minutes.
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(days=1))
    try:
        with contextlib.nullcontext() if rank() == 0 else contextlib.redirect_stdout(None):
            yield rank()
        dist.barrier()  # nobody ends while another still waits for an answer
    finally:
        gc.collect()  # a wrapped network in a cycle would outlive the group, whose threads then end the process hard
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process; 0 writes files and shows progress."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(n: int) -> slice:
    """Which of n items are this process's."""
    return slice(n * rank() // world(), n * (rank() + 1) // world())


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process go through a block before the others, who then find in the cache what it wrote."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and world() > 1:
        dist.barrier()


def total(values: Tensor) -> Tensor:
    """Sum a tensor over the processes, in place."""
    if world() > 1:
        dist.all_reduce(values)
    return values


@contextlib.contextmanager
def parallel(model: nn.Module) -> Iterator[nn.Module]:
    """Wrap a network for training: it takes whole batches, and answers for this process's share of each.

    Batch normalisation, dropout and what ``JointNet`` draws are as over the whole batch, whichever share an item is in;
    PyTorch's ``SyncBatchNorm`` needs a GPU. Gradients are averaged over the processes, so the loss of a share must be
    its sum divided by the items of the whole batch, times ``world()``.
    """
    if world() == 1:
        yield model
        return
    layers = [(layer, type(layer)) for layer in model.modules() if type(layer) in _WHOLE]
    try:
        for layer, kind in layers:
            layer.__class__ = _WHOLE[kind]
        shared = _Share(model, [layer for layer, _ in layers])
        yield nn.parallel.DistributedDataParallel(shared, forward_sync_buffers=False)
    finally:
        for layer, kind in layers:
            layer.__class__ = kind


class _Share(nn.Module):
    def __init__(self, model: nn.Module, layers: Sequence[Any]) -> None:
        super().__init__()
        self.model = model
        self.layers = tuple(layers)  # of the classes below; a tuple, since the model holds them

    def forward(self, batch: Tensor) -> Tensor:
        for layer in self.layers:
            layer.whole = len(batch)
        return self.model(batch[share(len(batch))])


class _BatchNorm2d(nn.BatchNorm2d):
    whole: int  # items of the whole batch
    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        kind, x = x.dtype, x.to(self.weight.dtype)  # sums of 16 bits would be too coarse
        n = self.whole * x.shape[2] * x.shape[3]
        mean = _Total.apply(x.sum((0, 2, 3))) / n  # (C,)
        centred = x - mean[:, None, None]
        variance = _Total.apply(centred.square().sum((0, 2, 3))) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(kind)


class _Dropout(nn.Dropout):
    whole: int

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * super().forward(x.new_ones(self.whole, *x.shape[1:]))[share(self.whole)]


class _Dropout2d(nn.Dropout2d):
    whole: int

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * super().forward(x.new_ones(self.whole, x.shape[1], 1, 1))[share(self.whole)]


class _JointNet(JointNet):
    whole: int

    def draw_noise(self, look: Tensor) -> Tensor:
        return super().draw_noise(look.new_empty(self.whole, look.shape[1]))[share(self.whole)]

    def draw_branch(self, said: Tensor) -> Tensor:
        return super().draw_branch(said.new_empty(self.whole, 1))[share(self.whole)]


_WHOLE = {
    nn.BatchNorm2d: _BatchNorm2d,
    nn.Dropout: _Dropout,
    nn.Dropout2d: _Dropout2d,
    JointNet: _JointNet,
}


class _Total(torch.autograd.Function):
    """Sum over the processes; so is the gradient, since each process's loss depends on the sum."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return total(x.clone())

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return total(gradient.clone())
