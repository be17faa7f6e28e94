import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mirrored import mirror_hand

from asllib.errors import InputError
from asllib.hands import ATTEMPTS, LOOKS, Attempt, Hand, HandTracker, hand_crop, look_at
from asllib.hands import tracker as module
from asllib.hands.tracker import Side, bend, find, prepare, prominence, settle, useful
from asllib.signer import render_letters

ROOT = Path(module.__file__).parents[2]
BLACK = np.zeros((240, 360, 3), np.uint8)
BIG, SMALL = 5, 2  # of the drawn hands: a left Y and a right B


def scene(*hands: tuple[np.ndarray, int, int, int]) -> np.ndarray:
    """A grey frame of 360x240 pixels with square pictures: each has its side and its upper left corner."""
    frame = np.full((240, 360, 3), 123, np.uint8)
    for picture, side, x, y in hands:
        frame[y : y + side, x : x + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return frame


def middle(hand: Hand) -> float:
    """Where a hand is, from the left border, 0, to the right one, 1."""
    return float(hand.landmarks[:, 0].mean())


@pytest.fixture
def finds(monkeypatch):
    """The results of all calls of ``find``."""
    found = []

    def counted(image, attempt):
        found.append(find(image, attempt))
        return found[-1]

    monkeypatch.setattr(module, "find", counted)
    return found


@pytest.fixture
def looks(monkeypatch):
    """What looks saw: the sides as they are said, and whether crops were mirrored; ``say`` changes what is seen."""
    seen = SimpleNamespace(mirrored=[], say=lambda number, hand: hand)

    def look(image, crop):
        seen.mirrored.append(crop.mirrored)
        return seen.say(len(seen.mirrored) - 1, look_at(image, crop))

    monkeypatch.setattr(module, "look_at", look)
    return seen


@pytest.fixture
def frame(drawn):
    """A frame with a left hand."""
    return scene((drawn[0][BIG], 200, 0, 0))


@pytest.mark.parametrize("shape", [(4, 33_000, 3), (33_000, 4, 3)])
def test_a_side_that_mediapipe_cannot_take_is_shrunk(shape, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "find", lambda image, attempt: seen.append(image) or find(image, attempt))
    single, video = HandTracker(attempts=ATTEMPTS[:1]), HandTracker(video=True, attempts=ATTEMPTS[:1])
    assert single.detect(np.zeros(shape, np.uint8)) is None and video.detect(np.zeros(shape, np.uint8), 0) is None
    assert single.detect_looks(np.zeros(shape, np.uint8)) == ()
    assert [max(image.shape) for image in seen] == [module.LARGEST] * 3 and min(seen[0].shape) >= 1


def test_a_hand_in_a_huge_image_is_found_where_it_is(drawn):
    small = drawn[0][BIG]
    huge = cv2.resize(small, (6000, 6000))
    there, here = HandTracker().detect(huge), HandTracker().detect(small)
    np.testing.assert_allclose(there.landmarks[:, :2], here.landmarks[:, :2], atol=0.01)


PREPARED = [
    *ATTEMPTS,
    Attempt(pad=0.4),
    Attempt(size=300),
    Attempt(part=(0.3, 0.8, 0.7)),
    Attempt(part=(1.0, 0.0, 0.5), pad=0.5, size=160),
]


@pytest.mark.parametrize("attempt", PREPARED)
@pytest.mark.parametrize(("width", "height"), [(640, 480), (91, 200), (64, 64)])
def test_what_is_found_in_a_prepared_image_is_brought_back_to_where_it_was(attempt, width, height):
    ramp_x, ramp_y = np.meshgrid(np.linspace(0, 250, width), np.linspace(0, 250, height))
    image = np.stack([ramp_x, ramp_y, 0 * ramp_x], axis=-1).astype(np.uint8)
    plain = replace(attempt, tint=False, lit=False)  # colours say where they are from
    seen, (scale, offset) = prepare(image, plain)
    if attempt.size is not None:
        assert max(seen.shape[:2]) == attempt.size
    rows, columns = seen.shape[:2]
    margin = attempt.pad / (1 + 2 * attempt.pad)  # of a square; less than the border's share of the shorter side
    for u, v in np.random.default_rng(0).uniform(margin + 0.1, 0.9 - margin, (21, 2)):
        x, y = np.array([u, v]) * scale[:2] + offset[:2]
        if not (0 < x < 1 and 0 < y < 1):  # the border
            continue
        shown = seen[min(int(v * rows), rows - 1), min(int(u * columns), columns - 1)]
        step = 250 * 2 / min(seen.shape[:2]) + 4
        assert abs(int(shown[0]) - 250 * x) < step and abs(int(shown[1]) - 250 * y) < step
    assert scale[2] == scale[0] and offset[2] == 0  # depth is in widths
    coloured, back = prepare(image, attempt)
    assert coloured.shape == seen.shape
    np.testing.assert_array_equal(back, (scale, offset))


def test_a_part_is_a_square_where_it_is_said():
    image = np.arange(60 * 100 * 3).reshape(60, 100, 3).astype(np.uint8)
    for (right, down, part), (x, y, side) in {
        (0.0, 0.0, 1.0): (0, 0, 60),
        (1.0, 0.5, 1.0): (40, 0, 60),
        (0.5, 1.0, 0.5): (35, 30, 30),
    }.items():
        seen, (scale, offset) = prepare(image, Attempt(part=(right, down, part)))
        np.testing.assert_array_equal(seen, image[y : y + side, x : x + side])
        np.testing.assert_allclose(scale * (100, 60, 100), side)
        np.testing.assert_allclose(offset * (100, 60, 100), (x, y, 0))


def test_tint_and_blur_change_colours_alone():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    tinted, _ = prepare(image, Attempt(tint=True))
    np.testing.assert_allclose(tinted, image * np.array(module.TINT), atol=1)
    blurred, _ = prepare(image, Attempt(blur=2.0))
    assert blurred.std() < 0.25 * image.std() and blurred.mean() == pytest.approx(image.mean(), abs=2)


def test_squares_that_show_no_more_than_the_whole_image_are_left_out():
    whole, square, small = Attempt(pad=0.3), Attempt(part=(0.5, 0.5, 1.0)), Attempt(part=(0.0, 0.0, 0.5))

    def left(*shape):
        return useful((whole, square, small), np.zeros((*shape, 3), np.uint8))

    assert left(480, 640) == [whole, square, small] and left(640, 480) == [whole, square, small]
    assert left(240, 320) == [whole, square]  # half of it has fewer pixels than the detector looks at
    assert left(400, 400) == [whole, small]  # all of it is a square
    assert left(100, 300) == [whole]


def test_only_dark_images_are_shown_lit():
    plain, lit = Attempt(), Attempt(lit=True)
    bright, dark = (np.full((100, 100, 3), value, np.uint8) for value in (150, 20))
    assert useful((plain, lit), bright) == [plain] and useful((plain, lit), dark) == [plain, lit]
    assert prepare(dark, lit)[0].mean() > 100 and prepare(bright, lit)[0].mean() == 150


def mediapipe_says(monkeypatch, *hands: tuple[float, float, float, str]):
    """Let MediaPipe find hands, each of one point, its depth and a side."""

    def point(x, y, z):
        return SimpleNamespace(x=x, y=y, z=z)

    result = SimpleNamespace(
        hand_landmarks=[[point(x, y, z)] * 21 for x, y, z, _ in hands],
        hand_world_landmarks=[[point(0.01, 0.02, 0.03)] * 21 for _ in hands],
        handedness=[[SimpleNamespace(category_name=side, score=0.9)] for *_, side in hands],
    )
    monkeypatch.setattr(module, "_landmarker", lambda confidence: SimpleNamespace(detect=lambda frame: result))


def test_hands_that_are_found_with_room_around_a_wide_picture_lie_where_they_were(monkeypatch):
    # Corners of 200x100 pixels with 120 more on every side.
    mediapipe_says(monkeypatch, (120 / 440, 220 / 340, 0.1, "Left"), (320 / 440, 120 / 340, 0.2, "Right"))
    upper, lower = find(np.zeros((100, 200, 3), np.uint8), Attempt(pad=0.6, size=256))  # the higher one first
    np.testing.assert_allclose(upper.landmarks, [[1, 0, 0.2 * 440 / 200]] * 21, atol=1e-6)
    np.testing.assert_allclose(lower.landmarks, [[0, 1, 0.1 * 440 / 200]] * 21, atol=1e-6)
    assert (upper.side, lower.side, upper.score) == ("right", "left", 0.9)
    np.testing.assert_allclose(upper.world, [[0.01, 0.02, 0.03]] * 21)
    assert upper.embedding is None


def test_hands_that_are_nearer_higher_and_not_hanging_are_more_prominent(one_hand):
    def moved(size=1.0, down=0.0, turned=1):
        points = one_hand.landmarks - one_hand.landmarks[:1]
        points = points * np.float32([size, size * turned, size]) + np.float32([0.5, 0.5 + down, 0])
        return prominence(replace(one_hand, landmarks=points), 1.0)

    here = moved()
    assert moved(size=2.0) > here + 0.5 and moved(down=0.2) == pytest.approx(here - 0.3, abs=1e-3)
    assert moved(turned=-1) < here - 0.9


def test_bad_images_and_calls_get_one_clear_line():
    good = np.zeros((32, 32, 3), np.uint8)
    tracker = HandTracker(attempts=ATTEMPTS[:1])
    for image, words in (
        ("photo.jpg", "str"),
        (np.zeros((32, 32), np.uint8), r"\(32, 32\)"),
        (np.zeros((32, 32, 3)), "float64"),
        (np.zeros((0, 32, 3), np.uint8), "empty"),
    ):
        for look in (tracker.detect, tracker.detect_looks):
            with pytest.raises(InputError, match=words):
                look(image)
    with pytest.raises(InputError, match="video=True"):
        tracker.detect(good, 5)
    video = HandTracker(video=True)
    with pytest.raises(InputError, match="timestamp_ms"):
        video.detect(good)
    with pytest.raises(InputError, match="single images"):
        video.detect_looks(good)
    assert tracker.detect(good) is None
    assert tracker.detect(np.zeros((1, 1, 3), np.uint8)) is None


def test_noise_is_no_hand():
    rng = np.random.default_rng(0)
    tracker = HandTracker()
    assert tracker.detect(rng.integers(0, 256, (120, 160, 3), np.uint8)) is None
    assert tracker.detect(np.full((120, 160, 3), 255, np.uint8)) is None


def test_trackers_share_what_is_slow_to_make():
    blank = np.zeros((64, 64, 3), np.uint8)
    HandTracker().detect(blank)
    made = module._landmarker.cache_info()
    assert HandTracker().detect(blank) is None
    after = module._landmarker.cache_info()
    assert made.misses == after.misses and after.hits > made.hits


def test_threads_find_what_one_finds(drawn):
    alone = [HandTracker().detect(image) for image in drawn[0]]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda image: HandTracker().detect(image), drawn[0]))
    assert sum(hand is not None for hand in alone) >= 6
    for hand, other in zip(alone, together, strict=True):
        assert (hand is None) == (other is None)
        if hand is not None:
            np.testing.assert_array_equal(hand.landmarks, other.landmarks)


