"""What the other tests of this folder share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [[], ["-n", "2"]], ids=["alone", "in parallel"])
def test_the_count_of_inputs_is_printed(processes):
    """Two tests of two files, so that two processes have counts to put together."""
    tests = (
        "test_images.py::test_a_pipe_is_no_photo_and_is_not_waited_for",
        "test_runs.py::test_json_that_is_deep_or_long",
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *processes, "--dist", "loadfile", *(f"tests/inputs/{t}" for t in tests)],
        capture_output=True, text=True, timeout=300, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:]
    assert "= 6 inputs tried =" in run.stdout
    lines = run.stdout.splitlines()
    for line in ("photo: 0 read, 1 refused", "image folder: 0 read, 1 refused", "result: 0 read, 4 refused"):
        assert line in lines
