"""The generic calls and the providers of docs/examples, which know no driver, under every driver on both sides."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.data.files import dcmread
from dicomcore.dimse.command import CommandField
from dicomcore.errors import NegotiationError, ServiceError
from dicomcore.limits import Limits
from dicomcore.services.base import Request, Response, ServiceContext
from dicomcore.services.messages import Prepared, received_dataset
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.uids import new_uid
from tests.net.conftest import CT, FIND, PATIENCE, Scripted

from .drivers import Driver

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no source tree: testing the wheel")
QUERY = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "2.25.1"}
Steps = Generator[Any, Any, None]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def study(tmp_path: Path) -> dict[str, Path]:
    """Three CT files of study 2.25.1, by SOP Instance UID."""
    files: dict[str, Path] = {}
    for number in range(3):
        uid = str(new_uid())
        files[uid] = tmp_path / f"{uid}.dcm"
        values = {"SOPClassUID": CT, "SOPInstanceUID": uid, "StudyInstanceUID": "2.25.1", "InstanceNumber": number}
        Dataset(values).save_as(files[uid], transfer_syntax="1.2.840.10008.1.2.1")
    return files


def test_find(driver: Driver, example: Callable[[str], Any]) -> None:
    rows = [Dataset({"PatientID": str(number), "PatientName": f"Phantom^{number}"}) for number in range(300)]
    port = driver.serve(example("find_scp").FindSCP(rows, ["patient-root"])).port
    with driver.associate(port, contexts="patient-root") as association:
        found = list(association.c_find({"PatientID": "", "PatientName": "*7"}, "patient-root", check=True))
        assert [row.PatientID for _, row in found if row is not None] == [str(number) for number in range(7, 300, 10)]
        assert found[-1] == (0, None)
        with pytest.raises(NegotiationError, match="does not offer"):
            association.c_move({}, "THERE", "patient-root")


def test_leaving_early_cancels(driver: Driver) -> None:
    cancelled = threading.Event()

    def find(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        prepared = Prepared({"PatientID": "1"})
        while not context.cancelled:
            yield Response(0xFF00, prepared)
        cancelled.set()
        yield Response(0xFE00)

    port = driver.serve(Scripted(find, FIND, CommandField.C_FIND_RQ), VerificationSCP()).port
    with driver.associate(port, contexts=[FIND, VERIFICATION]) as association:
        responses = association.c_find({}, FIND)
        assert [next(responses).status for _ in range(50)] == [0xFF00] * 50
        responses.close()
        assert cancelled.is_set()
        assert association.c_echo() == 0


def test_failures_are_returned_or_raised(driver: Driver) -> None:
    def find(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        yield Response(0xA900, elements={"ErrorComment": "no such level", "OffendingElement": (0x00080052,)})

    port = driver.serve(Scripted(find, FIND, CommandField.C_FIND_RQ)).port
    with driver.associate(port, contexts=FIND) as association:
        assert [status for status, _ in association.c_find({}, FIND)] == [0xA900]
        with pytest.raises(ServiceError, match="no such level") as caught:
            list(association.c_find({}, FIND, check=True))
        assert (caught.value.path, caught.value.answer) == ("(0008,0052)", 0xA900)


@pytest.mark.parametrize(("field", "status"), [(CommandField.C_FIND_RQ, 0xA700), (CommandField.N_CREATE_RQ, 0x0213)])
def test_a_query_too_long_to_hold_is_a_lack_of_resources(driver: Driver, field: CommandField, status: int) -> None:
    def provider(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        yield Response(0)

    server = driver.serve(Scripted(provider, FIND, field), limits=Limits(memory_object=1000))
    long = {"PatientID": "1", "TextValue": "x" * 2000}
    with driver.associate(server.port, contexts=[FIND]) as association:
        if field is CommandField.C_FIND_RQ:
            assert list(association.c_find(long, FIND)) == [(status, None)]
        else:
            assert association.n_create(FIND, "1.2.3", long).status == status


def test_get(driver: Driver, example: Callable[[str], Any], study: dict[str, Path], tmp_path: Path) -> None:
    get_scp = example("get_scp")
    port = driver.serve(get_scp.GetSCP(get_scp.Catalogue(study.values()))).port
    services = [StorageSCP(tmp_path / "got")]
    with driver.associate(port, contexts="study-root", services=services) as association:
        rows = list(association.c_get(QUERY, "study-root", check=True))
        assert [row[:5] for row in rows] == [(0xFF00, 2, 1, 0, 0), (0xFF00, 1, 2, 0, 0), (0, None, 3, 0, 0)]
    for uid, path in study.items():
        assert dcmread(tmp_path / "got" / f"{uid}.dcm") == dcmread(path)


def test_move(driver: Driver, example: Callable[[str], Any], study: dict[str, Path], tmp_path: Path) -> None:
    move_scp = example("move_scp")
    there = driver.serve(StorageSCP(tmp_path / "moved"))
    service = move_scp.MoveSCP(move_scp.Catalogue(study.values()), {"STORE": ("127.0.0.1", there.port)})
    with driver.associate(driver.serve(service).port, contexts="study-root") as association:
        assert list(association.c_move(QUERY, "STORE", "study-root", check=True))[-1][:5] == (0, None, 3, 0, 0)
        assert list(association.c_move(QUERY, "NOBODY", "study-root"))[-1].status == 0xA801
    assert {path.stem for path in (tmp_path / "moved").iterdir()} == study.keys()


def test_steps(driver: Driver, example: Callable[[str], Any]) -> None:
    mpps_scp = example("mpps_scp")
    service, uid = mpps_scp.MppsSCP(), str(new_uid())
    with driver.associate(driver.serve(service).port, contexts=mpps_scp.MPPS) as association:
        values = {"PerformedProcedureStepStatus": "IN PROGRESS"}
        assert association.n_create(mpps_scp.MPPS, uid, values, check=True).status == 0
        assert association.n_set(mpps_scp.MPPS, uid, {"PerformedProcedureStepStatus": "COMPLETED"}).status == 0
        outcome = association.n_set(mpps_scp.MPPS, uid, values)
        assert (outcome.status, outcome.elements["ErrorID"]) == (0x0110, 0xA710)


def test_commitment(driver: Driver, example: Callable[[str], Any]) -> None:
    commitment_scp = example("commitment_scp")
    commitment = commitment_scp.COMMITMENT
    events: list[int] = []
    arrived = threading.Event()

    def listen(request: Request, context: ServiceContext) -> Steps:
        yield from received_dataset(request, context)
        events.append(request.command.EventTypeID)
        yield Response(0x0000)
        arrived.set()

    listener = driver.serve(
        Scripted(listen, commitment, CommandField.N_EVENT_REPORT_RQ), roles={commitment: (True, True)}
    )
    where = {"USER": ("127.0.0.1", listener.port)}
    service = commitment_scp.CommitmentSCP(lambda sop_class, uid: True, where, delay=0.01)
    row = Dataset({"ReferencedSOPClassUID": CT, "ReferencedSOPInstanceUID": "1.2"})
    asked = {"TransactionUID": "1.2.9", "ReferencedSOPSequence": [row]}
    with driver.associate(driver.serve(service).port, contexts=commitment) as association:
        assert association.n_action(commitment, commitment_scp.INSTANCE, 1, asked, check=True).status == 0
    assert arrived.wait(PATIENCE)
    assert events == [1]


def test_instances_shown_to_a_handler(driver: Driver, study: dict[str, Path]) -> None:
    seen: list[int] = []

    def look(dataset: Dataset, stored: Any) -> int | None:
        seen.append(int(dataset.InstanceNumber))
        return 0xB000 if dataset.InstanceNumber == 2 else None

    port = driver.serve(StorageSCP(handler=look)).port
    with driver.associate(port, contexts=list(study.values())) as association:
        assert [association.c_store(path) for path in study.values()] == [0, 0, 0xB000]
    assert seen == [0, 1, 2]
