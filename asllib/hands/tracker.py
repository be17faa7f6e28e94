"""Find a hand with MediaPipe's palm detector, and follow it from look to look."""

from __future__ import annotations

import atexit
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from asllib.errors import InputError
from asllib.hands.landmarks import landmark_arrays
from asllib.hands.look import DARK, PRESENCE, Hand, hand_crop, light_up, look_at, model_file
from asllib.quiet import LOG_LINE, without_lines

# Pixels of a side; a larger image is shrunk first. Else the borders of attempts would take gigabytes, and from 32,767
# pixels on MediaPipe ends the process.
LARGEST = 4096
TINT = (1.0, 0.7, 0.55)  # red, green and blue of light skin: the palm detector finds few hands without colour
PALM_SIDE = 192  # pixels a side that the palm detector looks at


@dataclass(frozen=True)
class Attempt:
    """How an image is shown to the palm detector.

    ``part`` is a square: its place, from 0 at the left and top to 1, and its side as a fraction of the image's shorter
    side; None shows all. ``confidence`` is the threshold of the palm detector and of MediaPipe's own look, 0..1: with a
    low one, parts of a hand pass as a hand.
    """

    part: tuple[float, float, float] | None = None
    pad: float = 0.0  # border of repeated edge pixels on every side, as a fraction of the longer side
    size: int | None = None  # resize the longer side to so many pixels after padding; None does not
    blur: float = 0.0  # then blur with this standard deviation in pixels
    tint: bool = False  # multiply colours by ``TINT``
    lit: bool = False  # brighten a dark image; skip a bright one
    confidence: float = 0.5


# Tried in turn until one finds a hand. The order was chosen on validation photos, also pasted into rooms and made grey,
# dark, over-exposed, noisy and blue. A border helps with tight crops, shrinking and blur hide grain, the tint gives a
# hand colour, squares bring a far hand nearer, and a dark image is brightened.
ATTEMPTS: tuple[Attempt, ...] = (
    Attempt(),
    Attempt(pad=0.25, size=128),
    Attempt(pad=0.25, size=256, tint=True),
    *(Attempt(part=(x, 0.5, 1.0)) for x in (0.5, 0.0, 1.0)),
    Attempt(lit=True),
    Attempt(pad=0.25, size=128, lit=True),
    Attempt(pad=0.25, size=128, blur=0.7, confidence=0.1),
    Attempt(pad=0.25, size=256, tint=True, confidence=0.1),
    Attempt(pad=1.0, size=256, confidence=0.1),
    Attempt(pad=0.6, size=128, confidence=0.1),
    Attempt(tint=True, confidence=0.1),
    Attempt(pad=0.25, size=128, tint=True, confidence=0.1),
    Attempt(pad=0.25, size=64, confidence=0.1),
    Attempt(pad=0.6, size=256, confidence=0.1),
    Attempt(pad=0.6, size=256, tint=True, confidence=0.1),
    *(Attempt(pad=0.25, size=size, lit=True, confidence=0.1) for size in (256, 128, 64)),
    Attempt(pad=0.6, size=256, tint=True, lit=True, confidence=0.1),
    *(Attempt(part=(x, y, 0.6), confidence=0.1) for y in (1.0, 0.0) for x in (0.0, 1 / 3, 2 / 3, 1.0)),
)

# Turn in degrees and zoom of each look at a photo. More looks do not improve accuracy on validation photos.
LOOKS: tuple[tuple[float, float], ...] = ((0.0, 1.0), (-10.0, 1.1))

# Evidence for a right hand of a palm length that fingers bend, and the most that it counts for: as sure as MediaPipe's
# can be. The first is a logistic regression's on films of practice signers.
BENT, SUREST = 23.0, math.log(99)
HALF_LIFE_S = 2.0  # seconds in which the evidence for a hand's side falls to half; chosen on films of practice signers
SEEK_S = 1.5  # seconds after a hand is found in which a second one is looked for often
OFTEN_S, LATER_S = 0.1, 0.5  # seconds from one search for a second hand to the next, within these seconds and later
RATED_S = 0.4  # seconds in which what a hand was rated before falls to half
LEAD = 0.15  # by which a second hand must be rated higher to be followed instead
LOST_S = 1.5  # seconds to wait for a lost hand at its last place


