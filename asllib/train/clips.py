"""What the spelling network is trained on: drawn films, and words pieced together from still hands."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from asllib.hands.features import landmark_inputs, mirror_left, palm_scale, true_aspect, wrist_origin
from asllib.hands.stream import RATE, Stream, resample
from asllib.letters import MOVING
from asllib.networks.spelling import NEITHER, SIGNS, moment_features
from asllib.signer.motion import draw_stroke_habit, minimum_jerk, stroke_path

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
    """A hand at T even moments, with what is to be read: a right hand, in one unit for x, y and z."""

    landmarks: np.ndarray  # (T, 21, 3) float32, NaN without a hand
    world: np.ndarray  # the same
    targets: np.ndarray  # (T,) int64: the number of the sign that is shown, NEITHER or IGNORE
    shapes: np.ndarray  # (T,) int64: the number of the handshape that is shown, NEITHER or IGNORE
    spelled: tuple[int, ...]  # numbers of the signs in order


@dataclass(frozen=True)
class Stills:
    """Still right hands, in palm sizes from the wrist."""

    hands: np.ndarray  # (N, 2, 21, 3) float32: points of the image and of the world
    labels: np.ndarray  # (N,)

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def rows_of(self) -> dict[str, np.ndarray]:
        """The positions of each label, in the order of the labels: looked up for every word that is pieced together."""
        kinds, which = np.unique(self.labels, return_inverse=True)
        return {kind: np.flatnonzero(which == number) for number, kind in enumerate(kinds.tolist())}


def stills_of(tables: Sequence[pd.DataFrame]) -> Stills:
    """Take every found hand of landmark tables, see ``asllib.hands.read_landmarks``."""
    table = pd.concat(tables)
    table = table[(table["score"] > 0).to_numpy()]
    landmarks, world, left, aspect = landmark_inputs(table)
    image, world = (palm_scale(wrist_origin(points)) for points in (true_aspect(landmarks, aspect), world))
    hands = torch.stack([mirror_left(image, left), mirror_left(world, left)], 1).numpy()
    return Stills(hands, table["label"].to_numpy(str))


def film_clip(stream: Stream) -> Clip:
    """Turn a film with its truth into a clip."""
    even = resample(stream)
    flip = np.where(even.left, -1.0, 1.0)[:, None]
    landmarks = even.landmarks * np.array([stream.aspect, 1, stream.aspect], np.float32)
    world = even.world.copy()
    landmarks[..., 0] *= flip
    world[..., 0] *= flip
    targets, shapes = np.full((2, len(even)), NEITHER, np.int64)
    spelled = []
    for position, letter in enumerate(even.word):
        rows = np.flatnonzero(even.positions == position)
        if not len(rows):
            continue
        number = 1 + SIGNS.index(letter)
        # J begins as I, and both are drawn with a hand that turns away.
        shapes[rows] = IGNORE if letter == "J" else number
        # On the way the hand is neither the one letter nor the other, at its ends it is nearly one of them.
        shapes[[max(rows[0] - 1, 0), min(rows[-1] + 1, len(even) - 1)]] = IGNORE
        targets[rows[round(_TOLD * len(rows)) :] if letter in MOVING else rows] = number
        spelled.append(number)
    return Clip(landmarks.astype(np.float32), world.astype(np.float32), targets, shapes, tuple(spelled))


def phrase_clip(stream: Stream) -> Clip:
    """Turn a film of which the word alone is known into a clip: only the order of its letters teaches."""
    clip = film_clip(replace(stream, word="", positions=None))
    unknown = np.full_like(clip.targets, IGNORE)
    return replace(
        clip, targets=unknown, shapes=unknown, spelled=tuple(1 + SIGNS.index(letter) for letter in stream.word)
    )


def _rotation(z: np.ndarray | float, x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
    """(..., 3, 3) of a hand that is turned about y, x and z in turn, in degrees; x is right, y down, z away."""
    return Rotation.from_euler("ZXY", np.stack([z, x, y], -1), degrees=True).as_matrix()


def _hang(rng: np.random.Generator) -> np.ndarray:
    """A rotation (3, 3) that lets a hand hang down."""
    return _rotation(rng.choice([-1, 1]) * rng.uniform(90, 180), 0.0, rng.uniform(-40, 40))


def _any_way_up(rng: np.random.Generator) -> np.ndarray:
    """A rotation (3, 3) to any way up, seen from elsewhere."""
    return _rotation(rng.uniform(-180, 180), rng.uniform(-40, 40), rng.uniform(-60, 60))


def still_clip(stills: Stills, count: int, rng: np.random.Generator) -> Clip:
    """Still hands, one a moment, as many of each handshape: for the handshape part, which knows no time."""
    kinds = list(stills.rows_of)
    labels = [kinds[kind] for kind in rng.integers(0, len(kinds), count)]
    rows = np.array([some[rng.integers(len(some))] for some in (stills.rows_of[label] for label in labels)])
    shapes = np.array([1 + SIGNS.index(label) if label in SIGNS else NEITHER for label in labels])
    hands = stills.hands[rows]
    for i, label in enumerate(labels):
        if label in _HANGS and rng.random() < UPSIDE_DOWN:
            hands[i], shapes[i] = _turned(hands[i], _hang(rng)), NEITHER
        elif label not in SIGNS and rng.random() < ANY_WAY_UP:
            hands[i] = _turned(hands[i], _any_way_up(rng))
    return Clip(hands[:, 0], hands[:, 1], np.full(count, NEITHER), shapes, ())


@dataclass
class _Pieces:
    """The moments of a word that is being pieced together, and where the hand is: at a place, seen at a scale.

    A hand is (2, 21, 3), points of the image and of the world as in ``Stills``.
    """

    rng: np.random.Generator
    cut: bool  # from letter to letter, as in films put together from pieces
    at: np.ndarray
    scale: float = 1.0
    parts: list[list[np.ndarray]] = field(default_factory=list)  # each of hands, places, sizes and targets

    def moments(self, seconds: float, least: int = 1) -> int:
        """About so many seconds, in moments."""
        return max(least, round(seconds * RATE * float(np.clip(self.rng.normal(1, 0.15), 0.5, 1.6))))

    def add(self, hand, at, scale, label, count: int) -> None:
        """Add moments; what is the same in all of them may be given once."""
        given = ((hand, (2, 21, 3)), (at, (2,)), (scale, ()), (label, ()))
        self.parts.append([np.broadcast_to(value, (count, *shape)) for value, shape in given])

    def go(self, hand: np.ndarray, goal: np.ndarray, scale: float, seconds: float, dip: float = 0.0) -> None:
        """Go to the next hand smoothly, in an arc of ``dip`` palms; arrive at once if the film is cut."""
        count = 0 if self.cut else self.moments(seconds)
        if count and self.parts:
            way = minimum_jerk(np.arange(1, count + 1) / (count + 1))
            w = way[:, None, None, None]
            path = self.at + (goal - self.at) * way[:, None] + dip * np.sin(np.pi * way)[:, None] * [0, 1]
            hands = self.parts[-1][0][-1] * (1 - w) + hand * w
            self.add(hands, path, self.scale + (scale - self.scale) * way, NEITHER, count)
        self.at, self.scale = goal, scale

    def approach(self, hand: np.ndarray, seconds: float) -> None:
        """Go to another letter, with little drift, or with much if the film is cut."""
        goal = self.at + self.rng.normal(0, 0.6 if self.cut else 0.1, 2)
        self.go(hand, goal, self.scale * np.exp(self.rng.normal(0, 0.25 if self.cut else 0.03)), seconds)

    def double(self, hand: np.ndarray, seconds: float) -> None:
        """Show the same letter again: the hand slides aside or dips."""
        slides = self.rng.random() < 0.6
        aside = self.rng.choice([-1, 1], p=[0.8, 0.2]) * self.rng.uniform(0.35, 0.8), self.rng.normal(0, 0.05)
        goal = self.at + np.array(aside) if slides else self.at
        self.go(hand, goal, self.scale, seconds, 0 if slides else self.rng.uniform(0.25, 0.5))

    def gesture(self, hand: np.ndarray) -> None:
        """Make another sign: the hand moves as in no letter of its shape."""
        turn, path = gesture(self.moments(self.rng.uniform(0.4, 1.6), 6), self.rng)
        self.add(_turned(hand, turn), self.at + path, self.scale, NEITHER, len(path))
        self.at = self.at + path[-1]

    def draw(self, name: str, number: int, hands: np.ndarray, path: np.ndarray) -> None:
        """Draw J or Z with hands (T, 2, 21, 3) along a path (T, 2); some wait before they draw Z."""
        count, seen = len(path), NEITHER
        if name == "Z" and self.rng.random() < 0.5:
            wait = self.moments(self.rng.uniform(0.2, 1.4), 2)
            label = np.where(np.arange(wait) < _STILL_STROKE_S * RATE, NEITHER, number)
            self.add(hands[0], self.at, self.scale, label, wait)
            seen = label[-1]  # once read, it is not read again
        label = np.where(np.arange(count) < _TOLD * count, seen, number)
        self.add(hands, self.at + path, self.scale, label, count)
        self.at = self.at + path[-1]

    def hold(self, name: str, number: int, hand: np.ndarray, seconds: float) -> None:
        """Hold a letter; hands that are held drift, wobble and come nearer, the more the longer."""
        if name in MOVING:
            seconds = max(seconds, 0.8)
        elif self.rng.random() < 0.12:
            seconds += self.rng.exponential(1.0)  # a learner thinks
        count = self.moments(seconds, 2)
        label = np.full(count, number)
        if name in MOVING:
            label[: round(_STILL_STROKE_S * RATE)] = NEITHER
        drift = np.cumsum(self.rng.normal(0, 0.02, (count, 2)), 0) * self.rng.uniform(0, 1.5)
        growth = self.scale * np.exp(np.linspace(0, self.rng.normal(0, 0.15) * count / RATE, count))
        self.add(hand, self.at + drift, growth, label, count)
        self.at, self.scale = self.at + drift[-1], float(np.clip(growth[-1], 0.4, 2.5))

    def leave(self, hand: np.ndarray) -> None:
        """Leave the picture for a while, and come back as before."""
        self.add(np.nan, self.at, self.scale, NEITHER, self.moments(self.rng.uniform(0.4, 1.0)))
        self.add(hand, self.at, self.scale, NEITHER, 1)

    def clip(self, spelled: Sequence[int]) -> Clip:
        """All moments as a clip."""
        hands, places, sizes, targets = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        image, world = hands[:, 0] * sizes[:, None, None], hands[:, 1].astype(np.float32)
        image[..., :2] += places[:, None]
        unknown = np.full(len(targets), IGNORE)  # the handshape part learns from the stills themselves
        return Clip(image.astype(np.float32), world, targets.astype(np.int64), unknown, tuple(spelled))


def piece_together(stills: Stills, rng: np.random.Generator, letters: int = 7) -> Clip:
    """Spell random signs with still hands of any people: holds, smooth ways between them, doubles, strokes, pauses.

    No hand stands quite still, some drift or come nearer while they hold, some letters are cut from one to the next
    without a way between them, as in films put together from pieces.
    """
    names = list(stills.rows_of)
    strange = [name for name in names if name not in SIGNS]
    share = np.exp(rng.uniform(np.log(0.2), np.log(1.4)))  # seconds a letter
    hold_part = rng.uniform(0.35, 0.75)
    pieces = _Pieces(rng, rng.random() < 0.15, rng.normal(0, 0.5, 2))
    spelled: list[int] = []
    before, row = None, 0
    for _ in range(letters):
        if before is not None and rng.random() < DOUBLED and before not in MOVING:
            name = before
        else:
            name = names[rng.integers(len(names))]
            if strange and rng.random() < STRANGE:
                name = strange[rng.integers(len(strange))]
            row = rng.choice(stills.rows_of[name])
        hand = stills.hands[row]
        draws = name in MOVING and rng.random() < 0.5 and not pieces.cut
        if draws:
            drawn, path = _draw_with(stills, name, row, pieces)
            hand = drawn[0]
        doubled = name == before
        hangs = name in _HANGS and not doubled and rng.random() < UPSIDE_DOWN
        if hangs:
            hand = _turned(hand, _hang(rng))
        elif name not in SIGNS and not doubled and rng.random() < ANY_WAY_UP:
            hand = _turned(hand, _any_way_up(rng))
        if doubled and not pieces.cut:
            pieces.double(hand, share * (1 - hold_part))
        else:
            pieces.approach(hand, share * (1 - hold_part) * (1 if before else 2))
        if name not in ("I", *MOVING) and rng.random() < GESTURES and not pieces.cut:
            pieces.gesture(hand)
            before = name
            continue
        number = 1 + SIGNS.index(name) if name in SIGNS and not hangs else NEITHER
        if draws:
            pieces.draw(name, number, drawn, path)
        else:
            pieces.hold(name, number, hand, share * hold_part)
        if number != NEITHER:
            spelled.append(number)
        before = None if hangs else name
        if rng.random() < 0.08:
            pieces.leave(hand)
            before = None
    return pieces.clip(spelled)


def _draw_with(stills: Stills, name: str, row: int, pieces: _Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Hands (T, 2, 21, 3) that draw J or Z, and the wrist's path (T, 2); J is drawn by an I."""
    rng = pieces.rng
    if name == "J" and "I" in stills.rows_of:
        row = rng.choice(stills.rows_of["I"])
    turn, path = stroke(name, pieces.moments(rng.uniform(0.5, 1.1), 6), rng)
    # World landmarks know better how deep a finger lies, image landmarks where it is seen.
    seen_as = [1, 1] if rng.random() < 0.5 else [0, 1]
    return _turned(stills.hands[row, seen_as], turn), path


