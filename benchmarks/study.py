"""Leave a source or a signer out, read them with networks that never saw them, and compare with what others use.

    python benchmarks/study.py [--only NAME ...] [--seed 0]

Needs the real photos and Sign Language MNIST (``ASLLIB_DATA``). Results go to ``data/results/study.json`` after each
system; a run that was stopped goes on with those that are missing. Nothing here chooses anything: settings are those
of the presets, and of the libraries' defaults where the table says so.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from asllib import load_letters
from asllib.config import preset
from asllib.data import groups, leave_one_out, split
from asllib.data.letterset import LetterSet
from asllib.data.other_hands import named_hands
from asllib.evaluation import accuracy_interval, calibration_error, confusion, worst_pairs
from asllib.hands.embedding import embed_hand, embed_set
from asllib.hands.landmarks import landmark_arrays
from asllib.hands.tracker import Hand
from asllib.letters import STATIC
from asllib.models.zoo import parameter_count
from asllib.paths import results_dir
from asllib.recognizer import crop_set, load_recognizer
from asllib.results import save_result
from asllib.runs import (
    Looks,
    join,
    joint_examples,
    joint_prepare,
    joint_probabilities,
    landmark_examples,
    landmark_inputs,
    landmark_prepare,
    look_probabilities,
    pixel_prepare,
    track,
    train,
)
from asllib.train_run import KEPT, joint_data
from asllib.training import fit, predict_logits, set_seed

Reader = Callable[[np.ndarray], np.ndarray]  # mask of photos -> probabilities (n, 24), 0 without a hand


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
    """By signer where several are known, else by original."""
    signers = groups(photos, "signer")[where]
    known = signers if len(set(signers)) > 1 else groups(photos, "original")[where]
    return list(accuracy_interval(right, known))


def features(looks: Looks) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 189) of the first look that found a hand, and where there is one."""
    table = looks.first()
    inputs = landmark_prepare()(landmark_inputs(table), None)
    return np.nan_to_num(inputs.flatten(1).numpy()), (table["score"] > 0).to_numpy()


