"""Negotiation under any request and any acceptance: what holds always, through the bytes of the wire."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dicomcore.ul import (
    Acceptance,
    AssociateAC,
    AssociateRQ,
    AsyncWindow,
    CommonExtendedNegotiation,
    FindOptions,
    Quirks,
    RetrieveOptions,
    RoleSelection,
    UserIdentity,
    adapt,
    conclude,
    contexts_for,
    decode,
    encode,
    explain,
    explain_missing,
    explain_rows,
    negotiate,
    options_for,
    propose,
)
from dicomcore.ul.negotiation import settle
from dicomcore.ul.quirks import mend
from tests.ul.test_codec import ANSWERS, REQUESTS

FIND, MOVE = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2"
UIDS = ["1.2.3", "1.2.4", "1.2.5", FIND, MOVE]
UID = st.sampled_from(UIDS)
SYNTAXES = st.lists(st.sampled_from(["1.9.1", "1.9.2", "1.9.3"]), min_size=1, unique=True)
WINDOW = st.builds(AsyncWindow, st.integers(0, 3), st.integers(0, 3))
FIND_OPTIONS = st.builds(FindOptions, *[st.booleans()] * 5)
OPTIONS = st.fixed_dictionaries(
    {}, optional={FIND: FIND_OPTIONS, MOVE: st.builds(RetrieveOptions, st.booleans(), st.booleans())}
)
QUIRKS = st.builds(Quirks, st.booleans(), st.booleans(), st.booleans(), st.booleans())
ROLES = st.lists(st.builds(RoleSelection, UID, st.booleans(), st.booleans()), unique_by=lambda role: role.sop_class)
COMMON = st.builds(CommonExtendedNegotiation, UID, UID, st.lists(UID, max_size=2).map(tuple))
IDENTITY = st.none() | st.builds(UserIdentity, st.integers(1, 5), st.binary(max_size=9), st.just(b""), st.booleans())
REQUEST = st.builds(
    lambda contexts, **options: propose(contexts, calling_ae="A", called_ae="B", **options),
    st.lists(st.tuples(UID, SYNTAXES), min_size=1, max_size=6),
    max_pdu_length=st.sampled_from([0, 8, 16383, 1 << 20]),
    roles=ROLES,
    window=st.none() | WINDOW,
    extended=OPTIONS,
    common_extended=st.lists(COMMON, max_size=3),
    identity=IDENTITY,
    quirks=QUIRKS,
)
ACCEPTANCE = st.builds(
    Acceptance,
    st.just("B"),
    st.dictionaries(UID, SYNTAXES.map(tuple)),
    st.sampled_from([0, 8, 16385]),
    roles=st.dictionaries(UID, st.tuples(st.booleans(), st.booleans())),
    window=WINDOW,
    prefer_own=st.booleans(),
    extended=OPTIONS,
    quirks=QUIRKS,
)
CHOICE = st.none() | st.sets(st.sampled_from([1, 3, 5, *UIDS]))


def within(value: int, bound: int) -> bool:
    """Whether a window is no larger than another; 0 is unlimited."""
    return bound == 0 or 0 < value <= bound


@given(REQUEST, ACCEPTANCE, CHOICE, st.none() | st.binary(max_size=5), QUIRKS)
def test_what_always_holds(
    request: AssociateRQ,
    acceptance: Acceptance,
    contexts: set[int | str] | None,
    response: bytes | None,
    quirks: Quirks,
) -> None:
    heard = decode(1, encode(request)[6:])
    assert heard == request
    assert isinstance(heard, AssociateRQ)
    answer, theirs = adapt(heard, negotiate(heard, acceptance), identity_response=response, contexts=contexts)
    read = decode(2, encode(answer)[6:])
    assert read == answer
    assert isinstance(read, AssociateAC)
    mine = conclude(request, read)

    # both sides have the same contexts, roles and window, and each other's maximum length
    assert (mine.contexts, mine.refused, mine.window) == (theirs.contexts, theirs.refused, theirs.window)
    assert (mine.send_length, mine.receive_length) == (theirs.receive_length, theirs.send_length)
    assert [result.id for result in answer.results] == [context.id for context in request.contexts]

    # an answer never has what was not asked for, nor more of it (PS3.7 D.3.3)
    user, said = request.user, answer.user
    assert said.common_extended == ()
    assert said.user_identity is None
    assert {item.sop_class for item in said.extended} <= {item.sop_class for item in user.extended}
    asked = {role.sop_class: role for role in user.roles}
    for role in said.roles:
        assert role.scu <= asked[role.sop_class].scu
        assert role.scp <= asked[role.sop_class].scp
    if user.async_window is None:
        assert said.async_window is None
        assert mine.window == (1, 1)
    elif said.async_window is not None:
        assert all(map(within, mine.window, user.async_window))
        assert all(map(within, mine.window, acceptance.window))
    wanted = user.user_identity is not None and user.user_identity.response_requested
    assert (said.user_identity_response is not None) == (wanted and response is not None)
    for uid in (FIND, MOVE):
        assert options_for(uid, mine) == options_for(uid, theirs)

    # every context that is used was proposed so, and is supported by itself or by what it specialises
    for context in request.contexts:
        agreed = theirs.contexts.get(context.id)
        if agreed is not None:
            assert agreed.transfer_syntax in context.transfer_syntaxes
            known = acceptance.transfer_syntaxes(agreed.general or context.abstract_syntax)
            assert agreed.transfer_syntax in (known or ())
            if contexts is not None:
                assert context.id in contexts or context.abstract_syntax in contexts
    rows = explain_rows(request, read)
    assert [row.accepted for row in rows] == [row.id in mine.contexts for row in rows]
    # a role is had by one of the two only if the other knows it, too
    for uid in UIDS:
        for role_name in ("scu", "scp"):
            here = contexts_for(uid, None, mine, role_name)
            there = contexts_for(uid, None, theirs, "scp" if role_name == "scu" else "scu", requestor=False)
            assert here == there
            if not here:
                assert explain_missing(uid, None, mine, role_name)

    # a quirk gives roles only where they were asked for and not answered, and changes nothing else
    forgiven = conclude(request, read, quirks)
    assert set(forgiven.contexts) == set(mine.contexts)
    for number, changed in forgiven.contexts.items():
        if changed != mine.contexts[number]:
            assert quirks.no_role_answer
            assert changed.abstract_syntax in asked
            assert all(role.sop_class != changed.abstract_syntax for role in said.roles)
    assert explain(request, read, quirks)


@given(REQUESTS, ANSWERS, QUIRKS)
def test_any_answer_to_any_request_can_be_explained(request: AssociateRQ, answer: AssociateAC, quirks: Quirks) -> None:
    request, answer = mend(request, quirks), mend(answer, quirks)
    assert mend(answer, quirks) == answer  # cleaning what is clean changes nothing
    assert explain(request, answer, quirks).replace("\n", "").isprintable()
    assert len(explain_rows(request, answer, quirks)) == len(request.contexts)
    negotiated = settle(request, answer, requestor=True, quirks=quirks)
    assert len(negotiated.contexts) + len(negotiated.refused) == len(request.contexts)
    for context in request.contexts:
        options_for(context.abstract_syntax, negotiated)
        assert explain_missing(context.abstract_syntax, (), negotiated)


@given(REQUEST, ACCEPTANCE)
def test_an_acceptor_without_quirks_keeps_to_the_letter(request: AssociateRQ, acceptance: Acceptance) -> None:
    """Quirks of an acceptor only take something away."""
    plain = negotiate(request, replace(acceptance, quirks=Quirks())).accept
    other = negotiate(request, replace(acceptance, quirks=Quirks(True, True, True, True))).accept
    assert plain is not None
    assert other is not None
    assert other == replace(plain, user=replace(plain.user, async_window=None))
