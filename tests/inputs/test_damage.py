"""What the other tests of this folder share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import counting
import pytest

TESTS = Path(__file__).resolve().parents[1]

# Two tests of two files, so that two processes have counts to put together.
TRYING = """
from damage import outcome
from asllib.errors import InputError

def refuse(path):
    raise InputError(f"{{path}}: not this one")

def test_some():
    outcome("photo", "a.png", {photo}, "a.png")
    for name in {results}:
        outcome("result", name, refuse, name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("processes", [["-p", "no:xdist"], ["-n", "2"]], ids=["alone", "in parallel"])
def test_the_count_of_inputs_is_printed(tmp_path, processes):
    (tmp_path / "test_one.py").write_text(TRYING.format(photo="refuse", results="'abc'"))
    (tmp_path / "test_two.py").write_text(TRYING.format(photo="str", results="'d'"))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    dist = ["--dist", "loadfile"] if "-n" in processes else []
    path = os.pathsep.join(map(str, (TESTS.parent, TESTS, TESTS / "inputs")))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "counting", *processes, *dist, tmp_path],
        capture_output=True, text=True, timeout=300, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:]
    assert "= 6 inputs tried =" in run.stdout
    lines = run.stdout.splitlines()
    for line in ("photo: 1 read, 1 refused", "result: 0 read, 4 refused"):
        assert line in lines


@pytest.mark.parametrize("hook", ["pytest_sessionfinish", "pytest_terminal_summary", "pytest_testnodedown"])
def test_every_run_counts(pytestconfig, hook):
    if hook == "pytest_testnodedown" and not pytestconfig.pluginmanager.hasplugin("xdist"):
        pytest.skip("one process")
    used = [one.function for one in getattr(pytestconfig.hook, hook).get_hookimpls()]
    assert used.count(getattr(counting, hook)) == 1
