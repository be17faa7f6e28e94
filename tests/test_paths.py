"""Files that take their place at once, folders that variables name, and what is kept in the cache."""

import ast
import os
import re
from pathlib import Path

import numpy as np
import pytest

import asllib
from asllib.errors import InputError
from asllib.paths import cache_dir, code_version, data_dir, digest, kept, load, replacing, write_text


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


# Functions that write other than below `with replacing(..)`, and why that leaves no half a file under its name.
ELSEWHERE = {
    "cli.py _flush": "/dev/null",
    "paths.py replacing": "opens what is written, to wait for it",
    "train/loop.py save_state": "into memory",
    "live/server.py launch_browser": "a name of its own in a folder of its own, for this run alone",
    "data/drawn.py write": "a name of kept's replacing",
    "data/sign_mnist.py _read": "a name of kept's replacing",
    "train/films.py _write": "a name of kept's replacing",
}
WRITERS = {"write_bytes", "write_text", "touch", "to_parquet", "savefig", "imwrite", "VideoWriter", "ParquetWriter"}
INTO = {"to_csv", "save", "savez", "tofile", "copy", "copyfile", "copy2"}  # they write if they are given a place


def writes(call: ast.Call) -> bool:
    """Whether a call opens a file to write it."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "open" and has_mode(call)
    if not isinstance(call.func, ast.Attribute):
        return has_mode(call)
    name, of = call.func.attr, ast.unparse(call.func.value)
    if name == "open":
        return of == "os" or has_mode(call)
    return name in WRITERS or (name in INTO and bool(call.args) and of not in ("self", "safetensors.torch"))


def has_mode(call: ast.Call) -> bool:
    given = [*call.args, *(word.value for word in call.keywords)]
    return any(isinstance(a, ast.Constant) and re.fullmatch("[waxrbt]*[wax+][waxrbt+]*", str(a.value)) for a in given)


def written_elsewhere(node: ast.AST, function: str = "") -> set[str]:
    """Functions below a node that write a file outside of ``with replacing(..)``."""
    found = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.With) and any("replacing(" in ast.unparse(item) for item in child.items):
            continue
        if isinstance(child, ast.Call) and writes(child):
            found.add(function)
        found |= written_elsewhere(child, child.name if isinstance(child, ast.FunctionDef) else function)
    return found


def test_files_are_written_under_temporary_names_alone():
    package = Path(asllib.__file__).parent
    found = {
        f"{path.relative_to(package).as_posix()} {function}"
        for path in package.rglob("*.py")
        for function in written_elsewhere(ast.parse(path.read_text()))
    }
    assert found == ELSEWHERE.keys()


@pytest.mark.parametrize(
    "line",
    [
        "p.open('w')",
        "open(p, 'ab')",
        "p.open(mode='r+')",
        "p.write_text('')",
        "t.to_csv(p)",
        "np.save(p, a)",
        "os.open(p, 1)",
    ],
)
def test_a_file_that_is_written_otherwise_would_be_seen(line):
    assert written_elsewhere(ast.parse(f"def f(p):\n    {line}")) == {"f"}
    assert not written_elsewhere(ast.parse(f"def f(p):\n    with replacing(p) as q:\n        {line}"))
    for harmless in ("p.open('rb')", "open(p)", "t.to_csv()", "a.copy()", "write_text(p, '')"):
        assert not written_elsewhere(ast.parse(f"def f(p):\n    {harmless}"))


def test_what_is_not_of_the_disk_is_not_called_so(tmp_path):
    for error in (OSError("libGLESv2.so.2: cannot open shared object file"), TimeoutError()):
        with pytest.raises(type(error)) as caught, replacing(tmp_path / "file"):
            raise error
        assert caught.value is error and not list(tmp_path.iterdir())


def test_the_cache_may_be_named_by_a_home_folder(monkeypatch):
    monkeypatch.setenv("ASLLIB_CACHE", "~/some")
    assert cache_dir() == Path.home() / "some"


def test_the_data_may_be_named_by_a_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("USERPROFILE" if os.name == "nt" else "HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("ASLLIB_DATA", "~/data")
    assert data_dir() == (tmp_path / "data").resolve()


def text_writer(text):
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
    assert kept(path, text_writer("7"), number) == 7
    assert kept(path, lambda path: pytest.fail("made again"), number) == 7
    path.write_text("seven")
    assert load(path, number) is None and kept(path, text_writer("8"), number) == 8
    assert [other.name for other in path.parent.iterdir()] == ["number"]


def test_what_cannot_be_written_is_told_unless_another_process_was_first(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        kept(tmp_path / "file" / "number", text_writer("7"), number)

    def late(temporary):
        (tmp_path / "number").write_text("9")
        raise InputError("no room")

    assert kept(tmp_path / "number", late, number) == 9
