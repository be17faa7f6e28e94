"""Train the motion network on clips."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from asllib.networks.spelling import NEITHER, MotionConfig, MotionNet
from asllib.train.clips import IGNORE, Clip, Stills, augment, batch_clips, piece_together, still_clip, wander
from asllib.train.loop import device, load_state, save_state, set_seed

CTC_WEIGHT = 0.1
DOUBLE_WEIGHT = 4.0
WANDERING = 0.7  # of the clips
_SHAPE_MOMENTS = 512  # a step of the first part's training
_FEW = 200  # steps for which no processes are started
_KEEP = 500  # steps between checkpoints


class _Drawn(Dataset):
    """Batches by number: each is drawn from the seed and its number alone, in whatever process that is done."""

    def __init__(self, draw: Callable[[np.random.Generator], Any], seed: tuple[int, ...], steps: int) -> None:
        self.draw, self.seed, self.steps = draw, seed, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Any:
        return self.draw(np.random.default_rng([*self.seed, step]))


def drawn_ahead(
    draw: Callable[[np.random.Generator], Any], seed: tuple[int, ...], steps: int, start: int = 0
) -> Iterable[Any]:
    """Draw batches ``start`` to ``steps - 1`` in order, in processes beside this one: it takes longer than a step."""
    helpers = 0 if steps - start < _FEW else max(1, (os.cpu_count() or 1) - 1)
    return DataLoader(
        _Drawn(draw, seed, steps), batch_size=None, sampler=range(start, steps), num_workers=helpers,
        generator=torch.Generator(),  # else it draws from the random numbers of dropout
    )  # fmt: skip


def inside_doubles(targets: torch.Tensor) -> torch.Tensor:
    """(B, T) bool: the moments between a letter and the same letter again: few, and all that tells of a double."""
    count = targets.shape[1]
    place = torch.arange(count, device=targets.device).expand_as(targets)
    shown = targets > NEITHER
    last = torch.where(shown, place, 0).cummax(1).values
    next_ = count - 1 - torch.where(shown, count - 1 - place, 0).flip(1).cummax(1).values.flip(1)
    before, after = targets.gather(1, last), targets.gather(1, next_)
    return (targets == NEITHER) & (before == after) & (before > NEITHER)


def motion_loss(
    logits: torch.Tensor, targets: torch.Tensor, spelled: Sequence[torch.Tensor], delay: int
) -> torch.Tensor:
    """Cross entropy of each moment, ``delay`` moments later, and CTC of the whole clip.

    Parameters
    ----------
    logits
        (B, classes, T).
    targets
        (B, T).
    spelled
        B tensors of signs in order, none of them NEITHER, which is CTC's blank.
    delay
        Moments that an answer comes late.
    """
    late = logits[:, :, delay:]
    targets = targets[:, : late.shape[2]]
    weight = torch.where(targets == NEITHER, 0.5, 1.0)  # most moments are on the way
    weight = weight * torch.where(inside_doubles(targets), DOUBLE_WEIGHT, 1.0) * (targets != IGNORE)
    loss = F.cross_entropy(late, targets, reduction="none", ignore_index=IGNORE, label_smoothing=0.02)
    loss = (loss * weight).sum() / weight.sum()
    ctc = F.ctc_loss(
        logits.permute(2, 0, 1).log_softmax(2),
        torch.cat(list(spelled)).to(logits.device),
        torch.full((len(logits),), logits.shape[2]),
        torch.tensor([len(signs) for signs in spelled]),
        blank=NEITHER,
        zero_infinity=True,
    )
    return loss + CTC_WEIGHT * ctc


def draw_moments(
    clips: Sequence[Clip], stills: Stills | None, config: MotionConfig, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Features (N, C, 1) and handshapes (N,) of single moments: of films and of still hands, half and half."""
    some = [augment(clips[i], rng) for i in rng.integers(0, len(clips), 6)]
    if stills is not None:
        some += [augment(still_clip(stills, 40, rng, config.shapes), rng) for _ in range(8)]
    some = [clip if config.solid else clip.flat() for clip in some]
    features, _, _, shapes = batch_clips(some, 0)
    chosen = torch.nonzero((features[:, -1] > 0) & (shapes != IGNORE)).numpy()
    clip, moment = rng.permutation(chosen)[:_SHAPE_MOMENTS].T
    return features[clip, :, moment][:, :, None], shapes[clip, moment]


