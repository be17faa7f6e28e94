import cv2
import numpy as np
import pytest

from asllib.errors import InputError
from asllib.signer import render_idle, render_word, write_video
from asllib.signer.alphabet import ANGLES
from asllib.signer.motion import StrokeHabit, coarticulate, idle_motion, minimum_jerk, stroke_path, word_motion

SHIFTS = range(-15, 16)  # frames


def runs(letters):
    """Letters in the order they are held, gaps dropped, with their positions."""
    return [x for k, x in enumerate(letters) if x and (k == 0 or letters[k - 1] != x)]


def test_minimum_jerk_starts_and_ends_at_rest():
    way = minimum_jerk(np.linspace(-0.5, 1.5, 401))
    assert way.min() == 0 and way.max() == 1 and (np.diff(way) >= 0).all()
    assert abs(np.diff(way)[101]) < 1e-4


def test_word_is_spelled_in_order_from_rest_to_rest():
    motion = word_motion("HELLO", fps=30, letters_per_second=2)
    assert motion.letters[0] == motion.letters[-1] == ""
    seen = [p for k, p in enumerate(motion.positions) if p >= 0 and motion.positions[k - 1] != p]
    assert seen == [0, 1, 2, 3, 4] and runs(motion.letters) == list("HELLO")
    assert len(motion.letters) == len(motion.poses) == len(motion.offsets) == len(motion.positions)
    assert (motion.poses[0] == motion.poses[-1]).all()


def test_movement_is_smooth():
    motion = word_motion("CAB", fps=60)
    step = np.abs(np.diff(motion.poses, axis=0))
    assert step.max() < 30  # degrees a frame
    jump = np.abs(np.diff(motion.offsets, axis=0)).max()
    assert jump < 0.03  # metres a frame


def test_doubled_letters_slide_or_bounce():
    slide = word_motion("LL")
    first, second = (slide.offsets[slide.positions == k].mean(0) for k in (0, 1))
    assert second[0] - first[0] == pytest.approx(-0.05, abs=1e-6)
    for seed in range(20):
        motion = word_motion("LL", rng=np.random.default_rng(seed))
        between = (np.arange(len(motion.positions)) > np.flatnonzero(motion.positions == 0).max()) & (
            np.arange(len(motion.positions)) < np.flatnonzero(motion.positions == 1).min()
        )
        if motion.offsets[between][:, 1].min() < -0.01:
            break
    else:
        raise AssertionError("no signer of twenty bounces")


def test_neighbours_bend_a_letter_and_every_digit_keeps_its_own_time():
    first, other = (word_motion("LION", 60, 4, rng=np.random.default_rng(seed)) for seed in (1, 2))
    assert runs(first.letters) == runs(other.letters) == list("LION")  # the truth is when the hand is held
    motion = word_motion("LION", 60, 4)
    bent = coarticulate(motion, 60, 0.25, np.random.default_rng(3))
    assert bent.letters is motion.letters and bent.positions is motion.positions
    knuckles = [ANGLES.index(f"{finger}_mcp") for finger in ("index", "middle", "ring", "little")]
    lags = []
    for angle in knuckles:
        shifted = [np.abs(np.roll(motion.poses[:, angle], lag) - bent.poses[:, angle])[20:-20].mean() for lag in SHIFTS]
        lags.append(SHIFTS[int(np.argmin(shifted))])
    assert len(set(lags)) > 1 and max(np.abs(lags)) > 0
    assert (bent.offsets[:, 1] <= motion.offsets[:, 1] + 1e-9).all()  # the arm is still lower at the ends


def test_a_letter_that_begins_a_word_is_not_the_double_of_the_last_ones_end():
    motion = word_motion("AL LA")
    first, second = (motion.offsets[motion.positions == k].mean(0) for k in (1, 3))
    assert second == pytest.approx(first)


def test_a_viewer_sees_j_and_z_in_the_mirror():
    """Signers write for their own eyes: of a right hand J's hook is at the viewer's right, Z begins to the left."""
    j, z = (stroke_path(letter, 60, StrokeHabit(wrist=0.0))[3] for letter in "JZ")  # all from the arm
    assert j[-1, 0] > 0.06 and abs(j[:25, 0]).max() < 0.02 and -0.13 < j[:, 1].min() < -0.1 < -0.07 < j[-1, 1] < 0
    assert z[20, 0] < -0.1 and abs(z[20, 1]) < 0.01


