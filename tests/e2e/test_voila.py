"""The live cell as a page of its own: `asl live`, in a browser with a fake camera."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from itertools import pairwise

import PIL.Image
import PIL.ImageOps
import psutil
import pytest

from asllib.paths import figures_dir
from asllib.results import place

pytestmark = pytest.mark.slow


@pytest.fixture
def page_of(tmp_path, free_port):
    """Maker of a running `asl live`; gives the address that it prints."""
    running, said = [], tmp_path / "errors.txt"
    said.touch()  # a test that is skipped, for want of a browser, starts no page

    def start(*arguments: str) -> str:
        command = [sys.executable, "-m", "asllib.cli", "live", "--no-browser", "--port", str(free_port), *arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with said.open("wb") as errors:
            process = subprocess.Popen(
                command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            )
        running.append(process)
        line = process.stdout.readline().strip()
        assert re.fullmatch(rf"http://127\.0\.0\.1:{free_port}/\?token=\S{{22}}", line), line
        return line

    yield start
    # The kernel warns of its own that it is not encrypted, though only this machine can reach it.
    alarming = [line for line in said.read_text().splitlines() if not line.startswith("[IPKernelApp] WARNING")]
    for process in running:
        process.terminate()
        process.wait(timeout=20)
    assert alarming == []


def test_the_page_reads_a_word_and_wants_its_token(page_of, browser, film, spelled):
    from playwright.sync_api import expect

    url = page_of()
    page = browser(film).new_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto(url)
    live = page.locator(".asl")
    expect(live).to_be_visible(timeout=60_000)
    live.get_by_role("button", name="Start").click()
    expect(live.locator(".asl-text")).to_contain_text(spelled, timeout=90_000)
    print(live.locator(".asl-numbers").inner_text())  # `pytest -s` shows what this machine reaches
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390  # nothing is wider than a phone
    live.get_by_role("button", name="Stop").click()
    expect(live).to_have_attribute("data-state", "off")

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(NoRedirect).open(url.partition("?")[0], timeout=10)
    assert refused.value.code == 302 and "/login" in refused.value.headers["Location"]


@pytest.mark.parametrize(("name", "word"), [("hello", "HELLO"), ("quiz", "QUI")])  # its Z is held, hardly drawn
def test_a_real_hand_is_read(page_of, browser, real_data, name, word):
    from playwright.sync_api import expect

    page = browser(real_data / "video" / f"{name}.mjpeg").new_page()
    page.goto(page_of())
    live = page.locator(".asl")
    expect(live).to_be_visible(timeout=60_000)
    live.get_by_role("button", name="Start").click()
    expect(live.locator(".asl-text")).to_contain_text(word, timeout=60_000)  # the camera plays it again and again
    print(live.locator(".asl-text").inner_text(), live.locator(".asl-numbers").inner_text())
    live.get_by_role("button", name="Stop").click()
    expect(live).to_have_attribute("data-state", "off")  # no frame is on its way when the page closes


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def test_this_machines_film_is_shown_and_read_and_makes_the_notebooks_picture(page_of, browser, film, spelled):
    from playwright.sync_api import expect

    page = browser(None).new_context(viewport={"width": 1080, "height": 600}).new_page()
    page.goto(page_of(str(film)))
    live = page.locator(".asl")
    expect(live).to_be_visible(timeout=60_000)
    expect(live.get_by_role("button", name="Start")).to_be_enabled(timeout=60_000)
    pictures = []
    cast = page.context.new_cdp_session(page)

    def keep(shot):
        pictures.append((shot["metadata"]["timestamp"], base64.b64decode(shot["data"])))
        cast.send("Page.screencastFrameAck", {"sessionId": shot["sessionId"]})

    cast.on("Page.screencastFrame", keep)
    cast.send("Page.startScreencast", {"format": "png"})
    live.get_by_role("button", name="Start").click()
    expect(live.locator(".asl-stage")).to_have_attribute("data-frames", re.compile("."), timeout=30_000)
    expect(live).to_have_attribute("data-state", "off", timeout=60_000)
    page.wait_for_timeout(500)
    cast.send("Page.stopScreencast")
    assert live.locator(".asl-status").inner_text().startswith("The film is over")
    assert live.locator(".asl-text").inner_text().strip() == spelled
    assert page.evaluate("() => document.querySelector('.asl canvas.asl-picture').width") == 320
    assert len(pictures) > 10  # a busy machine takes few
    path = write_animation(place(figures_dir(), synthetic=True) / "live.webp", pictures, live.bounding_box())
    assert path.stat().st_size < 2_000_000


def kernels() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "ipykernel_launcher" in " ".join(p.cmdline())]


@pytest.mark.parametrize("how", ["reloaded", "closed"])
def test_a_page_that_goes_frees_its_kernel_and_a_new_one_keeps_its_own(page_of, browser, how):
    page = browser(None).new_context().new_page()
    page.goto(page_of(), timeout=60_000)
    page.locator(".asl").wait_for(timeout=60_000)
    (first,) = kernels()
    if how == "closed":
        page.close(run_before_unload=True)
    else:
        page.reload(wait_until="commit")
    gone, _ = psutil.wait_procs([first], timeout=28)  # sooner than idle kernels are ended
    assert gone
    if how == "reloaded":
        page.locator(".asl").wait_for(timeout=60_000)
        (second,) = kernels()
        assert second.is_running()


def write_animation(path, pictures, box):
    """Write a part of (seconds, PNG) pairs as an animated WebP, 720 wide, at their pace, at most 12.5 a second."""
    pictures = sorted(pictures, key=lambda picture: picture[0])  # a screencast may hand them over out of order
    chosen = pictures[:1]
    for picture in pictures[1:]:
        if picture[0] >= chosen[-1][0] + 0.08 or picture is pictures[-1]:
            chosen.append(picture)
    part = box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]
    images = [PIL.Image.open(io.BytesIO(data)).convert("RGB").crop(part) for _, data in chosen]
    images = [PIL.ImageOps.contain(image, (720, 720)) for image in images]
    durations = [round(1000 * (after - before)) for (before, _), (after, _) in pairwise(chosen)] + [2000]
    path.parent.mkdir(parents=True, exist_ok=True)
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=60, method=6)
    return path
