"""Servers of every driver: peers that cancel, leave, stall, do not read, or speak no DICOM; limits and refusals."""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.dimse.exchange import ResponseReceived
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import AssociationAborted, AssociationRejected, NegotiationError
from dicomcore.limits import Limits
from dicomcore.services.base import Call, Receive, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import Aborted, Accept, Acceptance, Association, AsyncWindow, Release, Released
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE
from tests.net.conftest import CT, FIND, PATIENCE, RawPeer, Scripted, eventually, raw_socket, read_to_end

from .drivers import Driver

ECHO = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)
FINDING = command("C-FIND-RQ", AffectedSOPClassUID=FIND, Priority=0)
STORING = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2.3", Priority=0)
ABORT = 7


def send(peer: RawPeer, length: int) -> None:
    """Only so many bytes of what waits to be sent."""
    peer.sock.sendall(b"".join(bytes(part) for part in peer.core.segments())[:length])  # type: ignore[arg-type]


def test_contexts_are_refused_and_explained(driver: Driver) -> None:
    server = driver.serve(VerificationSCP())
    with pytest.raises(NegotiationError, match="CT Image Storage"):
        driver.associate(server.port, contexts=[CT])
    eventually(lambda: server.connection_count == 0)
    with driver.associate(server.port, contexts=[CT, VERIFICATION]) as association:
        assert association.c_echo() == 0
        assert "CT Image Storage" in association.explain()


def test_rejected_for_titles_and_for_number(driver: Driver) -> None:
    server = driver.serve(VerificationSCP(), require_called_ae=True, limits=Limits(association_count=1))
    with pytest.raises(AssociationRejected) as caught:
        driver.associate(server.port, called_ae="OTHER")
    assert caught.value.answer == (1, 1, 7)
    with driver.associate(server.port, called_ae="SERVER"):
        with pytest.raises(AssociationRejected) as caught:
            driver.associate(server.port, called_ae="SERVER")
        assert caught.value.answer == (2, 3, 2)
    eventually(lambda: server.connection_count == 0)
    with driver.associate(server.port, called_ae="SERVER") as association:
        assert association.c_echo() == 0


def test_a_provider_that_fails_answers_a_status(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        try:
            yield Call(int, "no number")
        except ValueError:
            yield Call(int, "nor this")

    server = driver.serve(Scripted(provider))
    with driver.associate(server.port) as association:
        assert [association.c_echo() for _ in range(3)] == [0x0110] * 3
    assert "nor this" in caplog.text


def test_a_provider_that_exits_ends_its_association_only(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Response(sys.exit())

    server = driver.serve(Scripted(provider), workers=1)
    for _ in range(3):
        association = driver.associate(server.port)
        with pytest.raises(AssociationAborted):
            association.c_echo()
    assert "SystemExit" in caplog.text
    eventually(lambda: server.connection_count == 0)


@pytest.mark.parametrize("manner", ["abort", "close"])
def test_a_running_provider_learns_that_its_peer_is_gone(driver: Driver, manner: str) -> None:
    running, over = threading.Event(), threading.Event()
    contexts: list[ServiceContext] = []

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        contexts.append(context)
        try:
            yield Call(running.set)
            yield Call(eventually, lambda: context.peer_gone)
            yield Response(0)
        finally:
            over.set()

    server = driver.serve(Scripted(provider))
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, ECHO)
        peer.flush()
        assert running.wait(PATIENCE)
        if manner == "abort":
            peer.sock.sendall(bytes.fromhex("07 00 00000004 00 00 00 00"))
        else:
            peer.sock.close()
        assert over.wait(PATIENCE)
    assert contexts[0].peer_gone
    eventually(lambda: server.connection_count == 0)


def test_a_running_provider_learns_that_it_is_cancelled(driver: Driver) -> None:
    running = threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(MemorySink(1000))
        running.set()
        yield Call(eventually, lambda: context.cancelled)
        yield Response(0xFE00)

    server = driver.serve(Scripted(provider, FIND, CommandField.C_FIND_RQ))
    with RawPeer(server.port, FIND) as peer:
        message_id = peer.exchange.request(1, FINDING, b"")
        peer.flush()
        assert running.wait(PATIENCE)
        peer.exchange.cancel(1, message_id)
        peer.flush()
        (answer,) = peer.receive()
        assert answer.command.Status == 0xFE00


def test_release_waits_for_what_runs(driver: Driver) -> None:
    running, go_on = threading.Event(), threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        running.set()
        yield Call(go_on.wait, PATIENCE)
        yield Response(0)

    server = driver.serve(Scripted(provider))
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, ECHO)
        peer.flush()
        assert running.wait(PATIENCE)
        peer.core.request(Release())
        peer.flush()
        go_on.set()
        found: list[Any] = []
        while not any(isinstance(event, Released) for event in found):
            found += peer.receive()
        assert isinstance(found[0], ResponseReceived)
    eventually(lambda: server.connection_count == 0)


