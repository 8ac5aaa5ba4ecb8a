"""The pool: bounded, in order, and a worker that lingers gives way."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from dicomcore.net import workers
from dicomcore.net.poller import Facilities
from dicomcore.net.workers import Worker, WorkerPool

from .conftest import PATIENCE, eventually


def test_no_more_threads_than_allowed(facilities: Facilities) -> None:
    go_on = threading.Event()
    names: set[str] = set()
    done: list[int] = []

    def job(item: int, worker: Worker[int]) -> None:
        names.add(threading.current_thread().name)
        go_on.wait(PATIENCE)
        done.append(item)

    pool = WorkerPool(job, 3, "test", facilities)
    for item in range(20):
        pool.submit(item)
    eventually(lambda: len(names) == 3)
    assert pool.crowded
    go_on.set()
    assert pool.close(PATIENCE)
    assert sorted(done) == list(range(20))
    assert len(names) == 3


def test_an_idle_worker_takes_the_next(facilities: Facilities) -> None:
    names: list[str] = []
    pool: WorkerPool[int] = WorkerPool(
        lambda item, worker: names.append(threading.current_thread().name), 5, "test", facilities
    )
    wanted = 0

    def served() -> bool:
        return len(names) == wanted and pool.idle == 1

    for wanted in range(1, 6):
        pool.submit(wanted)
        eventually(served)
    assert len(set(names)) == 1
    assert pool.close(PATIENCE)


def test_a_lingering_worker_is_rung_for_other_work(facilities: Facilities) -> None:
    quiet, other = socket.socketpair()
    results: list[Any] = []

    def job(item: str, worker: Worker[str]) -> None:
        if item == "linger":
            results.append(worker.linger(quiet.fileno(), read=True, write=False, timeout=PATIENCE))
        else:
            results.append(item)

    pool = WorkerPool(job, 1, "test", facilities)
    pool.submit("linger")
    eventually(lambda: pool.lingering)
    pool.submit("work")
    eventually(lambda: results == [False, "work"])
    pool.submit("linger")
    eventually(lambda: pool.lingering)
    other.send(b"x")
    eventually(lambda: results == [False, "work", True])
    assert pool.close(PATIENCE)
    quiet.close()
    other.close()


def test_close_does_not_wait_for_ever(facilities: Facilities) -> None:
    go_on = threading.Event()

    def job(item: int, worker: Worker[int]) -> None:
        go_on.wait(PATIENCE)

    pool = WorkerPool(job, 1, "test", facilities)
    pool.submit(1)
    assert not pool.close(0.01)
    go_on.set()
    assert pool.close(PATIENCE)
    with pytest.raises(ValueError, match="worker"):
        WorkerPool(lambda item, worker: None, 0, "test", facilities)


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), RuntimeError("can't start new thread")])
def test_work_is_done_by_fewer_when_the_system_refuses_more(
    facilities: Facilities, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    done: list[int] = []
    pool: WorkerPool[int] = WorkerPool(lambda item, worker: done.append(item), 8, "test", facilities)

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        if isinstance(error, OSError):
            patch.setattr(workers, "Bell", refuse)
        else:
            patch.setattr(threading.Thread, "start", refuse)
        for item in range(100):
            pool.submit(item)
        eventually(lambda: len(done) == 100)
    assert len([record for record in caplog.records if "worker" in record.message]) <= 1
    assert pool.close(PATIENCE)
