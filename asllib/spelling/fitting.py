"""Train the motion network on clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from asllib.models.motion_net import NEITHER, MotionConfig, MotionNet
from asllib.spelling.practice import IGNORE, Clip, Stills, augment, batch_clips, piece_together
from asllib.training import set_seed

CTC_WEIGHT = 0.3


def motion_loss(logits: torch.Tensor, targets: torch.Tensor, spelled: Sequence[torch.Tensor], delay: int):
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
    loss = F.cross_entropy(late, targets[:, : late.shape[2]], ignore_index=IGNORE, label_smoothing=0.02)
    lengths = torch.full((len(logits),), logits.shape[2])
    ctc = F.ctc_loss(
        logits.permute(2, 0, 1).log_softmax(2), torch.cat(list(spelled)), lengths,
        torch.tensor([len(signs) for signs in spelled]), blank=NEITHER, zero_infinity=True,
    )  # fmt: skip
    return loss + CTC_WEIGHT * ctc


def fit_motion(
    config: MotionConfig,
    clips: Sequence[Clip],
    stills: Stills | None,
    *,
    epochs: int = 60,
    pieced: int | None = None,
    batch: int = 32,
    learning_rate: float = 4e-3,
    seed: int = 0,
    progress: bool = True,
) -> tuple[MotionNet, list[float]]:
    """Train a motion network on films, and in each epoch on as many new words pieced together from still hands.

    Parameters
    ----------
    config
        Shape of the network.
    clips
        Films, see ``film_clip``; seen anew in each epoch.
    stills
        Still hands, or None.
    epochs, batch, learning_rate
        One cycle of AdamW.
    pieced
        Words pieced together an epoch, by default as many as there are films.
    seed
        Of everything.

    Returns
    -------
    tuple
        The network, on the CPU, and the mean loss of each epoch.
    """
    from tqdm.auto import tqdm

    set_seed(seed)
    rng = np.random.default_rng(seed)
    model = MotionNet(config)
    more = 0 if stills is None else len(clips) if pieced is None else pieced
    count = -(-(len(clips) + more) // batch)
    optimiser = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=max(5, epochs * count), pct_start=0.15
    )
    losses = []
    with tqdm(total=epochs, unit="epoch", disable=not progress, leave=False) as bar:
        for _ in range(epochs):
            model.train()
            made = [piece_together(stills, rng, config.signs) for _ in range(more)]
            everything = [*clips, *made]
            order = rng.permutation(len(everything))
            total = 0.0
            for start in range(0, len(order), batch):
                some = [augment(everything[i], rng) for i in order[start : start + batch]]
                if not config.solid:
                    some = [Clip(clip.landmarks, None, clip.targets, clip.spelled) for clip in some]
                features, targets, spelled = batch_clips(some, config.delay + 2)
                loss = motion_loss(model(features), targets, spelled, config.delay)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimiser.step()
                schedule.step()
                total += float(loss.detach()) * len(some)
            losses.append(total / len(everything))
            bar.update()
            bar.set_postfix(loss=f"{losses[-1]:.3f}")
    return model.eval(), losses