def _turned(hand: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """A hand (2, 21, 3) turned about the wrist by rotations (..., 3, 3)."""
    return hand @ turn[..., None, :, :].swapaxes(-1, -2)


def stroke(letter: str, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Turns (count, 3, 3) about the wrist and offsets (count, 2) in palm sizes of J or Z, drawn by anybody."""
    fine = 8 * count
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
    turn = _rotation(-at(lean), at(pitch), -at(spin))
    flat = np.stack([at(path[:, 0]), -at(path[:, 1])], 1) / _PALM
    return turn, (flat - flat[0]) @ _rotation(rng.normal(0, 8), 0.0, 0.0)[:2, :2].T


def gesture(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Turns and offsets as ``stroke`` gives them, of another sign: J or Z mirrored, on its side, or to and fro."""
    turn, path = stroke(MOVING[rng.integers(2)], count, rng)
    turn = turn @ turn[0].T  # it begins as the hand is
    order = np.arange(count) if rng.random() < 0.5 else count // 2 - np.abs(np.arange(count) - count // 2)
    path = path[order] * rng.choice([-1, 1], 2) if rng.random() < 0.7 else path[order][:, ::-1]
    return turn[order], path


def augment(clip: Clip, rng: np.random.Generator) -> Clip:
    """See the clip from elsewhere, by another tracker, faster or slower, with some frames lost."""
    landmarks, world, targets, shapes = clip.landmarks, clip.world, clip.targets, clip.shapes
    count = len(targets)
    if rng.random() < 0.7 and count > 4:  # faster or slower
        places = np.arange(0, count - 1, float(np.exp(rng.uniform(np.log(0.5), np.log(1.5)))))
        landmarks, world = _between(landmarks, places), _between(world, places)
        nearest, count = np.round(places).astype(int), len(places)
        targets, shapes = targets[nearest], shapes[nearest]
    turn = _rotation(rng.uniform(-18, 18), rng.uniform(-20, 20), rng.uniform(-20, 20))
    matrix = (turn @ np.diag(1 + rng.uniform(-0.08, 0.08, 3))).astype(np.float32).T

    def move(points: np.ndarray) -> np.ndarray:
        known = points[np.isfinite(points[:, 0, 0])]
        return points @ matrix + _jitter(count, rng) * (_palm(known) if len(known) else 1.0)

    landmarks, world = move(landmarks), move(world)
    landmarks[rng.random(count) < rng.choice([0.0, 0.0, 0.02])] = np.nan
    return Clip(landmarks.astype(np.float32), world.astype(np.float32), targets, shapes, clip.spelled)


def wander(clip: Clip, rng: np.random.Generator) -> Clip:
    """Let the whole hand drift aside and come nearer or go, smoothly, as an arm does that holds up a letter for long.

    About the mean place of the wrist, by up to some half a palm and a third of its size, at a pace of 0.5 to 1.5 s a
    turn; what the hand shows does not change.
    """
    found = np.isfinite(clip.landmarks[:, 0, 0])
    if not found.any():
        return clip
    hands = clip.landmarks[found]
    palm, middle = _palm(hands), hands[:, 0].mean(0)
    places = np.arange(len(found)) / (RATE * rng.uniform(0.5, 1.5))
    knots = rng.normal(0, rng.uniform(0, 1), (int(places[-1]) + 2, 3))
    low, part = places.astype(int), (places % 1)[:, None]
    part = (part + minimum_jerk(part)) / 2
    across, down, nearer = (knots[low] * (1 - part) + knots[low + 1] * part).T
    moved = (clip.landmarks - middle) * np.exp(0.35 * nearer)[:, None, None] + middle
    moved[..., :2] += 0.5 * palm * np.stack([across, down], 1)[:, None]
    return replace(clip, landmarks=moved.astype(np.float32))


def _between(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Points (T, 21, 3) at places between the moments, linear in between."""
    low, part = places.astype(int), (places % 1)[:, None, None].astype(points.dtype)
    return points[low] * (1 - part) + points[low + 1] * part


def _palm(hands: np.ndarray) -> float:
    """The median length of the palm in (T, 21, 3), none of them missing."""
    return float(np.median(np.linalg.norm(hands[:, 9] - hands[:, 0], axis=-1)))


def _jitter(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 21, 3) errors in palm sizes: most of them last, some change from moment to moment."""
    size = rng.uniform(0.005, 0.03)
    lasting = rng.normal(0, rng.uniform(0, 0.06), (1, 21, 3))
    slow = _between(rng.normal(0, size, (count // 5 + 2, 21, 3)), np.arange(count) / 5)
    return (lasting + slow + rng.normal(0, size / 2, (count, 21, 3))).astype(np.float32)


def batch_clips(clips: Sequence[Clip], tail: int) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
    """Features (B, C, T), targets (B, T) padded by moments without a hand, what is spelled, handshapes (B, T).

    ``tail`` moments more than the longest clip has are added, in which late answers have room.
    """
    longest = max(len(clip.targets) for clip in clips) + tail
    points = np.full((2, len(clips), longest, 21, 3), np.nan, np.float32)  # image and world
    targets, shapes = np.full((2, len(clips), longest), IGNORE, np.int64)
    for i, clip in enumerate(clips):
        count = len(clip.targets)
        points[0, i, :count], points[1, i, :count] = clip.landmarks, clip.world
        targets[i, :count], shapes[i, :count] = clip.targets, clip.shapes
        targets[i, count : count + tail] = NEITHER
    right = torch.zeros(points.shape[1:3], dtype=torch.bool)
    image, world = torch.from_numpy(points)
    features = moment_features(image, world, right, torch.ones(len(clips)))
    spelled = [torch.tensor(clip.spelled, dtype=torch.long) for clip in clips]
    return features, torch.from_numpy(targets), spelled, torch.from_numpy(shapes)


def film_stills(clips: Sequence[Clip]) -> Stills:
    """The middle moment of every handshape that is held in films."""
    hands, labels = [], []
    for clip in clips:
        shapes = np.where(np.isfinite(clip.landmarks[:, 0, 0]) & (clip.shapes > 0), clip.shapes, 0)
        for start, end in itertools.pairwise(np.flatnonzero(np.diff(shapes, prepend=0, append=0))):
            if shapes[start]:
                middle = (start + end) // 2
                hands.append([clip.landmarks[middle], clip.world[middle]])
                labels.append(SIGNS[shapes[middle] - 1])
    points = torch.from_numpy(np.array(hands)).flatten(0, 1)  # (2 N, 21, 3)
    return Stills(palm_scale(wrist_origin(points)).unflatten(0, (-1, 2)).numpy(), np.array(labels))
