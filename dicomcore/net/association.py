"""An association as its user holds it: blocking calls, all of them in the calling thread, each with a deadline.

One operation at a time: a second thread waits for the first. Every call first takes in what has arrived, so an abort
is noticed before anything is sent. A call that ends early, by a time-out, Ctrl-C or any other exception between a
request and its response, aborts the association, since what is still on its way could not be told from what follows.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dicomcore.data.dataset import Dataset
from dicomcore.data.part10 import FileHeader
from dicomcore.encoding.source import FileSlice
from dicomcore.errors import (
    AssociationAborted,
    DicomError,
    NegotiationError,
    PeerTimeout,
    ServiceError,
)
from dicomcore.limits import Limits
from dicomcore.net.calls import Calls, Turn
from dicomcore.net.connection import UserConnection
from dicomcore.net.effects import BlockingChannel, Effects
from dicomcore.net.events import Event as WatchEvent
from dicomcore.net.fetching import Fetching
from dicomcore.net.hooks import Hooks
from dicomcore.net.metrics import Metrics
from dicomcore.net.poller import Facilities, Waiter
from dicomcore.net.tls import SecuritySettings
from dicomcore.net.tls_socket import TLSSocket, Wire, secure
from dicomcore.net.transport import connect, join_address
from dicomcore.net.verdict import agreed
from dicomcore.net.watch import Log, Watch
from dicomcore.services.base import Answer, Invoke, More, Router, ServiceProvider, User
from dicomcore.services.sending import Several, StorageSCU, Transcoder, let_go
from dicomcore.services.verification import c_echo
from dicomcore.ul import (
    NO_QUIRKS,
    Associate,
    AssociateRQ,
    Negotiated,
    Quirks,
    Release,
    explain,
)
from dicomcore.ul import Association as Core
from dicomcore.vocab.status import StatusCategory, category, describe
from dicomcore.vocab.uids import UID

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Association", "StoreResult"]

Storable = str | os.PathLike[str] | FileHeader | Dataset

log = Log("net")

_new: Final[Any] = tuple.__new__  # a NamedTuple without a call of its own in Python
PARTING = 1.0  # seconds that an abort is given to leave; the peer's close is not worth a longer wait


class StoreResult(NamedTuple):
    """What became of one instance: the peer's status, or the error for which it was never sent."""

    source: Storable
    status: int | None
    error: Exception | None = None

    @property
    def stored(self) -> bool:
        """The peer has it: success, or a warning."""
        return self.status is not None and category(self.status) in (StatusCategory.SUCCESS, StatusCategory.WARNING)

    def __str__(self) -> str:
        told = str(self.error) if self.status is None else describe(self.status, "C-STORE")
        return f"{_named(self.source)}: {told}"

    def __repr__(self) -> str:
        told = repr(self.error) if self.status is None else f"{self.status:#06x}"
        return f"<StoreResult of {_named(self.source)}: {told}>"


def _named(source: Storable) -> str:
    """On one line: the path of a file; SOP Class and Instance of a data set."""
    if not isinstance(source, Dataset):
        return str(getattr(source, "path", source))
    words = UID(source.get("SOPClassUID") or "").name, str(source.get("SOPInstanceUID") or "")
    text = " ".join(filter(None, words)) or "a data set without SOP Class and Instance"
    return text if text.isprintable() else repr(text)


