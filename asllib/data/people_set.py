"""The set ``people``: letters by signers who are in no other set, as photos and as landmark sequences.

Its own split keeps signers apart: "train" is learned from, "valid" chooses and is never learned from. There is no test.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from asllib.data.letterset import LetterSet, load_photos
from asllib.errors import InputError
from asllib.files import inside, read_csv
from asllib.hands.landmarks import image_columns, world_columns
from asllib.paths import data_dir

WRONG = Path(__file__).with_name("people_labels.csv")  # file, label, seen, reason: looked at, and left out
CROWDS = ("davidlee",)  # sources whose photos are by many people without ids: each original is taken for a signer
FPS = 20.0  # frames a second of the filmed sequences, which do not say it: 15 to 30


def find_people() -> Path | None:
    """Folder ``people`` in the data folder, or None."""
    folder = data_dir() / "people"
    return folder if (folder / "photos" / "manifest.csv").is_file() else None


def _people() -> Path:
    folder = find_people()
    if folder is None:
        raise InputError(f"no people in {data_dir() / 'people'}; data/README.md says where they come from")
    return folder


def load_people(folder: Path | None = None) -> LetterSet:
    """Load the photos of ``people`` without those that show another letter than their label says.

    Their table has two more columns, ``licence`` and ``repository``; ``split`` is "train" or "valid". InputError if
    they are not here, or a signer is both in "train" and in "valid".
    """
    folder = folder or _people()
    letters = load_photos(folder / "photos", "people")
    more = read_csv(folder / "photos" / "manifest.csv")
    table = letters.table.assign(**{name: more[name] for name in ("licence", "repository") if name in more})
    if not signers_apart(table):
        raise InputError(f"{folder}: a signer is in no split or in two; 'valid' would be learned from")
    known = ~table["file"].isin(wrong_labels()["file"]).to_numpy()
    return dataclasses.replace(letters, table=table).subset(known)


def wrong_labels() -> pd.DataFrame:
    """Photos of ``people`` that are left out: ``file, label, seen, reason``; seen is a letter, or "" for none."""
    return read_csv(WRONG)


def signers_apart(table: pd.DataFrame) -> bool:
    """Tell whether a set's own split has a part for every item, and no signer in two parts."""
    signer = table["source"] + "/" + table["signer"]
    several = table["split"].nunique() > 1
    return bool(several and (table["split"] != "").all() and (table.groupby(signer)["split"].nunique() == 1).all())


def signer_weights(table: pd.DataFrame) -> np.ndarray:
    """Weigh items so that not a photo but a signer's letter counts: (N,) float, 1 on average.

    The photos of a letter by one signer share one weight. Of a crowd without ids each original counts as a signer;
    several recordings from one repository, n, count as their root.
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
    still: bool  # taken from photos, a frame each
    aspect: float  # width / height of the frames
    letters: np.ndarray  # (N,) A-Z
    left: np.ndarray  # (N,) bool: a left hand
    landmarks: np.ndarray  # (N, T, 21, 3) float32 as in ``Hand``; NaN where no hand was found

    def __len__(self) -> int:
        return len(self.letters)

    def table(self, every: int = 1) -> pd.DataFrame:
        """A landmark table, a row for each frame or every so many: world points are NaN, signer and split come last."""
        clips, frames = np.mgrid[: len(self), 0 : self.landmarks.shape[1] : every].reshape(2, -1)
        points = self.landmarks[clips, frames].reshape(len(clips), -1)
        side = np.where(self.left[clips], "left", "right")
        file = [f"{self.file}/{clip}/{frame}" for clip, frame in zip(clips, frames, strict=True)]
        score = np.isfinite(points[:, 0]).astype(np.float32)
        about = pd.DataFrame({"file": file, "label": self.letters[clips], "side": side, "score": score})
        image = pd.DataFrame(points, columns=image_columns())
        world = pd.DataFrame(np.full_like(points, np.nan), columns=world_columns())
        size = pd.DataFrame({"width": round(1200 * self.aspect), "height": 1200}, index=about.index)
        more = pd.DataFrame({"signer": self.signer, "split": self.split}, index=about.index)
        return pd.concat([about, image, world, size, more], axis=1)


def load_sequences(split: str, folder: Path | None = None) -> list[Sequences]:
    """Load the landmark sequences of ``people``, "train" or "valid", a signer's file each; repeated ones are left out.

    InputError if they are not here, or a file is damaged.
    """
    root = (folder or _people()) / "motion"
    manifest = read_csv(root / "manifest.csv")
    if split not in set(manifest["split"]):
        raise InputError(f"split {split!r}; {root} has {', '.join(sorted(set(manifest['split'])))}")
    found: dict[bytes, Sequences] = {}
    for number, row in enumerate(manifest.to_dict("records"), 1):
        if row["split"] == split:
            path = inside(root, row["file"], f"{root / 'manifest.csv'}: row {number}")
            sequences = _read(path, **{name: row[name] for name in ("signer", "split", "licence", "repository")})
            found.setdefault(sequences.landmarks.tobytes(), sequences)
    return list(found.values())


def join_tables(parts: Sequence[Sequences], every: int = 1) -> pd.DataFrame:
    """One landmark table of several signers' frames that show a hand, see ``Sequences.table``.

    It has the columns of a ``LetterSet``'s table too: a clip is an original.
    """
    tables = []
    for part in parts:
        table = part.table(every)
        clip = part.file + "/" + table["file"].str.split("/").str[-2]
        tables.append(table.assign(source="people", original=clip, licence=part.licence, repository=part.repository))
    joined = pd.concat(tables, ignore_index=True)
    return joined[joined["score"] > 0].reset_index(drop=True)


def _read(path: Path, **about: str) -> Sequences:
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = {name: stored[name] for name in ("landmarks", "letter", "side", "aspect", "still")}
    except Exception as error:  # zip, NumPy and a missing name raise many types; all mean the same here
        raise InputError(f"{path}: not a readable file of landmarks ({error}); get it again") from None
    landmarks = values["landmarks"].astype(np.float32)
    n = len(values["letter"])
    if landmarks.ndim != 4 or landmarks.shape[2:] != (21, 3) or len(landmarks) != n or len(values["side"]) != n:
        raise InputError(f"{path}: landmarks {landmarks.shape} for {n} letters; (N, T, 21, 3) is expected")
    letters, left = values["letter"].astype(str), values["side"] == "left"
    more = {"still": bool(values["still"]), "aspect": float(values["aspect"]), "letters": letters, "left": left}
    return Sequences(file=path.name, landmarks=landmarks, **more, **about)
