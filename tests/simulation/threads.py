"""Threads under the simulated clock: the blocking drivers as they are, with every switch of threads left to a seed.

Of all threads one runs at a time, the one that holds the baton; it gives it up where it waits (`Condition.wait`,
a poller, a lingering worker), before it takes a lock, and where the work of a provider takes time. `installed` puts
this in place of ``threading``, ``monotonic``, sockets and pollers in the modules of the drivers, so that the real
`Server`, `WorkerPool`, `ServedConnection` and blocking `Association` run here, and a seed is a run.
"""

from __future__ import annotations

import threading as real
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

import dicomcore.net.association as association_module
import dicomcore.net.calls as calls_module
import dicomcore.net.connection as connection_module
import dicomcore.net.door as door_module
import dicomcore.net.provider as provider_module
import dicomcore.net.server as server_module
import dicomcore.net.workers as workers_module
from dicomcore.errors import NegotiationError
from dicomcore.net.memory.wire import Conduct, Plug, Schedule, join

__all__ = ["Killed", "Threads", "installed"]

MODULES = (
    association_module,
    calls_module,
    connection_module,
    door_module,
    provider_module,
    server_module,
    workers_module,
)


class Killed(BaseException):
    """The simulation is over, and this thread with it."""


class Task:
    """A thread of the simulation; what `current_thread` answers."""

    def __init__(self, threads: Threads, target: Callable[..., object], args: tuple[Any, ...], name: str) -> None:
        self.threads = threads
        self.name = name
        self.number = next(threads.numbers)
        self.gate = real.Semaphore(0)
        self.token = 0
        self.parked = False
        self.over = False
        self.error: BaseException | None = None
        self.joining: list[Task] = []
        self._work = partial(target, *args)
        self._thread = real.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        threads = self.threads
        threads.tasks.append(self)
        self._thread.start()
        threads.schedule.later(threads.reaction(), partial(threads.switch, self))

    def _run(self) -> None:
        self.gate.acquire()
        try:
            if not self.threads.ending:
                self._work()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self.over = True
        for task in self.joining:
            self.threads.unpark(task)
        self.threads.gate.release()

    def join(self, timeout: float | None = None) -> None:
        threads = self.threads
        task = threads.current
        assert task is not None
        end = None if timeout is None else threads.schedule.now + timeout
        self.joining.append(task)
        while not self.over and (end is None or threads.schedule.now < end):
            threads.park(None if end is None else end - threads.schedule.now)

    def is_alive(self) -> bool:
        return not self.over

    def end(self) -> None:
        """Let it run into `Killed` wherever it waits."""
        while not self.over:
            self.threads.switch(self)
        self._thread.join()


