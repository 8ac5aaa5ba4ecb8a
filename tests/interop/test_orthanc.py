"""Orthanc at the other end: echo, store, find, get and move, both ways (it asks through its REST interface)."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.data.files import dcmread
from dicomcore.net import AE, store
from dicomcore.services.base import ServiceProvider
from dicomcore.services.storage import StorageSCP, Stored
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.uids import new_uid
from tests.net.conftest import CT, eventually, free_port

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "docs" / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no source tree: testing the wheel")
EXPLICIT = "1.2.840.10008.1.2.1"
QUERY = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "2.25.1"}


class Orthanc(NamedTuple):
    """A running one; ``ours`` is the port on which it believes our AE to listen, called OURS."""

    dicom: int
    http: int
    ours: int

    def rest(self, path: str, body: object = None) -> Any:
        """GET, or POST of JSON."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", data, timeout=240) as answer:
            text = answer.read()
        return json.loads(text) if text else None


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, peer: Callable[[str], str]) -> Iterator[Orthanc]:
    path = peer("Orthanc")
    folder = tmp_path_factory.mktemp("orthanc")
    entity = Orthanc(free_port(), free_port(), free_port())
    configuration = {
        "Name": "theirs",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [],
        "HttpPort": entity.http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": entity.dicom,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowFindWorklist": True,
        "DicomModalities": {"ours": ["OURS", "127.0.0.1", entity.ours]},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([path, str(folder / "orthanc.json")], cwd=folder, stdout=log, stderr=log)
    try:

        def up() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return bool(entity.rest("/system"))
            except URLError:
                return False

        eventually(up)
        yield entity
    finally:
        process.terminate()
        process.wait(240)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


def make_study(folder: Path, study: str, count: int = 3) -> list[Path]:
    """CT files of one study."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(count):
        uid = str(new_uid())
        dataset = {
            "SpecificCharacterSet": "ISO_IR 192",
            "SOPClassUID": CT,
            "SOPInstanceUID": uid,
            "StudyDate": "20200102",
            "Modality": "CT",
            "PatientName": "Müller^Anna",
            "PatientID": f"P{study}",
            "StudyInstanceUID": study,
            "SeriesInstanceUID": f"{study}.1",
            "StudyID": "1",
            "SeriesNumber": 1,
            "InstanceNumber": number,
        }
        paths.append(folder / f"{uid}.dcm")
        Dataset(dataset).save_as(paths[-1], transfer_syntax=EXPLICIT)
    return paths


def uids(paths: Any) -> list[str]:
    return sorted(path.stem for path in paths if not path.name.startswith("."))


def test_we_ask(orthanc: Orthanc, tmp_path: Path) -> None:
    study = "2.25.1001"
    files = make_study(tmp_path / "study", study)
    report = store(files, ("127.0.0.1", orthanc.dicom), called_ae="ORTHANC")
    assert len(report.stored) == 3
    query = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": study}
    services: list[ServiceProvider] = [StorageSCP(tmp_path / "got")]  # with it, 128 contexts and their roles
    with AE("OURS").associate(
        "127.0.0.1", orthanc.dicom, called_ae="ORTHANC", contexts=["study-root", VERIFICATION], services=services
    ) as association:
        assert association.c_echo() == 0
        keys = query | {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "", "PatientID": ""}
        (found,) = [row for _, row in association.c_find(keys, "study-root", check=True) if row is not None]
        assert (str(found.PatientName), found.PatientID) == ("Müller^Anna", f"P{study}")
        got = list(association.c_get(query, "study-root", check=True))[-1]
        assert (got.status, got.completed, got.failed) == (0, 3, 0)
        with AE("OURS").serve(
            orthanc.ours, host="127.0.0.1", services=[StorageSCP(tmp_path / "moved"), VerificationSCP()]
        ):
            moved = list(association.c_move(query, "OURS", "study-root", check=True))[-1]
            assert (moved.status, moved.completed, moved.failed) == (0, 3, 0)
    assert uids((tmp_path / "got").iterdir()) == uids((tmp_path / "moved").iterdir()) == uids(files)
    for path in files:
        assert dcmread(tmp_path / "got" / path.name) == dcmread(path)


def test_it_asks(orthanc: Orthanc, example: Callable[[str], Any], tmp_path: Path) -> None:
    """It echoes, finds, has us move to itself, and stores."""
    study = "2.25.2002"
    files = make_study(tmp_path / "study", study)
    move_scp = example("move_scp")
    rows = [Dataset({"StudyInstanceUID": study, "PatientID": "P", "PatientName": "Müller^Anna"})]
    rows[0].SpecificCharacterSet = "ISO_IR 192"
    stored: list[Stored] = []
    services: list[ServiceProvider] = [
        VerificationSCP(),
        StorageSCP(tmp_path / "stored", on_stored=stored.append),
        example("find_scp").FindSCP(rows),
        move_scp.MoveSCP(move_scp.Catalogue(files), {"ORTHANC": ("127.0.0.1", orthanc.dicom)}),
    ]
    with AE("OURS").serve(orthanc.ours, host="127.0.0.1", services=services):
        orthanc.rest("/modalities/ours/echo", {})
        asked = orthanc.rest("/modalities/ours/query", {"Level": "Study", "Query": {"StudyInstanceUID": study}})
        answers = orthanc.rest(f"{asked['Path']}/answers?simplify&expand")
        assert [answer["StudyInstanceUID"] for answer in answers] == [study]
        orthanc.rest(f"{asked['Path']}/answers/0/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
        wanted = {"Level": "Instance", "Query": {"StudyInstanceUID": study}}
        instances = orthanc.rest("/tools/find", wanted)
        assert len(instances) == 3
        orthanc.rest("/modalities/ours/store", {"Resources": instances, "Synchronous": True})
    assert uids((tmp_path / "stored").iterdir()) == uids(files)
    assert {each.calling_ae for each in stored} == {"ORTHANC"}
    for path in files:
        assert dcmread(tmp_path / "stored" / path.name) == dcmread(path)
