"""Association negotiation as pure functions (PS3.8 section 7.1, PS3.7 annex D.3).

``propose`` makes a request, ``negotiate`` answers one by an `Acceptance`, ``conclude`` reads the answer. Both sides end
with the same frozen `Negotiated`. Nothing here decides for a user: a proposal may still be refused or narrowed by the
caller (`adapt`), who alone judges the identity of the peer's user.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from ..errors import LocalProtocolError
from ..limits import DEFAULT_LIMITS
from ..vocab.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from .codec import fault
from .extended import Options, checked_options, read_options
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
from .quirks import NO_QUIRKS, Quirks

__all__ = [
    "Acceptance",
    "AgreedContext",
    "Negotiated",
    "Proposal",
    "RefusedContext",
    "adapt",
    "conclude",
    "contexts_for",
    "negotiate",
    "options_for",
    "propose",
    "unusable",
]

MINIMUM_PDU_LENGTH: Final = 8
"""A P-DATA-TF with one PDV of two bytes; a smaller maximum lets nothing through (PS3.8 9.3.5, E.2)."""

_NOT_SIGNIFICANT: Final = "1.2.840.10008.1.2"
"""The transfer syntax of a refused context, which is not tested (PS3.8 table 9-18)."""

_REFUSED_BY_USER: Final = 1
_REFUSED_BY_PROVIDER: Final = 2
_NO_ABSTRACT_SYNTAX: Final = 3
_NO_TRANSFER_SYNTAX: Final = 4

Supported: TypeAlias = Mapping[str, Sequence[str]] | Callable[[str], Sequence[str] | None]
Extended: TypeAlias = Mapping[str, Options] | Callable[[ExtendedNegotiation], bytes | None]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What an acceptor agrees to.

    ``supported`` gives the transfer syntaxes of an abstract syntax (a mapping, or a function that may answer None).
    A class that is not among them is taken under the first of its related general SOP classes, or under its service
    class, that is, if the requestor named one (PS3.7 D.3.3.6). ``roles`` gives the (scu, scp) roles that a requestor
    may take for a SOP class, where it asks. ``window`` bounds the operations outstanding; 0 = unlimited. ``extended``
    gives the options offered for a SOP class, or answers its application information (bytes, or None). The requestor's
    order of transfer syntaxes decides, unless ``prefer_own``.
    """

    ae_title: str = "DICOMCORE"
    supported: Supported = field(default_factory=lambda: MappingProxyType({}))
    max_pdu_length: int = DEFAULT_LIMITS.pdu_length
    require_called_ae: bool = False
    allowed_calling: Sequence[str] = ()
    roles: Mapping[str, tuple[bool, bool]] = field(default_factory=lambda: MappingProxyType({}))
    window: AsyncWindow = field(default_factory=AsyncWindow)
    prefer_own: bool = False
    extended: Extended | None = None
    implementation_class_uid: str = IMPLEMENTATION_CLASS_UID
    implementation_version: str = IMPLEMENTATION_VERSION_NAME
    quirks: Quirks = NO_QUIRKS

    def transfer_syntaxes(self, abstract_syntax: str) -> Sequence[str] | None:
        supported = self.supported
        return supported(abstract_syntax) if callable(supported) else supported.get(abstract_syntax)

    def application_information(self, asked: ExtendedNegotiation) -> bytes | None:
        """The answer to an extended negotiation item, as long as what was asked; None = no answer."""
        if self.extended is None or callable(self.extended):
            return self.extended(asked) if self.extended is not None else None
        own = self.extended.get(asked.sop_class)
        return own.answer(own.decode(asked.information)).encode()[: len(asked.information)] if own else None


@dataclass(frozen=True, slots=True)
class AgreedContext:
    """An accepted presentation context and the roles in which the association requestor may use it.

    ``general``: the SOP class (or service class) as which the acceptor took one that it does not know itself.
    """

    id: int
    abstract_syntax: str
    transfer_syntax: str
    requestor_scu: bool = True
    requestor_scp: bool = False
    general: str = field(default="", compare=False)


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
    quirks: Quirks = NO_QUIRKS

    @property
    def identity_response(self) -> bytes | None:
        """What the acceptor answered to the user identity; None = nothing, so that it may not even have read it."""
        return self.answer.user.user_identity_response

    @property
    def identity_confirmed(self) -> bool:
        """Whether an identity was stated whose confirmation was asked for and came (PS3.7 D.3.3.7)."""
        asked = self.request.user.user_identity
        return asked is not None and asked.response_requested and self.identity_response is not None


@dataclass(frozen=True, slots=True)
class Proposal:
    """The answer that an `Acceptance` gives to a request: either an A-ASSOCIATE-AC or an A-ASSOCIATE-RJ.

    ``pdu``: the former as bytes, if that was encoded before.
    """

    accept: AssociateAC | None
    reject: AssociateRJ | None
    negotiated: Negotiated | None
    pdu: bytes = field(default=b"", compare=False, repr=False)