class HandTracker:
    """Finds a hand in single images, or finds and follows one in the frames of a video.

    In a ``video`` it searches each frame unchanged and by one more of the ``attempts``, in turn. Once it finds a hand,
    it follows the hand by looks alone, as MediaPipe does, until a look says that the hand is gone; then it waits for it
    at its last place. Now and then it looks for a second hand. Of two hands it follows both and returns the one that
    spells: the one that ``rate`` gives more, a number for a hand in a picture of an aspect ratio (width / height), of
    which a lead of 0.15 counts. By default that is the one that is held up to the camera, see ``prominence``.

    Examples
    --------
    >>> HandTracker().detect(np.zeros((64, 64, 3), np.uint8)) is None
    True
    """

    def __init__(
        self,
        video: bool = False,
        attempts: Sequence[Attempt] = ATTEMPTS,
        rate: Callable[[Hand, float], float] | None = None,
    ) -> None:
        self.video = video
        self.attempts = tuple(attempts)
        self.rate = rate or (lambda hand, aspect: 0.3 * prominence(hand, aspect))
        self._turn = 0  # number of the next attempt after the first
        self._track: _Track | None = None
        self._other: _Track | None = None  # of a second hand in view
        self._lost: _Track | None = None  # the last track, while its hand is awaited

    def detect(self, image: np.ndarray, timestamp_ms: float | None = None) -> Hand | None:
        """Find the hand in an image (H, W, 3) uint8 RGB, or None; a video's frame has its time in milliseconds.

        InputError if the array is not such an image, or a time is given without ``video``, or the other way round.
        """
        image = _checked(image)
        if self.video != (timestamp_ms is not None):
            raise InputError("timestamp_ms is for each frame of HandTracker(video=True), and for no other image")
        if timestamp_ms is None:
            return next(iter(self._looks(image, LOOKS[:1])), None)
        ms = float(timestamp_ms)
        if self._track is not None and not self._track.follow(image, ms):
            self._lost, self._track = self._track, None
        if self._other is not None and not self._other.follow(image, ms):
            self._other = None
        if self._track is None:
            self._find(image, ms)
        elif self._other is None:
            attempt = self._track.seek(image, ms, self.attempts)
            if attempt is not None:
                self._other = second(self._track, image, ms, find(image, attempt))
        self._choose(image, ms)
        return None if self._track is None else self._track.hand

    def detect_looks(self, image: np.ndarray) -> tuple[Hand, ...]:
        """Look at the hand in a single image once for each of ``LOOKS``, each with a slightly other turn and zoom.

        Their errors differ, so the mean of a network's probabilities is right more often. The looks agree on the hand's
        side, and are in the coordinates of the image. Without a hand there are none.
        """
        if self.video:
            raise InputError("detect_looks is for single images, not for HandTracker(video=True)")
        return self._looks(_checked(image), LOOKS)

    def _looks(self, image: np.ndarray, ways: Sequence[tuple[float, float]]) -> tuple[Hand, ...]:
        for attempt in useful(self.attempts, image):
            for found in find(image, attempt):
                hands = look_all(image, found if attempt == Attempt() else settle(image, found), ways)
                if hands:
                    return hands
        return ()

    def _find(self, image: np.ndarray, ms: float) -> None:
        """Look for a hand by two attempts; for a while after a hand was lost, only near its last place."""
        lost = self._lost if self._lost is not None and abs(ms - self._lost.ms) <= 1000 * LOST_S else None
        if self._other is not None and lost is None:
            self._track, self._other = self._other, None
            return
        first, *more = useful(self.attempts, image)
        for attempt in (first, *([more[self._turn % len(more)]] if more else [])):
            hands = find(image, attempt)
            for found in hands:
                if lost is None or lost.distance(found, image) < 2:
                    self._track = begin(image, found, ms, Side() if self._lost is None else self._lost.side)
                if self._track is not None:  # the next search begins with the attempt that found it
                    self._other = self._other or second(self._track, image, ms, hands)
                    return
        self._turn += 1

    def _choose(self, image: np.ndarray, ms: float) -> None:
        """Of two hands follow the one that is rated higher."""
        if self._track is None or self._other is None:
            return
        if self._track.distance(self._other.hand, image) < 0.5:  # both tracks are on the same hand
            self._other = None
            return
        for track in (self._track, self._other):
            track.rate(self.rate(track.hand, image.shape[1] / image.shape[0]))
        if self._other.rating > self._track.rating + LEAD:
            self._track, self._other = self._other, self._track


