"""Waiting: which sockets want attention, without a thread each and without polling.

`Poller` watches many descriptors, each armed for one report only, so that a connection always has exactly one owner:
the selector while it is armed, whoever took the report afterwards. Arming is safe from every thread; with epoll it is
one system call and wakes nobody. `Bell` rings a thread that waits; `Waiter` waits on one socket (and a bell) with a
deadline. `Facilities` says which of the platform's fast calls are used; `Facilities.portable()` uses none of them.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
from collections import deque
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

__all__ = ["Bell", "Facilities", "Poller", "Waiter", "open_poller"]


@dataclass(frozen=True, slots=True)
class Facilities:
    """Which optional calls of the platform may be used. The default uses what a feature test finds."""

    epoll: bool = hasattr(select, "epoll")
    poll: bool = hasattr(select, "poll")
    eventfd: bool = hasattr(os, "eventfd")
    sendmsg: bool = hasattr(socket.socket, "sendmsg")
    pump: bool = find_spec("dicomcore._core.pump") is not None  # bodies go from socket to file in compiled code

    @classmethod
    def portable(cls) -> Facilities:
        """What every platform has."""
        return cls(epoll=False, poll=False, eventfd=False, sendmsg=False, pump=False)


class Bell:
    """Wakes a thread that waits on `fileno()`. Ringing twice before it wakes is ringing once."""

    def __init__(self, facilities: Facilities) -> None:
        self._pair: tuple[socket.socket, socket.socket] | None = None
        if facilities.eventfd:
            self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._pair = socket.socketpair()
            for end in self._pair:
                end.setblocking(False)
            self._fd = self._pair[0].fileno()

    def fileno(self) -> int:
        return self._fd

    def ring(self) -> None:
        try:
            if self._pair is None:
                os.eventfd_write(self._fd, 1)
            else:
                self._pair[1].send(b"\0")
        except BlockingIOError:
            pass  # it rings already

    def silence(self) -> None:
        try:
            if self._pair is None:
                os.eventfd_read(self._fd)
            else:
                self._pair[0].recv(4096)
        except BlockingIOError:
            pass  # nobody rang

    def close(self) -> None:
        if self._pair is None:
            os.close(self._fd)
        else:
            for end in self._pair:
                end.close()


class Poller(Protocol):
    """Many descriptors, one waiting thread. `arm`, `disarm`, `report`, `wake` from any thread; the rest from the
    waiting one. `report` takes the place of `arm` when it is known to be ready, though the system would not say so."""

    def arm(self, fd: int, *, read: bool, write: bool) -> None: ...

    def report(self, fd: int) -> None: ...

    def disarm(self, fd: int) -> None: ...

    def forget(self, fd: int) -> None: ...

    def wait(self, timeout: float | None) -> list[int]: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


def open_poller(facilities: Facilities) -> Poller:
    """epoll where there is one, else what `selectors` has."""
    return _EpollPoller(facilities) if facilities.epoll else _SelectorsPoller(facilities)


class _EpollPoller:
    """EPOLLONESHOT does what `Poller` promises, and epoll_ctl may be called while another thread waits."""

    def __init__(self, facilities: Facilities) -> None:
        self._epoll = select.epoll()
        writing = select.EPOLLONESHOT | select.EPOLLOUT
        self._masks = select.EPOLLONESHOT, select.EPOLLONESHOT | select.EPOLLIN, writing, writing | select.EPOLLIN
        self._bell = Bell(facilities)
        self._known: set[int] = set()
        self._armed: set[int] = set()
        self._reported: deque[int] = deque()
        self._epoll.register(self._bell.fileno(), select.EPOLLIN)

    def arm(self, fd: int, *, read: bool, write: bool) -> None:
        mask = self._masks[read + 2 * write]
        self._armed.add(fd)
        if fd in self._known:
            self._epoll.modify(fd, mask)
        else:
            self._known.add(fd)
            self._epoll.register(fd, mask)

    def report(self, fd: int) -> None:
        self._reported.append(fd)
        self._bell.ring()

    def disarm(self, fd: int) -> None:
        self._armed.discard(fd)
        if fd in self._known:
            self._epoll.modify(fd, select.EPOLLONESHOT)

    def forget(self, fd: int) -> None:
        if fd not in self._known:
            return
        self._known.discard(fd)
        if fd in self._armed:  # else it reports nothing any more, and leaves when it is closed
            self._armed.discard(fd)
            self._epoll.unregister(fd)

    def wait(self, timeout: float | None) -> list[int]:
        bell = self._bell.fileno()
        ready = [fd for fd, _ in self._epoll.poll(timeout)]
        self._armed.difference_update(ready)
        if bell in ready:
            self._bell.silence()
            ready.remove(bell)
        while self._reported:
            ready.append(self._reported.popleft())
        return ready

    def wake(self) -> None:
        self._bell.ring()

    def close(self) -> None:
        self._epoll.close()
        self._bell.close()


class _SelectorsPoller:
    """The same over `selectors`: other threads leave their wishes in a queue and ring the bell."""

    def __init__(self, facilities: Facilities) -> None:
        self._selector = selectors.DefaultSelector()
        self._bell = Bell(facilities)
        self._wishes: deque[tuple[int, int]] = deque()
        self._reported: deque[int] = deque()
        self._selector.register(self._bell.fileno(), selectors.EVENT_READ)

    def arm(self, fd: int, *, read: bool, write: bool) -> None:
        mask = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
        self._wishes.append((fd, mask))
        self._bell.ring()

    def report(self, fd: int) -> None:
        self._reported.append(fd)
        self._bell.ring()

    def disarm(self, fd: int) -> None:
        self._wishes.append((fd, 0))  # a late report is ignored by its owner, so nobody needs to be woken

    def forget(self, fd: int) -> None:
        self._wishes.append((fd, 0))
        self._apply()

    def _apply(self) -> None:
        while self._wishes:
            fd, mask = self._wishes.popleft()
            known = fd in self._selector.get_map()
            if mask and known:
                self._selector.modify(fd, mask)
            elif mask:
                self._selector.register(fd, mask)
            elif known:
                self._selector.unregister(fd)

    def wait(self, timeout: float | None) -> list[int]:
        self._apply()
        bell = self._bell.fileno()
        ready = [key.fd for key, _ in self._selector.select(timeout)]
        self._apply()
        known = self._selector.get_map()
        for fd in ready:
            if fd != bell and fd in known:
                self._selector.unregister(fd)
        if bell in ready:
            self._bell.silence()
            ready.remove(bell)
        while self._reported:
            ready.append(self._reported.popleft())
        return ready

    def wake(self) -> None:
        self._bell.ring()

    def close(self) -> None:
        self._selector.close()
        self._bell.close()


class Waiter:
    """Waits for one socket at a time, optionally with a bell that ends the wait early."""

    def __init__(self, facilities: Facilities, bell: Bell | None = None) -> None:
        self._poll = select.poll() if facilities.poll else None
        self._bell = bell
        self._wanted = (-1, 0)  # the socket and events that are registered: mostly the same again
        if self._poll is not None and bell is not None:
            self._poll.register(bell.fileno(), select.POLLIN)

    def wait(self, fd: int, *, read: bool, write: bool, timeout: float | None) -> bool:
        """True when `fd` is ready or broken (the next call on it tells); False after `timeout` seconds or the bell."""
        if self._poll is None:
            bell = self._bell
            readers = ([fd] if read else []) + ([bell.fileno()] if bell is not None else [])
            ready = select.select(readers, [fd] if write else [], [fd], timeout)
            if bell is not None and bell.fileno() in ready[0]:
                bell.silence()
            return any(fd in part for part in ready)
        wanted = fd, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0)
        if wanted != self._wanted:
            if self._wanted[0] not in (fd, -1):
                self._poll.unregister(self._wanted[0])
            self._poll.register(*wanted)
            self._wanted = wanted
        # Rounded up: a wait that ends a fraction early would be repeated with a timeout of zero.
        events = self._poll.poll(None if timeout is None else max(0, int(timeout * 1000 + 0.999)))
        if len(events) == 1 and events[0][0] == fd:
            return True
        found = False
        for ready_fd, _ in events:
            if ready_fd == fd:
                found = True
            elif self._bell is not None:
                self._bell.silence()
        return found