@pytest.mark.parametrize("prompt", [True, False])
@pytest.mark.parametrize("manner", ["abort", "close", "fault"])
def test_a_body_that_breaks_off_leaves_nothing(driver: Driver, ram_path: Path, manner: str, prompt: bool) -> None:
    stored: list[Any] = []
    service = StorageSCP(ram_path) if prompt else StorageSCP(ram_path, on_stored=stored.append)
    server = driver.serve(service)
    with RawPeer(server.port, CT) as peer:
        peer.exchange.request(1, STORING, bytes(600_000))
        send(peer, 300_000 if manner != "abort" else 600_000)
        if manner == "abort":
            send(peer, 0)
            peer.sock.sendall(bytes.fromhex("07 00 00000004 00 00 00 00"))
        elif manner == "fault":
            peer.sock.sendall(bytes(300_000) + b"\xff" * 1000)
        peer.sock.close()
    eventually(lambda: server.connection_count == 0)
    assert list(ram_path.iterdir()) == []
    assert stored == []


def test_stalled_senders_hold_no_worker(driver: Driver, ram_path: Path) -> None:
    server = driver.serve(StorageSCP(ram_path, on_stored=lambda stored: None), VerificationSCP(), workers=1)
    stalled = []
    for _ in range(5):
        peer = RawPeer(server.port, CT)
        peer.exchange.request(1, STORING, bytes(100_000))
        send(peer, 50_000)
        stalled.append(peer)
    with driver.associate(server.port) as association:
        assert association.c_echo() == 0
    for peer in stalled:
        peer.sock.close()
    eventually(lambda: server.connection_count == 0)
    assert list(ram_path.iterdir()) == []


def test_a_peer_that_does_not_read_pauses_its_provider(driver: Driver) -> None:
    made: list[int] = []
    closed = threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(MemorySink(1000))
        try:
            for number in range(1_000_000):
                made.append(number)
                yield Response(0xFF00, bytes(10_000))
        finally:
            closed.set()

    def stands() -> bool:
        before = len(made)
        with driver.associate(server.port) as association:
            assert [association.c_echo() for _ in range(10)] == [0] * 10
        return bool(made) and len(made) == before

    server = driver.serve(Scripted(provider, FIND, CommandField.C_FIND_RQ), VerificationSCP(), workers=1)
    with RawPeer(server.port, FIND) as peer:
        peer.exchange.request(1, FINDING, b"")
        peer.flush()
        eventually(stands)
        paused_at = len(made)
        assert paused_at < 10_000
        while len(made) == paused_at:
            peer.receive()
    assert closed.wait(PATIENCE)


def test_a_slow_provider_is_not_overrun(driver: Driver) -> None:
    """The second request waits outside of this process while the first is performed; its bytes fill no memory here."""
    go_on = threading.Event()
    received: list[int] = []

    class Counting:
        def write(self, view: memoryview) -> None:
            received.append(len(view))

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(Counting())
        yield Call(go_on.wait, PATIENCE)
        yield Response(0)

    server = driver.serve(Scripted(provider, CT, CommandField.C_STORE_RQ), window=1)
    with RawPeer(server.port, CT, window=AsyncWindow(2, 1)) as peer:
        sender = threading.Thread(target=flood, args=(peer,))
        sender.start()
        eventually(lambda: sum(received) >= 1000)
        go_on.set()
        answers: list[Any] = []
        while len(answers) < 2:
            answers += peer.receive()
        sender.join(PATIENCE)
    assert sum(received) == 1000 + 20_000_000


def flood(peer: RawPeer) -> None:
    peer.exchange.request(1, STORING, bytes(1000))
    peer.flush()
    peer.exchange._windows = (2, 1)  # a peer that asks more than was agreed
    peer.exchange.request(1, STORING, bytes(20_000_000))
    peer.flush()


def test_silence_amid_a_message_ends_the_association(driver: Driver) -> None:
    server = driver.serve(VerificationSCP(), limits=Limits(network_timeout=0.05))
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, ECHO)
        send(peer, 30)
        (event,) = peer.receive()
        assert isinstance(event, Aborted)


def test_an_idle_association_ends_after_its_time(driver: Driver) -> None:
    server = driver.serve(VerificationSCP(), limits=Limits(idle_timeout=0.05))
    with RawPeer(server.port) as peer:
        assert isinstance(peer.receive()[0], Aborted)
    eventually(lambda: server.connection_count == 0)


