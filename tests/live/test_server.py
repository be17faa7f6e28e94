"""`asl live` before its page is up: what it refuses, in one line."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

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
        (["none.mp4"], "none.mp4: no such video"),
    ],
)
def test_a_bad_choice_is_refused(arguments, message, taken):
    run = CliRunner().invoke(app, ["live", "--no-browser", "--port", taken, *arguments])
    assert isinstance(run.exception, InputError) and message in str(run.exception)


def test_the_quick_connection_is_one_of_the_servers_and_needs_no_voila():
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


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """A browser that stores its arguments, the file that they name, and that file's mode; asks for what it stored."""
    stored = tmp_path / "stored"
    script = tmp_path / "browser"
    script.write_text(
        f"""#!{sys.executable}
import os, sys, urllib.parse, urllib.request
file = urllib.request.url2pathname(urllib.parse.urlparse(sys.argv[1]).path)
said = " ".join(sys.argv[1:]), f"{{os.stat(file).st_mode & 0o777:o}}", open(file).read()
with open({str(stored)!r} + ".part", "w") as out:
    out.write("\\n".join(said))
os.rename({str(stored)!r} + ".part", {str(stored)!r})
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(script))

    def wait() -> list[str]:
        deadline = time.monotonic() + 30
        while not stored.exists():
            assert time.monotonic() < deadline, "no browser was opened"
            time.sleep(0.05)
        return stored.read_text().split("\n", 2)

    return wait


@pytest.mark.skipif(os.name == "nt", reason="the browser is a script with a first line")
@pytest.mark.slow
def test_the_browser_is_sent_to_the_page_by_a_file_of_its_own(tmp_path, opened):
    program = f"""
import time
from asllib.live.server import Page
page = Page(port=8866, token="secret", notebook_path={str(tmp_path / "asl live.ipynb")!r})
page.launch_browser()
time.sleep(2)
"""
    process = subprocess.Popen([sys.executable, "-c", program])  # a process of its own: webbrowser asks BROWSER once
    link = "http://127.0.0.1:8866/?token=secret"
    arguments, mode, page = opened()
    process.kill()
    process.wait()
    assert arguments.startswith("file:") and "secret" not in arguments and mode == "600"
    assert re.findall(r'url=([^"]*)"|href="([^"]*)"', page) == [(link, ""), ("", link)]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the browser is a script with a first line")
def test_the_page_that_opens_wants_no_login(tmp_path, opened):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "asllib.cli", "live", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as live:
        try:
            printed = live.stdout.readline().strip()
            link = re.search(r'href="(.*?)"', opened()[2])[1]
            assert link == printed
            with urllib.request.urlopen(link, timeout=60) as page:
                assert page.status == 200 and "/login" not in page.url
        finally:
            live.terminate()
