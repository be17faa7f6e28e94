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
from asllib.signer.alphabet import FINGERS

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
    points, heads, frames = _human_rest(model, weights, np.full((1, 6), 0.5))
    weights = _knuckle_weights(weights, points[0], heads[0], _along_bones(heads, frames, heads[:, LAST])[0])
    return HandModel(
        anny=model,
        weights=weights,
        faces=torch.as_tensor(np.concatenate([faces, _tube_faces(loop, len(weights))])),
        loop=torch.as_tensor(loop),
        tips=_tip_vertices(points[0], heads[0], weights),
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
LAST = [bones[2] for bones in DIGITS]

# anny's fingers turn where they leave the palm, and its thumb begins above the wrist's bones: its first phalanges
# come out 30 % too short and the thumb's metacarpal too. Knuckles lie nearer to the wrist, by these parts of the way
# to the metacarpal's other end, and fingers are a little shorter: then bones have the proportions that A. Buryanov and
# V. Kotiuk measured ("Proportions of Hand Segments", 2010). The palm is widened to a human breadth.
KNUCKLE = {"index": 0.19, "middle": 0.165, "ring": 0.175, "little": 0.20}
THUMB_BASE, THUMB_KNUCKLE, BREADTH, FINGER = 0.30, 0.10, 1.10, 0.95


def _human_rest(
    model: Any, weights: torch.Tensor, phenotypes: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
    wide = torch.tensor([BREADTH, 1.0, 1.0])
    points, bones = ((places - bones[:, 1:2]) @ palm * wide for places in (points, bones))
    heads = bones.clone()
    base, knuckle, last = THUMB
    heads[:, base] = torch.lerp(bones[:, base], bones[:, 1], THUMB_BASE)
    heads[:, knuckle] = torch.lerp(bones[:, knuckle], bones[:, last], THUMB_KNUCKLE)
    for name, (first, *others) in PHALANGES.items():
        start = heads[:, first] = torch.lerp(bones[:, first], bones[:, first - 1], KNUCKLE[name])
        heads[:, others] = start[:, None] + FINGER * (heads[:, others] - start[:, None])
        share = weights[:, [first, *others]].sum(1)[:, None]
        points = points + (FINGER - 1) * share * (points - start[:, None])
    return points, heads, palm.transpose(1, 2)[:, None] @ rest["rest_bone_poses"][:, :, :3, :3].float()


def _knuckle_weights(
    weights: torch.Tensor, points: torch.Tensor, heads: torch.Tensor, frames: torch.Tensor
) -> torch.Tensor:
    """Skin weights for the moved knuckles: the back follows the finger from there, the palm's skin from the crease."""
    out = weights.clone()
    for bone, following, _ in PHALANGES.values():
        local = (points - heads[bone]) @ frames[bone]  # side, along the finger, palm
        length = (heads[following] - heads[bone]).norm()
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


def _along_bones(heads: torch.Tensor, frames: torch.Tensor, tips: torch.Tensor) -> torch.Tensor:
    """(B, 21, 3, 3) the phalanges' frames turned so that each bone points at the next, the last below the tip."""
    out = torch.eye(3).expand_as(frames).clone()
    for k, (first, middle, last) in enumerate(DIGITS):
        # In the finger's plane, so that the last bone does not lean sideways.
        side = frames[:, last, :, 0]
        end = tips[:, k] - ((tips[:, k] - heads[:, last]) * side).sum(-1, keepdim=True) * side
        for bone, target in ((first, heads[:, middle]), (middle, heads[:, last]), (last, end)):
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

    ``phenotypes`` (B, 6) are gender, age, muscle, weight, height, proportions, each in 0..1; age 0.33 is a child, 0.67
    an adult.
    """
    model = hand_model()
    points, heads, frames = _human_rest(model.anny, model.weights, phenotypes)
    tips = points[:, model.tips]
    frames = _along_bones(heads, frames, tips)
    return HandShape(points, heads, frames, tips, *_capsules(points, heads, frames, tips, model.weights))
