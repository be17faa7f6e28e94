"""Work on many cores or machines: any ``concurrent.futures.Executor``, our own processes, or a Dask cluster."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from typing import Any, TypeVar

import asllib
from asllib.errors import InputError, first_line
from asllib.lazy import extra

T = TypeVar("T")

_ANSWER_S = 15  # for a scheduler to answer, and for its first worker to appear


def done(result: T) -> "Future[T]":
    """Wrap a result that is known already."""
    future: Future[T] = Future()
    future.set_result(result)
    return future


def processes(workers: int) -> Executor:
    """Processes of this machine."""
    # Spawned, not forked: MediaPipe runs threads, and a fork of a process with threads can hang.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """Leave Ctrl-C to the parent, which stops the workers without tracebacks; end if the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    def end_with_parent() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def in_order(tasks: Iterable[tuple[T, Future]], most: int) -> Generator[tuple[T, Any], None, None]:
    """Yield the results of submitted tasks in their order, each with what came with its task.

    At most ``most`` tasks wait or run. InputError if a worker was killed; errors of a task are raised unchanged.
    """
    tasks, waiting = iter(tasks), deque[tuple[T, Future]]()
    try:
        waiting.extend(islice(tasks, most))
        while waiting:
            about, future = waiting.popleft()
            yield about, future.result()
            waiting.extend(islice(tasks, 1))
    except BrokenExecutor:
        cure = "run it again with fewer --workers: finished parts are kept"
        script = "a script of your own must do its work below: if __name__ == '__main__':"
        raise InputError(f"a worker process was killed, perhaps for want of memory; {cure} ({script})") from None
    finally:  # after an error, Ctrl-C or a stopped cell: cancel tasks that have not begun
        for _, future in waiting:
            future.cancel()


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Workers of a Dask cluster with the same version of asllib, by the scheduler's address, ``tcp://10.0.0.1:8786``.

    InputError if the package is missing, nothing answers, a worker has another asllib, or the cluster breaks down.
    """
    with extra("cluster"):
        from distributed import Client, KilledWorker
    try:
        client = Client(address, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        said = f"no Dask scheduler answers ({first_line(error)}); give the address that 'dask scheduler' prints"
        raise InputError(f"{address}: {said}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_ANSWER_S)
            versions = client.run(version, "asllib")
        except Exception as error:  # no worker, or one without asllib, whose error varies
            said = f"no worker that can use asllib ({first_line(error)}); start 'dask worker' where asllib is installed"
            raise InputError(f"{address}: {said}") from None
        if found := set(versions.values()) - {asllib.__version__}:
            raise InputError(f"{address}: a worker has asllib {found.pop()}; install {asllib.__version__} there")
        try:
            yield client.get_executor(pure=False)
        except (KilledWorker, CancelledError) as error:
            said = f"the cluster broke down ({type(error).__name__}: {first_line(error)})"
            raise InputError(f"{address}: {said}; run it again: finished parts are kept") from None
