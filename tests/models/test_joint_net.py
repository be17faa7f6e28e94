import dataclasses

import pytest
import torch

from asllib.hands.embedding import WIDTH
from asllib.models.joint_net import JointConfig, JointNet
from asllib.models.zoo import parameter_count

PLAIN = JointConfig(dropout=0.0, noise=0.0)


@pytest.fixture
def inputs():
    return torch.randn(16, 9 * 21 + WIDTH, generator=torch.Generator().manual_seed(0))


def test_it_is_small():
    model = JointNet(JointConfig())
    look = (WIDTH + 1) * 256 + 257 * 24
    assert parameter_count(model) == parameter_count(model.landmark) + look == 386_880


def test_it_multiplies_what_its_branches_say(inputs):
    model = JointNet(JointConfig()).eval()
    first, second = model.branches(inputs)
    assert first.shape == second.shape == (16, 24)
    torch.testing.assert_close(first.exp().sum(1), torch.ones(16))
    torch.testing.assert_close(second.exp().sum(1), torch.ones(16))
    torch.testing.assert_close(model(inputs), first + second)


def test_each_branch_reads_its_own_part(inputs):
    model = JointNet(JointConfig()).eval()
    other = inputs.clone()
    other[:, -WIDTH:] += 1
    (first, second), (same, moved) = model.branches(inputs), model.branches(other)
    torch.testing.assert_close(first, same)
    assert (second - moved).abs().max() > 0.01


def test_in_training_most_items_have_one_branch(inputs):
    model = JointNet(dataclasses.replace(PLAIN, alone=1.0)).train()
    model.landmark.eval()  # its dropout and batch statistics would blur the comparison
    torch.manual_seed(0)
    said = model(inputs)
    first, second = model.branches(inputs)
    by_first = (said - first).abs().amax(1) < 1e-6
    by_second = (said - second).abs().amax(1) < 1e-6
    assert (by_first ^ by_second).all() and 3 <= by_first.sum() <= 13
    together = JointNet(dataclasses.replace(PLAIN, alone=0.0)).train()
    together.landmark.eval()
    first, second = together.branches(inputs)
    torch.testing.assert_close(together(inputs), first + second)


def test_embeddings_are_standardised(inputs):
    model = JointNet(PLAIN).eval()
    embeddings = 5 + 3 * torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(1))
    embeddings[:, 7] = 2.0  # a number that never changes
    model.set_statistics(embeddings)
    scaled = (embeddings - model.mean) / model.std
    assert scaled.mean(0).abs().max() < 1e-3 and torch.isfinite(scaled).all()
    assert scaled.std(0)[:7].sub(1).abs().max() < 1e-3


def test_every_parameter_gets_a_gradient(inputs):
    model = JointNet(JointConfig()).train()
    model(inputs).logsumexp(1).sum().backward()
    torch.nn.functional.cross_entropy(model(inputs), torch.arange(16)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
