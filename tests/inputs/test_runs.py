"""Run folders, cards, results, recordings and words: damaged ones are refused in one line, none runs code."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from damage import broken_bytes, broken_csv, broken_json, csv_bytes, everything_in, outcome, refused, same_csv, tries
from hypothesis import given
from hypothesis import strategies as st

import asllib.live.recording as recording
from asllib import results
from asllib.data.letterset import COLUMNS
from asllib.errors import InputError
from asllib.hands.landmarks import SIZE_COLUMNS, landmark_columns
from asllib.live.recording import RecordingSession
from asllib.networks.landmark import LandmarkCNN, LandmarkConfig
from asllib.networks.store import SHIPPED, WEIGHTS, load_model, save_model
from asllib.read.lexicon import Lexicon
from asllib.read.recognizer import load_recognizer
from asllib.train.signs import TeachingSettings, add_signs, load_memory

# An error in a library's callback ends no reader, but prints a traceback: no one line.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")]

ROOT = Path(__file__).resolve().parents[2]
CARD = json.loads((WEIGHTS / "landmark" / "card.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a small network."""
    network = LandmarkCNN(LandmarkConfig(channels=(2, 2, 2), hidden=4))
    return save_model(tmp_path_factory.mktemp("run") / "run", network, CARD["alphabet"], {"refuse_below": 0.5})


def write_card(run: Path, content: object) -> None:
    (run / "card.json").write_text(json.dumps(content))


@tries(60)
@given(data=st.data())
def test_a_card_with_a_value_of_another_kind(run, data):
    sound = json.loads((run / "card.json").read_text())
    try:
        write_card(run, data.draw(broken_json(sound)))
        found = outcome("card", run, load_recognizer, run)
        if not refused(found):
            assert 0 <= found.refuse_below <= 1 and len(found.alphabet) == found.model.config.classes == 24
            assert all(isinstance(name, str) and name.strip() for name in found.alphabet)
    finally:
        write_card(run, sound)


@tries(30)
@given(data=st.data(), name=st.sampled_from(["card.json", "model.safetensors"]))
def test_a_run_folder_with_damaged_bytes(run, data, name):
    sound = (run / name).read_bytes()
    try:
        damaged = data.draw(broken_bytes(sound))
        (run / name).write_bytes(damaged)
        found = outcome("run folder", run, load_recognizer, run)
        assert name == "card.json" or damaged == sound or refused(found)
    finally:
        (run / name).write_bytes(sound)


@tries(30)
@given(data=st.data())
def test_damaged_weights_whose_hash_is_right(run, data):
    weights, card = (run / "model.safetensors").read_bytes(), json.loads((run / "card.json").read_text())
    try:
        content = data.draw(broken_bytes(weights))
        (run / "model.safetensors").write_bytes(content)
        write_card(run, {**card, "weights_sha256": hashlib.sha256(content).hexdigest()})
        found = outcome("weights", run, load_recognizer, run)
        if not refused(found):
            assert all(tensor.isfinite().all() for tensor in found.model.state_dict().values())
    finally:
        (run / "model.safetensors").write_bytes(weights)
        write_card(run, card)


@pytest.mark.parametrize("size", [{"hidden": 10**9}, {"channels": [4096] * 3, "hidden": 4096}, {"classes": 4096}])
def test_a_card_that_asks_for_a_huge_network_is_refused_without_making_it(run, tmp_path, size, monkeypatch):
    shutil.copytree(run, tmp_path / "run")
    card = json.loads((run / "card.json").read_text())
    card["config"] |= size
    card["alphabet"] = [f"s{i}" for i in range(card["config"]["classes"])]
    write_card(tmp_path / "run", card)
    made = []
    real = torch.nn.Linear.reset_parameters
    monkeypatch.setattr(
        torch.nn.Linear, "reset_parameters", lambda self: (made.append(self.weight.device.type), real(self))
    )
    assert refused(outcome("card", tmp_path / "run", load_model, tmp_path / "run"))
    assert set(made) <= {"meta"}


