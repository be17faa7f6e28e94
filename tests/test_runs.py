import numpy as np
import pandas as pd
import pytest
import torch

from asllib import runs
from asllib.augment import ImageAugment, LandmarkAugment
from asllib.config import Preset, Training
from asllib.hands.embedding import WIDTH
from asllib.hands.landmarks import SIZE_COLUMNS, image_columns, landmark_arrays, landmark_columns, world_columns
from asllib.hands.tracker import ATTEMPTS, LOOKS
from asllib.letters import FIRST_SIX, STATIC
from asllib.models import LandmarkCNN, LandmarkConfig, PixelCNN, PixelConfig
from asllib.models.joint_net import JointConfig
from asllib.runs import (
    Looks,
    for_pixels,
    joint_examples,
    joint_prepare,
    joint_probabilities,
    landmark_examples,
    landmark_inputs,
    landmark_prepare,
    look_probabilities,
    pixel_examples,
    pixel_prepare,
    track,
    train,
)
from asllib.training import evaluate_loss, predict_logits

SHORT = Training(epochs=30, learning_rate=4e-3, batch=16, one_cycle=True)


@pytest.fixture
def looks(hands):
    """12 photos seen twice: the first look finds 0-7, the second 4-9; 10 and 11 show no hand to either."""
    tables = []
    for seed, found in enumerate((range(8), range(4, 10))):
        landmarks, world = hands(12, seed)
        table = pd.DataFrame(landmarks.reshape(12, 63), columns=image_columns())
        table[world_columns()] = world.reshape(12, 63)
        seen = table.index.isin(found)
        table[~seen] = np.nan
        table = table.assign(file=[f"{i}.jpg" for i in range(12)], label=list(STATIC[:6]) * 2)
        table["score"] = np.where(seen, 0.9, 0).astype(np.float32)
        table["side"] = pd.Series(np.where(seen, ["left", "right"][seed], None), dtype=str)
        table = table.assign(width=320, height=240)
        tables.append(table[[*landmark_columns(), *SIZE_COLUMNS]])
    return Looks(tuple(tables))


def test_bytes_become_0_to_1_and_only_training_is_augmented(blobs):
    inputs = pixel_examples(blobs(4)[:, ::-1], np.arange(4)).inputs
    assert inputs[0].dtype == torch.uint8 and inputs[0].shape == (4, 28, 28)
    plain = pixel_prepare()(inputs, torch.Generator())
    assert plain.shape == (4, 1, 28, 28) and plain.dtype == torch.float32
    torch.testing.assert_close(plain[:, 0] * 255, inputs[0].float())
    prepare = pixel_prepare(ImageAugment())
    torch.testing.assert_close(prepare(inputs, None), plain)
    assert (prepare(inputs, torch.Generator().manual_seed(0)) - plain).abs().mean() > 0.01


def test_the_joint_network_is_given_features_and_embedding_in_one_row(looks, rng):
    embeddings = rng.normal(size=(12, WIDTH)).astype(np.float16)
    examples = joint_examples(looks, embeddings, np.arange(12))
    assert examples.labels.tolist() == [*range(8), *range(4, 10)]
    rows = joint_prepare()(examples.inputs, None)
    assert rows.shape == (14, 9 * 21 + WIDTH) and rows.dtype == torch.float32
    features = landmark_prepare()(examples.inputs[:4], None)
    torch.testing.assert_close(rows[:, : 9 * 21], features.flatten(1))
    torch.testing.assert_close(rows[9, 9 * 21 :], torch.from_numpy(embeddings[5]).float())
    moved = joint_prepare(LandmarkAugment())(examples.inputs, torch.Generator().manual_seed(0))
    assert (moved - rows)[:, : 9 * 21].abs().mean() > 0.01 and torch.equal(moved[:, 9 * 21 :], rows[:, 9 * 21 :])


def test_the_joint_network_trains_and_averages_over_looks(looks, rng):
    labels = np.arange(12) % 4
    embeddings = (np.eye(4)[labels] @ rng.normal(size=(4, WIDTH))).astype(np.float16)
    preset = Preset(JointConfig(dropout=0.0, noise=0.0, classes=4), SHORT, None, tuple("ABCD"))
    model, history = train(preset, joint_examples(looks, embeddings, labels), progress=False)
    assert history.train_accuracy[-1] > 0.9
    said = joint_probabilities(model, looks, embeddings)
    assert (said[10:] == 0).all() and said[:10].sum(1) == pytest.approx(1, abs=1e-5)
    assert (said[:10].argmax(1) == labels[:10]).all()
    one = joint_probabilities(model, Looks(looks.tables[:1]), embeddings)
    other = joint_probabilities(model, Looks(looks.tables[1:]), embeddings)
    np.testing.assert_allclose(said[4:8], (one[4:8] + other[4:8]) / 2, atol=1e-6)
    np.testing.assert_allclose(said[8:10], other[8:10], atol=1e-6)


def test_landmarks_become_features_and_only_training_is_augmented(looks):
    inputs = landmark_inputs(looks.tables[0][:8])
    assert [tuple(tensor.shape) for tensor in inputs] == [(8, 21, 3), (8, 21, 3), (8,), (8,)]
    assert inputs[2].all() and (inputs[3] == 320 / 240).all()
    plain = landmark_prepare()(inputs, torch.Generator())
    assert plain.shape == (8, 9, 21) and torch.isfinite(plain).all()
    prepare = landmark_prepare(LandmarkAugment())
    torch.testing.assert_close(prepare(inputs, None), plain)
    assert (prepare(inputs, torch.Generator().manual_seed(0)) - plain).abs().mean() > 0.01


