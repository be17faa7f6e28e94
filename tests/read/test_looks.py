"""What the embedding of a hand adds to its landmarks in a video."""

from dataclasses import replace

import numpy as np
import pytest
from mirrored import mirror_hand

from asllib.hands import Hand, hand_crop, look_at
from asllib.hands.stream import RATE
from asllib.letters import STATIC
from asllib.networks.store import load_model
from asllib.read import TextReader
from asllib.read.decoder import HandListener, read_embedding
from asllib.read.videos import read_stream
from asllib.signer import render_letters
from asllib.train import films as streams
from asllib.train.films import Plan, films, follow, shoot, stream_of


@pytest.fixture(scope="module")
def drawn():
    """Letters of synthetic signers in no training set, with the true landmarks, and what a look sees beyond them."""
    shots = render_letters("ABEGLSVY", 3, 1, seed=77)
    height, width = shots.images[0].shape[:2]
    hands = []
    for image, landmarks, world, side in zip(shots.images, shots.landmarks, shots.world, shots.sides, strict=True):
        seen = look_at(image, hand_crop(landmarks, width, height, left=side == "left"))
        hands.append(Hand(landmarks, world, side, 1.0, 1.0, seen.embedding))
    return hands, shots.labels


@pytest.fixture
def says(monkeypatch):
    """Let embeddings say something; an answer a call, the last one for all calls after."""

    def say(*answers):
        left = list(answers)
        monkeypatch.setattr("asllib.read.decoder.read_embedding", lambda _: left.pop(0) if len(left) > 1 else left[0])

    return say


def heard(hand, count=40):
    """The answers about a hand that is held for two seconds."""
    listener, answers = HandListener(load_model("spelling")[0]), []
    for i in range(count):
        answers += listener.hear(hand, i / RATE, 1.0)
    return np.stack([answer.probabilities for answer in answers])


def sure_of(letter: str, share: float = 0.99) -> np.ndarray:
    said = np.full(24, (1 - share) / 23, np.float32)
    said[STATIC.index(letter)] = share
    return np.log(said)


def test_most_letters_of_strangers_are_read_from_the_embedding_alone(drawn):
    hands, letters = drawn
    said = [read_embedding(hand.embedding) for hand in hands]
    assert said[0].shape == (24,) and np.exp(said[0]).sum() == pytest.approx(1, abs=1e-5)
    right = [STATIC[one.argmax()] == letter for one, letter in zip(said, letters, strict=True)]
    assert np.mean(right) > 0.8


def test_it_is_what_default_makes_of_the_look(drawn):
    import torch

    hand, (model, _) = drawn[0][0], load_model("default")
    with torch.inference_mode():
        said = model.eval().read_embedding(torch.from_numpy(hand.embedding)[None])[0]
    np.testing.assert_allclose(read_embedding(hand.embedding), said, atol=1e-5)


@pytest.mark.slow
def test_a_mirrored_hand_is_heard_as_the_hand(drawn):
    for hand in drawn[0][:3]:
        np.testing.assert_allclose(heard(mirror_hand(hand)), heard(hand), atol=1e-4)


def test_an_embedding_that_says_nothing_changes_nothing(drawn, says):
    hand = drawn[0][0]
    alone = heard(replace(hand, embedding=None))
    assert np.abs(heard(hand) - alone).max() > 1e-3
    says(np.full(24, -np.log(24), np.float32))
    np.testing.assert_allclose(heard(hand), alone, atol=1e-6)


def test_an_embedding_decides_between_letters_that_are_alike_to_the_landmarks(drawn, says):
    hands, letters = drawn
    signs = load_model("spelling")[0].config.signs
    hand, said = hands[letters.index("A")], {}
    for letter in "AS":
        says(sure_of(letter))
        said[letter] = heard(hand)[-1]
    for letter, other in ("AS", "SA"):
        assert said[letter][1 + signs.index(letter)] > said[other][1 + signs.index(letter)] + 0.05


def test_a_moment_takes_the_embedding_nearest_to_it(drawn, says):
    listener = HandListener(load_model("spelling")[0])
    says(sure_of("A"), sure_of("B"))
    for moment in (0.0, 0.1):
        listener.hear(drawn[0][0], moment, 1.0)
    found = listener._nearest([0.0, 0.04, 0.06, 0.3])
    assert found.shape == (4, len(listener.signs))
    assert [listener.signs[place] for place in found.argmax(1)] == ["A", "A", "B", "B"]
    listener.reset()
    assert listener._nearest([0.5]) is None


def test_embeddings_have_no_say_in_what_they_do_not_know(drawn, says):
    listener = HandListener(load_model("spelling")[0])
    says(sure_of("D"))
    found = dict(zip(listener.signs, listener._look(drawn[0][0], 1.0, None).tolist(), strict=True))
    assert found["Z"] == found["D"] > found["I"] == found["J"]  # Z is drawn by a hand as in D, J by one as in I
    assert found["space"] == found["del"] == max(found.values())


def test_who_has_no_use_for_an_embedding_reads_none(drawn, monkeypatch):
    monkeypatch.setattr("asllib.read.decoder.read_embedding", lambda _: pytest.fail("an embedding was read"))
    spelling = HandListener(load_model("spelling")[0])
    reader = TextReader()
    for i in range(5):
        spelling.hear(replace(drawn[0][0], embedding=None), i / RATE, 1.0)  # a table has none
        reader.read_hand(None, i / RATE, 4 / 3)


def test_a_stream_keeps_embeddings_if_every_hand_has_one(drawn):
    hands = [drawn[0][0], None, *drawn[0][1:3]]
    stream = stream_of(hands, np.arange(4) / 15, 1.0)
    assert stream.embeddings.shape == (4, 1152) and stream.embeddings.dtype == np.float16
    for hand, back in zip(hands, stream.hands(), strict=True):
        assert (hand is None) == (back is None)
        if hand is not None:
            np.testing.assert_allclose(back.embedding, hand.embedding, rtol=1e-3, atol=1e-5)
            assert back.embedding.dtype == np.float32 and back.side == hand.side
    without = stream_of([*hands, replace(drawn[0][3], embedding=None)], np.arange(5) / 15, 1.0)
    assert without.embeddings is None and [hand.embedding for hand in without.hands() if hand] == [None] * 4


@pytest.mark.slow
def test_a_film_is_read_from_the_cache_as_it_was_read_live(tmp_path, monkeypatch):
    monkeypatch.setenv("ASLLIB_CACHE", str(tmp_path))
    plan = Plan("LAY", 4, 777, fps=12.0, letters_per_second=2.0)
    filmed = []
    monkeypatch.setattr(streams, "shoot", lambda plan: filmed.append(shoot(plan)) or filmed[-1])
    (first,), (again,) = (list(films([plan], progress=False)) for _ in range(2))
    assert first.embeddings.shape == (len(first), 1152) and first.found.mean() > 0.8
    assert (first.embeddings[first.found] != 0).any(1).all()
    np.testing.assert_array_equal(first.embeddings, again.embeddings)
    (film,) = filmed
    np.testing.assert_array_equal(follow(film).landmarks, first.landmarks)
    reader = TextReader()
    for number, frame in enumerate(film.frames):
        reader.read(frame, number / film.fps)
    reader.finish()
    assert reader.text.strip() == read_stream(again).read and reader.text
