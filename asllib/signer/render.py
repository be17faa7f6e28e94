"""Photographs of posed hands: painted, ray-cast with warp on the processor or on a GPU, developed like a camera's."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from asllib.lazy import extra
from asllib.signer.hand import DIGITS, FOREARM_RINGS, MIDDLING, RING, hand_model, hand_shape, hold, settle
from asllib.signer.scene import Shot, Signer, backdrop

with extra("signer"):
    import warp as wp

# The ten tones of the Monk skin tone scale (E. Monk, 2019, skintone.google): sRGB, then linear colours.
_MONK = np.array([*bytes.fromhex("f6ede4f3e7dbf7ead0eadabad7bd96a07e56825c436041343a312a292420")]).reshape(10, 3) / 255
TONES = np.where(_MONK <= 0.04045, _MONK / 12.92, ((_MONK + 0.055) / 1.055) ** 2.4)
CHUNK = 8  # pictures a launch: enough to keep the launch cost small, few enough to keep memory small


def photograph(
    poses: np.ndarray,  # (B, angles) degrees
    signers: Sequence[Signer],
    shots: Sequence[Shot],
    size: tuple[int, int],  # width, height
    seeds: Sequence[int],  # of the sensor's noise
    frame: tuple[float, np.ndarray] | None = None,  # metres that fill the picture's part, place (3,) in its middle
    offset: np.ndarray | None = None,  # (B, 3) metres that the hand is moved in the world
    steps: int = 6,  # of pushing fingers out of each other
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take B pictures (B, H, W, 3) uint8 RGB; return them, landmarks and world landmarks as in ``SyntheticShots``."""
    shapes = hand_shape(who.phenotype for who in signers)
    pose = settle(shapes, torch.as_tensor(poses, dtype=torch.float32), steps=steps)
    left = np.array([who.side == "left" for who in signers])
    vertices, joints = hold(shapes, pose)
    for points in (vertices, joints):
        points += 0 if offset is None else offset[:, None].astype(np.float32)
        points[left, :, 0] *= -1  # a left hand is a mirrored right one
    if frame is None:
        low, high = joints.min(1), joints.max(1)
        extent, look = (high - low).max(1) + 0.015, ((low + high) / 2)[:, None]
    else:
        extent, look = frame
    turns = Rotation.from_euler("yxz", [(shot.yaw, shot.pitch, shot.roll) for shot in shots], degrees=True)
    vertices, joints = (  # in the camera's frame: x right, y up, z to the camera
        np.einsum("bij,bvj->bvi", turns.as_matrix(), points - look) for points in (vertices, joints)
    )
    settings = ("distance", "fill", "place", "light", "key", "sky", "ground")
    view = {name: np.array([getattr(shot, name) for shot in shots]) for name in settings}
    view["focal"] = view.pop("fill") * min(size) / extent * view["distance"]
    view["centre"] = (view.pop("place") + 0.5) * size
    pictures = _cast_rays(vertices.astype(np.float32), shapes.vertices.numpy(), signers, shots, view, size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = np.stack(list(pool.map(_develop, pictures, shots, seeds)))
    # MediaPipe's z: depth from the wrist, in units of the width, nearer is smaller.
    depth = -(joints[..., 2] - joints[:, :1, 2]) * (view["focal"] / view["distance"])[:, None] / size[0]
    flat = np.concatenate([_project(joints, view) / size, depth[..., None]], -1)
    world = (joints - joints.mean(1, keepdims=True)) * np.array([1, -1, -1])
    return images, flat.astype(np.float32), world.astype(np.float32)


def _project(points: np.ndarray, view: dict[str, np.ndarray]) -> np.ndarray:
    """(B, N, 3) metres -> (B, N, 2) pixels, of pinhole cameras on +z that look at the origin."""
    depth = view["distance"][:, None] - points[..., 2]
    xy = points[..., :2] * np.array([1.0, -1.0]) * (view["focal"][:, None] / depth)[..., None]
    return xy + view["centre"][:, None]


@lru_cache(maxsize=1)
def _skin_map() -> dict[str, np.ndarray]:
    """For each vertex of the hand 0..1, (V, 1): palm side, nail, crease of a joint."""
    model = hand_model()
    rest = hand_shape([MIDDLING])
    points, heads, frames = rest.vertices[0].numpy(), rest.heads[0].numpy(), rest.rest[0].numpy()
    weights, faces = model.weights.numpy(), model.faces.numpy()
    normals = _vertex_normals(points[None], faces[(faces < len(points)).all(1)])[0]
    bone = weights.argmax(1)
    side = frames[bone][:, :, 2]
    side[np.isin(bone, (0, 1, 5, 9, 13, 17))] = (0, 0, 1)
    facing = (normals * side).sum(1)
    nail, crease = np.zeros(len(points)), np.zeros(len(points))
    for k, (_, middle, last) in enumerate(DIGITS):
        local = (points - heads[last]) @ frames[last]
        length = np.linalg.norm(rest.tips[0, k].numpy() - heads[last])
        width = 0.62 * rest.radii[0, 3 * k + 2].item()
        along = (local[:, 1] > 0.40 * length) & (local[:, 1] < 0.93 * length)
        nail += (weights[:, last] > 0.6) & along & (facing < -0.45) & (abs(local[:, 0]) < width)
        for joint in (middle, last):
            near = np.linalg.norm(points - heads[joint], axis=1) < 0.016
            along = ((points - heads[joint]) @ frames[joint])[:, 1]
            crease += near * np.exp(-((along / 0.002) ** 2))
    parts = {"palm": 0.5 + 1.2 * facing, "nail": nail, "crease": crease}
    return {name: np.clip(part, 0, 1)[:, None] for name, part in parts.items()}


def _paint(signer: Signer, shot: Shot) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) linear albedo and (V,) gloss of a hand and its forearm."""
    palm, nail, crease = (_skin_map()[name] for name in ("palm", "nail", "crease"))
    dark = (signer.tone - 1) / 9
    # The scale's swatches are paler and greyer than hands, whose blood shows.
    tone = TONES[signer.tone - 1] * np.array([0.92, 0.70, 0.62]) * np.asarray(signer.tint)
    tone = np.maximum(tone, 0.035 * np.array([1.3, 0.95, 0.8]))
    inner = tone * np.array([1.05, 0.92, 0.92]) * (1 - 0.4 * dark) + 0.4 * dark * np.array([0.34, 0.19, 0.13])
    hand = tone * (1 - palm) + inner * palm
    hand = hand * (1 - crease * np.array([0.18, 0.26, 0.28]))
    pale = 0.45 * tone + 0.55 * np.array([0.50, 0.30, 0.26])
    hand = hand * (1 - nail) + pale * nail
    arm = np.tile(hand[hand_model().loop.numpy()], (FOREARM_RINGS, 1))
    ring = np.repeat(np.arange(FOREARM_RINGS), len(arm) // FOREARM_RINGS)
    clothed = (ring + 1) * RING > shot.sleeve
    arm[clothed] = shot.cloth
    return np.concatenate([hand, arm]), np.concatenate([0.06 + 0.22 * nail[:, 0], np.where(clothed, 0, 0.06)])


def _dress(vertices: np.ndarray, shots: Sequence[Shot]) -> None:
    """Widen the forearm's rings below the cuff, in place: a sleeve with an edge."""
    arm = vertices[:, len(hand_model().weights) :]
    for rings, shot in zip(arm.reshape(len(arm), FOREARM_RINGS, -1, 3), shots, strict=True):
        first = next((k for k in range(FOREARM_RINGS) if (k + 1) * RING > shot.sleeve), FOREARM_RINGS)
        centre = rings.mean(1, keepdims=True)
        rings[first:] = centre[first:] + (rings[first:] - centre[first:]) * 1.22
        if 0 < first < FOREARM_RINGS:
            # The cuff's edge stands just outside the last bare ring.
            rings[first] += (centre[first - 1] - centre[first]) * 0.97


