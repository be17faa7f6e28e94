"""Many videos, on all cores or a cluster, with a folder that lets a stopped run go on."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from asllib.errors import InputError
from asllib.hands.look import tracker_version
from asllib.networks.store import SHIPPED, WEIGHTS
from asllib.parallel import Job, results, workplace
from asllib.read.lexicon import check_names
from asllib.read.reader import Reading, ReadWord, load_network, read_text
from asllib.read.speller import ReadLetter


def read_videos(
    videos: Sequence[str | os.PathLike[str]],
    model: str = "spelling",
    *,
    fps: float | None = None,
    correct: bool = False,
    names: Iterable[str] = (),
    workers: int | None = None,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> list[Reading]:
    """Read videos or landmark tables, each as ``read_text`` does, a video a task; return them in their order.

    Parameters
    ----------
    videos
        Files. On a cluster they lie where all machines see them under the same path: videos are too large to be sent.
    model
        See ``load_network``.
    fps, correct, names
        As in ``read_text``.
    workers
        Processes; by default one a core, and no more than videos.
    executor
        Reads the videos instead of processes of our own: threads, processes, or a cluster
        (``asllib.parallel.cluster``).
    checkpoint
        A folder of this machine for what was read. A later call with the same folder takes from it what it holds and
        does the rest; a file that changed since is read again.
    progress
        Show a bar with the time left.

    Raises
    ------
    InputError
        As in ``read_text``; or if a worker was killed.
    """
    from tqdm.auto import tqdm

    paths = [Path(video).absolute() for video in videos]
    for video, path in zip(videos, paths, strict=True):
        if not path.is_file():
            raise InputError(f"{video}: no such video")
    card, trained = Path(WEIGHTS if str(model) in SHIPPED else "", model, "card.json"), ""
    if card.is_file():  # another network may be trained into a run folder later, or come with another asllib
        trained = hashlib.sha256(card.read_bytes()).hexdigest()
        model = model if str(model) in SHIPPED else str(card.parent.absolute())
    options = (model, trained, fps, correct, check_names(names))
    folder = None if checkpoint is None else Path(checkpoint)
    jobs = [
        Job((_read, str(path), *options), path=None if folder is None else folder / f"{_key(path, options)}.json")
        for path in paths
    ]
    missing = sum(job.path is None or not job.path.is_file() for job in jobs)
    most = max(1, min(workers or os.cpu_count() or 1, missing))
    with workplace(executor, most) as place:
        read = results(jobs, place, _load, _store)
        return list(tqdm(read, total=len(paths), desc="Reading", unit="video", disable=not progress))


def _read(path: str, model: str, trained: str, fps: float | None, correct: bool, names: tuple[str, ...]) -> Reading:
    """Read one video; what runs on a worker."""
    return read_text(path, _network(model, trained), fps=fps, correct=correct, names=names)


@functools.lru_cache(maxsize=1)
def _network(model: str, trained: str):
    return load_network(model)


def _key(path: Path, options: tuple) -> str:
    status = path.stat()
    looks = (WEIGHTS / "default" / "card.json").read_text(encoding="utf-8")  # spelling asks its second branch
    text = f"4 {looks} {tracker_version()} {path} {status.st_size} {status.st_mtime_ns} {options}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _load(path: Path) -> Reading:
    values = json.loads(path.read_text(encoding="utf-8"))
    letters = tuple(ReadLetter(**letter) for letter in values.pop("letters"))
    words = tuple(ReadWord(**word) for word in values.pop("words"))
    return Reading(letters=letters, words=words, **values)


def _store(reading: Reading, path: Path) -> None:
    path.write_text(json.dumps(dataclasses.asdict(reading), default=float), encoding="utf-8")
