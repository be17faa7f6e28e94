"""What the motion network is trained on: films of the synthetic signer, and words pieced together from still hands."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from asllib.hands.features import mirror_left, palm_scale, true_aspect, wrist_origin
from asllib.letters import LETTERS
from asllib.networks.moments import RATE, moment_features, resample
from asllib.networks.spelling import NEITHER
from asllib.signer.motion import draw_stroke_habit, minimum_jerk, stroke_path
from asllib.train.films import Stream

SIGNS: tuple[str, ...] = (*LETTERS, "space", "del")  # all that is shown by one hand while spelling
IGNORE = -100  # a moment that the loss leaves out
DOUBLED = 0.25  # of the letters that are pieced together are the one before again
UPSIDE_DOWN = 0.08  # of them hang down, a hand at rest: those that are no letter then
STRANGE = 0.08  # of the signs that are pieced together are handshapes that are no sign, beside their share
ANY_WAY_UP = 0.5  # of the handshapes that are no sign are seen any way up: they are none there either
_HANGS = frozenset("ABCEFLMNOSTVWY")
GESTURES = 0.12  # of the signs that are pieced together move as no letter does
_TOLD = 0.4  # of a stroke must be drawn before it can be told
_STILL_STROKE_S = 0.5  # J or Z held without a stroke counts after so long
_PALM = 0.09  # metres


@dataclass(frozen=True)
class Clip:
    """A hand at T even moments, with what is to be read.

    Attributes
    ----------
    landmarks, world
        (T, 21, 3) float32, a right hand seen in one unit for x, y and z; NaN without a hand. ``world`` may be None.
    targets
        (T,) int64: the number of the sign that is shown, ``NEITHER``, or ``IGNORE``.
    shapes
        (T,) int64: the number of the handshape that is shown, ``NEITHER`` or ``IGNORE``.
    spelled
        Numbers of the signs in order.
    """

    landmarks: np.ndarray
    world: np.ndarray | None
    targets: np.ndarray
    shapes: np.ndarray
    spelled: tuple[int, ...]

    def flat(self) -> Clip:
        """The same without world landmarks."""
        return replace(self, world=None)


@dataclass(frozen=True)
class Stills:
    """Still hands: ``image`` and ``world`` (N, 21, 3) in palm sizes from the wrist, right hands; ``labels`` (N,)."""

    image: np.ndarray
    world: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def rows_of(self) -> dict[str, np.ndarray]:
        """The positions of each label, in the order of the labels: looked up for every word that is pieced together."""
        kinds, which = np.unique(self.labels, return_inverse=True)
        order, ends = np.argsort(which, kind="stable"), np.cumsum(np.bincount(which, minlength=len(kinds)))
        return dict(zip(kinds.tolist(), np.split(order, ends[:-1]), strict=True))

    def subset(self, which: np.ndarray) -> Stills:
        """Take the hands of a mask or of positions."""
        return Stills(self.image[which], self.world[which], self.labels[which])


def stills_of(tables: Sequence) -> Stills:
    """Take every found hand of landmark tables, see ``asllib.hands.read_landmarks``."""
    from asllib.train.examples import landmark_inputs

    images, worlds, labels = [], [], []
    for table in tables:
        table = table[(table["score"] > 0).to_numpy()]
        landmarks, world, left, aspect = landmark_inputs(table)
        images.append(mirror_left(palm_scale(wrist_origin(true_aspect(landmarks, aspect))), left).numpy())
        worlds.append(mirror_left(palm_scale(wrist_origin(world)), left).numpy())
        labels.append(table["label"].to_numpy(str))
    return Stills(np.concatenate(images), np.concatenate(worlds), np.concatenate(labels))


def film_clip(stream: Stream, signs: Sequence[str] = SIGNS, names: Sequence[str] = SIGNS) -> Clip:
    """Turn a film into a clip; letters that are no signs of the network's are NEITHER, ``names`` its handshapes."""
    even = resample(stream)
    flip = np.where(even.left, -1.0, 1.0)[:, None]
    landmarks = even.landmarks * np.array([stream.aspect, 1, stream.aspect], np.float32)
    world = even.world.copy()
    landmarks[..., 0] *= flip
    world[..., 0] *= flip
    targets, shapes = np.full((2, len(even)), NEITHER, np.int64)
    spelled = []
    for position in range(len(even.word)):
        rows = np.flatnonzero(even.positions == position)
        letter = even.word[position]
        if letter in names and len(rows):
            # J begins as I, and both are drawn with a hand that turns away.
            shapes[rows] = IGNORE if letter == "J" else 1 + names.index(letter)
            # On the way the hand is neither the one letter nor the other, at its ends it is nearly one of them.
            shapes[[max(rows[0] - 1, 0), min(rows[-1] + 1, len(even) - 1)]] = IGNORE
        if letter not in signs or not len(rows):
            continue
        number = 1 + signs.index(letter)
        targets[rows[round(_TOLD * len(rows)) :] if letter in "JZ" else rows] = number
        spelled.append(number)
    return Clip(landmarks.astype(np.float32), world.astype(np.float32), targets, shapes, tuple(spelled))


