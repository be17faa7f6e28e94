"""Phrases in the layout of Kaggle's set: read, evaluated and learned from."""

import json

import numpy as np
import pandas as pd
import phrases
import pytest
import torch
from phrases import ASPECT, load_phrases, measure, phrase_clip, train

from asllib.errors import InputError
from asllib.networks.store import load_model

TEXTS = {"11": ("ann", "hello world"), "7": ("ben", "3 Oak St."), "9": ("ann", "zoo")}


def points(hands, seen: dict[str, range], frames: int = 12) -> np.ndarray:
    """(F, 2, 21, 3) of a right and a left hand, NaN where there is none."""
    table = np.full((frames, 2, 21, 3), np.nan, np.float32)
    for side, places in seen.items():
        table[list(places), ("right", "left").index(side)] = hands(len(places), seed=len(places))[0]
    return table


@pytest.fixture
def both(hands):
    """Both hands of each sequence: one is seen more often."""
    seen = {"11": {"right": range(2, 12), "left": range(1)}, "7": {"left": range(3, 9)}, "9": {"right": range(1, 11)}}
    return {name: points(hands, one) for name, one in seen.items()}


@pytest.fixture
def kaggle(tmp_path, both):
    """A folder as Kaggle's: two files of landmarks, with columns that are not ours, and a table."""
    folder = tmp_path / "aslfr"
    (folder / "train_landmarks").mkdir(parents=True)
    names = [f"{axis}_{side}_hand_{i}" for side in ("right", "left") for i in range(21) for axis in "xyz"]
    files = {"11": 500, "7": 400, "9": 500}
    for file in (400, 500):
        parts = []
        for name in [name for name, where in files.items() if where == file]:
            part = pd.DataFrame(both[name].reshape(12, -1), columns=names)
            part.insert(0, "frame", np.arange(12, dtype=np.int16))
            parts.append(part.assign(x_face_0=0.5).set_index(pd.Index([int(name)] * 12, name="sequence_id")))
        pd.concat(parts).to_parquet(folder / f"train_landmarks/{file}.parquet")
    rows = [(f"train_landmarks/{files[n]}.parquet", files[n], n, who, text) for n, (who, text) in TEXTS.items()]
    table = pd.DataFrame(rows, columns=["path", "file_id", "sequence_id", "participant_id", "phrase"])
    table.to_csv(folder / "train.csv", index=False)
    return folder


def test_the_layout_of_kaggle_is_read(kaggle, both):
    found = load_phrases(kaggle)
    assert found.table["sequence"].tolist() == ["7", "11", "9"]  # those of a file together
    assert found.plain.tolist() == [False, True, True]
    streams = list(found.streams())
    assert [one.word for one in streams] == ["OAKST", "HELLOWORLD", "ZOO"]
    assert [one.signer for one in streams] == ["ben", "ann", "ann"] and {one.aspect for one in streams} == {ASPECT}
    assert [bool(one.left.all()) for one in streams] == [True, False, False]
    for name, side, stream in zip(("7", "11", "9"), (1, 0, 0), streams, strict=True):
        np.testing.assert_array_equal(stream.landmarks, both[name][:, side])
        np.testing.assert_allclose(stream.times, np.arange(12) / 30)
        assert np.isnan(stream.world).all() and stream.embeddings is None


def test_a_split_of_its_own_is_kept_from_training(kaggle):
    assert load_phrases(kaggle).learnable.tolist() == [False, True, True]  # digits teach nothing
    table = pd.read_csv(kaggle / "train.csv")
    table.assign(split=["train", "train", "test"]).to_csv(kaggle / "train.csv", index=False)
    assert load_phrases(kaggle).learnable.tolist() == [False, True, False]


