"""Sending from an event loop: headers and bodies leave in gathered system calls, never joined, never blocking.

On a plain connection the socket is written to directly while the transport holds nothing; when the socket is full, one
small piece goes to the transport, which says when there is room again. Under TLS everything goes through the transport.
What lies in a file is read in the loop while the system has it in memory, else by a worker, and one read is under way
at a time. A fast peer does not keep the loop for itself: after some batches others have their turn.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from dicomcore.encoding.source import FileSlice
from dicomcore.net.aio.workers import Workers
from dicomcore.net.poller import Facilities
from dicomcore.net.transport import BATCH, FIRST_BATCH, MANY, Outbox, read_slice
from dicomcore.ul import Association, Slice

__all__ = ["Outlet"]

PIECE: Final = 4096  # bytes that are copied to the transport when the socket is full
BATCHES: Final = 8  # that are sent before other callbacks of the loop run
NO_WAIT: Final = getattr(os, "RWF_NOWAIT", None)


class Outlet(Outbox):
    """What one association still has to write."""

    def __init__(
        self, core: Association, facilities: Facilities, lock: AbstractContextManager[Any], workers: Workers
    ) -> None:
        super().__init__(core, facilities)
        self._lock = lock
        self._workers = workers
        self._transport: asyncio.Transport | None = None
        self._sock: socket.socket | None = None
        self.paused = False  # the transport has enough
        self.reading = False  # a worker reads the next batch
        self.failure: Exception | None = None  # of that
        self.full_turn = False  # `push` ended for the sake of others and is to be called again
        self.moved = False  # something has left since this was last set to False

    def open(self, transport: asyncio.Transport, sock: socket.socket | None) -> None:
        """Write to this transport, and past it to its socket where there is one."""
        self._transport = transport
        self._sock = sock
        transport.set_write_buffer_limits(high=0 if sock is not None else BATCH)

    @property
    def empty(self) -> bool:
        return not (self._views or self.reading or self.paused or self._core.wants_write)

    @property
    def held_length(self) -> int:
        transport = self._transport
        return super().held_length + (transport.get_write_buffer_size() if self.paused and transport else 0)

    def push(self, resume: Any) -> bool:
        """Write what can be; True when nothing is left. ``resume()`` is called in the loop after a worker has read."""
        core = self._core
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        batch = FIRST_BATCH
        for _ in range(BATCHES):
            if self.paused or self.reading or self._transport is None:
                return False
            if not self._views:
                if not core.wants_write:
                    return True
                with self._lock:
                    parts = core.segments(batch)
                self._views, reads = self._lay_out(parts)
                batch = BATCH
                if reads and not self._read(reads, resume):
                    return False
            self._send()
        self.full_turn = not self.empty
        return not self.full_turn

    def _send(self) -> None:
        """Send what of the views can be sent."""
        assert self._transport is not None
        self.moved = True
        if self._sock is None:
            views, self._views = self._views, []
            self._buffer = None  # the transport may keep the views for a while
            self._transport.writelines(views)
            self._sent = self._core.sent_length
            return
        while (views := self._views) and not self.paused:
            try:
                if not self._gather:
                    sent = self._sock.send(views[0])
                else:
                    sent = self._sock.sendmsg(views if len(views) <= MANY else views[:MANY])
            except (BlockingIOError, InterruptedError):
                piece = bytes(memoryview(views[0])[:PIECE])
                sent = len(piece)
                self._transport.write(piece)
            self._sent += sent
            self._drop(sent)

    def _read(self, reads: Sequence[tuple[Slice, memoryview]], resume: Any) -> bool:
        """Fill what comes from files: True when that is done, False when a worker is at it."""
        workers = self._workers
        began = workers.loop.time()
        if workers.pace.quick() and all(_try_read(run, target) for run, target in reads):
            workers.pace.took(workers.loop.time() - began)
            return True
        self.reading = True

        def job() -> None:
            try:
                for run, target in reads:
                    read_slice(run, target)
            except Exception as error:
                self.failure = error
            workers.post(done)

        def done() -> None:
            self.reading = False
            resume()

        workers.submit(job)
        return False


def _try_read(run: Slice, target: memoryview) -> bool:
    """Read what the system holds in memory; False when some of it would have to be waited for."""
    payload: Any = run.payload
    if not isinstance(payload, FileSlice):
        return False
    if NO_WAIT is not None:
        try:
            at = payload.offset + run.start
            return os.preadv(payload.fileno(), [target], at, NO_WAIT) == len(target)
        except BlockingIOError:
            return False
        except OSError:
            pass  # this file system cannot tell; some of those are memory anyway
    read_slice(run, target)
    return True
