"""The words for a negotiation: what a newcomer reads when something was refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomcore.ul import (
    Abort,
    Acceptance,
    AssociateAC,
    AssociateRJ,
    AsyncWindow,
    ContextRow,
    ExtendedNegotiation,
    FindOptions,
    Negotiated,
    PresentationContext,
    PresentationResult,
    RoleSelection,
    UserIdentity,
    adapt,
    conclude,
    explain,
    explain_missing,
    explain_rows,
    negotiate,
    propose,
)
from tests.ul.wire import ACCEPTANCE, ANSWER, EXPLICIT, IMPLICIT, REQUEST, VERIFICATION

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def test_a_table() -> None:
    assert explain(REQUEST, ANSWER).splitlines() == [
        "RTPLAN -> ARCHIVE: accepted, 2 of 3 presentation contexts",
        "  maximum length     RTPLAN takes 262144, ARCHIVE takes 262144",
        "  operations window  1 invoked, 1 performed (not asked for more)",
        "  implementations    DICOMCORE_0_1, DICOMCORE_0_1",
        "  id  SOP class                                   result                         transfer syntax            "
        "requestor  note",
        "  1   Verification SOP Class (1.2.840.10008.1.1)  accepted                       Explicit VR Little Endian  "
        "SCU",
        "  3   1.2.3.4                                     abstract syntax not supported  -                          "
        "-          ARCHIVE does not offer this SOP class",
        "  5   Verification SOP Class (1.2.840.10008.1.1)  accepted                       Implicit VR Little Endian  "
        "SCU",
    ]


def test_names_of_a_peer_cannot_confuse_a_terminal() -> None:
    request = replace(REQUEST, calling_ae="A\x1b[2J", contexts=(PresentationContext(1, "1.2\n3\x07", (IMPLICIT,)),))
    proposal = negotiate(REQUEST, ACCEPTANCE)
    assert proposal.accept is not None
    for answer in (proposal.accept, AssociateRJ(1, 1, 3), None):
        assert explain(request, answer).replace("\n", "").isprintable()
    assert explain_missing("1.2\n3\x07", None, conclude(request, replace(ANSWER, results=()))).isprintable()


def test_rows() -> None:
    assert explain_rows(REQUEST, ANSWER) == [
        ContextRow(1, VERIFICATION, "accepted", EXPLICIT, ("SCU",), ""),
        ContextRow(
            3, "1.2.3.4", "abstract syntax not supported", "", (), "ARCHIVE does not offer this SOP class"
        ),
        ContextRow(5, VERIFICATION, "accepted", IMPLICIT, ("SCU",), ""),
    ]  # fmt: skip
    assert [row.accepted for row in explain_rows(REQUEST, ANSWER)] == [True, False, True]


def test_transfer_syntaxes_and_lengths() -> None:
    proposal = negotiate(REQUEST, Acceptance(supported={VERIFICATION: (EXPLICIT,)}, max_pdu_length=0))
    assert proposal.accept is not None
    text = explain(REQUEST, proposal.accept).splitlines()
    assert "ARCHIVE takes any" in text[1]
    assert text[-1].endswith("ARCHIVE takes none of Implicit VR Little Endian")


def test_strange_answers() -> None:
    strange = AssociateAC((PresentationResult(1, 0, "9.9"), PresentationResult(3, 77, "")), echo=REQUEST.echo())
    first, second, third = explain_rows(REQUEST, strange)
    assert first[2:] == ("not usable", "", (), "ARCHIVE: accepted with '9.9', not proposed")
    assert second.result == "result 77"
    assert third.note == "ARCHIVE: not answered"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "no answer"),
        (AssociateRJ(1, 1, 7), "called AE title not recognized; the peer does not call itself 'ARCHIVE'"),
        (AssociateRJ(1, 1, 3), "calling AE title not recognized; the peer does not know 'RTPLAN'"),
        (AssociateRJ(1, 1, 2), "application context name not supported; the peer does not speak"),
        (AssociateRJ(1, 2, 2), "rejected permanently by its provider (ACSE): protocol version not supported"),
        (AssociateRJ(2, 3, 1), "rejected for now by its provider (presentation): temporary congestion; try again"),
        (AssociateRJ(2, 3, 2), "local limit exceeded; it has too many associations"),
        (AssociateRJ(1, 1, 1), "rejected permanently by its user: no reason given"),
        (AssociateRJ(9, 9, 9), "rejected with result 9 by source 9: reason 9"),
        (Abort(2, 6), "aborted by the provider: invalid PDU parameter value"),
        (Abort(2, 3), "reason 3"),
        (Abort(0, 0), "aborted by the user"),
        (Abort(1, 0), "aborted by source 1"),
    ],
)
def test_what_went_wrong(answer: AssociateRJ | Abort | None, words: str) -> None:
    text = explain(REQUEST, answer)
    assert words in text
    assert "no-async" not in text


@pytest.mark.parametrize("answer", [None, Abort(0, 0)])
def test_a_peer_that_may_not_bear_the_window(answer: Abort | None) -> None:
    request = propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B", window=AsyncWindow(0, 0))
    assert "try without it (Quirks 'no-async')" in explain(request, answer)


def negotiation(*, confirm: bool | None = None) -> tuple[str, Negotiated]:
    """With roles, window, identity and options; ``confirm`` None = no confirmation of the identity is asked for."""
    roles = [RoleSelection(FIND, True, True), RoleSelection(CT, False, True), RoleSelection(VERIFICATION, True, False)]
    request = propose(
        [(VERIFICATION, [IMPLICIT]), (CT, [EXPLICIT]), (FIND, [IMPLICIT])],
        calling_ae="ASKS",
        called_ae="SERVES",
        window=AsyncWindow(0, 4),
        roles=roles,
        identity=UserIdentity.passcode("jo", "secret", response=confirm is not None),
        extended={FIND: FindOptions(relational=True, fuzzy=True), CT: FindOptions()},
    )
    acceptance = Acceptance(
        supported={VERIFICATION: (IMPLICIT,), CT: (EXPLICIT,), FIND: (IMPLICIT,)},
        window=AsyncWindow(8, 0),
        roles={FIND: (True, False)},
        extended={FIND: FindOptions(fuzzy=True)},
    )
    proposal = negotiate(request, acceptance)
    answer, _ = adapt(request, proposal, identity_response=b"" if confirm else None)
    return explain(request, answer), conclude(request, answer)


def test_roles_window_identity_and_options() -> None:
    text, _ = negotiation(confirm=False)
    assert "8 invoked, 4 performed (asked: unlimited invoked, 4 performed, answered: 8 invoked, 4 performed)" in text
    assert "username and passcode 'jo', not confirmed: SERVES may not have read it" in text
    assert "secret" not in text
    assert "INFORMATION MODEL - FIND: asked relational + fuzzy, answered fuzzy".lower() in text.lower()
    assert "ASKS asked to be SCU and SCP; SERVES did not agree to all of it" in text
    assert "ASKS asked to be SCP; SERVES did not answer that, so the default roles hold" in text
    assert "CT Image Storage: asked level 0, signature_level 0" in text.replace(" + ", ", ")
    assert "not answered" in text
    assert "username and passcode 'jo', confirmed" in negotiation(confirm=True)[0]
    assert "no confirmation asked for" in negotiation()[0]


def test_a_window_that_is_not_answered_and_options_without_a_meaning() -> None:
    request = propose(
        [("1.2.3", [IMPLICIT])],
        calling_ae="A",
        called_ae="B",
        window=AsyncWindow(0, 2),
        extended=[ExtendedNegotiation("1.2.3", b"\x0a\xff"), ExtendedNegotiation("1.2.4", b"")],
    )
    proposal = negotiate(request, Acceptance(supported={"1.2.3": (IMPLICIT,)}, extended=lambda item: item.information))
    assert proposal.accept is not None
    text = explain(request, proposal.accept)
    assert "1 invoked, 1 performed (A asked for unlimited invoked, 2 performed, B for none)" in text
    assert "1.2.3: asked 0aff, answered 0aff" in text
    assert "1.2.4: asked nothing, answered nothing" in text


def test_a_role_that_leaves_nothing() -> None:
    request = propose([(CT, [IMPLICIT])], calling_ae="A", called_ae="B", roles=[RoleSelection(CT, False, True)])
    proposal = negotiate(request, Acceptance(supported={CT: (IMPLICIT,)}, roles={CT: (True, False)}))
    assert proposal.accept is not None
    assert "neither" in explain(request, proposal.accept)
    assert explain_rows(request, proposal.accept)[0].roles == ()
    negotiated = conclude(request, proposal.accept)
    assert "neither SCU nor SCP" in explain_missing(CT, None, negotiated)


def test_no_context_for_an_operation() -> None:
    proposal = negotiate(REQUEST, ACCEPTANCE)
    assert proposal.accept is not None
    negotiated = conclude(REQUEST, proposal.accept)
    assert explain_missing(CT, None, negotiated) == f"CT Image Storage ({CT}) was not proposed by RTPLAN"
    assert explain_missing("1.2.3.4", None, negotiated) == (
        "1.2.3.4 was not accepted: abstract syntax not supported: ARCHIVE does not offer this SOP class"
    )
    assert explain_missing(VERIFICATION, ["1.2.3"], negotiated).endswith(
        "was accepted in Explicit VR Little Endian, Implicit VR Little Endian, not in 1.2.3"
    )
    assert "RTPLAN may not be its SCP: RTPLAN is SCU of it" in explain_missing(VERIFICATION, None, negotiated, "scp")
    assert "ARCHIVE may not be its SCU" in explain_missing(VERIFICATION, None, negotiated, "scu", requestor=False)
