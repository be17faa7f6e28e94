"""How well strangers' letters are read: signers left out, how many signers one needs, and what a few examples buy.

    python benchmarks/people.py [--only NAME ...]

Needs the sets ``photos`` and ``people`` (``ASLLIB_DATA``). Results go to ``data/results/people.json`` after each part;
``--only`` measures the parts that it names anew and keeps the others. A signer, not a photo, is the unit: rates are
means over signers, and intervals come from drawing signers anew. A photo without a found hand counts as wrong.

``shipped``   the networks that come with asllib, on the validation signers of ``people``, who chose their settings
``left_out``  every training signer of every set read by a ``landmark`` network that never saw that signer
``curve``     accuracy of the validation signers against the number of signers that ``landmark`` learned from
``few_shot``  the same signers after ``landmark`` saw a few photos of each of their letters
``groups``    who and which photos are read worse: by light, size of the hand, sharpness and side
``refused``   handshapes that are no letter, where 97 % of the validation signers' letters are accepted
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scoring import calibration_error, named_hands
from tqdm.auto import tqdm

from asllib import load_letters
from asllib.data.looks import track
from asllib.evaluation import confusion, read_letters, worst_pairs
from asllib.letters import STATIC
from asllib.networks import preset
from asllib.networks.landmark import look_probabilities
from asllib.networks.pixel import set_probabilities
from asllib.networks.store import load_model
from asllib.paths import results_dir
from asllib.results import data_card, save_result
from asllib.train.loop import hand_examples, train
from asllib.train.run import KEPT, Hands, drawn_examples, hands_of, joined_examples, sequence_frames
from asllib.train.signs import TeachingSettings, load_memory, teach

FOLDS = 5
SIZES = (1, 2, 4, 8, 16, 32)
DRAWS = 1  # sets of signers of each size
STEPS = 1500  # batches that each network of the curve learns from
SHOTS = (1, 2, 5)
# What is measured in a picture, and the names of three equal parts of the photos from low to high.
PARTS = {
    "brightness of the hand": ("dark", "medium", "bright"),
    "brightness of the scene": ("dark", "medium", "bright"),
    "size of the hand": ("small", "medium", "large"),
    "sharpness": ("blurred", "medium", "sharp"),
}
LEAST = 5  # photos of a signer
NAMES = ("shipped", "left_out", "curve", "few_shot", "groups", "refused")


class People:
    """What was seen of all signers, those learned from and those who choose."""

    def __init__(self) -> None:
        self.sets = [load_letters(name).only(STATIC) for name in ("photos", "people")]
        known = [hands_of(letters, STATIC) for letters in self.sets]
        valid = (known[1].table["split"] == "valid").to_numpy()
        self.valid_photos = self.sets[1].subset(valid)
        self.valid = known[1].subset(valid)
        self.train = [known[0], known[1].subset(~valid), sequence_frames("train", STATIC)]
        self.valid_frames = sequence_frames("valid", STATIC, 5)
        table = pd.concat([hands.table for hands in self.train], ignore_index=True)
        self.signers = signer_names(table)
        # Recordings from one repository may show one person: they are left out together.
        shared = table["repository"].fillna("") if "repository" in table else pd.Series("", table.index)
        self.authors = np.where(shared != "", shared, self.signers)

    def split(self, chosen: np.ndarray) -> list[Hands]:
        """Take hands of all training sets by one mask over their joined rows."""
        masks = np.split(chosen, np.cumsum([len(hands.table) for hands in self.train])[:-1])
        return [hands.subset(mask) for hands, mask in zip(self.train, masks, strict=True) if mask.any()]


def signer_names(table: pd.DataFrame) -> np.ndarray:
    """Name of each row's signer; a crowd without ids, as davidlee's, is one name."""
    return (table["source"] + "/" + table["signer"]).to_numpy(str)


def by_signer(names: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Share that is right of each signer."""
    return {str(name): float(share) for name, share in pd.Series(right).groupby(names).mean().items()}


def summary(names: np.ndarray, labels: np.ndarray, read: np.ndarray) -> dict:
    """Mean over signers with its interval, median, lowest tenth and lowest; by letter; the pairs taken for each other.

    Parameters
    ----------
    names, labels, read
        (N,) of each hand the signer, the letter that is shown and the one that is read.
    """
    signers = by_signer(names, labels == read)
    shares = np.array([*signers.values()])
    letters = pd.Series(labels == read).groupby([labels, names]).mean().groupby(level=0).mean()
    return {
        "signers": len(shares),
        "n": len(labels),
        "mean": float(shares.mean()),
        "interval": mean_interval(shares),
        "median": float(np.median(shares)),
        "lowest_tenth": float(np.sort(shares)[: max(1, round(len(shares) / 10))].mean()),
        "lowest": float(shares.min()),
        "by_letter": letters.to_dict(),
        "by_signer": signers,
        "pairs": worst_pairs(confusion(labels, read, STATIC), STATIC, 12).to_dict("records"),
    }


