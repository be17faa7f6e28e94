import hashlib
import json
from pathlib import Path

import pytest
import torch

from asllib.errors import InputError
from asllib.export import WholeModel, sample_inputs
from asllib.letters import FIRST_SIX, STATIC
from asllib.networks import LandmarkCNN, LandmarkConfig, PixelCNN, PixelConfig, build, parameter_count
from asllib.networks.store import (
    SHIPPED,
    WEIGHTS,
    check_new_run,
    fold,
    load_model,
    save_model,
    tidy_run,
)

CONFIGS = [PixelConfig(), PixelConfig(batch_norm=True, dropout=0.1), LandmarkConfig(), LandmarkConfig(dropout=0)]


@pytest.fixture
def run(tmp_path):
    return save_model(tmp_path / "run", LandmarkCNN(LandmarkConfig()), STATIC, {"seed": 3})


@pytest.mark.parametrize("config", CONFIGS)
def test_a_saved_model_says_the_same_when_it_is_loaded(tmp_path, config):
    torch.manual_seed(0)
    model = build(config)
    inputs = torch.rand(5, 1, 28, 28) if isinstance(model, PixelCNN) else torch.rand(5, 9, 21)
    if isinstance(model, PixelCNN):
        model.set_statistics((255 * inputs[:, 0],))
    model(inputs)  # moves the statistics of batch normalisation
    model.eval()
    folder = save_model(tmp_path / "a" / "run", model, STATIC, {"seed": 3, "preset": "best"})
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.safetensors"]
    loaded, card = load_model(folder)
    assert type(loaded) is type(model) and loaded.config == config and not loaded.training
    torch.testing.assert_close(loaded(inputs), model(inputs), atol=1e-6, rtol=0)
    assert card["network"] == model.name and card["alphabet"] == "".join(STATIC)
    assert card["seed"] == 3 and card["preset"] == "best"
    assert card["parameters"] == parameter_count(model)
    assert card["weights_sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_saving_again_replaces_both_files(run):
    save_model(run, PixelCNN(PixelConfig(classes=6)), FIRST_SIX, {})
    loaded, card = load_model(str(run))
    assert isinstance(loaded, PixelCNN) and card["alphabet"] == "ABCDEF" and "seed" not in card


def refused(name) -> str:
    with pytest.raises(InputError) as error:
        load_model(name)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_weights_that_are_not_the_cards_are_refused(run):
    weights = run / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    said = refused(run)
    assert "model.safetensors: sha256" in said and "instead of" in said
    weights.write_bytes(b"")
    assert "sha256" in refused(run)


def test_weights_of_another_network_are_refused_though_the_hash_is_right(run, tmp_path):
    other = save_model(tmp_path / "other", PixelCNN(PixelConfig()), STATIC, {})
    card = json.loads((run / "card.json").read_text())
    others = {
        "does not fit the network in the card": (other / "model.safetensors").read_bytes(),
        "not safeten": b"none",
    }
    for said, content in others.items():
        (run / "model.safetensors").write_bytes(content)
        card["weights_sha256"] = hashlib.sha256(content).hexdigest()
        (run / "card.json").write_text(json.dumps(card))
        assert said in refused(run)


@pytest.mark.parametrize(
    "change",
    [
        {"network": "transformer"},
        {"network": None},
        {"config": {"channels": [1, 2]}},
        {"config": {"layers": 3}},
        {"config": {"classes": -1}},
        {"config": {"features": "nine"}},
        {"config": [1]},
        {"config": None},
        {"alphabet": "ABC"},
        {"alphabet": "".join(STATIC).lower()},
        {"alphabet": "A" * 24},
        {"alphabet": 24},
        {"refuse_below": 1.5},
    ],
)
def test_a_damaged_card_is_refused(run, change):
    card = json.loads((run / "card.json").read_text())
    (run / "card.json").write_text(json.dumps({**card, **change}))
    assert "card.json: not a model card" in refused(run)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"3", b'"text"', b"\xff\xfe", b'{"network": "pixel"}'])
def test_a_card_that_is_none_is_refused(run, content):
    (run / "card.json").write_bytes(content)
    assert "card.json: not a model card" in refused(run)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    model = LandmarkCNN(LandmarkConfig())
    torch.nn.init.constant_(model.head[-1].bias, float("nan"))
    assert "some weights are no finite numbers" in refused(save_model(tmp_path / "run", model, STATIC, {}))


def test_a_run_whose_weights_could_not_be_written_is_not_finished(tmp_path, monkeypatch):
    def full(path, content):
        raise InputError(f"{path}: cannot be written")

    monkeypatch.setattr("asllib.networks.store.write_bytes", full)
    with pytest.raises(InputError, match="cannot be written"):
        save_model(tmp_path / "run", LandmarkCNN(LandmarkConfig()), STATIC, {})
    check_new_run(tmp_path / "run")


def test_a_folder_that_is_no_run_is_refused(run, tmp_path):
    assert f"neither a shipped model ({', '.join(SHIPPED)}) nor a run folder" in refused(tmp_path / "none")
    (run / "model.safetensors").unlink()
    assert "nor a run folder" in refused(run)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_models_are_whole(name):
    model, card = load_model(name)
    assert card["seed"] >= 0 and card["versions"]["torch"].startswith("2.13.0")
    assert card["network"] == model.name == name
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    if name in ("default", "pixel", "landmark"):
        assert card["alphabet"] == "".join(STATIC) and card["preset"] == ("best" if name == "default" else "people")
        assert len(card["data"]["sha256"]) == 64 and not card["data"]["synthetic"]
        assert name != "default" or (0.3 < card["refuse_below"] < 0.95 and card["synthetic_signers"] > 0)
    else:
        assert card["data"]["films"] > 0 and set("JZ") <= set(card["alphabet"])


@pytest.mark.parametrize("name", SHIPPED)
def test_a_folded_network_says_the_same_with_fewer_layers(name):
    model, _ = load_model(name)
    inputs, layers = sample_inputs(model, 7).values(), len(list(model.modules()))
    with torch.no_grad():
        wanted = WholeModel(model)(*inputs)
        torch.testing.assert_close(WholeModel(fold(model))(*inputs), wanted, atol=1e-6, rtol=0)
    assert len(list(model.modules())) < layers
    assert not any(isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d) for layer in model.modules())


def test_the_shipped_weights_are_below_5_megabytes():
    assert 0 < sum(path.stat().st_size for path in WEIGHTS.rglob("*")) < 5_000_000


def test_a_run_cannot_be_called_as_a_shipped_network():
    with pytest.raises(InputError, match="name of a shipped network"):
        check_new_run(Path("landmark"))
    check_new_run(Path("runs/landmark"))


def test_only_what_training_wrote_is_deleted(tmp_path):
    own = ["checkpoint.pt", "checkpoint-3.pt", "checkpoint-shapes.pt", ".0a1b2c3d-model.safetensors"]
    others = ["checkpoint-resnet50.pt", ".settings-of-mine", ".password-store", "model.safetensors"]
    for name in own + others:
        (tmp_path / name).touch()
    (tmp_path / ".0a1b2c3d-folder").mkdir()
    tidy_run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, ".0a1b2c3d-folder"])
