"""Ray-cast posed hands with warp, on the processor or on a GPU where there is one."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import warp as wp

CHUNK = 8  # pictures a launch: enough to keep the launch cost small, few enough to keep memory small


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on +z looking at the origin, one row a picture."""

    distance: np.ndarray  # (B,) metres
    focal: np.ndarray  # (B,) pixels
    centre: np.ndarray  # (B, 2) pixel of the optical axis

    def project(self, points: np.ndarray) -> np.ndarray:
        """(B, N, 3) metres -> (B, N, 2) pixels."""
        depth = self.distance[:, None] - points[..., 2]
        xy = points[..., :2] * np.array([1.0, -1.0]) * (self.focal[:, None] / depth)[..., None]
        return xy + self.centre[:, None]


@dataclass(frozen=True)
class Light:
    """A key light and what comes from all around, one row a picture, (B, 3) each; linear colours."""

    direction: np.ndarray  # unit vectors towards the light
    key: np.ndarray
    sky: np.ndarray
    ground: np.ndarray


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
    direction: wp.vec3
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
    facing = wp.dot(n, view.direction)
    lit = wp.float32(1.0)
    if facing > -0.2:
        shadow = wp.mesh_query_ray(view.mesh, point + face * 0.0006 + view.direction * 0.0012, view.direction, 1.0)
        if shadow.result:
            # Light through skin: a thin finger's shadow is never black.
            lit = 0.12
    # Light goes a little way into skin: the border of the shade is soft, and red.
    soft = wp.vec3(
        wp.max((facing + 0.30) / 1.30, 0.0),
        wp.max((facing + 0.16) / 1.16, 0.0),
        wp.max((facing + 0.10) / 1.10, 0.0),
    )
    up = 0.5 + 0.5 * n[1]
    around = view.sky * up + view.ground * (1.0 - up)
    # Rays near the surface tell how deep in a fold the point lies.
    fold = wp.mesh_query_ray(view.mesh, point + n * 0.0015, wp.normalize(n - 0.3 * ray), 0.03)
    if fold.result:
        around = around * (0.45 + 0.55 * fold.t / 0.03)
    half = wp.normalize(view.direction - ray)
    spark = wp.pow(wp.max(wp.dot(n, half), 0.0), 24.0) * skin.gloss * lit
    return wp.cw_mul(skin.albedo, wp.cw_mul(soft * lit, view.key) + around) + view.key * spark


@wp.kernel(enable_backward=False)
def _cast(
    views: wp.array[_View],
    corners: wp.array2d[wp.int32],
    skin: wp.array2d[_Vertex],
    out: wp.array3d[wp.vec4],
):
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


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(B, V, 3) smooth normals, weighted by the area of the triangles."""
    points = torch.as_tensor(vertices)
    corner = points[:, torch.as_tensor(faces)]  # (B, F, 3, 3)
    flat = torch.linalg.cross(corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0])
    out = torch.zeros_like(points)
    for k in range(3):
        out.index_add_(1, torch.as_tensor(faces[:, k]), flat)
    return torch.nn.functional.normalize(out, dim=-1).numpy()


def _records(struct: Any, shape: Any, **values: np.ndarray) -> np.ndarray:
    """Fill in values for a warp struct's fields."""
    out = np.zeros(shape, struct.numpy_dtype())
    for name, value in values.items():
        out[name] = value
    return out


def render(
    vertices: np.ndarray,
    faces: np.ndarray,
    left: np.ndarray,
    albedo: np.ndarray,
    gloss: np.ndarray,
    place: np.ndarray,
    camera: Camera,
    light: Light,
    size: tuple[int, int],
) -> np.ndarray:
    """Ray-cast B meshes, each with a shadow ray a pixel and smooth normals.

    Parameters
    ----------
    vertices, albedo, place
        (B, V, 3) metres in the camera's frame (x right, y up, z to the camera); linear colour; place on the skin at
        rest.
    faces
        (F, 3) triangles, counter-clockwise from outside.
    left
        (B,) bool: the mesh is mirrored, its triangles are clockwise.
    gloss
        (B, V) strength of the highlight, 0..1.
    size
        (width, height) in pixels.

    Returns
    -------
    numpy.ndarray
        (B, height, width, 4) float32, linear colour and coverage (0 or 1).
    """
    where = "cuda:0" if wp.is_cuda_available() else "cpu"
    count, (width, height) = len(vertices), size
    corners = np.stack([faces, faces[:, ::-1]]).reshape(2, -1).astype(np.int32)
    indices = [wp.array(row, dtype=wp.int32, device=where) for row in corners]
    normals = vertex_normals(vertices, faces) * np.where(left, -1, 1)[:, None, None]
    skin = _records(_Vertex, vertices.shape[:2], normal=normals, albedo=albedo, place=place, gloss=gloss)
    pixels = camera.project(vertices)
    box = np.concatenate([pixels.min(1) - 1, pixels.max(1) + 1], 1)
    views = _records(_View, count, left=left, box=box, **vars(camera), **vars(light))
    out = np.empty((count, height, width, 4), np.float32)

    def cast_rows(rows: slice) -> None:
        meshes = [
            wp.Mesh(points=wp.array(points, dtype=wp.vec3, device=where), indices=indices[mirrored])
            for points, mirrored in zip(vertices[rows], views["left"][rows], strict=True)
        ]
        views["mesh"][rows] = [mesh.id for mesh in meshes]
        picture = wp.zeros((len(meshes), height, width), dtype=wp.vec4, device=where)
        inputs = [
            wp.array(views[rows], dtype=_View, device=where),
            wp.array(corners, dtype=wp.int32, device=where),
            wp.array(skin[rows], dtype=_Vertex, device=where),
        ]
        wp.launch(_cast, dim=picture.shape, inputs=inputs, outputs=[picture], device=where)
        out[rows] = picture.numpy()

    chunks = [slice(k, min(k + CHUNK, count)) for k in range(0, count, CHUNK)]
    # A launch on the processor uses one core and lets go of Python meanwhile: one chunk a core.
    with ThreadPoolExecutor(os.cpu_count() if where == "cpu" else 1) as pool:
        list(pool.map(cast_rows, chunks))
    return out
