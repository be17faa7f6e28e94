"""Pixel CSVs, landmark tables and manifests: every damage is read right or refused in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import (
    CELLS,
    broken_bytes,
    broken_csv,
    broken_rows,
    csv_bytes,
    everything_in,
    gz,
    outcome,
    refused,
    same_csv,
    tries,
)
from hypothesis import given
from hypothesis import strategies as st

from asllib.data import load_photos, read_pixel_csv
from asllib.data.sign_mnist import PIXEL_COLUMNS
from asllib.errors import InputError
from asllib.hands.landmarks import SIZE_COLUMNS, image_columns, landmark_columns, read_landmarks
from asllib.read.videos import read_hands

# An error in a library's callback ends no reader, but prints a traceback: no one line.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")]

rng = np.random.default_rng(0)

PIXELS = [["label", *PIXEL_COLUMNS], *([str(v) for v in (row, *rng.integers(0, 256, 784))] for row in range(4))]
HANDS = [
    [*landmark_columns(), *SIZE_COLUMNS, "time_s"],
    *(
        [
            f"A/{row}.jpg",
            "A",
            "left",
            "0.9",
            *map(repr, rng.normal(0.5, 0.2, 126).round(5).tolist()),
            "640",
            "480",
            str(row),
        ]
        for row in range(4)
    ),
]
HANDS[2][2:130] = ["", "0", *[""] * 126]  # in one of them no hand was found


def table_of(rows) -> pd.DataFrame:
    return pd.DataFrame(rows[1:], columns=rows[0])


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """What the undamaged tables say."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "pixels.csv").write_bytes(csv_bytes(PIXELS))
    (folder / "hands.csv").write_bytes(csv_bytes(HANDS))
    return read_pixel_csv(folder / "pixels.csv"), read_landmarks(folder / "hands.csv")


@tries(40)
@given(content=broken_csv(PIXELS))
def test_a_damaged_pixel_csv(place, content):
    (place / "pixels.csv").write_bytes(content)
    result = outcome("pixel CSV", place / "pixels.csv", read_pixel_csv, place / "pixels.csv")
    if not refused(result):
        images, labels = result
        assert images.shape == (len(labels), 28, 28) and images.dtype == np.uint8
        assert set(labels.tolist()) <= set(range(25)) - {9}


def read_rows(kind, path, read, damaged):
    """What a table with one damaged row reads as, and which of its rows were left alone; None if it names the row.

    A row of nothing is a blank line, which no CSV reader takes for a row: then None too.
    """
    rows, touched = damaged
    path.write_bytes(csv_bytes(rows))
    result = outcome(kind, path, read, path)
    if refused(result):
        assert touched is None or f"row {touched}" in str(result)
        return None
    if touched is not None and not rows[touched]:
        assert len(result if isinstance(result, pd.DataFrame) else result[1]) == 3
        return None
    return result, np.arange(4) != (touched or 0) - 1


@tries(25)
@given(damaged=broken_rows(PIXELS))
def test_untouched_rows_of_a_pixel_csv_are_as_they_were(place, sound, damaged):
    found = read_rows("pixel CSV", place / "pixels.csv", read_pixel_csv, damaged)
    if found is not None:
        (images, labels), rest = found
        assert (images[rest] == sound[0][0][rest]).all() and (labels[rest] == sound[0][1][rest]).all()


@tries(15)
@given(content=same_csv(PIXELS), packed=st.booleans())
def test_the_same_pixels_in_another_file(place, sound, content, packed):
    path = place / ("same.csv.gz" if packed else "same.csv")
    path.write_bytes(gz(content) if packed else content)
    images, labels = outcome("pixel CSV", path, read_pixel_csv, path)
    assert (images == sound[0][0]).all() and (labels == sound[0][1]).all()


@tries(40)
@given(content=broken_csv(HANDS))
def test_a_damaged_landmark_csv(place, content):
    (place / "hands.csv").write_bytes(content)
    result = outcome("landmark CSV", place / "hands.csv", read_landmarks, place / "hands.csv")
    if not refused(result):
        found = result["score"] > 0
        values = result.loc[found, landmark_columns()[4:]].to_numpy()
        assert np.isfinite(values).all() and (np.abs(values) <= 20).all()
        assert result.loc[found, "side"].isin(["left", "right"]).all()