def test_no_name_in_a_card_is_opened(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    card = json.loads((run / "card.json").read_text())
    other = {name: "../../other" for name in ("weights", "model", "file", "path", "history")}
    write_card(tmp_path / "run", {**card, **other, "base": {"name": "/etc/passwd"}})
    opened = []
    import sys

    watching = True
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if watching and event == "open" else None)
    load_model(tmp_path / "run")
    watching = False
    assert not [name for name in opened if "other" in name or "passwd" in name]
    assert {Path(name).name for name in opened if "run" in Path(name).parts} == {"card.json", "model.safetensors"}


class Trap:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, where: Path):
        self.where = str(where)

    def __reduce__(self):
        return os.mkdir, (self.where,)


@pytest.mark.parametrize("protocol", [0, 2, 5, "torch"])
def test_a_pickle_in_the_place_of_weights_is_refused_and_not_run(run, tmp_path, protocol):
    shutil.copytree(run, tmp_path / "run")
    trap, weights = Trap(tmp_path / "sprung"), tmp_path / "run" / "model.safetensors"
    if protocol == "torch":
        torch.save({"weight": trap}, weights)
    else:
        weights.write_bytes(pickle.dumps(trap, protocol))
    for name in ("model.pt", "model.pkl", "pytorch_model.bin", "checkpoint.pt"):
        shutil.copy(weights, tmp_path / "run" / name)
    card = json.loads((run / "card.json").read_text())
    write_card(tmp_path / "run", {**card, "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()})
    assert refused(outcome("pickle", tmp_path / "run", load_recognizer, tmp_path / "run"))
    weights.unlink()
    assert refused(outcome("pickle", tmp_path / "run", load_recognizer, tmp_path / "run"))
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(trap))  # the trap works
    assert (tmp_path / "sprung").is_dir()


@pytest.mark.parametrize("content", ["trap", b"", b"PK\x03\x04", {"run": 1}])
def test_a_checkpoint_that_is_none_is_refused_and_not_run(tmp_path, content):
    from asllib.train.loop import load_state

    path, network = tmp_path / "checkpoint.pt", torch.nn.Linear(2, 2)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"model": Trap(tmp_path / "sprung")} if content == "trap" else content, path)
    assert refused(outcome("checkpoint", path, load_state, path, "key", {"model": network}))
    assert not (tmp_path / "sprung").exists()


RUNNERS = ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle")


def calls_that_run_what_they_read(source: str) -> list[str]:
    """Calls in a module that would run code out of a file, by name."""
    found = []
    modules = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [name for name in names if name.split(".")[0] in modules]
        if not isinstance(node, ast.Call):
            continue
        name, options = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        if (
            name in RUNNERS
            or (name.split(".")[0] in modules and name.endswith(("load", "loads")))
            or (name == "torch.load" and options.get("weights_only") != "True")
            or options.get("allow_pickle", "False") != "False"
            or options.get("shell", "False") != "False"
        ):
            found.append(name)
    return found


