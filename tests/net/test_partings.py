"""Associations that end at an awkward moment: nothing stays open, nobody waits, nothing spins."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.dimse.exchange import Exchange, RequestReceived
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import LocalProtocolError, PeerTimeout
from dicomcore.limits import Limits
from dicomcore.net import AE, Server
from dicomcore.net.budget import Budget
from dicomcore.net.operations import Operations
from dicomcore.net.poller import Facilities
from dicomcore.net.provider import ServedConnection
from dicomcore.net.transport import listen
from dicomcore.net.watch import Watch
from dicomcore.services.base import Provider, Receive, Request, Response, Router, ServiceContext
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import (
    Accept,
    Acceptance,
    Answers,
    Associate,
    Association,
    AssociationRequested,
    Release,
    RoleSelection,
    State,
    propose,
)
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import IMPLICIT_LE

from .conftest import CT, RawPeer, Scripted, eventually, hurry

Serving = Callable[..., Server]
Steps = Generator[Any, Any, None]

ECHO = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)


def storing(ended: threading.Event, began: threading.Event | None = None) -> Scripted:
    """Takes a body to memory, and tells when its provider begins and ends."""

    def provider(request: Request, context: ServiceContext) -> Steps:
        if began is not None:
            began.set()
        try:
            yield Receive(MemorySink(1 << 20))
            yield Response(0)
        finally:
            ended.set()

    return Scripted(provider, CT, CommandField.C_STORE_RQ)


def begin_store(exchange: Exchange, core: Association) -> None:
    """A C-STORE-RQ and the first part of its data set."""
    stored = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2.3")
    context_id = next(row.id for row in exchange.negotiated.contexts.values() if row.abstract_syntax == CT)
    exchange.request(context_id, stored, [bytes(1000), b""])
    core._outbound.queue.pop()  # the last fragment


def test_a_server_that_closes_in_the_middle_of_a_body_keeps_no_connection(serving: Serving) -> None:
    began, ended = threading.Event(), threading.Event()
    server = serving(storing(ended, began))
    with RawPeer(server.port, CT) as peer:
        begin_store(peer.exchange, peer.core)
        peer.flush()
        assert began.wait(60.0)
        server.close(0.0)
        eventually(lambda: server.connection_count == 0)
    assert server.association_count == 0
    assert ended.wait(60.0)
    assert server.metrics.connections_open == 0


@contextmanager
def raw_server(then: Callable[[socket.socket, Association, Exchange], None]) -> Iterator[int]:
    """Accepts one association with both roles for CT, does `then`, and reads until the user has gone."""

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.setblocking(True)
            acceptance = Acceptance(
                supported={CT: (IMPLICIT_LE.uid,), VERIFICATION: (IMPLICIT_LE.uid,)}, roles={CT: (True, True)}
            )
            core = Association(requestor=False, acceptance=acceptance)
            core.connected()
            exchange = Exchange(core)
            while not core.established:
                core.received(sock.recv_into(core.buffer()))
                for event in core.events():
                    assert isinstance(event, AssociationRequested)
                    core.request(Accept())
            then(sock, core, exchange)
            flush(sock, core)
            while sock.recv(4096):
                pass

    def flush(sock: socket.socket, core: Association) -> None:
        while core.wants_write:
            for part in core.segments():
                sock.sendall(cast(bytes, part))

    with ExitStack() as stack:
        (listener,) = listen("127.0.0.1", 0)
        stack.callback(listener.close)
        listener.setblocking(True)
        thread = threading.Thread(target=serve)
        thread.start()
        stack.callback(thread.join)
        yield listener.getsockname()[1]


def test_a_provider_of_the_user_is_closed_when_the_answer_does_not_come(user: AE) -> None:
    """The peer has begun to store here, as in a C-GET, and says no more."""
    ended = threading.Event()
    with raw_server(lambda sock, core, exchange: begin_store(exchange, core)) as port:
        association = user.associate(
            "127.0.0.1",
            port,
            contexts=[(CT, (IMPLICIT_LE.uid,)), VERIFICATION],
            services=[storing(ended)],
            roles=[RoleSelection(CT, True, True)],
        )
        eventually(lambda: association.wait(0.01) and association._operations.running)
        assert not ended.is_set()
        hurry(association, dimse_timeout=0.0)
        with pytest.raises(PeerTimeout):
            association.c_echo()
        assert ended.is_set()
        assert not association._operations.running


class Mute:
    """An association that waits for A-RELEASE-RP (Sta7): nothing more may be sent."""

    requestor = True

    def __init__(self) -> None:
        row = SimpleNamespace(abstract_syntax=VERIFICATION, transfer_syntax=IMPLICIT_LE.uid, general="", id=1)
        self.negotiated: Any = SimpleNamespace(contexts={1: row}, window=(1, 1))
        self.sent: list[bytes] = []

    def send(self, context_id: int, command: bool, payload: Any, last: bool = True) -> None:
        raise AssertionError("a response without a body is sent whole")

    def message(self, context_id: int, command: bytes, body: Any = None) -> None:
        raise LocalProtocolError("Evt9 cannot happen in Sta7", clause="PS3.8 table 9-10")


class _Provider(VerificationSCP):
    """The same by a provider."""

    def handle(self, request: Request, context: ServiceContext, /) -> Provider:
        yield Response(0)


ECHOES = pytest.mark.parametrize("service", [VerificationSCP(), _Provider()])


def advance(operations: Operations) -> None:
    """Until nothing is left to do."""
    while (operation := operations.next(room=True)) is not None:
        assert operations.advance(operation) is None
        assert operation.over


@ECHOES
def test_a_provider_that_answers_after_our_release_request(
    caplog: pytest.LogCaptureFixture, service: VerificationSCP
) -> None:
    exchange = Exchange(Mute())
    operations = Operations(exchange, Limits(), Router([service]), flush=lambda: True)
    operations.inbox += cast(Any, exchange._message(1, ECHO.but(MessageID=7, CommandDataSetType=0x0101)))
    assert type(operations.inbox[0]) is RequestReceived
    with caplog.at_level(logging.WARNING):
        advance(operations)
    assert operations.idle
    assert "cannot be sent" in caplog.text


@ECHOES
def test_the_release_goes_on_when_a_provider_answers_too_late(service: VerificationSCP) -> None:
    """The same with a core that is in Sta7, where what the peer asked before still arrives (PS3.8 AR-6)."""
    supported: dict[str, tuple[str, ...]] = {VERIFICATION: (IMPLICIT_LE.uid,)}
    near = Association(requestor=True)
    far = Association(requestor=False, acceptance=Acceptance(supported=supported, roles={VERIFICATION: (True, True)}))
    request = propose(supported.items(), calling_ae="A", called_ae="B", roles=[RoleSelection(VERIFICATION, True, True)])
    near.request(Associate(request))
    near.connected()
    far.connected()

    def carry(one: Association, other: Association) -> list[Any]:
        data = b"".join(bytes(cast(Any, part)) for part in one.segments())
        view = other.buffer()
        view[: len(data)] = data
        other.received(len(data))
        return other.events()

    carry(near, far)
    far.request(Accept())
    carry(far, near)
    there, here = Exchange(far), Exchange(near)
    there.request(1, ECHO)
    near.request(Release())
    operations = Operations(here, Limits(), Router([service]), flush=lambda: True)
    for body in carry(far, near):
        operations.inbox += cast(Any, here.receive(body))
    advance(operations)
    assert near.state is State.Sta7
    carry(near, far)
    assert far.state is State.Sta8


class _Deaf:
    """A socket that takes nothing more and has not said so to who reads."""

    def fileno(self) -> int:
        return 99

    def recv_into(self, view: memoryview) -> int:
        raise BlockingIOError

    def send(self, data: bytes) -> int:
        raise BrokenPipeError

    def sendmsg(self, views: list[bytes]) -> int:
        raise BrokenPipeError

    def setsockopt(self, *option: int) -> None: ...

    def close(self) -> None: ...


def test_a_peer_that_takes_nothing_is_not_watched_for_writing() -> None:
    """It is always ready for that, so the selector would never rest."""
    armed: list[tuple[bool, bool]] = []
    poller: Any = SimpleNamespace(arm=lambda fd, *, read, write: armed.append((read, write)))
    limits = Limits()
    answers = Answers(Acceptance(supported={VERIFICATION: (IMPLICIT_LE.uid,)}))
    core = Association(requestor=False, answers=answers)
    connection = ServedConnection(
        cast(Any, _Deaf()),
        core,
        limits,
        Facilities.portable(),
        peer=("127.0.0.1", 1),
        router=Router([VerificationSCP()]),
        poller=poller,
        effects=cast(Any, None),
        submit=lambda connection: None,
        decide=lambda connection, event: core.request(Accept()),
        watch=Watch(),
        budget=Budget(limits.memory_budget, limits.memory_object),
        ring=lambda connection: None,
    )
    core.connected()
    user = Association(requestor=True)
    rows = {VERIFICATION: (IMPLICIT_LE.uid,)}.items()
    user.request(Associate(propose(rows, calling_ae="A", called_ae="B")))
    user.connected()
    data = b"".join(cast(Any, user.segments()))
    core.buffer()[: len(data)] = data
    core.received(len(data))
    connection._digest()
    assert core.wants_write
    connection.watch()
    assert armed.pop() == (True, True)
    assert connection.flush()  # nothing more can be written
    assert not connection.outbox.empty
    connection.watch()
    assert armed == [(True, False)]
    connection.close()


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"PatientID": "3"}, "a provider yields Response, Receive or another effect, not dict"),
        (None, "not NoneType"),
        (Receive(MemorySink(10)), "no body is left to receive"),
    ],
)
def test_a_step_that_is_none_is_told_what_it_is(step: object, told: str) -> None:
    heard: list[Exception] = []

    def provider(request: Request, context: ServiceContext) -> Steps:
        try:
            yield step
        except LocalProtocolError as error:
            heard.append(error)
        yield Response(0)

    wire: Any = Mute()
    wire.message = lambda context_id, command, body=None: wire.sent.append(command)
    exchange = Exchange(wire)
    operations = Operations(exchange, Limits(), Router([Scripted(provider)]), flush=lambda: True)
    operations.inbox += cast(Any, exchange._message(1, ECHO.but(MessageID=7, CommandDataSetType=0x0101)))
    operation = operations.next(room=True)
    assert operation is not None
    assert operations.advance(operation) is None
    assert told in str(heard[0])
    assert len(wire.sent) == 1
