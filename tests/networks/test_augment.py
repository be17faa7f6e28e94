import math

import numpy as np
import pytest
import torch

from asllib.networks.landmark import LandmarkAugment, augment_landmarks
from asllib.networks.pixel import MAX_TURN, ImageAugment, augment_images

STILL_IMAGES = ImageAugment(turn=0, shift=0, zoom=0, contrast=0, brightness=0)
STILL_HANDS = LandmarkAugment(turn=0, tilt=0, stretch=0, jitter=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(**limits) -> ImageAugment:
    return ImageAugment(**{**vars(STILL_IMAGES), **limits})


@pytest.fixture
def images(blobs):
    return torch.from_numpy(blobs(64)).unsqueeze(1).float() / 255


@pytest.fixture
def batch(hands):
    landmarks, world = map(torch.from_numpy, hands(64))
    return landmarks, world, torch.linspace(0.5, 2, 64)


def centres(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre of brightness of each image, x and y as fractions of its size."""
    light = images[:, 0] - images.amin((1, 2, 3))[:, None, None]
    light = light / light.sum((1, 2), keepdim=True)
    place = (torch.arange(images.shape[-1]) + 0.5) / images.shape[-1]
    return (light.sum(1) * place).sum(1), (light.sum(2) * place).sum(1)


@pytest.mark.parametrize("turn", [30.1, 45, 90, 180, -1, math.nan])
def test_a_turn_that_makes_another_letter_is_refused(turn):
    for kind in (ImageAugment, LandmarkAugment):
        with pytest.raises(ValueError, match="G becomes Q"):
            kind(turn=turn)
        assert kind(turn=MAX_TURN).turn == 30


def test_images_keep_shape_type_and_range(images):
    changed = augment_images(images, ImageAugment(), seeded())
    assert changed.shape == images.shape and changed.dtype == images.dtype
    assert torch.isfinite(changed).all()
    assert (changed - images).abs().mean((1, 2, 3)).min() > 0.005  # every one is changed
    assert changed.mean() == pytest.approx(float(images.mean()), abs=0.05)
    assert changed.min() > -0.4 and changed.max() < 1.4
    assert changed.amax((1, 2, 3)).mean() == pytest.approx(float(images.amax((1, 2, 3)).mean()), abs=0.1)


def test_the_same_generator_gives_the_same_images(images, batch):
    first, again = (augment_images(images, ImageAugment(), seeded(3)) for _ in range(2))
    torch.testing.assert_close(first, again)
    assert (first - augment_images(images, ImageAugment(), seeded(4))).abs().mean() > 0.01
    here, there = (augment_landmarks(*batch, LandmarkAugment(), seeded(3)) for _ in range(2))
    torch.testing.assert_close(here, there)


def test_limits_of_0_change_nothing(images, batch):
    torch.testing.assert_close(augment_images(images, STILL_IMAGES, seeded()), images, atol=1e-5, rtol=0)
    landmarks, world = augment_landmarks(*batch, STILL_HANDS, seeded())
    torch.testing.assert_close(landmarks, batch[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(world, batch[1], atol=1e-6, rtol=0)


def test_brightness_and_contrast_change_these_alone(images):
    lit = augment_images(images, only(brightness=0.1), seeded()) - images
    assert lit.std((1, 2, 3)).max() < 1e-5
    shifts = lit.mean((1, 2, 3))
    assert -0.1 <= shifts.min() < -0.05 and 0.05 < shifts.max() <= 0.1
    contrasted = augment_images(images, only(contrast=0.2), seeded())
    torch.testing.assert_close(contrasted.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-4, rtol=0)
    factor = contrasted.std((1, 2, 3)) / images.std((1, 2, 3))
    assert 0.8 <= factor.min() < 0.9 and 1.1 < factor.max() <= 1.2001


def spot(x: float, y: float) -> torch.Tensor:
    """64 dark images with one light spot at (x, y), fractions of the size."""
    place = (torch.arange(28) + 0.5) / 28
    light = torch.exp(-((place - x) ** 2 + (place[:, None] - y) ** 2) / 0.002)
    return light.repeat(64, 1, 1, 1)


def test_shifts_stay_within_their_limit():
    x, y = centres(augment_images(spot(0.5, 0.5), only(shift=0.1), seeded()))
    for place in (x - 0.5, y - 0.5):
        assert -0.101 < place.min() < -0.07 and 0.07 < place.max() < 0.101
    assert np.corrcoef(x, y)[0, 1] ** 2 < 0.2


def test_turns_stay_within_their_limit_and_never_mirror():
    x, y = centres(augment_images(spot(0.8, 0.5), only(turn=20), seeded()))
    angle = torch.rad2deg(torch.atan2(y - 0.5, x - 0.5))
    assert -20.5 < angle.min() < -15 and 15 < angle.max() < 20.5
    radius = torch.hypot(x - 0.5, y - 0.5)
    torch.testing.assert_close(radius, torch.full((64,), 0.3), atol=0.01, rtol=0)


def test_zooms_stay_within_their_limit():
    x, _ = centres(augment_images(spot(0.8, 0.5), only(zoom=0.1), seeded()))
    scale = (x - 0.5) / 0.3
    assert 1 / 1.11 < scale.min() < 0.94 and 1.06 < scale.max() < 1 / 0.89


def units(landmarks, aspect):
    """Image landmarks in image heights, from the wrist."""
    points = landmarks * torch.stack([aspect, torch.ones_like(aspect), aspect], -1)[:, None]
    return points - points[:, :1]


def test_hands_keep_shape_and_wrist_and_stay_finite(batch):
    landmarks, world = augment_landmarks(*batch, LandmarkAugment(jitter=0), seeded())
    assert landmarks.shape == world.shape == (64, 21, 3)
    assert torch.isfinite(landmarks).all() and torch.isfinite(world).all()
    torch.testing.assert_close(landmarks[:, 0], batch[0][:, 0])
    torch.testing.assert_close(world[:, 0], batch[1][:, 0])
    assert (landmarks - batch[0]).abs().amax((1, 2)).min() > 0.003


def test_turns_and_tilts_keep_every_distance(batch):
    how = LandmarkAugment(stretch=0, jitter=0)
    landmarks, world = augment_landmarks(*batch, how, seeded())
    for after, before in (
        (units(landmarks, batch[2]), units(batch[0], batch[2])),
        (world - world[:, :1], batch[1] - batch[1][:, :1]),
    ):
        torch.testing.assert_close(torch.cdist(after, after), torch.cdist(before, before), atol=2e-3, rtol=1e-3)
        volume = [torch.linalg.det(points[:, (4, 12, 20)]).sign() for points in (after, before)]
        assert (volume[0] == volume[1]).float().mean() > 0.95  # turned, never mirrored


def test_image_and_world_are_moved_alike(batch):
    how = LandmarkAugment(jitter=0)
    landmarks, world = augment_landmarks(*batch, how, seeded())
    for i in range(0, 64, 9):
        found = []
        for before, after in (
            (units(batch[0], batch[2])[i], units(landmarks, batch[2])[i]),
            (batch[1][i] - batch[1][i, 0], world[i] - world[i, 0]),
        ):
            found.append(torch.linalg.lstsq(before, after).solution)
            torch.testing.assert_close(before @ found[-1], after, atol=1e-4, rtol=0)
        torch.testing.assert_close(*found, atol=1e-2, rtol=0)


def test_a_turn_alone_stays_in_the_image_plane_and_within_its_limit(batch):
    how = LandmarkAugment(turn=12, tilt=0, stretch=0, jitter=0)
    _, world = augment_landmarks(*batch, how, seeded())
    torch.testing.assert_close(world[..., 2], batch[1][..., 2], atol=1e-6, rtol=0)
    angles = []
    for points in (batch[1], world):
        finger = points[:, 9] - points[:, 0]
        angles.append(torch.rad2deg(torch.atan2(finger[:, 1], finger[:, 0])))
    turned = angles[1] - angles[0]
    assert -12.01 < turned.min() < -8 and 8 < turned.max() < 12.01


def changes(batch, **limits) -> torch.Tensor:
    """The matrix (64, 3, 3) by which each hand's world landmarks were changed."""
    _, world = augment_landmarks(*batch, LandmarkAugment(**{**vars(STILL_HANDS), **limits}), seeded())
    before, after = (points - points[:, :1] for points in (batch[1], world))
    return torch.linalg.lstsq(before, after).solution


def test_a_tilt_stays_within_its_limit_in_degrees(batch):
    tilted = torch.rad2deg(torch.acos(changes(batch, tilt=20)[:, 2, 2]))  # of what points to the camera, about two axes
    assert 15 < tilted.max() < 28.1


def test_a_stretch_stays_within_its_limit_along_each_axis_by_itself(batch):
    sizes = changes(batch, stretch=0.15).diagonal(dim1=1, dim2=2)
    for size in sizes.T:
        assert 0.849 < size.min() < 0.9 and 1.1 < size.max() < 1.151
    assert (torch.corrcoef(sizes.T) - torch.eye(3)).abs().max() < 0.5


def test_some_hands_lose_their_world_landmarks_as_tables_of_others_have_none():
    landmarks = torch.rand(2000, 21, 3, generator=seeded())
    world, aspect = torch.rand(2000, 21, 3, generator=seeded(1)), torch.ones(2000)
    points, moved = augment_landmarks(landmarks, world, aspect, LandmarkAugment(flat=0.2), seeded())
    dropped = moved.isnan().all((1, 2))
    assert 0.15 < dropped.float().mean() < 0.25 and points.isfinite().all() and moved[~dropped].isfinite().all()


def test_jitter_is_measured_in_palm_lengths(batch):
    how = LandmarkAugment(turn=0, tilt=0, stretch=0, jitter=0.02)
    _, world = augment_landmarks(*batch, how, seeded())
    palm = (batch[1][:, 9] - batch[1][:, 0]).norm(dim=-1)
    assert float(((world - batch[1]) / palm[:, None, None]).std()) == pytest.approx(0.02, rel=0.05)