@wp.struct
class _Vertex:
    normal: wp.vec3
    albedo: wp.vec3
    place: wp.vec3
    gloss: wp.float32


@wp.struct
class _View:
    mesh: wp.uint64
    left: wp.int32
    box: wp.vec4  # pixels that can show the hand: from x, from y, to x, to y
    distance: wp.float32
    focal: wp.float32
    centre: wp.vec2
    light: wp.vec3
    key: wp.vec3
    sky: wp.vec3
    ground: wp.vec3


@wp.func
def _mix(a: _Vertex, b: _Vertex, c: _Vertex, u: wp.float32, v: wp.float32) -> _Vertex:
    """A point of the skin between three vertices, with fine wrinkles that bend the normal and blotches."""
    w = 1.0 - u - v
    skin = _Vertex()
    skin.place = a.place * u + b.place * v + c.place * w
    skin.gloss = a.gloss * u + b.gloss * v + c.gloss * w
    seed = wp.rand_init(7)  # fixed to the skin
    fine = wp.noise(seed, skin.place * 900.0)
    aside = wp.noise(seed, skin.place * 900.0 + wp.vec3(9.0, 3.0, 5.0))
    normal = wp.normalize(a.normal * u + b.normal * v + c.normal * w)
    skin.normal = wp.normalize(normal + 0.10 * wp.vec3(fine, aside, 0.0))
    colour = a.albedo * u + b.albedo * v + c.albedo * w
    skin.albedo = colour * (1.0 + 0.05 * fine + 0.06 * wp.noise(seed, skin.place * 120.0))
    return skin


