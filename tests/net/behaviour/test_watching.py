"""What can be seen of an association from outside: counters, events and log records, the same of every driver."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any

import pytest

from dicomcore.dimse.command import CommandField, command
from dicomcore.encoding.sink import MemorySink
from dicomcore.errors import AssociationAborted, AssociationRejected, NegotiationError
from dicomcore.limits import Limits
from dicomcore.net.events import (
    AssociationAccepted,
    AssociationEnded,
    CancelRequested,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionRefused,
    Event,
    OperationEnded,
    OperationStarted,
)
from dicomcore.net.events import (
    AssociationRejected as RejectedEvent,
)
from dicomcore.services.base import Receive, Response
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import UserInformation, encode, propose
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import IMPLICIT_LE
from tests.net.behaviour.drivers import Driver
from tests.net.conftest import CT, FIND, PATIENCE, RawPeer, Scripted, eventually, raw_socket, write_ct


class Ear:
    """A hook that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.threads: set[int] = set()

    def __call__(self, event: Event) -> None:
        self.threads.add(threading.get_ident())
        self.heard.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.heard if type(event) is kind]

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.heard]


def test_what_both_sides_count(driver: Driver, tmp_path: Path) -> None:
    server = driver.serve(VerificationSCP(), StorageSCP(tmp_path / "in"))
    files = [tmp_path / f"{number}.dcm" for number in range(3)]
    for file in files:
        write_ct(file, 40_000)
    with driver.associate(server.port, contexts=[VERIFICATION, *files]) as association:
        for _ in range(4):
            association.c_echo()
        assert all(result.stored for result in association.c_store_many(files))
        mine = association.metrics
        assert association.cipher is None
    assert mine.associations_open == mine.connections_open == mine.associations_accepted == 1
    assert mine.sent_objects == 3
    assert mine.received_objects == 0
    assert mine.sent_bytes > 3 * 40_000 > mine.received_bytes > 0
    assert mine.operations_running == 0
    echo, store = mine.operation("C-ECHO", "user"), mine.operation("C-STORE", "user")
    assert dict(echo.statuses) == {"Success": 4}
    assert dict(store.statuses) == {"Success": 3}
    assert echo.service_time.observed == 4
    assert echo.queue_time.observed == 0
    assert 0 < store.service_time.mean < PATIENCE
    eventually(lambda: server.metrics.connections_open == 0)
    its = server.metrics
    assert its.received_objects == 3
    assert (its.associations_open, its.associations_accepted) == (0, 1)
    assert dict(its.associations_ended) == {"released": 1}
    assert dict(its.operation("C-ECHO").statuses) == {"Success": 4}
    assert its.operation("C-ECHO").queue_time.observed == its.operation("C-ECHO").service_time.observed == 4
    assert its.operation("C-STORE").completed == 3
    # Only the release is missing from what was counted before it.
    assert its.received_bytes == mine.sent_bytes + 10
    assert its.sent_bytes == mine.received_bytes + 10
    assert dict(association.metrics.associations_ended) == {"released": 1}


def test_events_of_both_sides(driver: Driver) -> None:
    mine, its = Ear(), Ear()
    server = driver.serve(VerificationSCP(), on_event=its)
    with driver.associate(server.port, on_event=mine) as association:
        association.c_echo()
    whole = [
        "ConnectionOpened",
        "AssociationAccepted",
        "OperationStarted",
        "OperationEnded",
        "AssociationEnded",
        "ConnectionClosed",
    ]
    for ear, role in ((mine, "user"), (its, "provider")):
        eventually(lambda ear=ear: ConnectionClosed in map(type, ear.heard))  # type: ignore[misc]
        assert ear.names() == whole
        assert len({event.association for event in ear.heard}) == 1
        moments = [event.at for event in ear.heard]
        assert moments == sorted(moments)
        assert abs(moments[0] - time()) < PATIENCE
        started, ended = ear.of(OperationStarted)[0], ear.of(OperationEnded)[0]
        assert (started.role, started.command, started.abstract_syntax) == (role, "C-ECHO", VERIFICATION)
        assert (ended.role, ended.command, ended.status, ended.category) == (role, "C-ECHO", 0, "Success")
        assert ended.message_id == started.message_id
        assert ended.seconds > 0
        over = ear.of(AssociationEnded)[0]
        assert (over.how, over.calling_ae, over.called_ae) == ("released", "USER", "ANY-SCP")
        assert over.metrics.operation("C-ECHO", role).completed == 1
        assert not over.metrics.associations_open
    assert mine.of(AssociationAccepted)[0].negotiated == association.negotiated
    assert its.of(ConnectionOpened)[0].peer.startswith("127.0.0.1:")


