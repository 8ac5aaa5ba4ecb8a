"""What a server bounds: who comes, how many and how fast, how long they take, and how much they send."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import AssociationRejected
from dicomcore.limits import Limits
from dicomcore.net import AE, Server
from dicomcore.net.admission import KNOWN, UNAGREED, Admission
from dicomcore.services.base import Receive, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import Aborted

from .conftest import CT, PATIENCE, RawPeer, Scripted, element, even, eventually, raw_socket, read_to_end

Serving = Callable[..., Server]
ABORT = 7
LOCAL_LIMIT = (2, 3, 2)


# the books, with time as an argument


def test_so_many_at_a_time_from_one_address_and_in_all() -> None:
    books = Admission(Limits(association_count=3, peer_association_count=2), 0.0)
    for address in ("a", "a", "a", "b", "b"):
        assert books.connect(address, 0.0)
    assert [books.associate("a") for _ in range(3)] == [True, True, False]
    assert [books.associate("b") for _ in range(2)] == [True, False]
    assert books.association_count == 3
    books.leave("a", associated=True)
    assert books.associate("b")
    books.leave("a", associated=False)
    books.leave("a", associated=True)
    assert books.association_count == 2


def test_connections_of_one_address_that_do_not_associate() -> None:
    books = Admission(Limits(peer_association_count=1), 0.0)
    taken = sum(books.connect("a", 0.0) for _ in range(1000))
    assert taken == 1 + UNAGREED
    assert books.connect("b", 0.0)
    books.leave("a", associated=False)
    assert books.connect("a", 0.0)


def test_rates() -> None:
    books = Admission(Limits(connection_rate=10.0, peer_connection_rate=4.0), 0.0)
    assert [books.connect("a", 0.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert sum(books.connect(str(number), 0.0) for number in range(20)) == 6
    assert not books.connect("b", 0.05)
    assert books.connect("b", 0.15)
    assert sum(books.connect("a", 1000.0) for _ in range(20)) == 4


def test_less_than_one_a_second() -> None:
    books = Admission(Limits(connection_rate=0.5), 0.0)
    assert books.connect("a", 0.0)
    assert not books.connect("a", 1.0)
    assert books.connect("a", 2.1)


def test_the_books_do_not_grow() -> None:
    books = Admission(Limits(connection_rate=1e9), 0.0)
    for number in range(3 * KNOWN):
        assert books.connect(str(number), number)
        if number != 5:
            books.leave(str(number), associated=False)
    assert len(books._addresses) <= KNOWN + 1
    assert "5" in books._addresses


# who comes


def test_associations_of_one_address(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP(), limits=Limits(peer_association_count=2))
    with user.associate("127.0.0.1", server.port), user.associate("127.0.0.1", server.port) as second:
        with pytest.raises(AssociationRejected) as caught:
            user.associate("127.0.0.1", server.port)
        assert caught.value.answer == LOCAL_LIMIT
        assert second.c_echo() == 0
    eventually(lambda: server.association_count == 0)
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0


def test_connections_that_come_too_fast_are_closed(
    serving: Serving, user: AE, caplog: pytest.LogCaptureFixture
) -> None:
    server = serving(VerificationSCP(), limits=Limits(peer_connection_rate=0.01))
    with user.associate("127.0.0.1", server.port) as association:
        for _ in range(20):
            raw_socket(server.port).close()
        with raw_socket(server.port) as sock:
            assert read_to_end(sock) == b""
        assert association.c_echo() == 0
    assert len([record for record in caplog.records if "too many" in record.message]) == 1


def test_health_checks_cost_nothing(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = serving(VerificationSCP())
    for how in range(30):
        sock = raw_socket(server.port)
        if how % 3 == 1:
            sock.shutdown(socket.SHUT_WR)
        elif how % 3 == 2:  # a reset
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    eventually(lambda: server.connection_count == 0)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert len(server._timers) < 100


# how long they take


def test_an_idle_association_ends(serving: Serving) -> None:
    server = serving(VerificationSCP(), limits=Limits(idle_timeout=0.05))
    with RawPeer(server.port) as peer:
        assert isinstance(peer.receive()[0], Aborted)


def test_a_request_that_dribbles_in_ends(serving: Serving) -> None:
    server = serving(VerificationSCP(), limits=Limits(artim=0.2))
    with raw_socket(server.port) as sock:
        dribble(sock, b"\1\0\0\0\0\xd0\0\1" + bytes(200))
        assert read_to_end(sock)[:1] in (b"", b"\7")
    eventually(lambda: server.connection_count == 0)


def dribble(sock: socket.socket, data: bytes) -> int:
    """One byte after the other until the server has had enough; how many it took."""
    pause = threading.Event()
    sock.settimeout(0.003)
    for sent in range(len(data)):
        try:
            sock.sendall(data[sent : sent + 1])
            if sock.recv(1, socket.MSG_PEEK) is not None:
                break
        except TimeoutError:
            pass
        except OSError:
            break
        pause.wait(0.003)
    else:
        sent = len(data)
    sock.settimeout(PATIENCE)
    return sent


SLOW = Limits(message_timeout=0.15, message_rate=1000.0, network_timeout=PATIENCE, idle_timeout=PATIENCE)


def store_request(peer: RawPeer, *parts: bytes) -> bytes:
    """A whole C-STORE message as bytes on the wire."""
    ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2")
    peer.exchange.request(1, ask, list(parts))
    return b"".join(bytes(part) for part in peer.core.segments())  # type: ignore[arg-type]


BEGIN = element(8, 0x16, b"UI", even(CT)) + element(8, 0x18, b"UI", b"1.2\0")


@pytest.mark.parametrize("upto", [3, 60, 250], ids=["header", "command", "body"])
def test_a_message_that_dribbles_in_is_aborted(serving: Serving, tmp_path: Path, upto: int) -> None:
    server = serving(StorageSCP(tmp_path), limits=SLOW)
    with RawPeer(server.port, CT) as peer:
        whole = store_request(peer, BEGIN, bytes(4000))
        peer.sock.sendall(whole[:upto])
        sent = dribble(peer.sock, whole[upto:])
        assert sent < len(whole) - upto
        assert read_to_end(peer.sock)[:1] == bytes([ABORT])
    eventually(lambda: server.connection_count == 0)
    assert not list(tmp_path.rglob("*.*"))


def test_a_slow_peer_that_keeps_sending_is_served(serving: Serving, tmp_path: Path) -> None:
    """Twice as long as the time for a message, at more than the rate."""
    server = serving(StorageSCP(tmp_path), limits=SLOW.but(message_timeout=1.0, message_rate=10_000.0))
    with RawPeer(server.port, CT) as peer:
        whole = store_request(peer, BEGIN, bytes(60_000))
        pause = threading.Event()
        for start in range(0, len(whole), 1000):
            peer.sock.sendall(whole[start : start + 1000])
            pause.wait(0.034)
        assert peer.receive()[0].command.elements["Status"] == 0


def test_a_message_that_stops_half_way_is_aborted(serving: Serving, tmp_path: Path) -> None:
    server = serving(StorageSCP(tmp_path), limits=SLOW)
    with RawPeer(server.port, CT) as peer:
        whole = store_request(peer, BEGIN, bytes(2000))
        peer.sock.sendall(whole[:-20])
        assert read_to_end(peer.sock)[:1] == bytes([ABORT])


def test_our_own_time_does_not_count(serving: Serving) -> None:
    """A sink slower than the time for a message: the peer is not to blame."""
    pause = threading.Event()

    class Slow(MemorySink):
        def write(self, view: Any) -> None:
            pause.wait(0.3)
            super().write(view)

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Receive(Slow(1 << 20))
        yield Response(0)

    server = serving(Scripted(provider, CT, CommandField.C_STORE_RQ), limits=SLOW.but(message_timeout=1.0))
    with RawPeer(server.port, CT) as peer:
        whole = store_request(peer, *[bytes(100) for _ in range(5)])
        for start in range(0, len(whole), 100):
            peer.sock.sendall(whole[start : start + 100])
        assert peer.receive()[0].command.elements["Status"] == 0


def test_a_command_over_the_limit_is_aborted(serving: Serving) -> None:
    server = serving(VerificationSCP(), limits=Limits(command_length=1000))
    with RawPeer(server.port) as peer:
        peer.core.send(1, True, bytes(2000))
        peer.flush()
        assert isinstance(peer.receive()[0], Aborted)


# how much they send


@pytest.mark.parametrize("length", [5000, 9000])
def test_an_object_over_the_limit_is_drained_and_refused(serving: Serving, tmp_path: Path, length: int) -> None:
    server = serving(StorageSCP(tmp_path), limits=Limits(object_length=4900))
    with RawPeer(server.port, CT) as peer:
        peer.sock.sendall(store_request(peer, BEGIN, bytes(length)))
        assert peer.receive()[0].command.elements["Status"] == 0xA700
        peer.sock.sendall(store_request(peer, BEGIN, bytes(1000)))
        assert peer.receive()[0].command.elements["Status"] == 0
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_an_object_that_goes_on_and_on_is_aborted(serving: Serving, tmp_path: Path) -> None:
    server = serving(StorageSCP(tmp_path), limits=Limits(object_length=4900))
    with RawPeer(server.port, CT) as peer:
        peer.sock.sendall(store_request(peer, BEGIN, bytes(20_000)))
        assert isinstance(peer.receive()[0], Aborted)
    eventually(lambda: not [path for path in tmp_path.rglob("*") if path.is_file()])


def test_a_normalized_service_says_so_in_its_own_words(serving: Serving) -> None:
    commitment = "1.2.840.10008.1.20.1"

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        received = yield Receive(MemorySink(1 << 20))
        if received.error is not None:
            raise received.error
        yield Response(0)

    server = serving(
        Scripted(provider, commitment, CommandField.N_ACTION_RQ),
        limits=Limits(object_length=100),
    )
    with RawPeer(server.port, commitment) as peer:
        ask = command("N-ACTION-RQ", RequestedSOPClassUID=commitment, RequestedSOPInstanceUID="1.2", ActionTypeID=1)
        peer.exchange.request(1, ask, bytes(150))
        peer.flush()
        assert peer.receive()[0].command.elements["Status"] == 0x0213
