"""Negotiation as pure functions: acceptance rules, roles, windows, what both sides conclude, and the words for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.errors import LocalProtocolError, RemoteProtocolError
from dicomcore.ul import (
    Acceptance,
    AgreedContext,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsyncWindow,
    ExtendedNegotiation,
    Negotiated,
    PresentationResult,
    RoleSelection,
    UserIdentity,
    UserInformation,
    conclude,
    contexts_for,
    decode,
    encode,
    is_ae_title,
    negotiate,
    propose,
)
from dicomcore.vocab.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from tests.ul.wire import ACCEPTANCE, EXPLICIT, IMPLICIT, REQUEST, VERIFICATION

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def agree(request: AssociateRQ, acceptance: Acceptance) -> tuple[Negotiated, Negotiated]:
    """What requestor and acceptor conclude."""
    proposal = negotiate(request, acceptance)
    assert proposal.accept is not None
    assert proposal.negotiated is not None
    assert proposal.reject is None
    return conclude(request, proposal.accept), proposal.negotiated


def test_contexts() -> None:
    mine, theirs = agree(REQUEST, ACCEPTANCE)
    assert mine.contexts == theirs.contexts
    assert mine.refused == theirs.refused
    assert dict(mine.contexts) == {
        1: AgreedContext(1, VERIFICATION, EXPLICIT),  # the requestor's order decides
        5: AgreedContext(5, VERIFICATION, IMPLICIT),
    }
    assert mine.refused[3].result == 3
    mine, _ = agree(REQUEST, replace(ACCEPTANCE, prefer_own=True))
    assert mine.contexts[1].transfer_syntax == IMPLICIT
    mine, _ = agree(REQUEST, Acceptance(supported=lambda uid: ("1.2.3",) if uid == VERIFICATION else None))
    assert {number: refused.result for number, refused in mine.refused.items()} == {1: 4, 3: 3, 5: 4}
    assert mine.contexts == {}


def test_lengths_titles_and_implementations() -> None:
    request = propose(
        [(CT, [IMPLICIT])],
        calling_ae=" A ",
        called_ae="B",
        max_pdu_length=0,
        implementation_class_uid="2.25.7",
        implementation_version="OTHER",
    )
    mine, theirs = agree(request, Acceptance(supported={CT: [IMPLICIT]}, max_pdu_length=16384))
    assert (mine.send_length, mine.receive_length) == (16384, 0)
    assert (theirs.send_length, theirs.receive_length) == (0, 16384)
    assert (mine.calling_ae, mine.called_ae) == (theirs.calling_ae, theirs.called_ae) == ("A", "B")
    assert mine.peer_implementation == (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME)
    assert theirs.peer_implementation == ("2.25.7", "OTHER")
    assert propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B").user.max_length == 256 * 1024


@pytest.mark.parametrize(
    ("change", "reject"),
    [
        ({"protocol_version": 2}, (1, 2, 2)),
        ({"application_context": "1.2.3"}, (1, 1, 2)),
        ({"application_context": ""}, (1, 1, 2)),
        ({"called_ae": "OTHER"}, (1, 1, 7)),
        ({"called_ae": ""}, (1, 1, 7)),
        ({"called_ae": "A\\B"}, (1, 1, 7)),
        ({"calling_ae": "STRANGER"}, (1, 1, 3)),
        ({"calling_ae": "\x01"}, (1, 1, 3)),
        ({"contexts": ()}, (1, 1, 1)),
        ({"user": UserInformation(max_length=7)}, (1, 1, 1)),
    ],
)
def test_rejections(change: dict[str, Any], reject: tuple[int, int, int]) -> None:
    acceptance = replace(ACCEPTANCE, require_called_ae=True, allowed_calling=("RTPLAN ", "OTHER"))
    assert negotiate(REQUEST, acceptance).reject is None
    proposal = negotiate(replace(REQUEST, **change), acceptance)
    assert proposal.reject == AssociateRJ(*reject)
    assert proposal.accept is None
    assert proposal.negotiated is None


def test_only_bit_0_of_the_version_counts() -> None:
    assert negotiate(replace(REQUEST, protocol_version=0xFFFF), ACCEPTANCE).reject is None


@pytest.mark.parametrize("asked", [(True, False), (False, True), (True, True), (False, False)])
@pytest.mark.parametrize("allowed", [None, (True, False), (False, True), (True, True), (False, False)])
def test_roles(asked: tuple[bool, bool], allowed: tuple[bool, bool] | None) -> None:
    request = propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B", roles=[RoleSelection(CT, *asked)])
    roles = {} if allowed is None else {CT: allowed}
    mine, theirs = agree(request, Acceptance(supported={CT: (IMPLICIT,)}, roles=roles))
    context = mine.contexts[1]
    assert context == theirs.contexts[1]
    expected = (
        (True, False) if allowed is None else (asked[0] and allowed[0], asked[1] and allowed[1])
    )  # PS3.7 D.3.3.4: without an answer the default roles hold
    assert (context.requestor_scu, context.requestor_scp) == expected
    assert (contexts_for(CT, None, mine) == (context,)) == expected[0]
    assert (contexts_for(CT, None, mine, "scp") == (context,)) == expected[1]
    assert (contexts_for(CT, None, theirs, "scp", requestor=False) == (context,)) == expected[0]
    assert (contexts_for(CT, None, theirs, "scu", requestor=False) == (context,)) == expected[1]


def test_no_role_is_given_unasked() -> None:
    request = propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B")
    answer = AssociateAC(
        (PresentationResult(1, 0, IMPLICIT),), UserInformation(roles=(RoleSelection(CT, False, True),)), request.echo()
    )
    context = conclude(request, answer).contexts[1]
    assert (context.requestor_scu, context.requestor_scp) == (True, False)


@pytest.mark.parametrize(
    ("asked", "allowed", "agreed"),
    [
        (None, (4, 4), (1, 1)),
        ((8, 1), (1, 1), (1, 1)),
        ((8, 2), (4, 4), (4, 2)),
        ((0, 0), (4, 4), (4, 4)),
        ((0, 5), (0, 0), (0, 5)),
        ((0, 0), (0, 0), (0, 0)),
    ],
)
def test_windows(asked: tuple[int, int] | None, allowed: tuple[int, int], agreed: tuple[int, int]) -> None:
    window = None if asked is None else AsyncWindow(*asked)
    request = propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B", window=window)
    mine, theirs = agree(request, Acceptance(supported={CT: (IMPLICIT,)}, window=AsyncWindow(*allowed)))
    assert mine.window == theirs.window == AsyncWindow(*agreed)
    if asked is None or allowed == (1, 1):
        assert mine.answer.user.async_window is None


def test_extended_negotiation_and_identity_are_handed_on() -> None:
    items = [ExtendedNegotiation(FIND, b"\1\1\1"), ExtendedNegotiation(CT, b"\2")]
    identity = UserIdentity(1, b"user", response_requested=True)
    request = propose([(FIND, [IMPLICIT])], calling_ae="A", called_ae="B", extended=items, identity=identity)
    acceptance = Acceptance(
        supported={FIND: (IMPLICIT,)},
        extended=lambda item: item.information[:1] if item.sop_class == FIND else None,
    )
    mine, _ = agree(request, acceptance)
    assert mine.answer.user.extended == (ExtendedNegotiation(FIND, b"\1"),)
    assert mine.request.user.user_identity == identity
    assert mine.answer.user.user_identity_response is None


def test_conclude_refuses_what_fits_no_request() -> None:
    proposal = negotiate(REQUEST, ACCEPTANCE)
    assert proposal.accept is not None
    bad = [
        replace(proposal.accept, results=(PresentationResult(9, 0, IMPLICIT),)),
        replace(proposal.accept, user=UserInformation(max_length=7)),
        replace(proposal.accept, protocol_version=2),
    ]
    for answer in bad:
        with pytest.raises(RemoteProtocolError) as caught:
            conclude(REQUEST, answer)
        assert caught.value.answer == (2, 6)


def test_a_context_that_is_answered_wrongly_is_not_used() -> None:
    answer = AssociateAC((PresentationResult(1, 0, "1.2.3.9"), PresentationResult(3, 0, "")), echo=REQUEST.echo())
    negotiated = conclude(REQUEST, answer)
    assert negotiated.contexts == {}
    assert [refused.result for refused in negotiated.refused.values()] == [2, 2, 2]
    assert "1.2.3.9" in negotiated.refused[1].why
    assert negotiated.refused[5].why == "not answered"


def test_contexts_for_keeps_the_order_asked_for() -> None:
    mine, _ = agree(REQUEST, ACCEPTANCE)
    assert [found.id for found in contexts_for(VERIFICATION, [IMPLICIT, EXPLICIT], mine)] == [5, 1]
    assert [found.id for found in contexts_for(VERIFICATION, None, mine)] == [1, 5]
    assert contexts_for(CT, None, mine) == ()


@pytest.mark.parametrize(
    ("contexts", "titles"),
    [
        ([], ("A", "B")),
        ([(CT, [IMPLICIT])] * 129, ("A", "B")),
        ([(CT, [])], ("A", "B")),
        ([(CT, [IMPLICIT])], ("", "B")),
        ([(CT, [IMPLICIT])], ("A", "B" * 17)),
    ],
)
def test_what_cannot_be_proposed(contexts: list[tuple[str, list[str]]], titles: tuple[str, str]) -> None:
    with pytest.raises(LocalProtocolError):
        propose(contexts, calling_ae=titles[0], called_ae=titles[1])


def test_a_maximum_length_that_lets_nothing_through() -> None:
    with pytest.raises(LocalProtocolError, match="lets no data through"):
        propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B", max_pdu_length=7)


def test_all_128_contexts() -> None:
    request = propose([(CT, [IMPLICIT])] * 128, calling_ae="A", called_ae="B")
    assert request.contexts[-1].id == 255
    assert decode(1, encode(request)[6:]) == request


@pytest.mark.parametrize(
    ("title", "good"),
    [("A", True), (" A ", True), ("A B", True), ("", False), ("   ", False), ("A" * 16, True), ("A" * 17, False),
     ("A\\", False), ("\xc4", False), ("A\t", False)],
)  # fmt: skip
def test_ae_titles(title: str, good: bool) -> None:
    assert is_ae_title(title) == good


UID = st.sampled_from(["1.2.3", "1.2.4", "1.2.5"])
SYNTAXES = st.lists(st.sampled_from(["1.9.1", "1.9.2", "1.9.3"]), min_size=1, unique=True)


@given(
    st.lists(st.tuples(UID, SYNTAXES), min_size=1, max_size=6),
    st.dictionaries(UID, SYNTAXES),
    st.booleans(),
)
def test_both_sides_agree_through_the_wire(
    contexts: list[tuple[str, list[str]]], supported: dict[str, list[str]], prefer_own: bool
) -> None:
    request = propose(contexts, calling_ae="A", called_ae="B")
    heard = decode(1, encode(request)[6:])
    assert isinstance(heard, AssociateRQ)
    proposal = negotiate(heard, Acceptance(supported=supported, prefer_own=prefer_own))
    assert proposal.accept is not None
    assert proposal.negotiated is not None
    answer = decode(2, encode(proposal.accept)[6:])
    assert isinstance(answer, AssociateAC)
    mine, theirs = conclude(request, answer), proposal.negotiated
    assert (mine.contexts, mine.refused) == (theirs.contexts, theirs.refused)
    assert set(mine.contexts) | set(mine.refused) == {context.id for context in request.contexts}
    for context in request.contexts:
        common = [
            syntax for syntax in context.transfer_syntaxes if syntax in supported.get(context.abstract_syntax, ())
        ]
        if common:
            assert mine.contexts[context.id].transfer_syntax in common
        else:
            assert mine.refused[context.id].result == (4 if context.abstract_syntax in supported else 3)