@pytest.mark.parametrize(("found", "how"), [(True, "import asllib.hands"), (False, "import asllib.hands"), (False, "")])
@pytest.mark.slow
def test_nothing_is_printed_not_even_at_exit(tmp_path, drawn, found, how):
    np.save(tmp_path / "image.npy", drawn[0][BIG] if found else np.zeros((64, 64, 3), np.uint8))
    code = (
        "import sys, numpy as np\n"
        f"{how}\n"  # which decides what is left when the interpreter takes its modules apart
        "from asllib.hands import HandTracker\n"
        "from asllib.quiet import LOG_LINE, without_lines\n"
        "image = np.load('image.npy')\n"
        "tracker, video = HandTracker(), HandTracker(video=True)\n"  # nobody closes them
        f"assert (tracker.detect(image) is not None) is {found}\n"
        f"assert (video.detect(image, 0) is not None) is {found}\n"
        "with without_lines(LOG_LINE):\n"
        "    print('WARNING: of another kind', file=sys.stderr, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (run.returncode, run.stdout, run.stderr.strip()) == (0, "", "WARNING: of another kind")


def test_the_package_imports_neither_mediapipe_nor_torch():
    code = "import sys, asllib.hands; print({'mediapipe', 'torch', 'cv2', 'pandas', 'numpy'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.stdout.strip() == "set()", run.stderr


def test_a_right_hand_is_right_and_left_in_the_mirror(photos, read_photo):
    # The five signers of this source show their right hand, and the pictures are not mirrored.
    rows = photos[(photos["source"] == "massey") & photos["label"].isin(list("BLVY"))]
    tracker, right = HandTracker(), []
    for path in rows.groupby("label").head(2)["path"]:
        image = read_photo(path)
        hand, mirrored = tracker.detect(image), tracker.detect(np.ascontiguousarray(image[:, ::-1]))
        right += [hand.side == "right", mirrored.side == "left"]
        assert 0.5 < hand.score <= 1 and 0.5 < hand.presence <= 1
        assert hand.landmarks.shape == hand.world.shape == (21, 3) and hand.embedding.shape == (1152,)
        assert np.median(np.abs(1 - mirrored.landmarks[:, 0] - hand.landmarks[:, 0])) < 0.1
        assert 0.03 < np.linalg.norm(hand.world[9] - hand.world[0]) < 0.15  # metres
    assert len(right) == 16 and sum(right) >= 15


def test_a_hand_that_is_found_in_a_changed_picture_is_looked_at_twice_more(drawn, monkeypatch):
    image, padded = drawn[0][BIG], Attempt(pad=0.25)
    (found,) = find(image, padded)
    seen = found
    for _ in range(3):
        seen = look_at(image, hand_crop(seen.landmarks, 224, 224, left=True))
    hand = HandTracker(attempts=(padded,)).detect(image)
    np.testing.assert_array_equal(hand.landmarks, seen.landmarks)
    monkeypatch.setattr(module, "PRESENCE", 1.1)  # of a look that sees no hand, what was found remains
    assert settle(image, found) is found


def test_all_looks_see_the_same_hand_in_the_mirror_too(photos, read_photo):
    path = photos[(photos["source"] == "massey") & (photos["label"] == "W")]["path"].iloc[0]
    image = read_photo(path)
    tracker = HandTracker()
    hands, mirrored = tracker.detect_looks(image), tracker.detect_looks(np.ascontiguousarray(image[:, ::-1]))
    assert [hand.side for hand in hands] == ["right"] * len(LOOKS)
    assert [hand.side for hand in mirrored] == ["left"] * len(LOOKS)
    for hand in (*hands, *map(mirror_hand, mirrored)):
        assert np.median(np.abs(hands[0].landmarks - hand.landmarks)[:, :2]) < 0.05
        assert np.corrcoef(hands[0].embedding, hand.embedding)[0, 1] > 0.9
    assert tracker.detect_looks(np.zeros((50, 50, 3), np.uint8)) == ()


def test_looks_are_crops_of_the_hand_that_was_found(drawn):
    image = drawn[0][BIG]
    (found,) = find(image, ATTEMPTS[0])
    hands = HandTracker().detect_looks(image)
    assert len(hands) == len(LOOKS) and found.side == "left"
    for hand, (turn, zoom) in zip(hands, LOOKS, strict=True):
        seen = look_at(image, hand_crop(found.landmarks, 224, 224, left=True, turn=turn, zoom=zoom))
        np.testing.assert_array_equal(hand.landmarks, seen.landmarks)
        np.testing.assert_array_equal(hand.embedding, seen.embedding)
    np.testing.assert_array_equal(HandTracker().detect(image).landmarks, hands[0].landmarks)
    shapes = {hand.landmarks.tobytes() for hand in hands}
    assert len(shapes) == len(LOOKS)  # each sees it otherwise


def unbent(hand, side: str, score: float, bent: float = 0.0):
    """The hand with straight fingers, which tell no side, or bent ones, and a side that MediaPipe says."""
    landmarks = hand.landmarks.copy()
    landmarks[8::4] = landmarks[5::4] + bent * (landmarks[8::4] - landmarks[5::4])
    return replace(hand, landmarks=landmarks, side=side, score=score)


def test_looks_agree_on_the_side_that_most_evidence_is_for(drawn, looks):
    image, number = drawn[0][BIG], len(LOOKS)
    looks.say = lambda i, hand: unbent(hand, "right" if i == 1 else "left", 0.95)
    assert [hand.side for hand in HandTracker().detect_looks(image)] == ["left"] * number
    assert looks.mirrored == [True] * number

    looks.mirrored.clear()
    looks.say = lambda i, hand: unbent(hand, "right", 0.99, -1.0)  # MediaPipe found a left one
    hands = HandTracker().detect_looks(image)
    assert [hand.side for hand in hands] == ["right"] * number and hands[0].score > 0.9
    assert looks.mirrored == [True] * number + [False] * number  # looked at again as a right one


def test_a_look_that_sees_no_hand_is_left_out_and_without_the_first_there_is_none(drawn, looks):
    image = drawn[0][BIG]
    looks.say = lambda i, hand: replace(hand, presence=0.3 if i == 1 else 0.9)
    assert len(HandTracker().detect_looks(image)) == len(LOOKS) - 1
    looks.mirrored.clear()
    looks.say = lambda i, hand: replace(hand, presence=0.3)
    assert HandTracker(attempts=ATTEMPTS[:1]).detect_looks(image) == () and len(looks.mirrored) == 1


def test_of_two_hands_the_more_prominent_one_counts_if_a_look_sees_it(drawn, finds, looks):
    image = scene((drawn[0][BIG], 200, 0, 0), (drawn[0][SMALL], 120, 215, 120))
    assert middle(HandTracker().detect(image)) < 0.5 and len(finds[0]) == 2
    looks.mirrored.clear()
    looks.say = lambda i, hand: replace(hand, presence=0.1 if middle(hand) < 0.5 else 0.9)
    assert middle(HandTracker().detect(image)) > 0.5


def test_attempts_are_made_in_turn_until_one_finds_a_hand(drawn, monkeypatch):
    image, asked = drawn[0][BIG], []
    (found,) = find(image, Attempt())

    def third(image, attempt):
        asked.append(attempt)
        return [found] if len(asked) == 3 else []

    monkeypatch.setattr(module, "find", third)
    assert HandTracker().detect(image) is not None and asked == useful(ATTEMPTS, image)[:3]


@pytest.mark.slow
def test_tight_crops_are_found_at_a_later_attempt(photos, read_photo):
    rows = photos[(photos["source"] == "massey") & photos["label"].isin(list("CEMO"))].iloc[::4]
    images = [read_photo(path) for path in rows["path"]]
    first = [HandTracker(attempts=ATTEMPTS[:1]).detect(image) for image in images]
    hands = [HandTracker().detect(image) for image in images]
    assert sum(hand is None for hand in first) >= 5
    assert all(hand is not None for hand in hands)
    points = np.array([hand.landmarks[:, :2] for hand in hands])
    assert -0.1 < points.min() and points.max() < 1.1
    assert (np.ptp(points, axis=1).max(-1) > 0.3).all()  # the hand fills these pictures


def test_video_follows_a_hand_that_moves_without_looking_for_it(drawn, finds, monkeypatch):
    monkeypatch.setattr(module, "SEEK_S", 0.0)  # nor for a second hand
    tracker, times = HandTracker(video=True), np.linspace(0, 900 * module.LATER_S, 30)
    hands = [tracker.detect(scene((drawn[0][BIG], 200, 4 * i, i)), time) for i, time in enumerate(times)]
    assert len(finds) == 1 and {hand.side for hand in hands} == {"left"}
    steps = np.array([hand.landmarks[:, :2] for hand in hands]) * (360, 240) - [[[4 * i, i]] for i in range(30)]
    assert np.median(np.abs(steps - steps[:1])) < 2 and np.abs(steps - steps[:1]).max() < 12
    assert np.ptp([middle(hand) for hand in hands]) > 0.25  # it did move


@pytest.mark.slow
def test_once_a_hand_is_followed_mediapipe_is_asked_now_and_then(frame, finds):
    tracker = HandTracker(video=True)
    first = tracker.detect(frame, 0)
    for step in range(1, 31):
        tracker.detect(frame, 50 * step)
    assert len(finds) == 1 + 15  # at first a second hand is looked for, ten times a second
    for step in range(31, 91):
        hand = tracker.detect(frame, 50 * step)
        assert np.abs(hand.landmarks - first.landmarks)[:, :2].max() < 0.05 and hand.embedding.shape == (1152,)
    assert len(finds) == 1 + 15 + 6  # later twice a second


def test_a_hand_that_was_lost_is_found_again(frame, finds):
    tracker = HandTracker(video=True)
    shown = [frame] * 3 + [BLACK] * 3 + [np.roll(frame, 150, 1)] * 3
    hands = [tracker.detect(image, 40 * step) for step, image in enumerate(shown)]
    assert [hand is not None for hand in hands] == [True] * 3 + [False] * 3 + [True] * 3
    assert middle(hands[-1]) > middle(hands[0]) + 0.3
    counts = [len(found) for found in finds]
    assert counts[:2] == [1, 0] and counts[-2:] == [0, 1] and 1 not in counts[1:-1]


def test_a_hand_that_a_look_does_not_see_is_not_followed(frame, looks, finds):
    tracker = HandTracker(video=True)
    assert tracker.detect(frame, 0) is not None
    looks.say = lambda i, hand: replace(hand, presence=0.4)
    assert tracker.detect(frame, 40) is None and len(finds) >= 2
    looks.say = lambda i, hand: hand
    assert tracker.detect(frame, 80) is not None


def test_while_there_is_no_hand_each_frame_is_looked_at_in_one_more_way(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "find", lambda image, attempt: asked.append(attempt) or [])
    first, *more = useful(ATTEMPTS, BLACK)
    tracker = HandTracker(video=True)
    for step in range(len(more)):
        assert tracker.detect(BLACK, 40 * step) is None and tracker._track is None
    assert asked[::2] == [first] * len(more) and sorted(map(repr, asked[1::2])) == sorted(map(repr, more))
    asked.clear()
    HandTracker(video=True, attempts=ATTEMPTS[:1]).detect(BLACK, 0)
    assert asked == [first]


def test_a_hand_that_was_lost_is_looked_for_as_it_was_found(frame, monkeypatch):
    asked, (found,) = [], find(frame, Attempt())
    third = useful(ATTEMPTS, frame)[2]
    monkeypatch.setattr(module, "find", lambda image, attempt: asked.append(attempt) or [found] * (attempt == third))
    tracker, step = HandTracker(video=True), 0
    while tracker.detect(frame, 40 * step) is None:
        step += 1
    assert 0 < step < len(ATTEMPTS) and tracker._track is not None
    asked.clear()
    tracker.detect(BLACK, 40 * step + 40)
    assert tracker._track is None and asked[-1] == third


def test_late_times_do_no_harm(frame):
    tracker = HandTracker(video=True)
    hands = [tracker.detect(frame, ms) for ms in (0, 33, 33, 20)]
    assert all(hand is not None for hand in hands)
    assert np.abs(hands[3].landmarks - hands[0].landmarks)[:, :2].max() < 0.05
    tracker = HandTracker(video=True)
    assert tracker.detect(frame, 1e7) is not None and tracker.detect(BLACK, 1e7 + 40) is None
    assert tracker.detect(frame, 0).side == "left"  # the clock begins anew


def test_video_follows_the_hand_of_a_photo(photos, read_photo):
    path = photos[(photos["source"] == "t32rahman") & (photos["label"] == "B")]["path"].iloc[0]
    tracker = HandTracker(video=True)
    hands = [tracker.detect(read_photo(path), ms) for ms in (0, 33, 66, 99)]
    assert all(hand is not None for hand in hands)
    assert np.abs(hands[3].landmarks - hands[0].landmarks)[:, :2].max() < 0.05


def test_single_frames_that_say_the_other_side_change_nothing(frame, looks):
    looks.say = lambda i, hand: replace(hand, side="right", score=0.999) if i % 4 == 3 else hand
    tracker = HandTracker(video=True)
    assert {tracker.detect(frame, 40 * step).side for step in range(30)} == {"left"}
    assert all(looks.mirrored) and len(looks.mirrored) == 30


def test_a_side_that_was_wrong_at_first_is_put_right(frame, looks):
    looks.say = lambda i, hand: replace(hand, side="left" if i < 4 else "right", score=0.95)
    tracker = HandTracker(video=True)
    sides = [tracker.detect(frame, 40 * step).side for step in range(25)]
    changed = sides.index("right")
    assert 5 <= changed < 15 and sides == ["left"] * changed + ["right"] * (25 - changed)
    assert looks.mirrored == [True] * (changed + 1) + [False] * (24 - changed)  # from the next frame on


@pytest.mark.parametrize(("pause_s", "side"), [(0.2, "left"), (20.0, "right")])
def test_a_side_is_kept_over_a_short_pause_and_not_over_a_long_one(frame, pause_s, side):
    tracker = HandTracker(video=True)
    for step in range(30):
        assert tracker.detect(frame, 40 * step).side == "left"
    assert tracker.detect(BLACK, 1240) is None
    back = tracker.detect(np.ascontiguousarray(frame[:, ::-1]), 1240 + 1000 * pause_s)
    assert back.side == side


def followed(first, second, rate=None, seconds=3.5, fps=15):
    """Where the hand is that is followed, when another one comes after two seconds."""
    tracker, places = HandTracker(video=True, rate=rate), []
    for step in range(round(seconds * fps)):
        later = [(second[0], second[1], second[2], second[3] - step % 4)] if step > 2 * fps else []  # it moves
        places.append(middle(tracker.detect(scene(first, *later), 1000 * step / fps)))
    return places


def test_another_hand_that_is_less_prominent_does_not_take_over(drawn, finds):
    places = followed((drawn[0][BIG], 200, 0, 0), (drawn[0][SMALL], 120, 215, 120))
    assert max(places) < 0.4 and np.ptp(places) < 0.05
    assert finds[-1]  # it was seen


def test_another_hand_that_is_more_prominent_takes_over_from_another(drawn, finds):
    places = followed((drawn[0][SMALL], 120, 0, 120), (drawn[0][BIG], 200, 140, 30))
    assert places[0] < 0.4 < places[-1]
    changed = np.flatnonzero(np.array(places) > 0.4)[0]
    assert 30 < changed < 47 and min(places[changed:]) > 0.4  # within a second, and for good


@pytest.mark.slow
def test_of_two_hands_the_one_that_is_rated_higher_is_followed(drawn):
    small, big = (drawn[0][SMALL], 120, 0, 120), (drawn[0][BIG], 200, 140, 30)
    assert max(followed(small, big, lambda hand, aspect: float(middle(hand) < 0.4))) < 0.4
    assert followed(big, small, lambda hand, aspect: float(middle(hand) < 0.3))[-1] < 0.3


def test_a_second_hand_that_is_there_from_the_start_is_weighed_at_once(drawn):
    tracker = HandTracker(video=True, rate=lambda hand, aspect: float(middle(hand) < 0.4))
    image = scene((drawn[0][SMALL], 120, 0, 120), (drawn[0][BIG], 200, 140, 30))
    places = [middle(tracker.detect(image, 66 * step)) for step in range(12)]
    assert max(places[6:]) < 0.4


def test_evidence_of_a_side_adds_up_and_fades(one_hand):
    side = Side()
    left, right = unbent(one_hand, "left", 0.95), unbent(one_hand, "right", 0.95)
    assert [side.of(left, i / 30).side for i in range(20)] == ["left"] * 20
    assert [side.of(right, 20 / 30 + i / 30).side for i in range(5)] == ["left"] * 5  # some frames err
    sure = side.of(left, 1.0).score
    assert side.of(right, 11.0).side == "right"  # after a pause, it may be another hand
    assert sure > 0.99


def test_fingers_bend_to_the_palm_which_tells_the_side(one_hand):
    folded = render_letters("A", signers=1, views=1)  # as it is, not as MediaPipe sees it
    points = folded.landmarks[0] if folded.sides[0] == "right" else mirrored(folded.landmarks[0])
    assert bend(points) > 0.2 > 0.02 > abs(bend(unbent(one_hand, "right", 0.9).landmarks))
    assert bend(mirrored(points)) == pytest.approx(-bend(points))
    unsure = replace(one_hand, landmarks=points, side="left", score=0.6)
    assert Side().of(unsure, 0.0).side == "right"


def mirrored(points: np.ndarray) -> np.ndarray:
    return points * np.float32([-1, 1, 1]) + np.float32([1, 0, 0])
