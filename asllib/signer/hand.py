"""The hand: a parametric mesh posed by anatomical joint angles.

Frame of the hand: origin at the wrist, x to the thumb's side, y along the palm to the middle knuckle, z out of
the palm; metres. A right hand that shows its palm therefore has its thumb at +x and its fingers up.
"""

from __future__ import annotations

import gzip
import itertools
import os
import sys
import tempfile
import threading
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import warp as wp
from torch.nn.functional import normalize

from asllib.paths import cache_dir, replacing
from asllib.signer.alphabet import FINGERS, INDEX

FOREARM_RINGS = 7  # of vertices, from the wrist to the elbow
FOREARM_LENGTH = 0.24
_starting = threading.Lock()


@dataclass(frozen=True)
class HandModel:
    """What does not change from signer to signer: topology, skin weights, named vertices."""

    anny: Any
    weights: torch.Tensor  # (V, 21) skin weight of each bone on each vertex of the hand
    faces: torch.Tensor  # (F, 3) triangles, the hand's first, then those of the forearm
    loop: torch.Tensor  # (L,) vertices around the open wrist, in order
    tips: torch.Tensor  # (5,) the vertex at each finger's end, thumb first


@dataclass(frozen=True)
class HandShape:
    """Hands of B signers at rest, in the frame of the hand; each phalanx is also a capsule."""

    vertices: torch.Tensor  # (B, V, 3)
    heads: torch.Tensor  # (B, 21, 3) where bones begin
    rest: torch.Tensor  # (B, 21, 3, 3) frames of the bones: columns flexion axis, bone direction, palm side
    tips: torch.Tensor  # (B, 5, 3)
    cores: torch.Tensor  # (B, 15, 2, 3) ends of the capsules' axes: thumb first, each finger from its base
    radii: torch.Tensor  # (B, 15)

    def take(self, rows: list[int]) -> HandShape:
        """The shapes at ``rows``, repeated as asked."""
        return HandShape(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class PosedHand:
    """B posed hands in the hand's frame."""

    vertices: torch.Tensor | None  # (B, V, 3), those of the forearm last
    joints: torch.Tensor  # (B, 21, 3) in MediaPipe's order: wrist, then four a finger from its base, thumb first
    bones: torch.Tensor  # (B, 21, 3, 4) from rest to pose


def _start_warp(folder: Path) -> None:
    """Start warp, with its kernels in the folder, and without its C++ warning where there is no graphics card."""
    os.environ.setdefault("WARP_CACHE_PATH", str(folder / "warp"))
    wp.config.log_level = wp.LOG_ERROR
    with _starting, tempfile.TemporaryFile() as held:
        try:
            stderr = os.dup(2)
        except OSError:  # there is none, so nobody would read it
            return
        os.dup2(held.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not line.startswith(b"Warp CUDA warning")))


def _anny_model() -> Any:
    """The package's right hand: from our cache, 4 MB, or built from MakeHuman's text files."""
    folder = cache_dir() / "signer"
    _start_warp(folder)
    os.environ.setdefault("ANNY_CACHE_DIR", str(folder / "anny"))
    import anny
    import anny.models.full_model as full_model
    import anny.paths
    from anny.models.model_data import ModelData

    path = folder / "anny-hand-right.safetensors"
    if path.exists():
        data = ModelData.load_safetensors(path)
        return anny.Anny.from_model_data(data, bone_orientation="cached", root_identity_orientation=False)
    print("Preparing the hand model, once, about 10 s ...", file=sys.stderr, flush=True)
    reader, cache = full_model.load_blend_shape, anny.paths._ANNY_CACHE_DIR[0]
    try:
        full_model.load_blend_shape = _load_targets
        anny.paths._ANNY_CACHE_DIR[0] = None  # its own cache would keep 560 MB
        model = anny.Anny(rig="anny-hand.R", topology="hand.R", pose_parameterization="local-bone")
    finally:
        full_model.load_blend_shape, anny.paths._ANNY_CACHE_DIR[0] = reader, cache
    with replacing(path) as partial:
        model.to_model_data().save_safetensors(partial)
    return model


