"""A signed word as a film with its truth, and films written to files."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asllib.errors import InputError
from asllib.paths import replacing
from asllib.signer.alphabet import ANGLES, LETTERS, clip_to_limits
from asllib.signer.letters import MIN_SIZE
from asllib.signer.motion import Motion, idle_motion, word_motion

if TYPE_CHECKING:
    from asllib.signer.scene import Signer

BATCH = 32
EXTENT = 0.24  # metres of the signing space that fill a picture's chosen part


@dataclass(frozen=True)
class SignedWord:
    """A film of a word; letters and positions as in ``Motion``, landmarks as in ``SyntheticShots``."""

    frames: np.ndarray  # (F, H, W, 3) uint8 RGB
    fps: float
    word: str
    letters: list[str]
    positions: np.ndarray  # (F,)
    landmarks: np.ndarray  # (F, 21, 3) float32
    world: np.ndarray  # (F, 21, 3) float32
    signer: str
    side: str

    def __len__(self) -> int:
        return len(self.letters)


def render_word(
    word: str,
    signer: int = 0,
    fps: float = 30.0,
    letters_per_second: float = 2.0,
    size: tuple[int, int] = (320, 240),
    seed: int = 0,
) -> SignedWord:
    """Film one signer who spells a word, from rest to rest.

    ``signer`` is the number of the person in the set ``seed``, the same person as in :func:`render_letters`. Fluent
    spelling is 4 to 6 ``letters_per_second``, a learner's about 2; a space brings the hand to rest. ``size`` is (width,
    height) in pixels, at least 28 each. InputError tells which value cannot be filmed.
    """
    from asllib.signer.scene import draw_signer, letter_poses

    _check(size, signer, seed)
    word = word.upper()
    person = draw_signer(seed, signer)
    rng = np.random.default_rng([seed, signer, *word.encode()])
    letters = sorted(set(word) & set(LETTERS))
    known = dict(zip(letters, letter_poses([person], letters, still=False)[0], strict=True)) if letters else {}
    return _film(person, word_motion(word, fps, letters_per_second, known, rng), fps, size, rng, word)


def render_idle(
    seconds: float = 10.0, signer: int = 0, fps: float = 30.0, size: tuple[int, int] = (320, 240), seed: int = 0
) -> SignedWord:
    """Film a hand that does not sign: at rest, opening, gesturing; parameters as in :func:`render_word`."""
    from asllib.signer.scene import draw_signer

    _check(size, signer, seed)
    if not (fps > 0 and seconds > 0):
        raise InputError(f"fps {fps} and seconds {seconds} must be above 0")
    rng = np.random.default_rng([seed, signer, 7])
    return _film(draw_signer(seed, signer), idle_motion(seconds, fps, rng), fps, size, rng, "")


def _check(size: tuple[int, int], signer: int, seed: int) -> None:
    width, height = size
    if min(width, height) < MIN_SIZE:
        raise InputError(f"size is {width}x{height}: both must be at least {MIN_SIZE}")
    if signer < 0 or seed < 0:
        raise InputError(f"signer {signer} and seed {seed} must not be below 0")


def _film(
    person: Signer, motion: Motion, fps: float, size: tuple[int, int], rng: np.random.Generator, word: str
) -> SignedWord:
    """Film one person's motion with one camera, which shows the signing space."""
    from asllib.signer.render import photograph
    from asllib.signer.scene import draw_shot

    count = len(motion.letters)
    poses = clip_to_limits(motion.poses + _tremor(count, fps, rng, len(ANGLES)))
    offsets = motion.offsets + 0.001 * _tremor(count, fps, rng, 3)
    shot = replace(draw_shot(rng), fill=float(rng.uniform(0.52, 0.68)), roll=float(rng.normal(0, 3)))
    # Motion blur: the shutter is open for a third of a frame's time.
    speed = np.gradient(offsets, axis=0) * (1 if person.side == "right" else [-1, 1, 1])
    shots = [replace(shot, smear=tuple(xy)) for xy in speed[:, :2] / EXTENT * shot.fill * 224 / 3]
    frame, parts = (EXTENT, np.array([0.0, 0.05, 0.0])), []
    for start in range(0, count, BATCH):
        rows = slice(start, min(start + BATCH, count))
        seeds = rng.integers(2**31, size=rows.stop - start).tolist()
        parts.append(photograph(poses[rows], len(seeds) * [person], shots[rows], size, seeds, frame, offsets[rows]))
    images, landmarks, world = (np.concatenate(part) for part in zip(*parts, strict=True))
    truth = (motion.letters, motion.positions, landmarks, world)
    return SignedWord(images, float(fps), word, *truth, person.name, person.side)


def _tremor(count: int, fps: float, rng: np.random.Generator, channels: int) -> np.ndarray:
    """(count, channels) slow unsteadiness of about one unit: no hand stands quite still."""
    knots = int(np.ceil(count / fps * 2)) + 2
    values = rng.normal(0, 1, (knots, channels))
    times = np.arange(count) / fps * 2
    return np.stack([np.interp(times, np.arange(knots), column) for column in values.T], 1)


def write_video(path: str | os.PathLike[str], frames: np.ndarray, fps: float = 30.0) -> Path:
    """Write a film (F, H, W, 3) uint8 RGB as ``.mp4``, or as ``.mjpeg``, as browsers' fake cameras take it.

    An ``.mjpeg`` is JPEGs one after the other, without a frame rate. InputError if the path has another ending, there
    are no frames, the disk is full, or the folder cannot be written.
    """
    import cv2

    path, frames = Path(path), np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise InputError(f"frames must be (F, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
    kind = path.suffix.lower()
    if kind not in (".mp4", ".mjpeg"):
        raise InputError(f"{path.name}: use a name that ends in .mp4 or .mjpeg")
    with replacing(path) as partial:
        if kind == ".mjpeg":
            with partial.open("wb") as file:
                for frame in frames:
                    _, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
                    file.write(data.tobytes())
            return path
        partial.touch()
        height, width = frames.shape[1:3]
        writer = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
        if not writer.isOpened():
            raise InputError(f"cannot write {path}: no encoder for {width}x{height} at {fps} frames a second")
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        writer.release()
        # OpenCV says nothing of a full disk.
        written = int(cv2.VideoCapture(str(partial.absolute())).get(cv2.CAP_PROP_FRAME_COUNT))
        if written != len(frames):
            raise InputError(f"{path}: {written} of {len(frames)} frames could be written; make room on the disk")
    return path