def test_what_is_missing_is_named(kaggle, tmp_path):
    with pytest.raises(InputError, match="no phrases; name a folder with train"):
        load_phrases(tmp_path)
    table = pd.read_csv(kaggle / "train.csv")
    table.drop(columns="phrase").to_csv(kaggle / "train.csv", index=False)
    with pytest.raises(InputError, match=r"train\.csv: column phrase is missing"):
        load_phrases(kaggle)
    table.assign(sequence_id=[11, 7, 10]).to_csv(kaggle / "train.csv", index=False)
    with pytest.raises(InputError, match=r"500\.parquet: sequence 10 has no frames"):
        list(load_phrases(kaggle).streams())
    table.assign(path="../400.parquet").to_csv(kaggle / "train.csv", index=False)
    with pytest.raises(InputError, match=r"train\.csv, \.\./400\.parquet"):
        load_phrases(kaggle)
    table.to_csv(kaggle / "train.csv", index=False)
    path = kaggle / "train_landmarks" / "400.parquet"
    pd.read_parquet(path).drop(columns="z_left_hand_20").to_parquet(path)
    with pytest.raises(InputError, match=r"400\.parquet: 1 columns are missing \(z_left_hand_20\)"):
        list(load_phrases(kaggle).streams())


def test_phrases_are_evaluated_by_signer(kaggle, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["phrases.py", str(kaggle), "--json", str(tmp_path / "found.json")])
    phrases.main()
    found, out = json.loads((tmp_path / "found.json").read_text()), capsys.readouterr().out
    assert (found["n"], found["letters"], found["plain"]["n"]) == (3, 18, 2)
    assert found["others"] == {"spaces": 3, "digits": 1, "other signs": 1} and found["seen_in_training"] == 0
    assert set(found["by_signer"]) == {"ann", "ben"} and len(found["interval"]) == 2 and 0 < found["cer"] <= 2
    assert "of 18 letters, signers: 2" in out and "3 spaces, 1 digits, 1 other signs" in out
    assert "of phrases of letters and spaces alone:\nCER" in out
    assert measure(kaggle, "landmark")["letters"] == 18
    with pytest.raises(InputError, match="landmarks have no picture"):
        measure(kaggle, "pixel")
    monkeypatch.setattr("sys.argv", ["phrases.py", str(kaggle), "--split", "test"])
    with pytest.raises(SystemExit, match=r"phrases\.py: .*no phrase in split 'test'"):
        phrases.main()


def test_a_network_learns_from_phrases_and_says_so(kaggle, tmp_path, capsys, monkeypatch):
    from asllib.networks import SpellingConfig, SpellingNet

    def trained(settings, seed, epochs, folder, clips):
        assert [len(clip.spelled) for clip in clips] == [3]  # of HELLOWORLD there are fewer moments than letters
        return SpellingNet(SpellingConfig(channels=16, hidden=16)), pd.DataFrame(), {"data": {}, "metrics": {}}

    monkeypatch.setattr(phrases, "train_spelling", trained)
    monkeypatch.setattr("sys.argv", ["phrases.py", str(kaggle), "--train", str(tmp_path / "run")])
    phrases.main()
    assert "trained with 1 phrases" in capsys.readouterr().out
    card = load_model(tmp_path / "run")[1]
    about = card["data"]["phrases"]
    assert (about["name"], about["rows"], about["learned"], about["letters"]) == ("aslfr", 3, 1, 3)
    assert card["preset"] == "best" and card["seed"] == 0 and card["network"] == "spelling"
    monkeypatch.setattr("sys.argv", ["phrases.py", str(kaggle), "--model", str(tmp_path / "run")])
    phrases.main()
    assert "was trained on 1 of these phrases" in capsys.readouterr().err
    with pytest.raises(InputError, match="holds a finished run"):
        train(kaggle, tmp_path / "run")
    table = pd.read_csv(kaggle / "train.csv").iloc[1:2]
    table.to_csv(kaggle / "train.csv", index=False)
    with pytest.raises(InputError, match="none of its 1 phrases can be learned from"):
        train(kaggle, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_batch_of_phrases_alone_has_a_loss_and_gradients(kaggle):
    from asllib.train.clips import batch_clips
    from asllib.train.spelling import spelling_loss

    clips = [phrase_clip(stream) for stream in load_phrases(kaggle).streams()]
    assert [clip.spelled for clip in clips][2] == (26, 15, 15) and all((clip.targets < 0).all() for clip in clips)
    _, targets, spelled, _ = batch_clips(clips, 0)
    logits = torch.zeros(3, 29, targets.shape[1], requires_grad=True)
    loss = spelling_loss(logits, targets, spelled, 3)
    loss.backward()
    assert torch.isfinite(loss) and loss > 0 and torch.isfinite(logits.grad).all() and (logits.grad != 0).any()