def propose(
    contexts: Iterable[tuple[str, Iterable[str]]],
    *,
    calling_ae: str,
    called_ae: str,
    max_pdu_length: int = DEFAULT_LIMITS.pdu_length,
    roles: Iterable[RoleSelection] = (),
    window: AsyncWindow | None = None,
    extended: Iterable[ExtendedNegotiation] | Mapping[str, Options] = (),
    common_extended: Iterable[CommonExtendedNegotiation] = (),
    identity: UserIdentity | None = None,
    implementation_class_uid: str = IMPLEMENTATION_CLASS_UID,
    implementation_version: str = IMPLEMENTATION_VERSION_NAME,
    quirks: Quirks = NO_QUIRKS,
) -> AssociateRQ:
    """A request for these (abstract syntax, transfer syntaxes), numbered 1, 3, 5 and so on.

    ``extended``: sub-items, or a mapping from SOP class to its `Options`. LocalProtocolError for what fits no PDU.
    """
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
    if len(implementation_version) > 16:
        raise LocalProtocolError(f"{implementation_version!r} is over 16 characters", clause="PS3.7 D.3.3.2.3")
    if not implementation_class_uid:
        raise LocalProtocolError("an implementation class UID is required", clause="PS3.7 D.3.3.2")
    if isinstance(extended, Mapping):
        extended = [options.item(sop_class) for sop_class, options in checked_options(extended).items()]
    roles = tuple(roles)
    if len({role.sop_class for role in roles}) != len(roles):
        raise LocalProtocolError("two role selections for one SOP class", clause="PS3.7 D.3.3.4")
    user = UserInformation(
        max_length=max_pdu_length,
        implementation_class_uid=implementation_class_uid,
        implementation_version=implementation_version,
        async_window=None if quirks.no_async else window,
        roles=roles,
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
    common: dict[str, tuple[str, ...]] = {}  # of items that come twice, here and below, the first one counts
    for item in user.common_extended:
        common.setdefault(item.sop_class, (*item.related, item.service_class))
    judged = [_result(context, acceptance, common.get(context.abstract_syntax, ())) for context in request.contexts]
    roles: dict[str, RoleSelection] = {}
    for role in user.roles:
        for sop_class in (role.sop_class, *common.get(role.sop_class, ())):
            allowed = acceptance.roles.get(sop_class)
            if allowed is not None:  # without an answer the default roles hold (PS3.7 D.3.3.4)
                agreed = RoleSelection(role.sop_class, role.scu and allowed[0], role.scp and allowed[1])
                roles.setdefault(role.sop_class, agreed)
                break
    answers: dict[str, bytes | None] = {}
    for asked in user.extended:
        if asked.sop_class not in answers:
            answers[asked.sop_class] = acceptance.application_information(asked)
    window = None
    if user.async_window is not None and acceptance.window != AsyncWindow() and not acceptance.quirks.no_async:
        window = _smaller(user.async_window, acceptance.window)
    accept = AssociateAC(
        tuple(result for result, _ in judged),
        UserInformation(
            max_length=acceptance.max_pdu_length,
            implementation_class_uid=acceptance.implementation_class_uid,
            implementation_version=acceptance.implementation_version,
            async_window=window,
            roles=tuple(roles.values()),
            extended=tuple(
                ExtendedNegotiation(sop_class, information)
                for sop_class, information in answers.items()
                if information is not None
            ),
        ),
        request.echo(),
    )
    generals = {result.id: general for result, general in judged if general}
    return Proposal(accept, None, settle(request, accept, requestor=False, generals=generals, quirks=acceptance.quirks))


def adapt(
    request: AssociateRQ,
    proposal: Proposal,
    *,
    answer: AssociateAC | None = None,
    identity_response: bytes | None = None,
    contexts: Collection[int | str] | None = None,
) -> tuple[AssociateAC, Negotiated]:
    """The acceptance that a user made of a proposal: narrowed to some ``contexts`` (ids or abstract syntaxes; the
    others are refused by the user), with the server's response to the user identity, which is sent only if a positive
    response was requested (PS3.7 D.3.3.7), and without content to a user name. ``answer`` takes the place of the one
    proposed. LocalProtocolError when there is nothing to accept, or the answer fits the request in no way."""
    answer = answer or proposal.accept
    if answer is None:
        raise LocalProtocolError(
            f"the acceptance refuses this association: {proposal.reject}",
            clause="PS3.8 9.3.4",
            hint="answer with Reject, or with Accept(an A-ASSOCIATE-AC of your own)",
        )
    if answer is not proposal.accept:
        _must_fit(request, answer)
    if contexts is not None:
        names = {context.id: context.abstract_syntax for context in request.contexts}
        answer = replace(
            answer,
            results=tuple(
                result
                if result.result or result.id in contexts or names.get(result.id) in contexts
                else PresentationResult(result.id, _REFUSED_BY_USER, _NOT_SIGNIFICANT)
                for result in answer.results
            ),
        )
    asked = request.user.user_identity
    if identity_response is not None and asked is not None and asked.response_requested:
        response = identity_response if asked.type > 2 else b""  # PS3.7 table D.3-15
        answer = replace(answer, user=replace(answer.user, user_identity_response=response))
    known = proposal.negotiated
    if known is not None and answer is proposal.accept:
        return answer, known
    generals = {agreed.id: agreed.general for agreed in known.contexts.values()} if known else {}
    quirks = known.quirks if known else NO_QUIRKS
    return answer, settle(request, answer, requestor=False, generals=generals, quirks=quirks)


def _must_fit(request: AssociateRQ, answer: AssociateAC) -> None:
    """An answer of the user's own has one result for each context, and accepts with what was proposed."""
    syntaxes = {context.id: context.transfer_syntaxes for context in request.contexts}
    if sorted(syntaxes) != sorted(result.id for result in answer.results):
        raise LocalProtocolError("an answer needs one result for each context proposed", clause="PS3.8 9.3.3.2")
    for result in answer.results:
        if result.result == 0 and result.transfer_syntax not in syntaxes[result.id]:
            raise LocalProtocolError(
                f"context {result.id} was not proposed with {result.transfer_syntax!r}", clause="PS3.8 9.3.3.2"
            )


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
    return AssociateRJ(1, 1, 1) if unusable(request) else None


def unusable(request: AssociateRQ) -> str:
    """Why nothing could be done on this association, for which no code of a rejection stands; empty: something."""
    if not request.contexts:
        return "no presentation context is proposed"
    if 0 < (length := request.user.max_length) < MINIMUM_PDU_LENGTH:
        return f"a maximum length of {length} lets no data through"
    return ""


def _result(
    context: PresentationContext, acceptance: Acceptance, generals: Iterable[str]
) -> tuple[PresentationResult, str]:
    """The answer to a context, and the general SOP class under which it is accepted, if that is another one."""
    known = acceptance.transfer_syntaxes(context.abstract_syntax)
    if known is not None:
        candidates = [("", known)]
    else:
        tried = [(general, acceptance.transfer_syntaxes(general)) for general in generals]
        candidates = [(general, syntaxes) for general, syntaxes in tried if syntaxes is not None]
    for general, syntaxes in candidates:
        first, second = context.transfer_syntaxes, syntaxes
        if acceptance.prefer_own:
            first, second = tuple(syntaxes), context.transfer_syntaxes
        for syntax in first:
            if syntax in second:
                return PresentationResult(context.id, 0, syntax), general
    reason = _NO_TRANSFER_SYNTAX if candidates else _NO_ABSTRACT_SYNTAX
    return PresentationResult(context.id, reason, _NOT_SIGNIFICANT), ""


def _smaller(one: AsyncWindow, other: AsyncWindow) -> AsyncWindow:
    """The smaller of each pair, where 0 is unlimited."""
    return AsyncWindow(*[min(a, b) if a and b else a or b for a, b in zip(one, other, strict=True)])


def settle(
    request: AssociateRQ,
    answer: AssociateAC,
    *,
    requestor: bool,
    generals: Mapping[int, str] = MappingProxyType({}),
    quirks: Quirks = NO_QUIRKS,
) -> Negotiated:
    """What a request and its acceptance add up to, seen from one side."""
    answers = {result.id: result for result in answer.results}
    proposed = {role.sop_class: role for role in reversed(request.user.roles)}
    agreed = {role.sop_class: role for role in reversed(answer.user.roles)}
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
        asked = proposed.get(context.abstract_syntax)
        given = agreed.get(context.abstract_syntax, asked if requestor and quirks.no_role_answer else None)
        if asked is not None and given is not None:  # nobody gets a role that was not asked for
            scu, scp = asked.scu and given.scu, asked.scp and given.scp
        contexts[context.id] = AgreedContext(
            context.id, context.abstract_syntax, result.transfer_syntax, scu, scp, generals.get(context.id, "")
        )
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
        quirks=quirks,
    )


