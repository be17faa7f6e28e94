"""How deep one finger of the synthetic signer's hands lies inside another, measured on the mesh."""

from __future__ import annotations

import numpy as np
import warp as wp

from asllib.signer.hand import DIGITS, hand_model


@wp.kernel(enable_backward=False)
def _depth(mesh: wp.uint64, points: wp.array[wp.vec3], out: wp.array[wp.float32]):
    i = wp.tid()
    near = wp.mesh_query_point_sign_winding_number(mesh, points[i], 0.03)
    if near.result and near.sign < 0.0:
        out[i] = wp.length(wp.mesh_eval_position(mesh, near.face, near.u, near.v) - points[i])


def overlap(vertices: np.ndarray) -> np.ndarray:
    """(B,) metres by which the skin of one finger lies inside another.

    Parameters
    ----------
    vertices
        (B, V, 3) from ``skin``. The skin of the last two phalanges is looked for inside the other fingers; first
        phalanges share the web between them.
    """
    model = hand_model()
    weights, faces = model.weights.numpy(), model.faces.numpy()
    outer = [np.flatnonzero(weights[:, bones[1:]].sum(1) > 0.9) for bones in DIGITS]
    tubes = []
    for bones in DIGITS:
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
            wp.launch(_depth, dim=len(points), inputs=inputs, outputs=[found], device="cpu")
            out[k] = max(out[k], found.numpy().max())
    return out
