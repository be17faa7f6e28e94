"""Adding signers and signs: what is learned, what is kept, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest

import asllib
from asllib.data import load_photos, track
from asllib.errors import InputError
from asllib.letters import STATIC
from asllib.networks.landmark import LandmarkCNN, LandmarkConfig, look_probabilities
from asllib.networks.store import load_model
from asllib.signer import render_letters, write_letters
from asllib.train.loop import hand_examples
from asllib.train.signs import TeachingSettings, add_signs, features, load_memory, make_memory


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos of one synthetic person: 20 each of L, B and J."""
    return write_letters(tmp_path_factory.mktemp("signs") / "mine", "LBJ", signers=1, views=20, size=160, seed=11)


@pytest.fixture(scope="module")
def halves(folder):
    """The even photos, in which J is called "hook", and the odd ones."""
    letters = load_photos(folder)
    table = letters.table.assign(label=letters.table["label"].replace("J", "hook"))
    letters = dataclasses.replace(letters, table=table)
    looks = track(letters, progress=False)
    even = np.arange(len(letters)) % 2 == 0
    return (letters.subset(even), looks.subset(even)), (letters.subset(~even), looks.subset(~even))


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mine"
    started = time.perf_counter()
    card = add_signs(folder, out)
    seconds = time.perf_counter() - started
    print(f"60 examples were learned in {seconds:.1f} s")  # `pytest -s` shows what this machine takes
    assert seconds < 60  # a few on an idle machine
    return out, card


def test_the_memory_is_of_hands_that_the_shipped_network_reads():
    memory = load_memory()
    assert memory.shape[1:] == (9, 21) and len(memory) == 20 * len(STATIC)
    read = load_model("landmark")[0](memory).argmax(1)
    assert set(read.tolist()) == set(range(24))


def test_a_sign_is_learned_and_the_letters_are_kept(run):
    out, card = run
    assert card["alphabet"] == [*STATIC, "J"] if isinstance(card["alphabet"], list) else card["alphabet"][-1] == "J"
    assert card["metrics"]["after"] > 0.95 > card["metrics"]["before"]  # J was unknown
    assert card["metrics"]["kept"] > 0.98
    assert card["signs"] == {"B": 20, "J": 20, "L": 20} and card["base"]["name"] == "landmark"
    assert json.loads((out / "card.json").read_text()) == card


def test_ten_examples_are_read_on_other_photos(halves, tmp_path):
    (taught, _), (others, looks) = halves
    assert dict(taught.table["label"].value_counts()) == {"L": 10, "B": 10, "hook": 10}
    card = add_signs(taught, tmp_path / "run")
    model, same = load_model(tmp_path / "run")
    assert same == card and card["alphabet"] == [*STATIC, "hook"]
    read = np.array(card["alphabet"])[look_probabilities(model, looks).argmax(1)]
    assert (read == others.letters).mean() > 0.85


def test_the_run_folder_is_a_recogniser(run):
    recognizer = asllib.load_recognizer(run[0])
    prediction = recognizer.predict(one_photo())[0]
    assert len(prediction.probabilities) == 26 and set(recognizer.alphabet) == {*STATIC, "J"}


def one_photo():
    return render_letters("L", signers=1, views=1, seed=11).images


def test_a_named_sign_is_predicted_by_its_name(run):
    recognizer = asllib.load_recognizer(run[0])
    names = ["hook" if name == "L" else name for name in recognizer.alphabet]
    recognizer = dataclasses.replace(recognizer, card={**recognizer.card, "alphabet": names})
    prediction = recognizer.predict(one_photo())[0]
    assert prediction.letter == "hook" and len(prediction.probabilities) == 27


def test_signs_are_added_to_added_signs(run, halves, tmp_path):
    (taught, _), _ = halves
    card = add_signs(taught, tmp_path / "more", base=run[0])
    assert set(card["alphabet"]) == {*STATIC, "J", "hook"}
    base = load_model("landmark")[1]
    known = [run[1]["data"]["sha256"], *(one["sha256"] for one in (base["data"], *base["added"]))]
    assert [one["sha256"] for one in card["added"]] == known  # all that it has seen, whoever taught it
    assert [one["sha256"] for one in run[1]["added"]] == known[1:]


def test_a_network_is_not_named_as_a_shipped_one(halves, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="landmark: the name of a shipped network"):
        add_signs(halves[0][0], "landmark")
    assert not list(tmp_path.iterdir())


def test_the_same_call_gives_the_same_network(folder, run, tmp_path):
    again = add_signs(folder, tmp_path / "again")
    assert again["metrics"] == run[1]["metrics"]


@pytest.mark.slow
def test_without_tether_and_memory_more_is_forgotten(halves, tmp_path):
    (taught, _), _ = halves
    loose = TeachingSettings(keep=0.0, tether=0.0)
    kept = add_signs(taught, tmp_path / "kept")["metrics"]["kept"]
    assert add_signs(taught, tmp_path / "loose", settings=loose)["metrics"]["kept"] < kept - 0.1


def test_a_memory_is_drawn_from_a_set(halves):
    (letters, looks), _ = halves
    model = LandmarkCNN(LandmarkConfig())
    memory = make_memory(model, letters, looks, per_letter=4)
    assert memory.shape == (12, 9, 21)
    everything = features(model, hand_examples(looks, letters.labels(["B", "L", "hook"])))
    assert all((everything == hand).flatten(1).all(1).any() for hand in memory)


def test_too_few_examples_are_refused(halves, tmp_path):
    (letters, _), _ = halves
    few = letters.subset(np.r_[0:10, 10:14])
    with pytest.raises(InputError, match="4 usable examples of 'B'; record at least 5"):
        add_signs(few, tmp_path / "run")


def test_what_cannot_be_taught_is_refused(folder, run, tmp_path):
    with pytest.raises(InputError, match="a pixel network"):
        add_signs(folder, tmp_path / "run", base="pixel")
    with pytest.raises(InputError, match="holds a finished run"):
        add_signs(folder, run[0])
    with pytest.raises(InputError, match="no such folder"):
        add_signs(tmp_path / "nowhere", tmp_path / "run")
