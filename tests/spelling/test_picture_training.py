"""How the picture network is trained."""

import json

import numpy as np
import pytest
import torch

from asllib.augment import PictureAugment
from asllib.data import load_photos
from asllib.hands.embedding import WIDTH, embed_hand, hand_picture
from asllib.hands.landmarks import read_landmarks
from asllib.hands.tracker import table_hands
from asllib.models.picture_net import SIDE, PictureConfig, PictureNet
from asllib.spelling import picture_training
from asllib.spelling.picture_training import (
    Pictures,
    PictureTraining,
    Taught,
    cut_out,
    draw_pictures,
    practice_pictures,
)
from asllib.spelling.pictures import as_input
from asllib.spelling.training import LEFT_OUT
from asllib.training import NO_LETTER


@pytest.fixture
def hands():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (20, SIDE, SIDE, 3), np.uint8)
    embeddings = rng.normal(1, 2, (20, WIDTH)).astype(np.float16)
    return Pictures(pictures, embeddings, np.arange(20) % 3 - 1)


def test_batches_are_drawn_from_the_generator_alone(hands):
    first, again, other = (draw_pictures(hands, PictureAugment(), 8, np.random.default_rng(k)) for k in (1, 1, 2))
    for one, same in zip(first, again, strict=True):
        torch.testing.assert_close(one, same)
    assert (first[0] - other[0]).abs().mean() > 0.01
    pictures, embeddings, labels = first
    assert pictures.shape == (8, 3, SIDE, SIDE) and embeddings.shape == (8, WIDTH) and labels.shape == (8,)
    # Each embedding and label is of the picture beside it, which alone is changed.
    rows = [int(np.abs(hands.embeddings - one.numpy()).sum(1).argmin()) for one in embeddings]
    np.testing.assert_array_equal(labels, hands.labels[rows])
    unchanged = as_input(torch.from_numpy(hands.pictures[rows]))
    assert (pictures - unchanged).abs().mean((1, 2, 3)).min() > 0.01


def test_letters_and_embeddings_are_learned_and_hands_without_a_letter_teach_doubt(hands):
    torch.manual_seed(0)
    taught = Taught(PictureNet(PictureConfig(width=16, dropout=0.0)), hands.embeddings).train()
    batch = (as_input(torch.from_numpy(hands.pictures)), *map(torch.from_numpy, (hands.embeddings, hands.labels)))
    alone, both = taught.loss(*batch, taught=0.0), taught.loss(*batch, taught=1.0)
    assert both > alone + 0.1  # of numbers with mean 0 and deviation 1
    optimiser = torch.optim.AdamW(taught.parameters(), 3e-3)
    for _ in range(25):
        loss = taught.loss(*batch, taught=1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < both - 0.5
    with torch.no_grad():
        features = taught.model.features(batch[0])
        said = taught.model.head(features).softmax(1)
        told = taught.tell(features)
        wanted = (batch[1].float() - taught.mean) / taught.std
    assert (said.argmax(1) == batch[2])[batch[2] != NO_LETTER].float().mean() > 0.8
    assert said[batch[2] == NO_LETTER].max() < said[batch[2] != NO_LETTER].max(1).values.mean()
    assert (told - wanted).abs().mean() < 0.9 * wanted.abs().mean()


@pytest.mark.slow
def test_hands_are_cut_out_by_their_table_with_what_mediapipe_sees(tmp_path):
    from asllib.signer import write_letters

    write_letters(tmp_path / "drawn", "LVY", 1, 2)
    letters = load_photos(tmp_path / "drawn", "drawn")
    table = read_landmarks(tmp_path / "drawn" / "landmarks.csv")
    table.loc[1, "score"] = 0.0  # as if no hand had been found
    labels, keep = np.arange(6), np.array([1, 1, 1, 0, 1, 1], bool)
    found = cut_out(letters, labels, table, keep)
    np.testing.assert_array_equal(found.labels, [0, 2, 4, 5])
    hand = table_hands(table)[2]
    np.testing.assert_array_equal(found.pictures[1], hand_picture(letters.images[2], hand, SIDE))
    np.testing.assert_allclose(found.embeddings[1], embed_hand(letters.images[2], hand), atol=2e-2)


@pytest.mark.slow
def test_no_photo_of_a_test_and_of_the_films_signer_is_learned_from(tmp_path, monkeypatch):
    from asllib.signer import write_letters

    write_letters(tmp_path / "photos", "LVY", 1, 2)
    photos = load_photos(tmp_path / "photos", "photos")
    photos.table["source"] = ["massey", LEFT_OUT, "davidlee", "massey", "davidlee", LEFT_OUT]
    photos.table["split"] = ["train", "train", "test", "valid", "train", "test"]

    class Tracked:
        def __init__(self, letters, table):
            self.first = lambda: table if letters is not None else None

    known = read_landmarks(tmp_path / "photos" / "landmarks.csv")
    none = known.assign(score=0.0)
    monkeypatch.setattr(picture_training, "find_photos", lambda: tmp_path / "photos")
    monkeypatch.setattr(picture_training, "load_letters", lambda name: photos)
    monkeypatch.setattr(picture_training, "added_letters", lambda signers: photos)
    monkeypatch.setattr(picture_training, "random_hands", lambda signers: photos)
    monkeypatch.setattr(picture_training, "track", lambda letters: Tracked(letters, tables.pop(0)))
    tables = [none, known]  # of hands that show no letter, none is found; then of the photos
    hands, about = practice_pictures(PictureTraining(photos=3))
    drawn, learned = np.split(hands.labels, [6])
    assert list(drawn) == list(photos.labels()) and NO_LETTER not in drawn
    assert list(learned) == list(photos.labels()[[0, 3, 4]]) * 3
    assert about["photos"]["rows"] == 3


@pytest.mark.slow
def test_the_command_trains_one_and_a_finished_run_is_kept(asl, tmp_path, monkeypatch):
    monkeypatch.setenv("ASLLIB_PROFILE", "ci")
    monkeypatch.delenv("ASLLIB_DATA", raising=False)
    monkeypatch.setattr("asllib.spelling.picture_training.find_photos", lambda: None)
    run = tmp_path / "run"
    code, out, err = asl("train", "picture", "--epochs", 6, "--out", run)
    assert code == 0, err
    card = json.loads((run / "card.json").read_text())
    assert card["network"] == "picture" and card["training"]["steps"] == 6 and "photos" not in card["data"]
    assert "picture network" in out and not list(run.glob("*.pt"))
    assert len((run / "history.csv").read_text().splitlines()) == 7
    code, _, err = asl("train", "picture", "--epochs", 6, "--out", run)
    assert code == 1 and "holds a finished run" in err
    code, _, err = asl("train", "picture", "--data", "photos", "--out", tmp_path / "other")
    assert code == 1 and "leave out --preset and --data" in err
