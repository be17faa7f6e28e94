"""Write the tables of ``docs/study.md`` and draw its figures, from what ``study.py`` and ``spelling.py`` measured.

    python benchmarks/study_page.py

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; what is there is replaced.
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from asllib.files import read_json
from asllib.paths import project_root, results_dir, write_text
from asllib.plots import accuracy_bars, line_panels
from asllib.results import save_figure

PAGE = project_root() / "docs" / "study.md"
DEFAULT = "default: joint network"
LEAST = 10  # photos in a range of confidence; of fewer, chance would draw spikes


def percent(share: float) -> str:
    """A share as a percentage; nothing where nothing was measured."""
    return "" if pd.isna(share) else f"{100 * share:.1f}"


def interval(part: dict[str, Any]) -> str:
    """The ends of a 95 % interval, as percentages."""
    return " to ".join(percent(end) for end in part["interval"])


def markdown(first: str, table: pd.DataFrame) -> str:
    """Write a table of texts with its index as the first column."""
    rows = [[first, *table.columns], ["---"] * (1 + table.shape[1]), *table.reset_index().astype(str).to_numpy()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def systems(study: dict[str, Any]) -> str:
    rows = {}
    for name, result in study.items():
        found = result.get("protocols", {})
        if "source left out" in found:
            row = {f"{source} left out": part["accuracy"] for source, part in found["source left out"].items()}
            mean = sum(row.values()) / len(row)
            tenths = {
                f"a tenth, {which}": next((part["accuracy"] for part in found.get(which, {}).values()), None)
                for which in ("random split", "split by original")
            }
            rows[name] = tenths | row | {"mean of the four": mean}
    return markdown("system", pd.DataFrame(rows).T.map(percent))


def left_out(parts: dict[str, Any]) -> pd.DataFrame:
    rows = {
        name: {"photos": f"{part['n']:,}", "right, %": percent(part["accuracy"]), "95 % interval": interval(part)}
        for name, part in parts.items()
    }
    return pd.DataFrame(rows).T


def branches(default: dict[str, Any]) -> str:
    rows = {}
    for name, part in (*default["branches"].items(), ("both", default["protocols"])):
        rows[name] = {source: found["accuracy"] for source, found in part["source left out"].items()}
    table = pd.DataFrame(rows).T.rename({"look branch": "embedding branch"})
    return markdown("what is read", table.assign(mean=table.mean(axis=1)).map(percent))


def on_mnist(study: dict[str, Any]) -> str:
    ways = {"strangers' photos": "hand alone", "strangers' photos, room kept": "room kept"}
    rows = {}
    for name, result in study.items():
        found = result.get("protocols", {})
        if "strangers' photos, room kept" in found:
            rows[name] = {"official test": found["official test"]["official test"]["accuracy"]}
            for way, shown in ways.items():
                parts = pd.DataFrame(found.get(way, {}).values(), columns=["accuracy", "top5"])
                rows[name] |= {f"strangers, {shown}": parts["accuracy"].mean(), f"{shown}, top 5": parts["top5"].mean()}
    return markdown("system", pd.DataFrame(rows).T.map(percent))


def costs(study: dict[str, Any]) -> str:
    times = study["milliseconds"]
    timed = {  # the shipped networks, by the systems that they are
        DEFAULT: "default",
        "landmark network, photos only": "landmark",
        "pixel network, photos too": "pixel",
        "landmark network x pixel network": "landmark x pixel",
    }
    rows = {}
    for name, result in study.items():
        if "training_seconds" in result:
            values = (
                result["parameters"],
                result["training_seconds"],
                result.get("milliseconds", times.get(timed.get(name))),
            )
            rows[name] = [
                f"{v:{form}}" if v is not None else "" for v, form in zip(values, (",", ".1f", ".2f"), strict=True)
            ]
    rows["the look at the hand, before any of them"] = ["", "", f"{times['look at a hand']:.2f}"]
    return markdown("system", pd.DataFrame(rows, ["parameters", "training, s", "a letter, ms"]).T)


SHOWN = {
    "ily": '"I love you"',
    "open-five": "an open hand",
    "rest": "a relaxed hand",
    "thumb-up": "thumbs up",
    "del": 'photos "delete"',
    "nothing": 'photos "nothing"',
    "space": 'photos "space"',
}
HELD = "letters held for 0.5, 1, 2 or 4 s that are read: written once, at the worst of these times"


def load_study() -> dict[str, Any]:
    """Results of ``benchmarks/study.py`` by system."""
    return read_json(results_dir() / "study.json", "result file")["systems"]


def tables() -> dict[str, str]:
    """Each table of the page by its name."""
    study, spelling = load_study(), read_json(results_dir() / "spelling.json", "result file")
    shipped = read_json(results_dir() / "people.json", "result file")["refused"]["drawn"]
    default, fair, words = study[DEFAULT], study["fairness"], spelling["words"]
    refused = pd.DataFrame(default["refused_at_95_percent_kept"] | {"as shipped": shipped})
    by = {f"{what}: {who}": part for what, parts in fair["by"].items() for who, part in parts.items()}
    groups = left_out(by).assign(signers=[str(part["signers"]) for part in by.values()])
    pairs = pd.DataFrame(default["hard_pairs"]).head(8).set_index("pair")
    pairs["share"] = pairs["share"].map(percent)
    speeds = {
        speed: {
            "wrong, %": percent(one["cer"]),
            "95 % interval": interval(one),
            "after the lexicon, %": percent(one["cer_lexicon"]),
            "delay, s": f"{one['delay_median_s']:.2f}",
        }
        for speed, one in words["speeds"].items()
    }
    shown = {"cer": "wrong, %", "hand_found": "hand found, % of frames", "side_wrong": "taken for the other hand, %"}
    tones = pd.DataFrame(words["by_signer"]["skin tone"]).T[list(shown)].map(percent)
    filmed, stills = spelling["filmed"], spelling["stills"]
    people = {
        f"letters filmed by {filmed['signers']} signers: the letter is read, and nothing else": percent(
            filmed["right"]
        ),
        "of these, the signer read worst": percent(min(filmed["by_signer"].values())),
        **{
            f"still hands of {stills[how]['signers']} signers {said}, 0.8 s each in turn: wrong letters": percent(
                stills[how]["cer"]
            )
            for how, said in (("photos", "from photos"), ("landmarks", "as landmarks"))
        },
        "one signer's 200 J and Z: read": percent(spelling["strokes"]["read"]),
        "1,000 other signs by this signer: taken for J or Z": percent(spelling["strokes"]["false"]),
        HELD: percent(min(spelling["held"]["real"].values())),
    }
    doubles = percent(spelling["doubles"]["written_twice"])
    drawn = {
        HELD: percent(min(spelling["held"]["drawn"].values())),
        f"{spelling['doubles']['doubles']} doubled letters, slid or bounced: written twice": doubles,
    }
    return {
        "systems": systems(study),
        "sources": markdown("source left out", left_out(default["protocols"]["source left out"])),
        "signers": markdown("signer left out", left_out(default["protocols"]["Massey signer left out"])),
        "branches": branches(default),
        "pairs": markdown("pair", pairs.rename(columns={"share": "share, %"})),
        "mnist": on_mnist(study),
        "costs": costs(study),
        "refused": markdown("hands", refused.drop("threshold").rename(SHOWN).map(percent)),
        "fairness": markdown("synthetic signers", groups),
        "speeds": markdown("letters a second", pd.DataFrame(speeds).T),
        "tones": markdown("skin tone (Monk)", tones.rename(columns=shown)),
        "moving": markdown("people", pd.DataFrame({"%": people})),
        "doubled": markdown("synthetic signers", pd.DataFrame({"%": drawn})),
    }


def written(page: str) -> str:
    """The page with its tables made anew."""
    made = tables()
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)",
        lambda m: f"{m[1]}\n{made[m[2]]}\n\n{m[3]}",
        page,
        flags=re.DOTALL,
    )


def draw() -> None:
    """Draw the two figures."""
    default = load_study()[DEFAULT]
    bars = pd.DataFrame(
        [
            ("default", f"{name} left out", part["accuracy"], *part["interval"])
            for name, part in default["protocols"]["source left out"].items()
        ],
        columns=["network", "name", "accuracy", "low", "high"],
    )
    save_figure(accuracy_bars(bars, "Default network. Data: photos of the letters"), "unseen_people")
    ranges = pd.DataFrame(default["reliability"]).query(f"n >= {LEAST}").set_index("confidence")["accuracy"]
    lines = {"measured": ranges, "as sure as right": pd.Series([0.0, 1.0], [0.0, 1.0])}
    said = "Default network, sources left out. Data: photos of the letters"
    save_figure(line_panels({"": lines}, "confidence", "share that is right", said), "reliability")


if __name__ == "__main__":
    write_text(PAGE, written(PAGE.read_text(encoding="utf-8")))
    draw()