def _load_targets(filename, vertices_count, world_transformation, dtype):
    """Read one MakeHuman target in one call; the package's own reader goes line by line and takes 35 s."""
    with gzip.open(filename, "rt") as archive:
        rows = np.fromstring(archive.read(), sep=" ").reshape(-1, 4)
    offsets = torch.zeros((vertices_count, 3), dtype=dtype)
    offsets[torch.as_tensor(rows[:, 0].astype(np.int64))] = torch.as_tensor(rows[:, 1:], dtype=dtype)
    return world_transformation.apply(offsets)


@lru_cache(maxsize=1)
def hand_model() -> HandModel:
    """The right hand's model: about 10 s and one message the first time, then read from the cache.

    Source: the package anny (Apache-2.0) on MakeHuman's CC0 data.
    """
    model = _anny_model()
    weights = torch.zeros(len(model.vertex_bone_weights), 21, dtype=torch.float32)
    weights.scatter_add_(1, model.vertex_bone_indices.long(), model.vertex_bone_weights.float())
    faces = model.get_triangular_faces().numpy()
    loop = _open_loop(faces)
    shape = _rest(model, weights, torch.full((1, 6), 0.5, dtype=torch.float64), None)
    weights = _knuckle_weights(weights, shape)
    return HandModel(
        anny=model,
        weights=weights,
        faces=torch.as_tensor(np.concatenate([faces, _tube_faces(loop, len(weights))])),
        loop=torch.as_tensor(loop),
        tips=_tip_vertices(shape.vertices[0], shape.heads[0], weights),
    )


def _open_loop(faces: np.ndarray) -> np.ndarray:
    """Vertices around the mesh's open edge, in the triangles' order."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    known = {tuple(edge) for edge in edges}
    follow = {a: b for a, b in known if (b, a) not in known}
    loop = [next(iter(follow))]
    while follow[loop[-1]] != loop[0]:
        loop.append(follow[loop[-1]])
    return np.array(loop)


def _tube_faces(loop: np.ndarray, first: int) -> np.ndarray:
    """Triangles that continue an open loop through ``FOREARM_RINGS`` rings of new vertices."""
    rings = [loop] + [first + k * len(loop) + np.arange(len(loop)) for k in range(FOREARM_RINGS)]
    out = []
    for near, far in itertools.pairwise(rings):
        a, b, c, d = near, np.roll(near, -1), far, np.roll(far, -1)
        out += [np.stack([b, a, c], 1), np.stack([b, c, d], 1)]
    return np.concatenate(out)


# Bone numbers in anny's right hand: 0 forearm, 1 wrist, 2-4 thumb, then metacarpal and three phalanges a finger.
THUMB = (2, 3, 4)
PHALANGES = {name: (6 + 4 * i, 7 + 4 * i, 8 + 4 * i) for i, name in enumerate(FINGERS)}
DIGITS = (THUMB, *PHALANGES.values())

# anny's fingers turn where they leave the palm, and its thumb begins above the wrist's bones: its first phalanges
# come out 30 % too short and the thumb's metacarpal too. Knuckles lie nearer to the wrist, by these parts of the way
# to the metacarpal's other end, and fingers are a little shorter: then bones have the proportions that A. Buryanov and
# V. Kotiuk measured ("Proportions of Hand Segments", 2010). The palm is widened to a human breadth.
KNUCKLE = {"index": 0.19, "middle": 0.165, "ring": 0.175, "little": 0.20}
THUMB_BASE, THUMB_KNUCKLE, BREADTH, FINGER = 0.30, 0.10, 1.10, 0.95


def _move_joints(heads: torch.Tensor) -> torch.Tensor:
    """(B, 21, 3) anny's bone heads in the frame of the hand -> where human joints lie."""
    out = heads.clone()
    for name, part in KNUCKLE.items():
        bone = PHALANGES[name][0]
        out[:, bone] = torch.lerp(heads[:, bone], heads[:, bone - 1], part)
    base, knuckle, last = THUMB
    out[:, base] = torch.lerp(heads[:, base], heads[:, 1], THUMB_BASE)
    out[:, knuckle] = torch.lerp(heads[:, knuckle], heads[:, last], THUMB_KNUCKLE)
    return out


