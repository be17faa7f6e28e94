import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asllib.hands.landmarks import FINGERS
from asllib.hands.look import Hand
from asllib.hands.pixels import (
    crop_box,
    crop_square,
    hand_crop,
    hand_mask,
    hand_only,
    resize,
    standardise,
    to_gray,
    to_pixels,
)


@pytest.fixture
def photo(blobs):
    """A smooth colour photo, 160 wide and 120 high."""
    red, green, blue = blobs(3, side=160)[:, :120]
    return np.stack([red, green, blue], -1)


def test_grey_is_the_brightness_that_people_see():
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]]], np.uint8)
    assert to_gray(colors).tolist() == [[76, 150, 29, 255, 0]]
    assert to_gray(colors[::-1, ::-1]).tolist() == [[0, 255, 29, 150, 76]]
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert to_gray(grey) is grey


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 700), st.integers(20, 700))
def test_the_crop_keeps_all_landmarks_inside(seed, width, height):
    points = np.random.default_rng(seed).uniform(-0.2, 1.2, (21, 3)).astype(np.float32)
    left, top, side = crop_box(Hand(points, points, "right", 1.0), width, height)
    x, y = points[:, 0] * width, points[:, 1] * height
    assert left <= x.min() and x.max() <= left + side
    assert top <= y.min() and y.max() <= top + side
    longest = max(np.ptp(x), np.ptp(y))
    assert side == pytest.approx(max(8, 1.5 * longest), abs=1)


def test_beyond_the_border_the_outermost_pixels_are_repeated(photo):
    inside = crop_square(photo, 10, 20, 50)
    np.testing.assert_array_equal(inside, photo[20:70, 10:60])
    beyond = crop_square(photo, -5, 100, 40)
    assert beyond.shape == (40, 40, 3)
    np.testing.assert_array_equal(beyond[:20, 5:], photo[100:, :35])
    assert (beyond[20:] == beyond[19]).all() and (beyond[:, :5] == beyond[:, 5:6]).all()


def test_without_a_hand_the_middle_square_is_taken(photo):
    np.testing.assert_array_equal(hand_crop(photo, None), photo[:, 20:140])


def test_resize_averages_when_it_shrinks():
    lines = np.zeros((280, 280), np.uint8)
    lines[::10] = 200  # one row of ten: sampling would show all or nothing
    assert set(np.unique(resize(lines))) == {20}
    assert resize(np.full((10, 12), 77, np.uint8)).tolist() == np.full((28, 28), 77).tolist()
    assert resize(np.zeros((50, 60, 3), np.uint8), 14).shape == (14, 14, 3)


def test_to_pixels(photo, one_hand):
    pixels = to_pixels(photo, one_hand)
    assert pixels.shape == (28, 28) and pixels.dtype == np.uint8
    np.testing.assert_array_equal(
        to_pixels(photo, one_hand, background=True), resize(to_gray(hand_crop(photo, one_hand)))
    )
    assert to_pixels(pixels, None) is pixels
    assert to_pixels(photo[..., 0], None).shape == (28, 28)


def test_what_lies_around_the_hand_does_not_count(photo, one_hand):
    points = one_hand.landmarks[:, :2] * [160, 120]
    mask = hand_mask(points, 120, 160)
    assert all(mask[round(y), round(x)] for x, y in points)
    elsewhere = photo.copy()
    elsewhere[~mask] = 255 - elsewhere[~mask]
    there, then = to_pixels(photo, one_hand), to_pixels(elsewhere, one_hand)
    kept = to_pixels(elsewhere, one_hand, background=True)
    assert np.abs(there.astype(int) - then).mean() < 1 < np.abs(there.astype(int) - kept).mean()


def test_the_mask_is_as_large_as_a_hand():
    flat = np.zeros((21, 2))
    for finger, places in enumerate(FINGERS.values()):
        flat[list(places)] = np.stack([np.full(4, 20 + 15 * finger), [70, 50, 40, 30]], 1)
    flat[0] = 50, 110
    mask = hand_mask(flat, 128, 128)
    assert mask[90, 50] and mask[35, 50] and not mask[5, 5] and not mask[120, 10]
    assert 0.2 < mask.mean() < 0.6
    smaller = hand_mask(flat / 2, 64, 64)
    assert smaller.mean() == pytest.approx(mask.mean(), rel=0.1)


def test_around_the_hand_lies_the_mean_of_the_hand(photo, one_hand):
    alone = hand_only(photo, one_hand)
    assert alone.shape == hand_crop(photo, one_hand).shape[:2]
    around = alone[0, 0]
    assert (alone == around).mean() > 0.3
    assert alone[alone != around].mean() == pytest.approx(float(around), abs=1)


def test_a_left_hand_is_mirrored(photo, one_hand):
    as_left = dataclasses.replace(one_hand, side="left")
    np.testing.assert_array_equal(to_pixels(photo, as_left), to_pixels(photo, one_hand)[:, ::-1])


def test_a_mirrored_photo_gives_the_same_pixels(photo, one_hand):
    points = one_hand.landmarks.copy()
    points[:, 0] = 1 - points[:, 0]
    mirrored = dataclasses.replace(one_hand, landmarks=points, side="left")
    there, back = to_pixels(photo, one_hand), to_pixels(photo[:, ::-1], mirrored)
    assert there.std() > 5
    assert np.abs(there.astype(int) - back).mean() < 3  # a pixel of the photo at most, by rounding


def test_standardise_removes_brightness_and_contrast(blobs):
    images = blobs(5).astype(np.float32) / 255
    standard = standardise(images)
    np.testing.assert_allclose(standard.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std((1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(standardise(0.3 * images + 0.4), standard, atol=1e-4)
    assert (standardise(np.full((2, 28, 28), 0.5, np.float32)) == 0).all()