def conclude(request: AssociateRQ, answer: AssociateAC, quirks: Quirks = NO_QUIRKS) -> Negotiated:
    """The requestor's view of an acceptance. `RemoteProtocolError` when the answer fits no such request."""
    if not answer.protocol_version & 1:
        raise fault("the acceptor answers with another protocol version", 6, "PS3.8 9.3.3", 6)
    if 0 < answer.user.max_length < MINIMUM_PDU_LENGTH:
        raise fault(f"a maximum length of {answer.user.max_length} lets no data through", 6, "PS3.8 D.1")
    proposed = {context.id for context in request.contexts}
    for result in answer.results:
        if result.id not in proposed:
            raise fault(f"an answer to presentation context {result.id}, never proposed", 6, "PS3.8 9.3.3.2")
    return settle(request, answer, requestor=True, quirks=quirks)


def options_for(sop_class: str, negotiated: Negotiated) -> Options | None:
    """What extended negotiation agreed on for a SOP class: the acceptor's answer, of yes-or-no options no more than was
    asked. None when the item was not asked for or not answered: the defaults of the service class hold."""
    asked, given = (
        next((read_options(item) for item in user.extended if item.sop_class == sop_class), None)
        for user in (negotiated.request.user, negotiated.answer.user)
    )
    return given.answer(asked) if asked is not None and given is not None else None


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
