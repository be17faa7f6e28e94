"""How well hands are found and followed: beside MediaPipe, in changed photos, with a second hand in view.

    python benchmarks/tracker.py [--only NAME ...]

The real photos and films come from ASLLIB_DATA. Drawn films are of test signers, who are in no training and no choice.
Everything is written to data/results/tracker.json; what is not run stays as it is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from machine import machine
from rapidfuzz.distance import Levenshtein

from asllib import load_letters, load_recognizer
from asllib.data import split
from asllib.data.letterset import LetterSet
from asllib.hands import Attempt, HandTracker, model_file
from asllib.hands.tracker import find
from asllib.letters import STATIC
from asllib.paths import data_dir, results_dir
from asllib.read import read_text
from asllib.read.video import iter_frames
from asllib.results import save_result

PHOTOS = 120
ROOM = (1920, 1080)
SECOND = 30  # frames


def mediapipe_video():
    """MediaPipe's landmarker as it follows one hand in a video."""
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.HandLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model_file())), running_mode=vision.RunningMode.VIDEO
    )
    return vision.HandLandmarker.create_from_options(options)


def beside_mediapipe() -> dict:
    """Time and landmarks of a followed frame, our tracker and MediaPipe's frame by frame in turn."""
    import mediapipe

    result = {}
    for name in ("hello.mjpeg", "hand_not_signing.mp4"):
        frames = [
            cv2.resize(frame, (320, round(320 * frame.shape[0] / frame.shape[1])), interpolation=cv2.INTER_AREA)
            for _, frame in iter_frames(data_dir() / "video" / name)
        ]
        theirs, ours = mediapipe_video(), HandTracker(video=True)
        times: dict[str, list[float]] = {"mediapipe": [], "asllib": []}
        apart, following, hand = [], 0, None
        for i, frame in enumerate(frames):
            size = frame.shape[1], frame.shape[0]
            followed = hand is not None
            started = time.perf_counter()
            seen = theirs.detect_for_video(mediapipe.Image(mediapipe.ImageFormat.SRGB, frame), 33 * i)
            middle = time.perf_counter()
            hand = ours.detect(frame, 33 * i)
            ended = time.perf_counter()
            following = following + 1 if hand is not None and followed and seen.hand_landmarks else 0
            if following < 3:  # MediaPipe finds in one frame, and follows from the next
                continue
            times["mediapipe"].append(middle - started)
            times["asllib"].append(ended - middle)
            points = np.array([(p.x, p.y) for p in seen.hand_landmarks[0]]) * size
            off = np.linalg.norm(hand.landmarks[:, :2] * size - points, axis=1).mean()
            apart.append(off / np.ptp(points, axis=0).max())
        theirs.close()
        medians = {f"{who}_ms": 1000 * float(np.median(taken)) for who, taken in times.items()}
        result[name] = {
            "frames": len(apart),
            **medians,
            "ratio": medians["asllib_ms"] / medians["mediapipe_ms"],
            "apart_median": float(np.median(apart)),
            "apart_p95": float(np.percentile(apart, 95)),
        }
        print(f"{name}: {json.dumps(result[name])}")
    return result


def photo_milliseconds(count: int = 60) -> dict:
    """``default`` on a photo beside four detections by MediaPipe, which is how photos were looked at before."""
    photos, recognizer = some_photos(), load_recognizer("default")
    times: dict[str, list[float]] = {"default": [], "four_detections": []}
    for i in range(count):
        image = photos.images[i]
        started = time.perf_counter()
        recognizer.predict([image])
        middle = time.perf_counter()
        for _ in range(4):
            find(image, Attempt())
        times["default"].append(middle - started)
        times["four_detections"].append(time.perf_counter() - middle)
    medians = {f"{name}_ms": 1000 * float(np.median(taken)) for name, taken in times.items()}
    medians["ratio"] = medians["default_ms"] / medians["four_detections_ms"]
    print(f"a photo: {json.dumps(medians)}")
    return medians


def some_photos() -> LetterSet:
    """120 photos of the validation and test parts, as many of each source as there are, in one fixed order."""
    photos = load_letters("photos").only(STATIC)
    part = split(photos, "original", 0)
    places = np.flatnonzero(part != "train")
    return photos.subset(np.random.default_rng(0).permutation(places)[:PHOTOS])


def tight_films() -> dict:
    """A second of film of each photo's hand, 200x200 pixels, that it fills; the camera shakes a little."""
    photos, still = some_photos(), HandTracker()
    frames = found = hands = never = 0
    for number in range(len(photos)):
        image = photos.images[number]
        hand = still.detect(image)
        if hand is None:
            continue
        hands += 1
        seen = follow(tight_film(image, hand, number))
        frames, found, never = frames + len(seen), found + sum(seen), never + (not any(seen))
    result = {"films": hands, "frames": frames, "hand_found": found / frames, "films_without_a_hand": never}
    print(f"films of tight crops: {json.dumps(result)}")
    return result


