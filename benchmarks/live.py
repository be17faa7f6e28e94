"""Measure the live cell's server side: time a frame, our part of it, and memory over many frames.

python benchmarks/live.py [FILM] [--frames 54000]

Every frame goes the browser's way: JPEG bytes of 320 pixels in, the answer out. FILM is by default a word of the
synthetic signer. 54,000 frames are 30 minutes at 30 frames a second.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch

from asllib.hands import HandTracker
from asllib.live.session import ReadingSession
from asllib.spelling import reading


def jpegs(film: Path | None) -> list[bytes]:
    """At most 300 frames as the browser sends them."""
    if film is None:
        from asllib.signer import render_word

        frames = list(render_word("WORLD", letters_per_second=1.0).frames)
    else:
        from asllib.video import iter_frames

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    film = jpegs(options.film)
    reading.HandTracker = TimedTracker
    session = ReadingSession(model=options.model)
    session.answer({"type": "start", "view": "v", "time": 0.0})
    process = psutil.Process()
    total, own, own_cpu, found, base = [], [], [], 0, 0
    warm_up = min(500, options.frames // 2)
    for i, jpeg in enumerate(itertools.islice(itertools.cycle(film), options.frames)):
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
    # The last counts no time that another program took; a busy machine does not change it much.
    rows = {"server, a frame": total, "ours, above the tracker": own, "ours, time on the processor": own_cpu}
    for name, values in rows.items():
        low, high = np.percentile(values, [50, 95])
        print(f"{name}: median {low:.1f} ms, 95th percentile {high:.1f} ms")
    print(f"hand in {found / options.frames:.0%}; memory since frame {warm_up} of {options.frames}: {grown:+.1f} MB")
    session.close()


if __name__ == "__main__":
    main()
