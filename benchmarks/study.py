"""Leave a source or a signer out, read them with networks that never saw them, and compare with what others use.

    python benchmarks/study.py [--seeds 0 1 2] [--resume] [--only NAME ...]

Needs the real photos, films and Sign Language MNIST (``ASLLIB_DATA``). Results go to ``data/results/study.json`` after
each system. All is made anew; a run that was stopped goes on with ``--resume``, on the same data and seed; ``--only``
makes the systems that it names anew and keeps the others (``milliseconds`` wants an idle machine). Nothing here chooses
anything: settings are those of the presets, and of the libraries' defaults where the table says so. The first seed
makes all rows, further ones only what is left out by source, and all are reported.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial

import numpy as np
import pandas as pd
import torch
from scoring import TEST_SEED, calibration_error, named_hands
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC
from torch import nn

from asllib import load_letters
from asllib.config import Training
from asllib.data import leave_one_out, people, split
from asllib.data.drawn import added_letters
from asllib.data.letterset import LetterSet
from asllib.data.looks import Looks, track
from asllib.evaluation import accuracy_interval, confusion, read_letters, worst_pairs
from asllib.hands.features import landmark_features, landmark_inputs
from asllib.hands.landmarks import read_landmarks
from asllib.hands.look import hand_crop, look_at
from asllib.hands.pixels import crop_square, resize, to_gray, to_pixels
from asllib.hands.tracker import HandTracker, table_hands
from asllib.letters import STATIC
from asllib.networks import ImageAugment, Network, PixelCNN, PixelConfig, parameter_count, preset
from asllib.networks.landmark import look_probabilities
from asllib.networks.pixel import crop_set
from asllib.paths import data_dir, results_dir
from asllib.read.recognizer import Recognizer, load_recognizer
from asllib.read.video import iter_frames
from asllib.results import data_card, save_result
from asllib.signer import render_word
from asllib.train.films import SIZE
from asllib.train.loop import (
    Examples,
    example_batches,
    fit,
    for_pixels,
    hand_examples,
    join,
    pixel_examples,
    split_batches,
    train,
    turned,
)
from asllib.train.run import KEPT, drawn_examples, pixel_set
from asllib.train.spelling import LEFT_OUT

JOINT, LANDMARK = "default: joint network", "landmark network, photos only"
# Without synthetic signers: the shapes of their letters were tuned on photos of davidlee and keptsecret.
UNDRAWN_JOINT, UNDRAWN_PIXEL = "joint network, no drawn hands", "pixel network, no drawn hands"


def protocols(photos: LetterSet) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name of the protocol, what is left out, and the mask of the photos that are read and not learned from."""
    yield "random split", "a tenth of the photos", split(photos, None) == "test"
    yield "split by original", "a tenth of the originals", split(photos, "original") == "test"
    for name, where in leave_one_out(photos, "source"):
        yield "source left out", name, where
    massey = (photos.table["source"] == "massey").to_numpy()
    for name, where in leave_one_out(photos, "signer"):
        if (where & massey).any():
            yield "Massey signer left out", name.split("/")[1], where


def intervals(photos: LetterSet, where: np.ndarray, right: np.ndarray) -> list[float]:
    """By signer where a source has several, else by original."""
    return list(accuracy_interval(right, people(photos.table[where])))


def features(looks: Looks) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 189) of the first look that found a hand, and where there is one."""
    table = looks.tables[0]
    inputs = landmark_features(*landmark_inputs(table))
    return np.nan_to_num(inputs.flatten(1).numpy()), (table["score"] > 0).to_numpy()


def hog(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients of 28x28 images: 4x4 cells of 7 pixels, 9 directions, scaled to length 1."""
    down, across = np.gradient(images.astype(np.float32), axis=(1, 2))
    strength = np.hypot(down, across)
    place = (np.arctan2(down, across) % np.pi) / np.pi * 9
    bins = np.eye(9, dtype=np.float32)[np.minimum(place.astype(int), 8)] * strength[..., None]
    cells = bins.reshape(-1, 4, 7, 4, 7, 9).sum((2, 4)).reshape(len(images), -1)
    return cells / np.maximum(np.linalg.norm(cells, axis=1, keepdims=True), 1e-6)


