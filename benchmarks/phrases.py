"""How well phrases that Deaf people spell are read, and training with them.

    python benchmarks/phrases.py FOLDER [--model spelling] [--split NAME] [--json FILE]
    python benchmarks/phrases.py FOLDER --train OUT

FOLDER has the layout of Kaggle's "Google - American Sign Language Fingerspelling Recognition": ``train.csv``,
``supplemental_metadata.csv`` or both, and Parquet files with two hands. A column ``split`` that you add may give the
part of each phrase. The first use reports character error rates, with intervals over signers. The second trains
``spelling`` with the phrases, if the set has parts only with those in "train", and writes the run folder OUT; the same
command goes on after a stop.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scoring import count_others, letters_of, spelling_lines, spelling_report
from tqdm import tqdm

from asllib.errors import InputError
from asllib.files import inside, read_csv, read_parquet
from asllib.hands.stream import Stream
from asllib.networks import preset
from asllib.networks.spelling import SIGNS
from asllib.networks.store import check_new_run, load_model
from asllib.paths import write_text
from asllib.read.reader import load_network
from asllib.read.recognizer import Recognizer
from asllib.read.videos import read_stream
from asllib.results import versions
from asllib.train.clips import IGNORE, Clip, film_clip
from asllib.train.run import write_run
from asllib.train.spelling import train_spelling

FPS = 30.0  # frames a second of the films behind the tables
ASPECT = 3 / 4  # width / height of an upright phone's selfie camera, which the tables do not give
SIDES = ("right", "left")  # if both hands are seen equally often, the first spells
TABLES = ("train.csv", "supplemental_metadata.csv")
_NAMES = {"path": "file", "sequence_id": "sequence", "phrase": "text", "participant_id": "signer"}  # Kaggle's -> ours
_POINTS = [f"{axis}_{side}_hand_{i}" for side in SIDES for i in range(21) for axis in "xyz"]


@dataclasses.dataclass(frozen=True)
class Phrases:
    """Phrases in files, which are read on access."""

    folder: Path
    table: pd.DataFrame  # one row per phrase, sorted by file: text columns file, sequence, text, signer, split

    def __len__(self) -> int:
        return len(self.table)

    @property
    def plain(self) -> np.ndarray:
        """(N,) bool: the phrase has only letters and spaces, and at least one letter."""
        return self.table["text"].str.fullmatch(" *[A-Za-z][A-Za-z ]*").to_numpy(bool)

    @property
    def learnable(self) -> np.ndarray:
        """(N,) bool: plain phrases, if the set has its own split only those in "train"."""
        # Other phrases would teach that digits mean nothing, although a 2 has the handshape of V.
        return self.plain & self.table["split"].isin(["", "train"]).to_numpy(bool)

    def subset(self, which: np.ndarray) -> Phrases:
        """Take the phrases of a boolean mask."""
        return dataclasses.replace(self, table=self.table[which].reset_index(drop=True))

    def sha256(self) -> str:
        """Hash of the table alone, since the landmarks are too large."""
        return hashlib.sha256(self.table.to_csv(index=False).encode()).hexdigest()

    def streams(self) -> Iterator[Stream]:
        """Yield the hand of each phrase, with its letters as ``word``; of two hands the one seen more often.

        There are no world landmarks. InputError names a file that is damaged or lacks a sequence of the table.
        """
        for file, rows in self.table.groupby("file", sort=False):
            sequences = _sequences(self.folder / str(file), rows["sequence"])
            for row, (points, times) in zip(rows.itertuples(), sequences, strict=True):
                seen = np.isfinite(points).all((2, 3))  # (F, 2)
                side = int(seen[:, 1].sum() > seen[:, 0].sum())
                landmarks = np.where(seen[:, side, None, None], points[:, side], np.float32(np.nan))
                world, left = np.full_like(landmarks, np.nan), np.full(len(times), SIDES[side] == "left")
                word = letters_of(str(row.text))
                yield Stream(times, landmarks, world, left, ASPECT, word, signer=str(row.signer))


def _sequences(path: Path, wanted: Iterable[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Points of both hands (F, 2, 21, 3) and times of each wanted sequence of a file."""
    table = read_parquet(path, ["sequence_id", "frame", *_POINTS])
    try:
        points = table[_POINTS].to_numpy(np.float32).reshape(-1, 2, 21, 3)
        frames = table["frame"].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: landmarks and frames are numbers ({error}); get the file again") from None
    places = table.groupby(table["sequence_id"].astype(str)).indices
    for sequence in wanted:
        rows = places.get(sequence, np.array([], int))
        if not len(rows) or (np.diff(frames[rows]) <= 0).any():
            raise InputError(f"{path}: sequence {sequence} has no frames, or none that increase; get it again")
        yield points[rows], frames[rows] / FPS


def load_phrases(folder: Path) -> Phrases:
    """Load a folder of phrases.

    InputError if there are no phrases, a column is missing, or a named file is missing or outside the folder.
    """
    tables = [_read_table(folder / name) for name in TABLES if (folder / name).is_file()]
    if not tables:
        raise InputError(f"{folder}: no phrases; name a folder with {' or '.join(TABLES)}")
    table = pd.concat(tables).sort_values("file", kind="stable", ignore_index=True)
    if table.empty:
        raise InputError(f"{folder}: its table is empty")
    return Phrases(folder, table)


