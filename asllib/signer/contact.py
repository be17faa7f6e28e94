"""Where fingers touch: none passes through another, and a letter's contacts outlast a signer's habits."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from asllib.signer.alphabet import ANGLES, LETTERS, OTHERS, limit
from asllib.signer.hand import HandShape, hand_shape, pose_hand

if TYPE_CHECKING:
    import torch

# Which capsules of the hand are compared with each other: phalanges of different fingers, and the thumb with all.
_PHALANX_JOINTS = [(1 + 4 * f + k, 2 + 4 * f + k) for f in range(5) for k in range(3)]
_PAIRS = [(a, b) for a in range(15) for b in range(a + 1, 15) if a // 3 != b // 3 and not (a % 3 == 0 and b % 3 == 0)]


def segment_distance(p1, q1, p2, q2):
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


def penetration(shape: HandShape, joints: torch.Tensor) -> torch.Tensor:
    """(B, pairs) metres by which the capsules of two fingers overlap, 0 where they do not.

    A finger is three capsules whose radii are the skin's distance from the bone, corrected on the mesh.
    """
    import torch

    ends = torch.tensor(_PHALANX_JOINTS)
    radii = shape.radii.reshape(len(joints), 15)
    start, stop = joints[:, ends[:, 0]], joints[:, ends[:, 1]]
    # The tip lies on the skin, the capsule's end a radius before it.
    tips = torch.tensor([k % 3 == 2 for k in range(15)])
    along = torch.nn.functional.normalize(stop - start, dim=-1)
    stop = torch.where(tips[:, None], stop - along * radii[..., None], stop)
    pairs = torch.tensor(_PAIRS)
    a, b = pairs[:, 0], pairs[:, 1]
    gap = segment_distance(start[:, a], stop[:, a], start[:, b], stop[:, b])
    # Measured on the mesh: the thumb's flesh meets fingers earlier than its thinner capsules, webs do not.
    wide = torch.tensor([(1.25, 1.25, 1.45)[k] if k < 3 else 1.08 for k, _ in _PAIRS])
    return (wide * (radii[:, a] + radii[:, b]) - gap).clamp_min(0)


# What is pulled back into place: the thumb's tip, its last joint and the middle between the two.
_THUMB = ((4, 4), (3, 3), (3, 4))
# Places on the fingers, as pairs of joints whose middle they are.
_PLACES = tuple((k, k) for k in range(5, 21)) + tuple((k, k + 1) for f in range(4) for k in (6 + 4 * f, 7 + 4 * f))
REACH = 0.012  # metres: places further from the thumb than this soon stop to matter


def _middles(joints: torch.Tensor, pairs: tuple[tuple[int, int], ...]) -> torch.Tensor:
    return (joints[:, [a for a, _ in pairs]] + joints[:, [b for _, b in pairs]]) / 2


@lru_cache(maxsize=1)
def _contacts() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each handshape the thumb's offsets (3, places, 3) from places on the fingers, and their weights."""
    import torch

    names = [*LETTERS, *OTHERS]
    poses = torch.tensor([{**LETTERS, **OTHERS}[name].angles for name in names], dtype=torch.float32)
    shape = hand_shape(np.full((1, 6), 0.5)).take([0] * len(names))
    joints = pose_hand(shape, poses, skin=False).joints
    offsets = _middles(joints, _THUMB)[:, :, None] - _middles(joints, _PLACES)[:, None]
    weights = torch.exp(-offsets.norm(dim=-1) / REACH)
    return {name: (offsets[k].numpy(), weights[k].numpy()) for k, name in enumerate(names)}


def settle(shape: HandShape, poses: torch.Tensor, letters: list[str] | None = None, steps: int = 12) -> torch.Tensor:
    """Change the fingers' angles a little so that nothing overlaps and, for a letter, the thumb lies where it should.

    Parameters
    ----------
    shape : HandShape
        B hands.
    poses : (B, angles) float tensor
        Degrees.
    letters : list of B names, optional
        Handshapes whose thumb keeps its place on the fingers; without them only overlaps are removed.
    steps : int
        Largest number of steps, of at most 1.5 degrees each.

    Returns
    -------
    (B, angles) float tensor
        Within the limits of human joints; the arm's angles are not changed.
    """
    import torch

    if steps <= 0:
        return poses
    start = poses.detach()
    count = ANGLES.index("wrist_flex")
    hand, arm = start[:, :count], start[:, count:]
    low, high = torch.tensor([limit(angle) for angle in ANGLES[:count]], dtype=torch.float32).T
    # The thumb gives way more easily than the fingers that make the letter.
    stiff = torch.tensor([0.1 if angle.startswith("thumb") else 1.0 for angle in ANGLES[:count]])
    if letters is not None:
        known = _contacts()
        offsets = torch.as_tensor(np.stack([known[name][0] for name in letters]))
        weights = torch.as_tensor(np.stack([known[name][1] for name in letters]))
        # Offsets grow with the hand.
        size = shape.heads[:, 10].norm(dim=-1) / hand_shape(np.full((1, 6), 0.5)).heads[0, 10].norm()
        offsets = offsets * size[:, None, None, None]
    delta = torch.zeros_like(hand, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=1.5)
    for step in range(steps):
        joints = pose_hand(shape, torch.cat([hand + delta, arm], 1), skin=False).joints
        deep = (penetration(shape, joints) - 0.0003).clamp_min(0) * 1000  # millimetres
        loss = 2 * deep.square().sum() + (0.02 * stiff * delta.square()).sum()
        if letters is not None:
            off = _middles(joints, _THUMB)[:, :, None] - _middles(joints, _PLACES)[:, None] - offsets
            # The last steps only part what still overlaps.
            pull = 0.3 if step < 0.7 * steps else 0.03
            loss = loss + pull * (weights * (off * 1000).square().sum(-1)).sum()
        elif step == 0 and deep.max() == 0:
            break  # only before the first step: a hand's result must not depend on the others in the batch
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return torch.cat([torch.minimum(torch.maximum(hand + delta.detach(), low), high), arm], 1)
