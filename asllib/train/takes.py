"""Words pieced together from takes: hands of people and of drawn signers that show a sign, still or filmed."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch

from asllib.data.people_set import Sequences
from asllib.hands.features import landmark_inputs, mirror_left, palm_scale, palm_size, true_aspect, wrist_origin
from asllib.hands.stream import RATE
from asllib.letters import LETTERS, MOVING
from asllib.networks.spelling import NEITHER, SIGNS
from asllib.signer.motion import TURNED, draw_stroke_habit, minimum_jerk, stroke_path
from asllib.train.clips import IGNORE, TOLD, Clip, between, rotation

DOUBLED = 0.25  # of the letters that are pieced together are the one before again
UPSIDE_DOWN = 0.05  # of them hang down, a hand at rest: those that are no letter then
STRANGE = 0.08  # of the signs that are pieced together are handshapes that are no sign, beside their share
ANY_WAY_UP = 0.3  # of the handshapes that are no sign are seen any way up: they are none there either
TO_VIEWER = 0.4  # of the hands that point aside are turned to the viewer, as within words
GESTURES = 0.12  # of the signs that are pieced together move as no letter does
ONE_PERSON = 0.6  # of the words are pieced together from hands of one signer
FILMED = 0.4  # of the letters that were filmed are shown as filmed
STROKES = 0.08  # of the signs that are pieced together are J or Z, beside their share
LENGTHS = (1, 1, 2, 3, 5, 7, 7, 7)  # letters of a word
LONGEST_S = 6.0  # seconds of a word, about
_HANGS = frozenset("ABCEFMNOSTWY")  # not L and V, which show Q and P when they hang
_STILL_STROKE_S = 0.5  # J or Z held without a stroke counts after so long
_PALM = 0.09  # metres
_MANY = 15  # signs that a signer shows of whom whole words are made


@dataclass(frozen=True)
class Takes:
    """Right hands that show a sign each, in palm sizes from the wrist."""

    hands: np.ndarray  # (N, 2, 21, 3) float32: points of the image and of the world; the world's NaN where not known
    labels: np.ndarray  # (N,)
    weights: np.ndarray | None = None  # (N,) how often each comes up beside others of its label
    signers: np.ndarray | None = None  # (N,)
    filmed: dict[str, list[np.ndarray]] = field(default_factory=dict)  # hands (T, 2, 21, 3) from where the wrist begins

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def rows_of(self) -> dict[str, np.ndarray]:
        """The positions of each label, in the order of the labels."""
        kinds, which = np.unique(self.labels, return_inverse=True)
        return {kind: np.flatnonzero(which == number) for number, kind in enumerate(kinds.tolist())}

    @functools.cached_property
    def _sums(self) -> dict[str, np.ndarray]:
        weights = np.ones(len(self)) if self.weights is None else self.weights
        return {label: np.cumsum(weights[rows]) for label, rows in self.rows_of.items()}

    @functools.cached_property
    def people(self) -> list["Takes"]:
        """Each signer who shows many signs, and handshapes that are no sign by anybody."""
        if self.signers is None:
            return []
        sign = np.isin(self.labels, SIGNS)
        counts = pd.Series(self.labels[sign]).groupby(self.signers[sign]).nunique()
        masks = [(self.signers == signer) | ~sign for signer in counts.index[counts >= _MANY]]
        return [Takes(self.hands[mask], self.labels[mask], filmed=self.filmed) for mask in masks]

    def row(self, label: str, rng: np.random.Generator) -> int:
        """Draw one of the hands of a label, by their weights."""
        sums = self._sums[label]
        return int(self.rows_of[label][np.searchsorted(sums, rng.random() * sums[-1], "right")])


def takes_of(
    tables: Sequence[pd.DataFrame], weights: np.ndarray | None = None, signers: np.ndarray | None = None
) -> Takes:
    """Take every found hand of landmark tables, see ``asllib.hands.read_landmarks``; weights and signers (rows,)."""
    table = pd.concat(tables)
    found = (table["score"] > 0).to_numpy()
    table = table[found]
    landmarks, world, left, aspect = landmark_inputs(table)
    points = palm_scale(wrist_origin(torch.stack([true_aspect(landmarks, aspect), world], 1)))  # (N, 2, 21, 3)
    hands = mirror_left(points, left[:, None]).numpy()
    weights, signers = (None if values is None else np.asarray(values)[found] for values in (weights, signers))
    return Takes(hands, table["label"].to_numpy(str), weights, signers)


def film_takes(clips: Sequence[Clip]) -> Takes:
    """The middle moment of every handshape that is held in films, each film by a signer of its own."""
    hands, labels, signers = [], [], []
    for number, clip in enumerate(clips):
        shapes = np.where(np.isfinite(clip.landmarks[:, 0, 0]) & (clip.shapes > 0), clip.shapes, 0)
        for start, end in itertools.pairwise(np.flatnonzero(np.diff(shapes, prepend=0, append=0))):
            if shapes[start]:
                middle = (start + end) // 2
                hands.append([clip.landmarks[middle], clip.world[middle]])
                labels.append(SIGNS[shapes[middle] - 1])
                signers.append(f"film {number}")
    points = palm_scale(wrist_origin(torch.from_numpy(np.array(hands))))
    return Takes(points.numpy(), np.array(labels), None, np.array(signers))


def filmed_letters(people: Sequence[Sequences]) -> dict[str, list[np.ndarray]]:
    """The clips of each letter by filmed people, as hands (T, 2, 21, 3): the longest part without a gap."""
    films: dict[str, list[np.ndarray]] = {}
    for person in people:
        for letter, left, points in zip(person.letters.tolist(), person.left, person.landmarks, strict=True):
            seen = np.flatnonzero(np.isfinite(points[:, 0, 0]))
            if person.still or letter not in LETTERS or not len(seen):
                continue
            longest = max(np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1), key=len)
            image = true_aspect(torch.from_numpy(points[longest]), torch.tensor(person.aspect))
            image = image / palm_size(wrist_origin(image)).median()
            hands = (image - image[:1, :1]).numpy() * [-1 if left else 1, 1, 1]
            hands = np.stack([hands, np.full_like(hands, np.nan)], 1).astype(np.float32)
            films.setdefault(letter, []).append(hands)
    return films


def join(parts: Sequence[Takes], shares: Sequence[float]) -> Takes:
    """Takes of several sets as one; of those of a label a set has about its share."""
    weights, signers = [], []
    for part, share in zip(parts, shares, strict=True):
        own = np.ones(len(part)) if part.weights is None else part.weights
        weights.append(share * own / own.sum())
        signers.append(np.full(len(part), "") if part.signers is None else part.signers)
    hands, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("hands", "labels"))
    filmed = {letter: films for part in parts for letter, films in part.filmed.items()}  # one of the sets has some
    return Takes(hands, labels, np.concatenate(weights), np.concatenate(signers), filmed)


def still_clip(takes: Takes, count: int, rng: np.random.Generator) -> Clip:
    """Still hands, one a moment, as many of each handshape: for the handshape part, which knows no time."""
    names = list(takes.rows_of)
    shown = [_still(takes, names[kind], rng) for kind in rng.integers(0, len(names), count)]
    hands, shapes = np.stack([one.hands[0] for one in shown]), np.array([one.number for one in shown])
    return Clip(hands[:, 0], hands[:, 1], np.full(count, NEITHER), shapes, ())


@dataclass(frozen=True)
class _Shown:
    """A sign that somebody shows: as a still hand, as it was filmed, or, of J and Z, drawn along a path."""

    name: str
    number: int  # of the sign, NEITHER if it is none
    hands: np.ndarray  # (T, 2, 21, 3), the wrist at 0 unless it was filmed
    filmed: bool = False
    path: np.ndarray | None = None  # (T, 2) of the wrist, in palm sizes


def _choose(takes: Takes, cut: bool, rng: np.random.Generator) -> _Shown:
    """Draw what is shown next; nothing is drawn in the air in films that are cut."""
    names = list(takes.rows_of)
    strange = [name for name in names if name not in SIGNS]
    name, kind = names[rng.integers(len(names))], rng.random()
    if strange and kind < STRANGE:
        name = strange[rng.integers(len(strange))]
    elif kind > 1 - STROKES and set(MOVING) <= set(names):
        name = MOVING[rng.integers(len(MOVING))]
    films = takes.filmed.get(name)
    if films and rng.random() < FILMED:
        return _Shown(name, 1 + SIGNS.index(name), films[rng.integers(len(films))], filmed=True)
    if name in MOVING and not cut and rng.random() < 0.5:
        row = takes.row("I" if name == "J" and "I" in takes.rows_of else name, rng)
        turn, path = stroke(name, max(6, round(RATE * rng.uniform(0.5, 1.1))), rng)
        # World landmarks know better how deep a finger lies, image landmarks where it is seen.
        seen_as = [1, 1] if rng.random() < 0.5 and np.isfinite(takes.hands[row]).all() else [0, 1]
        return _Shown(name, 1 + SIGNS.index(name), _turned(takes.hands[row, seen_as], turn), path=path)
    return _still(takes, name, rng)


def _still(takes: Takes, name: str, rng: np.random.Generator) -> _Shown:
    """A still hand of a label, sometimes turned as it is seen in no photo: then some are no sign."""
    hand, number = takes.hands[takes.row(name, rng)], 1 + SIGNS.index(name) if name in SIGNS else NEITHER
    kind = rng.random()
    if name in _HANGS and kind < UPSIDE_DOWN:
        turn = rotation(rng.choice([-1, 1]) * rng.uniform(90, 180), 0.0, rng.uniform(-40, 40))
        hand, number = _turned(hand, turn), NEITHER
    elif name not in SIGNS and kind < ANY_WAY_UP:
        hand = _turned(hand, rotation(rng.uniform(-180, 180), rng.uniform(-40, 40), rng.uniform(-60, 60)))
    elif name in TURNED and kind < TO_VIEWER:
        hand = _turned(hand, rotation(0.0, 0.0, rng.uniform(0, TURNED[name])))
    return _Shown(name, number, hand[None])


def _turned(hand: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """A hand (2, 21, 3) turned about the wrist by rotations (..., 3, 3)."""
    return hand @ turn[..., None, :, :].swapaxes(-1, -2)


@dataclass
class _Pieces:
    """The moments of a word that is being pieced together, and where the hand is: at a place, seen at a scale.

    A hand is (2, 21, 3), points of the image and of the world as in ``Takes``.
    """

    rng: np.random.Generator
    cut: bool  # from letter to letter, as in films put together from pieces
    at: np.ndarray
    scale: float = 1.0
    rise: np.ndarray = field(default_factory=lambda: np.zeros(2))  # still to be made before the first letter
    parts: list[list[np.ndarray]] = field(default_factory=list)  # each of hands, places, sizes and targets

    def moments(self, seconds: float, least: int = 1) -> int:
        """About so many seconds, in moments."""
        return max(least, round(seconds * RATE * float(np.clip(self.rng.normal(1, 0.15), 0.5, 1.6))))

    def add(self, hands, count: int, at=None, scale=None, number: int = NEITHER, told: float = 0) -> None:
        """Add moments, where the hand is unless said, and leave it there; what is the same in all may be given once.

        They show the sign of a number, which can be told after ``told`` moments.
        """
        label = np.where(np.arange(count) < told, NEITHER, number)
        at, scale = (usual if given is None else given for given, usual in ((at, self.at), (scale, self.scale)))
        given = ((hands, (2, 21, 3)), (at, (2,)), (scale, ()), (label, ()))
        self.parts.append([np.broadcast_to(value, (count, *shape)) for value, shape in given])
        self.at = self.parts[-1][1][-1]

    def go(self, hand: np.ndarray, goal: np.ndarray, scale: float, seconds: float, dip: float = 0.0) -> None:
        """Go to the next hand smoothly, in an arc of ``dip`` palms; arrive at once if the film is cut."""
        count = 0 if self.cut else self.moments(seconds)
        if count and self.parts:
            way = minimum_jerk(np.arange(1, count + 1) / (count + 1))
            w = way[:, None, None, None]
            path = self.at + (goal - self.at) * way[:, None] + dip * np.sin(np.pi * way)[:, None] * [0, 1]
            hands = self.parts[-1][0][-1] * (1 - w) + hand * w
            self.add(hands, count, path, self.scale + (scale - self.scale) * way)
        self.at, self.scale = goal, scale

    def approach(self, hand: np.ndarray, seconds: float) -> None:
        """Go to another letter, with little drift, or with much if the film is cut."""
        goal = self.at + self.rise + self.rng.normal(0, 0.6 if self.cut else 0.1, 2)
        self.rise = np.zeros(2)
        self.go(hand, goal, self.scale * np.exp(self.rng.normal(0, 0.25 if self.cut else 0.03)), seconds)

    def enter(self, hand: np.ndarray) -> None:
        """Begin lowered, with a hand that shows nothing yet and is a little turned."""
        turn = rotation(self.rng.normal(0, 30), self.rng.normal(0, 20), self.rng.normal(0, 30))
        self.rise = -np.array([self.rng.normal(0, 0.5), self.rng.uniform(0.3, 2.5)])
        self.add(_turned(hand, turn), self.moments(self.rng.uniform(0.0, 0.5)), self.at - self.rise)

    def lower(self, hand: np.ndarray) -> None:
        """End with a hand that sinks, and is sometimes seen at rest, sometimes gone."""
        turn = rotation(self.rng.normal(0, 30), self.rng.normal(0, 20), self.rng.normal(0, 30))
        low = self.at + np.array([self.rng.normal(0, 0.5), self.rng.uniform(0.3, 2.5)])
        self.go(_turned(hand, turn), low, self.scale, self.rng.uniform(0.2, 0.7))
        self.add(self.parts[-1][0][-1], self.moments(self.rng.uniform(0.0, 0.5)))
        if self.rng.random() < 0.5:
            self.add(np.nan, self.moments(0.3))

    def double(self, hand: np.ndarray, open_hand: np.ndarray, seconds: float) -> None:
        """Show the same letter again: the hand slides aside, dips, or opens a little in between."""
        kind = self.rng.random()
        if kind < 0.25:
            part = self.rng.uniform(0.3, 0.7)
            self.go(hand * (1 - part) + open_hand * part, self.at, self.scale, seconds / 2)
            self.go(hand, self.at, self.scale, seconds / 2)
            return
        slides = kind < 0.7
        aside = self.rng.choice([-1, 1], p=[0.8, 0.2]) * self.rng.uniform(0.35, 0.8), self.rng.normal(0, 0.05)
        goal = self.at + np.array(aside) if slides else self.at
        self.go(hand, goal, self.scale, seconds, 0 if slides else self.rng.uniform(0.25, 0.5))

    def show(self, shown: _Shown, seconds: float) -> None:
        """Show a sign where the hand is: drawn, as it was filmed, or held for about so long."""
        hands, number, moving, rng = shown.hands, shown.number, shown.name in MOVING, self.rng
        if shown.path is not None:  # some wait before they draw Z
            told, held = TOLD * len(hands), _STILL_STROKE_S * RATE
            if shown.name == "Z" and rng.random() < 0.5:
                wait = self.moments(rng.uniform(0.2, 1.4), 2)
                self.add(hands[0], wait, number=number, told=held)
                told = 0 if wait > held else told  # once read, it is not read again
            self.add(hands, len(hands), self.at + shown.path, number=number, told=told)
        elif shown.filmed:  # a part of it, or, of J and Z, all
            if not moving and rng.random() < 0.75:
                count = min(len(hands), self.moments(seconds, 2))
                first = int(rng.integers(0, len(hands) - count + 1))
                hands = hands[first : first + count]
            path = self.at + self.scale * (hands[:, 0, 0, :2] - hands[0, 0, 0, :2])
            told = round(TOLD * len(hands)) if moving else 0
            self.add(hands - hands[:, :, :1], len(hands), path, number=number, told=told)
        else:  # hands that are held drift, wobble and come nearer, the more the longer
            if moving:
                seconds = max(seconds, 0.8)
            elif rng.random() < 0.15:
                seconds += rng.exponential(1.2)  # a learner thinks
            count = self.moments(seconds, 12 if moving else 2)
            drift = np.cumsum(rng.normal(0, 0.02, (count, 2)), 0) * rng.uniform(0, 1.5)
            growth = self.scale * np.exp(np.linspace(0, rng.normal(0, 0.15) * count / RATE, count))
            self.add(hands[0], count, self.at + drift, growth, number, _STILL_STROKE_S * RATE if moving else 0)
            self.scale = float(np.clip(growth[-1], 0.4, 2.5))

    def clip(self, spelled: Sequence[int], share: float) -> Clip:
        """All moments as a clip; ``share`` is the time of a letter in seconds."""
        hands, places, sizes, targets = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        if not self.cut:
            hands = coarticulate(hands, share, self.rng)
            since, low = np.arange(len(targets)) / RATE, self.rng.uniform(0, 1.2, 2)
            early, late = self.rng.uniform(0.1, 0.6, 2)  # seconds in which the arm still rises, or sinks already
            sinks = low[0] * (1 - minimum_jerk(since / early)) + low[1] * (1 - minimum_jerk(since[::-1] / late))
            places = places + np.outer(sinks, [0, 1])
        image, world = hands[:, 0] * sizes[:, None, None], hands[:, 1].astype(np.float32)
        image[..., :2] += places[:, None]
        if np.isnan(world[np.isfinite(image[:, 0, 0])]).any():  # a set of landmarks has world points, or it has none
            world = np.full_like(world, np.nan)
        unknown = np.full(len(targets), IGNORE)  # the handshape part learns from the takes themselves
        return Clip(image.astype(np.float32), world, targets.astype(np.int64), unknown, tuple(spelled))


def coarticulate(hands: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Let each digit of hands (T, 2, 21, 3) keep its own time, as ``asllib.signer.motion.coarticulate`` does."""
    bent, moments = hands.copy(), np.arange(len(hands))
    spread = RATE * min(0.1, 0.12 * share) * np.array([2.0, 1.0, 1.0, 1.0, 2.0])  # the thumb and four fingers
    for digit, lag in enumerate(rng.normal(0, spread)):
        points = slice(1 + 4 * digit, 5 + 4 * digit)
        late = between(hands[:, :, points], np.clip(moments - lag, 0, len(hands) - 1))
        bent[:, :, points] = np.where(np.isfinite(late), late, hands[:, :, points])
    return bent


