"""Ray-cast posed hands with warp, on the processor or on a GPU where there is one."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CHUNK = 8  # pictures a launch: enough to keep the launch cost small, few enough to keep memory small


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on +z looking at the origin, one row a picture.

    ``distance`` (B,) metres, ``focal`` (B,) pixels, ``centre`` (B, 2) pixel of the optical axis.
    """

    distance: np.ndarray
    focal: np.ndarray
    centre: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """(B, N, 3) metres -> (B, N, 2) pixels."""
        depth = self.distance[:, None] - points[..., 2]
        xy = points[..., :2] * np.array([1.0, -1.0]) * (self.focal[:, None] / depth)[..., None]
        return xy + self.centre[:, None]


@dataclass(frozen=True)
class Light:
    """A key light and what comes from all around, one row a picture; linear colours.

    ``direction`` (B, 3) unit vectors towards the light, ``key`` (B, 3), ``sky`` (B, 3), ``ground`` (B, 3).
    """

    direction: np.ndarray
    key: np.ndarray
    sky: np.ndarray
    ground: np.ndarray


@lru_cache(maxsize=1)
def _kernel():
    """Compile once; warp is imported here so that importing this module costs nothing."""
    from asllib.signer.hand import start_warp

    wp = start_warp()

    @wp.kernel(enable_backward=False)
    def cast(
        meshes: wp.array(dtype=wp.uint64),
        indices: wp.array(dtype=wp.int32),
        normals: wp.array2d(dtype=wp.vec3),
        albedo: wp.array2d(dtype=wp.vec3),
        texture: wp.array2d(dtype=wp.vec3),
        gloss: wp.array2d(dtype=wp.float32),
        boxes: wp.array2d(dtype=wp.int32),
        distance: wp.array(dtype=wp.float32),
        focal: wp.array(dtype=wp.float32),
        centre: wp.array(dtype=wp.vec2),
        light: wp.array(dtype=wp.vec3),
        key: wp.array(dtype=wp.vec3),
        sky: wp.array(dtype=wp.vec3),
        ground: wp.array(dtype=wp.vec3),
        out: wp.array3d(dtype=wp.vec4),
    ):
        b, i, j = wp.tid()
        if j < boxes[b, 0] or i < boxes[b, 1] or j > boxes[b, 2] or i > boxes[b, 3]:
            return
        eye = wp.vec3(0.0, 0.0, distance[b])
        ray = wp.normalize(
            wp.vec3((float(j) + 0.5 - centre[b][0]) / focal[b], -(float(i) + 0.5 - centre[b][1]) / focal[b], -1.0)
        )
        hit = wp.mesh_query_ray(meshes[b], eye, ray, 10.0)
        if not hit.result:
            return
        v0 = indices[hit.face * 3]
        v1 = indices[hit.face * 3 + 1]
        v2 = indices[hit.face * 3 + 2]
        w0 = hit.u
        w1 = hit.v
        w2 = 1.0 - hit.u - hit.v
        n = wp.normalize(normals[b, v0] * w0 + normals[b, v1] * w1 + normals[b, v2] * w2)
        colour = albedo[b, v0] * w0 + albedo[b, v1] * w1 + albedo[b, v2] * w2
        place = texture[b, v0] * w0 + texture[b, v1] * w1 + texture[b, v2] * w2
        shine = gloss[b, v0] * w0 + gloss[b, v1] * w1 + gloss[b, v2] * w2
        # Fine wrinkles and blotches, fixed to the skin: they bend the normal and tint the colour.
        seed = wp.rand_init(7)
        fine = wp.noise(seed, place * 900.0)
        blotch = wp.noise(seed, place * 120.0)
        n = wp.normalize(n + 0.10 * wp.vec3(fine, wp.noise(seed, place * 900.0 + wp.vec3(9.0, 3.0, 5.0)), 0.0))
        colour = colour * (1.0 + 0.05 * fine + 0.06 * blotch)
        if wp.dot(n, ray) > 0.0:
            n = n - 1.02 * wp.dot(n, ray) * ray
        point = eye + ray * hit.t
        facing = wp.dot(n, light[b])
        lit = wp.float32(1.0)
        if facing > -0.2:
            shadow = wp.mesh_query_ray(meshes[b], point + hit.normal * 0.0006 + light[b] * 0.0012, light[b], 1.0)
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
        around = sky[b] * up + ground[b] * (1.0 - up)
        # Rays near the surface tell how deep in a fold the point lies.
        fold = wp.mesh_query_ray(meshes[b], point + n * 0.0015, wp.normalize(n - 0.3 * ray), 0.03)
        if fold.result:
            around = around * (0.45 + 0.55 * fold.t / 0.03)
        half = wp.normalize(light[b] - ray)
        spark = wp.pow(wp.max(wp.dot(n, half), 0.0), 24.0) * shine * lit
        value = wp.cw_mul(colour, wp.cw_mul(soft * lit, key[b]) + around) + key[b] * spark
        out[b, i, j] = wp.vec4(value[0], value[1], value[2], 1.0)

    return wp, cast


