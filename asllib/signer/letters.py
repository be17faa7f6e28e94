"""Sets of letters: many signers, many views, in memory or in a folder."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asllib.errors import InputError
from asllib.letters import LETTERS
from asllib.paths import replacing, write_text
from asllib.signer.alphabet import HIGHEST, LOWEST, STYLES, draw_habit

if TYPE_CHECKING:
    from asllib.signer.scene import Signer

BATCH = 64  # pictures
CREW = 8  # signers whose letters are settled at once
MIN_SIZE = 28  # pixels of a picture's side
ALPHABET = "".join(LETTERS)


@dataclass(frozen=True)
class SyntheticShots:
    """Pictures of letters with their truth.

    Image landmarks are MediaPipe's: x and y as fractions of width and height, z from the wrist in units of the width,
    nearer is smaller. World landmarks are metres from the hand's middle, x right, y down, z away from the camera.
    """

    images: np.ndarray  # (N, H, W, 3) uint8 RGB
    labels: list[str]  # N of "A".."Z"
    signers: list[str]  # synthetic-SEED-NUMBER
    sides: list[str]  # "left" or "right"
    landmarks: np.ndarray  # (N, 21, 3) float32
    world: np.ndarray  # (N, 21, 3) float32

    def __len__(self) -> int:
        return len(self.labels)


def check_letters(letters: str, signers: int, views: int, size: int, seed: int) -> str:
    """The letters in capitals; InputError, as ``render_letters`` says, if one of the values cannot be drawn."""
    letters = "".join(letters).upper()
    if not letters:
        raise InputError("no letters asked for: give some of A-Z, such as letters='ABC'")
    for letter in letters:
        if letter not in LETTERS:
            raise InputError(f"{letter!r} is not a letter of the alphabet: use A-Z")
    check_numbers(signers=(signers, 1), views=(views, 1), size=(size, MIN_SIZE), seed=(seed, 0))
    return letters


def check_numbers(**numbers: tuple[int, int]) -> None:
    """InputError if one of the values, each with the least that it may be, is smaller or no whole number."""
    for name, (value, least) in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{name} is {value!r}: it must be a whole number of at least {least}")


def _parts(
    letters: str, signers: int, views: int, size: int, seed: int, angle: float = 35.0, first_signer: int = 0
) -> Iterator[SyntheticShots]:
    """Draw what :func:`render_letters` says in pieces of at most 64 pictures: a set may not fit in memory."""
    from asllib.signer.scene import draw_signer, letter_poses

    last = first_signer + signers
    for first in range(first_signer, last, CREW):
        people = [draw_signer(seed, number) for number in range(first, min(first + CREW, last))]
        poses = letter_poses(people, letters)
        plan = list(product(range(len(people)), range(len(letters)), range(views)))
        for start in range(0, len(plan), BATCH):
            who, place, view = zip(*plan[start : start + BATCH], strict=True)
            shown, labels = [people[k] for k in who], [letters[k] for k in place]
            # Each picture has its own stream, so that a larger set begins with the smaller one's pictures.
            seeds = [(seed, first + k, ord(letter), v) for k, letter, v in zip(who, labels, view, strict=True)]
            streams = [np.random.default_rng(each) for each in seeds]
            images, landmarks, world = photograph_each(poses[who, place], shown, streams, size, angle)
            names, sides = [person.name for person in shown], [person.side for person in shown]
            yield SyntheticShots(images, labels, names, sides, landmarks, world)


def photograph_each(
    poses: np.ndarray,  # (B, angles) degrees
    people: "Sequence[Signer]",
    streams: Sequence[np.random.Generator],
    size: int,
    angle: float = 35.0,
    steps: int = 6,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``photograph`` poses, each with a camera, a light and a room of its own from its stream of random numbers."""
    from asllib.signer.render import photograph
    from asllib.signer.scene import draw_shot

    # No one makes a letter twice in quite the same way.
    habits = np.stack([draw_habit(rng, 0.35) for rng in streams])
    shots = [draw_shot(rng, angle) for rng in streams]
    seeds = [int(rng.integers(2**31)) for rng in streams]
    return photograph(np.clip(poses + habits, LOWEST, HIGHEST), people, shots, (size, size), seeds, steps=steps)


