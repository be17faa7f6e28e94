"""Measure how time and memory grow with the work, and what a million photos and a thousand hours of video would take.

    python benchmarks/scale.py
    python benchmarks/scale.py --long "photos, 2 processes" "video, 1 process"    # 100,000 photos, an hour of video

The second measures these alone, for 10 and 15 minutes, and keeps the rest of the result.

Each measurement is a process of its own, so that its peak of memory is its own. Processor time is measured beside the
clock: on a machine that does other work too, it is the truer cost of an item. The photos are those of the data folder
(``ASLLIB_DATA``), else the synthetic signer's; they are repeated where there are not enough. Results go to
``data/results/scale.json`` and ``figures/growth.png``; what they mean is in ``benchmarks/SCALE.md``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (1, 4, 16, 64)
FPS = 30
# Name: items at 1x, the sizes, processes, and what an item is.
SERIES = {
    "photos, 1 process": (32, SIZES, 1, "photo"),
    "the same photos, 1 process": (64, SIZES, 1, "photo"),
    "photos, 2 processes": (32, SIZES, 2, "photo"),
    "photos, all but the tracker": (250, SIZES, 1, "photo"),
    "landmark table": (1000, SIZES, 1, "row"),
    "video, 1 process": (5 * FPS, SIZES, 1, "frame"),
    "two videos, 2 processes": (10 * FPS, SIZES, 2, "frame"),
}

LONG = {"photos, 2 processes": 100_000, "video, 1 process": 3600 * FPS}


def photos(count: int, workers: int, folder: Path, tracker: bool = True, different: bool = True) -> float:
    """Seconds to extract ``count`` photos into a Parquet file, as ``asl extract`` does; or 64 again and again."""
    from types import SimpleNamespace

    from asllib import load_letters
    from asllib.data import PhotoFiles
    from asllib.hands import extract, iter_landmarks, write_landmarks

    if not tracker:
        extract.HandTracker = lambda attempts: SimpleNamespace(detect=lambda image: None)
    known = load_letters("auto").images
    some = count if different else 64
    places = np.arange(count) % some * len(known) // some if some < len(known) else np.arange(count) % len(known)
    images = PhotoFiles(known.root, tuple(known.files[i] for i in places))
    started = time.perf_counter()
    chunks = folder / "chunks" if different else None  # what is stored would not be done again
    parts = iter_landmarks(images, workers=workers, checkpoint=chunks, progress=False)
    write_landmarks(parts, folder / "landmarks.parquet")
    return time.perf_counter() - started


def table(count: int, folder: Path) -> float:
    """Seconds to write a landmark table and read it back."""
    import pandas as pd

    from asllib.hands import landmark_columns, read_landmarks, write_landmarks

    values = np.random.default_rng(0).random((count, 127), np.float32)
    names = pd.DataFrame({"file": [f"{i}.jpg" for i in range(count)], "label": "A", "side": "right"})
    rows = pd.concat([names, pd.DataFrame(values, columns=landmark_columns()[3:])], axis=1)
    started = time.perf_counter()
    write_landmarks(rows, folder / "landmarks.parquet")
    read_landmarks(folder / "landmarks.parquet")
    return time.perf_counter() - started


def video(count: int, workers: int, folder: Path) -> float:
    """Seconds to read films of together ``count`` frames, one a process."""
    from asllib.read import read_text

    films = [film(folder / f"{k}.mp4", count // workers) for k in range(workers)]
    started = time.perf_counter()
    if workers == 1:
        read_text(films[0])
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            list(pool.map(read_text, films))
    return time.perf_counter() - started


def draw_frames(path: str) -> None:
    """Draw a word of the synthetic signer, (F, 240, 320, 3), and save it."""
    from asllib.signer import render_word

    np.save(path, render_word("WORLD", letters_per_second=2.0).frames)


def film(path: Path, count: int) -> Path:
    """Write the frames of that word over and over, ``count`` in all."""
    import cv2

    frames = np.load(os.environ["SCALE_FRAMES"])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (320, 240))
    for k in range(count):
        writer.write(np.ascontiguousarray(frames[k % len(frames), ..., ::-1]))
    writer.release()
    return path


def one(name: str, count: int) -> dict[str, float]:
    """Measure one size of one series, in this process."""
    workers = SERIES[name][2]
    before = _cpu()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if "photos" in name:
            seconds = photos(count, workers, place, "but" not in name, "same" not in name)
        elif name == "landmark table":
            seconds = table(count, place)
        else:
            seconds = video(count, workers, place)
    peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = _cpu() - before
    return {
        "items": count,
        "seconds": seconds,
        "cpu_s": cpu,
        "peak_mb": peaks[0],
        "worker_peak_mb": peaks[1] if workers > 1 else 0,
    }


def _cpu() -> float:
    """Seconds of processor time of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def fitted(rows: list[dict[str, float]]) -> dict[str, float]:
    """Exponents of the log-log fits, and the least-squares lines: items a second, bytes of memory an item."""
    keys = ("items", "seconds", "cpu_s", "peak_mb")
    items, seconds, cpu, peak = (np.array([row[key] for row in rows], float) for key in keys)
    values = {
        "time_exponent": np.polyfit(np.log(items), np.log(seconds), 1)[0],
        "cpu_exponent": np.polyfit(np.log(items), np.log(cpu), 1)[0],
        "memory_exponent": np.polyfit(np.log(items), np.log(peak), 1)[0],
        "items_per_second": (items[-1] - items[0]) / (seconds[-1] - seconds[0]),
        "cpu_ms_per_item": 1000 * np.polyfit(items, cpu, 1)[0],
        "bytes_per_item": 2**20 * np.polyfit(items, peak, 1)[0],
        "base_mb": np.polyfit(items, peak, 1)[1],
    }
    return {name: float(value) for name, value in values.items()}


