"""Training as one plain function: tensors in, a history out, the best weights left in the network."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asllib.config import Training
from asllib.distributed import parallel, rank, share, total, world
from asllib.errors import InputError
from asllib.networks.store import Network
from asllib.paths import write_bytes

NO_LETTER = -1  # label of a hand that shows no letter

# What turns a batch of stored tensors into the network's input; it augments if it is given a generator.
Prepare = Callable[[tuple[Tensor, ...], torch.Generator | None], Tensor]


@dataclass(frozen=True)
class Examples:
    """Items in memory: some tensors of equal length, and their labels.

    Attributes
    ----------
    inputs
        Tensors (N, ...), as they are stored: bytes of images, or landmarks.
    labels
        (N,) int64, ``NO_LETTER`` for a hand that shows none.
    weights
        (N,) float, how often each is drawn, or None: each once an epoch.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, which: np.ndarray | Tensor) -> Examples:
        """Take the items of a mask or of positions."""
        which = torch.as_tensor(which)
        return self._each(lambda tensor: tensor[which])

    def to(self, device: torch.device) -> Examples:
        """Move all to a device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Examples:
        weights = None if self.weights is None else change(self.weights)
        return Examples(tuple(map(change, self.inputs)), change(self.labels), weights)


@dataclass
class History:
    """What a training run went through, one entry an epoch.

    Attributes
    ----------
    train_loss, train_accuracy
        Over the epoch's batches as they were trained on: augmented, with dropout.
    valid_loss, valid_accuracy
        After the epoch, empty if there was no validation data.
    best_epoch
        Epoch (from 0) whose weights were kept.
    stopped
        Why it ended: "epochs" or "early".
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    valid_accuracy: list[float] = field(default_factory=list)
    best_epoch: int = -1
    stopped: str = ""

    def __len__(self) -> int:
        return len(self.train_loss)


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the libraries that still draw from it
    torch.manual_seed(seed)


