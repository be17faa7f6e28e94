"""The hand: a parametric mesh posed by anatomical joint angles.

Frame of the hand: origin at the wrist, x to the thumb's side, y along the palm to the middle knuckle, z out of
the palm; metres. A right hand that shows its palm therefore has its thumb at +x and its fingers up.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from asllib.quiet import without_lines
from asllib.signer.alphabet import ANGLES

if TYPE_CHECKING:
    import torch

FINGERS = ("index", "middle", "ring", "little")
PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
INDEX = {name: i for i, name in enumerate(ANGLES)}
FOREARM_RINGS = 7
FOREARM_LENGTH = 0.24
MODEL_FILE = "anny-hand-right.safetensors"


@dataclass(frozen=True)
class HandModel:
    """What does not change from signer to signer: topology, skin weights, named vertices."""

    anny: object
    weights: torch.Tensor  # (V, 21) skin weight of each bone on each vertex of the hand
    faces: torch.Tensor  # (F, 3) triangles, the hand's first, then those of the forearm
    hand_vertices: int  # vertices before the forearm's
    loop: torch.Tensor  # (L,) vertices around the open wrist, in order
    tips: torch.Tensor  # (5,) the vertex at each finger's end, thumb first


@dataclass(frozen=True)
class HandShape:
    """Hands of B signers at rest, in the frame of the hand.

    ``vertices`` (B, V, 3), ``heads`` (B, 21, 3) bone heads, ``rest`` (B, 21, 3, 3) bone frames with columns
    flexion axis, bone direction and palm side, ``tips`` (B, 5, 3). A phalanx is a capsule: ``cores`` (B, 15, 2, 3) are
    the ends of its axis, ``radii`` (B, 15) its radius; thumb first, each finger from its base.
    """

    vertices: torch.Tensor
    heads: torch.Tensor
    rest: torch.Tensor
    tips: torch.Tensor
    cores: torch.Tensor
    radii: torch.Tensor

    def take(self, rows) -> HandShape:
        """The shapes at ``rows``, repeated as asked."""
        return HandShape(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def _load_targets(filename, vertices_count, world_transformation, dtype):
    """Read one MakeHuman target in one call; the package's own reader goes line by line and takes 35 s."""
    import gzip

    import torch

    with gzip.open(filename, "rt") as archive:
        rows = np.fromstring(archive.read(), sep=" ").reshape(-1, 4)
    offsets = torch.zeros((vertices_count, 3), dtype=dtype)
    offsets[torch.as_tensor(rows[:, 0].astype(np.int64))] = torch.as_tensor(rows[:, 1:], dtype=dtype)
    return world_transformation.apply(offsets)


def cache_folder():
    """Folder below the cache of asllib for the hand model and compiled kernels; tells anny and warp about it."""
    from asllib.paths import cache_dir

    folder = cache_dir() / "signer"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WARP_CACHE_PATH", str(folder / "warp"))
    os.environ.setdefault("ANNY_CACHE_DIR", str(folder / "anny"))
    return folder


def start_warp():
    """Import warp, with its cache in ours and without a word about graphics cards that are not there."""
    cache_folder()
    import warp as wp

    wp.config.log_level = wp.LOG_ERROR
    with without_lines(re.compile(rb"^Warp CUDA warning")):
        wp.init()
    return wp


def _anny_model():
    path = cache_folder() / MODEL_FILE
    start_warp()
    import anny
    from anny.models.model_data import ModelData

    if path.exists():
        data = ModelData.load_safetensors(path)
        return anny.Anny.from_model_data(data, bone_orientation="cached", root_identity_orientation=False)

    import anny.models.full_model as full_model
    import anny.paths

    print("Preparing the hand model, once, about 10 s ...", file=sys.stderr, flush=True)
    reader, cache = full_model.load_blend_shape, anny.paths._ANNY_CACHE_DIR[0]
    try:
        full_model.load_blend_shape = _load_targets
        anny.paths._ANNY_CACHE_DIR[0] = None  # its own cache would keep 560 MB
        model = anny.Anny(rig="anny-hand.R", topology="hand.R", pose_parameterization="local-bone")
    finally:
        full_model.load_blend_shape, anny.paths._ANNY_CACHE_DIR[0] = reader, cache
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    model.to_model_data().save_safetensors(partial)
    partial.replace(path)
    return model


