import gzip
import hashlib
import os

import numpy as np
import pytest

from asllib.data import sign_mnist
from asllib.data.registry import load_letters
from asllib.data.sign_mnist import find_sign_mnist, load_sign_mnist, write_pixel_csv
from asllib.errors import InputError
from asllib.letters import STATIC

LABELS = np.array([n for n in range(25) if n != 9])


@pytest.fixture
def folder(tmp_path, rng):
    folder = tmp_path / "anywhere"
    folder.mkdir()
    write_pixel_csv(folder / "sign_mnist_train.csv", rng.integers(0, 256, (48, 28, 28), np.uint8), LABELS.repeat(2))
    write_pixel_csv(folder / "sign_mnist_test.csv.gz", rng.integers(0, 256, (24, 28, 28), np.uint8), LABELS)
    return folder


def test_both_files_become_one_set_of_24_classes(folder):
    letters = load_sign_mnist(folder)
    assert letters.images.shape == (72, 28, 28) and letters.images.dtype == np.uint8
    assert (letters.table["split"] == "train").sum() == 48 and (letters.table["split"] == "test").sum() == 24
    assert letters.labels().tolist() == [*np.arange(24).repeat(2), *range(24)]
    assert letters.table["original"].is_unique
    assert not letters.synthetic and set(letters.table["source"]) == {"sign-mnist"}
    assert letters.table["file"][0] == "sign_mnist_train.csv:1"
    assert load_letters(str(folder)).sha256() == letters.sha256()


def test_the_hash_changes_with_an_image_and_with_a_label(folder):
    letters = load_sign_mnist(folder)
    before = letters.sha256()
    letters.images[0, 0, 0] ^= 1
    assert letters.sha256() != before
    letters.images[0, 0, 0] ^= 1
    assert letters.sha256() == before
    letters.table.loc[0, "label"] = "B"
    assert letters.sha256() != before


def test_one_file_alone_is_refused(folder):
    (folder / "sign_mnist_test.csv.gz").unlink()
    with pytest.raises(InputError, match=r"sign_mnist_test\.csv is missing"):
        load_sign_mnist(folder)


def test_a_damaged_file_is_named(folder):
    path = folder / "sign_mnist_test.csv.gz"
    path.write_bytes(gzip.compress(b"label,pixel1\n1,2\n"))
    with pytest.raises(InputError, match=r"sign_mnist_test\.csv\.gz: column pixel2 is missing \(783 in all\)"):
        load_sign_mnist(folder)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder; returns the stored pixels in it."""
    monkeypatch.setenv("ASLLIB_CACHE", str(tmp_path / "cache"))
    return lambda: sorted((tmp_path / "cache").rglob("*"))


def test_what_was_read_is_kept_and_not_parsed_again(folder, cache, monkeypatch):
    first = load_sign_mnist(folder)
    stored = [path for path in cache() if path.is_file()]
    assert [path.suffix for path in stored] == [".npy", ".npy"]
    monkeypatch.setattr(sign_mnist, "read_pixel_rows", lambda path: pytest.fail("read again"))
    again = load_sign_mnist(folder)
    np.testing.assert_array_equal(first.images, again.images)
    assert first.table.equals(again.table) and first.sha256() == again.sha256()


def test_a_changed_file_is_read_anew(folder, cache):
    before = load_sign_mnist(folder)
    path = folder / "sign_mnist_train.csv"
    content = path.read_bytes()
    status = path.stat()
    last = content[-2:-1]
    path.write_bytes(content[:-2] + (b"1" if last == b"0" else b"0") + b"\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # of the same size and time
    after = load_sign_mnist(folder)
    assert np.argwhere(before.images != after.images).tolist() == [[47, 27, 27]]


@pytest.mark.parametrize("damage", ["cut", "empty", "no array"])
def test_a_damaged_cache_is_made_again(folder, cache, damage):
    good = load_sign_mnist(folder)
    for path in (path for path in cache() if path.is_file()):
        path.write_bytes({"cut": path.read_bytes()[:-5], "empty": b"", "no array": b"x" * 100}[damage])
    assert load_sign_mnist(folder).sha256() == good.sha256()
    assert sorted(len(np.load(path)) for path in cache() if path.is_file()) == [24, 48]


def test_a_cache_that_cannot_be_written_does_no_harm(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASLLIB_CACHE", str(tmp_path / "file"))
    assert len(load_sign_mnist(folder)) == 72


def test_two_gzip_parts_in_one_file_are_both_read(folder, cache):
    path = folder / "sign_mnist_test.csv.gz"
    rows = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(rows[:13])) + gzip.compress(b"".join(rows[13:])))
    assert len(load_sign_mnist(folder)) == 72


@pytest.mark.parametrize("place", ["data", "data/sign-mnist", "cache/sign-mnist"])
def test_the_files_are_found_in_the_data_folder_and_the_cache(folder, no_data, place):
    assert find_sign_mnist() is None
    (no_data / place).mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.rename(no_data / place / path.name)
    assert find_sign_mnist() == (no_data / place).resolve()
    assert len(load_letters("sign-mnist")) == 72


def test_a_download_with_the_line_ends_of_windows_is_the_same_set(no_data, tmp_path, monkeypatch):
    content = b"label,pixel1\n0,0\n"
    monkeypatch.setattr(sign_mnist, "SHA256", {"train": hashlib.sha256(content).hexdigest()})
    (tmp_path / "download.csv").write_bytes(content.replace(b"\n", b"\r\n"))
    monkeypatch.setattr("kagglehub.dataset_download", lambda name, path, force_download: tmp_path / "download.csv")
    stored = sign_mnist.fetch_sign_mnist() / "sign_mnist_train.csv.gz"
    assert gzip.decompress(stored.read_bytes()) == content


def test_the_official_files_have_their_known_size(real_data):
    letters = load_sign_mnist(real_data / "sign-mnist")
    split = letters.table["split"].value_counts()
    assert split["train"] == 27_455 and split["test"] == 7_172
    assert sorted(set(letters.letters)) == list(STATIC)
    assert letters.images.min() == 0 and letters.images.max() == 255
    assert letters.images.mean() == pytest.approx(159.7, abs=1)
