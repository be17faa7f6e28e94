"""Landmarks of many images, on all cores or a cluster, with a folder that lets a stopped run go on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asllib.cache import digest, load
from asllib.errors import InputError
from asllib.hands.landmarks import SIZE_COLUMNS, image_columns, landmark_columns, world_columns
from asllib.hands.look import WIDTH, Hand, tracker_version
from asllib.hands.tracker import ATTEMPTS, LOOKS, Attempt, HandTracker, check_image
from asllib.parallel import IN_FLIGHT, Here, as_done, finished, processes
from asllib.paths import replacing

if TYPE_CHECKING:
    import pandas as pd

    from asllib.data.letterset import Images

CHUNK = 64  # images a task: about a second; also what is redone when one image of it has changed
CHUNK_BYTES = 8 * 2**20  # fewer images where they are large
FEW = 128  # below this a pool's start costs more than it saves

_NUMBERS = ["score", *image_columns(), *world_columns()]


def extract_landmarks(
    images: Images,
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

    The result does not depend on where it is worked out, nor on how often the run was stopped.

    Parameters
    ----------
    images
        Any sequence of (H, W, 3) uint8 RGB images. Photos in files (``PhotoFiles``) go to the workers as the bytes of
        their files, so that other machines need not see this one's disk.
    files, labels
        The names and labels that go into the table; by default ``images.files`` if there is one, else the
        position, and no labels.
    workers
        Processes; by default one a core, and none (all is done here) for fewer than 128 images.
    checkpoint
        A folder of this machine for finished chunks of at most 64 images. A later call with the same folder takes from
        it what it holds and does the rest; the files' bytes or the pixels decide, so a changed image is done again.
    executor
        Runs the chunks instead of processes of our own: threads, processes, or a cluster (``asllib.parallel.cluster``).
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
        If an image cannot be read (its file is named), files or labels are not as many as images, or a worker was
        killed.
    """
    import pandas as pd

    parts = iter_landmarks(
        images, files, labels, workers=workers, checkpoint=checkpoint, executor=executor, attempts=attempts,
        progress=progress,
    )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def iter_landmarks(
    images: Images,
    files: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    *,
    workers: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    attempts: Sequence[Attempt] = ATTEMPTS,
    progress: bool = True,
) -> Iterator[pd.DataFrame]:
    """The same as :func:`extract_landmarks` in pieces of at most 64 rows, for tables that do not fit in memory."""
    n = len(images)
    if files is None:
        files = getattr(images, "files", None) or [str(i) for i in range(n)]
    for name, values in (("files", files), ("labels", labels)):
        if values is not None and len(values) != n:
            raise InputError(f"{len(values)} {name} for {n} images; give one for each image")
    folder = None if checkpoint is None else Path(checkpoint)
    return _in_parts(images, files, labels, workers, folder, executor, tuple(attempts), False, progress)