def begin(image: np.ndarray, found: Hand, ms: float, side: Side) -> _Track | None:
    """Look at a found hand, and begin to follow it, unless the look sees none."""
    left = side.of(found, ms / 1000).side == "left"
    seen = look_at(image, hand_crop(found.landmarks, *_size(image), left=left))
    return None if seen.presence < PRESENCE else _Track(side.of(seen, ms / 1000), ms, side)


def second(first: _Track, image: np.ndarray, ms: float, hands: Sequence[Hand]) -> _Track | None:
    """Begin to follow a second hand, one of some found hands that is apart from the first."""
    apart = (begin(image, found, ms, Side()) for found in hands if first.distance(found, image) > 1)
    return next((track for track in apart if track is not None), None)


class _Track:
    """A followed hand: its place, its side, how it is rated, and when a second one was looked for."""

    def __init__(self, hand: Hand, ms: float, side: Side) -> None:
        self.hand, self.side = hand, side
        self.ms = self._began_ms = self._sought_ms = ms
        self.rating = -math.inf  # mean over the last moments, while there are two hands
        self._passed_ms = 0.0  # from the frame before
        self._turn = 0  # number of the next attempt to find a second hand

    def follow(self, image: np.ndarray, ms: float) -> bool:
        """Look at the hand in the next frame; False if it is gone."""
        seen = look_at(image, hand_crop(self.hand.landmarks, *_size(image), left=self.side.right < 0))
        if seen.presence < PRESENCE:
            return False
        self._passed_ms = ms - self.ms
        self.hand, self.ms = self.side.of(seen, ms / 1000), ms
        return True

    def rate(self, now: float) -> None:
        """Take the rating of this frame."""
        before = now if self.rating == -math.inf else self.rating
        self.rating = now + (before - now) * 0.5 ** (max(0.0, self._passed_ms) / 1000 / RATED_S)

    def distance(self, other: Hand, image: np.ndarray) -> float:
        """Distance of another hand, in lengths of the longer one."""
        own, its = (hand.landmarks[:, :2] * _size(image) for hand in (self.hand, other))
        longer = max(1.0, np.ptp(own, axis=0).max(), np.ptp(its, axis=0).max())
        return float(np.linalg.norm(its.mean(0) - own.mean(0)) / longer)

    def seek(self, image: np.ndarray, ms: float, attempts: Sequence[Attempt]) -> Attempt | None:
        """How to look for a second hand in this frame: by the attempts in turn; None if it is not yet time."""
        every_s = OFTEN_S if ms - self._began_ms <= 1000 * SEEK_S else LATER_S
        if ms - self._sought_ms < 1000 * every_s:
            return None
        self._sought_ms, self._turn = ms, self._turn + 1
        shown = useful(attempts, image)
        return shown[(self._turn - 1) % len(shown)]


class Side:
    """The side of a followed hand: evidence adds up over looks, and fades with time."""

    def __init__(self) -> None:
        self.right = 0.0  # logarithm of the odds for a right hand
        self._time_s = -math.inf

    def of(self, hand: Hand, time_s: float) -> Hand:
        """Add a look at the hand as evidence; return it with the side that all evidence gives."""
        self.right = self.right * 0.5 ** (max(0.0, time_s - self._time_s) / HALF_LIFE_S) + odds(hand)
        self._time_s = time_s
        return with_side(hand, self.right)


