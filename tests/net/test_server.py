"""The server: what it answers, what it survives, and that nobody makes it wait."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.dimse.exchange import ResponseReceived
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import AssociationAborted, AssociationRejected, NegotiationError
from dicomcore.limits import Limits
from dicomcore.net import AE, Server
from dicomcore.net.poller import Facilities
from dicomcore.services.base import Call, Receive, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import Aborted, Accepted, Rejected, Release, Released
from dicomcore.vocab.sop_classes import VERIFICATION

from .conftest import CT, FIND, PATIENCE, RawPeer, Scripted, eventually, raw_socket, read_to_end

Serving = Callable[..., Server]
ABORT = 7


def pdu_type(answer: bytes) -> int:
    return answer[0] if answer else 0


# ordinary work


def test_echoes_and_releases(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    for _ in range(5):
        with user.associate("127.0.0.1", server.port) as association:
            assert [association.c_echo() for _ in range(20)] == [0] * 20
            assert server.association_count == 1
    eventually(lambda: server.connection_count == 0)
    assert server.association_count == 0


def test_many_associations_share_few_threads(serving: Serving, user: AE) -> None:
    before = threading.active_count()
    server = serving(VerificationSCP(), workers=2)
    open_ones = [user.associate("127.0.0.1", server.port) for _ in range(40)]
    for _ in range(3):
        assert [association.c_echo() for association in open_ones] == [0] * 40
    assert threading.active_count() <= before + 3  # selector and two workers
    for association in open_ones:
        association.release()
    eventually(lambda: server.connection_count == 0)


def test_idle_association_holds_little_memory(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    with user.associate("127.0.0.1", server.port) as association:
        association.c_echo()
        (connection,) = server._connections.values()
        eventually(lambda: not connection.lent)
        assert connection.core.held_length <= Limits().held_length


def test_no_delay_on_both_ends(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    with user.associate("127.0.0.1", server.port) as association:
        (connection,) = server._connections.values()
        for sock in (association._connection.sock, connection.sock):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_ipv6(user: AE) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    server = user.serve(0, host="::1", services=[VerificationSCP()])
    with server, user.associate("::1", server.port) as association:
        assert association.c_echo() == 0


def test_every_interface_at_once(user: AE) -> None:
    server = user.serve(0, services=[VerificationSCP()])
    with server, user.associate("localhost", server.port) as association:
        assert association.c_echo() == 0


def test_unknown_operation_is_refused_and_the_association_stands(serving: Serving) -> None:
    server = serving(VerificationSCP())
    with RawPeer(server.port) as peer:
        ask = command("N-DELETE-RQ", RequestedSOPClassUID=VERIFICATION, RequestedSOPInstanceUID="1.2")
        peer.exchange.request(1, ask)
        peer.flush()
        (answer,) = peer.receive()
        assert answer.command.Status == 0x0211
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        peer.flush()
        assert peer.receive()[0].command.Status == 0


def test_a_provider_that_fails_answers_0110(serving: Serving, user: AE, caplog: pytest.LogCaptureFixture) -> None:
    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Call(int, "no number")

    server = serving(Scripted(provider))
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0x0110
        assert association.c_echo() == 0x0110
    assert "no number" in caplog.text


def test_a_provider_without_an_answer_answers_0110(
    serving: Serving, user: AE, caplog: pytest.LogCaptureFixture
) -> None:
    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield from ()

    server = serving(Scripted(provider))
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0x0110
    assert "final response" in caplog.text


def test_a_provider_that_exits_ends_its_association_only(
    serving: Serving, user: AE, caplog: pytest.LogCaptureFixture
) -> None:
    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(MemorySink(1)) if request.has_body else Response(sys.exit())

    server = serving(Scripted(provider), workers=1)
    for _ in range(3):
        association = user.associate("127.0.0.1", server.port)
        with pytest.raises(AssociationAborted):
            association.c_echo()
    assert "SystemExit" in caplog.text
    eventually(lambda: server.connection_count == 0)


def test_what_a_call_raises_is_thrown_into_the_provider(serving: Serving, user: AE) -> None:
    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        try:
            yield Call(int, "no number")
        except ValueError:
            yield Response(0xC001 if (yield Call(int, "7")) == 7 else 0xC002)

    server = serving(Scripted(provider))
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0xC001


# a peer that goes, cancels, stalls or does not read


def test_abort_reaches_a_running_provider(serving: Serving) -> None:
    running, contexts = threading.Event(), []
    over = threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        contexts.append(context)
        try:
            yield Call(running.set)
            yield Call(eventually, lambda: context.peer_gone)
            yield Response(0)
        finally:
            over.set()

    server = serving(Scripted(provider))
    for rude in (True, False):
        running.clear()
        over.clear()
        with RawPeer(server.port) as peer:
            peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
            peer.flush()
            assert running.wait(PATIENCE)
            if not rude:
                peer.sock.sendall(bytes.fromhex("07 00 00000004 00 00 00 00"))
            else:
                peer.sock.close()
            assert over.wait(PATIENCE)
    assert all(context.peer_gone for context in contexts)
    eventually(lambda: server.connection_count == 0)


def find_provider(work: Callable[[ServiceContext], None], status: int) -> Scripted:
    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(MemorySink(1000))
        yield Call(work, context)
        yield Response(status)

    return Scripted(provider, FIND, CommandField.C_FIND_RQ)


def test_cancel_reaches_a_running_provider(serving: Serving) -> None:
    running = threading.Event()

    def work(context: ServiceContext) -> None:
        running.set()
        eventually(lambda: context.cancelled)

    server = serving(find_provider(work, 0xFE00))
    with RawPeer(server.port, FIND) as peer:
        message_id = peer.exchange.request(1, command("C-FIND-RQ", AffectedSOPClassUID=FIND, Priority=0), b"")
        peer.flush()
        assert running.wait(PATIENCE)
        peer.exchange.cancel(1, message_id)
        peer.flush()
        (answer,) = peer.receive()
        assert answer.command.Status == 0xFE00


def test_release_during_an_operation_waits_for_it(serving: Serving) -> None:
    running, go_on = threading.Event(), threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        running.set()
        yield Call(go_on.wait, PATIENCE)
        yield Response(0)

    server = serving(Scripted(provider))
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        peer.flush()
        assert running.wait(PATIENCE)
        peer.core.request(Release())
        peer.flush()
        (connection,) = server._connections.values()
        eventually(lambda: connection._release_due)
        go_on.set()
        found: list[Any] = []
        while not any(isinstance(event, Released) for event in found):
            found += peer.receive()
        assert isinstance(found[0], ResponseReceived)


def test_stalled_senders_hold_no_worker(serving: Serving, user: AE, tmp_path: Path) -> None:
    server = serving(StorageSCP(tmp_path), VerificationSCP(), workers=1)
    stalled = []
    for _ in range(5):
        peer = RawPeer(server.port, CT)
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2.3", Priority=0)
        peer.exchange.request(1, ask, bytes(100_000))
        peer.sock.sendall(b"".join(bytes(part) for part in peer.core.segments())[:50_000])  # type: ignore[arg-type]
        stalled.append(peer)
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0
    for peer in stalled:
        peer.sock.close()
    eventually(lambda: server.connection_count == 0)
    assert list(tmp_path.iterdir()) == []


def test_a_peer_that_does_not_read_holds_no_worker_and_no_memory(serving: Serving, user: AE) -> None:
    made = []
    closed = threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(MemorySink(1000))
        try:
            for number in range(1_000_000):
                made.append(number)
                yield Response(0xFF00, bytes(10_000))
        finally:
            closed.set()

    server = serving(Scripted(provider, FIND, CommandField.C_FIND_RQ), VerificationSCP(), workers=1)
    with RawPeer(server.port, FIND) as peer:
        peer.exchange.request(1, command("C-FIND-RQ", AffectedSOPClassUID=FIND, Priority=0), b"")
        peer.flush()
        with user.associate("127.0.0.1", server.port) as association:
            for _ in range(10):
                assert association.c_echo() == 0
        eventually(lambda: [row.lent for row in server._connections.values()] == [False])
        (connection,) = server._connections.values()
        assert connection.core.queued_length < 100_000
        paused_at = len(made)
        for _ in range(50):
            peer.receive()
        eventually(lambda: len(made) > paused_at)
    assert closed.wait(PATIENCE)


def test_a_silent_peer_amid_a_message_is_aborted(serving: Serving) -> None:
    server = serving(VerificationSCP(), limits=Limits(network_timeout=0.05))
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        peer.sock.sendall(b"".join(bytes(part) for part in peer.core.segments())[:30])  # type: ignore[arg-type]
        (event,) = peer.receive()
        assert isinstance(event, Aborted)


def test_an_idle_association_is_aborted_after_its_time(serving: Serving) -> None:
    server = serving(VerificationSCP(), limits=Limits(idle_timeout=0.05))
    with RawPeer(server.port) as peer:
        assert isinstance(peer.receive()[0], Aborted)
    eventually(lambda: server.connection_count == 0)


# peers that speak no DICOM, or too much of it


def hostile(server: Server, data: bytes) -> bytes:
    with raw_socket(server.port) as sock:
        sock.sendall(data)
        return read_to_end(sock)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        random.Random(1).randbytes(5000),
        b"\xff" * 100,
        bytes.fromhex("04 00 0000000A 00000006 01 03 0000 0000"),  # P-DATA-TF before an association
        bytes.fromhex("05 00 00000004 00000000"),  # A-RELEASE-RQ before an association
        bytes.fromhex("01 00 00000044") + b"\xff" * 68,  # an A-ASSOCIATE-RQ full of nonsense
    ],
    ids=["http", "random", "ff", "data", "release", "nonsense"],
)
def test_what_is_no_association_is_aborted(serving: Serving, user: AE, data: bytes) -> None:
    server = serving(VerificationSCP())
    assert pdu_type(hostile(server, data)) in (3, ABORT)
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0
    eventually(lambda: server.connection_count == 0)


def test_an_association_request_of_4_gib_is_refused_at_its_header(serving: Serving) -> None:
    server = serving(VerificationSCP())
    answer = hostile(server, struct.pack(">BxI", 1, 0xFFFFFFFF) + bytes(64))
    assert pdu_type(answer) in (3, ABORT)


def test_closing_amid_a_pdu_leaves_nothing(serving: Serving) -> None:
    server = serving(VerificationSCP())
    for data in (b"", b"\x01", struct.pack(">BxI", 1, 500) + bytes(100)):
        with raw_socket(server.port) as sock:
            sock.sendall(data)
    with RawPeer(server.port) as peer:
        peer.sock.sendall(bytes.fromhex("04 00 00001000 00000FFC 01 03") + bytes(1000))
    eventually(lambda: server.connection_count == 0)
    assert server.association_count == 0


def test_silence_ends_with_artim(serving: Serving) -> None:
    server = serving(VerificationSCP(), limits=Limits(artim=0.05))
    with raw_socket(server.port) as quiet, raw_socket(server.port) as slow:
        slow.sendall(b"\x01")
        assert read_to_end(quiet) == b""
        read_to_end(slow)
    eventually(lambda: server.connection_count == 0)


def test_more_associations_than_allowed_are_rejected_for_now(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP(), limits=Limits(association_count=2))
    first, second = (user.associate("127.0.0.1", server.port) for _ in range(2))
    with pytest.raises(AssociationRejected) as caught:
        user.associate("127.0.0.1", server.port)
    assert caught.value.answer == (2, 3, 2)
    first.release()
    eventually(lambda: server.association_count == 1)
    with user.associate("127.0.0.1", server.port) as third:
        assert third.c_echo() == second.c_echo() == 0
    second.release()


def test_a_flood_of_connections_is_bounded(serving: Serving, user: AE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicomcore.net.door.HANDSHAKES", 10)
    server = serving(VerificationSCP(), limits=Limits(association_count=5))
    flood = [raw_socket(server.port) for _ in range(40)]
    eventually(lambda: server.connection_count == 15)
    for sock in flood:
        sock.close()
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0


def test_titles_are_checked(serving: Serving) -> None:
    server = serving(VerificationSCP(), require_called_ae=True, allowed_calling=["FRIEND"])
    for title, called, answer in (("FRIEND", "OTHER", (1, 1, 7)), ("STRANGER", "SERVER", (1, 1, 3))):
        with pytest.raises(AssociationRejected) as caught:
            AE(title).associate("127.0.0.1", server.port, called_ae=called)
        assert caught.value.answer == answer
    with AE("FRIEND").associate("127.0.0.1", server.port, called_ae="SERVER") as association:
        assert association.c_echo() == 0


_MEMORY = """
import socket, struct, sys
from dicomcore.net import AE
from dicomcore.services.verification import VerificationSCP
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()]) as server:
    with AE("USER").associate("127.0.0.1", server.port) as association:
        association.c_echo()
    before = peak()
    socks = []
    for _ in range(100):
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(struct.pack(">BxI", 1, 1 << 20) + bytes(40_000))
        socks.append(sock)
    with AE("USER").associate("127.0.0.1", server.port) as association:
        association.c_echo()
    print((peak() - before) * 1024 / 100)
