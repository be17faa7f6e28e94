"""Exported files, read by ONNX Runtime alone, against the library."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from asllib.errors import InputError
from asllib.export import WholeModel, export_onnx, labels, sample_inputs
from asllib.hands import Hand
from asllib.hands.features import palm_size
from asllib.hands.stream import RATE
from asllib.letters import STATIC
from asllib.networks import LandmarkCNN, LandmarkConfig, PixelCNN, PixelConfig, build
from asllib.networks.spelling import SpellingConfig
from asllib.networks.store import SHIPPED, load_model, save_model
from asllib.read.decoder import HandListener
from asllib.read.recognizer import load_recognizer

pytestmark = pytest.mark.slow

# What somebody without this package would write: a file, and arrays in; letters out.
ALONE = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
outputs = ["probabilities", "labels", "refuse_below"]
probabilities, labels, refuse_below = session.run(outputs, dict(np.load(sys.argv[2])))
assert json.loads(session.get_modelmeta().custom_metadata_map["labels"]) == labels.tolist()
best = probabilities.argmax(-1)
print(json.dumps([labels[best].tolist(), probabilities.tolist(), refuse_below.tolist()]))
print(*[name for name in sys.modules if name.partition(".")[0] in ("asllib", "torch", "mediapipe", "cv2")])
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Maker of the files of shipped networks, each written once."""
    folder = tmp_path_factory.mktemp("onnx")
    written = {}

    def make(name: str):
        if name not in written:
            file = folder / f"{name}.onnx"
            written[name] = file, export_onnx(name, file)
        return written[name]

    return make


def ask(file, inputs) -> np.ndarray:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {name: np.asarray(values) for name, values in inputs.items()})[0]


def facts(file) -> dict[str, str]:
    return {fact.key: fact.value for fact in onnx.load(file).metadata_props}


