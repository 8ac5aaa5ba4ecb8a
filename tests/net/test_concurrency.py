"""Several operations on one association (PS3.7 D.3.3.3): windows, floods, small buffers, cancels, peers that leave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command, decode_command, encode_command, response
from dicomcore.dimse.exchange import Exchange, Fragment, RequestReceived, ResponseReceived
from dicomcore.encoding.sink import MemorySink
from dicomcore.limits import Limits
from dicomcore.net import AE, Server, transport
from dicomcore.services.base import Call, Invoke, Perform, Receive, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import (
    AsyncWindow,
    Body,
    RoleSelection,
)
from dicomcore.vocab.sop_classes import VERIFICATION

from .conftest import CT, FIND, PATIENCE, RawPeer, Scripted, eventually, write_ct

Serving = Callable[..., Server]
Provider = Generator[Any, Any, None]

ECHO = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)
FINDING = command("C-FIND-RQ", AffectedSOPClassUID=FIND)


class Together:
    """Counts who is inside at a time; lets nobody out before ``size`` have come in."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=PATIENCE)
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def meet(self) -> None:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.barrier.wait()
        with self.lock:
            self.inside -= 1


def storing(together: Together) -> Scripted:
    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Receive(MemorySink(1 << 20))
        yield Call(together.meet)
        yield Response(0)

    return Scripted(provider, CT, CommandField.C_STORE_RQ)


# windows


@pytest.mark.parametrize("window", [2, 5])
def test_a_window_on_both_sides(serving: Serving, user: AE, tmp_path: Path, window: int) -> None:
    together = Together(window)
    server = serving(storing(together), window=8, workers=8)
    paths = [tmp_path / str(number) for number in range(4 * window)]
    for path in paths:
        write_ct(path, 20_000)
    with user.associate("127.0.0.1", server.port, contexts=paths, window=window) as association:
        results = list(association.c_store_many(paths, window=99))
    assert [result.status for result in results] == [0] * len(paths)
    assert {result.source for result in results} == set(paths)
    assert together.most == window


def test_a_peer_without_a_window_is_asked_one_at_a_time(serving: Serving, user: AE, tmp_path: Path) -> None:
    together = Together(1)
    server = serving(storing(together), window=1, workers=8)
    paths = [tmp_path / str(number) for number in range(6)]
    for path in paths:
        write_ct(path)
    with user.associate("127.0.0.1", server.port, contexts=paths, window=16) as association:
        assert [result.status for result in association.c_store_many(paths, window=16)] == [0] * 6
        assert association._connection.exchange.window == 1
    assert together.most == 1


def test_a_peer_that_knows_no_window_is_served_one_at_a_time(serving: Serving) -> None:
    """It sends ahead all the same; its requests wait, and their answers keep the order."""
    together = Together(1)

    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Call(together.meet)
        yield Response(0)

    server = serving(Scripted(provider), window=8, workers=8)
    with RawPeer(server.port) as peer:
        # To send ahead is against the rules, so the exchange is not asked.
        for number in range(1, 9):
            peer.core.send(1, True, encoded(ECHO, number))
        peer.flush()
        assert answered(peer, 8) == list(range(1, 9))
    assert together.most == 1


def encoded(message: Any, number: int) -> bytes:
    return encode_command(message, {"MessageID": number, "CommandDataSetType": 0x0101})


def answered(peer: RawPeer, count: int) -> list[int]:
    """Message ids of the next responses, whatever the exchange of the peer thinks of them; not of those before."""
    found: list[int] = []
    while len(found) < count:
        received = peer.sock.recv_into(peer.core.buffer())
        assert received, "the server has closed"
        peer.core.received(received)
        for event in peer.core.events():
            assert isinstance(event, Body)
            assert event.last
            found.append(decode_command(event.view, Limits()).elements["MessageIDBeingRespondedTo"])
    return found