def device() -> torch.device:
    """CUDA if there is a GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batches(n: int, size: int, generator: torch.Generator | None, weights: Tensor | None = None) -> Iterator[Tensor]:
    """Yield positions in batches, shuffled if there is a generator; a last batch of one joins the one before.

    Batch normalisation cannot train on a single item. With weights, n positions are drawn by them, some more than once.
    """
    if generator is None:
        order = torch.arange(n)
    elif weights is None:
        order = torch.randperm(n, generator=generator)
    else:
        order = torch.multinomial(weights, n, replacement=True, generator=generator)
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return iter(parts)


def train_one_epoch(
    model: nn.Module,
    examples: Examples,
    prepare: Prepare,
    optimiser: torch.optim.Optimizer,
    settings: Training,
    generator: torch.Generator,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> tuple[float, float]:
    """Pass over the training data once; return mean loss and accuracy of the batches as trained on.

    Of several processes each passes over its share of every batch, with a network from ``parallel``.
    """
    model.train()
    sums = torch.zeros(2, device=examples.labels.device)  # of losses, of right answers
    weights = None if examples.weights is None else examples.weights.cpu()
    for places in batches(len(examples), settings.batch, generator, weights):
        batch = examples.subset(places.to(examples.labels.device))
        inputs = prepare(batch.inputs, generator)
        with sixteen_bits(settings.bfloat16):
            logits = model(inputs)  # (this process's share of B, classes)
        logits = logits.float() if settings.bfloat16 else logits
        labels = batch.labels[share(len(batch))]
        loss = letter_loss(logits, labels, settings.smoothing, len(batch))
        optimiser.zero_grad(set_to_none=True)
        (loss * world()).backward()
        optimiser.step()
        if schedule is not None:
            schedule.step()
        sums += torch.stack([loss.detach() * len(batch), (logits.argmax(1) == labels).sum()])
    loss_sum, right = total(sums).tolist()
    return loss_sum / len(examples), right / max(1, int((examples.labels != NO_LETTER).sum()))


def sixteen_bits(wanted: bool = True) -> torch.autocast:
    """Within it, convolutions and products are made in bfloat16 if that is wanted and faster here.

    It is where the processor multiplies such numbers itself, about 1.5 times; elsewhere nothing changes.
    """
    where, known = device().type, torch.cpu.get_capabilities()
    able = where == "cuda" or known.get("avx512_bf16") or known.get("amx_bf16")
    return torch.autocast(where, torch.bfloat16, enabled=wanted and bool(able))


def letter_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0, n: int | None = None) -> Tensor:
    """Cross entropy (a scalar), in which a hand of ``NO_LETTER`` should look like every letter a little.

    It is the mean, or the sum divided by n where the items are a share of n.

    A network that never saw anything else takes any hand for some letter with confidence; held to equal shares on
    hands that show none, it learns to doubt (Hendrycks, Mazeika and Dietterich, "Deep anomaly detection with outlier
    exposure", 2019, with their weight of 0.5).
    """
    none = labels == NO_LETTER
    known = F.cross_entropy(
        logits, labels, ignore_index=NO_LETTER, label_smoothing=smoothing, reduction="none"
    )  # (B,), 0 where there is no letter
    spread = -logits.log_softmax(1).mean(1)  # (B,)
    return torch.where(none, 0.5 * spread, known).sum() / (n or len(labels))


@torch.inference_mode()
def predict_logits(model: Network, inputs: tuple[Tensor, ...], prepare: Prepare, batch: int = 1024) -> Tensor:
    """Run a network over stored tensors without augmentation, (N, ...) -> (N, classes) logits."""
    if model.training:  # asking is quicker than telling every layer
        model.eval()
    starts = range(0, len(inputs[0]), batch)
    parts = [model(prepare(tuple(x[start : start + batch] for x in inputs), None)) for start in starts]
    return torch.cat(parts) if parts else torch.empty(0, model.config.classes)


def evaluate_loss(model: Network, examples: Examples, prepare: Prepare) -> tuple[float, float]:
    """Return cross entropy and accuracy on examples."""
    logits = predict_logits(model, examples.inputs, prepare)
    right = (logits.argmax(1) == examples.labels).float().mean()
    return float(F.cross_entropy(logits, examples.labels)), float(right)


def fit(
    model: Network,
    train: Examples,
    valid: Examples | None,
    prepare: Prepare,
    settings: Training,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    run: str = "",
    progress: bool = True,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train a network in place, in one process or in several that ``torchrun`` started.

    With early stopping the weights of the best validation epoch are kept, else those of the last.

    Parameters
    ----------
    model
        The network; it is moved to the GPU if there is one, and left on the CPU.
    train, valid
        The data. Without ``valid`` all epochs are run.
    prepare
        Turns stored tensors into the network's input, see ``Prepare``.
    settings
        See ``Training``.
    seed
        Of the order of the items, the augmentation and dropout. The weights are the caller's, who seeds them.
    checkpoint
        A file that is written after each epoch. If it is there, training goes on from it, to the same result as
        without the stop. It is deleted by nobody. The first of several processes writes it, and all read it.
    run
        What the training depends on besides the other arguments, as the augmentation in ``prepare``: a checkpoint of
        another run is refused.
    progress
        Show a bar with loss, accuracy and the time left.
    on_epoch
        Called after each epoch with the history so far.

    Returns
    -------
    History
        One entry an epoch.

    Raises
    ------
    InputError
        If early stopping is asked for and there is no validation data, or the checkpoint is of another run.
    """
    from tqdm.auto import tqdm

    if settings.patience is not None and valid is None:
        raise InputError("early stopping needs validation data; give some, or set patience=None")
    where = device()
    model.to(where)
    train, valid = train.to(where), None if valid is None else valid.to(where)
    set_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    optimiser, schedule = _optimiser(model, settings, len(train))
    history, best, waited = History(), None, 0
    run = _run_key(settings, seed, train, f"{model} {run}")
    if checkpoint is not None and checkpoint.is_file():
        kept = load_state(checkpoint, run, model, optimiser, schedule)
        generator.set_state(kept["generator"])
        history, best, waited = History(**kept["history"]), kept["best"], kept["waited"]

    silent = not progress or rank() > 0
    with (
        parallel(model) as shared,
        tqdm(total=settings.epochs, initial=len(history), unit="epoch", disable=silent, leave=False) as bar,
    ):
        while len(history) < settings.epochs and not history.stopped:
            loss, right = train_one_epoch(shared, train, prepare, optimiser, settings, generator, schedule)
            history.train_loss.append(loss)
            history.train_accuracy.append(right)
            shown = {"loss": f"{loss:.3f}", "accuracy": f"{right:.1%}"}
            if valid is not None:
                # All evaluate everything; their mean is one number, so that all stop together.
                found = torch.tensor(evaluate_loss(model, valid, prepare), device=where)
                loss, right = (total(found) / world()).tolist()
                history.valid_loss.append(loss)
                history.valid_accuracy.append(right)
                shown["valid"] = f"{loss:.3f} {right:.1%}"
            if settings.patience is None:
                history.best_epoch = len(history) - 1
            else:
                if best is None or loss < min(history.valid_loss[:-1], default=np.inf):
                    history.best_epoch = len(history) - 1
                    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
                waited = 0 if improved(history, settings) else waited + 1
                if waited >= settings.patience:
                    history.stopped = "early"
            bar.update()
            bar.set_postfix(shown)
            if checkpoint is not None and rank() == 0:
                save_state(
                    checkpoint, run, model, optimiser, schedule,
                    generator=generator.get_state(), history=dataclasses.asdict(history), best=best, waited=waited,
                )  # fmt: skip
            if on_epoch is not None:
                on_epoch(history)
    history.stopped = history.stopped or "epochs"
    if best is not None:
        model.load_state_dict(best)
    model.cpu().eval()
    return history


def improved(history: History, settings: Training) -> bool:
    """Tell whether the last epoch made progress by the settings' rule, see ``Training.stop_rule``."""
    last = history.valid_loss[-1]
    if settings.stop_rule == "validation":
        # Progress is counted from the last loss that counted as progress, not from losses a hair lower.
        reference = np.inf
        for loss in history.valid_loss[:-1]:
            reference = loss if loss < reference - settings.min_delta else reference
        return last < reference - settings.min_delta
    if settings.stop_rule == "gap":
        return last < history.train_loss[-1] + settings.min_delta
    raise InputError(f"stop_rule={settings.stop_rule!r}; choose 'validation' or 'gap'")


def _optimiser(model: nn.Module, settings: Training, n: int):
    if not settings.one_cycle:
        return torch.optim.Adam(model.parameters(), settings.learning_rate, fused=True), None
    optimiser = torch.optim.AdamW(
        model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    steps = settings.epochs * sum(1 for _ in batches(n, settings.batch, None))
    steps = max(5, steps)  # at 4, PyTorch divides by 0
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps, pct_start=0.25
    )


def save_state(path: Path, run: str, model: nn.Module, optimiser: Any, schedule: Any, **values: Any) -> None:
    """Write a checkpoint, which ``load_state`` reads: all that training goes on from.

    Parameters
    ----------
    path
        Replaced as a whole.
    run
        Which network, settings, data and seed: a checkpoint of others is refused.
    model, optimiser, schedule
        Their states are kept, the states of PyTorch's random numbers too. ``schedule`` may be None.
    values
        Tensors and plain values that are kept beside them.
    """
    state = {
        "run": run,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": None if schedule is None else schedule.state_dict(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,  # of this process's GPU
        "values": values,
    }
    content = io.BytesIO()
    torch.save(state, content)
    write_bytes(path, content.getvalue())


def load_state(path: Path, run: str, model: nn.Module, optimiser: Any, schedule: Any) -> dict[str, Any]:
    """Go on from a checkpoint of ``save_state``; return its ``values``.

    Raises
    ------
    InputError
        If it is damaged, or of another run.
    """
    try:
        # Tensors and plain values, never code.
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not (state["run"] == run and _shapes(state["model"]) == _shapes(model.state_dict())):
            raise InputError(
                f"{path}: belongs to a run of another network, other settings, data or seed; delete it to start anew"
            )
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        if schedule is not None:
            schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])
        return state["values"]
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: not a checkpoint ({type(error).__name__}); delete it to start anew") from error


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def _run_key(settings: Training, seed: int, train: Examples, rest: str) -> str:
    digest = hashlib.sha256(rest.encode())
    for tensor in (train.labels, *train.inputs, *([] if train.weights is None else [train.weights])):
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
    return json.dumps({**dataclasses.asdict(settings), "seed": seed, "data": digest.hexdigest()}, sort_keys=True)
