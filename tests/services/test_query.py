"""What users ask with C-FIND, C-GET and C-MOVE, and how answers read, without a driver."""

from __future__ import annotations

from typing import Any

import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.data.files import read_dataset
from dicomcore.dimse.command import CommandField, command, decode_command, encode_command, response
from dicomcore.errors import EncodingError, LocalProtocolError, NegotiationError
from dicomcore.services.base import MORE, Answer
from dicomcore.services.messages import Ask, Prepared, encoded_body, failure
from dicomcore.services.query import Found, c_find, c_get, c_move, model_names, model_uid, model_uids
from dicomcore.ul.negotiation import Acceptance, Negotiated, negotiate, propose
from dicomcore.vocab.sop_classes import sop_classes

EXPLICIT, IMPLICIT, BIG, DEFLATED = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)
STUDY = "1.2.840.10008.5.1.4.1.2.2."


def agreed(*abstract_syntaxes: str, syntax: str = EXPLICIT) -> Negotiated:
    rows = [(uid, (syntax,)) for uid in abstract_syntaxes]
    proposal = negotiate(propose(rows, calling_ae="US", called_ae="THEM"), Acceptance(supported=dict(rows)))
    assert proposal.negotiated is not None
    return proposal.negotiated


def answered(ask: Any, status: int, body: bytes | None = None, **elements: Any) -> Any:
    """What a response means, its command set having gone over the wire."""
    made = response(ask.invoke.command.but(MessageID=1), status, **elements)
    if body is not None:
        made = made.but(CommandDataSetType=1)
    return ask.read(Answer(status, decode_command(encode_command(made)), body))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_find(syntax: str) -> None:
    query = {"QueryRetrieveLevel": "STUDY", "PatientName": "Ä*", "SpecificCharacterSet": "ISO_IR 192"}
    ask = c_find(agreed(STUDY + "1", syntax=syntax), query, "study-root", priority=1)
    assert (ask.service, ask.invoke.context_id) == ("C-FIND", 1)
    assert ask.invoke.command.elements["Priority"] == 1
    assert ask.invoke.command.AffectedSOPClassUID == STUDY + "1"
    assert read_dataset(ask.invoke.body, syntax) == Dataset(query)
    found = answered(ask, 0xFF00, encoded_body({"PatientID": "1"}, syntax))
    assert (found.status, found.identifier.PatientID) == (0xFF00, "1")
    assert answered(ask, 0) == (0, None)


def test_every_element_that_the_standard_asks_for() -> None:
    """PS3.7 9.3.2.1, 9.3.3.1, 9.3.4.1, by the codec, which refuses what lacks one."""
    negotiated = agreed(STUDY + "1", STUDY + "2", STUDY + "3")
    asks: list[Ask[Any]] = [
        c_find(negotiated, {}, "study-root"),
        c_move(negotiated, {}, "THERE", "study-root"),
        c_get(negotiated, {}, "study-root"),
    ]
    for ask in asks:
        assert ask.invoke.body == b""  # a data set has to follow, if only an empty one
        sent = ask.invoke.command.but(MessageID=7)
        again = decode_command(encode_command(sent))
        assert again.elements == sent.elements
        assert again.has_body
    assert asks[1].invoke.command.MoveDestination == "THERE"


@pytest.mark.parametrize(
    ("model", "operation", "uid"),
    [
        ("study-root", "C-GET", STUDY + "3"),
        ("patient-root", "C-MOVE", "1.2.840.10008.5.1.4.1.2.1.2"),
        ("patient-study-only", "C-FIND", "1.2.840.10008.5.1.4.1.2.3.1"),
        ("worklist", "C-FIND", "1.2.840.10008.5.1.4.31"),
        ("hanging-protocol", "C-FIND", "1.2.840.10008.5.1.4.38.2"),
        ("unified-procedure-step-pull", "C-FIND", "1.2.840.10008.5.1.4.34.6.3"),
        ("ModalityWorklistInformationModelFind", "C-FIND", "1.2.840.10008.5.1.4.31"),
        ("1.2.3.4", "C-FIND", "1.2.3.4"),
    ],
)
def test_models(model: str, operation: str, uid: str) -> None:
    assert model_uid(model, operation) == uid


