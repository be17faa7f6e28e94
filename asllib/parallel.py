"""Work on many cores or machines: any ``concurrent.futures.Executor``, our own processes, or a Dask cluster."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asllib
from asllib.errors import InputError, first_line
from asllib.lazy import extra
from asllib.paths import load, replacing

IN_FLIGHT = 128 * 2**20  # most bytes of inputs that wait or run: memory does not grow with the number of jobs
_ANSWER_S = 15  # for a scheduler to answer, and for its first worker to appear


@dataclass(frozen=True)
class Job:
    """A function, its arguments, their size in bytes, and the file, if any, that keeps its result for a later run."""

    call: tuple[Any, ...]
    size: int = 0
    path: Path | None = None


class Here(Executor):
    """Runs each call at once, in this thread; an error is raised by ``submit``."""

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Call the function, and wrap its result."""
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def results(
    jobs: Iterable[Job],
    executor: Executor,
    read: Callable[[Path], Any] | None = None,
    write: Callable[[Any, Path], object] | None = None,
    in_flight: int = IN_FLIGHT,
) -> Iterator[Any]:
    """Yield the results of jobs in their order; read kept results, and submit jobs only when there is room.

    The next of ``jobs`` is taken while less than ``in_flight`` bytes of inputs wait or run. ``write`` keeps a result in
    its job's file at once; a result that ``read`` cannot read is made again. InputError if a worker process was killed;
    errors of a job are raised unchanged.
    """
    waiting: dict[Future, tuple[int, Job]] = {}
    done: dict[int, Any] = {}  # results before their turn
    numbered, size, turn = enumerate(jobs), 0, 0
    try:
        while True:
            number, job = next(numbered, (0, None))
            if job is None and not waiting:
                return
            if job is not None:
                known = load(job.path, read) if job.path and read else None
                if known is not None:
                    done[number] = known
                else:
                    waiting[executor.submit(*job.call)] = number, job
                    size += job.size
            ready, _ = wait_for(waiting, None if job is None or size >= in_flight else 0, FIRST_COMPLETED)
            for future in ready:
                number, job = waiting.pop(future)
                size -= job.size
                done[number] = future.result()
                if job.path and write:
                    with replacing(job.path) as temporary:
                        write(done[number], temporary)
            while turn in done:
                yield done.pop(turn)
                turn += 1
    except BrokenExecutor:
        raise InputError(
            "a worker process was killed, perhaps for want of memory; run it again with fewer --workers: "
            "finished parts are kept (a script of your own must do its work below: if __name__ == '__main__':)"
        ) from None
    finally:  # after an error, Ctrl-C or a stopped cell: cancel jobs that have not begun
        for future in waiting:
            future.cancel()


@contextmanager
def workplace(executor: Executor | None, workers: int) -> Iterator[Executor]:
    """The given executor, else so many processes of this machine; a single worker is this thread."""
    if executor is not None or workers == 1:
        yield executor or Here()
        return
    # Spawned, not forked: MediaPipe runs threads, and a fork of a process with threads can hang.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Leave Ctrl-C to the parent, which stops the workers without tracebacks; end if the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    def end_with_parent() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


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
        except TimeoutError:
            raise InputError(f"{address}: the scheduler has no workers; start some with 'dask worker'") from None
        except Exception as error:  # the error of a worker without this module varies
            raise InputError(f"{address}: a worker cannot use asllib ({error}); install it there too") from None
        for worker, found in versions.items():
            if found != asllib.__version__:
                raise InputError(f"{worker}: has asllib {found}, not {asllib.__version__}; install the same there")
        try:
            yield client.get_executor(pure=False)
        except (KilledWorker, CancelledError) as error:
            said = f"the cluster broke down ({type(error).__name__}: {first_line(error)})"
            raise InputError(f"{address}: {said}; run it again: finished parts are kept") from None