class SmallViT(Network):
    """A small vision transformer on 28x28: 16 patches of 7x7, four layers (Dosovitskiy et al., 2021)."""

    def __init__(self, width: int = 64, classes: int = 24) -> None:
        super().__init__()
        self.config = type("Config", (), {"classes": classes})
        self.patches = nn.Conv2d(1, width, 7, 7)
        self.place = nn.Parameter(torch.randn(17, width) * 0.02)
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.1, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    prepare = PixelCNN.prepare

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, 28, 28) in 0..1 -> (B, classes) logits."""
        x = self.patches(images - 0.5).flatten(2).transpose(1, 2)  # (B, 16, width)
        x = torch.cat([self.start.expand(len(x), -1, -1), x], 1) + self.place  # (B, 17, width)
        return self.head(self.layers(x)[:, 0])


class Study:
    """The photos, what was tracked in them, and the systems: pairs of what learns from a mask and what reads one."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.photos = load_letters("photos").only(STATIC)
        self.labels = self.photos.labels()
        self.looks = track(self.photos)
        self.added = drawn_examples(preset("default", "best"), doubts=True)
        self.features, self.found = features(self.looks)
        self.hands = table_hands(self.looks.tables[0])
        self.trained: dict[tuple, nn.Module] = {}

    def train(
        self,
        network: str,
        name: str,
        examples: Callable[[], Examples],
        learn: np.ndarray,
        seed: int | None,
        drawn: bool = True,
    ) -> nn.Module:
        """Train a preset, once: several systems use the same networks."""
        seed = self.seed if seed is None else seed
        key = network, name, seed, drawn, learn.tobytes()
        if key not in self.trained:
            self.trained[key] = train(preset(network, name), examples(), seed=seed, progress=False)[0]
        return self.trained[key]

    def learn_landmark(self, learn: np.ndarray, seed: int | None = None) -> nn.Module:
        def examples() -> Examples:
            return hand_examples(self.looks.subset(learn), self.labels[learn])

        return self.train("landmark", "best", examples, learn, seed)

    def read_landmark(self, model: nn.Module, where: np.ndarray) -> np.ndarray:
        return look_probabilities(model, self.looks.subset(where))

    def learn_joint(self, learn: np.ndarray, seed: int | None = None, drawn: bool = True) -> nn.Module:
        def examples() -> Examples:
            known = hand_examples(self.looks.subset(learn), self.labels[learn])
            known = join([known, *self.added]) if drawn else known
            return join([known, turned(known)])

        return self.train("default", "best", examples, learn, seed, drawn)

    def read_joint(self, model: nn.Module, where: np.ndarray) -> np.ndarray:
        return look_probabilities(model, self.looks.subset(where))

    @cached_property
    def crops(self) -> tuple[np.ndarray, np.ndarray]:
        """Each photo's hand as each look at it saw it, (looks, N, 28, 28) uint8, and where there is one."""
        return crop_set(self.photos, self.looks)

    @cached_property
    def crops_in_rooms(self) -> tuple[np.ndarray, np.ndarray]:
        """The same with what lies around the hand."""
        return crop_set(self.photos, self.looks, background=True)

    @cached_property
    def mnist_pixels(self) -> Examples:
        """The training part of Sign Language MNIST."""
        mnist = load_letters("sign-mnist")
        own = mnist.table["split"].to_numpy(str) == "train"
        return pixel_examples(mnist.images[own], mnist.labels()[own])

    @cached_property
    def drawn_pixels(self) -> Examples:
        """The synthetic signers' letters."""
        return for_pixels(pixel_set(added_letters(preset("pixel", "people").signers)))

    def learn_people(self, learn: np.ndarray, drawn: bool = True) -> nn.Module:
        def examples() -> Examples:
            images, found = self.crops
            looks, photos = np.nonzero(found & learn)
            known = pixel_examples(images[looks, photos], self.labels[photos])
            return join([known, self.mnist_pixels, *([self.drawn_pixels] if drawn else [])])

        return self.train("pixel", "people", examples, learn, None, drawn)

    def read_people(self, model: nn.Module, where: np.ndarray) -> np.ndarray:
        images, found = (part[:, where] for part in self.crops)
        said = np.zeros((*found.shape, 24), np.float32)
        said[found] = torch.from_numpy(reads_pixels(model)[0](images[found])).softmax(1)
        return said.sum(0) / np.maximum(found.sum(0), 1)[:, None]

    def learn_product(self, learn: np.ndarray) -> nn.Module:
        return nn.ModuleList([self.learn_landmark(learn), self.learn_people(learn)])

    def read_product(self, models: nn.Module, where: np.ndarray) -> np.ndarray:
        landmark, pixel = models
        said = self.read_landmark(landmark, where) * self.read_people(pixel, where)
        return said / np.maximum(said.sum(1, keepdims=True), 1e-12)

    def learn_classic(self, estimator, learn: np.ndarray):
        known = learn & self.found
        return estimator.fit(self.features[known], self.labels[known])

    def read_classic(self, estimator, where: np.ndarray) -> np.ndarray:
        said = np.eye(24, dtype=np.float32)[estimator.predict(self.features[where])]
        return said * self.found[where, None]


