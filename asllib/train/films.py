"""Films of the synthetic signer, and the stream that the tracker sees of each, with the truth."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from asllib.data.drawn import signer_version
from asllib.hands.look import tracker_version
from asllib.hands.stream import Stream, stream_of
from asllib.hands.tracker import HandTracker
from asllib.letters import LETTERS
from asllib.paths import cache_dir, kept
from asllib.signer import SignedWord, render_idle, render_word

SIZE = (320, 240)  # pixels of a frame, as the live cell sends them
SMALL = (240, 180)  # the hand is some 45 pixels tall: quicker to film, harder to read


@dataclass(frozen=True)
class Plan:
    """A film to be made: somebody who spells a word, or, with an empty word, an idle hand."""

    word: str  # of letters A-Z
    signer: int  # which person
    seed: int  # of which set of people
    fps: float = 15.0
    letters_per_second: float = 3.0
    seconds: float = 10.0  # that an idle film lasts
    size: tuple[int, int] = SIZE  # (width, height) of a frame in pixels


def shoot(plan: Plan) -> SignedWord:
    """Film a plan with the synthetic signer."""
    if plan.word:
        return render_word(plan.word, plan.signer, plan.fps, plan.letters_per_second, plan.size, plan.seed)
    return render_idle(plan.seconds, plan.signer, plan.fps, plan.size, plan.seed)


def follow(film: SignedWord) -> Stream:
    """Follow the hand in a film with the tracker, as in a live video."""
    times = np.arange(len(film)) / film.fps
    tracker = HandTracker(video=True)
    hands = [tracker.detect(frame, 1000 * time) for frame, time in zip(film.frames, times, strict=True)]
    height, width = film.frames.shape[1:3]
    return stream_of(hands, times, width / height, word=film.word, positions=film.positions, signer=film.signer)


def films(plans: Sequence[Plan], *, progress: bool = True) -> Iterator[Stream]:
    """Film plans in turn and follow the hand; what was filmed and followed by the same code is in the cache."""
    folder = cache_dir() / "streams" / f"{signer_version()}-{tracker_version()}"
    for plan in tqdm(plans, desc="Filming", unit="film", disable=not progress):
        path = folder / f"{hashlib.sha256(repr(plan).encode()).hexdigest()[:24]}.npz"
        yield kept(path, partial(_write, plan), _load)


def _write(plan: Plan, path: Path) -> None:
    np.savez(path, **vars(follow(shoot(plan))))


def _load(path: Path) -> Stream:
    with np.load(path) as stored:
        return Stream(**{name: array if array.ndim else array.item() for name, array in stored.items()})


def practice_plans(
    count: int,
    seed: int,
    *,
    speeds: tuple[float, float] = (2.0, 5.0),
    length: int = 8,
    often: Sequence[str] = (),
    size: tuple[int, int] = SMALL,
) -> list[Plan]:
    """Plans of random letters, every film by another signer: all letters and all pairs of them come up.

    One letter in ten is doubled; every second one is drawn from those that are to come up ``often``. ``speeds`` are the
    least and the most letters a second.
    """
    rng = np.random.default_rng([seed, count])
    plans = []
    for number in range(count):
        letters = [LETTERS[k] for k in rng.integers(0, 26, length)]
        for place in range(1, length):
            if rng.random() < 0.1:
                letters[place] = letters[place - 1]
        for place in range(0, length if often else 0, 2):
            letters[place] = often[int(rng.integers(len(often)))]
        rate = float(np.round(np.exp(rng.uniform(*np.log(speeds))), 2))
        plans.append(Plan("".join(letters), number, seed, letters_per_second=rate, size=size))
    return plans
