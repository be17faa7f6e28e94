"""Run the numbered notebooks in order: all results and figures, from the data to the table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from asllib.errors import InputError
from asllib.paths import project_root, replacing

KERNEL = "python3"


def notebooks() -> list[Path]:
    """The numbered notebooks of the checkout, in order."""
    found = sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise InputError(f"no notebooks in {project_root()}: 'asl reproduce' runs in a checkout of the project")
    return found


def run_notebook(path: Path, keep: bool, on_cell: Callable[[int, int], None] = lambda done, total: None) -> float:
    """Run a notebook in a fresh kernel; return the seconds.

    Parameters
    ----------
    path
        The notebook.
    keep
        Write the outputs back into it, once it has run to its end.
    on_cell
        Called after each cell with the number of cells done and in all.

    Raises
    ------
    InputError
        If a cell fails; the message names notebook, cell and error.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(path, as_version=4)
    total = len(notebook.cells)
    client = NotebookClient(
        notebook,
        timeout=3600,
        kernel_name=KERNEL,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],  # its warnings would tear the progress bar
    )
    client.on_cell_complete = lambda cell, cell_index, **_: on_cell(cell_index + 1, total)
    started = time.perf_counter()
    _use_this_python(client)
    try:
        client.execute()
    except CellExecutionError as error:
        what = f"{error.ename}: {error.evalue}".splitlines()[0]
        raise InputError(f"{path.name} failed: {what}; open it and run it to see where") from None
    if keep:
        _clean(notebook)
        with replacing(path) as temporary:
            nbformat.write(notebook, temporary)
    return time.perf_counter() - started


def _use_this_python(client) -> None:
    """Start the kernel with the interpreter that runs now, whatever the installed kernel spec names."""
    manager = client.create_kernel_manager()
    manager.kernel_spec.argv[0] = sys.executable


def _clean(notebook) -> None:
    """Drop what changes from run to run and says nothing: progress bars and log lines."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_noise(output)]
    notebook.metadata.pop("widgets", None)


def _is_noise(output) -> bool:
    return output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in output.get("data", {})
