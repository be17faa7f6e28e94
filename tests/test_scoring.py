"""What measures the text: counts by hand, streams whose truth is known, and one film from end to end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import people
import pytest
from scoring import (
    bootstrap,
    calibration_error,
    count_others,
    delays,
    draw_words,
    errors_by_letter,
    groups,
    letters_of,
    load_sequences,
    read_strokes,
    sequence_stream,
    spelling_lines,
    spelling_report,
    test_plans,
)

from asllib.errors import InputError
from asllib.evaluation import character_error_rate
from asllib.hands.stream import Stream
from asllib.networks.store import load_model
from asllib.read.decoder import ReadLetter
from asllib.read.videos import read_stream
from asllib.signer.scene import draw_signer
from asllib.train.films import Plan, films

test_plans.__test__ = False  # a function of the library

PAIRS = [("HELO", "HELLO"), ("HALLO", "HELLO"), ("HELLOO", "HELLO"), ("", "AB")]


def test_errors_are_counted_per_letter_that_was_meant():
    assert character_error_rate(PAIRS) == (1 + 1 + 1 + 2) / 17
    assert character_error_rate([]) == 0.0 and character_error_rate([("A", "")]) == 1.0
    assert errors_by_letter(PAIRS) == {"A": (1, 1), "B": (1, 1), "E": (1, 3), "H": (0, 3), "L": (1, 6), "O": (0, 3)}


def test_letters_stand_alone_and_the_rest_is_counted():
    assert letters_of("3 Oak St., é-mail") == "OAKSTMAIL"
    assert count_others(["3 Oak St.", "a b"]) == {"spaces": 3, "digits": 1, "other signs": 1}


def test_words_are_summed_up_by_kind_of_error_and_by_signer():
    pairs = [("HELLO", "HELLO"), ("HALO", "HELLO"), ("AX", "A"), ("S", "E")]
    found = spelling_report(pairs, ["ann", "ann", "ben", "cay"])
    assert (found["n"], found["letters"], found["exact"]) == (4, 12, 0.25)
    assert (found["insertions"], found["deletions"], found["substitutions"]) == (1, 1, 2)
    assert found["pairs"] == {"E>A": 1, "E>S": 1} and found["cer"] == pytest.approx(4 / 12)
    assert found["by_signer"] == pytest.approx({"ann": 0.2, "ben": 1.0, "cay": 1.0})
    low, high = found["interval"]
    assert low == pytest.approx(0.2) and high == pytest.approx(1.0)  # all draws of ann; none of ann
    lines = spelling_lines(found)
    assert lines[0].startswith("CER 33.3% (95 % interval 20.0% to 100.0%) of 12 letters, signers: 3; 25.0% of 4")
    assert "1 letters too many, 1 missed, 2 taken for others: E>A 1, E>S 1" in lines[1] and len(lines) == 5
    alone = spelling_report(pairs[:2], ["ann", "ann"])
    assert alone["interval"] is None and "interval" not in spelling_lines(alone)[0]


def test_the_interval_holds_the_rate_and_shrinks_with_more_words():
    low, high = bootstrap(PAIRS)
    assert 0 <= low < character_error_rate(PAIRS) < high
    lower, higher = bootstrap(PAIRS * 25)
    assert low < lower < character_error_rate(PAIRS) < higher < high
    assert bootstrap([("AB", "AB")] * 3) == (0.0, 0.0)


def test_confidence_that_is_not_accuracy_is_an_error():
    sure, right = np.full(100, 0.9), np.arange(100) < 90
    assert calibration_error(sure, right) == pytest.approx(0)
    assert calibration_error(sure, np.arange(100) < 50) == pytest.approx(0.4)
    mixed = np.concatenate([sure, np.full(100, 0.2)])
    assert calibration_error(mixed, np.concatenate([right, np.arange(100) < 40])) == pytest.approx(0.1)
    assert calibration_error(np.ones(3), np.ones(3, bool)) == 0
    assert calibration_error(np.array([]), np.array([], bool)) == 0


def test_delays_are_those_of_right_letters_from_the_middle_of_their_hold(hands):
    landmarks, world = hands(60)
    positions = np.repeat([-1, 0, -1, 1, -1, 2], 10)
    stream = Stream(np.arange(60) / 10, landmarks, world, np.zeros(60, bool), 1.5, "ABC", positions)
    said = [ReadLetter("A", 1.0, 1.8, 0.9), ReadLetter("X", 3.0, 3.5, 0.9), ReadLetter("C", 5.0, 6.0, 0.9)]
    assert delays(stream, said) == pytest.approx([1.8 - 1.45, 6.0 - 5.45])
    assert delays(stream, []) == []


def test_test_films_are_of_people_who_are_in_no_training():
    plans = test_plans(5, 2.0)
    assert [plan.word for plan in plans] == [plan.word for plan in test_plans(8, 2.0)[:5]]
    assert {plan.seed for plan in plans} == {9001} and [plan.signer for plan in plans] == [0, 1, 2, 3, 4]
    found = [groups(plan) for plan in test_plans(40, 2.0)]
    assert {one["hand"] for one in found} == {"left", "right"}
    assert {one["skin tone"] for one in found} == {"light (1-3)", "medium (4-6)", "dark (7-10)"}


@pytest.mark.parametrize(
    ("age", "tone", "expected"),
    [(0.44, 3, ("below 18", "light (1-3)")), (0.6, 6, ("adult", "medium (4-6)")), (0.9, 7, ("old", "dark (7-10)"))],
)
def test_errors_are_told_apart_by_age_skin_tone_and_hand(monkeypatch, age, tone, expected):
    person = draw_signer(0, 0)
    person = replace(person, phenotype=(0.7, age, *person.phenotype[2:]), tone=tone, side="left")
    monkeypatch.setattr("asllib.signer.scene.draw_signer", lambda seed, number: person)
    found = groups(Plan("AB", 0, 0))
    assert (found["age"], found["skin tone"], found["hand"]) == (*expected, "left")


def still_hand() -> np.ndarray:
    """A sequence (30, 63) of a hand that does not move."""
    points = np.tile(np.linspace([0.4, 0.8, 0], [0.5, 0.3, 0], 21), (30, 1, 1))
    return points.reshape(30, 63).astype(np.float32)


def test_sequences_are_read_from_a_file_and_a_still_hand_is_no_stroke(tmp_path):
    np.savez(tmp_path / "sequences.npz", J=[still_hand()] * 2, hello=[still_hand()])
    found = load_sequences(tmp_path / "sequences.npz")
    assert {name: len(streams) for name, streams in found.items()} == {"J": 2, "hello": 1}
    assert found["J"][0].landmarks.shape == (30, 21, 3) and found["J"][0].times[-1] == pytest.approx(29 / 15)
    model, _ = load_model("spelling")
    assert not set(read_strokes(model, sequence_stream(still_hand()))) & {"J", "Z"}
    with pytest.raises(InputError, match=r"none\.npz: the real sequences are not here"):
        load_sequences(tmp_path / "none.npz")


@pytest.mark.slow
def test_a_film_is_made_once_and_read(no_data):
    plans = [Plan("LB", 1, 0, letters_per_second=1.0)]
    (stream,) = films(plans, progress=False)
    (again,) = films(plans, progress=False)
    for name in ("times", "landmarks", "world", "left", "positions", "embeddings"):
        np.testing.assert_array_equal(getattr(again, name), getattr(stream, name))
    assert (again.word, again.aspect, again.signer) == (stream.word, stream.aspect, stream.signer)
    assert len(list(no_data.glob("cache/streams/*/*.npz"))) == 1 and stream.found.mean() > 0.8
    spelled = read_stream(stream)
    assert spelled.word == spelled.read == spelled.corrected == "LB"
    late = delays(stream, spelled.letters)
    assert len(late) == 2 and all(-1 < delay < 1.5 for delay in late)


def test_groups_of_photos_count_signers_not_photos():
    names, right = np.repeat(["a", "b"], [90, 10]), np.repeat([True, False], [90, 10])
    values = {name: np.arange(100.0) for name in people.PARTS}
    photos = pd.DataFrame({"signer": names, "right": right, "side": np.resize(["left", "right"], 100)} | values)
    found = people.by_measure(photos)
    assert found["side"]["left"] == {"mean": 0.5, "interval": [0.0, 1.0], "signers": 2, "n": 50}
    assert found["sharpness"]["blurred"] == {"mean": 1.0, "interval": [1.0, 1.0], "signers": 1, "n": 34}
    few = people.by_measure(photos.iloc[: 90 + people.LEAST])
    assert few["side"]["left"]["signers"] == 1  # the other signer has too few photos of each side
    assert "side" not in people.by_measure(photos.assign(side="left"))


def test_words_are_drawn_by_frequency_and_each_once():
    words = draw_words(100, 0)
    assert words == draw_words(100, 0) and len(set(words)) == 100 and min(map(len, words)) >= 2
    assert sum(word in draw_words(100, 1) for word in ("THE", "AND", "TO", "OF", "IN")) >= 4
