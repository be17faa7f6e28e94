import numpy as np
import pytest

from asllib.cache import code_version, digest, kept, load
from asllib.errors import InputError


def write(text):
    return lambda path: path.write_text(text)


def number(path):
    return int(path.read_text())


def test_the_hash_is_of_settings_and_of_what_data_holds(tmp_path):
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    keys = [digest("a", image), digest("b", image), digest("a", image.T), digest("a", image[:1], image[1:])]
    keys += [digest("a"), digest("a", b"12"), digest("a", b"1", b"2")]
    assert len(set(keys)) == len(keys) and all(len(key) == 40 for key in keys)
    assert digest("a", image) == digest("a", np.asfortranarray(image.copy()))
    (tmp_path / "code.py").write_text("1")
    before = code_version(tmp_path / "code.py")
    (tmp_path / "code.py").write_text("2")
    assert before != code_version(tmp_path / "code.py") and len(before) == 8


def test_a_file_is_made_once_and_a_broken_one_again(tmp_path):
    path = tmp_path / "below" / "number"
    assert load(path, number) is None
    assert kept(path, write("7"), number) == 7
    assert kept(path, lambda path: pytest.fail("made again"), number) == 7
    path.write_text("seven")
    assert load(path, number) is None and kept(path, write("8"), number) == 8
    assert [other.name for other in path.parent.iterdir()] == ["number"]


def test_what_cannot_be_written_is_told_unless_another_process_was_first(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        kept(tmp_path / "file" / "number", write("7"), number)

    def late(temporary):
        (tmp_path / "number").write_text("9")
        raise InputError("no room")

    assert kept(tmp_path / "number", late, number) == 9
