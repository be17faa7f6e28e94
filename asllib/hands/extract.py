"""Landmarks of many images, on all cores or a cluster; finished parts are kept, so that a stopped run can continue."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from asllib.errors import InputError
from asllib.files import Images, PhotoFiles, read_image
from asllib.hands.landmarks import SIZE_COLUMNS, image_columns, landmark_columns, world_columns
from asllib.hands.look import Hand, tracker_version
from asllib.hands.tracker import ATTEMPTS, LOOKS, Attempt, HandTracker, check_image
from asllib.parallel import done, in_order, processes
from asllib.paths import digest, load, replacing

CHUNK = 64  # images per task: about a second; if one image changes, its task is redone
CHUNK_BYTES = 8 * 2**20  # fewer images if they are large
FEW = 128  # below this, starting a pool costs more than it saves
AT_ONCE, AT_A_CLUSTER = 4, 128  # most tasks that wait or run: of each process, and of a given executor

_NUMBERS = ["score", *image_columns(), *world_columns()]


def extract_landmarks(
    images: Images, files: Sequence[str] | None = None, labels: Sequence[str] | None = None, **how: Any
) -> pd.DataFrame:
    """Find the hand in each image: ``iter_landmarks``, with the same arguments, as one table."""
    return pd.concat(iter_landmarks(images, files, labels, **how), ignore_index=True)


def iter_landmarks(
    images: Images,
    files: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    *,
    workers: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    attempts: Sequence[Attempt] = ATTEMPTS,
    every_look: bool = False,
    progress: bool = True,
) -> Iterator[pd.DataFrame]:
    """Find the hand in each image: yield a table, one row per image in order, in pieces of at most 64 images.

    Its columns are ``landmark_columns()``, then ``SIZE_COLUMNS``. Without a hand the score is 0, the side is missing
    and the coordinates are NaN. The result does not depend on the executor.

    ``images`` is any sequence of (H, W, 3) uint8 RGB images; for photos in files (``PhotoFiles``) workers get the bytes
    and need no access to this disk. ``files`` and ``labels`` are columns of the table; the defaults are the files'
    names, else positions, and no labels. ``workers`` are processes, by default one per core, and none below 128 images;
    ``executor`` replaces them: threads, processes or ``asllib.parallel.cluster``. The folder ``checkpoint`` keeps
    finished pieces by the images' content, so that a later call can continue. ``attempts`` are tried in turn on an
    image, see ``HandTracker``; with ``every_look`` there is a row for each of ``LOOKS``, with its embedding.

    InputError if an image cannot be read, there is another number of files or labels, or a worker was killed.
    """
    n, looks = len(images), len(LOOKS) if every_look else 1
    if files is None:
        files = getattr(images, "files", None) or [str(i) for i in range(n)]
    for name, values in (("files", files), ("labels", labels)):
        if values is not None and len(values) != n:
            raise InputError(f"{len(values)} {name} for {n} images; give one for each image")
    columns = [*landmark_columns(), *SIZE_COLUMNS, *(["embedding"] if every_look else [])]
    workers = workers or (1 if n < FEW else os.cpu_count() or 1)
    alone = executor is None and workers == 1
    most = 1 if alone else AT_ONCE * workers if executor is None else AT_A_CLUSTER

    def tasks(place: Executor | None) -> Iterator[tuple[Path | None, Future]]:
        """Submit what is not kept; each with the path that is to keep it."""
        for start, chunk in _chunks(images, files):
            path = None if checkpoint is None else Path(checkpoint) / f"{chunk_key(chunk, attempts, looks)}.parquet"
            if path is not None and (kept := load(path, pd.read_parquet)) is not None:
                yield None, done(kept)
                continue
            work = chunk, [str(file) for file in files[start : start + len(chunk)]], attempts, every_look
            yield path, done(_extract_chunk(*work)) if place is None else place.submit(_extract_chunk, *work)

    start = 0
    # No progress bar for kept pieces, which take no time.
    with (
        nullcontext(executor) if alone or executor is not None else processes(workers) as place,
        tqdm(total=n, desc="hands", unit="photo", disable=not progress, delay=0.5) as bar,
        closing(in_order(tasks(place), most)) as parts,
    ):
        for path, part in parts:
            if path is not None:
                with replacing(path) as temporary:
                    part.to_parquet(temporary)
            rows = [start + row // looks for row in range(len(part))]
            said = [None if labels is None else str(labels[i]) for i in rows]
            about = pd.DataFrame({"file": [str(files[i]) for i in rows], "label": said}, dtype=str)
            bar.update(len(part) // looks)
            start += len(part) // looks
            yield pd.concat([about, part], axis=1)[columns]


def chunk_key(chunk: Sequence[np.ndarray | bytes], attempts: Sequence[Attempt], looks: int) -> str:
    """Hash of everything that the result depends on: images, attempts, number of looks, and tracker."""
    return digest(f"7 {tracker_version()} {tuple(attempts)} {LOOKS[:looks]}", *chunk)


def _chunks(images: Images, files: Sequence[str]) -> Iterator[tuple[int, list[np.ndarray | bytes]]]:
    """Yield chunks of images (bytes if from files) with the number of the first, limited in count and size."""
    chunk: list[np.ndarray | bytes] = []
    size = start = 0
    for i in range(len(images)):
        image = images.read_bytes(i) if isinstance(images, PhotoFiles) else images[i]
        if not isinstance(image, bytes):
            check_image(image, str(files[i]))
        more = len(image) if isinstance(image, bytes) else image.nbytes
        if chunk and (len(chunk) == CHUNK or size + more > CHUNK_BYTES):
            yield start, chunk
            chunk, size, start = [], 0, i
        chunk.append(image)
        size += more
    yield start, chunk


def _extract_chunk(
    images: list[np.ndarray | bytes], names: Sequence[str], attempts: Sequence[Attempt], every_look: bool
) -> pd.DataFrame:
    """Find the hands of a chunk; this runs on a worker."""
    tracker = HandTracker(attempts=attempts)
    looks, hands, shapes = len(LOOKS) if every_look else 1, [], []
    for image, name in zip(images, names, strict=True):  # one at a time: decoded photos can be large
        pixels = read_image(image, name) if isinstance(image, bytes) else image
        seen = tracker.detect_looks(pixels) if every_look else [tracker.detect(pixels)]
        hands += [*seen, *[None] * (looks - len(seen))]
        shapes += [pixels.shape] * looks
    return _table(hands, shapes, every_look)


def _table(hands: list[Hand | None], shapes: list[tuple[int, ...]], every_look: bool) -> pd.DataFrame:
    no_hand = [0.0, *[np.nan] * (len(_NUMBERS) - 1)]
    rows = [[hand.score, *hand.landmarks.ravel(), *hand.world.ravel()] if hand else no_hand for hand in hands]
    side = pd.Series([hand and hand.side for hand in hands], name="side", dtype=str)
    sizes = pd.DataFrame([shape[1::-1] for shape in shapes], columns=list(SIZE_COLUMNS), dtype=np.int32)
    table = pd.concat([side, pd.DataFrame(rows, columns=_NUMBERS, dtype=np.float32), sizes], axis=1)
    if every_look:
        embeddings = [None if hand is None else hand.embedding for hand in hands]
        packed = [b"" if one is None else one.astype(np.float16).tobytes() for one in embeddings]
        table["embedding"] = pd.Series(packed, dtype=object)
    return table
