"""What a user of the upper layer says and hears (PS3.8 section 7): request and response primitives in, events out.

`Body` is a tuple, since thousands may come out of one read; the others are frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from ..errors import LocalProtocolError
from .negotiation import Negotiated, Proposal
from .pdu import AssociateAC, AssociateRJ, AssociateRQ, UserIdentity

__all__ = [
    "AbortRequest",
    "Aborted",
    "Accept",
    "Accepted",
    "Associate",
    "AssociationRequested",
    "Body",
    "ConnectionLost",
    "Decision",
    "Event",
    "Primitive",
    "Reject",
    "Rejected",
    "Release",
    "ReleaseRequested",
    "ReleaseResponse",
    "Released",
    "decision",
]


@dataclass(frozen=True, slots=True)
class Associate:
    """A-ASSOCIATE request: to be sent as soon as the transport is connected."""

    request: AssociateRQ


@dataclass(frozen=True, slots=True)
class Accept:
    """A-ASSOCIATE response, accepting: as proposed, or with another answer to the same request.

    ``contexts`` (ids or abstract syntaxes) narrows what is accepted; ``identity_response`` is what the server says to
    a user identity that it believes, and is sent where a positive response was requested (empty for user names).
    """

    answer: AssociateAC | None = None
    identity_response: bytes | None = None
    contexts: Collection[int | str] | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A-ASSOCIATE response, rejecting (PS3.8 table 9-21)."""

    result: int = 1
    source: int = 1
    reason: int = 1


@dataclass(frozen=True, slots=True)
class Release:
    """A-RELEASE request; goes out after all data that was given before."""


@dataclass(frozen=True, slots=True)
class ReleaseResponse:
    """A-RELEASE response. In a release collision the acceptor's waits for its turn (PS3.8 table 9-10, Sta10)."""


@dataclass(frozen=True, slots=True)
class AbortRequest:
    """A-ABORT request. Data not yet handed out by ``segments()`` is dropped; a PDU already handed out stays whole."""

    source: int = 0
    reason: int = 0


@dataclass(frozen=True, slots=True)
class AssociationRequested:
    """Acceptor: a peer asks, the `Acceptance` proposes; answer with `Accept` or `Reject`.

    ``peer`` is what a driver knows of the other end before it asks its caller; the core knows nothing.
    """

    request: AssociateRQ
    proposal: Proposal
    peer: Any = field(default=None, compare=False)

    @property
    def identity(self) -> UserIdentity | None:
        """Who the peer's user claims to be."""
        return self.request.user.user_identity


@dataclass(frozen=True, slots=True)
class Accepted:
    """Requestor: the association stands."""

    negotiated: Negotiated


@dataclass(frozen=True, slots=True)
class Rejected:
    """Requestor: the peer refused the association."""

    answer: AssociateRJ


class Body(NamedTuple):
    """A piece of a command or data set, ended by `last`; `view` lies in the receive block until ``buffer()``."""

    context_id: int
    command: bool
    last: bool
    view: memoryview


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """The peer asks for release; answer with `ReleaseResponse`."""


@dataclass(frozen=True, slots=True)
class Released:
    """The peer confirmed the release."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """The association ended at once: (source, reason) as in the A-ABORT, received from the peer or sent to it."""

    source: int
    reason: int
    by_peer: bool
    why: str


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The transport closed while an association stood or was being made or released."""


Primitive: TypeAlias = Associate | Accept | Reject | Release | ReleaseResponse | AbortRequest
Event: TypeAlias = (
    AssociationRequested | Accepted | Rejected | Body | ReleaseRequested | Released | Aborted | ConnectionLost
)
Decision: TypeAlias = Accept | Reject


def decision(outcome: object) -> Decision:
    """What the outcome of a caller's judgement of an `AssociationRequested` means.

    None and True accept as proposed, and confirm the user's identity; bytes do so with this server response. False
    rejects, permanently and without a reason. An `Accept`, a `Reject` or an A-ASSOCIATE-AC says all itself.
    """
    match outcome:
        case Accept() | Reject():
            return outcome
        case None | True:
            return Accept(identity_response=b"")
        case False:
            return Reject()
        case bytes():
            return Accept(identity_response=outcome)
        case AssociateAC():
            return Accept(outcome)
        case _:
            raise LocalProtocolError(
                f"{type(outcome).__name__} is no decision about an association",
                hint="answer with True, False, the bytes of an identity response, Accept(...) or Reject(...)",
            )