def useful(attempts: Sequence[Attempt], image: np.ndarray) -> list[Attempt]:
    """Drop squares that show the palm detector no more than the whole image, and brightening of bright images."""
    shorter, longer = sorted(image.shape[:2])
    dark = brightness(image) < DARK
    return [
        attempt
        for attempt in attempts
        if (attempt.part is None or PALM_SIDE <= attempt.part[2] * shorter < 0.8 * longer) and (dark or not attempt.lit)
    ]


def brightness(image: np.ndarray) -> float:
    """Mean of some of the pixels of an image, 0..255."""
    return float(image[::8, ::8].mean())


def find(image: np.ndarray, attempt: Attempt) -> list[Hand]:
    """Find up to two hands by one attempt in a checked (H, W, 3) uint8 image, the more prominent first.

    Landmarks are MediaPipe's first look, in the coordinates of the image.
    """
    import mediapipe

    shown, back = prepare(image, attempt)
    with without_lines(LOG_LINE):  # which lets in one thread at a time, as a landmarker needs
        frame = mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(shown))
        result = _landmarker(attempt.confidence).detect(frame)
    hands = []
    for points, world, side in zip(result.hand_landmarks, result.hand_world_landmarks, result.handedness, strict=True):
        landmarks = np.array([(p.x, p.y, p.z) for p in points])
        landmarks = (landmarks * back[0] + back[1]).astype(np.float32)
        metres = np.array([(p.x, p.y, p.z) for p in world], np.float32)
        hands.append(Hand(landmarks, metres, side[0].category_name.lower(), float(side[0].score)))
    aspect = image.shape[1] / image.shape[0]
    return sorted(hands, key=lambda hand: -prominence(hand, aspect))


def settle(image: np.ndarray, found: Hand) -> Hand:
    """Look again where a look saw the hand, twice, as in a video: what is found in a changed picture lies less well."""
    for _ in range(2):
        seen = look_at(image, hand_crop(found.landmarks, *_size(image), left=found.side == "left"))
        if seen.presence < PRESENCE:
            break
        found = seen
    return found


def look_all(image: np.ndarray, found: Hand, ways: Sequence[tuple[float, float]]) -> tuple[Hand, ...]:
    """Take several looks at a hand; empty if the first look sees none."""
    width, height = _size(image)
    left = found.side == "left"
    for _ in range(2):  # again, if all looks together give the other side
        hands, right = [], odds(found)
        for turn, zoom in ways:
            hand = look_at(image, hand_crop(found.landmarks, width, height, left=left, turn=turn, zoom=zoom))
            if hand.presence >= PRESENCE:
                hands.append(hand)
                right += odds(hand)
            elif not hands:
                return ()
        if left == (right < 0):
            break
        left = right < 0
    return tuple(with_side(hand, right) for hand in hands)


def prominence(hand: Hand, aspect: float) -> float:
    """How much a hand is held up to the camera: a larger, higher hand with its fingers up counts more.

    Twice the size counts 1, and so do two thirds of the picture's height; a hand that hangs down loses 1.
    """
    points = hand.landmarks[:, :2] * (aspect, 1.0)
    x, y = points[9] - points[0]
    hangs = max(0.0, y / max(1e-6, math.hypot(x, y)))
    return math.log2(palm_of(points)) - 1.5 * float(points[:, 1].mean()) - hangs


def palm_of(points: np.ndarray) -> float:
    """Mean distance of the knuckles from the wrist, of points (21, 2)."""
    return max(1e-6, float(np.linalg.norm(points[[5, 9, 13, 17]] - points[0], axis=1).mean()))


