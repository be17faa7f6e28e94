"""Measure what the exported files read: accuracy, size and time.

    python benchmarks/export.py

``pixel`` reads the official test of Sign Language MNIST, ``landmark`` and ``default`` the photos (the tenth that no
network learned from), by ONNX Runtime, one item at a time as in a browser; ``spelling`` reads the test films of
``benchmarks/spelling.py``. Without real data the synthetic signer takes its place. Results go to
``data/results/export.json``.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
from scoring import test_plans
from torch import Tensor

from asllib import load_letters, load_recognizer
from asllib.data.letterset import LetterSet
from asllib.data.looks import track
from asllib.evaluation import character_error_rate, read_letters, report
from asllib.export import export_onnx
from asllib.hands.features import landmark_inputs
from asllib.hands.stream import RATE, resample
from asllib.read.decoder import PeakSpeller, Said, SpellerSettings
from asllib.read.reader import TAIL_S, load_network
from asllib.read.videos import read_stream
from asllib.results import data_card, save_result
from asllib.train.films import Stream, films
from asllib.train.run import parts

Asked = list[tuple[np.ndarray, dict[str, np.ndarray]]]  # for each look: which items it has, and their inputs


def pixel_inputs(letters: LetterSet) -> Asked:
    """Images as they are."""
    return [(np.ones(len(letters), bool), {"image": letters.images})]


def hand_inputs(letters: LetterSet, embedded: bool) -> Asked:
    """Each look at the hands of photos, and the embedding if it is asked for."""
    looks = track(letters)
    asked = []
    for table, embeddings in zip(looks.tables, looks.embeddings, strict=True):
        found = (table["score"] > 0).to_numpy()
        tensors: tuple[Tensor, ...] = landmark_inputs(table[found])
        names = ("landmarks", "world", "left", "aspect")
        inputs = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        asked.append((found, {**inputs, "embedding": embeddings[found].astype(np.float32)} if embedded else inputs))
    return asked


def read(file: Path, asked: Asked) -> tuple[np.ndarray, float]:
    """Probabilities (N, classes), the mean over the looks, 0 without a hand; and the median time of an item in ms."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    times, total, count = [], None, 0
    for found, inputs in asked:
        said = []
        for i in range(found.sum()):
            one = {name: values[i : i + 1] for name, values in inputs.items()}
            started = time.perf_counter()
            said += list(session.run(["probabilities"], one)[0])
            times.append(1000 * (time.perf_counter() - started))
        if total is None:
            total = np.zeros((len(found), len(said[0])), np.float32)
        total[found] += said
        count = count + found
    return total / np.maximum(count, 1)[:, None], float(np.median(times))


def spell(file: Path, streams: list[Stream]) -> list[str]:
    """What the exported spelling network reads in films, each put in as a whole."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    model = load_network()
    texts = []
    for stream in streams:
        even = resample(stream)
        rest = ((0, round(TAIL_S * RATE)), (0, 0), (0, 0))  # the hand is gone; the last answers come late
        hands = [np.pad(part, rest, constant_values=np.nan)[None] for part in (even.landmarks, even.world)]
        left = np.pad(even.left, rest[0])[None]
        inputs = dict(zip(("landmarks", "world", "left"), (*hands, left), strict=True))
        said = session.run(["probabilities"], {**inputs, "aspect": np.array([stream.aspect], np.float32)})[0][0]
        speller, letters = PeakSpeller(model.config.signs, SpellerSettings()), []
        for number, probabilities in enumerate(said):
            time_s = even.times[0] + number / RATE
            letters += speller.update(Said(time_s - model.config.delay / RATE, probabilities), time_s)
        texts.append("".join(one.letter for one in letters if len(one.letter) == 1))
    return texts


def main() -> None:
    """Export, read, compare, and write the result."""
    mnist, photos = load_letters("auto", pixels=True), load_letters("auto")
    result = {}
    for name in ("pixel", "landmark", "default"):
        recognizer = load_recognizer(name)
        letters = (mnist if name == "pixel" else photos).only(recognizer.alphabet)
        letters = letters.subset(parts(letters) == "test")
        asked = pixel_inputs(letters) if name == "pixel" else hand_inputs(letters, name == "default")
        here = read_letters(recognizer.read_set(letters), recognizer.alphabet)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{name}.onnx"
            written = export_onnx(name, file)
            probabilities, ms = read(file, asked)
        said = read_letters(probabilities, recognizer.alphabet)
        summary = report(letters.table, probabilities, recognizer.alphabet)
        result[name] = {
            "data": data_card(letters),
            "torch": float((here == letters.letters).mean()),
            "accuracy": summary["accuracy"],
            "interval": summary["interval"],
            "same_letter_as_torch": float((said == here).mean()),
            "bytes": written["bytes"],
            "ms": ms,
        }
        print(
            f"{name}: {summary['accuracy']:.2%} of {len(letters):,} ({letters.name}), "
            f"{np.sum(said != here)} letters other than PyTorch's, {written['bytes'] / 1e6:.2f} MB, {ms:.2f} ms"
        )
    # The file takes landmarks alone.
    streams = [replace(stream, embeddings=None) for stream in films(test_plans(100, 2.0))]
    here = [read_stream(stream).read for stream in streams]
    meant = [stream.word for stream in streams]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spelling.onnx"
        written = export_onnx("spelling", file)
        said = spell(file, streams)
    rate = character_error_rate(zip(said, meant, strict=True))
    same = float(np.mean([a == b for a, b in zip(said, here, strict=True)]))
    result["spelling"] = {
        "films": len(streams),
        "torch": character_error_rate(zip(here, meant, strict=True)),
        "cer": rate,
        "same_text_as_torch": same,
        "bytes": written["bytes"],
    }
    print(f"spelling: {rate:.1%} of letters wrong in {len(streams)} films, {same:.1%} read as by PyTorch")
    save_result("export", {"models": result}, photos)


if __name__ == "__main__":
    main()
