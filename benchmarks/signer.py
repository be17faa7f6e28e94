"""Measure the synthetic signer: is the hand found, are landmarks and shapes right, does it help, how fast is it drawn.

    python benchmarks/signer.py [--signers 20] [--views 2] [--seed 0] [--added 24]

The photos come from the data folder (``ASLLIB_DATA``). Without them only what needs none is measured. The judge of the
shapes is the project's own landmark network, preset ``best``. Results go to ``data/results/synthetic_signer.json``.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter

import numpy as np
import pandas as pd
from overlap import overlap

from asllib import load_letters
from asllib.data import leave_one_out
from asllib.data.letterset import LetterSet
from asllib.data.looks import Looks, track
from asllib.letters import LETTERS, STATIC
from asllib.networks import preset
from asllib.networks.landmark import look_probabilities
from asllib.results import save_result
from asllib.signer import render_letters
from asllib.train.loop import hand_examples, join, train

# Letter shapes were tuned on the training part of these two; the other two are only reported on.
TUNED_ON = ("davidlee", "keptsecret")


def by_letter(truth: np.ndarray, right: np.ndarray) -> dict[str, float]:
    return {letter: float(right[truth == letter].mean()) for letter in sorted(set(truth))}


def worst(scores: dict[str, float], n: int = 8) -> str:
    return " ".join(f"{letter} {100 * score:.0f}" for letter, score in sorted(scores.items(), key=lambda p: p[1])[:n])


def confused(truth: np.ndarray, said: np.ndarray) -> str:
    rows = ((letter, Counter(said[truth == letter])) for letter in sorted(set(truth)))
    rows = [(letter, count) for letter, count in rows if count[letter] < 0.8 * count.total()]
    return "; ".join(f"{letter}: " + " ".join(f"{k}{v}" for k, v in count.most_common(4)) for letter, count in rows)


def draw(signers: int, views: int, seed: int, letters: str = "".join(LETTERS)):
    """Photos with their truth, and the same as a set."""
    shots = render_letters(letters, signers, views, seed=seed)
    table = pd.DataFrame({"label": shots.labels, "source": "synthetic", "signer": shots.signers})
    names = [f"{k}" for k in range(len(shots))]
    table = table.assign(file=names, original=names, split="", synthetic=True)
    return shots, LetterSet("synthetic signer", table, shots.images, synthetic=True)


def landmark_error(shots, table: pd.DataFrame) -> np.ndarray:
    """(N, 21) distance of tracked and true points in the picture, as a part of the hand's length."""
    names = [f"{axis}{k}" for k in range(21) for axis in "xy"]
    seen, true = table[names].to_numpy(np.float32).reshape(-1, 21, 2), shots.landmarks[..., :2]
    # The hand's length: wrist to middle fingertip along the bones, however they are bent or turned.
    bones = np.linalg.norm(np.diff(shots.world[:, [0, 9, 10, 11, 12]], axis=1), axis=-1).sum(1)
    flat = np.linalg.norm(true[:, :, None] - true[:, None], axis=-1).max((1, 2))
    solid = np.linalg.norm(shots.world[:, :, None, :2] - shots.world[:, None, :, :2], axis=-1).max((1, 2))
    return np.linalg.norm(seen - true, axis=-1) / (bones * flat / solid)[:, None]


def overlaps(signers: int, seed: int) -> np.ndarray:
    """(signers, 26) millimetres by which one finger's skin lies inside another, as each signer makes each letter."""
    import torch

    from asllib.signer.hand import hand_shape, pose_hand, skin
    from asllib.signer.scene import draw_signer, letter_poses

    people = [draw_signer(seed, number) for number in range(signers)]
    deep = []
    for person, poses in zip(people, letter_poses(people, LETTERS), strict=True):
        shape = hand_shape([person.phenotype] * len(LETTERS))
        _, moves = pose_hand(shape, torch.as_tensor(poses, dtype=torch.float32))
        deep.append(1000 * overlap(skin(shape, moves).numpy()))
    return np.stack(deep)


