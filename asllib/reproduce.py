"""Run the numbered notebooks in order: all results and figures, from the data to the table."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from asllib.config import profile
from asllib.data import find_photos, find_sign_mnist
from asllib.errors import InputError
from asllib.lazy import extra
from asllib.paths import cache_dir, data_dir, figures_dir, project_root, replacing, results_dir

with extra("notebooks"):
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

CELL_S = 3600  # time limit of a cell


def reproduce(say: Callable[[str], None] = print) -> dict[str, Any]:
    """Run all notebooks; return the profile, each notebook's seconds, and where figures and results are."""
    books, name = notebooks(), profile().name
    # Replace the stored outputs only if both sets are real.
    keep = name == "paper" and find_photos() is not None and find_sign_mnist() is not None
    say(f"{len(books)} notebooks, profile {name}" + ("" if keep else "; their stored outputs are left alone"))
    ran = [{"notebook": book.stem, "seconds": run_notebook(book, keep)} for book in books]
    return {"profile": name, "notebooks": ran, "figures": str(figures_dir()), "results": str(results_dir())}


def notebooks() -> list[Path]:
    """The numbered notebooks of the checkout, in order."""
    found = sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise InputError(f"no notebooks in {project_root()}: 'asl reproduce' runs in a checkout of the project")
    return found


def run_notebook(path: Path, keep: bool) -> float:
    """Run a notebook in a fresh kernel and ``keep`` its outputs; return the seconds. InputError says what failed."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=CELL_S, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}},
        record_timing=False, store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],  # warnings would break the progress bar
    )  # fmt: skip
    # Use this interpreter, whatever the installed kernel spec names, and absolute folders.
    spec = client.create_kernel_manager().kernel_spec
    assert spec is not None
    spec.argv[0] = sys.executable
    folders = {"ASLLIB_DATA": str(data_dir()), "ASLLIB_CACHE": str(cache_dir())}
    started, shown = time.perf_counter(), "{desc}: {n_fmt}/{total_fmt} cells [{elapsed}]"
    try:
        with tqdm(desc=path.stem, total=len(notebook.cells), bar_format=shown) as bar:
            client.on_cell_complete = lambda cell, cell_index, **_: bar.update()
            # A kernel writes to stderr when it ends.
            client.execute(env={**os.environ, **folders}, stderr=subprocess.DEVNULL)
    except Exception as error:
        if hasattr(client, "_async_cleanup_kernel_future"):  # after Ctrl+C it ends the kernel, then misses it
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # so does a task of its own
            raise KeyboardInterrupt from None
        if isinstance(error, CellExecutionError):
            wrong = f"{error.ename}: {error.evalue}".splitlines()[0] + "; open it and run it to see where"
        elif isinstance(error, CellTimeoutError):
            wrong = f"a cell took more than {CELL_S} s; open it to see where"
        elif isinstance(error, DeadKernelError):
            wrong = "its kernel died; was the memory full?"
        else:
            raise
    else:
        if keep:
            _write_outputs(path, notebook)
        return time.perf_counter() - started
    raise InputError(f"{path.name} failed: {wrong}")


def _write_outputs(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Write a notebook without outputs that change from run to run: times, progress bars and log lines."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            shown = [output for output in cell.outputs if output.get("name") != "stderr"]
            cell.outputs = [o for o in shown if "application/vnd.jupyter.widget-view+json" not in o.get("data", {})]
    notebook.metadata.pop("widgets", None)
    with replacing(path) as temporary:
        nbformat.write(notebook, temporary)
