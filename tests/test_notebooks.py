"""The notebooks as files, and the proof that nbval fails on one that is broken."""

from __future__ import annotations

import base64
import re
import shutil
import statistics
import subprocess
import sys

import nbformat
import pytest
from check_notebooks import MOST, faults

from asllib.paths import project_root

FOLDER = project_root() / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def compared(notebook):
    """Cells whose output depends neither on the data nor on the profile."""
    return [cell for cell in code_cells(notebook) if "nbval-check-output" in cell.metadata.get("tags", [])]


def lines(cell) -> int:
    return len([line for line in cell.source.splitlines() if line.strip()])


def text_of(output) -> str:
    return output.get("text", "") + "".join(
        value for kind, value in output.get("data", {}).items() if kind.startswith("text/")
    )


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    notebook = nbformat.read(request.param, as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_there_are_notebooks():
    assert {"01_data", "02_preprocessing", "03_landmarks"} <= {path.stem for path in NOTEBOOKS}


def test_most_notebooks_have_outputs_that_are_compared():
    notebooks = [nbformat.read(path, as_version=4) for path in NOTEBOOKS]
    assert sum(bool(compared(notebook)) for notebook in notebooks) > len(notebooks) / 2


def test_outputs_are_stored_from_one_run_without_errors(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    pictures = [picture for output in outputs for kind, picture in output.get("data", {}).items() if "image" in kind]
    assert pictures and max(map(len, pictures)) * 3 / 4 <= 150_000  # base64
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert not [output for output in outputs if "application/vnd.jupyter.widget-view+json" in output.get("data", {})]
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_of_real_data_and_small_and_name_no_folder(path):
    assert "the synthetic signer takes its place" not in path.read_text(encoding="utf-8")
    assert faults(path) == []


def test_the_attached_picture_is_the_one_in_figures():
    notebook = nbformat.read(FOLDER / "07_live.ipynb", as_version=4)
    (attached,) = (cell.attachments["live.webp"]["image/webp"] for cell in notebook.cells if "attachments" in cell)
    assert base64.b64decode(attached) == (project_root() / "figures" / "synthetic" / "live.webp").read_bytes()


def test_a_large_picture_and_an_absolute_path_are_found(tmp_path):
    image = {"image/png": base64.b64encode(bytes(MOST + 1)).decode()}
    outputs = [nbformat.v4.new_output("display_data", data) for data in (image, {"text/plain": ["'/home/me/a.csv'"]})]
    cells = [nbformat.v4.new_markdown_cell("[a](https://b.c/usr/d)"), nbformat.v4.new_code_cell("1", outputs=outputs)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert [fault.partition(", cell ")[2] for fault in faults(tmp_path / "a.ipynb")] == [
        "1: a picture of 150 kB; at most 150",
        '1: an absolute path, "/home/me/a.csv\'"',
    ]


def test_compared_cells_have_something_to_compare(notebook):
    for cell in compared(notebook):
        assert any(text_of(output) for output in cell.outputs), cell.source


def test_cells_are_short_and_the_first_ones_say_what_this_is(notebook):
    sizes = [lines(cell) for cell in code_cells(notebook)]
    assert statistics.median(sizes) <= 7 and max(sizes) <= 12 and len(sizes) <= 28
    assert sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown") <= 800
    title, first = notebook.cells[0], code_cells(notebook)[0]
    assert title.source.startswith("# ") and "**Question.**" in title.source and "minute" in title.source
    assert first.source.startswith("%matplotlib inline\n")


def test_all_imports_stand_in_the_first_cell_and_few_are_of_asllib(notebook):
    first, *others = code_cells(notebook)
    imports = re.compile(r"^\s*(import|from) ", re.M)
    assert not [cell.source for cell in others if imports.search(cell.source)]
    assert len(re.findall(r"^(?:import|from) asllib", first.source, re.M)) <= 6


def test_checks_are_hidden(notebook):
    for cell in code_cells(notebook):
        hidden = "hide" in cell.metadata.get("tags", [])
        assert hidden == bool(cell.metadata.get("jupyter", {}).get("source_hidden"))
        assert hidden == bool(re.search(r"^\s*assert |save_result\(", cell.source, re.M)), cell.source


@pytest.fixture(scope="module")
def nbval(tmp_path_factory):
    """Outcome of each cell of three copies that lie beside the conftest of the real notebooks, and what nbval said.

    A copy has the imports of the first notebook and its cells that are compared: seconds in the place of a minute. One
    is honest, one is broken in its second cell, and one has another output stored in its third.
    """
    folder = tmp_path_factory.mktemp("nbval")
    shutil.copy(FOLDER / "conftest.py", folder)
    for name in ("honest", "broken", "altered"):
        notebook = nbformat.read(FOLDER / "01_data.ipynb", as_version=4)
        notebook.cells = cells = [code_cells(notebook)[0], *compared(notebook)]
        if name == "broken":
            cells[1].source += "\nassert len(STATIC) == 26"
        elif name == "altered":
            output = cells[2].outputs[0]
            assert output.data["text/plain"] == "['J', 'Z']"
            output.data["text/plain"] = "['J']"
        nbformat.write(notebook, folder / f"{name}.ipynb")
    options = ["-rA", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120", "-p", "no:cacheprovider"]
    options.append(f"--rootdir={folder}")  # else a configuration in a folder above changes the names
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *folder.glob("*.ipynb")],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 1, run.stdout  # some failed, and nothing else went wrong
    found = re.findall(r"^([A-Z]+) (\w+)\.ipynb::Cell (\d+)\b", run.stdout, re.M)
    said = re.split(r"^_+ (\w+)\.ipynb::Cell \d+ _+$", run.stdout, flags=re.M)  # of those that failed
    outcomes = {(name, int(cell)): outcome for outcome, name, cell in found}
    assert len(outcomes) == len(found) == 3 * len(cells), run.stdout
    return outcomes, dict(zip(said[1::2], said[2::2], strict=True))


def first_that_fails(outcomes, name: str) -> int | None:
    """Number of the cell at which nbval with -x would stop."""
    return min((cell for (one, cell), outcome in outcomes.items() if one == name and outcome != "PASSED"), default=None)


@pytest.mark.slow
def test_nbval_passes_an_honest_copy(nbval):
    outcomes, said = nbval
    assert first_that_fails(outcomes, "honest") is None and "honest" not in said


@pytest.mark.slow
def test_nbval_catches_a_broken_cell(nbval):
    outcomes, said = nbval
    assert first_that_fails(outcomes, "broken") == 1 and outcomes["broken", 1] == "FAILED"
    assert "AssertionError" in said["broken"]


@pytest.mark.slow
def test_nbval_catches_an_altered_output(nbval):
    outcomes, said = nbval
    assert first_that_fails(outcomes, "altered") == 2 and outcomes["altered", 2] == "FAILED"
    assert "mismatch" in said["altered"]
