"""Run the numbered notebooks in order: all results and figures, from the data to the table."""

import csv
import io
import json
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm.auto import tqdm

from asllib.config import profile
from asllib.data import find_photos, find_sign_mnist
from asllib.errors import InputError
from asllib.files import read_json
from asllib.lazy import extra
from asllib.paths import figures_dir, project_root, replacing, results_dir, write_bytes

with extra("notebooks"):
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

KERNEL = "python3"
CELL_S = 3600  # that a cell may take
BAND = 0.02  # that a number of another machine may differ by, relative to the larger one, and shares as such
_NOT_COMPARED = {"versions", "seconds", "milliseconds", "optuna"}  # of the machine, not of what was found
_PICTURE = 0.02  # mean difference of a figure's pixels, of the whole range: fonts differ, curves do not


def reproduce(check: bool, say: Callable[[str], None] = print) -> tuple[dict[str, Any], str]:
    """Run all notebooks; return what came of it, as JSON and as text.

    With ``check`` results and figures are left alone, and what moved is named; InputError if none were written.
    """
    books, before, begun, name = notebooks(), snapshot() if check else {}, time.time_ns(), profile().name
    # Only where both sets are real are the outputs better than those that are stored.
    keep = name == "paper" and not check and find_photos() is not None and find_sign_mnist() is not None
    say(f"{len(books)} notebooks, profile {name}" + ("" if keep else "; their stored outputs are left alone"))
    ran: list[dict[str, Any]] = []
    try:
        for book in books:
            with tqdm(desc=book.stem, unit="cell", bar_format="{desc}: {n_fmt}/{total_fmt} cells [{elapsed}]") as bar:
                ran.append({"notebook": book.stem, "seconds": run_notebook(book, keep, bar)})
        lines, left = moved(before), [_name(path) for path in sorted(before) if path.stat().st_mtime_ns < begun]
    finally:
        if check:  # else what is new stays
            put_back(before)
    content: dict[str, Any] = {"profile": name, "notebooks": ran}
    if not check:
        figures, results = str(project_root() / "figures"), str(project_root() / "data" / "results")
        return {**content, "figures": figures, "results": results}, f"Figures: {figures}; results: {results}"
    if len(left) == len(before):
        wrote = f"profile {name} on this data wrote none of the {len(before)} results and figures"
        raise InputError(f"nothing was compared: {wrote} that are there")
    said = ["\n  ".join([f"Not compared, since no notebook wrote them ({len(left)}):", *left])] if left else []
    said += lines or [f"Nothing moved: {len(before) - len(left)} results and figures are what they were."]
    return {**content, "moved": lines, "not_compared": left}, "\n".join(said)


def notebooks() -> list[Path]:
    """The numbered notebooks of the checkout, in order."""
    found = sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise InputError(f"no notebooks in {project_root()}: 'asl reproduce' runs in a checkout of the project")
    return found


def run_notebook(path: Path, keep: bool, bar: Any = None) -> float:
    """Run a notebook in a fresh kernel; return the seconds. InputError names it and what failed, a cell or the kernel.

    ``keep`` writes the outputs back into it, once it has run to its end; ``bar``, a tqdm, counts the cells.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=CELL_S, kernel_name=KERNEL, resources={"metadata": {"path": str(path.parent)}},
        record_timing=False, store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],  # its warnings would tear the progress bar
    )  # fmt: skip
    if bar is not None:
        bar.reset(len(notebook.cells))
        client.on_cell_complete = lambda cell, cell_index, **_: bar.update()
    started = time.perf_counter()
    # The interpreter that runs now, whatever the installed kernel spec names, and folders that are right in there too.
    spec = client.create_kernel_manager().kernel_spec
    assert spec is not None
    spec.argv[0] = sys.executable
    named = {name: os.environ[name] for name in ("ASLLIB_DATA", "ASLLIB_CACHE") if os.environ.get(name)}
    folders = {name: str(Path(folder).expanduser().resolve()) for name, folder in named.items()}
    try:
        try:
            client.execute(
                env={**os.environ, **folders}, stderr=subprocess.DEVNULL
            )  # where a kernel that ends complains
        except Exception:
            if hasattr(client, "_async_cleanup_kernel_future"):  # after Ctrl+C it ends the kernel, then misses it
                logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # so does a task of its own
                raise KeyboardInterrupt from None
            raise
    except CellExecutionError as error:
        what = f"{error.ename}: {error.evalue}".splitlines()[0]
        raise InputError(f"{path.name} failed: {what}; open it and run it to see where") from None
    except CellTimeoutError:
        raise InputError(f"{path.name} failed: a cell took more than {CELL_S} s; open it to see where") from None
    except DeadKernelError:
        raise InputError(f"{path.name} failed: its kernel died; was the memory full?") from None
    if keep:
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                # What changes from run to run and says nothing: progress bars and log lines.
                shown = [output for output in cell.outputs if output.get("name") != "stderr"]
                cell.outputs = [o for o in shown if "application/vnd.jupyter.widget-view+json" not in o.get("data", {})]
        notebook.metadata.pop("widgets", None)
        with replacing(path) as temporary:
            nbformat.write(notebook, temporary)
    return time.perf_counter() - started


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
            if now != content and (apart := _pictures_apart(content, now)) > _PICTURE:
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
            if key not in _NOT_COMPARED:
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
