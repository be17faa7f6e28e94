"""Check a set of letters for faults before a network learns from it."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from asllib.data.letterset import LetterSet
from asllib.errors import InputError
from asllib.files import Images
from asllib.hands.landmarks import landmark_arrays
from asllib.hands.pixels import resize, to_gray
from asllib.letters import STATIC
from asllib.paths import digest

THUMB = 14  # side in pixels of the small pictures that are compared
NEAR = 0.97  # correlation above which two of them show the same photo; see `near_duplicate_groups`
BORDER = 0.02  # fraction of width and height; a hand nearer than this touches the border
FOREIGN = 0.5  # a class looks foreign below this fraction of the median class's agreement


@dataclass(frozen=True)
class Audit:
    """The findings on one set; ``lines`` gives them as text."""

    name: str
    rows: int
    counts: dict[str, int]  # items by letter or sign
    missing: tuple[str, ...]  # still letters without an item
    unexpected: tuple[str, ...]  # labels that are no letters, and J and Z, which a still image cannot show
    imbalance: float  # largest class over smallest
    value_range: tuple[int, int]  # darkest and brightest value
    exact: int  # items whose image occurs more than once
    near: int  # items with an exact or near duplicate
    copies: int  # items per photo: the median size of the groups of near duplicates, singles included
    # Estimated number of different photos: one per group. If photos have copies, a group of several times the usual
    # size counts as several similar photos, and a group of less than half the usual size does not count.
    originals: int
    # Pairs of parts of the set's own split -> share of the second's items with a near duplicate in the first.
    across: dict[str, float]
    # The same pairs, if a group is in both parts -> the fewest items of such a group in one part. If this is the number
    # of copies of a photo, the split kept photos whole, and the similar photos are different photos.
    least_shared: dict[str, int]
    conflicts: int  # exact duplicates with different labels
    foreign: tuple[str, ...]  # letters that a recogniser reads as something else far more often than the others
    agreement: dict[str, float]  # share of each letter's items that the recogniser reads as that letter
    tight: int | None  # photos whose hand touches the border, which a tracker finds badly; None: not checked
    no_hand: int | None  # photos in which no hand was found; None: not checked

    def lines(self) -> list[str]:
        """The report, one finding a line."""
        each = f", {self.copies} images each" if self.copies > 1 else ""
        report = [
            f"{self.name}: {self.rows:,} images, {len(self.counts)} signs",
            f"still letters missing: {', '.join(self.missing) or 'none'}; "
            f"labels beyond them: {', '.join(self.unexpected) or 'none'}",
            f"images a sign: {min(self.counts.values())} to {max(self.counts.values())} "
            f"(largest / smallest = {self.imbalance:.1f})",
            f"values: {self.value_range[0]} to {self.value_range[1]}",
            f"exact duplicates: {self.exact:,}, of them with different labels: {self.conflicts:,}",
            f"near duplicates: {self.near:,}; about {self.originals:,} different photos{each}",
        ]
        for parts, share in self.across.items():
            least = self.least_shared.get(parts)
            fewest = "" if least is None else f"; every group on both sides has at least {least} images on either"
            report.append(f"near duplicates across splits: {share:.1%} of {parts}{fewest}")
        if self.agreement:
            foreign = ", ".join(f"{name} ({self.agreement[name]:.0%} read as it)" for name in self.foreign)
            report.append(f"classes that look foreign: {foreign or 'none'}")
        if self.no_hand is not None:
            report.append(f"photos cropped tight, the hand touches the border: {self.tight:,}")
            report.append(f"photos without a hand: {self.no_hand:,}")
        return report


def audit(letters: LetterSet, predictions: ArrayLike | None = None, landmarks: pd.DataFrame | None = None) -> Audit:
    """Check a set of letters, by a recogniser's ``predictions`` (N,), "" for none, and its landmark table if given."""
    counts = {str(name): int(count) for name, count in letters.table["label"].value_counts().sort_index().items()}
    images = (letters.images[i] for i in range(len(letters)))  # each is read once
    looks = [(thumbnails([image]), digest("", image), int(image.min()), int(image.max())) for image in images]
    thumbs, digests, lowest, highest = zip(*looks, strict=True)
    same = pd.Series(letters.letters).groupby(np.array(digests))
    repeated, labels = same.transform("size") > 1, same.transform("nunique")
    group = near_duplicate_groups(np.concatenate(thumbs))
    sizes = np.bincount(group)
    usual = int(np.median(sizes))
    across, least_shared = _across(letters.table["split"].to_numpy(str), group)
    shares = {} if predictions is None else agreement(letters.letters, np.asarray(predictions, str))
    return Audit(
        name=letters.name,
        rows=len(letters),
        counts=counts,
        missing=tuple(name for name in STATIC if name not in counts),
        unexpected=tuple(name for name in counts if name not in STATIC),
        imbalance=max(counts.values()) / min(counts.values()),
        value_range=(min(lowest), max(highest)),
        exact=int(repeated.sum()),
        near=int((sizes[group] > 1).sum()),
        copies=usual,
        originals=len(sizes) if usual == 1 else int(np.floor(sizes / usual + 0.5).sum()),
        across=across,
        least_shared=least_shared,
        conflicts=int((labels > 1).sum()),
        foreign=foreign_classes(shares),
        agreement=shares,
        tight=None if landmarks is None else int(touches_border(landmarks).sum()),
        no_hand=None if landmarks is None else int((landmarks["score"] == 0).sum()),
    )