def test_a_cancel_is_an_event_of_both_sides(driver: Driver) -> None:
    def finding(request: Any, context: Any) -> Any:
        yield Receive(MemorySink(1000))
        while not context.cancelled:
            yield Response(0xFF00, b"")
        yield Response(0xFE00)

    mine, its = Ear(), Ear()
    server = driver.serve(Scripted(finding, FIND, CommandField.C_FIND_RQ), on_event=its)
    with driver.associate(server.port, contexts=FIND, on_event=mine) as association:
        found = association.c_find({"PatientID": "P1"}, FIND)
        next(iter(found))
        found.close()
    for ear, role in ((mine, "user"), (its, "provider")):
        eventually(lambda ear=ear: ear.of(ConnectionClosed))  # type: ignore[misc]
        assert ear.names()[2:5] == ["OperationStarted", "CancelRequested", "OperationEnded"]
        (asked,), (ended,) = ear.of(CancelRequested), ear.of(OperationEnded)
        assert (asked.role, asked.command, asked.message_id) == (role, "C-FIND", ended.message_id)
        assert ended.status == 0xFE00


def test_a_hook_that_fails_harms_nothing(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    def fails(event: Event) -> None:
        raise RuntimeError("the hook is broken")

    with caplog.at_level(logging.ERROR, "dicomcore.net"):
        server = driver.serve(VerificationSCP(), on_event=fails)
        with driver.associate(server.port, on_event=fails) as association:
            assert association.c_echo() == 0
        eventually(lambda: sum("hook failed" in record.message for record in caplog.records) >= 12)


def test_a_hook_that_waits_holds_up_nobody(driver: Driver) -> None:
    go_on = threading.Event()
    ear = Ear()

    def waits(event: Event) -> None:
        go_on.wait(PATIENCE)
        ear(event)

    server = driver.serve(VerificationSCP(), on_event=waits, workers=2)
    try:
        for _ in range(3):
            with driver.associate(server.port) as association:
                assert association.c_echo() == 0
    finally:
        go_on.set()
    eventually(lambda: len(ear.of(ConnectionClosed)) == 3)
    assert [event.how for event in ear.of(AssociationEnded)] == ["released"] * 3


def test_a_hook_may_ask_the_server(driver: Driver) -> None:
    seen = []
    server: Any = None

    def asks(event: Event) -> None:
        if isinstance(event, AssociationEnded):
            seen.append(server.metrics.associations_accepted)

    server = driver.serve(VerificationSCP(), on_event=asks)
    with driver.associate(server.port) as association:
        association.c_echo()
    eventually(lambda: seen == [1])


def test_coroutine_functions_are_no_hooks(driver: Driver) -> None:
    async def hook(event: Event) -> None: ...

    with pytest.raises(Exception, match="plain function"):
        driver.serve(VerificationSCP(), on_event=hook)


def test_rejections_by_reason(driver: Driver) -> None:
    mine, its = Ear(), Ear()
    server = driver.serve(VerificationSCP(), require_called_ae=True, on_event=its)
    for _ in range(2):
        with pytest.raises(AssociationRejected):
            driver.associate(server.port, called_ae="NOBODY", on_event=mine)
    eventually(lambda: server.metrics.connections_open == 0)
    metrics = server.metrics
    ((why, number),) = metrics.associations_rejected.items()
    assert number == 2
    assert "called AE title" in why
    assert (metrics.associations_accepted, metrics.associations_failed, metrics.connections_opened) == (0, 0, 2)
    for ear in (mine, its):
        eventually(lambda ear=ear: len(ear.of(ConnectionClosed)) == 2)  # type: ignore[misc]
        first = ear.of(RejectedEvent)[0]
        assert (first.result, first.source, first.reason, first.called_ae) == (1, 1, 7, "NOBODY")
        assert first.why == why
        assert not ear.of(AssociationEnded)


def test_who_aborted(driver: Driver) -> None:
    its = Ear()
    server = driver.serve(VerificationSCP(), on_event=its)
    association = driver.associate(server.port)
    association.abort()
    assert dict(association.metrics.associations_ended) == {"aborted": 1}
    with RawPeer(server.port) as lost:
        assert lost.core.established
    with RawPeer(server.port) as rude:
        rude.sock.sendall(bytes.fromhex("040000000004 00000002"))  # a P-DATA-TF too short for a fragment
        eventually(lambda: len(its.of(AssociationEnded)) == 3)
    eventually(lambda: server.metrics.connections_open == 0)
    assert dict(server.metrics.associations_ended) == {"aborted by peer": 1, "lost": 1, "aborted": 1}
    reasons = {event.how: event.why for event in its.of(AssociationEnded)}
    assert "the peer aborted" in reasons["aborted by peer"]
    assert "P-DATA-TF" in reasons["aborted"]
    assert server.metrics.operations == ()


def test_an_operation_without_an_end(driver: Driver) -> None:
    began, heard = threading.Event(), threading.Event()
    its = Ear()

    def provider(request: Any, context: Any) -> Any:
        began.set()
        eventually(lambda: context.peer_gone)
        heard.wait(PATIENCE)
        yield Response(0)

    server = driver.serve(Scripted(provider), on_event=its, workers=3)
    with RawPeer(server.port) as peer:
        peer.exchange.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        peer.flush()
        assert began.wait(PATIENCE)
        assert server.metrics.operations_running == 1
    eventually(lambda: its.of(AssociationEnded))
    heard.set()
    eventually(lambda: its.of(ConnectionClosed))
    assert its.names()[-2:] == ["OperationEnded", "ConnectionClosed"]
    ended = its.of(OperationEnded)[0]
    assert (ended.status, ended.category, ended.role) == (None, None, "provider")
    eventually(lambda: server.metrics.operations_running == 0)
    assert server.metrics.operation("C-ECHO").completed == 0


def test_failures_of_providers_are_counted(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    def provider(request: Any, context: Any) -> Any:
        yield from ()
        raise ValueError("no good")

    server = driver.serve(Scripted(provider))
    with driver.associate(server.port) as association:
        assert association.c_echo() == 0x0110
        assert dict(association.metrics.operation("C-ECHO", "user").statuses) == {"Failure": 1}
    assert dict(server.metrics.operation("C-ECHO").statuses) == {"Failure": 1}
    record = next(record for record in caplog.records if "no good" in record.message)
    assert record.name == "dicomcore.services"
    assert record.association  # type: ignore[attr-defined]


def test_one_line_when_it_begins_and_one_when_it_ends(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    server = driver.serve(VerificationSCP())
    with caplog.at_level(logging.INFO, "dicomcore"):
        with driver.associate(server.port, called_ae="PACS") as association:
            association.c_echo()
        eventually(lambda: server.metrics.connections_open == 0)
        raw_socket(server.port).close()  # somebody looks whether we are there
        eventually(lambda: server.metrics.connections_opened == 2 and server.metrics.connections_open == 0)
    by_name: dict[str, list[str]] = {}
    for record in caplog.records:
        assert record.levelno == logging.INFO
        assert record.name == "dicomcore.net"
        by_name.setdefault(record.association, []).append(record.message)  # type: ignore[attr-defined]
    assert len(by_name) == 2
    for lines in by_name.values():
        begun, ended = lines
        assert begun.startswith("association accepted: USER -> PACS, peer ")
        assert ended.startswith("association released: USER -> PACS, peer ")
        assert "1 operations" in ended
    assert server.metrics.associations_failed == 0


def test_the_trace_of_a_store(driver: Driver, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    write_ct(tmp_path / "a.dcm", 100_000)
    with caplog.at_level(logging.DEBUG, "dicomcore"):
        server = driver.serve(StorageSCP(tmp_path / "in"))
        with driver.associate(server.port, contexts=tmp_path / "a.dcm") as association:
            assert association.c_store(tmp_path / "a.dcm") == 0
        eventually(lambda: server.metrics.connections_open == 0)
    names = {event.association for event in caplog.records}  # type: ignore[attr-defined]
    told: dict[str, list[str]] = {}
    for name in names - {""}:
        own = [record for record in caplog.records if record.association == name]  # type: ignore[attr-defined]
        assert {record.name for record in own} == {"dicomcore.net", "dicomcore.ul", "dicomcore.dimse"}
        lines = [record.message for record in own if record.name == "dicomcore.ul"]
        side = "user" if lines[0].startswith("->") else "server"
        told[side] = lines
        commands = [record.message for record in own if record.name == "dicomcore.dimse"]
        there, back = ("->", "<-") if side == "user" else ("<-", "->")
        assert commands == [
            f"{there} C-STORE-RQ, message 1 on context 1",
            f"{back} C-STORE-RSP, message 1 on context 1: 0000 Success",
        ]
    assert [swap(line) for line in told["server"]] == told["user"]
    user = told["user"]
    assert user[0].startswith("-> A-ASSOCIATE-RQ of ")
    assert user[1].startswith("<- A-ASSOCIATE-AC of ")
    assert "command of " in user[2]
    assert user[-2:] == ["-> A-RELEASE-RQ of 4 bytes", "<- A-RELEASE-RP of 4 bytes"]
    assert any("data of " in line and line.endswith("on context 1, last") for line in user)
    assert association.metrics.sent_objects == 1


def swap(line: str) -> str:
    arrow, rest = line[:2], line[2:]
    return {"->": "<-", "<-": "->"}[arrow] + rest


def test_an_association_that_is_no_use(driver: Driver, tmp_path: Path) -> None:
    ear = Ear()
    server = driver.serve(VerificationSCP())
    write_ct(tmp_path / "a.dcm")
    with pytest.raises(NegotiationError):
        driver.associate(server.port, contexts=tmp_path / "a.dcm", on_event=ear)
    eventually(lambda: ear.of(ConnectionClosed))
    assert ear.names() == ["ConnectionOpened", "AssociationAccepted", "AssociationEnded", "ConnectionClosed"]


def test_garbage_is_a_failure_of_nobody(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    server = driver.serve(VerificationSCP())
    with caplog.at_level(logging.INFO, "dicomcore.net"):
        sock = raw_socket(server.port)
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        eventually(lambda: server.metrics.connections_opened == 1)
        eventually(lambda: any("no association" in record.message for record in caplog.records))
        sock.close()
        eventually(lambda: server.metrics.connections_open == 0)
    (told,) = (record.message for record in caplog.records if "no association" in record.message)
    assert "PDU type 47H" in told
    metrics = server.metrics
    assert (metrics.associations_failed, metrics.associations_accepted, dict(metrics.associations_ended)) == (0, 0, {})


@pytest.mark.parametrize(("bound", "most"), [("context_count", 1), ("associate_length", 200), ("association_count", 0)])
def test_a_rejection_names_the_bound(driver: Driver, caplog: pytest.LogCaptureFixture, bound: str, most: int) -> None:
    server = driver.serve(VerificationSCP(), limits=Limits().but(**{bound: most}))
    with caplog.at_level(logging.INFO, "dicomcore.net"):
        with pytest.raises(AssociationRejected, match="local limit exceeded"):
            driver.associate(server.port, contexts=[VERIFICATION, CT])
        eventually(lambda: server.metrics.connections_open == 0)
    its = [record.getMessage() for record in caplog.records if "-> ANY-SCP, peer 127" in record.getMessage()]
    its += [record.getMessage() for record in caplog.records if "rejected:  -> ," in record.getMessage()]
    assert [f"Limits.{bound}" in told for told in its] == [True]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"calling_ae": "forged\nline"}, r"'forged\nline' -> SERVER"),
        ({"contexts": ()}, "no presentation context is proposed"),
        ({"user": UserInformation(max_length=1)}, "a maximum length of 1 lets no data through"),
    ],
)
def test_a_rejection_tells_why_on_one_line(
    driver: Driver, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], told: str
) -> None:
    server = driver.serve(VerificationSCP())
    request = propose([(VERIFICATION, [IMPLICIT_LE.uid])], calling_ae="RAW-23456-1", called_ae="SERVER")
    title = changes.get("calling_ae")
    raw = encode(replace(request, **{name: value for name, value in changes.items() if name != "calling_ae"}))
    if title is not None:
        raw = raw.replace(b"RAW-23456-1", title.encode())
    with caplog.at_level(logging.INFO, "dicomcore.net"), raw_socket(server.port) as sock:
        sock.sendall(raw)
        assert sock.recv(10)[0] == 3
        eventually(lambda: caplog.records)
    (line,) = (record.getMessage() for record in caplog.records)
    assert told in line
    assert "\n" not in line


