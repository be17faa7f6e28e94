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


def test_each_branch_says_probabilities(inputs):
    model = JointNet(JointConfig()).eval()
    for said in model.branches(inputs):
        assert said.shape == (16, 24)
        torch.testing.assert_close(said.exp().sum(1), torch.ones(16))


def branches_say(model, first, second, monkeypatch):
    """Make the branches say these probabilities; return what the network makes of them."""
    said = torch.tensor(first).log(), torch.tensor(second).log()
    monkeypatch.setattr(model, "branches", lambda inputs: said)
    return model(torch.empty(len(first), 0)).softmax(1)


def test_where_landmarks_are_sure_they_answer_alone(monkeypatch):
    model = JointNet(JointConfig(classes=3, sharpen=2.0, sure=0.9)).eval()
    said = branches_say(model, [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1]], [[0.01, 0.98, 0.01]] * 2, monkeypatch)
    torch.testing.assert_close(said[0], torch.tensor([0.64, 0.01, 0.01]) / 0.66)  # 0.97
    assert said[1].argmax() == 1  # sharpened, landmarks were at 0.78


def test_both_together_are_no_surer_than_landmarks_allow(monkeypatch):
    model = JointNet(JointConfig(classes=3, doubt=0.5)).eval()
    first = [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.36, 0.34, 0.3]]
    second = [[0.4, 0.4, 0.2], [0.98, 0.01, 0.01], [0.0001, 0.9998, 0.0001]]
    said = branches_say(model, first, second, monkeypatch)
    torch.testing.assert_close(said[0], torch.tensor([20.0, 12, 4]) / 36)  # their product
    torch.testing.assert_close(said[1:].amax(1), torch.tensor([0.5, 0.36]).sqrt())
    assert said.argmax(1).tolist() == [0, 0, 1]
    torch.testing.assert_close(said.sum(1), torch.ones(3))


@torch.inference_mode()
def test_without_the_embedding_it_says_the_same_where_landmarks_are_sure(inputs):
    model = JointNet(JointConfig(sharpen=60.0)).eval()  # an untrained network is sure of nothing
    said, sure = model.read_landmarks(inputs[:, :-WIDTH].unflatten(1, (9, 21)))
    assert 0 < sure.sum() < 16
    torch.testing.assert_close(model(inputs)[sure[:, 0]], said[sure[:, 0]])


def test_each_branch_reads_its_own_part(inputs):
    model = JointNet(JointConfig()).eval()
    other = inputs.clone()
    other[:, -WIDTH:] += 1
    (first, second), (same, moved) = model.branches(inputs), model.branches(other)
    torch.testing.assert_close(first, same)
    assert (second - moved).abs().max() > 0.01


def test_in_training_each_item_has_one_branch(inputs):
    model = JointNet(PLAIN).train()
    model.landmark.eval()  # its dropout and batch statistics would blur the comparison
    torch.manual_seed(0)
    said = model(inputs)
    first, second = model.branches(inputs)
    by_first = (said - first).abs().amax(1) < 1e-6
    by_second = (said - second).abs().amax(1) < 1e-6
    assert (by_first ^ by_second).all() and 3 <= by_first.sum() <= 13


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