def follow(film: Iterator[np.ndarray]) -> list[bool]:
    """Whether there is a hand in each frame."""
    tracker = HandTracker(video=True)
    return [tracker.detect(frame, 1000 * i / SECOND) is not None for i, frame in enumerate(film)]


def tight_film(image: np.ndarray, hand, number: int, side: int = 200) -> Iterator[np.ndarray]:
    """Cut the hand out, its larger side 0.85 of the frame's, moved and turned by slow shaking."""
    rng = np.random.default_rng([7, number])
    points = hand.landmarks[:, :2] * image.shape[1::-1]
    centre, reach = (points.min(0) + points.max(0)) / 2, np.ptp(points, axis=0).max()
    knots = rng.normal(0, 1, (5, 4)) * (0.02, 0.02, 2.0, 0.02)
    for i in range(SECOND):
        x, y, turn, zoom = (np.interp(4 * i / SECOND, range(5), knots[:, k]) for k in range(4))
        scale = 0.85 * side / reach * np.exp(zoom)
        matrix = cv2.getRotationMatrix2D(tuple(centre), turn, scale)
        matrix[:, 2] += side / 2 - centre + np.array([x, y]) * side
        yield cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


def in_room(image: np.ndarray, share: float, number: int) -> np.ndarray:
    """Paste a photo into a drawn room of 1920x1080 pixels, at a share of its height, anywhere."""
    from asllib.signer.scene import backdrop

    rng = np.random.default_rng([11, number])
    width, height = ROOM
    room = (255 * np.clip(backdrop(1000 + number, float(rng.uniform()), ROOM), 0, 1) ** (1 / 2.2)).astype(np.uint8)
    tall = round(share * height)
    small = cv2.resize(image, (round(image.shape[1] * tall / image.shape[0]), tall), interpolation=cv2.INTER_AREA)
    x, y = int(rng.integers(width - small.shape[1])), int(rng.integers(height - tall + 1))
    room[y : y + tall, x : x + small.shape[1]] = small
    return room


def changes(image: np.ndarray, number: int) -> Iterator[tuple[str, np.ndarray]]:
    """A photo as it is, and made harder in each way."""
    light, rng = image.astype(np.float32), np.random.default_rng([13, number])

    def bytes_of(values: np.ndarray) -> np.ndarray:
        return np.clip(values, 0, 255).astype(np.uint8)

    yield "as it is", image
    yield "room, 50 % of its height", in_room(image, 0.5, number)
    yield "room, 25 % of its height", in_room(image, 0.25, number)
    yield "grey", np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    yield "gamma 5", bytes_of(255 * (light / 255) ** 5)
    yield "twice over-exposed", bytes_of(2 * light)
    yield "noise, sd 25", bytes_of(light + rng.normal(0, 25, light.shape))
    yield "blue cast", bytes_of(light * (0.6, 0.8, 1.3))
    yield "tilted by 30 degrees", tilted(image, 30 if number % 2 else -30)
    yield "turned by 90 degrees", np.ascontiguousarray(np.rot90(image, 1 if number % 2 else 3))
    yield "turned by 180 degrees", np.ascontiguousarray(image[::-1, ::-1])