@tries(25)
@given(damaged=broken_rows(HANDS))
def test_untouched_rows_of_a_landmark_csv_are_as_they_were(place, sound, damaged):
    found = read_rows("landmark CSV", place / "hands.csv", read_landmarks, damaged)
    if found is not None and damaged[1] is not None:
        (table, rest), columns = found, landmark_columns()
        pd.testing.assert_frame_equal(table.loc[rest, columns], sound[1].loc[rest, columns], check_dtype=False)


@tries(15)
@given(content=same_csv(HANDS), packed=st.booleans())
def test_the_same_landmarks_in_another_file(place, sound, content, packed):
    path = place / ("same.csv.gz" if packed else "same.csv")
    path.write_bytes(gz(content) if packed else content)
    result = outcome("landmark CSV", path, read_landmarks, path)
    pd.testing.assert_frame_equal(result[landmark_columns()], sound[1][landmark_columns()])


@tries(40)
@given(data=st.data(), which=st.sampled_from(["hands.csv.gz", "pixels.csv.gz", "hands.parquet"]))
def test_a_damaged_packed_table(place, sound, data, which):
    path = place / which
    if which == "hands.parquet":
        sound[1].to_parquet(path, index=False)
    else:
        path.write_bytes(gz(csv_bytes(PIXELS if which.startswith("pixels") else HANDS)))
    path.write_bytes(data.draw(broken_bytes(path.read_bytes())))
    read = read_pixel_csv if which.startswith("pixels") else read_landmarks
    outcome(f"packed, {path.suffix}", path, read, path)


WRONG = {
    "truth": pa.array([True, False, True, True]),
    "date": pa.array([0, 1, 2, 3], pa.timestamp("s")),
    "list": pa.array([[0.1], [0.2], [], None]),
    "struct": pa.array([{"a": 1}] * 4),
    "bytes": pa.array([b"\xff", b"1", b"", None]),
    "null": pa.nulls(4),
    "text": pa.array(["0.5", "x", "", None]),
    "huge": pa.array([1e300, -1e300, np.inf, np.nan]),
    "double": pa.array([0.5, 0.25, 0.125, 1.0]),
    "whole": pa.array([1, 0, 1, 1], pa.int8()),
    "dictionary": pa.array(["left", "right", "left", "left"]).dictionary_encode(),
    "decimal": pa.array([1, 2, 3, 4]).cast(pa.decimal128(30, 3)),
}


@tries(40)
@given(
    kind=st.sampled_from(sorted(WRONG)),
    column=st.sampled_from([*landmark_columns()[:5], "wz20", *SIZE_COLUMNS, "time_s"]),
    twice=st.booleans(),
)
def test_a_parquet_column_of_another_type(place, sound, kind, column, twice):
    table = pa.Table.from_pandas(sound[1], preserve_index=False)
    if twice:
        table = table.append_column(column, WRONG[kind])
    else:
        table = table.set_column(table.column_names.index(column), column, WRONG[kind])
    pq.write_table(table, place / "typed.parquet")
    result = outcome("Parquet of other types", place / "typed.parquet", read_landmarks, place / "typed.parquet")
    assert refused(result) or not twice
    if not refused(result):
        assert (result[image_columns()].dtypes == np.float32).all()
        assert kind not in ("truth", "date", "list", "struct", "bytes") or column == "time_s"


@tries(25)
@given(times=st.lists(CELLS, min_size=4, max_size=4))
def test_times_of_a_landmark_table(place, times):
    rows = [HANDS[0], *([*row[:-1], time] for row, time in zip(HANDS[1:], times, strict=True))]
    (place / "hands.csv").write_bytes(csv_bytes(rows))
    result = outcome("times", place / "hands.csv", lambda: list(read_hands(place / "hands.csv")))
    if not refused(result):
        read = [moment for moment, _ in result]
        assert (np.diff(read) > 0).all() and read == [float(time) for time in times]


