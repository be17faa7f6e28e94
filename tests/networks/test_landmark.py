import pytest
import torch
import torch.nn.functional as F

from asllib.hands.features import landmark_features
from asllib.networks import parameter_count
from asllib.networks.landmark import GRID, LandmarkCNN, LandmarkConfig


@pytest.fixture
def features(hands):
    landmarks, world = map(torch.from_numpy, hands(24))
    return landmark_features(landmarks, world, torch.zeros(24, dtype=torch.bool), torch.ones(24))


def test_it_is_small():
    convolutions = (9 * 3 + 1) * 32 + (32 * 3 + 1) * 48 + (48 * 9 + 1) * 64
    layers = (64 * 3 + 9 * 21 + 1) * 128 + 129 * 24
    count = parameter_count(LandmarkCNN(LandmarkConfig()))
    assert count == convolutions + 2 * (32 + 48 + 64) + layers == 85_544
    assert count < 250_000


def test_the_grid_runs_from_the_wrist_along_each_finger():
    assert GRID == [[0, 4 * f + 1, 4 * f + 2, 4 * f + 3, 4 * f + 4] for f in range(5)]


@pytest.mark.parametrize("classes", [6, 24, 26])
def test_shapes(features, classes):
    model = LandmarkCNN(LandmarkConfig(classes=classes)).eval()
    assert features.shape == (24, 9, 21)
    laid_out = features[:, :, model.grid]
    assert model.along(laid_out).shape == (24, 48, 5, 3)
    assert model.across(model.along(laid_out)).shape == (24, 64, 3, 1)
    assert model(features).shape == (24, classes)
    assert torch.isfinite(model(features)).all()
    torch.testing.assert_close(laid_out[:, :, 2, 4], features[:, :, 12])  # the middle finger's tip


def test_every_parameter_gets_a_gradient(features):
    model = LandmarkCNN(LandmarkConfig())
    F.cross_entropy(model(features), torch.arange(24)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        # Batch normalisation subtracts a bias ahead of it, so only the weights' gradients cannot be zero.
        assert name.endswith("bias") or parameter.grad.abs().max() > 1e-6, name


def test_every_landmark_and_channel_counts(features):
    features.requires_grad_()
    LandmarkCNN(LandmarkConfig()).eval()(features).square().sum().backward()
    assert (features.grad.abs().amax(0) > 0).all()


def test_a_small_set_is_overfitted_to_zero_loss(features):
    torch.manual_seed(0)
    model = LandmarkCNN(LandmarkConfig(dropout=0.0))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        loss = F.cross_entropy(model(features), torch.arange(24))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.01
    assert (model.eval()(features).argmax(1) == torch.arange(24)).all()


def test_one_hand_at_a_time_reads_the_same_as_a_batch(features):
    model = LandmarkCNN(LandmarkConfig()).eval()
    torch.testing.assert_close(model(features[:1]), model(features)[:1], atol=1e-5, rtol=1e-4)
