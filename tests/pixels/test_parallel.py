"""Work on several threads: all of it once, in the caller too, and the failure of the lowest number."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from dicomcore.pixels.parallel import run, usable_cores

Work = Callable[[int, int], None]


@pytest.mark.parametrize("workers", [None, 1, 2, 5])
@pytest.mark.parametrize(("count", "chunk"), [(0, 1), (1, 1), (17, 1), (17, 4), (17, 100), (5, 0)])
def test_everything_is_done_once(workers: int | None, count: int, chunk: int) -> None:
    done: list[int] = []
    started: list[int] = []

    def start() -> Work:
        started.append(threading.get_ident())
        return lambda first, stop: done.extend(range(first, stop))

    before = threading.active_count()
    run(count, start, workers=workers, chunk=chunk)
    assert sorted(done) == list(range(count))
    assert threading.active_count() == before
    assert len(started) <= max(workers or usable_cores(), 1)
    assert threading.get_ident() in started


def test_threads_work_at_once() -> None:
    """Three workers meet at a barrier, which none would pass alone."""
    barrier = threading.Barrier(3, timeout=240)

    def work(first: int, stop: int) -> None:
        barrier.wait()

    run(3, lambda: work, workers=3)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_first_failure_is_raised_and_ends_the_work(workers: int) -> None:
    done: list[int] = []

    def work(first: int, stop: int) -> None:
        if first >= 7:
            raise ValueError(first)
        done.append(first)

    with pytest.raises(ValueError, match=r"^7$"):
        run(1000, lambda: work, workers=workers)
    assert sorted(done) == list(range(7))


def test_an_interrupt_is_raised_and_all_threads_have_ended() -> None:
    caller = threading.get_ident()
    gate = threading.Event()

    def work(first: int, stop: int) -> None:
        if threading.get_ident() == caller:
            gate.set()
            raise KeyboardInterrupt
        assert gate.wait(60)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run(1000, lambda: work, workers=2)
    assert threading.active_count() == before


def test_a_worker_that_cannot_start_is_told() -> None:
    def start() -> Work:
        raise OSError("nothing to work with")

    for workers in (1, 2):
        with pytest.raises(OSError, match="nothing to work with"):
            run(3, start, workers=workers)


def test_no_worker_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        run(1, lambda: lambda first, stop: None, workers=0)
