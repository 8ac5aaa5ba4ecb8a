"""What a hook is told: one frozen value for each thing that happens to a connection, an association or an operation.

``association`` is the name that log records bear too; ``peer`` an address, or who was called where. Events carry
addresses, titles, UIDs of classes and numbers, never a value out of a data set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import time

from dicomcore.net.metrics import Metrics
from dicomcore.ul import Negotiated
from dicomcore.vocab.status import StatusCategory

__all__ = [
    "AssociationAccepted",
    "AssociationEnded",
    "AssociationRejected",
    "CancelRequested",
    "ConnectionClosed",
    "ConnectionOpened",
    "ConnectionRefused",
    "Event",
    "HandshakeFailed",
    "OperationEnded",
    "OperationStarted",
]


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all. ``at``: seconds since the epoch."""

    association: str
    at: float = field(default_factory=time, kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class ConnectionOpened(Event):
    """TCP stands; nothing has been said yet."""

    peer: str


@dataclass(frozen=True, slots=True)
class ConnectionRefused(ConnectionOpened):
    """Closed at once, since there are too many or they come too fast; it has no name."""


@dataclass(frozen=True, slots=True)
class ConnectionClosed(ConnectionOpened):
    """The last event of a connection, whether it became an association or not."""


@dataclass(frozen=True, slots=True)
class HandshakeFailed(Event):
    """There is no TLS on this connection; ``why`` in words. A server is not told of peers that leave without a word."""

    peer: str
    why: str


@dataclass(frozen=True, slots=True)
class AssociationAccepted(Event):
    """The association stands (PS3.8 7.1)."""

    peer: str
    calling_ae: str
    called_ae: str
    negotiated: Negotiated


@dataclass(frozen=True, slots=True)
class AssociationRejected(Event):
    """By either side; ``why`` puts result, source and reason (PS3.8 table 9-21) in words."""

    peer: str
    calling_ae: str
    called_ae: str
    result: int
    source: int
    reason: int
    why: str


@dataclass(frozen=True, slots=True)
class AssociationEnded(Event):
    """``how``: "released", "aborted" (by this side), "aborted by peer" or "lost"; ``metrics``: all that it did."""

    peer: str
    calling_ae: str
    called_ae: str
    how: str
    why: str
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class OperationStarted(Event):
    """``role`` "provider": its provider begins; "user": this side has sent a request."""

    role: str
    message_id: int
    command: str
    abstract_syntax: str


@dataclass(frozen=True, slots=True)
class CancelRequested(Event):
    """A C-CANCEL (PS3.7 9.3.2.3) came (``role`` "provider") or was sent ("user"); the operation ends by itself.

    ``command``: what is cancelled, such as C-FIND; empty when that had ended before the C-CANCEL came.
    """

    role: str
    message_id: int
    command: str


@dataclass(frozen=True, slots=True)
class OperationEnded(Event):
    """The final response was given to the association, or came; None: the association ended first.

    ``seconds``: since the operation started.
    """

    role: str
    message_id: int
    command: str
    status: int | None
    category: StatusCategory | None
    seconds: float
