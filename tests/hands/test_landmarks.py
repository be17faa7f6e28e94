import json
import re

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
        (lambda t: t.rename(columns=dict(zip(t.columns, map(str, range(132)), strict=True))), ["no header line"]),
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


def points(values: np.ndarray) -> list[dict]:
    return [dict(zip("xyz", map(float, point), strict=True)) for point in values]


@pytest.mark.parametrize(
    ("names", "category", "unit"),
    [
        (("landmarks", "worldLandmarks", "handednesses", "timestamp"), "categoryName", 1000),  # of a browser
        (("hand_landmarks", "hand_world_landmarks", "handedness", "timestamp_ms"), "category_name", 1000),  # of Python
        (("landmarks", "worldLandmarks", "handedness", "timestamp"), "categoryName", 1),  # a video element's own time
    ],
)
def test_results_of_mediapipes_hand_landmarker(hands, tmp_path, names, category, unit):
    landmarks, world = hands(3)
    small = points(0.5 + 0.1 * landmarks[0])
    sides = [[{category: side, "score": score}] for side, score in (("Left", 0.8), ("Right", 0.9))]
    frames = [
        ([points(landmarks[0])], [points(world[0])], sides[:1], 0.0),
        ([], [], [], unit / 30),
        ([small, points(landmarks[2])], [points(world[1]), points(world[2])], sides, unit / 15),
    ]
    results = [dict(zip(names, frame, strict=True)) for frame in frames]
    (tmp_path / "hands.json").write_text(json.dumps(results))
    table = read_landmarks(tmp_path / "hands.json")
    assert table["score"].tolist() == pytest.approx([0.8, 0, 0.9]) and table["side"].tolist()[::2] == ["left", "right"]
    assert table["time_s"].tolist() == pytest.approx([0, 1 / 30, 1 / 15])
    arrays = landmark_arrays(table)
    assert arrays["found"].tolist() == [True, False, True]
    for name, truth in (("landmarks", landmarks), ("world", world)):
        assert arrays[name][[0, 2]] == pytest.approx(truth[[0, 2]])  # of two hands the larger one
    (tmp_path / "one.json").write_text(json.dumps(dict(zip(names[:3], frames[0], strict=False))))
    assert len(read_landmarks(tmp_path / "one.json")) == 1 and "time_s" not in read_landmarks(tmp_path / "one.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"version": 1.3, "people": [{"hand_left_keypoints_2d": []}]}]', "OpenPose keypoints are not read"),
        ('[{"landmarks": [], "worldLandmarks": [], "handedness": []}, {"landmarks": []}]', "in place 2 (KeyError"),
        ('{"landmarks": [[{"x": 0}]], "worldLandmarks": [[]], "handedness": [[{"score": 1}]]}', "in place 1 (KeyError"),
        ('{"landmarks": [[]], "worldLandmarks": [[]], "handedness": [[{"score": 1}]]}', "in place 1 (ValueError"),
        ("[1]", "in place 1 (TypeError"),
        ('"x"', "not a list of MediaPipe's results"),
        ("[", "not a list of MediaPipe's results"),
    ],
)
def test_other_json_is_refused_in_one_line(tmp_path, content, said):
    (tmp_path / "hands.json").write_text(content)
    with pytest.raises(InputError, match=re.escape(said)) as error:
        read_landmarks(tmp_path / "hands.json")
    assert "hands.json" in str(error.value) and "\n" not in str(error.value)


def test_a_cut_off_file_is_refused(table, tmp_path):
    path = tmp_path / "cut.csv"
    write_landmarks(table, path)
    path.write_text(path.read_text(encoding="utf-8")[:-400], encoding="utf-8")
    with pytest.raises(InputError, match="row 3 has 93 values instead of 132"):
        read_landmarks(path)


@pytest.mark.parametrize("name", ["none.csv", "text.txt", "empty.csv", "photo.csv", "broken.parquet"])
def test_files_that_are_no_table(tmp_path, name):
    contents = {
        "text.txt": b"x",
        "empty.csv": b"",
        "photo.csv": b"\xff\xd8\xff\xe0\n\x00,\n",
        "broken.parquet": b"PAR1",
    }
    if name in contents:
        (tmp_path / name).write_bytes(contents[name])
    with pytest.raises(InputError) as error:
        read_landmarks(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)
