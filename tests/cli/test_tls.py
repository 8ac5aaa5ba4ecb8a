"""``--tls`` of echo, store and serve."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dicomcore.cli.program import program
from dicomcore.net import AE, Server
from dicomcore.net.tls import TLS
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from tests.net.certificates import House
from tests.net.conftest import PATIENCE, write_ct


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], prog_name="dicomcore")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House.build(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(house: House, tmp_path: Path) -> Iterator[Server]:
    tls = TLS("B.11", house.authority.file, certificate=house.server.certificate, key=house.server.key)
    storage = StorageSCP(tmp_path / "received")
    with AE("PACS").serve(0, host="127.0.0.1", services=[VerificationSCP(), storage], tls=tls) as running:
        yield running


def test_echo_and_store(server: Server, house: House, tmp_path: Path) -> None:
    write_ct(tmp_path / "ct.dcm")
    peer = ("localhost", server.port, "--tls", "--tls-profile", "b.11", "--ca", house.authority.file)
    shown = ("--cert", house.client.certificate, "--key", house.client.key)
    echoed = run("echo", *peer, *shown, "--json")
    assert echoed.exit_code == 0, echoed.stderr
    assert json.loads(echoed.stdout)["status"] == 0
    sent = run("store", *peer, *shown, tmp_path / "ct.dcm")
    assert sent.exit_code == 0, sent.stderr
    assert len(list((tmp_path / "received").rglob("*.dcm"))) == 1
    mute = run("echo", *peer)
    assert mute.exit_code == 1
    assert "no TLS connection" in mute.stderr


def test_the_certificate_of_the_peer_is_verified_unless_told_otherwise(house: House) -> None:
    tls = TLS(certificate=house.server.certificate, key=house.server.key)
    with AE("PACS").serve(0, host="127.0.0.1", services=[VerificationSCP()], tls=tls) as server:
        strict = run("echo", "localhost", server.port, "--tls")
        assert strict.exit_code == 1
        assert "its certificate is not accepted" in strict.stderr
        assert run("echo", "localhost", server.port, "--tls", "--no-verify").exit_code == 0
        assert run("echo", "localhost", server.port, "--tls", "--ca", house.authority.file).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--ca", "{ca}"), "belong to --tls"),
        (("--no-verify",), "belong to --tls"),
        (("--tls", "--tls-profile", "B.1"), "bcp195-rfc9325 or B.12"),
        (("--tls", "--key", "{ca}"), "needs --cert"),
        (("--tls", "--ca", "/nowhere"), "does not exist"),
    ],
)
def test_wrong_usage_is_two(house: House, arguments: tuple[str, ...], words: str) -> None:
    result = run("echo", "localhost", 104, *(part.format(ca=house.authority.file) for part in arguments))
    assert result.exit_code == 2
    assert words in result.stderr
    served = run("serve", "--out", "unused", "--tls")
    assert served.exit_code == 2
    assert "needs --cert" in served.stderr


def test_a_file_that_is_no_certificate_is_one(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no PEM")
    result = run("echo", "localhost", 104, "--tls", "--ca", tmp_path / "text")
    assert result.exit_code == 1
    assert "no CA certificates in" in result.stderr


def test_serve(house: House, tmp_path: Path) -> None:
    write_ct(tmp_path / "ct.dcm")
    options = ["--tls", "--cert", house.server.certificate, "--key", house.server.key, "--ca", house.authority.file]
    command = [sys.executable, "-m", "dicomcore", "serve", "--port", "0", "--out", tmp_path / "out", *options]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stdout is not None
            port = int(process.stderr.readline().split("port ")[1].split()[0])
            peer = ("localhost", port, "--tls", "--ca", house.authority.file)
            shown = ("--cert", house.client.certificate, "--key", house.client.key)
            assert run("store", *peer, tmp_path / "ct.dcm").exit_code == 1
            assert run("store", *peer, *shown, tmp_path / "ct.dcm").exit_code == 0
            assert Path(process.stdout.readline().strip()).is_file()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