def python_of(path: Path) -> str:
    """The Python of a module or a notebook, without the notebook's magic lines."""
    if path.suffix == ".py":
        return path.read_text()
    cells = [cell["source"] for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    return "\n".join(line for line in "\n".join(map("".join, cells)).splitlines() if not line.startswith(("%", "!")))


def test_nothing_that_is_shipped_runs_what_it_reads():
    places = ("asllib/**/*.py", "benchmarks/*.py", "notebooks/*.ipynb")
    sources = [path for place in places for path in ROOT.glob(place)]
    assert len(sources) > 80 and {path.suffix for path in sources} == {".py", ".ipynb"}
    found = {path.name: calls_that_run_what_they_read(python_of(path)) for path in sources}
    assert {name: calls for name, calls in found.items() if calls} == {}
    for bad in (
        "import pickle",
        "torch.load(f)",
        "np.load(f, allow_pickle=True)",
        "yaml.load(f)",
        "eval(x)",
        "exec(x)",
    ):
        assert calls_that_run_what_they_read(bad), bad
    assert not calls_that_run_what_they_read("torch.load(f, weights_only=True); np.load(f); model.eval()")


def test_every_weight_that_is_shipped_has_its_hash_in_a_card(tmp_path, monkeypatch):
    for file in WEIGHTS.rglob("*.*"):
        assert file.suffix in (".safetensors", ".json", ".csv", ".md"), file
        if file.suffix == ".safetensors":
            card = json.loads(file.with_name("card.json").read_text())
            name = "weights" if file.stem == "model" else file.stem
            assert card[f"{name}_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(SHIPPED) == len(list(WEIGHTS.glob("*/model.safetensors"))) == 4
    shutil.copytree(WEIGHTS / "landmark", tmp_path / "landmark")
    memory = tmp_path / "landmark" / "memory.safetensors"
    monkeypatch.setattr("asllib.train.signs.MEMORY", memory)
    assert load_memory().shape[1:] == (9, 21)
    content = bytearray(memory.read_bytes())
    content[-1] ^= 1
    memory.write_bytes(content)
    with pytest.raises(InputError, match="sha256"):
        load_memory()


STUDY = {"systems": {"joint": {"davidlee": 0.85}}, "seed": 0, "data": {"name": "photos"}}


@tries(60)
@given(data=st.data())
def test_a_damaged_result(place, data):
    file = place / "study.json"
    if data.draw(st.booleans()):
        file.write_text(json.dumps(data.draw(broken_json(STUDY))))
    else:
        file.write_bytes(data.draw(broken_bytes(json.dumps(STUDY).encode())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "results_dir", lambda: place)
        patch.setattr(results, "place", lambda root, synthetic: root)
        result = outcome("result", file, results.load_result, "study")
        assert refused(result) or isinstance(result, dict)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "1" * 10_000, " " * (2**24 + 1)])
def test_json_that_is_deep_or_long(tmp_path, monkeypatch, text):
    (tmp_path / "study.json").write_text(text)
    monkeypatch.setattr(results, "results_dir", lambda: tmp_path)
    monkeypatch.setattr(results, "place", lambda root, synthetic: root)
    assert refused(outcome("result", tmp_path / "study.json", results.load_result, "study"))


# A folder as the recorder leaves it: two signs, three photos of each, and what its tracker saw.
ROWS = [(f"{sign}/me-{i:04d}.jpg", sign) for sign in ("A", "thank you") for i in (1, 2, 3)]
MANIFEST = [[*COLUMNS], *([file, sign, "recorded", "me", file, ""] for file, sign in ROWS)]
POINTS = np.random.default_rng(0).normal(0.5, 0.1, 126).round(4)
SEEN = [[*landmark_columns(), *SIZE_COLUMNS]] + [
    [file, sign, "right", "0.9", *map(str, POINTS), "64", "48"] for file, sign in ROWS
]


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """The folder, with a file beside it that nobody may touch, and a recorder that needs no tracker."""

    class Nobody:
        def __init__(self, video):
            pass

    monkeypatch.setattr(recording, "HandTracker", Nobody)
    folder = tmp_path / "mine"
    for file, _ in ROWS:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (64, 48), (90, 60, 50)).save(folder / file)
    (tmp_path / "precious.jpg").write_bytes(b"precious")
    (folder / "manifest.csv").write_bytes(csv_bytes(MANIFEST))
    (folder / "landmarks.csv").write_bytes(csv_bytes(SEEN))
    return folder


def again(folder: Path) -> list:
    """Go on with a recording and throw away what there is of the first sign."""
    session = RecordingSession(folder, ["A", "B"], per_sign=5)
    kept = session.kept
    session.answer({"type": "start", "view": "v", "time": 0.0}, [])
    reply, _ = session.answer({"type": "edit", "what": "again", "view": "v"}, [])
    session.close()
    return [kept, reply]