def measure(name: str, count: int) -> dict[str, float]:
    """Measure one size of one series, in a process of its own."""
    command = [sys.executable, __file__, "--one", name, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}, {SERIES[name][3]}s:", {key: round(value, 1) for key, value in row.items()}, flush=True)
    return row


def growth() -> dict:
    """Measure every series, and what follows for large work."""
    out: dict = {"cores": os.cpu_count(), "load": [os.getloadavg()[0]], "series": {}}
    series = out["series"]
    for name, (base, sizes, _, unit) in SERIES.items():
        rows = [measure(name, base * size) for size in sizes]
        found = fitted(rows)
        series[name] = {"unit": unit, "rows": rows, **found}
        print("  ", {key: round(value, 2) for key, value in found.items()}, flush=True)
    out["load"].append(os.getloadavg()[0])
    # What a core that does nothing else needs, from processor time; and as measured, beside other work.
    one_photo, one_frame = (series[f"{what}, 1 process"] for what in ("photos", "video"))
    out["core_hours_for_a_million_photos"] = 1e6 * one_photo["cpu_ms_per_item"] / 1000 / 3600
    out["core_hours_for_a_thousand_hours_of_video"] = 1000 * FPS * one_frame["cpu_ms_per_item"] / 1000
    out["hours_for_a_million_photos_as_measured"] = {
        name: 1e6 / series[f"photos, {name}"]["items_per_second"] / 3600 for name in ("1 process", "2 processes")
    }
    out["hours_for_a_thousand_hours_of_video_as_measured"] = {
        "1 process": 1000 * FPS / one_frame["items_per_second"],
        "2 processes": 1000 * FPS / series["two videos, 2 processes"]["items_per_second"],
    }
    return out


def growth_curves(series: Mapping[str, Mapping[str, Any]], caption: str) -> Figure:
    """Draw processor time and peak memory against the work, on logarithmic axes."""
    from matplotlib.figure import Figure

    from asllib.plots import COLORS, MARKERS

    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (name, one) in enumerate(series.items()):
        items = [row["items"] for row in one["rows"]]
        style = {"color": COLORS[number], "linestyle": "-" if number < 4 else "--", "marker": MARKERS[number]}
        left.loglog(items, [row["cpu_s"] for row in one["rows"]], label=name, markersize=10 - number, **style)
        memory = [max(row["peak_mb"], row["worker_peak_mb"]) for row in one["rows"]]
        right.loglog(items, memory, label=name, markersize=10 - number, **style)
    (low, high), start = left.get_xlim(), left.get_ylim()[0]
    left.plot([low, high], [start, start * high / low], color="0.6", ls=":", label="twice the work, twice the time")
    left.set(xlabel="photos, rows or frames", ylabel="processor time, s")
    right.set(xlabel="photos, rows or frames", ylabel="peak memory of the largest process, MB", ylim=(50, 5000))
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.12), ncols=2, fontsize=9, frameon=False)
    figure.supxlabel(caption, fontsize=9, color="0.4")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, metavar=("SERIES", "ITEMS"), help="measure this alone; print it as JSON")
    parser.add_argument("--long", nargs="+", choices=LONG, default=[], help="measure this alone at length")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], int(options.one[1]))))
        return

    from asllib.paths import results_dir

    stored = results_dir() / "scale.json"
    kept = json.loads(stored.read_text()) if stored.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCALE_FRAMES"] = f"{folder}/frames.npy"
        # This process stays small: a new one's peak of memory begins with that of the one that starts it.
        drawing = multiprocessing.get_context("spawn").Process(target=draw_frames, args=(os.environ["SCALE_FRAMES"],))
        drawing.start()
        drawing.join()
        if options.long:
            out = kept | {"long": kept.get("long", {}) | {name: measure(name, LONG[name]) for name in options.long}}
        else:
            out = growth() | {"long": kept.get("long", {})}
    for name in ("core_hours_for_a_million_photos", "core_hours_for_a_thousand_hours_of_video"):
        print(f"{name}: {out[name]:.1f}")
    from asllib import load_letters
    from asllib.results import save_figure, save_result

    data = load_letters("auto")
    print(save_result("scale", out, data))
    caption = f"{out['cores']} cores; photos: {data.name}; films: the synthetic signer's"
    print(save_figure(growth_curves(out["series"], caption), "growth", data.synthetic))


if __name__ == "__main__":
    main()
