"""Every notebook in JupyterLab, and three in Voila: nothing that a page asks for is missing."""

from __future__ import annotations

import re
import shlex
import sys

import pytest

from asllib.paths import project_root

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((project_root() / "notebooks").glob("*.ipynb"))
IN_VOILA = [NOTEBOOKS[1], *NOTEBOOKS[6:8]]  # it runs what it shows; the others take minutes, and run as tests anyway


def complaints(page) -> list[str]:
    """A list that grows with what the page fails to load, and with the errors in its console."""
    found: list[str] = []

    def kernel_begins(url: str, status: int) -> bool:
        # Jupyter Server fails to list its kernels while one of them starts; the page asks again ten seconds later.
        return status == 500 and "/api/kernels?" in url

    def answered(got) -> None:
        if got.status >= 400 and not kernel_begins(got.url, got.status):
            found.append(f"{got.status} {got.request.method} {got.url}")

    def logged(said) -> None:
        begins = "status of 500" in said.text and kernel_begins(said.location["url"], 500)
        if said.type == "error" and not said.text.endswith(usual) and not begins:
            found.append(said.text)

    page.on("response", answered)
    # The page itself ends requests as it goes, JupyterLab asks for an attachment before it has put it in its place, and
    # Voila's own template takes its icons from another host, which a machine without a network does not reach.
    usual = ("net::ERR_ABORTED", "net::ERR_UNKNOWN_URL_SCHEME", "net::ERR_NAME_NOT_RESOLVED")
    page.on("requestfailed", lambda asked: asked.failure in usual or found.append(f"{asked.failure} {asked.url}"))
    page.on("console", logged)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def pictures_are_whole(page) -> bool:
    """Wait for the page's pictures; whether each of them can be shown."""
    page.wait_for_function("() => [...document.images].every((image) => image.complete)", timeout=30_000)
    return page.evaluate("() => [...document.images].every((image) => image.naturalWidth > 0)")


def test_jupyterlab_shows_every_notebook(lab, browser):
    (recipe,) = (line for line in (project_root() / "Makefile").read_text().splitlines() if "/jupyter lab" in line)
    url = lab(NOTEBOOKS[0], *(word for word in shlex.split(recipe) if word.startswith("--")))
    page = browser(None).new_page()
    found = complaints(page)
    page.goto(url, timeout=60_000)
    for book in NOTEBOOKS:
        page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.context?.isReady", timeout=60_000)
        page.evaluate(
            "async (path) => void (await jupyterapp.commands.execute('docmanager:open', { path }))", book.name
        )
        page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)").get_by_role("heading", level=1).wait_for(timeout=60_000)
        assert pictures_are_whole(page), book.name
    assert not found, found


@pytest.mark.parametrize("book", IN_VOILA, ids=lambda book: book.stem)
def test_voila_runs_and_shows_a_notebook(serve, free_port, browser, book):
    folder = NOTEBOOKS[0].parent
    command = [sys.executable, "-m", "voila", folder.name, "--no-browser", f"--port={free_port}"]
    command += ["--Voila.ip=127.0.0.1"]
    command += ["--Voila.kernel_websocket_connection_class=asllib.live.connection.PromptConnection"]
    url = serve(command, f"http://127.0.0.1:{free_port}/voila/static/voila.js", folder.parent)
    page = browser(None).new_page()
    found = complaints(page)
    page.goto(f"{url.partition('/static')[0]}/render/{book.name}", timeout=600_000)
    page.get_by_role("heading", name=re.compile("^What (it|this) means")).wait_for(timeout=60_000)
    assert page.get_by_text("Traceback (most recent call last)").count() == 0
    if book.stem == "07_live":
        page.locator(".asl").wait_for(timeout=60_000)
        assert page.locator("img").count() > 2
    assert pictures_are_whole(page)
    page.wait_for_timeout(1000)
    assert not found