def read_hands(model, hands: Hands, refuse_below: float = 0.0) -> tuple[dict, np.ndarray]:
    """Summary of what a network reads of some hands, and its probabilities."""
    said = look_probabilities(model, hands.looks)
    read = np.where(said.max(1) >= refuse_below, read_letters(said, STATIC), "-")
    return summary(signer_names(hands.table), hands.table["label"].to_numpy(str), read), said


def shipped(people: People) -> dict:
    """The networks as they come, on photos of 11 validation signers and on landmark sequences of 13."""
    out = {}
    for name in ("default", "landmark", "pixel"):
        model, card = load_model(name)
        refuse_below = card.get("refuse_below", 0.0)
        if name == "pixel":
            said = set_probabilities(model, people.valid_photos, track)
            names, labels = signer_names(people.valid.table), people.valid.table["label"].to_numpy(str)
            photos = summary(names, labels, read_letters(said, STATIC))
        else:
            photos, said = read_hands(model, people.valid)
        found = said.max(1) > 0
        right = (said.argmax(1) == people.valid.labels)[found]
        photos["calibration_error"] = calibration_error(said.max(1)[found], right)
        out[name] = {"photos": photos}
        if refuse_below:
            out[name]["photos accepted"] = read_hands(model, people.valid, refuse_below)[0]
            out[name]["confidence_threshold"] = refuse_below
        if name != "pixel":
            still = people.valid_frames.table["file"].str.endswith("/0").to_numpy() & still_clips(people.valid_frames)
            out[name]["frames of films"] = read_hands(model, people.valid_frames.subset(~still))[0]
            out[name]["still landmarks"] = read_hands(model, people.valid_frames.subset(still))[0]
    return out


def still_clips(hands: Hands) -> np.ndarray:
    """Tell which frames belong to clips of a single frame, (N,) bool."""
    clips = hands.table["original"]
    return (hands.table["file"].groupby(clips).transform("size") == 1).to_numpy()


def left_out(people: People) -> dict:
    """Read every training signer by a network that learned from the others only; authors are split into five folds."""
    settings = preset("landmark", "people")
    drawn = drawn_examples(settings, doubts=False)
    names = pd.unique(people.authors)
    sizes = {name: int((people.authors == name).sum()) for name in names}
    fold = dict(zip(sorted(names, key=sizes.__getitem__, reverse=True), range(len(names)), strict=True))
    of = np.array([fold[name] % FOLDS for name in people.authors])
    photos, frames = [], []
    for number in tqdm(range(FOLDS), desc="folds", unit="fold"):
        examples = joined_examples(people.split(of != number), drawn, doubts=False)
        model, _ = train(settings, examples, progress=False)
        for hands in people.split(of == number):
            said = look_probabilities(model, hands.looks)
            pictured = np.isfinite(hands.looks.embeddings[..., 0]).any()
            read = pd.DataFrame({"signer": signer_names(hands.table), "label": hands.table["label"]})
            read = read.assign(read=read_letters(said, STATIC), file=hands.table["file"])
            (photos if pictured else frames).append(read)
    seen, filmed = pd.concat(photos, ignore_index=True), pd.concat(frames, ignore_index=True)
    return {
        "photos": summary(*(seen[name].to_numpy(str) for name in ("signer", "label", "read"))),
        "landmark sequences": summary(*(filmed[name].to_numpy(str) for name in ("signer", "label", "read"))),
        "by": fairness(people, seen),
    }


def fairness(people: People, seen: pd.DataFrame) -> dict:
    """Accuracy of left-out photos by what can be measured in a picture, as in ``groups``."""
    right = dict(zip(seen["signer"] + "/" + seen["file"], seen["label"] == seen["read"], strict=True))
    measured = measures(people, valid=False)
    return by_measure(measured.assign(right=(measured["signer"] + "/" + measured["file"]).map(right)))


