"""The providers of docs/examples, each served and asked: they keep what they say, and stay small."""

from __future__ import annotations

import importlib
import re
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.data.files import dcmread
from dicomcore.dimse.command import CommandField
from dicomcore.errors import ServiceError
from dicomcore.net import AE, Server
from dicomcore.services.base import Perform, Request, Response, ServiceContext
from dicomcore.services.messages import received_dataset
from dicomcore.services.normalized import Outcome, n_event_report
from dicomcore.services.query import model_uid
from dicomcore.services.storage import StorageSCP, Stored
from dicomcore.ul import FindOptions, RoleSelection
from dicomcore.vocab.uids import new_uid

from .conftest import CT, PATIENCE, Scripted, eventually

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "examples"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no source tree: testing the wheel")
Serving = Callable[..., Server]
Example = Callable[[str], Any]
Steps = Generator[Any, Any, None]
NAMES = ("find_scp", "get_scp", "move_scp", "mpps_scp", "commitment_scp", "printer_scp")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Example]:
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)


def make_ct(folder: Path, study: str, series: str, patient: str = "P1") -> str:
    """A small CT file; its SOP Instance UID."""
    uid = str(new_uid())
    dataset = Dataset(
        {
            "SOPClassUID": CT,
            "SOPInstanceUID": uid,
            "PatientID": patient,
            "StudyInstanceUID": study,
            "SeriesInstanceUID": series,
            "Rows": 2,
            "Columns": 2,
        }
    )
    dataset.save_as(folder / f"{uid}.dcm", transfer_syntax="1.2.840.10008.1.2.1")
    return uid


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder with five instances: three of study 2.25.1 (two series), two of another."""
    folder = tmp_path / "study"
    folder.mkdir()
    rows = [("2.25.1", "2.25.11"), ("2.25.1", "2.25.11"), ("2.25.1", "2.25.12"), ("2.25.2", "2.25.21")] * 1
    return folder, [make_ct(folder, *row) for row in rows] + [make_ct(folder, "2.25.2", "2.25.21", "P2")]


@pytest.mark.parametrize("name", NAMES)
def test_small(name: str) -> None:
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) < 80


PEOPLE = [
    Dataset({"PatientID": "1", "PatientName": "Müller^Anna", "PatientSex": "F", "SpecificCharacterSet": "ISO_IR 192"}),
    Dataset({"PatientID": "2", "PatientName": "Müller^Bert", "PatientSex": "M", "SpecificCharacterSet": "ISO_IR 192"}),
    Dataset({"PatientID": "3", "PatientName": "Maier^Carl", "SpecificCharacterSet": "ISO_IR 192"}),
]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["1", "2", "3"]),
        ({"PatientName": "Müller*"}, ["1", "2"]),
        ({"PatientName": "M?ller^B*"}, ["2"]),
        ({"PatientSex": "M"}, ["2"]),
        ({"PatientID": "4"}, []),
    ],
)
def test_find(serving: Serving, user: AE, example: Example, keys: dict[str, str], expected: list[str]) -> None:
    port = serving(example("find_scp").FindSCP(PEOPLE, ["patient-root"])).port
    query = {"QueryRetrieveLevel": "PATIENT", "PatientID": "", "SpecificCharacterSet": "ISO_IR 192"} | keys
    with user.associate("127.0.0.1", port, contexts="patient-root") as association:
        rows = [row for _, row in association.c_find(query, "patient-root", check=True) if row is not None]
    assert [row.PatientID for row in rows] == expected
    assert all(row.QueryRetrieveLevel == "PATIENT" for row in rows)
    if "PatientName" in keys:
        assert all(str(row.PatientName).startswith("Müller") for row in rows)


def test_find_is_cancelled(serving: Serving, user: AE, example: Example) -> None:
    statuses: list[int] = []
    port = serving(example("find_scp").FindSCP([PEOPLE[0]] * 200_000)).port
    with user.associate("127.0.0.1", port, contexts="study-root") as association:
        with association.c_find({"PatientID": ""}, "study-root") as responses:
            statuses.append(next(responses).status)
        assert association.is_open
    assert statuses == [0xFF00]


def test_get(serving: Serving, user: AE, example: Example, study: tuple[Path, list[str]], tmp_path: Path) -> None:
    get_scp = example("get_scp")
    folder, uids = study
    port = serving(get_scp.GetSCP(get_scp.Catalogue(folder.iterdir()))).port
    services = [StorageSCP(tmp_path / "got")]
    query = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "2.25.1"}
    with user.associate("127.0.0.1", port, contexts="study-root", services=services) as association:
        rows = list(association.c_get(query, "study-root", check=True))
        assert [row.remaining for row in rows] == [2, 1, None]
        assert rows[-1][:5] == (0, None, 3, 0, 0)
        assert list(association.c_get({"PatientID": "nobody"}, "study-root"))[-1][:3] == (0, None, 0)
    got = sorted(path.stem for path in (tmp_path / "got").iterdir())
    assert got == sorted(uids[:3])
    for uid in got:
        assert dcmread(tmp_path / "got" / f"{uid}.dcm") == dcmread(folder / f"{uid}.dcm")


def test_get_tells_what_failed(
    serving: Serving, user: AE, example: Example, study: tuple[Path, list[str]], tmp_path: Path
) -> None:
    get_scp = example("get_scp")
    folder, uids = study
    port = serving(get_scp.GetSCP(get_scp.Catalogue(folder.iterdir()))).port
    bad = uids[1]

    def look(dataset: Dataset, stored: Stored) -> int | None:
        return 0xC000 if stored.sop_instance_uid == bad else None

    query = {"StudyInstanceUID": "2.25.1"}
    services = [StorageSCP(handler=look)]
    with user.associate("127.0.0.1", port, contexts="study-root", services=services) as association:
        last = list(association.c_get(query, "study-root"))[-1]
        assert last[:5] == (0xB000, None, 2, 1, 0)
        assert last.failed_instances == (bad,)
        only = list(association.c_get({"SOPInstanceUID": bad}, "study-root"))[-1]
        assert only[:5] == (0xA702, None, 0, 1, 0)
        with pytest.raises(ServiceError):
            list(association.c_get({"SOPInstanceUID": bad}, "study-root", check=True))
    # Without a service for them, nothing can be sent
    with user.associate("127.0.0.1", port, contexts="study-root") as association:
        assert list(association.c_get(query, "study-root"))[-1].failed == 3


def test_get_is_cancelled(serving: Serving, user: AE, example: Example, study: tuple[Path, list[str]]) -> None:
    get_scp = example("get_scp")
    port = serving(get_scp.GetSCP(get_scp.Catalogue(study[0].iterdir()))).port
    seen: list[str] = []
    services = [StorageSCP(handler=lambda dataset, stored: seen.append(dataset.SOPInstanceUID))]
    with user.associate("127.0.0.1", port, contexts="study-root", services=services) as association:
        for progress in association.c_get({}, "study-root"):
            assert progress.remaining == 4
            break
        assert association.is_open
    assert 1 <= len(seen) <= 5


def test_move(serving: Serving, user: AE, example: Example, study: tuple[Path, list[str]], tmp_path: Path) -> None:
    move_scp = example("move_scp")
    folder, uids = study
    stored: list[Stored] = []
    originators: list[Any] = []

    class Watched(StorageSCP):
        def handle(self, request: Request, context: ServiceContext, /) -> Any:
            asked = request.command
            originators.append((asked.MoveOriginatorApplicationEntityTitle, asked.MoveOriginatorMessageID))
            return super().handle(request, context)

    there = serving(Watched(tmp_path / "moved", on_stored=stored.append))
    with socket_port() as closed:
        destinations = {"STORE": ("127.0.0.1", there.port), "NOBODY": ("127.0.0.1", closed)}
        port = serving(move_scp.MoveSCP(move_scp.Catalogue(folder.iterdir()), destinations)).port
        query = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "2.25.1"}
        with user.associate("127.0.0.1", port, contexts="study-root") as association:
            rows = list(association.c_move(query, "STORE", "study-root", check=True))
            assert rows[-1][:5] == (0, None, 3, 0, 0)
            assert [row.status for row in rows] == [0xFF00, 0xFF00, 0]
            assert list(association.c_move(query, "ELSEWHERE", "study-root"))[-1].status == 0xA801
            assert list(association.c_move(query, "NOBODY", "study-root"))[-1].status == 0xA702
            assert list(association.c_move({"PatientID": "-"}, "STORE", "study-root"))[-1].status == 0
    assert sorted(each.sop_instance_uid for each in stored) == sorted(uids[:3])
    assert {each.called_ae for each in stored} == {"STORE"}
    assert originators == [("USER", 1)] * 3


@contextmanager
def socket_port() -> Iterator[int]:
    """A port on which nobody listens, for a while."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_mpps(serving: Serving, user: AE, example: Example) -> None:
    mpps_scp = example("mpps_scp")
    service = mpps_scp.MppsSCP()
    mpps, uid = mpps_scp.MPPS, str(new_uid())
    with user.associate("127.0.0.1", serving(service).port, contexts=mpps) as association:
        assert association.n_create(mpps, uid, {"PerformedProcedureStepStatus": "COMPLETED"}).status == 0x0106
        assert association.n_create(mpps, uid, {"PerformedProcedureStepStatus": "IN PROGRESS"}, check=True).status == 0
        assert association.n_create(mpps, uid, {"PerformedProcedureStepStatus": "IN PROGRESS"}).status == 0x0111
        assert association.n_set(mpps, "1.2.3", {"PatientID": "1"}).status == 0x0112
        assert association.n_set(mpps, uid, {"PerformedProcedureStepID": "7"}).status == 0
        assert association.n_set(mpps, uid, {"PerformedProcedureStepStatus": "COMPLETED"}).status == 0
        outcome = association.n_set(mpps, uid, {"PerformedProcedureStepID": "8"})
        assert (outcome.status, outcome.elements["ErrorID"]) == (0x0110, 0xA710)
        chosen = association.n_create(mpps, None, {"PerformedProcedureStepStatus": "IN PROGRESS"}).elements
        assert chosen["AffectedSOPInstanceUID"] in service.steps
    assert service.steps[uid].PerformedProcedureStepID == "7"
    assert service.steps[uid].PerformedProcedureStepStatus == "COMPLETED"


