"""The hand: a parametric mesh at rest, posed by joint angles, and settled so that no finger passes through another.

Frame of the hand: origin at the wrist, x to the thumb's side, y along the palm to the middle knuckle, z out of
the palm; metres. A right hand that shows its palm therefore has its thumb at +x and its fingers up.
"""

import gzip
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from asllib.lazy import extra
from asllib.paths import cache_dir, kept
from asllib.quiet import without_lines
from asllib.signer.alphabet import HIGHEST, INDEX, LOWEST, POSES

with extra("signer"):
    import warp as wp

FOREARM_RINGS = 7  # of vertices, from the wrist to the elbow
RING = 0.24 / FOREARM_RINGS  # metres from one to the next
MIDDLING = (0.5, 0.5, 0.5, 0.5, 0.5, 0.5)  # the phenotype of a middling person


@dataclass(frozen=True)
class HandModel:
    """What does not change from signer to signer: topology, skin weights, named vertices."""

    anny: Any
    weights: Tensor  # (V, 21) skin weight of each bone on each vertex of the hand
    faces: Tensor  # (F, 3) triangles, the hand's first, then those of the forearm
    loop: Tensor  # (L,) vertices around the open wrist, in order
    tips: Tensor  # (5,) the vertex at each finger's end, thumb first


@dataclass(frozen=True)
class HandShape:
    """Hands of B signers at rest, in the frame of the hand; each phalanx is also a capsule."""

    vertices: Tensor  # (B, V, 3)
    heads: Tensor  # (B, 21, 3) where bones begin
    rest: Tensor  # (B, 21, 3, 3) frames of the bones: columns flexion axis, bone direction, palm side
    tips: Tensor  # (B, 5, 3)
    cores: Tensor  # (B, 15, 2, 3) ends of the capsules' axes: thumb first, each finger from its base
    radii: Tensor  # (B, 15)


def _anny_model() -> Any:
    """The package's right hand: from our cache, 4 MB, or built from MakeHuman's text files."""
    folder = cache_dir() / "signer"
    os.environ.setdefault("WARP_CACHE_PATH", str(folder / "warp"))  # of its kernels
    wp.config.log_level = wp.LOG_ERROR
    with without_lines(re.compile(b"Warp CUDA warning")):  # of C++, where there is no graphics card
        wp.init()
    with extra("signer"):
        import anny
        import anny.models.full_model as full_model
        import anny.paths
        from anny.models.model_data import ModelData

    def build(path: Path) -> None:
        print("Preparing the hand model, once, about 10 s ...", file=sys.stderr, flush=True)
        reader, cache = full_model.load_blend_shape, anny.paths._ANNY_CACHE_DIR[0]
        try:
            full_model.load_blend_shape = _load_targets
            anny.paths._ANNY_CACHE_DIR[0] = None  # its own cache would keep 560 MB
            model = anny.Anny(rig="anny-hand.R", topology="hand.R", pose_parameterization="local-bone")
        finally:
            full_model.load_blend_shape, anny.paths._ANNY_CACHE_DIR[0] = reader, cache
        model.to_model_data().save_safetensors(path)

    data = kept(folder / "anny-hand-right.safetensors", build, ModelData.load_safetensors)
    return anny.Anny.from_model_data(data, bone_orientation="cached", root_identity_orientation=False)


def _load_targets(filename, vertices_count, world_transformation, dtype):
    """Read one MakeHuman target in one call; the package's own reader goes line by line and takes 35 s."""
    with gzip.open(filename, "rt") as archive:
        rows = np.fromstring(archive.read(), sep=" ").reshape(-1, 4)
    offsets = torch.zeros((vertices_count, 3), dtype=dtype)
    offsets[torch.as_tensor(rows[:, 0].astype(np.int64))] = torch.as_tensor(rows[:, 1:], dtype=dtype)
    return world_transformation.apply(offsets)


