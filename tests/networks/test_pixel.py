import pytest
import torch
import torch.nn.functional as F

from asllib.networks import parameter_count
from asllib.networks.pixel import PixelCNN, PixelConfig


@pytest.fixture
def images(blobs):
    return torch.from_numpy(blobs(24)).unsqueeze(1).float() / 255


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_papers_sizes_28_14_7_3_and_1152(images, batch_norm):
    model = PixelCNN(PixelConfig(batch_norm=batch_norm)).eval()
    sizes, x = [], images
    for layer in model.features:
        x = layer(x)
        if isinstance(layer, torch.nn.MaxPool2d):
            sizes.append(tuple(x.shape[1:]))
    assert sizes == [(32, 14, 14), (64, 7, 7), (128, 3, 3)]
    assert x.flatten(1).shape == (24, 1152)
    linear = [layer for layer in model.head if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(1152, 128), (128, 24)]
    assert model(images).shape == (24, 24)


def test_parameter_counts():
    convolutions = (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 128
    layers = 1153 * 128 + 129 * 24
    assert parameter_count(PixelCNN(PixelConfig())) == convolutions + layers == 243_352
    assert parameter_count(PixelCNN(PixelConfig(batch_norm=True))) == 243_352 + 2 * (32 + 64 + 128)
    assert parameter_count(PixelCNN(PixelConfig(classes=6))) == 243_352 - 129 * 18


def test_there_are_as_many_layers_as_in_the_paper():
    kinds = [type(layer).__name__ for layer in PixelCNN(PixelConfig()).modules()]
    counts = [kinds.count(name) for name in ("Conv2d", "MaxPool2d", "ReLU", "Dropout2d", "Linear", "BatchNorm2d")]
    assert counts == [3, 3, 4, 2, 2, 0]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_parameter_gets_a_gradient(images, batch_norm):
    model = PixelCNN(PixelConfig(batch_norm=batch_norm))
    F.cross_entropy(model(images), torch.arange(24)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        # Batch normalisation subtracts a bias ahead of it, so its gradient is zero.
        assert (batch_norm and name.endswith("bias")) or parameter.grad.abs().max() > 1e-6, name


@pytest.mark.slow
def test_a_small_set_is_overfitted_to_zero_loss(images):
    torch.manual_seed(0)
    model = PixelCNN(PixelConfig(dropout=0.0))
    model.set_statistics((255 * images[:, 0],))
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(60):
        loss = F.cross_entropy(model(images), torch.arange(24))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.01
    assert (model.eval()(images).argmax(1) == torch.arange(24)).all()


def test_statistics_of_the_training_images_are_part_of_the_network(images):
    model = PixelCNN(PixelConfig()).eval()
    model.set_statistics((255 * images[:, 0],))
    seen = []
    model.features.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(images)
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(1, 28, 28), atol=1e-5, rtol=0)
    assert seen[0].std() == pytest.approx(1, abs=1e-3)
    assert {"mean", "std"} <= model.state_dict().keys()


def test_equal_images_and_flat_ones_give_no_nan():
    model = PixelCNN(PixelConfig())
    model.set_statistics((torch.full((1, 28, 28), 127.5),))
    for value in (0.0, 0.5, 1.0):
        assert torch.isfinite(model(torch.full((2, 1, 28, 28), value))).all()


def test_dropout_and_batch_norm_are_off_in_evaluation(images):
    model = PixelCNN(PixelConfig(batch_norm=True, dropout=0.5)).eval()
    whole = model(images)
    torch.testing.assert_close(whole, model(images))
    torch.testing.assert_close(model(images[:1]), whole[:1], atol=1e-5, rtol=1e-4)
    model.train()
    assert (model(images) - model(images)).abs().max() > 1e-3
