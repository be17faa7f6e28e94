import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from asllib.signer import render_letters, write_letters
from asllib.signer.scene import backdrop, draw_shot, draw_signer


def test_arrays_fit_together(alphabet_shots):
    shots = alphabet_shots
    assert len(shots) == 52 and shots.images.shape == (52, 224, 224, 3) and shots.images.dtype == np.uint8
    assert shots.landmarks.shape == shots.world.shape == (52, 21, 3)
    assert "".join(shots.labels[:26]) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert sorted(set(shots.signers)) == ["synthetic-3-000", "synthetic-3-001"]
    assert np.isfinite(shots.landmarks).all() and (shots.landmarks[:, 0, 2] == 0).all()
    assert shots.images.std((1, 2, 3)).min() > 5


@pytest.mark.slow
def test_the_same_seed_gives_the_same_set():
    a, b = (render_letters("AV", signers=2, views=2, size=64, seed=5) for _ in range(2))
    assert (a.images == b.images).mean() > 0.999 and np.allclose(a.landmarks, b.landmarks, atol=1e-5)
    other = render_letters("AV", signers=2, views=2, size=64, seed=6)
    assert not np.allclose(a.landmarks, other.landmarks, atol=1e-2)


@pytest.mark.slow
def test_a_larger_set_begins_with_the_smaller_one():
    small = render_letters("AS", signers=2, views=1, size=64, seed=5)
    large = render_letters("AS", signers=3, views=2, size=64, seed=5)
    # Signer, letter, view: the first view of each letter of the first two.
    assert np.allclose(small.landmarks, large.landmarks[:8:2], atol=1e-4)


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


def test_the_tracker_finds_nearly_every_hand_and_its_side(alphabet_shots):
    from asllib.hands import HandTracker

    hands = [HandTracker().detect(image) for image in alphabet_shots.images]
    found = [hand is not None for hand in hands]
    assert np.mean(found) >= 0.94
    right = [h.side == s for h, s in zip(hands, alphabet_shots.sides, strict=True) if h is not None]
    assert np.mean(right) > 0.75


def test_signers_span_the_skin_tones_and_persist():
    people = [draw_signer(0, k) for k in range(10)]
    assert sorted(person.tone for person in people) == list(range(1, 11))
    assert draw_signer(0, 4) == people[4] != draw_signer(1, 4)
    assert {draw_signer(0, k).side for k in range(20)} == {"left", "right"}


def test_shots_stay_within_the_asked_angle():
    rng = np.random.default_rng(0)
    tilts = [np.hypot(s.yaw, s.pitch) for s in (draw_shot(rng, 35) for _ in range(300))]
    assert 30 < max(tilts) <= 35 and 20 < np.mean(tilts) < 27


def test_backdrops_go_from_flat_to_cluttered():
    flat, full = backdrop(3, 0.0, (96, 64)), backdrop(3, 1.0, (96, 64))
    assert flat.shape == full.shape == (64, 96, 3)
    assert np.abs(np.diff(full, axis=1)).mean() > 3 * np.abs(np.diff(flat, axis=1)).mean()
    assert (full == backdrop(3, 1.0, (96, 64))).all()


def test_folder_has_photos_manifest_and_landmarks(tmp_path):
    out = write_letters(tmp_path / "set", letters="AB", signers=1, views=2, size=48, seed=2)
    manifest = pd.read_csv(out / "manifest.csv")
    assert list(manifest) == ["file", "label", "source", "signer", "original", "width", "height"]
    assert len(manifest) == 4 and set(manifest.source) == {"synthetic"} and set(manifest.width) == {48}
    table = pd.read_csv(out / "landmarks.csv")
    assert list(table.columns[:7]) == ["file", "label", "side", "score", "x0", "y0", "z0"]
    assert list(table.columns[-3:]) == ["wx20", "wy20", "wz20"] and table.shape[1] == 4 + 126
    for file in manifest.file:
        assert cv2.imread(str(out / file)).shape == (48, 48, 3)
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"letters": "A1"}, "'1' is not a letter"),
        ({"letters": ""}, "no letters"),
        ({"signers": 0}, "signers is 0"),
        ({"views": -1}, "views is -1"),
        ({"size": 27}, "size is 27"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_input_is_one_clear_line(wrong, said):
    with pytest.raises(ValueError, match=said) as error:
        render_letters(**{"letters": "A", "signers": 1, "views": 1, **wrong})
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write to"):
        write_letters(tmp_path / "file", letters="A", signers=1, views=1, size=28)


def test_import_is_light():
    code = "import sys, asllib.signer; print([m for m in ('torch', 'anny', 'warp') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
