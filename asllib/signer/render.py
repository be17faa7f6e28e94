"""Photographs of posed hands: painted, ray-cast with warp on the processor or on a GPU, developed like a camera's."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
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
    low, high = joints.min(1), joints.max(1)
    extent, look = frame or ((high - low).max(1) + 0.015, ((low + high) / 2)[:, None])
    turns = Rotation.from_euler("yxz", [(shot.yaw, shot.pitch, shot.roll) for shot in shots], degrees=True).as_matrix()
    # In the camera's frame: x right, y up, z to the camera.
    vertices, joints = (np.einsum("bij,bvj->bvi", turns, points - look) for points in (vertices, joints))
    distance = np.array([shot.distance for shot in shots])
    focal = np.array([shot.fill for shot in shots]) * min(size) / extent * distance
    centre = (np.array([shot.place for shot in shots]) + 0.5) * size
    hands = vertices.astype(np.float32), shapes.vertices.numpy(), signers, shots, focal, centre
    device = "cuda:0" if wp.is_cuda_available() else "cpu"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # A launch on the processor uses one core and lets go of Python meanwhile: one picture a core.
        in_turn = pool.map if device == "cpu" else map
        pictures = in_turn(partial(_cast_rays, size=size, device=device), *hands)
        images = np.stack(list(pool.map(_develop, pictures, shots, seeds)))
    # A pinhole camera on +z; MediaPipe's z: depth from the wrist, in units of the width, nearer is smaller.
    xy = joints[..., :2] * [1, -1] * (focal[:, None] / (distance[:, None] - joints[..., 2]))[..., None]
    depth = -(joints[..., 2] - joints[:, :1, 2]) * (focal / distance)[:, None] / size[0]
    flat = np.concatenate([(xy + centre[:, None]) / size, depth[..., None]], -1)
    world = (joints - joints.mean(1, keepdims=True)) * np.array([1, -1, -1])
    return images, flat.astype(np.float32), world.astype(np.float32)


@lru_cache(maxsize=1)
def _skin_map() -> tuple[np.ndarray, ...]:
    """For each vertex of the hand 0..1, (V, 1): palm side, nail, crease of a joint."""
    model = hand_model()
    rest = hand_shape([MIDDLING])
    points, heads, frames = rest.vertices[0].numpy(), rest.heads[0].numpy(), rest.rest[0].numpy()
    weights, faces = model.weights.numpy(), model.faces.numpy()
    normals = _vertex_normals(points, faces[(faces < len(points)).all(1)])
    bone = weights.argmax(1)
    side = frames[bone][:, :, 2]  # z on the palm
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
    return tuple(np.clip(part, 0, 1)[:, None] for part in (0.5 + 1.2 * facing, nail, crease))


def _paint(signer: Signer, cloth: tuple[float, ...], bare: int) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) linear albedo and (V,) gloss of a hand and its forearm, whose first rings are bare."""
    palm, nail, crease = _skin_map()
    dark = (signer.tone - 1) / 9
    # The scale's swatches are paler and greyer than hands, whose blood shows.
    tone = TONES[signer.tone - 1] * np.array([0.92, 0.70, 0.62]) * np.asarray(signer.tint)
    tone = np.maximum(tone, 0.035 * np.array([1.3, 0.95, 0.8]))
    inner = tone * np.array([1.05, 0.92, 0.92]) * (1 - 0.4 * dark) + 0.4 * dark * np.array([0.34, 0.19, 0.13])
    hand = tone * (1 - palm) + inner * palm
    hand = hand * (1 - crease * np.array([0.18, 0.26, 0.28]))
    pale = 0.45 * tone + 0.55 * np.array([0.50, 0.30, 0.26])
    hand = hand * (1 - nail) + pale * nail
    wrist = hand_model().loop.numpy()
    arm = np.tile(hand[wrist], (FOREARM_RINGS, 1))
    clothed = np.arange(len(arm)) >= bare * len(wrist)
    arm[clothed] = cloth
    return np.concatenate([hand, arm]), np.concatenate([0.06 + 0.22 * nail[:, 0], np.where(clothed, 0, 0.06)])


@wp.func
def _between(values: wp.array[Any], mesh: wp.uint64, hit: wp.MeshQueryRay):
    """The value, given at the vertices, where a ray hits a triangle."""
    corners = wp.mesh_get(mesh).indices
    a = values[corners[hit.face * 3]]
    b = values[corners[hit.face * 3 + 1]]
    c = values[corners[hit.face * 3 + 2]]
    return a * hit.u + b * hit.v + c * (1.0 - hit.u - hit.v)


