"""The server's side of one association: who reads, and which worker runs which provider (PS3.7 7).

Reading is one thread's at a time: the selector's while nothing is to be done, else a worker's, which runs the providers
as well. Before code of a provider that may take its time, a worker gives the reading away: to the selector, so that an
abort, a disconnect or a C-CANCEL is seen at once, or to another worker if there are further requests that the window
allows to run meanwhile. ``lock`` guards core, exchange, outbox and who reads. Whoever gives the reading up looks, with
the lock held, if something can go on, so that no wake-up is lost to one who had it meanwhile.

A provider that answers faster than the peer reads is paused, not buffered. Pending responses that follow each other
closely leave together, yet none waits for the provider: the selector sends them as soon as it gets a turn. A peer that
lets us wait in the middle of a message is given `Limits.message_timeout` for it, and more only for bytes that come.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from dicomcore.errors import AssociationAborted, DicomError, RemoteProtocolError
from dicomcore.limits import Limits
from dicomcore.net.budget import Budget, Share
from dicomcore.net.connection import Connection
from dicomcore.net.effects import Effects
from dicomcore.net.operation import Operation
from dicomcore.net.poller import Facilities, Poller
from dicomcore.net.timers import NEVER
from dicomcore.net.tls_socket import Wire
from dicomcore.net.watch import Log, Watch
from dicomcore.services.base import Router
from dicomcore.ul import Association, AssociationRequested, Event, ReleaseRequested

__all__ = ["ServedConnection"]

PARTING = 2.0  # seconds that a peer is given to close after our last PDU
BATCH = 32 * 1024  # bytes of Pending responses that may leave together

log = Log("net")


class ServedConnection(Connection):
    """A connection on the server. ``lock`` guards it while a provider runs and the selector watches."""

    __slots__ = (
        "_arrived",
        "_budget",
        "_decide",
        "_effects",
        "_message",
        "_poller",
        "_release_due",
        "_ring",
        "_router",
        "_starved_since",
        "_submit",
        "_waited",
        "_write_watched",
        "deadline",
        "established",
        "lent",
        "lock",
        "parting",
        "peer",
        "performers",
        "timer",
        "timer_at",
        "waiting_since",
    )

    def __init__(
        self,
        sock: Wire,
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
        watch: Watch,
        budget: Budget,
        ring: Callable[[ServedConnection], None],
    ) -> None:
        self.lock = threading.RLock()
        Connection.__init__(self, sock, core, limits, facilities, None, self.lock, watch=watch)
        self.peer = peer
        self.lent = False  # a worker has the reading, or is about to; else the selector
        self.performers = 0  # workers that run a provider while others have the reading
        self.timer: list[Any] | None = None  # the server's timer for this connection
        self.timer_at = NEVER  # when that is due
        self.deadline = NEVER
        self.established = False
        self.parting = False  # our last word is out; the peer has a moment to close
        self._release_due = False
        self._write_watched = False  # the selector sends what is queued
        self.waiting_since: float | None = None  # for the rest of a message, in the selector
        self._starved_since: float | None = None  # a body waits for memory
        self._waited = 0.0  # for the rest of this message
        self._message = -1  # which one: how many had begun
        self._arrived = 0  # bytes that had arrived then
        self._poller = poller
        self._effects = effects
        self._submit = submit
        self._decide = decide
        self._router = router
        self._budget = budget
        self._ring = ring

    def begin(self) -> None:
        self._begin(self._router, None, self._put_off, Share(self._budget, lambda: self._ring(self)))
        operations, asked = self.operations, self.core.asked
        operations.peer = self.peer
        if asked is not None:
            operations.calling_ae, operations.called_ae = asked.calling_ae, asked.called_ae

    # what arrives

    def upper(self, event: Event) -> None:
        match event:
            case AssociationRequested():
                self._decide(self, event)
            case ReleaseRequested():
                if self.core.quirks.drop_pending and self.busy:
                    if self.answer_release():
                        self.end(AssociationAborted("the peer released the association and wants no more responses"))
                elif self.exchange.receiving:  # its rest can no longer come (PS3.8 7.2.1.4)
                    self.abort(RemoteProtocolError("a release in the middle of a message", answer=(0, 0)))
                else:
                    self._release_due = True
                    self._release_if_done()
            case _:
                super().upper(event)

    def _release_if_done(self) -> None:
        if self._release_due and self.operations.idle and self.over is None:
            self._release_due = False
            self.answer_release()
            self._digest()

    @property
    def runnable(self) -> bool:
        """There is something to do for a worker."""
        if self.over is not None:
            return bool(self.orphans)
        operations = self.operations  # asked often, and mostly in vain
        return bool(self.inbox or operations.roomless) and operations.can_go_on(room=self.outbox.empty)

    @property
    def busy(self) -> bool:
        """An operation is under way or has half arrived."""
        return not self.operations.idle

    @property
    def pending(self) -> bool:
        if self._tls is None:
            return False
        with self.lock:  # a performer may be writing, and OpenSSL is not to be asked meanwhile
            return super().pending

    def pull(self, *, through: bool = False) -> bool:
        if through and (moved := self._pass_through()) is not None:
            return moved
        with self.lock:
            return self.read()

    def flush(self) -> bool:
        with self.lock:
            return Connection.flush(self)  # without the object that super() makes: this is called for every message

    def end(self, reason: DicomError) -> None:
        with self.lock:
            Connection.end(self, reason)

    @property
    def securing(self) -> bool:
        """TLS is still being agreed."""
        return self._tls is not None and not self._tls.open and self._tls.failure is None

    @property
    def finished(self) -> bool:
        """All is said; the socket is to be closed."""
        return self.core.close_transport and (self._deaf or self.outbox.empty)

    def _peer_closed(self) -> None:
        super()._peer_closed()
        if self._tls is not None and self._tls.refused and not self.parting:
            self.ended = False
            self.part()  # a reset would drop the alert that tells the peer why

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

    # how long the peer may take

    @property
    def midway(self) -> bool:
        """A message, or another PDU, has arrived in part."""
        return self.core.receiving or self.exchange.receiving

    def plan_deadline(self, now: float) -> None:
        """When the peer has been silent for too long: mid-message sooner than between messages."""
        limits, core, operations = self.limits, self.core, self.operations
        self.waiting_since = None
        if self.parting:
            self.deadline = min(self.deadline, now + PARTING)
        elif (due := core.deadline) is not None:
            core.tick(now)  # starts a timer that is new
            self.deadline = core.deadline or due
        elif operations.idle and not (core.receiving or operations.asking) and self.outbox.empty:
            self.deadline = now + limits.idle_timeout
        elif operations.starved:  # not the peer's fault: its timers stand still
            if self._starved_since is None:
                self._starved_since = now
            self.deadline = self._starved_since + limits.budget_wait
            return
        elif self.midway:
            self.waiting_since = now
            self.deadline = now + max(0.0, min(limits.network_timeout, self._time_left()))
        elif operations.asking and self.outbox.empty:
            self.deadline = now + limits.dimse_timeout
        else:
            self.deadline = now + limits.network_timeout
        self._starved_since = None

    def waited(self, now: float) -> None:
        """The selector's wait for the peer is over."""
        if self.waiting_since is not None:
            self._time_left(now - self.waiting_since)
            self.waiting_since = None

    def dawdles(self, seconds: float) -> bool:
        """So long we waited for the rest of a message: whether that is too long by now. Our own time does not count."""
        return self._time_left(seconds) <= 0

    def _time_left(self, waited: float = 0.0) -> float:
        """Seconds that the peer may still let us wait for this message, unless it sends."""
        if self._message != (begun := self.exchange.message_count):
            self._message, self._arrived, self._waited = begun, self.core.received_length, 0.0
        self._waited += waited
        limits = self.limits
        return limits.message_timeout + (self.core.received_length - self._arrived) / limits.message_rate - self._waited

    # who reads; all with the lock held

    def watch(self) -> None:
        """Give the reading to the selector, which also sends what is queued."""
        self.lent = False
        self._write_watched = not (self._deaf or self.outbox.empty)
        if self.parting:
            self._poller.arm(self.fd, read=True, write=self._write_watched)
        elif self._tls is None:
            self._poller.arm(self.fd, read=self.wants_read, write=self._write_watched)
        elif self.pending:
            self._poller.report(self.fd)
        else:
            read, write = self.needs(read=self.wants_read, write=self._write_watched)
            self._poller.arm(self.fd, read=read, write=write)

    def try_rest(self) -> bool:
        """Whether nothing can go on, and the reading may be given up; what was held back until then is done."""
        if self.runnable:
            return False
        if self._release_due:
            self._release_if_done()
        return True

    def _watch_writing(self) -> bool:
        """Have the selector send what is queued. False when it has not got the reading."""
        if self.lent or not self.performers:
            return False
        if not self._write_watched:
            self.watch()
        return True

    def _put_off(self) -> bool:
        return self.core.queued_length < BATCH and self._watch_writing()

    def _has_room(self) -> bool:
        room = super()._has_room()
        if not self.outbox.empty:
            self._watch_writing()
        return room

    # what is to be done with it: on a worker

    def work(self) -> bool:
        """Run providers until input or room for output is missing. False when another thread has the reading now."""
        operations = self.operations
        while True:
            while self.orphans:
                self._run(self.orphans.pop())
            if self.over is not None or not (self.inbox or operations.roomless):
                break
            try:
                operation = operations.next(room=self.outbox.empty)
            except DicomError as error:
                log.warning("%r is aborted: %s", operations.calling_ae, error, extra=self.watcher.extra)
                with self.lock:
                    self.abort(error)
                continue
            if operation is None:
                break
            if operation.prompt or operation.body_open:
                self._run(operation)
            elif not self._run_watched(operation):
                return False
        if self._release_due:
            with self.lock:
                self._release_if_done()
        return True

    def _run(self, operation: Operation) -> None:
        """Advance an operation until it waits for the peer or ends."""
        advance, effects = self.operations.advance, self._effects
        try:
            while (effect := advance(operation)) is not None:
                effects.perform(operation, effect)
        except BaseException as error:  # also SystemExit of a provider: it ends this association, not the worker
            log.exception("serving %r failed", self.operations.calling_ae, extra=self.watcher.extra)
            with self.lock:
                self.abort(AssociationAborted(f"serving failed: {error}", answer=(0, 0)))
            advance(operation)
        if operation.over and operation.channels:
            effects.close(operation, abort=operation.failed or self.over is not None)

    def _run_watched(self, operation: Operation) -> bool:
        """The same while others read, so that a cancel, an abort and further requests are noticed meanwhile.

        True when the reading is this worker's again.
        """
        with self.lock:
            self.performers += 1
            if self.runnable:
                self._submit(self)  # further requests, which the window allows
            else:
                self.watch()
        try:
            self._run(operation)
        finally:
            with self.lock:
                self.performers -= 1
                if mine := not self.lent:
                    self.lent = True
                    self._poller.disarm(self.fd)
        return mine
