"""The commands as a user types them: help, exit status, what goes to which stream; peers are servers of our own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dicomcore import __version__
from dicomcore.cli.program import COMMANDS, program
from dicomcore.data.files import dcmread
from dicomcore.net import AE, Server
from dicomcore.rt.phantom import Settings, iter_study
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP

HOST = "127.0.0.1"
ANSWER = 240.0  # seconds; a guard against a hang, no test waits for it


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], prog_name="dicomcore")


def child(*arguments: object, **options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "error", **options}
    command = [sys.executable, "-m", "dicomcore", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, env=environment, check=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for number, ds in enumerate(iter_study(Settings(slices=2, matrix=32, dose_spacing=20.0, contour_points=8, seed=3))):
        ds.save_as(folder / f"{number}.dcm", transfer_syntax="1.2.840.10008.1.2.1")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    storage = StorageSCP(tmp_path / "received")
    with AE("PACS").serve(port=0, host=HOST, services=[VerificationSCP(), storage]) as running:
        yield running


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:  # and not listening
        taken.bind((HOST, 0))
        yield taken.getsockname()[1]


# help and usage


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_shows_an_example(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"dicomcore {command}".strip() in result.stdout
    assert "Example:" in result.stdout


def test_help_lists_every_command_and_imports_none_of_them() -> None:
    code = (
        "import sys\nfrom dicomcore.cli.program import program\n"
        "program(['--help'], standalone_mode=False)\n"
        "print([name for name in sys.modules if name.startswith(('numpy', 'rich', 'dicomcore.data', 'dicomcore.net'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=ANSWER, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_version_through_the_module() -> None:
    done = child("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout


@pytest.mark.parametrize("arguments", [
    ("nothing",),
    ("dump",),
    ("dump", "/does/not/exist.dcm"),
    ("echo", "localhost"),
    ("echo", "localhost", "0"),
    ("echo", "localhost", "104", "--called", "MORE THAN SIXTEEN"),
    ("echo", "localhost", "104", "--called", "A\\B"),
    ("store", "localhost", "104"),
    ("serve",),
    ("demo", "--slices", "0"),
])  # fmt: skip
def test_wrong_usage_is_two(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error" in result.stderr


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    code = (
        f"import sys\nsys.modules[{missing!r}] = None\nfrom dicomcore.cli import main\n"
        "sys.argv = ['dicomcore', 'demo']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=ANSWER, check=False)
    assert done.returncode == 1
    assert f"needs {missing}: pip install 'dicomcore[cli]'" in done.stderr


# dump and json


def test_dump_prints_elements(study: Path) -> None:
    result = run("dump", study / "3.dcm")
    assert result.exit_code == 0
    assert "(0010,0010) Patient's Name" in result.stdout
    assert "Gantry Angle" in result.stdout
    assert result.stderr == ""


def test_dump_of_chosen_elements_of_several_files(study: Path) -> None:
    result = run("dump", "--tag", "Modality", "--tag", "GantryAngle", study / "2.dcm", study / "3.dcm")
    assert result.exit_code == 0
    assert "RTSTRUCT" in result.stdout
    assert "RTPLAN" in result.stdout
    assert str(study / "2.dcm") in result.stdout
    assert "Patient" not in result.stdout


def test_dump_of_garbage_is_one_and_the_rest_is_shown(study: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.dcm").write_bytes(b"GET / HTTP/1.1\r\n\r\n" * 20)
    result = run("dump", tmp_path / "bad.dcm", study / "3.dcm")
    assert result.exit_code == 1
    assert "bad.dcm" in result.stderr
    assert "RTPLAN" in result.stdout
    assert run("dump", "--tag", "NoSuchKeyword", study / "3.dcm").exit_code == 2


def test_json_is_the_json_model(study: Path, tmp_path: Path) -> None:
    result = run("json", study / "3.dcm")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["00100010"]["Value"][0]["Alphabetic"] == "Phantom^Water"
    indented = run("json", "--indent", "2", study / "3.dcm")
    assert json.loads(indented.stdout) == json.loads(result.stdout)
    assert len(indented.stdout.splitlines()) > 100
    (tmp_path / "bad.dcm").write_bytes(bytes(range(256)))
    assert run("json", tmp_path / "bad.dcm").exit_code == 1


# echo and store


def test_echo_of_a_peer_that_is_there(server: Server) -> None:
    result = run("echo", HOST, server.port, "--called", "PACS")
    assert result.exit_code == 0
    assert "Success" in result.stdout
    row = json.loads(run("echo", HOST, server.port, "--count", 3, "--json").stdout)
    assert (row["status"], row["count"], row["port"]) == (0, 3, server.port)


def test_echo_of_nobody_is_one(closed_port: int) -> None:
    result = run("echo", HOST, closed_port, "--timeout", "5")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert str(closed_port) in result.stderr


def test_echo_of_who_refuses_is_one() -> None:
    with AE("OTHER").serve(port=0, host=HOST, services=[VerificationSCP()], require_called_ae=True) as strict:
        result = run("echo", HOST, strict.port, "--called", "PACS")
        assert result.exit_code == 1
        assert "Error" in result.stderr
        assert run("echo", HOST, strict.port, "--called", "OTHER").exit_code == 0


def test_store_of_a_folder(server: Server, study: Path, tmp_path: Path) -> None:
    result = run("store", HOST, server.port, study, "--called", "PACS")
    assert result.exit_code == 0, result.stderr
    assert "stored 6 objects" in result.stdout
    assert result.stderr == ""
    stored = {dcmread(path).SOPInstanceUID: dcmread(path) for path in (tmp_path / "received").iterdir()}
    for path in study.iterdir():
        original = dcmread(path)
        assert stored[original.SOPInstanceUID] == original


def test_store_passes_over_what_is_no_dicom_in_folders_only(server: Server, study: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "a.dcm").write_bytes((study / "3.dcm").read_bytes())
    (mixed / "notes.txt").write_text("no DICOM at all")
    result = run("store", HOST, server.port, mixed, "--json")
    assert result.exit_code == 0
    assert "notes.txt" in result.stderr
    report = json.loads(result.stdout)
    assert (report["stored"], report["failed"], len(report["objects"])) == (1, 0, 1)
    assert report["objects"][0]["status"] == 0
    both = run("store", HOST, server.port, mixed / "notes.txt", mixed / "a.dcm")
    assert (both.exit_code, "stored 1 object" in both.stdout) == (1, True)
    (mixed / "a.dcm").unlink()
    assert run("store", HOST, server.port, mixed).exit_code == 1


def test_store_counts_what_the_peer_refuses(study: Path, tmp_path: Path) -> None:
    plans = {"1.2.840.10008.5.1.4.1.1.481.5": ("1.2.840.10008.1.2.1",)}
    services = [StorageSCP(tmp_path / "plans", supported=plans)]
    with AE("PLANS").serve(port=0, host=HOST, services=services) as server:
        result = run("store", HOST, server.port, study, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["stored"], report["failed"]) == (1, 5)
    assert "CT Image Storage" in result.stderr


def test_store_to_a_full_disk_is_one(study: Path, tmp_path: Path) -> None:
    def full(stored: object) -> int:
        return 0xA700

    services = [StorageSCP(tmp_path / "full", on_stored=full)]
    with AE("FULL").serve(port=0, host=HOST, services=services) as server:
        result = run("store", HOST, server.port, study / "3.dcm")
    assert result.exit_code == 1
    assert "A700" in result.stderr
    assert "stored 0 of 1 objects" in result.stdout


# serve and demo, as processes


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_stores_and_ends_in_good_order(stop: signal.Signals, study: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dicomcore", "serve", "--port", "0", "--ae", "PACS", "--host", HOST]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as serving:
        assert serving.stderr is not None
        port = int(serving.stderr.readline().split("port ")[1].split()[0])
        try:
            sent = run("store", HOST, port, study, "--called", "PACS")
            assert sent.exit_code == 0, sent.stderr
        finally:
            serving.send_signal(stop)
        out, _ = serving.communicate(timeout=ANSWER)
    assert serving.returncode == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert {Path(row["path"]) for row in rows} == set(tmp_path.iterdir())
    assert {row["calling"] for row in rows} == {"DICOMCORE"}
    assert len(rows) == 6


def test_serve_outlives_the_reader_of_its_lines(study: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dicomcore", "serve", "--port", "0", "--host", HOST, "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr is not None
        assert serving.stdout is not None
        port = int(serving.stderr.readline().split("port ")[1].split()[0])
        try:
            serving.stdout.close()
            assert run("store", HOST, port, study).exit_code == 0
        finally:
            serving.send_signal(signal.SIGTERM)
        serving.stderr.read()
        serving.wait(timeout=ANSWER)
    assert len(list(tmp_path.glob("*.dcm"))) == 6


def test_serve_on_a_taken_port_is_one(server: Server, tmp_path: Path) -> None:
    result = run("serve", "--port", server.port, "--host", HOST, "--out", tmp_path)
    assert result.exit_code == 1
    assert f"cannot listen on {HOST}:{server.port}" in result.stderr


def test_dump_says_what_is_not_there(study: Path) -> None:
    result = run("dump", "--tag", "BeamName", study / "3.dcm")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no BeamName at the outermost level" in result.stderr
    assert "did you mean BeamName?" in run("dump", "--tag", "BeamNam", study / "3.dcm").stderr


def test_json_names_the_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")
    assert str(tmp_path / "notes.txt") in run("json", tmp_path / "notes.txt").stderr


def test_demo_as_a_process(tmp_path: Path) -> None:
    done = child("demo", "--slices", "3", "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("RTSTRUCT", "RTPLAN", "RTDOSE", "RTIMAGE", "MB/s", "7 objects", "Gy", str(tmp_path)):
        assert word in done.stdout, word
    assert "\x1b" not in done.stdout
    assert len(list((tmp_path / "received").glob("*.dcm"))) == 7


def test_demo_for_a_program(tmp_path: Path) -> None:
    done = child("demo", "--slices", "1", "--out", tmp_path, "--json")
    assert done.returncode == 0
    figures = json.loads(done.stdout)
    assert (figures["objects"], figures["equal"], figures["image_shape"]) == (5, 5, [512, 512])
    assert figures["megabytes_per_second"] > 0
    assert figures["dose_maximum_gy"] > 50


def test_demo_shows_pictures_on_a_colour_terminal(tmp_path: Path) -> None:
    done = child("demo", "--slices", "1", "--out", tmp_path, FORCE_COLOR="1", COLORTERM="truecolor", COLUMNS="140")
    assert done.returncode == 0
    assert done.stdout.count("▀") == 2 * 64 * 32
