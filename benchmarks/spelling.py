"""How well text comes out: character error rates on films of the synthetic signer, false letters, real videos, times.

python benchmarks/spelling.py [--words 200] [--speeds 2 3 4 5 6] [--fps 15] [--only words strokes ..]
python benchmarks/spelling.py --only words_small       # the same words filmed at 240x180

Films of test signers are made once and kept in the cache folder; the real parts need ASLLIB_DATA. Everything is written
to data/results/spelling.json.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
from dataclasses import replace

import numpy as np
from scoring import TEST_SEED

from asllib.data import people_set as people
from asllib.errors import InputError
from asllib.hands.look import Hand
from asllib.hands.stream import RATE, Stream, stream_of
from asllib.letters import MOVING
from asllib.paths import data_dir, results_dir, write_text
from asllib.results import versions
from asllib.train.films import SIZE, SMALL

PRACTICE_SEED = 5105  # signers on whose words something is chosen; they are in no training and no test


def practice(count: int = 40, seed: int = 5005) -> dict:
    """Character error rates on practice films that are in no training and no test: what settings are chosen on."""
    from asllib.evaluation import character_error_rate
    from asllib.read.decoder import SpellerSettings
    from asllib.read.videos import read_stream
    from asllib.train.films import films, practice_plans

    streams = list(films(practice_plans(count, seed, speeds=(1.8, 4.2))))
    rates = {}
    for confidence in (0.4, 0.5, 0.6, 0.7):
        for again_s in (0.1, 0.15, 0.22):
            settings = SpellerSettings(confidence=confidence, again_s=again_s)
            read = [read_stream(stream, settings) for stream in streams]
            rate = character_error_rate((one.read, one.word) for one in read)
            rates[f"confidence {confidence:g}, again_s {again_s:g}"] = rate
            print(f"practice films, confidence {confidence:g}, again_s {again_s:g}: CER {rate:.1%}")
    return {"films": count, "cer": rates}


def eye(count: int = 200) -> dict:
    """What limits the reading: how many held letters landmarks and embeddings name right, and whose errors are left.

    On words of practice signers, who are in no training and no test, at two letters a second.
    """
    from collections import Counter

    import torch
    from rapidfuzz.distance import Levenshtein
    from scoring import test_plans

    from asllib.hands.stream import resample
    from asllib.letters import STATIC
    from asllib.networks.store import load_model
    from asllib.read.decoder import read_embedding
    from asllib.read.videos import read_stream
    from asllib.train.clips import batch_clips, film_clip
    from asllib.train.films import films

    model, _ = load_model("spelling")
    held, by_look, errors = Counter(), Counter(), Counter()
    for stream in films([replace(p, seed=PRACTICE_SEED) for p in test_plans(count, 2.0, words_seed=31)]):
        features, *_ = batch_clips([film_clip(stream)], 0)
        with torch.inference_mode():
            seen = model.see(features)[1][0].numpy()  # (1 + shapes, T)
        edits = Levenshtein.editops(stream.word, read_stream(stream).read)
        wrong = {edit.src_pos for edit in edits if edit.tag != "insert"}
        positions = resample(stream).positions
        for place, letter in enumerate(stream.word):
            if letter not in STATIC or not (positions == place).any():
                continue
            mean = seen[:, positions == place].mean(1)
            named = bool(mean.argmax() == 1 + model.config.signs.index(letter))
            held[named] += 1
            frames = stream.embeddings[(stream.positions == place) & stream.found].astype(np.float32)
            if len(frames):
                said = np.mean([np.exp(read_embedding(frame)) for frame in frames], axis=0)
                by_look[STATIC[said.argmax()] == letter] += 1
            if place in wrong:
                errors["named right" if named else "named wrong" if mean.sum() > 0.5 else "no hand"] += 1
    share, share_by_look = held[True] / held.total(), by_look[True] / by_look.total()
    print(
        f"practice signers, {held.total()} held letters: {share:.1%} named right by landmarks, "
        f"{share_by_look:.1%} by embeddings; wrong in the text, by what landmarks said: {dict(errors)}"
    )
    return {
        "held": held.total(),
        "named_right": share,
        "named_right_by_embedding": share_by_look,
        "wrong_or_missed": dict(errors),
    }


def strangers() -> dict:
    """Letters of drawn signers who are in no training, named by landmarks, by embeddings, and by both."""
    import torch

    from asllib import load_letters
    from asllib.data.looks import track
    from asllib.hands.features import landmark_inputs
    from asllib.letters import STATIC
    from asllib.networks.spelling import moment_features
    from asllib.networks.store import load_model
    from asllib.read.decoder import read_embedding

    model, _ = load_model("spelling")
    places = [1 + model.config.signs.index(letter) for letter in STATIC]
    letters = load_letters("synthetic").only(STATIC)
    looks = track(letters)
    found, labels = looks.found, letters.labels()[looks.found]
    landmarks, world, left, aspect = landmark_inputs(looks.tables[0][found])
    with torch.inference_mode():
        features = moment_features(landmarks[:, None], world[:, None], left[:, None], aspect)
        seen = model.handshapes(features)[:, places, 0].log_softmax(1).numpy()
    said = np.stack([read_embedding(embedding) for embedding in looks.embeddings[0, found].astype(np.float32)])
    shares = {
        how: float((logits.argmax(1) == labels).sum() / len(letters))
        for how, logits in (("landmarks", seen), ("embeddings", said), ("both", seen + said))
    }
    print(f"drawn strangers, {len(letters)} photos, named right: {json.dumps(shares)}")
    return {"n": len(letters), **shares}


def handshapes() -> dict:
    """Letters that the handshape part names right, of the hands of validation signers alone: means over signers."""
    import torch
    from people import People, by_signer, signer_names, still_clips

    from asllib.hands.features import landmark_inputs
    from asllib.letters import STATIC
    from asllib.networks.spelling import moment_features
    from asllib.networks.store import load_model

    model, _ = load_model("spelling")
    places = [1 + model.config.signs.index(letter) for letter in STATIC]
    known = People()
    still = known.valid_frames.table["file"].str.endswith("/0").to_numpy() & still_clips(known.valid_frames)
    sets = {
        "photos": known.valid,
        "frames of films": known.valid_frames.subset(~still),
        "still landmarks": known.valid_frames.subset(still),
    }
    shares = {}
    for name, hands in sets.items():
        found = (hands.looks.tables[0]["score"] > 0).to_numpy()
        landmarks, world, left, aspect = landmark_inputs(hands.looks.tables[0][found])
        with torch.inference_mode():
            features = moment_features(landmarks[:, None], world[:, None], left[:, None], aspect)
            read = model.handshapes(features)[:, places, 0].argmax(1).numpy()
        right = np.zeros(len(found), bool)
        right[found] = read == np.asarray(hands.labels)[found]
        by_name = by_signer(signer_names(hands.table), right)
        shares[name] = {"signers": len(by_name), "mean": float(np.mean([*by_name.values()]))}
    print(f"handshapes of validation signers, named right: {json.dumps(shares)}")
    return shares


def without(lexicon, word: str):
    """The lexicon as if it did not hold a word: so it meets a name."""
    from asllib.read.lexicon import Lexicon

    other = object.__new__(Lexicon)
    other._frequency = {known: share for known, share in lexicon._frequency.items() if known != word}
    other._names = set()
    return other


def words(count: int, speeds: list[float], fps: float, size: tuple[int, int]) -> dict:
    """Character error rates by speed, letter and group of signers, and the delay."""
    from scoring import bootstrap, delays, errors_by_letter, groups, test_plans

    from asllib.evaluation import character_error_rate
    from asllib.read.lexicon import Lexicon
    from asllib.read.videos import read_stream
    from asllib.train import films as streams
    from asllib.train.films import films

    lexicon, found, every, tracked = Lexicon(), {}, [], []
    for speed in speeds:
        plans = test_plans(count, speed, fps, size)
        read, changed, late = [], [], []
        for plan, stream in zip(plans, films(plans), strict=True):
            read.append(read_stream(stream, lexicon=lexicon))
            late += delays(stream, read[-1].letters)
            if read[-1].read == stream.word:
                changed.append(read_stream(stream, lexicon=without(lexicon, stream.word)).corrected != stream.word)
            seen = np.isfinite(stream.landmarks[stream.positions >= 0, 0, 0])  # in the frames that hold a letter
            wrong = stream.left[stream.positions >= 0] != (groups(plan)["hand"] == "left")
            tracked.append((seen.sum(), (seen & wrong).sum(), len(seen)))
        raw = [(one.read, one.word) for one in read]
        found[f"{speed:g}"] = {
            "words": count,
            "letters": sum(len(word) for _, word in raw),
            "cer": character_error_rate(raw),
            "interval": bootstrap(raw),
            "unknown_words_changed": float(np.mean(changed)),  # of those that were read right
            "cer_lexicon": character_error_rate((one.corrected, one.word) for one in read),
            "delay_median_s": float(np.median(late)) if late else None,
            "delay_90_s": float(np.percentile(late, 90)) if late else None,
            "read": [{"word": one.word, "read": one.read, "corrected": one.corrected} for one in read],
        }
        every += list(zip(plans, raw, strict=True))
        line = found[f"{speed:g}"]
        print(
            f"{speed:g} letters a second, {count} words, {size[0]}x{size[1]}, {fps:g} frames a second: "
            f"CER {line['cer']:.1%} ({line['interval'][0]:.1%} to {line['interval'][1]:.1%}), "
            f"after the lexicon {line['cer_lexicon']:.1%}, "
            f"which would change {line['unknown_words_changed']:.0%} of right words if it did not hold them, "
            f"delay {line['delay_median_s']:.2f} s"
        )
    by_letter = errors_by_letter(pair for _, pair in every)
    by_group: dict[str, dict[str, dict[str, float]]] = {}
    for kind in ("skin tone", "hand", "age"):
        names = np.array([groups(plan)[kind] for plan, _ in every])
        by_group[kind] = {}
        for name in sorted(set(names)):
            own = np.flatnonzero(names == name)
            seen, wrong, held = np.array(tracked)[own].sum(0)
            by_group[kind][name] = {
                "signers": len({every[i][0].signer for i in own}),
                "cer": character_error_rate(every[i][1] for i in own),
                "hand_found": seen / held,
                "side_wrong": wrong / seen,
            }
    print("  by letter: " + " ".join(f"{letter} {wrong}/{n}" for letter, (wrong, n) in by_letter.items()))
    print(
        "  by signer: "
        + "; ".join(f"{n} " + json.dumps(v, default=float) for group in by_group.values() for n, v in group.items())
    )
    rates = sorted((float(speed), line["cer"]) for speed, line in found.items())
    above = [speed for speed, rate in rates if rate > 0.1]
    return {
        "fps": fps,
        "size": size,
        "signer_version": streams.signer_version(),
        "speeds": found,
        "by_letter": by_letter,
        "by_signer": by_group,
        "cer_above_10_percent_from": above[0] if above else None,
    }


def strokes() -> dict:
    """Real J and Z read by ``spelling``, which has never seen them, and J or Z read in other real signs."""
    from scoring import load_sequences, read_strokes

    from asllib.networks.store import load_model

    model, _ = load_model("spelling")
    read = {
        sign: [
            sign in one if sign in MOVING else bool(set(one) & set(MOVING))
            for one in (read_strokes(model, s) for s in streams)
        ]
        for sign, streams in load_sequences().items()
    }

    def rates(part: slice) -> dict[str, float]:
        right = [np.mean(found[part]) for sign, found in read.items() if sign in MOVING]
        return {
            "read": float(np.mean(right)),
            "false": float(np.mean([np.mean(found[part]) for sign, found in read.items() if sign not in MOVING])),
        }

    # Every second sequence was looked at to see what drawn strokes lack; the others were not.
    parts = {"looked at": rates(slice(0, None, 2)), "not looked at": rates(slice(1, None, 2))}
    result = {**rates(slice(None)), **parts, "by_sign": {sign: float(np.mean(found)) for sign, found in read.items()}}
    print(f"real J and Z, never learned from: {json.dumps(result)}")
    return result


def people_stream(person, clip: int, frames: int | None = None) -> Stream:
    """A clip of ``people`` as a stream, 20 frames a second; of a still hand so many frames."""
    landmarks = person.landmarks[clip] if frames is None else np.repeat(person.landmarks[clip, :1], frames, 0)
    return hand_stream(landmarks, person, str(person.letters[clip]), np.zeros(len(landmarks), int))


def hand_stream(landmarks: np.ndarray, person, word: str, positions: np.ndarray) -> Stream:
    """Image landmarks (F, 21, 3) of a signer of ``people`` as a stream: no world points, no pictures."""
    count = len(landmarks)
    left = np.full(count, bool(person.left[0]))
    nowhere = np.full_like(landmarks, np.nan)
    return Stream(np.arange(count) / RATE, landmarks, nowhere, left, person.aspect, word, positions, person.signer)


def filmed() -> dict:
    """Filmed letters of the validation signers of ``people``, landmarks alone: the letter is read, and nothing else."""
    from collections import Counter

    from asllib.read.videos import read_stream

    right: dict[str, list[bool]] = {}
    letters: dict[str, list[bool]] = {}
    read = Counter()
    for person in people.load_sequences("valid"):
        for clip in range(0 if person.still else len(person)):
            stream = people_stream(person, clip)
            text = read_stream(stream).read
            right.setdefault(person.signer, []).append(text == stream.word)
            letters.setdefault(stream.word, []).append(text == stream.word)
            read[f"{stream.word} {text}"] += text != stream.word
    by_signer = {signer: float(np.mean(shares)) for signer, shares in right.items()}
    result = {
        "signers": len(right),
        "clips": sum(map(len, right.values())),
        "right": float(np.mean(list(by_signer.values()))),
        "by_signer": by_signer,
        "by_letter": {letter: float(np.mean(shares)) for letter, shares in sorted(letters.items())},
        "wrong": dict(read.most_common(25)),
    }
    print(f"filmed letters of validation signers: {json.dumps(result)}")
    return result


def stills(words: int = 40, letters: int = 6, hold_s: float = 0.8) -> dict:
    """Words made from still hands of the validation signers of ``people``, each held 0.8 s, one cut to the next.

    From photos, with what the embedding says, and from landmarks alone.
    """
    from asllib.evaluation import character_error_rate
    from asllib.read.videos import read_stream

    rng = np.random.default_rng(5)
    sets = {"photos": photo_hands(), "landmarks": still_hands()}
    found = {}
    for name, people_hands in sets.items():
        pairs: dict[str, list[tuple[str, str]]] = {}
        for signer, hands in people_hands.items():
            shown = sorted(set(hands) - set(MOVING))
            for _ in range(words if len(shown) >= letters else 0):
                word = "".join(rng.permutation(shown)[:letters])
                stream = held_word([hands[letter][rng.integers(len(hands[letter]))] for letter in word], word, hold_s)
                pairs.setdefault(signer, []).append((read_stream(stream).read, stream.word))
        by_signer = {signer: character_error_rate(some) for signer, some in pairs.items()}
        cer = float(np.mean([*by_signer.values()]))
        found[name] = {"signers": len(pairs), "cer": cer, "by_signer": by_signer}
        print(f"still hands of validation signers, {name}, {hold_s} s each: CER {cer:.1%}, {json.dumps(by_signer)}")
    return {"hold_s": hold_s, **found}


def still_hands() -> dict[str, dict[str, list[Hand]]]:
    """Hands of each validation signer's letters, of landmark sets: seen as in square frames, without a picture."""
    found: dict[str, dict[str, list[Hand]]] = {}
    for person in people.load_sequences("valid"):
        own = found.setdefault(person.signer, {})
        for letter, points, left in zip(person.letters.tolist(), person.landmarks, person.left, strict=True):
            if person.still:
                points = points[0] * np.array([person.aspect, 1, person.aspect], np.float32)
                own.setdefault(letter, []).append(Hand(points, points * np.nan, "left" if left else "right", 1.0))
    return found