@wp.kernel(enable_backward=False)
def _cast(
    mesh: wp.uint64,
    distance: wp.float32,
    focal: wp.float32,
    centre: wp.vec2,
    light: wp.vec3,
    key: wp.vec3,
    sky: wp.vec3,
    ground: wp.vec3,
    normals: wp.array[wp.vec3],
    colours: wp.array[wp.vec3],
    places: wp.array[wp.vec3],
    glosses: wp.array[wp.float32],
    out: wp.array2d[wp.vec4],
):
    """One pixel: linear colour of the skin that it shows, and coverage."""
    i, j = wp.tid()
    x = (float(j) + 0.5 - centre[0]) / focal
    y = -(float(i) + 0.5 - centre[1]) / focal
    eye = wp.vec3(0.0, 0.0, distance)
    ray = wp.normalize(wp.vec3(x, y, -1.0))
    hit = wp.mesh_query_ray(mesh, eye, ray, 10.0)
    if not hit.result:
        return
    point = eye + ray * hit.t
    # Fine wrinkles bend the normal, and there are blotches; both are fixed to the skin.
    place = _between(places, mesh, hit)
    seed = wp.rand_init(7)
    fine = wp.noise(seed, place * 900.0)
    aside = wp.noise(seed, place * 900.0 + wp.vec3(9.0, 3.0, 5.0))
    albedo = _between(colours, mesh, hit) * (1.0 + 0.05 * fine + 0.06 * wp.noise(seed, place * 120.0))
    n = wp.normalize(wp.normalize(_between(normals, mesh, hit)) + 0.10 * wp.vec3(fine, aside, 0.0))
    if wp.dot(n, ray) > 0.0:
        n = n - 1.02 * wp.dot(n, ray) * ray
    facing = wp.dot(n, light)
    lit = wp.float32(1.0)
    if facing > -0.2:
        shadow = wp.mesh_query_ray(mesh, point + hit.normal * 0.0006 + light * 0.0012, light, 1.0)
        if shadow.result:
            # Light through skin: a thin finger's shadow is never black.
            lit = 0.12
    # Light goes a little way into skin: the border of the shade is soft, and red.
    soft = wp.vec3(
        wp.max((facing + 0.30) / 1.30, 0.0), wp.max((facing + 0.16) / 1.16, 0.0), wp.max((facing + 0.10) / 1.10, 0.0)
    )
    up = 0.5 + 0.5 * n[1]
    around = sky * up + ground * (1.0 - up)
    # Rays near the surface tell how deep in a fold the point lies.
    fold = wp.mesh_query_ray(mesh, point + n * 0.0015, wp.normalize(n - 0.3 * ray), 0.03)
    if fold.result:
        around = around * (0.45 + 0.55 * fold.t / 0.03)
    half = wp.normalize(light - ray)
    spark = wp.pow(wp.max(wp.dot(n, half), 0.0), 24.0) * _between(glosses, mesh, hit) * lit
    colour = wp.cw_mul(albedo, wp.cw_mul(soft * lit, key) + around) + key * spark
    out[i, j] = wp.vec4(colour[0], colour[1], colour[2], 1.0)


def _cast_rays(
    vertices: np.ndarray,  # (V, 3) float32 in the camera's frame
    rest: np.ndarray,  # (V, 3) at rest, without the forearm
    signer: Signer,
    shot: Shot,
    focal: float,  # pixels
    centre: np.ndarray,  # (2,) pixels
    size: tuple[int, int],
    device: str,
) -> np.ndarray:
    """Paint a hand and ray-cast it: (height, width, 4) float32, linear colour and coverage (0 or 1)."""
    # A sleeve with an edge: the forearm's rings below the cuff are wider, the first just outside the last bare one.
    rings = vertices[len(rest) :].reshape(FOREARM_RINGS, -1, 3)
    bare = sum((k + 1) * RING <= shot.sleeve for k in range(FOREARM_RINGS))
    middle = rings.mean(1, keepdims=True)
    rings[bare:] = middle[bare:] + (rings[bare:] - middle[bare:]) * 1.22
    if 0 < bare < FOREARM_RINGS:
        rings[bare] += (middle[bare - 1] - middle[bare]) * 0.97
    albedo, gloss = _paint(signer, shot.cloth, bare)
    place = np.concatenate([rest, vertices[len(rest) :] * 0.5])
    # A left hand is mirrored: its triangles turn the other way.
    faces, left = hand_model().faces.numpy(), signer.side == "left"
    normals = _vertex_normals(vertices, faces) * (-1 if left else 1)
    corners = wp.array((faces[:, ::-1] if left else faces).ravel(), dtype=wp.int32, device=device)
    points, *skin = (wp.array(each, dtype=wp.vec3, device=device) for each in (vertices, normals, albedo, place))
    skin.append(wp.array(gloss, dtype=wp.float32, device=device))
    mesh = wp.Mesh(points, corners)
    picture = wp.zeros(size[::-1], dtype=wp.vec4, device=device)
    view = mesh.id, shot.distance, focal, wp.vec2(*centre), shot.light, shot.key, shot.sky, shot.ground
    wp.launch(_cast, dim=picture.shape, inputs=[*view, *skin], outputs=[picture], device=device)
    return picture.numpy()


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) smooth normals, weighted by the area of the triangles."""
    points, corners = torch.as_tensor(vertices), torch.as_tensor(faces)
    a, b, c = points[corners].unbind(1)
    flat = torch.linalg.cross(b - a, c - a)
    out = torch.zeros_like(points).index_add(0, corners.T.flatten(), flat.repeat(3, 1))
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