def hog(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients of 28x28 images: 4x4 cells of 7 pixels, 9 directions, scaled to length 1."""
    down, across = np.gradient(images.astype(np.float32), axis=(1, 2))
    strength = np.hypot(down, across)
    place = (np.arctan2(down, across) % np.pi) / np.pi * 9
    bins = np.eye(9, dtype=np.float32)[np.minimum(place.astype(int), 8)] * strength[..., None]
    cells = bins.reshape(-1, 4, 7, 4, 7, 9).sum((2, 4)).reshape(len(images), -1)
    return cells / np.maximum(np.linalg.norm(cells, axis=1, keepdims=True), 1e-6)


class SmallViT(nn.Module):
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

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, 28, 28) in 0..1 -> (B, classes) logits."""
        x = self.patches(images - 0.5).flatten(2).transpose(1, 2)  # (B, 16, width)
        x = torch.cat([self.start.expand(len(x), -1, -1), x], 1) + self.place  # (B, 17, width)
        return self.head(self.layers(x)[:, 0])


class Study:
    """The photos, what was tracked in them, and the systems: each a method that learns from a mask of the photos."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.photos = load_letters("photos").only(STATIC)
        self.labels = self.photos.labels()
        self.looks, self.embeddings, self.added = joint_data(preset("joint", "best"), self.photos)
        self.features, self.found = features(self.looks)

    def landmark(self, learn: np.ndarray) -> tuple[Reader, int]:
        examples = landmark_examples(self.looks.subset(learn), self.labels[learn])
        model, _ = train(preset("landmark", "best"), examples, seed=self.seed, progress=False)
        return lambda where: look_probabilities(model, self.looks.subset(where)), parameter_count(model)

    def joint(self, learn: np.ndarray):
        examples = joint_examples(self.looks.subset(learn), self.embeddings[learn], self.labels[learn])
        examples = join([examples, self.added])
        model, _ = train(preset("joint", "best"), examples, seed=self.seed, progress=False)
        return model

    def classic(self, estimator) -> Callable[[np.ndarray], tuple[Reader, int]]:
        def learn_from(learn: np.ndarray) -> tuple[Reader, int]:
            known = learn & self.found
            estimator.fit(self.features[known], self.labels[known])

            def read(where: np.ndarray) -> np.ndarray:
                said = np.eye(24, dtype=np.float32)[estimator.predict(self.features[where])]
                return said * self.found[where, None]

            return read, 0

        return learn_from


def run_photos(study: Study, learn_from: Callable[[np.ndarray], tuple[Reader, int]]) -> dict:
    """Every protocol on the photos for one system."""
    out: dict = {"protocols": {}}
    started, pieces = time.perf_counter(), []
    for protocol, name, where in protocols(study.photos):
        read, out["parameters"] = learn_from(~where)
        said = read(where)
        right = (said.argmax(1) == study.labels[where]) & (said.max(1) > 0)
        entry = {"accuracy": float(right.mean()), "interval": intervals(study.photos, where, right), "n": len(right)}
        out["protocols"].setdefault(protocol, {})[name] = entry
        print(f"  {protocol}, {name}: {100 * right.mean():.1f} %", flush=True)
        if protocol == "source left out":
            pieces.append(
                (study.photos.letters[where], np.array([*STATIC, "-"])[np.where(said.max(1) > 0, said.argmax(1), 24)])
            )
    out["seconds"] = time.perf_counter() - started
    shown, read_as = (np.concatenate(part) for part in zip(*pieces, strict=True))
    out["hard_pairs"] = worst_pairs(confusion(shown, read_as, STATIC), STATIC, 12).to_dict("records")
    out["by_letter"] = {letter: float((read_as == shown)[shown == letter].mean()) for letter in STATIC}
    return out


def run_joint(study: Study) -> dict:
    """The default network: each branch alone and both, calibration, and what is refused."""
    others, signs = named_hands(), load_letters("photos").only(("space", "del", "nothing"))
    strange = {}
    for set_ in (others, signs):
        seen = track(set_, progress=False)
        strange[set_.name] = (set_, seen, embed_set(set_, seen.first(), progress=False))
    branches: dict[str, dict] = {"landmark branch": {}, "look branch": {}}
    calibration, refused, bins = {}, {}, []
    protocol_of = {id_: protocol for protocol, id_, _ in protocols(study.photos)}

    def learn_from(learn: np.ndarray) -> tuple[Reader, int]:
        model = study.joint(learn)

        def read(where: np.ndarray) -> np.ndarray:
            looks, embeddings = study.looks.subset(where), study.embeddings[where]
            said = joint_probabilities(model, looks, embeddings)
            name = next(n for _, n, mask in protocols(study.photos) if (mask == where).all())
            truth, found = study.labels[where], looks.found
            for branch, half in (("landmark branch", 0), ("look branch", 1)):
                alone = branch_probabilities(model, looks, embeddings, half)
                right = (alone.argmax(1) == truth) & found
                branches[branch].setdefault(protocol_of[name], {})[name] = {"accuracy": float(right.mean())}
            if protocol_of[name] == "source left out":
                sure, right = said.max(1)[found], (said.argmax(1) == truth)[found]
                calibration[name] = calibration_error(sure, right)
                bins.append((sure, right))
                refused[name] = refusals(model, strange, float(np.quantile(sure, 1 - KEPT)), name)
            return said

        return read, parameter_count(model)

    out = run_photos(study, learn_from)
    sure, right = (np.concatenate(part) for part in zip(*bins, strict=True))
    edges = np.clip((sure * 10).astype(int), 0, 9)
    out["reliability"] = [
        {
            "confidence": float(sure[edges == b].mean()),
            "accuracy": float(right[edges == b].mean()),
            "n": int((edges == b).sum()),
        }
        for b in range(10)
        if (edges == b).any()
    ]
    out["calibration_error"] = {**calibration, "all sources": calibration_error(sure, right)}
    return {**out, "branches": branches, "refused_at_95_percent_kept": refused}


def branch_probabilities(model, looks: Looks, embeddings: np.ndarray, half: int) -> np.ndarray:
    """What one branch says, averaged over looks."""
    total, prepare = np.zeros((len(looks), 24), np.float32), joint_prepare()
    model.eval()
    for table in looks.tables:
        found = (table["score"] > 0).to_numpy()
        inputs = (*landmark_inputs(table[found]), torch.from_numpy(embeddings[found]))
        with torch.inference_mode():
            total[found] += model.branches(prepare(inputs, None))[half].exp().numpy()
    return total


def refusals(model, strange, threshold: float, source: str) -> dict[str, float]:
    """Share of hands without a letter that are below the threshold or not found; real ones by the fold without them."""
    out = {}
    for set_, seen, embeddings in strange.values():
        if not set_.synthetic and source != "keptsecret":
            continue
        below = joint_probabilities(model, seen, embeddings).max(1) < threshold
        for name in sorted(set(set_.letters)):
            out[name] = float(below[set_.letters == name].mean())
    return {**out, "threshold": threshold}


def run_pixels(study: Study, model_of: Callable) -> dict:
    """A system that learns from Sign Language MNIST: its official test, and all photos as strangers."""
    mnist = load_letters("sign-mnist")
    own = mnist.table["split"].to_numpy(str)
    started = time.perf_counter()
    read, parameters = model_of(mnist.images[own == "train"], mnist.labels()[own == "train"])
    seconds = time.perf_counter() - started
    out = {"parameters": parameters, "seconds": seconds, "protocols": {}}
    right = read(mnist.images[own == "test"]).argmax(1) == mnist.labels()[own == "test"]
    out["protocols"]["official test"] = {
        "official test": {"accuracy": float(right.mean()), "interval": list(accuracy_interval(right)), "n": len(right)}
    }
    images, found = crop_set(study.photos, study.looks)
    said = read(images)
    right, top5 = (
        (said.argmax(1) == study.labels) & found,
        (np.argsort(-said, 1)[:, :5] == study.labels[:, None]).any(1) & found,
    )
    for name, where in leave_one_out(study.photos, "source"):
        out["protocols"].setdefault("strangers' photos", {})[name] = {
            "accuracy": float(right[where].mean()), "interval": intervals(study.photos, where, right[where]),
            "top5": float(top5[where].mean()), "n": int(where.sum()),
        }  # fmt: skip
    return out


def plain_pixel(images, labels):
    from asllib.runs import pixel_examples

    model, _ = train(preset("pixel", "best"), pixel_examples(images, labels), progress=False)
    return lambda x: predict_logits(model, (torch.from_numpy(x),), pixel_prepare()).softmax(1).numpy(), parameter_count(
        model
    )


def small_vit(images, labels):
    from asllib.config import Training
    from asllib.runs import pixel_examples

    set_seed(0)
    model, best = SmallViT(), preset("pixel", "best")
    settings = Training(epochs=8, learning_rate=2e-3, batch=128, one_cycle=True, weight_decay=0.05, smoothing=0.05)
    fit(model, pixel_examples(images, labels), None, pixel_prepare(best.augment), settings, progress=False)
    return lambda x: predict_logits(model, (torch.from_numpy(x),), pixel_prepare()).softmax(1).numpy(), parameter_count(
        model
    )


def on_hog(estimator):
    def learn(images, labels):
        estimator.fit(hog(images), labels)

        def read(x):
            scores = (
                estimator.predict_proba(hog(x))
                if hasattr(estimator, "predict_proba")
                else estimator.decision_function(hog(x))
            )
            return scores

        return read, 0

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
            "age": "below 18" if person.phenotype[1] < 0.45 else "grown-up",
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
            out["by"][key][value] = shares
    return out


def run_times(study: Study, rounds: int = 50) -> dict:
    """Milliseconds of one frame of 320x240 after its landmarks, one thread."""
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    arrays = landmark_arrays(study.looks.first())
    place = int(np.flatnonzero(arrays["found"])[0])
    hand = Hand(arrays["landmarks"][place], arrays["world"][place], "right", 1.0)
    image = cv2.resize(study.photos.images[place], (320, 240))
    out = {}
    readers = {name: load_recognizer(name) for name in ("default", "landmark", "pixel")}
    for name, call in (
        *((k, lambda r=r: r.probabilities(image, [hand])) for k, r in readers.items()),
        ("embedding alone", lambda: embed_hand(image, hand)),
    ):
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        out[name] = 1000 * float(np.median(times))
        print(f"  {name}: {out[name]:.2f} ms")
    return out


def main() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC, LinearSVC

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of systems to run again")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    study = Study(options.seed)
    systems: dict[str, Callable[[], dict]] = {
        "default: joint network": lambda: run_joint(study),
        "landmark network, photos only": lambda: run_photos(study, study.landmark),
        "random forest on landmarks": lambda: run_photos(
            study, study.classic(RandomForestClassifier(100, n_jobs=2, random_state=0))
        ),
        "SVM on landmarks": lambda: run_photos(study, study.classic(SVC(C=10))),
        "5 nearest neighbours on landmarks": lambda: run_photos(study, study.classic(KNeighborsClassifier())),
        "pixel network": lambda: run_pixels(study, plain_pixel),
        "small vision transformer": lambda: run_pixels(study, small_vit),
        "HOG, linear SVM": lambda: run_pixels(study, on_hog(LinearSVC(random_state=0))),
        "HOG, 5 nearest neighbours": lambda: run_pixels(study, on_hog(KNeighborsClassifier())),
        "fairness": lambda: run_fairness(study),
        "milliseconds": lambda: run_times(study),
    }
    path = results_dir() / "study.json"
    out = json.loads(path.read_text())["systems"] if path.is_file() else {}
    for name, run in systems.items():
        wanted = name in options.only if options.only else name not in out
        if not wanted:
            continue
        print(name, flush=True)
        out[name] = run()
        save_result("study", {"systems": out}, study.photos, options.seed)
    print(path)


if __name__ == "__main__":
    main()
