import json
import os
import signal
import threading
import time

import nbformat
import pytest

from asllib import cli, reproduce
from asllib.errors import InputError


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout without notebooks."""
    for module in ("asllib.paths", "asllib.reproduce"):
        monkeypatch.setattr(f"{module}.project_root", lambda: tmp_path)
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def notebook(root, code):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(book, root / "notebooks" / "01_one.ipynb")


@pytest.mark.slow
def test_the_command_runs_each_notebook_and_says_where_things_are(project, asl):
    notebook(project, "open('made', 'w').write('x')")
    code, out, _ = asl("reproduce")
    assert code == 0 and "1 notebooks" in out and f"results: {project / 'data' / 'results'}" in out
    assert (project / "notebooks" / "made").is_file()
    code, out, _ = asl("reproduce", "--json", "-")
    found = json.loads(out)
    assert [book["notebook"] for book in found["notebooks"]] == ["01_one"] and found["notebooks"][0]["seconds"] > 0


@pytest.mark.slow
def test_folders_that_are_named_from_here_are_the_same_in_a_notebook(project, monkeypatch, tmp_path):
    notebook(
        project, "import os; assert os.path.samefile(os.environ['ASLLIB_DATA'], '../mine'), os.environ['ASLLIB_DATA']"
    )
    (project / "mine").mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("ASLLIB_DATA", "mine")
    reproduce.run_notebook(reproduce.notebooks()[0], keep=False)


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
