"""The cell's own page in a real browser with a fake camera, and a made-up kernel: what no server is needed for."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.slow

PAGE = "http://localhost/"  # where browsers give their camera, though nobody listens
KERNEL = """async () => {
  const state = {
    text: "HEL", words: ["HELP"], settings: { model: "spelling", confidence: 0.5, hold_s: 0.05 },
    models: [["spelling", "spelling"], ["gone", "gone"]],
    sign: "A", kept: 0, of: 9, signs: [["A", 0]], passed: [], folder: "mine", left: 0, hint: "",
  };
  const kernel = (window.kernel = { state, sent: [], answers: {} });
  const model = {
    get: () => false,
    on: (_, hear) => (kernel.hear = hear),
    off() {},
    send(message) {
      kernel.sent.push(message);
      const reading = { type: "reading", hand: null, letter: null, confidence: 0, status: "No letter yet.", ms: 1 };
      const usual = { ...(message.type === "frame" ? reading : { type: "state" }), ...state };
      if (message.what === "choose") Object.assign(usual, { text: `${message.word} `, words: (state.words = []) });
      const { view, id } = message;
      setTimeout(() => kernel.hear({ ...usual, view, id, ...kernel.answers[message.type] }, []), 5);
    },
  };
  const { default: cell } = await import("/cell.js");
  kernel.end = cell.render({ model, el: document.getElementById("cell") });
}"""


@pytest.fixture
def expect():
    return pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install 'asllib[test]'").expect


@pytest.fixture
def cell(browser, film):
    """Maker of a page with a cell, by the name of its script."""
    from asllib.live.widget import STATIC, _bundle

    def make(name: str):
        page = browser(film).new_page()
        style = (STATIC / "live.css").read_text()
        html = f'<!DOCTYPE html><style>{style}</style><div id="cell"></div><input id="elsewhere">'
        script = _bundle(name)
        page.route(f"{PAGE}**", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.route(f"{PAGE}cell.js", lambda route: route.fulfill(body=script, content_type="text/javascript"))
        page.goto(PAGE)
        page.evaluate(KERNEL)
        page.locator('.asl[data-state="off"]').wait_for()  # the kernel has answered
        return page

    return make


@pytest.fixture
def running(cell, expect):
    """Maker of such a page whose camera is on, started by the keyboard."""

    def make(name: str):
        page = cell(name)
        page.get_by_role("button", name="Start").press("Enter")
        expect(page.locator(".asl")).to_have_attribute("data-state", "running")
        expect(page.locator(".asl-stage")).to_have_attribute("data-frames", re.compile("."))
        return page

    return make


@pytest.mark.parametrize("name", ["reader.js", "recorder.js"])
def test_who_starts_by_the_keyboard_is_at_the_picture(running, expect, name):
    expect(running(name).locator(".asl-stage")).to_be_focused()


@pytest.mark.parametrize("name", ["reader.js", "recorder.js"])
def test_who_has_gone_elsewhere_is_left_there(cell, expect, name):
    page = cell(name)
    page.evaluate("() => (kernel.answers.hello = { id: null })")  # Start waits for its answer
    page.get_by_role("button", name="Start").click()
    page.locator("#elsewhere").focus()
    page.evaluate("() => kernel.hear({ type: 'state', ...kernel.state, ...kernel.sent.at(-1) }, [])")
    expect(page.locator(".asl")).to_have_attribute("data-state", "running")
    page.wait_for_timeout(200)
    expect(page.locator("#elsewhere")).to_be_focused()


@pytest.mark.parametrize("how", ["click", "Enter", "1"])
def test_who_has_chosen_a_word_is_at_the_picture(running, expect, how):
    page = running("reader.js")
    word = page.locator(".asl-word").first
    expect(word).to_have_text("HELP")
    if how == "click":
        word.click()
    else:
        word.press(how)
    expect(word).to_be_disabled()
    expect(page.locator(".asl-stage")).to_be_focused()


def test_nothing_can_be_pressed_before_the_kernel_answers(browser, cell, expect):
    page = cell("reader.js")
    expect(page.locator(".asl-status")).to_have_text("Press Start and show a letter.")
    page.evaluate("() => { kernel.end(); document.getElementById('cell').replaceChildren(); }")
    page.evaluate(KERNEL.replace("}, []), 5)", "}, []), 2000)"))
    expect(page.locator(".asl-status")).to_have_text("Waiting for the kernel.")
    for name in ("Start", "Stop", "Space", "Copy", "Speak"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    expect(page.get_by_label("Model")).to_be_disabled()
    expect(page.locator(".asl-word:visible")).to_have_count(0)
    expect(page.get_by_role("button", name="Start")).to_be_enabled(timeout=5000)
    expect(page.locator(".asl-word:visible")).to_have_text(["HELP"])


def test_a_cameras_error_stands_in_the_picture(running, expect):
    page = running("reader.js")
    page.locator("video").evaluate("(v) => v.srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator(".asl-off")).to_have_text("The camera is gone: plug it in and press Start.")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".asl-off")).to_be_hidden()


def test_the_text_is_copied_and_spoken_and_the_alphabet_is_a_click_away(cell, expect):
    page = cell("reader.js")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.locator(".asl-status")).to_have_text("The text is copied.")
    assert page.evaluate("() => navigator.clipboard.readText()") == "HEL"
    page.evaluate("() => { window.said = []; speechSynthesis.speak = (speech) => said.push(speech.text); }")
    page.get_by_role("button", name="Speak").click()
    assert page.evaluate("() => said") == ["hel"]
    expect(page.locator("h2")).to_have_count(1)
    chart = page.get_by_role("img", name="Each letter by a right and a left hand")
    expect(chart).to_be_hidden()
    page.get_by_text("The alphabet").click()
    expect(chart).to_be_visible()
    assert chart.evaluate("(image) => image.naturalWidth") > 500


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_of_its_own_follows_the_colours_of_the_system(cell, scheme):
    page = cell("reader.js")
    page.evaluate("() => document.body.setAttribute('data-voila', 'voila')")
    page.emulate_media(color_scheme=scheme)
    assert (light_of(page, "body", "backgroundColor") < 100) == (scheme == "dark")
    assert (light_of(page, ".asl", "color") > 150) == (scheme == "dark")


def light_of(page, selector: str, name: str) -> float:
    color = page.locator(selector).evaluate("(element, name) => getComputedStyle(element)[name]", name)
    red, green, blue, alpha = ([float(part) for part in re.findall(r"[\d.]+", color)] + [1.0])[:4]
    return (red + green + blue) / 3 if alpha else 255


CAMERAS = """(names) => {
  const devices = names.map((name) => ({ kind: "videoinput", deviceId: name, label: name }));
  navigator.mediaDevices.enumerateDevices = async () => devices;
}"""
CHANGED = "() => void navigator.mediaDevices.dispatchEvent(new Event('devicechange'))"


@pytest.mark.parametrize("name", ["reader.js", "recorder.js"])
def test_a_camera_that_is_plugged_in_can_be_chosen(cell, expect, name):
    page = cell(name)
    options = page.get_by_label("Camera", exact=True).locator("option")
    expect(options).to_have_count(1)  # the fake one
    page.evaluate(CAMERAS, ["old", "new"])
    page.evaluate(CHANGED)
    expect(options).to_have_text(["old", "new"])
    page.evaluate("() => kernel.end()")
    page.evaluate(CAMERAS, ["newest"])
    page.evaluate(CHANGED)
    page.wait_for_timeout(200)
    expect(options).to_have_text(["old", "new"])  # nothing is left that listens


@pytest.mark.parametrize("name", ["reader.js", "recorder.js"])
def test_a_camera_that_was_replaced_is_listed_when_the_picture_goes_off(running, expect, name):
    page = running(name)
    options = page.get_by_label("Camera", exact=True).locator("option")
    page.evaluate(CAMERAS, ["new"])
    page.locator("video").evaluate("(v) => v.srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator(".asl")).to_have_attribute("data-state", "off")
    expect(options).to_have_text(["new"])


def test_a_refused_model_is_told_for_a_while_and_does_not_stay_chosen(running, expect):
    page = running("reader.js")
    page.evaluate("() => (kernel.answers.settings = { type: 'error', message: 'gone: no such network' })")
    page.get_by_label("Model").select_option("gone")
    status = page.locator(".asl-status")
    expect(status).to_have_text("gone: no such network")
    page.wait_for_timeout(1500)
    expect(status).to_have_text("gone: no such network")
    expect(page.get_by_label("Model")).to_have_value("spelling")
    expect(status).to_have_text("No letter yet.")  # the frames went on


def test_the_picture_goes_on_when_the_cell_is_moved_in_the_page(running):
    page = running("reader.js")
    page.evaluate("() => { const all = document.getElementById('cell'); all.remove(); window.all = all; }")
    page.wait_for_timeout(300)
    page.evaluate("() => document.body.prepend(window.all)")
    page.wait_for_timeout(300)
    times = []
    for _ in range(2):
        times.append(page.locator("video").evaluate("(video) => video.currentTime"))
        page.wait_for_timeout(500)
    assert times[1] - times[0] > 0.3
    page.get_by_role("button", name="Stop").click()
    page.wait_for_timeout(300)
    assert page.locator("video").evaluate("(video) => video.srcObject === null")
