"""Whole videos to text: a video, a landmark table, or a stream of a known word."""

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from asllib.errors import InputError
from asllib.hands.landmarks import SIZE_COLUMNS, TABLES, landmark_arrays, read_landmarks
from asllib.hands.look import Hand
from asllib.hands.stream import Stream
from asllib.hands.tracker import Side, table_hands
from asllib.networks.spelling import SpellingNet
from asllib.read.decoder import ReadLetter, SpellerSettings
from asllib.read.lexicon import Lexicon, check_names
from asllib.read.reader import FrameReading, ReadWord, TextReader
from asllib.read.recognizer import BLUE, NO_PICTURE, Recognizer, looks_blue
from asllib.read.video import check_rate, count_frames, iter_frames

Video = str | os.PathLike[str] | int | Iterable[tuple[float, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Reading:
    """The reading of a video."""

    text: str  # the letters with the spaces between words
    letters: tuple[ReadLetter, ...]  # all letters that were not deleted, before correction
    words: tuple[ReadWord, ...]
    hand_found: float  # share of the frames with a hand, 0..1
    seconds: float  # length of the video


def read_text(
    video: Video,
    recognizer: Recognizer | SpellingNet | None = None,
    *,
    fps: float | None = None,
    aspect: float | None = None,
    correct: bool = False,
    names: Iterable[str] = (),
    progress: bool = False,
    on_frame: Callable[[float, np.ndarray | None, FrameReading], None] | None = None,
) -> Reading:
    """Read a video, or a table of landmarks; for ``recognizer`` see ``TextReader``.

    ``video`` is a file, a camera's number (read until Ctrl+C or until it is unplugged), or pairs of a time in seconds
    and a frame (H, W, 3) uint8 RGB; or a landmark table (see ``asllib.hands.read_landmarks``) of frames in order, with
    a column ``time_s`` or a frame rate. ``fps`` is the frame rate of a file that does not give it. ``aspect`` is the
    width / height of a table's frames, if the table does not give it.

    ``correct`` replaces words by likelier words of the lexicon, but never changes ``names``. ``on_frame`` is called
    with the time, the frame (None for landmarks) and its reading.

    InputError if the video or table cannot be read or has no times, or the recogniser needs pictures for landmarks.
    """
    names = check_names(names)
    frames: Iterable[tuple[float, Any]]  # for a table a hand and the aspect instead of a frame
    total, hands = None, False
    if isinstance(video, (str, os.PathLike)) and os.fspath(video).endswith(TABLES):
        if getattr(recognizer, "kind", "") == "pixel":
            raise InputError(f"{video}: {NO_PICTURE}")
        frames, hands = read_hands(video, fps, aspect), True
    elif isinstance(video, (str, os.PathLike, int)):
        frames, total = iter_frames(video, fps), count_frames(video)
    else:
        frames = video
    count, found, moment = 0, 0, 0.0
    reader = TextReader(recognizer)
    if correct:
        reader.correcting, reader.lexicon = True, Lexicon(names=names)
    try:
        for moment, frame in tqdm(frames, total=total, desc="Reading", unit="frame", delay=1, disable=not progress):
            reading = reader.read_hand(frame[0], moment, frame[1]) if hands else reader.read(frame, moment)
            count += 1
            found += reading.hand is not None
            if found == 1 and reading.hand is not None and frames is video and looks_blue(frame, reading.hand):
                tqdm.write(BLUE, file=sys.stderr)
            if on_frame is not None:
                on_frame(moment, None if hands else frame, reading)
    except KeyboardInterrupt:
        if not isinstance(video, int):  # Ctrl+C ends a camera: keep its reading
            raise
    reader.finish()
    if correct:
        reader.correct()
    return Reading(reader.text.strip(), reader.letters, reader.words, found / max(count, 1), moment)


def read_hands(
    path: str | os.PathLike[str], fps: float | None = None, aspect: float | None = None
) -> Iterator[tuple[float, tuple[Hand | None, float]]]:
    """Yield the frames of a landmark table: times in seconds, and each frame's hand and aspect ratio.

    InputError if it cannot be read, has no increasing ``time_s`` and no rate is given, or ``aspect`` is invalid.
    """
    table = read_landmarks(path)
    check_rate(fps)
    if fps is not None:
        times = np.arange(len(table)) / fps
    elif "time_s" in table:
        times = pd.to_numeric(table["time_s"], errors="coerce").to_numpy(np.float64)
    else:
        raise InputError(f"{path}: no column time_s; give the frame rate with fps (--fps)")
    bad = ~np.isfinite(times) | (np.diff(times, prepend=-np.inf) <= 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(f"{path}: {times[row]:g} s in row {row + 1}: the times of frames are numbers that increase")
    aspects, side = landmark_arrays(table)["aspect"], Side()
    if aspect is not None:
        if not 0.1 <= aspect <= 10:
            raise InputError(f"aspect={aspect}: width / height of a frame is 0.1 to 10, as 1.78")
        aspects[:] = aspect
    elif not set(SIZE_COLUMNS) <= set(table):
        said = "it says no width and height of the frames, which are taken as square; give aspect (--aspect 1.78)"
        tqdm.write(f"{path}: {said}", file=sys.stderr)
    for moment, hand, aspect in zip(times.tolist(), table_hands(table), aspects.tolist(), strict=True):
        if hand is not None:  # the table has a side per frame; all frames so far decide the hand's side
            hand = side.of(hand, moment)
        yield moment, (hand, aspect)


@dataclasses.dataclass(frozen=True)
class Spelled:
    """The reading of a stream of a known word."""

    word: str
    letters: tuple[ReadLetter, ...]
    read: str  # these letters
    corrected: str  # after the lexicon


def read_stream(
    stream: Stream,
    settings: SpellerSettings | None = None,
    lexicon: Lexicon | None = None,
    recognizer: Recognizer | SpellingNet | None = None,
) -> Spelled:
    """Read the hands of a stream frame by frame, as in a live video, as one word."""
    reader = TextReader(recognizer, dataclasses.replace(settings or SpellerSettings(), space_s=60.0))
    for hand, time in zip(stream.hands(), stream.times, strict=True):
        reader.read_hand(hand, float(time), stream.aspect)
    reader.finish()
    read = "".join(letter.letter for letter in reader.letters)
    corrected = read if lexicon is None or not read else lexicon.correct(read, reader.evidence())
    return Spelled(stream.word, reader.letters, read, corrected)
