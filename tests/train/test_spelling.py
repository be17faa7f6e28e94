import dataclasses

import numpy as np
import pytest
import torch

from asllib.errors import InputError
from asllib.networks import SpellingConfig, preset
from asllib.networks.spelling import SIGNS
from asllib.train import spelling
from asllib.train.clips import IGNORE
from asllib.train.spelling import drawn_ahead, fit_spelling, inside_doubles, spelling_loss
from asllib.train.takes import Takes, piece_together

BEST = preset("spelling", "best")
SMALL = dataclasses.replace(
    BEST,
    network=SpellingConfig(channels=16, hidden=16),
    shapes=dataclasses.replace(BEST.shapes, epochs=3),
    training=dataclasses.replace(BEST.training, epochs=4, batch=4),
)


@pytest.fixture
def stills(hands):
    """Two hands of every sign, in palm sizes from the wrist."""
    _, world = hands(2 * len(SIGNS))
    points = ((world - world[:, :1]) / 0.09).astype(np.float32)
    return Takes(np.stack([points, points], 1), np.array(list(SIGNS) * 2))


@pytest.fixture
def clips(stills):
    rng = np.random.default_rng(6)
    return [piece_together(stills, rng) for _ in range(6)]


def test_the_loss_is_least_for_the_truth():
    targets = torch.tensor([[0, 0, 1, 1, 0, 2, 2, 0, 0, 0]])
    right = torch.nn.functional.one_hot(targets.roll(2, 1), 3).transpose(1, 2) * 8.0
    wrong = right.flip(1)
    spelled = torch.tensor([[1, 2, 0]])  # padded
    assert spelling_loss(right, targets, spelled, 2) < 0.5 < spelling_loss(wrong, targets, spelled, 2)


def test_the_moments_inside_a_double_are_found():
    targets = torch.tensor([[0, 3, 0, 0, 3, 0, 5, 0], [0, 0, 0, 0, 0, 0, 0, 0], [2, -100, 0, 2, 2, 0, 0, -100]])
    found = inside_doubles(targets)
    assert found.int().tolist() == [[0, 0, 1, 1, 0, 0, 0, 0], [0] * 8, [0, 0, 1, 0, 0, 0, 0, 0]]


def test_batches_are_the_same_in_however_many_processes():
    def draw(rng):
        return rng.integers(0, 1000, 3)

    few = list(drawn_ahead(draw, (7, 1), 0, 150))
    many = list(drawn_ahead(draw, (7, 1), 3, 220))
    assert len(many) == 217 and np.array_equal(np.stack(few[3:]), np.stack(many[:147]))


@pytest.mark.slow
def test_training_lowers_the_losses_and_the_handshape_part_stays_fixed_in_the_second(clips, stills):
    model, histories = fit_spelling(SMALL, clips, stills, steps=8, progress=False)
    assert [len(history) for history in histories.values()] == [3, 4] and not model.training
    for history in histories.values():
        assert history.train_loss[-1] < history.train_loss[0]
    short = dataclasses.replace(SMALL, training=dataclasses.replace(SMALL.training, epochs=1))
    other, _ = fit_spelling(short, clips, stills, steps=8, progress=False)
    for name, tensor in other.hand.state_dict().items():
        torch.testing.assert_close(tensor, model.hand.state_dict()[name])


@pytest.mark.slow
def test_phrases_are_drawn_as_often_as_films_and_only_in_time(clips, stills, monkeypatch):
    unknown = [dataclasses.replace(clip, targets=clip.targets * 0 + IGNORE) for clip in clips[:2]]
    drawn = {}

    def spy(name, draw):
        def record(clips, *rest):
            drawn[name] = clips
            return draw(clips, *rest)

        return record

    for name in ("draw_moments", "draw_clips"):
        monkeypatch.setattr(spelling, name, spy(name, getattr(spelling, name)))
    short = dataclasses.replace(SMALL, training=dataclasses.replace(SMALL.training, epochs=1))
    _, histories = fit_spelling(short, clips, stills, unknown, steps=3, progress=False)
    assert np.isfinite(histories["time"].train_loss).all()
    assert len(drawn["draw_moments"]) == 6
    assert sum((clip.targets == IGNORE).all() for clip in drawn["draw_clips"]) == 6 == len(drawn["draw_clips"]) / 2


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_network(clips, stills, tmp_path, monkeypatch):
    whole, histories = fit_spelling(SMALL, clips, stills, steps=5, progress=False)
    for score, calls in (("score_moments", 8), ("score_clips", 12)):
        left = iter(range(calls))
        original = getattr(spelling, score)

        def stopped(*arguments, original=original, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return original(*arguments)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(spelling, score, stopped)
            fit_spelling(SMALL, clips, stills, steps=5, progress=False, folder=tmp_path)
    model, again = fit_spelling(SMALL, clips, stills, steps=5, progress=False, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-shapes.pt", "checkpoint.pt"]
    for part, history in histories.items():
        assert again[part].train_loss == pytest.approx(history.train_loss, rel=1e-4)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name], atol=1e-4, rtol=1e-3)
    with pytest.raises(InputError, match="other settings"):
        fit_spelling(SMALL, clips, stills, steps=5, seed=1, progress=False, folder=tmp_path)
