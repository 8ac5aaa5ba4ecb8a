"""The server's end of an association in an event loop: release, patience with the peer, what its server is told."""

from __future__ import annotations

from typing import Any, Protocol

from dicomcore.errors import AssociationAborted, RemoteProtocolError
from dicomcore.net.aio.connection import NEVER, Link
from dicomcore.net.budget import Budget, Share
from dicomcore.services.base import Router
from dicomcore.ul import AssociationRequested, Event, ReleaseRequested

__all__ = ["House", "ServedLink"]

CLOSING = 0.25  # seconds that a peer is given to take our A-ABORT when the server closes


class House(Protocol):
    """What an association needs of its server."""

    _closing: bool
    _router: Router
    _budget: Budget

    def _decide(self, link: ServedLink, event: AssociationRequested) -> None: ...
    def _is_long(self, link: ServedLink) -> None: ...
    def _forget(self, link: ServedLink) -> None: ...


class ServedLink(Link):
    """The server's end of an association."""

    def __init__(self, house: House, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.peer: Any = None
        self.established = False
        self._house = house
        self._release_due = False
        self._starved_since = NEVER  # a body waits for memory
        self._midway_since = NEVER  # a message, or another PDU, has arrived in part
        self._message = -1  # which one: how many had begun
        self._arrived = 0  # bytes that had arrived then
        self._unheard = 0.0  # seconds that we had not listened then

    def begin(self) -> None:
        house, asked = self._house, self.core.asked
        self._begin(house._router, self._defers, self._puts_off, Share(house._budget, self._call))
        self.operations.peer = self.peer
        if asked is not None:
            self.operations.calling_ae, self.operations.called_ae = asked.calling_ae, asked.called_ae

    def connected(self) -> None:
        self.core.tick(self.loop.time())
        super().connected()

    def upper(self, event: Event) -> None:
        match event:
            case AssociationRequested():
                self._house._decide(self, event)
            case ReleaseRequested():
                if self.core.quirks.drop_pending and not self.operations.idle:
                    if self.answer_release():
                        self.end(AssociationAborted("the peer released the association and wants no more responses"))
                elif self.exchange.receiving:  # its rest can no longer come (PS3.8 7.2.1.4)
                    self.abort(RemoteProtocolError("a release in the middle of a message", answer=(0, 0)))
                else:
                    self._release_due = True
            case _:
                super().upper(event)

    def settle(self) -> None:
        if self._release_due and self.over is None and self.operations.idle:
            self._release_due = False
            with self.lock:
                self.answer_release()
                self._digest()
        self._note_message()
        if not self.operations.starved:
            self._starved_since = NEVER
        elif self._starved_since == NEVER:
            self._starved_since = self.loop.time()
        if not self.established and self.core.held_length > self.limits.handshake_length:
            self._house._is_long(self)
        if self.quiet and self.transport is None:
            self._house._forget(self)
        elif self._house._closing and self.over is None and self.operations.idle and self.outbox.empty:
            self.close()

    def _note_message(self) -> None:
        """When the peer began with the message that is half here."""
        if not (self.exchange.receiving or self.core.receiving):
            self._midway_since = NEVER
        elif self._midway_since == NEVER or self._message != self.exchange.message_count:
            self._midway_since = self.received_at
            self._message, self._arrived = self.exchange.message_count, self.core.received_length
            self._unheard = self.unheard

    def patience(self) -> float:
        latest = max(self.received_at, self.sent_at)
        if not self.outbox.empty:
            return latest + self.limits.network_timeout
        if self.operations.starved:
            return self._starved_since + self.limits.budget_wait
        if self.performers or not self._hears:
            return NEVER  # the peer waits for us
        limits = self.limits
        if self._midway_since < NEVER:
            ours = self.unheard - self._unheard
            given = limits.message_timeout + (self.core.received_length - self._arrived) / limits.message_rate
            return min(latest + limits.network_timeout, self._midway_since + given + ours)
        if self.operations.asking:
            return latest + limits.dimse_timeout
        return latest + (limits.idle_timeout if self.operations.idle else limits.network_timeout)

    def impatient(self) -> None:
        if self.operations.starved:
            self.operations.give_up()
        else:
            latest = max(self.received_at, self.sent_at)
            self.break_off(self.too_late(dawdling=self.loop.time() < latest + self.limits.network_timeout))

    def close(self) -> None:
        """Abort, as far as the peer takes it."""
        self.parting = CLOSING
        self.break_off(AssociationAborted("the server closes", answer=(0, 0)))