def test_bodies_that_are_sent_ahead_are_not_lost(serving: Serving) -> None:
    """What waits in the receive block is not overwritten while the provider of another one works."""
    bodies: list[bytes] = []
    gate = threading.Event()

    def provider(request: Request, context: ServiceContext) -> Provider:
        sink = MemorySink(1 << 20)
        yield Receive(sink)
        sink.commit()
        bodies.append(bytes(sink.value))
        yield Call(gate.wait, PATIENCE)
        yield Response(0)

    server = serving(Scripted(provider, CT, CommandField.C_STORE_RQ), workers=4)
    with RawPeer(server.port, CT) as peer:
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2", Priority=0)
        for number in range(1, 9):
            peer.core.send(1, True, encode_command(ask, {"MessageID": number, "CommandDataSetType": 1}))
            peer.core.send(1, False, bytes([number]) * 3000)
        peer.flush()
        (connection,) = server._connections.values()
        eventually(lambda: bodies and connection.operations.holds_views)
        gate.set()
        assert answered(peer, 8) == list(range(1, 9))
    assert bodies == [bytes([number]) * 3000 for number in range(1, 9)]


def test_responses_in_any_order(serving: Serving) -> None:
    gates = {number: threading.Event() for number in range(1, 5)}

    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Call(gates[request.command.elements["MessageID"]].wait, PATIENCE)
        yield Response(0)

    server = serving(Scripted(provider), window=4, workers=4)
    with RawPeer(server.port, window=AsyncWindow(4, 4)) as peer:
        for _ in gates:
            peer.exchange.request(1, ECHO)
        peer.flush()
        for number in (3, 1, 4, 2):
            gates[number].set()
            (answer,) = peer.receive()
            assert isinstance(answer, ResponseReceived)
            assert answer.message_id == number


def test_no_bound_is_bounded_here(serving: Serving, facilities: Any) -> None:
    server = serving(VerificationSCP(), window=0, limits=Limits(operations_window=4))
    user = AE("USER", limits=Limits(operations_window=7), facilities=facilities)
    with user.associate("127.0.0.1", server.port, window=0) as association:
        assert association.negotiated.window == AsyncWindow(4, 4)  # so that nobody sends more than is taken
        assert association._connection.exchange.window == 4
        (connection,) = server._connections.values()
        assert connection.exchange.performing_window == 4
        assert association.c_echo() == 0


def test_the_window_holds_with_one_worker(serving: Serving) -> None:
    server = serving(VerificationSCP(), window=8, workers=1)
    with RawPeer(server.port, window=AsyncWindow(8, 8)) as peer:
        for _ in range(20):
            ids = {peer.exchange.request(1, ECHO) for _ in range(8)}
            peer.flush()
            while ids:
                ids -= {event.message_id for event in peer.receive()}


# message ids


class _Wire:
    """What an exchange needs of an association, without one."""

    requestor = True

    def __init__(self, negotiated: Any) -> None:
        self.negotiated = negotiated
        self.sent: list[bytes] = []

    def send(self, context_id: int, command: bool, payload: Any, last: bool = True) -> None:
        raise AssertionError("a command without a body is sent whole")

    def message(self, context_id: int, command: bytes, body: Any = None) -> None:
        self.sent.append(command)


def test_message_ids_wrap_and_skip_those_in_flight(serving: Serving, user: AE) -> None:
    server = serving(VerificationSCP(), window=8)
    with user.associate("127.0.0.1", server.port, window=8) as association:
        negotiated = association.negotiated
        exchange = association._connection.exchange
        exchange._last_id = 0xFFFF - 5
        assert [association.c_echo() for _ in range(12)] == [0] * 12
        assert exchange._last_id == 7
    here, there = Exchange(_Wire(negotiated)), Exchange(_Wire(negotiated))
    _Wire.requestor = True
    stuck = [here.request(1, ECHO) for _ in range(3)]
    used = []
    for _ in range(70_000):
        message_id = here.request(1, ECHO)
        used.append(message_id)
        answer = response(ECHO, 0, MessageIDBeingRespondedTo=message_id)
        here._message(1, answer)
    assert stuck == [1, 2, 3]
    assert used == [*range(4, 0x10000), *range(4, 4 + 70_000 - 0xFFFC)]
    assert not there.invoked


