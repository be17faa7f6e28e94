"""Sets of letters: many signers, many views, in memory or in a folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asllib.errors import InputError
from asllib.signer.alphabet import LETTERS, clip_to_limits, draw_habit

if TYPE_CHECKING:
    from asllib.signer.scene import Signer

BATCH = 64
CREW = 8  # signers whose letters are settled at once
MIN_SIZE = 28


@dataclass(frozen=True)
class SyntheticShots:
    """Pictures of letters with their truth.

    Attributes
    ----------
    images : (N, H, W, 3) uint8 RGB
    labels : list of N str
        ``"A"``..``"Z"``.
    signers : list of N str
        ``synthetic-SEED-NUMBER``.
    sides : list of N str
        ``"left"`` or ``"right"``.
    landmarks : (N, 21, 3) float32
        MediaPipe's image landmarks: x and y as fractions of width and height, z from the wrist in units of the
        width, nearer is smaller.
    world : (N, 21, 3) float32
        Metres from the hand's middle, x right, y down, z away from the camera.
    """

    images: np.ndarray
    labels: list[str]
    signers: list[str]
    sides: list[str]
    landmarks: np.ndarray
    world: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def _check(letters: str, signers: int, views: int, size: int, seed: int) -> str:
    letters = "".join(letters).upper()
    if not letters:
        raise InputError("no letters asked for: give some of A-Z, such as letters='ABC'")
    for letter in letters:
        if letter not in LETTERS:
            raise InputError(f"{letter!r} is not a letter of the alphabet: use A-Z")
    for name, value, least in (
        ("signers", signers, 1),
        ("views", views, 1),
        ("size", size, MIN_SIZE),
        ("seed", seed, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{name} is {value!r}: it must be a whole number of at least {least}")
    return letters


def iter_letters(
    letters: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    signers: int = 8,
    views: int = 12,
    size: int = 224,
    seed: int = 0,
    angle: float = 35.0,
    first_signer: int = 0,
) -> Iterator[SyntheticShots]:
    """The same as :func:`render_letters` in pieces of at most 64 pictures, for sets that do not fit in memory."""
    from asllib.signer.scene import draw_signer, letter_poses

    letters = _check(letters, signers, views, size, seed)
    last = first_signer + signers
    for first in range(first_signer, last, CREW):
        people = {number: draw_signer(seed, number) for number in range(first, min(first + CREW, last))}
        poses = letter_poses(list(people.values()), letters)
        known = {(number, letter): poses[i, k] for i, number in enumerate(people) for k, letter in enumerate(letters)}
        plan = [(number, letter, view) for number in people for letter in letters for view in range(views)]
        for start in range(0, len(plan), BATCH):
            yield _shoot(plan[start : start + BATCH], size, seed, angle, people, known)


def _shoot(
    plan: list[tuple[int, str, int]],
    size: int,
    seed: int,
    angle: float,
    people: dict[int, Signer],
    known: dict[tuple[int, str], np.ndarray],
) -> SyntheticShots:
    """Photograph one piece of the plan; ``known`` holds each signer's way to make the letters."""
    from asllib.signer.hand import hand_shape
    from asllib.signer.scene import draw_shot, photograph

    order = list(dict.fromkeys(number for number, _, _ in plan))
    shapes = hand_shape(np.array([people[number].phenotype for number in order]))
    poses, shots, seeds = [], [], []
    for number, letter, view in plan:
        # Each picture has its own stream, so that a larger set begins with the smaller one's pictures.
        rng = np.random.default_rng([seed, number, ord(letter), view])
        # No one makes a letter twice in quite the same way.
        poses.append(clip_to_limits(known[number, letter] + draw_habit(rng, 0.35)))
        shots.append(draw_shot(rng, angle))
        seeds.append(int(rng.integers(2**31)))
    pictures = photograph(
        np.stack(poses),
        [people[number] for number, _, _ in plan],
        shapes.take([order.index(number) for number, _, _ in plan]),
        shots,
        (size, size),
        seeds,
    )
    return SyntheticShots(
        pictures.images,
        [letter for _, letter, _ in plan],
        [people[number].name for number, _, _ in plan],
        [people[number].side for number, _, _ in plan],
        pictures.landmarks,
        pictures.world,
    )


