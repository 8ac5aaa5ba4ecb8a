"""Association negotiation as pure functions (PS3.8 section 7.1, PS3.7 annex D.3).

``propose`` makes a request, ``negotiate`` answers one by an `Acceptance`, ``conclude`` reads the answer. Both sides end
with the same frozen `Negotiated`. Nothing here decides for a user: a proposal may still be refused by the caller. Not
decided here: the identity of a user, whose item is parsed and handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from ..errors import LocalProtocolError
from ..limits import DEFAULT_LIMITS
from ..vocab.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from .codec import fault
from .pdu import (
    APPLICATION_CONTEXT,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsyncWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    PresentationContext,
    PresentationResult,
    RoleSelection,
    UserIdentity,
    UserInformation,
    is_ae_title,
)

__all__ = [
    "Acceptance",
    "AgreedContext",
    "Negotiated",
    "Proposal",
    "RefusedContext",
    "conclude",
    "contexts_for",
    "negotiate",
    "propose",
]

MINIMUM_PDU_LENGTH: Final = 8
"""A P-DATA-TF with one PDV of two bytes; a smaller maximum lets nothing through (PS3.8 9.3.5, E.2)."""

_NOT_SIGNIFICANT: Final = "1.2.840.10008.1.2"
"""The transfer syntax of a refused context, which is not tested (PS3.8 table 9-18)."""

_REFUSED_BY_PROVIDER: Final = 2
_NO_ABSTRACT_SYNTAX: Final = 3
_NO_TRANSFER_SYNTAX: Final = 4

Supported: TypeAlias = Mapping[str, Sequence[str]] | Callable[[str], Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What an acceptor agrees to.

    ``supported`` gives the transfer syntaxes of an abstract syntax (a mapping, or a function that may answer None).
    ``roles`` gives the (scu, scp) roles that a requestor may take for a SOP class, where it asks. ``window`` bounds the
    operations outstanding; 0 = unlimited. ``extended`` answers the application information of a SOP class, or None.
    The requestor's order of transfer syntaxes decides, unless ``prefer_own``.
    """

    ae_title: str = "DICOMCORE"
    supported: Supported = field(default_factory=lambda: MappingProxyType({}))
    max_pdu_length: int = DEFAULT_LIMITS.pdu_length
    require_called_ae: bool = False
    allowed_calling: Sequence[str] = ()
    roles: Mapping[str, tuple[bool, bool]] = field(default_factory=lambda: MappingProxyType({}))
    window: AsyncWindow = field(default_factory=AsyncWindow)
    prefer_own: bool = False
    extended: Callable[[ExtendedNegotiation], bytes | None] | None = None
    implementation_class_uid: str = IMPLEMENTATION_CLASS_UID
    implementation_version: str = IMPLEMENTATION_VERSION_NAME

    def transfer_syntaxes(self, abstract_syntax: str) -> Sequence[str] | None:
        supported = self.supported
        return supported(abstract_syntax) if callable(supported) else supported.get(abstract_syntax)


