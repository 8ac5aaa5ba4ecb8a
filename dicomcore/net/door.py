"""Where connections come in: listening sockets, how many are let in, and when nobody is for a while.

For the thread that waits on the poller. A socket is armed for one report at a time; when there is no room, or the
system has no descriptor left, none is armed until `reopen`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from dicomcore.limits import Limits
from dicomcore.net.admission import Admission
from dicomcore.net.poller import Poller
from dicomcore.net.transport import listen
from dicomcore.net.watch import Log

__all__ = ["HANDSHAKES", "REST", "Door"]

log = Log("net")

NEVER = float("inf")
HANDSHAKES = 256  # connections beyond the associations that may be open while they are being agreed
REST = 0.2  # seconds without accepting after the system refused a descriptor
AT_ONCE = 64  # connections taken in before others get a turn


class Door:
    """The listening sockets of one server, open from construction on."""

    def __init__(self, host: str, port: int, limits: Limits, refuse: Callable[[Any], None]) -> None:
        sockets = listen(host, port)
        self._sockets = {sock.fileno(): sock for sock in sockets}
        self._limits = limits
        self._refuse = refuse
        self._poller: Poller | None = None
        self._shut = False
        self._troubled = False  # the last attempt to accept failed
        self._flooded = False  # the last connection came too fast
        self.address: tuple[str, int] = sockets[0].getsockname()[:2]
        self.admission = Admission(limits, monotonic())
        self.reopens = NEVER  # when accepting is tried again after the system refused

    def __contains__(self, fd: int) -> bool:
        return fd in self._sockets

    @property
    def is_open(self) -> bool:
        return bool(self._sockets)

    def watch(self, poller: Poller) -> None:
        """Have connections reported."""
        self._poller = poller
        self.reopen()

    def reopen(self) -> None:
        """Let connections in (again)."""
        self._shut, self.reopens = False, NEVER
        for fd in self._sockets:
            self._arm(fd)

    def has_room(self) -> None:
        """A connection has ended."""
        if self._shut and self.reopens == NEVER:
            self.reopen()

    def _arm(self, fd: int) -> None:
        assert self._poller is not None
        self._poller.arm(fd, read=True, write=False)

    def knocks(self, fd: int, inside: Callable[[], int]) -> Iterator[tuple[socket.socket, Any]]:
        """Those that wait at this socket and may come in; ``inside()`` connections are in already."""
        full = self._limits.association_count + HANDSHAKES
        for _ in range(AT_ONCE):
            if inside() >= full:
                self._shut = True
                return
            try:
                sock, peer = self._sockets[fd].accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                if not self._troubled:
                    log.warning("no connection can be accepted now: %s", error)
                self._troubled = self._shut = True
                self.reopens = monotonic() + REST
                return
            self._troubled = False
            if self._admits(peer):
                yield sock, peer
            else:
                sock.close()
        self._arm(fd)

    def _admits(self, peer: Any) -> bool:
        admitted = self.admission.connect(peer[0], monotonic())
        if not admitted:
            if not self._flooded:
                log.warning("too many connections at a time or a second, the last from %s: they are closed", peer[0])
            self._refuse(peer)
        self._flooded = not admitted
        return admitted

    def close(self) -> None:
        for fd, sock in self._sockets.items():
            if self._poller is not None:
                self._poller.forget(fd)
            sock.close()
        self._sockets.clear()
        self.reopens = NEVER
