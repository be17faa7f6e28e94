"""Films with their truth: from a word to poses in time, with the strokes of J and Z, or of an idle hand."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d

from asllib.errors import InputError
from asllib.letters import MOVING
from asllib.paths import replacing
from asllib.signer.alphabet import ANGLES, HIGHEST, INDEX, LETTERS, LOWEST, OTHERS, POSES
from asllib.signer.letters import MIN_SIZE, check_numbers, jpeg

HOLD = 0.45  # of a letter's time the hand stands still; the rest is the way to the next
STROKE_SECONDS = 0.7
REST_SECONDS = 0.5
REST_POSE, REST_PLACE = POSES["rest"], np.array([0.02, -0.07, 0.0])
SLIDE = 0.05  # metres that a doubled letter moves to the side
BOUNCE = 0.03  # metres that it dips where it is bounced instead

# Strokes of the fingertip in the picture as a viewer sees a right hand, metres from where they begin. The signer writes
# for his own eyes, so the viewer sees J and Z in the mirror.
_PATHS = {
    "J": np.array([(0, 0), (-0.005, -0.08), (0.01, -0.115), (0.045, -0.12), (0.07, -0.09), (0.075, -0.06)]),
    "Z": np.array([(0, 0), (-0.12, 0), (0, -0.10), (-0.12, -0.10)]),
}
_LINES = {"J": 1, "Z": 3}  # at whose ends, each after an equal part of the way's time, the hand stops or slows down
_REACH = 0.17  # metres from the wrist to a fingertip: what a turn of the wrist moves the tip by
_LOWEST = {"J": 0.45, "Z": 0.75}  # how much of that is left in the picture where the hand tips most
_ASIDE = np.deg2rad(32)  # how far the hand leans to either side

TURNED = {"G": 40.0, "H": 40.0, "P": 20.0, "Q": 20.0}  # degrees at most that the hand turns to the viewer in a word
RISE = 0.08  # metres at most by which the arm still rises as a word begins, or sinks as it ends

BATCH = 32  # frames that are photographed at once
EXTENT = 0.24  # metres of the signing space that fill a picture's chosen part


@dataclass(frozen=True)
class Motion:
    """A signed word, F frames."""

    poses: np.ndarray  # (F, angles) degrees
    offsets: np.ndarray  # (F, 3) metres that the hand is moved in the world
    letters: list[str]  # F of the letter that is held or drawn, "" on the way and at rest
    positions: np.ndarray  # (F,) which letter of the word it is, -1 on the way and at rest; a doubled letter has two


@dataclass(frozen=True)
class StrokeHabit:
    """How somebody draws J and Z."""

    size: float = 1.0  # factor on the path
    flat: float = 1.0  # factor on its height alone
    wrist: float = 0.5  # 0..1, the part of the path that a turn about the wrist makes; the arm does the rest
    start: float = 0.0  # degrees that the hand leans to the signer's other side where Z begins
    spin: float = 110.0  # degrees that the forearm turns in J
    even: float = 0.3  # 0..1, how little the hand slows down in the corners


def minimum_jerk(t: np.ndarray) -> np.ndarray:
    """Way made good, 0..1, of a smooth human reach at the part ``t`` of its time.

    Source: T. Flash and N. Hogan, "The coordination of arm movements", J. Neurosci. 1985.
    """
    t = np.clip(t, 0, 1)
    return t**3 * (10 - 15 * t + 6 * t**2)


def draw_stroke_habit(rng: np.random.Generator) -> StrokeHabit:
    """Somebody's way of drawing J and Z: small to large, from the arm or from the wrist."""
    wrist = float(rng.uniform(0.1, 1.0))
    return StrokeHabit(
        size=float(np.exp(rng.normal(0.1, 0.3))),
        flat=float(rng.uniform(0.6, 1.3)),
        wrist=wrist,
        start=float(rng.uniform(-5, 30) * wrist),
        spin=float(rng.uniform(40, 175)),
        even=float(rng.uniform(0, 1)),
    )


