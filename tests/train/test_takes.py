import numpy as np
import pytest

from asllib.data.people_set import Sequences
from asllib.hands.extract import _table
from asllib.hands.look import Hand
from asllib.hands.stream import stream_of
from asllib.networks.spelling import NEITHER, SIGNS
from asllib.train.clips import film_clip
from asllib.train.takes import (
    Takes,
    coarticulate,
    film_takes,
    filmed_letters,
    gesture,
    piece_together,
    still_clip,
    stroke,
    takes_of,
)


@pytest.fixture
def stills(hands):
    """Two hands of every sign, in palm sizes from the wrist."""
    _, world = hands(2 * len(SIGNS))
    points = ((world - world[:, :1]) / 0.09).astype(np.float32)
    return Takes(np.stack([points, points], 1), np.array(list(SIGNS) * 2))


def runs(targets: np.ndarray) -> list[int]:
    """Signs in the order of their targets, repeats dropped."""
    return [int(x) for i, x in enumerate(targets) if x > 0 and (i == 0 or targets[i - 1] != x)]


def test_pieced_words_show_what_they_say(stills):
    rng = np.random.default_rng(0)
    for _ in range(60):
        clip = piece_together(stills, rng)
        assert clip.landmarks.shape == (len(clip.targets), 21, 3) == clip.world.shape
        assert set(clip.targets[clip.targets > 0]) == set(clip.spelled)
        assert len(runs(clip.targets)) <= len(clip.spelled)  # a letter that is cut to its double is one run
        seen = clip.landmarks[np.isfinite(clip.landmarks[:, 0, 0])]
        assert len(seen) and np.abs(seen).max() < 30


def test_some_still_hands_hang_down_and_are_no_letter(stills):
    clip = still_clip(stills, 1500, np.random.default_rng(2))
    as_it_was = (clip.landmarks[:, None] == stills.hands[None, :, 0]).all((2, 3)).any(1)
    turned = np.isin(clip.shapes, [1 + SIGNS.index(letter) for letter in "GHPQ"])  # these may point to the viewer
    assert np.array_equal((clip.shapes == NEITHER)[~turned], ~as_it_was[~turned])
    assert 0.01 < np.mean(clip.shapes == NEITHER) < 0.05  # half of the signs can, one hand in twenty does


def test_the_hand_never_jumps_but_where_it_is_cut_or_gone(stills):
    rng = np.random.default_rng(1)
    steps = []
    for _ in range(40):
        wrist = piece_together(stills, rng).landmarks[:, 0, :2]
        steps.append(np.nanmax(np.linalg.norm(np.diff(wrist, axis=0), axis=1)))
    assert np.mean(np.array(steps) < 1.0) > 0.7


def test_each_digit_keeps_its_own_time_within_a_word():
    hands = np.zeros((40, 2, 21, 3), np.float32)
    hands[20:] = 1.0  # every point jumps at once
    bent = coarticulate(hands, 0.5, np.random.default_rng(1))
    assert (bent[:, :, 0] == hands[:, :, 0]).all()
    assert len({tuple(bent[:, 0, tip, 0].round(3)) for tip in (4, 8, 12, 16, 20)}) == 5
    assert bent.shape == hands.shape and bent.min() == 0 and bent.max() == 1


def test_a_word_is_one_signers_and_each_signer_counts_alike(stills):
    labels = np.array(list(SIGNS) * 2 + ["A"] * 98)
    signers = np.array(["a"] * len(SIGNS) + ["b"] * len(SIGNS) + ["c"] * 98)
    hands = np.concatenate([stills.hands, np.repeat(stills.hands[:1], 98, 0)])
    takes = Takes(hands, labels, np.where(signers == "c", 1 / 98, 1.0), signers)
    assert [len(person) for person in takes.people] == [len(SIGNS)] * 2  # c shows too few signs
    rng = np.random.default_rng(0)
    drawn = signers[[takes.row("A", rng) for _ in range(3000)]]
    assert [np.mean(drawn == name) for name in "abc"] == pytest.approx([1 / 3] * 3, abs=0.04)


def test_filmed_letters_are_the_longest_part_without_a_gap_as_right_hands(hands):
    landmarks, _ = hands(1)
    clip = np.repeat(landmarks, 10, 0)
    clip[:, :, 0] += np.arange(10)[:, None] * 0.01  # to the right
    clip[3] = np.nan
    people = Sequences("x.npz", "p", "train", "", "", False, 2.0, np.array(["J"]), np.array([True]), clip[None])
    filmed = filmed_letters([people])
    (shown,) = filmed["J"]
    assert set(filmed) == {"J"} and shown.shape == (6, 2, 21, 3) and np.isnan(shown[:, 1]).all()
    assert (np.diff(shown[:, 0, 0, 0]) < 0).all() and shown[0, 0, 0].tolist() == [0, 0, 0]  # mirrored


def test_strokes_begin_where_the_hand_is():
    rng = np.random.default_rng(3)
    for letter in "JZ":
        turn, path = stroke(letter, 20, rng)
        assert path[0] == pytest.approx([0, 0]) and np.ptp(path, axis=0).max() < 6
        assert turn @ turn.transpose(0, 2, 1) == pytest.approx(np.broadcast_to(np.eye(3), (20, 3, 3)), abs=1e-6)


def test_other_signs_begin_where_the_hand_is():
    rng = np.random.default_rng(0)
    for _ in range(20):
        turn, path = gesture(20, rng)
        assert turn.shape == (20, 3, 3) and path.shape == (20, 2)
        assert np.allclose(turn[0], np.eye(3)) and np.isfinite(path).all()
        assert np.allclose(turn @ turn.transpose(0, 2, 1), np.eye(3))


def test_still_hands_are_taken_from_tables_and_from_films(hands):
    landmarks, world = hands(2)
    seen = [Hand(landmarks[0], world[0], "right", 1.0), None, Hand(landmarks[1], world[1], "left", 1.0)]
    stills = takes_of([_table(seen, [(10, 10, 3)] * 3, False).assign(label=["A", "B", "C"])])
    assert stills.labels.tolist() == ["A", "C"]  # of B no hand was found
    assert stills.hands.shape == (2, 2, 21, 3)
    assert np.abs(stills.hands[:, :, 0]).max() < 1e-6  # from the wrist

    seen = [Hand(landmarks[0], world[0], "right", 1.0) if i < 30 else None for i in range(40)]
    positions = np.repeat([0, -1, 1, -1], 10)
    clip = film_clip(stream_of(seen, np.arange(40) / 20, 1.0, word="AL", positions=positions))
    held = film_takes([clip, clip])
    assert held.labels.tolist() == ["A", "L", "A", "L"]
    assert held.hands[0] == pytest.approx(stills.hands[0], abs=1e-4)
