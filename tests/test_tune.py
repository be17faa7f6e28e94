import json

import numpy as np
import pandas as pd
import pytest
import tune as tuning
from tune import SPACES, Range, as_code, tune, tuning_parts, values_of, with_values

from asllib import results
from asllib.config import Preset, Training
from asllib.data import write_pixel_csv
from asllib.data.looks import without_pictures
from asllib.hands.landmarks import SIZE_COLUMNS, image_columns, landmark_columns, world_columns
from asllib.letters import STATIC
from asllib.networks import PixelCNN, PixelConfig, preset
from asllib.train.run import training_sets

pytestmark = pytest.mark.slow

LABELS = np.array([n for n in range(25) if n != 9])
SMALL = Preset(
    PixelConfig(channels=(4, 4, 8), hidden=16, batch_norm=True),
    Training(epochs=2, learning_rate=4e-3, batch=128, one_cycle=True, weight_decay=0.01),
    preset("pixel", "best").augment,
)


@pytest.fixture
def project(no_data, monkeypatch):
    """A small preset; results go to a folder of the test."""
    monkeypatch.setitem(PixelCNN.presets, "best", SMALL)
    monkeypatch.setattr(results, "results_dir", lambda: no_data / "results")
    monkeypatch.setenv("ASLLIB_PROFILE", "paper")
    return no_data


@pytest.fixture
def pixel_folder(tmp_path, blobs):
    """Twelve different pictures of each letter to train on, two to test on."""
    folder = tmp_path / "pixels"
    folder.mkdir()
    write_pixel_csv(folder / "sign_mnist_train.csv", blobs(288), np.tile(LABELS, 12))
    write_pixel_csv(folder / "sign_mnist_test.csv", blobs(48, seed=1), np.tile(LABELS, 2))
    return folder


def search(folder, trials, storage="studies", **more):
    return tune("pixel", trials, data=str(folder), storage=str(folder.parent / storage), **more)


def test_a_search_starts_at_the_preset_and_keeps_the_lowest_loss(project, pixel_folder):
    found = search(pixel_folder, 5)
    history = found["history"]
    assert [row["number"] for row in history] == [0, 1, 2, 3, 4] and found["complete"] + found["pruned"] == 5
    assert found["preset_value"] == history[0]["value"] and history[0]["epochs"] == found["epochs"] == 2
    assert found["best_value"] == min(row["value"] for row in history if row["state"] == "complete")
    assert set(found["best_parameters"]) == set(SPACES["pixel"]) == set(found["importance"])
    assert sum(found["importance"].values()) == pytest.approx(1)
    assert list(found["importance"].values()) == sorted(found["importance"].values(), reverse=True)
    stored = json.loads((project / "results" / f"tune_pixel-{pixel_folder.name}.json").read_text())
    assert {name: found[name] for name in found if name != "best"}.items() <= stored.items()
    assert stored["data"]["rows"] == 288  # without the official test
    assert stored["seed"] == 0 and stored["optuna"].startswith("5.")


