"""Files against DCMTK: what we write dcmdump reads, what dcmconv writes we read, in every uncompressed syntax."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from dicomcore import Dataset, dcmread
from dicomcore.vocab.syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, TransferSyntax

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
NAMES = ["CT_small.dcm", "rtplan.dcm", "rtdose.dcm", "test-SR.dcm", "examples_overlay.dcm", "waveform_ecg.dcm"]
FAULTS = {"rtdose.dcm": ["PS3.5 6.2 UI"]}  # a UID with a leading zero
FLAGS = {IMPLICIT_LE: "+ti", EXPLICIT_LE: "+te", EXPLICIT_BE: "+tb", DEFLATED_LE: "+td"}


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith("E:")], done.stderr
    return done.stdout


@pytest.mark.parametrize("syntax", FLAGS, ids=lambda one: one.keyword)
@pytest.mark.parametrize("name", NAMES)
def test_dcmdump_reads_what_we_write(
    name: str, syntax: TransferSyntax, tmp_path: Path, peer: Callable[[str], str]
) -> None:
    path = tmp_path / "ours.dcm"
    ds = dcmread(FOLDER / name)
    ds.PatientComments = "edited"
    ds.save_as(path, syntax.uid)
    text = run(peer("dcmdump"), "-q", "+L", str(path))
    assert "[edited]" in text
    assert text.count("\n(") >= len(ds) - 1


@pytest.mark.parametrize("syntax", FLAGS, ids=lambda one: one.keyword)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lengths", ["+e", "-e"])
def test_we_read_what_dcmconv_writes(
    name: str, syntax: TransferSyntax, lengths: str, tmp_path: Path, peer: Callable[[str], str]
) -> None:
    original = tmp_path / "original.dcm"
    dcmread(FOLDER / name).save_as(original, EXPLICIT_LE.uid)
    path = tmp_path / "theirs.dcm"
    run(peer("dcmconv"), "-q", FLAGS[syntax], lengths, str(original), str(path))
    ds = dcmread(path)
    assert ds.transfer_syntax == syntax.uid
    assert [issue.clause for issue in ds.check()] == FAULTS.get(name, [])
    back = tmp_path / "back.dcm"
    ds.save_as(back)
    assert back.read_bytes() == path.read_bytes()
    ds.save_as(back, EXPLICIT_LE.uid)
    run(peer("dcmconv"), "-q", "+te", lengths, str(path), str(tmp_path / "again.dcm"))
    assert dcmread(back) == dcmread(tmp_path / "again.dcm")


@pytest.mark.parametrize("name", NAMES)
def test_json_as_dcm2json(name: str, tmp_path: Path, peer: Callable[[str], str]) -> None:
    ds = dcmread(FOLDER / name)
    theirs = json.loads(run(peer("dcm2json"), "-q", str(FOLDER / name)))
    ours = json.loads(ds.to_json())
    theirs = {key: row for key, row in theirs.items() if not key.startswith("0002") and not key.endswith("0000")}
    assert ours.keys() == theirs.keys()
    for key, row in theirs.items():
        if row["vr"] == ours[key]["vr"] and key != "00080005" and "Value" in row and row["vr"] not in ("SQ", "PN"):
            assert [str(one) for one in ours[key]["Value"]] == [str(one) for one in row["Value"]] or row["vr"] in (
                "DS",
                "FL",
                "FD",
            ), key
    assert Dataset.from_json(ours).to_json() == ds.to_json()


@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE], ids=lambda one: one.keyword)
@pytest.mark.parametrize("name", NAMES)
def test_group_lengths_of_every_level_are_dcmconvs(
    name: str, syntax: TransferSyntax, tmp_path: Path, peer: Callable[[str], str]
) -> None:
    """PS3.5 7.2: they come from one syntax, and are right in the other, in items too."""
    source, theirs, ours = (tmp_path / one for one in ("source.dcm", "theirs.dcm", "ours.dcm"))
    run(peer("dcmconv"), "-q", "+te", "+g", "+e", str(FOLDER / name), str(source))
    run(peer("dcmconv"), "-q", FLAGS[syntax], "+g", "+e", str(source), str(theirs))
    dcmread(source).save_as(ours, syntax.uid, group_lengths=True)
    bodies = []
    for path in (theirs, ours):
        origin = dcmread(path)._origin
        assert origin is not None
        bodies.append(path.read_bytes()[origin.index.header_offset_at(0) :])
    assert bodies[0] == bodies[1]
