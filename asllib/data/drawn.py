"""The synthetic signer as a data set: photos, 28x28 images like Sign Language MNIST's, hands that show no letter."""

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from asllib.config import profile
from asllib.data.letterset import LetterSet, load_photos
from asllib.errors import InputError
from asllib.files import PhotoFiles
from asllib.hands import pixels
from asllib.hands.landmarks import read_landmarks
from asllib.hands.tracker import table_hands
from asllib.letters import LETTERS, STATIC
from asllib.paths import cache_dir, code_version, kept, replacing
from asllib.signer import letters as drawing
from asllib.signer import write_letters
from asllib.signer.alphabet import POSES

SIZE = 224  # pixels of a side
SEED, ADDED_SEED = 0, 1  # of different people
NAME = "synthetic signer"
OTHER = "other"  # the label of a handshape without a name
APART = 18.0  # degrees, root mean square over the fingers' joints, from the nearest letter


def load_synthetic(pixels: bool = False) -> LetterSet:
    """Draw the synthetic signer's set, as large as the profile says, once; later it is read from the cache.

    It has photos of 26 letters; ``pixels`` gives (N, 28, 28) grey images of the 24 still ones, the hand alone. Their
    ``split`` is "test" for the last quarter of the signers, and "train" for the others and, by the profile, for more.
    """
    size = profile()
    letters = _drawn_once("", LETTERS, size.signers, size.views, SEED)
    if not pixels:
        return letters
    table, images = drawn_pixels(letters)
    signers = pd.unique(table["signer"])
    unseen = table["signer"].isin(signers[-max(1, len(signers) // 4) :])
    table["split"] = np.where(unseen, "test", "train")
    if size.added:
        more, more_images = drawn_pixels(added_letters(size.added))
        table = pd.concat([table, more.assign(split="train")], ignore_index=True)
        images = np.concatenate([images, more_images])
    return dataclasses.replace(letters, table=table, images=images)


def added_letters(signers: int, views: int = 4) -> LetterSet:
    """Draw still letters of other people than ``load_synthetic``'s, to be added to photos in training; once."""
    return _drawn_once("added-", STATIC, signers, views, ADDED_SEED)


def _drawn_once(kind: str, letters: Sequence[str], signers: int, views: int, seed: int) -> LetterSet:
    def write(folder: Path) -> None:
        count = len(letters) * signers * views
        print(f"Drawing {count:,} pictures, once; they are kept in the cache.", file=sys.stderr)
        write_letters(folder, "".join(letters), signers, views, SIZE, seed)

    return cached_drawing(f"{kind}{signers}x{views}-{SIZE}-seed{seed}", NAME, write)


def drawn_pixels(letters: LetterSet) -> tuple[pd.DataFrame, np.ndarray]:
    """Crop every still letter of a drawn set by its true landmarks: the letters' table and (N, 28, 28) uint8 images."""
    assert isinstance(letters.images, PhotoFiles)
    folder = letters.images.root
    keep = np.flatnonzero(np.isin(letters.letters, STATIC))
    stored = folder / f"hands-{code_version(pixels.__file__)}.npy"

    def write(stored: Path) -> None:
        hands = table_hands(read_landmarks(folder / "landmarks.csv"))
        np.save(stored, np.stack([pixels.to_pixels(letters.images[i], hands[i]) for i in keep]))

    return letters.table.iloc[keep].reset_index(drop=True), kept(stored, write, np.load)


def cached_drawing(key: str, name: str, write: Callable[[Path], object]) -> LetterSet:
    """Load a folder of drawn photos from the cache; ``write`` fills it if it is not there."""

    def fill(folder: Path) -> None:
        folder.mkdir()
        write(folder)

    return kept(cache_dir() / "synthetic" / f"{key}-{signer_version()}", fill, partial(load_photos, name=name))


def signer_version() -> str:
    """Hash of the signer's code and handshapes: another signer draws other pictures and films."""
    return code_version(*sorted((Path(__file__).resolve().parents[1] / "signer").glob("*.*")))


# Fingers are put together from letters whose fingers are up, curved, hooked or folded, arms from those held up.
_FINGERS_OF = "ABCDEFIKLORUVWXY"
_ARMS_OF = "ABDIKLUVWY"
_WEIGHTS = np.array([1, 1, 0.5, 1.5] * 4 + [1] * 5)


def distance_to_letters(pose: np.ndarray) -> float:
    """Root mean square difference, in degrees, of a pose's finger and thumb angles from the nearest still letter's."""
    fingers = len(_WEIGHTS)
    shapes = np.array([shape[:fingers] for name, shape in POSES.items() if name.split()[0] in STATIC])
    return float(np.sqrt((((pose[:fingers] - shapes) * _WEIGHTS) ** 2).mean(1)).min())


def random_handshape(rng: np.random.Generator) -> np.ndarray:
    """(angles,) degrees: each finger bent as in some letter or at random, and the whole far from every letter."""

    def angles(letters: str) -> np.ndarray:
        return POSES[letters[rng.integers(len(letters))]].copy()

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
    """Draw random handshapes that are no letter, label ``OTHER``: what a reader should reject; once."""
    rng = np.random.default_rng(seed)
    plan = [(number, OTHER, random_handshape(rng)) for number in range(signers) for _ in range(each)]
    return draw_hands(f"random-{signers}x{each}-seed{seed}", plan, seed)


def draw_hands(name: str, plan: Sequence[tuple[int, str, np.ndarray]], seed: int) -> LetterSet:
    """Photograph hands that show no letter, each a signer's number, a label and a pose (angles,) in degrees; once."""

    def write(folder: Path) -> None:
        from asllib.signer.scene import draw_signer

        people = {number: draw_signer(seed, number) for number in dict.fromkeys(number for number, _, _ in plan)}
        rows = ["file,label,source,signer,original"]
        with tqdm(total=len(plan), unit="photo", desc="Drawing hands") as bar:
            for start in range(0, len(plan), drawing.BATCH):
                part = plan[start : start + drawing.BATCH]
                shown = [people[number] for number, _, _ in part]
                poses = np.stack([pose + who.habit for who, (_, _, pose) in zip(shown, part, strict=True)])
                streams = [np.random.default_rng([seed, part[k][0], start + k]) for k in range(len(part))]
                images, _, _ = drawing.photograph_each(poses, shown, streams, SIZE, steps=30)
                for k, (image, who) in enumerate(zip(images, shown, strict=True)):
                    original = f"{start + k:05d}"
                    (folder / f"{original}.jpg").write_bytes(drawing.jpeg(image))
                    rows.append(f"{original}.jpg,{part[k][1]},synthetic,{who.name},{original}")
                bar.update(len(part))
        (folder / "manifest.csv").write_bytes("\n".join([*rows, ""]).encode())

    return cached_drawing(f"{name}-{code_version(__file__)}", "hands that show no letter", write)


def draw_letters(out: str | os.PathLike[str], letters: str, signers: int, views: int, size: int, seed: int) -> Path:
    """Write the folder of ``asllib.signer.write_letters``, whole or not at all; InputError if it is there already."""
    out = Path(out)
    if out.resolve() == Path.cwd():
        raise InputError(f"{out}: the folder that you are in; name a new folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; name a new folder")
    drawing.check_letters(letters, signers, views, size, seed)
    with replacing(out) as folder:  # half a set would pass for a whole one
        write_letters(folder, letters, signers, views, size, seed)
    return out
