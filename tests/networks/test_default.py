import pytest
import torch

from asllib.hands.look import WIDTH
from asllib.letters import NO_LETTER
from asllib.networks import parameter_count
from asllib.networks.default import DefaultConfig, DefaultNet

PLAIN = DefaultConfig(dropout=0.0, noise=0.0)


@pytest.fixture
def inputs():
    return torch.randn(16, 9 * 21 + WIDTH, generator=torch.Generator().manual_seed(0))


def test_it_is_small():
    model = DefaultNet(DefaultConfig())
    look = (WIDTH + 1) * 256 + 257 * 24
    assert parameter_count(model) == parameter_count(model.landmark) + look == 387_009


def test_each_branch_says_probabilities(inputs):
    model = DefaultNet(DefaultConfig()).eval()
    landmark, embedding, seen = model.branches(inputs)
    assert landmark.shape == (16, 25) and embedding.shape == (16, 24) and seen.all()
    for said in (landmark, embedding):
        torch.testing.assert_close(said.exp().sum(1), torch.ones(16))


def branches_say(model, landmark, embedding, monkeypatch):
    """Make the branches say these probabilities; return what the network makes of them."""
    said = torch.tensor(landmark).log(), torch.tensor(embedding).log(), torch.ones(len(landmark), dtype=torch.bool)
    monkeypatch.setattr(model, "branches", lambda inputs: said)
    return model(torch.zeros(len(landmark), 1)).softmax(1)


def test_letters_are_multiplied_and_a_hand_that_shows_none_could_be_any(monkeypatch):
    model = DefaultNet(DefaultConfig(classes=3)).eval()
    letters = [0.5, 0.3, 0.2]
    landmark = [[*letters, 1e-9], [0.1, 0.06, 0.04, 0.8], [1e-9, 1e-9, 1e-9, 1.0]]
    said = branches_say(model, landmark, [[0.4, 0.4, 0.2]] * 3, monkeypatch)
    product = torch.tensor([20.0, 12, 4]) / 36
    torch.testing.assert_close(said[0], product)
    torch.testing.assert_close(said[1], 0.2 * product + 0.8 / 3)
    torch.testing.assert_close(said[2], torch.full((3,), 1 / 3))


def test_each_branch_reads_its_own_part(inputs):
    model = DefaultNet(DefaultConfig()).eval()
    other = inputs.clone()
    other[:, -WIDTH:] += 1
    (first, second, _), (same, moved, _) = model.branches(inputs), model.branches(other)
    torch.testing.assert_close(first, same)
    assert (second - moved).abs().max() > 0.01


def cross_entropy(logits, labels, smoothing):
    return torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def test_each_branch_learns_by_itself(inputs):
    model, labels = DefaultNet(PLAIN).eval(), torch.arange(16)
    landmark, embedding, _ = model.branches(inputs)
    loss, said = model.loss(inputs, labels, 0.1)
    torch.testing.assert_close(loss, cross_entropy(landmark, labels, 0.1) + cross_entropy(embedding, labels, 0.1))
    torch.testing.assert_close(said, landmark[:, :24])


def test_a_hand_that_shows_no_letter_counts_half_and_for_landmarks_alone(inputs):
    model, labels = DefaultNet(PLAIN).eval(), torch.full((16,), NO_LETTER)
    loss, _ = model.loss(inputs, labels, 0.0)
    torch.testing.assert_close(loss, -0.5 * model.branches(inputs)[0][:, 24].mean())
    loss.backward()
    assert all(not p.grad.any() for p in model.embedding.parameters() if p.grad is not None)


def blind(inputs, which):
    """The same inputs, some without an embedding."""
    inputs = inputs.clone()
    inputs[which, -WIDTH:] = torch.nan
    return inputs


@torch.inference_mode()
def test_without_an_embedding_landmarks_answer_alone(inputs):
    model = DefaultNet(DefaultConfig()).eval()
    said, plain = model(blind(inputs, slice(0, 16, 2))).softmax(1), model(inputs).softmax(1)
    alone = model.branches(inputs)[0].exp()
    torch.testing.assert_close(said[::2], (alone[:, :24] + alone[:, 24:] / 24)[::2])
    torch.testing.assert_close(said[1::2], plain[1::2])
    assert (said - plain)[::2].abs().max() > 0.001


def test_without_an_embedding_landmarks_learn_alone(inputs):
    model, labels = DefaultNet(PLAIN).eval(), torch.arange(16)
    loss, _ = model.loss(blind(inputs, slice(None)), labels, 0.0)
    torch.testing.assert_close(loss, cross_entropy(model.branches(inputs)[0], labels, 0.0))
    model.loss(blind(inputs, slice(0, 8)), labels, 0.0)[0].backward()
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


def test_statistics_are_of_the_hands_that_have_an_embedding(inputs):
    model = DefaultNet(DefaultConfig())
    embeddings = inputs[:, -WIDTH:].clone()
    model.set_statistics((None, None, None, None, torch.cat([embeddings, torch.full((5, WIDTH), torch.nan)])))
    torch.testing.assert_close(model.mean, embeddings.mean(0))
