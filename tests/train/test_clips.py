import dataclasses

import numpy as np
import pytest
import torch

from asllib.hands.look import Hand
from asllib.hands.stream import stream_of
from asllib.networks.spelling import NEITHER, SIGNS
from asllib.train.clips import IGNORE, augment, augment_each, batch_clips, film_clip, wander
from asllib.train.films import practice_plans
from asllib.train.takes import Takes, piece_together, still_clip


@pytest.fixture
def stills(hands):
    """Two hands of every sign, in palm sizes from the wrist."""
    _, world = hands(2 * len(SIGNS))
    points = ((world - world[:, :1]) / 0.09).astype(np.float32)
    return Takes(np.stack([points, points], 1), np.array(list(SIGNS) * 2))


def test_seen_from_elsewhere_it_is_still_the_same_word(stills):
    rng = np.random.default_rng(2)
    clip = piece_together(stills, rng)
    other = augment(clip, rng)
    assert other.spelled == clip.spelled and set(other.targets) <= set(clip.targets)
    assert len(other.targets) == len(other.landmarks) == len(other.shapes)


def test_still_hands_are_each_seen_from_elsewhere(stills):
    rng = np.random.default_rng(4)
    clip = still_clip(stills, 400, rng)
    same = dataclasses.replace(clip, landmarks=clip.landmarks[[0] * 400], world=clip.world[[0] * 400])
    other = augment_each(same, rng)
    assert (other.targets is same.targets) and (other.shapes is same.shapes)
    assert other.landmarks.dtype == other.world.dtype == np.float32
    assert 0.2 < np.isnan(other.world[:, 0, 0]).mean() < 0.4
    directions = other.landmarks[:, 9] - other.landmarks[:, 0]
    lengths = np.linalg.norm(directions, axis=1)
    before = np.linalg.norm(same.landmarks[0, 9] - same.landmarks[0, 0])
    assert 0.7 * before < lengths.min() and lengths.max() < 1.4 * before
    angles = np.degrees(np.arccos((directions[1:] @ directions[0]) / lengths[1:] / lengths[0]))
    assert np.median(angles) > 10 and len(np.unique(angles)) > 390


def test_a_hand_that_wanders_shows_what_it_showed_elsewhere(stills):
    rng = np.random.default_rng(3)
    moved, grown = [], []
    for _ in range(30):
        clip = piece_together(stills, rng)
        other = wander(clip, rng)
        assert (other.targets is clip.targets) and (other.world is clip.world) and other.spelled == clip.spelled
        found = np.isfinite(clip.landmarks[:, 0, 0])
        assert np.array_equal(found, np.isfinite(other.landmarks[:, 0, 0]))
        before, after = clip.landmarks[found], other.landmarks[found]
        sizes = [np.linalg.norm(x[:, 9] - x[:, 0], axis=-1)[:, None, None] for x in (before, after)]
        np.testing.assert_allclose((after - after[:, :1]) / sizes[1], (before - before[:, :1]) / sizes[0], atol=1e-4)
        moved.append(np.abs(after[:, 0] - before[:, 0]).max())
        grown.append(np.abs(np.log(sizes[1] / sizes[0])).max())
    assert np.median(moved) > 0.2 and np.median(grown) > 0.1 and max(grown) < 2
    nobody = film_clip(stream_of([None] * 9, np.arange(9) / 15, 1.0))
    assert wander(nobody, rng) is nobody


def test_films_become_clips_of_right_hands(hands):
    landmarks, world = hands(1)
    seen = [Hand(landmarks[0], world[0], "left", 1.0)] * 40
    positions = np.array([-1] * 10 + [0] * 10 + [-1] * 10 + [1] * 10)
    clip = film_clip(stream_of(seen, np.arange(40) / 20, 1.5, word="AJ", positions=positions))
    assert clip.spelled == (1, 10) and (clip.targets[10:20] == 1).all() and (clip.targets[:9] == NEITHER).all()
    assert clip.targets[30] == NEITHER and clip.targets[39] == 10
    assert (clip.shapes[30:40] == IGNORE).all()  # J begins as I
    assert clip.landmarks[0, :, 0] == pytest.approx(-landmarks[0, :, 0] * 1.5, abs=1e-5)


def test_batches_end_with_moments_without_a_hand(stills):
    rng = np.random.default_rng(4)
    clips = [piece_together(stills, rng) for _ in range(3)]
    features, targets, spelled, _ = batch_clips(clips, 5)
    longest = max(len(clip.targets) for clip in clips)
    assert features.shape == (3, 9 * 21 + 5, longest + 5) and torch.isfinite(features).all()
    assert (features[:, :, -5:] == 0).all()
    assert [tuple(one[one != NEITHER].tolist()) for one in spelled] == [clip.spelled for clip in clips]
    short = min(range(3), key=lambda i: len(clips[i].targets))
    assert (targets[short, len(clips[short].targets) + 5 :] == IGNORE).all()


def test_practice_films_have_every_letter_and_other_signers():
    plans = practice_plans(100, 1001)
    assert set("".join(plan.word for plan in plans)) == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert len({(plan.seed, plan.signer) for plan in plans}) == 100
    assert all(2 <= plan.letters_per_second <= 5 for plan in plans)
    assert any(a == b for plan in plans for a, b in zip(plan.word, plan.word[1:], strict=False))
