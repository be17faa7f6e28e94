"""The trained way from hands to letters: the motion network at even moments, and a letter a peak."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from asllib.hands.look import Hand
from asllib.hands.stream import RATE, Moment, Resampler
from asllib.letters import STATIC
from asllib.networks.default import DefaultNet
from asllib.networks.spelling import NEITHER, SpellingNet
from asllib.read.speller import ReadLetter, SpellerSettings

# Of the time that a letter was held: so long it must have been away to be doubled. Who spells slowly wavers for longer.
# And so sure the network must have been, at some moment, that it was away. Both were chosen on practice films, slowed
# down two and three times too.
_AWAY, _SURE = 0.85, 0.95


# How much what the embedding says counts beside the landmarks. Chosen on words of practice signers who are in no test.
WEIGHT = 0.8
LOOKS_LIKE = {"J": "I", "Z": "D"}  # what the hand looks like that draws them, to a network of still letters


@dataclass(frozen=True)
class Said:
    """What the network says of one moment: its time in seconds, and (1 + signs,) probabilities, "neither" first."""

    time_s: float
    probabilities: np.ndarray


class HandListener:
    """Runs the motion network over the hands of a video as they come.

    What it says of a moment it says ``delay`` moments later, and does not change afterwards. Where hands come with an
    embedding, a moment's handshape is named by the landmarks and by the embedding nearest to it, which the second
    branch of ``default`` reads.
    """

    def __init__(self, model: SpellingNet) -> None:
        self.model = model
        shapes = model.config.signs  # a network for strokes alone has none
        # What the embedding says of each handshape; it knows no other than letters.
        self._places = [STATIC.index(LOOKS_LIKE.get(s, s)) if LOOKS_LIKE.get(s, s) in STATIC else -1 for s in shapes]
        self.reset()

    def reset(self) -> None:
        """Forget the hand."""
        self._sampler = Resampler()
        self._past: list[torch.Tensor] = []  # what the network keeps of the moments before
        self._last: Moment | None = None
        self._looks: list[tuple[float, np.ndarray]] = []  # what the last two embeddings said, and when

    @torch.inference_mode()
    def hear(self, hand: Hand | None, time_s: float, aspect: float) -> list[Said]:
        """Take a frame's hand; return what is said of the moments that are known now, none to some."""
        moments = list(self._sampler.push(hand, time_s))
        if not moments:
            return []
        if hand is not None and hand.embedding is not None and self._places:
            self._looks = [*self._looks[-1:], (time_s, read_embedding(hand.embedding))]
        config, known, count = self.model.config, [*([self._last] if self._last else []), *moments], len(moments)
        hands = torch.from_numpy(np.array([[(moment.landmarks, moment.world) for moment in known]], np.float32))
        left = torch.tensor([[moment.left for moment in known]])
        points, world = hands[:, :, 0], hands[:, :, 1]  # (1, T, 21, 3)
        features = self.model.prepare((points, world, left, torch.tensor([aspect])))[:, :, -count:]
        looks = self._nearest_looks([moment.time_s for moment in moments])
        seen, shapes = self.model.see(features, looks)
        self._last = moments[-1]
        logits = [self.model.step(seen[:, :, [i]], shapes[:, :, [i]], self._past)[0, :, 0] for i in range(count)]
        said = torch.stack(logits).softmax(1).numpy()
        return [
            Said(moment.time_s - config.delay / RATE, probabilities)
            for moment, probabilities in zip(moments, said, strict=True)
        ]

    def _nearest_looks(self, times: list[float]) -> torch.Tensor | None:
        """What embeddings say of the handshapes at some moments, logarithms (1, shapes, T); None without any."""
        if not self._looks:
            return None
        said = [min(self._looks, key=lambda one: abs(one[0] - moment))[1] for moment in times]
        # A handshape that they do not know is as likely as their best letter: they have no say there.
        every = np.array([[*one, one.max()] for one in said], np.float32)  # (T, 25)
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
        least and the most that it must have been away to be doubled, and ``double_s``.
    """

    def __init__(self, signs: tuple[str, ...], settings: SpellerSettings) -> None:
        self.signs, self.settings = signs, settings
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self._sign = NEITHER  # what is shown now, since when, and how sure that was
        self._start_s = -math.inf
        self._sum, self._count = 0.0, 0
        self._read = self._doubled = False
        self._last: tuple[int, float, float, bool] = (NEITHER, -math.inf, -math.inf, False)  # the sign read before
        self._neither = 0.0  # the most that was said of "neither" since
        self._waiting: Said | None = None  # for what is said of the moment after it

    def update(self, said: Said, now_s: float) -> list[ReadLetter]:
        """Take what is said of a moment, at the time ``now_s``; return the signs that it completes, mostly none."""
        before, self._waiting = self._waiting, said
        return [] if before is None else self._take(before, int(np.argmax(said.probabilities)), now_s)

    def _take(self, said: Said, following: int, now_s: float) -> list[ReadLetter]:
        """Take a moment, knowing what is likeliest in the one after it."""
        settings = self.settings
        best = int(np.argmax(said.probabilities))
        if best != self._sign and following not in (best, NEITHER):
            best = NEITHER
        confidence = float(said.probabilities[best])
        self._neither = max(self._neither, float(said.probabilities[NEITHER]))
        if best != self._sign:
            self._sign, self._start_s, self._sum, self._count = best, said.time_s, 0.0, 0
            self._read = self._doubled = False
            sign, start_s, seen_s, doubled = self._last
            away_s = max(settings.again_s, min(_AWAY * (seen_s - start_s), settings.space_s))
            if best == sign and (said.time_s - seen_s < away_s or self._neither < _SURE):  # it only wavered
                self._read, self._start_s, self._doubled = True, start_s, doubled
        if best == NEITHER:
            return []
        self._sum, self._count = self._sum + confidence, self._count + 1
        lasted = said.time_s - self._start_s
        new = not self._read and lasted + 1 / RATE >= settings.hold_s - 1e-9 and confidence >= settings.confidence
        letter = len(self.signs[best - 1]) == 1
        again = self._read and letter and not self._doubled and lasted >= settings.double_s
        self._read, self._doubled = self._read or new, self._doubled or again
        if self._read:
            self._last, self._neither = (best, self._start_s, said.time_s, self._doubled), 0.0
        if not (new or again):
            return []
        return [ReadLetter(self.signs[best - 1], self._start_s, now_s, self._sum / self._count)]


def beam_search(log_probabilities: np.ndarray, width: int = 8) -> tuple[int, ...]:
    """The likeliest signs in a row over all alignments (CTC prefix beam search), once all was seen.

    Parameters
    ----------
    log_probabilities
        (T, 1 + signs), NEITHER first.
    width
        Beginnings that are kept from moment to moment.

    Returns
    -------
    tuple
        Numbers of the signs.

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
