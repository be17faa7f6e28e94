"""Train the spelling network: its handshape part on single moments, then what it makes of them in time on clips."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from asllib.config import Training, profile
from asllib.data import find_people, find_photos, load_letters, signer_weights
from asllib.data.drawn import added_letters, random_hands, signer_version
from asllib.data.looks import track
from asllib.data.people_set import join_tables, load_sequences
from asllib.letters import MOVING
from asllib.networks.spelling import NEITHER, SpellingNet, SpellingPreset
from asllib.networks.store import Network
from asllib.results import data_card
from asllib.train.clips import IGNORE, Clip, augment, augment_each, batch_clips, film_clip, wander
from asllib.train.films import SIZE, SMALL, Plan, films, practice_plans
from asllib.train.loop import Batches, History, fit
from asllib.train.takes import Takes, film_takes, filmed_letters, join, piece_together, still_clip, takes_of

# Of the synthetic signer: seeds that no test uses.
PRACTICE_SEED, IDLE_SEED = 1001, 3001
LEFT_OUT = "t32rahman"  # the signer of the two videos that are only ever read, never trained on
CTC_WEIGHT = 0.1
DOUBLE_WEIGHT = 4.0
WANDERING = 0.7  # of the clips
SHARES = {"people": 0.75, "drawn": 0.15, "films": 0.1}  # of the hands of a letter
FRAMES = 3  # of the filmed letters of people every so many are still hands too
STEPS = 500  # an epoch
_SHAPE_MOMENTS = 512  # a batch of the handshape part
_SHAPE_FILMS = 0.15  # of its clips are films, which show hands on the way; the others are still hands
_FEW = 200  # steps for which no processes are started


def train_spelling(
    preset: SpellingPreset, seed: int, epochs: int | None, folder: Path, phrases: Sequence[Clip] = ()
) -> tuple[Network, pd.DataFrame, dict[str, Any]]:
    """Film what a preset asks for, train on it and on real photos where they are, and keep checkpoints in a folder.

    ``phrases`` are further clips, see ``fit_spelling``. Returns the network, its history (one row an epoch of each
    part) and what its card says of data and metrics.
    """
    small = profile().name == "ci"
    if small:
        preset = dataclasses.replace(preset, films=8, sharp=0, slower=0, strokes=4, idle=2, signers=1)
    if epochs is not None:
        shapes = dataclasses.replace(preset.shapes, epochs=min(epochs, preset.shapes.epochs))
        training = dataclasses.replace(preset.training, epochs=epochs)
        preset = dataclasses.replace(preset, shapes=shapes, training=training)
    clips = practice_clips(preset)
    takes: dict[str, Takes] = {}
    data: dict[str, Any] = {"signer_version": signer_version()}
    if find_photos() is not None:
        takes["people"], data["people"] = people_takes()
    if preset.signers:
        letters, others = (takes_of(track(drawn(preset.signers)).tables) for drawn in (added_letters, random_hands))
        takes["drawn"] = join((letters, others), (1.0, 1.0))
    takes["films"] = film_takes(clips)
    all_takes = join(list(takes.values()), [SHARES[name] for name in takes])
    model, histories = fit_spelling(
        preset, clips, all_takes, phrases, seed=seed, steps=5 if small else STEPS, folder=folder
    )
    tables = [
        pd.DataFrame({"part": part, "train_loss": one.train_loss, "train_accuracy": one.train_accuracy})
        for part, one in histories.items()
    ]
    history = pd.concat(tables, ignore_index=True)
    films_card = {k: v for k, v in dataclasses.asdict(preset).items() if k not in ("network", "shapes", "training")}
    return model, history, {"data": data | films_card, "metrics": {"loss": histories["time"].train_loss[-1]}}


def practice_clips(preset: SpellingPreset) -> list[Clip]:
    """Films of random letters and of idle hands as clips; filmed once, then read from the cache folder."""
    plans = practice_plans(preset.films, PRACTICE_SEED)
    plans += practice_plans(preset.strokes, PRACTICE_SEED, length=5, often=MOVING)
    plans += practice_plans(preset.sharp, PRACTICE_SEED + 2, size=SIZE)
    plans += practice_plans(preset.slower, PRACTICE_SEED + 3, speeds=(1.0, 5.0), size=SIZE)
    sizes = [SMALL if number < preset.idle // 2 else SIZE for number in range(preset.idle)]
    plans += [Plan("", number, IDLE_SEED, fps=10.0, seconds=10.0, size=size) for number, size in enumerate(sizes)]
    return [film_clip(stream) for stream in films(plans)]


def people_takes() -> tuple[Takes, dict[str, Any]]:
    """Hands of all people that may be learned from, every signer alike, and the cards of their sets.

    Left out are test photos, the valid signers of ``people``, and the one source whose signer also made the two videos
    that are read as a check.
    """
    tables, looks, cards = [], [], {}
    for name in ("photos", "people")[: 1 + (find_people() is not None)]:
        letters = load_letters(name)
        table = letters.table
        learned = table["split"] == "train" if name == "people" else table["split"] != "test"
        keep = (learned & (table["source"] != LEFT_OUT) & (table["label"] != "nothing")).to_numpy()
        cards[name] = data_card(letters.subset(keep))
        for seen in track(letters).subset(keep).tables:
            looks.append(seen)
            tables.append(table[keep])
    films: dict[str, list[np.ndarray]] = {}
    if find_people() is not None:
        sequences = load_sequences("train")
        frames = join_tables(sequences, FRAMES)
        still = frames[~frames["label"].isin(MOVING)]
        looks.append(still)
        tables.append(still)
        films = filmed_letters(sequences)
    about = pd.concat(tables, ignore_index=True)
    signers = (about["source"] + "/" + about["signer"]).to_numpy(str)
    return dataclasses.replace(takes_of(looks, signer_weights(about), signers), filmed=films), cards


def fit_spelling(
    preset: SpellingPreset,
    clips: Sequence[Clip],
    takes: Takes,
    phrases: Sequence[Clip] = (),
    *,
    seed: int = 0,
    steps: int = STEPS,
    folder: Path | None = None,
    progress: bool = True,
) -> tuple[SpellingNet, dict[str, History]]:
    """Train the handshape part, then, with that fixed, the rest; batches are drawn by all cores.

    ``clips`` are films, see ``film_clip``; of the hands in ``takes`` words are pieced together as training goes on;
    ``phrases`` are films of which only the text is known, with ``targets`` and ``shapes`` of ``IGNORE`` alone: as many
    as films are drawn for the second part. ``steps`` are batches an epoch. In ``folder`` each part keeps its
    ``checkpoint*.pt``, and goes on from it to the same result as without a stop.

    Returns the network, on the CPU, and the histories of its parts "handshapes" and "time".
    """
    torch.manual_seed(seed)
    model = SpellingNet(preset.network)
    seen = hashlib.sha256(takes.hands[:, 0].tobytes())
    for clip in (*clips, *phrases):
        seen.update(clip.targets.tobytes() + clip.landmarks.tobytes())

    def part(name: str, training: Training, draw: Callable, score: Callable, number: int) -> History:
        drawn = functools.partial(draw, clips, takes, preset)

        def epoch(number_of: int, generator: torch.Generator) -> Iterable[Any]:
            return drawn_ahead(drawn, (seed, number), number_of * steps, (number_of + 1) * steps)

        batches = Batches(steps, epoch, lambda batch, _: score(model, *batch), seen.hexdigest())
        path = None if folder is None else folder / name
        return fit(model, batches, training, seed=seed, checkpoint=path, run=repr(preset), progress=progress)

    model.requires_grad_(False).hand.requires_grad_(True)
    histories = {"handshapes": part("checkpoint-shapes.pt", preset.shapes, draw_moments, score_moments, 0)}
    model.requires_grad_(True).hand.requires_grad_(False)
    if phrases:  # whichever are fewer come up again
        clips = [*clips] * max(1, len(phrases) // len(clips)) + [*phrases] * max(1, len(clips) // len(phrases))
    histories["time"] = part("checkpoint.pt", preset.training, draw_clips, score_clips, 1)
    model.requires_grad_(True)
    return model, histories


def drawn_ahead(
    draw: Callable[[np.random.Generator], Any], seed: tuple[int, ...], start: int, end: int
) -> Iterable[Any]:
    """Draw batches ``start`` to ``end - 1`` in order, in processes beside this one: it takes longer than a step.

    Each is drawn from the seed and its number alone, in whatever process that is done.
    """
    helpers = 0 if end - start < _FEW else max(1, (os.cpu_count() or 1) - 1)
    return DataLoader(
        range(start, end),  # type: ignore[arg-type]  # as good as a Dataset
        batch_size=None, collate_fn=functools.partial(_drawn, draw, seed), num_workers=helpers,
        generator=torch.Generator(),  # else it draws from the random numbers of dropout
    )  # fmt: skip


def _drawn(draw: Callable[[np.random.Generator], Any], seed: tuple[int, ...], step: int) -> Any:
    return draw(np.random.default_rng([*seed, step]))


def draw_moments(
    clips: Sequence[Clip], takes: Takes, preset: SpellingPreset, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Features (N, C, 1) and handshapes (N,) of single moments: of still hands, and some of films."""
    films = round(_SHAPE_FILMS * preset.shapes.batch)
    some = [augment(clips[i], rng) for i in rng.integers(0, len(clips), films)]
    some += [augment_each(still_clip(takes, 40, rng), rng) for _ in range(preset.shapes.batch - films)]
    features, _, _, shapes = batch_clips(some, 0)
    chosen = torch.nonzero((features[:, -1] > 0) & (shapes != IGNORE)).numpy()
    clip, moment = rng.permutation(chosen)[:_SHAPE_MOMENTS].T
    return features[clip, :, moment][:, :, None], shapes[clip, moment]


