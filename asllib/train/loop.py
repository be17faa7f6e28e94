"""Training as one plain function: examples in, a network and its history out."""

import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR
from tqdm.auto import tqdm

from asllib.config import Preset, Training, profile
from asllib.data.letterset import LetterSet
from asllib.data.looks import Looks
from asllib.errors import InputError
from asllib.hands.features import landmark_inputs
from asllib.letters import NO_LETTER, STATIC
from asllib.networks.store import Network, build
from asllib.paths import digest, write_bytes


@dataclass(frozen=True)
class Examples:
    """Items in memory: some tensors of equal length, and their labels."""

    inputs: tuple[Tensor, ...]  # (N, ...) each, as they are stored: bytes of images, or landmarks
    labels: Tensor  # (N,) int64, ``NO_LETTER`` for a hand that shows none
    weights: Tensor | None = None  # (N,) float, how often each is drawn, or None: each once an epoch

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, which: np.ndarray | Tensor) -> "Examples":
        """Take the items of a mask or of positions."""
        which = torch.as_tensor(which)
        weights = None if self.weights is None else self.weights[which]
        return Examples(tuple(tensor[which] for tensor in self.inputs), self.labels[which], weights)

    def to(self, device: torch.device) -> "Examples":
        """Move inputs and labels to a device; weights are drawn by on the CPU."""
        return Examples(tuple(tensor.to(device) for tensor in self.inputs), self.labels.to(device), self.weights)


@dataclass
class History:
    """What a training run went through, one entry an epoch."""

    train_loss: list[float] = field(default_factory=list)  # of the batches as trained on: augmented, with dropout
    train_accuracy: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)  # after the epoch; empty without validation data
    valid_accuracy: list[float] = field(default_factory=list)
    best_epoch: int = -1  # whose weights were kept, from 0
    stopped: str = ""  # why it ended: "epochs" or "early"

    def __len__(self) -> int:
        return len(self.train_loss)


def device() -> torch.device:
    """CUDA if there is a GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pixel_examples(images: np.ndarray, labels: np.ndarray) -> Examples:
    """Hold 28x28 images in memory as bytes, (N, 28, 28) uint8."""
    return Examples((torch.as_tensor(np.ascontiguousarray(images)),), torch.as_tensor(labels))


def for_pixels(letters: LetterSet, alphabet: tuple[str, ...] = STATIC) -> Examples:
    """Pixel examples of the letters of an alphabet in a set of 28x28 images."""
    kept = letters.only(alphabet)
    assert isinstance(kept.images, np.ndarray)  # photos are files, small images an array
    return pixel_examples(kept.images, kept.labels(alphabet))


def hand_examples(looks: Looks, labels: np.ndarray, weights: np.ndarray | None = None) -> Examples:
    """Hold every hand that was seen, each look an example with its embedding (1152,) and its photo's weight (N,)."""
    parts, shares = [], None if weights is None else torch.tensor(weights)
    for table, embeddings in zip(looks.tables, looks.embeddings, strict=True):
        found = torch.tensor((table["score"] > 0).to_numpy())
        inputs = (*landmark_inputs(table), torch.from_numpy(embeddings))
        parts.append(Examples(inputs, torch.tensor(labels), shares).subset(found))
    return join(parts)


def join(parts: Sequence[Examples]) -> Examples:
    """Put sets of examples of one kind together; where one has weights, items of the others weigh 1."""
    inputs = zip(*(part.inputs for part in parts), strict=True)
    weights = [torch.ones(len(p), dtype=torch.float64) if p.weights is None else p.weights for p in parts]
    weighed = torch.cat(weights) if any(part.weights is not None for part in parts) else None
    return Examples(tuple(map(torch.cat, inputs)), torch.cat([part.labels for part in parts]), weighed)


TURNED = 0.4  # of the hands are also learned from as seen in a photo that lies on its side, or on its head


def turned(examples: Examples, seed: int = 0) -> Examples:
    """Turn some hands of ``hand_examples`` by one to three quarters of a circle: no letter, since letters are upright.

    A crop turns with its hand, and its embedding is the same: they have none, and landmarks alone learn from them.
    """
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.permutation(len(examples))[: round(TURNED * len(examples))])
    chosen = examples.subset(rows)
    landmarks, world, left, aspect, embeddings = chosen.inputs
    quarters = torch.from_numpy(rng.integers(1, 4, len(rows)))
    for quarter in (1, 2, 3):  # each once more clockwise
        more = quarters >= quarter
        (x, y, z), (across, down, away) = landmarks[more].unbind(-1), world[more].unbind(-1)
        landmarks[more] = torch.stack([1 - y, x, z * aspect[more, None]], -1)  # z is in widths
        world[more] = torch.stack([-down, across, away], -1)
        aspect[more] = 1 / aspect[more]
    none = torch.full_like(embeddings, torch.nan)
    return Examples((landmarks, world, left, aspect, none), torch.full((len(rows),), NO_LETTER), chosen.weights)