class Association(Calls):
    """An open association; made by `AE.associate`. ``with`` releases it at the end, and aborts it on an exception."""

    def __init__(
        self,
        connection: UserConnection,
        peer: str,
        facilities: Facilities,
        transcoder: Transcoder | None,
        effects: Effects,
    ) -> None:
        assert connection.negotiated is not None
        self.negotiated: Negotiated = connection.negotiated
        self.peer = peer
        self._connection = connection
        self._limits = connection.limits
        self._storage = StorageSCU(self.negotiated, transcoder=transcoder, limits=connection.limits)
        self._waiter = Waiter(facilities)
        self._lock = threading.RLock()
        self._settled = threading.Condition(self._lock)  # no more responses are to come
        self._turn = Turn(self)
        self._operations = connection.operations
        self._answers = connection.operations.answers
        self._effects = effects
        self._fetching = Fetching(connection.operations, connection.limits.message_rate)

    def __repr__(self) -> str:
        agreed, over = self.negotiated, self._connection.over
        state = "open" if over is None else "released" if self._connection.released else over.message
        contexts = f"{len(agreed.contexts)} of {len(agreed.contexts) + len(agreed.refused)} contexts"
        return f"<Association {agreed.calling_ae} -> {self.peer}: {state}, {contexts}>"

    # life

    @classmethod
    def open(
        cls,
        host: str,
        port: int,
        request: AssociateRQ,
        limits: Limits,
        facilities: Facilities,
        transcoder: Transcoder | None = None,
        *,
        services: Iterable[ServiceProvider] = (),
        associate: Callable[..., BlockingChannel],
        quirks: Quirks = NO_QUIRKS,
        security: SecuritySettings | None = None,
        on_event: Callable[[WatchEvent], object] | None = None,
    ) -> Association:
        """Connect and agree. NegotiationError, AssociationRejected, AssociationAborted or PeerTimeout say why not."""
        deadline = monotonic() + limits.association_timeout
        peer = f"{request.called_ae} at {join_address(host, port)}"
        hooks = None if on_event is None else Hooks(on_event)
        plain = connect(host, port, min(limits.connect_timeout, limits.association_timeout))
        sock: Wire = plain
        watch = Watch(peer, hooks)
        try:
            if security is not None:
                try:
                    sock = secure(plain, security, peer, deadline, facilities)
                except DicomError as error:
                    watch.unsecured(error)
                    raise
            core = Core(requestor=True, limits=limits, quirks=quirks)
            connection = UserConnection(sock, core, limits, facilities, Router(services), watch=watch)
            waiter = Waiter(facilities)
            core.request(Associate(request))
            core.connected()
            while connection.negotiated is None and connection.refusal is None and connection.over is None:
                written = connection.flush()
                left = deadline - monotonic()
                if left <= 0 or not connection.wait(waiter.wait, written=written, timeout=left):
                    late = PeerTimeout(f"{peer} did not answer within {limits.association_timeout:g} s", answer=(0, 0))
                    connection.abort(late)
                    connection.flush()
                    raise late
                connection.pull()
            failure = sock.failure if isinstance(sock, TLSSocket) else None
            negotiated = agreed(connection, request, peer, failure, secure=security is not None)
            association = cls(connection, peer, facilities, transcoder, Effects(associate))
            if not negotiated.contexts:
                association.release()
                raise NegotiationError(explain(request, negotiated.answer, quirks))
        except BaseException:
            sock.close()
            watch.closed()
            watch.deliver()
            raise
        watch.deliver()
        return association

    @property
    def is_open(self) -> bool:
        """Whether operations are possible, as far as is known without asking the network."""
        return self._connection.over is None

    @property
    def cipher(self) -> tuple[str, str] | None:
        """Version of TLS and cipher suite, such as ("TLSv1.3", "TLS_AES_256_GCM_SHA384"); None without TLS."""
        sock = self._connection.sock
        return (sock.version() or "", sock.cipher() or "") if isinstance(sock, TLSSocket) else None

    @property
    def metrics(self) -> Metrics:
        """What it has done so far."""
        return self._connection.watcher.metrics()

    def explain(self) -> str:
        """What was proposed, what the peer made of it, and which side lacks what."""
        return explain(self.negotiated.request, self.negotiated.answer, self.negotiated.quirks)

    def release(self) -> None:
        """End the association in good order; a peer that does not answer in time (`Limits`) is aborted."""
        if (conversation := self._conversation) is not None and conversation.owner == threading.get_ident():
            conversation.close()
        with self._settled:
            # Another thread's comes to its end, or was forgotten.
            self._settled.wait_for(lambda: self._conversation is None, self._limits.dimse_timeout)
            if self._conversation is not None:
                self._conversation.close()
            connection = self._connection
            try:
                if connection.over is None:
                    connection.core.request(Release())
                    deadline = monotonic() + self._limits.association_timeout
                    while connection.over is None:
                        self._step(deadline)
                elif connection.released:
                    connection.flush()  # our answer to the peer's release
            except AssociationAborted as error:
                log.info("release of %s: %s", self.peer, error, extra=connection.watcher.extra)
            finally:
                self._close()
        connection.watcher.deliver()

    def abort(self) -> None:
        """End the association at once. May be called from any thread, also while another one waits in an operation."""
        connection = self._connection
        if not self._lock.acquire(blocking=False):
            # Another thread is inside: it finds the connection closed and reports that as an abort.
            with suppress(OSError):  # closed already
                connection.sock.shutdown(socket.SHUT_RDWR)
            return
        try:
            if connection.over is None:
                connection.abort(AssociationAborted("this side aborted the association", answer=(0, 0)))
            self._part()
            if self._conversation is not None:
                self._conversation_over(self._conversation)
        finally:
            self._lock.release()
        connection.watcher.deliver()

    def _part(self) -> None:
        """Let the A-ABORT leave: closing with unread bytes would make the system drop it with a reset."""
        connection = self._connection
        deadline = monotonic() + PARTING
        try:
            while not connection.flush():
                left = deadline - monotonic()
                if left <= 0 or not self._waiter.wait(connection.fd, read=False, write=True, timeout=left):
                    return
            connection.sock.shutdown(socket.SHUT_WR)
            while (left := deadline - monotonic()) > 0 and self._waiter.wait(
                connection.fd, read=True, write=False, timeout=left
            ):
                if not connection.sock.recv(1 << 16):
                    return
        except OSError:
            pass  # the peer is gone, which is what was wanted
        finally:
            self._close()

    def wait(self, timeout: float) -> bool:
        """Serve what the peer sends unasked for `timeout` seconds; True while the association stands."""
        connection = self._connection
        with self._turn:
            deadline = monotonic() + timeout
            self._digest()  # what came along with what was read last
            while connection.over is None and (left := deadline - monotonic()) > 0:
                written = connection.flush()
                connection.wait(self._waiter.wait, written=written, timeout=left)
                connection.pull()
                self._digest()
            return connection.over is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    # operations

    def _break_off(self) -> None:
        """What ends an operation early ends the association if the exchange is left half done."""
        connection = self._connection
        if connection.over is None and (connection.exchange.invoked or not connection.outbox.empty):
            connection.abort(AssociationAborted("an operation was broken off", answer=(0, 0)))
            self._part()

    def _take_in(self) -> None:
        """Read what has arrived, without waiting; raise when that was the end."""
        connection = self._connection
        if connection.inbox:  # it came along with what was read last
            self._digest()
        while connection.over is None and connection.pull(through=True):
            self._digest()
        if connection.over is not None:
            raise self._why_over()

    def c_echo(self, *, check: bool = False) -> int:
        """Ask whether the peer is there (PS3.4 A); the status. ServiceError for a failure if ``check``."""
        return self._checked(self.perform(c_echo(self.negotiated)).status, "C-ECHO", check)

    def c_store(self, source: Storable, *, check: bool = False) -> int:
        """Send one instance, by path or as a Dataset (PS3.4 B); the status.

        NegotiationError when no accepted context fits it; EncodingError or OSError when it cannot be read: the
        association stands after these. ServiceError for a failure status if ``check``.
        """
        return self._checked(self.perform(self._storage.c_store(source)).status, "C-STORE", check)

    def c_store_many(self, sources: Iterable[Storable], *, window: int = 1) -> Iterator[StoreResult]:
        """Send instances one after the other; a result for each, as it is known. Nothing is sent before it is iterated.

        Up to ``window`` requests are under way at a time, if the peer agreed to that. The next file is opened while the
        response to the last one is awaited. With a window of 1 nothing is under way between results.
        """
        connection = self._connection
        window = max(1, min(window, connection.exchange.window))
        under_way: dict[int, tuple[Storable, Any]] = {}
        waiting = Several(sources)
        ready = self._prepare(waiting)
        look = True
        try:
            while ready is not None or under_way:
                if ready is not None and ready[2] is not None:
                    yield StoreResult(ready[0], None, ready[2])
                    ready = self._prepare(waiting)
                    continue
                with self._turn:
                    if look:
                        self._take_in()
                    look = False  # from now on every wait for a response looks
                    while ready is not None and (invoke := ready[1]) is not None and len(under_way) < window:
                        under_way[connection.exchange.request(*invoke)] = ready[0], invoke.body
                        ready = None  # it is under way
                        connection.flush()
                        ready = self._prepare(waiting)
                    if ready is not None and (invoke := ready[1]) is not None and type(invoke.body) is FileSlice:
                        connection.outbox.read_ahead(invoke.context_id, invoke.body)
                    result = self._settle(under_way)
                yield result
            waiting.finish()
        finally:
            if ready is not None and ready[1] is not None:
                let_go(ready[1].body)
            if under_way and self.is_open:
                with self._turn:
                    while under_way:
                        self._settle(under_way)
            for _, body in under_way.values():
                let_go(body)

    def _prepare(self, waiting: Iterator[Storable]) -> tuple[Storable, Invoke | None, Exception | None] | None:
        """The next instance with its request ready, or with the error that it has; None when there are no more.

        Its file is open, or read, while the peer works.
        """
        for source in waiting:
            try:
                return source, self._storage.prepare(source), None
            except (DicomError, OSError) as error:
                return source, None, error
        return None

    def _settle(self, under_way: dict[int, tuple[Storable, Any]]) -> StoreResult:
        """Wait for the response to any of these."""
        message_id, answer = self._answer(under_way)
        source, body = under_way.pop(message_id)
        let_go(body)
        result: StoreResult = _new(StoreResult, (source, answer.status, None))
        return result

    def _checked(self, status: int, service: str, check: bool) -> int:
        if check and category(status) is StatusCategory.FAILURE:
            raise ServiceError(f"{self.peer} answered {service} with {describe(status, service)}", answer=status)
        return status

    def perform(self, user: User) -> Any:
        """Run the generator of a service's user side: send what it yields, hand it the responses, return its result."""
        with self._turn:
            self._take_in()
            try:
                step = next(user)
                asked: tuple[int, ...] = ()
                while True:
                    if not isinstance(step, More):
                        asked = (self._send(step),)
                    step = user.send(self._answer(asked)[1])
            except StopIteration as stop:
                return stop.value
            finally:
                user.close()

    def _send(self, invoke: Invoke) -> int:
        return self._connection.exchange.request(*invoke)

    def _answer(self, message_ids: Collection[int], final: float | None = None) -> tuple[int, Answer]:
        """Wait for a response to one of these: as long as our bytes move, or those of what a C-GET brings, then for
        `Limits.dimse_timeout`; or only until ``final``."""
        answers, connection = self._answers, self._connection
        deadline = final or monotonic() + self._limits.dimse_timeout
        moved: bool | None = None  # in the last step
        while True:
            for message_id in answers:
                if message_id in message_ids:
                    received = answers[message_id]
                    answer = received.pop(0)
                    if not received:
                        del answers[message_id]
                    return message_id, answer
            if connection.over is not None:  # released by the peer; our response to that may have to leave
                connection.flush()
                raise self._why_over()
            if final is None and moved is not None:
                now = monotonic()
                deadline = max(deadline, (now if moved else self._fetching.heard(now)) + self._limits.dimse_timeout)
            moved = self._step(deadline)

    def _step(self, deadline: float) -> bool:
        """Write and read what can be, waiting once. True when our own bytes still leave. Raises when it is over."""
        connection = self._connection
        written = connection.outbox.empty or connection.flush()
        if connection.over is None:
            # A peer that floods us gets no more time for that.
            taken = not connection.short and connection.pull(through=True)
            now = monotonic()
            limit = deadline if written else min(deadline, now + self._limits.network_timeout)
            if limit <= now or not (taken or connection.wait(self._waiter.wait, written=written, timeout=limit - now)):
                what = "did not answer" if written else "took no more data"
                error = PeerTimeout(f"{self.peer} {what} in time", answer=(0, 0))
                connection.abort(error)
                self._part()
                raise error
            if not taken:
                connection.pull(through=True)
        self._digest()
        if connection.over is not None and not connection.released:
            raise self._why_over()
        return not written

    def _close(self) -> None:
        self._connection.close()
        self._digest()  # closes the providers that still waited for the peer

    def _why_over(self) -> DicomError:
        over = self._connection.over
        assert over is not None
        if self._connection.outbox.empty:
            self._close()
        else:
            self._part()  # the fault may be the peer's, which is to hear of it
        if isinstance(over, AssociationAborted):
            return type(over)(f"{self.peer}: {over.message}", clause=over.clause, answer=over.answer)
        return over

    def _digest(self) -> None:
        """Work off what arrived: responses wait for who asked, providers perform what the peer asks, here and now."""
        connection, operations = self._connection, self._operations
        room = connection.outbox.empty
        while (operation := connection.orphans.pop() if connection.orphans else operations.next(room=room)) is not None:
            while (effect := operations.advance(operation)) is not None:
                self._effects.perform(operation, effect)
            if operation.over and operation.channels:
                self._effects.close(operation, abort=operation.failed or connection.over is not None)
            elif operation.pauses:
                connection.pull()  # a cancel, maybe
            room = connection.outbox.empty
