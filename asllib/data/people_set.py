"""The set ``people``: letters by signers who are in no other set, as photos and as landmark sequences.

Its own split separates signers: "train" is for training, "valid" only for choosing. There is no test part.
"""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from asllib.data.letterset import LetterSet, load_photos
from asllib.errors import InputError
from asllib.files import inside, read_csv
from asllib.hands.landmarks import image_columns, world_columns
from asllib.paths import data_dir

WRONG = Path(__file__).with_name("people_labels.csv")  # photos left out: file, label, seen ("" for no letter), reason
CROWDS = ("davidlee",)  # sources of many people without ids: each original counts as a signer


def find_people() -> Path | None:
    """Folder ``people`` in the data folder, or None."""
    folder = data_dir() / "people"
    return folder if (folder / "photos" / "manifest.csv").is_file() else None


def _people() -> Path:
    if (folder := find_people()) is None:
        raise InputError(f"no people in {data_dir() / 'people'}; data/README.md says where they come from")
    return folder


def load_people() -> LetterSet:
    """Load the photos of ``people``, "train" and "valid", without those that do not show their letter.

    The table also has ``licence`` and ``repository``. InputError if the set is missing, or a signer is in both parts.
    """
    folder = _people()
    letters = load_photos(folder / "photos", "people")
    more = read_csv(folder / "photos" / "manifest.csv")
    table = letters.table.assign(**{name: more[name] for name in ("licence", "repository") if name in more})
    if not signers_apart(table):
        raise InputError(f"{folder}: a signer is in no split or in two; give each one, train or valid")
    known = ~table["file"].isin(read_csv(WRONG)["file"]).to_numpy()
    return dataclasses.replace(letters, table=table).subset(known)


def signers_apart(table: pd.DataFrame) -> bool:
    """Tell whether a set's own split has a part for every item, and no signer in two parts."""
    signer = table["source"] + "/" + table["signer"]
    several = table["split"].nunique() > 1
    return bool(several and (table["split"] != "").all() and (table.groupby(signer)["split"].nunique() == 1).all())


def signer_weights(table: pd.DataFrame) -> np.ndarray:
    """Weights (N,) float, 1 on average, that give each letter of each signer the same weight, whatever its photos.

    In a source of many people without ids each original is a signer; n signers of one repository count as sqrt(n).
    """
    crowd = table["source"].isin(CROWDS)
    signer = table["source"] + "/" + table["signer"].where(~crowd, table["original"])
    weight = 1 / signer.groupby([signer, table["label"]]).transform("size")
    if "repository" in table:
        of_one = signer.groupby([table["source"], table["repository"]]).transform("nunique")
        weight /= np.sqrt(of_one.where(table["repository"].fillna("") != "", 1))
    return (weight / weight.mean()).to_numpy(np.float64)


@dataclass(frozen=True)
class Sequences:
    """Signs by one signer as landmarks of N clips of T frames, without world points and pictures."""

    file: str
    signer: str
    split: str
    licence: str
    repository: str
    still: bool  # from photos, one frame each
    aspect: float  # width / height of the frames
    letters: np.ndarray  # (N,) A-Z
    left: np.ndarray  # (N,) bool: a left hand
    landmarks: np.ndarray  # (N, T, 21, 3) float32 as in ``Hand``; NaN where no hand was found

    def __len__(self) -> int:
        return len(self.letters)


def load_sequences(split: str) -> list[Sequences]:
    """Load the landmark sequences of ``people``, "train" or "valid", one file per signer, without duplicates."""
    root = _people() / "motion"
    manifest = read_csv(root / "manifest.csv")
    if split not in set(manifest["split"]):
        raise InputError(f"split {split!r}; {root} has {', '.join(sorted(set(manifest['split'])))}")
    found: dict[bytes, Sequences] = {}
    for number, row in enumerate(manifest.to_dict("records"), 1):
        if row["split"] == split:
            path = inside(root, row["file"], f"{root / 'manifest.csv'}: row {number}")
            sequences = _read(path, row)
            found.setdefault(sequences.landmarks.tobytes(), sequences)
    return list(found.values())


def _read(path: Path, about: Mapping[Hashable, str]) -> Sequences:
    try:
        with np.load(path, allow_pickle=False) as stored:
            landmarks, letters = stored["landmarks"].astype(np.float32), stored["letter"].astype(str)
            left, still, aspect = stored["side"] == "left", bool(stored["still"]), float(stored["aspect"])
            if landmarks.shape[2:] != (21, 3) or not len(landmarks) == len(left) == len(letters):
                raise ValueError(f"landmarks {landmarks.shape} for {len(letters)} letters")
    except Exception as error:  # zip, NumPy and a missing name raise many types, all with the same meaning
        raise InputError(f"{path}: not a readable file of landmarks ({error}); get it again") from None
    names = about["signer"], about["split"], about["licence"], about["repository"]
    return Sequences(path.name, *names, still, aspect, letters, left, landmarks)


def join_tables(parts: Sequence[Sequences], every: int = 1) -> pd.DataFrame:
    """One landmark table of all frames with a hand, or of every n-th, of several signers; world points are NaN.

    It also has the columns of a ``LetterSet``'s table (each clip is an original), licence and repository.
    """
    tables = []
    for part in parts:
        clips, frames = np.mgrid[: len(part), 0 : part.landmarks.shape[1] : every].reshape(2, -1)
        points = part.landmarks[clips, frames].reshape(len(clips), -1)
        table = pd.DataFrame(points, columns=image_columns()).assign(**dict.fromkeys(world_columns(), np.nan))
        original = [f"{part.file}/{clip}" for clip in clips]
        tables.append(
            table.astype(np.float32).assign(
                file=[f"{clip}/{frame}" for clip, frame in zip(original, frames, strict=True)], original=original,
                label=part.letters[clips], side=np.where(part.left[clips], "left", "right"), source="people",
                score=np.isfinite(points[:, 0]).astype(np.float32), width=round(1200 * part.aspect), height=1200,
                **{name: getattr(part, name) for name in ("signer", "split", "licence", "repository")},
            )
        )  # fmt: skip
    joined = pd.concat(tables, ignore_index=True)
    return joined[joined["score"] > 0].reset_index(drop=True)