@pytest.mark.parametrize("name", SHIPPED)
def test_onnxruntime_alone_reads_what_the_library_reads(exported, tmp_path, name):
    file, written = exported(name)
    assert written["difference"] <= 1e-4 and written["bytes"] == file.stat().st_size
    model, card = load_model(name)
    inputs = sample_inputs(model, 6, 50, seed=3)
    np.savez(tmp_path / "inputs.npz", **inputs)
    command = [sys.executable, "-c", ALONE, file, tmp_path / "inputs.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    result, loaded = done.stdout.splitlines()
    letters, probabilities, refuse_below = json.loads(result)
    with torch.inference_mode():
        wanted = WholeModel(model)(*inputs.values()).numpy()
    np.testing.assert_allclose(probabilities, wanted, atol=1e-4)
    np.testing.assert_allclose(np.sum(probabilities, -1), 1, atol=1e-5)
    np.testing.assert_array_equal(letters, np.array(labels(model, card))[wanted.argmax(-1)])
    assert refuse_below == pytest.approx([card.get("refuse_below", 0.0)])
    assert loaded == ""


def test_a_recogniser_and_its_file_agree_on_a_photo(exported, hands):
    landmarks, world = hands(8)
    recognizer = load_recognizer("landmark")
    for i, side in enumerate(["right", "left"] * 4):
        wanted = recognizer.probabilities([Hand(landmarks[i], world[i], side, 1.0)], 160 / 90)
        hand = {"landmarks": landmarks[i : i + 1], "world": world[i : i + 1]}
        said = ask(exported("landmark")[0], {**hand, "left": [side == "left"], "aspect": np.float32([160 / 90])})
        np.testing.assert_allclose(said[0], wanted, atol=1e-4)


def test_a_recogniser_and_its_file_agree_on_grey_images(exported, blobs):
    images = blobs(9)
    wanted = [prediction.letter for prediction in load_recognizer("pixel").predict(list(images))]
    assert [STATIC[i] for i in ask(exported("pixel")[0], {"image": images}).argmax(1)] == wanted


@pytest.mark.parametrize("name", ["spelling"])
def test_a_sliding_window_says_what_the_library_says_of_a_film(exported, name):
    """The file of a motion network, asked for the last moment of a window, is the library's stream."""
    file, _ = exported(name)
    model, _ = load_model(name)
    known = facts(file)
    window, delay = int(known["window"]), int(known["delay"])
    assert float(known["moments_per_second"]) == RATE and delay == model.config.delay
    steps = window + 30
    # The first half of a film, since the hand is lost in the middle; it waves.
    film = sample_inputs(model, 1, 2 * steps, seed=5)
    points, aspect = film["landmarks"][:, :steps].numpy(), film["aspect"].numpy()
    world = film.get("world", torch.zeros_like(film["landmarks"]))[:, :steps].numpy()
    points[..., 0] += 0.2 * np.sin(0.4 * np.arange(steps))[:, None]
    listener, said = HandListener(model), []
    for i in range(steps):
        hand = Hand(points[0, i], world[0, i], "right", 1.0)
        said += listener.hear(hand, i / RATE, float(aspect[0]))
    assert len(said) == steps and said[0].time_s == pytest.approx(-delay / RATE)
    seen = {"landmarks": points, "world": world}
    inputs = {
        key: np.concatenate([values[:, i + 1 - window : i + 1] for i in range(window, steps)])
        for key, values in seen.items()
    }
    count = steps - window
    inputs |= {"left": np.zeros((count, window), bool), "aspect": aspect.repeat(count)}
    wanted = np.stack([one.probabilities for one in said[window:]])
    np.testing.assert_allclose(ask(file, inputs)[:, -1], wanted, atol=1e-4)
    assert np.log(wanted).std(0).max() > 0.1  # it does say different things


def test_the_file_says_what_it_is_and_nothing_of_this_machine(exported):
    file, _ = exported("pixel")
    known, (_, card) = facts(file), load_model("pixel")
    assert json.loads(known["labels"]) == list(STATIC)
    assert known["network"] == "pixel" and known["weights_sha256"] == card["weights_sha256"]
    assert known["licence"] == "MIT" and float(known["refuse_below"]) == card.get("refuse_below", 0.0)
    content = file.read_bytes()
    assert b".py" not in content and b"site-packages" not in content


def test_a_run_folder_with_an_added_sign(tmp_path):
    torch.manual_seed(0)
    alphabet = ["A", "B", "thank you"]
    about = {"refuse_below": 0.25}
    run = save_model(tmp_path / "run", LandmarkCNN(LandmarkConfig(classes=3)), alphabet, about)
    file = tmp_path / "mine.onnx"
    export_onnx(run, file)
    session = onnxruntime.InferenceSession(file)
    inputs = {name: tensor.numpy() for name, tensor in sample_inputs(load_model(run)[0], 2).items()}
    names, refuse_below = session.run(["labels", "refuse_below"], inputs)
    assert names.tolist() == alphabet and refuse_below == [0.25]


def test_a_file_that_differs_from_the_network_is_not_left(tmp_path, monkeypatch):
    import asllib.export as export

    run = save_model(tmp_path / "run", PixelCNN(PixelConfig(classes=6, channels=(2, 2, 2))), "ABCDEF", {})
    trace = export._trace

    def wrong(whole):
        graph = trace(whole)
        bias = next(one for one in graph.graph.initializer if one.name.endswith("head.3.bias"))
        moved = onnx.numpy_helper.to_array(bias) + np.float32([1, 0, 0, 0, 0, 0])
        bias.CopyFrom(onnx.numpy_helper.from_array(moved, bias.name))
        return graph

    monkeypatch.setattr(export, "_trace", wrong)
    with pytest.raises(InputError, match=r"differ from PyTorch's by 0\.\d+, .*no file was written"):
        export_onnx(run, tmp_path / "wrong.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_that_says_no_numbers_is_not_left(tmp_path, monkeypatch):
    import asllib.export as export

    run = save_model(tmp_path / "run", PixelCNN(PixelConfig(classes=6, channels=(2, 2, 2))), "ABCDEF", {})
    monkeypatch.setattr(export, "_compare", lambda content, whole: float("nan"))
    with pytest.raises(InputError, match="no file was written"):
        export_onnx(run, tmp_path / "wrong.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("config", [PixelConfig(), LandmarkConfig(), SpellingConfig()])
def test_sample_inputs_are_like_real_ones(config):
    inputs = sample_inputs(build(config), 40, 30)
    assert all(len(tensor) == 40 for tensor in inputs.values())
    if "image" in inputs:
        assert inputs["image"].dtype == torch.uint8 and inputs["image"].float().std((1, 2)).min() > 20
        return
    world = inputs["world"]
    palm = palm_size(world if world.ndim == 3 else world[:, 0])  # metres; of a film at its first moment
    assert 0.04 < palm.mean() < 0.12
    assert 0.4 <= inputs["left"].float().mean() <= 0.6
    again = sample_inputs(build(config), 40, 30)
    assert all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(inputs.values(), again.values(), strict=True)
    )


@pytest.mark.usefixtures("no_data")
def test_the_command(asl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = save_model(tmp_path / "run", PixelCNN(PixelConfig(classes=6, channels=(2, 2, 2))), "ABCDEF", {})
    code, out, _ = asl("export", run, "--json", "-")
    found = json.loads(out)
    assert code == 0 and found["file"] == "run.onnx" and found["inputs"] == ["image"] and found["classes"] == 6
    assert found["difference"] < 1e-4 and found["bytes"] == (tmp_path / "run.onnx").stat().st_size


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pixel", "--out", "a.txt"], "a.txt"),
        (["nothing"], "nothing"),
    ],
)
def test_bad_input_is_one_line(asl, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = asl("export", *arguments)
    assert code == 1 and out == "" and err.startswith("asl: ") and err.count("\n") == 1 and said in err
    assert not list(tmp_path.glob("*.onnx"))
