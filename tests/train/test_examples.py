import numpy as np
import pandas as pd
import pytest
import torch

from asllib.config import Preset, Training
from asllib.data.looks import Looks, without_pictures
from asllib.hands.features import landmark_inputs
from asllib.hands.landmarks import SIZE_COLUMNS, image_columns, landmark_arrays, landmark_columns, world_columns
from asllib.hands.look import WIDTH
from asllib.letters import FIRST_SIX, NO_LETTER, STATIC
from asllib.networks import (
    DefaultConfig,
    DefaultNet,
    ImageAugment,
    LandmarkAugment,
    LandmarkCNN,
    LandmarkConfig,
    PixelCNN,
    PixelConfig,
)
from asllib.networks.landmark import look_probabilities
from asllib.train import loop as runs
from asllib.train.loop import (
    Examples,
    evaluate_loss,
    for_pixels,
    hand_examples,
    train,
    turned,
)

SHORT = Training(epochs=30, learning_rate=4e-3, batch=16, one_cycle=True)


@pytest.fixture
def looks(hands):
    """12 photos seen twice: the first look sees the hand in 0-9, the second in 4-7; 10 and 11 show none."""
    tables = []
    for seed, found in enumerate((range(10), range(4, 8))):
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
    embeddings = np.random.default_rng(0).normal(size=(2, 12, WIDTH)).astype(np.float16)
    for look, table in zip(embeddings, tables, strict=True):
        look[table["score"] == 0] = np.nan
    return Looks(tuple(tables), embeddings)


def test_bytes_become_0_to_1_and_only_training_is_augmented(blobs):
    inputs = (torch.from_numpy(blobs(4)[:, ::-1].copy()),)
    assert inputs[0].dtype == torch.uint8 and inputs[0].shape == (4, 28, 28)
    model = PixelCNN(PixelConfig())
    plain = model.prepare(inputs)
    assert plain.shape == (4, 1, 28, 28) and plain.dtype == torch.float32
    torch.testing.assert_close(plain[:, 0] * 255, inputs[0].float())
    changed = model.prepare(inputs, ImageAugment(), torch.Generator().manual_seed(0))
    assert (changed - plain).abs().mean() > 0.01


def test_the_default_network_is_given_features_and_embedding_in_one_row(looks):
    examples = hand_examples(looks, np.arange(12))
    assert examples.labels.tolist() == [*range(10), *range(4, 8)]
    model = DefaultNet(DefaultConfig())
    rows = model.prepare(examples.inputs)
    assert rows.shape == (14, 9 * 21 + WIDTH) and rows.dtype == torch.float32
    features = model.landmark.prepare(examples.inputs)
    torch.testing.assert_close(rows[:, : 9 * 21], features.flatten(1))
    torch.testing.assert_close(rows[3, 9 * 21 :], torch.from_numpy(looks.embeddings[0, 3]).float())
    torch.testing.assert_close(rows[11, 9 * 21 :], torch.from_numpy(looks.embeddings[1, 5]).float())
    moved = model.prepare(examples.inputs, LandmarkAugment(), torch.Generator().manual_seed(0))
    assert (moved - rows)[:, : 9 * 21].abs().mean() > 0.01 and (moved[:, 9 * 21 :] == rows[:, 9 * 21 :]).all()


def test_the_default_network_trains_and_averages_over_looks(looks, rng):
    labels = np.arange(12) % 4
    looks = Looks(looks.tables, looks.embeddings * np.float16(0.1) + rng.normal(size=(4, WIDTH))[labels])
    preset = Preset(DefaultConfig(dropout=0.0, noise=0.0, classes=4), SHORT, None, tuple("ABCD"))
    model, history = train(preset, hand_examples(looks, labels), progress=False)
    assert history.train_accuracy[-1] > 0.9
    said = look_probabilities(model, looks)
    assert (said[10:] == 0).all() and said[:10].sum(1) == pytest.approx(1, abs=1e-5)
    assert (said[:10].argmax(1) == labels[:10]).all()
    one, other = (
        look_probabilities(model, Looks((table,), seen[None]))
        for table, seen in zip(looks.tables, looks.embeddings, strict=True)
    )
    np.testing.assert_allclose(said[4:8], (one[4:8] + other[4:8]) / 2, atol=1e-6)
    np.testing.assert_allclose(said[:4], one[:4], atol=1e-6)


def test_the_default_network_doubts_hands_that_show_no_letter(looks, rng):
    labels = np.arange(12) % 4
    looks = Looks(looks.tables, rng.normal(size=(4, WIDTH))[labels][None].repeat(2, 0).astype(np.float16))
    preset = Preset(DefaultConfig(dropout=0.0, noise=0.0, classes=4), SHORT, None, tuple("ABCD"))
    without = np.where(labels == 3, NO_LETTER, labels)
    model, history = train(preset, hand_examples(looks, without), progress=False)
    assert history.train_accuracy[-1] > 0.9  # of those that show a letter
    sure = look_probabilities(model, looks)[:10].max(1)
    assert sure[labels[:10] == 3].max() < 0.6 < sure[labels[:10] != 3].min()


def test_without_pictures_the_default_network_goes_by_landmarks(looks):
    model = DefaultNet(DefaultConfig(classes=4)).eval()
    blind = without_pictures(looks.tables)
    assert blind.embeddings.shape == (2, 12, WIDTH) and np.isnan(blind.embeddings).all() and len(blind) == 12
    said, seeing = look_probabilities(model, blind), look_probabilities(model, looks)
    assert said[:10].sum(1) == pytest.approx(1, abs=1e-5) and (said[10:] == 0).all()
    assert np.abs(said - seeing).max() > 0.01
    inputs = [landmark_inputs(table[4:8]) for table in looks.tables]
    alone = [model.landmark.logits(one).softmax(1) for one in inputs]
    wanted = sum(one[:, :4] + one[:, 4:] / 4 for one in alone) / 2  # a hand that shows no letter could be any
    np.testing.assert_allclose(said[4:8], wanted, atol=1e-6)


