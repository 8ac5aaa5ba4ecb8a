"""A socket, an upper-layer core and a DIMSE exchange, joined: what the blocking user and the server have in common.

`pull` reads at most one block and turns it into messages in `inbox`, in the order of arrival; `flush` writes what the
core has framed. Neither blocks. Views in the inbox stay valid until the next `pull`, so the inbox is worked off
before reading on.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from time import monotonic
from typing import Any, Final

from dicomcore.dimse.exchange import CancelReceived, Exchange
from dicomcore.errors import AssociationAborted, DicomError, LocalProtocolError, PeerTimeout, RemoteProtocolError
from dicomcore.limits import Limits
from dicomcore.net.budget import Share
from dicomcore.net.operation import Operation
from dicomcore.net.operations import ROOM_LENGTH, Operations
from dicomcore.net.poller import Facilities
from dicomcore.net.tls_socket import TLSSocket, Wire
from dicomcore.net.transport import Outbox, RecordOutbox, load_pump
from dicomcore.net.unbegun import UNBEGUN
from dicomcore.net.watch import Watch
from dicomcore.services.base import Router
from dicomcore.ul import (
    Aborted,
    AbortRequest,
    Accepted,
    AssociateRJ,
    Association,
    Body,
    ConnectionLost,
    Event,
    Negotiated,
    Rejected,
    Released,
    ReleaseRequested,
    ReleaseResponse,
)

__all__ = ["Connection", "UserConnection"]

EMPTY = memoryview(b"")
PIECE = 64  # bytes that may be the beginning of a PDU whose rest is held back
QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
KEPT = 16 * 1024  # bytes of a block that count for nothing: an association keeps as many when it is idle
STRETCH = 1 << 20  # bytes of a body that are moved at a time
TURNS = 32  # Pending responses after which a user's connection is read


class Connection:
    """One association on one socket. Not thread-safe, but for what is done with ``guard`` held."""

    __slots__ = (
        "_deaf",
        "_guard",
        "_pump",
        "_tls",
        "core",
        "ended",
        "exchange",
        "fd",
        "inbox",
        "lent_length",
        "limits",
        "operations",
        "orphans",
        "outbox",
        "over",
        "released",
        "short",
        "sock",
        "watcher",
    )

    def __init__(
        self,
        sock: Wire,
        core: Association,
        limits: Limits,
        facilities: Facilities,
        router: Router | None,
        guard: AbstractContextManager[Any] | None = None,
        defer: Callable[[bool, int], bool] | None = None,
        put_off: Callable[[], bool] | None = None,
        watch: Watch | None = None,
        share: Share | None = None,
    ) -> None:
        self.sock: Any = sock
        self.fd = sock.fileno()
        self.core = core
        self.limits = limits
        self.exchange = Exchange(core, limits)
        self.watcher = watch if watch is not None else Watch()
        self.watcher.attach(core, self.exchange)
        self._guard = guard if guard is not None else nullcontext()
        self._tls = sock if isinstance(sock, TLSSocket) else None
        self.outbox = (Outbox if self._tls is None else RecordOutbox)(core, facilities)
        self._pump = load_pump() if facilities.pump and type(sock) is socket.socket else None
        self.operations = UNBEGUN
        self.inbox: Any = UNBEGUN.inbox
        if router is not None:
            self._begin(router, defer, put_off, share)
        self.lent_length = 0  # of the block, as far as it counts for the budget
        self.orphans: list[Operation] = []  # they waited when the association ended, and are to be closed
        self.over: DicomError | None = None  # why nothing more will come; a release is an end without complaint
        self.released = False
        self.short = True  # the last read did not fill its block, so the socket is probably empty
        self.ended = False  # the peer closed, or the connection broke
        self._deaf = False  # the peer takes nothing more; what it sent before is still read

    def _begin(
        self,
        router: Router,
        defer: Callable[[bool, int], bool] | None,
        put_off: Callable[[], bool] | None,
        share: Share | None,
    ) -> None:
        """Make what the first message needs; a subclass that gives no router does so when that is here."""
        self.operations = Operations(
            self.exchange,
            self.limits,
            router,
            flush=self._has_room,
            guard=self._guard,
            defer=defer,
            put_off=put_off,
            watch=self.watcher,
            share=share,
        )
        self.inbox = self.operations.inbox
        self.core.reader = partial(self.exchange.take, self.inbox.append)

    def begin(self) -> None:
        """The first message is here, and nothing is ready for it."""

    @property
    def wants_read(self) -> bool:
        """A read makes sense now: no fragment waits whose bytes it would overwrite."""
        return self.core.wants_read and not (self.inbox and self.operations.holds_views)

    @property
    def pending(self) -> bool:
        """There is something to read that the system does not know of: TLS has taken it in already."""
        return self._tls is not None and self._tls.pending and self.wants_read

    def needs(self, *, read: bool, write: bool) -> tuple[bool, bool]:
        """What the socket has to be ready for, to go on reading and writing: under TLS it may be the other."""
        return (read, write) if self._tls is None else self._tls.needs(read, write)

    def wait(self, waiting: Callable[..., bool], *, written: bool, timeout: float) -> bool:
        """Wait by ``waiting(fd, read=, write=, timeout=)`` until there is something to read, or room for the rest."""
        if self._tls is None:
            return waiting(self.fd, read=self.wants_read, write=not written, timeout=timeout)
        if self.pending:
            return True
        read, write = self.needs(read=self.wants_read, write=not written)
        return waiting(self.fd, read=read, write=write, timeout=timeout)

    def pull(self, *, through: bool = False) -> bool:
        """Read one block if there is one. True when something arrived, the end of the connection included.

        ``through``: a body that goes to a file may go there at once, as far as it has arrived.
        """
        if through and (moved := self._pass_through()) is not None:
            return moved
        return self.read()

    def read(self) -> bool:
        """The ordinary way."""
        core = self.core
        if not core.wants_read or (self.inbox and self.operations.holds_views):
            return False
        view = core.buffer()
        if len(view) > KEPT and len(view) > self.lent_length:
            view = self.lend(view)
        try:
            count = self.sock.recv_into(view)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            count = 0
        if count:
            self.short = count < len(view) if self._tls is None else self._tls.short
            core.received(count)
            if count <= PIECE and core.receiving:
                self._acknowledge()
        else:
            self._peer_closed()
            return True
        self._digest()
        return True

    def lend(self, view: memoryview) -> memoryview:
        """The block to receive into has become longer: a short one instead, if there is no room for it."""
        if self.operations is UNBEGUN:  # the request for an association has bounds of its own
            return view
        if self.operations.lend(len(view)):
            self.lent_length = len(view)
            return view
        self.core.release_memory()
        self._return()
        return self.core.buffer()

    def release_memory(self) -> None:
        """Nothing flows: keep no more than what is half here."""
        self.core.release_memory()
        self.outbox.release_memory()
        if self.lent_length:
            self._return()

    def _return(self) -> None:
        self.lent_length = 0
        self.operations.lend(0)

    def _acknowledge(self) -> None:
        """Tell the peer at once that a few bytes of a PDU have arrived.

        A peer that writes header and content apart, and delays its small segments (Nagle, RFC 896), holds the rest back
        until then, and systems put an acknowledgement off for 40 ms.
        """
        if QUICKACK is not None:
            with suppress(OSError):
                self.sock.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)

    def _pass_through(self) -> bool | None:
        """Move a body from the socket into its file; None when the ordinary way has to be gone.

        The guard is not held while the file is written: only who reads comes here, and only that one closes a sink.
        """
        pump = self._pump
        if pump is None or self.exchange.body_context is None:
            return None
        with self._guard:
            operation = self.operations.streaming
            file = None if operation is None else operation.file
            path = None if file is None else self.core.try_path()
            # A fragment of which only the header is here has not been judged by the exchange yet.
            if path is None or path.state[0] != self.exchange.body_context:
                return None
        assert operation is not None
        reason, short, number, received, moved, held, state = pump.receive(
            self.fd, file, path.block, path.held, path.state, path.longest, STRETCH
        )
        if reason == pump.AGAIN and not received:
            return False
        with self._guard:
            overlong: DicomError | None = None
            try:
                self.operations.passed(operation, moved, OSError(number, os.strerror(number)) if number else None)
            except DicomError as error:
                overlong = error
            over = reason == pump.LAST
            self.core.passed(received, held, state, over)
            if over and self.over is None:
                end: list[Any] = self.exchange.receive(Body(state[0], False, True, EMPTY))  # a body cancels nothing
                self.inbox += end
            self.short = short
            if reason in (pump.ENDED, pump.BROKEN):
                self._peer_closed()
            else:
                self._digest()
            if overlong is not None and self.over is None:
                self.abort(overlong)
        return True

    def _peer_closed(self) -> None:
        self.ended = True
        self.core.closed()
        self._digest()
        if self.over is None:
            self.end(AssociationAborted("the peer closed the connection"))

    def _digest(self) -> None:
        """Hand the core's events on: bodies to the exchange, everything else to `upper`."""
        if not (events := self.core.events()):
            return
        receive = self.exchange.receive
        for event in events:
            if type(event) is not Body:
                self.upper(event)
            elif self.over is None:
                if self.operations is UNBEGUN:
                    self.begin()
                try:
                    for message in receive(event):
                        if isinstance(message, CancelReceived):
                            self.operations.cancel(message)
                        else:
                            self.inbox.append(message)
                except RemoteProtocolError as error:
                    self.abort(error)

    def upper(self, event: Event) -> None:
        """What the upper layer says besides data. Subclasses add establishment and release."""
        match event:
            case Aborted():
                who = "the peer" if event.by_peer else "this side"
                answer = event.source, event.reason
                self.end(AssociationAborted(f"{who} aborted the association: {event.why}", answer=answer))
            case ConnectionLost():
                self.end(AssociationAborted("the connection was lost", clause="PS3.8 9.2.3 A-P-ABORT"))
            case Released():
                self.released = True
                self.end(AssociationAborted("the association is released"))
            case _:
                pass

    def end(self, reason: DicomError) -> None:
        """Nothing more will come from this association; the first reason stays."""
        if self.over is None:
            self.over = reason
            self.core.reader = None
            self.orphans += self.operations.end()
            self.watcher.ended(reason)

    def abort(self, reason: DicomError) -> None:
        """Send A-ABORT (by whom and why is in ``reason.answer``) and end with this reason."""
        self.end(reason)
        answer = reason.answer if isinstance(reason.answer, tuple) else (0, 0)
        with suppress(LocalProtocolError):  # in Sta1 and Sta2 there is nobody to tell (PS3.8 Table 9-10)
            self.core.request(AbortRequest(*answer[-2:]))
        self._digest()

    def flush(self) -> bool:
        """Write; True when nothing is left. A broken socket ends the connection once what it held has been read."""
        if self._deaf:
            return True
        try:
            written = self.outbox.flush(self.sock)
            if not written or self.operations.queued:
                self.operations.note(self.outbox.held_length)
            return written
        except OSError:
            self._deaf = True
            self.operations.note(0)  # nobody waits for what will never leave
        except DicomError as error:
            # A file that went away below a half-sent PDU: nothing valid can follow, not even an A-ABORT.
            self.end(error)
            self._deaf = True
            self.core.closed()
            self._digest()
        return True

    def _has_room(self) -> bool:
        return self.flush() or self.core.queued_length < ROOM_LENGTH

    def answer_release(self) -> bool:
        """Agree to the peer's release. False when what came right behind it has ended the association already."""
        try:
            self.core.request(ReleaseResponse())
        except LocalProtocolError:  # the core is ahead of its events: the next one tells why it is over
            return False
        return True

    def tick(self) -> None:
        """Tell the core the time."""
        self.core.tick(monotonic())
        self._digest()

    def too_late(self, *, dawdling: bool) -> PeerTimeout:
        """Why the peer is waited for no longer. ``dawdling``: it does send the rest of a message, too slowly."""
        if not self.outbox.empty:
            what, bound = "took no more data", "network_timeout"
        elif self.core.receiving or self.exchange.receiving:
            what, bound = ("dawdled over", "message_timeout") if dawdling else ("was silent amid", "network_timeout")
            what += " a message"
        elif self.operations.asking:
            what, bound = "did not answer", "dimse_timeout"
        else:
            what, bound = "was silent", "idle_timeout" if self.operations.idle else "network_timeout"
        seconds = getattr(self.limits, bound)
        return PeerTimeout(f"the peer {what} for longer than Limits.{bound} ({seconds:g} s)", answer=(0, 0))

    def close(self) -> None:
        """Close the socket; an open association is lost."""
        if self.over is None:
            self.end(AssociationAborted(self.core.because or "the connection was closed by this side"))
        self.sock.close()
        self.watcher.closed()
        self.operations.detach()


class UserConnection(Connection):
    """The requestor's end: knows whether the association stands, and lets the peer release it."""

    negotiated: Negotiated | None = None
    refusal: AssociateRJ | None = None
    _turns = 0

    def _has_room(self) -> bool:
        """Now and then a provider that goes on and on pauses, so that a cancel of it is read."""
        self._turns += 1
        return super()._has_room() and self._turns % TURNS != 0

    def upper(self, event: Event) -> None:
        match event:
            case Accepted():
                self.negotiated = event.negotiated
            case Rejected():
                self.refusal = event.answer
            case ReleaseRequested():
                if self.answer_release():
                    self.released = True
                    self.end(AssociationAborted("the peer released the association"))
            case _:
                super().upper(event)
