import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import cv2
import pytest

import asllib

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]


def name_of(requirement: str) -> str:
    """Package name of a requirement or a pin, as the index writes it."""
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


def requirements() -> list[str]:
    """What the package needs, all extras included, but for the extras that name others of its own."""
    lines = [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]
    return [line for line in lines if name_of(line) != PROJECT["name"]]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {name_of(line): line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")}


def test_constraints_pin_what_pyproject_allows():
    from packaging.requirements import Requirement
    from packaging.version import Version

    for line in requirements():
        version = Version(pins()[name_of(line)].partition("==")[2])
        assert version in Requirement(line).specifier, line


def package_files() -> set[Path]:
    """What lies in the package's folder, but for what Python and its tools leave there."""
    files = (path for path in (ROOT / "asllib").rglob("*") if path.is_file())
    return {path for path in files if "__pycache__" not in path.parts and not path.name.startswith(".")}


def test_package_data_names_every_file_that_is_not_python():
    patterns = SETTINGS["tool"]["setuptools"]["package-data"]["asllib"]
    named = [{path for path in (ROOT / "asllib").glob(pattern) if path.is_file()} for pattern in patterns]
    assert all(named)
    assert set().union(*named) == {path for path in package_files() if path.suffix != ".py"}


@pytest.mark.slow
def test_a_wheel_is_enough(tmp_path):
    """It has every file, and its command reads a photo and a film where are no checkout, no data and no screen."""
    from asllib.signer import render_letters, render_word, write_video

    pytest.importorskip("setuptools", minversion="77", reason="no setuptools 77 here to build with")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "asllib", tmp_path / "asllib", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    build = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", build, "."], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    built = done.stdout.splitlines()[-1]
    with zipfile.ZipFile(tmp_path / built) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert names == {path.relative_to(ROOT).as_posix() for path in package_files()}
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--target", tmp_path / "installed", tmp_path / built], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (tmp_path / "empty").mkdir()
    cv2.imwrite(str(tmp_path / "v.png"), render_letters("V", signers=1, views=1).images[0][..., ::-1])
    write_video(tmp_path / "asl.mp4", render_word("ASL", signer=1, fps=15).frames, fps=15)
    environment = {name: value for name, value in os.environ.items() if name not in ("ASLLIB_DATA", "DISPLAY")}
    environment |= {"PYTHONPATH": str(tmp_path / "installed"), "ASLLIB_CACHE": str(tmp_path / "cache")}

    def run(*command) -> str:
        done = subprocess.run(
            command, cwd=tmp_path / "empty", env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    where = "import asllib; from asllib.paths import data_dir; print(asllib.__file__, data_dir())"
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    assert run(sys.executable, "-c", where).split() == [str(installed / "asllib" / "__init__.py"), str(empty / "data")]
    command = installed / "bin" / "asl"
    assert re.fullmatch(rf"{tmp_path}/v\.png: V \(\d+%\)\n", run(command, "predict", tmp_path / "v.png"))
    assert run(command, "read", tmp_path / "asl.mp4").splitlines()[0] == "ASL"
    assert not list(empty.iterdir())


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"torch", "mediapipe", "matplotlib", "pandas", "cv2", "sklearn", "numpy", "warp", "anny"}


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_by("import asllib")
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("asllib")} == {"asllib", "asllib.errors", "asllib.lazy"}


def test_the_command_line_opens_without_the_heavy_packages():
    assert not loaded_by("import asllib.cli") & (HEAVY - {"numpy", "pandas"})


@pytest.mark.slow
def test_loading_data_needs_no_tracker_and_no_plots():
    assert not loaded_by("import asllib; asllib.load_letters") & {"mediapipe", "matplotlib", "warp", "anny", "torch"}


@pytest.mark.slow
def test_a_worker_that_finds_hands_loads_no_networks():
    assert not loaded_by("from asllib.hands import extract; from asllib.data import letterset") & {"torch", "sklearn"}


def test_the_public_names_are_there():
    for name in asllib.__all__:
        assert getattr(asllib, name) is not None
    assert set(dir(asllib)) == set(asllib.__all__)
    assert {"load_letters", "load_recognizer", "LetterSet", "Prediction", "InputError"} <= set(asllib.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = asllib.nonsense


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize(("user", "said"), [(0, True), (1000, False)])
def test_the_lab_opens_for_root_too(tmp_path, monkeypatch, user, said):
    """JupyterLab refuses root unless it is told."""
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {user}\n")
    (tmp_path / "id").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    shown = subprocess.run(["make", "-n", "-C", ROOT, "lab"], capture_output=True, text=True, check=True).stdout
    assert ("--allow-root" in shown) == said and "jupyter lab notebooks" in shown
