"""Computing threads, joined before the call returns: the one place below `net` that starts any.

The calling thread is one of the workers. Work is handed out in order, so that the failure that is raised is the one of
the lowest number whatever the threads do; after a failure, or Ctrl-C, nothing more is handed out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock, Thread

__all__ = ["run", "usable_cores"]

Work = Callable[[int, int], None]


def usable_cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # pragma: no cover - not Linux


def run(count: int, start: Callable[[], Work], *, workers: int | None = None, chunk: int = 1) -> None:
    """Do ``work(first, stop)`` over all of ``range(count)``, at most ``chunk`` numbers at a time.

    ``start()`` is called once by each worker and answers its ``work``. ``workers``: as many as usable cores when it is
    not given, and never more than there are chunks.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; at least one has to do the work")
    chunk = max(chunk, 1)
    crew = min(usable_cores() if workers is None else workers, -(-count // chunk))
    if crew <= 1:
        work = start()
        for first in range(0, count, chunk):
            work(first, min(first + chunk, count))
        return
    shifts = iter(range(0, count, chunk))
    lock = Lock()
    failures: dict[int, BaseException] = {}

    def labour() -> None:
        first = -1
        try:
            work = start()
            while not failures:
                with lock:
                    first = next(shifts, count)
                if first == count:
                    return
                work(first, min(first + chunk, count))
        except BaseException as error:  # raised again by the caller's thread
            failures[first] = error

    threads = [Thread(target=labour, name=f"dicomcore-pixels-{number}", daemon=True) for number in range(1, crew)]
    started: list[Thread] = []
    try:
        for thread in threads:
            thread.start()
            started.append(thread)
        labour()
    except BaseException as error:  # no more threads to be had, or an interrupt between two lines
        failures.setdefault(-1, error)
    finally:
        for thread in started:
            thread.join()
    if failures:
        raise failures[min(failures)]
