"""``dicomcore fileset`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dicomcore.cli.fileset import fileset_command
from dicomcore.cli.program import program
from dicomcore.data.fileset import FileSet
from dicomcore.rt.phantom import Settings, iter_study


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["fileset", *map(str, arguments)], prog_name="dicomcore")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for number, ds in enumerate(iter_study(Settings(slices=2, matrix=16, dose_spacing=30.0, contour_points=8, seed=3))):
        ds.save_as(folder / f"file {number}.dcm")
    (folder / "notes.txt").write_text("no DICOM")
    return folder


@pytest.fixture
def fileset(tmp_path: Path, study: Path) -> Path:
    assert run("create", tmp_path / "set", study, "--id", "CD").exit_code == 0
    return tmp_path / "set"


@pytest.mark.parametrize("command", fileset_command.commands)
def test_help_shows_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"dicomcore fileset {command} /" in result.stdout


def test_create_tells_what_it_passed_over(tmp_path: Path, study: Path) -> None:
    result = run("create", tmp_path / "set", study, "--id", "CD", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["instances"] == len(told["added"]) == 6
    assert {row["type"] for row in told["added"]} == {"IMAGE", "RT STRUCTURE SET", "RT PLAN", "RT DOSE"}
    assert "passed over" in result.stderr
    assert "notes.txt" in result.stderr
    assert FileSet.open(tmp_path / "set").check() == []
    again = run("create", tmp_path / "set", study)
    assert (again.exit_code, "has a DICOMDIR" in again.stderr) == (1, True)
    named = run("add", tmp_path / "set", study / "notes.txt")
    assert named.exit_code == 1


def test_list_is_a_tree_or_json(fileset: Path) -> None:
    result = run("list", fileset)
    lines = result.stdout.splitlines()
    assert (result.exit_code, lines[0]) == (0, "CD  ·  6 instances")
    assert any(line.endswith("RT PLAN  1  Two fields  PA000000/ST000000/SE000002/RP000000") for line in lines)
    told = json.loads(run("list", fileset / "DICOMDIR", "--json", "--check", "--where", "Modality=RT*").stdout)
    assert (told["id"], told["issues"]) == ("CD", [])
    assert [row["Modality"] for row in told["instances"]] == ["RTSTRUCT", "RTPLAN", "RTDOSE", "RTIMAGE"]


def test_list_checks_the_files(fileset: Path) -> None:
    assert run("list", fileset, "--check").exit_code == 0
    FileSet.open(fileset).find("RT PLAN")[0].path.unlink()
    result = run("list", fileset, "--check")
    assert result.exit_code == 1
    assert "RP000000" in result.stderr
    assert json.loads(run("list", fileset, "--check", "--json").stdout)["issues"]


def test_add_and_remove(fileset: Path, study: Path) -> None:
    assert "added 0 instances, holds 6" in run("add", fileset, study / "file 0.dcm").stdout
    assert "added 1 instance, holds 6" in run("add", fileset, study / "file 0.dcm", "--replace").stdout
    result = run("remove", fileset, "--where", "Modality=CT")
    assert "removed 2 instances, holds 4" in result.stdout
    assert "added 2 instances, holds 6" in run("add", fileset, study).stdout
    [plan] = FileSet.open(fileset).find("RT PLAN")
    told = json.loads(run("remove", fileset, plan.sop_instance_uid, "--keep-files", "--json").stdout)
    assert [row["type"] for row in told["removed"]] == ["RT PLAN"]
    assert plan.path.exists()
    assert FileSet.open(fileset).check() == []


def test_a_terminal_is_not_written_to_by_the_directory(fileset: Path) -> None:
    changed = FileSet.open(fileset)
    changed.patients()[0].dataset.PatientID = "\x1b[2J\x07"
    changed.find("RT PLAN")[0].dataset.ReferencedFileID = ["\x1b]0;X", "Y"]
    changed.save()
    result = run("list", fileset, "--check")
    assert "\\x1b[2J\\x07" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr
    assert json.loads(run("list", fileset, "--json").stdout)["instances"][0]["PatientID"] == "\x1b[2J\x07"


def test_a_folder_is_indexed_in_place(tmp_path: Path, study: Path) -> None:
    for number, path in enumerate(sorted(study.glob("*.dcm"))):
        (tmp_path / f"F{number}").write_bytes(path.read_bytes())
    assert run("create", tmp_path, tmp_path).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DICOMDIR", *(f"F{number}" for number in range(6))]
    assert len(FileSet.open(tmp_path)) == 6


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("list", "{set}", "--where", "PatentID=1"), 2, "did you mean PatientID"),
        (("list", "{set}", "--where", "PatientID"), 2, "is not KEYWORD=VALUE"),
        (("remove", "{set}"), 2, "say what to remove"),
        (("remove", "{set}", "1.2.3"), 1, "no instance 1.2.3"),
        (("create", "{set}/new", "--id", "lower case"), 2, "File-set ID"),
        (("list", "{set}/missing"), 2, "does not exist"),
        (("list", "{set}/PA000000"), 1, "DICOMDIR"),
        (("list", "{set}/PA000000/ST000000/SE000002/RP000000"), 1, "RP000000 is no DICOMDIR"),
    ],
)
def test_refusals(fileset: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    result = run(*(argument.format(set=fileset) for argument in arguments))
    assert result.exit_code == status
    assert said in result.stderr
