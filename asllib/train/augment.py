"""Changes to images and landmarks that keep a letter the letter it is, on whole batches.

Nothing is mirrored: the mirror image of a right hand is a left hand, so pixels are mirrored only together with the
hand's side (``asllib.preprocess.to_pixels``). Turns in the image plane stay small, since G and Q, K and P, H and U
are one handshape in different directions, a right angle apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_TURN = 30.0  # degrees; halfway to 90 less the leeway that signers take


@dataclass(frozen=True)
class ImageAugment:
    """How far grey images are changed; each value is drawn evenly from -x..x (or 1 - x..1 + x for factors).

    Attributes
    ----------
    turn
        Degrees, at most 30.
    shift
        Fraction of the width and height.
    zoom, contrast
        Change of the factor.
    brightness
        In units of the range 0..1.
    """

    turn: float = 10.0
    shift: float = 0.1
    zoom: float = 0.1
    contrast: float = 0.2
    brightness: float = 0.1

    def __post_init__(self) -> None:
        _check_turn(self.turn)


@dataclass(frozen=True)
class LandmarkAugment:
    """How far hands are changed, in three dimensions.

    Attributes
    ----------
    turn
        Degrees in the image plane, at most 30.
    tilt
        Degrees about the axes in the image plane: another camera.
    stretch
        Change of the size along each axis, as people's hands differ.
    jitter
        Standard deviation of each point, in palm lengths: the tracker's error.
    """

    turn: float = 15.0
    tilt: float = 30.0
    stretch: float = 0.15
    jitter: float = 0.03

    def __post_init__(self) -> None:
        _check_turn(self.turn)


def augment_images(images: Tensor, how: ImageAugment, generator: torch.Generator) -> Tensor:
    """Turn, shift, zoom and relight a batch of grey images, each in its own way.

    Parameters
    ----------
    images
        (B, 1, H, W) float in 0..1.
    how
        The limits.
    generator
        Source of the randomness, on the CPU.

    Returns
    -------
    Tensor
        (B, 1, H, W), not clipped; beyond the border the outermost pixels are repeated.
    """
    batch = len(images)

    def draw(limit: float) -> Tensor:
        return limit * (2 * torch.rand(batch, generator=generator) - 1)

    angle, zoom = draw(math.radians(how.turn)), 1 + draw(how.zoom)
    moved = _warp(images, angle, zoom, 1.0, draw(how.shift), draw(how.shift), "border")
    contrast, brightness = (1 + draw(how.contrast)).to(images), draw(how.brightness).to(images)
    middle = moved.mean((1, 2, 3), keepdim=True)
    return (moved - middle) * contrast[:, None, None, None] + middle + brightness[:, None, None, None]


def augment_landmarks(
    landmarks: Tensor, world: Tensor, aspect: Tensor, how: LandmarkAugment, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Turn, tilt, stretch and shake a batch of hands, image and world landmarks alike.

    Parameters
    ----------
    landmarks
        (B, 21, 3) image landmarks as the tracker gives them.
    world
        (B, 21, 3) world landmarks.
    aspect
        (B,) width / height: turns are made where x and y have one unit.
    how
        The limits.
    generator
        Source of the randomness, on the CPU.

    Returns
    -------
    tuple
        landmarks, world: of the same shapes and units. Both are turned by the same angles, and shaken each by itself.
    """
    batch = len(landmarks)

    def draw(limit: float, *shape: int) -> Tensor:
        return limit * (2 * torch.rand(batch, *shape, generator=generator) - 1)

    rotation = _rotation(draw(math.radians(how.tilt)), draw(math.radians(how.tilt)), draw(math.radians(how.turn)))
    matrix = (rotation @ torch.diag_embed(1 + draw(how.stretch, 3))).to(landmarks)  # (B, 3, 3)
    unit = torch.stack([aspect, torch.ones_like(aspect), aspect], -1)[:, None]  # (B, 1, 3)

    def move(points: Tensor) -> Tensor:
        wrist = points[:, :1]
        palm = (points[:, 9] - points[:, 0]).norm(dim=-1)[:, None, None]
        noise = torch.randn(points.shape, generator=generator).to(points) * how.jitter * palm
        return (points - wrist) @ matrix.transpose(1, 2) + wrist + noise

    return move(landmarks * unit) / unit, move(world)


def _warp(
    images: Tensor, angle: Tensor, zoom: Tensor, stretch: Tensor | float, x: Tensor, y: Tensor, beyond: str
) -> Tensor:
    """Turn (radians), zoom, stretch and shift (fractions of the sides) images (B, C, H, W), each value (B,)."""
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    # Grid coordinates run from -1 to 1, so a shift by a fraction of the width is twice that fraction.
    rows = [torch.stack([cos * stretch, -sin, 2 * x], 1), torch.stack([sin, cos / stretch, 2 * y], 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=beyond, align_corners=False)


def _rotation(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Rotation about the axes x, then y, then z, angles (B,) in radians -> (B, 3, 3)."""
    one, zero = torch.ones_like(x), torch.zeros_like(x)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, -1).reshape(-1, 3, 3)

    about_x = matrix(one, zero, zero, zero, x.cos(), -x.sin(), zero, x.sin(), x.cos())
    about_y = matrix(y.cos(), zero, y.sin(), zero, one, zero, -y.sin(), zero, y.cos())
    about_z = matrix(z.cos(), -z.sin(), zero, z.sin(), z.cos(), zero, zero, zero, one)
    return about_z @ about_y @ about_x


def _check_turn(turn: float) -> None:
    if not 0 <= turn <= MAX_TURN:
        raise ValueError(f"turn={turn}: turn by 0..{MAX_TURN:g} degrees, beyond that G becomes Q and U becomes H")