def photo_hands() -> dict[str, dict[str, list[Hand]]]:
    """Hands of each validation signer's letters, of photos with a hand: seen as in square frames."""
    from asllib import load_letters
    from asllib.data.looks import track
    from asllib.hands.landmarks import landmark_arrays
    from asllib.hands.tracker import table_hands

    letters = load_letters("people")
    looks = track(letters)
    which = (letters.table["split"] == "valid").to_numpy() & looks.found
    looks, about = looks.subset(which), letters.table[which]
    aspects = landmark_arrays(looks.tables[0])["aspect"]
    found: dict[str, dict[str, list[Hand]]] = {}
    for row, hand in enumerate(table_hands(looks.tables[0])):
        own = found.setdefault(about["signer"].iloc[row], {})
        points = hand.landmarks * np.array([aspects[row], 1, aspects[row]], np.float32)
        hand = replace(hand, landmarks=points, embedding=looks.embeddings[0, row].astype(np.float32))
        own.setdefault(about["label"].iloc[row], []).append(hand)
    return found


def held_word(hands: list[Hand], word: str, hold_s: float) -> Stream:
    """A film of hands that are held one after the other, with no way between them, RATE frames a second."""
    positions = np.repeat(np.arange(len(word)), round(hold_s * RATE))
    return stream_of(
        [hands[i] for i in positions], np.arange(len(positions)) / RATE, 1.0, word=word, positions=positions
    )