class Threads:
    """All of them, and the wires between them."""

    def __init__(self, schedule: Schedule, restless: float) -> None:
        """``restless``: how likely it is that another thread runs before a lock is taken."""
        self.schedule = schedule
        self.restless = restless
        self.gate = real.Semaphore(0)
        self.current: Task | None = None
        self.tasks: list[Task] = []
        self.ending = False
        self.numbers = count(1)
        self.plugs: dict[int, Plug] = {}
        self.listeners: dict[int, Listener] = {}
        self.watchers: list[tuple[Task, Callable[[], Any]]] = []  # who waits, and for what
        self.made: Callable[[Plug, Plug], None] | None = None
        self.conduct: Callable[[], Conduct] = Conduct
        self._descriptors = count(10, 2)

    def reaction(self) -> float:
        return self.schedule.between((0.0, 0.0002))

    # the baton

    def switch(self, task: Task) -> None:
        """Let a task run until it gives up the baton; from the schedule."""
        task.parked = False
        task.token += 1
        self.current = task
        task.gate.release()
        self.gate.acquire()
        self.current = None
        if task.error is not None and not self.ending:
            raise task.error

    def _resume(self, task: Task, token: int) -> None:
        if task.parked and task.token == token:
            self.switch(task)

    def park(self, timeout: float | None = None) -> None:
        """Give up the baton until somebody unparks this task, or time has passed."""
        task = self.current
        assert task is not None
        if self.ending:
            raise Killed
        task.parked = True
        timer = None
        if timeout is not None:
            timer = self.schedule.later(max(0.0, timeout), partial(self._resume, task, task.token))
        self.gate.release()
        task.gate.acquire()
        if timer is not None:
            timer.cancel()
        if self.ending:
            raise Killed

    def unpark(self, task: Task) -> None:
        if task.parked:
            self.schedule.later(self.reaction(), partial(self._resume, task, task.token))

    def pause(self, seconds: float = 0.0) -> None:
        """Let others run, for that long at least."""
        end = self.schedule.now + seconds
        if self.current is not None:
            self.park(seconds)
            while self.schedule.now < end:
                self.park(end - self.schedule.now)

    def sway(self) -> None:
        """Perhaps let others run."""
        if self.current is not None and self.schedule.random.random() < self.restless:
            self.park(self.reaction())

    def end(self) -> None:
        self.ending = True
        for task in self.tasks:
            task.end()

    # wires

    def connect(self, host: str, port: int, timeout: float) -> Plug:
        listener = self.listeners.get(port)
        if listener is None:
            raise NegotiationError(f"no connection to {host}:{port}")
        near, far = join(self.schedule, self.conduct(), self.conduct(), next(self._descriptors))
        for plug in (near, far):
            self.plugs[plug.fileno()] = plug
            plug.wake = self.rouse
        if self.made is not None:
            self.made(near, far)
        listener.waiting.append(far)
        self.rouse()
        return near

    def listen(self, host: str, port: int) -> list[Listener]:
        listener = Listener(self, port)
        self.listeners[port] = listener
        return [listener]

    def rouse(self) -> None:
        """Something happened: who waited for that is woken."""
        for task, ready in self.watchers:
            if task.parked and ready():
                self.unpark(task)

    def ready(self, fd: int, *, read: bool, write: bool) -> bool:
        listener = next((listener for listener in self.listeners.values() if listener.fileno() == fd), None)
        if listener is not None:
            return read and bool(listener.waiting)
        plug = self.plugs[fd]
        return plug.broken or (read and plug.readable) or (write and plug.writable)

    def wait(self, ready: Callable[[], Any], timeout: float | None) -> Any:
        """Wait for a plug, or whatever ``ready`` asks for: its answer once that is true, or when time has passed."""
        end = None if timeout is None else self.schedule.now + timeout
        task = self.current
        assert task is not None
        self.sway()
        while not (answer := ready()):
            if end is not None and self.schedule.now >= end:
                return answer
            entry = task, ready
            self.watchers.append(entry)
            try:
                self.park(None if end is None else end - self.schedule.now)
            finally:
                self.watchers.remove(entry)
        return answer


class Listener:
    def __init__(self, threads: Threads, port: int) -> None:
        self._threads = threads
        self._port = port
        self.waiting: deque[Plug] = deque()

    def fileno(self) -> int:
        return 100_000 + self._port

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def accept(self) -> tuple[Plug, tuple[str, int]]:
        if not self.waiting:
            raise BlockingIOError
        plug = self.waiting.popleft()
        return plug, ("127.0.0.1", plug.peer.fileno())

    def close(self) -> None:
        self._threads.listeners.pop(self._port, None)
        for plug in self.waiting:
            plug.close()
        self.waiting.clear()


# What stands in for `threading`


class Lock:
    """A lock that may be taken again by its owner where that is allowed."""

    def __init__(self, threads: Threads, *, again: bool) -> None:
        self._threads = threads
        self._again = again
        self._owner: object = None
        self._depth = 0
        self._waiting: list[Task] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        threads = self._threads
        if threads.ending:
            return True
        me = threads.current or threads
        if self._owner is me and self._again:
            self._depth += 1
            return True
        threads.sway()
        while self._owner is not None:
            if not blocking:
                return False
            assert isinstance(me, Task), "a lock is held while nobody runs"
            assert self._owner is not me, "a dead lock with itself"
            self._waiting.append(me)
            try:
                threads.park()
            finally:
                self._waiting.remove(me)
        self._owner, self._depth = me, 1
        return True

    def release(self) -> None:
        if self._threads.ending:
            return
        assert self._owner is (self._threads.current or self._threads), "released by another"
        self._depth -= 1
        if not self._depth:
            self._owner = None
            for task in self._waiting:
                self._threads.unpark(task)

    def set_free(self) -> int:
        depth, self._depth = self._depth, 1
        self.release()
        return depth

    def take_back(self, depth: int) -> None:
        self.acquire()
        self._depth = depth

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *rest: object) -> None:
        self.release()


class Condition:
    def __init__(self, threads: Threads, lock: Lock | None = None) -> None:
        self._threads = threads
        self._lock = lock or Lock(threads, again=True)
        self._waiting: list[list[Any]] = []
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def wait(self, timeout: float | None = None) -> bool:
        threads = self._threads
        task = threads.current
        assert task is not None
        entry = [task, False]
        self._waiting.append(entry)
        depth = self._lock.set_free()
        end = None if timeout is None else threads.schedule.now + timeout
        try:
            while not entry[1] and (end is None or threads.schedule.now < end):
                threads.park(None if end is None else end - threads.schedule.now)
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
            self._lock.take_back(depth)
        return bool(entry[1])

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        end = None if timeout is None else self._threads.schedule.now + timeout
        while not (answer := predicate()):
            left = None if end is None else end - self._threads.schedule.now
            if left is not None and left <= 0:
                return answer
            self.wait(left)
        return answer

    def notify(self, n: int = 1) -> None:
        for entry in self._waiting[:n]:
            entry[1] = True
            self._threads.unpark(entry[0])
        del self._waiting[:n]

    def notify_all(self) -> None:
        self.notify(len(self._waiting))

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *rest: object) -> None:
        self._lock.release()


