"""DCMTK at the other end: its echoscu, storescu and storescp against ours, both ways."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicomcore.data.part10 import read_header
from dicomcore.errors import NegotiationError
from dicomcore.limits import Limits
from dicomcore.net import AE, store
from dicomcore.services.base import ServiceProvider
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from tests.net.conftest import free_port

Peer = Callable[[str], str]
PATIENCE = 240.0
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=ENVIRONMENT,
    )


@contextmanager
def storescp(program: str, folder: Path, *options: str) -> Iterator[int]:
    """DCMTK's server on a free port; it says nothing when it is ready, so its port is asked until it answers."""
    port = free_port()
    process = subprocess.Popen(
        [program, "-od", str(folder), *options, str(port)],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ae = AE("PROBE")
        for _ in range(20_000):
            assert process.poll() is None
            try:
                with ae.associate("127.0.0.1", port) as association:
                    assert association.c_echo() == 0
                break
            except NegotiationError:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.01)
        yield port
    finally:
        process.kill()
        process.wait()


def body(path: Path) -> bytes:
    return path.read_bytes()[read_header(path).dataset_offset :]


def test_their_echo(peer: Peer) -> None:
    with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()]) as server:
        done = run(peer("echoscu"), "-v", "--repeat", "20", "127.0.0.1", str(server.port))
        assert done.returncode == 0, done.stderr
        assert "Success" in done.stderr + done.stdout


@pytest.mark.parametrize("length", [4096, 16384, 131072])
def test_their_storescu(peer: Peer, files: list[Path], tmp_path: Path, length: int) -> None:
    services: list[ServiceProvider] = [StorageSCP(tmp_path / "out"), VerificationSCP()]
    with AE("SERVER", limits=Limits(pdu_length=length)).serve(0, host="127.0.0.1", services=services) as server:
        done = run(peer("storescu"), "-pdu", str(length), "127.0.0.1", str(server.port), *files)
        assert done.returncode == 0, done.stderr
    for path in files:
        uid = read_header(path).sop_instance_uid
        assert body(tmp_path / "out" / f"{uid}.dcm") == body(path)


def test_what_they_stored_reads_with_their_dump(peer: Peer, files: list[Path], tmp_path: Path) -> None:
    with AE("SERVER").serve(0, host="127.0.0.1", services=[StorageSCP(tmp_path / "out")]) as server:
        assert run(peer("storescu"), "127.0.0.1", str(server.port), *files).returncode == 0
    for path in (tmp_path / "out").iterdir():
        done = run(peer("dcmdump"), path)
        assert done.returncode == 0
        assert "TransferSyntaxUID" in done.stdout


def test_an_aborting_storescu_leaves_nothing(peer: Peer, files: list[Path], tmp_path: Path) -> None:
    with AE("SERVER").serve(0, host="127.0.0.1", services=[StorageSCP(tmp_path / "out")]) as server:
        done = run(peer("storescu"), "--abort", "127.0.0.1", str(server.port), files[0])
        assert done.returncode == 0, done.stderr
        with AE("USER").associate("127.0.0.1", server.port, contexts=[files[1]]) as association:
            assert association.c_store(files[1]) == 0


def test_their_titles_are_refused(peer: Peer) -> None:
    with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()], require_called_ae=True) as server:
        assert run(peer("echoscu"), "-aec", "WRONG", "127.0.0.1", str(server.port)).returncode != 0
        assert run(peer("echoscu"), "-aec", "SERVER", "127.0.0.1", str(server.port)).returncode == 0


@pytest.mark.parametrize("length", [4096, 16384, 131072])
def test_their_storescp(peer: Peer, files: list[Path], tmp_path: Path, length: int) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with storescp(peer("storescp"), out, "-pdu", str(length), "+B") as port:
        report = store(files, ("127.0.0.1", port))
    assert len(report.stored) == len(files)
    kept = {read_header(path).sop_instance_uid: path for path in out.iterdir()}
    for path in files:
        assert body(kept[read_header(path).sop_instance_uid]) == body(path)