def held() -> dict:
    """Letters that are held: written once, of the letters that are read at all; of real and of drawn signers."""
    from asllib.read.videos import read_stream
    from asllib.signer import render_word
    from asllib.train.films import follow

    rng = np.random.default_rng(6)
    found: dict[str, dict[str, float]] = {"real": {}, "drawn": {}}
    still = [person for person in people.load_sequences("valid") if person.still]
    for seconds in (0.5, 1.0, 2.0, 4.0):
        texts = []
        for person in still:
            for letter in sorted(set(person.letters.tolist()) - set(MOVING)):
                clip = int(rng.choice(np.flatnonzero(person.letters == letter)))
                stream = people_stream(person, clip, round(seconds * RATE))
                shaken = stream.landmarks + rng.normal(0, 0.001, stream.landmarks.shape).astype(np.float32)
                texts.append(read_stream(replace(stream, landmarks=shaken)).read)
        found["real"][f"{seconds:g}"] = once(texts)
        rate = 0.45 / seconds  # letters a second, of which the hand stands still for a part
        films = [render_word(letter, k, 12.0, rate, SIZE, PRACTICE_SEED) for k, letter in enumerate("AEGHKLRSY")]
        found["drawn"][f"{seconds:g}"] = once([read_stream(follow(film)).read for film in films])
    print(f"held letters written once, by seconds: {json.dumps(found)}")
    return found


