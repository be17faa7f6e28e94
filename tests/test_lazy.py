"""Public names on first use, and what is said where the packages of an extra are missing."""

import subprocess
import sys

import pytest
from PIL import Image

from asllib.errors import InputError
from asllib.lazy import attach, extra


def test_names_are_imported_when_they_are_asked_for():
    find, listed, names = attach("asllib", {"letters": ("STATIC", "FIRST_SIX"), "nowhere": ("NOTHING",)})
    assert listed() == names == ["FIRST_SIX", "NOTHING", "STATIC"]
    assert find("FIRST_SIX") == tuple("ABCDEF")
    with pytest.raises(AttributeError, match="module 'asllib' has no attribute 'OTHER'"):
        find("OTHER")
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        find("NOTHING")


def test_a_missing_package_names_its_extra():
    with pytest.raises(InputError, match=r"package no_such_package is missing; run 'pip install \"asllib\[signer\]\"'"):
        with extra("signer"):
            import no_such_package  # noqa: F401
    with pytest.raises(ZeroDivisionError), extra("signer"):
        _ = 1 / 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "name", "arguments"),
    [
        ("onnxruntime", "export", ("export", "pixel")),
        ("voila", "live", ("live",)),
        ("nbclient", "notebooks", ("reproduce",)),
        ("warp", "signer", ("data", "render", "--out", "drawn")),
        ("anny", "signer", ("data", "render", "--out", "drawn")),
        ("kagglehub", "download", ("data", "fetch", "sign-mnist")),
        ("distributed", "cluster", ("extract", ".", "--out", "hands.csv", "--cluster", "tcp://127.0.0.1:1")),
    ],
)
@pytest.mark.usefixtures("no_data")
def test_a_command_without_its_extra_says_so_in_one_line(tmp_path, missing, name, arguments):
    (tmp_path / "A").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "A" / "1.png")
    code = f"import sys; sys.modules[{missing!r}] = None; from asllib.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"package {missing} is missing; run 'pip install \"asllib[{name}]\"'" in done.stderr.splitlines()[-1]