@wp.func
def _shade(view: _View, skin: _Vertex, point: wp.vec3, face: wp.vec3, ray: wp.vec3) -> wp.vec3:
    """Linear colour of a point; ``face`` is the normal of its triangle."""
    n = skin.normal
    if wp.dot(n, ray) > 0.0:
        n = n - 1.02 * wp.dot(n, ray) * ray
    facing = wp.dot(n, view.light)
    lit = wp.float32(1.0)
    if facing > -0.2:
        shadow = wp.mesh_query_ray(view.mesh, point + face * 0.0006 + view.light * 0.0012, view.light, 1.0)
        if shadow.result:
            # Light through skin: a thin finger's shadow is never black.
            lit = 0.12
    # Light goes a little way into skin: the border of the shade is soft, and red.
    soft = wp.vec3(
        wp.max((facing + 0.30) / 1.30, 0.0), wp.max((facing + 0.16) / 1.16, 0.0), wp.max((facing + 0.10) / 1.10, 0.0)
    )
    up = 0.5 + 0.5 * n[1]
    around = view.sky * up + view.ground * (1.0 - up)
    # Rays near the surface tell how deep in a fold the point lies.
    fold = wp.mesh_query_ray(view.mesh, point + n * 0.0015, wp.normalize(n - 0.3 * ray), 0.03)
    if fold.result:
        around = around * (0.45 + 0.55 * fold.t / 0.03)
    half = wp.normalize(view.light - ray)
    spark = wp.pow(wp.max(wp.dot(n, half), 0.0), 24.0) * skin.gloss * lit
    return wp.cw_mul(skin.albedo, wp.cw_mul(soft * lit, view.key) + around) + view.key * spark


@wp.kernel(enable_backward=False)
def _cast(views: wp.array[_View], corners: wp.array2d[wp.int32], skin: wp.array2d[_Vertex], out: wp.array3d[wp.vec4]):
    b, i, j = wp.tid()
    view = views[b]
    x = float(j)
    y = float(i)
    if x < view.box[0] or y < view.box[1] or x > view.box[2] or y > view.box[3]:
        return
    eye = wp.vec3(0.0, 0.0, view.distance)
    ray = wp.normalize(wp.vec3((x + 0.5 - view.centre[0]) / view.focal, -(y + 0.5 - view.centre[1]) / view.focal, -1.0))
    hit = wp.mesh_query_ray(view.mesh, eye, ray, 10.0)
    if hit.result:
        v0 = corners[view.left, hit.face * 3]
        v1 = corners[view.left, hit.face * 3 + 1]
        v2 = corners[view.left, hit.face * 3 + 2]
        mixed = _mix(skin[b, v0], skin[b, v1], skin[b, v2], hit.u, hit.v)
        value = _shade(view, mixed, eye + ray * hit.t, hit.normal, ray)
        out[b, i, j] = wp.vec4(value[0], value[1], value[2], 1.0)


def _records(struct: Any, shape: Any, **values: np.ndarray) -> np.ndarray:
    """Fill in values for a warp struct's fields."""
    out = np.zeros(shape, struct.numpy_dtype())
    for name, value in values.items():
        out[name] = value
    return out