def draw_clips(
    clips: Sequence[Clip],
    stills: Stills | None,
    config: MotionConfig,
    rng: np.random.Generator,
    *,
    batch: int,
    pieced: float,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Features, targets and spelled signs of a batch, see ``batch_clips``: films, and words pieced together."""
    made = 0 if stills is None else round(batch * pieced)
    some = [] if stills is None else [piece_together(stills, rng, config.signs) for _ in range(made)]
    some += [clips[i] for i in rng.integers(0, len(clips), batch - made)]
    some = [augment(clip, rng, loose=not config.shapes) for clip in some]
    if config.shapes:  # a letter is held however the arm drifts; a stroke is how the hand goes
        some = [wander(clip, rng) if rng.random() < WANDERING else clip for clip in some]
    some = [clip if config.solid else clip.flat() for clip in some]
    return batch_clips(some, config.delay + 2)[:3]


def shape_loss(model: MotionNet, features: Tensor, shapes: Tensor) -> Tensor:
    """Cross entropy of what the first part says of single moments, see ``draw_moments``."""
    weight = torch.ones(1 + len(model.config.shapes), device=shapes.device)
    weight[NEITHER] = 0.15  # most moments of a film are on the way: a shape that is nearly made is better named
    return F.cross_entropy(model.handshapes(features)[:, :, 0], shapes, weight, label_smoothing=0.05)


def fit_part(
    model: nn.Module,
    part: nn.Module,
    draw: Callable[[np.random.Generator], Any],
    loss_of: Callable[..., Tensor],
    steps: int,
    seed: tuple[int, ...],
    *,
    decay: float,
    learning_rate: float,
    warm_up: float,
    bar: Any,
    checkpoint: Path | None,
    run: str,
) -> list[float]:
    """Train one part of the network on drawn batches, and go on from its checkpoint; return the loss of each step."""
    parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, learning_rate, weight_decay=decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=max(5, steps), pct_start=warm_up
    )
    losses: list[float] = []
    if checkpoint is not None and checkpoint.is_file():
        losses = load_state(checkpoint, run, model, optimiser, schedule)["losses"]
        bar.update(len(losses))
    where = device()
    for batch in drawn_ahead(draw, seed, steps, len(losses)):
        loss = loss_of(*(item.to(where) if isinstance(item, Tensor) else item for item in batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        bar.update()
        bar.set_postfix(loss=f"{losses[-1]:.3f}")
        if checkpoint is not None and (len(losses) % _KEEP == 0 or len(losses) == steps):
            save_state(checkpoint, run, model, optimiser, schedule, losses=losses)
    return losses


def fit_motion(
    config: MotionConfig,
    clips: Sequence[Clip],
    stills: Stills | None,
    *,
    shape_steps: int = 1500,
    steps: int = 1500,
    pieced: float = 0.5,
    batch: int = 16,
    learning_rate: float = 4e-3,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> tuple[MotionNet, list[float]]:
    """Train a motion network: first its eye for handshapes, then, with that fixed, what it makes of them in time.

    It is done on a GPU if there is one, and the batches are drawn by all cores.

    Parameters
    ----------
    config
        Shape of the network.
    clips
        Films, see ``film_clip``.
    stills
        Still hands, or None. Words are pieced together from them as training goes on.
    shape_steps, steps
        Of the two parts.
    pieced
        Part of each batch that is pieced together from stills.
    batch, learning_rate
        Clips a step; the peak of one cycle of AdamW.
    seed
        Of everything.
    checkpoint
        A folder in which each part keeps how far it is, ``checkpoint-*.pt``. If they are there, training goes on from
        them, to the same result as without the stop.

    Returns
    -------
    tuple
        The network, on the CPU, and the loss of each step of the second part.

    Raises
    ------
    InputError
        If a checkpoint is damaged, or of another run.
    """
    from tqdm.auto import tqdm

    set_seed(seed)
    model = MotionNet(config).to(device())
    targets = hashlib.sha256(b"".join(clip.targets.tobytes() + clip.landmarks.tobytes() for clip in clips)).hexdigest()
    stills_seen = hashlib.sha256(b"" if stills is None else stills.image.tobytes()).hexdigest()
    settings = (shape_steps, steps, pieced, batch, learning_rate, seed)
    run = json.dumps([dataclasses.asdict(config), *settings, targets, stills_seen])

    def fit(name: str, part: nn.Module, draw: Callable, loss_of: Callable, steps: int, **settings: float):
        path = None if checkpoint is None else checkpoint / f"checkpoint-{name}.pt"
        return fit_part(
            model, part, functools.partial(draw, clips, stills, config), loss_of, steps, (seed, int(name == "signs")),
            learning_rate=learning_rate, bar=bar, checkpoint=path, run=run, **settings,
        )  # fmt: skip

    with tqdm(
        total=steps + (shape_steps if config.shapes else 0), unit="step", disable=not progress, leave=False
    ) as bar:
        model.train()
        if config.shapes:
            fit("shapes", model.hand, draw_moments, functools.partial(shape_loss, model), shape_steps,
                decay=0.05, warm_up=0.2)  # fmt: skip
            model.hand.requires_grad_(False).eval()

        def loss_of(features: Tensor, targets: Tensor, spelled: list[Tensor]) -> Tensor:
            return motion_loss(model(features), targets, spelled, config.delay)

        draw = functools.partial(draw_clips, batch=batch, pieced=pieced)
        losses = fit("signs", model, draw, loss_of, steps, decay=0.02, warm_up=0.15)
    model.requires_grad_(True)
    return model.cpu().eval(), losses
