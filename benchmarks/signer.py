"""Measure the synthetic signer: is the hand found, are its landmarks and shapes right, how fast is it drawn.

python benchmarks/signer.py --photos ../shared/data/photos [--signers 20] [--views 2] [--all-sources]
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

STATIC = "ABCDEFGHIKLMNOPQRSTUVWXY"


def photo_table(folder: Path, cache: Path):
    """Landmarks of the real photos with source, split, label and original."""
    import cv2
    import pandas as pd

    from asllib.hands import extract_landmarks

    manifest = pd.read_csv(folder / "manifest.csv", keep_default_na=False)
    manifest = manifest[manifest.label.isin(list(STATIC))]
    manifest = manifest.drop_duplicates(["source", "split", "original"], ignore_index=True)
    images = [cv2.imread(str(folder / file))[..., ::-1].copy() for file in manifest.file]
    table = extract_landmarks(images, list(manifest.file), list(manifest.label), checkpoint=cache)
    return table, manifest


def features(table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, 189), labels and which hands were found."""
    import torch

    from asllib.hands.features import landmark_features
    from asllib.hands.landmarks import landmark_arrays

    a = landmark_arrays(table)
    tensors = (torch.as_tensor(np.nan_to_num(a["landmarks"])), torch.as_tensor(np.nan_to_num(a["world"])))
    x = landmark_features(*tensors, torch.as_tensor(a["left"]), torch.as_tensor(a["aspect"]))
    return x.numpy().reshape(len(table), -1), table.label.to_numpy(str), a["found"]


def train(x: np.ndarray, y: np.ndarray, seed: int = 0):
    """A small network on landmark features, with turned and jittered copies of each hand."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(seed)
    copies = max(3, min(20, 20000 // len(x)))
    more = np.concatenate([x] + [turned(x, rng) for _ in range(copies - 1)])
    model = make_pipeline(
        StandardScaler(), MLPClassifier((128,), alpha=1e-3, max_iter=25, batch_size=256, random_state=seed)
    )
    return model.fit(more, np.tile(y, copies))


def turned(x: np.ndarray, rng: np.random.Generator, degrees: float = 12) -> np.ndarray:
    """Copies of hands (N, 189) turned a little in the picture's plane, tipped and jittered."""
    points = x.reshape(-1, 3, 3, 21)  # (N, kind, xyz, point)
    a, b, c = np.deg2rad(rng.normal(0, degrees, (3, len(x))))
    one, zero = np.ones_like(a), np.zeros_like(a)

    def stack(*rows):
        return np.stack(rows, -1).reshape(-1, 3, 3)

    plane = stack(np.cos(a), -np.sin(a), zero, np.sin(a), np.cos(a), zero, zero, zero, one)
    side = stack(np.cos(b), zero, np.sin(b), zero, one, zero, -np.sin(b), zero, np.cos(b))
    above = stack(one, zero, zero, zero, np.cos(c), -np.sin(c), zero, np.sin(c), np.cos(c))
    out = np.einsum("nij,nkjp->nkip", plane @ side @ above, points)
    return (out + rng.normal(0, 0.02, out.shape)).reshape(x.shape)


def by_letter(truth, said) -> dict[str, float]:
    return {letter: float((said[truth == letter] == letter).mean()) for letter in sorted(set(truth))}


def worst(scores: dict[str, float], n: int = 8) -> str:
    return " ".join(f"{k} {100 * v:.0f}" for k, v in sorted(scores.items(), key=lambda p: p[1])[:n])