def test_commitment(serving: Serving, user: AE, example: Example) -> None:
    commitment_scp = example("commitment_scp")
    commitment, instance = commitment_scp.COMMITMENT, commitment_scp.INSTANCE
    reports: list[tuple[int, Dataset]] = []
    arrived = threading.Event()

    def listen(request: Request, context: ServiceContext) -> Steps:
        told = yield from received_dataset(request, context)
        reports.append((request.command.EventTypeID, told))
        yield Response(0x0000)
        arrived.set()

    listener = serving(
        Scripted(listen, commitment, CommandField.N_EVENT_REPORT_RQ),
        roles={commitment: (True, True)},
    )
    service = commitment_scp.CommitmentSCP(
        lambda sop_class, uid: uid != "1.2.3", {"USER": ("127.0.0.1", listener.port)}, delay=0.01
    )
    rows = [{"ReferencedSOPClassUID": CT, "ReferencedSOPInstanceUID": uid} for uid in ("1.2.1", "1.2.2", "1.2.3")]
    asked = Dataset({"TransactionUID": "1.2.99", "ReferencedSOPSequence": [Dataset(row) for row in rows]})
    with user.associate("127.0.0.1", serving(service).port, contexts=commitment) as association:
        assert association.n_action(commitment, instance, 2, asked).status == 0x0123
        assert association.n_action(commitment, instance, 1, asked, check=True).status == 0
    assert arrived.wait(PATIENCE)  # the association of the request is over by then, or not
    ((event, told),) = reports
    assert event == 2
    assert told.TransactionUID == "1.2.99"
    assert [row.ReferencedSOPInstanceUID for row in told.ReferencedSOPSequence] == ["1.2.1", "1.2.2"]
    assert [(row.ReferencedSOPInstanceUID, row.FailureReason) for row in told.FailedSOPSequence] == [("1.2.3", 0x0112)]