@lru_cache(maxsize=1)
def hand_model() -> HandModel:
    """The right hand's model, made once in about 10 s of the package anny (Apache-2.0) on MakeHuman's CC0 data."""
    model = _anny_model()
    weights = torch.zeros(len(model.vertex_bone_weights), 21, dtype=torch.float32)
    weights.scatter_add_(1, model.vertex_bone_indices.long(), model.vertex_bone_weights.float())
    faces = model.get_triangular_faces().numpy()
    loop, tube = _forearm(faces, len(weights))
    points, heads, frames = _human_rest(model, weights, [MIDDLING])
    weights = _knuckle_weights(weights, points[0], heads[0], _along_bones(heads, frames, heads[:, LAST])[0])
    # A fingertip is the vertex furthest along the finger's last bone.
    along = normalize(heads[0, LAST] - heads[0, MIDDLE], dim=-1)  # (5, 3)
    reach = ((points[0, :, None] - heads[0, LAST]) * along).sum(-1)  # (V, 5)
    return HandModel(
        anny=model,
        weights=weights,
        faces=torch.as_tensor(np.concatenate([faces, tube])),
        loop=torch.as_tensor(loop),
        tips=torch.where(weights[:, LAST] > 0.5, reach, -1.0).argmax(0),
    )


def _forearm(faces: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices around the mesh's open edge, in order, and triangles from there through rings of new vertices."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    known = {tuple(edge) for edge in edges}
    follow = {a: b for a, b in known if (b, a) not in known}
    loop = [next(iter(follow))]
    while follow[loop[-1]] != loop[0]:
        loop.append(follow[loop[-1]])
    rings = np.concatenate([loop, first + np.arange(FOREARM_RINGS * len(loop))]).reshape(-1, len(loop))
    a, c = rings[:-1], rings[1:]
    b, d = np.roll(a, -1, 1), np.roll(c, -1, 1)
    tube = np.stack([b, a, c, b, c, d], -1).reshape(FOREARM_RINGS, -1, 2, 3).swapaxes(1, 2).reshape(-1, 3)
    return np.array(loop), tube


# Bone numbers in anny's right hand: 0 forearm, 1 wrist, 2-4 thumb, then metacarpal and three phalanges a finger.
DIGITS = [[2, 3, 4], [6, 7, 8], [10, 11, 12], [14, 15, 16], [18, 19, 20]]
FIRST, MIDDLE, LAST = ([bones[k] for bones in DIGITS] for k in range(3))
PHALANGES = [bone for bones in DIGITS for bone in bones]

# anny's fingers turn where they leave the palm, and its thumb begins above the wrist's bones: its first phalanges
# come out 30 % too short and the thumb's metacarpal too. Knuckles lie nearer to the wrist, by these parts of the way
# to the metacarpal's other end, and fingers are a little shorter: then bones have the proportions that A. Buryanov and
# V. Kotiuk measured ("Proportions of Hand Segments", 2010). The palm is widened to a human breadth.
KNUCKLES = (0.19, 0.165, 0.175, 0.20)  # index to little
THUMB_BASE, THUMB_KNUCKLE, BREADTH, FINGER = 0.30, 0.10, 1.10, 0.95


def _human_rest(model: Any, weights: Tensor, phenotypes: Sequence[Sequence[float]]) -> tuple[Tensor, Tensor, Tensor]:
    """Skin (B, V, 3), bone heads (B, 21, 3) and anny's bone frames (B, 21, 3, 3) at rest, in the frame of the hand."""
    values = torch.as_tensor(phenotypes, dtype=torch.float64)
    empty = torch.zeros(len(values), 0, dtype=torch.float64)
    with torch.no_grad():
        rest = model.get_rest_model(model._get_phenotype_blendshape_coefficients(values, empty, empty))
    points, bones = rest["rest_vertices"].float(), rest["rest_bone_heads"].float()
    up = normalize(bones[:, 10] - bones[:, 1], dim=-1)
    across = bones[:, 6] - bones[:, 18]
    right = normalize(across - (across * up).sum(-1, keepdim=True) * up, dim=-1)
    palm = torch.stack([right, up, torch.linalg.cross(right, up)], -1)
    wider, wrist = torch.tensor([BREADTH, 1.0, 1.0]), bones[:, 1:2]
    points, bones = (points - wrist) @ palm * wider, (bones - wrist) @ palm * wider
    heads = bones.clone()
    for bone, other, part in ((2, 1, THUMB_BASE), (3, 4, THUMB_KNUCKLE)):
        heads[:, bone] = torch.lerp(bones[:, bone], bones[:, other], part)
    for part, (first, *others) in zip(KNUCKLES, DIGITS[1:], strict=True):
        start = heads[:, first] = torch.lerp(bones[:, first], bones[:, first - 1], part)
        heads[:, others] = start[:, None] + FINGER * (heads[:, others] - start[:, None])
        share = weights[:, [first, *others]].sum(1)[:, None]
        points = points + (FINGER - 1) * share * (points - start[:, None])
    return points, heads, palm.transpose(1, 2)[:, None] @ rest["rest_bone_poses"][:, :, :3, :3].float()


def _knuckle_weights(weights: Tensor, points: Tensor, heads: Tensor, frames: Tensor) -> Tensor:
    """Skin weights for the moved knuckles: the back follows the finger from there, the palm's skin from the crease."""
    out = weights.clone()
    for bone, following, _ in DIGITS[1:]:
        local = (points - heads[bone]) @ frames[bone]  # side, along the finger, palm
        length = (heads[following] - heads[bone]).norm()
        crease = 0.16 * (local[:, 2] / (0.35 * length)).clamp(0, 1) * length
        part = ((local[:, 1] - crease) / (0.5 * length) + 0.5).clamp(0, 1)
        part = part * part * (3 - 2 * part)
        both = weights[:, bone - 1] + weights[:, bone]
        out[:, bone] = torch.maximum(weights[:, bone], part * both)
        out[:, bone - 1] = both - out[:, bone]
    return out


def _along_bones(heads: Tensor, frames: Tensor, tips: Tensor) -> Tensor:
    """(B, 21, 3, 3) the phalanges' frames turned so that each bone points at the next, the last below the tip."""
    starts, frame = heads[:, DIGITS], frames[:, DIGITS]  # (B, 5, 3, 3), (B, 5, 3, 3, 3)
    # In the finger's plane, so that the last bone does not lean sideways.
    side = frames[:, LAST, :, 0]
    ends = tips - ((tips - heads[:, LAST]) * side).sum(-1, keepdim=True) * side
    along = normalize(torch.cat([starts[:, :, 1:], ends[:, :, None]], 2) - starts + 1e-9, dim=-1)
    flexion = frame[..., 0]
    flexion = normalize(flexion - (flexion * along).sum(-1, keepdim=True) * along, dim=-1)
    out = torch.eye(3).expand_as(frames).clone()
    out[:, DIGITS] = torch.stack([flexion, along, torch.linalg.cross(flexion, along)], -1)
    return out


def _capsules(points: Tensor, heads: Tensor, frames: Tensor, tips: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Axes (B, 15, 2, 3) and radii (B, 15) of the phalanges, by the skin: bones run below the back of a finger."""
    starts, frame = heads[:, PHALANGES], frames[:, PHALANGES]  # (B, 15, 3), (B, 15, 3, 3)
    ends = torch.cat([heads[:, DIGITS][:, :, 1:], tips[:, :, None]], 2).flatten(1, 2)
    length = (ends - starts).norm(dim=-1)
    local = (points[:, None] - starts[:, :, None]) @ frame  # (B, 15, V, 3): side, along, palm
    part = (local[..., 1] / length[..., None]) * (weights[:, PHALANGES].T > 0.5)
    # The first phalanx begins inside the palm, and the thumb's first lies in its ball.
    low, high = torch.tensor(5 * [(0.5, 0.95), (0.2, 0.8), (0.2, 0.8)]).T[..., None]  # (15, 1)
    around = torch.where(((part > low) & (part < high))[..., None], local[..., [0, 2]], torch.nan)
    centre = around.nanmean(2)
    radius = (around - centre[:, :, None]).norm(dim=-1).nanmedian(2).values
    centre[:, 0], radius[:, 0] = 0.5 * centre[:, 0], 0.9 * radius[:, 0]
    reach = length - torch.tensor(5 * [0, 0, 1]) * radius
    begin = starts + centre[..., :1] * frame[..., 0] + centre[..., 1:] * frame[..., 2]
    cores = torch.stack([begin, begin + reach[..., None] * frame[..., 1]], 2)
    return cores, 1.10 * radius  # measured on the mesh: flesh is thinner where fingers meet


def hand_shape(phenotypes: Iterable[Sequence[float]]) -> HandShape:
    """Hands at rest of B signers by their phenotypes, see ``Signer``; who comes several times is worked out once."""
    everybody = [tuple(phenotype) for phenotype in phenotypes]
    people, model = list(dict.fromkeys(everybody)), hand_model()
    points, heads, frames = _human_rest(model.anny, model.weights, people)
    tips = points[:, model.tips]
    frames = _along_bones(heads, frames, tips)
    parts = (points, heads, frames, tips, *_capsules(points, heads, frames, tips, model.weights))
    return HandShape(*(part[[people.index(one) for one in everybody]] for part in parts))


def _rotation(axis: int, degrees: Tensor) -> Tensor:
    """(B, 3, 3) rotations about x, y or z (0, 1, 2), right handed; can be differentiated."""
    angle = torch.deg2rad(degrees)
    c, s, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    about_z = torch.stack((c, -s, zero, s, c, zero, zero, zero, one), -1).unflatten(-1, (3, 3))
    return about_z.roll((axis + 1, axis + 1), (-2, -1))


def orientation(pose: Tensor) -> Tensor:
    """(B, 3, 3) the hand's frame in the world (x right in the picture, y up, z to the viewer)."""
    spin, lean, turn, pitch = pose[:, 23:].unbind(1)
    return _rotation(1, turn) @ _rotation(2, lean) @ _rotation(0, pitch) @ _rotation(1, spin)


def pose_hand(shape: HandShape, pose: Tensor) -> tuple[Tensor, Tensor]:
    """Pose B hands by angles (B, angles) in degrees; can be differentiated.

    Returns the joints (B, 21, 3) in MediaPipe's order (wrist, then four a finger from its base, thumb first) and the
    moves (B, 21, 3, 4) of the bones from rest, in the frame of the hand.
    """
    mcp, pip, dip, spread = pose[:, :16].unflatten(1, (4, 4)).unbind(2)  # (B, 4) each
    radial, palmar, pronation, thumb_mcp, thumb_ip, wrist_flex, wrist_radial = pose[:, 16:23].unbind(1)
    # The thumb's zero: beside the index, nail to the thumb's side; columns flexion axis, bone, pulp.
    zero = torch.tensor([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    thumb = _rotation(2, -radial) @ _rotation(0, palmar) @ _rotation(1, pronation) @ zero
    # A straight finger points along the palm; its flexion axis keeps the arch of the knuckles.
    side = normalize(shape.rest[:, FIRST[1:], :, 0] * torch.tensor([1.0, 0.0, 1.0]), dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0]).expand_as(side)
    straight = torch.stack([side, up, torch.linalg.cross(side, up)], -1)  # (B, 4, 3, 3)
    first = torch.cat([thumb[:, None], straight @ _rotation(0, mcp) @ _rotation(2, -spread)], 1)  # (B, 5, 3, 3)
    middle = first @ _rotation(0, torch.cat([thumb_mcp[:, None], pip], 1))
    last = middle @ _rotation(0, torch.cat([thumb_ip[:, None], dip], 1))
    turn = torch.stack([first, middle, last], 2) @ shape.rest[:, DIGITS].transpose(-1, -2)  # (B, 5, 3, 3, 3)
    heads = shape.heads[:, DIGITS]
    bones = torch.cat([heads[:, :, 1:], shape.tips[:, :, None]], 2) - heads  # (B, 5, 3, 3)
    steps = torch.cat([heads[:, :, :1], (turn @ bones[..., None])[..., 0]], 2)
    places = steps.cumsum(2)  # (B, 5, 4, 3)
    turns, starts = torch.eye(3).repeat(len(pose), 21, 1, 1), shape.heads.clone()
    turns[:, 0] = _rotation(0, -wrist_flex) @ _rotation(2, wrist_radial)
    turns[:, DIGITS], starts[:, DIGITS] = turn, places[:, :, :3]
    moves = torch.cat([turns, (starts - (turns @ shape.heads[..., None])[..., 0])[..., None]], -1)
    return torch.cat([starts[:, 1:2], places.flatten(1, 2)], 1), moves


def skin(shape: HandShape, moves: Tensor) -> Tensor:
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
        rings.append(ring - arm[:, None] * RING * k)
    return torch.cat([hand, *rings], 1)


# Trackers mark the wrist at its crease, a little further up than the bone's end, the thumb's joints a little off their
# centres, and the tips on the pulp, well before a finger's end: these parts of the way to another joint, measured once,
# as the middle difference to MediaPipe on B, L and W.
_MARKED = {0: (9, 0.14), 1: (2, 0.20), 3: (2, 0.15), 4: (3, 0.40)}
_MARKED |= {8: (7, 0.30), 12: (11, 0.30), 16: (15, 0.30), 20: (19, 0.28)}


def landmarks(joints: Tensor) -> Tensor:
    """(B, 21, 3) joints of the bones -> the points that a hand tracker marks."""
    out = joints.clone()
    for joint, (other, part) in _MARKED.items():
        out[:, joint] = torch.lerp(joints[:, joint], joints[:, other], part)
    return out


# Which capsules of the hand are compared with each other: phalanges of different fingers, and the thumb with all.
_PAIRS = [(a, b) for a in range(15) for b in range(a + 1, 15) if a // 3 != b // 3 and not (a % 3 == 0 and b % 3 == 0)]

# What is pulled back into place: the thumb's tip, its last joint and the middle between the two; and to what on the
# fingers: their joints, and the middles of the last two phalanges. Each is the middle of two joints.
_THUMB = [[4, 3, 3], [4, 3, 4]]
_PLACES = [[*range(5, 21), 6, 7, 10, 11, 14, 15, 18, 19], [*range(5, 21), 7, 8, 11, 12, 15, 16, 19, 20]]
REACH = 0.012  # metres: places further from the thumb than this soon stop to matter


def hold(shape: HandShape, pose: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Skin (B, V, 3) and tracked points (B, 21, 3) of posed hands in the world."""
    with torch.no_grad():
        joints, moves = pose_hand(shape, pose)
        turn = orientation(pose).transpose(1, 2)
        return (skin(shape, moves) @ turn).numpy(), (landmarks(joints) @ turn).numpy()


def segment_distance(p1: Tensor, q1: Tensor, p2: Tensor, q2: Tensor) -> Tensor:
    """(...,) shortest distance of the segments p1-q1 and p2-q2 (C. Ericson, "Real-Time Collision Detection", 5.1.9)."""
    d1, d2, r = q1 - p1, q2 - p2, p1 - p2
    a, e, f = (d1 * d1).sum(-1), (d2 * d2).sum(-1), (d2 * r).sum(-1)
    b, c = (d1 * d2).sum(-1), (d1 * r).sum(-1)
    s = ((b * f - c * e) / (a * e - b * b).clamp_min(1e-12)).clamp(0, 1)
    t = ((b * s + f) / e.clamp_min(1e-12)).clamp(0, 1)
    s = ((b * t - c) / a.clamp_min(1e-12)).clamp(0, 1)
    return (p1 + d1 * s[..., None] - p2 - d2 * t[..., None]).square().sum(-1).add(1e-12).sqrt()


def penetration(shape: HandShape, moves: Tensor) -> Tensor:
    """(B, pairs) metres by which the capsules of two fingers overlap, 0 where they do not."""
    bones = moves[:, PHALANGES]  # (B, 15, 3, 4)
    ends = (bones[..., :3] @ shape.cores.transpose(2, 3) + bones[..., 3:]).transpose(2, 3)  # (B, 15, 2, 3)
    a, b = torch.tensor(_PAIRS).T
    gap = segment_distance(ends[:, a, 0], ends[:, a, 1], ends[:, b, 0], ends[:, b, 1])
    return (shape.radii[:, a] + shape.radii[:, b] - gap).clamp_min(0)


def _offsets(joints: Tensor) -> Tensor:
    """(B, 3, places, 3) metres of the thumb's three points from the places on the fingers."""
    thumb, places = ((joints[:, one] + joints[:, other]) / 2 for one, other in (_THUMB, _PLACES))
    return thumb[:, :, None] - places[:, None]


@lru_cache(maxsize=1)
def _contacts() -> tuple[Tensor, Tensor]:
    """The thumb's offsets (H, 3, places, 3) from places on the fingers in all handshapes, and their weights."""
    poses = torch.as_tensor(np.stack([*POSES.values()]), dtype=torch.float32)
    offsets = _offsets(pose_hand(hand_shape([MIDDLING] * len(poses)), poses)[0])
    return offsets, torch.exp(-offsets.norm(dim=-1) / REACH)


def settle(
    shape: HandShape,
    poses: Tensor,  # (B, angles) degrees
    names: Sequence[str] | None = None,  # B handshapes whose thumb keeps its place on the fingers
    steps: int = 12,  # the largest number of steps, of at most 1.5 degrees each
) -> Tensor:
    """Change the fingers' angles a little, within limits: nothing overlaps, a letter's thumb lies where it should."""
    count = INDEX["wrist_flex"]
    hand, arm = poses[:, :count], poses[:, count:]
    low, high = (torch.as_tensor(limits[:count], dtype=torch.float32) for limits in (LOWEST, HIGHEST))
    # The thumb gives way more easily than the fingers that make the letter.
    stiff = torch.tensor([0.1 if angle.startswith("thumb") else 1.0 for angle in list(INDEX)[:count]])
    if names is not None:
        offsets, weights = (part[[list(POSES).index(name) for name in names]] for part in _contacts())
        size = shape.heads[:, 10].norm(dim=-1) / hand_shape([MIDDLING]).heads[0, 10].norm()
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
    return torch.cat([(hand + delta.detach()).clamp(low, high), arm], 1)
