"""How well words that people spell are read: errors by kind, by signer and by how they are read.

python benchmarks/words.py FOLDER [--model spelling] [--json FILE]

FOLDER holds films and a manifest.csv with file,text,signer: each film is one word. The films' hands are followed once,
then read by their landmarks alone, with the embedding of each frame (as `asl read` does), and with the lexicon besides.
Intervals are over signers, drawn anew. Nothing is learned or chosen here.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scoring import count_others, letters_of, spelling_lines, spelling_report
from tqdm import tqdm

from asllib.errors import InputError
from asllib.files import inside, read_csv
from asllib.hands.stream import Stream, stream_of
from asllib.hands.tracker import HandTracker
from asllib.paths import write_text
from asllib.read.lexicon import Lexicon
from asllib.read.reader import load_network
from asllib.read.video import iter_frames
from asllib.read.videos import read_stream
from asllib.results import versions

WAYS = ("landmarks alone", "with embedding", "with lexicon")


def read_manifest(path: Path) -> pd.DataFrame:
    """The films of a folder; InputError if a column or a film is missing, or lies outside the folder."""
    table, columns = read_csv(path), ["file", "text", "signer"]
    missing = [name for name in columns if name not in table]
    if missing or table.empty:
        raise InputError(f"{path}: {f'column {missing[0]} is missing' if missing else 'empty'}; list file,text,signer")
    for file in table["file"]:
        inside(path.parent, file, str(path))
    return table[columns]


def follow(path: Path, text: str, signer: str) -> Stream:
    """Follow the hand in a film, as a live video's."""
    tracker, hands, times, aspect = HandTracker(video=True), [], [], 1.0
    for moment, frame in iter_frames(path):
        hands.append(tracker.detect(frame, 1000 * moment))
        times.append(moment)
        aspect = frame.shape[1] / frame.shape[0]
    return stream_of(hands, times, aspect, word=letters_of(text), signer=signer)


def letters_a_second(stream: Stream) -> float:
    """Letters of the word by the time from the first to the last frame with a hand; 0 without one."""
    seen = stream.times[stream.found]
    return len(stream.word) / float(np.ptp(seen)) if len(seen) > 1 else 0.0


def measure(folder: Path, model: str = "spelling") -> dict:
    """Read all words of a folder in each way."""
    table, network, lexicon = read_manifest(folder / "manifest.csv"), load_network(model), Lexicon()
    rows = table.itertuples(index=False)
    read = []
    for file, text, signer in tqdm(rows, total=len(table), desc="Reading", unit="film"):
        stream = follow(folder / file, text, signer)
        whole = read_stream(stream, lexicon=lexicon, recognizer=network)
        alone = read_stream(replace(stream, embeddings=None), recognizer=network)
        said = dict(zip(WAYS, (alone.read, whole.read, whole.corrected), strict=True))
        read.append({"file": file, "word": stream.word, "rate": letters_a_second(stream), **said})
    rates = [row["rate"] for row in read if row["rate"]]
    return {
        "model": model,
        "others": count_others(table["text"]),
        "letters_a_second": np.percentile(rates, [0, 50, 100]).tolist() if rates else None,
        **{way: spelling_report([(row[way], row["word"]) for row in read], table["signer"]) for way in WAYS},
        "read": read,
        "versions": versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="spelling")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    try:
        found = measure(options.folder, options.model)
    except InputError as error:
        sys.exit(f"words.py: {error}")
    for way in WAYS:
        print("\n".join([f"{way}:", *spelling_lines(found[way])]))
    if found["letters_a_second"]:
        print("letters a second, least, median and most: {:.1f}, {:.1f}, {:.1f}".format(*found["letters_a_second"]))
    print(f"beside the letters: {json.dumps(found['others'])}")
    for row in found["read"]:
        if row["with embedding"] != row["word"]:
            print(f"  {row['file']}: {row['word']} read {row['with embedding']}, corrected {row['with lexicon']}")
    if options.json:
        write_text(options.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