def confusions(truth, said, letters: str) -> str:
    from collections import Counter

    return "; ".join(
        f"{letter}: " + " ".join(f"{k}{v}" for k, v in Counter(said[truth == letter]).most_common(4))
        for letter in letters
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--signers", type=int, default=20)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--all-sources", action="store_true", help="also what is reported, not only what is tuned on")
    options = parser.parse_args()

    from asllib.hands import extract_landmarks
    from asllib.signer import render_letters

    render_letters("A", signers=1, views=1)
    start = time.perf_counter()
    shots = render_letters(signers=options.signers, views=options.views, seed=options.seed)
    rate = len(shots) / (time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"pictures a second at 224x224: {rate:.1f}; largest memory {memory:.2f} GB with {len(shots)} pictures")

    table = extract_landmarks(shots.images, labels=shots.labels, progress=False)
    x, y, found = features(table)
    letters = np.array(shots.labels)
    print(f"hand found: {100 * found.mean():.1f} %; least {worst(by_letter(letters, np.where(found, letters, '-')))}")
    names = [f"{axis}{k}" for k in range(21) for axis in "xy"]
    seen = table[names].to_numpy(np.float32).reshape(-1, 21, 2)
    true = shots.landmarks[..., :2]
    # The hand's length: wrist to middle knuckle to middle fingertip along the bones, in the camera's plane or not.
    bones = np.linalg.norm(np.diff(shots.world[:, [0, 9, 10, 11, 12]], axis=1), axis=-1).sum(1)
    flat = np.linalg.norm(true[:, :, None] - true[:, None], axis=-1).max((1, 2))
    solid = np.linalg.norm(shots.world[:, :, None, :2] - shots.world[:, None, :, :2], axis=-1).max((1, 2))
    length = bones * flat / solid
    error = np.linalg.norm(seen - true, axis=-1).mean(1) / length
    each = {k: float(np.median(error[found & (letters == k)])) for k in sorted(set(letters))}
    print(f"landmark error, median of a hand's length: {100 * np.median(error[found]):.1f} %")
    print("  by letter: " + " ".join(f"{k} {100 * v:.1f}" for k, v in each.items()))
    per_point = np.median(np.linalg.norm(seen - true, axis=-1)[found] / length[found, None], 0)
    print("  by point: " + " ".join(f"{k}:{100 * v:.1f}" for k, v in enumerate(per_point)))
    side = (np.array(table.side.fillna("").tolist()) == np.array(shots.sides))[found]
    print(f"side right: {100 * side.mean():.1f} %")
    if options.photos is None:
        return

    real, manifest = photo_table(options.photos, options.cache)
    rx, ry, rfound = features(real)
    tune = manifest.source.isin(["davidlee", "keptsecret"]).to_numpy() & (manifest.split == "train").to_numpy()
    static = np.isin(y, list(STATIC)) & found
    groups = {"davidlee + keptsecret, train": rfound & tune}
    if options.all_sources:
        groups["all four sources"] = rfound
    for name, rows in groups.items():
        said = train(rx[rows], ry[rows]).predict(x[static])
        score = by_letter(y[static], said)
        print(
            f"trained on real ({name}), reads synthetic: {100 * np.mean(said == y[static]):.1f} %; {worst(score, 24)}"
        )
        print("  " + confusions(y[static], said, "".join(k for k, v in score.items() if v < 0.85)))
    model = train(x[static], y[static])
    parts = {
        "davidlee train": tune & (manifest.source == "davidlee"),
        "keptsecret train": tune & (manifest.source == "keptsecret"),
    }
    if options.all_sources:
        parts = {
            name: (manifest.source == name).to_numpy() for name in ("davidlee", "keptsecret", "massey", "t32rahman")
        }
    means = []
    for name, rows in parts.items():
        rows = np.asarray(rows) & rfound
        said = model.predict(rx[rows])
        score = by_letter(ry[rows], said)
        means.append(float(np.mean(said == ry[rows])))
        print(f"trained on synthetic, reads {name}: {100 * means[-1]:.1f} % of {rows.sum()}; {worst(score, 24)}")
        print("  " + confusions(ry[rows], said, "".join(k for k, v in score.items() if v < 0.7)))
    print(f"mean of the sources: {100 * np.mean(means):.1f} %")


if __name__ == "__main__":
    main()
