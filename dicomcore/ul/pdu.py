"""Protocol data units of the upper layer as values (PS3.8 section 9.3, annex D; PS3.7 annex D.3.3).

One frozen class for each PDU and item that carries meaning; reserved fields that a peer must get back are kept, others
are not. P-DATA-TF has no class: its fragments are framed while they arrive (`inbound`) and while they leave
(`outbound`), so that no body ever waits in memory. Items of unknown type are kept as bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ..errors import LocalProtocolError

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "ABORT_REASONS",
    "APPLICATION_CONTEXT",
    "CONTEXT_RESULTS",
    "IDENTITY_TYPES",
    "PDU",
    "REJECT_REASONS",
    "Abort",
    "AssociateAC",
    "AssociateRJ",
    "AssociateRQ",
    "AsyncWindow",
    "CommonExtendedNegotiation",
    "ExtendedNegotiation",
    "PresentationContext",
    "PresentationResult",
    "ReleaseRP",
    "ReleaseRQ",
    "RoleSelection",
    "UnknownItem",
    "UserIdentity",
    "UserInformation",
    "ae_title_field",
    "is_ae_title",
]

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"

CONTEXT_RESULTS: Final = (
    "accepted",
    "refused by the user",
    "refused by the provider without a reason",
    "abstract syntax not supported",
    "transfer syntaxes not supported",
)
"""Result of a presentation context by its number (PS3.8 table 9-18)."""

REJECT_REASONS: Final = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""Meaning of (source, reason) in an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

ABORT_REASONS: Final = {
    0: "reason not specified",
    1: "unrecognized PDU",
    2: "unexpected PDU",
    4: "unrecognized PDU parameter",
    5: "unexpected PDU parameter",
    6: "invalid PDU parameter value",
}
"""Reason in an A-ABORT whose source is 2, the service provider (PS3.8 table 9-26)."""


IDENTITY_TYPES: Final = {
    1: "username",
    2: "username and passcode",
    3: "Kerberos service ticket",
    4: "SAML assertion",
    5: "JSON Web Token",
}
"""Types of a user identity (PS3.7 table D.3-14)."""


def is_ae_title(title: object) -> bool:
    """1 to 16 characters of the ISO 646 basic set, no backslash, no control character, not only spaces (PS3.5 6.2)."""
    text = title.strip(" ") if isinstance(title, str) else ""
    return 0 < len(text) <= 16 and all(" " <= char <= "~" and char != "\\" for char in text)


def ae_title_field(title: str) -> bytes:
    """The 16 octets of an AE title: outer spaces are not significant, then padded with spaces (PS3.8 table 9-11)."""
    if not is_ae_title(title):
        raise LocalProtocolError(
            f"{title!r} is no AE title",
            clause="PS3.8 9.3.2",
            hint="use 1 to 16 printable ASCII characters without backslash",
        )
    return title.strip(" ").encode("ascii").ljust(16)


@dataclass(frozen=True, slots=True)
class UnknownItem:
    """An item or sub-item of a type this version does not know; it is ignored, but kept (PS3.8 9.3.1)."""

    type: int
    body: bytes


@dataclass(frozen=True, slots=True)
class PresentationContext:
    """A proposed presentation context; `id` is odd, 1 to 255 (PS3.8 9.3.2.2)."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PresentationResult:
    """The answer to a presentation context; the transfer syntax means nothing unless `result` is 0 (PS3.8 9.3.3.2)."""

    id: int
    result: int
    transfer_syntax: str


class AsyncWindow(NamedTuple):
    """Operations that may be outstanding, 0 = unlimited: invoked and performed by the requestor (PS3.7 D.3.3.3)."""

    invoked: int = 1
    performed: int = 1


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """Roles of the requestor for one SOP class: proposed in a request, agreed in an answer (PS3.7 D.3.3.4)."""

    sop_class: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """Service class application information of one SOP class, uninterpreted (PS3.7 D.3.3.5)."""

    sop_class: str
    information: bytes


@dataclass(frozen=True, slots=True)
class CommonExtendedNegotiation:
    """Service class and related general SOP classes of one SOP class (PS3.7 D.3.3.6)."""

    sop_class: str
    service_class: str
    related: tuple[str, ...] = ()
    version: int = 0
    reserved: bytes = b""