def _shorten(points: torch.Tensor, heads: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw skin (B, V, 3) and bone heads (B, 21, 3) of the fingers nearer to their knuckles."""
    points, heads = points.clone(), heads.clone()
    for bones in PHALANGES.values():
        knuckle = heads[:, bones[:1]]
        points += (FINGER - 1) * weights[:, bones].sum(1)[:, None] * (points - knuckle)
        heads[:, bones[1:]] = knuckle + FINGER * (heads[:, bones[1:]] - knuckle)
    return points, heads


def _knuckle_weights(weights: torch.Tensor, shape: HandShape) -> torch.Tensor:
    """Skin weights for the moved knuckles: the back follows the finger from there, the palm's skin from the crease."""
    out = weights.clone()
    for bone, _, _ in PHALANGES.values():
        local = (shape.vertices[0] - shape.heads[0, bone]) @ shape.rest[0, bone]  # side, along the finger, palm
        length = (shape.heads[0, bone + 1] - shape.heads[0, bone]).norm()
        crease = 0.16 * (local[:, 2] / (0.35 * length)).clamp(0, 1) * length
        part = ((local[:, 1] - crease) / (0.5 * length) + 0.5).clamp(0, 1)
        part = part * part * (3 - 2 * part)
        both = weights[:, bone - 1] + weights[:, bone]
        out[:, bone] = torch.maximum(weights[:, bone], part * both)
        out[:, bone - 1] = both - out[:, bone]
    return out


def _tip_vertices(vertices: torch.Tensor, heads: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(5,) the vertex furthest along each finger."""
    tips = []
    for _, middle, last in DIGITS:
        along = heads[last] - heads[middle]
        reach = ((vertices - heads[last]) @ along) / along.norm()
        tips.append(torch.where(weights[:, last] > 0.5, reach, -1.0).argmax())
    return torch.stack(tips)


def _rest(model: Any, weights: torch.Tensor, phenotypes: torch.Tensor, tips: torch.Tensor | None) -> HandShape:
    """Hands at rest in the frame of the hand; ``tips`` None ends the fingers at the last bone's head."""
    empty = torch.zeros(len(phenotypes), 0, dtype=torch.float64)
    with torch.no_grad():
        rest = model.get_rest_model(model._get_phenotype_blendshape_coefficients(phenotypes, empty, empty))
    points, heads = rest["rest_vertices"].float(), rest["rest_bone_heads"].float()
    up = normalize(heads[:, 10] - heads[:, 1], dim=-1)
    across = heads[:, 6] - heads[:, 18]
    right = normalize(across - (across * up).sum(-1, keepdim=True) * up, dim=-1)
    palm = torch.stack([right, up, torch.linalg.cross(right, up)], -1)
    origin = heads[:, 1:2]
    points, heads = (points - origin) @ palm, (heads - origin) @ palm
    frames = palm.transpose(1, 2)[:, None] @ rest["rest_bone_poses"][:, :, :3, :3].float()
    wide = torch.tensor([BREADTH, 1.0, 1.0])
    points, heads = _shorten(points * wide, _move_joints(heads * wide), weights)
    ends = heads[:, [bones[2] for bones in DIGITS]] if tips is None else points[:, tips]
    frames = _along_bones(heads, frames, ends, inside=tips is not None)
    cores = radii = points[:, :0]
    if tips is not None:
        cores, radii = _capsules(points, heads, frames, ends, weights)
    return HandShape(points, heads, frames, ends, cores, radii)


def _along_bones(heads: torch.Tensor, frames: torch.Tensor, tips: torch.Tensor, inside: bool) -> torch.Tensor:
    """(B, 21, 3, 3) the phalanges' frames turned so that each bone points at the next; ``inside`` from skin at tips."""
    out = torch.eye(3).expand_as(frames).clone()
    for k, bones in enumerate(DIGITS):
        end = tips[:, k]
        if inside:
            # The bone ends below the tip of the skin, in the finger's plane: the last bone does not lean sideways.
            side = frames[:, bones[2], :, 0]
            end = end - ((end - heads[:, bones[2]]) * side).sum(-1, keepdim=True) * side
        for bone, target in zip(bones, (heads[:, bones[1]], heads[:, bones[2]], end), strict=True):
            along = normalize(target - heads[:, bone] + 1e-9, dim=-1)
            flexion = frames[:, bone, :, 0]
            flexion = normalize(flexion - (flexion * along).sum(-1, keepdim=True) * along, dim=-1)
            out[:, bone] = torch.stack([flexion, along, torch.linalg.cross(flexion, along)], -1)
    return out


def _capsules(
    points: torch.Tensor, heads: torch.Tensor, frames: torch.Tensor, tips: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Axes (B, 15, 2, 3) and radii (B, 15) of the phalanges, from the skin around them.

    The bones run below the back of a finger, so the axes are those of the skin.
    """
    cores, radii = [], []
    for finger, bones in enumerate(DIGITS):
        for k, bone in enumerate(bones):
            start, frame = heads[:, bone], frames[:, bone]
            end = heads[:, bones[k + 1]] if k < 2 else tips[:, finger]
            length = (end - start).norm(dim=-1)
            local = (points - start[:, None]) @ frame  # side, along, palm
            part = (local[..., 1] / length[:, None]) * (weights[:, bone] > 0.5)
            # The first phalanx begins inside the palm, and the thumb's first lies in its ball.
            low, high = (0.5, 0.95) if k == 0 else (0.2, 0.8)
            ring = ((part > low) & (part < high))[..., None]
            around = torch.where(ring, local[..., [0, 2]], torch.nan)
            centre = around.nanmean(1)
            radius = (around - centre[:, None]).norm(dim=-1).nanmedian(1).values
            if finger == 0 and k == 0:
                centre, radius = 0.5 * centre, 0.9 * radius
            reach = length if k < 2 else length - radius
            aside = centre[:, :1] * frame[..., 0] + centre[:, 1:] * frame[..., 2]
            cores.append(torch.stack([start + aside, start + aside + reach[:, None] * frame[..., 1]], 1))
            radii.append(1.10 * radius)  # measured on the mesh: flesh is thinner where fingers meet
    return torch.stack(cores, 1), torch.stack(radii, 1)


def hand_shape(phenotypes: np.ndarray) -> HandShape:
    """Hands at rest of B signers.

    Parameters
    ----------
    phenotypes
        (B, 6) gender, age, muscle, weight, height, proportions, each in 0..1 (age 0.33 is a child, 0.67 an adult).
    """
    model = hand_model()
    return _rest(model.anny, model.weights, torch.as_tensor(phenotypes, dtype=torch.float64), model.tips)


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


def pose_hand(shape: HandShape, pose: torch.Tensor, skin: bool = True) -> PosedHand:
    """Pose B hands by angles (B, angles) in degrees; can be differentiated.

    ``skin`` False leaves ``vertices`` out, for code that needs the joints only.
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
    return PosedHand(_skin(shape, moves, bend) if skin else None, torch.stack(joints, 1), moves)


def _skin(shape: HandShape, bones: torch.Tensor, bend: torch.Tensor) -> torch.Tensor:
    """Linear blend skinning, then the forearm drawn out of the open wrist."""
    model = hand_model()
    blend = torch.einsum("vj,bjkl->bvkl", model.weights, bones)  # (B, V, 3, 4)
    hand = (blend[..., :3] @ shape.vertices[..., None])[..., 0] + blend[..., 3]
    loop = hand[:, model.loop]
    centre = loop.mean(1, keepdim=True)
    arm = bend[:, :, 1]
    along = ((loop - centre) * arm[:, None]).sum(-1, keepdim=True) * arm[:, None]
    rings = []
    for k in range(1, FOREARM_RINGS + 1):
        part = k / FOREARM_RINGS
        # The cut is not square to the arm: the first rings even it out, then the arm widens to the elbow.
        ring = centre + (loop - centre - min(1.0, 3 * part) * along) * (1 + 0.55 * part**1.2)
        rings.append(ring - arm[:, None] * FOREARM_LENGTH * part)
    return torch.cat([hand, *rings], 1)


def landmarks(joints: torch.Tensor) -> torch.Tensor:
    """(B, 21, 3) joints of the bones -> the points that a hand tracker marks.

    Trackers mark the wrist at its crease, a little further up than the bone's end, the thumb's joints a little off
    their centres, and the tips on the pulp, well before a finger's end. The parts were measured once, as the middle
    difference to MediaPipe on B, L and W.
    """
    out = joints.clone()
    tips, below = [4, 8, 12, 16, 20], [3, 7, 11, 15, 19]
    out[:, 0] = torch.lerp(joints[:, 0], joints[:, 9], 0.14)
    out[:, 1] = torch.lerp(joints[:, 1], joints[:, 2], 0.20)
    out[:, 3] = torch.lerp(joints[:, 3], joints[:, 2], 0.15)
    part = torch.tensor([0.40, 0.30, 0.30, 0.30, 0.28])[:, None]
    out[:, tips] = torch.lerp(joints[:, tips], joints[:, below], part)
    return out
