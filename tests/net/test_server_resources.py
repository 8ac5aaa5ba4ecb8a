"""The server when the system refuses it something, and when a peer gives up half way."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.errors import PeerTimeout
from dicomcore.limits import Limits
from dicomcore.net import AE, Server
from dicomcore.net.association import Association
from dicomcore.net.provider import ServedConnection
from dicomcore.net.server import LONG_REQUESTS
from dicomcore.services.base import Receive, Request, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import Associate, propose
from dicomcore.ul import Association as Core
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE

from .conftest import CT, PATIENCE, RawPeer, Scripted, element, even, eventually, raw_socket, read_to_end, write_ct

Serving = Callable[..., Server]
ABORT = 7


def test_associations_are_served_when_every_descriptor_is_taken(tmp_path: Path) -> None:
    """The limit holds for a process, so the server is one: filled with associations first, then asked."""
    script = """if True:
        import resource, socket, sys
        from dicomcore.net import AE
        from dicomcore.services.storage import StorageSCP
        from dicomcore.services.verification import VerificationSCP
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP(), StorageSCP(sys.argv[1])]) as server:
            print(server.port, flush=True)
            sys.stdin.read()
    """
    arguments = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        user = AE("USER", limits=Limits(association_timeout=3.0, dimse_timeout=PATIENCE))
        open_ones: list[Association] = []
        with suppress(PeerTimeout):
            while len(open_ones) < 40:
                open_ones.append(user.associate("127.0.0.1", port, contexts=[VERIFICATION, CT]))
        assert 20 < len(open_ones) < 40
        assert [association.c_echo() for association in open_ones] == [0] * len(open_ones)
        write_ct(tmp_path / "ct")
        assert open_ones[0].c_store(tmp_path / "ct") == 0xA700
        for association in open_ones:
            association.release()
        with AE("USER").associate("127.0.0.1", port) as association:
            assert association.c_echo() == 0
        process.communicate()
    assert process.returncode == 0


def test_a_port_that_is_taken_leaves_nothing_open(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(OSError, match="in use"):
            user.serve(server.port, host="127.0.0.1", services=[VerificationSCP()])
    assert threading.active_count() == before


def test_a_release_in_the_middle_of_a_message_is_aborted(serving: Serving, tmp_path: Path) -> None:
    server = serving(StorageSCP(tmp_path), limits=Limits(network_timeout=PATIENCE))
    with RawPeer(server.port, CT) as peer:
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2")
        begin = element(8, 0x16, b"UI", even(CT)) + element(8, 0x18, b"UI", b"1.2\0") + bytes(100)
        peer.exchange.request(1, ask, [begin, bytes(100)])
        whole = b"".join(bytes(part) for part in peer.core.segments())  # type: ignore[arg-type]
        peer.sock.sendall(whole[:-112])  # all but the last P-DATA-TF
        eventually(lambda: any(tmp_path.iterdir()))
        peer.sock.sendall(bytes.fromhex("05 00 00000004 00000000"))
        assert read_to_end(peer.sock)[0] == ABORT
    eventually(lambda: not any(tmp_path.iterdir()))


def test_a_worker_that_comes_back_as_the_selector_ends(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a body, behind the last look at the connections and before the last one at the mail."""
    entered, go_on = threading.Event(), threading.Event()

    class Stuck:
        def write(self, view: memoryview) -> None:
            entered.set()
            go_on.wait(PATIENCE)

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(Stuck())

    server = serving(Scripted(provider, CT, CommandField.C_STORE_RQ))
    kill = server._kill

    def last(connection: ServedConnection) -> None:
        kill(connection)
        if connection.lent:
            go_on.set()
            eventually(lambda: server._mailbox)

    monkeypatch.setattr(server, "_kill", last)
    with RawPeer(server.port, CT) as peer:
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2")
        peer.exchange.request(1, ask, [bytes(100), bytes(100)])
        whole = b"".join(bytes(part) for part in peer.core.segments())  # type: ignore[arg-type]
        peer.sock.sendall(whole[:-112])  # all but the last P-DATA-TF
        assert entered.wait(PATIENCE)
        (connection,) = server._connections.values()
        server.close(0.0)
        eventually(lambda: not server.connection_count)
        assert connection.sock.fileno() < 0
        assert server.metrics.connections_open == 0


@pytest.mark.parametrize(
    "behind",
    [b"\x04\0\0\0\0\x06\0\0\0\x02\x01\x03", b"\x99\0\0\0\0\0", bytes.fromhex("07000000000400000000"), b""],
    ids=["data", "garbage", "abort", "end"],
)
def test_what_comes_right_behind_a_request_ends_it_quietly(
    serving: Serving, user: AE, caplog: pytest.LogCaptureFixture, behind: bytes
) -> None:
    server = serving(VerificationSCP())
    core = Core(requestor=True)
    core.request(Associate(propose([(VERIFICATION, (EXPLICIT_LE.uid,))], calling_ae="RAW", called_ae="SERVER")))
    core.connected()
    whole = b"".join(bytes(part) for part in core.segments())  # type: ignore[arg-type]
    with raw_socket(server.port) as sock:
        sock.sendall(whole + behind)
        sock.shutdown(socket.SHUT_WR)
        read_to_end(sock)
    eventually(lambda: server.connection_count == 0)
    assert server.association_count == 0
    assert not [record for record in caplog.records if record.exc_info]
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0


def test_only_a_few_long_requests_are_held_at_a_time(
    serving: Serving, user: AE, caplog: pytest.LogCaptureFixture
) -> None:
    server = serving(VerificationSCP())
    begin = b"\1\0" + (500_000).to_bytes(4, "big") + bytes(200_000)
    with ExitStack() as stack:
        for _ in range(2 * LONG_REQUESTS):
            sock = stack.enter_context(raw_socket(server.port))
            with suppress(OSError):
                sock.sendall(begin)
        eventually(lambda: "long" in caplog.text)
        eventually(lambda: server.connection_count == LONG_REQUESTS)
        with user.associate("127.0.0.1", server.port) as association:  # an ordinary request is taken all the time
            assert association.c_echo() == 0
    eventually(lambda: server.connection_count == 0)
    assert not server._long
