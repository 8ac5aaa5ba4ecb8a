"""Operations both ways at once on one association (PS3.7 7, D.3.3.4): a flood meanwhile, a cancel by the acceptor."""

from __future__ import annotations

import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dicomcore import dcmread
from dicomcore.data.part10 import read_header
from dicomcore.dimse.command import CommandField, command, response
from dicomcore.dimse.exchange import Exchange, Fragment, RequestReceived, ResponseReceived
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import PeerTimeout
from dicomcore.limits import Limits
from dicomcore.net import AE
from dicomcore.net.poller import Facilities
from dicomcore.services.base import Invoke, Perform, Receive, Request, Response, ServiceContext
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import (
    Accept,
    Acceptance,
    Associate,
    Association,
    AssociationRequested,
    AsyncWindow,
    Body,
    RoleSelection,
    propose,
)
from dicomcore.vocab.syntaxes import EXPLICIT_LE
from tests.net.conftest import CT, FIND, PATIENCE, Scripted, eventually, write_ct

from .drivers import Driver

Provider = Generator[Any, Any, None]

FINDING = command("C-FIND-RQ", AffectedSOPClassUID=FIND)
GETTING = "1.2.840.10008.5.1.4.1.2.2.3"
COMMITMENT = "1.2.840.10008.1.20.1"


@pytest.mark.parametrize("facilities", [Facilities, Facilities.portable], ids=["native", "portable"])
def test_large_objects_go_out_while_the_peer_floods_us(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, facilities: Callable[[], Facilities]
) -> None:
    """C-GET with sub-operations of 3 MB, and N-EVENT-REPORTs with a body as fast as the window allows."""
    monkeypatch.setattr("dicomcore.net.ae.Facilities", facilities)
    objects = 4
    reported: list[int] = []

    def getting(request: Request, context: ServiceContext) -> Provider:
        yield Receive(MemorySink(1000))
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2.3")

        def storing() -> Generator[Any, Any, int]:
            answer = yield Invoke(3, ask, bytes(3_000_000))
            return int(answer.status)

        for done in range(1, objects + 1):
            assert (yield Perform(storing())) == 0
            yield Response(0xFF00, elements=counts(done, objects - done))
        yield Response(0, elements=counts(objects, 0))

    def reporting(request: Request, context: ServiceContext) -> Provider:
        received = yield Receive(MemorySink(100_000))
        reported.append(received.length)
        yield Response(0)

    server = driver.serve(
        Scripted(getting, GETTING, CommandField.C_GET_RQ),
        Scripted(reporting, COMMITMENT, CommandField.N_EVENT_REPORT_RQ),
        VerificationSCP(),
        Scripted(lambda request, context: iter(()), CT, CommandField.C_STORE_RQ),  # type: ignore[arg-type, return-value]
        window=0,
        workers=2,
        roles={CT: (True, True), COMMITMENT: (True, True)},
    )
    peer = Flooding(server.port, objects)
    with peer.sock:
        peer.run()
    assert peer.stored == objects
    assert peer.final == 0
    assert reported == [50_000] * peer.reports
    assert peer.reports > 5


LENGTH = 16_000_000
PATIENT = 3000.0  # seconds for an answer, on a clock that moves with what has arrived


@pytest.mark.parametrize(("rate", "completes"), [(1500, True), (500, False)])
def test_what_a_get_brings_counts_as_an_answer(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, completes: bool
) -> None:
    """One object takes longer than an answer may, and no response comes meanwhile: they are optional (PS3.4 C.4.3).

    Unless it comes more slowly than `Limits.message_rate`.
    """
    write_ct(tmp_path / "ct.dcm")
    whole = (tmp_path / "ct.dcm").read_bytes()[read_header(tmp_path / "ct.dcm").dataset_offset :]
    opened: list[Any] = []
    assert LENGTH / rate > 3 * PATIENT
    assert (rate > Limits().message_rate) == completes

    def getting(request: Request, context: ServiceContext) -> Provider:
        yield Receive(MemorySink(1000))
        uid = dcmread(tmp_path / "ct.dcm").SOPInstanceUID
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID=uid, Priority=0)

        def storing() -> Generator[Any, Any, int]:
            answer = yield Invoke(3, ask, [whole, bytes(LENGTH)])
            return int(answer.status)

        assert (yield Perform(storing())) == 0
        yield Response(0, elements=counts(1, 0))

    with AE("SERVER").serve(
        0,
        host="127.0.0.1",
        services=[
            Scripted(getting, GETTING, CommandField.C_GET_RQ),
            Scripted(lambda request, context: iter(()), CT, CommandField.C_STORE_RQ),  # type: ignore[arg-type, return-value]
        ],
        roles={CT: (True, True)},
    ) as server:
        contexts = [(GETTING, [EXPLICIT_LE.uid]), (CT, [EXPLICIT_LE.uid])]
        taking = StorageSCP(tmp_path / "in", supported={CT: (EXPLICIT_LE.uid,)})
        ahead: Callable[[], float] = lambda: opened[0].metrics.received_bytes / rate if opened else 0.0  # noqa: E731
        if not driver.shift(monkeypatch, ahead) and not completes:
            pytest.skip("no timer of this loop can be made to fire")
        with suppress(PeerTimeout), driver.associate(server.port, contexts=contexts, services=[taking]) as association:
            driver.hurry(association, dimse_timeout=PATIENT, network_timeout=PATIENT)
            opened.append(association)
            *_, last = association.c_get({"PatientID": "P1"}, GETTING)
            assert completes
            assert (last.status, last.completed) == (0, 1)
        assert association.metrics.operation("C-GET", "user").completed == completes


