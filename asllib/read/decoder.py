"""The trained way from hands to letters: the motion network at even moments, and a letter a peak."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from asllib.hands.look import Hand
from asllib.hands.stream import RATE, Moment, Resampler
from asllib.letters import STATIC
from asllib.networks.default import DefaultNet
from asllib.networks.spelling import MOVEMENT, NEITHER, SpellingNet
from asllib.read.speller import MendedLetter, ReadLetter, SpellerSettings

# Of the time that a letter was held: so long it must have been away to be doubled. Who spells slowly wavers for longer.
# And so sure the network must have been, at some moment, that it was away. Both were chosen on practice films, slowed
# down two and three times too.
_AWAY, _SURE = 0.85, 0.95
# Or the hand slides, which doubles a letter too: palm sizes a moment that are no drift, how far it must have gone in
# all, and for how many moments it keeps still before and after. Chosen on validation signers and on the film HELLO.
_SLIDES, _FAR, _STILL = 0.12, 0.8, 4
# How much what the embedding says counts beside the landmarks. Chosen on words of practice signers who are in no test.
WEIGHT = 0.8
LOOKS_LIKE = {"J": "I", "Z": "D"}  # what the hand looks like that draws them, to a network of still letters
# Seconds: an I that was held for no longer, and so shortly before a J, was the J's beginning; so with D and Z.
_BEGAN, _SINCE = 0.5, 0.5


@dataclass(frozen=True)
class Said:
    """What the network says of one moment: (1 + signs,) probabilities, "neither" first."""

    time_s: float
    probabilities: np.ndarray
    moved: float = 0.0  # palm sizes that the hand moved since the moment before, aside and nearer together


class HandListener:
    """Runs the motion network over the hands of a video as they come.

    What it says of a moment it says ``delay`` moments later, and does not change afterwards. Where hands come with an
    embedding, a moment's handshape is named by the landmarks and by the embedding nearest to it, which the second
    branch of ``default`` reads.
    """

    def __init__(self, model: SpellingNet) -> None:
        self.model = model
        # Where the still letters have what the hand looks like that shows each sign; -1 if it is none of them.
        look = [LOOKS_LIKE.get(sign, sign) for sign in model.config.signs]
        self._places = [STATIC.index(letter) if letter in STATIC else -1 for letter in look]
        self.reset()

    def reset(self) -> None:
        """Forget the hand."""
        self._sampler = Resampler()
        self._past: list[torch.Tensor] = []  # what the network keeps of the moments before
        self._moved = self.model.config.delay * [0.0]  # in the moments of which nothing is said yet
        self._last: list[Moment] = []  # the one before, if there was one
        self._looks: list[tuple[float, np.ndarray]] = []  # when the last two embeddings were seen, and what they say

    @torch.inference_mode()
    def hear(self, hand: Hand | None, time_s: float, aspect: float) -> list[Said]:
        """Take a frame's hand; return what is said of the moments that are known now, none to some."""
        moments = list(self._sampler.push(hand, time_s))
        if not moments:
            return []
        if hand is not None and hand.embedding is not None and self._places:
            self._looks = [*self._looks[-1:], (time_s, read_embedding(hand.embedding))]
        known, count = [*self._last, *moments], len(moments)
        self._last = moments[-1:]
        hands = torch.from_numpy(np.array([[(moment.landmarks, moment.world) for moment in known]], np.float32))
        left = torch.tensor([[moment.left for moment in known]])
        points, world = hands[:, :, 0], hands[:, :, 1]  # (1, T, 21, 3)
        features = self.model.prepare((points, world, left, torch.tensor([aspect])))[:, :, -count:]
        seen, shapes = self.model.see(features, self._nearest_looks([moment.time_s for moment in moments]))
        logits = [self.model.step(seen[:, :, [i]], shapes[:, :, [i]], self._past)[0, :, 0] for i in range(count)]
        late = self.model.config.delay
        probabilities = torch.stack(logits).softmax(1).numpy()
        across, down, grown = features[0, -MOVEMENT : 3 - MOVEMENT].numpy()  # (T,) each
        self._moved += (np.hypot(across, down) + abs(grown)).tolist()
        moved, self._moved = self._moved[:count], self._moved[count:]
        rows = zip(moments, probabilities, moved, strict=True)
        return [Said(moment.time_s - late / RATE, row, far) for moment, row, far in rows]

    def _nearest_looks(self, times: list[float]) -> torch.Tensor | None:
        """Weighed log-probabilities (1, signs, T) of what is shown at some times, by embeddings; None without any."""
        if not self._looks:
            return None
        letters = [min(self._looks, key=lambda look: abs(look[0] - moment))[1] for moment in times]  # (24,) each
        # A sign that is no letter is as likely as the best of them: embeddings have no say there.
        every = np.array([[*row, row.max()] for row in letters], np.float32)  # (T, 25)
        return torch.from_numpy(WEIGHT * every[:, self._places].T)[None]


@cache
def _default() -> DefaultNet:
    from asllib.networks.store import fold, load_model

    model = fold(load_model("default")[0])
    assert isinstance(model, DefaultNet)
    return model