def test_landmarks_become_features_and_only_training_is_augmented(looks):
    inputs = landmark_inputs(looks.tables[0][:8])
    assert [tuple(tensor.shape) for tensor in inputs] == [(8, 21, 3), (8, 21, 3), (8,), (8,)]
    assert inputs[2].all() and (inputs[3] == 320 / 240).all()
    model = LandmarkCNN(LandmarkConfig())
    plain = model.prepare(inputs)
    assert plain.shape == (8, 9, 21) and torch.isfinite(plain).all()
    changed = model.prepare(inputs, LandmarkAugment(), torch.Generator().manual_seed(0))
    assert (changed - plain).abs().mean() > 0.01


def test_a_subset_of_looks_has_their_embeddings(looks):
    assert len(looks) == 12 and looks.found.tolist() == [True] * 10 + [False] * 2
    part = looks.subset(np.arange(12) >= 8)
    assert len(part) == 4 and part.found.tolist() == [True, True, False, False]
    assert [table["file"].tolist() for table in part.tables] == [["8.jpg", "9.jpg", "10.jpg", "11.jpg"]] * 2
    np.testing.assert_array_equal(part.embeddings, looks.embeddings[:, 8:])


def test_every_look_is_an_example_of_its_own(looks):
    examples = hand_examples(looks, np.arange(12))
    assert examples.labels.tolist() == [*range(10), *range(4, 8)]
    assert all(len(tensor) == 14 and torch.isfinite(tensor.float()).all() for tensor in examples.inputs)
    second = landmark_arrays(looks.tables[1])["landmarks"]
    np.testing.assert_array_equal(examples.inputs[0][10:], second[4:8])


def test_the_mean_over_the_looks_and_zeros_without_a_hand(looks):
    torch.manual_seed(0)
    model = LandmarkCNN(LandmarkConfig(classes=6)).eval()
    found = look_probabilities(model, looks)
    assert found.shape == (12, 6)
    np.testing.assert_allclose(found[:10].sum(1), 1, atol=1e-5)
    assert (found[10:] == 0).all()
    each = [model.logits(landmark_inputs(table[4:8])).softmax(1) for table in looks.tables]
    np.testing.assert_allclose(found[4:8], (each[0] + each[1]) / 2, atol=1e-6)
    nothing = looks.subset(np.arange(12) >= 10)
    assert (look_probabilities(model, nothing) == 0).all()


def test_train_makes_and_trains_the_network_of_a_preset(blobs, looks):
    pixel = Preset(PixelConfig(channels=(8, 16, 16), dropout=0, classes=6), SHORT, None, FIRST_SIX)
    examples = Examples((torch.from_numpy(blobs(24)),), torch.arange(24) % 6)
    model, history = train(pixel, examples, progress=False)
    assert isinstance(model, PixelCNN) and len(history) == 30
    torch.testing.assert_close(model.mean[0], examples.inputs[0].float().mean(0) / 255)
    assert evaluate_loss(model, examples) == (pytest.approx(0, abs=0.05), 1.0)

    landmark = Preset(LandmarkConfig(dropout=0, classes=6), SHORT, None, FIRST_SIX)
    examples = hand_examples(looks, np.arange(12) % 6)
    model, history = train(landmark, examples, progress=False)
    assert isinstance(model, LandmarkCNN)
    assert evaluate_loss(model, examples) == (pytest.approx(0, abs=0.05), 1.0)


def test_the_seed_sets_the_weights_too_and_epochs_can_be_fewer(blobs):
    small = Preset(PixelConfig(channels=(4, 4, 4), hidden=8, classes=6), SHORT, ImageAugment(), FIRST_SIX)
    examples = Examples((torch.from_numpy(blobs(24)),), torch.arange(24) % 6)
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


def test_turned_hands_keep_their_shape_and_show_no_letter(hands):
    landmarks, world = map(torch.from_numpy, hands(50, 3))
    left, aspect = torch.zeros(50, dtype=torch.bool), torch.full((50,), 4 / 3)
    examples = Examples((landmarks, world, left, aspect, torch.zeros(50, WIDTH)), torch.arange(50) % 24)
    some = turned(examples)
    assert len(some) == round(runs.TURNED * 50) and (some.labels == NO_LETTER).all()
    points, solid, _, shapes, embeddings = some.inputs
    assert embeddings.isnan().all() and set(shapes.tolist()) == set(torch.tensor([4 / 3, 3 / 4]).tolist())

    def in_heights(points, shapes):
        flat = points[..., :2] * torch.stack([shapes, torch.ones_like(shapes)], 1)[:, None]
        return flat - flat[:, :1]

    before, after = in_heights(landmarks, aspect), in_heights(points, shapes)
    ways = set()
    for hand, metres, shape in zip(after, solid, shapes, strict=True):
        hand = hand * (1.0 if shape > 1 else 4 / 3)  # after a quarter turn the height is what was the width
        for quarter in range(1, 4):
            angle = torch.tensor(quarter * torch.pi / 2)
            turn = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
            same = (before @ turn.T - hand).abs().amax((1, 2)) < 1e-4
            if same.any():
                ways.add((quarter, bool(shape > 1)))
                torch.testing.assert_close(metres[:, :2], (world[same][0, :, :2] @ turn.T))
                torch.testing.assert_close(metres[:, 2], world[same][0, :, 2])
                break
        else:
            pytest.fail("not one of the hands turned")
    assert ways == {(1, False), (2, True), (3, False)}
