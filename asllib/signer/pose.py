"""Hands posed by joint angles, and settled: no finger passes through another, the thumb keeps a letter's contacts."""

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import normalize

from asllib.signer.alphabet import HIGHEST, INDEX, LETTERS, LOWEST, OTHERS
from asllib.signer.hand import (
    DIGITS,
    FOREARM_LENGTH,
    FOREARM_RINGS,
    PHALANGES,
    THUMB,
    HandShape,
    hand_model,
    hand_shape,
)

_BONES = [bone for bones in DIGITS for bone in bones]
# Which capsules of the hand are compared with each other: phalanges of different fingers, and the thumb with all.
_PAIRS = [(a, b) for a in range(15) for b in range(a + 1, 15) if a // 3 != b // 3 and not (a % 3 == 0 and b % 3 == 0)]

# What is pulled back into place: the thumb's tip, its last joint and the middle between the two.
_THUMB = ((4, 4), (3, 3), (3, 4))
# Places on the fingers, as pairs of joints whose middle they are.
_PLACES = tuple((k, k) for k in range(5, 21)) + tuple((k, k + 1) for f in range(4) for k in (6 + 4 * f, 7 + 4 * f))
REACH = 0.012  # metres: places further from the thumb than this soon stop to matter


def _rotation(axis: int, degrees: torch.Tensor) -> torch.Tensor:
    """(B, 3, 3) rotations about x, y or z (0, 1, 2), right handed; can be differentiated."""
    angle = torch.deg2rad(degrees)
    c, s, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    rows = (
        (one, zero, zero, zero, c, -s, zero, s, c),
        (c, zero, s, zero, one, zero, -s, zero, c),
        (c, -s, zero, s, c, zero, zero, zero, one),
    )[axis]
    return torch.stack(rows, -1).reshape(*angle.shape, 3, 3)


def orientation(pose: torch.Tensor) -> torch.Tensor:
    """(B, 3, 3) the hand's frame in the world (x right in the picture, y up, z to the viewer).

    The forearm's spin about its length comes first, then pitch and lean, then the turn about the vertical.
    """
    spin, pitch, lean, turn = (pose[:, INDEX[name]] for name in ("spin", "pitch", "lean", "turn"))
    return _rotation(1, turn) @ _rotation(2, lean) @ _rotation(0, pitch) @ _rotation(1, spin)


def pose_hand(shape: HandShape, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pose B hands by angles (B, angles) in degrees; can be differentiated.

    Returns the joints (B, 21, 3) in MediaPipe's order (wrist, then four a finger from its base, thumb first) and the
    moves (B, 21, 3, 4) of the bones from rest, in the frame of the hand.
    """

    def rotation(axis: int, name: str, sign: int = 1) -> torch.Tensor:
        return _rotation(axis, sign * pose[:, INDEX[name]])

    heads, rest = shape.heads, shape.rest
    bend = rotation(0, "wrist_flex", -1) @ rotation(2, "wrist_radial")
    turns = [bend] + 20 * [torch.eye(3).expand(len(pose), 3, 3)]
    starts = list(heads.unbind(1))

    def chain(bones: tuple[int, ...], frames: tuple[torch.Tensor, ...]) -> None:
        for bone, frame in zip(bones, frames, strict=True):
            turns[bone] = frame @ rest[:, bone].transpose(1, 2)
        for bone, following in itertools.pairwise(bones):
            bone_long = (heads[:, following] - heads[:, bone])[..., None]
            starts[following] = starts[bone] + (turns[bone] @ bone_long)[..., 0]

    # The thumb's zero: beside the index, nail to the thumb's side; columns flexion axis, bone, pulp.
    zero = torch.tensor([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    frame = rotation(2, "thumb_radial", -1) @ rotation(0, "thumb_palmar")
    first = frame @ rotation(1, "thumb_pronation") @ zero
    second = first @ rotation(0, "thumb_mcp")
    chain(THUMB, (first, second, second @ rotation(0, "thumb_ip")))
    for name, bones in PHALANGES.items():
        # A straight finger points along the palm; its flexion axis keeps the arch of the knuckles.
        side = normalize(rest[:, bones[0], :, 0] * torch.tensor([1.0, 0.0, 1.0]), dim=-1)
        up = torch.tensor([0.0, 1.0, 0.0]).expand_as(side)
        base = torch.stack([side, up, torch.linalg.cross(side, up)], -1)
        first = base @ rotation(0, f"{name}_mcp") @ rotation(2, f"{name}_spread", -1)
        second = first @ rotation(0, f"{name}_pip")
        chain(bones, (first, second, second @ rotation(0, f"{name}_dip")))

    turn, start = torch.stack(turns, 1), torch.stack(starts, 1)  # (B, 21, 3, 3), (B, 21, 3)
    moves = torch.cat([turn, (start - (turn @ heads[..., None])[..., 0])[..., None]], -1)  # (B, 21, 3, 4)
    joints = [start[:, 1]]
    for k, bones in enumerate(DIGITS):
        move = moves[:, bones[2]]
        tip = (move[..., :3] @ shape.tips[:, k, :, None])[..., 0] + move[..., 3]
        joints += [*(start[:, bone] for bone in bones), tip]
    return torch.stack(joints, 1), moves


def skin(shape: HandShape, moves: torch.Tensor) -> torch.Tensor:
    """(B, V, 3) linear blend skinning, then the forearm drawn out of the open wrist."""
    model = hand_model()
    blend = torch.einsum("vj,bjkl->bvkl", model.weights, moves)  # (B, V, 3, 4)
    hand = (blend[..., :3] @ shape.vertices[..., None])[..., 0] + blend[..., 3]
    loop = hand[:, model.loop]
    centre = loop.mean(1, keepdim=True)
    arm = moves[:, 0, :, 1]
    along = ((loop - centre) * arm[:, None]).sum(-1, keepdim=True) * arm[:, None]
    rings = []
    for k in range(1, FOREARM_RINGS + 1):
        part = k / FOREARM_RINGS
        # The cut is not square to the arm: the first rings even it out, then the arm widens to the elbow.
        ring = centre + (loop - centre - min(1.0, 3 * part) * along) * (1 + 0.55 * part**1.2)
        rings.append(ring - arm[:, None] * FOREARM_LENGTH * part)
    return torch.cat([hand, *rings], 1)


# Trackers mark the wrist at its crease, a little further up than the bone's end, the thumb's joints a little off their
# centres, and the tips on the pulp, well before a finger's end: these parts of the way to another joint, measured once,
# as the middle difference to MediaPipe on B, L and W.
_MARKED = {0: (9, 0.14), 1: (2, 0.20), 3: (2, 0.15), 4: (3, 0.40)}
_MARKED |= {8: (7, 0.30), 12: (11, 0.30), 16: (15, 0.30), 20: (19, 0.28)}


def landmarks(joints: torch.Tensor) -> torch.Tensor:
    """(B, 21, 3) joints of the bones -> the points that a hand tracker marks."""
    out = joints.clone()
    for joint, (other, part) in _MARKED.items():
        out[:, joint] = torch.lerp(joints[:, joint], joints[:, other], part)
    return out


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


def penetration(shape: HandShape, moves: torch.Tensor) -> torch.Tensor:
    """(B, pairs) metres by which the capsules of two fingers overlap, 0 where they do not."""
    bones = moves[:, _BONES]  # (B, 15, 3, 4)
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
    offsets = _offsets(pose_hand(_middling_hand().take([0] * len(poses)), poses)[0])
    weights = torch.exp(-offsets.norm(dim=-1) / REACH)
    return dict(zip(handshapes, zip(offsets, weights, strict=True), strict=True))


def settle(
    shape: HandShape,
    poses: torch.Tensor,  # (B, angles) degrees
    names: Sequence[str] | None = None,  # B handshapes whose thumb keeps its place on the fingers
    steps: int = 12,  # the largest number of steps, of at most 1.5 degrees each
) -> torch.Tensor:
    """Change the fingers' angles a little so that nothing overlaps and, for a letter, the thumb lies where it should.

    The poses stay within the limits of human joints; the arm's angles are not changed.
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
        joints, moves = pose_hand(shape, torch.cat([hand + delta, arm], 1))
        deep = (penetration(shape, moves) - 0.0003).clamp_min(0) * 1000  # millimetres
        loss = 2 * deep.square().sum() + (0.02 * stiff * delta.square()).sum()
        if names is not None:
            # The last steps only part what still overlaps.
            pull = 0.3 if step < 0.7 * steps else 0.03
            off = (_offsets(joints) - offsets) * 1000
            loss = loss + pull * (weights * off.square().sum(-1)).sum()
        elif step == 0 and deep.max() == 0:
            break  # only before the first step: a hand's result must not depend on the others in the batch
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return torch.cat([torch.minimum(torch.maximum(hand + delta.detach(), low), high), arm], 1)