def test_looks_complete_each_other(looks):
    assert len(looks) == 12 and looks.found.tolist() == [True] * 10 + [False] * 2
    first = landmark_arrays(looks.first())
    assert first["found"].tolist() == [True] * 10 + [False] * 2
    both = [landmark_arrays(table)["landmarks"] for table in looks.tables]
    np.testing.assert_array_equal(first["landmarks"][:8], both[0][:8])
    np.testing.assert_array_equal(first["landmarks"][8:10], both[1][8:10])
    assert first["left"].tolist() == [True] * 8 + [False] * 4
    assert landmark_arrays(looks.tables[0])["found"].sum() == 8  # the tables themselves are left alone
    part = looks.subset(np.arange(12) >= 8)
    assert len(part) == 4 and part.found.tolist() == [True, True, False, False]


def test_every_look_is_an_example_of_its_own(looks):
    examples = landmark_examples(looks, np.arange(12))
    assert examples.labels.tolist() == [*range(8), *range(4, 10)]
    assert all(len(tensor) == 14 and torch.isfinite(tensor.float()).all() for tensor in examples.inputs)
    second = landmark_arrays(looks.tables[1])["landmarks"]
    np.testing.assert_array_equal(examples.inputs[0][8:], second[4:10])


def test_the_mean_over_the_looks_and_zeros_without_a_hand(looks):
    torch.manual_seed(0)
    model = LandmarkCNN(LandmarkConfig(classes=6)).eval()
    found = look_probabilities(model, looks)
    assert found.shape == (12, 6)
    np.testing.assert_allclose(found[:10].sum(1), 1, atol=1e-5)
    assert (found[10:] == 0).all()
    each = [predict_logits(model, landmark_inputs(table[4:8]), landmark_prepare()).softmax(1) for table in looks.tables]
    np.testing.assert_allclose(found[4:8], (each[0] + each[1]) / 2, atol=1e-6)
    nothing = looks.subset(np.arange(12) >= 10)
    assert (look_probabilities(model, nothing) == 0).all()


def test_train_makes_and_trains_the_network_of_a_preset(blobs, looks):
    pixel = Preset(PixelConfig(channels=(8, 16, 16), dropout=0, classes=6), SHORT, None, FIRST_SIX)
    examples = pixel_examples(blobs(24), np.arange(24) % 6)
    model, history = train(pixel, examples, progress=False)
    assert isinstance(model, PixelCNN) and len(history) == 30
    torch.testing.assert_close(model.mean[0], examples.inputs[0].float().mean(0) / 255)
    assert evaluate_loss(model, examples, pixel_prepare()) == (pytest.approx(0, abs=0.05), 1.0)

    landmark = Preset(LandmarkConfig(dropout=0, classes=6), SHORT, None, FIRST_SIX)
    examples = landmark_examples(looks, np.arange(12) % 6)
    model, history = train(landmark, examples, progress=False)
    assert isinstance(model, LandmarkCNN)
    assert evaluate_loss(model, examples, landmark_prepare()) == (pytest.approx(0, abs=0.05), 1.0)


def test_the_seed_sets_the_weights_too_and_epochs_can_be_fewer(blobs):
    small = Preset(PixelConfig(channels=(4, 4, 4), hidden=8, classes=6), SHORT, ImageAugment(), FIRST_SIX)
    examples = pixel_examples(blobs(24), np.arange(24) % 6)
    weights = []
    for seed in (0, 0, 1):
        model, history = train(small, examples, seed=seed, epochs=2, progress=False)
        assert len(history) == 2
        weights.append(model.head[1].weight.detach())
    torch.testing.assert_close(weights[0], weights[1])
    assert (weights[0] - weights[2]).abs().max() > 0.01


def test_pixel_examples_of_an_alphabet(letter_set):
    letters = letter_set(["A", "J", "F", "G", "space", "B"])
    examples = for_pixels(letters, FIRST_SIX)
    assert examples.labels.tolist() == [0, 5, 1]
    np.testing.assert_array_equal(examples.inputs[0], letters.images[[0, 2, 5]])
    assert for_pixels(letters).labels.tolist() == [0, 5, 6, 1]


def test_tracking_is_kept_in_the_cache_and_made_anew_for_other_photos(letter_set, no_data):
    photos = np.full((1, 64, 64, 3), 128, np.uint8)
    letters = letter_set(["A"], photos)
    looks = track(letters, progress=False)
    assert len(looks.tables) == len(LOOKS) and not looks.found.any()
    assert list(looks.tables[0]["label"]) == ["A"]
    stored = no_data / "cache" / "landmarks"
    times = {path: path.stat().st_mtime_ns for path in stored.glob("*.parquet")}
    assert len(times) == len(LOOKS)
    again = track(letters, progress=False)
    pd.testing.assert_frame_equal(again.tables[0], looks.tables[0], check_dtype=False)
    assert {path: path.stat().st_mtime_ns for path in stored.glob("*.parquet")} == times
    photos[0, 0, 0, 0] ^= 1
    track(letters, progress=False)
    assert len(list(stored.glob("*.parquet"))) == 2 * len(LOOKS)


def test_another_tracker_finds_hands_anew(letter_set, monkeypatch):
    letters = letter_set(["A"], np.zeros((1, 8, 8, 3), np.uint8))
    before = runs._identity(letters, ATTEMPTS)
    assert runs._identity(letters, ATTEMPTS) == before
    monkeypatch.setattr("asllib.hands.tracker.version", lambda name: f"{name} 9.9")
    assert runs._identity(letters, ATTEMPTS) != before
