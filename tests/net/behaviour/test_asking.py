"""Users of every driver: peers that are not there, refuse, abort, stay silent, or ask in turn."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command, response
from dicomcore.dimse.exchange import Exchange, RequestReceived, ResponseReceived
from dicomcore.encoding.sink import MemorySink
from dicomcore.encoding.source import FileSlice
from dicomcore.errors import (
    AssociationAborted,
    AssociationRejected,
    LocalProtocolError,
    NegotiationError,
    PeerTimeout,
    RemoteProtocolError,
    SourceChanged,
)
from dicomcore.limits import Limits
from dicomcore.services.base import (
    Answer,
    Associate,
    Call,
    Invoke,
    Perform,
    Receive,
    Request,
    Response,
    ServiceContext,
)
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP, c_echo
from dicomcore.ul import Accept, Acceptance, Association, AssociationRequested, Body, RoleSelection
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE
from tests.net.conftest import CT, FIND, PATIENCE, Scripted, eventually, write_ct

from .drivers import Driver


class RawServer:
    """The acceptor of one connection, on a blocking socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.core = Association(
            requestor=False,
            acceptance=Acceptance(supported=dict.fromkeys((VERIFICATION, CT, FIND), (EXPLICIT_LE.uid,))),
        )
        self.exchange = Exchange(self.core)
        self.core.connected()

    def flush(self) -> None:
        while self.core.wants_write:
            for part in self.core.segments():
                self.sock.sendall(bytes(part))  # type: ignore[arg-type]

    def receive(self) -> list[Any]:
        count = self.sock.recv_into(self.core.buffer())
        if count:
            self.core.received(count)
        else:
            self.core.closed()
        found: list[Any] = []
        for event in self.core.events():
            if isinstance(event, AssociationRequested):
                self.core.request(Accept())
                self.flush()
            else:
                found += self.exchange.receive(event) if isinstance(event, Body) else [event]
        return found

    def request(self) -> RequestReceived:
        while True:
            for message in self.receive():
                if isinstance(message, RequestReceived):
                    return message


@contextmanager
def scripted(script: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where one connection is treated as `script` says, in a thread."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            sock, _ = listener.accept()
            sock.settimeout(PATIENCE)
            with sock:
                script(sock)
        except BaseException as error:
            failures.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)
    assert not failures, failures