class Branch(Network):
    """One branch of ``default`` alone: 0 landmarks, 1 the embedding."""

    def __init__(self, joint: nn.Module, number: int) -> None:
        super().__init__()
        self.joint, self.number, self.config = joint, number, joint.config
        self.prepare = joint.prepare

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The inputs of ``DefaultNet`` -> (B, classes) logits."""
        return self.joint.branches(inputs)[self.number][:, : self.config.classes]


def run_photos(
    study: Study, learn: Callable, read: Callable, inspect: Callable | None = None, only: str | None = None
) -> dict:
    """Every protocol on the photos, or one, for one system; ``inspect(protocol, name, where, model, said)`` adds."""
    out: dict = {"protocols": {}}
    pieces, seconds = [], []
    for protocol, name, where in protocols(study.photos):
        if only not in (None, protocol):
            continue
        started = time.perf_counter()
        model = learn(~where)
        seconds.append(time.perf_counter() - started)
        said = read(model, where)
        letters = read_letters(said, STATIC)
        right = letters == study.photos.letters[where]
        entry = {"accuracy": float(right.mean()), "interval": intervals(study.photos, where, right), "n": len(right)}
        out["protocols"].setdefault(protocol, {})[name] = entry
        print(f"  {protocol}, {name}: {100 * right.mean():.1f} %", flush=True)
        if protocol == "source left out":
            pieces.append((study.photos.letters[where], letters))
        if inspect is not None:
            inspect(protocol, name, where, model, said)
    out["parameters"] = parameter_count(model) if isinstance(model, nn.Module) else None
    out["training_seconds"] = float(np.median(seconds))
    shown, letters = (np.concatenate(part) for part in zip(*pieces, strict=True))
    out["hard_pairs"] = worst_pairs(confusion(shown, letters, STATIC), STATIC, 12).to_dict("records")
    out["by_letter"] = {letter: float((letters == shown)[shown == letter].mean()) for letter in STATIC}
    return out


def run_classic(study: Study, estimator) -> dict:
    """A classic of scikit-learn on the landmarks' features, and how long it takes for one hand."""
    out = run_photos(study, partial(study.learn_classic, estimator), study.read_classic)
    one = study.looks.tables[0].iloc[[int(study.found.argmax())]]

    def read() -> np.ndarray:
        return estimator.predict(landmark_features(*landmark_inputs(one)).flatten(1).numpy())

    return out | {"milliseconds": milliseconds(read)}