def test_j_turns_the_wrist_and_z_draws_three_lines():
    j = word_motion("J")
    spin = j.poses[[x == "J" for x in j.letters]][:, ANGLES.index("spin")]
    assert spin[-1] - spin[0] == pytest.approx(110, abs=1)
    _, _, _, path = stroke_path("Z", 60, StrokeHabit(wrist=0.0))  # all from the arm
    assert path[0] == pytest.approx([0, 0, 0]) and path[-1] == pytest.approx([-0.12, -0.10, 0])
    turns = np.diff(np.sign(np.diff(path[:, 0])[np.abs(np.diff(path[:, 0])) > 1e-6]))
    assert (turns != 0).sum() == 2


def test_the_tip_draws_the_same_from_the_arm_or_the_wrist():
    for letter in "JZ":
        _, _, _, arm = stroke_path(letter, 40, StrokeHabit(wrist=0.0))
        lean, _, pitch, offset = stroke_path(letter, 40, StrokeHabit(wrist=0.5))
        pitch, lean = np.deg2rad(pitch), np.deg2rad(lean)
        reach = 0.17
        tip = offset[:, :2] + reach * np.stack([-np.sin(lean) * np.cos(pitch), np.cos(lean) * np.cos(pitch) - 1], 1)
        assert np.abs(tip - tip[0] - arm[:, :2]).max() < 1e-9


def test_an_idle_hand_moves_smoothly_and_shows_no_letter():
    one, same, other = (idle_motion(6.0, 20.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert len(one.poses) == len(one.offsets) == len(one.letters) == 120
    assert set(one.letters) == {""} and set(one.positions) == {-1}
    assert np.array_equal(one.poses, same.poses) and not np.array_equal(one.poses, other.poses)
    steps = np.abs(np.diff(one.poses, axis=0)).max(1)
    assert steps.max() < 60 and np.median(steps) < 15  # degrees a frame: it does not jump
    assert np.ptp(one.poses[:, 0]) > 5 and np.ptp(one.offsets[:, 1]) > 0.01


@pytest.mark.parametrize("word, said", [("A1", "'1'"), ("", "no letters"), ("  ", "no letters")])
def test_bad_words(word, said):
    with pytest.raises(ValueError, match=said):
        render_word(word)


def test_bad_rates_and_sizes():
    with pytest.raises(ValueError, match="above 0"):
        render_word("A", fps=0)
    with pytest.raises(ValueError, match="at least 28"):
        render_word("A", size=(320, 20))


@pytest.mark.slow
def test_film_has_frames_truth_and_files(tmp_path):
    film = render_word("AL", signer=1, fps=10, letters_per_second=3, size=(96, 72), seed=4)
    again = render_word("AL", signer=1, fps=10, letters_per_second=3, size=(96, 72), seed=4)
    assert film.frames.shape == (len(film), 72, 96, 3) and film.landmarks.shape == (len(film), 21, 3)
    assert [x for x in dict.fromkeys(film.letters) if x] == ["A", "L"] and film.signer == "synthetic-4-001"
    assert np.allclose(film.landmarks, again.landmarks, atol=1e-5)
    for name in ("film.mp4", "film.mjpeg"):
        path = write_video(tmp_path / name, film.frames, film.fps)
        reader, count = cv2.VideoCapture(str(path)), 0
        while reader.read()[0]:
            count += 1
        assert count == len(film)
    with pytest.raises(ValueError, match=r"\.mp4 or \.mjpeg"):
        write_video(tmp_path / "film.gif", film.frames)
    with pytest.raises(ValueError, match="uint8"):
        write_video(tmp_path / "film.mp4", film.frames.astype(float))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        write_video(tmp_path / "file" / "film.mp4", film.frames)


def test_a_film_of_an_idle_hand_has_no_word():
    film = render_idle(0.5, signer=2, fps=8, size=(64, 48), seed=3)
    assert film.frames.shape == (4, 48, 64, 3) and film.word == "" and (film.positions == -1).all()
    assert film.frames[0].std() > 5
    with pytest.raises(InputError, match="must be above 0"):
        render_idle(0.0)