def measures(people: People, valid: bool) -> pd.DataFrame:
    """Signer, file and ``measure`` of each photo with a found hand, of the training or of the validation signers."""
    known = [(people.valid_photos, people.valid)] if valid else zip(people.sets, people.train[:2], strict=True)
    rows = []
    for letters, hands in known:
        images = dict(zip(letters.table["file"], range(len(letters)), strict=True))
        files, names = hands.table["file"].to_numpy(str), signer_names(hands.table)
        for row in np.flatnonzero(hands.looks.found):
            measured = measure(letters.images[images[files[row]]], hands.looks.tables[0].iloc[row])
            rows.append({"signer": names[row], "file": files[row], **measured})
    return pd.DataFrame(rows)


def by_measure(measured: pd.DataFrame) -> dict:
    """Mean accuracy over signers, with its interval, of each side and of the thirds of what is measured in pictures.

    A signer counts where at least ``LEAST`` photos of this signer are in the group. What has one group is left out.
    """
    parts = {name: pd.qcut(measured[name], 3, labels=list(of)) for name, of in PARTS.items()}
    out: dict = {}
    for name, part in (parts | {"side": measured["side"]}).items():
        out[name] = {}
        for group, photos in measured.groupby(part, observed=True):
            photos = photos[photos.groupby("signer")["right"].transform("size") >= LEAST]
            shares = np.array([*by_signer(photos["signer"], photos["right"]).values()])
            if not len(shares):
                continue
            means = {"mean": float(shares.mean()), "interval": mean_interval(shares)}
            out[name][str(group)] = means | {"signers": len(shares), "n": len(photos)}
    return {name: found for name, found in out.items() if len(found) > 1}


def groups(people: People) -> dict:
    """Photos of the validation signers read by ``default``, in thirds; signers held out once, in halves.

    The halves compare the signers whose photos are typically darker, smaller or less sharp with the others; the
    accuracies are those of ``left_out``. ``lowest tenth`` holds what the signers read worst have in common, and
    ``lost letters`` the share of wrong readings in letters of which most photos of the signer are read wrong.
    """
    said = look_probabilities(load_model("default")[0], people.valid.looks)
    right = dict(zip(people.valid.table["file"], said.argmax(1) == people.valid.labels, strict=True))
    measured = measures(people, valid=True)
    out: dict = {"validation": by_measure(measured.assign(right=measured["file"].map(right)))}
    wrong = people.valid.table.assign(wrong=said.argmax(1) != people.valid.labels)
    lost = wrong.groupby(["signer", "label"])["wrong"].transform("mean") > 0.5
    out["lost letters"] = float(lost[wrong["wrong"]].mean())

    left_out = json.loads((results_dir() / "people.json").read_text())["left_out"]["photos"]["by_signer"]
    typical = measures(people, valid=False).groupby("signer")[[*PARTS]].median()
    shares = typical.index.map(left_out).to_numpy(float)
    worst = np.argsort(shares)[: round(len(shares) / 10)]
    out["held out"], out["lowest tenth"] = {}, {"signers": len(worst), "mean": float(shares[worst].mean())}
    for name, (low, _, high) in PARTS.items():
        below = (typical[name] < typical[name].median()).to_numpy()
        halves = {group: shares[rows] for group, rows in ((low, below), (high, ~below))}
        out["held out"][name] = {
            group: {"mean": float(of.mean()), "interval": mean_interval(of), "signers": len(of)}
            for group, of in halves.items()
        }
        values = typical[name].to_numpy()
        out["lowest tenth"][name] = {"median": float(np.median(values[worst])), "of all": float(np.median(values))}
    return out


def mean_interval(shares: np.ndarray, draws: int = 2000) -> list[float]:
    """95 % interval of a mean over signers, from drawing signers anew."""
    rng = np.random.default_rng(0)
    means = shares[rng.integers(len(shares), size=(draws, len(shares)))].mean(1)
    return np.percentile(means, [2.5, 97.5]).tolist()


def measure(image: np.ndarray, row: pd.Series) -> dict:
    """Side, brightness 0..1 of hand and scene, the hand's share of the picture's longer side, and sharpness."""
    import cv2

    height, width = image.shape[:2]
    xy = row[[f"{axis}{k}" for k in range(21) for axis in "xy"]].to_numpy(float).reshape(21, 2) * (width, height)
    low = np.clip(xy.min(0), 0, (width - 2, height - 2)).astype(int)
    high = np.clip(xy.max(0), low + 1, (width, height)).astype(int)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    hand = cv2.resize(gray[low[1] : high[1], low[0] : high[0]], (96, 96), interpolation=cv2.INTER_AREA)
    return {
        "brightness of the hand": float(hand.mean() / 255),
        "brightness of the scene": float(gray.mean() / 255),
        "size of the hand": float((high - low).max() / max(width, height)),
        "sharpness": float(np.log10(cv2.Laplacian(hand, cv2.CV_64F).var() + 1e-6)),
        "side": row["side"],
    }


