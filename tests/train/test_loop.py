import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from asllib.config import Training
from asllib.errors import InputError
from asllib.networks import ImageAugment, LandmarkAugment, LandmarkCNN, LandmarkConfig, PixelCNN, PixelConfig
from asllib.train import loop
from asllib.train.loop import (
    Examples,
    History,
    epochs_for,
    evaluate_loss,
    example_batches,
    split_batches,
    train_one_epoch,
    without_progress,
)

ONE_CYCLE = Training(epochs=6, learning_rate=4e-3, batch=16, one_cycle=True, weight_decay=0.01, smoothing=0.05)
EARLY = Training(epochs=40, learning_rate=3e-3, batch=16, patience=2, min_delta=0.02)


@pytest.mark.parametrize(("name", "small", "large"), [("paper", 20, 5), ("ci", 10, 5)])
def test_a_small_set_is_trained_on_for_more_epochs(monkeypatch, name, small, large):
    monkeypatch.setenv("ASLLIB_PROFILE", name)
    settings = dataclasses.replace(ONE_CYCLE, epochs=5, min_steps=600)
    assert epochs_for(settings, 480) == small and epochs_for(settings, 9600) == large


@pytest.fixture
def pixels(blobs):
    return Examples((torch.from_numpy(blobs(48)),), torch.arange(48) % 6)


@pytest.fixture
def landmarks(hands):
    points, world = hands(48)
    inputs = (torch.from_numpy(points), torch.from_numpy(world), torch.arange(48) % 2 == 0, torch.ones(48))
    return Examples(inputs, torch.arange(48) % 6)


@pytest.fixture(params=["pixel", "landmark"])
def task(request, pixels, landmarks):
    """Maker of a fresh network, its examples and their augmentation, with all that is random switched on."""
    if request.param == "pixel":
        config = PixelConfig(channels=(8, 8, 16), hidden=32, batch_norm=True, classes=6)
        return lambda: PixelCNN(config), pixels, ImageAugment()
    config = LandmarkConfig(channels=(8, 8, 16), hidden=32, classes=6)
    return lambda: LandmarkCNN(config), landmarks, LandmarkAugment()


def fit(model, examples, valid, settings, augment=None, **more) -> History:
    return loop.fit(model, example_batches(model, examples, settings, augment), settings, valid=valid, **more)


