"""Find, get, move and the N-services with DCMTK and pynetdicom at the other end, each way."""

from __future__ import annotations

import importlib
import subprocess
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
from dicomcore.errors import NegotiationError
from dicomcore.net import AE, store
from dicomcore.services.base import Request, Response, ServiceContext, ServiceProvider
from dicomcore.services.messages import received_dataset
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import RoleSelection
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.uids import new_uid
from tests.net.conftest import CT, PATIENCE, Scripted, free_port

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "docs" / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no source tree: testing the wheel")
EXPLICIT = "1.2.840.10008.1.2.1"
QUERY = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "2.25.1"}
KEYS = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=2.25.1")
Peer = Callable[[str], str]
Example = Callable[[str], Any]
Steps = Generator[Any, Any, None]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Example]:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def study(tmp_path: Path) -> dict[str, Path]:
    """Four CT files by SOP Instance UID: three of study 2.25.1, the last one of another."""
    folder = tmp_path / "study"
    folder.mkdir()
    files: dict[str, Path] = {}
    for number in range(4):
        uid = str(new_uid())
        files[uid] = folder / f"{uid}.dcm"
        Dataset(
            {
                "SpecificCharacterSet": "ISO_IR 100",
                "SOPClassUID": CT,
                "SOPInstanceUID": uid,
                "StudyDate": "20200102",
                "StudyTime": "101010",
                "Modality": "CT",
                "PatientName": "Müller^Anna",
                "PatientID": "P1",
                "PatientBirthDate": "19700101",
                "PatientSex": "F",
                "StudyInstanceUID": "2.25.1" if number < 3 else "2.25.2",
                "SeriesInstanceUID": f"2.25.1{number}",
                "StudyID": "1",
                "SeriesNumber": number,
                "InstanceNumber": 1,
                "Rows": 16,
                "Columns": 16,
                "BitsAllocated": 16,
                "BitsStored": 16,
                "HighBit": 15,
                "PixelRepresentation": 0,
                "SamplesPerPixel": 1,
                "PhotometricInterpretation": "MONOCHROME2",
                "PixelData": bytes(512),
            }
        ).save_as(files[uid], transfer_syntax=EXPLICIT)
    return files


def wanted(study: dict[str, Path]) -> list[str]:
    """What study 2.25.1 has."""
    return sorted(uid for uid, path in study.items() if dcmread(path).StudyInstanceUID == "2.25.1")


def stored(folder: Path) -> list[str]:
    return sorted(str(dcmread(path).SOPInstanceUID) for path in folder.iterdir() if not path.name.startswith("."))


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in arguments], capture_output=True, text=True, check=False, timeout=240, errors="replace"
    )


@contextmanager
def listening(arguments: list[str], port: int, folder: Path) -> Iterator[None]:
    """A server as a process, up when it answers a C-ECHO."""
    process = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(20_000):
            assert process.poll() is None
            try:
                with AE("USER").associate("127.0.0.1", port, called_ae="QRSCP") as association:
                    assert association.c_echo() == 0
                break
            except NegotiationError:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.01)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def dcmqrscp(program: str, folder: Path, move_to: int) -> Iterator[int]:
    """DCMTK's archive, which moves to an AE called STORE on the port ``move_to``."""
    port = free_port()
    (folder / "QRSCP").mkdir()
    (folder / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nstore = (STORE, 127.0.0.1, {move_to})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQRSCP {folder}/QRSCP RW (100, 1024mb) ANY\nAETable END\n"
    )
    with listening([program, "-c", f"{folder}/dcmqrscp.cfg"], port, folder):
        yield port


# DCMTK asks


def test_findscu(peer: Peer, example: Example, tmp_path: Path) -> None:
    rows = [Dataset({"PatientID": str(number), "PatientName": f"Phantom^{number}"}) for number in range(4)]
    service = example("find_scp").FindSCP(rows)
    with AE("SERVER").serve(0, host="127.0.0.1", services=[service]) as server:
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID", "-k", "PatientName=Phantom^[23]")
        assert run(peer("findscu"), "-S", "-X", "-od", tmp_path, "127.0.0.1", str(server.port), *keys).returncode == 0
        assert not list(tmp_path.glob("rsp*.dcm"))
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID", "-k", "PatientName=Ph*")
        done = run(peer("findscu"), "-v", "-S", "-X", "-od", tmp_path, "127.0.0.1", str(server.port), *keys)
        assert done.returncode == 0, done.stderr
    assert sorted(dcmread(path).PatientID for path in tmp_path.glob("rsp*.dcm")) == ["0", "1", "2", "3"]