def read(model, looks: Looks) -> np.ndarray:
    return np.array(STATIC)[look_probabilities(model, looks).argmax(1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signers", type=int, default=20)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--added", type=int, default=24, help="signers added to the photos, one source left out")
    options = parser.parse_args()
    out: dict = {"signers": options.signers, "views": options.views}

    render_letters("A", signers=1, views=1)
    start = time.perf_counter()
    shots, drawn = draw(options.signers, options.views, options.seed)
    out["pictures_per_second"] = len(shots) / (time.perf_counter() - start)
    out["memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{out['pictures_per_second']:.1f} pictures a second at 224x224, {out['memory_gb']:.2f} GB, {len(shots)} drawn"
    )

    deep = overlaps(options.signers, options.seed)
    out["overlap_below_2_mm"], out["overlap_most_mm"] = float((deep < 2).mean()), float(deep.max())
    print(f"fingers overlap by less than 2 mm: {100 * (deep < 2).mean():.1f} %, most {deep.max():.1f} mm; by letter:")
    print("  " + " ".join(f"{k} {most:.1f}" for k, most in zip(LETTERS, deep.max(0), strict=True) if most > 1))

    looks = track(drawn, progress=False)
    truth, first = drawn.letters, looks.tables[0]["score"].to_numpy() > 0
    out["hand_found"], out["hand_found_by_letter"] = float(first.mean()), by_letter(truth, first)
    print(f"hand found: {100 * first.mean():.1f} %; {worst(out['hand_found_by_letter'])}")
    error = landmark_error(shots, looks.tables[0])
    out["landmark_error"] = float(np.median(error[first].mean(1)))
    each = {k: float(np.median(error[first & (truth == k)].mean(1))) for k in sorted(set(truth))}
    out["landmark_error_by_letter"] = each
    print(f"landmark error, median part of a hand's length: {100 * out['landmark_error']:.1f} %")
    print("  " + " ".join(f"{k} {100 * v:.1f}" for k, v in each.items()))

    photos = load_letters("auto").only(STATIC)
    if photos.synthetic:
        return
    best = preset("landmark", "best")
    real, labels = track(photos), photos.labels()
    source = photos.table["source"].to_numpy(str)
    still = np.isin(truth, STATIC)
    seen = still & looks.found
    tuning = np.isin(source, TUNED_ON) & (photos.table["split"] == "train").to_numpy()
    for name, rows in (("the photos that shapes were tuned on", tuning), ("all photos", tuning | True)):
        model, _ = train(best, hand_examples(real.subset(rows), labels[rows]), seed=options.seed, progress=False)
        said = read(model, looks.subset(seen))
        score = by_letter(truth[seen], said == truth[seen])
        out[f"trained on {name}, reads synthetic"] = {"accuracy": float((said == truth[seen]).mean()), **score}
        print(f"trained on {name}, reads synthetic: {100 * (said == truth[seen]).mean():.1f} %; {worst(score, 24)}")
        print("  " + confused(truth[seen], said))

    drawn_labels = drawn.only(STATIC).labels()
    synthetic = hand_examples(looks.subset(still), drawn_labels)
    model, _ = train(best, synthetic, seed=options.seed, progress=False)
    said, means = read(model, real), {}
    for name in sorted(set(source)):
        rows = (source == name) & real.found
        score = by_letter(photos.letters[rows], said[rows] == photos.letters[rows])
        means[name] = float((said == photos.letters)[rows].mean())
        print(f"trained on synthetic, reads {name}: {100 * means[name]:.1f} % of {rows.sum()}; {worst(score, 24)}")
        print("  " + confused(photos.letters[rows], said[rows]))
        out[f"trained on synthetic, reads {name}"] = {"accuracy": means[name], **score}
    print(f"  mean of the sources: {100 * np.mean(list(means.values())):.1f} %")

    if options.added:
        _, more = draw(options.added, 4, options.seed + 1, "".join(STATIC))
        extra = hand_examples(track(more, progress=False), more.labels())
        rows = []
        for seed in range(3):
            for name, where in leave_one_out(photos, "source"):
                examples = hand_examples(real.subset(~where), labels[~where])
                for kind, fitted in (("photos", examples), ("photos and synthetic", join([examples, extra]))):
                    model, _ = train(best, fitted, seed=seed, progress=False)
                    right = (read(model, real.subset(where)) == photos.letters[where]) & real.found[where]
                    rows.append((kind, name, seed, right.mean()))
        table = pd.DataFrame(rows, columns=["trained on", "left out", "seed", "accuracy"])
        table = table.groupby(["trained on", "left out"])["accuracy"].mean().unstack()
        table["mean"] = table.mean(axis=1)
        print((100 * table).round(2))
        out["left_out"] = table.to_dict("index")
    print(save_result("synthetic_signer", out, photos, options.seed))


if __name__ == "__main__":
    main()