@lru_cache(maxsize=1)
def hand_model() -> HandModel:
    """The right hand's model: about 10 s and one message the first time, then read from the cache.

    Source: the package anny (Apache-2.0) on MakeHuman's CC0 data.
    """
    import torch

    model = _anny_model()
    weights = torch.zeros(len(model.vertex_bone_weights), 21, dtype=torch.float32)
    weights.scatter_add_(1, model.vertex_bone_indices.long(), model.vertex_bone_weights.float())
    faces = model.get_triangular_faces().numpy()
    loop = _open_loop(faces)
    count = len(weights)
    middling = torch.full((1, 6), 0.5, dtype=torch.float64)
    shape = _rest(model, weights, middling, None)
    weights = _knuckle_weights(weights, shape)
    return HandModel(
        anny=model,
        weights=weights,
        faces=torch.as_tensor(np.concatenate([faces, _tube_faces(loop, count)])),
        hand_vertices=count,
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

# anny's fingers turn where they leave the palm, and its thumb begins above the wrist's bones: its first phalanges
# come out 30 % too short and the thumb's metacarpal too. Knuckles lie nearer to the wrist, by these parts of the way
# to the metacarpal's other end, and fingers are a little shorter: then bones have the proportions that A. Buryanov and
# V. Kotiuk measured ("Proportions of Hand Segments", 2010). The palm is widened to a human breadth.
KNUCKLE = {"index": 0.19, "middle": 0.165, "ring": 0.175, "little": 0.20}
THUMB_BASE, THUMB_KNUCKLE, BREADTH, FINGER = 0.30, 0.10, 1.10, 0.95


def _move_joints(heads: torch.Tensor) -> torch.Tensor:
    """(B, 21, 3) anny's bone heads in the frame of the hand -> where human joints lie."""
    import torch

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
    import torch

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


def _tip_vertices(vertices, heads, weights):
    import torch

    tips = []
    for bones in (THUMB, *PHALANGES.values()):
        along = heads[bones[2]] - heads[bones[1]]
        reach = ((vertices - heads[bones[2]]) @ along) / along.norm()
        # The end of the pulp, a little to the palm's side of the nail, is where landmarks sit.
        tips.append(torch.where(weights[:, bones[2]] > 0.5, reach, -1.0).argmax())
    return torch.stack(tips)


def _rest(model, weights, phenotypes, tips):
    """Hands at rest in the frame of the hand; ``tips`` None leaves fingertips at the last bone's head."""
    import torch

    empty = torch.zeros(len(phenotypes), 0, dtype=torch.float64)
    with torch.no_grad():
        rest = model.get_rest_model(model._get_phenotype_blendshape_coefficients(phenotypes, empty, empty))
    points, heads = rest["rest_vertices"].float(), rest["rest_bone_heads"].float()
    frames = rest["rest_bone_poses"][:, :, :3, :3].float()
    unit = torch.nn.functional.normalize
    up = unit(heads[:, 10] - heads[:, 1], dim=-1)
    across = heads[:, 6] - heads[:, 18]
    right = unit(across - (across * up).sum(-1, keepdim=True) * up, dim=-1)
    palm = torch.stack([right, up, torch.linalg.cross(right, up)], -1)
    origin = heads[:, 1:2]
    points, heads = (points - origin) @ palm, (heads - origin) @ palm
    frames = palm.transpose(1, 2)[:, None] @ frames
    wide = torch.tensor([BREADTH, 1.0, 1.0])
    points, heads = _shorten(points * wide, _move_joints(heads * wide), weights)
    tip_points = heads[:, [4, 8, 12, 16, 20]] if tips is None else points[:, tips]
    out = torch.eye(3).expand_as(frames).clone()
    for k, bones in enumerate((THUMB, *PHALANGES.values())):
        ends = [heads[:, bones[1]], heads[:, bones[2]], tip_points[:, k]]
        if tips is not None:
            # The bone ends below the tip of the skin, in the middle of the finger.
            ends[2] = _inside(ends[2], heads[:, bones[1]], heads[:, bones[2]], frames[:, bones[2]])
        for bone, end in zip(bones, ends, strict=True):
            along = unit(end - heads[:, bone] + 1e-9, dim=-1)
            flexion = frames[:, bone, :, 0]
            flexion = unit(flexion - (flexion * along).sum(-1, keepdim=True) * along, dim=-1)
            out[:, bone] = torch.stack([flexion, along, torch.linalg.cross(flexion, along)], -1)
    cores = radii = points[:, :0]
    if tips is not None:
        cores, radii = _capsules(points, heads, out, tip_points, weights)
    return HandShape(points, heads, out, tip_points, cores, radii)


def _inside(tip, middle, last, frame):
    """The fingertip moved into the plane of its finger, so that the last bone does not lean sideways."""
    side = frame[..., 0]
    return tip - ((tip - last) * side).sum(-1, keepdim=True) * side


def _capsules(points, heads, frames, tips, weights):
    """Axes (B, 15, 2, 3) and radii (B, 15) of the phalanges, from the skin around them.

    The bones run below the back of a finger, so the axes are those of the skin.
    """
    import torch

    cores, radii = [], []
    for finger, bones in enumerate((THUMB, *PHALANGES.values())):
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
    phenotypes : (B, 6) float
        Gender, age, muscle, weight, height, proportions, each in 0..1 (age 0.33 is a child, 0.67 an adult).
    """
    import torch

    model = hand_model()
    values = torch.as_tensor(np.asarray(phenotypes), dtype=torch.float64)
    if values.ndim != 2 or values.shape[1] != len(PHENOTYPES):
        raise ValueError(f"phenotypes must be (B, {len(PHENOTYPES)}), got {tuple(values.shape)}")
    return _rest(model.anny, model.weights, values, model.tips)


def _rotation(axis: int, degrees: torch.Tensor) -> torch.Tensor:
    """(B, 3, 3) rotations about x, y or z (0, 1, 2), right handed."""
    import torch

    angle = torch.deg2rad(degrees)
    c, s, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    rows = {
        0: (one, zero, zero, zero, c, -s, zero, s, c),
        1: (c, zero, s, zero, one, zero, -s, zero, c),
        2: (c, -s, zero, s, c, zero, zero, zero, one),
    }[axis]
    return torch.stack(rows, -1).reshape(*angle.shape, 3, 3)


def orientation(pose: torch.Tensor) -> torch.Tensor:
    """(B, 3, 3) the hand's frame in the world (x right in the picture, y up, z to the viewer).

    The forearm's spin about its length comes first, then the lean in the picture's plane, then the turn about the
    vertical.
    """
    spin, lean, turn = (pose[:, INDEX[name]] for name in ("spin", "lean", "turn"))
    pitch = pose[:, INDEX["pitch"]]
    return _rotation(1, turn) @ _rotation(2, lean) @ _rotation(0, pitch) @ _rotation(1, spin)


@dataclass(frozen=True)
class PosedHand:
    """B posed hands: ``vertices`` (B, V, 3), ``joints`` (B, 21, 3), ``bones`` (B, 21, 3, 4), in the hand's frame."""

    vertices: torch.Tensor | None
    joints: torch.Tensor
    bones: torch.Tensor


def pose_hand(shape: HandShape, pose: torch.Tensor, skin: bool = True) -> PosedHand:
    """Pose hands by joint angles; every step can be differentiated.

    Parameters
    ----------
    shape : HandShape
        B hands at rest.
    pose : (B, len(ANGLES)) float tensor
        Joint angles in degrees, see :data:`asllib.signer.alphabet.ANGLES`.
    skin : bool
        False leaves ``vertices`` out, for code that needs the joints only.

    Returns
    -------
    PosedHand
        Joints in MediaPipe's order: wrist, thumb CMC, MCP, IP, tip, then MCP, PIP, DIP, tip a finger; the
        forearm's rings follow the hand's vertices.
    """
    import torch

    model = hand_model()

    def angle(name):
        return pose[:, INDEX[name]]

    count = len(pose)
    turns, starts = [None] * 21, [None] * 21
    eye = torch.eye(3).expand(count, 3, 3)
    heads, rest = shape.heads, shape.rest
    bend = _rotation(0, -angle("wrist_flex")) @ _rotation(2, angle("wrist_radial"))
    for bone in (1, 5, 9, 13, 17):
        turns[bone], starts[bone] = eye, heads[:, bone]
    turns[0], starts[0] = bend, heads[:, 0]

    def chain(bones, frames):
        start = heads[:, bones[0]]
        for k, (bone, frame) in enumerate(zip(bones, frames, strict=True)):
            turns[bone] = frame @ rest[:, bone].transpose(1, 2)
            starts[bone] = start
            if k < 2:
                start = start + (turns[bone] @ (heads[:, bones[k + 1]] - heads[:, bone])[..., None])[..., 0]

    # The thumb's zero: beside the index, nail to the thumb's side; columns flexion axis, bone, pulp.
    zero = torch.tensor([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    frame = _rotation(2, -angle("thumb_radial")) @ _rotation(0, angle("thumb_palmar"))
    first = frame @ _rotation(1, angle("thumb_pronation")) @ zero
    second = first @ _rotation(0, angle("thumb_mcp"))
    chain(THUMB, (first, second, second @ _rotation(0, angle("thumb_ip"))))

    for name, bones in PHALANGES.items():
        # A straight finger points along the palm; its flexion axis keeps the arch of the knuckles.
        side = rest[:, bones[0], :, 0] * torch.tensor([1.0, 0.0, 1.0])
        side = torch.nn.functional.normalize(side, dim=-1)
        up = torch.tensor([0.0, 1.0, 0.0]).expand_as(side)
        base = torch.stack([side, up, torch.linalg.cross(side, up)], -1)
        first = base @ _rotation(0, angle(f"{name}_mcp")) @ _rotation(2, -angle(f"{name}_spread"))
        second = first @ _rotation(0, angle(f"{name}_pip"))
        chain(bones, (first, second, second @ _rotation(0, angle(f"{name}_dip"))))

    turn = torch.stack(turns, 1)  # (B, 21, 3, 3)
    start = torch.stack(starts, 1)  # (B, 21, 3)
    bones = torch.cat([turn, (start - (turn @ heads[..., None])[..., 0])[..., None]], -1)  # (B, 21, 3, 4)

    def follow(bone, point):
        return (bones[:, bone, :, :3] @ point[..., None])[..., 0] + bones[:, bone, :, 3]

    joints = [start[:, 1]]
    for k, chain_bones in enumerate((THUMB, *PHALANGES.values())):
        joints += [start[:, bone] for bone in chain_bones] + [follow(chain_bones[2], shape.tips[:, k])]
    vertices = _skin(model, shape, bones, bend) if skin else None
    return PosedHand(vertices, torch.stack(joints, 1), bones)


def _skin(model: HandModel, shape: HandShape, bones, bend):
    """Linear blend skinning, then the forearm drawn out of the open wrist."""
    import torch

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
    import torch

    out = joints.clone()
    tips, below = [4, 8, 12, 16, 20], [3, 7, 11, 15, 19]
    out[:, 0] = torch.lerp(joints[:, 0], joints[:, 9], 0.14)
    out[:, 1] = torch.lerp(joints[:, 1], joints[:, 2], 0.20)
    out[:, 3] = torch.lerp(joints[:, 3], joints[:, 2], 0.15)
    part = torch.tensor([0.40, 0.30, 0.30, 0.30, 0.28])[:, None]
    out[:, tips] = torch.lerp(joints[:, tips], joints[:, below], part)
    return out
