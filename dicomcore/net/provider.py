"""The server's side of one association: who reads, and which worker runs which provider (PS3.7 7).

Reading is one thread's at a time: the selector's while nothing is to be done, else a worker's, which runs the providers
as well. Before code of a provider that may take its time, a worker gives the reading away: to the selector, so that an
abort, a disconnect or a C-CANCEL is seen at once, or to another worker if there are further requests that the window
allows to run meanwhile. ``lock`` guards core, exchange and outbox. A provider that answers faster than the peer reads
is paused, not buffered.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from dicomcore.errors import AssociationAborted, RemoteProtocolError
from dicomcore.limits import Limits
from dicomcore.net.connection import Connection
from dicomcore.net.effects import Effects
from dicomcore.net.operations import Operation
from dicomcore.net.poller import Facilities, Poller
from dicomcore.services.base import Router
from dicomcore.ul import Association, AssociationRequested, Event, ReleaseRequested, ReleaseResponse

__all__ = ["ServedConnection"]

PARTING = 2.0  # seconds that a peer is given to close after our last PDU

log = logging.getLogger("dicomcore.net")


class ServedConnection(Connection):
    """A connection on the server. ``lock`` guards it while a provider runs and the selector watches."""

    def __init__(
        self,
        sock: socket.socket,
        core: Association,
        limits: Limits,
        facilities: Facilities,
        *,
        peer: Any,
        router: Router,
        poller: Poller,
        effects: Effects,
        submit: Callable[[ServedConnection], None],
        decide: Callable[[ServedConnection, AssociationRequested], None],
    ) -> None:
        self.lock = threading.RLock()
        super().__init__(sock, core, limits, facilities, router, self.lock)
        self.peer = self.operations.peer = peer
        self.lent = False  # a worker has the reading, or is about to; else the selector
        self.performers = 0  # workers that run a provider while others have the reading
        self.timer_at = float("inf")  # when the server's timer for this connection is due
        self.deadline = float("inf")
        self.established = False
        self.parting = False  # our last word is out; the peer has a moment to close
        self._poller = poller
        self._effects = effects
        self._submit = submit
        self._decide = decide
        self._release_due = False

    # what arrives

    def upper(self, event: Event) -> None:
        match event:
            case AssociationRequested():
                self._decide(self, event)
            case ReleaseRequested():
                if self.exchange.receiving:  # its rest can no longer come (PS3.8 7.2.1.4)
                    self.abort(RemoteProtocolError("a release in the middle of a message", answer=(0, 0)))
                    return
                self._release_due = True
                self._release_if_done()
            case _:
                super().upper(event)

    def _release_if_done(self) -> None:
        with self.lock:
            if self._release_due and self.operations.idle and self.over is None:
                self._release_due = False
                self.core.request(ReleaseResponse())
                self._digest()

    @property
    def runnable(self) -> bool:
        """There is something to do for a worker."""
        if self.over is not None:
            return bool(self.orphans)
        return self.operations.can_go_on(room=self.outbox.empty)

    @property
    def busy(self) -> bool:
        """An operation is under way or has half arrived."""
        return not self.operations.idle

    def pull(self, *, through: bool = False) -> bool:
        if through and (moved := self._pass_through()) is not None:
            return moved
        with self.lock:
            return super().pull()

    def flush(self) -> bool:
        with self.lock:
            return super().flush()

    @property
    def finished(self) -> bool:
        """All is said; the socket is to be closed."""
        return self.core.close_transport and (self._deaf or self.outbox.empty)

    def part(self) -> None:
        """Close our direction. Closing both with bytes unread would make the system drop our last PDU with a reset."""
        self.parting = True
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.ended = True

    def drain(self) -> None:
        """Read and forget one block of what a peer sends that has not noticed yet."""
        try:
            self.ended = not self.sock.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.ended = True

    def plan_deadline(self, now: float) -> None:
        """When the peer has been silent for too long: mid-message sooner than between messages."""
        if self.parting:
            self.deadline = min(self.deadline, now + PARTING)
        elif self.core.deadline is not None:
            self.core.tick(now)  # starts a timer that is new
            self.deadline = self.core.deadline
        elif not self.outbox.empty or self.busy:
            self.deadline = now + self.limits.network_timeout
        else:
            self.deadline = now + self.limits.idle_timeout

    # what is to be done with it: on a worker

    def work(self) -> bool:
        """Run providers until input or room for output is missing. False when another thread has the reading now."""
        operations = self.operations
        while True:
            while self.orphans:
                self._run(self.orphans.pop())
            if self.over is not None:
                break
            operation = operations.next(room=self.outbox.empty)
            if operation is None:
                break
            if operation.prompt or operation.body_open or operation.answered:
                self._run(operation)
            elif not self._run_watched(operation):
                return False
        if operations.idle:
            self._release_if_done()
        return True

    def _run(self, operation: Operation) -> None:
        """Advance an operation until it waits for the peer or ends."""
        advance, effects = self.operations.advance, self._effects
        try:
            while (effect := advance(operation)) is not None:
                effects.perform(operation, effect)
        except BaseException as error:  # also SystemExit of a provider: it ends this association, not the worker
            log.exception("serving %r failed", self.operations.calling_ae)
            with self.lock:
                self.abort(AssociationAborted(f"serving failed: {error}", answer=(0, 0)))
            advance(operation)
        if operation.over:
            effects.close(operation)

    def _run_watched(self, operation: Operation) -> bool:
        """The same while others read, so that a cancel, an abort and further requests are noticed meanwhile.

        True when the reading is this worker's again.
        """
        with self.lock:
            lends = not self.inbox or self.operations.can_go_on(room=False)
            if lends:
                self.performers += 1
                if self.inbox:
                    self._submit(self)  # further requests, which the window allows
                else:
                    self.lent = False
                    self._poller.arm(self.fd, read=self.core.wants_read, write=not self.outbox.empty)
        try:
            self._run(operation)
        finally:
            if lends:
                with self.lock:
                    self.performers -= 1
                    if mine := not self.lent:
                        self.lent = True
                        self._poller.disarm(self.fd)
        return not lends or mine