def render_letters(
    letters: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    signers: int = 8,
    views: int = 12,
    size: int = 224,
    seed: int = 0,
    angle: float = 35.0,
    first_signer: int = 0,
) -> SyntheticShots:
    """Photograph letters: every signer shows every letter in every view.

    Parameters
    ----------
    letters : str
        Some of A-Z; J and Z are shown at the end of their stroke.
    signers, views : int
        People, and pictures of each letter a person.
    size : int
        Pixels of a square picture's side, at least 28.
    seed : int
        The same seed gives the same set.
    angle : float
        Largest angle of the camera from the front, degrees.
    first_signer : int
        Number of the first person: sets with other numbers have other people.

    Returns
    -------
    SyntheticShots
        N = signers x letters x views, in this order.

    Raises
    ------
    InputError (a ValueError)
        A letter outside the alphabet, a count below one, a size below 28.
    """
    letters = _check(letters, signers, views, size, seed)
    total = signers * len(letters) * views
    images = np.empty((total, size, size, 3), np.uint8)
    landmarks = np.empty((total, 21, 3), np.float32)
    world = np.empty((total, 21, 3), np.float32)
    labels, names, sides = [], [], []
    for part in iter_letters(letters, signers, views, size, seed, angle, first_signer):
        rows = slice(len(labels), len(labels) + len(part))
        images[rows], landmarks[rows], world[rows] = part.images, part.landmarks, part.world
        labels += part.labels
        names += part.signers
        sides += part.sides
    return SyntheticShots(images, labels, names, sides, landmarks, world)


def write_letters(
    out: str | os.PathLike[str],
    letters: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    signers: int = 8,
    views: int = 12,
    size: int = 224,
    seed: int = 0,
    angle: float = 35.0,
    first_signer: int = 0,
    progress: bool = True,
) -> Path:
    """Write what :func:`render_letters` makes to a folder.

    ``OUT/LETTER/*.jpg``, ``OUT/manifest.csv`` (file, label, source, signer, original, width, height) and
    ``OUT/landmarks.csv`` (file, label, side, score, x0..z20, wx0..wz20). The two tables appear last, so a folder
    with a manifest is complete.

    Raises
    ------
    InputError (a ValueError)
        As :func:`render_letters`; a folder that cannot be written.
    """
    import cv2
    from tqdm.auto import tqdm

    letters = _check(letters, signers, views, size, seed)
    out = Path(out)
    try:
        for letter in dict.fromkeys(letters):
            (out / letter).mkdir(parents=True, exist_ok=True)
        probe = out / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}") from error
    names = [f"{kind}{k}" for k in range(21) for kind in "xyz"]
    manifest = [("file", "label", "source", "signer", "original", "width", "height")]
    table = [("file", "label", "side", "score", *names, *(f"w{name}" for name in names))]
    counts: dict[tuple[str, str], int] = {}
    total = signers * len(letters) * views
    with tqdm(total=total, unit="photo", desc="Rendering letters", disable=not progress) as bar:
        for part in iter_letters(letters, signers, views, size, seed, angle, first_signer):
            for k, (label, signer) in enumerate(zip(part.labels, part.signers, strict=True)):
                view = counts[label, signer] = counts.get((label, signer), -1) + 1
                file = f"{label}/{signer}-{view:03d}.jpg"
                _ok, data = cv2.imencode(".jpg", part.images[k][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
                partial = out / f"{file}.part"
                partial.write_bytes(data.tobytes())
                partial.replace(out / file)
                manifest.append((file, label, "synthetic", signer, Path(file).stem, size, size))
                values = np.concatenate([part.landmarks[k].ravel(), part.world[k].ravel()])
                table.append((file, label, part.sides[k], 1.0, *(f"{v:.6g}" for v in values)))
            bar.update(len(part))
    for name, rows in (("landmarks.csv", table), ("manifest.csv", manifest)):
        partial = out / f"{name}.part"
        with partial.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        partial.replace(out / name)
    return out
