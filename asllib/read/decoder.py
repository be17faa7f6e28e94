"""From hands to letters: what a network says of even moments of time, and a letter a peak."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asllib.errors import InputError
from asllib.hands.look import Hand
from asllib.hands.stream import RATE, Resampler, stream_of
from asllib.letters import STATIC
from asllib.networks.spelling import MOVEMENT, NEITHER, SpellingNet, moment_features
from asllib.read.recognizer import Recognizer, load_recognizer, signs, spread

WRITE = ("space", "del")  # signs that write no letter
# Of the time that a letter was held: so long it must have been away to be doubled. Who spells slowly wavers for longer.
# And so sure the network must have been, at some moment, that it was away. The first was chosen on practice films,
# slowed down two and three times too, the second on practice films and on filmed letters of validation signers.
_AWAY, _SURE = 0.85, 0.9
_LOST_S = 0.6  # a hand that is not found for so long was away; before, the tracker may have lost it
# Or the hand slides aside, which doubles a letter too: palm sizes a moment that are no drift, how far it must have gone
# in all, and for how many moments it keeps still before and after. Chosen on validation signers and on the film HELLO.
_SLIDES, _FAR, _STILL = 0.12, 0.8, 4
LOOKS_LIKE = {"J": "I", "Z": "D"}  # what the hand looks like that draws them, to a network of still letters
# Seconds: an I that was held for no longer, and so shortly before a J, was the J's beginning; so with D and Z.
# Chosen on filmed letters of validation signers.
_BEGAN, _SINCE = 1.0, 0.8
# Palm sizes a moment: a hand that moves or changes faster shows a network of single frames no letter; chosen on
# practice films.
_ON_THE_WAY = 0.08
SIGN_HOLD_S = 0.4  # seconds that a sign which somebody added must be held at least


@dataclass(frozen=True)
class ReadLetter:
    """A letter, or another sign, that was read."""

    letter: str  # "A".."Z", "space", "del", or the name of a sign that somebody added
    start_s: float  # when it was seen, seconds of the video
    end_s: float  # when it was sure
    confidence: float  # mean probability over that time, 0..1
    mends: bool = False  # it takes the place of the letter before it: an I that was the beginning of a J


@dataclass(frozen=True)
class SpellerSettings:
    """When a letter counts as shown; InputError if a value is out of range.

    Chosen on words of practice signers, who are in no test, and on the validation signers of ``people``: at two letters
    a second a letter has two moments at least.
    """

    confidence: float = 0.5  # that a moment's letter must reach, 0..1
    hold_s: float = 0.1  # seconds that it must be seen
    again_s: float = 0.15  # seconds that it must have been away to be doubled; after a long hold more, up to space_s
    space_s: float = 1.2  # seconds without a letter, the hand lowered or out of view, after which a space is written

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            most, wanted = (1, "between 0 and 1") if name == "confidence" else (math.inf, "above 0")
            if not (isinstance(value, int | float) and 0 < value < most):
                raise InputError(f"{name}={value!r}: choose a number {wanted}")


@dataclass(frozen=True)
class Said:
    """What the network says of one moment: (1 + signs,) probabilities, "neither" first."""

    time_s: float
    probabilities: np.ndarray
    moved: float = 0.0  # palm sizes that the hand moved since the moment before, aside and nearer: arms rise and sink
    found: bool = True  # there is a hand


class Listener:
    """Hears a video's hands, and says of even moments which sign is shown, ``delay`` moments later and for good."""

    signs: tuple[str, ...]  # of the outputs 1, 2, ..
    delay = 0
    in_time = False  # whether moments are weighed together; else one is no evidence beside the next

    def reset(self) -> None:
        """Forget the hand."""
        self._sampler = Resampler()
        self._moved = self.delay * [(0.0, False)]  # in the moments of which nothing is said yet, and whether found
        self._last: list[tuple[float, Hand | None]] = []  # the one before, if there was one
        self._looks: list[tuple[float, np.ndarray]] = []  # when the last two were taken, and what each alone says

    @torch.inference_mode()
    def hear(self, hand: Hand | None, time_s: float, aspect: float, frame: np.ndarray | None = None) -> list[Said]:
        """Take a frame's hand; return what is said of the moments that are known now, none to some."""
        moments = list(self._sampler.push(hand, time_s))
        if not moments:
            return []
        look = None if hand is None else self._look(hand, aspect, frame)
        if look is not None:
            self._looks = [*self._looks[-1:], (time_s, look)]
        known, count = [*self._last, *moments], len(moments)
        self._last = moments[-1:]
        even = stream_of([hand for _, hand in known], [time for time, _ in known], aspect)
        image, world, left = (torch.from_numpy(part)[None] for part in (even.landmarks, even.world, even.left))
        features = moment_features(image, world, left, torch.tensor([aspect]))[:, :, -count:]
        probabilities = self._say(features, self._nearest([time for time, _ in moments]))
        across, _, grown, _, found = features[0, -MOVEMENT:].numpy()  # (T,) each
        self._moved += zip((abs(across) + abs(grown)).tolist(), (found > 0).tolist(), strict=True)
        moved, self._moved = self._moved[:count], self._moved[count:]
        rows = zip(moments, probabilities, moved, strict=True)
        return [Said(time - self.delay / RATE, row, *how) for (time, _), row, how in rows]

    def _nearest(self, times: list[float]) -> np.ndarray | None:
        """What the looks nearest to some times say, (T, signs); None without any."""
        nearest = [min(self._looks, key=lambda look: abs(look[0] - time_s))[1] for time_s in times if self._looks]
        return np.array(nearest, np.float32) if nearest else None

    def _look(self, hand: Hand, aspect: float, frame: np.ndarray | None) -> np.ndarray | None:
        """What a frame alone says of its hand, (signs,)."""
        raise NotImplementedError

    def _say(self, features: Tensor, looks: np.ndarray | None) -> np.ndarray:
        """Probabilities (T, 1 + signs) of the next moments, by their features (1, C, T) and nearest looks."""
        raise NotImplementedError