def test_every_model_has_a_name() -> None:
    asked = {uid for name in model_names() for uid in model_uids(name)}
    operations = {"C-FIND", "C-MOVE", "C-GET"}
    assert asked == {row.uid for row in sop_classes().values() if operations & set(row.dimse)}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (({}, "THERE", "nonsense"), NegotiationError, "no information model 'nonsense'"),
        (({}, "THERE", "worklist"), NegotiationError, "worklist has no C-MOVE; it has C-FIND"),
        (({}, "THERE", "patient-root"), NegotiationError, "was not proposed"),
        (({}, "A\\B", "study-root"), LocalProtocolError, "no AE title"),
        (({}, "", "study-root"), LocalProtocolError, "no AE title"),
        (({"Rows": "many"}, "THERE", "study-root"), EncodingError, "Rows"),
    ],
)
def test_what_cannot_be_asked(arguments: tuple[Any, ...], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        c_move(agreed(STUDY + "2"), *arguments)


def test_progress() -> None:
    ask = c_get(agreed(STUDY + "3"), {}, "study-root")
    names = ("Remaining", "Completed", "Failed", "Warning")
    counts: dict[str, Any] = {f"NumberOf{name}Suboperations": number for number, name in enumerate(names, 3)}
    assert answered(ask, 0xFF00, **counts) == (0xFF00, 3, 4, 5, 6, None)
    one = answered(ask, 0xB000, encoded_body({"FailedSOPInstanceUIDList": "1.2"}, EXPLICIT))
    assert (one[1:5], one.failed_instances) == ((None,) * 4, ("1.2",))
    many = answered(ask, 0xB000, encoded_body({"FailedSOPInstanceUIDList": ["1.2", "1.3"]}, EXPLICIT))
    assert many.failed_instances == ("1.2", "1.3")
    assert answered(ask, 0xB000, encoded_body({"PatientID": "1"}, EXPLICIT)).failed_instances == ()


def test_users() -> None:
    """An `Ask` as a generator: all its answers, or the last one."""
    ask = c_find(agreed(STUDY + "1"), {}, "study-root")
    statuses = (0xFF00, 0xFF01, 0)
    for user, expected in ((ask.all(), [Found(status, None) for status in statuses]), (ask.last(), Found(0, None))):
        assert next(user) == ask.invoke
        assert [user.send(Answer(status, ask.invoke.command)) for status in statuses[:-1]] == [MORE, MORE]
        with pytest.raises(StopIteration) as ended:
            user.send(Answer(0, ask.invoke.command))
        assert ended.value.value == expected


def test_prepared_is_encoded_once() -> None:
    prepared = Prepared({"PatientID": "1"})
    assert prepared.body(EXPLICIT) is prepared.body(EXPLICIT)
    assert prepared.body(IMPLICIT) == encoded_body(prepared.dataset, IMPLICIT)
    assert encoded_body(Prepared({}), EXPLICIT) is None
    assert encoded_body(b"raw", EXPLICIT) == b"raw"
    with pytest.raises(EncodingError):
        Prepared({"Rows": 1 << 20}).body(EXPLICIT)


def test_failures_in_words() -> None:
    asked = command("C-FIND-RQ", AffectedSOPClassUID=STUDY + "1").but(MessageID=1)
    assert failure(response(asked, 0), "C-FIND") is None
    assert failure(response(asked, 0xFE00), "C-FIND") is None
    assert failure(response(asked, 0xB000), "C-FIND") is None
    told = failure(response(asked, 0xA900, ErrorComment="no", OffendingElement=(0x00080052,)), "C-FIND", "PACS")
    assert told is not None
    assert str(told).startswith("PACS answered C-FIND with A900 Failure")
    assert (told.path, told.answer, CommandField.C_FIND_RQ) == ("(0008,0052)", 0xA900, asked.field)
