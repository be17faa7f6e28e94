import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from asllib.data import load_photos, track
from asllib.errors import InputError
from asllib.hands import (
    ATTEMPTS,
    LOOKS,
    SIZE_COLUMNS,
    HandTracker,
    extract,
    extract_landmarks,
    iter_landmarks,
    landmark_columns,
    landmarks,
    read_landmarks,
    write_landmarks,
)
from asllib.hands.look import WIDTH

FAST = ATTEMPTS[:1]


def pictures(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (48, 32 + i % 5, 3), np.uint8) for i in range(n)]


@dataclass(frozen=True)
class Lazy:
    """Like a folder of photos: small, picklable, each image made when it is asked for."""

    images: tuple[np.ndarray, ...]
    files: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.images[i]


def test_one_row_an_image_in_order():
    table = extract_landmarks(pictures(3), files=["a", "b", "c"], labels=list("ABC"), attempts=FAST, progress=False)
    assert list(table) == [*landmark_columns(), *SIZE_COLUMNS]
    assert table["file"].tolist() == ["a", "b", "c"] and table["label"].tolist() == ["A", "B", "C"]
    assert table["score"].tolist() == [0, 0, 0] and table["side"].isna().all()
    assert table.loc[:, "x0":"wz20"].isna().all(axis=None)
    assert table["width"].tolist() == [32, 33, 34] and table["height"].tolist() == [48, 48, 48]
    assert table["x0"].dtype == np.float32


def test_no_images_give_an_empty_table(tmp_path):
    table = extract_landmarks([], progress=False)
    assert len(table) == 0 and list(table) == [*landmark_columns(), *SIZE_COLUMNS]
    write_landmarks(table, tmp_path / "none.csv")
    assert len(read_landmarks(tmp_path / "none.csv")) == 0


def test_files_come_from_the_images_or_are_positions():
    images = pictures(2)
    lazy = Lazy(tuple(images), ("x.jpg", "y.jpg"))
    assert extract_landmarks(lazy, attempts=FAST, progress=False)["file"].tolist() == ["x.jpg", "y.jpg"]
    assert extract_landmarks(images, attempts=FAST, progress=False)["file"].tolist() == ["0", "1"]
    with pytest.raises(InputError, match="3 labels for 2 images"):
        extract_landmarks(images, labels=list("ABC"))


@pytest.mark.parametrize(
    "pool", [*(pytest.param(one, marks=pytest.mark.slow) for one in (ThreadPoolExecutor, ProcessPoolExecutor)), None]
)
@pytest.mark.slow
def test_any_executor_and_number_of_workers_gives_the_same_table(pool, lit_hands, hand_table, monkeypatch):
    images, folder = lit_hands
    monkeypatch.setattr(extract, "CHUNK", 10)
    assert 0.5 < (hand_table["score"] > 0).mean() < 1 and hand_table["x0"].nunique() > 30
    if pool is None:  # processes of our own
        table = extract_landmarks(images, workers=2, attempts=FAST, progress=False)
        pd.testing.assert_frame_equal(table.drop(columns="file"), hand_table.drop(columns="file"))
        return
    spawn = {"mp_context": multiprocessing.get_context("spawn")} if pool is ProcessPoolExecutor else {}
    with pool(2 if pool is ThreadPoolExecutor else 1, **spawn) as executor:
        photos = load_photos(folder).images
        table = extract_landmarks(photos, executor=executor, attempts=FAST, progress=False)
    pd.testing.assert_frame_equal(table, hand_table)


def test_a_stopped_run_goes_on_and_a_changed_photo_is_done_again(tmp_path, monkeypatch):
    images = pictures(80)
    done = []

    class Counting:
        def detect(self, image):
            if len(done) == 70:
                raise KeyboardInterrupt
            done.append(image)

    monkeypatch.setattr(extract, "HandTracker", lambda attempts: Counting())
    with pytest.raises(KeyboardInterrupt):
        extract_landmarks(images, checkpoint=tmp_path / "part", progress=False)
    assert len(list((tmp_path / "part").iterdir())) == 1  # the first 64; nothing of the second chunk
    done.clear()
    table = extract_landmarks(images, checkpoint=tmp_path / "part", progress=False)
    assert len(done) == 16 and len(table) == 80
    done.clear()
    extract_landmarks(images, checkpoint=tmp_path / "part", progress=False)
    assert len(done) == 0
    images[79] = 255 - images[79]
    extract_landmarks(images, checkpoint=tmp_path / "part", progress=False)
    assert len(done) == 16
    next((tmp_path / "part").iterdir()).write_bytes(b"half-written")
    done.clear()
    pd.testing.assert_frame_equal(extract_landmarks(images, checkpoint=tmp_path / "part", progress=False), table)


