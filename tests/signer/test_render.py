import numpy as np
import pytest

from asllib.signer import render_letters


def test_what_is_nearer_to_the_camera_has_a_smaller_z(alphabet_shots):
    """A fist shows its palm: the fingers' second joints are nearer than the knuckles, in the picture and in metres."""
    fists = np.isin(alphabet_shots.labels, list("AS"))
    for points in (alphabet_shots.landmarks[fists], alphabet_shots.world[fists]):
        assert (points[:, [6, 10, 14], 2] < points[:, [5, 9, 13], 2]).all()
    # One unit: z of the picture in widths, as x is.
    ratio = [np.ptp(points[..., 2], axis=1) / np.ptp(points[..., 0], axis=1)
             for points in (alphabet_shots.landmarks, alphabet_shots.world)]  # fmt: skip
    assert np.median(ratio[0] / ratio[1]) == pytest.approx(1, abs=0.15)


def test_hands_stay_in_the_picture(alphabet_shots):
    xy = alphabet_shots.landmarks[..., :2]
    assert xy.min() > -0.02 and xy.max() < 1.02


@pytest.mark.slow
def test_landmarks_lie_on_the_hand():
    shots = render_letters("BVLY", signers=3, views=2, size=224, seed=11)
    from asllib.hands import HandTracker

    errors = []
    for image, truth in zip(shots.images, shots.landmarks, strict=True):
        hand = HandTracker().detect(image)
        if hand is None:
            continue
        size = np.linalg.norm(truth[:, None, :2] - truth[None, :, :2], axis=-1).max()
        errors.append(np.linalg.norm(hand.landmarks[:, :2] - truth[:, :2], axis=1).mean() / size)
    assert len(errors) >= 23  # of 24
    assert np.median(errors) < 0.06


@pytest.mark.slow
def test_the_tracker_finds_nearly_every_hand_and_its_side(alphabet_shots):
    from asllib.hands import HandTracker

    hands = [HandTracker().detect(image) for image in alphabet_shots.images]
    found = [hand is not None for hand in hands]
    assert np.mean(found) >= 0.94
    right = [h.side == s for h, s in zip(hands, alphabet_shots.sides, strict=True) if h is not None]
    assert np.mean(right) > 0.75
