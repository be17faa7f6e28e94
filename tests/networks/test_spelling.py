import numpy as np
import pytest
import torch

from asllib.networks.spelling import NEITHER, MotionConfig, MotionNet
from asllib.networks.store import load_model, parameter_count, save_model
from asllib.train.clips import SIGNS
from asllib.train.spelling import TRAINING

CONFIGS = {name: training.network for name, training in TRAINING.items()}


@pytest.fixture(params=CONFIGS)
def config(request) -> MotionConfig:
    return CONFIGS[request.param]


def test_it_is_small(config):
    assert parameter_count(MotionNet(config)) < 300_000


def test_every_parameter_learns(config):
    model = MotionNet(config)
    features = torch.rand(3, config.features, 40)
    out = model(features)
    assert out.shape == (3, config.classes, 40)
    out.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_it_never_looks_ahead_and_not_further_back_than_it_says(config):
    model = MotionNet(config).eval()
    features = torch.rand(1, config.features, 80)
    changed = features.clone()
    changed[:, :, 50] += 1
    with torch.inference_mode():
        moved = (model(features) - model(changed)).abs().amax((0, 1)) > 1e-5
    assert not moved[:50].any() and not moved[50 + config.memory :].any() and moved[50]


def test_it_learns_a_stroke_by_heart():
    torch.manual_seed(0)
    config = MotionConfig(channels=16, dropout=0.0)
    model = MotionNet(config)
    features = torch.rand(2, config.features, 30)
    targets = torch.zeros(2, 30, dtype=torch.long)
    targets[0, 10:20], targets[1, 15:25] = 1, 2
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(model(features), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05


def test_run_folder_keeps_it(tmp_path):
    config = MotionConfig(channels=8)
    model = MotionNet(config).eval()
    save_model(tmp_path / "run", model, config.signs, {})
    again, card = load_model(tmp_path / "run")
    assert again.config == config and card["alphabet"] == "JZ" and NEITHER == 0
    features = torch.from_numpy(np.random.default_rng(0).random((1, config.features, 20), np.float32))
    assert torch.equal(model(features), again(features))


def test_all_letters_and_two_more_signs():
    assert len(SIGNS) == 28 and CONFIGS["spelling"].signs == SIGNS
