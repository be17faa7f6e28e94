"""Say what a fresh run of the notebooks moves: which numbers and figures differ from those that are stored.

    python benchmarks/moved.py

All notebooks are run, and what they write is compared with the results and figures that are there; then everything is
put back. The exit code is 1 if something moved, or if nothing was compared: the data that the results are from must be
there. Versions and times are not compared.
"""

import csv
import io
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asllib.errors import InputError
from asllib.files import read_json
from asllib.paths import figures_dir, project_root, results_dir, write_bytes
from asllib.reproduce import notebooks, run_notebook

BAND = 0.02  # that a number of another machine may differ by, relative to the larger one, and shares as such
NOT_COMPARED = {"versions", "seconds", "milliseconds", "optuna"}  # of the machine, not of what was found
PICTURE = 0.02  # mean difference of a figure's pixels, of the whole range: fonts differ, curves do not


def check() -> tuple[list[str], list[str]]:
    """Run all notebooks and put everything back: what moved, a line each, and the files that none of them wrote."""
    before, begun = snapshot(), time.time_ns()
    try:
        for book in notebooks():
            print(f"{book.stem}: {run_notebook(book, keep=False):.0f} s")
        lines, left = moved(before), [_name(path) for path in sorted(before) if path.stat().st_mtime_ns < begun]
    finally:
        put_back(before)
    if len(left) == len(before):
        raise InputError(f"nothing was compared: no notebook wrote one of the {len(before)} results and figures here")
    return lines, left


def snapshot() -> dict[Path, bytes]:
    """Contents of all results and figures but small runs', to compare a fresh run with and to put back."""
    files = (*results_dir().rglob("*.json"), *figures_dir().rglob("*.png"), *figures_dir().rglob("*.csv"))
    return {path: path.read_bytes() for path in files if path.parent.name != "ci"}


def put_back(before: dict[Path, bytes]) -> None:
    """Write the files of a ``snapshot`` as they were, and delete what has come since."""
    for path in snapshot().keys() - before.keys():
        path.unlink()
    for path, content in before.items():
        if not path.is_file() or path.read_bytes() != content:
            write_bytes(path, content)


def moved(before: dict[Path, bytes], band: float = BAND) -> list[str]:
    """Say what differs from a ``snapshot``, a line each; numbers by more than ``band`` of the larger, or of 1."""
    lines = []
    for path, content in sorted(before.items()):
        now = path.read_bytes()
        if path.suffix == ".png":
            if now != content and (apart := _pictures_apart(content, now)) > PICTURE:
                lines.append(f"{_name(path)}: looks different, by {apart:.1%} of the range on average")
            continue
        old, new = (json.loads(content), read_json(path)) if path.suffix == ".json" else (_table(content), _table(now))
        lines += [f"{_name(path)}: {where} was {a}, is {b}" for where, a, b in _differences("", old, new, band)]
    return lines


def _name(path: Path) -> str:
    return str(path.relative_to(project_root()))


def _table(content: bytes) -> dict[str, list[float | str]]:
    """Columns of a CSV file by their names; cells that are no numbers, or blank, as texts."""

    def value(cell: str) -> float | str:
        try:
            return float(cell)
        except ValueError:
            return cell

    names, *rows = csv.reader(io.StringIO(content.decode()))
    return {name: [value(row[place]) for row in rows] for place, name in enumerate(names)}


def _differences(where: str, old: Any, new: Any, band: float) -> Iterator[tuple[str, Any, Any]]:
    """Yield place, old and new value of what differs in two JSON documents."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            if key not in NOT_COMPARED:
                yield from _differences(f"{where}.{key}".lstrip("."), old.get(key), new.get(key), band)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{where}[{number}]", *pair, band)
    elif isinstance(old, int | float) and isinstance(new, int | float):
        if not (math.isclose(old, new, rel_tol=band, abs_tol=band) or (math.isnan(old) and math.isnan(new))):
            yield where, old, new
    elif isinstance(old, list) and isinstance(new, list):
        yield where, f"{len(old)} values", f"{len(new)}"
    elif old != new:
        yield where, old, new


def _pictures_apart(old: bytes, new: bytes) -> float:
    """Mean difference of two pictures' grey pixels, 0..1; 1 if they have another size."""
    one, other = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) for data in (old, new))
    # Words of another width, as a time, may change the size a little.
    if one is None or other is None or max(np.abs(np.subtract(one.shape, other.shape))) > 20:
        return 1.0
    height, width = np.minimum(one.shape, other.shape)
    return float(np.abs(one[:height, :width].astype(float) - other[:height, :width]).mean() / 255)


def main() -> None:
    """Compare, and say what moved."""
    try:
        lines, left = check()
    except InputError as error:
        sys.exit(f"moved: {error}")
    print(*[f"not compared, since no notebook wrote it: {name}" for name in left], sep="\n")
    print(*lines or ["Nothing moved."], sep="\n")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