def counts(done: int, left: int) -> dict[str, int]:
    names = ("Completed", "Remaining", "Failed", "Warning")
    return {f"NumberOf{name}Suboperations": number for name, number in zip(names, (done, left, 0, 0), strict=True)}


class Flooding:
    """A requestor that gets objects and never stops reporting, always reading as well."""

    def __init__(self, port: int, objects: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.core = Association(requestor=True)
        rows = [(uid, (EXPLICIT_LE.uid,)) for uid in (GETTING, CT, COMMITMENT)]
        roles = [RoleSelection(CT, True, True), RoleSelection(COMMITMENT, True, True)]
        self.core.request(
            Associate(propose(rows, calling_ae="F", called_ae="SERVER", roles=roles, window=AsyncWindow(0, 0)))
        )
        self.core.connected()
        self.exchange: Exchange | None = None
        self.unsent: deque[bytes] = deque()
        self.stored = self.reports = self.open_reports = 0
        self.final: int | None = None
        self.storing: Any = None

    def run(self) -> None:
        self.sock.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while self.final is None or self.open_reports:
                if not self.unsent:
                    self.unsent.extend(bytes(part) for part in self.core.segments(65536))  # type: ignore[arg-type]
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)
                selector.modify(self.sock, events)
                ready = selector.select(PATIENCE)
                assert ready, f"nothing moves: {self.stored} stored, {self.reports} reported"
                if ready[0][1] & selectors.EVENT_WRITE and self.unsent:
                    part = self.unsent.popleft()
                    if rest := part[self.sock.send(part) :]:
                        self.unsent.appendleft(rest)
                if ready[0][1] & selectors.EVENT_READ:
                    self.read()

    def read(self) -> None:
        count = self.sock.recv_into(self.core.buffer())
        assert count, "the server has closed"
        self.core.received(count)
        for event in self.core.events():
            if isinstance(event, Body):
                assert self.exchange is not None
                for message in self.exchange.receive(event):
                    self.digest(message)
            else:
                self.exchange = Exchange(self.core)
                self.exchange.request(1, command("C-GET-RQ", AffectedSOPClassUID=GETTING, Priority=0), b"")
        self.flood()

    def flood(self) -> None:
        assert self.exchange is not None
        while self.final is None and self.exchange.can_request and self.core.queued_length < 200_000:
            report = command(
                "N-EVENT-REPORT-RQ", AffectedSOPClassUID=COMMITMENT, AffectedSOPInstanceUID="1.2", EventTypeID=1
            )
            self.exchange.request(5, report, bytes(50_000))
            self.reports += 1
            self.open_reports += 1

    def digest(self, message: Any) -> None:
        assert self.exchange is not None
        if isinstance(message, RequestReceived):
            self.storing = message
        elif isinstance(message, Fragment):
            if message.last:
                self.stored += 1
                self.exchange.respond(message.context_id, response(self.storing.command, 0))
        elif message.command.field == CommandField.C_GET_RSP:
            if message.final:
                self.final = message.command.elements["Status"]
        else:
            self.open_reports -= 1


def test_the_acceptor_cancels_what_the_requestor_performs(driver: Driver) -> None:
    """C-CANCEL the other way round: the peer that accepted is the SCU."""
    cancelled = threading.Event()

    def provider(request: Request, context: ServiceContext) -> Provider:
        yield Receive(MemorySink(1000))
        yield Response(0xFF00, b"")
        while not context.cancelled:
            yield Response(0xFF00, b"")
        cancelled.set()
        yield Response(0xFE00)

    statuses: list[int] = []

    def accept(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        acceptance = Acceptance(ae_title="PEER", supported={FIND: (EXPLICIT_LE.uid,)}, roles={FIND: (True, True)})
        core = Association(requestor=False, acceptance=acceptance)
        core.connected()
        exchange = Exchange(core)
        with sock:
            while True:
                count = sock.recv_into(core.buffer())
                if not count:
                    return
                core.received(count)
                for event in core.events():
                    if isinstance(event, AssociationRequested):
                        core.request(Accept())
                        exchange.request(1, FINDING, b"")
                    elif isinstance(event, Body):
                        for message in exchange.receive(event):
                            if isinstance(message, ResponseReceived):
                                statuses.append(message.command.elements["Status"])
                                if len(statuses) == 3:
                                    exchange.cancel(1, message.message_id)
                for part in core.segments():
                    sock.sendall(bytes(part))  # type: ignore[arg-type]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        association = driver.associate(
            listener.getsockname()[1],
            contexts=[FIND],
            services=[Scripted(provider, FIND, CommandField.C_FIND_RQ)],
            roles=[RoleSelection(FIND, True, True)],
        )
        eventually(lambda: association.wait(0.01) and cancelled.is_set() and 0xFE00 in statuses)
        association.abort()
        thread.join(PATIENCE)
    assert statuses[-1] == 0xFE00