class HandListener(Listener):
    """Runs the spelling network over the moments.

    With embeddings, the second branch of ``default`` helps to name each handshape, by the one nearest to a moment.
    """

    in_time = True

    def __init__(self, model: SpellingNet) -> None:
        self.model, self.signs, self.delay = model, model.config.signs, model.config.delay
        # Where the still letters have what the hand looks like that shows each sign; -1 if it is none of them.
        look = [LOOKS_LIKE.get(sign, sign) for sign in self.signs]
        self._places = [STATIC.index(letter) if letter in STATIC else -1 for letter in look]
        self.reset()

    def reset(self) -> None:
        """Forget the hand."""
        super().reset()
        self._past: list[Tensor] = []  # what the network keeps of the moments before

    @torch.inference_mode()
    def rate(self, hand: Hand, aspect: float) -> float:
        """Probability that a hand shows a sign, by its shape alone: of two hands, which one spells."""
        image, world = (torch.from_numpy(points)[None, None] for points in (hand.landmarks, hand.world))
        features = moment_features(image, world, torch.tensor([[hand.side == "left"]]), torch.tensor([aspect]))
        return 1 - float(self.model.handshapes(features).softmax(1)[0, NEITHER, 0])

    def _look(self, hand: Hand, aspect: float, frame: np.ndarray | None) -> np.ndarray | None:
        """Log-probabilities of the signs by the hand's embedding; None without one."""
        if hand.embedding is None:
            return None
        letters = read_embedding(hand.embedding)  # (24,)
        # A sign that is no letter is as likely as the best of them: embeddings have no say there.
        return np.append(letters, letters.max())[self._places]

    def _say(self, features: Tensor, looks: np.ndarray | None) -> np.ndarray:
        seen, shapes = self.model.see(features, None if looks is None else torch.from_numpy(looks.T)[None])
        return self.model.along(seen, shapes, self._past)[0].T.softmax(1).numpy()


