"""The generic calls: what they send, what their iterators give, and what is left when they end early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.dimse.command import CommandField
from dicomcore.errors import EncodingError, LocalProtocolError, NegotiationError, PeerTimeout, ServiceError
from dicomcore.limits import Limits
from dicomcore.net import AE, Server
from dicomcore.services.base import Perform, Request, Response, ServiceContext, ServiceProvider
from dicomcore.services.messages import Prepared, received_dataset
from dicomcore.services.normalized import n_event_report
from dicomcore.services.sending import StorageSCU
from dicomcore.services.storage import StorageSCP, Stored
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import RoleSelection
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE

from .conftest import CT, FIND, PATIENCE, Scripted, eventually, hurry

Serving = Callable[..., Server]
Steps = Generator[Any, Any, None]
MOVE, GET = FIND[:-1] + "2", FIND[:-1] + "3"
PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PRINTER = "1.2.840.10008.5.1.1.16"
PRINTER_INSTANCE = "1.2.840.10008.5.1.1.17"
MR = "1.2.840.10008.5.1.4.1.1.4"
PET, RT_DOSE, SR = (f"1.2.840.10008.5.1.4.1.1.{last}" for last in ("128", "481.2", "88.11"))
QUERY = {"QueryRetrieveLevel": "STUDY", "PatientID": "", "PatientName": "Ä*", "SpecificCharacterSet": "ISO_IR 100"}


def nothing(request: Request, context: ServiceContext) -> Steps:
    yield Response(0x0000)


def finder(provider: Callable[[Request, ServiceContext], Steps]) -> Scripted:
    return Scripted(provider, PATIENT_FIND, CommandField.C_FIND_RQ)


def test_find(serving: Serving, user: AE) -> None:
    seen: list[Dataset] = []

    def find(request: Request, context: ServiceContext) -> Steps:
        query = yield from received_dataset(request, context)
        seen.append(query)
        for number in range(3):
            yield Response(0xFF01 if number else 0xFF00, {"PatientID": str(number), "QueryRetrieveLevel": "STUDY"})
        yield Response(0x0000)

    port = serving(finder(find)).port
    with user.associate("127.0.0.1", port, contexts="patient-root") as association:
        found = list(association.c_find(QUERY, "patient-root", priority=2))
    assert [status for status, _ in found] == [0xFF00, 0xFF01, 0xFF01, 0]
    assert [row.identifier.PatientID for row in found if row.identifier is not None] == ["0", "1", "2"]
    assert found[-1].identifier is None
    assert seen[0].PatientName == "Ä*"
    assert seen[0].QueryRetrieveLevel == "STUDY"
    assert seen[0].get("PatientID") in (None, "")


def test_a_context_may_be_named_by_keyword(serving: Serving, user: AE) -> None:
    def find(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        yield Response(0x0000)

    port = serving(finder(find)).port
    keyword = "PatientRootQueryRetrieveInformationModelFind"
    with user.associate("127.0.0.1", port, contexts=keyword) as association:
        assert list(association.c_find({}, keyword)) == [(0, None)]
        assert list(association.c_find({}, PATIENT_FIND)) == [(0, None)]


def test_a_context_that_is_nothing(user: AE) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        user.associate("127.0.0.1", 104, contexts="studyroot")
    assert "no information model" in caught.value.__notes__[0]


def test_nothing_is_sent_before_it_is_iterated(serving: Serving, user: AE) -> None:
    asked: list[Request] = []

    def find(request: Request, context: ServiceContext) -> Steps:
        asked.append(request)
        yield Response(0x0000)

    with user.associate("127.0.0.1", serving(finder(find)).port, contexts=PATIENT_FIND) as association:
        unused = association.c_find(QUERY, "patient-root")
        unused.close()
        assert list(unused) == []
        assert len(list(association.c_find(QUERY, "patient-root"))) == 1
    assert len(asked) == 1


def test_what_cannot_be_asked(serving: Serving, user: AE) -> None:
    port = serving(VerificationSCP(), finder(nothing)).port
    with user.associate("127.0.0.1", port, contexts=["patient-root", VERIFICATION]) as association:
        with pytest.raises(NegotiationError, match="was not proposed"):
            association.c_find(QUERY, "study-root")
        with pytest.raises(NegotiationError, match="does not offer"):
            association.c_get(QUERY, "patient-root")
        with pytest.raises(NegotiationError, match="no information model 'patients'"):
            association.c_find(QUERY, "patients")
        with pytest.raises(NegotiationError, match="worklist has no C-MOVE"):
            association.c_move(QUERY, "THERE", "worklist")
        with pytest.raises(LocalProtocolError, match="no AE title"):
            association.c_move(QUERY, "A title that is too long", "patient-root")
        with pytest.raises(NegotiationError, match="neither a UID nor the keyword"):
            association.n_get("Plotter", PRINTER_INSTANCE)
        with pytest.raises(EncodingError):
            association.c_find({"Rows": "many"}, "patient-root")
        assert association.c_echo() == 0  # the association stands


def test_check_raises_what_the_peer_says(serving: Serving, user: AE) -> None:
    def find(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        yield Response(0xFF00, {"PatientID": "1"})
        detail = {"ErrorComment": "no such level", "OffendingElement": (0x00080052,)}
        yield Response(0xA900, elements=detail)

    with user.associate("127.0.0.1", serving(finder(find)).port, contexts=PATIENT_FIND) as association:
        assert [status for status, _ in association.c_find(QUERY, "patient-root")] == [0xFF00, 0xA900]
        responses = association.c_find(QUERY, "patient-root", check=True)
        assert next(responses).status == 0xFF00
        with pytest.raises(ServiceError, match="no such level") as caught:
            next(responses)
        assert (caught.value.answer, caught.value.path) == (0xA900, "(0008,0052)")
        assert list(responses) == []


class Endless:
    """Answers Pending until it is cancelled, or for ever."""

    def __init__(self, *, obeys: bool = True) -> None:
        self.cancelled = threading.Event()
        self.closed = threading.Event()
        self.obeys = obeys

    def __call__(self, request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        prepared = Prepared({"PatientID": "1"})
        try:
            while not (context.cancelled and self.obeys):
                yield Response(0xFF00, prepared)
            self.cancelled.set()
            yield Response(0xFE00)
        finally:
            self.closed.set()


def test_leaving_early_cancels(serving: Serving, user: AE) -> None:
    endless = Endless()
    port = serving(finder(endless), VerificationSCP()).port
    with user.associate("127.0.0.1", port, contexts=[PATIENT_FIND, VERIFICATION]) as association:
        for number, (status, _) in enumerate(association.c_find(QUERY, "patient-root")):
            assert status == 0xFF00
            if number == 10:
                break
        assert endless.cancelled.wait(PATIENCE)
        assert association.c_echo() == 0
        with association.c_find(QUERY, "patient-root") as responses:
            assert next(responses).status == 0xFF00
        assert list(responses) == []
        assert association.c_echo() == 0


def test_a_peer_that_ignores_the_cancel_is_aborted(serving: Serving, user: AE) -> None:
    endless = Endless(obeys=False)
    port = serving(finder(endless)).port
    with user.associate("127.0.0.1", port, contexts=PATIENT_FIND) as association:
        responses = association.c_find(QUERY, "patient-root")
        next(responses)
        hurry(association, dimse_timeout=0.1)
        responses.close()
        assert not association.is_open
    assert endless.closed.wait(PATIENCE)


def test_release_ends_what_is_open(serving: Serving, user: AE) -> None:
    endless = Endless()
    with user.associate("127.0.0.1", serving(finder(endless)).port, contexts=PATIENT_FIND) as association:
        responses = association.c_find(QUERY, "patient-root")
        next(responses)
    assert endless.cancelled.is_set()
    assert list(responses) == []


def test_release_ends_what_another_thread_forgot(serving: Serving, user: AE, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Endless()
    kept: list[Any] = []
    waited: list[float] = []

    def begin() -> None:
        kept.append(association.c_find(QUERY, "patient-root"))
        next(kept[0])

    def in_vain(condition: Callable[[], bool], timeout: float) -> bool:
        waited.append(timeout)
        return condition()

    with user.associate("127.0.0.1", serving(finder(endless)).port, contexts=PATIENT_FIND) as association:
        other = threading.Thread(target=begin)
        other.start()
        other.join(PATIENCE)
        monkeypatch.setattr(association._settled, "wait_for", in_vain)
    assert waited == [Limits().dimse_timeout]  # the other thread is given that time
    assert endless.cancelled.is_set()
    assert list(kept[0]) == []


def test_abort_ends_what_is_open(serving: Serving, user: AE) -> None:
    endless = Endless(obeys=False)
    association = user.associate("127.0.0.1", serving(finder(endless)).port, contexts=PATIENT_FIND)
    responses = association.c_find(QUERY, "patient-root")
    next(responses)
    association.abort()
    assert endless.closed.wait(PATIENCE)
    responses.close()


def test_one_operation_at_a_time(serving: Serving, user: AE) -> None:
    endless = Endless()
    port = serving(finder(endless), VerificationSCP()).port
    answers: list[int] = []
    with user.associate("127.0.0.1", port, contexts=[PATIENT_FIND, VERIFICATION]) as association:
        other = threading.Thread(target=lambda: answers.append(association.c_echo()))
        responses = association.c_find(QUERY, "patient-root")
        next(responses)
        with pytest.raises(LocalProtocolError, match="more responses"):
            association.c_echo()
        other.start()
        for _ in range(100):
            assert next(responses).status == 0xFF00
        assert not answers  # it waits
        responses.close()
        other.join(PATIENCE)
        assert answers == [0]


def test_a_silent_peer_times_out(serving: Serving, user: AE) -> None:
    gate = threading.Event()

    def find(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        yield Response(0xFF00, {"PatientID": "1"})
        eventually(lambda: context.peer_gone or gate.is_set())

    port = serving(finder(find)).port
    association = user.associate("127.0.0.1", port, contexts=PATIENT_FIND)
    responses = association.c_find(QUERY, "patient-root")
    assert next(responses).status == 0xFF00
    hurry(association, dimse_timeout=0.1)
    with pytest.raises(PeerTimeout):
        next(responses)
    gate.set()
    assert list(responses) == []
    assert not association.is_open


def test_move_counts_and_failed_instances(serving: Serving, user: AE) -> None:
    asked: list[Request] = []
    counts = "NumberOf{}Suboperations"

    def move(request: Request, context: ServiceContext) -> Steps:
        asked.append(request)
        yield from received_dataset(request, context)
        for done in range(2):
            elements = {counts.format("Remaining"): 2 - done, counts.format("Completed"): done}
            yield Response(0xFF00, elements=elements | {counts.format("Failed"): 0, counts.format("Warning"): 0})
        elements = {counts.format("Completed"): 1, counts.format("Failed"): 2, counts.format("Warning"): 0}
        yield Response(0xB000, {"FailedSOPInstanceUIDList": ["1.2", "1.3"]}, elements)

    service = Scripted(move, MOVE, CommandField.C_MOVE_RQ)
    with user.associate("127.0.0.1", serving(service).port, contexts=MOVE) as association:
        first, second, last = association.c_move({"StudyInstanceUID": "1.2.3"}, "ELSEWHERE", "patient-root")
    assert asked[0].command.MoveDestination == "ELSEWHERE"
    assert first[:5] == (0xFF00, 2, 0, 0, 0)
    assert second[:5] == (0xFF00, 1, 1, 0, 0)
    assert last[:5] == (0xB000, None, 1, 2, 0)
    assert last.failed_instances == ("1.2", "1.3")
    assert first.failed_instances == ()


# the N-services

FIELDS = {
    "n_get": CommandField.N_GET_RQ,
    "n_set": CommandField.N_SET_RQ,
    "n_action": CommandField.N_ACTION_RQ,
    "n_create": CommandField.N_CREATE_RQ,
    "n_delete": CommandField.N_DELETE_RQ,
    "n_event_report": CommandField.N_EVENT_REPORT_RQ,
}
VALUES = {"PrinterName": "P", "PrinterStatus": "NORMAL"}


@pytest.mark.parametrize(
    ("name", "arguments", "elements", "has_body"),
    [
        ("n_get", (["PrinterName", (0x2110, 0x0010)],), {"AttributeIdentifierList": (0x21100030, 0x21100010)}, False),
        ("n_get", (), {"AttributeIdentifierList": None}, False),
        ("n_set", (VALUES,), {}, True),
        ("n_action", (7, VALUES), {"ActionTypeID": 7}, True),
        ("n_action", (7,), {"ActionTypeID": 7}, False),
        ("n_create", (VALUES,), {}, True),
        ("n_create", (), {}, False),
        ("n_delete", (), {}, False),
        ("n_event_report", (3, VALUES), {"EventTypeID": 3}, True),
        ("n_event_report", (3,), {"EventTypeID": 3}, False),
    ],
)
def test_normalized(
    serving: Serving, user: AE, name: str, arguments: tuple[Any, ...], elements: dict[str, Any], has_body: bool
) -> None:
    seen: list[tuple[Request, Dataset]] = []

    def provider(request: Request, context: ServiceContext) -> Steps:
        seen.append((request, (yield from received_dataset(request, context))))
        body = None if name == "n_delete" else {"PrinterStatus": "FAILURE"}
        yield Response(0x0107, body, {"AttributeIdentifierList": (0x21100030,)})

    service = Scripted(provider, PRINTER, FIELDS[name])
    port = serving(service, roles={PRINTER: (True, True)}).port
    roles = [RoleSelection(PRINTER, True, True)]
    with user.associate("127.0.0.1", port, contexts=PRINTER, roles=roles) as association:
        status, dataset, answered = getattr(association, name)(PRINTER, PRINTER_INSTANCE, *arguments)
    assert status == 0x0107
    assert (dataset.PrinterStatus if dataset is not None else None) == (None if name == "n_delete" else "FAILURE")
    assert answered["AttributeIdentifierList"] == (0x21100030,)
    assert answered["AffectedSOPInstanceUID"] == PRINTER_INSTANCE
    request, received = seen[0]
    assert request.has_body == has_body
    assert received.get("PrinterName") == ("P" if has_body else None)
    assert (request.command.sop_class_uid, request.command.sop_instance_uid) == (PRINTER, PRINTER_INSTANCE)
    for keyword, value in elements.items():
        assert getattr(request.command, keyword) == value


def test_an_instance_without_a_name_and_a_failure(serving: Serving, user: AE) -> None:
    def create(request: Request, context: ServiceContext) -> Steps:
        assert request.command.AffectedSOPInstanceUID is None
        values = yield from received_dataset(request, context)
        if "PrinterName" in values:
            yield Response(0x0106, elements={"ErrorComment": "no names", "AttributeIdentifierList": (0x21100030,)})
        else:
            yield Response(0x0000, elements={"AffectedSOPInstanceUID": "1.2.3"})

    port = serving(Scripted(create, PRINTER, CommandField.N_CREATE_RQ)).port
    with user.associate("127.0.0.1", port, contexts="Printer") as association:
        outcome = association.n_create("Printer", dataset={"PrinterStatus": "NORMAL"}, check=True)
        assert outcome.elements["AffectedSOPInstanceUID"] == "1.2.3"
        with pytest.raises(ServiceError, match="no names") as caught:
            association.n_create("Printer", dataset=VALUES, check=True)
        assert (caught.value.answer, caught.value.path) == (0x0106, "(2110,0030)")


def test_an_event_needs_the_role_of_an_scp(serving: Serving, user: AE) -> None:
    service = Scripted(nothing, PRINTER, CommandField.N_EVENT_REPORT_RQ)
    with (
        user.associate("127.0.0.1", serving(service).port, contexts=PRINTER) as association,
        pytest.raises(NegotiationError, match="may not be its SCP"),
    ):
        association.n_event_report(PRINTER, PRINTER_INSTANCE, 1)


def test_another_context(serving: Serving, user: AE) -> None:
    """A film session is created under the Meta SOP Class (PS3.4 H.3)."""
    meta, session = "1.2.840.10008.5.1.1.9", "1.2.840.10008.5.1.1.1"

    def create(request: Request, context: ServiceContext) -> Steps:
        assert request.context.abstract_syntax == meta
        assert request.command.AffectedSOPClassUID == session
        yield Response(0x0000, elements={"AffectedSOPInstanceUID": "1.2.3"})

    with user.associate("127.0.0.1", serving(Scripted(create, meta, FIELDS["n_create"])).port, contexts=meta) as there:
        assert there.n_create("BasicFilmSession", context=meta).status == 0


# bodies


def test_a_body_that_cannot_be_encoded_fails(serving: Serving, user: AE) -> None:
    def find(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        yield Response(0xFF00, {"Rows": 1 << 20})

    with user.associate("127.0.0.1", serving(finder(find)).port, contexts=PATIENT_FIND) as association:
        ((status, identifier),) = association.c_find(QUERY, "patient-root")
    assert (status, identifier) == (0x0110, None)


def test_a_query_over_the_limit_fails(serving: Serving, user: AE) -> None:
    def find(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        yield Response(0x0000)

    port = serving(finder(find), limits=Limits(memory_object=100)).port
    with user.associate("127.0.0.1", port, contexts=PATIENT_FIND) as association:
        assert [status for status, _ in association.c_find({"PatientID": "x" * 60}, "patient-root")] == [0]
        assert [status for status, _ in association.c_find({"ImageComments": "x" * 99}, "patient-root")] == [0xA700]


# sub-operations


def test_get_of_large_objects_amid_reports(serving: Serving, user: AE) -> None:
    """Both directions at once on one association: 2 MB objects, an event after each, Pending responses between."""
    large = Dataset({"SOPClassUID": CT, "SOPInstanceUID": "1.2.3", "PixelData": bytes(2 << 20), "BitsAllocated": 16})

    def get(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        assert context.negotiated is not None
        store = StorageSCU(context.negotiated, requestor=False)
        counts = {f"NumberOf{kind}Suboperations": 0 for kind in ("Remaining", "Completed", "Failed", "Warning")}
        for number in range(8):
            assert (yield Perform(store.c_store(large))).status == 0
            report = n_event_report(context.negotiated, PRINTER, PRINTER_INSTANCE, 1, VALUES, requestor=False)
            assert (yield Perform(report.last())).status == 0
            yield Response(0xFF00, elements=counts | {"NumberOfCompletedSuboperations": number + 1})
        yield Response(0x0000)

    events: list[str] = []
    lengths: list[int] = []

    def report(request: Request, context: ServiceContext) -> Steps:
        events.append((yield from received_dataset(request, context)).PrinterStatus)
        yield Response(0x0000)

    def look(dataset: Dataset, stored: Stored) -> None:
        lengths.append(len(dataset.PixelData))

    getting = Scripted(get, GET, CommandField.C_GET_RQ)
    getting.supported |= {CT: (EXPLICIT_LE.uid,), PRINTER: (EXPLICIT_LE.uid,)}
    port = serving(getting, roles={CT: (True, True)}).port
    services: list[ServiceProvider] = [
        StorageSCP(handler=look, supported={CT: (EXPLICIT_LE.uid,)}),
        Scripted(report, PRINTER, CommandField.N_EVENT_REPORT_RQ),
    ]
    with user.associate("127.0.0.1", port, contexts=GET, services=services) as association:
        assert [row.completed for row in association.c_get({}, "patient-root")] == [*range(1, 9), None]
        assert association.negotiated.contexts[3].abstract_syntax == CT
    assert lengths == [2 << 20] * 8
    assert events == ["NORMAL"] * 8


def test_contexts_and_roles_come_from_services(serving: Serving, user: AE, tmp_path: Path) -> None:
    """The most usual of all Storage SOP Classes have room beside what is asked for; roles that are given stay."""
    service = Scripted(nothing, GET, CommandField.C_GET_RQ)
    service.supported |= dict.fromkeys((CT, MR), (EXPLICIT_LE.uid,))
    port = serving(service, roles={CT: (True, True), MR: (True, True)}).port
    roles = [RoleSelection(MR, False, True)]
    with user.associate(
        "127.0.0.1", port, contexts="patient-root", services=[StorageSCP(tmp_path)], roles=roles
    ) as association:
        asked = association.negotiated.request
        proposed = {context.abstract_syntax for context in asked.contexts}
        assert len(asked.contexts) == 128
        assert {CT, MR, RT_DOSE, SR, PET} <= proposed
        assert proposed == {role.sop_class for role in asked.user.roles} | {PATIENT_FIND, MOVE, GET}
        agreed = {each.abstract_syntax: each for each in association.negotiated.contexts.values()}
        assert (agreed[CT].requestor_scu, agreed[CT].requestor_scp) == (True, True)
        assert (agreed[MR].requestor_scu, agreed[MR].requestor_scp) == (False, True)


def test_threads_may_share_an_iterator(serving: Serving, user: AE) -> None:
    def find(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        for number in range(5000):
            yield Response(0xFF00, {"PatientID": str(number)})
        yield Response(0x0000)

    port = serving(finder(find)).port
    found: list[Any] = []
    with user.associate("127.0.0.1", port, contexts="patient-root") as association:
        responses = association.c_find(QUERY, "patient-root")
        threads = [threading.Thread(target=lambda: found.extend(responses)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert association.is_open
    assert sorted(status for status, _ in found) == [0x0000] + 5000 * [0xFF00]
    assert len({dataset.PatientID for _, dataset in found if dataset is not None}) == 5000
