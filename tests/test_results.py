import json
import re
from pathlib import Path

import numpy as np
import pytest

from asllib import results
from asllib.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Results and figures of the profile "paper" go to a folder of the test."""
    monkeypatch.setattr(results, "results_dir", lambda: tmp_path / "results")
    monkeypatch.setattr(results, "figures_dir", lambda: tmp_path / "figures")
    monkeypatch.setenv("ASLLIB_PROFILE", "paper")
    return tmp_path


def test_a_result_comes_back_with_what_it_was_made_from(project, letter_set):
    letters = letter_set(["A", "B"])
    path = results.save_result("pixel", {"accuracy": np.float32(0.5), "losses": [1.5, 0.25]}, letters, seed=[0, 1, 2])
    assert path == project / "results" / "pixel.json"
    found = results.load_result("pixel")
    assert found["accuracy"] == 0.5 and found["losses"] == [1.5, 0.25]
    assert found["data"] == {"name": "made", "rows": 2, "sha256": letters.sha256(), "synthetic": False}
    assert (found["seed"], found["profile"]) == ([0, 1, 2], "paper")
    assert found["versions"]["torch"].startswith("2.13.0")
    assert {"python", "asllib", "mediapipe", "numpy", "opencv-python", "scikit-learn"} <= found["versions"].keys()
    assert found == json.loads(path.read_text())
    assert [file.name for file in path.parent.iterdir()] == ["pixel.json"]


def test_a_result_is_json_that_everybody_reads(project, letter_set):
    values = {
        "table": [{"a": float("nan"), "b": np.float32("nan")}],
        "most": float("inf"),
        "n": np.int64(3),
        "c": (1.5,),
    }
    path = results.save_result("holes", values, letter_set(["A", "B"]))

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(path.read_text(), parse_constant=refuse)
    assert found["table"] == [{"a": None, "b": None}] and (found["most"], found["n"], found["c"]) == (None, 3, [1.5])


def test_the_hash_tells_two_sets_apart(letter_set):
    first, second = letter_set(["A", "B"]), letter_set(["B", "A"])
    assert results.data_card(first)["sha256"] == results.data_card(letter_set(["A", "B"]))["sha256"]
    assert results.data_card(first)["sha256"] != results.data_card(second)["sha256"]


def test_no_run_overwrites_what_was_made_from_better_data(project, letter_set, monkeypatch):
    import dataclasses

    real = letter_set(["A"])
    drawn = dataclasses.replace(real, synthetic=True)
    paths = [results.save_result("same", {"n": n}, letters) for n, letters in enumerate((real, drawn))]
    monkeypatch.setenv("ASLLIB_PROFILE", "ci")
    paths += [results.save_result("same", {"n": 2}, real)]
    assert len(set(paths)) == 3
    assert paths[2].parent.name == "ci" and paths[1].parent.name == "synthetic"
    assert results.load_result("same")["n"] == 2
    monkeypatch.setenv("ASLLIB_PROFILE", "paper")
    assert [results.load_result("same", synthetic)["n"] for synthetic in (False, True)] == [0, 1]


def test_a_result_that_is_not_there_yet_says_what_makes_it(project):
    with pytest.raises(InputError, match="no such file; run the notebook") as error:
        results.load_result("none")
    assert "\n" not in str(error.value)


def test_a_figure_is_written_where_its_data_says(project):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    for synthetic, folder in ((False, "figures"), (True, "figures/synthetic")):
        path = results.save_figure(figure, "figure", synthetic)
        assert path == project / folder / "figure.png"
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert not [file for file in path.parent.iterdir() if file.name.startswith(".")]


def test_a_damaged_result_is_named(project, letter_set):
    path = results.save_result("pixel", {"accuracy": 0.5}, letter_set(["A", "B"]))
    path.write_text(path.read_text()[:20])
    with pytest.raises(InputError, match="not a result file"):
        results.load_result("pixel")


COMMITTED = sorted(path for path in (ROOT / "data" / "results").rglob("*.json") if path.parent.name != "ci")
PARTS = {"spelling.json"}  # of several sets of films and real files


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_a_committed_result_says_what_repeats_it(path):
    found = json.loads(path.read_text())
    # LiteRT makes the embeddings now; results that need none are as old as they are.
    assert found["versions"].keys() | {"ai-edge-litert"} == {"python", *results.PACKAGES} and all(
        found["versions"].values()
    )
    if path.name in PARTS:
        drawn = [part["signer_version"] for part in found.values() if isinstance(part, dict) and "speeds" in part]
        assert drawn and all(re.fullmatch("[0-9a-f]{8}", version) for version in drawn)
        assert isinstance(found["seed"], int) and found["data"]
        assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in found["data"].values())
        return
    assert re.fullmatch("[0-9a-f]{64}", found["data"]["sha256"]) and found["data"]["rows"] > 0 and found["data"]["name"]
    assert found["data"]["synthetic"] == (path.parent.name == "synthetic")
    seeds = found["seed"] if isinstance(found["seed"], list) else [found["seed"]]
    assert seeds and all(isinstance(seed, int) for seed in seeds) and found["profile"] == "paper"


def test_committed_results_are_there():
    assert len(COMMITTED) >= 15 and {path.name for path in COMMITTED} >= PARTS