def once(texts: list[str]) -> float:
    """Share of texts of one held letter that hold no letter twice in a row, of those that are not empty."""
    read = [text for text in texts if text]
    return float(np.mean([all(a != b for a, b in itertools.pairwise(text)) for text in read]))


def doubles(count: int = 60) -> dict:
    """Doubled letters in drawn words of practice signers, slid, bounced or reopened: written twice."""
    from scoring import draw_words

    from asllib.read.videos import read_stream
    from asllib.train.films import Plan, films

    words = [word for word in draw_words(3000, 77) if any(a == b for a, b in itertools.pairwise(word))][:count]
    plans = [Plan(word, k, PRACTICE_SEED, 15.0, 2.0 + k % 3, size=SIZE) for k, word in enumerate(words)]
    written, meant = 0, 0
    for stream in films(plans):
        text = read_stream(stream).read
        for letter in {a for a, b in itertools.pairwise(stream.word) if a == b}:
            meant += 1
            written += 2 * letter in text
    print(f"doubles of practice signers: {written} of {meant} written twice")
    return {"words": len(words), "doubles": meant, "written_twice": written / meant}


def idle(minutes: float) -> dict:
    """False letters a minute on synthetic idle hands and on the real video of a hand that does not sign."""
    from asllib.read import read_text
    from asllib.read.videos import read_stream
    from asllib.train.films import Plan, films

    plans = [Plan("", number, TEST_SEED + 1, 10.0, seconds=20.0) for number in range(round(minutes * 3))]
    streams = list(films(plans))
    lasted = sum(float(stream.times[-1]) for stream in streams) / 60
    false = sum(len(read_stream(stream).read) for stream in streams)
    result = {"minutes": lasted, "false_a_minute": false / lasted}
    print(f"synthetic idle hands, {lasted:.1f} minutes: {false / lasted:.2f} false letters a minute")
    video = data_dir() / "video" / "hand_not_signing.mp4"
    if video.is_file():
        found = read_text(video)
        result["hand_not_signing"] = {"text": found.text, "seconds": found.seconds}
        print(f"hand_not_signing.mp4, {found.seconds:.1f} s: {len(found.letters)} letters {found.text!r}")
    return result


