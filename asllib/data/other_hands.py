"""Hands that show no letter, drawn by the synthetic signer: what a reader should refuse."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from asllib.cache import code_version
from asllib.data.letterset import LetterSet
from asllib.data.synthetic import SIZE, cached_drawing
from asllib.letters import STATIC

OTHER = "other"  # the label of a handshape without a name
APART = 18.0  # degrees, root mean square over the fingers' joints, from the nearest letter
# Fingers are put together from letters whose fingers are up, curved, hooked or folded, arms from those held up.
_FINGERS_OF = "ABCDEFIKLORUVWXY"
_ARMS_OF = "ABDIKLUVWY"
_WEIGHTS = np.array([1, 1, 0.5, 1.5] * 4 + [1] * 5)


def distance_to_letters(pose: np.ndarray) -> float:
    """Root mean square difference, in degrees, of a pose's finger and thumb angles from the nearest still letter's."""
    from asllib.signer.alphabet import LETTERS

    fingers = len(_WEIGHTS)
    shapes = np.array([LETTERS[letter].angles[:fingers] for letter in STATIC])
    return float(np.sqrt((((pose[:fingers] - shapes) * _WEIGHTS) ** 2).mean(1)).min())


def random_handshape(rng: np.random.Generator) -> np.ndarray:
    """(angles,) degrees: each finger bent as in some letter or at random, and the whole far from every letter."""
    from asllib.signer.alphabet import LETTERS

    def angles(letters: str) -> np.ndarray:
        return np.array(LETTERS[letters[rng.integers(len(letters))]].angles, np.float64)

    while True:
        pose = angles(_ARMS_OF)
        for finger in range(4):
            first = 4 * finger
            pose[first : first + 4] = angles(_FINGERS_OF)[first : first + 4]
            if rng.random() < 0.25:
                pose[first : first + 3] = rng.uniform([-5, 0, 0], [85, 100, 60])
        pose[16:21] = angles(_FINGERS_OF)[16:21]
        if rng.random() < 0.3:
            pose[16:21] = rng.uniform([0, 0, -10, 0, 0], [60, 60, 40, 50, 60])
        if rng.random() < 0.5:
            pose[21:] = rng.normal(0, [15, 10, 40, 40, 30, 20])
        if distance_to_letters(pose) > APART:
            return pose


def random_hands(signers: int, each: int = 18, seed: int = 11) -> LetterSet:
    """Draw random handshapes that are no letter, label ``OTHER``; later they are read from the cache."""
    rng = np.random.default_rng(seed)
    plan = [(number, OTHER, random_handshape(rng)) for number in range(signers) for _ in range(each)]
    return _drawn(f"random-{signers}x{each}-seed{seed}", plan, seed)


def named_hands(signers: int = 20, views: int = 3, seed: int = 12) -> LetterSet:
    """Draw the handshapes with a name that are no letter, as a relaxed hand or an open five, by the name as label.

    They measure what a reader refuses. No random hand was made after them, though one in 864 comes within 8 degrees of
    "ily" (finger angles as in ``distance_to_letters``), and within 14 to 18 of the others.
    """
    from asllib.signer.alphabet import OTHERS

    plan = [
        (number, name, np.array(shape.angles, np.float64))
        for number in range(signers)
        for name, shape in OTHERS.items()
        for _ in range(views)
    ]
    return _drawn(f"named-{signers}x{views}-seed{seed}", plan, seed)


def _drawn(name: str, plan: list[tuple[int, str, np.ndarray]], seed: int) -> LetterSet:
    return cached_drawing(
        f"{name}-{code_version(__file__)}", "hands that show no letter", lambda folder: _write(folder, plan, seed)
    )


def _write(folder: Path, plan: list[tuple[int, str, np.ndarray]], seed: int, batch: int = 64) -> None:
    import cv2
    from tqdm.auto import tqdm

    from asllib.signer.alphabet import clip_to_limits, draw_habit
    from asllib.signer.render import photograph
    from asllib.signer.scene import draw_shot, draw_signer

    rows = [("file", "label", "source", "signer", "original")]
    with tqdm(total=len(plan), unit="photo", desc="Drawing hands") as bar:
        for start in range(0, len(plan), batch):
            part = plan[start : start + batch]
            numbers = list(dict.fromkeys(number for number, _, _ in part))
            people = {number: draw_signer(seed, number) for number in numbers}
            poses, shots, seeds = [], [], []
            for place, (number, _, pose) in enumerate(part, start):
                rng = np.random.default_rng([seed, number, place])
                poses.append(clip_to_limits(pose + np.array(people[number].habit) + draw_habit(rng, 0.35)))
                shots.append(draw_shot(rng))
                seeds.append(int(rng.integers(2**31)))
            images, _, _ = photograph(
                np.stack(poses),
                [people[number] for number, _, _ in part],
                shots,
                (SIZE, SIZE),
                seeds,
                steps=30,
            )
            for place, (image, (number, label, _)) in enumerate(zip(images, part, strict=True), start):
                file = f"{place:05d}.jpg"
                _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
                (folder / file).write_bytes(data.tobytes())
                rows.append((file, label, "synthetic", people[number].name, Path(file).stem))
            bar.update(len(part))
    with (folder / "manifest.csv").open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
