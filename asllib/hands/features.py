"""Features from landmarks, by small steps on points (..., 21, 3): x to the right, y down, z away from the camera."""

import pandas as pd
import torch
from torch import Tensor

from asllib.hands.landmarks import PARENTS, landmark_arrays

KNUCKLES = slice(5, 18, 4)  # 5, 9, 13, 17
# PyTorch indexes faster by a tensor than by a tuple.
_BASES = torch.tensor(PARENTS)
_MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def true_aspect(points: Tensor, aspect: Tensor) -> Tensor:
    """Bring image landmarks, x and z in widths, into one unit, the height; ``aspect`` (...) is width / height."""
    scale = torch.stack([aspect, torch.ones_like(aspect), aspect], dim=-1)  # (..., 3)
    return points * scale[..., None, :]


def wrist_origin(points: Tensor) -> Tensor:
    """Move the wrist to the origin."""
    return points - points[..., :1, :]


def palm_size(points: Tensor) -> Tensor:
    """Root mean square distance of the four finger knuckles from the wrist, (...); the palm is stiff."""
    spokes = points[..., KNUCKLES, :] - points[..., :1, :]  # (..., 4, 3)
    return torch.linalg.vector_norm(spokes, dim=(-2, -1)) / 2  # the root of 4 squares' mean


def palm_scale(points: Tensor) -> Tensor:
    """Divide by the palm's size; the points must be in one unit (see ``true_aspect``)."""
    return points / palm_size(points).clamp_min(1e-6)[..., None, None]


def mirror_left(points: Tensor, left: Tensor) -> Tensor:
    """Mirror left hands (True in ``left``, (...)) to right hands; the wrist must be the origin."""
    return torch.where(left[..., None, None], points * _MIRROR.to(points.device), points)


def bone_directions(points: Tensor) -> Tensor:
    """Unit vector of the bone that ends in each landmark (..., 21, 3); 0 at the wrist."""
    return torch.nn.functional.normalize(points - points.index_select(-2, _BASES.to(points.device)), dim=-1)


def landmark_features(landmarks: Tensor, world: Tensor, left: Tensor, aspect: Tensor) -> Tensor:
    """Turn the landmarks of hands (..., 21, 3) into the landmark network's features, (..., 9, 21) float32.

    Channels 0-2 are image x, y, z in palm sizes from the wrist, 3-5 unit vectors of the image's bones, 6-8 world x, y,
    z in palm sizes from the wrist. A left hand has the features of its mirror image, a right hand.

    ``landmarks`` and ``world`` are as in ``Hand``; if world landmarks are unknown (NaN or 0), the image's replace them.
    ``left`` (...) bool comes from the tracker, ``aspect`` (...) is width / height of the images.
    """
    image = true_aspect(landmarks.float(), aspect.float())
    known = torch.linalg.vector_norm(world[..., 9, :] - world[..., 0, :], dim=-1) > 0  # nor is NaN
    solid = torch.where(known[..., None, None], world.float(), image)
    both = palm_scale(wrist_origin(torch.stack([image, solid])))  # (2, ..., 21, 3): each step once
    image, solid = mirror_left(both, left)
    return torch.cat([image, bone_directions(image), solid], dim=-1).transpose(-1, -2)  # (..., 9, 21)


def landmark_inputs(table: pd.DataFrame) -> tuple[Tensor, ...]:
    """Landmark table to tensors: landmarks (N, 21, 3), world (N, 21, 3), left (N,), aspect (N,)."""
    arrays = landmark_arrays(table)
    return tuple(torch.tensor(arrays[name]) for name in ("landmarks", "world", "left", "aspect"))