def curve(people: People) -> dict:
    """Validation signers read by ``landmark`` after some training signers, with 48 drawn signers and without."""
    settings = preset("landmark", "people")
    drawn = drawn_examples(settings, doubts=False)
    names = pd.unique(people.signers)
    rng = np.random.default_rng(0)
    runs = [(size, rng.permutation(names)[:size]) for size in SIZES for _ in range(DRAWS)] + [(len(names), names)]
    rows = []
    for size, chosen in tqdm(runs, desc="signers", unit="set"):
        known = people.split(np.isin(people.signers, chosen))
        for added in (False, True):
            examples = joined_examples(known, drawn if added else [], doubts=False)
            epochs = math.ceil(STEPS * settings.training.batch / len(examples))
            model, _ = train(settings, examples, epochs=epochs, progress=False)
            read, _ = read_hands(model, people.valid)
            rows.append({"signers": size, "drawn": added, "mean": read["mean"], "lowest": read["lowest"]})
    return {"runs": rows, "draws": DRAWS, "drawn_signers": settings.signers}


def few_shot(people: People, draws: int = 5) -> dict:
    """Validation signers after ``landmark`` learned from k photos of each of their letters; the rest are read."""
    model, _ = load_model("landmark")
    memory = load_memory()
    before = model.eval()(memory).argmax(1)
    out = {}
    for k in SHOTS:
        shares: dict[str, np.ndarray] = {}
        kept = []
        for signer in tqdm(pd.unique(people.valid.table["signer"]), desc=f"{k} photos a letter", unit="signer"):
            hands = people.valid.subset((people.valid.table["signer"] == signer).to_numpy())
            pairs = []
            for draw in range(draws):
                chosen = draw_each(hands, k, np.random.default_rng([draw, k]))
                shown, rest = hands.subset(chosen), hands.subset(~chosen)
                taught = teach(model, hand_examples(shown.looks, shown.labels), 24, memory, TeachingSettings())
                pairs.append([share_right(net, rest) for net in (model, taught)])
                with torch.no_grad():
                    kept.append(float((taught(memory).argmax(1) == before).float().mean()))
            shares[signer] = np.mean(pairs, 0)
        means = np.mean([*shares.values()], 0)
        out[str(k)] = {
            "before": float(means[0]),
            "after": float(means[1]),
            "lowest_after": float(min(after for _, after in shares.values())),
            "kept": float(np.mean(kept)),
            "signers": len(shares),
            "by_signer": {signer: float(after) for signer, (_, after) in shares.items()},
        }
    return out


def share_right(model, hands: Hands) -> float:
    """Share of hands that is read right; a photo without a found hand is wrong."""
    said = look_probabilities(model, hands.looks)
    return float(((said.argmax(1) == hands.labels) & (said.max(1) > 0)).mean())


def draw_each(hands: Hands, k: int, rng: np.random.Generator) -> np.ndarray:
    """Mask of k originals of each letter, by chance: copies of one photo are never on both sides."""
    originals = hands.table.groupby("label")["original"].unique()
    chosen = {(label, name) for label, names in originals.items() for name in rng.permutation(names)[:k]}
    return np.array([pair in chosen for pair in zip(hands.table["label"], hands.table["original"], strict=True)])


def refused(people: People) -> dict:
    """Handshapes without a letter that ``default`` rejects where it accepts 97 % of the validation signers' hands."""
    model, _ = load_model("default")
    said = look_probabilities(model, people.valid.looks)
    threshold = float(np.quantile(said.max(1)[people.valid.looks.found], 1 - KEPT))
    out: dict = {"confidence_threshold": threshold, "drawn": {}, "photos": {}}
    for kind, others in (
        ("drawn", named_hands()),
        ("photos", load_letters("photos").only(("space", "del", "nothing"))),
    ):
        below = look_probabilities(model, track(others)).max(1) < threshold
        out[kind] = {name: float(below[others.letters == name].mean()) for name in sorted(set(others.letters))}
        out[f"{kind}, mean"] = float(np.mean([*out[kind].values()]))
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all, or the parts named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    only = parser.parse_args(arguments).only
    people = People()
    path = results_dir() / "people.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    for name in only:
        found[name] = globals()[name](people)
        found["data_sets"] = [data_card(letters) for letters in people.sets]
        save_result("people", found, people.sets[1], 0)
        print(f"{name}: written to {path}", flush=True)


if __name__ == "__main__":
    main()