def milliseconds(call: Callable[[], object], rounds: int = 50) -> float:
    """Median of one call on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    return 1000 * float(np.median(times))


def run_joint(study: Study) -> dict:
    """The default network: each branch alone and both, calibration, and what is refused."""
    strange = []
    for others in (named_hands(), load_letters("photos").only(("space", "del", "nothing"))):
        strange.append((others, track(others, progress=False)))
    branches: dict[str, dict] = {"landmark branch": {}, "look branch": {}}
    calibration, refused, answers = {}, {}, []

    def inspect(protocol: str, name: str, where: np.ndarray, model: nn.Module, said: np.ndarray) -> None:
        truth, found = study.labels[where], said.max(1) > 0
        for number, branch in enumerate(branches):
            alone = study.read_joint(Branch(model, number), where)
            right = (alone.argmax(1) == truth) & found
            branches[branch].setdefault(protocol, {})[name] = {"accuracy": float(right.mean())}
        if protocol == "source left out":
            sure, right = said.max(1)[found], (said.argmax(1) == truth)[found]
            answers.append((sure, right))
            calibration[name] = calibration_error(sure, right)
            refused[name] = refusals(model, strange, float(np.quantile(sure, 1 - KEPT)), name)

    out = run_photos(study, study.learn_joint, study.read_joint, inspect)
    sure, right = (np.concatenate(part) for part in zip(*answers, strict=True))
    ranges = pd.DataFrame({"confidence": sure, "accuracy": right, "n": 1}).groupby(np.minimum(sure * 10, 9).astype(int))
    out["reliability"] = ranges.agg({"confidence": "mean", "accuracy": "mean", "n": "sum"}).to_dict("records")
    out["calibration_error"] = {**calibration, "all sources": calibration_error(sure, right)}
    return {**out, "branches": branches, "refused_at_95_percent_kept": refused}


def refusals(model, strange, threshold: float, source: str) -> dict[str, float]:
    """Share of hands without a letter that are below the threshold or not found; real ones by the fold without them."""
    out = {}
    for others, seen in strange:
        if not others.synthetic and source != "keptsecret":
            continue
        below = look_probabilities(model, seen).max(1) < threshold
        for name in sorted(set(others.letters)):
            out[name] = float(below[others.letters == name].mean())
    return {**out, "threshold": threshold}


def run_pixels(study: Study, model_of: Callable) -> dict:
    """A system that learns from Sign Language MNIST: its official test, and all photos as strangers."""
    mnist = load_letters("sign-mnist")
    own = mnist.table["split"].to_numpy(str)
    started = time.perf_counter()
    read, parameters = model_of(mnist.images[own == "train"], mnist.labels()[own == "train"])
    seconds = time.perf_counter() - started
    out = {"parameters": parameters, "training_seconds": seconds, "protocols": {}}
    out["milliseconds"] = milliseconds(lambda: read(mnist.images[:1]))
    right = read(mnist.images[own == "test"]).argmax(1) == mnist.labels()[own == "test"]
    out["protocols"]["official test"] = {
        "official test": {"accuracy": float(right.mean()), "interval": list(accuracy_interval(right)), "n": len(right)}
    }
    # Sign Language MNIST shows the room behind a hand; asllib's own crops do not.
    for protocol, (images, found) in (
        ("strangers' photos", study.crops),
        ("strangers' photos, room kept", study.crops_in_rooms),
    ):
        first = found.argmax(0), np.arange(len(study.photos))  # the first look that found a hand
        said, found = read(images[first]), found.any(0)
        right = (said.argmax(1) == study.labels) & found
        top5 = (np.argsort(-said, 1)[:, :5] == study.labels[:, None]).any(1) & found
        for name, where in leave_one_out(study.photos, "source"):
            out["protocols"].setdefault(protocol, {})[name] = {
                "accuracy": float(right[where].mean()), "interval": intervals(study.photos, where, right[where]),
                "top5": float(top5[where].mean()), "n": int(where.sum()),
            }  # fmt: skip
    return out


def run_people(study: Study) -> dict:
    """The pixel network that learns from photos, synthetic signers and Sign Language MNIST; its sources left out."""
    mnist = load_letters("sign-mnist")
    test = mnist.subset(mnist.table["split"].to_numpy(str) == "test")
    official = []

    def inspect(protocol: str, name: str, where: np.ndarray, model: nn.Module, said: np.ndarray) -> None:
        official.append(reads_pixels(model)[0](test.images).argmax(1) == test.labels())

    out = run_photos(study, study.learn_people, study.read_people, inspect, "source left out")
    right = np.stack(official).mean(0)
    out["protocols"]["official test"] = {
        "official test": {"accuracy": float(right.mean()), "interval": list(accuracy_interval(right)), "n": len(right)}
    }
    return out


def run_product(study: Study) -> dict:
    """What the landmark and the pixel network read together; both learn as in rows of their own."""
    out = run_photos(study, study.learn_product, study.read_product, only="source left out")
    return out | {"training_seconds": None}


def run_seeds(study: Study, seeds: list[int]) -> dict:
    """The landmark and the default network from several seeds, sources left out; mean and standard deviation."""
    out = {}
    for name, learn, read in (
        (JOINT, study.learn_joint, study.read_joint),
        (LANDMARK, study.learn_landmark, study.read_landmark),
    ):
        runs = {}
        for seed in seeds:
            print(f"  seed {seed}, {name}", flush=True)
            result = run_photos(study, partial(learn, seed=seed), read, only="source left out")
            parts = result["protocols"]["source left out"]
            runs[seed] = {left_out: part["accuracy"] for left_out, part in parts.items()}
        table = pd.DataFrame(runs)  # sources x seeds
        table.loc["mean of sources"] = table.mean()
        spread = table.std(axis=1).to_dict() if len(seeds) > 1 else None
        out[name] = {"by_seed": table.to_dict(), "mean": table.mean(axis=1).to_dict(), "standard_deviation": spread}
    return out


# A clip is a held letter: what is shown, the probabilities of its frames (F, 24), and whom it belongs to.
Clip = tuple[str, np.ndarray, str]


def average_frames(clips: list[Clip], counts: tuple[int, ...]) -> dict:
    """Accuracy of the mean of n frames that follow each other, by n: of all such runs in a clip, clips alike."""
    clips = [clip for clip in clips if len(clip[1]) >= max(counts)]  # the same clips for every n
    whose = np.array([name for _, _, name in clips])
    out: dict = {"clips": len(clips), "frames": sum(len(said) for _, said, _ in clips), "mean_of": {}}
    for n in counts:
        means = [np.lib.stride_tricks.sliding_window_view(said, n, axis=0).mean(-1) for _, said, _ in clips]
        right = np.array([
            (read_letters(mean, STATIC) == letter).mean() for mean, (letter, _, _) in zip(means, clips, strict=True)
        ])  # fmt: skip
        interval = list(accuracy_interval(right, whose))
        out["mean_of"][n] = {"accuracy": float(right.mean()), "interval": interval}
    return out


def read_film(recognizer: Recognizer, frames: Sequence[np.ndarray], fps: float, read: np.ndarray) -> np.ndarray:
    """Probabilities (F, 24) of a film's frames, of those to be read; 0 elsewhere, and where no hand was found.

    The hand is followed from frame to frame, as in the live cell.
    """
    said = np.zeros((len(frames), 24), np.float32)
    tracker = HandTracker(video=True)
    for i, frame in enumerate(frames):
        hand = tracker.detect(frame, 1000 * i / fps)
        if hand is not None and read[i]:
            said[i] = recognizer.probabilities([hand], frame.shape[1] / frame.shape[0])
    return said


def drawn_clips(signers: int = 8, fps: float = 15.0) -> list[Clip]:
    """Letters held for about 11 frames by synthetic signers whom the shipped default network never saw."""
    recognizer, rng, clips = load_recognizer(), np.random.default_rng(TEST_SEED), []
    for number in range(signers):
        film = render_word("".join(rng.permutation(STATIC)), number, fps, 0.6, SIZE, TEST_SEED)
        said = read_film(recognizer, film.frames, fps, film.positions >= 0)
        clips += [(letter, said[film.positions == place], film.signer) for place, letter in enumerate(film.word)]
    return clips


def filmed_clips(network: nn.Module, held: int = 45) -> list[Clip]:
    """Letters of the two real films, which show each for 45 frames."""
    recognizer, clips = Recognizer(network, {"network": "default", "alphabet": STATIC}), []
    for word in ("HELLO", "QUIZ"):
        frames = [frame for _, frame in iter_frames(data_dir() / "video" / f"{word.lower()}.mjpeg")]
        shown = np.repeat(list(word), held)
        said = read_film(recognizer, frames, 30.0, np.isin(shown, STATIC))
        for place, letter in enumerate(word):
            if letter in STATIC:
                clips.append((letter, said[held * place : held * (place + 1)], f"{word} {place}"))
    return clips


def run_frames(study: Study) -> dict:
    """One frame of a held letter against the mean of several, read by default networks that never saw the person."""
    known = study.photos.table["source"].to_numpy(str) != LEFT_OUT
    clips = {
        "drawn films": average_frames(drawn_clips(), (1, 3, 5, 10)),
        "films of HELLO and QUIZ": average_frames(filmed_clips(study.learn_joint(known)), (1, 3, 5, 10)),
    }
    return {"clips": clips}


def run_regression(study: Study, crops: int = 4, epochs: int = 12) -> dict:
    """Landmarks regressed from 28x28 pixels by a network that learned from synthetic truth, then 5 neighbours on them.

    It needs no tracker, so it reads Sign Language MNIST too, whose images are too small for one. It has seen neither
    its images nor the photos.
    """
    torch.manual_seed(study.seed)
    drawn = added_letters(preset("pixel", "people").signers)
    hands = table_hands(read_landmarks(drawn.images.root / "landmarks.csv"))
    rng = np.random.default_rng(study.seed)
    images, points = [], []
    for photo, hand in zip(drawn.images, hands, strict=True):
        places = hand.landmarks[:, :2] * photo.shape[1]
        for _ in range(crops):  # as if the hand had been found roughly
            side = np.ptp(places, 0).max() * rng.uniform(1.1, 1.9)
            corner = np.round((places.min(0) + places.max(0) - side) / 2 + rng.uniform(-0.1, 0.1, 2) * side)
            square = resize(to_gray(crop_square(photo, int(corner[0]), int(corner[1]), round(side))))
            seen = (places - corner) / side
            images.append(square[:, ::-1] if hand.side == "left" else square)
            points.append(seen * [-1, 1] + [1, 0] if hand.side == "left" else seen)
    inputs = torch.from_numpy(np.stack(images))
    targets = torch.from_numpy(np.stack(points).astype(np.float32)).flatten(1)  # (M, 42) in units of the square
    light = ImageAugment(turn=0, shift=0, zoom=0, contrast=0.4, brightness=0.15)
    generator = torch.Generator().manual_seed(study.seed)
    model = PixelCNN(PixelConfig(batch_norm=True, dropout=0.0, standardise=True, hidden=256, classes=42))
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * -(-len(inputs) // 128))
    started = time.perf_counter()
    for _ in range(epochs):
        model.train()
        for places in split_batches(len(inputs), 128, generator):
            loss = (model(model.prepare((inputs[places],), light, generator)) - targets[places]).abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()

    def shape(flat: np.ndarray) -> np.ndarray:
        """Points (N, 42) from the wrist, the farthest at distance 1."""
        hands = flat.reshape(-1, 21, 2) - flat.reshape(-1, 21, 2)[:, :1]
        return (hands / np.linalg.norm(hands, axis=-1).max(1)[:, None, None]).reshape(-1, 42)

    reader = KNeighborsClassifier().fit(shape(targets[::crops].numpy()), drawn.labels())

    def right(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        found = model.logits((torch.from_numpy(images),)).numpy()
        return reader.predict(shape(found)) == labels

    out: dict = {"parameters": parameter_count(model), "training_seconds": time.perf_counter() - started}
    mnist = load_letters("sign-mnist")
    test = mnist.table["split"].to_numpy(str) == "test"
    official = right(mnist.images[test], mnist.labels()[test])
    out["milliseconds"] = milliseconds(lambda: right(mnist.images[:1], mnist.labels()[:1]))
    pairs = zip(study.photos.images, study.hands, strict=True)
    strangers = right(np.stack([to_pixels(photo, hand, background=True) for photo, hand in pairs]), study.labels)
    strangers &= study.found
    out["protocols"] = {
        "official test": {"official test": {
            "accuracy": float(official.mean()), "interval": list(accuracy_interval(official)), "n": len(official),
        }},
        "strangers' photos, room kept": {
            name: {
                "accuracy": float(strangers[where].mean()),
                "interval": intervals(study.photos, where, strangers[where]), "n": int(where.sum()),
            }
            for name, where in leave_one_out(study.photos, "source")
        },
    }  # fmt: skip
    return out


def plain_pixel(images, labels):
    return reads_pixels(train(preset("pixel", "best"), pixel_examples(images, labels), progress=False)[0])


def small_vit(images, labels):
    torch.manual_seed(0)
    model = SmallViT()
    settings = Training(epochs=8, learning_rate=2e-3, batch=128, one_cycle=True, weight_decay=0.05, smoothing=0.05)
    batches = example_batches(model, pixel_examples(images, labels), settings, preset("pixel", "best").augment)
    fit(model, batches, settings, progress=False)
    return reads_pixels(model)


def reads_pixels(model: nn.Module):
    return lambda x: model.logits((torch.from_numpy(x),)).numpy(), parameter_count(model)


def on_hog(estimator):
    def learn(images, labels):
        estimator.fit(hog(images), labels)
        score = getattr(estimator, "predict_proba", None) or estimator.decision_function
        return lambda x: score(hog(x)), None

    return learn


def run_fairness(study: Study) -> dict:
    """The shipped default network on synthetic signers it never saw, by what they and the pictures are like."""
    from asllib.signer.alphabet import draw_habit
    from asllib.signer.scene import draw_shot, draw_signer

    drawn = load_letters("synthetic").only(STATIC)
    recognizer = load_recognizer("default")
    said = recognizer.read_set(drawn, progress=False)
    right = (said.argmax(1) == drawn.labels()) & (said.max(1) > 0)
    rows = []
    for file, letter, signer in zip(drawn.table["file"], drawn.letters, drawn.table["signer"], strict=True):
        number, view = int(signer.rsplit("-", 1)[1]), int(file.rsplit("-", 1)[1].split(".")[0])
        person, rng = draw_signer(0, number), np.random.default_rng([0, number, ord(letter), view])
        draw_habit(rng, 0.35)
        shot = draw_shot(rng)
        rows.append({
            "skin tone (Monk)": ("1-3", "4-6", "7-10")[(person.tone > 3) + (person.tone > 6)],
            "hand": person.side,
            "age": "below 18" if person.phenotype[1] < 0.45 else "18 and older",
            "light": "dim" if shot.exposure * shot.key[1] < 0.7 else "bright",
            "camera angle": "below 20 degrees" if np.hypot(shot.yaw, shot.pitch) < 20 else "20 to 35 degrees",
        })  # fmt: skip
    out: dict = {"accuracy": float(right.mean()), "n": len(right), "by": {}}
    signers = drawn.table["signer"].to_numpy(str)
    for key in rows[0]:
        values = np.array([row[key] for row in rows])
        out["by"][key] = {}
        for value in sorted(set(values)):
            part = values == value
            low, high = accuracy_interval(right[part], signers[part])
            shares = {"accuracy": float(right[part].mean()), "interval": [low, high], "n": int(part.sum())}
            shares["signers"] = len(set(signers[part]))
            out["by"][key][value] = shares
    # What the shipped threshold refuses: of these letters, and of drawn hands that show none.
    others = named_hands()
    sure = recognizer.read_set(others, progress=False).max(1)
    out["refused"] = {name: float((sure[others.letters == name] < recognizer.refuse_below).mean())
                      for name in sorted(set(others.letters))}  # fmt: skip
    out["refused"]["letters"] = float((said.max(1) < recognizer.refuse_below).mean())
    return out


def run_times(study: Study) -> dict:
    """Milliseconds of one frame of 320x240, one thread: the look at its hand, then each network."""
    import cv2

    cv2.setNumThreads(1)
    readers = {name: load_recognizer(name) for name in ("default", "landmark", "pixel")}
    tracker = HandTracker()
    frames = (cv2.resize(study.photos.images[i], (320, 240)) for i in np.flatnonzero(study.found))
    image, hand = next((frame, hand) for frame in frames if (hand := tracker.detect(frame)) is not None)
    crop = hand_crop(hand.landmarks, 320, 240)
    out = {}
    for name, call in (
        *((k, lambda r=r: r.probabilities([hand], 4 / 3, image)) for k, r in readers.items()),
        ("landmark x pixel", lambda: [readers[k].probabilities([hand], 4 / 3, image) for k in ("landmark", "pixel")]),
        ("look at a hand", lambda: look_at(image, crop)),
    ):
        out[name] = milliseconds(call)
        print(f"  {name}: {out[name]:.2f} ms")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resume", action="store_true", help="keep the systems that a stopped run has done")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the first for all rows")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="make these systems anew, keep the others")
    options = parser.parse_args()

    systems: dict[str, Callable[[], dict]] = {
        JOINT: lambda: run_joint(study),
        LANDMARK: lambda: run_photos(study, study.learn_landmark, study.read_landmark),
        "random forest on landmarks": lambda: run_classic(study, RandomForestClassifier(100, random_state=0)),
        "SVM on landmarks": lambda: run_classic(study, SVC(C=10)),
        "5 nearest neighbours on landmarks": lambda: run_classic(study, KNeighborsClassifier()),
        "pixel network": lambda: run_pixels(study, plain_pixel),
        "pixel network, photos too": lambda: run_people(study),
        UNDRAWN_JOINT: lambda: run_photos(
            study, partial(study.learn_joint, drawn=False), study.read_joint, only="source left out"
        ),
        UNDRAWN_PIXEL: lambda: run_photos(
            study, partial(study.learn_people, drawn=False), study.read_people, only="source left out"
        ),
        "landmark network x pixel network": lambda: run_product(study),
        "28x28 to landmarks, 5 nearest neighbours": lambda: run_regression(study),
        "small vision transformer": lambda: run_pixels(study, small_vit),
        "HOG, linear SVM": lambda: run_pixels(study, on_hog(LinearSVC(random_state=0))),
        "HOG, 5 nearest neighbours": lambda: run_pixels(study, on_hog(KNeighborsClassifier())),
        "average over frames": lambda: run_frames(study),
        "seeds": lambda: run_seeds(study, options.seeds),
        "fairness": lambda: run_fairness(study),
        "milliseconds": lambda: run_times(study),
    }
    unknown = sorted(set(options.only or ()) - set(systems))
    if unknown:
        raise SystemExit(f"--only {', '.join(unknown)}: there are {'; '.join(systems)}")
    torch.set_num_threads(1)  # two add in another order, which moves davidlee's fold by 0.6 points
    study = Study(options.seeds[0])
    path = results_dir() / "study.json"
    out: dict = {}
    if (options.resume or options.only) and path.is_file():
        before = json.loads(path.read_text())
        if (before["data"], before["seed"]) != (data_card(study.photos), study.seed):
            raise SystemExit(f"{path}: of other photos or another seed; leave out --resume and --only")
        out = before["systems"]
    for name in options.only or [name for name in systems if name not in out]:
        print(name, flush=True)
        out[name] = systems[name]()
        save_result("study", {"systems": out}, study.photos, study.seed)
    print(path)


if __name__ == "__main__":
    main()
