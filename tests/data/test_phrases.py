"""Phrases in the layouts that the public sets come in, from the reader to the two commands."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from asllib.data.phrases import ASPECT, count_others, has_phrases, letters_of, load_phrases
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


def test_letters_stand_alone_and_the_rest_is_counted():
    assert letters_of("3 Oak St., é-mail") == "OAKSTMAIL"
    assert count_others(["3 Oak St.", "a b"]) == {"spaces": 3, "digits": 1, "other signs": 1}


def test_the_layout_of_kaggle_is_read(kaggle, both):
    phrases = load_phrases(kaggle)
    assert phrases.table["sequence"].tolist() == ["7", "11", "9"]  # those of a file together
    assert phrases.plain.tolist() == [False, True, True]
    streams = list(phrases.streams())
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


@pytest.fixture
def pose_folder(tmp_path, both):
    """Two .pose files as MediaPipe Holistic's, of 640x480 pixels and 24 frames a second, and a manifest."""
    pytest.importorskip("pose_format")
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    folder = tmp_path / "poses"
    folder.mkdir()
    sizes = {"POSE_LANDMARKS": 33, "LEFT_HAND_LANDMARKS": 21, "RIGHT_HAND_LANDMARKS": 21}
    parts = [PoseHeaderComponent(n, [str(i) for i in range(k)], [], [], "XYZC") for n, k in sizes.items()]
    header = PoseHeader(0.2, PoseHeaderDimensions(640, 480, 0), parts)
    for name in ("11", "7"):
        hands = both[name] * np.float32([640, 480, 1])
        body = np.concatenate([np.ones((12, 33, 3), np.float32), hands[:, 1], hands[:, 0]], 1)
        seen = np.isfinite(body).all(2).astype(np.float32)
        with (folder / f"{name}.pose").open("wb") as file:
            Pose(header, NumPyPoseBody(24.0, np.nan_to_num(body)[:, None], seen[:, None])).write(file)
    (folder / "manifest.csv").write_text("file,text,signer\n11.pose,Hello,ann\n7.pose,OAK,ben\n")
    return folder


def test_pose_files_are_read(pose_folder, both):
    right, left = load_phrases(pose_folder).streams()
    assert (right.word, right.signer, right.left.any()) == ("HELLO", "ann", False)
    assert (left.word, left.signer, left.left.all()) == ("OAK", "ben", True)
    np.testing.assert_allclose(right.landmarks, both["11"][:, 0], rtol=1e-5)
    np.testing.assert_allclose(left.landmarks, both["7"][:, 1], rtol=1e-5)
    assert right.aspect == 640 / 480 and right.times[-1] == pytest.approx(11 / 24)


def test_a_damaged_pose_file_is_named(pose_folder):
    path = pose_folder / "7.pose"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(InputError, match=r"7\.pose: not a \.pose file of MediaPipe Holistic"):
        list(load_phrases(pose_folder).streams())


def test_a_folder_of_photos_holds_no_phrases(tmp_path):
    (tmp_path / "manifest.csv").write_text("file,label\na.jpg,A\n")
    assert not has_phrases(tmp_path)


def test_phrases_are_evaluated_by_signer(asl, kaggle):
    code, out, _ = asl("evaluate", "--model", "spelling", "--data", kaggle, "--json", "-")
    found = json.loads(out)
    assert code == 0 and (found["n"], found["letters"], found["plain"]["n"]) == (3, 18, 2)
    assert found["others"] == {"spaces": 3, "digits": 1, "other signs": 1} and found["seen_in_training"] == 0
    assert set(found["by_signer"]) == {"ann", "ben"} and len(found["interval"]) == 2 and 0 < found["cer"] <= 2
    code, out, _ = asl("evaluate", "--model", "landmark", "--data", kaggle)
    assert code == 0 and "of 18 letters, signers: 2" in out and "3 spaces, 1 digits, 1 other signs" in out
    code, _, err = asl("evaluate", "--model", "pixel", "--data", kaggle)
    assert code == 1 and "landmarks have no picture" in err


def test_a_network_learns_from_phrases_and_says_so(asl, kaggle, tmp_path, monkeypatch):
    from asllib.networks import SpellingConfig, SpellingNet
    from asllib.train import run

    def trained(settings, seed, epochs, folder, phrases):
        assert [len(clip.spelled) for clip in phrases] == [3]  # of HELLOWORLD there are fewer moments than letters
        return SpellingNet(SpellingConfig(channels=16, hidden=16)), pd.DataFrame(), {"data": {}, "metrics": {}}

    monkeypatch.setattr(run, "train_spelling", trained)
    code, _, err = asl("train", "spelling", "--data", kaggle, "--out", tmp_path / "run")
    about = load_model(tmp_path / "run")[1]["data"]["phrases"]
    assert code == 0, err
    assert (about["name"], about["rows"], about["learned"], about["letters"]) == ("aslfr", 3, 1, 3)
    code, _, err = asl("evaluate", "--model", tmp_path / "run", "--data", kaggle)
    assert code == 0 and "was trained on 1 of these phrases" in err
    table = pd.read_csv(kaggle / "train.csv").iloc[1:2]
    table.to_csv(kaggle / "train.csv", index=False)
    code, _, err = asl("train", "spelling", "--data", kaggle, "--out", tmp_path / "other")
    assert code == 1 and "none of its 1 phrases can be learned from" in err


def test_a_batch_of_phrases_alone_has_a_loss_and_gradients(kaggle):
    from asllib.train.clips import batch_clips, phrase_clip
    from asllib.train.spelling import spelling_loss

    clips = [phrase_clip(stream) for stream in load_phrases(kaggle).streams()]
    assert [clip.spelled for clip in clips][2] == (26, 15, 15) and all((clip.targets < 0).all() for clip in clips)
    _, targets, spelled, _ = batch_clips(clips, 0)
    logits = torch.zeros(3, 29, targets.shape[1], requires_grad=True)
    loss = spelling_loss(logits, targets, spelled, 3)
    loss.backward()
    assert torch.isfinite(loss) and loss > 0 and torch.isfinite(logits.grad).all() and (logits.grad != 0).any()