def finding_until_cancelled(cancelled: threading.Event) -> Scripted:
    """A provider that finds the same for ever."""

    def find(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        while not context.cancelled:
            yield Response(0xFF00, {"PatientID": "1"})
        cancelled.set()
        yield Response(0xFE00)

    return Scripted(find, FIND, CommandField.C_FIND_RQ)


def test_findscu_cancels(peer: Peer) -> None:
    cancelled = threading.Event()
    with AE("SERVER").serve(0, host="127.0.0.1", services=[finding_until_cancelled(cancelled)]) as server:
        run(peer("findscu"), "-S", "--cancel", "3", "127.0.0.1", str(server.port), "-k", "QueryRetrieveLevel=STUDY")
        assert cancelled.wait(PATIENCE)


def test_getscu(peer: Peer, example: Example, study: dict[str, Path], tmp_path: Path) -> None:
    get_scp = example("get_scp")
    (tmp_path / "got").mkdir()
    with AE("SERVER").serve(
        0, host="127.0.0.1", services=[get_scp.GetSCP(get_scp.Catalogue(study.values()))]
    ) as server:
        done = run(peer("getscu"), "-S", "-od", tmp_path / "got", "127.0.0.1", str(server.port), *KEYS)
        assert done.returncode == 0, done.stderr
    assert stored(tmp_path / "got") == wanted(study)


def test_movescu(peer: Peer, example: Example, study: dict[str, Path], tmp_path: Path) -> None:
    move_scp = example("move_scp")
    (tmp_path / "moved").mkdir()
    port = free_port()
    service = move_scp.MoveSCP(move_scp.Catalogue(study.values()), {"THEIRS": ("127.0.0.1", port)})
    with AE("SERVER").serve(0, host="127.0.0.1", services=[service]) as server:
        arguments = ("-S", "-aet", "THEIRS", "-aem", "THEIRS", "+P", str(port), "-od", tmp_path / "moved")
        done = run(peer("movescu"), *arguments, "127.0.0.1", str(server.port), *KEYS)
        assert done.returncode == 0, done.stderr
        failing = run(peer("movescu"), "-v", "-S", "-aem", "NOBODY", "127.0.0.1", str(server.port), *KEYS)
        assert "MoveDestinationUnknown" in failing.stderr + failing.stdout
    assert stored(tmp_path / "moved") == wanted(study)


# DCMTK answers


def test_dcmqrscp(peer: Peer, study: dict[str, Path], tmp_path: Path) -> None:
    services: list[ServiceProvider] = [StorageSCP(tmp_path / "moved"), VerificationSCP()]
    with (
        AE("STORE").serve(0, host="127.0.0.1", services=services) as ours,
        dcmqrscp(peer("dcmqrscp"), tmp_path, ours.port) as port,
    ):
        assert len(store(study.values(), ("127.0.0.1", port), called_ae="QRSCP").stored) == 4
        getting = [StorageSCP(tmp_path / "got")]  # with it, 128 contexts and their roles
        with AE("USER").associate(
            "127.0.0.1", port, called_ae="QRSCP", contexts=["study-root", VERIFICATION], services=getting
        ) as association:
            keys = QUERY | {"PatientName": "", "StudyDate": "", "StudyInstanceUID": ""}
            rows = [row for _, row in association.c_find(keys, "study-root", check=True) if row is not None]
            assert sorted(row.StudyInstanceUID for row in rows) == ["2.25.1", "2.25.2"]
            assert {str(row.PatientName) for row in rows} == {"Müller^Anna"}
            for status, _ in association.c_find(keys | {"QueryRetrieveLevel": "STUDY"}, "study-root"):
                assert status == 0xFF00
                break  # cancels
            assert association.c_echo() == 0
            got = list(association.c_get(QUERY, "study-root", check=True))
            assert got[-1][:5] == (0, None, 3, 0, 0)
            assert len(got) > 1
            moved = list(association.c_move(QUERY, "STORE", "study-root", check=True))
            assert moved[-1][:5] == (0, None, 3, 0, 0)
            assert list(association.c_move(QUERY, "NOBODY", "study-root"))[-1].status == 0xA801
            with association.c_get({"QueryRetrieveLevel": "STUDY", "PatientID": "P1"}, "study-root") as responses:
                next(responses)
            assert association.c_echo() == 0
    assert set(stored(tmp_path / "got")) >= set(wanted(study))
    assert stored(tmp_path / "moved") == wanted(study)


# pynetdicom asks

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE, GET = FIND[:-1] + "2", FIND[:-1] + "3"
MPPS = "1.2.840.10008.3.1.2.3.3"
PRINTER, PRINTER_INSTANCE = "1.2.840.10008.5.1.1.16", "1.2.840.10008.5.1.1.17"
COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"


def theirs(keys: dict[str, Any]) -> Any:
    return Dataset(keys).to_pydicom()


@contextmanager
def their_user(pynetdicom: Any, port: int, *contexts: str, **options: Any) -> Iterator[Any]:
    ae = pynetdicom.AE("THEIRS")
    for uid in contexts:
        ae.add_requested_context(uid, EXPLICIT)
    association = ae.associate("127.0.0.1", port, **options)
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


def test_they_find(pynetdicom: Any, example: Example) -> None:
    rows = [Dataset({"PatientID": str(number), "PatientName": f"Phantom^{number}"}) for number in range(500)]
    with (
        AE("SERVER").serve(0, host="127.0.0.1", services=[example("find_scp").FindSCP(rows)]) as server,
        their_user(pynetdicom, server.port, FIND) as association,
    ):
        query = theirs({"QueryRetrieveLevel": "STUDY", "PatientID": "", "PatientName": "*9"})
        found = [(status.Status, row) for status, row in association.send_c_find(query, FIND)]
        assert [row.PatientID for _, row in found[:-1]] == [str(number) for number in range(9, 500, 10)]
        assert found[-1] == (0, None)


def test_they_cancel(pynetdicom: Any, example: Example) -> None:
    cancelled = threading.Event()
    with (
        AE("SERVER").serve(0, host="127.0.0.1", services=[finding_until_cancelled(cancelled)]) as server,
        their_user(pynetdicom, server.port, FIND) as association,
    ):
        statuses = []
        for status, _ in association.send_c_find(theirs({"PatientID": ""}), FIND, msg_id=7):
            statuses.append(status.Status)
            if len(statuses) == 3:
                association.send_c_cancel(7, query_model=FIND)
        assert statuses[-1] == 0xFE00
        assert cancelled.is_set()


def test_they_get(pynetdicom: Any, example: Example, study: dict[str, Path]) -> None:
    get_scp = example("get_scp")
    received: list[str] = []

    def handle(event: Any) -> int:
        received.append(event.request.AffectedSOPInstanceUID)
        return 0

    handlers = [(pynetdicom.evt.EVT_C_STORE, handle)]
    role = pynetdicom.build_role(CT, scp_role=True)
    with AE("SERVER").serve(
        0, host="127.0.0.1", services=[get_scp.GetSCP(get_scp.Catalogue(study.values()))]
    ) as server:
        options = {"ext_neg": [role], "evt_handlers": handlers}
        with their_user(pynetdicom, server.port, GET, CT, **options) as association:
            last = list(association.send_c_get(theirs(QUERY), GET))[-1][0]
            assert (last.Status, last.NumberOfCompletedSuboperations) == (0, 3)
    assert sorted(received) == wanted(study)


def test_they_move(pynetdicom: Any, example: Example, study: dict[str, Path], tmp_path: Path) -> None:
    move_scp = example("move_scp")
    with AE("STORE").serve(0, host="127.0.0.1", services=[StorageSCP(tmp_path / "moved")]) as target:
        service = move_scp.MoveSCP(move_scp.Catalogue(study.values()), {"STORE": ("127.0.0.1", target.port)})
        with (
            AE("SERVER").serve(0, host="127.0.0.1", services=[service]) as server,
            their_user(pynetdicom, server.port, MOVE) as association,
        ):
            last = list(association.send_c_move(theirs(QUERY), "STORE", MOVE))[-1][0]
            assert (last.Status, last.NumberOfCompletedSuboperations) == (0, 3)
    assert stored(tmp_path / "moved") == wanted(study)


def test_their_normalized_requests(pynetdicom: Any, example: Example) -> None:
    printer = Dataset({"PrinterStatus": "NORMAL", "PrinterName": "FILM"})
    seen: list[tuple[str, Any]] = []

    def record(request: Request, context: ServiceContext) -> Steps:
        values = yield from received_dataset(request, context)
        seen.append((request.command.name, values.get("PrinterName")))
        yield Response(0x0000, {"PrinterStatus": "WARNING"} if request.command.name != "N-DELETE-RQ" else None)

    fields = [CommandField.N_ACTION_RQ, CommandField.N_DELETE_RQ, CommandField.N_EVENT_REPORT_RQ]
    services: list[Any] = [example("mpps_scp").MppsSCP(), example("printer_scp").PrinterSCP(printer)]
    services += [Scripted(record, PRINTER, field) for field in fields]
    with (
        AE("SERVER").serve(0, host="127.0.0.1", services=services) as server,
        their_user(pynetdicom, server.port, MPPS, PRINTER) as association,
    ):
        status, found = association.send_n_get([0x21100010], PRINTER, PRINTER_INSTANCE)
        assert (status.Status, found.PrinterStatus, len(found)) == (0, "NORMAL", 1)
        uid = str(new_uid())
        step = theirs({"PerformedProcedureStepStatus": "IN PROGRESS"})
        assert association.send_n_create(step, MPPS, uid)[0].Status == 0
        assert association.send_n_create(step, MPPS, uid)[0].Status == 0x0111
        step.PerformedProcedureStepStatus = "COMPLETED"
        assert association.send_n_set(step, MPPS, uid)[0].Status == 0
        failed = association.send_n_set(step, MPPS, uid)[0]
        assert (failed.Status, failed.ErrorID) == (0x0110, 0xA710)
        values = theirs({"PrinterName": "X"})
        status, answer = association.send_n_action(values, 1, PRINTER, PRINTER_INSTANCE)
        assert (status.Status, answer.PrinterStatus) == (0, "WARNING")
        status, answer = association.send_n_event_report(values, 1, PRINTER, PRINTER_INSTANCE)
        assert (status.Status, answer.PrinterStatus) == (0, "WARNING")
        assert association.send_n_delete(PRINTER, PRINTER_INSTANCE).Status == 0
    assert seen == [("N-ACTION-RQ", "X"), ("N-EVENT-REPORT-RQ", "X"), ("N-DELETE-RQ", None)]


def test_their_commitment(pynetdicom: Any, example: Example) -> None:
    """They ask; our report reaches their server on an association of its own."""
    reports: list[tuple[int, Any]] = []
    arrived = threading.Event()

    def handle(event: Any) -> tuple[int, None]:
        reports.append((event.event_type, event.event_information))
        arrived.set()
        return 0, None

    ae = pynetdicom.AE("THEIRS")
    ae.add_supported_context(COMMITMENT, EXPLICIT, scu_role=False, scp_role=True)
    listener = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(pynetdicom.evt.EVT_N_EVENT_REPORT, handle)]
    )
    try:
        where = {"THEIRS": ("127.0.0.1", listener.socket.getsockname()[1])}
        service = example("commitment_scp").CommitmentSCP(lambda sop_class, uid: True, where, delay=0.01)
        with AE("SERVER").serve(0, host="127.0.0.1", services=[service]) as server:
            with their_user(pynetdicom, server.port, COMMITMENT) as association:
                item = Dataset({"ReferencedSOPClassUID": CT, "ReferencedSOPInstanceUID": "1.2.3"})
                asked = theirs({"TransactionUID": "1.2.9", "ReferencedSOPSequence": [item]})
                assert association.send_n_action(asked, 1, COMMITMENT, COMMITMENT_INSTANCE)[0].Status == 0
            assert arrived.wait(PATIENCE)
    finally:
        listener.shutdown()
    ((event, told),) = reports
    assert (event, told.TransactionUID, told.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) == (1, "1.2.9", "1.2.3")


