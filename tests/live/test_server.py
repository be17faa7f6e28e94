"""`asl live` before its page is up: what it refuses, in one line."""

from __future__ import annotations

import socket

import pytest
from typer.testing import CliRunner

from asllib.cli import app
from asllib.errors import InputError


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model", "no/such/run"], "no/such/run: neither a shipped model"),
        (["none.mp4"], "none.mp4: no such video"),
    ],
)
def test_a_bad_choice_is_refused(arguments, message):
    run = CliRunner().invoke(app, ["live", "--no-browser", *arguments])
    assert isinstance(run.exception, InputError) and message in str(run.exception)


def test_a_port_in_use_is_told():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        run = CliRunner().invoke(app, ["live", "--no-browser", "--port", str(port)])
    assert isinstance(run.exception, InputError) and f"port {port}: " in str(run.exception)
