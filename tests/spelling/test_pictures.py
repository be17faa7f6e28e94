"""What the picture of a hand adds to its landmarks in a video."""

from dataclasses import replace

import numpy as np
import pytest

from asllib.hands.tracker import mirror_hand
from asllib.letters import STATIC
from asllib.models.zoo import load_model
from asllib.signer import render_letters
from asllib.spelling import TextReader
from asllib.spelling.decoder import HandListener
from asllib.spelling.moments import RATE
from asllib.spelling.pictures import read_picture, read_pictures
from asllib.spelling.scoring import read_stream
from asllib.spelling.streams import Plan, films, stream_of


@pytest.fixture(scope="module")
def drawn():
    """Letters of synthetic signers in no training set, with the true hands."""
    from asllib.hands.tracker import Hand

    shots = render_letters("ABEGLSVY", 3, 1, seed=77)
    hands = [Hand(shots.landmarks[i], shots.world[i], shots.sides[i], 1.0) for i in range(len(shots.images))]
    return shots.images, hands, shots.labels


def heard(hands, said=None, count=40, **frames):
    """The answers about a hand that is held for two seconds, and what pictures said."""
    listener, answers = HandListener(load_model("spelling")[0]), []
    for i in range(count):
        answers += listener.hear(hands, i / RATE, 1.0, pictured=said, **frames)
    return np.stack([answer.probabilities for answer in answers])


def sure_of(letter: str, share: float = 0.99) -> np.ndarray:
    said = np.full(24, (1 - share) / 23, np.float32)
    said[STATIC.index(letter)] = share
    return np.log(said)


def test_most_letters_of_strangers_are_read_from_the_picture_alone(drawn):
    images, hands, letters = drawn
    said = [read_picture(image, hand) for image, hand in zip(images, hands, strict=True)]
    assert said[0].shape == (24,) and np.exp(said[0]).sum() == pytest.approx(1, abs=1e-5)
    right = [STATIC[one.argmax()] == letter for one, letter in zip(said, letters, strict=True)]
    assert np.mean(right) > 0.8


def test_a_left_hand_is_read_as_a_right_one(drawn):
    images, hands, _ = drawn
    for image, hand in list(zip(images, hands, strict=True))[:6]:
        there = read_picture(image, hand)
        back = read_picture(np.ascontiguousarray(image[:, ::-1]), mirror_hand(hand))
        assert there.argmax() == back.argmax()
        assert np.abs(np.exp(there) - np.exp(back)).max() < 0.1


def test_a_picture_that_says_nothing_changes_nothing(drawn):
    hand = drawn[1][0]
    np.testing.assert_allclose(heard(hand, np.full(24, -np.log(24), np.float32)), heard(hand), atol=1e-6)


def test_a_picture_decides_between_letters_that_look_alike_to_the_landmarks(drawn):
    _, hands, letters = drawn
    signs = load_model("spelling")[0].config.signs
    hand = hands[letters.index("A")]
    as_a, as_s = (heard(hand, sure_of(letter))[-1] for letter in "AS")
    assert as_a[1 + signs.index("A")] > as_s[1 + signs.index("A")] + 0.05
    assert as_s[1 + signs.index("S")] > as_a[1 + signs.index("S")] + 0.05


def test_a_frame_is_read_as_what_was_said_of_it(drawn):
    image, hand = drawn[0][0], drawn[1][0]
    np.testing.assert_allclose(heard(hand, frame=image), heard(hand, read_picture(image, hand)), atol=1e-5)


def test_a_moment_takes_the_picture_nearest_to_it(drawn):
    listener = HandListener(load_model("spelling")[0])
    for moment, letter in ((0.0, "A"), (0.1, "B")):
        listener.hear(drawn[1][0], moment, 1.0, pictured=sure_of(letter))
    found = listener._pictures([0.0, 0.04, 0.06, 0.3])
    shapes = listener.model.config.shapes
    assert found.shape == (1, len(shapes), 4)
    names = [shapes[int(found[0, :, moment].argmax())] for moment in range(4)]
    assert names == ["A", "A", "B", "B"]
    listener.reset()
    assert listener._pictures([0.5]) is None


def test_pictures_have_no_say_in_what_they_do_not_know():
    listener = HandListener(load_model("spelling")[0])
    shapes = listener.model.config.shapes
    listener._pictured = [(0.0, sure_of("D"))]
    found = dict(zip(shapes, listener._pictures([0.0])[0, :, 0].tolist(), strict=True))
    assert found["Z"] == found["D"] > found["I"] == found["J"]  # Z is drawn by a hand as in D, J by one as in I
    assert found["space"] == found["del"] == max(found.values())


def test_a_network_for_strokes_alone_looks_at_no_picture(drawn, monkeypatch):
    monkeypatch.setattr("asllib.spelling.decoder.read_picture", lambda *_: pytest.fail("a picture was read"))
    listener = HandListener(load_model("motion")[0])
    for i in range(5):
        listener.hear(drawn[1][0], i / RATE, 1.0, drawn[0][0])


def test_no_hand_no_picture(monkeypatch):
    monkeypatch.setattr("asllib.spelling.decoder.read_picture", lambda *_: pytest.fail("a picture was read"))
    with TextReader() as reader:
        for i in range(5):
            reader.read_hand(None, i / 15, 4 / 3, np.zeros((240, 320, 3), np.uint8))


def test_pictures_of_a_film_are_by_the_vote_on_the_hands_side(drawn):
    image, hand = drawn[0][0], drawn[1][0]
    hands = [hand] * 6 + [None, replace(hand, side="left" if hand.side == "right" else "right")]
    stream = stream_of(hands, np.arange(8) / 15, 1.0)
    said = read_pictures([image] * 8, stream)
    assert said.shape == (8, 24) and np.isnan(said[6]).all()
    np.testing.assert_allclose(said[7], said[0], atol=1e-5)  # one frame is outvoted


@pytest.mark.slow
def test_a_film_is_read_from_the_cache_as_it_was_read_live(tmp_path, monkeypatch):
    monkeypatch.setenv("ASLLIB_CACHE", str(tmp_path))
    plan = Plan("LAY", 4, 777, fps=12.0, letters_per_second=2.0)
    (first,), (again,) = (list(films([plan], pictures=True, progress=False)) for _ in range(2))
    assert first.pictured is not None
    np.testing.assert_array_equal(first.pictured, again.pictured)
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    (plain,) = films([plan], progress=False)
    assert plain.pictured is None
    np.testing.assert_array_equal(plain.landmarks, first.landmarks)

    from asllib.spelling.streams import shoot

    with TextReader() as reader:
        read = ""
        for frame, hand, moment in zip(shoot(plan).frames, first.hands(), first.times, strict=True):
            read += "".join(one.letter for one in reader.read_hand(hand, float(moment), first.aspect, frame).letters)
        for step in range(1, 11):
            late = reader.read_hand(None, float(first.times[-1]) + 0.05 * step, first.aspect)
            read += "".join(one.letter for one in late.letters)
    assert read == read_stream(first).read and read
