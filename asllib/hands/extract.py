"""Landmarks of many images, on all cores, with a folder that lets a stopped run go on."""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asllib.errors import InputError
from asllib.hands.landmarks import SIZE_COLUMNS, image_columns, landmark_columns, world_columns
from asllib.hands.tracker import ATTEMPTS, MODEL_SHA256, Attempt, Hand, HandTracker, check_image

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 32  # images a task: about half a second; also what is redone when one image of it has changed
FEW = 64  # below this a pool's start costs more than it saves

_NUMBERS = ["score", *image_columns(), *world_columns()]


def extract_landmarks(
    images: Sequence[np.ndarray],
    files: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    *,
    workers: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    attempts: Sequence[Attempt] = ATTEMPTS,
    progress: bool = True,
) -> pd.DataFrame:
    """Find the hand in each image and return one row an image, in the order of the images.

    The result does not depend on the number of workers, nor on how often the run was stopped.

    Parameters
    ----------
    images
        Any sequence of (H, W, 3) uint8 RGB images. One that reads files lazily is read in the workers;
        it has to be picklable.
    files, labels
        The names and labels that go into the table; by default ``images.files`` if there is one, else the
        position, and no labels.
    workers
        Processes; by default one a core, and none (all is done here) for fewer than 64 images.
    checkpoint
        A folder for finished chunks of 32 images. A later call with the same folder takes from it what it
        holds and does the rest; the pixels decide, so a changed image is done again.
    executor
        Runs the chunks instead of processes of our own: a Dask client's executor, for example.
    attempts
        What is tried on an image in turn, see ``HandTracker``.
    progress
        Show a bar with the time left.

    Returns
    -------
    pandas.DataFrame
        ``landmark_columns()``, then width and height of the image in pixels. Where no hand was found the
        score is 0, the side is missing and the coordinates are NaN.

    Raises
    ------
    InputError
        If an image cannot be read (its file is named), or files or labels are not as many as images.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    n = len(images)
    if files is None:
        files = getattr(images, "files", None)
    files = [str(i) for i in range(n)] if files is None else [str(file) for file in files]
    for name, values in (("files", files), ("labels", labels)):
        if values is not None and len(values) != n:
            raise InputError(f"{len(values)} {name} for {n} images; give one for each image")
    folder = None if checkpoint is None else Path(checkpoint)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)

    starts = range(0, n, CHUNK)
    parts: dict[int, pd.DataFrame] = {}
    task = functools.partial(_extract_chunk, attempts=tuple(attempts), folder=folder)
    with tqdm(total=n, desc="hands", unit="photo", disable=not progress) as bar:
        for start, part in _run(task, images, files, starts, n, workers, executor):
            parts[start] = part
            bar.update(len(part))
    rows = pd.concat([parts[start] for start in starts], ignore_index=True) if n else _table([], [])
    names = pd.DataFrame(
        {"file": files, "label": [None] * n if labels is None else [str(x) for x in labels]}, dtype=str
    )
    return pd.concat([names, rows], axis=1)[[*landmark_columns(), *SIZE_COLUMNS]]


def _run(task, images, files, starts, n, workers, executor) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield (start, table) of every chunk as it is done, in any order."""
    if executor is None and (workers == 1 or (workers is None and n < FEW)):
        for start in starts:
            yield start, task(images, files[start : start + CHUNK], start, start)
        return
    pool = _own_pool(workers or os.cpu_count() or 1) if executor is None else _borrowed(executor)
    with pool as running:
        futures: dict[Future, int] = {}
        for start in starts:
            names = files[start : start + CHUNK]
            # In memory, a chunk takes its own images along; a lazy sequence is small and goes whole.
            if isinstance(images, (list, tuple, np.ndarray)):
                future = running.submit(task, images[start : start + CHUNK], names, start, 0)
            else:
                future = running.submit(task, images, names, start, start)
            futures[future] = start
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:  # after an error, Ctrl-C or a stopped cell: what has not begun never begins
            for future in futures:
                future.cancel()


@contextmanager
def _own_pool(workers: int) -> Iterator[Executor]:
    # Spawned, not forked: MediaPipe runs threads, and a fork of a process with threads can hang.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_ignore_interrupt)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _borrowed(executor: Executor) -> Iterator[Executor]:
    yield executor


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the parent, which stops the workers without their tracebacks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _extract_chunk(
    images: Sequence[np.ndarray],
    names: Sequence[str],
    start: int,
    offset: int,
    *,
    attempts: tuple[Attempt, ...],
    folder: Path | None,
) -> pd.DataFrame:
    """Do ``images[offset : offset + len(names)]``, or take them from the folder if it has them."""
    import pandas as pd

    pixels = [_read(images, offset + i, name) for i, name in enumerate(names)]
    stored = None if folder is None else folder / f"{_key(pixels, attempts)}.parquet"
    if stored is not None and stored.is_file():
        try:
            return pd.read_parquet(stored)
        except Exception:  # a broken file is as good as none: it is made again and replaced
            pass
    tracker = _tracker(attempts)
    part = _table([tracker.detect(image) for image in pixels], [image.shape for image in pixels])
    if stored is not None:
        temporary = stored.with_name(f".{os.getpid()}-{stored.name}")
        part.to_parquet(temporary, index=False)
        temporary.replace(stored)
    return part


def _read(images: Sequence[np.ndarray], i: int, name: str) -> np.ndarray:
    try:
        image = images[i]
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name}: cannot be read as an image ({error}); replace or remove it") from error
    check_image(image, name)
    return image


def _key(pixels: list[np.ndarray], attempts: tuple[Attempt, ...]) -> str:
    """Hash of all that the result depends on: the pixels, the attempts and the model."""
    digest = hashlib.blake2b(f"1 {MODEL_SHA256} {attempts}".encode(), digest_size=20)
    for image in pixels:
        digest.update(str(image.shape).encode())
        digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


# The process's tracker. The last one only: a cache without bound would keep models in memory.
@functools.lru_cache(maxsize=1)
def _tracker(attempts: tuple[Attempt, ...]) -> HandTracker:
    return HandTracker(attempts=attempts)


def _table(hands: list[Hand | None], shapes: list[tuple[int, ...]]) -> pd.DataFrame:
    import pandas as pd

    numbers = np.full((len(hands), len(_NUMBERS)), np.nan, np.float32)
    numbers[:, 0] = 0
    for row, hand in zip(numbers, hands, strict=True):
        if hand is not None:
            row[:] = [hand.score, *hand.landmarks.ravel(), *hand.world.ravel()]
    sizes = np.array([(shape[1], shape[0]) for shape in shapes], np.int32).reshape(-1, 2)
    side = pd.Series([hand and hand.side for hand in hands], name="side", dtype=str)
    columns = [side, pd.DataFrame(numbers, columns=_NUMBERS), pd.DataFrame(sizes, columns=list(SIZE_COLUMNS))]
    return pd.concat(columns, axis=1)