MANIFEST = [["file", "label", "source", "signer", "original", "split"]] + [
    [f"{letter}/{i}.png", letter, "mine", "ann", f"{letter}{i}", "train"] for letter in "AB" for i in range(2)
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for letter in "AB":
        (root / "set" / letter).mkdir(parents=True)
        for i in range(2):
            PIL.Image.new("RGB", (8, 6), (40 * i, 9, 9)).save(root / "set" / letter / f"{i}.png")
    PIL.Image.new("RGB", (8, 6)).save(root / "outside.png")
    (root / "set" / "out.png").symlink_to(root / "outside.png")
    (root / "set" / "up").symlink_to(root)
    (root / "set" / "circle.png").symlink_to("circle.png")
    return root / "set"


def load(folder, names):
    result = outcome("manifest", names, load_photos, folder)
    if not refused(result):
        root = folder.resolve()
        assert all(path.resolve().is_relative_to(root) and path.is_file() for path in result.images.paths)
        assert all(label.strip() for label in result.letters)
    return result


@tries(60)
@given(content=broken_csv(MANIFEST))
def test_a_damaged_manifest(photos, content):
    (photos / "manifest.csv").write_bytes(content)
    load(photos, photos)


@tries(30)
@given(content=same_csv(MANIFEST))
def test_the_same_manifest_in_another_file(photos, content):
    (photos / "manifest.csv").write_bytes(content)
    table = load(photos, photos).table
    pd.testing.assert_frame_equal(table, table_of(MANIFEST)[table.columns], check_dtype=False)


PARTS = st.lists(
    st.sampled_from(["..", ".", "A", "B", "0.png", "up", "set", "outside.png", "/", "", "~", "\\"]), max_size=6
)
PATHS = PARTS.map("/".join) | st.sampled_from(
    [
        "out.png",
        "up/outside.png",
        "circle.png",
        sys.executable,  # a file that is there, elsewhere
        Path(sys.executable).as_uri(),
        "A",
        "A/0.png/",
        "x" * 5000,
        "C:\\x",
    ]
)


@tries(80)
@given(path=PATHS)
def test_no_path_of_a_manifest_leads_out_of_the_folder(photos, path):
    before = everything_in(photos.parent)
    content = csv_bytes([MANIFEST[0], MANIFEST[1], [path, *MANIFEST[2][1:]]])
    (photos / "manifest.csv").write_bytes(content)
    result = load(photos, photos / "manifest.csv")
    if refused(result):
        assert "row 2" in str(result)
    before["set/manifest.csv"] = content
    assert everything_in(photos.parent) == before


@pytest.mark.parametrize("how", ["file", "folder", "circle", "name", "folder's name"])
def test_a_folder_without_manifest_that_leads_elsewhere(tmp_path, photos, how):
    folder = tmp_path / "set"
    (folder / "A").mkdir(parents=True)
    if how == "file":
        (folder / "A" / "0.png").symlink_to(photos.parent / "outside.png")
    elif how == "folder":
        (folder / "B").symlink_to(photos / "A")
    elif how == "circle":
        (folder / "A" / "0.png").symlink_to("0.png")
    elif how == "name":
        (folder / "A" / "\udcff.png").write_bytes(b"")
    else:
        (folder / "\udcff").mkdir()
        (folder / "\udcff" / "0.png").write_bytes(b"")
    assert refused(outcome("image folder", folder, load_photos, folder))


def test_a_column_that_is_not_needed_may_hold_anything(tmp_path):
    (tmp_path / "hands.csv").write_bytes(csv_bytes([[*HANDS[0], "note"], *([*row, 'ä\n,"'] for row in HANDS[1:])]))
    assert read_landmarks(tmp_path / "hands.csv")["note"].tolist() == ['ä\n,"'] * 4


def test_a_row_that_is_longer_and_no_text_is_named(tmp_path):
    path = tmp_path / "hands.csv"
    path.write_bytes(csv_bytes(HANDS) + b"\xd8" + b"," * 300 + b"\n")
    assert f"row {len(HANDS)} is not UTF-8" in str(outcome("landmark CSV", path, read_landmarks, path))


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.parquet"])
def test_a_table_of_few_bytes_that_stands_for_gigabytes_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.setattr("asllib.files.MAX_BYTES", 2**22)
    monkeypatch.setattr("asllib.files.read_bytes.__defaults__", (2**22,))
    path = tmp_path / name
    if path.suffix == ".gz":
        path.write_bytes(gz(csv_bytes(HANDS) + b"x" * 2**23))
    else:
        table = pa.Table.from_pandas(table_of(HANDS), preserve_index=False)
        pq.write_table(pa.concat_tables([table] * 4000), path, row_group_size=20_000)
    assert path.stat().st_size < 2**19
    with pytest.raises(InputError, match="more than 4 MB"):
        read_landmarks(path)
