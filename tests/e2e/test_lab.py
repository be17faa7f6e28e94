"""The live cell in JupyterLab, in a real browser with a fake camera."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.slow

CELL = "from asllib.live import LiveReader\nlive = LiveReader()\nlive"


def test_a_rendered_word_is_read(open_lab, hello):
    playwright = pytest.importorskip("playwright.sync_api")
    expect = playwright.expect
    lab = open_lab(hello, CELL)
    lab.run_all()
    expect(lab.live).to_be_visible(timeout=60_000)
    lab.live.get_by_role("button", name="Start").click()
    expect(lab.live.locator(".asl-text")).to_contain_text("HELLO", timeout=40_000)
    numbers = lab.live.locator(".asl-numbers").inner_text()
    assert float(re.match(r"(\d+) frames a second", numbers)[1]) >= 5, numbers
    lab.live.get_by_role("button", name="Stop").click()
    expect(lab.live).to_have_attribute("data-state", "off")
    assert lab.page.evaluate("() => document.querySelector('.asl video').srcObject") is None
