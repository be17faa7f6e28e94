"""The live cell in JupyterLab, in a real browser with a fake camera."""

from __future__ import annotations

import os
import re
import signal

import pytest

pytestmark = pytest.mark.slow

CELL = "from asllib.live import LiveReader\nlive = LiveReader()\nlive"
TWO = "other = LiveReader()\nother"
BUSY = "import time\ntime.sleep(24)\nprint('woke', 'up')"
TEXT = "print('kernel', 'read', live.text)"


@pytest.fixture
def expect():
    return pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install 'asllib[test]'").expect


def shown(lab, expect):
    """Run all cells and wait for the live cell."""
    lab.run_all()
    expect(lab.live.first).to_be_visible(timeout=60_000)


def test_a_word_is_read_while_a_cell_is_busy_and_the_camera_goes_off(open_lab, film, spelled, expect):
    lab = open_lab(film, CELL, BUSY, TEXT)
    shown(lab, expect)
    lab.start()
    lab.wait_for_frames(20, seconds=24)
    assert lab.page.get_by_text("woke up").count() == 0  # frames went by while the cell sleeps
    expect(lab.live.locator(".asl-text")).to_contain_text(spelled, timeout=90_000)
    assert lab.text().startswith(spelled[0]), lab.text()  # the camera went on when the kernel was ready to read
    assert lab.camera_is_on()
    numbers = lab.live.locator(".asl-numbers").inner_text()
    print(numbers)  # `pytest -s` shows what this machine reaches
    assert float(re.match(r"(\d+) frames a second", numbers)[1]) >= 5, numbers

    lab.live.get_by_role("button", name="Stop").click()
    expect(lab.live).to_have_attribute("data-state", "off")
    assert not lab.camera_is_on()
    assert lab.status() == "Stopped; the camera is off."
    text = lab.text()
    lab.page.get_by_text("woke up").wait_for(timeout=60_000)
    lab.run_last()
    lab.page.get_by_text(f"kernel read {text}").wait_for(timeout=30_000)


def test_keys_edit_the_text_and_the_page_keeps_its_shortcuts(open_lab, film, expect):
    lab = open_lab(film, CELL)
    shown(lab, expect)
    word = lab.live.locator(".asl-word").first
    for _ in range(3):  # a text that ends with a space, or with no beginning of a word, has no suggestion
        lab.start()
        expect(word).to_be_enabled(timeout=60_000)
        lab.stop()
        if word.is_enabled():
            break
    text = lab.text()
    lab.live.locator(".asl-text").focus()
    expect(word).to_be_enabled()
    words, chosen = text.rpartition(" ")[0], word.inner_text()
    lab.page.keyboard.press("1")
    text = f"{words} {chosen}".lstrip()
    expect(lab.live.locator(".asl-text")).to_have_text(f"{text} ")
    for key, becomes in (("Backspace", text), (" ", text + " "), ("Backspace", text), ("Escape", "")):
        lab.page.keyboard.press(key)
        lab.page.wait_for_function(
            "(text) => document.querySelector('.asl-text').textContent === text", arg=becomes, timeout=5000
        )
    assert lab.page.locator(".jp-Cell").count() == 1

    lab.live.get_by_role("button", name="Flip").press("Enter")
    expect(lab.live.get_by_role("button", name="Flip")).to_have_attribute("aria-pressed", "true")
    expect(lab.live.locator(".asl-stage")).not_to_have_class(re.compile("asl-mirrored"))
    slider = lab.live.get_by_label("Confidence")
    percent = round(100 * float(slider.input_value()))
    slider.press("ArrowRight")
    expect(lab.live.locator("output").first).to_have_text(f"{percent + 1} %")
    assert lab.live.get_by_label("Model").input_value() == "spelling"


