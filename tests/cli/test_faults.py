"""Faults of files as the commands tell them: on standard error, in JSON, and by the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dicomcore import Dataset, new_uid
from dicomcore.cli.program import program


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], prog_name="dicomcore")


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    ds = Dataset({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.5", "SOPInstanceUID": new_uid(), "PatientName": "A^B"})
    ds.BeamSequence = [Dataset({"BeamName": "AP", "BeamNumber": 1})]
    ds.save_as(tmp_path / "sound.dcm")
    return tmp_path / "sound.dcm"


@pytest.fixture
def cut(sound: Path) -> Path:
    """Truncated within the last value of the item."""
    path = sound.with_name("cut.dcm")
    path.write_bytes(sound.read_bytes()[:-1])
    return path


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    """A fault of form alone: an odd length. Everything can be read."""
    path = tmp_path / "untidy.dcm"
    Dataset({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.5", "SOPInstanceUID": "1.2.3"}).save_as(path)
    path.write_bytes(path.read_bytes() + b"\x10\0\x10\0PN\3\0A^B")
    return path


def test_dump_of_a_truncated_file_shows_what_is_there_and_fails(sound: Path, cut: Path) -> None:
    result = run("dump", cut)
    assert result.exit_code == 1
    assert "Beam Name" in result.stdout
    assert result.stderr.startswith(f"Error: {cut}: the value of (300A,00B0) claims ")
    assert "cut there at byte" in result.stderr
    assert "[PS3.5 7.1.1]" in result.stderr
    assert (run("dump", sound).exit_code, run("dump", sound).stderr) == (0, "")


def test_what_can_be_read_whole_is_a_warning(untidy: Path) -> None:
    result = run("dump", untidy)
    assert result.exit_code == 0
    assert "PN: 'A^B'" in result.stdout
    assert result.stderr.startswith(f"Warning: {untidy}: (0010,0010) has the odd length 3 at byte ")


def test_dump_as_json_has_the_faults_beside_the_model(sound: Path, cut: Path, untidy: Path, tmp_path: Path) -> None:
    (tmp_path / "no.dcm").write_text("this is not a DICOM file at all")
    result = run("dump", "--json", sound, cut, untidy, tmp_path / "no.dcm")
    assert result.exit_code == 1
    first, second, third, fourth = map(json.loads, result.stdout.splitlines())
    assert (first["path"], first["transfer_syntax"], first["issues"]) == (str(sound), "1.2.840.10008.1.2.1", [])
    assert first["dataset"]["00100010"]["Value"] == [{"Alphabetic": "A^B"}]
    assert [issue["is_broken"] for issue in second["issues"]] == [True] * len(second["issues"]) != []
    assert [(issue["path"], issue["is_broken"]) for issue in third["issues"]] == [("(0010,0010)", False)]
    assert "not a DICOM file" in fourth["error"]
    chosen = json.loads(run("dump", "--json", "--tag", "PatientName", cut).stdout)
    assert list(chosen["dataset"]) == ["00100010"]


@pytest.mark.parametrize("command", ["json", "xml"])
def test_models_tell_faults_too(command: str, sound: Path, cut: Path, untidy: Path) -> None:
    result = run(command, cut)
    assert result.exit_code == 1
    assert "Error: " in result.stderr
    assert "300A00B0" in result.stdout
    result = run(command, untidy)
    assert (result.exit_code, result.stderr[:9]) == (0, "Warning: ")
    assert (run(command, sound).exit_code, run(command, sound).stderr) == (0, "")


def test_diff_tells_them_and_keeps_its_status(sound: Path, cut: Path) -> None:
    result = run("diff", cut, cut)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "cut there" in result.stderr
    assert run("diff", sound, cut).exit_code == 1


def test_many_faults_are_not_all_told(tmp_path: Path) -> None:
    path = tmp_path / "many.dcm"
    Dataset({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.5", "SOPInstanceUID": "1.2.3"}).save_as(path)
    path.write_bytes(path.read_bytes() + b"\x10\0\x10\0PN\3\0A^B" * 30 + b"\x10\0")
    result = run("dump", path)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[0].startswith("Error: ")  # the worst first
    assert "2 bytes at the end" in lines[0]
    assert len(lines) == 21
    assert lines[-1].endswith("dump --json has them all")
    told = json.loads(run("dump", "--json", path).stdout)["issues"]
    assert lines[-1].startswith(f"Warning: {path}: {len(told) - 20} more faults")


def test_of_pydicoms_files_the_truncated_ones_fail(pydicom_files: list[Path]) -> None:
    files = [path for path in pydicom_files if path.name != "no_meta.dcm"]
    assert {path.name for path in files if run("dump", path).exit_code} == {"MR_truncated.dcm", "rtplan_truncated.dcm"}