def _cast_rays(
    vertices: np.ndarray,  # (B, V, 3) in the camera's frame
    rest: np.ndarray,  # (B, V, 3) at rest, without the forearm
    signers: Sequence[Signer],
    shots: Sequence[Shot],
    view: dict[str, np.ndarray],  # for the fields of _View
    size: tuple[int, int],
) -> np.ndarray:
    """Paint hands and ray-cast them: (B, height, width, 4) float32, linear colour and coverage (0 or 1)."""
    _dress(vertices, shots)
    where = "cuda:0" if wp.is_cuda_available() else "cpu"
    count, (width, height), faces = len(vertices), size, hand_model().faces.numpy()
    # A left hand is mirrored: its triangles turn the other way.
    left = np.array([int(who.side == "left") for who in signers])
    corners = np.stack([faces, faces[:, ::-1]]).reshape(2, -1).astype(np.int32)
    indices = [wp.array(row, dtype=wp.int32, device=where) for row in corners]
    normals = _vertex_normals(vertices, faces) * (1 - 2 * left)[:, None, None]
    albedo, gloss = (np.stack(parts) for parts in zip(*map(_paint, signers, shots), strict=True))
    place = np.concatenate([rest, vertices[:, rest.shape[1] :] * 0.5], 1)
    skins = _records(_Vertex, vertices.shape[:2], normal=normals, albedo=albedo, place=place, gloss=gloss)
    pixels = _project(vertices, view)
    box = np.concatenate([pixels.min(1) - 1, pixels.max(1) + 1], 1)
    views = _records(_View, count, left=left, box=box, **view)
    out = np.empty((count, height, width, 4), np.float32)

    def cast_rows(rows: slice) -> None:
        meshes = [
            wp.Mesh(points=wp.array(points, dtype=wp.vec3, device=where), indices=indices[mirrored])
            for points, mirrored in zip(vertices[rows], left[rows], strict=True)
        ]
        views["mesh"][rows] = [mesh.id for mesh in meshes]
        picture = wp.zeros((len(meshes), height, width), dtype=wp.vec4, device=where)
        inputs = [
            wp.array(views[rows], dtype=_View, device=where),
            wp.array(corners, dtype=wp.int32, device=where),
            wp.array(skins[rows], dtype=_Vertex, device=where),
        ]
        wp.launch(_cast, dim=picture.shape, inputs=inputs, outputs=[picture], device=where)
        out[rows] = picture.numpy()

    chunks = [slice(k, min(k + CHUNK, count)) for k in range(0, count, CHUNK)]
    # A launch on the processor uses one core and lets go of Python meanwhile: one chunk a core.
    with ThreadPoolExecutor(os.cpu_count() if where == "cpu" else 1) as pool:
        list(pool.map(cast_rows, chunks))
    return out


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(B, V, 3) smooth normals, weighted by the area of the triangles."""
    points = torch.as_tensor(vertices)
    corner = points[:, torch.as_tensor(faces)]  # (B, F, 3, 3)
    flat = torch.linalg.cross(corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0])
    out = torch.zeros_like(points)
    for k in range(3):
        out.index_add_(1, torch.as_tensor(faces[:, k]), flat)
    return torch.nn.functional.normalize(out, dim=-1).numpy()


def _develop(picture: np.ndarray, shot: Shot, seed: int) -> np.ndarray:
    """Linear colour with coverage -> the photograph: background, lens, sensor, compression."""
    height, width = picture.shape[:2]
    scale = min(height, width) / 224
    room = backdrop(shot.backdrop, shot.clutter, (width, height)) * (np.asarray(shot.sky) + 0.4).astype(np.float32)
    scene = picture[..., :3] + room * (1 - picture[..., 3:])
    scene = cv2.GaussianBlur(scene, (0, 0), max(0.35, shot.blur * scale))
    right, down = shot.smear
    length = float(np.hypot(right, down)) * scale
    if length > 1:
        scene = cv2.filter2D(scene, -1, _smear_kernel(length, np.arctan2(-down, right)))
    scene = np.clip(scene * shot.exposure, 0, None)
    # A camera's curve: straight in the dark, a shoulder in the light.
    scene = scene * (1 + scene / 2.2) / (1 + scene)
    encoded = np.power(scene, 1 / 2.2, dtype=np.float32) * 255
    rng = np.random.default_rng([seed, 11])
    encoded += rng.standard_normal(encoded.shape, dtype=np.float32) * np.float32(shot.noise)
    done = np.clip(encoded, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", done[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, shot.quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]


def _smear_kernel(length: float, angle: float) -> np.ndarray:
    """Motion blur along a line, in pixels and radians."""
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for t in np.linspace(-length / 2, length / 2, 4 * half + 1):
        kernel[round(half - t * np.sin(angle)), round(half + t * np.cos(angle))] += 1
    return kernel / kernel.sum()