@torch.inference_mode()
def read_embedding(embedding: np.ndarray) -> np.ndarray:
    """Log-probabilities (24,) of the still letters by what a look saw, (1152,)."""
    return _default().read_embedding(torch.from_numpy(embedding)[None])[0].numpy()


@dataclass
class _Shown:
    """A sign that is shown from moment to moment."""

    sign: int = NEITHER
    began_s: float = -math.inf
    start_s: float = -math.inf  # the same without stalls, in which no frame came
    last_s: float = -math.inf  # its last moment, once it was read
    read: bool = False
    still: int = 0  # moments in which the hand keeps still
    slid: float = 0.0  # palm sizes that it slid since it was read and kept still
    total: float = 0.0  # of its probabilities since it was last begun, and of how many
    count: int = 0


class PeakSpeller:
    """Streaming greedy CTC: a sign is read when it is the likeliest, again once it was surely away for a while.

    A sign of one moment that another sign follows without a pause was only passed through, and is not read: an answer
    waits for the moment after. On practice films that mends errors at every speed.

    Parameters
    ----------
    signs
        Of the network's outputs 1, 2, ..
    settings
        ``confidence`` that a moment must reach, ``hold_s`` that the sign must last, ``again_s`` and ``space_s``, the
        least and the most that it must have been away to be doubled.
    """

    def __init__(self, signs: tuple[str, ...], settings: SpellerSettings) -> None:
        self.signs, self.settings = signs, settings
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self._shown = self._before = _Shown()  # what is shown now, and the sign that was read before
        self._neither = 0.0  # the most that was said of "neither" since then
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
        self._slide(shown, said.moved)
        self._stalls_s += max(0.0, said.time_s - self._moment_s - 1 / RATE)
        self._moment_s, time_s = said.time_s, said.time_s - self._stalls_s
        if best != shown.sign and following not in (best, NEITHER):
            best = NEITHER
        confidence = float(said.probabilities[best])
        self._neither = max(self._neither, float(said.probabilities[NEITHER]))
        if best != shown.sign:
            shown = _Shown(best, said.time_s, time_s)
            away_s = max(settings.again_s, min(_AWAY * (before.last_s - before.start_s), settings.space_s))
            if best == before.sign and (time_s - before.last_s < away_s or self._neither < _SURE):
                shown = replace(before, total=0.0, count=0)  # it only wavered
            self._shown = shown
        if best == NEITHER:
            return []
        shown.total, shown.count = shown.total + confidence, shown.count + 1
        lasted = time_s - shown.start_s
        if shown.slid >= _FAR and shown.still >= _STILL and len(self.signs[best - 1]) == 1:
            shown.read, shown.slid, shown.began_s = False, 0.0, said.time_s
        new = not shown.read and lasted + 1 / RATE >= settings.hold_s - 1e-9 and confidence >= settings.confidence
        shown.read |= new
        if shown.read:
            shown.last_s, self._before, self._neither = time_s, shown, 0.0
        if not new:
            return []
        name = self.signs[best - 1]
        begun = before.sign != NEITHER and self.signs[before.sign - 1] == LOOKS_LIKE.get(name)
        short = before.last_s - before.start_s <= _BEGAN and time_s - before.last_s <= _SINCE
        kind = MendedLetter if begun and short else ReadLetter
        return [kind(name, shown.began_s, now_s, shown.total / shown.count)]

    def _slide(self, shown: _Shown, moved: float) -> None:
        """Add to how far the hand slid while it shows a sign, after it kept still."""
        if moved < _SLIDES:
            shown.still += 1
            if shown.slid < _FAR:
                shown.slid = 0.0
        else:
            if shown.read and (shown.slid or shown.still >= _STILL):
                shown.slid += moved
            shown.still = 0


def beam_search(log_probabilities: np.ndarray, width: int = 8) -> tuple[int, ...]:
    """The likeliest signs in a row over all alignments (CTC prefix beam search), once all was seen.

    Of log-probabilities (T, 1 + signs), NEITHER first; ``width`` beginnings are kept from moment to moment.

    Source: A. Graves, S. Fernandez, F. Gomez and J. Schmidhuber, "Connectionist temporal classification", ICML 2006.
    """
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}  # ending in NEITHER, in a sign
    for row in log_probabilities:
        grown: dict[tuple[int, ...], list[float]] = {}
        likely = np.argsort(row)[-width:]
        for signs, (rest, held) in beams.items():
            kept = grown.setdefault(signs, [-math.inf, -math.inf])
            kept[0] = np.logaddexp(kept[0], np.logaddexp(rest, held) + row[NEITHER])
            if signs:
                kept[1] = np.logaddexp(kept[1], held + row[signs[-1]])
            for sign in likely:
                if sign == NEITHER:
                    continue
                # The same sign again counts only after NEITHER.
                before = rest if signs and signs[-1] == sign else np.logaddexp(rest, held)
                longer = grown.setdefault((*signs, int(sign)), [-math.inf, -math.inf])
                longer[1] = np.logaddexp(longer[1], before + row[sign])
        best = sorted(grown.items(), key=lambda item: -np.logaddexp(item[1][0], item[1][1]))[:width]
        beams = {signs: (rest, held) for signs, (rest, held) in best}
    return max(beams, key=lambda signs: np.logaddexp(*beams[signs]))
