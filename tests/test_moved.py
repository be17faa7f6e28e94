"""What a fresh run moves, on a checkout with one notebook."""

import json

import moved
import nbformat
import numpy as np
import PIL.Image
import pytest


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout with one notebook that writes a result and a figure, as an earlier run wrote them."""
    for module in ("asllib.paths", "asllib.reproduce", "moved"):
        monkeypatch.setattr(f"{module}.project_root", lambda: tmp_path)
    for folder in ("notebooks", "data/results", "figures"):
        (tmp_path / folder).mkdir(parents=True)
    write(tmp_path, accuracy=0.9, gray=100)
    return tmp_path


def write(root, accuracy, gray, **more):
    """Write the result and the figure."""
    content = {"accuracy": accuracy, "n": [3, 4], "versions": {"numpy": "2"}, **more}
    (root / "data" / "results" / "one.json").write_text(json.dumps(content))
    PIL.Image.fromarray(np.full((40, 60), gray, np.uint8)).save(root / "figures" / "one.png")


def notebook(root, code):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(book, root / "notebooks" / "01_one.ipynb")


def test_what_has_moved_is_named_and_what_is_within_the_band_is_not(project):
    before = moved.snapshot()
    assert len(before) == 2 and moved.moved(before) == []
    write(project, accuracy=0.91, gray=101, seconds=3)  # within 0.02, and a time is no result
    assert moved.moved(before) == []
    assert moved.moved(before, band=1e-6) == ["data/results/one.json: accuracy was 0.9, is 0.91"]
    write(project, accuracy=0.8, gray=160, n=[3, 4, 5], extra="x")
    assert moved.moved(before) == [
        "data/results/one.json: accuracy was 0.9, is 0.8",
        "data/results/one.json: n was 2 values, is 3",
        "data/results/one.json: extra was None, is x",
        "figures/one.png: looks different, by 23.5% of the range on average",
    ]
    moved.put_back(before)
    assert moved.moved(before, band=0) == []


def test_tables_are_compared_by_column_and_small_runs_not_at_all(project):
    table = project / "figures" / "one.csv"
    table.write_text("model,accuracy\npixel,0.9\nNA,0.5\n")
    (project / "figures" / "ci").mkdir()
    (project / "figures" / "ci" / "one.csv").write_text("a\n1\n")
    before = moved.snapshot()
    assert len(before) == 3
    table.write_text("model,accuracy\npixel,0.89\nNA,0.4\n")
    assert moved.moved(before) == ["figures/one.csv: accuracy[1] was 0.5, is 0.4"]


def test_numbers_that_are_none_have_not_moved_and_blank_cells_leave_a_column_numbers(project):
    table = project / "figures" / "one.csv"
    table.write_text("model,best\npixel,\nlandmark,0.9621\n")
    write(project, accuracy=float("nan"), gray=100, none=None)
    before = moved.snapshot()
    table.write_text("model,best\npixel,\nlandmark,0.9622\n")
    write(project, accuracy=float("nan"), gray=100, none=None, seconds=1)
    assert moved.moved(before) == []
    table.write_text("model,best\npixel,0.5\nlandmark,0.9\n")
    assert moved.moved(before) == [
        "figures/one.csv: best[0] was , is 0.5",
        "figures/one.csv: best[1] was 0.9621, is 0.9",
    ]


def test_what_came_new_is_gone_when_results_are_put_back(project):
    before = moved.snapshot()
    (project / "data" / "results" / "synthetic").mkdir()
    new = [project / "data" / "results" / "synthetic" / "two.json", project / "figures" / "two.png"]
    for path in new:
        path.write_text("{}")
    notes = project / "figures" / "notes.txt"
    notes.write_text("mine")
    moved.put_back(before)
    assert moved.snapshot() == before and not any(path.exists() for path in new) and notes.exists()


@pytest.mark.parametrize(("value", "code"), [("0.9", False), ("0.5", True)])
@pytest.mark.slow
def test_a_check_runs_the_notebooks_and_leaves_results_as_they_were(project, capsys, value, code):
    notebook(project, f"open('../data/results/one.json', 'w').write('{{\"accuracy\": {value}, \"n\": [3, 4]}}')")
    before = moved.snapshot()
    with pytest.raises(SystemExit) as ended:
        moved.main()
    said = capsys.readouterr().out
    assert ended.value.code == code
    assert ("accuracy was 0.9, is 0.5" in said) == code and ("Nothing moved" in said) != code
    assert "not compared, since no notebook wrote it: figures/one.png\n" in said
    assert moved.snapshot() == before


@pytest.mark.slow
def test_a_check_that_compares_nothing_fails(project, capsys):
    notebook(project, "open('../data/results/another.json', 'w').write('{}')")
    with pytest.raises(SystemExit) as ended:
        moved.main()
    assert "nothing was compared" in ended.value.code and "one of the 2 results and figures" in ended.value.code
    assert "Nothing moved" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_notebook_that_fails_leaves_results_as_they_were(project):
    notebook(project, "open('../data/results/one.json', 'w').write('{}')\nraise RuntimeError('no')")
    before = moved.snapshot()
    with pytest.raises(SystemExit, match=r"01_one\.ipynb failed: RuntimeError: no"):
        moved.main()
    assert moved.snapshot() == before
