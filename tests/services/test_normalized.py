"""What users ask with the N-services: each element of PS3.7 10.3, on the right context, in the right role."""

from __future__ import annotations

from typing import Any

import pytest

from dicomcore.data.files import read_dataset
from dicomcore.dimse.command import CommandField, command, decode_command, encode_command, response
from dicomcore.errors import LocalProtocolError, NegotiationError
from dicomcore.services import normalized
from dicomcore.services.base import Answer, Response
from dicomcore.services.messages import encoded_body
from dicomcore.ul.negotiation import Acceptance, Negotiated, negotiate, propose
from dicomcore.ul.pdu import RoleSelection

EXPLICIT = "1.2.840.10008.1.2.1"
PRINTER, INSTANCE = "1.2.840.10008.5.1.1.16", "1.2.840.10008.5.1.1.17"
META = "1.2.840.10008.5.1.1.9"
BODY = {"PrinterName": "P"}
REQUESTED = {"RequestedSOPClassUID": PRINTER, "RequestedSOPInstanceUID": INSTANCE}
AFFECTED = {"AffectedSOPClassUID": PRINTER, "AffectedSOPInstanceUID": INSTANCE}


def agreed(*abstract_syntaxes: str, scp: bool = False) -> Negotiated:
    rows = [(uid, (EXPLICIT,)) for uid in abstract_syntaxes]
    roles = [RoleSelection(uid, True, True) for uid in abstract_syntaxes] if scp else []
    acceptance = Acceptance(supported=dict(rows), roles=dict.fromkeys(abstract_syntaxes, (True, True)))
    proposal = negotiate(propose(rows, calling_ae="US", called_ae="THEM", roles=roles), acceptance)
    assert proposal.negotiated is not None
    return proposal.negotiated


@pytest.mark.parametrize(
    ("name", "arguments", "field", "elements", "has_body"),
    [
        ("n_get", (INSTANCE,), CommandField.N_GET_RQ, REQUESTED, False),
        (
            "n_get",
            (INSTANCE, ["PrinterStatus", 0x21100030, "(2110,0020)"]),
            CommandField.N_GET_RQ,
            REQUESTED | {"AttributeIdentifierList": (0x21100010, 0x21100030, 0x21100020)},
            False,
        ),
        ("n_set", (INSTANCE, BODY), CommandField.N_SET_RQ, REQUESTED, True),
        ("n_action", (INSTANCE, 2), CommandField.N_ACTION_RQ, REQUESTED | {"ActionTypeID": 2}, False),
        ("n_action", (INSTANCE, 2, BODY), CommandField.N_ACTION_RQ, REQUESTED | {"ActionTypeID": 2}, True),
        ("n_create", (INSTANCE, BODY), CommandField.N_CREATE_RQ, AFFECTED, True),
        ("n_create", (None, BODY), CommandField.N_CREATE_RQ, {"AffectedSOPClassUID": PRINTER}, True),
        ("n_create", (), CommandField.N_CREATE_RQ, {"AffectedSOPClassUID": PRINTER}, False),
        ("n_delete", (INSTANCE,), CommandField.N_DELETE_RQ, REQUESTED, False),
        ("n_event_report", (INSTANCE, 9), CommandField.N_EVENT_REPORT_RQ, AFFECTED | {"EventTypeID": 9}, False),
        ("n_event_report", (INSTANCE, 9, BODY), CommandField.N_EVENT_REPORT_RQ, AFFECTED | {"EventTypeID": 9}, True),
    ],
)
def test_requests(
    name: str, arguments: tuple[Any, ...], field: CommandField, elements: dict[str, Any], has_body: bool
) -> None:
    ask = getattr(normalized, name)(agreed(PRINTER, scp=True), "Printer", *arguments)
    sent = ask.invoke.command.but(MessageID=1, CommandDataSetType=1 if has_body else 0x0101)
    again = decode_command(encode_command(sent))
    told = {keyword: value for keyword, value in again.elements.items() if keyword not in ("MessageID",)}
    assert again.field == field
    assert told == elements | {"CommandDataSetType": sent.CommandDataSetType}
    assert (ask.invoke.body is not None) == has_body
    if has_body:
        assert read_dataset(ask.invoke.body, EXPLICIT).PrinterName == "P"
    made = response(sent, 0x0107, AttributeIdentifierList=(0x21100030,))
    body = None if name == "n_delete" else encoded_body(BODY, EXPLICIT)
    outcome = ask.read(Answer(0x0107, made, body))
    assert (outcome.status, outcome.elements["AttributeIdentifierList"]) == (0x0107, (0x21100030,))
    assert (outcome.dataset is None) == (name == "n_delete")


def test_a_set_always_has_a_data_set() -> None:
    assert normalized.n_set(agreed(PRINTER), PRINTER, INSTANCE, {}).invoke.body == b""


def test_contexts_and_roles() -> None:
    negotiated = agreed(META, PRINTER)
    assert normalized.n_get(negotiated, PRINTER, INSTANCE).invoke.context_id == 3
    assert normalized.n_get(negotiated, PRINTER, INSTANCE, context=META).invoke.context_id == 1
    with pytest.raises(NegotiationError, match="may not be its SCP"):
        normalized.n_event_report(negotiated, PRINTER, INSTANCE, 1)
    # The acceptor has the SCP's role unless something else was agreed on
    report = normalized.n_event_report(negotiated, PRINTER, INSTANCE, 1, requestor=False)
    assert report.invoke.context_id == 3
    with pytest.raises(NegotiationError, match="may not be its SCU"):
        normalized.n_get(negotiated, PRINTER, INSTANCE, requestor=False)
    with pytest.raises(NegotiationError, match="neither a UID nor the keyword"):
        normalized.n_get(negotiated, "Plotter", INSTANCE)


# what providers answer


def test_a_reply_repeats_what_it_replies_to() -> None:
    """Event Type ID and Action Type ID are required with a data set only (PS3.7 10.1.1.1.6, 10.1.4.1.6)."""
    for name, keyword, elements in (
        ("N-ACTION-RQ", "ActionTypeID", REQUESTED),
        ("N-EVENT-REPORT-RQ", "EventTypeID", AFFECTED),
    ):
        asked = command(name, **elements, **{keyword: 5}).but(MessageID=1)
        assert getattr(Response(0, b"xx").command(asked), keyword) == 5
        assert getattr(Response(0).command(asked), keyword) is None
        assert getattr(Response(0, b"xx", {keyword: 6}).command(asked), keyword) == 6


def test_a_created_instance_has_a_name() -> None:
    nameless = command("N-CREATE-RQ", AffectedSOPClassUID=PRINTER).but(MessageID=1)
    with pytest.raises(LocalProtocolError, match="N-CREATE-RSP with status 0000 lacks AffectedSOPInstanceUID"):
        Response(0).command(nameless)
    assert Response(0, elements={"AffectedSOPInstanceUID": "1.2"}).command(nameless).AffectedSOPInstanceUID == "1.2"
    assert Response(0x0110).command(nameless).AffectedSOPInstanceUID is None
    named = command("N-CREATE-RQ", **AFFECTED).but(MessageID=1)
    assert Response(0).command(named).AffectedSOPInstanceUID == INSTANCE


def test_pending_counts_sub_operations() -> None:
    asked = command("C-GET-RQ", AffectedSOPClassUID="1.2.840.10008.5.1.4.1.2.2.3").but(MessageID=1)
    with pytest.raises(LocalProtocolError, match="lacks NumberOfCompletedSuboperations, NumberOfFailed"):
        Response(0xFF00).command(asked)
    assert Response(0).command(asked).NumberOfCompletedSuboperations is None
