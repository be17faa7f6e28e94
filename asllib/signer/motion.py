"""From a word to poses in time: holds, smooth transitions, double letters, the strokes of J and Z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asllib.signer.alphabet import ANGLES, LETTERS, OTHERS

HOLD = 0.45  # of a letter's time the hand stands still; the rest is the way to the next
STROKE_SECONDS = 0.7
REST_SECONDS = 0.5
SLIDE = 0.05  # metres that a doubled letter moves to the side
BOUNCE = 0.03  # metres that it dips where it is bounced instead

# Strokes of the fingertip in the picture as a viewer sees a right hand, metres from where they begin. The signer writes
# for his own eyes, so the viewer sees J and Z in the mirror.
_PATHS = {
    "J": np.array(
        [(0, 0, 0), (-0.005, -0.08, 0), (0.01, -0.115, 0), (0.045, -0.12, 0), (0.07, -0.09, 0), (0.075, -0.06, 0)]
    ),
    "Z": np.array([(0, 0, 0), (-0.12, 0, 0), (0, -0.10, 0), (-0.12, -0.10, 0)]),
}
_CORNERS = {"J": (0, 1), "Z": (0, 1 / 3, 2 / 3, 1)}  # parts of the way where the hand stops, or slows down


@dataclass(frozen=True)
class Motion:
    """A signed word, F frames.

    Attributes
    ----------
    poses : (F, angles) float64
        Degrees.
    offsets : (F, 3) float64
        Metres that the hand is moved in the world.
    letters : list of F str
        The letter that is held or drawn, ``""`` on the way and at rest.
    positions : (F,) int
        Which letter of the word it is, -1 on the way and at rest; a doubled letter has two.
    """

    poses: np.ndarray
    offsets: np.ndarray
    letters: list[str]
    positions: np.ndarray


def minimum_jerk(t: np.ndarray) -> np.ndarray:
    """Way made good, 0..1, of a smooth human reach at the part ``t`` of its time.

    Source: T. Flash and N. Hogan, "The coordination of arm movements", J. Neurosci. 1985.
    """
    t = np.clip(t, 0, 1)
    return t**3 * (10 - 15 * t + 6 * t**2)


def _along(path: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Points of a path of straight pieces at the parts ``t`` of its length."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    return np.stack([np.interp(t * lengths[-1], lengths, path[:, k]) for k in range(3)], 1)


@dataclass(frozen=True)
class StrokeHabit:
    """How somebody draws J and Z.

    Attributes
    ----------
    size, flat : float
        Factors on the path, and on its height alone.
    wrist : float
        0..1, the part of the path that the fingertip makes because the hand turns about the wrist; the arm does the
        rest.
    start : float
        Degrees that the hand leans to the signer's other side where Z begins.
    spin : float
        Degrees in J that the forearm turns.
    even : float
        0..1, how little the hand slows down in the corners.
    """

    size: float = 1.0
    flat: float = 1.0
    wrist: float = 0.5
    start: float = 0.0
    spin: float = 110.0
    even: float = 0.3


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


_REACH = 0.17  # metres from the wrist to a fingertip: what a turn of the wrist moves the tip by
_LOWEST = {"J": 0.45, "Z": 0.75}  # how much of that is left in the picture where the hand tips most
_ASIDE = np.deg2rad(32)


def stroke_path(letter: str, count: int, habit: StrokeHabit) -> tuple[np.ndarray, ...]:
    """How J or Z is drawn: lean, spin and pitch (count,) in degrees to be added to the pose, and offsets (count, 3)."""
    part = np.linspace(0, 1, count)
    corners = np.array(_CORNERS[letter])
    line = np.clip(np.searchsorted(corners, part, "right") - 1, 0, len(corners) - 2)
    width = corners[1]
    slow = corners[line] + width * minimum_jerk((part - corners[line]) / width)
    path = _along(_PATHS[letter], (1 - habit.even) * slow + habit.even * part)
    if letter == "J":  # a round hook
        path = np.stack([_smooth(path[:, k], count // 4) for k in range(3)], 1)
    path = path * habit.size * np.array([1, habit.flat, 1])
    # The hand tips to the viewer to lower its fingertip and leans to move it aside, as far as hands do.
    low = np.clip(1 + habit.wrist * path[:, 1] / _REACH, _LOWEST[letter], 1)
    begin = np.sin(np.deg2rad(habit.start)) if letter == "Z" else 0.0
    aside = np.arctan2(begin + habit.wrist * path[:, 0] / _REACH, low).clip(-_ASIDE, _ASIDE)
    tip = _REACH * np.stack([np.sin(aside) * low, np.cos(aside) * low, np.zeros(count)], 1)
    spin = habit.spin * minimum_jerk((part - 0.3) / 0.7) if letter == "J" else np.zeros(count)
    # The arm makes the rest.
    return -np.rad2deg(aside), spin, np.rad2deg(np.arccos(low)), path - (tip - tip[0])


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over so many neighbours; both ends stay where they are."""
    width = max(1, width | 1)
    ends = np.concatenate(
        [2 * values[0] - values[width // 2 : 0 : -1], values, 2 * values[-1] - values[-2 : -2 - width // 2 : -1]]
    )
    return np.convolve(ends, np.ones(width) / width, mode="valid")


def _stroke(letter: str, pose: np.ndarray, count: int, habit: StrokeHabit) -> tuple[np.ndarray, np.ndarray]:
    """Poses (count, angles) and offsets (count, 3) of J or Z."""
    poses = np.repeat(pose[None], count, 0)
    lean, spin, pitch, path = stroke_path(letter, count, habit)
    for angle, values in (("lean", lean), ("spin", spin), ("pitch", pitch)):
        poses[:, ANGLES.index(angle)] += values
    return poses, path


def word_motion(
    word: str,
    fps: float = 30.0,
    letters_per_second: float = 2.0,
    known: dict[str, np.ndarray] | None = None,
    rng: np.random.Generator | None = None,
) -> Motion:
    """Plan how a word is spelled, from rest to rest.

    Parameters
    ----------
    word : str
        Letters A-Z; spaces bring the hand to rest.
    fps, letters_per_second : float
        Frames and letters a second, above 0. J and Z take 0.7 s in addition to their share.
    known : dict of letter -> (angles,), optional
        How the signer makes the letters (J and Z where their strokes begin), by default as in the table.
    rng : numpy Generator, optional
        Varies the times by a tenth, chooses between slide and bounce, and how J and Z are drawn; without it the word
        slides and keeps time.

    Raises
    ------
    ValueError
        A character that is not a letter, a rate that is not above 0.
    """
    word = word.upper()
    for character in word:
        if character not in LETTERS and character != " ":
            raise ValueError(f"{character!r} in {word!r} is not a letter: use A-Z and spaces")
    if not word.strip():
        raise ValueError("no letters in the word: give some of A-Z")
    if not (fps > 0 and letters_per_second > 0):
        raise ValueError(f"fps {fps} and letters_per_second {letters_per_second} must be above 0")
    habit = StrokeHabit() if rng is None else draw_stroke_habit(rng)
    rest = np.array(OTHERS["rest"].angles, np.float64)
    low = np.array([0.02, -0.07, 0.0])
    bounce = rng is not None and rng.random() < 0.4

    def frames(seconds: float, least: int = 1) -> int:
        jitter = 1.0 if rng is None else float(np.clip(rng.normal(1, 0.1), 0.7, 1.3))
        return max(least, round(seconds * fps * jitter))

    poses, offsets, letters, positions = [], [], [], []

    def stay(pose, offset, count, letter="", position=-1):
        poses.append(np.broadcast_to(pose, (count, len(ANGLES))))
        offsets.append(np.broadcast_to(offset, (count, 3)))
        letters.extend([letter] * count)
        positions.extend([position] * count)

    def go(pose, offset, seconds, lift=0.0):
        """From where the hand is to a pose; the frame that arrives belongs to what follows."""
        count = frames(seconds)
        way = minimum_jerk(np.arange(1, count + 1) / (count + 1))[:, None]
        start, begin = poses[-1][-1], offsets[-1][-1]
        arc = lift * np.sin(np.pi * way) * np.array([[0, -1.0, 0]])
        stay(start + (pose - start) * way, begin + (offset - begin) * way + arc, count)

    stay(rest, low, frames(REST_SECONDS))
    share = 1 / letters_per_second
    place = np.zeros(3)
    before = ""
    for position, letter in enumerate(word):
        if letter == " ":
            go(rest, low, 2 * share * (1 - HOLD))
            stay(rest, low, frames(REST_SECONDS))
            place, before = np.zeros(3), ""
            continue
        moving = letter in "JZ"
        pose = np.array(LETTERS[letter].angles if known is None else known[letter], np.float64)
        if moving:
            stroke = _stroke(letter, pose, frames(STROKE_SECONDS, 4), habit)
            pose = stroke[0][0]
        target = place + (stroke[1][0] if moving else 0)
        if letter == before and not moving:
            # A doubled letter keeps its shape: it slides to the side, or opens a little and dips.
            if not bounce:
                place = place + np.array([-SLIDE, 0, 0])
                target = place
            go(pose, target, share * (1 - HOLD), lift=BOUNCE if bounce else 0.0)
        else:
            go(pose, target, share * (1 - HOLD) * (2 if not before else 1))
        if moving:
            count = len(stroke[0])
            stay(stroke[0], place + stroke[1], count, letter, position)
        else:
            stay(pose, target, frames(share * HOLD, 2), letter, position)
        before = letter
    go(rest, low, 2 * share * (1 - HOLD))
    stay(rest, low, frames(REST_SECONDS))
    return Motion(np.concatenate(poses), np.concatenate(offsets), letters, np.array(positions))


def idle_motion(seconds: float, fps: float, rng: np.random.Generator) -> Motion:
    """Plan a hand that does not sign: it rests, opens and closes, gestures, points up with the thumb, scratches.

    It goes from one of the shapes in ``alphabet.OTHERS`` to the next, each made loosely, stays there or waves, and
    wanders through the picture. ``letters`` is empty throughout.
    """
    count = max(2, round(seconds * fps))
    names = list(OTHERS)
    poses, offsets = [], []
    pose, place = np.array(OTHERS["rest"].angles, np.float64), np.array([0.02, -0.07, 0.0])
    spread = np.array([10.0] * 16 + [6.0] * 5 + [8, 6, 25, 15, 20, 10])
    made = 0
    while made < count:
        name = names[rng.choice(len(names), p=_idle_chances(names))]
        target = np.array(OTHERS[name].angles, np.float64) + rng.normal(0, 1, len(ANGLES)) * spread
        # The knuckles of all fingers loosen together.
        target[[ANGLES.index(f"{finger}_mcp") for finger in ("index", "middle", "ring", "little")]] += rng.normal(0, 12)
        goal = np.array([rng.normal(0, 0.05), rng.uniform(-0.1, 0.06), 0.0])
        way = minimum_jerk(np.linspace(0, 1, max(2, round(fps * rng.uniform(0.3, 1.2)))))[:, None]
        poses.append(pose + (target - pose) * way)
        offsets.append(place + (goal - place) * way)
        still = max(1, round(fps * rng.exponential(1.0)))
        wave = np.sin(2 * np.pi * rng.uniform(0.5, 2.5) * np.arange(still) / fps)[:, None] * (rng.random() < 0.5)
        poses.append(target + wave * rng.normal(0, 1, len(ANGLES)) * np.array([6.0] * 21 + [5, 5, 10, 12, 10, 6]))
        offsets.append(goal + wave * rng.normal(0, 0.015, 3) * [1, 1, 0])
        pose, place, made = poses[-1][-1], offsets[-1][-1], made + len(way) + still
    return Motion(
        np.concatenate(poses)[:count], np.concatenate(offsets)[:count], [""] * count, np.full(count, -1, np.int64)
    )


def _idle_chances(names: list[str]) -> np.ndarray:
    """A hand at rest most of the time."""
    weights = np.array([3.0 if name == "rest" else 1.0 for name in names])
    return weights / weights.sum()