class Event:
    def __init__(self, threads: Threads) -> None:
        self._condition = Condition(threads)
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        with self._condition:
            self._set = True
            self._condition.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        with self._condition:
            return bool(self._condition.wait_for(lambda: self._set, timeout))


class Bell:
    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self.rings = False

    def ring(self) -> None:
        self.rings = True
        self._threads.rouse()

    def close(self) -> None:
        pass


class Waiter:
    def __init__(self, threads: Threads, bell: Bell | None = None) -> None:
        self._threads = threads
        self._bell = bell

    def wait(self, fd: int, *, read: bool, write: bool, timeout: float | None) -> bool:
        threads, bell = self._threads, self._bell
        rung = False

        def ready() -> bool:
            nonlocal rung
            rung = bell is not None and bell.rings
            return rung or threads.ready(fd, read=read, write=write)

        found = bool(threads.wait(ready, timeout))
        if rung and bell is not None:
            bell.rings = False
            return threads.ready(fd, read=read, write=write)
        return found


class Poller:
    """As epoll with EPOLLONESHOT: what is armed for nothing still reports that it is broken."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._armed: dict[int, tuple[bool, bool]] = {}
        self._reported: deque[int] = deque()
        self._rings = False

    def arm(self, fd: int, *, read: bool, write: bool) -> None:
        self._armed[fd] = read, write
        self._threads.rouse()

    def report(self, fd: int) -> None:
        self._reported.append(fd)
        self.wake()

    def disarm(self, fd: int) -> None:
        if fd in self._armed:
            self._armed[fd] = False, False

    def forget(self, fd: int) -> None:
        self._armed.pop(fd, None)

    def wake(self) -> None:
        self._rings = True
        self._threads.rouse()

    def wait(self, timeout: float | None) -> list[int]:
        threads = self._threads

        def ready() -> list[int]:
            return [fd for fd, (read, write) in self._armed.items() if threads.ready(fd, read=read, write=write)]

        threads.wait(lambda: self._rings or ready(), timeout)
        found = ready()
        threads.schedule.random.shuffle(found)
        for fd in found:
            del self._armed[fd]
        self._rings = False
        while self._reported:
            found.append(self._reported.popleft())
        return found

    def close(self) -> None:
        pass


class _Ordered(dict[Any, None]):
    """A set that gives its members in the order they came, whatever their addresses."""

    def add(self, member: Any) -> None:
        self[member] = None

    def discard(self, member: Any) -> None:
        super().pop(member, None)

    def pop(self) -> Any:  # type: ignore[override]
        return self.popitem()[0]


@contextmanager
def installed(threads: Threads) -> Iterator[None]:
    """The drivers run in these threads."""
    stand_in = SimpleNamespace(
        Thread=lambda target, args=(), name="", daemon=True: Task(threads, target, args, name),
        RLock=lambda: Lock(threads, again=True),
        Lock=lambda: Lock(threads, again=False),
        Condition=lambda lock=None: Condition(threads, lock),
        Event=lambda: Event(threads),
        current_thread=lambda: threads.current,
        get_ident=lambda: 0 if threads.current is None else threads.current.number,
    )
    places: list[tuple[Any, str, Any]] = [(module, "threading", stand_in) for module in MODULES]
    places += [(module, "monotonic", lambda: threads.schedule.now) for module in MODULES]
    places = [row for row in places if hasattr(row[0], row[1])]
    places += [
        (door_module, "listen", threads.listen),
        (server_module, "tune", lambda sock, accepted: None),
        (server_module, "open_poller", lambda facilities: Poller(threads)),
        (workers_module, "Bell", lambda facilities: Bell(threads)),
        (workers_module, "Waiter", lambda facilities, bell=None: Waiter(threads, bell)),
        (association_module, "Waiter", lambda facilities, bell=None: Waiter(threads, bell)),
        (association_module, "connect", threads.connect),
    ]
    kept = [getattr(module, name) for module, name, _ in places]
    workers_module.set = _Ordered  # type: ignore[attr-defined]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        del workers_module.set  # type: ignore[attr-defined]
        for (module, name, _), value in zip(places, kept, strict=True):
            setattr(module, name, value)
