"""Fill the numbers of the pages in from ``data/results``: ``python docs/numbers.py``; with ``--check`` only compare.

A number in a page stands between two comments. The first says which result it is and how it is written:

    found in <!-- number tracker/tight_films/hand_found % -->98.4 %<!-- --> of the frames

No line begins with one: there Markdown ends the paragraph. The path is the name of a file in ``data/results``, then its
keys, or places in a list. ``*`` stands for all of them: with ``min`` or ``max`` before the format the least or the
greatest is taken, else the mean. ``NAMES`` shortens long paths.

A table stands between ``<!-- table NAME -->`` and ``<!-- -->``. Its rows are in ``TABLES``, where a number is given as
``{PATH FORMAT}``. A row is left out while one of its numbers is missing; of several rows in brackets the
first is taken that has all. A number in a sentence must be there.

``FORMATS`` lists the formats: ``%`` is a share as percent, ``%%`` with two places, ``percent`` without its sign,
``error`` what is missing to 100 %, ``2`` two places after the point.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "data/README.md", "asllib/weights/README.md", "benchmarks/*.md", "docs/**/*.md")
MARK = re.compile(r"(<!-- (number|table) (.+?) -->)(.*?)(<!-- -->)", re.S)
SOURCES = ("davidlee", "keptsecret", "massey", "t32rahman")

# The first part of a path, and what it stands for: "svm left out" is a system of the study with a protocol.
SYSTEMS = {
    "default": "default: joint network",
    "default undrawn": "joint network, no drawn hands",
    "landmark": "landmark network, photos only",
    "svm": "SVM on landmarks",
    "neighbours": "5 nearest neighbours on landmarks",
    "forest": "random forest on landmarks",
    "pixel": "pixel network, photos too",
    "pixel undrawn": "pixel network, no drawn hands",
}
PROTOCOLS = {"left out": "source left out", "signer out": "Massey signer left out", "split": "split by original"}
NAMES = {
    f"{system} {protocol}": f"study/systems/{long}/protocols/{of}"
    for system, long in SYSTEMS.items()
    for protocol, of in PROTOCOLS.items()
} | {
    "held out": "people/shipped/default",
    "calibration": "study/systems/default: joint network/calibration_error",
    "refused": "study/systems/default: joint network/refused_at_95_percent_kept",
    "changed": "tracker/changed_photos",
    "second": "tracker/two_hands/letters_off",
    "words": "spelling/words/speeds",
    "groups": "spelling/words/by_signer",
    "drawn": "study/systems/fairness",
    "mnist left out": "study/systems/pixel network/protocols/strangers' photos",
    "mnist with rooms": "study/systems/pixel network/protocols/strangers' photos, room kept",
    "onnx": "export/models",
}


def left_out(name: str, system: str) -> str:
    """A row of the table of sources left out."""
    cells = [f"{{{system} left out/{source}/accuracy percent}}" for source in SOURCES]
    return f"| {name} | {' | '.join(cells)} | {{{system} signer out/*/accuracy percent}} |"


def exported(name: str, what: str) -> str:
    """A row of the table of exported files."""
    shown = [f"{{onnx/{name}/{key}}}" for key in ("accuracy %", "bytes MB", "ms ms")]
    return f"| `{name}` | {what} | {' | '.join(shown)} |"


def grown(name: str, series: str) -> str:
    """A row of the table of growth."""
    exponents = " | ".join(f"n^{{scale/series/{series}/{of}_exponent 2}}" for of in ("time", "cpu", "memory"))
    sizes = f"{{scale/series/{series}/rows/0/items count}} to {{scale/series/{series}/rows/3/items count}}"
    memory = f"{{scale/series/{series}/base_mb count}} MB + {{scale/series/{series}/bytes_per_item kB}}"
    return f"| {name} | {sizes} | {exponents} | {memory} |"


def interval_row(name: str, group: str, path: str) -> str:
    """A row of a table of groups of people: mean over signers, its interval, how many signers."""
    interval = f"{{{path}/interval/0 %}} to {{{path}/interval/1 %}}"
    return f"| {name} | {group} | {{{path}/mean %}} | {interval} | {{{path}/signers count}} |"


# What is measured in a picture, from low to high.
PEOPLE_GROUPS = [
    (name, group)
    for name, names in {
        "brightness of the hand": ("dark", "medium", "bright"),
        "brightness of the scene": ("dark", "medium", "bright"),
        "size of the hand": ("small", "medium", "large"),
        "sharpness": ("blurred", "medium", "sharp"),
    }.items()
    for group in names
]
READ = ["| who was read | what | network | right | worst signer |", "| --- | --- | --- | --- | --- |"]
CARD = ["| whom it read | right |", "| --- | --- |"]
TABLES = {
    "readme": [
        *READ,
        "| {held out/photos/signers count} signers held out | photos, 24 letters | `default` |"
        " {held out/photos/mean %} | {held out/photos/lowest %} |",
        "| {held out/frames of films/signers count} signers held out | landmarks, 24 letters | `default` |"
        " {held out/frames of films/mean %} | {held out/frames of films/lowest %} |",
        (
            "| {people/left_out/photos/signers count} signers, each held out once | photos, 24 letters | `landmark` |"
            " {people/left_out/photos/mean %} | {people/left_out/photos/lowest %} |",
            "| four photo collections, each held out once | photos, 24 letters | `default` |"
            " {default left out/*/accuracy %} | |",
        ),
        "| {spelling/filmed/signers count} signers held out | films, 26 letters | `spelling` |"
        " {spelling/filmed/right %} | {spelling/filmed/by_signer/* min %} |",
        "| {words/2/words count} drawn signers held out | words in films | `spelling` | {words/2/cer error} | |",
        "| Sign Language MNIST, most likely the same people as in training | its official test | `pixel` |"
        " {onnx/pixel/accuracy %} | |",
    ],
    "left out": [
        "| right, %, of 24 letters | davidlee | keptsecret | massey | t32rahman | a Massey signer |",
        "| --- | --- | --- | --- | --- | --- |",
        left_out("**`default`**", "default"),
        left_out("`landmark`", "landmark"),
        left_out("SVM on landmarks", "svm"),
        left_out("5 nearest neighbours on landmarks", "neighbours"),
        left_out("random forest on landmarks", "forest"),
        left_out("`default` without drawn hands", "default undrawn").rpartition("{")[0] + "not measured |",
        left_out("`pixel`", "pixel").rpartition("{")[0] + "not measured |",
        left_out("`pixel` without drawn hands", "pixel undrawn").rpartition("{")[0] + "not measured |",
        left_out("pixel network, Sign Language MNIST alone", "mnist").rpartition("{")[0] + "not measured |",
    ],
    "people": [
        "Nothing of these signers was in training, and each signer counts the same. Validation signers, of the set"
        " [people](reference/people.md), chose between networks and set confidence thresholds, so new people may be"
        " read a little less well. All other signers were held out once, in five groups; two of the 34 are"
        " photo collections without signers' names, one of many volunteers.",
        "",
        "| network | signers | what | right on average | lowest tenth | the signer read worst |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| `{network}` | {{people/{path}/signers count}}, {who} | {what} |"
            f" {{people/{path}/mean %}} | {{people/{path}/lowest_tenth %}} | {{people/{path}/lowest %}} |"
            for network, path, who, what in (
                ("landmark", "left_out/photos", "each held out", "photos"),
                ("landmark", "left_out/landmark sequences", "each held out", "landmarks"),
                ("default", "shipped/default/photos", "for validation", "photos"),
                ("landmark", "shipped/landmark/photos", "for validation", "photos"),
                ("pixel", "shipped/pixel/photos", "for validation", "photos"),
                ("default", "shipped/default/frames of films", "for validation", "landmarks of films"),
                ("landmark", "shipped/landmark/frames of films", "for validation", "landmarks of films"),
            )
        ),
    ],
    "default": [
        *CARD,
        "| {held out/photos/signers count} signers held out for validation, photos |"
        " {held out/photos/mean %} on average, lowest {held out/photos/lowest %} |",
        "| {held out/frames of films/signers count} signers held out for validation, landmarks of films |"
        " {held out/frames of films/mean %} on average, lowest {held out/frames of films/lowest %} |",
        *(f"| the photo collection {name}, held out | {{default left out/{name}/accuracy %}} |" for name in SOURCES),
        "| one of Massey's five signers, held out |"
        " {default signer out/*/accuracy %} on average, lowest {default signer out/*/accuracy min %} |",
        "| 24 synthetic signers, held out | {drawn/accuracy %} |",
    ],
    "landmark": [
        *CARD,
        "| {people/shipped/landmark/photos/signers count} signers held out for validation, photos |"
        " {people/shipped/landmark/photos/mean %} on average, lowest {people/shipped/landmark/photos/lowest %} |",
        *(f"| the photo collection {name}, held out | {{landmark left out/{name}/accuracy %}} |" for name in SOURCES),
        "| one of Massey's five signers, held out |"
        " {landmark signer out/*/accuracy %} on average, lowest {landmark signer out/*/accuracy min %} |",
    ],
    "pixel": [
        *CARD,
        "| Sign Language MNIST's official test | {onnx/pixel/accuracy %} |",
        "| photos of {people/shipped/pixel/photos/signers count} signers held out for validation |"
        " {people/shipped/pixel/photos/mean %} |",
        *(f"| the photo collection {name}, held out | {{pixel left out/{name}/accuracy %}} |" for name in SOURCES),
    ],
    "spelling": [
        "| what it read | result |",
        "| --- | --- |",
        *(
            f"| words of {{words/{speed}/words count}} synthetic signers held out, {said} letters a second |"
            f" {{words/{speed}/cer %}} of the letters are wrong |"
            for speed, said in ((2, "two"), (4, "four"))
        ),
        "| 200 real J and Z by one signer, as landmarks | {spelling/strokes/read %} are read:"
        " J {spelling/strokes/by_sign/J %}, Z {spelling/strokes/by_sign/Z %} |",
        "| 1,000 other signs by this signer | {spelling/strokes/false %} are read as J or Z |",
        "| {spelling/filmed/clips count} letters filmed by {spelling/filmed/signers count} signers held out for"
        " validation, as landmarks | {spelling/filmed/right %} are read, and nothing else |",
        *(
            f"| still hands of {{spelling/stills/{how}/signers count}} signers held out for validation, {said},"
            f" 0.8 s each in turn | {{spelling/stills/{how}/cer %}} of the letters are wrong |"
            for how, said in (("photos", "from photos"), ("landmarks", "as landmarks"))
        ),
    ],
    "groups": [
        "| `default`, right, 24 letters | | |",
        "| --- | --- | --- |",
        *(
            f"| {group} | {name} | {{drawn/by/{group}/{name}/accuracy %}} |"
            for group, names in {
                "skin tone (Monk)": ("1-3", "4-6", "7-10"),
                "hand": ("left", "right"),
                "age": ("below 18", "18 and older"),
                "light": ("dim", "bright"),
                "camera angle": ("below 20 degrees", "20 to 35 degrees"),
            }.items()
            for name in names
        ),
    ],
    "photos of people": [
        "| photos, a third each | | `default`, right | 95 % interval | signers |",
        "| --- | --- | --- | --- | --- |",
        *(interval_row(name, group, f"people/groups/validation/{name}/{group}") for name, group in PEOPLE_GROUPS),
    ],
    "halves of signers": [
        "| signers, half each, by their middle photo | | `landmark`, right | 95 % interval | signers |",
        "| --- | --- | --- | --- | --- |",
        *(
            interval_row(name, group, f"people/groups/held out/{name}/{group}")
            for name, group in PEOPLE_GROUPS
            if group != "medium"
        ),
    ],
    "lowest tenth": [
        "| the middle photo of a signer | lowest tenth | all |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {{{path}/median 2}} | {{{path}/of all 2}} |"
            for name in dict(PEOPLE_GROUPS)
            for path in [f"people/groups/lowest tenth/{name}"]
        ),
    ],
    "words": [
        "| `spelling`, words | | letters wrong | frames with a hand | frames with the wrong side |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {group} | {name} | {{groups/{group}/{name}/cer %}} | {{groups/{group}/{name}/hand_found %}} |"
            f" {{groups/{group}/{name}/side_wrong %}} |"
            for group, names in {
                "skin tone": ("light (1-3)", "medium (4-6)", "dark (7-10)"),
                "hand": ("left", "right"),
                "age": ("below 18", "adult", "old"),
            }.items()
            for name in names
        ),
    ],
    "rejected": [
        "| what the hand shows | rejected |",
        "| --- | --- |",
        *(
            f"| {said} | {{people/refused/drawn/{name} %}} |"
            for name, said in {
                "rest": "a relaxed hand",
                "open-five": "an open hand",
                "ily": '"I love you"',
                "thumb-up": "thumbs up",
            }.items()
        ),
    ],
    "harder": [
        "| photo | right | read as a wrong letter | hand found |",
        "| --- | --- | --- | --- |",
        *(
            f"| {said} | {{changed/{name}/right %}} | {{changed/{name}/wrong %}} | {{changed/{name}/hand_found %}} |"
            for name, said in {
                "as it is": "as it is",
                "room, 50 % of its height": "in a room, at half its height",
                "room, 25 % of its height": "in a room, at a quarter of its height",
                "grey": "without colour",
                "gamma 5": "very dark (gamma 5)",
                "twice over-exposed": "over-exposed, twice the light",
                "noise, sd 25": "noise, standard deviation 25 of 255",
                "blue cast": "blue light",
                "tilted by 30 degrees": "tilted by 30 degrees",
                "turned by 90 degrees": "turned by 90 degrees",
                "turned by 180 degrees": "turned by 180 degrees",
            }.items()
        ),
    ],
    "second hand": [
        "| second hand | letters that change |",
        "| --- | --- |",
        "| lowered | {second/at rest count} at rest, {second/lowered and gesturing count} when it gestures |",
        "| enters and leaves | {second/enters and leaves count} |",
        "| of a second person behind | {second/of a second person behind count} |",
    ],
    "scale rates": [
        "| | processor time each | one process | two processes |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {{scale/series/{one}/cpu_ms_per_item ms}} | {{scale/series/{one}/items_per_second count}} a"
            f" second | {{scale/series/{two}/items_per_second count}} a second |"
            for name, one, two in (
                ("photos, `asl extract`", "photos, 1 process", "photos, 2 processes"),
                ("frames, `asl read`", "video, 1 process", "two videos, 2 processes"),
            )
        ),
    ],
    "scale work": [
        "| work | one process | two processes | processor time |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {{scale/{hours}/1 process hours}} | {{scale/{hours}/2 processes hours}} |"
            f" {{scale/core_{hours.removesuffix('_as_measured')} hours}} |"
            for name, hours in (
                ("a million photos", "hours_for_a_million_photos_as_measured"),
                ("a thousand hours of video", "hours_for_a_thousand_hours_of_video_as_measured"),
            )
        ),
    ],
    "scale growth": [
        "| | sizes | time | processor time | peak memory | memory, by straight lines |",
        "| --- | --- | --- | --- | --- | --- |",
        grown("photos, one process", "photos, 1 process"),
        grown("64 photos again and again, one process", "the same photos, 1 process"),
        grown("photos, two processes", "photos, 2 processes"),
        grown("photos, all but the tracker", "photos, all but the tracker"),
        grown("landmark table, written and read", "landmark table"),
        grown("video, one process", "video, 1 process"),
        grown("two videos, two processes", "two videos, 2 processes"),
    ],
    "scale long": [
        "| | items | seconds | peak memory of the command |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {{scale/long/{series}/items count}} | {{scale/long/{series}/seconds count}} |"
            f" {{scale/long/{series}/peak_mb count}} MB |"
            for name, series in (
                ("photos, two processes", "photos, 2 processes"),
                ("frames of a video", "video, 1 process"),
            )
        ),
    ],
    "onnx": [
        "| network | read | right | size | an item |",
        "| --- | --- | --- | --- | --- |",
        exported("pixel", "{onnx/pixel/data/rows count} images of the official test"),
        exported("landmark", "{onnx/landmark/data/rows count} photos"),
        exported("default", "the same photos"),
    ],
}


FORMATS = {
    "%": lambda share: f"{100 * share:.1f} %",
    "percent": lambda share: f"{100 * share:.1f}",
    "error": lambda share: f"{100 * (1 - share):.1f} %",
    "count": lambda number: f"{number:,.0f}",
    "s": lambda seconds: f"{seconds:.1f} s",
    "ms": lambda milliseconds: f"{milliseconds:.2f} ms",
    "hours": lambda hours: f"{hours:.1f} hours",
    "kB": lambda size: f"{size / 1e3:.1f} kB an item",
    "MB": lambda size: f"{size / 1e6:.2f} MB",
    "%%": lambda share: f"{100 * share:.2f} %",
    "2": lambda number: f"{number:.2f}",
    "3": lambda number: f"{number:.3f}",
}


class Missing(Exception):
    """A number that is in no result; its text is the path."""


def found(path: str, results: Path) -> list[float]:
    """The numbers at a path, several where it has a ``*``."""
    first, _, rest = path.partition("/")
    name, *keys = f"{NAMES.get(first, first)}/{rest}".split("/")
    file = results / f"{name}.json"
    values = [json.loads(file.read_text(encoding="utf-8"))] if file.is_file() else []
    for key in keys:
        held = [{str(k): one for k, one in enumerate(v)} if isinstance(v, list) else v for v in values]
        held = [value for value in held if isinstance(value, dict)]
        values = [each for value in held for name, each in value.items() if key in (name, "*")]
    if not values or not all(isinstance(value, int | float) for value in values):
        raise Missing(path)
    return values


def written(mark: str, results: Path) -> str:
    """What a mark, PATH [min|max] FORMAT, says: ``"98.4 %"``."""
    path, form = mark.rsplit(" ", 1)
    chosen = re.fullmatch(r"(.+) (min|max)", path)
    values = found(chosen[1] if chosen else path, results)
    value = {"min": min, "max": max}[chosen[2]](values) if chosen else sum(values) / len(values)
    return FORMATS[form](value)


def table(name: str, results: Path) -> str:
    """A table without the rows whose numbers are missing; nothing where all are."""
    rows = []
    for row in TABLES[name]:
        for choice in (row,) if isinstance(row, str) else row:
            try:
                rows.append(re.sub(r"\{(.+?)\}", lambda mark: written(mark[1], results), choice))
                break
            except Missing as missing:
                print(f"table {name}: a row is left out, no result {missing}", file=sys.stderr)
    return "\n\n" + "\n".join(rows) + "\n\n" if not rows[-1].startswith("| ---") else "\n\n"


def filled(text: str, results: Path) -> str:
    """A page with its numbers as the results have them now."""

    def fill(mark: re.Match[str]) -> str:
        begin, kind, name, _, end = mark.groups()
        return begin + (table if kind == "table" else written)(name, results) + end

    return MARK.sub(fill, text)


def main(root: Path = ROOT, check: bool = False) -> list[Path]:
    """Fill in the pages below ``root``, or with ``check`` only compare them; return those that were out of date."""
    old = []
    for page in sorted({page for pattern in PAGES for page in root.glob(pattern)}):
        text = page.read_text(encoding="utf-8")
        try:
            new = filled(text, root / "data" / "results")
        except Missing as missing:
            sys.exit(f"{page.relative_to(root)}: no result {missing} in data/results")
        if new != text:
            old.append(page.relative_to(root))
            if not check:
                page.write_text(new, encoding="utf-8")
    return old


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit("usage: python docs/numbers.py [--check]")
    only_check = sys.argv[1:] == ["--check"]
    pages = main(check=only_check)
    print(*(f"{page}: {'out of date' if only_check else 'written'}" for page in pages), sep="\n")
    if only_check and pages:
        sys.exit("run 'python docs/numbers.py'")
