"""Train the motion network on clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from asllib.models.motion_net import NEITHER, MotionConfig, MotionNet
from asllib.spelling.practice import IGNORE, Clip, Stills, augment, batch_clips, piece_together, still_clip, wander
from asllib.training import set_seed

CTC_WEIGHT = 0.1
DOUBLE_WEIGHT = 4.0
WANDERING = 0.7  # of the clips
_SHAPE_MOMENTS = 512  # a step of the first part's training


def inside_doubles(targets: torch.Tensor) -> torch.Tensor:
    """(B, T) bool: the moments between a letter and the same letter again: few, and all that tells of a double."""
    count = targets.shape[1]
    place = torch.arange(count).expand_as(targets)
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
        torch.cat(list(spelled)),
        torch.full((len(logits),), logits.shape[2]),
        torch.tensor([len(signs) for signs in spelled]),
        blank=NEITHER,
        zero_infinity=True,
    )
    return loss + CTC_WEIGHT * ctc


def fit_shapes(
    model: MotionNet, clips: Sequence[Clip], stills: Stills | None, steps: int, rng: np.random.Generator, bar
) -> float:
    """Train the first part on single moments of films and on still hands, half and half; return the last losses' mean.

    Parameters
    ----------
    clips
        With ``shapes``, the handshapes of their moments.
    """
    optimiser = torch.optim.AdamW(model.hand.parameters(), 4e-3, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=max(5, steps), pct_start=0.2)
    model.train()
    weight = torch.ones(1 + len(model.config.shapes))
    weight[NEITHER] = 0.15  # most moments of a film are on the way: a shape that is nearly made is better named
    losses = []
    for _ in range(steps):
        some = [augment(clips[i], rng) for i in rng.integers(0, len(clips), 6)]
        if stills is not None:
            some += [augment(still_clip(stills, 40, rng, model.config.shapes), rng) for _ in range(8)]
        some = [clip if model.config.solid else clip.flat() for clip in some]
        features, _, _, shapes = batch_clips(some, 0)
        known = (features[:, -1] > 0) & (shapes != IGNORE)
        chosen = torch.nonzero(known)
        chosen = chosen[torch.randperm(len(chosen))[:_SHAPE_MOMENTS]]
        moments = features[chosen[:, 0], :, chosen[:, 1]][:, :, None]  # (N, C, 1)
        logits = model.handshapes(moments)[:, :, 0]
        loss = F.cross_entropy(logits, shapes[chosen[:, 0], chosen[:, 1]], weight, label_smoothing=0.05)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        bar.update()
        bar.set_postfix(shapes=f"{losses[-1]:.3f}")
    return float(np.mean(losses[-50:]))


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
    progress: bool = True,
) -> tuple[MotionNet, list[float]]:
    """Train a motion network: first its eye for handshapes, then, with that fixed, what it makes of them in time.

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

    Returns
    -------
    tuple
        The network, on the CPU, and the loss of each step of the second part.
    """
    from tqdm.auto import tqdm

    set_seed(seed)
    rng = np.random.default_rng(seed)
    model = MotionNet(config)
    with tqdm(
        total=steps + (shape_steps if config.shapes else 0), unit="step", disable=not progress, leave=False
    ) as bar:
        if config.shapes:
            fit_shapes(model, clips, stills, shape_steps, rng, bar)
            model.hand.requires_grad_(False)
        rest = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(rest, learning_rate, weight_decay=0.02, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, learning_rate, total_steps=max(5, steps), pct_start=0.15
        )
        losses = []
        for _ in range(steps):
            model.train()
            if config.shapes:
                model.hand.eval()
            made = 0 if stills is None else round(batch * pieced)
            some = [] if stills is None else [piece_together(stills, rng, config.signs) for _ in range(made)]
            some += [clips[i] for i in rng.integers(0, len(clips), batch - made)]
            some = [augment(clip, rng, loose=not config.shapes) for clip in some]
            if config.shapes:  # a letter is held however the arm drifts; a stroke is how the hand goes
                some = [wander(clip, rng) if rng.random() < WANDERING else clip for clip in some]
            some = [clip if config.solid else clip.flat() for clip in some]
            features, targets, spelled, _ = batch_clips(some, config.delay + 2)
            loss = motion_loss(model(features), targets, spelled, config.delay)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(rest, 5.0)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
            bar.update()
            bar.set_postfix(loss=f"{losses[-1]:.3f}")
    model.requires_grad_(True)
    return model.eval(), losses
