import pytest
import torch

from asllib.hands.look import WIDTH
from asllib.networks import parameter_count
from asllib.networks.default import DefaultConfig, DefaultNet

PLAIN = DefaultConfig(dropout=0.0, noise=0.0)


@pytest.fixture
def inputs():
    return torch.randn(16, 9 * 21 + WIDTH, generator=torch.Generator().manual_seed(0))


def test_it_is_small():
    model = DefaultNet(DefaultConfig())
    look = (WIDTH + 1) * 256 + 257 * 24
    assert parameter_count(model) == parameter_count(model.landmark) + look == 386_880


def test_each_branch_says_probabilities(inputs):
    model = DefaultNet(DefaultConfig()).eval()
    for said in model.branches(inputs):
        assert said.shape == (16, 24)
        torch.testing.assert_close(said.exp().sum(1), torch.ones(16))


def branches_say(model, first, second, monkeypatch):
    """Make the branches say these probabilities; return what the network makes of them."""
    said = torch.tensor(first).log(), torch.tensor(second).log()
    monkeypatch.setattr(model, "branches", lambda inputs: said)
    return model(torch.zeros(len(first), 1)).softmax(1)


def test_both_together_are_no_surer_than_landmarks_allow(monkeypatch):
    model = DefaultNet(DefaultConfig(classes=3, doubt=0.5)).eval()
    first = [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.36, 0.34, 0.3]]
    second = [[0.4, 0.4, 0.2], [0.98, 0.01, 0.01], [0.0001, 0.9998, 0.0001]]
    said = branches_say(model, first, second, monkeypatch)
    torch.testing.assert_close(said[0], torch.tensor([20.0, 12, 4]) / 36)  # their product
    torch.testing.assert_close(said[1:].amax(1), torch.tensor([0.5, 0.36]).sqrt())
    assert said.argmax(1).tolist() == [0, 0, 1]
    torch.testing.assert_close(said.sum(1), torch.ones(3))


def test_each_branch_reads_its_own_part(inputs):
    model = DefaultNet(DefaultConfig()).eval()
    other = inputs.clone()
    other[:, -WIDTH:] += 1
    (first, second), (same, moved) = model.branches(inputs), model.branches(other)
    torch.testing.assert_close(first, same)
    assert (second - moved).abs().max() > 0.01


def test_in_training_each_item_has_one_branch(inputs):
    model = DefaultNet(PLAIN).train()
    model.landmark.eval()  # its dropout and batch statistics would blur the comparison
    torch.manual_seed(0)
    said = model(inputs)
    first, second = model.branches(inputs)
    by_first = (said - first).abs().amax(1) < 1e-6
    by_second = (said - second).abs().amax(1) < 1e-6
    assert (by_first ^ by_second).all() and 3 <= by_first.sum() <= 13


def blind(inputs, which):
    """The same inputs, some without an embedding."""
    inputs = inputs.clone()
    inputs[which, -WIDTH:] = torch.nan
    return inputs


@torch.inference_mode()
def test_without_an_embedding_landmarks_answer_alone(inputs):
    model = DefaultNet(DefaultConfig(sharpen=2.0)).eval()
    said, plain = model(blind(inputs, slice(0, 16, 2))).softmax(1), model(inputs).softmax(1)
    alone = model.branches(inputs)[0].exp() ** 2  # sharpened
    torch.testing.assert_close(said[::2], (alone / alone.sum(1, keepdim=True))[::2])
    torch.testing.assert_close(said[1::2], plain[1::2])
    assert (said - plain)[::2].abs().max() > 0.001


def test_without_an_embedding_landmarks_learn_alone(inputs):
    model = DefaultNet(PLAIN).train()
    model.landmark.eval()  # its dropout and batch statistics would blur the comparison
    said = model(blind(inputs, slice(None)))
    torch.testing.assert_close(said, model.branches(inputs)[0])
    torch.nn.functional.cross_entropy(model(blind(inputs, slice(0, 8))), torch.arange(16)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_embedding_is_read_by_itself_too(inputs):
    model = DefaultNet(DefaultConfig()).eval()
    torch.testing.assert_close(model.read_embedding(inputs[:, -WIDTH:]), model.branches(inputs)[1])


def test_embeddings_are_standardised(inputs):
    model = DefaultNet(PLAIN).eval()
    embeddings = 5 + 3 * torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(1))
    embeddings[:, 7] = 2.0  # a number that never changes
    missing = torch.full((50, WIDTH), torch.nan)
    model.set_statistics((None, None, None, None, torch.cat([missing, embeddings, missing])))
    scaled = (embeddings - model.mean) / model.std
    assert scaled.mean(0).abs().max() < 1e-3 and torch.isfinite(scaled).all()
    assert scaled.std(0)[:7].sub(1).abs().max() < 1e-3


def test_every_parameter_gets_a_gradient(inputs):
    model = DefaultNet(DefaultConfig()).train()
    model(inputs).logsumexp(1).sum().backward()
    torch.nn.functional.cross_entropy(model(inputs), torch.arange(16)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_hand_without_an_embedding_is_read_and_learned_from_by_its_landmarks(inputs):
    model = DefaultNet(PLAIN)
    blind = inputs.clone()
    blind[::2, -WIDTH:] = torch.nan
    model.train()
    model(blind).logsumexp(1).sum().backward()
    model.zero_grad()
    (-model(blind)[:, 0]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    said, whole = model(blind), model(inputs)
    assert said.isfinite().all()
    torch.testing.assert_close(said[1::2], whole[1::2])
    alone = (model.config.sharpen * model.branches(inputs)[0]).softmax(1)
    torch.testing.assert_close(said[::2].softmax(1), alone[::2])


def test_statistics_are_of_the_hands_that_have_an_embedding(inputs):
    model = DefaultNet(DefaultConfig())
    embeddings = inputs[:, -WIDTH:].clone()
    model.set_statistics((None, None, None, None, torch.cat([embeddings, torch.full((5, WIDTH), torch.nan)])))
    torch.testing.assert_close(model.mean, embeddings.mean(0))
