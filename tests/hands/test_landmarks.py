import numpy as np
import pandas as pd
import pytest

from asllib.errors import InputError
from asllib.hands import (
    CONNECTIONS,
    FINGERS,
    LANDMARK_NAMES,
    PARENTS,
    landmark_arrays,
    landmark_columns,
    read_landmarks,
    write_landmarks,
)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    columns = landmark_columns()
    table = pd.DataFrame(rng.random((3, 127), np.float32), columns=columns[3:])
    table.loc[1, "score"] = 0
    table.loc[1, columns[4:]] = np.nan
    text = pd.DataFrame(
        {"file": ["a.jpg", "NA", "ä,b.jpg"], "label": ["A", "B", None], "side": ["left", None, "right"]}
    )
    return pd.concat([text.astype("str"), table], axis=1).assign(
        width=np.array([640, 10, 20], np.int32), height=np.array([480, 10, 40], np.int32)
    )


def test_tables_describe_one_hand():
    assert len(LANDMARK_NAMES) == 21
    assert sorted(i for chain in FINGERS.values() for i in chain) == list(range(1, 21))
    assert [PARENTS[i] for i in (0, 1, 4, 5, 8, 17)] == [0, 0, 3, 0, 7, 0]
    assert len(CONNECTIONS) == 23
    assert landmark_columns()[:7] == ["file", "label", "side", "score", "x0", "y0", "z0"]
    assert landmark_columns()[66:68] == ["z20", "wx0"]
    assert len(landmark_columns()) == 4 + 63 + 63


@pytest.mark.parametrize("name", ["hands.csv", "hands.csv.gz", "hands.parquet"])
def test_round_trip_keeps_every_value(table, tmp_path, name):
    write_landmarks(table, tmp_path / "new" / name)
    pd.testing.assert_frame_equal(read_landmarks(tmp_path / "new" / name), table)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_arrays(table):
    arrays = landmark_arrays(table)
    assert arrays["landmarks"].shape == arrays["world"].shape == (3, 21, 3)
    assert arrays["landmarks"][2, 20, 1] == table.loc[2, "y20"]
    assert arrays["world"][0, 1, 2] == table.loc[0, "wz1"]
    assert arrays["left"].tolist() == [True, False, False]
    assert arrays["found"].tolist() == [True, False, True]
    assert arrays["aspect"].tolist() == pytest.approx([4 / 3, 1, 0.5])
    assert landmark_arrays(table.drop(columns=["width", "height"]))["aspect"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns=["x3", "wz20"]), ["2 of 130 columns", "x3"]),
        (lambda t: t.assign(x_right_hand_0=0.5), ["Google's fingerspelling set"]),
        (lambda t: t.rename(columns=dict(zip(t.columns, map(str, range(132)), strict=True))), ["130 of 130 columns"]),
        (lambda t: t.assign(side=["left", None, "up"]), ["side", "up", "row 3"]),
        (lambda t: t.assign(score=[1.5, 0, 1]), ["score", "1.5", "row 1"]),
        (lambda t: t.assign(y7=[0.5, np.nan, np.nan]), ["y7", "row 3", "cut off"]),
        (lambda t: t.assign(x0=[320.0, np.nan, 0.1]), ["x0", "320", "row 1", "pixels"]),
        (lambda t: t.assign(y0=[0.1, np.nan, -320.0]), ["y0", "-320", "row 3", "pixels"]),
        (lambda t: t.assign(wx0=["0.1", None, "hello"]), ["wx0", "hello", "row 3"]),
        (lambda t: t.assign(width=[640, 0, 20]), ["width", "row 2"]),
    ],
)
def test_bad_tables_get_one_clear_line(table, tmp_path, change, words):
    bad = change(table)
    path = tmp_path / "bad.csv"
    bad.to_csv(path, index=False)
    with pytest.raises(InputError) as error:
        read_landmarks(path)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in ["bad.csv", *words])
    with pytest.raises(InputError):
        write_landmarks(bad, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_sides_as_mediapipe_writes_them(table, tmp_path):
    table.assign(side=["Left", None, "Right"]).to_csv(tmp_path / "hands.csv", index=False)
    assert landmark_arrays(read_landmarks(tmp_path / "hands.csv"))["left"].tolist() == [True, False, False]


def test_a_cut_off_file_is_refused(table, tmp_path):
    path = tmp_path / "cut.csv"
    write_landmarks(table, path)
    path.write_text(path.read_text(encoding="utf-8")[:-400], encoding="utf-8")
    with pytest.raises(InputError, match="row 3 has 93 values instead of 132"):
        read_landmarks(path)


@pytest.mark.parametrize("name", ["none.csv", "text.txt", "hands.json", "empty.csv", "photo.csv", "broken.parquet"])
def test_files_that_are_no_table(tmp_path, name):
    contents = {
        "text.txt": b"x",
        "hands.json": b"[]",
        "empty.csv": b"",
        "photo.csv": b"\xff\xd8\xff\xe0\n\x00,\n",
        "broken.parquet": b"PAR1",
    }
    if name in contents:
        (tmp_path / name).write_bytes(contents[name])
    with pytest.raises(InputError) as error:
        read_landmarks(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)
    if not name.endswith((".csv", ".parquet")):
        assert "no landmark table; give an ending of .csv, .csv.gz or .parquet" in str(error.value)
