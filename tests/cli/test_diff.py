"""``diff`` and ``xml`` as a user types them: what they print, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dicomcore import Dataset, dcmread, new_uid
from dicomcore.cli.program import program


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], prog_name="dicomcore")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    ds = Dataset({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.5", "SOPInstanceUID": new_uid(), "PatientName": "A^B"})
    ds.BeamSequence = [Dataset({"BeamName": "AP", "BeamNumber": 1})]
    ds.save_as(tmp_path / "a.dcm")
    ds.BeamSequence[0].BeamName = "PA"
    del ds.PatientName
    ds.PatientID = "7"
    ds.save_as(tmp_path / "b.dcm")
    return tmp_path / "a.dcm", tmp_path / "b.dcm"


def test_differences_and_status(pair: tuple[Path, Path]) -> None:
    result = run("diff", *pair)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "- (0010,0010) Patient's Name: PN 'A^B'",
        "+ (0010,0020) Patient ID: LO '7'",
        "~ (300A,00B0)[0].(300A,00C2) Beam Name: LO 'AP' -> LO 'PA'",
    ]
    assert result.stderr == ""


def test_what_is_ignored(pair: tuple[Path, Path]) -> None:
    result = run("diff", "--ignore", "BeamName", "--ignore", "00100010", "--ignore", "PatientID", *pair)
    assert (result.exit_code, result.output) == (0, "")
    assert run("diff", "--ignore", "NoSuchName", *pair).exit_code == 2


def test_json_for_programs(pair: tuple[Path, Path]) -> None:
    result = run("diff", "--json", *pair)
    assert result.exit_code == 1
    assert [one["kind"] for one in json.loads(result.stdout)] == ["removed", "added", "value"]
    assert json.loads(run("diff", "--json", pair[0], pair[0]).stdout) == []


def test_where_bulk_data_differ(pair: tuple[Path, Path]) -> None:
    for path, data in zip(pair, (bytes(100), bytes(60) + b"\1" * 42), strict=True):
        ds = Dataset({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SOPInstanceUID": "1.2.3", "PixelData": data})
        ds.save_as(path)
    result = run("diff", *pair)
    assert result.exit_code == 1
    assert result.stdout.endswith("Array of 100 elements -> OW Array of 102 elements, first at [60]: 00 -> 01\n")
    (row,) = json.loads(run("diff", "--json", *pair).stdout)
    assert (row["position"], row["lengths"]) == (60, [100, 102])


def test_encoding_makes_no_difference_but_meta_shows_it(pair: tuple[Path, Path], tmp_path: Path) -> None:
    big = tmp_path / "big.dcm"
    dcmread(pair[0]).save_as(big, transfer_syntax="1.2.840.10008.1.2.2")
    assert run("diff", pair[0], big).exit_code == 0
    result = run("diff", "--meta", pair[0], big)
    assert result.exit_code == 1
    assert "(0002,0010) Transfer Syntax UID" in result.stdout


def test_what_is_no_file_is_said(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "no.dcm").write_text("this is not a DICOM file at all")
    result = run("diff", pair[0], tmp_path / "no.dcm")
    assert result.exit_code == 1
    assert "Error: " in result.stderr
    assert "no.dcm" in result.stderr
    assert run("diff", pair[0], tmp_path / "absent.dcm").exit_code == 2


def test_xml_is_the_model(pair: tuple[Path, Path]) -> None:
    result = run("xml", pair[0])
    assert result.exit_code == 0
    assert Dataset.from_xml(result.stdout) == dcmread(pair[0])
