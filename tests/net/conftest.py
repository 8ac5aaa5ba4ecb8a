"""Loopback servers, peers that misbehave, and waiting for what another thread does without sleeping."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from random import SystemRandom
from time import monotonic
from typing import Any

import pytest

from dicomcore.data.part10 import encode_file_meta
from dicomcore.dimse.command import CommandField
from dicomcore.dimse.exchange import Exchange
from dicomcore.limits import Limits
from dicomcore.net import AE, Server
from dicomcore.net.poller import Facilities
from dicomcore.services.base import Request, ServiceContext
from dicomcore.ul import Aborted, Accepted, Associate, Association, Body, ConnectionLost, Rejected, propose
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from dicomcore.vocab.uids import new_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENCE = 120.0  # seconds after which a test gives up; reached only when something is broken


@pytest.fixture(params=["native", "portable"])
def facilities(request: pytest.FixtureRequest) -> Facilities:
    return Facilities() if request.param == "native" else Facilities.portable()


@pytest.fixture
def serving(facilities: Facilities) -> Iterator[Callable[..., Server]]:
    """``serving(service, ..., limits=, workers=)`` starts a server that the test's end closes."""
    with ExitStack() as stack:

        def start(*services: Any, limits: Limits = Limits(), **options: Any) -> Server:  # noqa: B008
            ae = AE("SERVER", limits=limits, facilities=facilities)
            server = ae.serve(0, host="127.0.0.1", services=services, **options)
            stack.callback(server.close, 0.0)
            return server

        yield start


@pytest.fixture
def user(facilities: Facilities) -> AE:
    return AE("USER", facilities=facilities)


def hurry(association: Any, **limits: float) -> None:
    """Shorten times of an association that stands: its opening, or an answer that does come, may take any time."""
    connection = association._connection
    connection.limits = association._limits = connection.limits.but(**limits)


def eventually(condition: Callable[[], object]) -> None:
    """Wait until another thread has made it true."""
    tick = threading.Event()
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline, "it did not happen"
        tick.wait(0.001)


class Scripted:
    """A service whose provider is a function of the test."""

    def __init__(
        self,
        provider: Callable[[Request, ServiceContext], Generator[Any, Any, None]],
        abstract_syntax: str = VERIFICATION,
        field: CommandField = CommandField.C_ECHO_RQ,
    ) -> None:
        self.supported: dict[str, tuple[str, ...]] = {abstract_syntax: (EXPLICIT_LE.uid, IMPLICIT_LE.uid)}
        self.commands = frozenset({field})
        self._provider = provider

    def handle(self, request: Request, context: ServiceContext, /) -> Generator[Any, Any, None]:
        return self._provider(request, context)


class RawPeer:
    """A requestor on a blocking socket, as polite or rude as a test wants it."""

    _more: Sequence[Any] = ()  # what came right behind the answer to the request

    def __init__(self, port: int, *abstract_syntaxes: str, window: Any = None) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.core = Association(requestor=True)
        rows = [(uid, (EXPLICIT_LE.uid,)) for uid in abstract_syntaxes or (VERIFICATION,)]
        self.core.request(Associate(propose(rows, calling_ae="RAW", called_ae="SERVER", window=window)))
        self.core.connected()
        self.flush()
        self.first, *self._more = self.receive()
        assert isinstance(self.first, Accepted | Rejected | Aborted | ConnectionLost)
        self.exchange = Exchange(self.core)

    def flush(self) -> None:
        while self.core.wants_write:
            for part in self.core.segments():
                self.sock.sendall(bytes(part))  # type: ignore[arg-type]

    def receive(self) -> Sequence[Any]:
        """The next events; bodies as messages of the exchange."""
        if self._more:
            more, self._more = self._more, ()
            return more
        while True:
            count = self.sock.recv_into(self.core.buffer())
            if count:
                self.core.received(count)
            else:
                self.core.closed()
            found: list[Any] = []
            for event in self.core.events():
                found += self.exchange.receive(event) if isinstance(event, Body) else [event]
            if found or not count:
                return found

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def free_port() -> int:
    """For a program that cannot be told 0: not one of those that the system gives to whoever asks meanwhile."""
    for port in SystemRandom().sample(range(20_000, 32_000), 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def raw_socket(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def read_to_end(sock: socket.socket) -> bytes:
    """What the peer says until it closes."""
    parts = []
    try:
        while part := sock.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """One explicit little endian element."""
    head = group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr
    if vr in (b"OW", b"OB"):
        return head + bytes(2) + len(value).to_bytes(4, "little") + value
    return head + len(value).to_bytes(2, "little") + value


def even(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def write_ct(path: Path, pixels: int = 1000, sop_class: str = CT) -> str:
    """A small explicit little endian file; its SOP Instance UID."""
    uid = str(new_uid())
    dataset = (
        element(8, 0x16, b"UI", even(sop_class))
        + element(8, 0x18, b"UI", even(uid))
        + element(0x7FE0, 0x10, b"OW", bytes(range(256)) * (pixels // 256) + bytes(pixels % 256 // 2 * 2))
    )
    path.write_bytes(encode_file_meta(sop_class, uid, EXPLICIT_LE.uid) + dataset)
    return uid