def until_closed(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


# opening


def test_nobody_there(driver: Driver) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(NegotiationError, match="refused"):
            driver.associate(unused.getsockname()[1])
    with pytest.raises(NegotiationError, match="no port"):
        driver.associate(0)


def test_a_silent_peer_times_out(driver: Driver) -> None:
    with scripted(lambda sock: print(until_closed(sock))) as port, pytest.raises(PeerTimeout):
        driver.associate(port, limits=Limits(association_timeout=0.05))


def test_a_peer_that_closes_at_once(driver: Driver) -> None:
    with scripted(lambda sock: None) as port, pytest.raises(AssociationAborted):
        driver.associate(port)


def test_a_peer_that_rejects(driver: Driver) -> None:
    def script(sock: socket.socket) -> None:
        sock.recv(1 << 16)
        sock.sendall(bytes.fromhex("03 00 00000004 00 02 01 02"))
        until_closed(sock)

    with scripted(script) as port, pytest.raises(AssociationRejected) as caught:
        driver.associate(port)
    assert caught.value.answer == (2, 1, 2)


def test_an_answer_that_is_none(driver: Driver) -> None:
    def script(sock: socket.socket) -> None:
        sock.recv(1 << 16)
        sock.sendall(bytes.fromhex("04 00 00000008 00000004 01 03 0000"))
        until_closed(sock)

    with scripted(script) as port, pytest.raises(AssociationAborted):
        driver.associate(port)


# leaving


def test_leaving_by_an_exception_aborts(driver: Driver) -> None:
    server = driver.serve(VerificationSCP())
    with pytest.raises(KeyboardInterrupt), driver.associate(server.port) as association:
        raise KeyboardInterrupt
    assert not association.is_open
    eventually(lambda: server.connection_count == 0)


def test_release_and_abort_twice_do_no_harm(driver: Driver) -> None:
    server = driver.serve(VerificationSCP())
    association = driver.associate(server.port)
    association.release()
    association.release()
    association.abort()
    with pytest.raises(AssociationAborted, match="released"):
        association.c_echo()
    association = driver.associate(server.port)
    association.abort()
    association.release()
    with pytest.raises(AssociationAborted, match="this side"):
        association.c_echo()


def test_a_peer_that_releases(driver: Driver) -> None:
    def script(sock: socket.socket) -> None:
        peer = RawServer(sock)
        peer.request()
        peer.sock.sendall(bytes.fromhex("05 00 00000004 00000000"))
        assert until_closed(sock)[:1] == b"\x06"

    with scripted(script) as port:
        association = driver.associate(port)
        with pytest.raises(AssociationAborted, match="released"):
            association.c_echo()
        association.release()


def test_a_release_that_is_not_answered_ends_all_the_same(driver: Driver) -> None:
    def script(sock: socket.socket) -> None:
        peer = RawServer(sock)
        peer.receive()
        until_closed(sock)

    with scripted(script) as port:
        association = driver.associate(port)
        driver.hurry(association, association_timeout=0.1, network_timeout=0.1)
        association.release()
        assert not association.is_open


# operations that end early


@pytest.mark.parametrize("manner", ["abort", "close"])
def test_the_peer_ends_it_amid_a_body(driver: Driver, ram_path: Path, manner: str) -> None:
    write_ct(ram_path / "ct", 30_000_000)

    def script(sock: socket.socket) -> None:
        peer = RawServer(sock)
        peer.request()
        if manner == "abort":
            sock.sendall(bytes.fromhex("07 00 00000004 00 00 00 00"))
            until_closed(sock)

    with scripted(script) as port:
        association = driver.associate(port, contexts=ram_path / "ct")
        with pytest.raises(AssociationAborted):
            association.c_store(ram_path / "ct")
        assert not association.is_open
        association.release()


def test_we_end_it_amid_a_body_and_the_pdu_stays_whole(driver: Driver, ram_path: Path) -> None:
    """What was begun is finished; the abort follows it (or nothing does)."""
    write_ct(ram_path / "ct", 30_000_000)
    started = threading.Event()
    received: list[bytes] = []

    def script(sock: socket.socket) -> None:
        peer = RawServer(sock)
        peer.request()
        started.set()
        eventually(lambda: not association.is_open)  # so long it takes nothing, and the body is longer than any buffer
        try:
            received.append(until_closed(sock))
        except ConnectionResetError:
            received.append(b"")

    with scripted(script) as port:
        association = driver.associate(port, contexts=ram_path / "ct")

        def abort() -> None:
            started.wait(PATIENCE)
            association.abort()

        other = threading.Thread(target=abort)
        other.start()
        with pytest.raises(AssociationAborted):
            association.c_store(ram_path / "ct")
        other.join(PATIENCE)
    assert len(received[0]) < 30_000_000


def test_a_file_that_shrinks_while_it_is_sent(driver: Driver, ram_path: Path) -> None:
    path = ram_path / "ct"
    write_ct(path, 1_000_000)
    server = driver.serve(StorageSCP(ram_path / "out"))
    association = driver.associate(server.port, contexts=path)
    context = next(iter(association.negotiated.contexts))

    def user() -> Generator[Invoke, Answer, Answer]:
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2.3", Priority=0)
        with FileSlice(path, 300, 50_000_000) as body:
            return (yield Invoke(context, ask, body))

    with pytest.raises(SourceChanged):
        association.perform(user())
    assert not association.is_open
    eventually(lambda: server.connection_count == 0)
    assert list((ram_path / "out").iterdir()) == []


def test_no_answer_in_time(driver: Driver) -> None:
    def script(sock: socket.socket) -> None:
        peer = RawServer(sock)
        peer.request()
        until_closed(sock)

    with scripted(script) as port:
        association = driver.associate(port, limits=Limits(dimse_timeout=0.05))
        with pytest.raises(PeerTimeout, match="answer"):
            association.c_echo()
        assert not association.is_open


def test_a_peer_that_takes_nothing_more(driver: Driver, ram_path: Path) -> None:
    write_ct(ram_path / "ct", 30_000_000)
    go_on = threading.Event()

    def script(sock: socket.socket) -> None:
        peer = RawServer(sock)
        peer.request()
        go_on.wait(PATIENCE)

    with scripted(script) as port:
        association = driver.associate(port, contexts=ram_path / "ct", limits=Limits(network_timeout=0.1))
        with pytest.raises(PeerTimeout, match="took"):
            association.c_store(ram_path / "ct")
        go_on.set()


def test_an_answer_to_nothing_aborts(driver: Driver) -> None:
    def script(sock: socket.socket) -> None:
        peer = RawServer(sock)
        request = peer.request()
        wrong = response(request.command, 0, MessageIDBeingRespondedTo=77)
        peer.core.send(1, True, encoded(wrong))
        peer.flush()
        assert until_closed(sock)[:1] == b"\x07"

    with scripted(script) as port:
        association = driver.associate(port)
        with pytest.raises(RemoteProtocolError):
            association.c_echo()


def encoded(message: Any) -> bytes:
    from dicomcore.dimse.command import encode_command

    return bytes(encode_command(message, {}))


def test_a_user_that_fails_after_it_asked_ends_the_association(driver: Driver) -> None:
    def user() -> Generator[Invoke, Answer, Answer]:
        answer = yield from c_echo(association.negotiated)
        raise ZeroDivisionError(answer.status)

    server = driver.serve(VerificationSCP())
    with driver.associate(server.port) as association:
        with pytest.raises(ZeroDivisionError):
            association.perform(user())
        assert association.c_echo() == 0


# the other way round


def test_the_peer_asks_while_we_wait(driver: Driver) -> None:
    """Sub-operations on the same association: the provider of a C-ECHO stores here before it answers."""
    received: list[bytes] = []

    def store(context: ServiceContext) -> Generator[Any, Any, Any]:
        assert context.negotiated is not None
        (agreed,) = [row for row in context.negotiated.contexts.values() if row.abstract_syntax == CT]
        statuses = []
        for number in range(5):
            ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID=f"1.2.{number}", Priority=0)
            answer = yield Invoke(agreed.id, ask, bytes(300_000))
            statuses.append(answer.status)
        return statuses

    def serve(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        statuses = yield Perform(store(context))
        yield Response(0 if statuses == [0] * 5 else 0xC000)

    def keep(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        sink = MemorySink(1_000_000)
        yield Receive(sink)
        sink.commit()
        received.append(bytes(sink.value))
        yield Response(0)

    server = driver.serve(Scripted(serve), Scripted(keep, CT, CommandField.C_STORE_RQ), roles={CT: (True, True)})
    with driver.associate(
        server.port,
        contexts=[VERIFICATION, CT],
        services=[Scripted(keep, CT, CommandField.C_STORE_RQ)],
        roles=[RoleSelection(CT, True, True)],
    ) as association:
        assert association.c_echo() == 0
        assert association.c_echo() == 0
    assert received == [bytes(300_000)] * 10


def test_the_peer_asks_while_we_only_wait(driver: Driver) -> None:
    def script(sock: socket.socket) -> None:
        peer = RawServer(sock)
        peer.receive()
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        peer.flush()
        (answer,) = peer.receive()
        assert isinstance(answer, ResponseReceived)
        assert answer.command.Status == 0
        sock.sendall(bytes.fromhex("07 00 00000004 00 00 00 00"))
        until_closed(sock)

    with scripted(script) as port:
        association = driver.associate(
            port, services=[VerificationSCP()], roles=[RoleSelection(VERIFICATION, True, True)]
        )
        assert not association.wait(PATIENCE)
        assert not association.is_open
        association.release()


def test_limits_on_idle_associations_are_for_servers(driver: Driver) -> None:
    server = driver.serve(VerificationSCP())
    limits = Limits().but(idle_timeout=0.001, message_timeout=0.001)
    with driver.associate(server.port, limits=limits) as association:
        assert association.wait(0.02)
        assert association.c_echo() == 0


def test_wait_tells_whether_the_association_stands(driver: Driver) -> None:
    server = driver.serve(VerificationSCP())
    with driver.associate(server.port) as association:
        assert association.wait(0.01)
        assert association.c_echo() == 0


def test_a_provider_opens_an_association_of_its_own(driver: Driver, ram_path: Path) -> None:
    """As a C-MOVE SCP does; the channel is released when the provider ends."""
    (ram_path / "in").mkdir()
    write_ct(ram_path / "in" / "ct", 300_000)
    target = driver.serve(VerificationSCP())

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        channel = yield Associate("127.0.0.1", target.port, contexts=[VERIFICATION])
        first = yield Perform(c_echo(channel.negotiated), channel)
        second = yield Perform(c_echo(channel.negotiated), channel)
        yield Response(first.status or second.status)

    def fails(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        try:
            yield Associate("127.0.0.1", target.port, contexts=[CT])
        except NegotiationError:
            yield Response(0xC123)

    server = driver.serve(Scripted(provider))
    with driver.associate(server.port) as association:
        assert [association.c_echo() for _ in range(3)] == [0] * 3
    eventually(lambda: target.connection_count == 0)
    server = driver.serve(Scripted(fails))
    with driver.associate(server.port) as association:
        assert association.c_echo() == 0xC123
    eventually(lambda: target.connection_count == 0)


def test_no_coroutines_for_the_blocking_driver_and_no_timers_for_users(driver: Driver) -> None:
    async def coroutine() -> int:
        return 0

    def provider(request: Request, context: ServiceContext) -> Generator[Any, Any, None]:
        yield Response((yield Call(coroutine)))

    server = driver.serve(Scripted(provider))
    with driver.associate(server.port) as association:
        assert association.c_echo() == (0x0110 if type(driver) is Driver else 0)

    async def on_stored(stored: object) -> int:
        return 0

    service = StorageSCP(MemoryStore(), on_stored=on_stored)
    if type(driver) is Driver:
        with pytest.raises(LocalProtocolError, match="coroutines"):
            driver.serve(service)
        with pytest.raises(LocalProtocolError, match="coroutines"):
            driver.associate(server.port, services=[service])
    else:
        driver.serve(service).close()


class MemoryStore:
    """A store that nothing is stored in."""

    def create(self, instance: Any, /) -> MemorySink:
        return MemorySink()