def test_a_search_is_repeatable_and_goes_on_where_it_stopped(project, pixel_folder, monkeypatch):
    whole = search(pixel_folder, 4)["history"]
    assert len({row["value"] for row in whole}) == 4
    real, calls = tuning.train, []

    def train(*args, **kwargs):
        calls.append(kwargs["seed"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(tuning, "train", train)
    with pytest.raises(KeyboardInterrupt):
        search(pixel_folder, 4, "stopped")
    rest = search(pixel_folder, 4, "stopped")["history"]
    assert calls == [0, 1, 2, 3, 4]  # a seed for each trial; 2 was cut off and counts for nothing
    assert [row["number"] for row in rest] == [0, 1, 3, 4]
    assert [row["value"] for row in rest[:2]] == pytest.approx([row["value"] for row in whole[:2]], abs=1e-5)
    assert search(pixel_folder, 4, "stopped")["history"] == rest and len(calls) == 5  # all done: nothing to do
    assert search(pixel_folder, 2, "other", seed=7)["history"][1]["value"] != whole[1]["value"]


def test_the_preset_is_tried_again_if_it_was_cut_off(project, pixel_folder, monkeypatch):
    real = tuning.train
    monkeypatch.setattr(tuning, "train", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        search(pixel_folder, 1)
    monkeypatch.setattr(tuning, "train", real)
    found = search(pixel_folder, 1)
    assert found["preset_value"] == found["best_value"] and found["best_parameters"] == values_of(
        SMALL, SPACES["pixel"]
    )


def test_the_official_test_changes_nothing(project, pixel_folder, blobs):
    before = search(pixel_folder, 2)
    garbage = np.random.default_rng(5).integers(0, 256, (48, 28, 28), np.uint8)
    write_pixel_csv(pixel_folder / "sign_mnist_test.csv", garbage, np.tile(LABELS[::-1], 2))
    after = search(pixel_folder, 2, "again")
    assert [row["value"] for row in after["history"]] == [row["value"] for row in before["history"]]
    assert search(pixel_folder, 2)["history"] == before["history"]  # the same study, too: its data is the same
    write_pixel_csv(pixel_folder / "sign_mnist_train.csv", blobs(288, seed=3), np.tile(LABELS, 12))
    assert search(pixel_folder, 2)["history"] != before["history"]  # other training data: another study


def test_near_duplicates_stay_together(project, tmp_path, blobs):
    folder = tmp_path / "copies"
    folder.mkdir()
    copies = np.repeat(blobs(72), 4, axis=0)
    copies[1::2] = (copies[1::2] * 0.9).astype(np.uint8)
    write_pixel_csv(folder / "sign_mnist_train.csv", copies, np.repeat(np.tile(LABELS, 3), 4))
    write_pixel_csv(folder / "sign_mnist_test.csv", blobs(48, seed=1), np.tile(LABELS, 2))
    letters, fitting, deciding = tuning_parts("pixel", training_sets("pixel", SMALL, str(folder))[0])
    assert len(letters) == 288 == len(fitting) + len(deciding) and 50 < len(deciding) < 130

    def photos(examples):
        pictures = examples.inputs[0].float().flatten(1)
        return {tuple(row) for row in (pictures / pictures.amax(1, keepdim=True) * 20).round().int()[:, ::40].tolist()}

    assert not photos(fitting) & photos(deciding)


def test_the_tenth_of_photos_that_is_the_test_changes_nothing(letter_set, hands, monkeypatch):
    letters = letter_set(list(STATIC) * 15, original=[f"{i // 3}.png" for i in range(360)])
    points, world = hands(360)

    def looks(points, world):
        table = pd.DataFrame(points.reshape(-1, 63), columns=image_columns())
        table[world_columns()] = world.reshape(-1, 63)
        table = table.assign(file="x", label="A", score=0.9, side="right", width=320, height=240)
        return without_pictures([table[[*landmark_columns(), *SIZE_COLUMNS]]])

    monkeypatch.setattr(tuning, "track", lambda letters: looks(points, world))
    kept, fitting, deciding = tuning_parts("landmark", letters)
    assert len(kept) == len(fitting) + len(deciding) and 30 <= 360 - len(kept) <= 42
    assert len(deciding) / 360 == pytest.approx(0.3, abs=0.05)
    outside = ~np.isin(letters.table["file"], kept.table["file"])
    points[outside], world[outside] = 0.123, 0.456
    _, *again = tuning_parts("landmark", letters)
    for one, two in zip((fitting, deciding), again, strict=True):
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one.inputs, two.inputs, strict=True))
        assert one.labels.tolist() == two.labels.tolist() and not (one.inputs[0] == 0.123).any()


def test_trials_that_fall_behind_are_pruned(project, pixel_folder, monkeypatch):
    calls = []

    def train(settings, fitting, deciding, *, seed, epochs, progress, on_epoch):
        calls.append(seed)
        history = tuning.History()
        for epoch in range(epochs):
            history.train_loss.append(0.0)
            history.valid_loss.append((1.0 if seed < 6 else float("nan") if seed == 6 else 9.0) - 0.01 * epoch)
            history.valid_accuracy.append(0.5)
            on_epoch(history)
        return None, history

    monkeypatch.setattr(tuning, "train", train)
    found = search(pixel_folder, 9, epochs=9)
    assert calls == list(range(9)) and (found["complete"], found["pruned"]) == (6, 3)
    assert [row["epochs"] for row in found["history"][6:]] == [1, 4, 4]  # no number; a third is waited for
    assert found["history"][6]["value"] is None and found["best_value"] == pytest.approx(0.92)


def test_every_trial_without_a_number_is_said(project, pixel_folder, monkeypatch):
    def train(settings, fitting, deciding, *, seed, epochs, progress, on_epoch):
        on_epoch(tuning.History(train_loss=[0.0], valid_loss=[float("nan")], valid_accuracy=[0.0]))

    monkeypatch.setattr(tuning, "train", train)
    with pytest.raises(tuning.InputError, match="every trial was pruned"):
        search(pixel_folder, 2)


@pytest.mark.parametrize("network", SPACES)
def test_the_presets_lie_within_the_spaces(network):
    best = preset(network, "best")
    for name, value in values_of(best, SPACES[network]).items():
        where = SPACES[network][name]
        assert where.low <= value <= where.high if isinstance(where, Range) else value in where.choices
    for edge in ("low", "high"):
        ends = {n: getattr(w, edge) if isinstance(w, Range) else w.choices[0] for n, w in SPACES[network].items()}
        assert values_of(with_values(best, ends), ends) == ends  # each is a setting, and one that is allowed
    assert with_values(best, {}) == best


@pytest.mark.parametrize("network", SPACES)
def test_the_code_of_a_preset_makes_that_preset(network):
    from asllib import config, networks

    best = preset(network, "best")
    names = {name: getattr(networks, name) for name in networks.__all__} | vars(config)
    assert evaluated(as_code(best), names) == ("best", best)
    changed = with_values(best, {"training.learning_rate": 0.00123456, "training.batch": 64})
    _, read = evaluated(as_code(changed), names)
    assert read == with_values(changed, {"training.learning_rate": 0.00123})


def evaluated(code: str, names: dict):
    """The one entry of a dictionary of presets."""
    scope = dict(names)
    exec(f"found = {{{code}}}", scope)
    return next(iter(scope["found"].items()))


def test_the_script_prints_settings(project, pixel_folder, monkeypatch, capsys):
    kept = project / "kept"
    given = ("pixel", "--data", pixel_folder, "--trials", 1, "--epochs", 1, "--storage", kept)
    monkeypatch.setattr("sys.argv", ["tune.py", *map(str, given)])
    tuning.main()
    out = capsys.readouterr().out
    assert "1 trials of 1 epochs" in out and '"best": Preset(' in out and "PixelConfig(channels=(4, 4, 8)" in out
    assert (kept / "studies.log").is_file()
    monkeypatch.setattr("sys.argv", ["tune.py", "pixel", "--data", str(project / "none")])
    with pytest.raises(SystemExit, match=r"tune\.py: .*none"):
        tuning.main()