def test_silence_before_an_association_ends_with_artim(driver: Driver) -> None:
    server = driver.serve(VerificationSCP(), limits=Limits(artim=0.05))
    with raw_socket(server.port) as quiet, raw_socket(server.port) as slow:
        slow.sendall(b"\x01")
        assert read_to_end(quiet) == b""
        read_to_end(slow)
    eventually(lambda: server.connection_count == 0)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        random.Random(1).randbytes(5000),
        b"\xff" * 100,
        bytes.fromhex("04 00 0000000A 00000006 01 03 0000 0000"),  # P-DATA-TF before an association
        bytes.fromhex("05 00 00000004 00000000"),  # A-RELEASE-RQ before an association
        bytes.fromhex("01 00 00000044") + b"\xff" * 68,  # an A-ASSOCIATE-RQ full of nonsense
        struct.pack(">BxI", 1, 0xFFFFFFFF) + bytes(64),
    ],
    ids=["http", "random", "ff", "data", "release", "nonsense", "4 GiB"],
)
def test_what_is_no_association_is_aborted(driver: Driver, data: bytes) -> None:
    server = driver.serve(VerificationSCP())
    with raw_socket(server.port) as sock:
        sock.sendall(data)
        assert read_to_end(sock)[0] in (3, ABORT)
    with driver.associate(server.port) as association:
        assert association.c_echo() == 0
    eventually(lambda: server.connection_count == 0)


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("02 00 00000004 00000000"),  # A-ASSOCIATE-AC in an association
        bytes.fromhex("06 00 00000004 00000000"),  # A-RELEASE-RP nobody asked for
        bytes.fromhex("09 00 00000000"),  # no PDU
        bytes.fromhex("04 00 00000008 00000004 03 03 0000"),  # a context that was not agreed
        bytes.fromhex("04 00 00000008 00000004 01 02 0000"),  # a data set without a command
    ],
    ids=["accept", "release", "unknown", "context", "data"],
)
def test_unexpected_pdus_abort(driver: Driver, data: bytes) -> None:
    server = driver.serve(VerificationSCP())
    with RawPeer(server.port) as peer:
        peer.sock.sendall(data)
        assert isinstance(peer.receive()[0], Aborted)
    eventually(lambda: server.connection_count == 0)


def test_closing_amid_a_pdu_leaves_nothing(driver: Driver) -> None:
    server = driver.serve(VerificationSCP())
    for data in (b"", b"\x01", struct.pack(">BxI", 1, 500) + bytes(100)):
        with raw_socket(server.port) as sock:
            sock.sendall(data)
    with RawPeer(server.port) as peer:
        peer.sock.sendall(bytes.fromhex("04 00 00001000 00000FFC 01 03") + bytes(1000))
    eventually(lambda: server.connection_count == 0)
    assert server.association_count == 0


def test_closing_lets_what_runs_finish(driver: Driver) -> None:
    running, go_on = threading.Event(), threading.Event()

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        running.set()
        yield Call(go_on.wait, PATIENCE)
        yield Response(0)

    server = driver.serve(Scripted(provider))
    with RawPeer(server.port) as busy, RawPeer(server.port) as idle:
        busy.exchange.request(1, ECHO)
        busy.flush()
        assert running.wait(PATIENCE)
        closer = threading.Thread(target=server.close, args=(PATIENCE,))
        closer.start()
        assert isinstance(idle.receive()[0], Aborted)
        go_on.set()
        assert isinstance(busy.receive()[0], ResponseReceived)
        closer.join(PATIENCE)
    assert server.wait(0)
    assert not closer.is_alive()
    with pytest.raises(ConnectionRefusedError):
        raw_socket(server.port)


def test_a_peer_that_takes_not_even_our_abort_is_dropped(driver: Driver) -> None:
    """Its socket is full, so the A-ABORT cannot leave: the connection is closed after ARTIM, and nothing spins."""

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(MemorySink(1000))
        while True:
            yield Response(0xFF00, bytes(10_000))

    limits = Limits(network_timeout=0.1, artim=1.0)
    server = driver.serve(Scripted(provider, FIND, CommandField.C_FIND_RQ), limits=limits)
    with RawPeer(server.port, FIND) as peer:
        peer.exchange.request(1, FINDING, b"")
        peer.flush()
        eventually(lambda: server.connection_count == 0)


RELEASE = bytes.fromhex("05 00 00000004 00000000")


@pytest.mark.parametrize("after", [b"\xff" * 10, RELEASE, b"\x07" + RELEASE[1:]])
def test_a_release_with_more_right_behind_it_ends_in_words(
    driver: Driver, caplog: pytest.LogCaptureFixture, after: bytes
) -> None:
    server = driver.serve(VerificationSCP())
    with RawPeer(server.port) as peer:
        peer.sock.sendall(RELEASE + after)
        said = read_to_end(peer.sock)
    assert said[:1] in (b"", bytes([ABORT]))
    eventually(lambda: server.connection_count == 0)
    assert "Traceback" not in caplog.text


def test_a_released_user_with_more_right_behind_it_hears_of_an_abort(driver: Driver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        peer = threading.Thread(target=releasing, args=(listener,))
        peer.start()
        association = driver.associate(listener.getsockname()[1])
        with pytest.raises(AssociationAborted):
            association.c_echo()
        peer.join(PATIENCE)


def releasing(listener: socket.socket) -> None:
    """Answer a request with a release that does not end there."""
    sock, _ = listener.accept()
    with sock:
        sock.settimeout(PATIENCE)
        core = Association(requestor=False, acceptance=Acceptance(supported={VERIFICATION: (EXPLICIT_LE.uid,)}))
        core.connected()
        while not list(core.events()):
            core.received(sock.recv_into(core.buffer()))
        core.request(Accept())
        sock.sendall(b"".join(bytes(part) for part in core.segments()))  # type: ignore[arg-type]
        sock.recv(1)
        sock.sendall(RELEASE + b"\x07" + RELEASE[1:])
        read_to_end(sock)
