"""``find``, ``get`` and ``move`` as a user types them, against the providers of docs/examples."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from dicomcore.cli.program import program
from dicomcore.cli.query import query_of
from dicomcore.data.dataset import Dataset
from dicomcore.net import AE
from dicomcore.services.storage import StorageSCP
from dicomcore.vocab.uids import new_uid

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "docs" / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no source tree: testing the wheel")
HOST = "127.0.0.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = ("--level", "STUDY", "-k", "StudyInstanceUID=2.25.1")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], prog_name="dicomcore")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server with two studies of two CT images; it knows an AE called STORE, which fills ``moved``."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    example: Any = importlib.import_module
    (tmp_path / "study").mkdir()
    for number in range(4):
        uid, study = str(new_uid()), f"2.25.{number % 2 + 1}"
        keys = {"SOPClassUID": CT, "SOPInstanceUID": uid, "PatientID": "P", "StudyInstanceUID": study, "Rows": 7}
        Dataset(keys).save_as(tmp_path / "study" / f"{uid}.dcm", transfer_syntax="1.2.840.10008.1.2.1")
    files = example("get_scp").Catalogue((tmp_path / "study").iterdir())
    rows = [Dataset({"StudyInstanceUID": f"2.25.{number}", "PatientName": f"Müller^{number}"}) for number in (1, 2)]
    for row in rows:
        row.SpecificCharacterSet = "ISO_IR 192"
    with AE("STORE").serve(0, host=HOST, services=[StorageSCP(tmp_path / "moved")]) as store:
        move = example("move_scp").MoveSCP(files, {"STORE": (HOST, store.port)})
        services = [example("find_scp").FindSCP(rows), example("get_scp").GetSCP(files), move]
        with AE("PACS").serve(0, host=HOST, services=services) as server:
            yield server.port
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_find(archive: int) -> None:
    result = run("find", HOST, archive, "--level", "STUDY", "-k", "StudyInstanceUID", "-k", "PatientName=Müller*")
    assert result.exit_code == 0, result.output
    assert "Müller^1" in result.stdout
    assert "Müller^2" in result.stdout
    assert "2 matched" in result.stderr


def test_find_as_json(archive: int) -> None:
    result = run("find", HOST, archive, *STUDY, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (row,) = map(json.loads, result.stdout.splitlines())
    assert row["0020000D"]["Value"] == ["2.25.1"]


def test_get(archive: int, tmp_path: Path) -> None:
    result = run("get", HOST, archive, *STUDY, "--out", tmp_path / "got")
    assert result.exit_code == 0, result.output
    assert "2 objects" in result.stdout
    assert len(list((tmp_path / "got").glob("*.dcm"))) == 2


def test_move(archive: int, tmp_path: Path) -> None:
    result = run("move", HOST, archive, *STUDY, "--to", "STORE", "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["status"], row["remaining"], row["completed"]) for row in rows] == [(0xFF00, 1, 1), (0, None, 2)]
    assert len(list((tmp_path / "moved").glob("*.dcm"))) == 2


def test_a_failure_is_one(archive: int) -> None:
    result = run("move", HOST, archive, *STUDY, "--to", "NOBODY")
    assert result.exit_code == 1
    assert "A801" in result.stdout
    refused = run("find", HOST, archive, "--model", "worklist", "-k", "PatientID")
    assert refused.exit_code == 1
    assert "Modality Worklist" in refused.stderr


@pytest.mark.parametrize("key", ["NoSuchKey=1", "Rows=many", "BeamSequence=1", "BeamSequence[1].BeamName=x", "a b=1"])
def test_wrong_keys_are_two(key: str) -> None:
    result = run("find", HOST, 1, "-k", key)
    assert result.exit_code == 2
    assert key in result.stderr


def test_keys() -> None:
    step = "ScheduledProcedureStepSequence"
    query = query_of(("0010,0020=P1", "Rows=3", f"{step}.Modality=CT", f"{step}[0].ScheduledStationAETitle", "StudyID"))
    assert (query.PatientID, query.Rows, query.get("StudyID")) == ("P1", 3, "")
    (item,) = query.ScheduledProcedureStepSequence
    assert (item.Modality, item.get("ScheduledStationAETitle")) == ("CT", "")
    assert "SpecificCharacterSet" not in query
    assert query_of(("PatientName=Ä",)).SpecificCharacterSet == "ISO_IR 192"
    assert list(query_of(("StudyInstanceUID=1.2\\1.3",)).StudyInstanceUID) == ["1.2", "1.3"]
    assert len(query_of(("BeamSequence",)).BeamSequence) == 0
    with pytest.raises(click.BadParameter):
        query_of(("PatientIDs",))