def test_a_recording_is_gone_on_with(recorded):
    kept, reply = again(recorded)
    assert kept == {"A": 3, "B": 0} and reply["kept"] == 0
    assert not list((recorded / "A").iterdir()) and len(list((recorded / "thank you").iterdir())) == 3


@pytest.mark.parametrize(
    "file",
    [
        "../precious.jpg",
        "A/../../precious.jpg",
        "/etc/passwd",
        "A/link.jpg",
        "A/me-x.jpg",
        "manifest.csv",
        "A/x-0001.jpg",
    ],
)
def test_a_recording_whose_files_lie_elsewhere_is_refused_and_nothing_deleted(recorded, file):
    (recorded / "A" / "link.jpg").symlink_to(recorded.parent / "precious.jpg")
    rows = [list(row) for row in MANIFEST]
    rows[1][0] = file
    (recorded / "manifest.csv").write_bytes(csv_bytes(rows))
    before = everything_in(recorded.parent)
    assert refused(outcome("recording", recorded, again, recorded))
    assert everything_in(recorded.parent) == before


def test_damaged_recordings(recorded):
    @tries(60)
    @given(content=st.one_of(broken_csv(MANIFEST), broken_csv(SEEN)), which=st.sampled_from(["manifest", "landmarks"]))
    def check(content, which):
        (recorded / "manifest.csv").write_bytes(csv_bytes(MANIFEST))
        (recorded / "landmarks.csv").write_bytes(csv_bytes(SEEN))
        for file, _ in ROWS:
            if not (recorded / file).exists():
                PIL.Image.new("RGB", (64, 48)).save(recorded / file)
        (recorded / f"{which}.csv").write_bytes(content)
        outcome("recording", recorded, again, recorded)
        assert (recorded.parent / "precious.jpg").read_bytes() == b"precious"
        outside = [
            path for path in recorded.parent.iterdir() if path not in (recorded, recorded.parent / "precious.jpg")
        ]
        assert outside == []

    check()


def test_signs_are_added_from_sound_examples_alone(recorded, tmp_path):
    rows = [(f"{sign}/me-{i:04d}.jpg", sign) for sign in ("A", "thank you") for i in range(1, 6)]  # five are enough
    for file, _ in rows:
        PIL.Image.new("RGB", (64, 48)).save(recorded / file)
    manifest = [MANIFEST[0], *([file, sign, "recorded", "me", file, ""] for file, sign in rows)]
    (recorded / "manifest.csv").write_bytes(csv_bytes(manifest))
    seen, quick = [SEEN[0], *([*row, *SEEN[1][2:]] for row in rows)], TeachingSettings(copies=0, steps=1)

    @tries(40)
    @given(content=st.one_of(broken_csv(seen), same_csv(seen)))
    def check(content):
        (recorded / "landmarks.csv").write_bytes(content)
        out = tmp_path / "run"
        found = outcome("added signs", recorded.name, add_signs, recorded, out, settings=quick)
        if not refused(found):
            assert found["signs"] == {"A": 5, "thank you": 5} and load_model(out)[0].config.classes == 25
            shutil.rmtree(out)
        assert not out.exists()

    check()


@tries(100)
@given(
    names=st.lists(st.text(max_size=8) | st.integers() | st.none(), max_size=3) | st.text(max_size=5),
    word=st.text(max_size=12),
)
def test_words_and_names_of_any_letters(names, word):
    lexicon = outcome("word list", "names=", Lexicon, 2000, names)
    if refused(lexicon):
        return
    assert isinstance(lexicon.correct(word), str)
    assert all(lexicon.correct(name) == name.upper() for name in names)
    assert all(found.startswith(word.upper()) for found in lexicon.complete(word))
