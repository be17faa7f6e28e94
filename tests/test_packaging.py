import ast
import importlib
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
SOURCES = sorted((ROOT / "asllib").rglob("*.py"))
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


def test_the_conda_environment_is_python_and_pip_with_this_package():
    lines = [line.split("#")[0].rstrip() for line in (ROOT / "environment.yml").read_text().splitlines()]
    items = [line.strip()[2:] for line in lines[lines.index("dependencies:") + 1 :] if line.strip().startswith("- ")]
    python, rest = items[0], items[1:]
    assert rest == ["pip", "pip:", "-c constraints.txt", "-e .[notebooks,test]"]
    version = re.fullmatch(r"python ?[>=]+(\d+\.\d+)", python)[1]
    assert f">={version}" == PROJECT["requires-python"]
    assert {"notebooks", "test"} <= PROJECT["optional-dependencies"].keys()


def test_constraints_pin_every_dependency_exactly():
    wanted = {name_of(line) for line in requirements()}
    assert wanted - pins().keys() == set()
    for line in pins().values():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[^\s=]+", line), line


def test_torch_is_pinned_in_both_places():
    assert "torch==2.13.0" in PROJECT["dependencies"]
    assert pins()["torch"] == "torch==2.13.0"


def test_pins_are_within_what_pyproject_allows():
    from packaging.requirements import Requirement
    from packaging.version import Version

    for line in requirements():
        requirement = Requirement(line)
        version = Version(pins()[name_of(line)].partition("==")[2])
        assert version in requirement.specifier, line


def test_pyproject_is_the_only_dependency_list():
    for name in ("requirements.txt", "setup.py", "setup.cfg", "Pipfile", "requirements-dev.txt"):
        assert not (ROOT / name).exists()


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
    assert {name for name in loaded if name.startswith("asllib")} == {"asllib"}


def test_the_command_line_opens_without_the_heavy_packages():
    assert not loaded_by("import asllib.cli") & (HEAVY - {"numpy", "pandas"})


def test_loading_data_needs_no_tracker_and_no_plots():
    assert not loaded_by("import asllib; asllib.load_letters") & {"mediapipe", "matplotlib", "warp", "anny", "torch"}


def test_a_worker_that_finds_hands_loads_no_networks():
    assert not loaded_by("from asllib.hands import extract; from asllib.data import letterset") & {"torch", "sklearn"}


def test_the_public_names_are_there():
    for name in asllib.__all__:
        assert getattr(asllib, name) is not None
    assert set(dir(asllib)) == set(asllib.__all__)
    assert {"load_letters", "load_recognizer", "LetterSet", "Prediction", "InputError"} <= set(asllib.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = asllib.nonsense
    assert asllib.__version__ == PROJECT["version"]


def public_definitions(tree: ast.AST, prefix: str = ""):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_public_name_has_a_docstring(source):
    tree = ast.parse(source.read_text())
    assert ast.get_docstring(tree)
    assert [name for name, node in public_definitions(tree) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_loaded_in_a_way_that_runs_code(source):
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"} & set(names)
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        name = ast.unparse(node.func)
        assert name not in ("eval", "exec", "pd.read_pickle", "os.system")
        if name == "torch.load":
            assert given.get("weights_only") == "True"
        if name == "np.load":
            assert given.get("allow_pickle", "False") == "False"
        assert given.get("shell", "False") == "False"


def test_declared_commands_and_modules_exist():
    for target in PROJECT["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