@dataclass(frozen=True)
class Batches:
    """What a network is trained on, an epoch at a time."""

    steps: int  # batches an epoch
    # Epoch (from 0) and a generator -> that epoch's batches.
    draw: Callable[[int, torch.Generator], Iterable[tuple[Tensor, ...]]]
    # A batch on the network's device and the generator -> its mean loss, how many answers were right, and of how many.
    score: Callable[[tuple[Tensor, ...], torch.Generator], tuple[Tensor, Tensor, Tensor]]
    key: str  # says what data it is: a checkpoint of other data is refused


def split_batches(n: int, size: int, generator: torch.Generator, weights: Tensor | None = None) -> list[Tensor]:
    """Positions of n items in shuffled batches of two and more, as BatchNorm needs; with weights, n drawn by them."""
    if weights is None:
        order = torch.randperm(n, generator=generator)
    else:
        order = torch.multinomial(weights, n, replacement=True, generator=generator)
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def example_batches(model: Network, examples: Examples, settings: Training, augment: Any = None) -> Batches:
    """All examples an epoch, in a new order each time, changed at random by ``augment``."""
    examples = examples.to(device())

    def draw(epoch: int, generator: torch.Generator) -> Iterable[tuple[Tensor, ...]]:
        for places in split_batches(len(examples), settings.batch, generator, examples.weights):
            batch = examples.subset(places.to(examples.labels.device))
            yield *batch.inputs, batch.labels

    def score(batch: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        *inputs, labels = batch
        prepared = model.prepare(tuple(inputs), augment, generator)
        with sixteen_bits(settings.bfloat16):
            loss, logits = model.loss(prepared, labels, settings.smoothing)
        return loss, (logits.argmax(1) == labels).sum(), (labels != NO_LETTER).sum()

    steps = len(split_batches(len(examples), settings.batch, torch.Generator()))
    tensors = (examples.labels, *examples.inputs, *([] if examples.weights is None else [examples.weights]))
    return Batches(steps, draw, score, digest("", *(tensor.cpu().numpy() for tensor in tensors)))


def sixteen_bits(wanted: bool = True) -> torch.autocast:
    """Within it, products are made in bfloat16 if that is wanted, and the processor has instructions for it."""
    where, known = device().type, torch.cpu.get_capabilities()
    able = where == "cuda" or known.get("avx512_bf16") or known.get("amx_bf16")
    return torch.autocast(where, torch.bfloat16, enabled=wanted and bool(able))


def evaluate_loss(model: Network, examples: Examples) -> tuple[float, float]:
    """Return cross entropy and accuracy on examples."""
    logits = model.logits(examples.inputs)
    right = (logits.argmax(1) == examples.labels).float().mean()
    return float(F.cross_entropy(logits, examples.labels)), float(right)


def fit(
    model: Network,
    batches: Batches,
    settings: Training,
    *,
    valid: Examples | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    run: str = "",
    progress: bool = True,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train the parameters of a network that ask for gradients, in place, on a GPU if there is one.

    With early stopping the weights of the best validation epoch are kept, else those of the last.

    ``seed`` is that of the order of the items, the augmentation and dropout; the caller seeds the weights. The file
    ``checkpoint`` is written after each epoch: if it is there, training goes on from it, to the same result as without
    the stop; the caller deletes it. ``run`` says what the training depends on besides. ``on_epoch`` is called with the
    history so far. InputError if early stopping lacks validation data, or the checkpoint is of another run.
    """
    if settings.patience is not None and valid is None:
        raise InputError("early stopping needs validation data; give some, or set patience=None")
    model.to(device())
    valid = None if valid is None else valid.to(device())
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    optimiser, schedule = _optimiser(model, settings, batches.steps)
    parts, history, best = {"model": model, "optimiser": optimiser, "schedule": schedule}, History(), None
    run = json.dumps({**dataclasses.asdict(settings), "seed": seed, "data": batches.key, "run": f"{model} {run}"})
    if checkpoint is not None and checkpoint.is_file():
        kept = load_state(checkpoint, run, parts)
        generator.set_state(kept["generator"])
        history, best = History(**kept["history"]), kept["best"]

    with tqdm(total=settings.epochs, initial=len(history), unit="epoch", disable=not progress, leave=False) as bar:
        while len(history) < settings.epochs and not history.stopped:
            loss, right = train_one_epoch(model, batches, len(history), optimiser, schedule, settings, generator)
            history.train_loss.append(loss)
            history.train_accuracy.append(right)
            shown = {"loss": f"{loss:.3f}", "accuracy": f"{right:.1%}"}
            if valid is not None:
                loss, right = evaluate_loss(model, valid)
                history.valid_loss.append(loss)
                history.valid_accuracy.append(right)
                shown["valid"] = f"{loss:.3f} {right:.1%}"
            if settings.patience is None:
                history.best_epoch = len(history) - 1
            else:
                if best is None or history.valid_loss[-1] < min(history.valid_loss[:-1]):
                    history.best_epoch = len(history) - 1
                    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
                if without_progress(history.valid_loss, settings.min_delta) >= settings.patience:
                    history.stopped = "early"
            bar.update()
            bar.set_postfix(shown)
            if checkpoint is not None:
                values = {"generator": generator.get_state(), "history": dataclasses.asdict(history), "best": best}
                save_state(checkpoint, run, parts, values)
            if on_epoch is not None:
                on_epoch(history)
    history.stopped = history.stopped or "epochs"
    if best is not None:
        model.load_state_dict(best)
    model.cpu().eval()
    return history


def train(
    preset: Preset,
    examples: Examples,
    valid: Examples | None = None,
    *,
    seed: int = 0,
    epochs: int | None = None,
    **how: Any,
) -> tuple[Network, History]:
    """Make a preset's network and ``fit`` it on examples with labels in its alphabet; ``epochs`` replace its own."""
    if not len(examples):
        raise InputError("no hand was found in what is to be trained on; look at some of the photos")
    torch.manual_seed(seed)
    model = build(preset.network)
    model.set_statistics(examples.inputs)
    settings = dataclasses.replace(preset.training, epochs=epochs or epochs_for(preset.training, len(examples)))
    batches = example_batches(model, examples, settings, preset.augment)
    return model, fit(model, batches, settings, valid=valid, seed=seed, run=repr(preset), **how)


def epochs_for(settings: Training, n: int) -> int:
    """Epochs over n items: as the settings say, or more where these make too few steps."""
    return max(settings.epochs, math.ceil(min(settings.min_steps, profile().most_steps) * settings.batch / n))


def train_one_epoch(
    model: nn.Module,
    batches: Batches,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    schedule: LRScheduler,
    settings: Training,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Pass over an epoch's batches; return their mean loss and accuracy, as trained on."""
    model.train()
    for part in model.children():
        asking = [parameter.requires_grad for parameter in part.parameters()]
        if asking and not any(asking):
            part.eval()  # what is fixed stays as it is, its batch statistics too
    where, parameters = device(), [p for p in model.parameters() if p.requires_grad]
    sums = torch.zeros(3, device=where)  # of losses, of right answers, of answers
    for batch in batches.draw(epoch, generator):
        loss, right, count = batches.score(tuple(tensor.to(where) for tensor in batch), generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        optimiser.step()
        schedule.step()
        sums += torch.stack([loss.detach(), right.to(loss), count.to(loss)])
    loss_sum, right_sum, answers = sums.tolist()
    return loss_sum / batches.steps, right_sum / max(1.0, answers)


def without_progress(losses: Sequence[float], min_delta: float) -> int:
    """Count the last epochs that made no progress: each from the last that did, not from losses a hair lower."""
    reference, epochs = math.inf, 0
    for loss in losses:
        reference, epochs = (loss, 0) if loss < reference - min_delta else (reference, epochs + 1)
    return epochs


def _optimiser(model: nn.Module, settings: Training, steps: int):
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not settings.one_cycle:
        optimiser = torch.optim.Adam(parameters, settings.learning_rate, fused=True)
        return optimiser, ConstantLR(optimiser, factor=1.0)
    optimiser = torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    total = max(5, settings.epochs * steps)  # at 4, PyTorch divides by 0
    return optimiser, OneCycleLR(optimiser, settings.learning_rate, total_steps=total, pct_start=settings.warm_up)


def save_state(path: Path, run: str, parts: dict[str, Any], values: dict[str, Any]) -> None:
    """Write a checkpoint of a run for ``load_state``: network, optimiser and schedule by name, and plain ``values``."""
    random = {"torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None}
    content = io.BytesIO()
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"run": run, "random": random, "values": values, **states}, content)
    write_bytes(path, content.getvalue())


def load_state(path: Path, run: str, parts: dict[str, Any]) -> dict[str, Any]:
    """Go on from a checkpoint of ``save_state``, and return its ``values``; InputError if damaged or of another run."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # tensors and plain values, never code
        if state["run"] == run:
            for name, part in parts.items():
                part.load_state_dict(state[name])
            torch.set_rng_state(state["random"]["torch"])
            if state["random"]["cuda"] is not None and torch.cuda.is_available():
                torch.cuda.set_rng_state(state["random"]["cuda"])
            return state["values"]
    except Exception as error:
        raise InputError(f"{path}: not a checkpoint ({type(error).__name__}); delete it to start anew") from error
    said = "belongs to a run of another network, other settings, data or seed"
    raise InputError(f"{path}: {said}; delete it to start anew")