def score_moments(model: SpellingNet, features: Tensor, shapes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cross entropy of the handshapes of single moments, right answers and answers, see ``draw_moments``."""
    weight = torch.ones(1 + model.config.classes, device=shapes.device)
    weight[NEITHER] = 0.15  # most moments of a film are on the way: a shape that is nearly made is better named
    logits = model.handshapes(features)[:, :, 0]
    loss = F.cross_entropy(logits, shapes, weight, label_smoothing=0.05)
    return loss, (logits.argmax(1) == shapes).sum(), torch.tensor(len(shapes))


def draw_clips(
    clips: Sequence[Clip], takes: Takes, preset: SpellingPreset, rng: np.random.Generator
) -> tuple[Tensor, ...]:
    """Features, targets and spelled signs of a batch, see ``batch_clips``: films, and words pieced together."""
    made = round(preset.training.batch * preset.pieced)
    some = [piece_together(takes, rng) for _ in range(made)]
    some += [clips[i] for i in rng.integers(0, len(clips), preset.training.batch - made)]
    some = [augment(clip, rng) for clip in some]
    some = [wander(clip, rng) if rng.random() < WANDERING else clip for clip in some]
    return batch_clips(some, preset.network.delay + 2)[:3]


def score_clips(
    model: SpellingNet, features: Tensor, targets: Tensor, spelled: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of a batch of clips, right answers and answers, see ``draw_clips``."""
    logits, delay = model(features), model.config.delay
    known = targets[:, : logits.shape[2] - delay] != IGNORE
    right = (logits[:, :, delay:].argmax(1) == targets[:, : known.shape[1]]) & known
    return spelling_loss(logits, targets, spelled, delay), right.sum(), known.sum()


def spelling_loss(logits: Tensor, targets: Tensor, spelled: Tensor, delay: int) -> Tensor:
    """Cross entropy of each moment's logits (B, 1 + signs, T), ``delay`` moments late, and CTC of the whole clip.

    ``targets`` are (B, T), ``spelled`` (B, S) signs in order, then NEITHER, which is CTC's blank.
    """
    late = logits[:, :, delay:]
    targets = targets[:, : late.shape[2]]
    weight = torch.where(targets == NEITHER, 0.5, 1.0)  # most moments are on the way
    weight = weight * torch.where(inside_doubles(targets), DOUBLE_WEIGHT, 1.0) * (targets != IGNORE)
    loss = F.cross_entropy(late, targets, reduction="none", ignore_index=IGNORE, label_smoothing=0.02)
    loss = (loss * weight).sum() / weight.sum().clamp_min(1e-9)  # 0 where no moment's target is known
    moments, signs = torch.full((len(logits),), logits.shape[2]), (spelled != NEITHER).sum(1)
    said = logits.permute(2, 0, 1).log_softmax(2)
    ctc = F.ctc_loss(said, spelled, moments, signs, blank=NEITHER, zero_infinity=True)
    return loss + CTC_WEIGHT * ctc


def inside_doubles(targets: Tensor) -> Tensor:
    """(B, T) bool: the moments between a letter and the same letter again: few, and all that tells of a double."""
    count = targets.shape[1]
    place = torch.arange(count, device=targets.device).expand_as(targets)
    shown = targets > NEITHER
    last = torch.where(shown, place, 0).cummax(1).values
    following = count - 1 - torch.where(shown, count - 1 - place, 0).flip(1).cummax(1).values.flip(1)
    before, after = targets.gather(1, last), targets.gather(1, following)
    return (targets == NEITHER) & (before == after) & (before > NEITHER)
