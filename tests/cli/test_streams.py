"""Standard output as it comes: full, closed, of another encoding, a terminal that obeys escapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dicomcore import Dataset
from dicomcore.cli.program import program

ESCAPE = "\x1b[2J"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ds = Dataset({"SpecificCharacterSet": "ISO_IR 192", "PatientName": "山田^太郎", "PatientID": f"{ESCAPE}1"})
    ds.SOPClassUID, ds.SOPInstanceUID = f"1.2{ESCAPE}", "1.3"
    ds.RelatedGeneralSOPClassUID = ["1.2", f"1.3{ESCAPE}"]
    ds.add_new(0x00090010, "LO", f"EVIL{ESCAPE}")
    path = tmp_path / "ünï ❤.dcm"
    ds.save_as(path)
    return path


def child(*arguments: object, stdout: int, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "dicomcore", *map(str, arguments)]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, timeout=240, env={**os.environ, **environment}, check=False
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
@pytest.mark.parametrize("command", ["dump", "json"])
def test_a_full_output_is_one_line_and_one(path: Path, command: str) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        done = child(command, path, stdout=descriptor)
    finally:
        os.close(descriptor)
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error:")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_names_and_values_come_out_in_any_encoding(path: Path, encoding: str) -> None:
    done = child("dump", path, path, stdout=subprocess.PIPE, PYTHONIOENCODING=f"{encoding}:backslashreplace")
    assert done.returncode == 0
    assert {line[:9] for line in done.stderr.splitlines()} == {b"Warning: "}  # its escape sequences are no characters
    assert done.stdout.count(b"Patient ID") == 2
    done = child("dump", path, path, stdout=subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    done = child("json", path, stdout=subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["00100020"]["Value"] == [f"{ESCAPE}1"]


def test_a_value_does_not_steer_the_terminal(path: Path) -> None:
    result = CliRunner().invoke(program, ["dump", str(path)], color=True)
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert r"\x1b[2J" in result.output


def test_a_host_that_is_no_name(tmp_path: Path) -> None:
    for arguments in (["serve", "--port", "0", "--host", "..", "--out", str(tmp_path)], ["echo", "..", "104"]):
        result = CliRunner().invoke(program, arguments)
        assert result.exit_code == 1
        assert "Error: " in result.stderr