def readable(letters: LetterSet) -> tuple[LetterSet, list[str]]:
    """The photos that can be read, and a line for each other photo; InputError if none is left."""
    faults = {}
    for i in range(len(letters)):
        try:
            letters.images[i]
        except InputError as error:
            faults[i] = str(error)
    if len(faults) == len(letters):
        raise InputError(f"{letters.name}: none of its {len(letters)} images can be read: {faults[0]}")
    return letters.subset(np.delete(np.arange(len(letters)), list(faults))), list(faults.values())


def thumbnails(images: Images) -> np.ndarray:
    """Shrink images to (N, 14, 14) float32 grey pictures for comparing."""
    return np.stack([resize(to_gray(images[i]), THUMB).astype(np.float32) for i in range(len(images))])


def near_duplicate_groups(thumbs: np.ndarray, chunk: int = 512) -> np.ndarray:
    """Group images that look like changed copies of one photo: (N,) the number of each image's group, from 0.

    Images are linked if their ``thumbnails`` (N, 14, 14) correlate above ``NEAR``, whatever their brightness and
    contrast. Groups are the connected components. ``chunk`` rows are compared at a time, which bounds the memory.
    """
    flat = torch.as_tensor(thumbs).flatten(1)
    flat = torch.nn.functional.normalize(flat - flat.mean(1, keepdim=True), dim=1)
    everyone = np.arange(len(flat))
    group = everyone
    for start in range(0, len(flat), chunk):
        alike = flat[start : start + chunk] @ flat[start:].T  # only later images: the relation is symmetric
        left, right = (torch.nonzero(alike > NEAR).T + start).numpy()
        # Link each image to the first of its group so far.
        first = np.unique(group, return_index=True)[1]
        left, right = np.concatenate([everyone, left]), np.concatenate([first[group], right])
        graph = coo_matrix((np.ones(len(left), bool), (left, right)), shape=(len(flat), len(flat)))
        group = connected_components(graph, directed=False)[1]
    return group


def touches_border(landmarks: pd.DataFrame) -> np.ndarray:
    """(N,) bool: a landmark lies within 2 % of the image's border or beyond it; False where no hand was found."""
    places = landmark_arrays(landmarks)["landmarks"][..., :2]
    return np.asarray(((places < BORDER) | (places > 1 - BORDER)).any((1, 2)))


def foreign_classes(shares: dict[str, float]) -> tuple[str, ...]:
    """Name the classes whose agreement is less than half of the set's median."""
    return tuple(name for name, share in shares.items() if share < FOREIGN * np.median([*shares.values()]))


def agreement(letters: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Share of each still letter's items, labels (N,) and predictions (N,), that are read as that letter."""
    return {name: float((predictions[letters == name] == name).mean()) for name in STATIC if name in letters}


def _across(split: np.ndarray, group: np.ndarray) -> tuple[dict[str, float], dict[str, int]]:
    counts = pd.crosstab(group, split)
    shares, least = {}, {}
    for earlier, later in combinations([name for name in ("train", "valid", "test") if name in counts], 2):
        both = counts.loc[(counts[earlier] > 0) & (counts[later] > 0), [earlier, later]]
        shares[f"{later} in {earlier}"] = float(both[later].sum() / counts[later].sum())
        if len(both):
            least[f"{later} in {earlier}"] = int(both.to_numpy().min())
    return shares, least
