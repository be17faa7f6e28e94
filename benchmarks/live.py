"""Measure the live cell: the time of a frame on the server, our part of it, memory over many frames, and the browser.

python benchmarks/live.py [FILM] [--frames 54000]

Every frame goes the browser's way: JPEG bytes of 320 pixels in, the answer out. FILM is by default a word of the
synthetic signer. 54,000 frames are 30 minutes at 30 frames a second; after so many the end-to-end test is run for the
frames a second that JupyterLab and Chromium reach on the same cores, and all goes to ``data/results/live.json``
(``synthetic/live.json`` without a FILM). A floor that is missed is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import psutil
import torch
from machine import machine

from asllib.data.letterset import COLUMNS, LetterSet
from asllib.hands import HandTracker
from asllib.live.session import ReadingSession
from asllib.read import reader as reading
from asllib.results import save_result

HALF_AN_HOUR = 54_000  # frames
# On two cores that do nothing else.
MOST = {"server_ms": 33.0, "own_ms": 3.0, "memory_mb": 20.0}  # 95th percentiles of the times
LEAST = {"browser_frames_a_second": 20.0}


def jpegs(film: Path | None) -> list[bytes]:
    """At most 300 frames as the browser sends them."""
    if film is None:
        from asllib.signer import render_word

        frames = list(render_word("WORLD", letters_per_second=1.0).frames)
    else:
        from asllib.read.video import iter_frames

        frames = [frame for _, frame in itertools.islice(iter_frames(film), 300)]
    result = []
    for frame in frames:
        frame = cv2.resize(frame, (320, round(320 * frame.shape[0] / frame.shape[1])), interpolation=cv2.INTER_AREA)
        result.append(cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return result


class TimedTracker(HandTracker):
    """The tracker, with the time that its last call took."""

    ms = cpu = 0.0

    def detect(self, *arguments):
        """As always, and timed."""
        started, cpu = time.perf_counter(), time.thread_time()
        hand = super().detect(*arguments)
        TimedTracker.ms = 1000 * (time.perf_counter() - started)
        TimedTracker.cpu = 1000 * (time.thread_time() - cpu)
        return hand


def measure(film: list[bytes], frames: int, model: str | None = None) -> dict[str, Any]:
    """Send so many frames of a film, over and over; times in ms are median and 95th percentile."""
    reading.HandTracker = TimedTracker
    session = ReadingSession(model=model)
    session.warm()
    session.answer({"type": "start", "view": "v", "time": 0.0})
    process = psutil.Process()
    total, own, own_cpu, found, base = [], [], [], 0, 0
    warm_up = min(500, frames // 2)
    for i, jpeg in enumerate(itertools.islice(itertools.cycle(film), frames)):
        started, cpu = time.perf_counter(), time.thread_time()
        reply, _ = session.answer({"type": "frame", "view": "v", "id": i, "time": i / 30}, [jpeg])
        took, busy = 1000 * (time.perf_counter() - started), 1000 * (time.thread_time() - cpu)
        assert reply["type"] == "reading", reply
        found += reply["hand"] is not None
        if i >= warm_up:
            total.append(took)
            own.append(took - TimedTracker.ms)
            own_cpu.append(busy - TimedTracker.cpu)
        elif i == warm_up - 1:
            gc.collect()
            base = process.memory_info().rss
        if i and i % 6000 == 0:
            print(f"  {i} frames: {(process.memory_info().rss - base) / 2**20:+.1f} MB", flush=True)
    gc.collect()
    grown = (process.memory_info().rss - base) / 2**20
    session.close()
    reading.HandTracker = HandTracker
    # The last counts no time that another program took; a busy machine does not change it much.
    times = {"server_ms": total, "own_ms": own, "own_cpu_ms": own_cpu}
    spread = {
        name: dict(zip(("median", "p95"), np.percentile(ms, [50, 95]), strict=True)) for name, ms in times.items()
    }
    return {"model": session.model, "frames": frames, "hand_found": found / frames, **spread, "memory_mb": grown}


def in_browser() -> dict[str, int] | None:
    """What the page says in the end-to-end test of JupyterLab; None without a Chromium, or if the test fails."""
    root = Path(__file__).resolve().parents[1]
    test = "tests/e2e/test_lab.py::test_a_word_is_read_while_a_cell_is_busy_and_the_camera_goes_off"
    run = subprocess.run([sys.executable, "-m", "pytest", "-s", "-q", test], cwd=root, capture_output=True, text=True)
    return page_numbers(run.stdout) if run.returncode == 0 else None


def page_numbers(text: str) -> dict[str, int] | None:
    """The numbers of the line below the live cell."""
    found = re.search(r"(\d+) frames a second · delay (\d+) ms \((\d+) ms of it reading\) · (\d+) lost", text)
    names = ("browser_frames_a_second", "browser_delay_ms", "browser_reading_ms", "browser_lost")
    return None if found is None else dict(zip(names, map(int, found.groups()), strict=True))


def missed(values: dict[str, Any]) -> list[str]:
    """The floors that are not reached, as lines of text; what was not measured is not reached."""
    got = {name: value["p95"] if isinstance(value, dict) else value for name, value in values.items()}
    lines = [f"{name}: {got[name]:.1f}, at most {most:g}" for name, most in MOST.items() if got[name] > most]
    return lines + [f"{k}: {got.get(k)}, at least {least:g}" for k, least in LEAST.items() if got.get(k, 0) < least]


def film_set(film: list[bytes], path: Path | None) -> LetterSet:
    """The frames as a set, for the hash in the result."""
    frames = np.stack([cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB) for jpeg in film])
    name = "WORLD" if path is None else path.name
    table = pd.DataFrame({column: name for column in COLUMNS}, index=range(len(frames)))
    return LetterSet(f"film {name}", table, frames, synthetic=path is None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--model")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as the live cell does
    film = jpegs(options.film)
    before = machine()
    values = measure(film, options.frames, options.model)
    for name, what in (("server", "server, a frame"), ("own", "ours, above the tracker"), ("own_cpu", "ours, busy")):
        ms = values[f"{name}_ms"]
        print(f"{what}: median {ms['median']:.1f} ms, 95th percentile {ms['p95']:.1f} ms")
    print(f"hand in {values['hand_found']:.0%}; memory since the first frames: {values['memory_mb']:+.1f} MB")
    if options.frames < HALF_AN_HOUR:  # too few for a result
        return
    values.update(in_browser() or {})
    print({name: value for name, value in values.items() if name.startswith("browser")} or "no numbers of a browser")
    print(save_result("live", {"machine": before, **values}, film_set(film, options.film)))
    lines = missed(values)
    print(*(f"MISSED: {line}" for line in lines), sep="\n")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
