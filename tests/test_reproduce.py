import json
import os
import signal
import threading
import time

import nbformat
import numpy as np
import PIL.Image
import pytest

from asllib import cli, reproduce
from asllib.errors import InputError


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout with one notebook that writes a result and a figure, as an earlier run wrote them."""
    for module in ("asllib.paths", "asllib.reproduce"):
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
    before = reproduce.snapshot()
    assert len(before) == 2 and reproduce.moved(before) == []
    write(project, accuracy=0.91, gray=101, seconds=3)  # within 0.02, and a time is no result
    assert reproduce.moved(before) == []
    assert reproduce.moved(before, band=1e-6) == ["data/results/one.json: accuracy was 0.9, is 0.91"]
    write(project, accuracy=0.8, gray=160, n=[3, 4, 5], extra="x")
    assert reproduce.moved(before) == [
        "data/results/one.json: accuracy was 0.9, is 0.8",
        "data/results/one.json: n was 2 values, is 3",
        "data/results/one.json: extra was None, is x",
        "figures/one.png: looks different, by 23.5% of the range on average",
    ]
    reproduce.put_back(before)
    assert reproduce.moved(before, band=0) == []


def test_tables_are_compared_by_column_and_small_runs_not_at_all(project):
    table = project / "figures" / "one.csv"
    table.write_text("model,accuracy\npixel,0.9\nNA,0.5\n")
    (project / "figures" / "ci").mkdir()
    (project / "figures" / "ci" / "one.csv").write_text("a\n1\n")
    before = reproduce.snapshot()
    assert len(before) == 3
    table.write_text("model,accuracy\npixel,0.89\nNA,0.4\n")
    assert reproduce.moved(before) == ["figures/one.csv: accuracy[1] was 0.5, is 0.4"]


def test_numbers_that_are_none_have_not_moved_and_blank_cells_leave_a_column_numbers(project):
    table = project / "figures" / "one.csv"
    table.write_text("model,best\npixel,\nlandmark,0.9621\n")
    write(project, accuracy=float("nan"), gray=100, none=None)
    before = reproduce.snapshot()
    table.write_text("model,best\npixel,\nlandmark,0.9622\n")
    write(project, accuracy=float("nan"), gray=100, none=None, seconds=1)
    assert reproduce.moved(before) == []
    table.write_text("model,best\npixel,0.5\nlandmark,0.9\n")
    assert reproduce.moved(before) == [
        "figures/one.csv: best[0] was , is 0.5",
        "figures/one.csv: best[1] was 0.9621, is 0.9",
    ]


def test_what_came_new_is_gone_when_results_are_put_back(project):
    before = reproduce.snapshot()
    (project / "data" / "results" / "synthetic").mkdir()
    new = [project / "data" / "results" / "synthetic" / "two.json", project / "figures" / "two.png"]
    for path in new:
        path.write_text("{}")
    notes = project / "figures" / "notes.txt"
    notes.write_text("mine")
    reproduce.put_back(before)
    assert reproduce.snapshot() == before and not any(path.exists() for path in new) and notes.exists()


@pytest.mark.slow
def test_a_run_that_is_no_check_keeps_what_is_there_and_what_is_new(project, monkeypatch):
    notebook(project, "open('../data/results/two.json', 'w').write('{}')")
    monkeypatch.setattr("sys.argv", ["asl", "reproduce"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    names = {path.name for path in reproduce.snapshot()}
    assert names == {"one.json", "one.png", "two.json"}


@pytest.mark.slow
def test_folders_that_are_named_from_here_are_the_same_in_a_notebook(project, monkeypatch, tmp_path):
    notebook(
        project, "import os; assert os.path.samefile(os.environ['ASLLIB_DATA'], '../mine'), os.environ['ASLLIB_DATA']"
    )
    (project / "mine").mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("ASLLIB_DATA", "mine")
    reproduce.run_notebook(reproduce.notebooks()[0], keep=False)


@pytest.mark.parametrize(("value", "code"), [("0.9", 0), ("0.5", 1)])
@pytest.mark.slow
def test_a_check_runs_the_notebooks_and_leaves_results_as_they_were(project, monkeypatch, capsys, value, code):
    notebook(project, f"open('../data/results/one.json', 'w').write('{{\"accuracy\": {value}, \"n\": [3, 4]}}')")
    before = reproduce.snapshot()
    monkeypatch.setattr("sys.argv", ["asl", "reproduce", "--check"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code or 0) == code
    said = capsys.readouterr().out
    assert ("accuracy was 0.9, is 0.5" in said) == bool(code) and ("Nothing moved" in said) != bool(code)
    assert "Not compared, since no notebook wrote them (1):\n  figures/one.png\n" in said
    assert reproduce.snapshot() == before

    monkeypatch.setattr("sys.argv", ["asl", "reproduce", "--check", "--json", "-"])
    with pytest.raises(SystemExit):
        cli.main()
    found = json.loads(capsys.readouterr().out)
    assert [book["notebook"] for book in found["notebooks"]] == ["01_one"] and found["notebooks"][0]["seconds"] > 0
    assert found["moved"] == (["data/results/one.json: accuracy was 0.9, is 0.5"] if code else [])
    assert found["not_compared"] == ["figures/one.png"]


@pytest.mark.slow
def test_a_check_that_compares_nothing_fails(project, monkeypatch, capsys):
    notebook(project, "open('../data/results/another.json', 'w').write('{}')")
    monkeypatch.setattr("sys.argv", ["asl", "reproduce", "--check"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert ended.value.code == 1 and "Nothing moved" not in out
    assert "nothing was compared" in err and "none of the 2 results and figures" in err


@pytest.mark.slow
def test_a_kernel_that_dies_is_one_line(project):
    notebook(project, "import os\nos._exit(1)")
    with pytest.raises(InputError, match=r"01_one\.ipynb failed: its kernel died") as caught:
        reproduce.run_notebook(project / "notebooks" / "01_one.ipynb", keep=False)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_a_run_that_is_stopped_says_so_in_one_line(project, monkeypatch, capfd):
    notebook(project, "import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(60)")

    def stop():
        while not (project / "notebooks" / "begun").exists():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop, daemon=True).start()
    monkeypatch.setattr("sys.argv", ["asl", "reproduce"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = [line for line in capfd.readouterr().err.replace("\r", "\n").splitlines() if line and "cells [" not in line]
    assert ended.value.code == 130 and said == ["asl: stopped"]


@pytest.mark.slow
def test_a_cell_without_an_end_is_one_line(project, monkeypatch):
    monkeypatch.setattr(reproduce, "CELL_S", 1)
    notebook(project, "import time\ntime.sleep(30)")
    with pytest.raises(InputError, match=r"01_one\.ipynb failed: a cell took more than") as caught:
        reproduce.run_notebook(project / "notebooks" / "01_one.ipynb", keep=False)
    assert "\n" not in str(caught.value)


def test_a_notebook_that_fails_leaves_results_as_they_were(project, monkeypatch, capsys):
    notebook(project, "open('../data/results/one.json', 'w').write('{}')\nraise RuntimeError('no')")
    before = reproduce.snapshot()
    monkeypatch.setattr("sys.argv", ["asl", "reproduce", "--check"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1 and "01_one.ipynb failed: RuntimeError: no" in capsys.readouterr().err
    assert reproduce.snapshot() == before
