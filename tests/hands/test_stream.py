"""Frames of any rate at even moments."""

import numpy as np
import pytest

from asllib.hands.look import Hand
from asllib.hands.stream import RATE, Resampler, resample, stream_of


@pytest.fixture
def moving(hands):
    """Maker of a hand that goes to the right at one palm a second, seen at some rate."""
    landmarks, world = hands(1)

    def make(fps: float, seconds: float = 1.5, side: str = "right", lost=lambda time: False):
        times = np.arange(round(seconds * fps)) / fps
        step = np.array([0.2, 0, 0], np.float32)
        seen = [None if lost(t) else Hand(landmarks[0] + step * np.float32(t), world[0], side, 1.0) for t in times]
        return stream_of(seen, times, 4 / 3)

    return make


@pytest.mark.parametrize("fps", [10, 12.5, 15, 24, 30, 60])
def test_moments_are_even_and_the_same_at_every_frame_rate(moving, fps):
    even, reference = resample(moving(fps)), resample(moving(100))
    assert np.diff(even.times) == pytest.approx(1 / RATE)
    count = min(len(even), len(reference))
    assert count >= 28 - RATE / fps
    assert even.landmarks[:count] == pytest.approx(reference.landmarks[:count], abs=1e-4)


def test_short_gaps_are_read_across_and_long_ones_are_no_hand(moving):
    short = resample(moving(30, lost=lambda t: 0.5 < t < 0.7))
    assert short.found.all()
    assert np.diff(short.landmarks[:, 0, 0]) == pytest.approx(0.2 / RATE, abs=1e-4)
    long = resample(moving(30, lost=lambda t: 0.5 < t < 1.0))
    lost = long.times[~long.found]
    assert lost.min() == pytest.approx(0.55, abs=0.06) and lost.max() == pytest.approx(0.95, abs=0.06)


def test_frames_come_in_pieces_to_the_same_end(moving):
    stream = moving(24)
    sampler, moments = Resampler(), []
    for hand, time in zip(stream.hands(), stream.times, strict=True):
        moments += list(sampler.push(hand, time))
    assert np.array([hand.landmarks for _, hand in moments]) == pytest.approx(resample(stream).landmarks)


def test_a_moment_has_the_side_of_the_hand(moving):
    hands = moving(30, 3.0, "left").hands()
    sides = [Hand(hand.landmarks, hand.world, "right" if i >= 45 else "left", 1.0) for i, hand in enumerate(hands)]
    even = resample(stream_of(sides, np.arange(90) / 30, 4 / 3))
    assert even.left[even.times < 1.45].all() and not even.left[even.times > 1.5].any()
    assert 20 < even.left.sum() < 40


def test_hours_without_a_frame_are_a_few_empty_moments(hands):
    landmarks, world = hands(1)
    hand, sampler = Hand(landmarks[0], world[0], "right", 1.0), Resampler()
    first = list(sampler.push(hand, 0.0))
    after = list(sampler.push(hand, 8 * 3600.0))
    times, seen = zip(*after, strict=True)
    assert len(first) == 1 and 50 < len(after) < 200 and list(times) == sorted(times)
    assert times[-1] == pytest.approx(8 * 3600.0) and np.isfinite(seen[-1].landmarks).all()
    assert sum(hand is not None for hand in seen) <= 2


@pytest.mark.parametrize("stall", [0.2, 0.4, 1.0, 2.0])
@pytest.mark.parametrize("lost", [False, True])
def test_a_stall_is_no_hand_that_is_away(moving, stall, lost):
    """Frames stop coming while the hand stays, and it may be missed in the first one after that."""
    seen = moving(30).hands()
    times = np.arange(45) / 30
    times[20:] += stall
    if lost:
        seen[20] = None
    even = resample(stream_of(seen, times, 4 / 3))
    assert even.found.all()
    steps = np.diff(even.times)
    assert (steps > 0.9 / RATE).all() and (steps < 1.1 / RATE).sum() >= len(steps) - 1  # in order, and even but there
    assert (np.diff(even.landmarks[:, 0, 0]) >= 0).all()


def test_frames_that_are_dropped_at_random_leave_no_gap(moving, rng):
    stream = moving(30, 4.0)
    kept = [0, *np.flatnonzero(rng.random(len(stream)) < 0.2)]
    even = resample(stream_of([stream.hands()[i] for i in kept], stream.times[kept], 4 / 3))
    assert np.diff(stream.times[kept]).max() > 0.4 and even.found.all() and (np.diff(even.times) > 0).all()
