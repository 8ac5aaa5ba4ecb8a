"""What an acceptor's user may decide: identity, narrower contexts, an answer of its own, a reject; what both hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dicomcore.errors import LocalProtocolError
from dicomcore.limits import Limits
from dicomcore.ul import (
    Aborted,
    AbortRequest,
    Accept,
    Acceptance,
    Accepted,
    Associate,
    AssociateRJ,
    AssociateRQ,
    Association,
    AssociationRequested,
    CommonExtendedNegotiation,
    ConnectionLost,
    Event,
    FindOptions,
    Negotiated,
    PresentationResult,
    Reject,
    Rejected,
    RoleSelection,
    State,
    UserIdentity,
    common_extended,
    conclude,
    contexts_for,
    decision,
    decode,
    encode,
    negotiate,
    options_for,
    propose,
)
from tests.ul.wire import (
    ACCEPTANCE,
    ANSWER,
    EXPLICIT,
    IMPLICIT,
    REQUEST,
    VERIFICATION,
    acceptor,
    feed,
    flush,
    now_in,
    pdus,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STORAGE = "1.2.840.10008.4.2"
IDENTITIES = [
    UserIdentity.username("jo\u0308rg"),
    UserIdentity.passcode("jo", "pass"),
    UserIdentity.passcode("jo", b"\xff\0"),
    UserIdentity.kerberos(b"ticket"),
    UserIdentity.saml(b"<Assertion/>"),
    UserIdentity.jwt(b"a.b.c"),
]


def asking(identity: UserIdentity | None = None) -> AssociateRQ:
    return propose(
        [(VERIFICATION, [EXPLICIT]), (CT, [IMPLICIT]), (CT, [EXPLICIT])],
        calling_ae="A",
        called_ae="ARCHIVE",
        identity=identity,
    )


OPEN = replace(ACCEPTANCE, supported={VERIFICATION: (EXPLICIT,), CT: (IMPLICIT, EXPLICIT)})


def converse(request: AssociateRQ, outcome: object, acceptance: Acceptance = OPEN) -> tuple[Event, Association]:
    """A whole handshake through bytes; what the requestor hears, and the acceptor."""
    asks, answers = Association(requestor=True), acceptor(acceptance=acceptance)
    asks.request(Associate(request))
    asks.connected()
    (event,) = feed(answers, flush(asks))
    assert isinstance(event, AssociationRequested)
    assert event.identity == request.user.user_identity
    answers.request(decision(outcome))
    (heard,) = feed(asks, flush(answers))
    return heard, answers


def agreed(request: AssociateRQ, outcome: object, acceptance: Acceptance = OPEN) -> Negotiated:
    heard, answers = converse(request, outcome, acceptance)
    assert isinstance(heard, Accepted)
    mine, theirs = heard.negotiated, answers.negotiated
    assert theirs is not None
    assert (mine.contexts, mine.refused, mine.window) == (theirs.contexts, theirs.refused, theirs.window)
    assert mine.identity_response == theirs.identity_response
    return mine


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.kind)
def test_identities_cross_the_wire(identity: UserIdentity) -> None:
    request = asking(identity)
    assert decode(1, encode(request)[6:]) == request
    assert identity.name in {"jo\u0308rg", "jo", ""}
    assert (identity.name == "") == (identity.type > 2)
    assert agreed(request, True).identity_response is None  # no response was requested


def test_what_is_shown_of_an_identity() -> None:
    assert [identity.kind for identity in IDENTITIES] == [
        "username",
        "username and passcode",
        "username and passcode",
        "Kerberos service ticket",
        "SAML assertion",
        "JSON Web Token",
    ]
    assert UserIdentity(9, b"").kind == "type 9"
    assert UserIdentity(1, b"\xff").name == "\ufffd"
    assert "pass" not in repr(UserIdentity.passcode("jo", "pass"))


@pytest.mark.parametrize(
    ("outcome", "response"),
    [(None, b""), (True, b""), (b"server ticket", b"server ticket"), (Accept(), None), (Accept(None, b"x"), b"x")],
)
def test_responses_that_were_requested(outcome: object, response: bytes | None) -> None:
    negotiated = agreed(asking(UserIdentity.kerberos(b"ticket", response=True)), outcome)
    assert negotiated.identity_response == response
    assert negotiated.identity_confirmed == (response is not None)


def test_no_identity_no_response() -> None:
    negotiated = agreed(asking(), b"nobody asked")
    assert negotiated.identity_response is None
    assert not negotiated.identity_confirmed


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [(False, AssociateRJ(1, 1, 1)), (Reject(2, 3, 2), AssociateRJ(2, 3, 2)), (Reject(1, 1, 3), AssociateRJ(1, 1, 3))],
)
def test_rejects(outcome: object, answer: AssociateRJ) -> None:
    heard, answers = converse(asking(), outcome)
    assert heard == Rejected(answer)
    assert answers.state is State.Sta13
    assert answers.negotiated is None


@pytest.mark.parametrize("narrower", [{5}, [CT, 99], (VERIFICATION, 3), set()])
def test_narrower_contexts(narrower: set[int | str]) -> None:
    negotiated = agreed(asking(), Accept(contexts=narrower))
    kept = {
        context.id
        for context in asking().contexts
        if context.id in narrower or context.abstract_syntax in narrower
    }  # fmt: skip
    assert set(negotiated.contexts) == kept
    assert {refused.result for refused in negotiated.refused.values()} <= {1}


def test_narrowing_leaves_other_refusals_as_they_are() -> None:
    negotiated = agreed(REQUEST, Accept(contexts=[]), ACCEPTANCE)
    assert {number: refused.result for number, refused in negotiated.refused.items()} == {1: 1, 3: 3, 5: 1}


def test_an_answer_of_its_own() -> None:
    assert agreed(REQUEST, ANSWER, ACCEPTANCE).answer == ANSWER
    both = Accept(replace(ANSWER, user=replace(ANSWER.user, max_length=4096)), contexts=[5])
    negotiated = agreed(REQUEST, both, ACCEPTANCE)
    assert set(negotiated.contexts) == {5}
    assert negotiated.send_length == 4096


@pytest.mark.parametrize(
    "results",
    [
        ANSWER.results[:2],
        (*ANSWER.results, PresentationResult(7, 3, "")),
        (*ANSWER.results[:2], replace(ANSWER.results[2], transfer_syntax=EXPLICIT)),
    ],
)
def test_an_answer_that_fits_no_request(results: tuple[PresentationResult, ...]) -> None:
    core = acceptor()
    feed(core, encode(REQUEST))
    with pytest.raises(LocalProtocolError):
        core.request(Accept(replace(ANSWER, results=results)))
    assert now_in(core, State.Sta3)
    core.request(Accept(ANSWER))
    assert now_in(core, State.Sta6)


def test_user_names_are_confirmed_without_content() -> None:
    for identity in (UserIdentity.username("jo", response=True), UserIdentity.passcode("jo", "x", response=True)):
        assert agreed(asking(identity), b"welcome").identity_response == b""
    assert agreed(asking(UserIdentity.jwt("a.b", response=True)), b"welcome").identity_response == b"welcome"


def test_accepting_what_the_acceptance_refuses() -> None:
    request = replace(REQUEST, called_ae="STRANGER")
    core = acceptor(acceptance=replace(ACCEPTANCE, require_called_ae=True))
    (event,) = feed(core, encode(request))
    assert isinstance(event, AssociationRequested)
    assert event.proposal.reject == AssociateRJ(1, 1, 7)
    with pytest.raises(LocalProtocolError, match="refuses this association"):
        core.request(Accept())
    core.request(Accept(ANSWER))  # an answer of its own is another matter
    assert core.state is State.Sta6


@pytest.mark.parametrize("outcome", ["yes", 2, object(), (1, 1, 1), iter(())])
def test_what_is_no_decision(outcome: object) -> None:
    with pytest.raises(LocalProtocolError, match="no decision about an association"):
        decision(outcome)


def test_a_decision_that_takes_too_long() -> None:
    core = acceptor(Limits().but(association_timeout=5.0))
    feed(core, encode(REQUEST))
    core.tick(10.0)
    core.tick(15.0)
    assert core.state is State.Sta13
    assert pdus(flush(core)) == [(3, b"\0\2\3\1")]  # for now, temporary congestion
    (event,) = core.events()
    assert isinstance(event, Aborted)
    with pytest.raises(LocalProtocolError):
        core.request(decision(True))


def test_a_peer_that_leaves_before_the_decision() -> None:
    core = acceptor()
    feed(core, encode(REQUEST))
    core.closed()
    assert core.events() == [ConnectionLost()]
    with pytest.raises(LocalProtocolError):
        core.request(decision(None))
    other = acceptor()
    feed(other, encode(REQUEST))
    gone = Association(requestor=True)
    gone.request(Associate(REQUEST))
    gone.connected()
    flush(gone)
    gone.request(AbortRequest())
    (event,) = feed(other, flush(gone))
    assert isinstance(event, Aborted)
    assert other.state is State.Sta1


# --- classes that specialise others (PS3.7 D.3.3.6) -------------------------------------------------------------------

PRIVATE = "1.2.3.99"


def specialised(*items: CommonExtendedNegotiation, roles: tuple[RoleSelection, ...] = ()) -> AssociateRQ:
    return propose([(PRIVATE, [EXPLICIT, IMPLICIT])], calling_ae="A", called_ae="B", common_extended=items, roles=roles)


def taken(request: AssociateRQ, acceptance: Acceptance) -> tuple[int, str, str]:
    """Result, transfer syntax and general class of the one context, as the acceptor has it."""
    proposal = negotiate(request, acceptance)
    assert proposal.accept is not None
    assert proposal.negotiated is not None
    mine = conclude(request, proposal.accept)
    assert mine.contexts == proposal.negotiated.contexts
    if mine.refused:
        return mine.refused[1].result, "", ""
    context = proposal.negotiated.contexts[1]
    return 0, context.transfer_syntax, context.general


def test_a_specialised_class_is_taken_as_its_general_one() -> None:
    acceptance = Acceptance(supported={CT: (IMPLICIT,), "1.2.3.1": ("1.2.9",)})
    assert taken(specialised(), acceptance) == (3, "", "")
    assert taken(specialised(common_extended(PRIVATE, [CT])), acceptance) == (0, IMPLICIT, CT)
    assert taken(specialised(common_extended(PRIVATE, ["1.2.7", "1.2.3.1", CT])), acceptance) == (0, IMPLICIT, CT)
    assert taken(specialised(common_extended(PRIVATE, ["1.2.3.1"])), acceptance) == (4, "", "")
    assert taken(specialised(common_extended(PRIVATE, ["1.2.7"])), acceptance) == (3, "", "")
    assert taken(specialised(common_extended(CT, [CT])), acceptance) == (3, "", "")  # of another class


def test_a_service_class_that_is_taken_whole() -> None:
    acceptance = Acceptance(supported={STORAGE: (EXPLICIT,), VERIFICATION: (IMPLICIT,)})
    assert taken(specialised(common_extended(PRIVATE, ())), acceptance) == (0, EXPLICIT, STORAGE)
    assert taken(specialised(common_extended(PRIVATE, [VERIFICATION])), acceptance) == (0, IMPLICIT, VERIFICATION)
    other = common_extended(PRIVATE, (), service_class="1.2.840.10008.4.99")
    assert taken(specialised(other), acceptance) == (3, "", "")


def test_a_class_that_is_known_is_taken_as_itself() -> None:
    acceptance = Acceptance(supported={PRIVATE: (IMPLICIT,), CT: (EXPLICIT,)})
    assert taken(specialised(common_extended(PRIVATE, [CT])), acceptance) == (0, IMPLICIT, "")
    acceptance = Acceptance(supported={PRIVATE: ("1.2.9",), CT: (EXPLICIT,)})
    assert taken(specialised(common_extended(PRIVATE, [CT])), acceptance) == (4, "", "")


def test_roles_of_a_specialised_class() -> None:
    roles = (RoleSelection(PRIVATE, False, True),)
    request = specialised(common_extended(PRIVATE, [CT]), roles=roles)
    proposal = negotiate(request, Acceptance(supported={CT: (IMPLICIT,)}, roles={CT: (True, True)}))
    assert proposal.accept is not None
    mine = conclude(request, proposal.accept)
    assert [context.id for context in contexts_for(PRIVATE, None, mine, "scp")] == [1]


def test_the_general_class_outlives_the_decision() -> None:
    request = specialised(common_extended(PRIVATE, [CT]))
    _, answers = converse(request, Accept(contexts=[PRIVATE]))
    assert answers.negotiated is not None
    assert answers.negotiated.contexts[1].general == CT


# --- what cannot be proposed ------------------------------------------------------------------------------------------


def test_more_that_cannot_be_proposed() -> None:
    contexts = [(CT, [IMPLICIT])]
    twice = [RoleSelection(CT, True, True), RoleSelection(CT, True, False)]
    wrong: list[dict[str, Any]] = [
        {"implementation_version": "X" * 17},
        {"implementation_class_uid": ""},
        {"roles": twice},
    ]
    for options in wrong:
        with pytest.raises(LocalProtocolError):
            propose(contexts, calling_ae="A", called_ae="B", **options)


def test_of_items_that_come_twice_the_first_counts() -> None:
    roles = (RoleSelection(CT, True, False), RoleSelection(CT, True, True))
    extended = (FindOptions(True).item(FIND), FindOptions().item(FIND))
    common = (common_extended(PRIVATE, [CT]), common_extended(PRIVATE, ["1.2.7"]))
    request = propose([(CT, [IMPLICIT]), (FIND, [IMPLICIT]), (PRIVATE, [IMPLICIT])], calling_ae="A", called_ae="B")
    request = replace(request, user=replace(request.user, roles=roles, extended=extended, common_extended=common))
    acceptance = Acceptance(
        supported={CT: (IMPLICIT,), FIND: (IMPLICIT,)},
        roles={CT: (True, True)},
        extended={FIND: FindOptions(True, True)},
    )
    proposal = negotiate(request, acceptance)
    assert proposal.accept is not None
    assert proposal.negotiated is not None
    assert proposal.accept.user.roles == roles[:1]
    assert proposal.accept.user.extended == extended[:1]
    assert not proposal.negotiated.contexts[1].requestor_scp
    assert options_for(FIND, proposal.negotiated) == FindOptions(True)
    assert proposal.negotiated.contexts[5].general == CT


def test_two_roles_for_one_class_are_answered_once() -> None:
    request = propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B", roles=[RoleSelection(CT, True, True)])
    doubled = replace(request, user=replace(request.user, roles=request.user.roles * 2))
    proposal = negotiate(doubled, Acceptance(supported={CT: (IMPLICIT,)}, roles={CT: (True, True)}))
    assert proposal.accept is not None
    assert proposal.accept.user.roles == request.user.roles


@pytest.mark.parametrize(
    ("length", "fragment"), [(0, 262138), (8, 2), (9, 2), (16383, 16376), (16385, 16378), (65536, 65530)]
)
@pytest.mark.parametrize("requestor", [True, False])
def test_maximum_lengths_odd_and_unlimited(length: int, fragment: int, requestor: bool) -> None:
    """Fragments are even, and with their headers no longer than the peer takes (PS3.8 D.1, E.2)."""
    core = Association(requestor=True) if requestor else acceptor()
    if requestor:
        core.request(Associate(REQUEST))
        core.connected()
        flush(core)
        feed(core, encode(replace(ANSWER, user=replace(ANSWER.user, max_length=length))))
    else:
        feed(core, encode(replace(REQUEST, user=replace(REQUEST.user, max_length=length))))
        core.request(Accept())
        flush(core)
    core.send(1, False, bytes(3 * fragment + 1))
    assert [len(body) for _, body in pdus(flush(core))] == [fragment + 6] * 3 + [1 + 6]
