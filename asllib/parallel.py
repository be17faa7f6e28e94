"""Work on many cores or machines: any ``concurrent.futures.Executor``, our own processes, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from typing import Any

import asllib
from asllib.errors import InputError, first_line
from asllib.lazy import extra

IN_FLIGHT = 128 * 2**20  # bytes of the inputs that wait or are worked on: memory does not grow with the work
_ANSWER_S = 15  # that a scheduler may take to answer, and its first worker to be there


class Here(Executor):
    """Runs each call at once, in this thread."""

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Call and return what came of it; an error is raised here."""
        return finished(fn(*args, **kwargs))


def finished(value: Any) -> Future:
    """Wrap a value that is known as a future that is done."""
    future: Future = Future()
    future.set_result(value)
    return future


def as_done(jobs: Iterable[tuple[Any, int, Future]], in_flight: int = IN_FLIGHT) -> Iterator[tuple[Any, Any]]:
    """Go through jobs in the order in which they are done; what is not yet needed is not yet submitted.

    Parameters
    ----------
    jobs
        A name, the size of the inputs in bytes, and the future. A generator that submits as it is asked for the next.
    in_flight
        Bytes of inputs above which it is not asked.

    Yields
    ------
    tuple
        The name and the result.

    Raises
    ------
    InputError
        If a worker process was killed. Errors of a job are raised as they are.
    """
    jobs = iter(jobs)
    running: dict[Future, tuple[Any, int]] = {}
    size = 0
    try:
        while True:
            job = next(jobs, None)
            if job is None and not running:
                return
            if job is not None:
                running[job[2]] = job[:2]
                size += job[1]
            ready, _ = wait(running, None if job is None or size >= in_flight else 0, FIRST_COMPLETED)
            for future in ready:
                name, its_size = running.pop(future)
                size -= its_size
                yield name, future.result()
    except BrokenExecutor:
        raise InputError(
            "a worker process was killed, perhaps for want of memory; run it again with fewer --workers: what is done "
            "is kept (a script of your own must do its work below: if __name__ == '__main__':)"
        ) from None
    finally:  # after an error, Ctrl-C or a stopped cell: what has not begun never begins
        for future in running:
            future.cancel()


@contextmanager
def processes(workers: int | None = None) -> Iterator[Executor]:
    """Processes of this machine, by default one a core."""
    # Spawned, not forked: MediaPipe runs threads, and a fork of a process with threads can hang.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=spawn, initializer=_begin)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Leave Ctrl-C to the parent, which stops the workers without their tracebacks; end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Workers of a Dask cluster, which have the same version of asllib installed.

    Parameters
    ----------
    address
        Of the scheduler, as in ``tcp://10.0.0.1:8786``.

    Raises
    ------
    InputError
        If the package is missing, no scheduler or no worker answers, a worker has no asllib or another version, or the
        cluster breaks down on the way.
    """
    with extra("cluster"):
        from distributed import Client, KilledWorker
    try:
        client = Client(address, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = first_line(error)
        raise InputError(
            f"{address}: no Dask scheduler answers ({reason}); give the address that 'dask scheduler' prints"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_ANSWER_S)
            versions = client.run(_version)
        except TimeoutError:
            raise InputError(f"{address}: the scheduler has no workers; start some with 'dask worker'") from None
        except Exception as error:  # what a worker without this module says depends on how it fails
            raise InputError(f"{address}: a worker cannot use asllib ({error}); install it there too") from None
        for worker, version in versions.items():
            if version != asllib.__version__:
                raise InputError(f"{worker}: has asllib {version}, not {asllib.__version__}; install the same there")
        try:
            yield client.get_executor(pure=False)
        except (KilledWorker, CancelledError) as error:
            raise InputError(
                f"{address}: the cluster broke down ({type(error).__name__}: {first_line(error)}); "
                "run it again: what is done is kept"
            ) from None


def _version() -> str:
    return asllib.__version__
