"""Where fingers touch: none passes through another, and a letter's contacts outlast a signer's habits."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from asllib.signer.alphabet import ANGLES, LETTERS, OTHERS, limit
from asllib.signer.hand import PHALANGES, THUMB, HandShape, PosedHand, hand_model, hand_shape, pose_hand, start_warp

if TYPE_CHECKING:
    import torch

_BONES = [bone for bones in (THUMB, *PHALANGES.values()) for bone in bones]
# Which capsules of the hand are compared with each other: phalanges of different fingers, and the thumb with all.
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


def penetration(shape: HandShape, posed: PosedHand) -> torch.Tensor:
    """(B, pairs) metres by which the capsules of two fingers overlap, 0 where they do not."""
    import torch

    bones = posed.bones[:, _BONES]  # (B, 15, 3, 4)
    ends = (bones[..., :3] @ shape.cores.transpose(2, 3) + bones[..., 3:]).transpose(2, 3)  # (B, 15, 2, 3)
    a, b = torch.tensor(_PAIRS).T
    gap = segment_distance(ends[:, a, 0], ends[:, a, 1], ends[:, b, 0], ends[:, b, 1])
    return (shape.radii[:, a] + shape.radii[:, b] - gap).clamp_min(0)


@lru_cache(maxsize=1)
def _depth_kernel():
    wp = start_warp()

    @wp.kernel(enable_backward=False)
    def depth(mesh: wp.uint64, points: wp.array(dtype=wp.vec3), out: wp.array(dtype=wp.float32)):
        i = wp.tid()
        near = wp.mesh_query_point_sign_winding_number(mesh, points[i], 0.03)
        if near.result and near.sign < 0.0:
            out[i] = wp.length(wp.mesh_eval_position(mesh, near.face, near.u, near.v) - points[i])

    return wp, depth


def overlap(vertices: np.ndarray) -> np.ndarray:
    """(B,) metres by which the skin of one finger lies inside another, measured on the mesh.

    Parameters
    ----------
    vertices : (B, V, 3) float32
        From ``pose_hand``. The skin of the last two phalanges is looked for inside the other fingers; first phalanges
        share the web between them.
    """
    wp, depth = _depth_kernel()
    model = hand_model()
    weights, faces = model.weights.numpy(), model.faces.numpy()
    fingers = (THUMB, *PHALANGES.values())
    outer = [np.flatnonzero(weights[:, bones[1:]].sum(1) > 0.9) for bones in fingers]
    tubes = []
    for bones in fingers:
        inside = np.append(weights[:, bones].sum(1) > 0.5, np.zeros(faces.max() + 1 - len(weights), bool))
        number = np.cumsum(inside) - 1
        tubes.append((np.flatnonzero(inside), number[faces[inside[faces].all(1)]].astype(np.int32).ravel()))
    out = np.zeros(len(vertices), np.float32)
    for k, hand in enumerate(np.asarray(vertices, np.float32)):
        for b, (skin, triangles) in enumerate(tubes):
            mesh = wp.Mesh(
                points=wp.array(hand[skin], dtype=wp.vec3, device="cpu"),
                indices=wp.array(triangles, dtype=wp.int32, device="cpu"),
                support_winding_number=True,
            )
            points = hand[np.concatenate([outer[a] for a in range(5) if a != b])]
            found = wp.zeros(len(points), dtype=wp.float32, device="cpu")
            inputs = [mesh.id, wp.array(points, dtype=wp.vec3, device="cpu")]
            wp.launch(depth, dim=len(points), inputs=inputs, outputs=[found], device="cpu")
            out[k] = max(out[k], found.numpy().max())
    return out


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
        posed = pose_hand(shape, torch.cat([hand + delta, arm], 1), skin=False)
        joints = posed.joints
        deep = (penetration(shape, posed) - 0.0003).clamp_min(0) * 1000  # millimetres
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