def _read_table(path: Path) -> pd.DataFrame:
    table = read_csv(path)
    missing = [name for name in _NAMES if name not in table]
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing; it has {', '.join(table.columns)}")
    table = table.rename(columns=_NAMES)
    for file in table["file"].unique():
        inside(path.parent, file, str(path))
    return table.reindex(columns=["file", "sequence", "text", "signer", "split"], fill_value="")


def measure(folder: Path, model: str = "spelling", split: str | None = None) -> dict[str, Any]:
    """Read the phrases of a folder, or of one part.

    The result has a ``spelling_report`` of all letters, one for "plain" phrases that have only letters and spaces, and
    counts of the "others": digits and other characters, which are read as some letter or not at all. InputError if
    there are no phrases, or the network needs pictures.
    """
    phrases, network = load_phrases(folder), load_network(model)
    chosen = np.full(len(phrases), True) if split is None else (phrases.table["split"] == split).to_numpy(bool)
    if not chosen.any():
        raise InputError(f"{folder}: no phrase in split {split!r}")
    learned = {} if isinstance(network, Recognizer) else load_model(model)[1].get("data", {}).get("phrases", {})
    known = learned.get("sha256") == phrases.sha256()
    seen = min(int((phrases.learnable & chosen).sum()), learned["learned"]) if known else 0
    phrases = phrases.subset(chosen)
    plain, signers = phrases.plain, phrases.table["signer"]
    streams = tqdm(phrases.streams(), total=len(phrases), desc="Reading", unit="phrase", delay=1)
    pairs = [(one.read, one.word) for one in (read_stream(stream, recognizer=network) for stream in streams)]
    found = {"model": model, "data": folder.name, **spelling_report(pairs, signers)}
    part = [pair for pair, alone in zip(pairs, plain, strict=True) if alone]
    found["plain"] = spelling_report(part, signers[plain]) if part else None
    return found | {"others": count_others(phrases.table["text"]), "seen_in_training": seen}


def report_lines(found: dict[str, Any]) -> list[str]:
    """The printed form of what was measured."""
    others = ", ".join(f"{count:,} {kind}" for kind, count in found["others"].items())
    lines = [f"{found['model']} on {found['data']}:", *spelling_lines(found), f"  beside the letters: {others}"]
    if found["plain"] and found["plain"]["n"] < found["n"]:
        lines += ["of phrases of letters and spaces alone:", *spelling_lines(found["plain"])]
    return lines


def phrase_clip(stream: Stream) -> Clip:
    """Turn a film of which the word alone is known into a clip: only the order of its letters teaches."""
    clip = film_clip(dataclasses.replace(stream, word="", positions=None))
    unknown = np.full_like(clip.targets, IGNORE)
    spelled = tuple(1 + SIGNS.index(letter) for letter in stream.word)
    return dataclasses.replace(clip, targets=unknown, shapes=unknown, spelled=spelled)


def phrase_clips(folder: Path) -> tuple[list[Clip], dict[str, Any]]:
    """Clips of the phrases in a folder that ``spelling`` may learn from, and what the card says of them.

    A phrase that shows a hand for fewer moments than it has letters is left out: the film was cut short. InputError if
    none is left.
    """
    phrases = load_phrases(folder)
    learned = phrases.subset(phrases.learnable)
    streams = tqdm(learned.streams(), total=len(learned), desc="Phrases", unit="phrase", delay=1)
    clips = [phrase_clip(stream) for stream in streams]
    clips = [clip for clip in clips if np.isfinite(clip.landmarks[:, 0, 0]).sum() >= len(clip.spelled)]
    if not clips:
        raise InputError(f"{folder}: none of its {len(phrases)} phrases can be learned from")
    about = {"name": folder.name, "rows": len(phrases), "sha256": phrases.sha256(), "learned": len(clips)}
    return clips, about | {"letters": sum(len(clip.spelled) for clip in clips)}


def train(folder: Path, out: Path) -> dict[str, Any]:
    """Train ``spelling`` as ``asl train`` does, with the phrases of a folder too; write a run folder, return its card.

    InputError if the run folder holds a finished run, or no phrase can be learned from.
    """
    check_new_run(out)
    settings, seed = preset("spelling", "best"), 0
    clips, phrases = phrase_clips(folder)
    out.mkdir(parents=True, exist_ok=True)
    model, history, about = train_spelling(settings, seed, None, out, clips)
    about["data"] |= {"phrases": phrases}
    training = dataclasses.asdict(settings.training)
    about = {"preset": "best", "training": training, "seed": seed, "versions": versions(), **about}
    return write_run(out, model, settings.network.signs, history, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="spelling")
    parser.add_argument("--split", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--train", type=Path, metavar="OUT")
    options = parser.parse_args()
    try:
        if options.train:
            card = train(options.folder, options.train)
            print(f"{options.train}: trained with {card['data']['phrases']['learned']:,} phrases; {card['metrics']}")
            return
        found = measure(options.folder, options.model, options.split)
    except InputError as error:
        sys.exit(f"phrases.py: {error}")
    print("\n".join(report_lines(found)))
    if found["seen_in_training"]:
        print(f"{options.model} was trained on {found['seen_in_training']:,} of these phrases", file=sys.stderr)
    if options.json:
        write_text(options.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
