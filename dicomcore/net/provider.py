"""The server's side of one association: runs providers (PS3.7 7) and performs their effects, one operation at a time.

Whoever owns the connection calls in: the selector thread while the association is idle, one worker while there is
work. While a provider's own code runs, the worker lends the socket back (`watch`), so that an abort, a disconnect or
a C-CANCEL is seen at once and set on the provider's context. A provider that answers faster than the peer reads is
paused, not buffered.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from dicomcore.dimse.exchange import CancelReceived, Fragment, RequestReceived
from dicomcore.errors import DicomError, LocalProtocolError, RemoteProtocolError
from dicomcore.limits import Limits
from dicomcore.net.connection import Connection
from dicomcore.net.poller import Facilities, Poller
from dicomcore.services.base import (
    Call,
    Provider,
    Receive,
    Received,
    Request,
    Response,
    Router,
    ServiceContext,
    status_of,
)
from dicomcore.ul import Association, AssociationRequested, Event, ReleaseRequested, ReleaseResponse

__all__ = ["Operation", "ServedConnection"]

PARTING = 2.0  # seconds that a peer is given to close after our last PDU

log = logging.getLogger("dicomcore.net")


class Operation:
    """One running provider and the body that is streamed to it."""

    __slots__ = (
        "answered",
        "body_open",
        "context",
        "error",
        "held",
        "length",
        "prompt",
        "provider",
        "receive",
        "request",
    )

    def __init__(self, request: Request, context: ServiceContext, provider: Provider, prompt: bool) -> None:
        self.prompt = prompt  # it waits for nothing, so there is no need to watch meanwhile
        self.request = request
        self.context = context
        self.provider = provider
        self.body_open = request.has_body  # its last fragment is still to come
        self.receive: Receive | None = None  # the effect that takes the body
        self.held: Response | None = None  # yielded while a body nobody wants is drained
        self.length = 0
        self.error: Exception | None = None
        self.answered = False

    def take(self, views: list[memoryview]) -> None:
        """Fragments into the sink; what it refuses, and all after that, is dropped and reported with `Received`."""
        self.length += sum(map(len, views))
        if self.receive is None or self.error is not None:
            return
        sink = self.receive.sink
        try:
            if len(views) > 1 and (writev := getattr(sink, "writev", None)) is not None:
                writev(views)
            else:
                for view in views:
                    sink.write(view)
        except Exception as error:
            self.error = error


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
        decide: Callable[[ServedConnection, AssociationRequested], None],
    ) -> None:
        super().__init__(sock, core, limits, facilities)
        self.peer = peer
        self.lock = threading.Lock()
        self.lent = False  # a worker has it
        self.watched = False  # that worker runs a provider, and the selector may read
        self.timer_at = float("inf")  # when the server's timer for this connection is due
        self.deadline = float("inf")
        self.calling_ae = self.called_ae = ""
        self.established = False
        self.parting = False  # our last word is out; the peer has a moment to close
        self._router = router
        self._poller = poller
        self._decide = decide
        self._operation: Operation | None = None
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

    def cancel_received(self, message: CancelReceived) -> None:
        operation = self._operation
        if operation is not None and operation.request.command.elements.get("MessageID") == message.message_id:
            operation.context.cancelled = True

    def end(self, reason: DicomError) -> None:
        super().end(reason)
        if self._operation is not None:
            self._operation.context.peer_gone = True

    def _release_if_done(self) -> None:
        if self._release_due and self._operation is None and not self.inbox and self.over is None:
            self._release_due = False
            self.core.request(ReleaseResponse())
            self._digest()

    @property
    def runnable(self) -> bool:
        """There is something to do for a worker."""
        operation = self._operation
        if self.over is not None:
            return operation is not None  # its provider is to be closed
        if operation is not None and not operation.body_open and self.outbox.empty:
            return True
        return bool(self.inbox)

    @property
    def busy(self) -> bool:
        """An operation is under way or has half arrived."""
        return self._operation is not None or bool(self.inbox) or self.exchange.receiving

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

    def work(self) -> None:
        """Run providers until input or room for output is missing. Needs the connection alone."""
        inbox = self.inbox
        while self.over is None:
            operation = self._operation
            if operation is None:
                if not inbox:
                    break
                message = inbox.popleft()
                if type(message) is RequestReceived:
                    self._start(message)
            elif operation.body_open:
                if not inbox:
                    break
                self._take(operation)
            elif self.outbox.empty:
                self._advance(operation, None)
            else:
                break
        if self.over is not None and self._operation is not None:
            self._leave(self._operation)
        if self._operation is None and not inbox:
            self._release_if_done()

    def _start(self, message: RequestReceived) -> None:
        negotiated = self.core.negotiated
        assert negotiated is not None
        agreed = negotiated.contexts[message.context_id]
        request = Request(*message, agreed, self.calling_ae, self.called_ae, self.peer)
        context = ServiceContext(self.limits)
        self._operation = operation = Operation(request, context, *self._router.start(request, context))
        self._advance(operation, None)

    def _take(self, operation: Operation) -> None:
        inbox = self.inbox
        views = []
        while inbox and type(fragment := inbox[0]) is Fragment:
            inbox.popleft()
            views.append(fragment.view)
            if fragment.last:
                operation.body_open = False
                break
        operation.take(views)
        if operation.body_open:
            return
        if operation.receive is not None:
            operation.receive = None
            self._advance(operation, Received(operation.length, operation.error))
        elif operation.held is not None:
            held, operation.held = operation.held, None
            if self._respond(operation, held):
                self._advance(operation, None)  # a provider that has ended already only says so once more

    def _advance(self, operation: Operation, value: Any) -> None:
        """Resume the provider with the answer to its last effect, until it waits for something or ends."""
        provider = operation.provider
        failure: Exception | None = None
        watching = False
        try:
            while self.over is None:
                if not (watching or operation.prompt or operation.body_open or operation.answered):
                    watching = self._watch()
                effect = provider.send(value) if failure is None else provider.throw(failure)
                failure = value = None
                if type(effect) is Call:
                    try:
                        value = effect.fn(*effect.args)
                    except Exception as error:
                        failure = error
                elif type(effect) is Response:
                    if operation.body_open:
                        operation.held = effect
                        return
                    if watching:
                        watching = False
                        self._unwatch()
                    if not self._respond(operation, effect):
                        return
                elif type(effect) is Receive and operation.body_open:
                    operation.receive = effect
                    return
                else:
                    failure = LocalProtocolError(f"no body is left for {effect!r}, or it is no effect of this driver")
        except StopIteration:
            if operation.answered:
                self._operation = None
            else:
                self._failed(operation, LocalProtocolError("the provider ended without a final response"))
            return
        except Exception as error:
            self._failed(operation, error)
            return
        finally:
            if watching:
                self._unwatch()
        self._leave(operation)

    def _failed(self, operation: Operation, error: Exception) -> None:
        """A provider's exception becomes a failure status; when it has answered already, only the log hears of it."""
        if self.over is None:
            name = operation.request.command.name
            log.warning("%s from %r: the provider failed: %s", name, self.calling_ae, error, exc_info=error)
            refusal = Response(status_of(error))
            if operation.body_open:
                operation.held = refusal  # sent when the body has been drained
                return
            self._respond(operation, refusal)
        self._leave(operation)

    def _respond(self, operation: Operation, response: Response) -> bool:
        """Send a response. True when the provider may go on at once: the last one is out, or there is room for more."""
        if operation.answered or self.over is not None:
            return True
        request = operation.request
        with self.lock:
            try:
                operation.answered = self.exchange.respond(
                    request.context_id, response.command(request.command), response.body
                )
            except LocalProtocolError as error:
                log.warning("%s: a response that cannot be sent: %s", request.command.name, error)
                self.exchange.respond(request.context_id, Response(status_of(error)).command(request.command))
                operation.answered = True
                return True
            return self.flush() or operation.answered

    def _leave(self, operation: Operation) -> None:
        """The operation is over, or its association is: close the provider, so that it takes back what it began."""
        self._operation = None
        try:
            operation.provider.close()
        except Exception as error:
            log.warning("a provider failed while it was closed: %s", error, exc_info=error)

    # lending the socket to the selector while a provider runs

    def _watch(self) -> bool:
        """Let the selector read while this worker runs a provider. Not while unread messages hold the receive block."""
        if self.inbox:
            return False
        with self.lock:
            self.watched = True
            self._poller.arm(self.fd, read=True, write=False)
        return True

    def _unwatch(self) -> None:
        """Take the socket back."""
        with self.lock:
            self.watched = False
            self._poller.disarm(self.fd)
