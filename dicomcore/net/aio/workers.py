"""Where an asyncio driver has done what may block: on threads, a bounded number of them.

A server has a pool of its own, of daemon threads, so that a provider which never returns keeps no process alive. An
association that asks uses the loop's default executor: it owns no thread. Outcomes come back to the loop, in its
thread. `Pace` says whether short work on files may be done in the loop itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from dicomcore.net.poller import Facilities
from dicomcore.net.workers import Worker, WorkerPool

__all__ = ["SMALL", "Pace", "Workers"]

Outcome = TypeVar("Outcome")

SMALL: Final = 256 * 1024  # bytes that may be written to a file, or read from one, in the loop
SLOW: Final = 0.020  # seconds after which that was a mistake
REST: Final = 256  # how often it is not tried again then


class Pace:
    """A page that the system holds is faster read than handed to a thread, until the disk has to be waited for."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = 0

    def quick(self) -> bool:
        """Whether to do it here."""
        if self._rest:
            self._rest -= 1
            return False
        return True

    def took(self, seconds: float) -> None:
        """What was done here took so long."""
        if seconds > SLOW:
            self._rest = REST


class Workers:
    """Threads for one loop: ``count`` of its own, or (0) those of the loop's default executor."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int, facilities: Facilities) -> None:
        self.loop = loop
        self.pace = Pace()
        self._pool: WorkerPool[Callable[[], None]] | None = None
        if count:
            self._pool = WorkerPool(_work, count, "dicomcore-aio", facilities)

    def submit(self, job: Callable[[], None]) -> None:
        """Have a thread run a job that raises nothing."""
        if self._pool is not None:
            self._pool.submit(job)
        else:
            self.loop.run_in_executor(None, job)

    def post(self, action: Callable[..., object], *arguments: object) -> None:
        """Have the loop call something; from any thread. Nobody is left to care when the loop is closed."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(action, *arguments)

    def run(self, function: Callable[..., Outcome], *arguments: Any) -> asyncio.Future[Outcome]:
        """The outcome of a function that a thread runs. It must not raise StopIteration."""
        future: asyncio.Future[Outcome] = self.loop.create_future()

        def job() -> None:
            try:
                outcome = function(*arguments)
            except BaseException as error:  # also SystemExit: it belongs to who waits
                self.post(_fail, future, error)
            else:
                self.post(_succeed, future, outcome)

        self.submit(job)
        return future

    def close(self) -> None:
        """Let the threads end; one that is stuck is not waited for."""
        if self._pool is not None:
            self._pool.close(0.05)


def _work(job: Callable[[], None], _: Worker[Callable[[], None]]) -> None:
    job()


def _succeed(future: asyncio.Future[Any], outcome: object) -> None:
    if not future.done():
        future.set_result(outcome)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
