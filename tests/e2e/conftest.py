"""A real browser with a fake camera, and the two servers that notebooks are seen through."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "only-for-this-test"
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream"
).split()


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(command: list[str], url: str, folder: Path, log: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run a server in a folder until its page answers, then end it; its log is shown if it does not start."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
        try:
            deadline = time.monotonic() + 120
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(url, timeout=5).close()
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the server does not start:\n{log.read_text()}")
                time.sleep(0.3)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def notebook(tmp_path):
    """Maker of a notebook from the sources of its cells; returns its path, in a folder of its own."""

    def make(*cells: str) -> Path:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        folder = tmp_path / "book"
        folder.mkdir()
        nbformat.write(book, folder / "live.ipynb")
        return folder / "live.ipynb"

    return make


@pytest.fixture
def lab(tmp_path, free_port):
    """Maker of a JupyterLab on a loopback port, with a token; gives the address of a notebook in it."""
    with contextlib.ExitStack() as running:

        def start(book: Path, *options: str) -> str:
            settings = tmp_path / "settings"
            settings.mkdir()
            overrides = {
                "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
                "@jupyterlab/apputils-extension:themes": {"adaptive-theme": True},
                "@jupyterlab/notebook-extension:tracker": {
                    "windowingMode": "none"
                },  # else only what is in view is there
            }
            (settings / "overrides.json").write_text(json.dumps(overrides))
            command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
            command += [f"--ServerApp.port={free_port}", f"--IdentityProvider.token={TOKEN}"]
            command += ["--LabApp.expose_app_in_browser=True", f"--LabApp.app_settings_dir={settings}", *options]
            home = f"http://127.0.0.1:{free_port}"
            state = {"JUPYTERLAB_WORKSPACES_DIR": str(tmp_path), "JUPYTERLAB_SETTINGS_DIR": str(tmp_path)}
            up = f"{home}/api/status?token={TOKEN}"
            running.enter_context(server(command, up, book.parent, tmp_path / "lab.log", state))
            return f"{home}/lab/tree/{book.name}?token={TOKEN}"

        yield start


@pytest.fixture
def serve(tmp_path):
    """Starter of another server in a folder, by its command; gives the address that must answer."""
    with contextlib.ExitStack() as running:

        def start(command: list[str], url: str, folder: Path) -> str:
            return running.enter_context(server(command, url, folder, tmp_path / "server.log", {}))

        yield start


@pytest.fixture
def browser():
    """Maker of a browser whose camera shows a film, or that has no camera, or refuses it."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: 'apt-get install chromium' brings it")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install 'asllib[test]'")
    with contextlib.ExitStack() as running:
        engine = running.enter_context(playwright.sync_playwright())

        def launch(film: Path | None, *flags: str, allow: bool = True):
            options = [*FLAGS, *flags]
            if allow:
                options.append("--use-fake-ui-for-media-stream")
            if film is None:
                options.remove("--use-fake-device-for-media-stream")
            else:
                # The browser opens no path with ".." in it.
                options.append(f"--use-file-for-fake-video-capture={film.resolve()}")
            started = engine.chromium.launch(
                executable_path=CHROMIUM, ignore_default_args=["--headless", "--headless=old"], args=options
            )
            running.callback(started.close)
            return started

        yield launch


@pytest.fixture(scope="session")
def film(tmp_path_factory) -> Path:
    """A film of a synthetic signer who spells WORLD; browsers play it in a loop. One of those that are read right."""
    from asllib.signer import render_word, write_video

    word = render_word("WORLD", signer=0, letters_per_second=1.5, size=(320, 240))
    return write_video(tmp_path_factory.mktemp("film") / "world.mjpeg", word.frames)


@pytest.fixture(scope="session")
def spelled(film) -> str:
    """What the library reads in that film, without a browser."""
    from asllib.live.session import ReadingSession

    session = ReadingSession(film)
    session.answer({"type": "start"})
    while session.answer({"type": "frame"})[0]["type"] == "reading":
        pass
    session.close()
    return session.text.strip()


class Lab:
    """A notebook that is open in JupyterLab."""

    def __init__(self, page) -> None:
        self.page = page
        self.live = page.locator(".asl")

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.connect()

    def connect(self) -> None:
        """Wait for the kernel: a request to run that is sent before its websocket is open would be lost."""
        self.page.wait_for_function(
            """() => {
              const kernel = window.jupyterapp?.shell?.currentWidget?.context?.sessionContext?.session?.kernel;
              return kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle';
            }""",
            timeout=90_000,
        )
        self.page.evaluate("() => jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.info")

    def start(self) -> None:
        self.live.get_by_role("button", name="Start").click()

    def stop(self) -> None:
        """Press Stop and wait for what the frames that were still on their way change in the text."""
        self.live.get_by_role("button", name="Stop").click()
        before = None
        while before != self.text():
            before = self.text()
            self.page.wait_for_timeout(1000)

    def frames(self) -> int:
        """How many frames were answered."""
        return int(self.live.locator(".asl-stage").get_attribute("data-frames") or 0)

    def wait_for_frames(self, more: int = 10, seconds: float = 30) -> None:
        """Wait until so many more frames were answered."""
        target = self.frames() + more
        deadline = time.monotonic() + seconds
        while self.frames() < target:
            assert time.monotonic() < deadline, f"{self.frames()} frames, {target} wanted: {self.status()}"
            self.page.wait_for_timeout(100)

    def status(self) -> str:
        return self.live.locator(".asl-status").inner_text()

    def camera_is_on(self) -> bool:
        return self.live.locator("video").evaluate("(video) => Boolean(video.srcObject?.active)")

    def command(self, name: str) -> None:
        self.page.evaluate("(name) => { jupyterapp.commands.execute(name); }", name)

    def run_all(self) -> None:
        self.command("notebook:run-all-cells")

    def run_last(self) -> None:
        """Run the last cell."""
        self.page.evaluate(
            """() => {
              const panel = jupyterapp.shell.currentWidget;
              panel.content.activeCellIndex = panel.content.widgets.length - 1;
              jupyterapp.commands.execute('notebook:run-cell');
            }"""
        )

    def text(self) -> str:
        return self.live.locator(".asl-text").inner_text()


@pytest.fixture
def open_lab(notebook, lab, browser):
    """Maker of a notebook of the given cells, open in JupyterLab in a browser whose camera shows a film."""

    def make(film: Path | None, *cells: str, flags: tuple[str, ...] = (), allow: bool = True, **context) -> Lab:
        url = lab(notebook(*cells))
        page = browser(film, *flags, allow=allow).new_context(**context).new_page()
        opened = Lab(page)
        opened.open(url)
        return opened

    return make
