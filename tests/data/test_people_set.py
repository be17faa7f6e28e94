import numpy as np
import pandas as pd
import pytest

from asllib.data import load_letters, load_sequences, signer_weights
from asllib.data.people_set import WRONG, join_tables, signers_apart
from asllib.errors import InputError
from asllib.files import read_csv
from asllib.hands import check_landmarks, world_columns
from asllib.hands.features import landmark_features, landmark_inputs
from asllib.letters import STATIC

PHOTOS = ["file,label,source,signer,original,split,licence,repository"]


@pytest.fixture
def people(no_data):
    """A folder ``people``: two photos of A and B by each of three signers, the last one to choose by."""
    import PIL.Image

    folder = no_data / "data" / "people"
    rows = list(PHOTOS)
    for signer, split in (("ann", "train"), ("bob", "train"), ("eve", "valid")):
        for number, letter in enumerate("AABB"):
            file = f"{signer}/{number}.png"
            path = folder / "photos" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.new("RGB", (30, 30), (number, len(rows), 0)).save(path)
            rows.append(f"{file},{letter},people,{signer},{signer}-{number},{split},MIT,{signer}/letters")
    (folder / "photos" / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def sequences(people, hands):
    """Files of landmarks beside them: two filmed signs of four frames, and the same letters still, by a left hand."""
    folder = people / "motion"
    folder.mkdir()
    points = hands(8)[0].reshape(2, 4, 21, 3).astype(np.float16)
    points[1, 3] = np.nan
    every = {"letter": np.array(["J", "A"]), "aspect": np.float32(4 / 3)}
    np.savez(folder / "ann.npz", landmarks=points, side=np.array(["right"] * 2), still=False, **every)
    np.savez(folder / "eve.npz", landmarks=points[:, :1], side=np.array(["left"] * 2), still=True, **every)
    np.savez(folder / "eve-b.npz", landmarks=points[:, :1], side=np.array(["left"] * 2), still=True, **every)
    rows = ["file,signer,split,licence,repository", "ann.npz,ann,train,MIT,ann/letters"]
    rows += [f"{name}.npz,eve,valid,GPL-3.0,eve/letters" for name in ("eve", "eve-b")]
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_people_come_with_their_own_split_and_whose_they_are(people):
    letters = load_letters("people")
    assert (letters.name, len(letters), letters.synthetic) == ("people", 12, False)
    assert letters.table["split"].tolist() == ["train"] * 8 + ["valid"] * 4
    assert set(letters.table["licence"]) == {"MIT"} and letters.table["repository"].nunique() == 3
    assert signers_apart(letters.table) and letters.images[0].shape == (30, 30, 3)


def test_people_that_are_not_here_and_a_signer_in_both_parts_are_refused(no_data, people):
    manifest = people / "photos" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("ann-1,train", "ann-1,valid"))
    with pytest.raises(InputError, match="a signer is in no split or in two"):
        load_letters("people")
    manifest.unlink()
    for load in (lambda: load_letters("people"), lambda: load_sequences("train")):
        with pytest.raises(InputError, match=r"no people in .*people") as error:
            load()
        assert "\n" not in str(error.value)


def test_a_signers_letter_weighs_the_same_however_many_photos_show_it(people):
    table = load_letters("people").table
    more = pd.concat([table, table[table["signer"] == "ann"]], ignore_index=True)
    weights = pd.Series(signer_weights(more)).groupby([more["signer"], more["label"]]).sum()
    assert np.allclose(weights, weights.iloc[0]) and signer_weights(more).mean() == pytest.approx(1)
    one_author = table.assign(repository=np.where(table["signer"] == "eve", "eve", "both"))
    weights = pd.Series(signer_weights(one_author)).groupby(table["signer"]).sum()
    assert weights["eve"] / weights["ann"] == pytest.approx(2**0.5) == weights["eve"] / weights["bob"]
    crowd = table.drop(columns="repository").assign(source="davidlee", signer="unknown")
    assert np.allclose(signer_weights(crowd), 1)


def test_a_file_of_landmarks_becomes_rows_that_networks_take(sequences):
    [ann], [eve] = load_sequences("train"), load_sequences("valid")
    assert (ann.signer, ann.split, ann.still, len(ann)) == ("ann", "train", False, 2)
    assert eve.still and eve.landmarks.shape == (2, 1, 21, 3) and eve.left.all()
    table = join_tables([ann])
    assert table["label"].tolist() == ["J"] * 4 + ["A"] * 3 and len(join_tables([ann], every=3)) == 3
    assert table["file"].tolist()[3:5] == ["ann.npz/0/3", "ann.npz/1/0"] and table["original"][6] == "ann.npz/1"
    both = join_tables([ann, eve])
    check_landmarks(both.assign(**dict.fromkeys(world_columns(), 0.0)))
    assert both["signer"].tolist() == ["ann"] * 7 + ["eve"] * 2 and both["repository"].nunique() == 2
    landmarks, world, left, aspect = landmark_inputs(both)
    assert np.allclose(landmarks[0], ann.landmarks[0, 0]) and world.isnan().all()
    assert left.tolist() == [False] * 7 + [True] * 2 and np.allclose(aspect, 4 / 3)
    features = landmark_features(landmarks, world, left, aspect)
    assert features[:, :6].isfinite().all()


@pytest.mark.parametrize("damage", ["cut", "shape", "split"])
def test_damaged_landmarks_are_refused_in_one_line(sequences, damage):
    path = sequences / "ann.npz"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:500])
    if damage == "shape":
        with np.load(path) as stored:
            np.savez(path, **{**stored, "letter": np.array(["A"])})
    with pytest.raises(InputError) as error:
        load_sequences("test" if damage == "split" else "train")
    assert "\n" not in str(error.value) and str(sequences) in str(error.value)


@pytest.mark.slow
def test_the_real_people_are_complete_and_without_what_was_seen_to_be_wrong(real_data):
    letters, wrong = load_letters("people"), read_csv(WRONG)
    table = letters.table
    assert len(letters) + len(wrong) == 6666 and not set(wrong["file"]) & set(table["file"])
    assert (wrong["seen"] != wrong["label"]).all() and not wrong["file"].duplicated().any()
    assert table.groupby("split")["signer"].nunique().to_dict() == {"train": 26, "valid": 11}
    assert (table["split"] == "valid").sum() == 1768  # chooses as it is, wrong labels too
    assert set(table["licence"][table["split"] == "train"]) <= {"MIT", "Apache-2.0"}
    train, valid = load_sequences("train"), load_sequences("valid")
    assert not {one.signer for one in train} & {one.signer for one in valid}
    assert (len({one.signer for one in train}), len({one.signer for one in valid})) == (8, 13)
    assert set(join_tables([one for one in train if one.still])["label"]) <= set(STATIC)
