"""`asl live` before its page is up: what it refuses, in one line."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asllib.cli import app
from asllib.errors import InputError


@pytest.fixture
def taken():
    """A port that something else listens on: no server starts, whatever is not refused."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield str(other.getsockname()[1])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model", "no/such/run"], "no/such/run: neither a shipped model"),
        (["--model", "motion"], "motion: a network for J, Z alone"),
        (["none.mp4"], "none.mp4: no such video"),
    ],
)
def test_a_bad_choice_is_refused(arguments, message, taken):
    run = CliRunner().invoke(app, ["live", "--no-browser", "--port", taken, *arguments])
    assert isinstance(run.exception, InputError) and message in str(run.exception)


def test_the_quick_connection_is_where_it_is_said_to_be_and_needs_no_voila():
    root = Path(__file__).parents[2]
    texts = [(root / name).read_text() for name in ("Makefile", "docs/live.md", "asllib/live/server.py")]
    named = {name for text in texts for name in re.findall(r"connection_class=(\S+?)[\"\s]", text + "\n")}
    assert named == {"asllib.live.connection.PromptConnection"}
    program = """
import sys
from tornado.util import import_object
from jupyter_server.services.kernels.connection.base import BaseKernelWebsocketConnection
found = import_object("asllib.live.connection.PromptConnection")
print(issubclass(found, BaseKernelWebsocketConnection), "voila" in sys.modules, "torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.stdout == "True False False\n", run.stderr


def test_a_port_in_use_is_told(taken):
    run = CliRunner().invoke(app, ["live", "--no-browser", "--port", taken])
    assert isinstance(run.exception, InputError) and f"port {taken}: " in str(run.exception)
