"""One association on an asyncio transport: the protocol that both its user and the server drive.

The loop's thread reads, writes and runs the engine of the operations. Everything of an application that may take time
runs on workers: providers that are not ``prompt``, `Call`, writes to sinks; coroutines run in the loop. While a
provider runs, the peer is listened to, so that a cancel, an abort or its end is seen at once; reading pauses while a
message waits that cannot be taken further, a sink is being written, or answers are not fetched. ``lock`` guards core
and exchange against the workers.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from dicomcore.errors import AssociationAborted, DicomError, LocalProtocolError
from dicomcore.limits import Limits
from dicomcore.net.aio.effects import close_channels, outcome, run
from dicomcore.net.aio.outlet import Outlet
from dicomcore.net.aio.workers import SMALL, Workers
from dicomcore.net.connection import KEPT, PIECE, Connection
from dicomcore.net.operation import Operation
from dicomcore.net.poller import Facilities
from dicomcore.net.watch import Log, Watch
from dicomcore.services.base import Router
from dicomcore.ul import Association as Core

__all__ = ["NEVER", "PARTING", "Link"]

NEVER: Final = float("inf")
PARTING: Final = 2.0  # seconds that a peer is given to close after our last PDU
TOGETHER: Final = 32 * 1024  # bytes of Pending responses that may leave together
MEMORY_KEPT: Final = 1.0  # seconds after which an association without traffic gives its buffers back

MESSAGES: Final = 64  # that may wait while the peer is still listened to
STRETCHES: Final = 4  # of a body that are moved before other callbacks of the loop run

log = Log("net")


class Link(Connection, asyncio.BufferedProtocol):
    """A `Connection` that a transport calls. ``associate`` opens channels, ``later`` puts work off (servers)."""

    def __init__(
        self,
        sock: socket.socket,
        core: Core,
        limits: Limits,
        facilities: Facilities,
        router: Router | None,
        *,
        workers: Workers,
        direct: bool,
        associate: Callable[..., Any],
        later: Callable[[float, Callable[[], Any]], None] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.lock = threading.RLock()
        super().__init__(
            sock,
            core,
            limits,
            facilities,
            router,
            self.lock,
            self._defers,
            self._puts_off,
            watch=watch,
        )
        self.loop = workers.loop
        self.workers = workers
        self.outbox: Outlet = Outlet(core, facilities, self.lock, workers)
        self.transport: asyncio.Transport | None = None
        self.cipher: tuple[str, str] | None = None  # version of TLS and cipher suite
        self.lost: asyncio.Future[None] = self.loop.create_future()  # done when the transport is gone
        self.broken: BaseException | None = None  # by what it was lost
        self.parting = PARTING
        self.parting_until = NEVER
        self.unheard = 0.0  # seconds that this side did not listen, in all
        self._unheard_since = 0.0
        self.received_at = self.sent_at = self.loop.time()
        self.performers = 0  # providers that workers or tasks are at
        self._direct = direct
        self._associate = associate
        self._later = later
        self._thread = threading.get_ident()
        if not direct:
            self._pump = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._hears = True  # the transport reads
        self._writing = False  # a worker writes to a sink
        self._called = False  # a worker has asked for a turn of the loop
        self._scratch = False  # what arrives now is not for the core
        self._timer: asyncio.Handle | None = None  # no TimerHandle under uvloop, when due at once
        self._timer_at = NEVER
        self._shortest = min(
            limits.network_timeout,
            limits.dimse_timeout,
            limits.idle_timeout,
            limits.message_timeout,
            limits.budget_wait,
            MEMORY_KEPT,
        )

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by descent
        self.outbox.open(self.transport, self.sock if self._direct else None)
        if (wrapped := transport.get_extra_info("ssl_object")) is not None:
            self.cipher = wrapped.version() or "", (wrapped.cipher() or ("",))[0]
        self.connected()
        self.work()

    def connected(self) -> None:
        """The transport is open; subclasses add what is said first."""
        self.core.connected()

    def get_buffer(self, sizehint: int) -> Any:
        self._scratch = self.over is not None or self._writing
        if self._scratch:
            return bytearray(1 << 16)
        view = self.core.buffer()
        return self.lend(view) if len(view) > KEPT and len(view) > self.lent_length else view

    def buffer_updated(self, nbytes: int) -> None:
        if self._scratch:
            return
        self.received_at = self.loop.time()
        with self.lock:
            self.core.received(nbytes)
            if nbytes <= PIECE and self.core.receiving:
                self._acknowledge()
            self._digest()
        self.work()
        if self._pump is not None:
            self._pass_on()

    def _pass_on(self) -> None:
        """Let a body that goes to a file go there as far as it has arrived, for some time."""
        for _ in range(STRETCHES):
            operation = self.operations.streaming
            if operation is None or self.over is not None or not operation.prompt or not self.workers.pace.quick():
                return
            if not self._pass_through():
                return
            self.work()

    def eof_received(self) -> bool:
        self._ended("the peer closed the connection")
        self.work()
        return False  # the transport closes itself

    async def lose(self) -> None:
        """Let go of a transport whose opening failed; a loop need not tell of its end then, nor close the socket."""
        if self.transport is not None:
            self.transport.abort()
            for _ in range(5):
                await asyncio.sleep(0)
        self.connection_lost(None)
        self.sock.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.lost.done():
            return
        self.transport = None
        self.broken = exc
        self._ended(f"the connection was lost: {exc}" if exc else "the peer closed the connection")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._tasks:
            self.loop.call_soon(task.cancel)  # after its first step: without one it would do nothing at all
        self.lost.set_result(None)
        self.work()
        self.operations.detach()

    def pause_writing(self) -> None:
        self.outbox.paused = True

    def resume_writing(self) -> None:
        """Go on in the loop's next turn: asyncio's transports call this amid their own writing, and afterwards shut or
        close what was shut or closed here already."""
        self.outbox.paused = False
        self.sent_at = self.loop.time()
        self.loop.call_soon(self.work)

    def _ended(self, why: str) -> None:
        if self.ended:
            return
        self.ended = True
        with self.lock:
            self.core.closed()
            self._digest()
            self.end(AssociationAborted(self.core.because or why))

    # motion

    def work(self) -> None:
        """Do all that can be done now: operations, writing, reading on, closing. In the loop's thread."""
        operations = self.operations
        began = self.loop.time()
        try:
            while self.orphans:
                self._advance(self.orphans.pop())
            while True:
                while self.over is None and (operation := operations.next(room=self.outbox.empty)) is not None:
                    self._advance(operation)
                self.flush()
                if not (operations.room_wanted and self.outbox.empty and self.over is None):
                    break  # nobody waited for what has just left
        except DicomError as error:
            log.warning("%r is aborted: %s", operations.calling_ae, error, extra=self.watcher.extra)
            self.break_off(error)
        if operations.write is not None and not self._writing:
            self._write_elsewhere()
        now = self.loop.time()
        self.workers.pace.took(now - began)
        self.settle()
        self._leave_when_quiet()
        self.flush()
        self._close_when_done()
        self._listen()
        self._plan(now)

    @property
    def quiet(self) -> bool:
        """Nothing is at work for it."""
        return not (self.performers or self._tasks or self._writing)

    def _leave_when_quiet(self) -> None:
        """What a provider still does is told before the end of its connection."""
        if self.lost.done() and self.quiet:
            self.watcher.closed()

    def settle(self) -> None:
        """Something has happened; subclasses look whether it is what they wait for."""

    def break_off(self, reason: DicomError) -> None:
        """Abort because of this, unless it is over."""
        if self.over is None:
            with self.lock:
                self.abort(reason)

    def flush(self) -> bool:
        if threading.get_ident() != self._thread:
            self.operations.note(self.outbox.held_length)  # the guard is held
            self._call()
            return False
        outbox = self.outbox
        if self._deaf or self.transport is None or outbox.empty:
            if self.operations.queued:
                self._note(0)
            return True
        try:
            written = outbox.push(self.work)
            if not written or self.operations.queued:
                self._note(outbox.held_length)
        except OSError:
            self._deaf = True  # what it sent before is still read
            return True
        except DicomError as error:
            # A file that went away below a half-sent PDU: nothing valid can follow, not even an A-ABORT.
            with self.lock:
                self.end(error)
                self._deaf = True
                self.core.closed()
                self._digest()
            return True
        if outbox.moved:
            outbox.moved = False
            self.sent_at = self.loop.time()
        if outbox.full_turn:
            outbox.full_turn = False
            self.loop.call_soon(self.work)
        return written

    def _note(self, queued: int) -> None:
        with self.lock:
            self.operations.note(queued)

    def _call(self) -> None:
        """Ask the loop for a turn; from any thread."""
        if not self._called:
            self._called = True
            self.workers.post(self._answer_call)

    def _answer_call(self) -> None:
        self._called = False
        self.work()

    def _listen(self) -> None:
        """Read on, or not."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        waits = self.inbox and (self.operations.holds_views or len(self.inbox) > MESSAGES)
        hears = self.over is not None or not (waits or self._writing or self.lagging)
        if hears is not self._hears:
            self._hears = hears
            if hears:
                self.unheard += self.loop.time() - self._unheard_since
                transport.resume_reading()
            else:
                self._unheard_since = self.loop.time()
                transport.pause_reading()

    @property
    def lagging(self) -> bool:
        """Nothing more is to be read now, since what was read is not fetched."""
        return False

    def _close_when_done(self) -> None:
        """Close the transport when all is said: our direction first, for a peer that still sends would reset ours."""
        transport = self.transport
        core = self.core
        if transport is None or transport.is_closing() or not (core.close_transport or self.over is not None):
            return
        if self._deaf or self.ended:
            transport.abort()
        elif self.outbox.empty and self.parting_until == NEVER:
            self.parting_until = self.loop.time() + self.parting
            if self.released and core.requestor:
                transport.close()
            elif transport.can_write_eof():
                try:
                    transport.write_eof()
                except OSError:  # the peer was faster with its reset, of which the loop has not told yet
                    transport.abort()
            else:
                transport.close()

    # time

    def _plan(self, now: float) -> None:
        """See to it that the timer fires in time; one that is early is moved when it fires."""
        timer = self._timer
        if self.transport is None or (
            timer is not None and self.core.deadline is None and self._timer_at <= now + self._shortest
        ):
            return
        if self.core.deadline == 0.0:
            self.core.tick(now)  # starts a timer that is new
        due = self.due(now)
        if timer is not None and (due == NEVER or due < self._timer_at):
            timer.cancel()
            self._timer = timer = None
        if timer is None and due < NEVER:
            self._timer = self.loop.call_at(due, self._fire)
            self._timer_at = due

    def _fire(self) -> None:
        self._timer = None
        now = self.loop.time()
        if self.due(now) > now:
            self._plan(now)
            return
        self._overdue(now)
        self.work()

    def due(self, now: float) -> float:
        """When something has to happen because nothing else did."""
        if self.parting_until < NEVER:
            return self.parting_until
        due = self.core.deadline
        if due is not None:
            return due
        if self._leaving:
            return max(self.received_at, self.sent_at) + self.limits.network_timeout
        due = self.patience()
        if self.core.held_length > self.limits.held_length and not self.operations.running:
            due = min(due, max(self.received_at, self.sent_at) + MEMORY_KEPT)
        return due

    def patience(self) -> float:
        """When the peer has been silent for too long."""
        raise LocalProtocolError("who drives an association says how long to wait")

    def impatient(self) -> None:
        """The peer has been silent for too long."""

    @property
    def _leaving(self) -> bool:
        """Nothing is left but to send our last word."""
        return self.over is not None or self.core.close_transport

    def _overdue(self, now: float) -> None:
        if self.parting_until <= now or self._leaving:  # the peer does not even take our last word
            if self.transport is not None:
                self.transport.abort()
            return
        with self.lock:
            if self.core.deadline is not None:
                self.core.tick(now)
                self._digest()
                return
            if self.patience() <= now:
                self.impatient()
            elif not self.inbox and not self._writing:
                self.release_memory()

    # operations

    def _defers(self, prompt: bool, length: int) -> bool:
        """A sink is written to by a worker, unless it only takes bytes to memory or to a file, and few of them."""
        return not (prompt and length <= SMALL and self.workers.pace.quick())

    def _puts_off(self) -> bool:
        """Pending responses that follow each other closely leave together."""
        if self.core.queued_length >= TOGETHER:
            return False
        if threading.get_ident() != self._thread:
            self._call()
        return True

    def _write_elsewhere(self) -> None:
        write = self.operations.write
        assert write is not None
        self._writing = True

        def job() -> None:
            write.operation.take(write.views)  # keeps what the sink raises for its provider
            self.workers.post(self._written)

        self.workers.submit(job)

    def _written(self) -> None:
        self._writing = False
        try:
            operation = self.operations.written()
        except DicomError as error:
            log.warning("%r is aborted: %s", self.operations.calling_ae, error, extra=self.watcher.extra)
            self.break_off(error)
            operation = None
        if operation is not None:
            self._advance(operation)
        self.work()

    def _advance(self, operation: Operation) -> None:
        """Let an operation go on: here if it is quick, else on a worker."""
        if not operation.prompt or not self.workers.pace.quick():
            self.performers += 1
            self.workers.submit(lambda: self.workers.post(self._advanced, operation, *run(self.operations, operation)))
            return
        effect, error = run(self.operations, operation)
        self._go_on(operation, effect, error)

    def _advanced(self, operation: Operation, effect: Any, error: BaseException | None) -> None:
        self.performers -= 1
        self._go_on(operation, effect, error)
        self.work()

    def _go_on(self, operation: Operation, effect: Any, error: BaseException | None) -> None:
        if error is not None:  # SystemExit of a provider, or worse: it ends this association, not the server
            extra = self.watcher.extra
            log.error("serving %r failed", self.operations.calling_ae, exc_info=error, extra=extra)
            self.break_off(AssociationAborted(f"serving failed: {error}", answer=(0, 0)))
            run(self.operations, operation)  # closes it
        elif effect is not None:
            self.performers += 1
            self._start(self._perform(operation, effect))
        elif operation.over and operation.channels:
            self._start(close_channels(operation.channels, abort=operation.failed or self.over is not None))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_task)

    def _ended_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self.transport is None:
            self.settle()  # perhaps this was the last that was at work
            self._leave_when_quiet()

    async def _perform(self, operation: Operation, effect: Any) -> None:
        """Do what only the loop can do, and let the operation go on with its outcome."""
        try:
            operation.value = await outcome(effect, operation.channels, self._associate, self._later)
        except asyncio.CancelledError as error:
            operation.failure = AssociationAborted("the association has ended")
            self.break_off(AssociationAborted(f"serving was cancelled: {error}", answer=(0, 0)))
        except Exception as error:
            operation.failure = error
        self.performers -= 1
        self._advance(operation)
        self.work()
