"""The simple decoder on made-up probabilities: no tracker, no network."""

import numpy as np
import pytest

from asllib.errors import InputError
from asllib.letters import LETTERS
from asllib.read import Speller, SpellerSettings


def shown(letter: str, sure: float = 0.9) -> np.ndarray:
    probabilities = np.full(26, (1 - sure) / 25, np.float32)
    probabilities[LETTERS.index(letter)] = sure
    return probabilities


def spell(letters: str, seconds: float = 0.4, fps: float = 30.0, **settings) -> str:
    """Each letter of a string shown for a while; "-" is no hand, "?" an unknown handshape."""
    speller, read = Speller(SpellerSettings(**settings)), ""
    for number in range(round(len(letters) * seconds * fps)):
        letter = letters[int(number / fps / seconds)]
        frame = None if letter == "-" else np.full(26, 1 / 26) if letter == "?" else shown(letter)
        read += "".join(found.letter for found in speller.update(frame, number / fps))
    return read


@pytest.mark.parametrize("fps", [10, 15, 30, 60])
def test_one_letter_a_hold_at_any_frame_rate(fps):
    assert spell("ASL", fps=fps) == "ASL"


def test_a_letter_that_is_held_for_minutes_takes_no_more_memory():
    import pickle

    speller = Speller()
    sizes = []
    for number in range(9000):
        speller.update(shown("L"), number / 30)
        sizes.append(len(pickle.dumps(vars(speller))) if number % 3000 == 100 else 0)
    assert sizes[100] > 100 and sizes[6100] < sizes[100] + 20


def test_unknown_handshape_and_no_hand_write_nothing():
    assert spell("??A??--B") == "AB"
    assert spell("------") == spell("?????") == ""


def test_a_letter_comes_again_after_the_hand_was_away_and_not_when_it_is_held_on():
    assert spell("L-L") == "LL"
    assert spell("L" * 50) == "L"


def test_a_stall_is_no_hand_that_is_away():
    speller, times = Speller(), [0.0, 0.1, 0.2, 2.2, 2.3, 2.4, 2.5]
    seen = [None if time == 2.2 else shown("L") for time in times]
    assert [one.letter for frame, time in zip(seen, times, strict=True) for one in speller.update(frame, time)] == ["L"]


@pytest.mark.parametrize("time", [float("nan"), None, 0.0, -1.0])
def test_times_are_refused_in_one_line(time):
    speller = Speller()
    speller.update(shown("A"), 0.0)
    with pytest.raises(InputError) as caught:
        speller.update(shown("A"), time)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name, value", [("confidence", 0), ("confidence", 1.2), ("hold_s", -1), ("still", 0)])
def test_bad_settings_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name}={value}"):
        SpellerSettings(**{name: value})


@pytest.mark.parametrize("frames, expected", [(10, []), (20, [12]), (90, [12])])
def test_a_sign_that_is_no_letter_must_be_held_longer_and_is_never_doubled(frames, expected):
    speller = Speller(names=[*LETTERS, "wave"])
    wave = np.append(np.zeros(26), 1.0)
    read = [(i, one.letter) for i in range(frames) for one in speller.update(wave, i / 30)]
    assert [i for i, _ in read] == expected and all(name == "wave" for _, name in read)


def test_a_sign_that_is_no_letter_is_written_once_a_hold():
    speller = Speller(names=[*LETTERS, "wave"])
    wave = np.append(np.zeros(26), 1.0)
    shown = [wave] * 20 + [None] * 12 + [wave] * 20
    read = [one.letter for i, frame in enumerate(shown) for one in speller.update(frame, i / 30)]
    assert read == ["wave", "wave"]


def held(hand, times, size=lambda time: 1.0, wrist=(0.5, 0.5)):
    """Times at which a held A is written, for a hand of some size in palms at some place of the picture."""
    speller, points = Speller(), hand[:, :2] - hand[0, :2]
    points = points * 0.15 / np.linalg.norm(points[9])
    written = []
    for time in times:
        landmarks = np.array(wrist) + points * size(time)
        written += [found.end_s for found in speller.update(shown("A"), time, landmarks)]
    return written


@pytest.mark.parametrize("wrist", [(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)])
def test_a_still_hand_is_read_as_soon_wherever_it_is_and_once_though_it_comes_nearer(one_hand, wrist):
    rng = np.random.default_rng(0)
    times = np.arange(60) / 30
    unsure = dict(zip(times, np.exp(rng.normal(0, 0.02, 60)), strict=True))  # as a tracker sees the size of a palm
    (first,) = held(one_hand.landmarks, times, unsure.get, wrist)
    assert first < 0.35
    assert len(held(one_hand.landmarks, times, lambda time: 1 + 0.15 * np.clip(10 * time - 6, 0, 1), wrist)) == 1


def test_a_frame_in_which_the_hand_is_lost_ends_no_letter():
    speller = Speller()
    read = [one.letter for i in range(40) for one in speller.update(None if i % 10 == 9 else shown("L"), i / 30)]
    assert read == ["L"]


@pytest.mark.parametrize("aspect", [1.0, 2.0])
@pytest.mark.parametrize("slid, expected", [(0.1, "L"), (1.0, "LL")])
def test_a_letter_is_written_again_when_the_hand_slides_aside(one_hand, aspect, slid, expected):
    """Of palms; in a picture twice as wide as high the same hand is half as wide in widths."""
    points, read = one_hand.landmarks[:, :2] - one_hand.landmarks[0, :2], ""
    points = points * 0.15 / np.linalg.norm(points[9])
    speller = Speller()
    for i in range(40):
        wrist = np.array([0.5 - 0.15 * slid * np.clip((i - 15) / 4, 0, 1), 0.5])
        landmarks = (points + wrist) / [aspect, 1]
        read += "".join(one.letter for one in speller.update(shown("L"), i / 30, landmarks, aspect))
    assert read == expected
