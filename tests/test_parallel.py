"""Executors: our processes, threads, and a Dask cluster of two worker processes on this machine."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from asllib.data import load_photos
from asllib.errors import InputError, first_line
from asllib.hands import ATTEMPTS, extract, extract_landmarks, read_landmarks
from asllib.parallel import cluster, in_order, processes

pytestmark = pytest.mark.slow

FAST = ATTEMPTS[:1]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Address of a scheduler with two worker processes on 127.0.0.1, whose folders know no relative path of ours."""
    distributed = pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("workers")
    with (
        pytest.MonkeyPatch.context() as patch,
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
            worker_dashboard_address=None, local_directory=str(folder), silence_logs=50,
        ) as local,
    ):  # fmt: skip
        patch.chdir(folder)
        yield local.scheduler_address


def sleepy(seconds: float, value: int) -> int:
    time.sleep(seconds)
    return value


def refuse(what: str) -> None:
    raise InputError(f"{what}: not this one")


def test_results_come_in_the_order_of_their_tasks():
    with ThreadPoolExecutor(2) as pool:
        tasks = [(k, pool.submit(sleepy, seconds, 10 * k)) for k, seconds in enumerate((0.3, 0.0, 0.1))]
        assert list(in_order(tasks, 2)) == [(0, 0), (1, 10), (2, 20)]
    assert list(in_order([], 2)) == []


@pytest.mark.parametrize("error", [InputError("x: bad"), KeyboardInterrupt()])
def test_little_waits_and_an_error_ends_what_has_not_begun(error):
    futures, asked = [Future() for _ in range(9)], []

    def tasks():
        for k in range(9):
            asked.append(k)
            if k == 3:  # no more than three wait at once: the first is done before the fourth
                assert futures[0].done()
            yield k, futures[k]

    with ThreadPoolExecutor(1) as later:
        later.submit(lambda: (time.sleep(0.1), futures[0].set_result("done")))
        later.submit(lambda: (time.sleep(0.2), futures[1].set_exception(error)))
        found = in_order(tasks(), 3)
        assert next(found) == (0, "done") and asked == [0, 1, 2]
        with pytest.raises(type(error)):
            next(found)
    assert asked == [0, 1, 2, 3] and futures[2].cancelled() and futures[3].cancelled() and not futures[4].done()


def test_a_killed_process_of_ours_is_one_line():
    with processes(2) as pool, pytest.raises(InputError, match="a worker process was killed"):
        list(in_order([(None, pool.submit(os._exit, 9))], 2))


def test_a_cluster_gives_the_same_table(scheduler, lit_hands, hand_table, tmp_path, monkeypatch):
    monkeypatch.chdir(lit_hands[1].parent)
    photos = load_photos(lit_hands[1].name).images  # under a relative path, which means nothing to the workers
    with cluster(scheduler) as executor:
        pd.testing.assert_frame_equal(
            extract_landmarks(photos, executor=executor, attempts=FAST, progress=False), hand_table
        )
        with pytest.raises(InputError, match="x: not this one"):
            list(in_order([(None, executor.submit(refuse, "x"))], 2))


class Murderous(Executor):
    """Hands calls on, and kills a worker of the cluster before the fourth."""

    def __init__(self, executor: Executor) -> None:
        self.executor, self.calls = executor, 0

    def submit(self, fn, /, *arguments):
        self.calls += 1
        if self.calls == 4:
            self.killed = self.executor.submit(os.getpid).result()
            os.kill(self.killed, signal.SIGKILL)
        return self.executor.submit(fn, *arguments)


def test_a_killed_worker_loses_nothing(scheduler, lit_hands, hand_table, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "CHUNK", 8)
    photos = load_photos(lit_hands[1]).images
    with cluster(scheduler) as executor:
        killing = Murderous(executor)
        table = extract_landmarks(photos, executor=killing, attempts=FAST, progress=False, checkpoint=tmp_path)
    assert killing.calls == 6 and len(list(tmp_path.iterdir())) == 6
    pd.testing.assert_frame_equal(table, hand_table)


def test_the_command_stopped_goes_on(scheduler, lit_hands, no_data, asl):
    """Killed at once without a chance to tidy up, then run again."""
    photos = lit_hands[1]
    out = no_data / "landmarks.parquet"
    code = "from asllib.hands import extract; extract.CHUNK = 8; from asllib.cli import main; main()"
    command = [sys.executable, "-c", code, "extract", str(photos), "--out", str(out), "--cluster", scheduler]
    started = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[1])
    chunks = no_data / "cache" / "extract"
    until = time.monotonic() + 120
    while not list(chunks.glob("*/[0-9a-f]*.parquet")):
        assert started.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    started.kill()
    started.wait()
    assert not out.exists()
    before = {path.name for path in chunks.glob("*/[0-9a-f]*.parquet")}
    real, stored = pd.DataFrame.to_parquet, []

    def store(part, path, **how):
        if isinstance(path, Path) and chunks in path.parents:
            stored.append(path.name.partition("-")[2])
        return real(part, path, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "CHUNK", 8)
        patch.setattr(pd.DataFrame, "to_parquet", store)
        code, said, err = asl("extract", photos, "--out", out, "--cluster", scheduler)
    assert code == 0 and "48 photos" in said, err
    assert not set(stored) & before and len(stored) == 6 - len(before) < 6
    table = extract_landmarks(load_photos(photos).images, progress=False, workers=1)
    pd.testing.assert_frame_equal(read_landmarks(out).drop(columns="label"), table.drop(columns="label"))
    assert not list(chunks.iterdir())


def test_an_address_without_a_scheduler_is_one_line(asl, lit_hands, no_data, monkeypatch):
    monkeypatch.setattr("asllib.parallel._ANSWER_S", 1)
    for address, said in (("tcp://127.0.0.1:1", "no Dask scheduler answers"), ("nonsense://x", "no Dask scheduler")):
        code, _, err = asl("extract", lit_hands[1], "--out", no_data / "a.csv", "--cluster", address)
        assert code == 1 and said in err and err.count("\n") == 1
    address = ("--cluster", "tcp://127.0.0.1:1", "--workers", 1)
    code, _, err = asl("extract", lit_hands[1], "--out", no_data / "a.csv", *address)
    assert code == 1 and "leave out one" in err and not (no_data / "a.csv").exists()


def test_an_error_without_a_message_is_told_by_its_name():
    assert first_line(TimeoutError()) == "TimeoutError" and first_line(ValueError("one\ntwo")) == "one"