def _rotation(about: int, degrees: np.ndarray | float) -> np.ndarray:
    """(..., 3, 3) right-handed rotations about an axis; image coordinates (x right, y down, z away)."""
    angle = np.deg2rad(np.asarray(degrees, np.float64))
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.zeros((*angle.shape, 3, 3))
    a, b = [(1, 2), (2, 0), (0, 1)][about]
    matrix[..., about, about] = 1
    matrix[..., a, a] = matrix[..., b, b] = c
    matrix[..., a, b], matrix[..., b, a] = -s, s
    return matrix


def _hang(image: np.ndarray, world: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image and world points (21, 3) of a hand that hangs down."""
    down = _rotation(2, rng.choice([-1, 1]) * rng.uniform(90, 180)) @ _rotation(1, rng.uniform(-40, 40))
    return image @ down.T, world @ down.T


def _turned(image: np.ndarray, world: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image and world points (21, 3) of a hand seen any way up, and from elsewhere."""
    way = _rotation(2, rng.uniform(-180, 180)) @ _rotation(0, rng.uniform(-40, 40)) @ _rotation(1, rng.uniform(-60, 60))
    return image @ way.T, world @ way.T


def still_clip(stills: Stills, count: int, rng: np.random.Generator, names: Sequence[str] = SIGNS) -> Clip:
    """Still hands, one a moment, as many of each handshape: for the network's first part, which knows no time."""
    kinds = list(stills.rows_of)
    labels = [kinds[kind] for kind in rng.integers(0, len(kinds), count)]
    rows = np.array([some[rng.integers(len(some))] for some in (stills.rows_of[label] for label in labels)])
    shapes = np.array([1 + names.index(label) if label in names else NEITHER for label in labels])
    image, world = stills.image[rows].astype(np.float32), stills.world[rows].astype(np.float32)
    for i, label in enumerate(labels):
        if label in _HANGS and rng.random() < UPSIDE_DOWN:
            image[i], world[i] = _hang(image[i], world[i], rng)
            shapes[i] = NEITHER
        elif label not in SIGNS and rng.random() < ANY_WAY_UP:
            image[i], world[i] = _turned(image[i], world[i], rng)
    return Clip(image, world, np.full(count, NEITHER), shapes, ())


def piece_together(stills: Stills, rng: np.random.Generator, signs: Sequence[str] = SIGNS, letters: int = 7) -> Clip:
    """Spell random signs with still hands of any people: holds, smooth ways between them, doubles, strokes, pauses.

    No hand stands quite still, some drift or come nearer while they hold, some letters are cut from one to the next
    without a way between them, as in films put together from pieces.
    """
    names = list(stills.rows_of)
    strange = [name for name in names if name not in SIGNS]
    spells = "I" in signs  # a network for strokes alone does not count a hand that only stands as if
    # A network that spells was tried with it too, and read practice words no better.
    forearm = 0.0 if spells else 0.5
    share = np.exp(rng.uniform(np.log(0.2), np.log(1.4)))  # seconds a letter
    hold_part = rng.uniform(0.35, 0.75)
    cut = rng.random() < 0.15
    rows_of = {"J": stills.rows_of.get("I", np.arange(len(stills))), **stills.rows_of}  # J begins as I
    image, world, place, size, targets, spelled = [], [], [], [], [], []
    at, scale = rng.normal(0, 0.5, 2), 1.0

    def steps(seconds: float, least: int = 1) -> int:
        return max(least, round(seconds * RATE * float(np.clip(rng.normal(1, 0.15), 0.5, 1.6))))

    def add(points, solid, at_, scale_, label, count):
        image.append(np.broadcast_to(points, (count, 21, 3)))
        world.append(np.broadcast_to(solid, (count, 21, 3)))
        place.append(np.broadcast_to(at_, (count, 2)))
        size.append(np.broadcast_to(scale_, (count,)))
        targets.append(np.broadcast_to(label, (count,)))

    def go(points, solid, goal, scale_, seconds, dip=0.0):
        count = 0 if cut else steps(seconds)
        if not count or not image:
            return
        way = minimum_jerk(np.arange(1, count + 1) / (count + 1))
        w = way[:, None, None]
        path = at + (goal - at) * way[:, None] + dip * np.sin(np.pi * way)[:, None] * [0, 1]
        add(
            image[-1][-1] * (1 - w) + points * w,
            world[-1][-1] * (1 - w) + solid * w,
            path,
            scale + (scale_ - scale) * way,
            NEITHER,
            count,
        )

    before, row = None, 0
    for _ in range(letters):
        if before is not None and rng.random() < DOUBLED and before not in ("J", "Z"):
            name = before  # doubled: the same hand slides, dips, or is cut
        else:
            few = len(signs) <= 4 and rng.random() < 0.35  # a network for few signs would hardly ever see them
            name = signs[int(rng.integers(len(signs)))] if few else names[rng.integers(len(names))]
            if strange and spells and rng.random() < STRANGE:
                name = strange[rng.integers(len(strange))]
            row = rows_of[name][rng.integers(len(rows_of[name]))]
        points, solid = stills.image[row], stills.world[row]
        draws = name in ("J", "Z") and rng.random() < (0.5 if spells else 0.85) and not cut
        if draws:
            if name == "J" and "I" in rows_of:
                row = rows_of["I"][rng.integers(len(rows_of["I"]))]
            count = steps(rng.uniform(0.5, 1.1), 6)
            turn, path = stroke(name, count, rng, forearm=forearm)
            # World landmarks know better how deep a finger lies, image landmarks where it is seen.
            seen_as = stills.world if rng.random() < 0.5 else stills.image
            drawn, drawn_solid = _moved(seen_as[row], stills.world[row], turn)
            points, solid = drawn[0], drawn_solid[0]
        doubled = name == before
        hangs = name in _HANGS and not doubled and rng.random() < UPSIDE_DOWN
        if hangs:
            points, solid = _hang(points, solid, rng)
        elif name not in SIGNS and not doubled and rng.random() < ANY_WAY_UP:
            points, solid = _turned(points, solid, rng)
        if doubled and not cut:
            slide = rng.random() < 0.6
            aside = np.array([rng.choice([-1, 1], p=[0.8, 0.2]) * rng.uniform(0.35, 0.8), rng.normal(0, 0.05)])
            goal = at + aside if slide else at
            go(points, solid, goal, scale, share * (1 - hold_part), 0 if slide else rng.uniform(0.25, 0.5))
            at = goal
        else:
            goal = at + rng.normal(0, 0.1 if not cut else 0.6, 2)
            nearer = scale * np.exp(rng.normal(0, 0.03 if not cut else 0.25))
            go(points, solid, goal, nearer, share * (1 - hold_part) * (1 if before else 2))
            at, scale = goal, nearer
        if name not in ("I", "J", "Z") and rng.random() < GESTURES * (1 if spells else 2) and not cut:
            # Another sign: the hand moves as in no letter of its shape.
            turn, path = gesture(steps(rng.uniform(0.4, 1.6), 6), rng, forearm=forearm)
            add(*_moved(points, solid, turn), at + path, scale, NEITHER, len(path))
            at, before = at + path[-1], name
            continue
        number = 1 + signs.index(name) if name in signs and not hangs else NEITHER
        if draws:
            seen = NEITHER
            if (name == "Z" or not spells) and rng.random() < 0.5:  # somebody waits before drawing
                wait = steps(rng.uniform(0.2, 1.4), 2)
                label = np.where(np.arange(wait) < _STILL_STROKE_S * RATE, NEITHER, number if spells else NEITHER)
                add(points, solid, at, scale, label, wait)
                seen = label[-1]  # once read, it is not read again
            label = np.where(np.arange(count) < _TOLD * count, seen, number)
            if not spells and rng.random() < 0.5:  # the film ends before the stroke does
                count = max(math.ceil(_TOLD * count) + 1, round(count * rng.uniform(_TOLD + 0.05, 1)))
            add(drawn[:count], drawn_solid[:count], at + path[:count], scale, label[:count], count)
            at = at + path[count - 1]
        else:
            seconds = share * hold_part
            if name in ("J", "Z"):
                seconds = max(seconds, 0.8)
            elif rng.random() < 0.12:
                seconds += rng.exponential(1.0)  # a learner thinks
            count = steps(seconds, 2)
            label = np.full(count, number)
            if name in ("J", "Z"):
                label[: round(_STILL_STROKE_S * RATE) if spells else count] = NEITHER
                number = number if spells else NEITHER
            # Hands that are held drift, wobble and come nearer, the more the longer.
            drift = np.cumsum(rng.normal(0, 0.02, (count, 2)), 0) * rng.uniform(0, 1.5)
            growth = scale * np.exp(np.linspace(0, rng.normal(0, 0.15) * count / RATE, count))
            add(points, solid, at + drift, growth, label, count)
            at, scale = at + drift[-1], float(np.clip(growth[-1], 0.4, 2.5))
        if number != NEITHER:
            spelled.append(number)
        before = None if hangs else name
        if rng.random() < 0.08:  # the hand leaves the picture
            gone = steps(rng.uniform(0.4, 1.0))
            add(np.full((21, 3), np.nan), np.full((21, 3), np.nan), at, scale, NEITHER, gone)
            before = None
            image.append(points[None])
            world.append(solid[None])
            place.append(at[None])
            size.append(np.array([scale]))
            targets.append(np.array([NEITHER]))
    points, solid = np.concatenate(image), np.concatenate(world)
    points = points * np.concatenate(size)[:, None, None]
    points[..., :2] += np.concatenate(place)[:, None]
    numbers = np.concatenate(targets).astype(np.int64)
    unknown = np.full(len(numbers), IGNORE)  # the first part of the network learns from the stills themselves
    return Clip(points.astype(np.float32), solid.astype(np.float32), numbers, unknown, tuple(spelled))


def _moved(points: np.ndarray, solid: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A still hand's image and world points (21, 3) turned about the wrist by (T, 3, 3)."""
    return np.einsum("tij,nj->tni", turn, points), np.einsum("tij,nj->tni", turn, solid)


def stroke(letter: str, count: int, rng: np.random.Generator, *, forearm: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Turns (count, 3, 3) about the wrist and offsets (count, 2) in palm sizes of J or Z, drawn by anybody.

    ``forearm`` is how likely it is drawn as ``forearm_stroke`` says.
    """
    fine = 8 * count
    turns = rng.random() < forearm
    if turns:
        lean, spin, pitch, path = forearm_stroke(letter, fine, rng)
    else:
        lean, spin, pitch, path = stroke_path(letter, fine, draw_stroke_habit(rng))
    # Anybody's haste: some begin slowly, some end slowly, cameras skip frames, and corners are rounded.
    steps = np.exp(rng.normal(0, rng.uniform(0, 1.0), count - 1))
    when = np.append(0, np.cumsum(steps) / steps.sum()) ** np.exp(rng.normal(-0.4, 0.5))
    width = int(rng.integers(1, max(2, fine // 12)))
    kernel = np.ones(width) / width

    def at(values: np.ndarray) -> np.ndarray:
        smooth = np.convolve(np.pad(values, (width // 2, width - 1 - width // 2), mode="edge"), kernel, mode="valid")
        return np.interp(when, np.linspace(0, 1, fine), smooth)

    # The signer's axes are x right, y up, z to the viewer: half a turn about x away from the image's.
    turn = _rotation(2, -at(lean)) @ _rotation(0, at(pitch)) @ _rotation(1, -at(spin))
    flat = np.stack([at(path[:, 0]), -at(path[:, 1])], 1) / _PALM
    flat = (flat - flat[0]) @ _rotation(2, rng.normal(0, 8))[:2, :2].T
    if turns and rng.random() < 0.6:
        # The tracker loses a fast hand: what lies between is a straight line, and what it finds again jumps about.
        first = int(rng.integers(count - 2))
        last = min(count - 1, first + int(rng.integers(2, max(3, count // 2))))
        for values in (turn, flat):
            way = np.linspace(0, 1, last - first + 1).reshape(-1, *[1] * (values.ndim - 1))
            values[first : last + 1] = values[first] * (1 - way) + values[last] * way
        flat[last:] += rng.normal(0, rng.uniform(0, 0.15), (count - last, 2))
    return turn, flat


def gesture(count: int, rng: np.random.Generator, *, forearm: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Turns and offsets as ``stroke`` gives them, of a hand that makes another sign.

    J or Z mirrored, on its side, or to and fro; with ``forearm``, as likely a hand that waves, circles, taps or twists.
    """
    if rng.random() < forearm:
        angle = 2 * np.pi * (rng.uniform(0.6, 2.5) * np.arange(count)[:, None] / RATE + rng.random(5))
        wave = np.sin(angle) - np.sin(angle[0])  # (count, 5)
        lean, pitch, spin, *path = (wave * rng.normal(0, 1, 5) * (rng.random(5) < 0.6) * [20, 20, 30, 0.5, 0.5]).T
        return _rotation(2, lean) @ _rotation(0, pitch) @ _rotation(1, spin), np.stack(path, 1)
    turn, path = stroke("JZ"[rng.integers(2)], count, rng, forearm=forearm)
    turn = turn @ turn[0].T  # it begins as the hand is
    order = np.arange(count) if rng.random() < 0.5 else count // 2 - np.abs(np.arange(count) - count // 2)
    path = path[order] * rng.choice([-1, 1], 2) if rng.random() < 0.7 else path[order][:, ::-1]
    return turn[order], path


def forearm_stroke(letter: str, count: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """J or Z drawn by the turning forearm, over a wrist that hardly moves; returns what ``stroke_path`` does.

    In J the hand tips over until the little finger points at the viewer or below, and comes up on the other side. In Z
    it points to the signer's other side first, swings to and fro, and tips as it does.
    """
    # Angles and the wrist's place at a few moments; aside is to the viewer's right.
    if letter == "J":
        moments = np.array([0, rng.uniform(0.35, 0.65), 1])
        aside = np.array([0, rng.uniform(-15, 50), rng.uniform(30, 85)])
        pitch = np.array([0, rng.uniform(60, 110), rng.uniform(5, 85)])
        spin = np.array([0, rng.uniform(0, 90), rng.uniform(40, 175)])
        wrist = rng.normal(0, 0.015, (3, 2))
    else:
        moments = np.array([0, 1 / 3, 2 / 3, 1])
        begin, across = rng.uniform(5, 55), rng.uniform(30, 75)
        aside = begin + np.array([0, -across, rng.normal(0, 8), -rng.uniform(0.5, 1.1) * across])
        pitch = np.cumsum([rng.uniform(0, 20), rng.normal(0, 6), rng.uniform(15, 55), rng.normal(0, 6)])
        spin = np.zeros(4)
        wrist = np.array([(0, 0), (-1, 0), (0, -1), (-1, -1)]) * rng.uniform(0, 0.06, 2) + rng.normal(0, 0.01, (4, 2))
    numbers, even = np.arange(len(moments)), rng.uniform(0, 1)
    place = np.interp(np.linspace(0, 1, count), moments, numbers)
    place = np.floor(place) + even * (place % 1) + (1 - even) * minimum_jerk(place % 1)
    width = max(1, count // (4 if letter == "J" else 12))

    def through(values: np.ndarray) -> np.ndarray:
        line = np.pad(np.interp(place, numbers, values), (width // 2, width - 1 - width // 2), mode="edge")
        return np.convolve(line, np.ones(width) / width, mode="valid")

    path = np.stack([through(wrist[:, 0]), through(wrist[:, 1]), np.zeros(count)], 1)
    return -through(aside), through(spin), through(pitch), path


def augment(clip: Clip, rng: np.random.Generator, *, loose: bool = False) -> Clip:
    """See the clip from elsewhere, by another tracker, faster or slower, with some frames lost.

    With ``loose``, fingers are bent more or less, and depth is seen too small, as trackers do: for a network that does
    not read handshapes.
    """
    landmarks, world, targets, shapes = clip.landmarks, clip.world, clip.targets, clip.shapes
    count = len(targets)
    # Time: linear in between moments.
    if rng.random() < 0.7 and count > 4:
        factor = float(np.exp(rng.uniform(np.log(0.5), np.log(1.5))))
        places = np.arange(0, count - 1, factor)
        low, part = places.astype(int), (places % 1)[:, None, None].astype(np.float32)
        landmarks = landmarks[low] * (1 - part) + landmarks[low + 1] * part
        world = None if world is None else world[low] * (1 - part) + world[low + 1] * part
        nearest, count = np.round(places).astype(int), len(places)
        targets, shapes = targets[nearest], shapes[nearest]
    turn = _rotation(2, rng.uniform(-18, 18)) @ _rotation(0, rng.uniform(-20, 20)) @ _rotation(1, rng.uniform(-20, 20))
    matrix = (turn @ np.diag(1 + rng.uniform(-0.08, 0.08, 3))).astype(np.float32).T
    palm = _median(np.linalg.norm(landmarks[:, 9] - landmarks[:, 0], axis=-1))
    landmarks = landmarks @ matrix + _jitter(count, rng) * palm
    if loose:
        landmarks[..., 2] *= rng.uniform(0.1, 1.0)
        for knuckle in range(5, 21, 4):
            finger = landmarks[:, knuckle + 1 : knuckle + 4] - landmarks[:, knuckle : knuckle + 1]  # (T, 3, 3)
            bent = _median(np.linalg.norm(finger[:, 2], axis=-1)) < 0.6 * palm
            factor = rng.uniform(0.8, 2.6) if bent else np.exp(rng.normal(0, 0.12))
            landmarks[:, knuckle + 1 : knuckle + 4] += (factor - 1) * finger
    if world is not None:
        world = world @ matrix
        world = world + _jitter(count, rng) * _median(np.linalg.norm(world[:, 9] - world[:, 0], axis=-1))
    lost = rng.random(count) < rng.choice([0.0, 0.0, 0.02])
    landmarks[lost] = np.nan
    world = None if world is None else world.astype(np.float32)
    return Clip(landmarks.astype(np.float32), world, targets, shapes, clip.spelled)


def wander(clip: Clip, rng: np.random.Generator) -> Clip:
    """Let the whole hand drift aside and come nearer or go, smoothly, as an arm does that holds up a letter for long.

    About the mean place of the wrist, by up to some half a palm and a third of its size, at a pace of 0.5 to 1.5 s a
    turn; what the hand shows does not change.
    """
    found = np.isfinite(clip.landmarks[:, 0, 0])
    if not found.any():
        return clip
    hands = clip.landmarks[found]
    palm, middle = np.median(np.linalg.norm(hands[:, 9] - hands[:, 0], axis=-1)), hands[:, 0].mean(0)
    places = np.arange(len(found)) / (RATE * rng.uniform(0.5, 1.5))
    knots = rng.normal(0, rng.uniform(0, 1), (int(places[-1]) + 2, 3))
    low, part = places.astype(int), (places % 1)[:, None]
    part = (part + minimum_jerk(part)) / 2
    across, down, nearer = (knots[low] * (1 - part) + knots[low + 1] * part).T
    moved = (clip.landmarks - middle) * np.exp(0.35 * nearer)[:, None, None] + middle
    moved[..., :2] += 0.5 * palm * np.stack([across, down], 1)[:, None]
    return replace(clip, landmarks=moved.astype(np.float32))


def _median(lengths: np.ndarray) -> float:
    """The median of what is known; 1 if nothing is."""
    known = lengths[np.isfinite(lengths)]
    return float(np.median(known)) if len(known) else 1.0


def _jitter(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 21, 3) errors in palm sizes: most of them last, some change from moment to moment."""
    size = rng.uniform(0.005, 0.03)
    lasting = rng.normal(0, rng.uniform(0, 0.06), (1, 21, 3))
    slow = rng.normal(0, size, (count // 5 + 2, 21, 3))
    places = np.arange(count) / 5
    low, part = places.astype(int), (places % 1)[:, None, None]
    return (lasting + slow[low] * (1 - part) + slow[low + 1] * part + rng.normal(0, size / 2, (count, 21, 3))).astype(
        np.float32
    )


def batch_clips(
    clips: Sequence[Clip], tail: int
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor], torch.Tensor]:
    """Features (B, C, T), targets (B, T) padded by moments without a hand, what is spelled, handshapes (B, T).

    ``tail`` moments more than the longest clip has are added, in which late answers have room.
    """
    longest = max(len(clip.targets) for clip in clips) + tail
    solid = clips[0].world is not None
    landmarks = np.full((len(clips), longest, 21, 3), np.nan, np.float32)
    world = np.full((len(clips), longest, 21, 3), np.nan, np.float32) if solid else None
    targets = np.full((len(clips), longest), IGNORE, np.int64)
    shapes = np.full((len(clips), longest), IGNORE, np.int64)
    for i, clip in enumerate(clips):
        count = len(clip.targets)
        landmarks[i, :count], targets[i, :count], shapes[i, :count] = clip.landmarks, clip.targets, clip.shapes
        targets[i, count : count + tail] = NEITHER
        if world is not None:
            world[i, :count] = clip.world
    features = moment_features(
        torch.from_numpy(landmarks),
        None if world is None else torch.from_numpy(world),
        torch.zeros(landmarks.shape[:2], dtype=torch.bool),
        torch.ones(len(clips)),
    )
    spelled = [torch.tensor(clip.spelled, dtype=torch.long) for clip in clips]
    return features, torch.from_numpy(targets), spelled, torch.from_numpy(shapes)


def film_stills(clips: Sequence[Clip], names: Sequence[str] = SIGNS) -> Stills:
    """The middle moment of every handshape that is held in films."""
    image, world, labels = [], [], []
    for clip in clips:
        found = np.isfinite(clip.landmarks[:, 0, 0]) & (clip.shapes > 0)
        edges = np.flatnonzero(np.diff(np.where(found, clip.shapes, 0), prepend=0, append=0))
        for start, end in itertools.pairwise(edges):
            if found[start]:
                middle = (start + end) // 2
                assert clip.world is not None  # a film has both
                image.append(clip.landmarks[middle])
                world.append(clip.world[middle])
                labels.append(names[clip.shapes[middle] - 1])
    right = [torch.from_numpy(np.array(points, np.float32)) for points in (image, world)]
    first, second = (palm_scale(wrist_origin(points)).numpy() for points in right)
    return Stills(first, second, np.array(labels))