# small buffers, and peers that send while we do


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 KiB in each direction on both ends."""

    def tune(sock: socket.socket, *, accepted: bool = False) -> None:
        real(sock, accepted=accepted)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    real = transport.tune
    monkeypatch.setattr("dicomcore.net.transport.tune", tune)
    monkeypatch.setattr("dicomcore.net.server.tune", tune)


def send_back(length: int) -> Scripted:
    """Stores in memory, and sends an instance of its own back on the same association before it answers."""

    def provider(request: Request, context: ServiceContext) -> Provider:
        sink = MemorySink(1 << 20)
        yield Receive(sink)
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2.3")

        def storing() -> Generator[Any, Any, int]:
            answer = yield Invoke(request.context_id, ask, bytes(length))
            return int(answer.status)

        status = yield Perform(storing())
        yield Response(status)

    return Scripted(provider, CT, CommandField.C_STORE_RQ)


def test_small_buffers_and_both_sides_sending(serving: Serving, user: AE, tmp_path: Path, small_buffers: None) -> None:
    taken: list[int] = []

    def take(request: Request, context: ServiceContext) -> Provider:
        received = yield Receive(MemorySink(1 << 20))
        taken.append(received.length)
        yield Response(0)

    server = serving(send_back(6_000), window=16, workers=4)
    paths = [tmp_path / str(number) for number in range(16)]
    for path in paths:
        write_ct(path, 6_000)
    with user.associate(
        "127.0.0.1",
        server.port,
        contexts=paths,
        window=16,
        services=[Scripted(take, CT, CommandField.C_STORE_RQ)],
        roles=[RoleSelection(CT, True, True)],
    ) as association:
        assert association._connection.exchange.window == 16
        results = list(association.c_store_many(paths, window=16))
    assert [result.status for result in results] == [0] * len(paths)
    assert taken == [6_000] * len(paths)


def test_messages_are_never_interleaved(serving: Serving) -> None:
    """Four queries are answered at a time, each response in many fragments; the exchange would refuse a mixture."""
    start = threading.Barrier(4, timeout=PATIENCE)

    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Receive(MemorySink(1000))
        yield Call(start.wait)
        letter = bytes([request.command.elements["MessageID"]])
        for _ in range(30):
            yield Response(0xFF00, letter * 20_000)
        yield Response(0)

    limits = Limits(pdu_length=4096)
    server = serving(Scripted(provider, FIND, CommandField.C_FIND_RQ), window=4, workers=5, limits=limits)
    with RawPeer(server.port, FIND, window=AsyncWindow(4, 4)) as peer:
        for _ in range(4):
            peer.exchange.request(1, FINDING, b"")
        peer.flush()
        length = dict.fromkeys(range(1, 5), 0)
        current = ended = 0
        while ended < 4:
            for message in peer.receive():
                if isinstance(message, Fragment):
                    assert not set(bytes(message.view)) - {current}
                    length[current] += len(message.view)
                else:
                    assert isinstance(message, ResponseReceived)
                    current = message.message_id
                    ended += message.final
        assert set(length.values()) == {30 * 20_000}


def test_a_flood_of_requests_by_one_who_does_not_read_is_not_buffered(serving: Serving, small_buffers: None) -> None:
    server = serving(VerificationSCP(), window=0, limits=Limits(network_timeout=PATIENCE))
    with RawPeer(server.port, window=AsyncWindow(0, 0)) as peer:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        (connection,) = server._connections.values()
        exchange = connection.exchange
        for number in range(1, 5000):
            peer.core.send(1, True, encoded(ECHO, number))
            peer.flush()
            if not taken(lambda number=number: exchange.message_count == number):  # type: ignore[misc]
                break
        assert connection.over is None
        assert number < 4999
        assert connection.core.queued_length < 16 * 200
        assert len(connection.inbox) <= 16
        assert answered(peer, number) == list(range(1, number + 1))  # once the peer reads


def taken(condition: Callable[[], bool]) -> bool:
    """Whether it happens soon."""
    tick = threading.Event()
    for _ in range(100):
        if condition():
            return True
        tick.wait(0.001)
    return False


# cancels


def test_a_cancel_is_heard_by_the_one_it_means(serving: Serving) -> None:
    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Receive(MemorySink(1000))
        yield Response(0xFF00, b"")
        yield Call(eventually, lambda: context.cancelled or context.peer_gone)
        yield Response(0xFE00)

    server = serving(Scripted(provider, FIND, CommandField.C_FIND_RQ), window=3, workers=3)
    with RawPeer(server.port, FIND, window=AsyncWindow(3, 3)) as peer:
        for _ in range(3):
            peer.exchange.request(1, FINDING, b"")
        peer.flush()
        pending = 0
        while pending < 3:
            pending += sum(isinstance(message, ResponseReceived) for message in peer.receive())
        for number in (2, 3, 1):
            peer.exchange.cancel(1, number)
            peer.flush()
            answer: Any = None
            while not isinstance(answer, ResponseReceived):  # a body may come by itself
                answer = peer.receive()[-1]
            assert (answer.message_id, answer.command.elements["Status"]) == (number, 0xFE00)


# peers that leave


def gone(context: ServiceContext, seen: threading.Event) -> None:
    eventually(lambda: context.peer_gone)
    seen.set()


@pytest.mark.parametrize("politely", [True, False], ids=["abort", "close"])
def test_a_provider_learns_at_once_that_its_peer_left(serving: Serving, politely: bool) -> None:
    seen, closed = threading.Event(), threading.Event()

    def provider(request: Request, context: ServiceContext) -> Provider:
        try:
            yield Call(gone, context, seen)
            yield Response(0)
        finally:
            closed.set()

    server = serving(Scripted(provider), limits=Limits(network_timeout=1000.0, dimse_timeout=1000.0))
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, ECHO)
        peer.flush()
        eventually(lambda: server._connections and next(iter(server._connections.values())).performers)
        if politely:
            peer.sock.sendall(bytes.fromhex("07000000000400000000"))
    assert seen.wait(PATIENCE)
    assert closed.wait(PATIENCE)
    eventually(lambda: server.connection_count == 0)


def test_a_provider_that_waits_for_room_is_closed_when_its_peer_leaves(serving: Serving) -> None:
    closed = threading.Event()
    made: list[int] = []

    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Receive(MemorySink(1000))
        try:
            for number in range(100_000):
                made.append(number)
                yield Response(0xFF00, bytes(20_000))
        finally:
            closed.set()

    server = serving(Scripted(provider, FIND, CommandField.C_FIND_RQ), limits=Limits(network_timeout=1000.0))
    with RawPeer(server.port, FIND) as peer:
        peer.exchange.request(1, FINDING, b"")
        peer.flush()
        (connection,) = server._connections.values()
        eventually(lambda: connection.operations.room_wanted)
        assert not closed.is_set()
    assert closed.wait(PATIENCE)
    assert len(made) < 100_000
    eventually(lambda: server.connection_count == 0)


def test_a_provider_that_waits_for_an_answer_is_closed_when_its_peer_leaves(serving: Serving) -> None:
    closed = threading.Event()

    def provider(request: Request, context: ServiceContext) -> Provider:
        def asking() -> Generator[Any, Any, int]:
            try:
                answer = yield Invoke(1, ECHO)
                return int(answer.status)
            finally:
                closed.set()

        yield Response((yield Perform(asking())))

    server = serving(Scripted(provider), roles={VERIFICATION: (True, True)}, limits=Limits(dimse_timeout=1000.0))
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, ECHO)
        peer.flush()
        assert isinstance(peer.receive()[0], RequestReceived)
        assert not closed.is_set()
    assert closed.wait(PATIENCE)
    eventually(lambda: server.connection_count == 0)


def test_pending_responses_leave_while_the_provider_works(serving: Serving) -> None:
    """They are gathered when they come fast, yet the last one does not wait for the next."""
    go_on = threading.Event()

    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Receive(MemorySink(1000))
        for _ in range(3):
            yield Response(0xFF00, b"")
        go_on.wait(PATIENCE)  # not as an effect: the engine does not see that it waits
        yield Response(0)

    server = serving(Scripted(provider, FIND, CommandField.C_FIND_RQ))
    with RawPeer(server.port, FIND) as peer:
        peer.exchange.request(1, FINDING, b"")
        peer.flush()
        pending = 0
        while pending < 3:
            pending += sum(isinstance(message, ResponseReceived) for message in peer.receive())
        go_on.set()
        final: Any = None
        while not isinstance(final, ResponseReceived):
            final = peer.receive()[-1]
        assert final.final


def test_stores_to_files_through_a_window(serving: Serving, user: AE, tmp_path: Path, small_buffers: None) -> None:
    folder = tmp_path / "in"
    server = serving(StorageSCP(folder), window=16)
    paths = [tmp_path / f"{number}.dcm" for number in range(20)]
    uids = {write_ct(path, 2_000) for path in paths}
    with user.associate("127.0.0.1", server.port, contexts=paths, window=16) as association:
        assert all(result.stored for result in association.c_store_many(paths, window=16))
    assert {path.stem for path in folder.rglob("*") if path.is_file()} >= uids
