"""A bounded pool of threads that run providers; each lingers a little on the association it has just served.

Back-to-back messages of one association then need no hand-off between threads. A lingering worker blocks in one
system call (no spinning) and is rung out of it as soon as other work waits and no worker is idle.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from dicomcore.net.poller import Bell, Facilities, Waiter
from dicomcore.net.watch import Log

__all__ = ["Worker", "WorkerPool"]

Item = TypeVar("Item")

log = Log("net")


class Worker(Generic[Item]):
    """What the job function sees of its thread."""

    def __init__(self, pool: WorkerPool[Item], facilities: Facilities) -> None:
        self._pool = pool
        self.bell = Bell(facilities)
        self._waiter = Waiter(facilities, self.bell)

    def linger(self, fd: int, *, read: bool, write: bool, timeout: float) -> bool:
        """Wait until `fd` is ready: True. False after `timeout` seconds, or at once when other work has no worker."""
        pool = self._pool
        with pool.lock:
            if (pool.queue and not pool.idle) or pool.closing:
                return False
            pool.lingering.add(self)
        ready = self._waiter.wait(fd, read=read, write=write, timeout=timeout)
        with pool.lock:  # others go through the set with it held
            pool.lingering.discard(self)
        return ready


class WorkerPool(Generic[Item]):
    """Up to `count` daemon threads, running `job(item, worker)` in the order of `submit`.

    The first starts with the pool, so that there is one whatever the system refuses later; the others on demand.
    """

    def __init__(
        self, job: Callable[[Item, Worker[Item]], None], count: int, name: str, facilities: Facilities
    ) -> None:
        if count < 1:
            raise ValueError("a worker pool needs at least one worker")
        self._job = job
        self._count = count
        self._name = name
        self._facilities = facilities
        self._threads: list[threading.Thread] = []
        self.lock = threading.Lock()
        self.condition = threading.Condition(self.lock)
        self.queue: deque[Item] = deque()
        self.lingering: set[Worker[Item]] = set()
        self.idle = 0
        self.closing = False
        self._refused = False  # the last attempt to start a thread failed
        self._start()

    @property
    def crowded(self) -> bool:
        """Work waits that no idle worker is about to take."""
        return len(self.queue) > self.idle

    def is_mine(self) -> bool:
        """Whether the calling thread belongs to this pool."""
        return threading.current_thread() in self._threads

    def submit(self, item: Item) -> None:
        """Queue an item; never blocks."""
        with self.condition:
            self.queue.append(item)
            if len(self.queue) <= self.idle:
                self.condition.notify()
            elif len(self._threads) < self._count and self._try_start():
                pass
            elif self.lingering:
                self.lingering.pop().bell.ring()

    def _try_start(self) -> bool:
        """One more thread, if the system has one to give; else the item waits for those that there are."""
        try:
            self._start()
        except (OSError, RuntimeError) as error:
            if not self._refused:
                log.warning("no further worker can be started now: %s", error)
            self._refused = True
            return False
        self._refused = False
        return True

    def _start(self) -> None:
        worker = Worker(self, self._facilities)
        # Daemons: a provider that never returns must not keep the process from ending (see Server.close).
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._run, args=(worker,), name=name, daemon=True)
        try:
            thread.start()
        except BaseException:
            worker.bell.close()
            raise
        self._threads.append(thread)

    def _run(self, worker: Worker[Item]) -> None:
        try:
            while True:
                with self.condition:
                    while not self.queue:
                        if self.closing:
                            return
                        self.idle += 1
                        self.condition.wait()
                        self.idle -= 1
                    item = self.queue.popleft()
                self._job(item, worker)
        finally:
            worker.bell.close()

    def close(self, timeout: float) -> bool:
        """Let the threads end once the queue is empty; True when all have ended within `timeout` seconds."""
        with self.condition:
            self.closing = True
            self.condition.notify_all()
            for worker in self.lingering:
                worker.bell.ring()
        deadline = monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))
        return not any(thread.is_alive() for thread in self._threads)
