"""The operations of one association, those it performs and those it asks for, without socket, clock or thread.

A driver puts what the exchange made of the bytes into `inbox`, calls `next` for an operation that can go on, and
`advance` to run that one until it waits (None) or yields an effect that only a driver can perform (`Call`, `Associate`,
`Perform` on a channel, `Await`, `At`): the driver leaves the outcome in ``operation.value`` or ``operation.failure``
and advances it again. Everything else is done here: bodies go to their sinks, responses to the exchange, users of
providers ask on this association and get their answers, failures become a status (PS3.7 Annex C).

Promised: as many providers run together as the window allows; further requests wait unread, and so they do while
responses that the peer does not take are many or long, and then no provider is resumed either; an operation is advanced
by one thread at a time; one that ends, or whose association ends, closes its provider, so that it takes back what it
began. A request that is here with its whole body, and whose service can answer at once, is answered by `next`, without
an operation. ``guard`` is the lock of drivers with threads: it is held while the exchange is used, never while the code
of a provider or a sink runs. `next` is for the one thread that reads; what it raises (a DicomError) is why the
association is to be aborted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final

from dicomcore.dimse.command import CommandField
from dicomcore.dimse.exchange import CancelReceived, Exchange, Fragment, RequestReceived, ResponseReceived
from dicomcore.errors import AssociationAborted, LimitExceeded, LocalProtocolError
from dicomcore.limits import Limits
from dicomcore.net.asking import Asking
from dicomcore.net.budget import Share
from dicomcore.net.instant import Instant
from dicomcore.net.operation import BODY, NOTHING, ROOM, Operation, Write, no_effect
from dicomcore.net.watch import Log, Watch
from dicomcore.services.base import (
    Associate,
    At,
    Await,
    Call,
    Perform,
    Receive,
    Received,
    Request,
    Response,
    Router,
    ServiceContext,
    status_of,
)
from dicomcore.services.messages import with_encoded_body
from dicomcore.ul import AgreedContext

__all__ = ["DriverEffect", "Message", "Operation", "Operations", "Write"]

Message = RequestReceived | ResponseReceived | Fragment
ROOM_LENGTH: Final = 64 * 1024  # bytes that may wait to be sent before a provider with more to say has to wait
STORE: Final = CommandField.C_STORE_RQ
_new: Final[Any] = tuple.__new__  # a NamedTuple without a call of its own in Python
DriverEffect = Call | Associate | Await | At | Perform

log = Log("services")


class Operations(Asking):
    """All operations of one association.

    ``flush()``, called with the guard held, writes what the socket takes; True when there is room for more.
    ``put_off()``, alike, is asked after a Pending response: True when it need not be written yet, since the driver will
    see to that in a moment, or with the next.
    ``share``: what it has of the server's budget of memory; None where there is none.
    ``defer(prompt, length)``: whether so many bytes of a body, for an operation that is prompt or not, are nothing for
    this thread: the driver writes them itself. They are then in `write`, and `next` finds nothing more until `written`
    was called.
    """

    def __init__(
        self,
        exchange: Exchange,
        limits: Limits,
        router: Router,
        *,
        flush: Callable[[], bool],
        guard: AbstractContextManager[Any] | None = None,
        defer: Callable[[bool, int], bool] | None = None,
        put_off: Callable[[], bool] | None = None,
        watch: Watch | None = None,
        share: Share | None = None,
    ) -> None:
        Asking.__init__(self, exchange, limits, flush, guard)
        self.write: Write | None = None
        self.inbox: deque[Message] = deque()
        self.running: dict[int, Operation] = {}  # by the message id of the peer's request
        self.calling_ae = self.called_ae = ""
        self.peer: Any = None
        self.queued = 0  # bytes in memory that wait to be sent, as `note` told last
        self.stores = 0  # C-STOREs of the peer that have begun, and those that have ended
        self._router = router
        self._defer = defer
        self._put_off = put_off
        self._share = share
        self.watch = watch if watch is not None else Watch()
        self._unsent = 0  # final responses since all that was queued had left
        self._cancelled: set[int] = set()  # ids of requests that their user took back before they began
        self._receiving: Operation | None = None  # whose body arrives
        self._instant = Instant(exchange, limits, router)

    @property
    def idle(self) -> bool:
        """Nothing is under way or has half arrived."""
        return not (self.running or self.inbox or self.exchange.receiving)

    @property
    def room_wanted(self) -> bool:
        """An operation, or a request, waits until what was sent has left."""
        return bool(self.roomless) or (bool(self.inbox) and self._crammed)

    @property
    def starved(self) -> bool:
        """A body waits for memory, and so nothing is read."""
        return self._share is not None and self._share.waits

    def give_up(self) -> None:
        """Memory does not come in time: the body is drained, and its sender told (A700)."""
        operation = self._receiving
        if self._share is not None and operation is not None:
            operation.refuse("there was no memory for the body within Limits.budget_wait")
            self._share.release(operation)
            self._share.waits = False

    @property
    def stored_length(self) -> int:
        """Bytes that have arrived of an object that the peer is storing here."""
        receiving = self._receiving
        return 0 if receiving is None or receiving.request.command.field != STORE else receiving.length

    @property
    def holds_views(self) -> bool:
        """Fragments wait, whose bytes the next read would overwrite."""
        return any(type(message) is Fragment for message in self.inbox)

    # what arrives

    def cancel(self, message: CancelReceived) -> None:
        """Tell the operation that its user wants no more (PS3.7 9.3.2.3); it ends with a status of Cancel itself."""
        if (operation := self.running.get(message.message_id)) is not None:
            operation.context.cancelled = True
        else:
            self._cancelled.add(message.message_id)  # its request is in the inbox still

    def end(self) -> list[Operation]:
        """The association is over. The operations that wait, and so have to be advanced once more to be closed."""
        self.over = True
        self.inbox.clear()
        self.roomless.clear()
        self._windowless.clear()
        for operation in (operations := list(self.running.values())):
            operation.context.peer_gone = True
        return [operation for operation in operations if operation.waits]

    def detach(self) -> None:
        """The connection is closed: forget its driver, so that nothing is left that refers to itself."""
        self._flush = self._written_off
        self._defer = self._put_off = None
        if self._share is not None:
            self._share.detach()

    @staticmethod
    def _written_off() -> bool:
        return True

    @property
    def streaming(self) -> Operation | None:
        """The operation whose body arrives, when nothing of it waits to be taken."""
        return self._receiving if not self.inbox else None

    def can_go_on(self, *, room: bool) -> bool:
        """Whether `next` may find something, as far as can be told without working off the inbox."""
        if self.roomless and room:
            return True
        if not self.inbox:
            return False
        if type(self.inbox[0]) is RequestReceived:
            return len(self.running) < self._capacity and (room or not self._crammed)
        receiving = self._receiving
        return self._gathering is not None or receiving is None or (receiving.takes and not self.starved)

    def next(self, *, room: bool) -> Operation | None:
        """Work off the inbox until an operation can go on: that one. None when nothing is left or the next has to wait.

        ``room``: what was sent has left, so those that waited for that go on.
        """
        if room:
            self._unsent = 0
            if self.roomless:
                with self._guard:
                    operation = self.roomless.popleft()
                    operation.waits = NOTHING
                    return operation
        inbox, share = self.inbox, self._share
        ready: Operation | None
        while inbox and self.write is None and not (share is not None and share.waits):
            first: Any = inbox[0]
            kind = type(first)
            if kind is Fragment:
                if self._receiving is not None and not self._receiving.takes:
                    return None
                ready = self._fragments()
            elif kind is RequestReceived:
                if (self.running and len(self.running) >= self._capacity) or self._crammed:
                    return None
                if self._answered_at_once(first):
                    continue
                inbox.popleft()
                ready = self._begin(first)
            else:
                inbox.popleft()
                ready = self._response(first)
            if ready is not None:
                return ready
        return None

    @property
    def _capacity(self) -> int:
        """How many providers may run: as agreed; more while we wait for responses, which must not be stuck behind."""
        return self._limits.operations_window if self._asked else self.exchange.performing_window

    @property
    def _crammed(self) -> bool:
        """More responses wait to be taken than a peer that keeps to the window leaves there, or too long ones."""
        return self._unsent >= self._limits.operations_window or (self.queued > 0 and self._stuffed)

    @property
    def _stuffed(self) -> bool:
        """So much waits to be sent that nothing is to be added.

        What `ROOM` bounds does not count while we wait for a response: it may be stuck behind the peer's requests.
        """
        if self.queued >= ROOM_LENGTH and not self.exchange.invoked:
            return True
        return self.queued > 0 and self._share is not None and self._share.full

    def note(self, queued: int) -> None:
        """So many bytes in memory wait to be sent now. With the guard held."""
        self.queued = queued
        if self._share is not None:
            self._share.queue(queued)

    def lend(self, length: int) -> bool:
        """Whether so long a block may be received into; 0 gives it back."""
        return self._share is None or self._share.lend(length)

    def _answered_at_once(self, message: RequestReceived) -> bool:
        """Answer the first of the inbox, if all of it is here and its service can do that now. Whether that is done."""
        found = self._instant.try_take(message, self.inbox, self._defer)
        if found is None:
            return False
        service, agreed, views = found
        request = self._perform(message, agreed)
        watch = self.watch
        try:
            response = service(request, self._instant.context, views)
            if type(response) is not Response or (response.status and response.is_pending):
                raise LocalProtocolError(f"at once a final response is answered, not {response!r}")
            if response.body is not None:
                response = with_encoded_body(response, agreed.transfer_syntax, self._limits)
        except Exception as error:
            response = self._refusal(request, error)
        except BaseException as error:
            watch.left(request)
            if not isinstance(error, SystemExit):
                raise
            log.exception("serving %r failed", self.calling_ae, extra=watch.extra)
            raise AssociationAborted(f"serving failed: {error}", answer=(0, 0)) from error
        self.stores += request.command.field == STORE
        with self._guard:
            if self.over:
                watch.left(request)
            else:
                try:
                    self._send(request, response)
                except Exception as error:  # elements that are none, for one
                    self._send(request, self._refusal(request, error))
                self._unsent += 1
                self._flush()
        return True

    def _perform(self, message: RequestReceived, agreed: AgreedContext) -> Request:
        """A request of the peer, about to be performed."""
        request: Request = _new(Request, (*message, agreed, self.calling_ae, self.called_ae, self.peer))
        self.watch.began(request)
        if self._cancelled:
            self._cancelled.discard(message.command.elements["MessageID"])
        self.stores += message.command.field == STORE
        return request

    def _begin(self, message: RequestReceived) -> Operation:
        negotiated = self.exchange.negotiated
        cancelled = message.command.elements["MessageID"] in self._cancelled
        request = self._perform(message, negotiated.contexts[message.context_id])
        context = ServiceContext(self._limits, negotiated, self.exchange.requestor)
        context.cancelled = cancelled
        operation = Operation(request, context, *self._router.start(request, context))
        self.running[message.command.elements["MessageID"]] = operation
        if message.has_body:
            self._receiving = operation
        return operation

    def _fragments(self) -> Operation | None:
        """The fragments that are here, to whom they are for. Those for which there is no memory stay in the inbox."""
        inbox = self.inbox
        views = []
        last = False
        for message in inbox:
            if type(message) is not Fragment:
                break
            views.append(message.view)
            if message.last:
                last = True
                break
        operation = self._receiving
        if self._share is not None and operation is not None and operation.receive is not None:
            length = 0 if operation.error is not None else sum(map(len, views))
            if length and not self._share.try_write(operation, operation.receive.sink, length):
                return None
        for _ in views:
            inbox.popleft()
        if operation is None:
            return self._gather(views, last)
        defer = self._defer if operation.receive is not None and operation.error is None else None
        if defer is not None and defer(operation.prompt, sum(map(len, views))):
            operation.waits = NOTHING  # but for the driver
            self.write = Write(operation, views, last)
            return None
        operation.take(views)
        self._measure(operation)
        return self._taken(operation) if last else None

    def passed(self, operation: Operation, length: int, error: OSError | None) -> None:
        """The driver moved so much of a body itself. LimitExceeded as from `next`."""
        operation.passed(length, error)
        self._measure(operation)

    def _measure(self, operation: Operation) -> None:
        """A body over the limit is drained, so that its sender is told; not for ever."""
        if operation.length > 2 * self._limits.object_length:
            raise LimitExceeded("a body goes on far beyond Limits.object_length", answer=(0, 0))

    def written(self) -> Operation | None:
        """What was in `write` is in its sink: the operation, if it can go on."""
        assert self.write is not None
        operation, _, last = self.write
        self.write = None
        self._measure(operation)
        if last:
            return self._taken(operation)
        return None if self._wait(operation, BODY) else operation

    def _taken(self, operation: Operation) -> Operation:
        operation.body_open = False
        operation.waits = NOTHING
        self._receiving = None
        if operation.receive is not None:
            operation.receive = None
            operation.value = Received(operation.length, operation.error)
        return operation

    # going on

    def _wait(self, operation: Operation, what: str) -> bool:
        """Let it wait; False when the association is over, so that nothing would come (`end` has passed it by)."""
        with self._guard:
            if not self.over:
                operation.waits = what
            return not self.over

    def advance(self, operation: Operation) -> DriverEffect | None:
        """Run an operation until it waits or is over (None), or wants a driver to do something: that effect."""
        try:
            while True:
                if operation.held is not None:
                    held, operation.held = operation.held, None
                    if not self._respond(operation, held):
                        return None
                elif operation.user is not None and not self._advance_user(operation):
                    return None
                if self.over:
                    break
                if self.queued and not operation.answered and self._pause(operation):
                    return None
                effect = operation.resume()
                kind = type(effect)
                if kind is Response:
                    if effect.body is not None:
                        effect = with_encoded_body(effect, operation.request.context.transfer_syntax, self._limits)
                    if operation.body_open:
                        operation.held = effect
                        if self._wait(operation, BODY):
                            return None
                    elif not self._respond(operation, effect):
                        return None
                elif kind is Receive and operation.body_open:
                    operation.receive = effect
                    if self._wait(operation, BODY):
                        return None
                elif kind is Perform and effect.channel is None:
                    operation.user = effect.user
                elif kind in _FOR_DRIVERS:
                    return effect  # type: ignore[no-any-return]
                else:
                    operation.failure = no_effect(effect)
        except StopIteration:
            if operation.answered:
                self._leave(operation)
            else:
                self._failed(operation, LocalProtocolError("the provider ended without a final response"))
            return None
        except Exception as error:
            self._failed(operation, error)
            return None
        self._leave(operation)
        return None

    def _pause(self, operation: Operation) -> bool:
        """Let it wait until the peer has taken what is there, if that is a lot."""
        with self._guard:
            if self.over or not self._stuffed:
                return False
            operation.waits = ROOM
            self.roomless.append(operation)
            return True

    def _respond(self, operation: Operation, response: Response) -> bool:
        """Send a response. False when the provider has to wait until there is room for more."""
        if operation.answered:
            return True
        with self._guard:
            if self.over:
                return True
            operation.answered = self._send(operation.request, response)
            if operation.answered:
                self._unsent += 1
                self._flush()
                return True
            if (self._put_off is not None and self._put_off()) or self._flush():
                return True
            operation.waits = ROOM
            self.roomless.append(operation)
            return False

    def _send(self, request: Request, response: Response) -> bool:
        """Queue a response, with the guard held; whether it is the last to this request."""
        command = request.command
        try:
            if response.is_plain(command):
                return self.exchange.answer(request.context_id, command, response.status)
            return self.exchange.respond(request.context_id, response.command(command), response.body)
        except LocalProtocolError as error:
            name = command.name
            log.warning("%s: a response that cannot be sent: %s", name, error, extra=self.watch.extra)
            with suppress(LocalProtocolError):  # after our own A-RELEASE request nothing may follow (PS3.8, Sta7)
                self.exchange.respond(request.context_id, Response(status_of(error)).command(command))
            return True

    def _refusal(self, request: Request, error: Exception) -> Response:
        """What a provider's exception becomes; the log hears of it too."""
        name, extra = request.command.name, self.watch.extra
        log.warning("%s from %r: the provider failed: %s", name, self.calling_ae, error, exc_info=error, extra=extra)
        return Response(status_of(error))

    def _failed(self, operation: Operation, error: Exception) -> None:
        """A provider's exception becomes a failure status; when it has answered already, only the log hears of it."""
        operation.failed = True
        if not self.over:
            refusal = self._refusal(operation.request, error)
            if operation.body_open:
                operation.held = refusal  # sent when the body has been drained; the provider then ends once more
                if self._wait(operation, BODY):
                    return
            self._respond(operation, refusal)
        self._leave(operation)

    def _leave(self, operation: Operation) -> None:
        """The operation is over, or its association is: close what it began."""
        operation.over = True
        operation.waits = NOTHING
        self.stores += operation.request.command.field == STORE
        if self._share is not None:
            self._share.release(operation)
        if not operation.answered:
            self.watch.left(operation.request)
        for generator in (operation.user, operation.provider):
            try:
                if generator is not None:
                    generator.close()
            except Exception as error:
                extra = self.watch.extra
                log.warning("a provider failed while it was closed: %s", error, exc_info=error, extra=extra)
        message_id = operation.request.command.elements["MessageID"]
        if self.running.get(message_id) is operation:  # an id may be used again as soon as it is answered
            del self.running[message_id]


_FOR_DRIVERS: Final = frozenset({Call, Associate, Await, At, Perform})
