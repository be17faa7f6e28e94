"""The JavaScript that switches the camera on and paces the frames, tested with node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import asllib.live

STATIC = Path(asllib.live.__file__).parent / "static"


def node(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    if shutil.which("node") is None:
        pytest.skip("no node here: 'apt-get install nodejs' brings it")
    return subprocess.run(["node", *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ["throttle", "stage"])
def test_the_camera(tmp_path, name):
    shutil.copy(STATIC / "camera.js", tmp_path / "camera.mjs")
    test = Path(__file__).parent / f"{name}.test.mjs"
    shutil.copy(test, tmp_path)
    run = node("--test", "--test-reporter=tap", test.name, folder=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    tests = test.read_text().count('\ntest("')
    assert tests > 3 and f"# pass {tests}" in run.stdout and "# fail 0" in run.stdout


@pytest.mark.parametrize("name", ["reader.js", "recorder.js"])
def test_the_bundle_is_one_module(tmp_path, name):
    from asllib.live.widget import _bundle

    (tmp_path / "bundle.mjs").write_text(_bundle(name))
    run = node("-e", "import('./bundle.mjs').then((m) => console.log(typeof m.default.render))", folder=tmp_path)
    assert run.stdout == "function\n", run.stderr