def real_files() -> dict[str, str]:
    """Hashes of the real data that is there."""
    found = {}
    for name in ("motion/sequences.npz", "video/hello.mjpeg", "video/quiz.mjpeg", "video/hand_not_signing.mp4"):
        if (data_dir() / name).is_file():
            with (data_dir() / name).open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def videos(phases: int = 10) -> dict:
    """What is read in the two real videos, before any lexicon, as they are and begun up to a moment later."""
    from asllib.read import read_text
    from asllib.read.video import iter_frames

    result: dict = {"phases": {}}
    for name in ("hello", "quiz"):
        path = data_dir() / "video" / f"{name}.mjpeg"
        if not path.is_file():
            continue
        begun = np.arange(phases) / phases / RATE
        texts = [read_text((time_s + late, frame) for time_s, frame in iter_frames(path)).text for late in begun]
        result[name] = texts[0]
        result["phases"][name] = texts
        print(f"{path.name}: {result[name]}; begun up to a moment later: {' '.join(texts)}")
    return result


def times() -> dict:
    """Milliseconds that each stage takes for a frame."""
    from asllib.hands.tracker import HandTracker
    from asllib.read.lexicon import Lexicon
    from asllib.read.reader import TextReader
    from asllib.signer import render_word

    made = render_word("HELLO", 1, 30.0, 3.0, SIZE, 9)
    hands, took = [], {"tracker": [], "reader": []}
    tracker = HandTracker(video=True)
    for i, frame in enumerate(made.frames):
        start = time.perf_counter()
        hands.append(tracker.detect(frame, 1000 * i / 30))
        took["tracker"].append(time.perf_counter() - start)
    reader = TextReader()
    for i, hand in enumerate(hands):
        start = time.perf_counter()
        reader.read_hand(hand, i / 30, 4 / 3)
        took["reader"].append(time.perf_counter() - start)
    lexicon = Lexicon()
    lexicon.correct("HELLP", reader.evidence())
    start = time.perf_counter()
    lexicon.correct("HELLP", reader.evidence())
    correct = time.perf_counter() - start
    result = {
        name: {"median_ms": 1000 * float(np.median(t)), "p95_ms": 1000 * float(np.percentile(t, 95))}
        for name, t in took.items()
    }
    result["lexicon_word_ms"] = 1000 * correct
    for name, value in result.items():
        print(name, json.dumps(value))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--speeds", type=float, nargs="+", default=[2.0, 3.0, 4.0, 5.0, 6.0])
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--idle-minutes", type=float, default=10.0)
    parts = {
        "practice": practice,
        "eye": eye,
        "strangers": strangers,
        "handshapes": handshapes,
        "words": lambda: words(options.words, options.speeds, options.fps, SIZE),
        "words_small": lambda: words(options.words, options.speeds, options.fps, SMALL),
        "strokes": strokes,
        "filmed": filmed,
        "stills": stills,
        "held": held,
        "doubles": doubles,
        "idle": lambda: idle(options.idle_minutes),
        "videos": videos,
        "times": times,
    }
    parser.add_argument("--only", choices=parts, nargs="+", default=list(parts))
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    path = results_dir() / "spelling.json"
    result = json.loads(path.read_text()) if path.is_file() else {}
    for part in options.only:
        try:
            result[part] = parts[part]()
        except InputError as error:
            print(f"{part}: {error}")
    result |= {"seed": TEST_SEED, "data": real_files(), "versions": versions()}
    write_text(path, json.dumps(result, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