"""


@pytest.mark.footprint
def test_a_connection_that_is_no_association_costs_at_most_64_kib() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    done = subprocess.run([sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) <= Limits().handshake_length * 1.25  # the sockets of this side are in it too


# closing


def test_close_aborts_idle_associations(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP())
    association = user.associate("127.0.0.1", server.port)
    assert association.c_echo() == 0
    server.close()
    assert server.wait(0)
    with pytest.raises(AssociationAborted):
        association.c_echo()
    with pytest.raises(NegotiationError):
        user.associate("127.0.0.1", server.port)
    server.close()


def test_close_lets_an_operation_finish(serving: Serving) -> None:
    running, go_on = threading.Event(), threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        running.set()
        yield Call(go_on.wait, PATIENCE)
        yield Response(0)

    server = serving(Scripted(provider))
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        peer.flush()
        assert running.wait(PATIENCE)
        closer = threading.Thread(target=server.close)
        closer.start()
        eventually(lambda: not server._door.is_open)
        go_on.set()
        events = [*peer.receive(), *peer.receive()]
        assert isinstance(events[0], ResponseReceived)
        assert isinstance(events[1], Aborted)
        closer.join(PATIENCE)
        assert not closer.is_alive()


def test_close_does_not_wait_for_a_stuck_worker(serving: Serving) -> None:
    running, go_on = threading.Event(), threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        running.set()
        yield Call(go_on.wait)
        yield Response(0)

    server = serving(Scripted(provider))
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        peer.flush()
        assert running.wait(PATIENCE)
        server.close(0.05)
        assert server.wait(0)
        assert isinstance(peer.receive()[0], Aborted)
        go_on.set()


def test_workers_are_needed(facilities: Facilities) -> None:
    with pytest.raises(ValueError, match="worker"):
        AE("SERVER", facilities=facilities).serve(0, host="127.0.0.1", services=[VerificationSCP()], workers=0)


def test_accepted_and_rejected_are_what_a_raw_peer_sees(serving: Serving) -> None:
    server = serving(VerificationSCP(), limits=Limits(association_count=1))
    with RawPeer(server.port) as peer:
        assert isinstance(peer.first, Accepted)
        with RawPeer(server.port) as refused:
            assert isinstance(refused.first, Rejected)


def test_a_few_bytes_of_a_pdu_are_acknowledged_at_once(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that writes header and content apart would hold the content back for 40 ms."""
    acknowledged = threading.Event()
    monkeypatch.setattr("dicomcore.net.provider.ServedConnection._acknowledge", lambda _: acknowledged.set())
    server = serving(VerificationSCP())
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        whole = b"".join(bytes(part) for part in peer.core.segments())  # type: ignore[arg-type]
        assert not acknowledged.is_set()
        peer.sock.sendall(whole[:12])
        assert acknowledged.wait(PATIENCE)
        peer.sock.sendall(whole[12:])
        assert peer.receive()[0].command.Status == 0