ECHO = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)


@pytest.mark.parametrize(
    ("bound", "sent"), [("idle_timeout", 0), ("network_timeout", 40), ("message_timeout", 40), ("network_timeout", 3)]
)
def test_a_peer_that_takes_too_long_is_told_over_what(
    driver: Driver, caplog: pytest.LogCaptureFixture, bound: str, sent: int
) -> None:
    server = driver.serve(VerificationSCP(), limits=Limits().but(**{bound: 0.05}))
    with caplog.at_level(logging.INFO, "dicomcore.net"), RawPeer(server.port) as peer:
        peer.exchange.request(1, ECHO)
        peer.sock.sendall(b"".join(bytes(part) for part in peer.core.segments())[:sent])  # type: ignore[arg-type]
        peer.receive()
        eventually(lambda: server.metrics.associations_ended)
    (told,) = (record.getMessage() for record in caplog.records if " aborted:" in record.getMessage())
    assert f"longer than Limits.{bound} (0.05 s)" in told


def test_a_request_that_does_not_come_is_told(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    server = driver.serve(VerificationSCP(), limits=Limits(artim=0.05))
    with (
        caplog.at_level(logging.INFO, "dicomcore.net"),
        raw_socket(server.port) as quiet,
        raw_socket(server.port) as slow,
    ):
        slow.sendall(b"\x01")
        for sock in (quiet, slow):
            assert sock.recv(1) == b""
        eventually(lambda: server.metrics.connections_opened == 2 and server.metrics.connections_open == 0)
    (told,) = (record.getMessage() for record in caplog.records)
    assert "Limits.artim" in told


def test_the_association_is_lost_while_we_wait(driver: Driver) -> None:
    def provider(request: Any, context: Any) -> Any:
        yield from ()
        raise SystemExit(3)

    ear = Ear()
    server = driver.serve(Scripted(provider))
    association = driver.associate(server.port, on_event=ear)
    with pytest.raises(AssociationAborted):
        association.c_echo()
    association.abort()
    eventually(lambda: ear.of(ConnectionClosed))
    ended = ear.of(OperationEnded)
    assert [(event.role, event.status) for event in ended] == [("user", None)]
    assert ear.of(AssociationEnded)[0].how in ("aborted by peer", "lost")


def test_connections_that_come_too_fast_are_counted(driver: Driver) -> None:
    its = Ear()
    server = driver.serve(VerificationSCP(), on_event=its, limits=Limits(connection_rate=2.0))
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(raw_socket(server.port))
        eventually(lambda: server.metrics.connections_opened + server.metrics.connections_refused == 8)
        eventually(lambda: len(its.of(ConnectionRefused)) == server.metrics.connections_refused > 0)
    assert its.of(ConnectionRefused)[0].association == ""
    eventually(lambda: server.metrics.connections_open == 0)
