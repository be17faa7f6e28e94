"""Frames of a video with their times: a file or a camera."""

import math
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from asllib.errors import InputError
from asllib.files import check_there
from asllib.quiet import without_lines

MJPEG_FPS = 30.0  # concatenated JPEGs have no rate; this is the rate of browsers
MAX_PIXELS = 50_000_000  # of a frame, twice 6K; a file of a few bytes may claim any size
_MJPEG = (".mjpeg", ".mjpg")


def iter_frames(source: str | os.PathLike[str] | int, fps: float | None = None) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the frames of a video file, or of a camera until the caller stops or it is unplugged.

    ``source`` is a video file, concatenated JPEGs (``.mjpeg``, taken to have 30 frames a second), or a camera's number;
    ``fps`` takes the place of the file's own rate. Yields increasing times in seconds from the first frame, and frames,
    (H, W, 3) uint8 RGB. InputError if there is no such video, rate or camera, or it gives no frame.
    """
    check_rate(fps)
    if isinstance(source, int):
        return _camera_frames(source)
    _check_file(Path(source))
    return _file_frames(Path(source), fps)


def check_rate(fps: float | None) -> None:
    """Raise InputError if a frame rate is given that is not above 0."""
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps={fps}: a video has more than 0 frames a second")


def count_frames(source: str | os.PathLike[str] | int) -> int | None:
    """Number of frames by the file's header, for progress; None if unknown, as for a camera."""
    if isinstance(source, int) or Path(source).suffix.lower() in _MJPEG:
        return None
    count = int(_open_file(Path(source)).get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None


def frame_rate(path: str | os.PathLike[str]) -> float:
    """Frame rate by a video file's header; InputError if the file is missing, or has no rate above 0."""
    _check_file(Path(path))
    return _rate(Path(path), _open_file(Path(path)))


def _rate(path: Path, capture: cv2.VideoCapture) -> float:
    rate = MJPEG_FPS if path.suffix.lower() in _MJPEG else capture.get(cv2.CAP_PROP_FPS)
    if not (math.isfinite(rate) and rate > 0):
        raise InputError(f"{path}: says {rate:g} frames a second; give the true rate with fps (--fps)")
    return rate


_KINDS = ".mp4, .mov, .avi, .webm or .mjpeg"
_STARTS = (b"RIFF", b"\x1a\x45\xdf\xa3", b"\xff\xd8\xff")  # AVI, WebM and Matroska, JPEG
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")  # MP4 and QuickTime


def _check_file(path: Path) -> None:
    check_there(path, path, "video")
    with path.open("rb") as file:
        start = file.read(2048)
    if start.startswith(b"GIF8"):
        raise InputError(f"{path}: a GIF has too few frames and colours to be read; give the film it was made from")
    # Check the contents, not the ending: a playlist under a film's name could open other files, or the network.
    if not (start.startswith(_STARTS) or start[4:8] in _BOXES):
        raise InputError(f"{path}: not a video that can be read; give {_KINDS}")


# Log lines of FFmpeg and OpenCV about a film: this module reports what matters.
_LOG_LINE = re.compile(rb"\[[\w, -]+ @ 0x[0-9a-f]+\] | \(Invalid argument\): fmt:|\[ *(WARN|ERROR):\d+@")
_CURE = "convert it: ffmpeg -i {0.name} {1}-c:v libx264 converted.mp4"
_BREAK = 0.5  # seconds that may be missing at a film's end, since sound tracks are often longer


def _open_file(path: Path) -> cv2.VideoCapture:
    with without_lines(_LOG_LINE):
        # FFmpeg takes the start of "12:30.mjpeg" for a protocol, but not the start of an absolute path.
        # One thread, so that the log lines of a frame come while it is read.
        return cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])


def _file_frames(path: Path, fps: float | None) -> Iterator[tuple[float, np.ndarray]]:
    capture = _open_file(path)
    try:
        if not capture.isOpened():
            said = "not a video that can be read (cut off, sound alone, or an unknown codec)"
            raise InputError(f"{path}: {said}; give {_KINDS}")
        width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MAX_PIXELS:
            raise InputError(f"{path}: frames of {width}x{height} pixels; scale them down below {MAX_PIXELS:,}")
        own_times = fps is None and path.suffix.lower() not in _MJPEG
        rate = fps or _rate(path, capture)
        number, last, shown = 0, -math.inf, 0.0  # shown: the film's own time
        while True:
            with without_lines(_LOG_LINE) as logged:
                read, frame = capture.read()
            if any(b"interlaced" in line for line in logged):  # OpenCV gives old contents of its memory
                raise InputError(f"{path}: an interlaced film cannot be read; {_CURE.format(path, '-vf bwdif ')}")
            if not read:
                break
            shown = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            moment = shown if own_times else number / rate
            if not (math.isfinite(moment) and moment > last):  # a frame without its own time
                moment = 0.0 if number == 0 else last + 1 / rate
            yield moment, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            number, last = number + 1, moment
        if not number:
            name = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(8, "little", signed=True)[:4].decode("latin-1")
            said = f"no frame of its {name.strip().replace('AV01', 'AV1')} video can be read"
            raise InputError(f"{path}: {said}; {_CURE.format(path, '')}, or get it again")
        length = capture.get(cv2.CAP_PROP_FRAME_COUNT) / (capture.get(cv2.CAP_PROP_FPS) or math.inf)
        if length - shown > _BREAK and path.suffix.lower() not in _MJPEG:
            said = f"{path}: the film breaks off at {last:.1f} s of {length:.1f} s; what comes before is read"
            tqdm.write(said, file=sys.stderr)
    finally:
        capture.release()


def _camera_frames(camera: int) -> Iterator[tuple[float, np.ndarray]]:
    capture = cv2.VideoCapture(camera)
    try:
        if not capture.isOpened():
            raise InputError(f"camera {camera} does not open: is it plugged in, and used by no other program?")
        started, moment = time.perf_counter(), -math.inf
        while (said := capture.read())[0]:
            moment = max(time.perf_counter() - started, moment + 1e-3)  # a clock may stand still for 16 ms
            yield moment, cv2.cvtColor(said[1], cv2.COLOR_BGR2RGB)
        if moment < 0:
            raise InputError(f"camera {camera} gives no frames: was it unplugged?")
    finally:
        capture.release()