def test_what_was_found_by_other_attempts_is_not_taken(tmp_path, monkeypatch):
    asked = []

    def tracker(attempts):
        asked.append(attempts)
        return SimpleNamespace(detect=lambda image: None)

    monkeypatch.setattr(extract, "HandTracker", tracker)
    for attempts in (FAST, ATTEMPTS, FAST):
        extract_landmarks(pictures(2), checkpoint=tmp_path, attempts=attempts, progress=False)
    assert asked == [FAST, ATTEMPTS]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_table_in_parts_is_written_as_the_whole(tmp_path, ending, hands, monkeypatch):
    monkeypatch.setattr(landmarks, "_GROUP", 3)
    images = pictures(12)
    table = extract_landmarks(images, labels=["A"] * 12, attempts=FAST, progress=False)
    points, world = hands(12)
    found = np.arange(12) % 2 == 1  # and a first part without any hand
    found[:5] = False
    table.loc[found, "x0":"wz20"] = np.concatenate([points.reshape(12, 63), world.reshape(12, 63)], 1)[found]
    table.loc[found, ["score", "side"]] = [0.5, "left"]
    path = tmp_path / f"parts.{ending}"
    write_landmarks((table[i : i + 2] for i in range(0, 12, 2)), path)
    pd.testing.assert_frame_equal(read_landmarks(path), table)

    def broken():
        yield table
        raise InputError("9.jpg: cannot be read")

    with pytest.raises(InputError, match=r"9\.jpg"):
        write_landmarks(broken(), tmp_path / f"broken.{ending}")
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_looks_come_with_embeddings_in_the_order_of_the_images(letter_set, drawn, no_data, workers, monkeypatch):
    monkeypatch.setattr(extract, "CHUNK", 2)
    blank = np.zeros((224, 224, 3), np.uint8)
    images = np.stack([blank, drawn[0][5], drawn[0][6], blank, drawn[0][7]])
    letters = letter_set(list("AYBAV"), images)
    looks = track(letters, workers=workers, progress=False)
    tables, embeddings = looks.tables, looks.embeddings
    assert len(tables) == len(LOOKS) and embeddings.shape == (len(LOOKS), 5, 1152) and embeddings.dtype == np.float16
    for number, table in enumerate(tables):
        assert list(table) == [*landmark_columns(), *SIZE_COLUMNS]
        assert table["file"].tolist() == letters.table["file"].tolist()
        assert table["label"].tolist() == list("AYBAV") and set(table["width"]) == {224}
        found = (table["score"] > 0).to_numpy()
        assert not found[[0, 3]].any() and (number > 0 or found[[1, 2, 4]].all())
        np.testing.assert_array_equal(np.isfinite(embeddings[number]).all(1), found)
        np.testing.assert_array_equal(np.isnan(embeddings[number]).all(1), ~found)
    for place in (1, 2, 4):
        hands = HandTracker().detect_looks(images[place])
        for hand, table, said in zip(hands, tables, embeddings[:, place], strict=False):
            points = table.loc[place, "x0":"z20"].to_numpy(float).reshape(21, 3)
            np.testing.assert_allclose(points, hand.landmarks, atol=1e-5)
            np.testing.assert_array_equal(said, hand.embedding.astype(np.float16))

    monkeypatch.setattr(extract, "_extract_chunk", lambda *_: pytest.fail("looked at again"))
    again = track(letters, workers=1, progress=False)
    np.testing.assert_array_equal(again.embeddings, embeddings)
    for table, other in zip(tables, again.tables, strict=True):
        pd.testing.assert_frame_equal(table, other)


def test_what_was_seen_is_kept_and_looked_for_anew_in_other_photos(letter_set, no_data, monkeypatch):
    photos = np.full((1, 64, 64, 3), 128, np.uint8)
    letters = letter_set(["A"], photos)
    looks = track(letters, progress=False)
    assert len(looks.tables) == len(LOOKS) and not looks.found.any()
    assert list(looks.tables[0]["label"]) == ["A"]
    assert looks.embeddings.shape == (len(LOOKS), 1, WIDTH) and np.isnan(looks.embeddings).all()
    kept = no_data / "cache" / "looks"
    with monkeypatch.context() as patch:
        patch.setattr(extract, "HandTracker", lambda attempts: pytest.fail("looked for again"))
        track(letters, progress=False)
    photos[0, 0, 0, 0] ^= 1
    track(letters, progress=False)
    assert len(list(kept.iterdir())) == 2
    monkeypatch.setattr("asllib.hands.look.version", lambda name: f"{name} 9.9")
    track(letters, progress=False)
    assert len(list(kept.iterdir())) == 3
    with pytest.raises(InputError, match="grey images of 28x28 pixels"):
        track(letter_set(["A"]))


def test_large_images_make_small_chunks(monkeypatch):
    monkeypatch.setattr(extract, "HandTracker", lambda attempts: SimpleNamespace(detect=lambda image: None))
    large = np.zeros((1000, 1000, 3), np.uint8)
    parts = list(iter_landmarks([large] * 6 + pictures(70), progress=False))
    assert [len(part) for part in parts] == [2, 2, 64, 8]  # 8 MiB, or 64 images, a chunk


def test_a_photo_that_is_none_is_named():
    with pytest.raises(InputError, match=r"g\.jpg is float64"):
        extract_landmarks([np.zeros((4, 4, 3))], files=["g.jpg"], progress=False)


def test_real_hands_come_back_as_the_tracker_found_them(photos, read_photo, tmp_path):
    rows = photos[(photos["source"] == "t32rahman")].groupby("label").head(1).head(6)
    images = [read_photo(path) for path in rows["path"]]
    table = extract_landmarks(images, list(rows["file"]), list(rows["label"]), progress=False)
    assert (table["score"] > 0).all() and (table["side"] == "right").mean() > 0.8
    hand = HandTracker().detect(images[0])
    np.testing.assert_allclose(table.loc[0, "x0":"z20"].to_numpy(float).reshape(21, 3), hand.landmarks, atol=1e-5)
    np.testing.assert_allclose(table.loc[0, "wx0":"wz20"].to_numpy(float).reshape(21, 3), hand.world, atol=1e-5)
    write_landmarks(table, tmp_path / "hands.csv")
    pd.testing.assert_frame_equal(read_landmarks(tmp_path / "hands.csv"), table)