def find_signer(style: str, seed: int = 0) -> int:
    """Number of the first person of the set ``seed`` with a style, as ``"M hanging"``; InputError names the styles."""
    from asllib.signer.scene import draw_signer

    if style not in STYLES:
        raise InputError(f"{style!r} is not a style of a letter: use {', '.join(STYLES)}")
    return next(number for number in count() if draw_signer(seed, number).styles.get(style[0]) == style)


def jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """Encode an (H, W, 3) uint8 RGB image."""
    import cv2

    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def render_letters(
    letters: str = ALPHABET,
    signers: int = 8,
    views: int = 12,
    size: int = 224,
    seed: int = 0,
    angle: float = 35.0,
    first_signer: int = 0,
) -> SyntheticShots:
    """Photograph letters: every signer shows every letter in every view.

    Signer by signer, letter by letter: N = signers x letters x views. J and Z are shown at the end of their stroke.
    ``size`` is a picture's side in pixels, at least 28; ``angle`` the largest of the camera from the front, in degrees.
    The same ``seed`` gives the same set; one whose ``first_signer`` lies beyond another set's last has other people.
    InputError tells which value cannot be drawn.
    """
    letters = check_letters(letters, signers, views, size, seed)
    parts = [vars(part) for part in _parts(letters, signers, views, size, seed, angle, first_signer)]
    labels, names, sides = (list(chain(*(part[name] for part in parts))) for name in ("labels", "signers", "sides"))
    images, landmarks, world = (np.concatenate([p[name] for p in parts]) for name in ("images", "landmarks", "world"))
    return SyntheticShots(images, labels, names, sides, landmarks, world)


def write_letters(
    out: str | os.PathLike[str],
    letters: str = ALPHABET,
    signers: int = 8,
    views: int = 12,
    size: int = 224,
    seed: int = 0,
) -> Path:
    """Write what :func:`render_letters` makes to a folder; InputError also if it cannot be written to.

    ``LETTER/*.jpg``, ``landmarks.csv`` (file, label, side, score, x0..z20, wx0..wz20), and last, so that a folder with
    one is complete, ``manifest.csv`` (file, label, source, signer, original, width, height).
    """
    from tqdm.auto import tqdm

    letters, out = check_letters(letters, signers, views, size, seed), Path(out)
    points = [f"{axis}{k}" for k in range(21) for axis in "xyz"]
    manifest = ["file,label,source,signer,original,width,height\n"]
    table = [",".join(["file", "label", "side", "score", *points, *(f"w{name}" for name in points)]) + "\n"]
    total, counts = signers * len(letters) * views, Counter[str]()
    with replacing(out / "manifest.csv") as last, tqdm(total=total, unit="photo", desc="Rendering letters") as bar:
        for letter in letters:
            (out / letter).mkdir(exist_ok=True)
        for part in _parts(letters, signers, views, size, seed):
            values = np.concatenate([part.landmarks, part.world], 1).reshape(len(part), -1)
            for k, (label, signer) in enumerate(zip(part.labels, part.signers, strict=True)):
                name = f"{signer}-{counts[label + signer]:03d}"
                counts[label + signer] += 1
                file = f"{label}/{name}.jpg"
                (out / file).write_bytes(jpeg(part.images[k]))
                manifest.append(f"{file},{label},synthetic,{signer},{name},{size},{size}\n")
                table.append(f"{file},{label},{part.sides[k]},1.0,{','.join(f'{value:.6g}' for value in values[k])}\n")
            bar.update(len(part))
        write_text(out / "landmarks.csv", "".join(table))
        last.write_bytes("".join(manifest).encode())
    return out
