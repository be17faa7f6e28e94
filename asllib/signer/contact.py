"""Where fingers touch: none passes through another, and a letter's contacts outlast a signer's habits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from asllib.signer.alphabet import HIGHEST, INDEX, LETTERS, LOWEST, OTHERS
from asllib.signer.hand import DIGITS, HandShape, PosedHand, hand_shape, pose_hand

_BONES = [bone for bones in DIGITS for bone in bones]
# Which capsules of the hand are compared with each other: phalanges of different fingers, and the thumb with all.
_PAIRS = [(a, b) for a in range(15) for b in range(a + 1, 15) if a // 3 != b // 3 and not (a % 3 == 0 and b % 3 == 0)]

# What is pulled back into place: the thumb's tip, its last joint and the middle between the two.
_THUMB = ((4, 4), (3, 3), (3, 4))
# Places on the fingers, as pairs of joints whose middle they are.
_PLACES = tuple((k, k) for k in range(5, 21)) + tuple((k, k + 1) for f in range(4) for k in (6 + 4 * f, 7 + 4 * f))
REACH = 0.012  # metres: places further from the thumb than this soon stop to matter


def segment_distance(p1: torch.Tensor, q1: torch.Tensor, p2: torch.Tensor, q2: torch.Tensor) -> torch.Tensor:
    """(...,) shortest distance of the segments p1-q1 and p2-q2; can be differentiated.

    Source: C. Ericson, "Real-Time Collision Detection", 5.1.9.
    """
    d1, d2, r = q1 - p1, q2 - p2, p1 - p2
    a, e, f = (d1 * d1).sum(-1), (d2 * d2).sum(-1), (d2 * r).sum(-1)
    b, c = (d1 * d2).sum(-1), (d1 * r).sum(-1)
    s = ((b * f - c * e) / (a * e - b * b).clamp_min(1e-12)).clamp(0, 1)
    t = ((b * s + f) / e.clamp_min(1e-12)).clamp(0, 1)
    s = ((b * t - c) / a.clamp_min(1e-12)).clamp(0, 1)
    return (p1 + d1 * s[..., None] - p2 - d2 * t[..., None]).square().sum(-1).add(1e-12).sqrt()


def penetration(shape: HandShape, posed: PosedHand) -> torch.Tensor:
    """(B, pairs) metres by which the capsules of two fingers overlap, 0 where they do not."""
    bones = posed.bones[:, _BONES]  # (B, 15, 3, 4)
    ends = (bones[..., :3] @ shape.cores.transpose(2, 3) + bones[..., 3:]).transpose(2, 3)  # (B, 15, 2, 3)
    a, b = torch.tensor(_PAIRS).T
    gap = segment_distance(ends[:, a, 0], ends[:, a, 1], ends[:, b, 0], ends[:, b, 1])
    return (shape.radii[:, a] + shape.radii[:, b] - gap).clamp_min(0)


def _offsets(joints: torch.Tensor) -> torch.Tensor:
    """(B, 3, places, 3) metres of the thumb's three points from the places on the fingers."""
    thumb, places = (
        (joints[:, [a for a, _ in pairs]] + joints[:, [b for _, b in pairs]]) / 2 for pairs in (_THUMB, _PLACES)
    )
    return thumb[:, :, None] - places[:, None]


def _middling_hand() -> HandShape:
    return hand_shape(np.full((1, 6), 0.5))


@lru_cache(maxsize=1)
def _contacts() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """For each handshape the thumb's offsets (3, places, 3) from places on the fingers, and their weights."""
    handshapes = LETTERS | OTHERS
    poses = torch.tensor([handshape.angles for handshape in handshapes.values()])
    offsets = _offsets(pose_hand(_middling_hand().take([0] * len(poses)), poses, skin=False).joints)
    weights = torch.exp(-offsets.norm(dim=-1) / REACH)
    return dict(zip(handshapes, zip(offsets, weights, strict=True), strict=True))


def settle(shape: HandShape, poses: torch.Tensor, names: Sequence[str] | None = None, steps: int = 12) -> torch.Tensor:
    """Change the fingers' angles a little so that nothing overlaps and, for a letter, the thumb lies where it should.

    Parameters
    ----------
    poses
        (B, angles) degrees.
    names
        B handshapes whose thumb keeps its place on the fingers; without them only overlaps are removed.
    steps
        Largest number of steps, of at most 1.5 degrees each.

    Returns
    -------
    (B, angles)
        Within the limits of human joints; the arm's angles are not changed.
    """
    count = INDEX["wrist_flex"]
    hand, arm = poses[:, :count], poses[:, count:]
    low, high = (torch.as_tensor(limits[:count], dtype=torch.float32) for limits in (LOWEST, HIGHEST))
    # The thumb gives way more easily than the fingers that make the letter.
    stiff = torch.tensor([0.1 if angle.startswith("thumb") else 1.0 for angle in list(INDEX)[:count]])
    if names is not None:
        offsets, weights = (torch.stack(parts) for parts in zip(*(_contacts()[name] for name in names), strict=True))
        size = shape.heads[:, 10].norm(dim=-1) / _middling_hand().heads[0, 10].norm()
        offsets = offsets * size[:, None, None, None]
    delta = torch.zeros_like(hand, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=1.5)
    for step in range(steps):
        posed = pose_hand(shape, torch.cat([hand + delta, arm], 1), skin=False)
        deep = (penetration(shape, posed) - 0.0003).clamp_min(0) * 1000  # millimetres
        loss = 2 * deep.square().sum() + (0.02 * stiff * delta.square()).sum()
        if names is not None:
            # The last steps only part what still overlaps.
            pull = 0.3 if step < 0.7 * steps else 0.03
            off = (_offsets(posed.joints) - offsets) * 1000
            loss = loss + pull * (weights * off.square().sum(-1)).sum()
        elif step == 0 and deep.max() == 0:
            break  # only before the first step: a hand's result must not depend on the others in the batch
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return torch.cat([torch.minimum(torch.maximum(hand + delta.detach(), low), high), arm], 1)
