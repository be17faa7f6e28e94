import time
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from asllib.hands import FINGERS, HandTracker, features, landmark_features
from asllib.hands.features import (
    bone_directions,
    mirror_left,
    palm_scale,
    palm_size,
    true_aspect,
    wrist_origin,
)


def right_hand() -> torch.Tensor:
    """A right hand with its palm to the camera, fingers up and bent a little towards it; (1, 21, 3)."""
    points = torch.zeros(21, 3)
    for k, chain in enumerate(FINGERS.values()):
        for j, joint in enumerate(chain):
            points[joint] = torch.tensor([0.04 - 0.02 * k, -0.08 - 0.025 * j, -0.008 * j * j])
    points[1:5] += torch.tensor([0.02, 0.05, 0.0])
    return points[None] + torch.tensor([0.3, 0.7, 0.1])


def batch(n: int = 4) -> torch.Tensor:
    return right_hand() + 0.005 * torch.randn(n, 21, 3, generator=torch.Generator().manual_seed(0))


def test_each_step_does_what_it_says():
    points = batch()
    assert true_aspect(points, torch.full((4,), 2.0))[..., 0].equal(2 * points[..., 0])
    assert true_aspect(points, torch.full((4,), 2.0))[..., 1].equal(points[..., 1])
    centred = wrist_origin(points)
    assert centred[:, 0].abs().max() == 0
    scaled = palm_scale(centred)
    torch.testing.assert_close(palm_size(scaled), torch.ones(4))
    torch.testing.assert_close(palm_scale(3 * centred), scaled)
    left = torch.tensor([True, False, True, False])
    mirrored = mirror_left(scaled, left)
    torch.testing.assert_close(mirrored[0], scaled[0] * torch.tensor([-1, 1, 1]))
    assert mirrored[1].equal(scaled[1])
    bones = bone_directions(scaled)
    torch.testing.assert_close(bones[:, 1:].norm(dim=-1), torch.ones(4, 20))
    assert bones[:, 0].abs().max() == 0


def test_features_do_not_depend_on_place_size_or_shape_of_the_image():
    points, left = batch(), torch.zeros(4, dtype=torch.bool)
    square = landmark_features(points, points, left, torch.ones(4))
    assert square.shape[0] == 4 and square.shape[2] == 21 and square.dtype == torch.float32
    assert square.isfinite().all()
    wide = points * torch.tensor([0.5, 1, 0.5])  # the same hand in an image twice as wide as high
    torch.testing.assert_close(landmark_features(wide, points, left, torch.full((4,), 2.0)), square)
    moved = 0.5 * points + torch.tensor([0.1, -0.2, 0.3])
    torch.testing.assert_close(landmark_features(moved, points, left, torch.ones(4)), square, atol=1e-5, rtol=0)
    one = torch.cat(
        [landmark_features(points[i : i + 1], points[i : i + 1], left[:1], torch.ones(1)) for i in range(4)]
    )
    torch.testing.assert_close(one, square)


def test_a_mirrored_hand_has_the_same_features():
    points, aspect = batch(), torch.full((4,), 4 / 3)
    world = points - points.mean(1, keepdim=True)
    flip = torch.tensor([-1.0, 1, 1])
    right = landmark_features(points, world, torch.zeros(4, dtype=torch.bool), aspect)
    mirrored = points * flip + torch.tensor([1.0, 0, 0])
    left = landmark_features(mirrored, world * flip, torch.ones(4, dtype=torch.bool), aspect)
    torch.testing.assert_close(left, right, atol=1e-5, rtol=0)


def test_all_steps_give_the_first_channels():
    points, left, aspect = batch(), torch.tensor([True, False, False, True]), torch.full((4,), 1.5)
    found = landmark_features(points, points, left, aspect)
    points = features.palm_scale(features.wrist_origin(features.true_aspect(points, aspect)))
    torch.testing.assert_close(found[:, :3], features.mirror_left(points, left).transpose(1, 2))


def test_a_hand_without_size_gives_no_nan():
    zero = torch.zeros(1, 21, 3)
    assert landmark_features(zero, zero, torch.tensor([True]), torch.ones(1)).isfinite().all()


def test_one_hand_is_fast():
    points, left, aspect = batch(1), torch.tensor([True]), torch.ones(1)
    times = []
    for _ in range(200):
        start = time.perf_counter()
        landmark_features(points, points, left, aspect)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.002  # 0.2 ms on an idle machine


@pytest.mark.slow
def test_features_of_mirrored_photos_are_nearly_the_same(photos, read_photo):
    rows = photos[photos["label"].isin(list("ABCDEFGHIKLMNOPQRSTUVWXY"))].groupby(["source", "label"]).head(1)
    features = []
    tracker = HandTracker()
    for path in rows["path"]:
        image = read_photo(path)
        aspect = torch.tensor([image.shape[1] / image.shape[0]])
        hands = [tracker.detect(image), tracker.detect(np.ascontiguousarray(image[:, ::-1]))]
        if None not in hands:
            features.append(
                [
                    landmark_features(
                        torch.tensor(hand.landmarks)[None],
                        torch.tensor(hand.world)[None],
                        torch.tensor([hand.side == "left"]),
                        aspect,
                    )[0]
                    for hand in hands
                ]
            )
    assert len(features) > 0.9 * len(rows)
    plain, mirrored = (torch.stack(group) for group in zip(*features, strict=True))
    near = (plain - mirrored).square().mean((1, 2)).sqrt()
    far = (plain - mirrored.roll(len(plain) // 3, 0)).square().mean((1, 2)).sqrt()
    assert near.median() < 0.4 * far.median()


def test_features_are_made_where_the_landmarks_are(monkeypatch):
    """As on a GPU: on PyTorch's device without memory, a constant of the processor is an error."""
    points, left = torch.empty(4, 21, 3, device="meta"), torch.empty(4, dtype=torch.bool, device="meta")
    assert mirror_left(points, left).device.type == "meta"
    bases = Mock(wraps=features._BASES)  # PyTorch lets this one pass on such a device, and not on a GPU
    monkeypatch.setattr(features, "_BASES", bases)
    assert bone_directions(points).device.type == "meta"
    bases.to.assert_called_once_with(points.device)