def test_events_reach_an_association_that_listens(serving: Serving, user: AE, example: Example) -> None:
    """The other way: the modality keeps its association, and the report comes on it (`Association.wait`)."""
    commitment = example("commitment_scp").COMMITMENT
    events: list[int] = []

    def listen(request: Request, context: ServiceContext) -> Steps:
        events.append(request.command.EventTypeID)
        yield Response(0x0000)

    def act(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        assert context.negotiated is not None
        ask = n_event_report(context.negotiated, commitment, "1.2", 1, {"TransactionUID": "1.2"}, requestor=False)
        outcome: Outcome = yield Perform(ask.last())
        yield Response(outcome.status)

    port = serving(Scripted(act, commitment, CommandField.N_ACTION_RQ)).port
    listener = Scripted(listen, commitment, CommandField.N_EVENT_REPORT_RQ)
    roles = [RoleSelection(commitment, True, False)]
    with user.associate("127.0.0.1", port, contexts=commitment, services=[listener], roles=roles) as association:
        assert association.n_action(commitment, "1.2", 1, {"TransactionUID": "1.2"}).status == 0
    assert events == [1]


def test_printer(serving: Serving, user: AE, example: Example) -> None:
    printer_scp = example("printer_scp")
    printer = Dataset({"PrinterStatus": "WARNING", "PrinterStatusInfo": "FILM LOW", "PrinterName": "FILM"})
    port = serving(printer_scp.PrinterSCP(printer)).port
    sop_class, instance = printer_scp.PRINTER, printer_scp.INSTANCE
    with user.associate("127.0.0.1", port, contexts="Printer") as association:
        assert association.n_get("Printer", "1.2.3").status == 0x0112
        assert association.n_get(sop_class, instance).dataset == printer
        status, found, _ = association.n_get(sop_class, instance, ["PrinterStatus", "PrinterName"], check=True)
        assert found is not None
        assert (status, found.PrinterStatus, found.PrinterName, len(found)) == (0, "WARNING", "FILM", 2)
        status, found, elements = association.n_get(sop_class, instance, ["PrinterStatus", "PatientID"])
        assert found is not None
        assert (status, found.PrinterStatus) == (0x0107, "WARNING")
        assert elements["AttributeIdentifierList"] == (0x00100020,)


# a handler that sees instances


def test_a_handler_sees_instances(serving: Serving, user: AE, study: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, uids = study
    seen: list[tuple[str, Stored]] = []

    def look(dataset: Dataset, stored: Stored) -> int | None:
        seen.append((dataset.PatientID, stored))
        dataset.save_as(tmp_path / f"{stored.sop_instance_uid}.dcm")
        return 0xB000 if dataset.PatientID == "P2" else None

    port = serving(StorageSCP(handler=look)).port
    paths = [folder / f"{uid}.dcm" for uid in uids]
    with user.associate("127.0.0.1", port, contexts=paths) as association:
        assert [association.c_store(path) for path in paths] == [0, 0, 0, 0, 0xB000]
    eventually(lambda: len(seen) == 5)
    assert [patient for patient, _ in seen] == ["P1"] * 4 + ["P2"]
    first = seen[0][1]
    assert (first.path, first.sop_class_uid, first.sop_instance_uid, first.calling_ae) == (None, CT, uids[0], "USER")
    for path in paths:
        assert dcmread(tmp_path / path.name) == dcmread(path)
        assert dcmread(tmp_path / path.name).file_meta.SendingApplicationEntityTitle == "USER"


def test_a_handler_that_fails(serving: Serving, user: AE, study: tuple[Path, list[str]]) -> None:
    def look(dataset: Dataset, stored: Stored) -> int | None:
        raise RuntimeError("no")

    path = study[0] / f"{study[1][0]}.dcm"
    with user.associate("127.0.0.1", serving(StorageSCP(handler=look)).port, contexts=path) as association:
        assert association.c_store(path) == 0x0110


def test_a_store_or_a_handler() -> None:
    with pytest.raises(ValueError, match="either"):
        StorageSCP()


def test_the_page_about_them(
    serving: Serving, example: Example, study: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python of docs/query.md runs, against these providers."""
    monkeypatch.chdir(tmp_path)
    page = (FOLDER.parent / "query.md").read_text()
    files = example("get_scp").Catalogue(study[0].iterdir())
    moved = serving(StorageSCP(tmp_path / "moved"))
    rows = [Dataset({"PatientID": "P1", "StudyInstanceUID": "2.25.1"})]
    port = serving(
        example("find_scp").FindSCP(rows),
        example("get_scp").GetSCP(files),
        example("move_scp").MoveSCP(files, {"STORE": ("127.0.0.1", moved.port)}),
        example("printer_scp").PrinterSCP(Dataset({"PrinterStatus": "NORMAL"})),
        extended={model_uid("study-root", "C-FIND"): FindOptions(relational=True)},
    ).port
    printed: list[tuple[Any, ...]] = []
    names: dict[str, Any] = {"print": lambda *words: printed.append(words)}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(block.replace('"localhost", 11112', f'"127.0.0.1", {port}'), names)
    assert printed[0] == ("2.25.1",)
    assert printed[1:4] == [(0xFF00, 2, 1, 0), (0xFF00, 1, 2, 0), (0, None, 3, 0)]
    assert printed[4:] == [(0, 3, ()), (FindOptions(relational=True),), ("0000", "NORMAL")]
    assert len(list((tmp_path / "fetched").iterdir())) == len(list((tmp_path / "moved").iterdir())) == 3
    for name in re.findall(r"`(\w+\.py)`", page):
        assert (FOLDER / name).is_file()