class FrameListener(Listener):
    """Asks a recogniser of single frames: a moment says what the nearest frame says; a fast hand shows no letter."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.recognizer, self.signs = recognizer, signs(recognizer.alphabet)
        self.reset()

    def _look(self, hand: Hand, aspect: float, frame: np.ndarray | None) -> np.ndarray | None:
        return spread(self.recognizer.probabilities([hand], aspect, frame), self.recognizer.alphabet)

    def _say(self, features: Tensor, looks: np.ndarray | None) -> np.ndarray:
        across, down, _, changed, found = features[0, -MOVEMENT:].numpy()  # (T,) each
        still = (found > 0) & (np.hypot(across, down) + changed / 5 < _ON_THE_WAY)
        shown = np.zeros((len(still), len(self.signs))) if looks is None else looks * still[:, None]
        return np.column_stack([1 - shown.max(1), shown])


_default: Callable[[], Any] = cache(load_recognizer)  # "default"


@torch.inference_mode()
def read_embedding(embedding: np.ndarray) -> np.ndarray:
    """Log-probabilities (24,) of the still letters by what a look saw, (1152,)."""
    return _default().model.read_embedding(torch.from_numpy(embedding)[None])[0].numpy()


@dataclass
class _Shown:
    """A sign that is shown from moment to moment."""

    sign: int = NEITHER
    began_s: float = -math.inf
    start_s: float = -math.inf  # the same without stalls, in which no frame came
    last_s: float = -math.inf  # its last moment, once it was read
    read: bool = False
    total: float = 0.0  # of its probabilities since it was last begun, and of how many
    count: int = 0


class PeakSpeller:
    """Streaming greedy CTC: a sign is read when it is the likeliest, again once it was surely away for a while.

    A sign of one moment that another sign follows without a pause was only passed through, and is not read: an answer
    waits for the moment after. On practice films that mends errors at every speed.
    """

    def __init__(self, signs: tuple[str, ...], settings: SpellerSettings) -> None:
        self.signs, self.settings = signs, settings
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self._shown = self._before = _Shown()  # what is shown now, and the sign that was read before
        self._neither = 0.0  # the most that was said of "neither" since then
        self._found_s = -math.inf  # when there was a hand
        self._still, self._slid = 0, 0.0  # moments in which it keeps still, and palm sizes that it slid before
        self._waiting: Said | None = None  # for what is said of the moment after it
        self._moment_s, self._stalls_s = math.inf, 0.0  # the last moment, and how long no frame came before it

    def update(self, said: Said, now_s: float) -> list[ReadLetter]:
        """Take what is said of a moment, at the time ``now_s``; return the signs that it completes, mostly none."""
        before, self._waiting = self._waiting, said
        return [] if before is None else self._take(before, int(np.argmax(said.probabilities)), now_s)

    def _take(self, said: Said, following: int, now_s: float) -> list[ReadLetter]:
        """Take a moment, knowing what is likeliest in the one after it."""
        settings, shown, before = self.settings, self._shown, self._before
        best = int(np.argmax(said.probabilities))
        self._slide(said)
        self._stalls_s += max(0.0, said.time_s - self._moment_s - 1 / RATE)
        self._moment_s, time_s = said.time_s, said.time_s - self._stalls_s
        if best != shown.sign and following not in (best, NEITHER):
            best = NEITHER
        confidence = float(said.probabilities[best])
        if said.found:
            self._found_s = time_s
        if said.found or time_s - self._found_s > _LOST_S:
            self._neither = max(self._neither, float(said.probabilities[NEITHER]))
        if best != shown.sign:
            shown = _Shown(best, said.time_s, time_s)
            away_s = max(settings.again_s, min(_AWAY * (before.last_s - before.start_s), settings.space_s))
            if best == before.sign and (time_s - before.last_s < away_s - 1e-6 or self._neither < _SURE):
                shown = replace(before, total=0.0, count=0)  # it only wavered
            self._shown = shown
        if best == NEITHER:
            return []
        shown.total, shown.count = shown.total + confidence, shown.count + 1
        lasted, name = time_s - shown.start_s, self.signs[best - 1]
        if shown.read and self._slid >= _FAR and self._still >= _STILL and len(name) == 1:
            shown.read, shown.began_s = False, said.time_s
        added = len(name) > 1 and name not in WRITE
        hold_s = max(settings.hold_s, SIGN_HOLD_S) if added else settings.hold_s
        new = not shown.read and lasted + 1 / RATE >= hold_s - 1e-9 and confidence >= settings.confidence
        shown.read |= new
        if shown.read:
            shown.last_s, self._before, self._neither = time_s, shown, 0.0
        if not new:
            return []
        self._slid = 0.0
        begun = before.sign != NEITHER and self.signs[before.sign - 1] == LOOKS_LIKE.get(name)
        short = before.last_s - before.start_s <= _BEGAN and time_s - before.last_s <= _SINCE
        return [ReadLetter(name, shown.began_s, now_s, shown.total / shown.count, mends=begun and short)]

    def _slide(self, said: Said) -> None:
        """Add to how far the hand slid at one go, after it kept still; a lost hand may do either."""
        if said.found and said.moved < _SLIDES:
            self._still += 1
            if self._slid < _FAR:
                self._slid = 0.0
        elif said.found:
            if self._slid or self._still >= _STILL:
                self._slid += said.moved
            self._still = 0
