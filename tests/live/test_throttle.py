"""The JavaScript that paces the frames, tested with node."""

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


def test_throttle(tmp_path):
    shutil.copy(STATIC / "camera.js", tmp_path / "camera.mjs")
    shutil.copy(Path(__file__).parent / "throttle.test.mjs", tmp_path)
    run = node("--test", "--test-reporter=tap", "throttle.test.mjs", folder=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "# pass 7" in run.stdout and "# fail 0" in run.stdout


@pytest.mark.parametrize("name", ["reader.js", "recorder.js"])
def test_the_bundle_is_one_module(tmp_path, name):
    from asllib.live.widget import _bundle

    (tmp_path / "bundle.mjs").write_text(_bundle(name))
    run = node("-e", "import('./bundle.mjs').then((m) => console.log(typeof m.default.render))", folder=tmp_path)
    assert run.stdout == "function\n", run.stderr