def device() -> str:
    """The device that renders: ``"cuda:0"`` where there is a GPU, else ``"cpu"``."""
    wp, _ = _kernel()
    return "cuda:0" if wp.is_cuda_available() else "cpu"


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(B, V, 3) smooth normals, weighted by the area of the triangles."""
    import torch

    points = torch.as_tensor(vertices)
    corner = points[:, torch.as_tensor(faces)]  # (B, F, 3, 3)
    flat = torch.linalg.cross(corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0])
    out = torch.zeros_like(points)
    for k in range(3):
        out.index_add_(1, torch.as_tensor(faces[:, k]), flat)
    return torch.nn.functional.normalize(out, dim=-1).numpy()


def render(
    vertices: np.ndarray,
    faces: np.ndarray,
    albedo: np.ndarray,
    texture: np.ndarray,
    gloss: np.ndarray,
    camera: Camera,
    light: Light,
    size: tuple[int, int],
) -> np.ndarray:
    """Ray-cast B meshes, each with a shadow ray a pixel and smooth normals.

    Parameters
    ----------
    vertices, albedo, texture : (B, V, 3) float32
        Metres in the camera's frame (x right, y up, z to the camera), linear colour, place on the skin at rest.
    faces : (F, 3) int
        Triangles, counter-clockwise from outside.
    gloss : (B, V) float32
        Strength of the highlight, 0..1.
    camera, light
        One row a picture.
    size : (width, height)
        Pixels.

    Returns
    -------
    (B, height, width, 4) float32
        Linear colour and coverage (0 or 1).
    """
    wp, cast = _kernel()
    where = device()
    width, height = size
    indices = wp.array(np.ascontiguousarray(faces, np.int32).ravel(), dtype=wp.int32, device=where)
    out = np.empty((len(vertices), height, width, 4), np.float32)
    pixels = camera.project(vertices)
    boxes = np.concatenate([pixels.min(1) - 1, pixels.max(1) + 1], 1).clip(-1e6, 1e6).astype(np.int32)
    normals = vertex_normals(vertices, faces)

    def send(array, dtype):
        return wp.array(np.ascontiguousarray(array, np.float32), dtype=dtype, device=where)

    def cast_rows(rows: slice) -> None:
        meshes = [wp.Mesh(points=send(points, wp.vec3), indices=indices) for points in vertices[rows]]
        shape = (len(meshes), height, width)
        picture = wp.zeros(shape, dtype=wp.vec4, device=where)
        wp.launch(
            cast,
            dim=shape,
            inputs=[
                wp.array([mesh.id for mesh in meshes], dtype=wp.uint64, device=where),
                indices,
                send(normals[rows], wp.vec3),
                send(albedo[rows], wp.vec3),
                send(texture[rows], wp.vec3),
                send(gloss[rows], wp.float32),
                wp.array(np.ascontiguousarray(boxes[rows]), dtype=wp.int32, device=where),
                send(camera.distance[rows], wp.float32),
                send(camera.focal[rows], wp.float32),
                send(camera.centre[rows], wp.vec2),
                send(light.direction[rows], wp.vec3),
                send(light.key[rows], wp.vec3),
                send(light.sky[rows], wp.vec3),
                send(light.ground[rows], wp.vec3),
            ],
            outputs=[picture],
            device=where,
        )
        out[rows] = picture.numpy()

    chunks = [slice(k, min(k + CHUNK, len(vertices))) for k in range(0, len(vertices), CHUNK)]
    if where == "cpu" and len(chunks) > 1:
        # A launch on the processor uses one core and lets go of Python meanwhile: one chunk a core.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(cast_rows, chunks))
    else:
        for rows in chunks:
            cast_rows(rows)
    return out
