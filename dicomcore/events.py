"""What ``on_event=`` is told, for ``match`` statements: ``from dicomcore.events import AssociationEnded``."""

from .net.events import (
    AssociationAccepted,
    AssociationEnded,
    AssociationRejected,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionRefused,
    Event,
    OperationEnded,
    OperationStarted,
)

__all__ = [
    "AssociationAccepted",
    "AssociationEnded",
    "AssociationRejected",
    "ConnectionClosed",
    "ConnectionOpened",
    "ConnectionRefused",
    "Event",
    "OperationEnded",
    "OperationStarted",
]