@dataclass(frozen=True, slots=True)
class AgreedContext:
    """An accepted presentation context and the roles in which the association requestor may use it."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    requestor_scu: bool = True
    requestor_scp: bool = False


@dataclass(frozen=True, slots=True)
class RefusedContext:
    """A context that cannot be used; `result` as in table 9-18 of PS3.8, ``why`` in words."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    result: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides agreed. Lengths are of the variable field of P-DATA-TF, 0 = no limit stated; `window` counts the
    operations that the requestor may have outstanding as invoker and as performer."""

    contexts: Mapping[int, AgreedContext]
    refused: Mapping[int, RefusedContext]
    calling_ae: str
    called_ae: str
    send_length: int
    receive_length: int
    peer_implementation: tuple[str, str]
    window: AsyncWindow
    request: AssociateRQ
    answer: AssociateAC


@dataclass(frozen=True, slots=True)
class Proposal:
    """The answer that an `Acceptance` gives to a request: either an A-ASSOCIATE-AC or an A-ASSOCIATE-RJ."""

    accept: AssociateAC | None
    reject: AssociateRJ | None
    negotiated: Negotiated | None


def propose(
    contexts: Iterable[tuple[str, Iterable[str]]],
    *,
    calling_ae: str,
    called_ae: str,
    max_pdu_length: int = DEFAULT_LIMITS.pdu_length,
    roles: Iterable[RoleSelection] = (),
    window: AsyncWindow | None = None,
    extended: Iterable[ExtendedNegotiation] = (),
    common_extended: Iterable[CommonExtendedNegotiation] = (),
    identity: UserIdentity | None = None,
    implementation_class_uid: str = IMPLEMENTATION_CLASS_UID,
    implementation_version: str = IMPLEMENTATION_VERSION_NAME,
) -> AssociateRQ:
    """A request for these (abstract syntax, transfer syntaxes), numbered 1, 3, 5 and so on."""
    rows = [(abstract, tuple(transfer)) for abstract, transfer in contexts]
    if not 0 < len(rows) <= 128:
        raise LocalProtocolError(f"{len(rows)} presentation contexts; 1 to 128 fit", clause="PS3.8 9.3.2.2")
    for abstract, transfer in rows:
        if not transfer:
            raise LocalProtocolError(f"no transfer syntax proposed for {abstract}", clause="PS3.8 9.3.2.2")
    for title in (called_ae, calling_ae):
        if not is_ae_title(title):
            raise LocalProtocolError(f"{title!r} is no AE title", clause="PS3.8 9.3.2")
    if 0 < max_pdu_length < MINIMUM_PDU_LENGTH:
        raise LocalProtocolError(f"a maximum length of {max_pdu_length} lets no data through", clause="PS3.8 D.1")
    user = UserInformation(
        max_length=max_pdu_length,
        implementation_class_uid=implementation_class_uid,
        implementation_version=implementation_version,
        async_window=window,
        roles=tuple(roles),
        extended=tuple(extended),
        common_extended=tuple(common_extended),
        user_identity=identity,
    )
    return AssociateRQ(
        called_ae.strip(" "),
        calling_ae.strip(" "),
        tuple(PresentationContext(2 * row + 1, *pair) for row, pair in enumerate(rows)),
        user,
    )


def negotiate(request: AssociateRQ, acceptance: Acceptance) -> Proposal:
    """Answer a request: a reject when no association may be, else one result for each proposed context."""
    reject = _reject(request, acceptance)
    if reject is not None:
        return Proposal(None, reject, None)
    user = request.user
    results = tuple(_result(context, acceptance) for context in request.contexts)
    roles = []
    for role in user.roles:
        allowed = acceptance.roles.get(role.sop_class)
        if allowed is not None:  # without an answer the default roles hold (PS3.7 D.3.3.4)
            roles.append(RoleSelection(role.sop_class, role.scu and allowed[0], role.scp and allowed[1]))
    extended = []
    if acceptance.extended is not None:
        for item in user.extended:
            information = acceptance.extended(item)
            if information is not None:
                extended.append(ExtendedNegotiation(item.sop_class, information))
    window = None
    if user.async_window is not None and acceptance.window != AsyncWindow():
        window = _smaller(user.async_window, acceptance.window)
    accept = AssociateAC(
        results,
        UserInformation(
            max_length=acceptance.max_pdu_length,
            implementation_class_uid=acceptance.implementation_class_uid,
            implementation_version=acceptance.implementation_version,
            async_window=window,
            roles=tuple(roles),
            extended=tuple(extended),
        ),
        request.echo(),
    )
    return Proposal(accept, None, settle(request, accept, requestor=False))


def _reject(request: AssociateRQ, acceptance: Acceptance) -> AssociateRJ | None:
    if not request.protocol_version & 1:  # bit 0 is version 1, the others are not tested (PS3.8 table 9-11)
        return AssociateRJ(1, 2, 2)
    if request.application_context != APPLICATION_CONTEXT:
        return AssociateRJ(1, 1, 2)
    if not is_ae_title(request.called_ae) or (
        acceptance.require_called_ae and request.called_ae != acceptance.ae_title.strip(" ")
    ):
        return AssociateRJ(1, 1, 7)
    calling = acceptance.allowed_calling
    if not is_ae_title(request.calling_ae) or (
        calling and request.calling_ae not in [title.strip(" ") for title in calling]
    ):
        return AssociateRJ(1, 1, 3)
    if not request.contexts or 0 < request.user.max_length < MINIMUM_PDU_LENGTH:
        return AssociateRJ(1, 1, 1)
    return None


def _result(context: PresentationContext, acceptance: Acceptance) -> PresentationResult:
    supported = acceptance.transfer_syntaxes(context.abstract_syntax)
    if supported is None:
        return PresentationResult(context.id, _NO_ABSTRACT_SYNTAX, _NOT_SIGNIFICANT)
    first, second = context.transfer_syntaxes, supported
    if acceptance.prefer_own:
        first, second = tuple(supported), context.transfer_syntaxes
    for syntax in first:
        if syntax in second:
            return PresentationResult(context.id, 0, syntax)
    return PresentationResult(context.id, _NO_TRANSFER_SYNTAX, _NOT_SIGNIFICANT)


def _smaller(one: AsyncWindow, other: AsyncWindow) -> AsyncWindow:
    """The smaller of each pair, where 0 is unlimited."""
    return AsyncWindow(*[min(a, b) if a and b else a or b for a, b in zip(one, other, strict=True)])


def settle(request: AssociateRQ, answer: AssociateAC, *, requestor: bool) -> Negotiated:
    """What a request and its acceptance add up to, seen from one side."""
    answers = {result.id: result for result in answer.results}
    proposed = {role.sop_class: role for role in request.user.roles}
    agreed = {role.sop_class: role for role in answer.user.roles}
    contexts: dict[int, AgreedContext] = {}
    refused: dict[int, RefusedContext] = {}
    for context in request.contexts:
        result = answers.get(context.id)
        code, why = (_REFUSED_BY_PROVIDER, "not answered") if result is None else (result.result, "")
        if result is not None and code == 0 and result.transfer_syntax not in context.transfer_syntaxes:
            code, why = _REFUSED_BY_PROVIDER, f"accepted with {result.transfer_syntax!r}, not proposed"
        if result is None or code:
            refused[context.id] = RefusedContext(context.abstract_syntax, context.transfer_syntaxes, code, why)
            continue
        scu, scp = True, False
        asked, given = proposed.get(context.abstract_syntax), agreed.get(context.abstract_syntax)
        if asked is not None and given is not None:  # nobody gets a role that was not asked for
            scu, scp = asked.scu and given.scu, asked.scp and given.scp
        contexts[context.id] = AgreedContext(context.id, context.abstract_syntax, result.transfer_syntax, scu, scp)
    window = AsyncWindow()
    if request.user.async_window is not None and answer.user.async_window is not None:
        window = _smaller(request.user.async_window, answer.user.async_window)
    own, peer = (request.user, answer.user) if requestor else (answer.user, request.user)
    return Negotiated(
        contexts=MappingProxyType(contexts),
        refused=MappingProxyType(refused),
        calling_ae=request.calling_ae,
        called_ae=request.called_ae,
        send_length=peer.max_length,
        receive_length=own.max_length,
        peer_implementation=(peer.implementation_class_uid, peer.implementation_version),
        window=window,
        request=request,
        answer=answer,
    )


def conclude(request: AssociateRQ, answer: AssociateAC) -> Negotiated:
    """The requestor's view of an acceptance. `RemoteProtocolError` when the answer fits no such request."""
    if not answer.protocol_version & 1:
        raise fault("the acceptor answers with another protocol version", 6, "PS3.8 9.3.3", 6)
    if 0 < answer.user.max_length < MINIMUM_PDU_LENGTH:
        raise fault(f"a maximum length of {answer.user.max_length} lets no data through", 6, "PS3.8 D.1")
    proposed = {context.id for context in request.contexts}
    for result in answer.results:
        if result.id not in proposed:
            raise fault(f"an answer to presentation context {result.id}, never proposed", 6, "PS3.8 9.3.3.2")
    return settle(request, answer, requestor=True)


def contexts_for(
    abstract_syntax: str,
    transfer_syntaxes: Iterable[str] | None,
    negotiated: Negotiated,
    role: Literal["scu", "scp"] = "scu",
    *,
    requestor: bool = True,
) -> tuple[AgreedContext, ...]:
    """Contexts on which a side may act in a role, in the order of the transfer syntaxes asked for (None = any)."""
    flag = "requestor_scu" if (role == "scu") == requestor else "requestor_scp"
    usable = [
        context
        for context in negotiated.contexts.values()
        if context.abstract_syntax == abstract_syntax and getattr(context, flag)
    ]
    if transfer_syntaxes is None:
        return tuple(usable)
    return tuple(context for syntax in transfer_syntaxes for context in usable if context.transfer_syntax == syntax)