def test_what_goes_wrong_is_told_and_the_notebook_stays_usable(open_lab, film, expect):
    lab = open_lab(film, CELL)
    shown(lab, expect)
    lab.start()
    lab.wait_for_frames()

    # The camera is unplugged.
    lab.live.locator("video").evaluate("(v) => v.srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect(lab.live.locator(".asl-status")).to_have_text("The camera is gone: plug it in and press Start.")
    assert not lab.camera_is_on()
    lab.start()
    expect(lab.live.locator(".asl-text")).to_have_text(re.compile("."), timeout=40_000)
    lab.stop()
    text = lab.text()

    # The page is loaded anew: the text is still there, and Start goes on.
    lab.command("docmanager:save")
    lab.page.wait_for_timeout(1500)
    lab.page.reload()
    lab.connect()
    expect(lab.live).to_be_visible(timeout=30_000)
    lab.page.wait_for_function(
        "(text) => document.querySelector('.asl-text').innerText === text", arg=text, timeout=10_000
    )
    lab.start()
    lab.wait_for_frames()

    # The kernel dies: the camera goes off by itself.
    lab.page.evaluate("() => { jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart(); }")
    expect(lab.live).to_have_attribute("data-state", "off", timeout=20_000)
    assert "kernel" in lab.status() and not lab.camera_is_on()
    lab.connect()
    shown(lab, expect)
    lab.start()
    lab.wait_for_frames()

    # The cell's output is cleared: nothing is left of it.
    lab.page.evaluate("() => { window.track = document.querySelector('.asl video').srcObject.getTracks()[0]; }")
    lab.command("notebook:clear-all-cell-outputs")
    lab.page.wait_for_function("() => window.track.readyState === 'ended'", timeout=5000)


def test_a_kernel_that_is_killed_leaves_no_camera_on(open_lab, film, expect):
    lab = open_lab(film, CELL, "import os\nprint('kernel', 'number', os.getpid())")
    shown(lab, expect)
    line = lab.page.get_by_text(re.compile(r"^\s*kernel number \d+\s*$")).first
    line.wait_for(timeout=30_000)
    lab.start()
    lab.wait_for_frames()
    assert lab.camera_is_on()
    os.kill(int(line.inner_text().split()[-1]), signal.SIGKILL)
    expect(lab.live).to_have_attribute("data-state", "off", timeout=20_000)
    assert "kernel" in lab.status() and not lab.camera_is_on()
    expect(lab.live.get_by_role("button", name="Start")).to_be_enabled()


CONTRAST = """(element) => {
  const channels = (color) => {
    const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const over = (top, a, ground) => top.map((value, i) => a * value + (1 - a) * ground[i]);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.03928 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parents = [];
  for (let at = element; at; at = at.parentElement) parents.unshift(getComputedStyle(at));
  let ground = [255, 255, 255];
  for (const style of parents) {
    const { rgb, a } = channels(style.backgroundColor);
    ground = over(rgb, a, ground);
  }
  const { rgb, a } = channels(getComputedStyle(element).color);
  const shade = parents.reduce((product, style) => product * style.opacity, 1);
  const [dark, bright] = [light(over(rgb, a * shade, ground)), light(ground)].sort((x, y) => x - y);
  return [(bright + 0.05) / (dark + 0.05), light(ground)];
}"""


def test_a_wide_dark_page_can_be_read(open_lab, film, expect):
    lab = open_lab(film, CELL, viewport={"width": 1400, "height": 900}, color_scheme="dark")
    shown(lab, expect)
    expect(lab.page.locator("body")).to_have_attribute("data-jp-theme-light", "false", timeout=30_000)
    lab.start()
    expect(lab.live.locator(".asl-text")).to_have_text(re.compile("."), timeout=40_000)
    lab.stop()
    parts = {
        name: lab.live.locator(selector).first
        for name, selector in {
            "status": ".asl-status", "letter": ".asl-letter", "text": ".asl-text", "numbers": ".asl-numbers",
            "Start": ".asl-first", "Flip": ".asl-button[aria-pressed]", "label": ".asl-field label",
            "choice": ".asl-field select", "value": ".asl-field output", "camera is off": ".asl-off",
        }.items()
    }  # fmt: skip
    found = {name: part.evaluate(CONTRAST) for name, part in parts.items()}
    print({name: round(contrast, 1) for name, (contrast, _) in found.items()})
    assert min(contrast for contrast, _ in found.values()) >= 4.5, found
    assert found["status"][1] < 0.1  # the ground is dark
    picture, right = (lab.live.locator(half).bounding_box() for half in (".asl-left", ".asl-right"))
    assert picture["x"] + picture["width"] <= right["x"] and abs(picture["y"] - right["y"]) < 2  # side by side


def test_of_two_cells_the_later_one_reads(open_lab, film, expect):
    lab = open_lab(film, CELL)
    shown(lab, expect)
    lab.start()
    lab.wait_for_frames()
    lab.page.evaluate(
        """(source) => {
          const model = jupyterapp.shell.currentWidget.content.model.sharedModel;
          model.addCell({ cell_type: 'code', source });
        }""",
        TWO,
    )
    lab.run_last()
    first, second = lab.live.nth(0), lab.live.nth(1)
    expect(second).to_be_visible(timeout=30_000)
    expect(first.locator(".asl-status")).to_have_text("Another live cell took over; run this cell again to use it.")
    expect(first).to_have_attribute("data-state", "off")
    second.get_by_role("button", name="Start").click()
    expect(second.locator(".asl-stage")).to_have_attribute("data-frames", re.compile(r"\d\d"), timeout=20_000)
    first.get_by_role("button", name="Start").click()
    expect(first.locator(".asl-status")).to_have_text("Another live cell took over; run this cell again to use it.")
    expect(second).to_have_attribute("data-state", "running")


def test_without_a_camera(open_lab, expect):
    lab = open_lab(None, CELL)
    shown(lab, expect)
    lab.start()
    expect(lab.live.locator(".asl-status")).to_have_text(
        "No camera found: plug one in and press Start.", timeout=15_000
    )
    expect(lab.live.get_by_role("button", name="Start")).to_be_enabled()


def test_with_a_camera_that_is_refused(open_lab, film, expect):
    lab = open_lab(film, CELL, flags=("--deny-permission-prompts",), allow=False)
    shown(lab, expect)
    lab.start()
    expect(lab.live.locator(".asl-status")).to_have_text(re.compile("^Camera refused: allow it"), timeout=15_000)
    expect(lab.live.get_by_role("button", name="Start")).to_be_enabled()


def test_the_recorder_writes_a_folder(open_lab, film, expect, tmp_path):
    cell = (
        f"from asllib.live import SignRecorder\nrecorder = SignRecorder({str(tmp_path / 'mine')!r}, ['H', 'wave'], 3)\n"
    )
    lab = open_lab(film, cell + "recorder")
    shown(lab, expect)
    lab.start()
    expect(lab.live.locator(".asl-prompt")).to_have_text("All signs are recorded.", timeout=60_000)
    expect(lab.live).to_have_attribute("data-state", "off")
    from asllib.data import load_photos

    letters = load_photos(tmp_path / "mine")
    assert letters.table["label"].tolist() == ["H"] * 3 + ["wave"] * 3
    assert letters.images[0].shape == (240, 320, 3)