def fresh(make, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return make()


class Stop(Exception):
    pass


def stop_after(epochs: int):
    def on_epoch(history: History) -> None:
        if len(history) == epochs:
            raise Stop

    return on_epoch


def weights_apart(first: nn.Module, second: nn.Module) -> float:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("settings", [ONE_CYCLE, EARLY])
@pytest.mark.parametrize("stops", [(1,), (2, 4)])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(task, settings, stops, tmp_path):
    make, examples, augment = task
    train, valid = examples.subset(np.arange(32)), examples.subset(np.arange(32, 48))
    whole = fresh(make)
    history = fit(whole, train, valid, settings, augment, seed=5, progress=False)
    assert len(history) > max(stops) or history.stopped == "early"
    checkpoint = tmp_path / "made" / "checkpoint.pt"
    for number, stop in enumerate(stops):
        if stop < len(history):
            part = fresh(make, 100 * number)  # only the first may matter
            keep = {"checkpoint": checkpoint, "on_epoch": stop_after(stop)}
            with pytest.raises(Stop):
                fit(part, train, valid, settings, augment, seed=5, progress=False, **keep)
    resumed = fresh(make, 99)
    again = fit(resumed, train, valid, settings, augment, seed=5, progress=False, checkpoint=checkpoint)
    assert weights_apart(whole, resumed) < 1e-6
    assert len(again) == len(history)
    assert (again.stopped, again.best_epoch) == (history.stopped, history.best_epoch)
    np.testing.assert_allclose(again.train_loss, history.train_loss, atol=1e-6)
    np.testing.assert_allclose(again.valid_loss, history.valid_loss, atol=1e-6)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["checkpoint.pt"]


def test_a_finished_run_is_not_trained_again(task, tmp_path):
    make, examples, augment = task
    checkpoint = tmp_path / "checkpoint.pt"
    first, second = fresh(make), fresh(make, 1)
    for settings in (ONE_CYCLE, dataclasses.replace(EARLY, min_delta=10)):
        checkpoint.unlink(missing_ok=True)
        fit(first, examples, examples, settings, augment, progress=False, checkpoint=checkpoint)
        calls = []
        fit(second, examples, examples, settings, augment, progress=False, checkpoint=checkpoint, on_epoch=calls.append)
        assert calls == [] and weights_apart(first, second) < 1e-6


def test_a_checkpoint_of_another_run_is_refused(task, pixels, landmarks, tmp_path):
    make, examples, augment = task
    checkpoint = tmp_path / "checkpoint.pt"
    settings = dataclasses.replace(ONE_CYCLE, epochs=2)

    def go(make=make, train=examples, augment=augment, settings=settings, seed=0, run=""):
        where = {"checkpoint": checkpoint, "run": run}
        return fit(fresh(make), train, None, settings, augment, seed=seed, progress=False, **where)

    go()
    before = checkpoint.read_bytes()
    small = PixelConfig(channels=(8, 8, 8), classes=6)
    changes = [
        {"seed": 1},
        {"settings": dataclasses.replace(settings, batch=8)},
        {"settings": dataclasses.replace(settings, epochs=3)},
        {"train": examples.subset(np.arange(24))},
        {"train": Examples(tuple(tensor.flip(0) for tensor in examples.inputs), examples.labels)},  # photos taken anew
        {"run": "another augmentation"},
        {"make": lambda: PixelCNN(small), "train": pixels, "augment": None},
        {"make": lambda: LandmarkCNN(LandmarkConfig(classes=6)), "train": landmarks, "augment": None},
    ]
    for change in changes:
        with pytest.raises(InputError, match="belongs to a run of another network, other settings") as error:
            go(**change)
        assert "\n" not in str(error.value)
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize("content", ["empty", "text", "cut off", "pickle", "other"])
def test_a_file_that_is_no_checkpoint_is_refused_and_runs_no_code(pixels, tmp_path, content):
    checkpoint, trap = tmp_path / "checkpoint.pt", tmp_path / "trap"
    make = lambda: PixelCNN(PixelConfig(classes=6))  # noqa: E731
    settings = Training(epochs=1, learning_rate=1e-3, batch=16)
    if content == "cut off":
        fit(fresh(make), pixels, None, settings, progress=False, checkpoint=checkpoint)
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    elif content == "pickle":
        torch.save({"run": Trap(str(trap))}, checkpoint)
    elif content == "other":
        torch.save([1, 2], checkpoint)
    else:
        checkpoint.write_bytes({"empty": b"", "text": b"no checkpoint"}[content])
    with pytest.raises(InputError, match="not a checkpoint") as error:
        fit(fresh(make), pixels, None, settings, progress=False, checkpoint=checkpoint)
    assert "\n" not in str(error.value) and not trap.exists()


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize(
    ("valid", "progress"),
    [
        ([1.0, 0.8, 0.6], [True, True, True]),
        ([1.0, 0.95, 0.91], [True, False, False]),
        ([1.0, 0.95, 0.89], [True, False, True]),  # counted from 1.0, not from 0.95
        ([1.0, 0.5, 0.8, 0.45, 0.39], [True, True, False, False, True]),
        ([1.0, 2.0, 0.8], [True, False, True]),
        ([1.0, float("nan"), 0.8], [True, False, True]),
        ([float("nan"), 1.0], [False, True]),
    ],
)
def test_progress_by_the_validation_loss(valid, progress):
    assert [without_progress(valid[: n + 1], min_delta=0.1) == 0 for n in range(len(valid))] == progress


@pytest.mark.parametrize("patience", [1, 3])
def test_it_stops_after_so_many_epochs_without_progress(pixels, patience):
    settings = Training(epochs=20, learning_rate=1e-3, batch=16, patience=patience, min_delta=100)
    model = fresh(lambda: PixelCNN(PixelConfig(classes=6)))
    history = fit(model, pixels, pixels, settings, progress=False)
    assert (len(history), history.stopped) == (1 + patience, "early")


def test_early_stopping_without_validation_data_is_refused(pixels):
    with pytest.raises(InputError, match="needs validation data"):
        fit(PixelCNN(PixelConfig(classes=6)), pixels, None, EARLY, progress=False)


def test_the_best_weights_are_kept(pixels):
    """The validation labels are wrong, so that the better the fit the worse the loss."""
    wrong = Examples(pixels.inputs, (pixels.labels + 1) % 6)
    settings = Training(epochs=12, learning_rate=3e-3, batch=16, patience=5, min_delta=1e-4)
    model = fresh(lambda: PixelCNN(PixelConfig(dropout=0.0, classes=6)))
    history = fit(model, pixels, wrong, settings, progress=False)
    assert history.stopped == "early"
    assert history.best_epoch == int(np.argmin(history.valid_loss)) < len(history) - 1
    assert evaluate_loss(model, wrong)[0] == pytest.approx(min(history.valid_loss), abs=1e-5)
    assert history.valid_loss[-1] > min(history.valid_loss) + 0.01


def test_without_early_stopping_the_last_weights_are_kept(pixels):
    wrong = Examples(pixels.inputs, (pixels.labels + 1) % 6)
    settings = Training(epochs=5, learning_rate=3e-3, batch=16)
    model = fresh(lambda: PixelCNN(PixelConfig(dropout=0.0, classes=6)))
    history = fit(model, pixels, wrong, settings, progress=False)
    assert (len(history), history.best_epoch, history.stopped) == (5, 4, "epochs")
    assert evaluate_loss(model, wrong)[0] == pytest.approx(history.valid_loss[-1], abs=1e-5)


@pytest.mark.slow
def test_fit_overfits_a_small_set_to_zero_loss(pixels, landmarks):
    settings = Training(epochs=30, learning_rate=4e-3, batch=16, one_cycle=True)
    for model, examples in (
        (fresh(lambda: PixelCNN(PixelConfig(dropout=0.0, classes=6))), pixels),
        (fresh(lambda: LandmarkCNN(LandmarkConfig(dropout=0.0, classes=6))), landmarks),
    ):
        history = fit(model, examples, None, settings, progress=False)
        assert history.train_loss[0] > 1 and history.train_loss[-1] < 0.05
        assert history.train_accuracy[-1] == 1 and history.valid_loss == []
        assert evaluate_loss(model, examples) == (pytest.approx(0, abs=0.05), 1.0)
        assert not model.training and next(model.parameters()).device.type == "cpu"


def test_the_same_seed_gives_the_same_run_and_another_seed_another(task):
    make, examples, augment = task
    models = []
    for seed in (0, 0, 1):
        models.append(fresh(make))
        torch.rand(seed + 3)  # what was drawn before does not matter
        fit(models[-1], examples, None, dataclasses.replace(ONE_CYCLE, epochs=2), augment, seed=seed, progress=False)
    assert weights_apart(models[0], models[1]) < 1e-6 < 1e-3 < weights_apart(models[0], models[2])


def test_one_cycle_ends_at_a_rate_of_zero_and_plain_adam_keeps_its_rate(pixels):
    from asllib.train.loop import _optimiser

    model = PixelCNN(PixelConfig(classes=6))
    optimiser, schedule = _optimiser(model, ONE_CYCLE, 3)
    rates = []
    for _ in range(6 * 3):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert max(rates) == pytest.approx(4e-3, rel=0.05) and 3 <= int(np.argmax(rates)) <= 6
    assert rates[-1] < 1e-6
    optimiser, schedule = _optimiser(model, EARLY, 3)
    for _ in range(8):
        assert optimiser.param_groups[0]["lr"] == 3e-3
        optimiser.step()
        schedule.step()


@pytest.mark.slow
def test_the_paper_rate_of_1e_8_moves_nothing(pixels):
    """Why the paper's runs stalled: the loss after 10 epochs is still that of guessing."""
    for rate, learns in ((1e-3, True), (1e-8, False)):
        model = fresh(lambda: PixelCNN(PixelConfig(dropout=0.0, classes=6)))
        before = evaluate_loss(model, pixels)[0]
        fit(model, pixels, None, Training(10, rate, 16), progress=False)
        after = evaluate_loss(model, pixels)[0]
        assert before == pytest.approx(np.log(6), abs=0.1)
        assert (after < before - 0.1) is learns and (abs(after - before) < 1e-3) is not learns


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
def test_the_shortest_runs_work(pixels, epochs):
    settings = dataclasses.replace(ONE_CYCLE, epochs=epochs, batch=48)
    history = fit(PixelCNN(PixelConfig(classes=6)), pixels, None, settings, progress=False)
    assert len(history) == epochs and np.isfinite(history.train_loss).all()


def test_one_epoch_reports_mean_loss_and_accuracy(pixels):
    """A rate of 0 leaves the network as it is, so the means must be those of the whole set."""
    model = fresh(lambda: PixelCNN(PixelConfig(dropout=0.0, classes=6)))
    optimiser = torch.optim.SGD(model.parameters(), 0.0)
    settings = Training(epochs=1, learning_rate=0, batch=8)
    batches = example_batches(model, pixels, settings)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimiser)
    found = train_one_epoch(model, batches, 0, optimiser, schedule, settings, torch.Generator().manual_seed(0))
    assert found == pytest.approx(evaluate_loss(model, pixels), abs=1e-5)