def piece_together(takes: Takes, rng: np.random.Generator) -> Clip:
    """Spell random signs with hands of anybody: holds, smooth ways between them, doubles, strokes, pauses.

    Most words are one signer's. The hand comes up and sinks again, or is there from the first moment, as in a film that
    was cut. No hand stands quite still, some drift or come nearer while they hold, and neighbours bend each other; some
    letters are cut from one to the next without a way between them.
    """
    if takes.people and rng.random() < ONE_PERSON:
        takes = takes.people[rng.integers(len(takes.people))]
    share = np.exp(rng.uniform(np.log(0.2), np.log(1.4)))  # seconds a letter
    letters = min(int(rng.choice(LENGTHS)), round(LONGEST_S / share))
    hold_s, way_s = share * np.array([1, -1]) * rng.uniform(0.35, 0.75) + [0, share]
    pieces = _Pieces(rng, rng.random() < 0.15, rng.normal(0, 0.5, 2))

    strange = [name for name in takes.rows_of if name not in SIGNS]

    def anything() -> np.ndarray:
        """The shape of a hand on its way: mostly of no sign."""
        names = strange if strange and rng.random() < 0.7 else list(takes.rows_of)
        return _still(takes, names[rng.integers(len(names))], rng).hands[0]

    spelled: list[int] = []
    before, hand = None, anything()
    if not pieces.cut and rng.random() < 0.6:
        pieces.enter(hand)
    for _ in range(letters):
        if before is not None and before.name not in MOVING and rng.random() < DOUBLED:
            shown = replace(before, hands=hand[None], filmed=False)
            if pieces.cut:
                pieces.approach(hand, way_s)
            else:
                pieces.double(hand, anything(), way_s)
        else:
            shown = _choose(takes, pieces.cut, rng)
            hand = shown.hands[0] - shown.hands[0, :, :1]
            pieces.approach(hand, way_s * (1 if before else 2))
            if shown.name not in ("I", *MOVING) and rng.random() < GESTURES and not pieces.cut:
                turn, path = gesture(pieces.moments(rng.uniform(0.4, 1.6), 6), rng)
                pieces.add(_turned(hand, turn), len(path), pieces.at + path)
                before = None
                continue
        pieces.show(shown, hold_s)
        if shown.number != NEITHER:
            spelled.append(shown.number)
        before = shown if shown.number != NEITHER or shown.name not in SIGNS else None  # not a hand that hangs
        if rng.random() < 0.08:
            pieces.add(np.nan, pieces.moments(rng.uniform(0.4, 1.0)))  # it leaves the picture, and comes back as before
            pieces.add(hand, 1)
            before = None
    if not pieces.cut and rng.random() < 0.6:
        pieces.lower(anything())
    return pieces.clip(spelled, share)


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
    turn = rotation(-at(lean), at(pitch), -at(spin))
    flat = np.stack([at(path[:, 0]), -at(path[:, 1])], 1) / _PALM
    return turn, (flat - flat[0]) @ rotation(rng.normal(0, 8), 0.0, 0.0)[:2, :2].T


def gesture(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Turns and offsets as ``stroke`` gives them, of another sign: J or Z mirrored, on its side, or to and fro."""
    turn, path = stroke(MOVING[rng.integers(2)], count, rng)
    turn = turn @ turn[0].T  # it begins as the hand is
    order = np.arange(count) if rng.random() < 0.5 else count // 2 - np.abs(np.arange(count) - count // 2)
    path = path[order] * rng.choice([-1, 1], 2) if rng.random() < 0.7 else path[order][:, ::-1]
    return turn[order], path