def tilted(image: np.ndarray, degrees: float) -> np.ndarray:
    """Turn a photo about its middle."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def changed_photos() -> dict:
    """``default`` on photos that were made harder: letters read right, wrong ones said, hands found."""
    photos, recognizer = some_photos(), load_recognizer("default")
    rows: dict[str, list[tuple[bool, bool, bool]]] = {}
    for number in range(len(photos)):
        for name, image in changes(photos.images[number], number):
            said = recognizer.predict([image])[0]
            right = said.letter == photos.letters[number]
            wrong = said.letter is not None and not right
            rows.setdefault(name, []).append((right, wrong, said.hand is not None))
    result = {
        name: dict(zip(("right", "wrong", "hand_found"), np.mean(row, axis=0).tolist(), strict=True))
        for name, row in rows.items()
    }
    for name, row in result.items():
        print(f"{name}: right {row['right']:.1%}, wrong {row['wrong']:.1%}, a hand in {row['hand_found']:.1%}")
    return {"photos": len(photos), **result}


def no_hands(rooms: int = 200) -> dict:
    """Hands that are found in drawn rooms without one, in colour and grey."""
    from asllib.signer.scene import backdrop

    tracker, false = HandTracker(), {"colour": 0, "grey": 0}
    for number in range(rooms):
        size = (640, 480) if number % 2 else (1280, 720)
        room = backdrop(9000 + number, (number % 11) / 10, size)
        image = (255 * np.clip(room, 0, 1) ** (1 / 2.2)).astype(np.uint8)
        grey = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        false["colour"] += tracker.detect(image) is not None
        false["grey"] += tracker.detect(grey) is not None
    result = {"rooms": rooms, "false_hands": false}
    print(f"rooms without a hand: {json.dumps(result)}")
    return result


def sides(count: int = 100) -> dict:
    """Share of frames in which the hand of a drawn film is taken for the other one, by skin tone."""
    from scoring import groups, test_plans

    from asllib.train.films import films

    rows: dict[str, list[np.ndarray]] = {}
    plans = test_plans(count, 2.0)
    for plan, stream in zip(plans, films(plans), strict=True):
        group = groups(plan)
        wrong = stream.left[stream.found] != (group["hand"] == "left")
        rows.setdefault(group["skin tone"], []).append(wrong)
    result = {
        tone: {"films": len(row), "wrong": float(np.concatenate(row).mean())} for tone, row in sorted(rows.items())
    }
    print(f"wrong side, share of frames: {json.dumps(result)}")
    return result


SECONDS = ("at rest", "enters and leaves", "of a second person behind", "lowered and gesturing")


def two_hands(count: int = 20) -> dict:
    """Letters that a second hand in view costs or adds: drawn words read with it and without, beside each other."""
    from scoring import TEST_SEED, test_plans

    from asllib.train.films import Plan, shoot

    letters, off = 0, dict.fromkeys(SECONDS, 0)
    for number, plan in enumerate(test_plans(count, 2.0)):
        word = shoot(plan).frames
        other = shoot(Plan("", number, TEST_SEED + 2, plan.fps, seconds=len(word) / plan.fps)).frames
        alone = read_frames(beside(word, other, None), plan.fps)
        letters += len(plan.word)
        for how in SECONDS:
            off[how] += Levenshtein.distance(alone, read_frames(beside(word, other, how), plan.fps))
    result = {"words": count, "letters": letters, "letters_off": off}
    print(f"a second hand in view: {json.dumps(result)}")
    return result


def read_frames(frames: Iterator[np.ndarray], fps: float) -> str:
    """Letters that are read in a film."""
    return "".join(letter.letter for letter in read_text((i / fps, f) for i, f in enumerate(frames)).letters)


def beside(word: np.ndarray, other: np.ndarray, how: str | None) -> Iterator[np.ndarray]:
    """Put a second person's hand into the right half of a wider picture, where a wall is otherwise."""
    count, height, width, _ = word.shape
    wall = cv2.GaussianBlur(word[0][:, -24:], (0, 0), 12).mean((0, 1)).astype(np.uint8)
    second = other[:, :, width // 6 : -width // 6]
    if how == "of a second person behind":
        second = np.stack([cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in second])
    wide = second.shape[2]
    for i in range(count):
        frame = np.concatenate([word[i], np.broadcast_to(wall, (height, 2 * width // 3, 3))], 1)
        if how is not None:
            x, y = frame.shape[1] - wide, 0
            if how in ("at rest", "lowered and gesturing"):
                y = height // 4  # lower than the hand that spells
            elif how == "enters and leaves":
                away = abs(2 * i / count - 1)  # in view in the middle half
                x += int(wide * np.clip(3 * (away - 0.5), 0, 1))
            if how == "at rest":  # nobody keeps quite still: it sways by two pixels in three seconds
                shown = np.roll(second[0], round(2 * np.sin(2 * np.pi * i / 45)), 1)
            else:
                shown = second[i % len(second)]
            shown = shown[: height - y, : frame.shape[1] - x]
            frame[y : y + shown.shape[0], x : x + shown.shape[1]] = shown
        yield np.ascontiguousarray(frame)


PARTS = {
    "beside_mediapipe": beside_mediapipe,
    "photo_milliseconds": photo_milliseconds,
    "tight_films": tight_films,
    "changed_photos": changed_photos,
    "no_hands": no_hands,
    "sides": sides,
    "two_hands": two_hands,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    path: Path = results_dir() / "tracker.json"
    result = json.loads(path.read_text()) if path.is_file() else {}
    result = {name: result[name] for name in PARTS if name in result}
    for name in options.only:
        result[name] = PARTS[name]()
        print(save_result("tracker", {"machine": machine(), **result}, some_photos()))


if __name__ == "__main__":
    main()