# pynetdicom answers


@contextmanager
def their_server(pynetdicom: Any, handlers: list[Any], contexts: dict[str, dict[str, bool]]) -> Iterator[int]:
    ae = pynetdicom.AE("THEIRS")
    for uid, roles in contexts.items():
        ae.add_supported_context(uid, EXPLICIT, **roles)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def test_we_find_and_cancel(pynetdicom: Any) -> None:
    cancelled = threading.Event()

    def handle(event: Any) -> Iterator[tuple[int, Any]]:
        assert event.identifier.PatientName == "Müller*"
        for number in range(10_000 if event.identifier.PatientID == "endless" else 5):
            if event.is_cancelled:
                cancelled.set()
                yield 0xFE00, None
                return
            yield 0xFF01 if number else 0xFF00, theirs({"PatientID": str(number)})
            if number > 5:
                cancelled.wait(0.02)  # pynetdicom does not read while it has more to send

    query = {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller*", "PatientID": ""}
    with (
        their_server(pynetdicom, [(pynetdicom.evt.EVT_C_FIND, handle)], {FIND: {}, VERIFICATION: {}}) as port,
        AE("USER").associate("127.0.0.1", port, contexts=[FIND, VERIFICATION]) as association,
    ):
        found = list(association.c_find(query, "study-root"))
        assert [status for status, _ in found] == [0xFF00, 0xFF01, 0xFF01, 0xFF01, 0xFF01, 0]
        assert [row.PatientID for _, row in found if row is not None] == list("01234")
        for status, _ in association.c_find(query | {"PatientID": "endless"}, "study-root"):
            assert status == 0xFF00
            break
        assert cancelled.is_set()
        assert association.c_echo() == 0


def test_we_get_and_move(pynetdicom: Any, study: dict[str, Path], tmp_path: Path) -> None:
    import pydicom

    read: Any = pydicom.dcmread
    files = [read(study[uid]) for uid in wanted(study)]
    with AE("STORE").serve(0, host="127.0.0.1", services=[StorageSCP(tmp_path / "moved")]) as target:

        def get(event: Any) -> Iterator[Any]:
            yield len(files)
            for file in files:
                yield 0xFF00, file

        def move(event: Any) -> Iterator[Any]:
            contexts = [pynetdicom.build_context(CT, EXPLICIT)]
            yield ("127.0.0.1", target.port, {"contexts": contexts})
            yield from get(event)

        handlers = [(pynetdicom.evt.EVT_C_GET, get), (pynetdicom.evt.EVT_C_MOVE, move)]
        roles = {"scu_role": True, "scp_role": True}
        services = [StorageSCP(tmp_path / "got", supported={CT: (EXPLICIT,)})]
        with (
            their_server(pynetdicom, handlers, {GET: {}, MOVE: {}, CT: roles}) as port,
            AE("USER").associate("127.0.0.1", port, contexts=[GET, MOVE], services=services) as association,
        ):
            assert list(association.c_get(QUERY, "study-root", check=True))[-1][2:5] == (3, 0, 0)
            assert list(association.c_move(QUERY, "STORE", "study-root", check=True))[-1][2:5] == (3, 0, 0)
    assert stored(tmp_path / "got") == stored(tmp_path / "moved") == wanted(study)


def test_our_normalized_requests(pynetdicom: Any) -> None:
    evt = pynetdicom.evt
    seen: list[tuple[str, Any]] = []

    def data(name: str) -> Callable[[Any], tuple[int, Any]]:
        def handle(event: Any) -> tuple[int, Any]:
            found = {
                "get": ("attribute_identifiers",),
                "set": ("modification_list",),
                "action": ("action_type", "action_information"),
                "create": ("attribute_list",),
                "event": ("event_type", "event_information"),
            }[name]
            seen.append((name, [getattr(event, each) for each in found]))
            return 0, theirs({"PrinterStatus": name.upper()})

        return handle

    handlers = [
        (evt.EVT_N_GET, data("get")),
        (evt.EVT_N_SET, data("set")),
        (evt.EVT_N_ACTION, data("action")),
        (evt.EVT_N_CREATE, data("create")),
        (evt.EVT_N_EVENT_REPORT, data("event")),
        (evt.EVT_N_DELETE, lambda event: 0),
    ]
    values = {"PrinterName": "X"}
    with (
        their_server(pynetdicom, handlers, {PRINTER: {"scu_role": True, "scp_role": True}}) as port,
        AE("USER").associate(
            "127.0.0.1", port, contexts=PRINTER, roles=[RoleSelection(PRINTER, True, True)]
        ) as association,
    ):
        outcomes = [
            association.n_get(PRINTER, PRINTER_INSTANCE, ["PrinterStatus", "PrinterName"]),
            association.n_set(PRINTER, PRINTER_INSTANCE, values),
            association.n_action(PRINTER, PRINTER_INSTANCE, 3, values),
            association.n_create(PRINTER, PRINTER_INSTANCE, values),
            association.n_event_report(PRINTER, PRINTER_INSTANCE, 2, values),
        ]
        assert association.n_delete(PRINTER, PRINTER_INSTANCE).status == 0
    assert [outcome.status for outcome in outcomes] == [0] * 5
    assert [outcome.dataset.PrinterStatus for outcome in outcomes if outcome.dataset is not None] == [
        "GET",
        "SET",
        "ACTION",
        "CREATE",
        "EVENT",
    ]
    told = dict(seen)
    assert told["get"] == [[0x21100010, 0x21100030]]
    assert told["set"][0].PrinterName == told["create"][0].PrinterName == "X"
    assert (told["action"][0], told["action"][1].PrinterName) == (3, "X")
    assert (told["event"][0], told["event"][1].PrinterName) == (2, "X")
