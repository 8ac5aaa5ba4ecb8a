"""What ``on_event=`` is told, for ``match`` statements: ``from dicomcore.events import AssociationEnded``."""

from .net.events import (
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
