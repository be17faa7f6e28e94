"""Files that take their place at once, and folders that variables name."""

import os

import pytest

from asllib.errors import InputError
from asllib.paths import data_dir, replacing, write_text


@pytest.fixture
def flushed(monkeypatch):
    """Bytes of each file that reached the disk, and whether ``names`` were there at that moment; flushes it still."""
    seen, names, fsync = [], [], os.fsync

    def watch(number):
        seen.append((os.fstat(number).st_size, [path.exists() for path in names]))
        fsync(number)

    monkeypatch.setattr(os, "fsync", watch)
    return seen, names


def test_the_content_is_on_the_disk_before_the_name_stands_for_it(flushed, tmp_path):
    seen, names = flushed
    names.append(tmp_path / "below" / "card.json")
    write_text(names[0], "{}" * 500)
    assert seen == [(1000, [False])] and names[0].stat().st_size == 1000
    assert list(names[0].parent.iterdir()) == names


def test_so_is_every_file_of_a_folder(flushed, tmp_path):
    seen, names = flushed
    names.append(tmp_path / "set")
    with replacing(names[0]) as unfinished:
        (unfinished / "A").mkdir(parents=True)
        for size in (1, 2, 3):
            (unfinished / "A" / f"{size}.jpg").write_bytes(bytes(size))
    assert sorted(seen) == [(size, [False]) for size in (1, 2, 3)]
    assert len(list((names[0] / "A").iterdir())) == 3


@pytest.mark.parametrize("folder", [False, True])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, folder):
    (tmp_path / "file").write_text("earlier")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "file") as temporary:
        (temporary.mkdir if folder else temporary.touch)()
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == [tmp_path / "file"] and (tmp_path / "file").read_text() == "earlier"


def test_a_data_folder_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("ASLLIB_DATA", str(tmp_path))
    assert data_dir() == tmp_path
    monkeypatch.setenv("ASLLIB_DATA", str(tmp_path / "none"))
    with pytest.raises(InputError, match="no such folder"):
        data_dir()
