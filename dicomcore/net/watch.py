"""Watching associations: counters, log records that name theirs, and events for a hook of the caller.

A `Watch` belongs to one association, whatever drives it: the state machine tells it what becomes of the association,
the exchange which commands come and go, `Operations` when a provider begins. A `ServerWatch` makes those of a server
and adds them up when it is read. Counting takes no lock and about a microsecond an operation.

Loggers: ``dicomcore.net`` (a line at info when an association begins, is refused, ends), ``dicomcore.services``
(providers that fail), ``dicomcore.dimse`` (commands, at debug), ``dicomcore.ul`` (PDUs, at debug). Each record has an
attribute ``association``, unique in the process, empty where there is none. Whether debug is wanted is asked once for
each association, when it is connected. No record at info or above has a value out of a data set.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections.abc import Callable, MutableMapping
from itertools import count
from time import monotonic
from types import MappingProxyType
from typing import Any, Final

from dicomcore.dimse.command import MESSAGES, Command
from dicomcore.dimse.exchange import Exchange
from dicomcore.errors import DicomError
from dicomcore.net.events import (
    AssociationAccepted,
    AssociationEnded,
    AssociationRejected,
    CancelRequested,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionRefused,
    Event,
    HandshakeFailed,
    OperationEnded,
    OperationStarted,
)
from dicomcore.net.hooks import Hooks
from dicomcore.net.metrics import BOUNDS, CATEGORIES, Metrics, Row, Tally, service_name
from dicomcore.services.base import Request
from dicomcore.ul import AssociateRJ, Association, Negotiated, Tracer
from dicomcore.vocab.status import category, describe

__all__ = ["Log", "ServerWatch", "Watch"]

REQUEST: Final = 0x7FFF  # of a command field: what it answers, or itself
STORED: Final = 0x8001  # C-STORE-RSP

_KINDS: Final = MappingProxyType({name: index for index, name in enumerate(CATEGORIES)})
_SUCCESS, _WARNING, *_, _PENDING = range(len(CATEGORIES))

_net: Final = logging.getLogger("dicomcore.net")
_dimse: Final = logging.getLogger("dicomcore.dimse")
_ul: Final = logging.getLogger("dicomcore.ul")


class Log(logging.LoggerAdapter[logging.Logger]):
    """The logger of a layer. Give ``extra=watch.extra`` where the association is known."""

    def __init__(self, layer: str) -> None:
        super().__init__(logging.getLogger(f"dicomcore.{layer}"), {"association": ""})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs.setdefault("extra", self.extra)
        return msg, kwargs


class Watch:
    """What happens on one association."""

    _serial = count(1)  # shared, so that no two associations of a process have the same name in its log

    __slots__ = (
        "_asked",
        "_began",
        "_clock",
        "_core",
        "_exchange",
        "_failed",
        "_finished",
        "_home",
        "_hooks",
        "_how",
        "_number",
        "_open",
        "_peer",
        "_performed",
        "_since",
        "_tells",
        "_whispers",
        "_why",
        "seconds",
        "tally",
    )

    def __init__(
        self,
        peer: object = "",
        hooks: Hooks | None = None,
        home: ServerWatch | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._number = next(Watch._serial)
        self._peer = peer
        self.seconds = 0.0  # for how long it stood
        self.tally = Tally()
        self._performed = self.tally.performed
        self._hooks = hooks
        self._home = home
        self._clock = clock
        self._began = 0.0
        self._core: Association | None = None
        self._exchange: Exchange | None = None
        self._since: dict[int, float] = {}  # message id of a request of the peer -> when it came, then when it began
        self._asked: dict[int, tuple[float, int]] = {}  # message id of ours -> when it left, its command field
        self._tells = False  # each command to the log
        self._how = ""  # the association ended
        self._why = ""
        self._failed = False  # it never stood, and that was told
        self._finished = False
        self._open = False
        self.tally.opened = 1
        self._whispers = _net.isEnabledFor(logging.DEBUG)
        if self._whispers:
            _net.debug("connected with %s", self.peer, extra=self.extra)
        if hooks is not None:
            hooks.put(ConnectionOpened(self.association, self.peer))

    def attach(self, core: Association, exchange: Exchange) -> None:
        """Watch these."""
        self._core, self._exchange = core, exchange
        core.observer = exchange.observer = self
        self._tells = _dimse.isEnabledFor(logging.DEBUG)
        if _ul.isEnabledFor(logging.DEBUG):
            core.tracer = Tracer(self.extra)

    @property
    def association(self) -> str:
        """Its name, unique in the process."""
        return str(self._number)

    @property
    def extra(self) -> dict[str, str]:
        """For log records about it."""
        return {"association": str(self._number)}

    @property
    def peer(self) -> str:
        """The address of the other end."""
        return _address(self._peer)

    @property
    def is_open(self) -> bool:
        """The association stands."""
        return self._open

    @property
    def running(self) -> int:
        """Operations without a final response."""
        return len(self._since) + len(self._asked)

    def metrics(self) -> Metrics:
        """How things stand."""
        self._measure()
        now = self._clock() - self._began if self._open else self.seconds
        return self.tally.metrics(
            connections_open=0 if self._finished else 1,
            associations_open=int(self._open),
            operations_running=self.running,
            events_dropped=self._hooks.dropped if self._hooks is not None else 0,
            seconds=now,
        )

    def deliver(self) -> None:
        """No lock is held here: a hook may be called."""
        if self._hooks is not None:
            self._hooks.deliver()

    def _measure(self) -> None:
        if self._core is not None:
            self.tally.received_bytes, self.tally.sent_bytes = self._core.received_length, self._core.sent_length

    # the life of the association

    def agreed(self, negotiated: Negotiated) -> None:
        """The core: it stands."""
        self._open = True
        self._began = self._clock()
        self.tally.accepted = 1
        if _net.isEnabledFor(logging.INFO):
            agreed, all_ = len(negotiated.contexts), len(negotiated.contexts) + len(negotiated.refused)
            titles = f"{negotiated.calling_ae} -> {negotiated.called_ae}"
            told = titles, self.peer, agreed, all_
            _net.info("association accepted: %s, peer %s, %s of %s contexts", *told, extra=self.extra)
        if self._hooks is not None:
            calling, called = negotiated.calling_ae, negotiated.called_ae
            self._hooks.put(AssociationAccepted(self.association, self.peer, calling, called, negotiated))

    def unsecured(self, reason: DicomError) -> None:
        """The connection: TLS is not agreed. Only the first reason counts."""
        if self.tally.unsecured or self._finished:
            return
        self.tally.unsecured = 1
        if self._hooks is not None:
            why = reason.message.removeprefix(f"{self.peer}: ")
            self._hooks.put(HandshakeFailed(self.association, self.peer, why))

    def over(self, how: str, cause: Any) -> None:
        """The core: the association has ended, or will not be."""
        if self._how or self._finished:
            return
        self._how = how
        if isinstance(cause, AssociateRJ):
            self._rejected(cause)
        elif how == "released" or self._why:
            self._end()

    def ended(self, reason: DicomError) -> None:
        """The connection: why nothing more will come. Only the first reason counts."""
        if not self._why:
            self._why = reason.message
        if self._how:
            self._end()

    def closed(self) -> None:
        """The socket is closed."""
        if self._finished:
            return
        self._how = self._how or "aborted"
        if self._open or not self.tally.ended:
            self._end()
        self._finished = True
        self._measure()
        if self._whispers:
            _net.debug("connection with %s closed", self.peer, extra=self.extra)
        if self._hooks is not None:
            self._hooks.put(ConnectionClosed(self.association, self.peer))
        if self._home is not None:
            self._home.closed(self)
        if self._core is not None and self._exchange is not None:  # they go at once, without the garbage collector
            self._core.observer = self._exchange.observer = None
            self._core = self._exchange = None

    def _titles(self) -> tuple[str, str]:
        asked = None if self._core is None else self._core.asked
        return (asked.calling_ae, asked.called_ae) if asked is not None else ("", "")

    def _rejected(self, answer: AssociateRJ) -> None:
        why = str(answer)
        self._why = self._why or why
        self.tally.rejected[why] = 1
        calling, called = self._titles()
        because = "" if self._core is None or not self._core.because else f", {self._core.because}"
        told = _line(calling), _line(called), self.peer, why, because
        _net.info("association rejected: %s -> %s, peer %s: %s%s", *told, extra=self.extra)
        if self._hooks is not None:
            codes = answer.result, answer.source, answer.reason
            self._hooks.put(AssociationRejected(self.association, self.peer, calling, called, *codes, why))

    def _end(self) -> None:
        if not self._open:
            if self._how in ("aborted", "aborted by peer", "lost") and not self._failed:
                self._failed = True
                self._fail()
            return
        self._open = False
        self.seconds = self._clock() - self._began
        self.tally.ended[self._how] = 1
        self._measure()
        if _net.isEnabledFor(logging.INFO):
            self._tell_end()
        if self._asked:
            for message_id, (_, field) in list(self._asked.items()):
                self._ended(message_id, field, "user", None, 0.0)
            self._asked.clear()
        if self._hooks is not None:
            calling, called = self._titles()
            self._hooks.put(
                AssociationEnded(self.association, self.peer, calling, called, self._how, self._why, self.metrics())
            )

    def _fail(self) -> None:
        """It never stood, and was not rejected. Somebody who connects and leaves is nothing to talk about."""
        calling, called = self._titles()
        if calling or called:
            self.tally.failed = 1
        level = logging.DEBUG if self._how == "lost" or not self._why or not self._received() else logging.INFO
        _net.log(level, "no association with %s: %s", self.peer, self._why or self._how, extra=self.extra)

    def _received(self) -> bool:
        return self._core is not None and self._core.received_length > 0

    def _tell_end(self) -> None:
        tally = self.tally
        completed = sum(
            sum(row.statuses[:_PENDING]) for rows in (tally.performed, tally.asked) for row in rows.values()
        )
        calling, called = self._titles()
        _net.info(
            "association %s: %s -> %s, peer %s%s; %.1f s, %s operations, %s objects in and %s out, "
            "%s bytes in and %s out",
            self._how,
            calling,
            called,
            self.peer,
            f", {self._why}" if self._why and self._how != "released" else "",
            self.seconds,
            completed,
            tally.received_objects,
            tally.sent_objects,
            tally.received_bytes,
            tally.sent_bytes,
            extra=self.extra,
        )

    # its operations: those of the peer

    def requested(self, context_id: int, message_id: int, command: Command) -> None:
        self._since[message_id] = self._clock()
        if self._tells:
            self._tell("<-", context_id, message_id, command.field)

    def began(self, request: Request) -> None:
        """Its provider begins."""
        field, elements, _ = request.command
        message_id = elements["MessageID"]
        now = self._clock()
        try:
            row = self._performed[field]
        except KeyError:
            row = self._performed[field] = Row()
        waited = now - self._since.get(message_id, now)
        row.queue[bisect_left(BOUNDS, waited)] += 1
        row.queue_total += waited
        self._since[message_id] = now
        if self._hooks is not None:
            context = request.context.abstract_syntax
            name = service_name(field)
            self._hooks.put(OperationStarted(self.association, "provider", message_id, name, context))

    def responded(self, context_id: int, message_id: int, field: int, status: int, final: bool) -> None:
        try:
            row = self._performed[field & REQUEST]
        except KeyError:
            row = self._performed[field & REQUEST] = Row()
        kind = _SUCCESS if status == 0 else _PENDING if not final else _KINDS[category(status)]
        row.statuses[kind] += 1
        if final:
            now = self._clock()
            seconds = now - self._since.pop(message_id, now)
            row.service[bisect_left(BOUNDS, seconds)] += 1
            row.service_total += seconds
            if field == STORED and kind <= _WARNING:
                self.tally.received_objects += 1
            if self._hooks is not None:
                self._ended(message_id, field & REQUEST, "provider", status, seconds)
        if self._tells:
            self._tell("->", context_id, message_id, field, status)

    def left(self, request: Request) -> None:
        """A provider that never answered is closed."""
        command = request.command
        message_id = command.elements["MessageID"]
        since = self._since.pop(message_id, None)
        if since is not None:
            self._ended(message_id, int(command.field), "provider", None, self._clock() - since)

    # its operations: ours

    def asked(self, context_id: int, message_id: int, command: Command) -> None:
        self._asked[message_id] = self._clock(), command.field
        if self._hooks is not None:
            field = command.field
            context = ""
            if self._core is not None and self._core.negotiated is not None:
                context = self._core.negotiated.contexts[context_id].abstract_syntax
            self._hooks.put(OperationStarted(self.association, "user", message_id, service_name(field), context))
        if self._tells:
            self._tell("->", context_id, message_id, command.field)

    def answered(self, context_id: int, message_id: int, command: Command, final: bool) -> None:
        field, elements, _ = command
        rows = self.tally.asked
        try:
            row = rows[field & REQUEST]
        except KeyError:
            row = rows[field & REQUEST] = Row()
        status = elements["Status"]
        kind = _SUCCESS if status == 0 else _PENDING if not final else _KINDS[category(status)]
        row.statuses[kind] += 1
        if final:
            now = self._clock()
            seconds = now - self._asked.pop(message_id, (now, 0))[0]
            row.service[bisect_left(BOUNDS, seconds)] += 1
            row.service_total += seconds
            if field == STORED and kind <= _WARNING:
                self.tally.sent_objects += 1
            if self._hooks is not None:
                self._ended(message_id, field & REQUEST, "user", status, seconds)
        if self._tells:
            self._tell("<-", context_id, message_id, field, status)

    def cancelled(self, context_id: int, message_id: int, field: int, by_peer: bool) -> None:
        if self._hooks is not None:
            name = service_name(field) if field else ""
            role = "provider" if by_peer else "user"
            self._hooks.put(CancelRequested(self.association, role, message_id, name))
        if self._tells:
            arrow = "<-" if by_peer else "->"
            _dimse.debug("%s C-CANCEL-RQ of message %s on context %s", arrow, message_id, context_id, extra=self.extra)

    def _ended(self, message_id: int, field: int, role: str, status: int | None, seconds: float) -> None:
        if self._hooks is not None:
            name = None if status is None else category(status)
            self._hooks.put(
                OperationEnded(self.association, role, message_id, service_name(field), status, name, seconds)
            )

    def _tell(self, arrow: str, context_id: int, message_id: int, field: int, status: int | None = None) -> None:
        _dimse.debug(
            "%s %s, message %s on context %s%s",
            arrow,
            MESSAGES[field].name,
            message_id,
            context_id,
            "" if status is None else f": {describe(status, service_name(field & REQUEST))}",
            extra=self.extra,
        )


class ServerWatch:
    """All connections of a server. ``memory()``, if there is a budget: bytes taken now, and at most so far."""

    def __init__(
        self,
        on_event: Callable[[Event], object] | None = None,
        run: Callable[[Callable[[], None]], object] | None = None,
        *,
        memory: Callable[[], tuple[int, int]] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.memory = memory
        self._hooks = None if on_event is None else Hooks(on_event, run)
        self._clock = clock
        self._began = clock()
        self._gone = Tally()  # of connections that are closed
        self._watches: set[Watch] = set()
        self._lock = threading.Lock()

    def open(self, peer: object) -> Watch:
        """A connection was accepted."""
        watch = Watch(peer, self._hooks, self, self._clock)
        with self._lock:
            self._watches.add(watch)
        return watch

    def refuse(self, peer: object) -> None:
        """A connection was closed at once."""
        with self._lock:
            self._gone.refused += 1
        if self._hooks is not None:
            self._hooks.put(ConnectionRefused("", _address(peer)))

    def closed(self, watch: Watch) -> None:
        """For `Watch.closed`."""
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)
                self._gone.add(watch.tally)

    def metrics(self) -> Metrics:
        """All of them together."""
        total = Tally()
        with self._lock:
            watches = list(self._watches)
            total.add(self._gone)
            for watch in watches:
                watch._measure()
                total.add(watch.tally)
        memory, peak = (None, None) if self.memory is None else self.memory()
        return total.metrics(
            connections_open=len(watches),
            associations_open=sum(watch.is_open for watch in watches),
            operations_running=sum(watch.running for watch in watches),
            events_dropped=0 if self._hooks is None else self._hooks.dropped,
            memory=memory,
            peak_memory=peak,
            seconds=self._clock() - self._began,
        )

    def finish(self) -> None:
        """No thread is left that would deliver events: it is done here."""
        if self._hooks is not None:
            self._hooks.deliver()


def _line(title: str) -> str:
    """What a peer calls itself or us, on one line: one that is rejected may bear any name."""
    return title if title.isprintable() else repr(title)


def _address(peer: object) -> str:
    """Of what a socket says of its peer; words stay as they are."""
    if isinstance(peer, tuple) and len(peer) >= 2:
        host, port = peer[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(peer)