def _utf8(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """Identity of the user: what it is by `type`, one of `IDENTITY_TYPES` (PS3.7 D.3.3.7).

    Made by the class methods, one for each type. ``response_requested``: the acceptor is to confirm it. Neither name
    nor secret shows in ``repr``.
    """

    type: int
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)
    response_requested: bool = False

    @classmethod
    def username(cls, name: str, *, response: bool = False) -> Self:
        """A name that the acceptor believes."""
        return cls(1, name.encode(), b"", response)

    @classmethod
    def passcode(cls, name: str, passcode: str | bytes, *, response: bool = False) -> Self:
        """A name with a passcode, in clear: for TLS only."""
        return cls(2, name.encode(), _utf8(passcode), response)

    @classmethod
    def kerberos(cls, ticket: bytes, *, response: bool = False) -> Self:
        """A Kerberos service ticket; the response holds a server ticket."""
        return cls(3, ticket, b"", response)

    @classmethod
    def saml(cls, assertion: str | bytes, *, response: bool = False) -> Self:
        """A SAML assertion; the response holds a SAML response."""
        return cls(4, _utf8(assertion), b"", response)

    @classmethod
    def jwt(cls, token: str | bytes, *, response: bool = False) -> Self:
        """A JSON Web Token; the response holds one, too."""
        return cls(5, _utf8(token), b"", response)

    @property
    def kind(self) -> str:
        """The type in words."""
        return IDENTITY_TYPES.get(self.type, f"type {self.type}")

    @property
    def name(self) -> str:
        """The user's name, for the types that tell it in clear; otherwise empty."""
        return self.primary.decode("utf-8", "replace") if self.type in (1, 2) else ""


@dataclass(frozen=True, slots=True)
class UserInformation:
    """All user-information sub-items. ``max_length`` 0, like an absent item, states no limit (PS3.8 D.1)."""

    max_length: int = 0
    implementation_class_uid: str = ""
    implementation_version: str = ""
    async_window: AsyncWindow | None = None
    roles: tuple[RoleSelection, ...] = ()
    extended: tuple[ExtendedNegotiation, ...] = ()
    common_extended: tuple[CommonExtendedNegotiation, ...] = ()
    user_identity: UserIdentity | None = None
    user_identity_response: bytes | None = None
    unknown: tuple[UnknownItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AssociateRQ:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2). ``octets`` is what octets 11 to 74 held when the PDU came from a peer."""

    called_ae: str
    calling_ae: str
    contexts: tuple[PresentationContext, ...]
    user: UserInformation = UserInformation()
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1
    unknown: tuple[UnknownItem, ...] = ()
    octets: bytes = field(default=b"", compare=False, repr=False)

    def echo(self) -> bytes:
        """The 64 octets (both titles and 32 reserved ones) that the A-ASSOCIATE-AC has to repeat (PS3.8 9.3.3)."""
        return self.octets or ae_title_field(self.called_ae) + ae_title_field(self.calling_ae) + bytes(32)


@dataclass(frozen=True, slots=True)
class AssociateAC:
    """A-ASSOCIATE-AC (PS3.8 9.3.3). ``echo`` repeats octets 11 to 74 of the request and is not tested."""

    results: tuple[PresentationResult, ...]
    user: UserInformation = UserInformation()
    echo: bytes = bytes(64)
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1
    unknown: tuple[UnknownItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AssociateRJ:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    result: int
    source: int
    reason: int

    def __str__(self) -> str:
        how = {1: "permanently", 2: "for now"}.get(self.result, f"with result {self.result}")
        by = {1: "its user", 2: "its provider (ACSE)", 3: "its provider (presentation)"}.get(
            self.source, f"source {self.source}"
        )
        return f"rejected {how} by {by}: {REJECT_REASONS.get((self.source, self.reason), f'reason {self.reason}')}"


@dataclass(frozen=True, slots=True)
class ReleaseRQ:
    """A-RELEASE-RQ (PS3.8 9.3.6)."""


@dataclass(frozen=True, slots=True)
class ReleaseRP:
    """A-RELEASE-RP (PS3.8 9.3.7)."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 9.3.8). The reason means something only when the source is 2, the service provider."""

    source: int = 0
    reason: int = 0

    def __str__(self) -> str:
        if self.source == 2:
            return f"aborted by the provider: {ABORT_REASONS.get(self.reason, f'reason {self.reason}')}"
        return "aborted by the user" if self.source == 0 else f"aborted by source {self.source}"


PDU: TypeAlias = AssociateRQ | AssociateAC | AssociateRJ | ReleaseRQ | ReleaseRP | Abort