def stroke_path(letter: str, count: int, habit: StrokeHabit) -> tuple[np.ndarray, ...]:
    """How J or Z is drawn: lean, spin and pitch (count,) in degrees to be added to the pose, and offsets (count, 3)."""
    part, width = np.linspace(0, 1, count), 1 / _LINES[letter]
    begun = np.minimum(part // width, _LINES[letter] - 1) * width
    slow = begun + width * minimum_jerk((part - begun) / width)
    way = (1 - habit.even) * slow + habit.even * part
    path = _PATHS[letter]
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    x, y = (np.interp(way * lengths[-1], lengths, values) for values in path.T)
    if letter == "J":  # a round hook: the mean over neighbours, both ends stay where they are
        near = max(1, count // 4 | 1)
        x, y = (np.pad(values, near // 2, mode="reflect", reflect_type="odd") for values in (x, y))
        x, y = (np.convolve(values, np.ones(near) / near, mode="valid") for values in (x, y))
    x, y = x * habit.size, y * habit.size * habit.flat
    # The hand tips to the viewer to lower its fingertip and leans to move it aside, as far as hands do.
    low = np.clip(1 + habit.wrist * y / _REACH, _LOWEST[letter], 1)
    begin = np.sin(np.deg2rad(habit.start)) if letter == "Z" else 0.0
    aside = np.arctan2(begin + habit.wrist * x / _REACH, low).clip(-_ASIDE, _ASIDE)
    tip = _REACH * np.stack([np.sin(aside) * low, np.cos(aside) * low, np.zeros(count)], 1)
    spin = habit.spin * minimum_jerk((part - 0.3) / 0.7) if letter == "J" else np.zeros(count)
    # The arm makes the rest.
    arm = np.stack([x, y, np.zeros(count)], 1) - (tip - tip[0])
    return -np.rad2deg(aside), spin, np.rad2deg(np.arccos(low)), arm


class _Planner:
    """Adds to a motion that begins at rest; times vary by a tenth if there is a generator."""

    def __init__(self, fps: float, rng: np.random.Generator | None) -> None:
        self.fps, self.rng = fps, rng
        self.legs: list[tuple[np.ndarray, np.ndarray, str, int]] = []  # poses, places, letter, position
        self.stay(REST_POSE, REST_PLACE, self.frames(REST_SECONDS))

    def frames(self, seconds: float, least: int = 1) -> int:
        jitter = 1.0 if self.rng is None else float(np.clip(self.rng.normal(1, 0.1), 0.7, 1.3))
        return max(least, round(seconds * self.fps * jitter))

    def stay(self, pose: np.ndarray, place: np.ndarray, count: int, letter: str = "", position: int = -1) -> None:
        """Hold a pose (angles,), or show one a frame (count, angles)."""
        poses, places = np.broadcast_to(pose, (count, len(ANGLES))), np.broadcast_to(place, (count, 3))
        self.legs.append((poses, places, letter, position))

    def go(self, pose: np.ndarray, place: np.ndarray, seconds: float, lift: float = 0.0) -> None:
        """From where the hand is to a pose; the frame that arrives belongs to what follows."""
        count = self.frames(seconds)
        way = minimum_jerk(np.arange(1, count + 1) / (count + 1))[:, None]
        start, begin = (values[-1] for values in self.legs[-1][:2])
        arc = lift * np.sin(np.pi * way) * np.array([[0, -1.0, 0]])
        self.stay(start + (pose - start) * way, begin + (place - begin) * way + arc, count)


def word_motion(
    word: str,  # letters A-Z; spaces bring the hand to rest
    fps: float = 30.0,
    letters_per_second: float = 2.0,  # J and Z take 0.7 s in addition
    known: Mapping[str, np.ndarray] | None = None,  # how the signer makes each letter; J and Z where they begin
    rng: np.random.Generator | None = None,
) -> Motion:
    """Plan how a word is spelled, from rest to rest.

    ``rng`` varies the times by a tenth, chooses between slide and bounce of a doubled letter, how J and Z are drawn,
    and how neighbours bend a letter; without it the word slides and keeps time.
    """
    foreign = [character for character in word.upper() if character not in (*LETTERS, " ")]
    if foreign:
        raise InputError(f"{foreign[0]!r} in {word!r} is not a letter: use A-Z and spaces")
    if not word.strip():
        raise InputError("no letters in the word: give some of A-Z")
    if not (fps > 0 and letters_per_second > 0):
        raise InputError(f"fps {fps} and letters_per_second {letters_per_second} must be above 0")
    habit = StrokeHabit() if rng is None else draw_stroke_habit(rng)
    lift = BOUNCE if rng is not None and rng.random() < 0.4 else 0.0
    plan, place, before = _Planner(fps, rng), np.zeros(3), " "
    share = 1 / letters_per_second
    held = HOLD if rng is None else rng.uniform(0.35, 0.55)
    way, hold = share * (1 - held), share * held
    known = known or {letter: POSES[letter] for letter in LETTERS}
    if rng is not None:  # some hands point more to the viewer
        turn = np.eye(len(ANGLES))[INDEX["turn"]]
        known = {name: pose + TURNED.get(name, 0.0) * rng.random() * turn for name, pose in known.items()}
    for position, letter in enumerate(word.upper() + " "):
        if letter == " ":
            plan.go(REST_POSE, REST_PLACE, 2 * way)
            plan.stay(REST_POSE, REST_PLACE, plan.frames(REST_SECONDS))
            place = np.zeros(3)
        elif letter in MOVING:
            count = plan.frames(STROKE_SECONDS, 4)
            *turns, path = stroke_path(letter, count, habit)
            poses = np.tile(known[letter], (count, 1))
            poses[:, [INDEX["lean"], INDEX["spin"], INDEX["pitch"]]] += np.transpose(turns)
            plan.go(poses[0], place + path[0], way * (2 if before == " " else 1))
            plan.stay(poses, place + path, count, letter, position)
        else:
            doubled = letter == before
            if doubled and not lift:
                place = place + np.array([-SLIDE, 0, 0])
            # A doubled letter keeps its shape: it slides to the side, or opens a little and dips.
            plan.go(known[letter], place, way * (2 if before == " " else 1), lift if doubled else 0.0)
            plan.stay(known[letter], place, plan.frames(hold, 2), letter, position)
        before = letter
    poses, places, letters, positions = zip(*plan.legs, strict=True)
    counts = [len(leg) for leg in poses]
    frames = np.repeat(letters, counts).tolist(), np.repeat(positions, counts)
    motion = Motion(np.concatenate(poses), np.concatenate(places), *frames)
    return motion if rng is None else coarticulate(motion, fps, share, rng)


def coarticulate(motion: Motion, fps: float, share: float, rng: np.random.Generator) -> Motion:
    """Bend each letter to its neighbours, as people do who spell fluently, everybody in another measure.

    Each digit keeps its own time, the thumb and the little finger least of all: they are early for the next letter or
    late from the one before. Short letters are not made to the end, and the arm still rises as the word begins.
    ``share`` is the time of a letter in seconds.

    Source: T. Jerde, J. Soechting and M. Flanders, "Coarticulation in fluent fingerspelling", J. Neurosci. 2003;
    J. Keane, "Towards an articulatory model of handshape", 2014, for the little finger.
    """
    poses, times = motion.poses.copy(), np.arange(len(motion.letters)) / fps
    spread = min(0.1, 0.12 * share) * np.array([1.0, 1.0, 1.0, 2.0, 2.0])  # four fingers and the thumb
    for angle, lag in enumerate(np.repeat(rng.normal(0, spread), [4, 4, 4, 4, 5])):
        poses[:, angle] = np.interp(times - lag, times, poses[:, angle])
    smooth = max(1, round(rng.uniform(0, 0.1) * fps))
    poses = uniform_filter1d(poses, smooth, axis=0, mode="nearest")
    signs = np.flatnonzero(motion.positions >= 0)
    late, early = rng.uniform(0, 0.5, 2)  # seconds into the first letter, and before the end of the last one
    rises = 1 - minimum_jerk((times - times[signs[0]] + late) / (2 * late + 1e-6))
    sinks = minimum_jerk((times - times[signs[-1]] + early) / (2 * early + 1e-6))
    low = RISE * rng.random(2)
    offsets = motion.offsets - np.outer(low[0] * rises + low[1] * sinks, [0, 1, 0])
    return replace(motion, poses=poses, offsets=offsets)


def idle_motion(seconds: float, fps: float, rng: np.random.Generator) -> Motion:
    """Plan a hand that does not sign: it rests, opens and closes, gestures, points up with the thumb, scratches.

    It goes from one of the shapes in ``alphabet.OTHERS`` to the next, each made loosely, stays there or waves, and
    wanders through the picture. ``letters`` is empty throughout.
    """
    count = max(2, round(seconds * fps))
    spread = np.array([10.0] * 16 + [6.0] * 5 + [8, 6, 25, 15, 20, 10])
    waved = np.array([6.0] * 21 + [5, 5, 10, 12, 10, 6] + [1, 1, 0])
    chances = np.array([3.0 if name == "rest" else 1.0 for name in OTHERS])  # at rest most of the time
    here = np.append(REST_POSE, REST_PLACE)  # angles, then the place
    parts = [here[None]]
    while sum(map(len, parts)) <= count:
        name = list(OTHERS)[rng.choice(len(OTHERS), p=chances / chances.sum())]
        target = POSES[name] + rng.normal(0, 1, len(ANGLES)) * spread
        target[:16:4] += rng.normal(0, 12)  # all knuckles loosen together
        goal = np.append(target, [rng.normal(0, 0.05), rng.uniform(-0.1, 0.06), 0.0])
        way = minimum_jerk(np.linspace(0, 1, max(2, round(fps * rng.uniform(0.3, 1.2)))))[:, None]
        parts.append(here + (goal - here) * way)
        still = max(1, round(fps * rng.exponential(1.0)))
        wave = np.sin(2 * np.pi * rng.uniform(0.5, 2.5) * np.arange(still) / fps)[:, None] * (rng.random() < 0.5)
        parts.append(goal + wave * np.append(rng.normal(0, 1, len(ANGLES)), rng.normal(0, 0.015, 3)) * waved)
        here = parts[-1][-1]
    shown = np.concatenate(parts)[1 : count + 1]  # the first is where the hand comes from
    poses, offsets = np.split(shown, [len(ANGLES)], 1)
    return Motion(poses, offsets, [""] * count, np.full(count, -1))


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

    check_numbers(width=(size[0], MIN_SIZE), height=(size[1], MIN_SIZE), signer=(signer, 0), seed=(seed, 0))
    word = word.upper()
    rng = np.random.default_rng([seed, signer, *word.encode()])
    letters = sorted(set(word) & set(LETTERS))
    made = letter_poses([draw_signer(seed, signer)], letters, still=False)[0] if letters else []
    known = dict(zip(letters, made, strict=True))
    return _film(word_motion(word, fps, letters_per_second, known, rng), word, signer, fps, size, seed, rng)


def render_idle(
    seconds: float = 10.0, signer: int = 0, fps: float = 30.0, size: tuple[int, int] = (320, 240), seed: int = 0
) -> SignedWord:
    """Film a hand that does not sign: at rest, opening, gesturing; parameters as in :func:`render_word`."""
    check_numbers(width=(size[0], MIN_SIZE), height=(size[1], MIN_SIZE), signer=(signer, 0), seed=(seed, 0))
    if not (fps > 0 and seconds > 0):
        raise InputError(f"fps {fps} and seconds {seconds} must be above 0")
    rng = np.random.default_rng([seed, signer, 7])
    return _film(idle_motion(seconds, fps, rng), "", signer, fps, size, seed, rng)


def _film(
    motion: Motion, word: str, signer: int, fps: float, size: tuple[int, int], seed: int, rng: np.random.Generator
) -> SignedWord:
    """Film one person's motion with one camera, which shows the signing space."""
    from asllib.signer.render import photograph
    from asllib.signer.scene import draw_shot, draw_signer

    person, count = draw_signer(seed, signer), len(motion.letters)
    poses = np.clip(motion.poses + _tremor(count, fps, rng, len(ANGLES)), LOWEST, HIGHEST)
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
    knots, times = int(np.ceil(count / fps * 2)) + 2, np.arange(count) / fps * 2
    values = rng.normal(0, 1, (knots, channels))
    return np.stack([np.interp(times, np.arange(knots), column) for column in values.T], 1)


def write_video(path: str | os.PathLike[str], frames: np.ndarray, fps: float = 30.0) -> Path:
    """Write a film (F, H, W, 3) uint8 RGB as ``.mp4``, or as ``.mjpeg``, as browsers' fake cameras take it.

    An ``.mjpeg`` is JPEGs one after the other, without a frame rate. InputError if the path has another ending, there
    are no frames, the disk is full, or the folder cannot be written.
    """
    path, frames = Path(path), np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise InputError(f"frames must be (F, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
    kind = path.suffix.lower()
    if kind not in (".mp4", ".mjpeg"):
        raise InputError(f"{path.name}: use a name that ends in .mp4 or .mjpeg")
    with replacing(path) as partial:
        if kind == ".mjpeg":
            partial.write_bytes(b"".join(jpeg(frame, 92) for frame in frames))
            return path
        import cv2

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
