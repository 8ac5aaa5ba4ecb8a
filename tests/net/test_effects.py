"""What providers have the blocking server do for them: associations, deferred work, calls; and who may associate."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import AssociationRejected, LocalProtocolError
from dicomcore.limits import Limits
from dicomcore.net import AE, Server
from dicomcore.services.base import Associate, At, Await, Call, Perform, Receive, Request, Response, ServiceContext
from dicomcore.services.verification import VerificationSCP, c_echo
from dicomcore.ul import Accept, AssociationRequested, Quirks, Reject, UserIdentity
from dicomcore.vocab.sop_classes import VERIFICATION

from .conftest import CT, FIND, PATIENCE, RawPeer, Scripted, eventually

Serving = Callable[..., Server]
Provider = Generator[Any, Any, None]

MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
ECHO = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)
MOVING = command("C-MOVE-RQ", AffectedSOPClassUID=MOVE, MoveDestination="DEST", Priority=0)


def asks(service: Any, server: Server, contexts: list[str] | None = None) -> tuple[int, str | None]:
    """Status and comment of one request to a scripted service on Verification."""
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, ECHO)
        peer.flush()
        elements = peer.receive()[0].command.elements
        return elements["Status"], elements.get("ErrorComment")


# Associate and Perform


def mover(port: Callable[[], int], log: list[Any], **options: Any) -> Scripted:
    """C-MOVE in its smallest form: an association to the destination, on which something is done."""

    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Receive(MemorySink(1000))
        try:
            channel = yield Associate("127.0.0.1", port(), called_ae="DEST", contexts=[VERIFICATION], **options)
            log.append(channel)
            answer = yield Perform(c_echo(channel.negotiated), channel)
        except Exception as error:
            log.append(error)
            yield Response(0xA801)
            return
        counts = dict.fromkeys((f"NumberOf{name}Suboperations" for name in ("Completed", "Failed", "Warning")), 0)
        yield Response(answer.status, elements=counts)

    return Scripted(provider, MOVE, CommandField.C_MOVE_RQ)


def test_an_association_of_a_provider(serving: Serving) -> None:
    log: list[Any] = []
    destination = serving(VerificationSCP())
    server = serving(mover(lambda: destination.port, log))
    with RawPeer(server.port, MOVE) as peer:
        peer.exchange.request(1, MOVING, b"")
        peer.flush()
        assert peer.receive()[0].command.elements["Status"] == 0
        eventually(lambda: destination.connection_count == 0)  # released with its provider
    assert not log[0].is_open


def test_an_association_that_cannot_be_had_is_thrown_in(serving: Serving) -> None:
    log: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    server = serving(mover(lambda: int(port), log))
    with RawPeer(server.port, MOVE) as peer:
        peer.exchange.request(1, MOVING, b"")
        peer.flush()
        assert peer.receive()[0].command.elements["Status"] == 0xA801
    assert "no connection" in str(log[0])


def test_a_provider_that_fails_aborts_its_channels(serving: Serving) -> None:
    heard: list[Any] = []
    destination = serving(VerificationSCP(), on_event=heard.append)

    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Associate("127.0.0.1", destination.port, contexts=[VERIFICATION])
        raise RuntimeError("on purpose")

    server = serving(Scripted(provider))
    assert asks(None, server)[0] == 0x0110
    eventually(lambda: destination.connection_count == 0)
    eventually(lambda: any(getattr(event, "how", "") == "aborted by peer" for event in heard))


def test_closing_breaks_what_a_provider_waits_for_elsewhere(serving: Serving) -> None:
    """The destination never answers; the server does not wait for that."""
    asked, left = threading.Event(), threading.Event()

    def silent(request: Request, context: ServiceContext) -> Provider:
        asked.set()
        yield Call(eventually, lambda: context.peer_gone)

    def provider(request: Request, context: ServiceContext) -> Provider:
        channel = yield Associate("127.0.0.1", destination.port, contexts=[VERIFICATION])
        try:
            yield Perform(c_echo(channel.negotiated), channel)
        finally:
            left.set()

    destination = serving(Scripted(silent))
    server = serving(Scripted(provider))
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, ECHO)
        peer.flush()
        assert asked.wait(PATIENCE)
        server.close(0.05)
        assert left.wait(PATIENCE)


# At


def test_deferred_work_runs_when_its_association_is_over(serving: Serving) -> None:
    done: list[Any] = []
    destination = serving(VerificationSCP())
    over = threading.Event()

    def report() -> Generator[Any, Any, None]:
        assert over.wait(PATIENCE)
        channel = yield Associate("127.0.0.1", destination.port, contexts=[VERIFICATION])
        answer = yield Perform(c_echo(channel.negotiated), channel)
        done.append((yield Call(lambda: answer.status)))

    def provider(request: Request, context: ServiceContext) -> Provider:
        assert (yield At(0.01, report)) is None
        yield Response(0)

    server = serving(Scripted(provider))
    assert asks(None, server)[0] == 0
    eventually(lambda: server.connection_count == 0)
    over.set()
    eventually(lambda: done)
    assert done == [0]
    eventually(lambda: destination.connection_count == 0)


def test_deferred_work_that_fails_is_logged(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    def report() -> Generator[Any, Any, None]:
        yield Response(0)

    def provider(request: Request, context: ServiceContext) -> Provider:
        yield At(0.0, report)
        yield Response(0)

    server = serving(Scripted(provider))
    assert asks(None, server)[0] == 0
    eventually(lambda: "cannot be performed here" in caplog.text)


def test_deferred_work_ends_with_the_server_and_is_bounded(serving: Serving) -> None:
    done: list[int] = []

    def report() -> Generator[Any, Any, None]:
        done.append(1)
        yield Call(int)

    def provider(request: Request, context: ServiceContext) -> Provider:
        yield At(3600.0, report)
        yield At(0.02, report)
        yield Response(0)

    server = serving(Scripted(provider), limits=Limits(deferred_count=3))
    assert asks(None, server)[0] == 0
    eventually(lambda: done and server._timers.work_count == 1)
    assert asks(None, server)[0] == 0
    eventually(lambda: len(done) == 2 and server._timers.work_count == 2)
    server._post(lambda: server._timers.put_off(float("inf"), report))
    eventually(lambda: server._timers.work_count == 3)
    assert asks(None, server)[0] == 0xA700
    server.close(0.0)
    assert not server._timers.work_count
    assert len(done) == 2


def test_work_is_deferred_by_servers_only(serving: Serving, user: AE) -> None:
    from dicomcore.net.effects import Effects

    class Nobody:
        channels: list[Any] = []  # noqa: RUF012
        value: Any = None
        failure: Any = None

    operation: Any = Nobody()
    Effects(user.associate).perform(operation, At(1.0, lambda: iter(())))  # type: ignore[arg-type, return-value]
    assert isinstance(operation.failure, LocalProtocolError)


# coroutines


async def coroutine(*_: Any) -> bool:
    return True


def test_coroutines_are_refused(serving: Serving, user: AE) -> None:
    def awaiting(request: Request, context: ServiceContext) -> Provider:
        yield Await(coroutine)
        yield Response(0)

    def calling(request: Request, context: ServiceContext) -> Provider:
        yield Call(coroutine)
        yield Response(0)

    for provider in (awaiting, calling):
        server = serving(Scripted(provider))
        assert asks(None, server)[0] == 0x0110
    with pytest.raises(LocalProtocolError, match="coroutine"):
        user.serve(0, services=[VerificationSCP()], authorize=coroutine)


# authorize


def test_the_caller_decides_about_associations(serving: Serving, user: AE) -> None:
    def authorize(event: AssociationRequested) -> bool:
        threads.append(threading.current_thread().name)
        return event.identity is not None and (event.identity.name, event.identity.secondary) == ("me", b"secret")

    threads: list[str] = []
    server = serving(VerificationSCP(), authorize=authorize)
    identity = UserIdentity(2, b"me", b"secret", response_requested=True)
    with user.associate("127.0.0.1", server.port, identity=identity) as association:
        assert association.c_echo() == 0
        assert server.association_count == 1
    with pytest.raises(AssociationRejected):
        user.associate("127.0.0.1", server.port)
    eventually(lambda: server.connection_count == 0)
    assert server.association_count == 0
    assert all("worker" in name for name in threads)


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (Reject(2, 1, 3), (2, 1, 3)),
        (RuntimeError("on purpose"), (2, 2, 1)),
        ("yes", (1, 1, 1)),
    ],
)
def test_decisions_that_reject(serving: Serving, user: AE, outcome: Any, answer: tuple[int, int, int]) -> None:
    def authorize(event: AssociationRequested) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    server = serving(VerificationSCP(), authorize=authorize)
    with pytest.raises(AssociationRejected) as caught:
        user.associate("127.0.0.1", server.port)
    assert caught.value.answer == answer


def test_a_decision_may_keep_some_contexts(serving: Serving, user: AE) -> None:
    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Response(0)

    server = serving(VerificationSCP(), Scripted(provider, FIND), authorize=lambda event: Accept(contexts=[1]))
    with user.associate("127.0.0.1", server.port, contexts=[VERIFICATION, FIND]) as association:
        assert list(association.negotiated.contexts) == [1]


def test_a_peer_that_leaves_takes_its_request_back(serving: Serving, user: AE) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def authorize(event: AssociationRequested) -> bool:
        asked.set()
        return go_on.wait(PATIENCE)

    server = serving(VerificationSCP(), authorize=authorize)
    sock = raw_request(server.port)
    assert asked.wait(PATIENCE)
    assert server.connection_count == 1
    sock.close()
    eventually(lambda: server.connection_count == 0)
    go_on.set()
    with user.associate("127.0.0.1", server.port) as association:
        assert association.c_echo() == 0


def raw_request(port: int) -> socket.socket:
    from dicomcore.ul import Associate as AssociateRequest
    from dicomcore.ul import Association, propose
    from dicomcore.vocab.syntaxes import EXPLICIT_LE

    core = Association(requestor=True)
    rows = [(VERIFICATION, (EXPLICIT_LE.uid,))]
    core.request(AssociateRequest(propose(rows, calling_ae="RAW", called_ae="SERVER")))
    core.connected()
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    sock.sendall(b"".join(bytes(part) for part in core.segments()))  # type: ignore[arg-type]
    return sock


def test_a_decision_has_its_deadline(serving: Serving, user: AE) -> None:
    over = threading.Event()
    server = serving(
        VerificationSCP(), authorize=lambda event: over.wait(PATIENCE), limits=Limits(association_timeout=0.1)
    )
    with pytest.raises(AssociationRejected) as caught:
        user.associate("127.0.0.1", server.port)
    assert caught.value.answer == (2, 3, 1)
    over.set()
    eventually(lambda: server.connection_count == 0)


# quirks


def test_a_peer_that_releases_over_pending_responses(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    closed = threading.Event()

    def provider(request: Request, context: ServiceContext) -> Provider:
        try:
            yield Call(eventually, lambda: context.peer_gone)
            yield Response(0)
        finally:
            closed.set()

    def storing(request: Request, context: ServiceContext) -> Provider:
        yield Receive(MemorySink(1000))
        yield Response(0)

    server = serving(
        Scripted(provider), Scripted(storing, CT, CommandField.C_STORE_RQ), quirks=Quirks.named("release-pending")
    )
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, ECHO)
        peer.flush()
        (connection,) = server._connections.values()
        eventually(lambda: connection.operations.running)
        peer.sock.sendall(bytes.fromhex("05000000000400000000"))
        assert peer.sock.recv(10)[:1] == b"\x06"
        assert closed.wait(PATIENCE)
    eventually(lambda: server.connection_count == 0)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