@pytest.mark.parametrize("able", [True, False])
def test_sixteen_bits_are_for_products_alone_and_only_where_the_processor_has_them(pixels, monkeypatch, able):
    settings = dataclasses.replace(ONE_CYCLE, bfloat16=True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    seen = []
    model = fresh(lambda: PixelCNN(PixelConfig(channels=(8, 8, 16), hidden=32, batch_norm=True, classes=6)))
    model.features[0].register_forward_hook(lambda layer, given, made: seen.append((given[0].dtype, made.dtype)))
    history = fit(model, pixels, None, settings, ImageAugment(), progress=False)
    assert set(seen) == {(torch.float32, torch.bfloat16 if able else torch.float32)}
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    whole = fit(fresh(lambda: PixelCNN(model.config)), pixels, None, ONE_CYCLE, ImageAugment(), progress=False)
    assert history.train_loss == pytest.approx(whole.train_loss, rel=0.05 if able else 0)
    seen.clear()
    model.logits(pixels.inputs)
    assert set(seen) == {(torch.float32, torch.float32)}


@pytest.mark.parametrize(("n", "size", "sizes"), [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (1, 4, [1]), (8, 4, [4, 4])])
def test_batches_hold_each_item_once_and_never_one_alone(n, size, sizes):
    parts = split_batches(n, size, torch.Generator().manual_seed(0))
    assert [len(part) for part in parts] == sizes
    assert sorted(torch.cat(parts).tolist()) == list(range(n))


def test_predictions_do_not_depend_on_the_batch_and_take_nothing(task):
    make, examples, _ = task
    model = fresh(make)
    whole = model.logits(examples.inputs)
    assert whole.shape == (48, 6) and torch.isfinite(whole).all() and not whole.requires_grad
    torch.testing.assert_close(model.logits(examples.inputs, batch=5), whole, atol=1e-5, rtol=1e-4)
    nothing = tuple(tensor[:0] for tensor in examples.inputs)
    assert model.logits(nothing).shape == (0, 6)


def test_examples_are_taken_by_mask_and_by_position(pixels):
    mask = np.zeros(48, bool)
    mask[[3, 5]] = True
    for which in (mask, np.array([3, 5]), torch.tensor([3, 5])):
        part = pixels.subset(which)
        assert len(part) == 2 and part.labels.tolist() == [3, 5]
        torch.testing.assert_close(part.inputs[0], pixels.inputs[0][[3, 5]])


def test_on_epoch_sees_each_epoch(pixels):
    seen = []
    model = PixelCNN(PixelConfig(classes=6))
    settings = Training(epochs=3, learning_rate=1e-3, batch=16)
    fit(model, pixels, pixels, settings, progress=False, on_epoch=lambda h: seen.append(len(h)))
    assert seen == [1, 2, 3]


def test_progress_shows_loss_and_accuracy(pixels, capsys):
    model = PixelCNN(PixelConfig(classes=6))
    fit(model, pixels, pixels, Training(epochs=2, learning_rate=1e-3, batch=16))
    shown = capsys.readouterr().err
    assert "loss=" in shown and "accuracy=" in shown and "valid=" in shown