def extract_looks(
    images: Images,
    files: Sequence[str],
    labels: Sequence[str],
    *,
    workers: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> tuple[list[pd.DataFrame], np.ndarray]:
    """Look at the hand in each image in all the ways of ``LOOKS``; parameters as in :func:`extract_landmarks`.

    Returns
    -------
    tables
        A table a look, each as ``extract_landmarks`` returns it.
    embeddings
        (looks, N, 1152) float16, NaN where a look saw no hand.
    """
    import pandas as pd

    folder = None if checkpoint is None else Path(checkpoint)
    parts = _in_parts(images, files, labels, workers, folder, executor, ATTEMPTS, True, progress)
    whole = pd.concat(parts, ignore_index=True)
    embeddings = np.full((len(LOOKS), len(images), WIDTH), np.nan, np.float16)
    tables = []
    for number in range(len(LOOKS)):
        table = whole[whole["look"] == number]
        for row, packed in enumerate(table["embedding"]):
            if packed:
                embeddings[number, row] = np.frombuffer(packed, np.float16)
        tables.append(table.drop(columns=["look", "embedding"]).reset_index(drop=True))
    return tables, embeddings


def _in_parts(
    images, files, labels, workers, folder, executor, attempts, every_look, progress
) -> Iterator[pd.DataFrame]:
    """Yield the rows of chunk after chunk, in the order of the images; with ``every_look`` those of all looks."""
    import pandas as pd
    from tqdm.auto import tqdm

    n = len(images)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    place: AbstractContextManager[Executor]
    if executor is not None:
        place, in_flight = nullcontext(executor), IN_FLIGHT
    elif workers == 1 or (workers is None and n < FEW):
        place, in_flight = nullcontext(Here()), IN_FLIGHT
    else:
        workers = workers or os.cpu_count() or 1
        place, in_flight = processes(workers), min(IN_FLIGHT, 2 * workers * CHUNK_BYTES)

    looks = len(LOOKS) if every_look else 1
    columns = [*landmark_columns(), *SIZE_COLUMNS, *(["look", "embedding"] if every_look else [])]

    def named(start: int, part: pd.DataFrame) -> pd.DataFrame:
        places = range(start, start + len(part) // looks)
        names = pd.DataFrame(
            {
                "file": [str(files[i]) for i in places for _ in range(looks)],
                "label": [None if labels is None else str(labels[i]) for i in places for _ in range(looks)],
            },
            dtype=str,
        )
        return pd.concat([names, part], axis=1)[columns]

    if not n:
        yield named(0, _table([], [], every_look))
        return
    with place as running, tqdm(total=n, desc="hands", unit="photo", disable=not progress) as bar:

        def jobs():
            for start, chunk in _chunks(images, files):
                size = sum(map(_size, chunk))
                stored = None if folder is None else folder / f"{_key(chunk, attempts, every_look)}.parquet"
                part = None if stored is None else load(stored, pd.read_parquet)
                if part is None:
                    names = [str(file) for file in files[start : start + len(chunk)]]
                    yield (start, stored), size, running.submit(_extract_chunk, chunk, names, attempts, every_look)
                else:
                    yield (start, None), size, finished(part)

        done: dict[int, pd.DataFrame] = {}  # but not yet their turn
        turn = 0
        for (start, stored), part in as_done(jobs(), in_flight):
            if stored is not None:
                _store(part, stored)
            done[start] = part
            bar.update(len(part) // looks)
            while turn in done:
                part = done.pop(turn)
                yield named(turn, part)
                turn += len(part) // looks


def _chunks(images: Images, files: Sequence[str]) -> Iterator[tuple[int, list[np.ndarray | bytes]]]:
    """Yield images in a row, of files their bytes, and the number of the first: at most so many, and so large."""
    from asllib.data.letterset import PhotoFiles

    chunk: list[np.ndarray | bytes] = []
    size = start = 0
    for i in range(len(images)):
        image = images.read_bytes(i) if isinstance(images, PhotoFiles) else _read(images, i, str(files[i]))
        if chunk and (len(chunk) == CHUNK or size + _size(image) > CHUNK_BYTES):
            yield start, chunk
            chunk, size, start = [], 0, i
        chunk.append(image)
        size += _size(image)
    yield start, chunk


def _size(image: np.ndarray | bytes) -> int:
    return len(image) if isinstance(image, bytes) else image.nbytes


def _read(images: Images, i: int, name: str) -> np.ndarray:
    try:
        image = images[i]
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name}: cannot be read as an image ({error}); replace or remove it") from error
    check_image(image, name)
    return image


def _extract_chunk(
    images: list[np.ndarray | bytes], names: Sequence[str], attempts: tuple[Attempt, ...], every_look: bool
) -> pd.DataFrame:
    """Find the hands of a chunk; what runs on a worker."""
    from asllib.data.letterset import decode_image

    tracker = HandTracker(attempts=attempts)
    hands, shapes = [], []
    for image, name in zip(images, names, strict=True):  # one at a time: decoded photos can be large
        pixels = decode_image(image, name) if isinstance(image, bytes) else image
        if every_look:
            seen = tracker.detect_looks(pixels)
            hands += [*seen, *[None] * (len(LOOKS) - len(seen))]
        else:
            hands.append(tracker.detect(pixels))
        shapes += [pixels.shape] * (len(LOOKS) if every_look else 1)
    return _table(hands, shapes, every_look)


def _key(images: list[np.ndarray | bytes], attempts: tuple[Attempt, ...], every_look: bool) -> str:
    """Hash of all that the result depends on: the images, the attempts and looks, and the tracker."""
    return digest(f"4 {tracker_version()} {attempts} {LOOKS if every_look else LOOKS[:1]}", *images)


def _store(part: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        part.to_parquet(temporary, index=False)


def _table(hands: list[Hand | None], shapes: list[tuple[int, ...]], every_look: bool) -> pd.DataFrame:
    import pandas as pd

    numbers = np.full((len(hands), len(_NUMBERS)), np.nan, np.float32)
    numbers[:, 0] = 0
    for row, hand in zip(numbers, hands, strict=True):
        if hand is not None:
            row[:] = [hand.score, *hand.landmarks.ravel(), *hand.world.ravel()]
    sizes = np.array([(shape[1], shape[0]) for shape in shapes], np.int32).reshape(-1, 2)
    side = pd.Series([hand and hand.side for hand in hands], name="side", dtype=str)
    columns = pd.DataFrame(numbers, columns=_NUMBERS), pd.DataFrame(sizes, columns=list(SIZE_COLUMNS))
    table = pd.concat([side, *columns], axis=1)
    if every_look:
        seen = [None if hand is None else hand.embedding for hand in hands]
        packed = [b"" if embedding is None else embedding.astype(np.float16).tobytes() for embedding in seen]
        table["look"] = np.arange(len(hands)) % len(LOOKS)
        table["embedding"] = pd.Series(packed, dtype=object)
    return table
