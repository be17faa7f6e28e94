import numpy as np
import pytest
import torch

from asllib.hands.look import Hand
from asllib.hands.stream import Stream, resample, stream_of
from asllib.networks import SpellingConfig, SpellingNet, load_model, parameter_count, preset, save_model
from asllib.networks.spelling import MOVEMENT, NEITHER, POINTS, SIGNS, moment_features

FEATURES = POINTS * 21 + MOVEMENT
SMALL = SpellingConfig(signs=("A", "B", "C"), channels=16, hidden=16, dropout=0.0)


@pytest.fixture(scope="module")
def model() -> SpellingNet:
    torch.manual_seed(0)
    return SpellingNet(SpellingConfig())


def test_all_letters_and_two_more_signs():
    assert len(SIGNS) == 28 and preset("spelling", "best").network.signs == SIGNS and NEITHER == 0


def test_it_is_small(model):
    assert parameter_count(model) == 279_875


def test_every_parameter_learns():
    model = SpellingNet(SpellingConfig())
    out = model(torch.rand(3, FEATURES, 40))
    assert out.shape == (3, 29, 40)
    out.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_it_never_looks_ahead_and_not_further_back_than_it_says(model):
    model.eval()
    features = torch.rand(1, FEATURES, 80)
    changed = features.clone()
    changed[:, :, 40] += 1
    with torch.inference_mode():
        moved = (model(features) - model(changed)).abs().amax((0, 1)) > 1e-5
    assert not moved[:40].any() and not moved[40 + model.config.memory :].any() and moved[40]


def test_part_by_part_it_answers_as_on_the_whole(model):
    model.eval()
    features = torch.rand(1, FEATURES, 50)
    with torch.inference_mode():
        whole = model(features)
        seen, shapes = model.see(features)
        past: list[torch.Tensor] = []
        parts = [(0, 1), (1, 2), (2, 5), (5, 6), (6, 40), (40, 50)]
        steps = [model.along(seen[:, :, start:end], shapes[:, :, start:end], past) for start, end in parts]
    torch.testing.assert_close(torch.cat(steps, 2), whole, atol=1e-4, rtol=1e-4)


def test_an_embedding_names_the_handshape_and_not_whether_there_is_one(model):
    model.eval()
    features = torch.rand(1, FEATURES, 4)
    features[:, -1] = 1
    embedding = torch.full((1, 28, 4), -9.0)
    embedding[:, 6] = 0.0
    with torch.inference_mode():
        plain, told = model.see(features)[1], model.see(features, embedding)[1]
    torch.testing.assert_close(plain[:, 0], told[:, 0])
    torch.testing.assert_close(told.sum(1), torch.ones(1, 4))
    assert (told[:, 7] > plain[:, 7]).all()


@pytest.mark.slow
def test_it_learns_handshapes_in_time_by_heart():
    torch.manual_seed(0)
    model = SpellingNet(SMALL)
    features = torch.rand(2, FEATURES, 30)
    targets = torch.zeros(2, 30, dtype=torch.long)
    targets[0, 10:20], targets[1, 15:25] = 1, 2
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(model(features), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05


def test_a_run_folder_keeps_it(tmp_path):
    model = SpellingNet(SMALL).eval()
    save_model(tmp_path / "run", model, SMALL.signs, {})
    again, card = load_model(tmp_path / "run")
    assert again.config == SMALL and card["alphabet"] == "ABC" and card["network"] == "spelling"
    features = torch.from_numpy(np.random.default_rng(0).random((1, FEATURES, 20), np.float32))
    torch.testing.assert_close(model(features), again(features))


@pytest.fixture
def moving(hands):
    """Maker of a hand that goes to the right at one palm a second, seen at some rate."""
    landmarks, world = hands(1)

    def make(fps: float, seconds: float = 1.5, side: str = "right", lost=lambda time: False):
        times = np.arange(round(seconds * fps)) / fps
        step = np.array([0.2, 0, 0], np.float32)
        seen = [None if lost(t) else Hand(landmarks[0] + step * np.float32(t), world[0], side, 1.0) for t in times]
        return stream_of(seen, times, 4 / 3)

    return make


def features(stream: Stream) -> torch.Tensor:
    even = resample(stream)
    return moment_features(
        torch.from_numpy(even.landmarks)[None],
        torch.from_numpy(even.world)[None],
        torch.from_numpy(even.left)[None],
        torch.tensor([stream.aspect]),
    )


def test_features_know_the_movement_in_palm_sizes_and_not_the_place(moving):
    stream = moving(30)
    found = features(stream)
    assert found.shape == (1, FEATURES, 30)
    assert torch.isfinite(found).all() and (found[0, -1] == 1).all()
    move = found[0, -5, 2:]
    assert move.std() < 1e-4 and 0.02 < float(move.mean()) < 0.2
    shifted = stream_of(
        [Hand(h.landmarks + np.float32([0.1, -0.2, 0]), h.world, h.side, 1.0) for h in stream.hands()],
        stream.times,
        4 / 3,
    )
    assert features(shifted) == pytest.approx(found, abs=1e-4)


def test_a_left_hand_is_the_mirror_image_of_a_right_one(moving):
    right = moving(30)
    mirrored = [
        Hand(
            h.landmarks * np.float32([-1, 1, 1]) + np.float32([1, 0, 0]), h.world * np.float32([-1, 1, 1]), "left", 1.0
        )
        for h in right.hands()
    ]
    assert features(stream_of(mirrored, right.times, 4 / 3)) == pytest.approx(features(right), abs=1e-4)


def test_a_hand_that_appears_has_not_moved_yet(moving):
    found = features(moving(30, lost=lambda t: t < 0.5))[0]
    first = int(found[-1].argmax())
    assert first > 5 and (found[:, :first] == 0).all()
    assert (found[-5:-1, first] == 0).all() and (found[-5, first + 1 :] > 0.02).all()


def test_no_hand_is_zero():
    empty = stream_of([None] * 20, np.arange(20) / 30, 1.0)
    assert features(empty).abs().sum() == 0
