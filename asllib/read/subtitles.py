"""Write the reading of a video for people: subtitles, and the video with hand and text drawn in."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asllib.errors import InputError
from asllib.hands.landmarks import draw_hand
from asllib.paths import replacing, write_text
from asllib.read.decoder import ReadLetter
from asllib.read.reader import FrameReading
from asllib.read.video import MJPEG_FPS, count_frames
from asllib.read.videos import Reading

_MOST_FPS = 250.0  # a higher rate is a file's unit of time (1000 in a browser's recording), not a frame rate
_STAY_S = 1.0  # a subtitle stays so long after its last letter, unless the next one begins


def write_subtitles(path: str | os.PathLike[str], reading: Reading) -> Path:
    """Write a reading as subtitles in the form of .srt, one per word."""
    path = Path(path)
    starts, lines = [*(word.start_s for word in reading.words), np.inf], []
    for number, word in enumerate(reading.words, 1):
        end = max(word.end_s, min(word.end_s + _STAY_S, starts[number]))
        lines += [str(number), f"{_clock(word.start_s)} --> {_clock(end)}", word.word, ""]
    write_text(path, "\n".join(lines))
    return path


def _clock(seconds: float) -> str:
    thousandths = round(1000 * max(0.0, seconds))
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"


@contextmanager
def annotated_video(path: str | os.PathLike[str], fps: float) -> Iterator[Callable[[float, Any, FrameReading], None]]:
    """Write a video (.mp4) with hand and text drawn into its frames; complete or not at all.

    Gives an ``on_frame`` of ``read_text``. The rate is constant, ``fps`` frames a second, or 30 if ``fps`` is above
    250: frames are repeated or dropped to keep their times. InputError if the file cannot be written; at the end, if
    the disk was full.
    """
    path, fps = Path(path), fps if fps <= _MOST_FPS else MJPEG_FPS
    if path.suffix.lower() != ".mp4":
        raise InputError(f"{path}: use a name that ends in .mp4")
    frames, last = 0, np.empty(0)  # the last one as it was written
    with replacing(path) as partial:
        writer = cv2.VideoWriter()

        def write(time_s: float, frame: np.ndarray, reading: FrameReading) -> None:
            nonlocal frames, last
            due = math.floor(time_s * fps + 0.5) + 1  # frames with this one; round() rounds halves to even
            if due <= frames:
                return
            height, width = frame.shape[:2]
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            if not writer.isOpened() and not writer.open(str(partial.absolute()), codec, fps, (width, height)):
                raise InputError(f"cannot write {path}: no encoder for {width}x{height}")
            drawn = np.ascontiguousarray(annotate(frame, reading)[..., ::-1])
            for _ in range(frames, due - 1):
                writer.write(last if frames else drawn)
            writer.write(drawn)
            last, frames = drawn, due

        try:
            yield write
        finally:
            writer.release()
        written = count_frames(partial) or 0
        if written != frames:  # OpenCV does not report a full disk
            raise InputError(f"{path}: {written} of {frames} frames could be written; make room on the disk")


def annotate(frame: np.ndarray, reading: FrameReading) -> np.ndarray:
    """Return a copy of a frame with the hand, the letter of the moment and the end of the text drawn on it."""
    drawn = draw_hand(frame, reading.hand)
    height, width = drawn.shape[:2]
    size = height / 360
    bar = round(44 * size)
    drawn[height - bar :] //= 4
    room = max(1, int(width / (17 * size)))
    for text, place in (
        (reading.text[-room:], (round(8 * size), height - round(13 * size))),
        (f"{reading.letter} {reading.confidence:.0%}" if reading.letter else "", (round(8 * size), round(30 * size))),
    ):
        for color, wide in (((0, 0, 0), 4), ((255, 255, 255), 2)):
            thick = max(1, round(wide * size))
            cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.85 * size, color, thick, cv2.LINE_AA)
    return drawn


def letters_json(letters: Sequence[ReadLetter]) -> list[dict[str, object]]:
    """Letters as ``--json`` writes them."""
    digits = {"start_s": 3, "end_s": 3, "confidence": 4}
    return [{"letter": a.letter} | {name: round(getattr(a, name), n) for name, n in digits.items()} for a in letters]