def odds(hand: Hand) -> float:
    """Evidence of one look for a right hand: the logarithm of the odds, negative for a left hand.

    MediaPipe's network says the side, and fingers bend towards the palm: how they do is told by the image's landmarks.
    """
    right = hand.score if hand.side == "right" else 1 - hand.score
    said = math.log(max(right, 0.01) / max(1 - right, 0.01))
    return said + min(max(BENT * bend(hand.landmarks), -SUREST), SUREST)


def bend(points: np.ndarray) -> float:
    """How far the tips of four fingers lie to the palm's side in (21, 3) points of a right hand, in palm lengths."""
    wrist, index, middle, little = points[[0, 5, 9, 17]]
    normal = np.cross(index - wrist, little - wrist)  # to the palm's side of a right hand
    size = np.linalg.norm(normal) * np.linalg.norm(middle - wrist)
    return float((points[8::4] - points[5::4]).mean(0) @ normal / max(size, 1e-9))


def with_side(hand: Hand, right: float) -> Hand:
    """The hand with the side that all evidence gives, see ``odds``."""
    return replace(hand, side="right" if right >= 0 else "left", score=1 / (1 + math.exp(-min(abs(right), 30.0))))


def prepare(image: np.ndarray, attempt: Attempt) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Change an (H, W, 3) uint8 image by an attempt; scale (3,) and offset (3,) map landmarks back to the image."""
    import cv2

    height, width = image.shape[:2]
    x, y, shown_width, shown_height = 0, 0, width, height
    if attempt.part is not None:
        right, down, part = attempt.part
        side = max(1, round(part * min(width, height)))
        x, y, shown_width, shown_height = round(right * (width - side)), round(down * (height - side)), side, side
        image = image[y : y + side, x : x + side]
    border = round(attempt.pad * max(shown_width, shown_height))
    if border:
        image = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    if attempt.size is not None:
        scale = attempt.size / max(image.shape[:2])
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if attempt.blur:
        image = cv2.GaussianBlur(image, (0, 0), attempt.blur)
    if attempt.tint:
        image = (image * np.array(TINT, np.float32)).astype(np.uint8)
    if attempt.lit:
        image = light_up(image, brightness(image))
    padded = np.array([shown_width + 2 * border, shown_height + 2 * border, shown_width + 2 * border])
    size_of_all = np.array([width, height, width])
    return image, (padded / size_of_all, np.array([x - border, y - border, 0]) / size_of_all)


def _size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _checked(image: np.ndarray) -> np.ndarray:
    """The checked image, shrunk if it is too large: landmarks are fractions of either."""
    check_image(image)
    return image if max(image.shape[:2]) <= LARGEST else prepare(image, Attempt(size=LARGEST))[0]


def check_image(image: object, name: str = "the image") -> None:
    """Raise InputError unless this is a non-empty (H, W, 3) uint8 array."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{name} is {what}; a (height, width, 3) uint8 RGB array is expected")
    if 0 in image.shape:
        raise InputError(f"{name} is empty: its shape is {image.shape}")


@functools.cache
def _landmarker(confidence: float) -> Any:
    """The landmarker of a confidence; single images need no memory, so all trackers share it."""
    from mediapipe.tasks.python import BaseOptions, vision

    landmarker = vision.HandLandmarker.create_from_options(
        vision.HandLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(model_file())),
            num_hands=2,
            min_hand_detection_confidence=confidence,
            min_hand_presence_confidence=confidence,
        )
    )
    atexit.register(_close, landmarker)
    return landmarker


def _close(landmarker: Any) -> None:
    try:
        landmarker.close()
    except RuntimeError:  # its thread has ended; its __del__ would print a TypeError
        landmarker._handle = None


def table_hands(table: pd.DataFrame) -> list[Hand | None]:
    """The hands of a landmark table, one per row; None if no hand was found."""
    arrays = landmark_arrays(table)
    parts = zip(arrays["landmarks"], arrays["world"], arrays["left"], table["score"].tolist(), strict=True)
    return [
        Hand(points, world, "left" if left else "right", score) if score > 0 else None
        for points, world, left, score in parts
    ]
