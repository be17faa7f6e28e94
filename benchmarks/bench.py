"""Measure asllib side by side with what one would write otherwise, and print how many times faster it is.

    python benchmarks/bench.py [--only training] [--only photos]

Both sides take turns, several times, so that other programs on the machine slow both; the medians are compared.
``benchmarks/README.md`` says what each row means. Results go to ``data/results/bench.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine

HERE = Path(__file__).resolve().parent
ASL = "import sys; sys.argv[0] = 'asl'; from asllib.cli import main; main()"  # as the command of that name does
Row = dict[str, Any]


def take_turns(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side, which take turns; every other round goes backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            started = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """The middle of each side's seconds."""
    return {name: statistics.median(values) for name, values in seconds.items()}


# Runs its arguments as a process, and says its seconds and its peak of memory. A process of its own, since a child that
# is started by a large process counts that one's memory as its own.
LAUNCH = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
code = subprocess.run([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL).returncode
seconds = time.perf_counter() - started
print(json.dumps([code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


def run_process(arguments: list[str]) -> tuple[float, float]:
    """Run Python with these arguments; return seconds, and gigabytes that it held at its peak."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-c", LAUNCH, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    code, seconds, peak = json.loads(done.stdout)
    if code:
        raise SystemExit(f"python {' '.join(arguments)}: ended with {code}")
    return seconds, peak / (2**30 if sys.platform == "darwin" else 2**20)  # bytes there, kilobytes elsewhere


@contextmanager
def empty_cache() -> Iterator[None]:
    """A cache folder with nothing in it."""
    before = os.environ.get("ASLLIB_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ASLLIB_CACHE"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["ASLLIB_CACHE"]
            else:
                os.environ["ASLLIB_CACHE"] = before


def bench_start(rounds: int = 9) -> list[Row]:
    """Start Python, import asllib, show the command's help."""
    sides = {
        "python -c pass": ["-c", "pass"],
        "import asllib": ["-c", "import asllib"],
        "asl --help": ["-c", ASL, "--help"],
    }
    for arguments in sides.values():  # compiles what is not compiled yet
        run_process(arguments)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, arguments in sides.items():
            times[name].append(run_process(arguments)[0])
    seconds = medians(times)
    nothing = seconds["python -c pass"]
    return [
        row(name, "python -c pass", seconds[name], nothing, "s", most=most)
        for name, most in (("import asllib", 0.3), ("asl --help", 0.5))
    ]


def bench_training(epochs: int | None = None, steps: int = 20, rounds: int = 5) -> list[Row]:
    """Train the pixel network of the preset "best" from start to end, and the same by a DataLoader for some steps."""
    import torch
    from baselines import loader, plain_network, train_by_loader

    from asllib.data import load_letters
    from asllib.networks import preset
    from asllib.train.loop import example_batches, for_pixels, train_one_epoch

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        data = load_letters("auto", pixels=True)
        name = "synthetic" if data.synthetic else "sign-mnist"
        command = ["train", "pixel", "--preset", "best", "--data", name, "--out", str(run)]
        seconds, peak = run_process(["-c", ASL, *command, *([] if epochs is None else ["--epochs", str(epochs)])])
        accuracy = json.loads((run / "card.json").read_text())["metrics"]["test_accuracy"]

    settings = preset("pixel", "best")
    examples = for_pixels(data.subset((data.table["split"] == "train").to_numpy()))
    some = examples.subset(torch.arange(min(len(examples), steps * settings.training.batch)))
    generator = torch.Generator().manual_seed(0)
    photos = loader(some, settings)
    (model, optimiser), theirs = our_network(settings, examples), plain_network(settings)
    rate = torch.optim.lr_scheduler.ConstantLR(optimiser, 1.0)
    batches = example_batches(model, some, settings.training, settings.augment)

    def our_data() -> None:
        for *inputs, _ in batches.draw(0, generator):
            model.prepare(tuple(inputs), settings.augment, generator)

    times = medians(
        take_turns(
            {
                "asllib": lambda: train_one_epoch(model, batches, 0, optimiser, rate, settings.training, generator),
                "loop": lambda: train_by_loader(*theirs, photos, settings),
                "asllib, images": our_data,
                "loop, images": lambda: [None for _ in photos],
            },
            rounds,
        )
    )
    per_step = 1000 / len(photos)
    against = "DataLoader, each image by OpenCV, the same network"
    return [
        row("training, one step", against, per_step * times["asllib"], per_step * times["loop"], "ms", least=5),
        row("training, images of a step", against, per_step * times["asllib, images"],
            per_step * times["loop, images"], "ms"),
        row("training, start to end", None, seconds, None, "s", most=45, test_accuracy=accuracy, data=data.name),
        row("training, peak memory", None, peak, None, "GB", most=1.2),
    ]  # fmt: skip


def our_network(settings, examples):
    """The preset's network and its optimiser, as ``asllib.train.loop.fit`` makes them."""
    from asllib.networks import build
    from asllib.train.loop import _optimiser

    model = build(settings.network)
    model.set_statistics(examples.inputs)
    return model, _optimiser(model, settings.training, 1)[0]


def bench_loading(rounds: int = 5) -> list[Row]:
    """Load Sign Language MNIST for the first time, and later."""
    from baselines import load_by_pandas

    from asllib.data import find_sign_mnist, load_sign_mnist, write_pixel_csv
    from asllib.data.drawn import load_synthetic

    with tempfile.TemporaryDirectory() as made:
        folder = find_sign_mnist()
        if folder is None:
            folder, letters = Path(made), load_synthetic(pixels=True)
            places = np.array([ord(letter) - ord("A") for letter in letters.letters])
            for split in ("train", "test"):
                which = (letters.table["split"] == split).to_numpy()
                write_pixel_csv(folder / f"sign_mnist_{split}.csv.gz", letters.images[which], places[which])

        def first() -> None:
            with empty_cache():
                load_sign_mnist(folder)

        with empty_cache():
            sides = {"pandas": lambda: load_by_pandas(folder), "first": first, "later": lambda: load_sign_mnist(folder)}
            for side in sides.values():  # imports, and fills the cache
                side()
            seconds = take_turns(sides, rounds)
    times, against = medians(seconds), "pandas.read_csv to tensors"
    return [
        row("loading, the first time", against, times["first"], times["pandas"], "s", least=2),
        row("loading, later", against, times["later"], times["pandas"], "s", least=20),
    ]


def bench_photos(count: int = 512, rounds: int = 3) -> list[Row]:
    """Find hands in photos, by the tracker's first attempt alone: what MediaPipe does by itself."""
    import pandas as pd
    from baselines import hands_by_loop, plain_landmarker

    from asllib.data import PhotoFiles, load_letters
    from asllib.hands import extract_landmarks, image_columns
    from asllib.hands.tracker import ATTEMPTS

    known = load_letters("auto").images
    places = np.arange(count) * len(known) // count
    files = tuple(known.files[i] for i in places)
    images = PhotoFiles(known.root, files)
    found: dict[str, pd.DataFrame] = {}

    def ours(name: str, workers: int, executor=None) -> None:
        found[name] = extract_landmarks(
            images, workers=workers, executor=executor, attempts=ATTEMPTS[:1], progress=False
        )

    def loop() -> None:
        found["loop"] = hands_by_loop(landmarker, images.paths)

    with worker_pool() as pool, plain_landmarker() as landmarker:
        ours("asllib, 2 processes", 2, pool)  # starts the workers, which load MediaPipe
        sides = {
            "loop": loop,
            "asllib": lambda: ours("asllib", 1),
            "asllib, 2 processes": lambda: ours("asllib, 2 processes", 2, pool),
        }
        times = medians(take_turns(sides, rounds))
    points = {name: table[image_columns()].to_numpy() for name, table in found.items()}
    apart = {name: np.nanmax(np.abs(points[name] - points["loop"]), initial=0.0) for name in points}
    same = {name: float(np.mean(np.isnan(points[name][:, 0]) == np.isnan(points["loop"][:, 0]))) for name in points}
    against, rate = "MediaPipe in a loop, OpenCV reads the files", {k: count / v for k, v in times.items()}
    return [
        row(
            name.replace("asllib", "photos to landmarks"), against, rate[name], rate["loop"], "photos/s", least=least,
            more_is_better=True, landmarks_apart=float(apart[name]), same_hands_found=same[name],
        )
        for name, least in (("asllib", 0.95), ("asllib, 2 processes", 1.8))
    ]  # fmt: skip


@contextmanager
def worker_pool() -> Iterator[Any]:
    """Two processes as ``extract_landmarks`` starts them."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def bench_live(frames: int = 900) -> list[Row]:
    """A frame in the live cell, from the browser's JPEG to the answer, and MediaPipe's tracker alone, in turn."""
    import itertools

    import cv2
    import mediapipe as mp
    import torch
    from live import jpegs
    from tracker import mediapipe_video

    from asllib.live.session import ReadingSession

    torch.set_num_threads(1)
    times: dict[str, list[float]] = {"asllib": [], "mediapipe": []}
    film = jpegs(None)
    theirs, session = mediapipe_video(), ReadingSession()
    session.answer({"type": "start", "view": "v", "time": 0.0})
    for i, jpeg in enumerate(itertools.islice(itertools.cycle(film), frames)):
        frame = mp.Image(mp.ImageFormat.SRGB, cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB))
        started = time.perf_counter()
        theirs.detect_for_video(frame, 33 * i)
        middle = time.perf_counter()
        session.answer({"type": "frame", "view": "v", "id": i, "time": i / 30}, [jpeg])
        times["mediapipe"].append(middle - started)
        times["asllib"].append(time.perf_counter() - middle)
    theirs.close()
    warm = frames // 10
    ours, alone = (1000 * float(np.median(times[name][warm:])) for name in ("asllib", "mediapipe"))
    return [row("all of a live frame", "MediaPipe alone", ours, alone, "ms", least=1 / 1.15)]


def bench_letter() -> list[Row]:
    """A letter from landmarks, one hand at a time: pytest-benchmark runs ``benchmarks/test_letter.py``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "letter.json"
        quiet = ["-q", "-p", "no:cacheprovider", f"--benchmark-json={report}", "--benchmark-warmup=on"]
        run_process(["-m", "pytest", str(HERE / "test_letter.py"), *quiet])
        found = {one["name"]: one["stats"]["median"] for one in json.loads(report.read_text())["benchmarks"]}
    return [
        row("letter from landmarks", "random forest of 100 trees, features given", 1000 * found["test_network"],
            1000 * found["test_forest"], "ms", least=10)
    ]  # fmt: skip


def bench_pictures(signers: int = 2, views: int = 4, rounds: int = 3) -> list[Row]:
    """Draw pictures of the synthetic signer, 224x224."""
    from asllib.signer import render_letters

    render_letters("A", signers=1, views=1)  # loads the hand model
    count = 26 * signers * views
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    seconds = medians(take_turns({"drawing": lambda: render_letters(letters, signers, views)}, rounds))
    return [row("synthetic pictures", None, count / seconds["drawing"], None, "pictures/s", least_value=40)]


def row(
    what: str,
    against: str | None,
    ours: float,
    theirs: float | None,
    unit: str,
    *,
    least: float | None = None,
    most: float | None = None,
    least_value: float | None = None,
    more_is_better: bool = False,
    **more: Any,
) -> Row:
    """One line of the result: both values, how many times better ours is, and the floor that it has to reach.

    ``least`` is the least ratio; ``most`` and ``least_value`` are limits of our own value.
    """
    ratio = None if theirs is None else ours / theirs if more_is_better else theirs / ours
    floor = {"ratio": least, "most": most, "least": least_value}
    held = [
        *([] if least is None else [ratio >= least]),
        *([] if most is None else [ours <= most]),
        *([] if least_value is None else [ours >= least_value]),
    ]
    return {
        "what": what, "against": against, "unit": unit, "ours": ours, "theirs": theirs, "ratio": ratio,
        "floor": {name: value for name, value in floor.items() if value is not None},
        "held": all(held) if held else None, **more,
    }  # fmt: skip


ROWS: dict[str, Callable[[], list[Row]]] = {
    "start": bench_start,
    "loading": bench_loading,
    "letter": bench_letter,
    "live": bench_live,
    "photos": bench_photos,
    "pictures": bench_pictures,
    "training": bench_training,
}


def show(found: Row) -> str:
    """A row as one line of text."""
    parts = [f"{found['what']}: {found['ours']:.3g} {found['unit']}"]
    if found["theirs"] is not None:
        parts.append(f"{found['against']}: {found['theirs']:.3g}; {found['ratio']:.2f} times")
    for name, text in (("ratio", "{:g} times"), ("most", "at most {:g}"), ("least", "at least {:g}")):
        if name in found["floor"]:
            parts.append(f"floor {text.format(found['floor'][name])}{'' if found['held'] else ', MISSED'}")
    extra = {k: v for k, v in found.items() if k in ("test_accuracy", "landmarks_apart", "same_hands_found")}
    return "; ".join([*parts, *(f"{name.replace('_', ' ')} {value:.4g}" for name, value in extra.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=ROWS, help="run this alone; may be given several times")
    options = parser.parse_args()

    from asllib.data import load_letters
    from asllib.results import save_result

    before, rows, started = machine(), [], time.perf_counter()
    for name in options.only or ROWS:
        for found in ROWS[name]():
            rows.append(found)
            print(show(found), flush=True)
    print(f"{time.perf_counter() - started:.0f} s in all, load {before['load']:.1f} before")
    if options.only is None:  # a part of the rows is no result
        print(save_result("bench", {"machine": before, "rows": rows}, load_letters("auto", pixels=True)))


if __name__ == "__main__":
    main()
