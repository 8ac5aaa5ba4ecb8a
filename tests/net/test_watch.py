"""Hooks, counters and their sum by themselves; what drivers make of them is in behaviour/test_watching.py."""

from __future__ import annotations

import logging
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dicomcore.dimse.command import command, response
from dicomcore.dimse.exchange import Exchange
from dicomcore.errors import AssociationAborted, LocalProtocolError, NegotiationError
from dicomcore.net.events import (
    AssociationEnded,
    CancelRequested,
    ConnectionRefused,
    Event,
    HandshakeFailed,
    OperationEnded,
)
from dicomcore.net.hooks import ROOM, Hooks
from dicomcore.net.watch import Log, ServerWatch, Watch
from dicomcore.services.base import Request
from dicomcore.ul import Accept, Acceptance, Associate, Association, AsyncWindow, Body, propose
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import EXPLICIT_LE
from tests.net.conftest import PATIENCE, eventually

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
SYNTAXES = (EXPLICIT_LE.uid,)


class Clock:
    """Time, when somebody says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pair:
    """Two cores, the exchanges on them and their watches, with the bytes carried over by hand."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        supported = {VERIFICATION: SYNTAXES, FIND: SYNTAXES}
        window = AsyncWindow(0, 0)
        self.user = Association(requestor=True)
        self.provider = Association(requestor=False, acceptance=Acceptance(supported=supported, window=window))
        self.asking, self.performing = Exchange(self.user), Exchange(self.provider)
        self.mine, self.its = Watch("there", clock=clock, **options), Watch(("::1", 104, 0, 0), clock=clock)
        self.mine.attach(self.user, self.asking)
        self.its.attach(self.provider, self.performing)
        rows = [(VERIFICATION, SYNTAXES), (FIND, SYNTAXES)]
        self.user.request(Associate(propose(rows, calling_ae="A", called_ae="B", window=window)))
        self.user.connected()
        self.provider.connected()
        self.carry()
        self.provider.request(Accept())
        self.carry()

    def carry(self) -> list[Any]:
        """All bytes to the other side; what the exchanges made of them."""
        found: list[Any] = []
        ends = ((self.user, self.provider, self.performing), (self.provider, self.user, self.asking))
        while self.user.wants_write or self.provider.wants_write:
            for source, target, exchange in ends:
                for segment in source.segments():
                    data = bytes(segment)  # type: ignore[arg-type]
                    target.buffer()[: len(data)] = data
                    target.received(len(data))
                    for event in target.events():
                        found += exchange.receive(event) if isinstance(event, Body) else []
        return found

    def begin(self, message: Any) -> None:
        """As `Operations` does when a provider begins."""
        context = self.performing.negotiated.contexts[message.context_id]
        self.its.began(Request(message.context_id, message.command, message.has_body, context))


def test_times_are_those_between_what_happened() -> None:
    clock = Clock()
    pair = Pair(clock)
    pair.asking.request(3, command("C-FIND-RQ", AffectedSOPClassUID=FIND, Priority=0), b"query")
    (request, _) = pair.carry()
    clock.now += 0.02
    pair.begin(request)
    for _ in range(5):
        pair.performing.respond(3, response(request.command, 0xFF00), b"match")
    clock.now += 3.0
    pair.performing.respond(3, response(request.command, 0xFE00))
    clock.now += 1.0
    pair.carry()
    its, mine = pair.its.metrics().operation("C-FIND"), pair.mine.metrics().operation("C-FIND", "user")
    assert dict(its.statuses) == dict(mine.statuses) == {"Cancel": 1, "Pending": 5}
    assert its.completed == 1
    assert its.queue_time.total == pytest.approx(0.02)
    assert its.service_time.total == pytest.approx(3.0)
    assert mine.queue_time.observed == 0
    assert mine.service_time.total == pytest.approx(4.02)
    assert pair.its.metrics().sent_bytes == pair.mine.metrics().received_bytes > 0


def test_operations_under_way_and_ids_used_again() -> None:
    clock = Clock()
    pair = Pair(clock)
    echo = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)
    for _ in range(3):
        pair.asking.request(1, echo)
    requests = pair.carry()
    assert pair.mine.running == pair.its.running == 3
    for request in requests:
        pair.begin(request)
    pair.performing.respond(1, response(requests[1].command, 0x0000))
    pair.performing.respond(1, response(requests[0].command, 0x0110))
    pair.carry()
    assert pair.mine.running == pair.its.running == 1
    pair.its.left(Request(1, requests[2].command, False, pair.performing.negotiated.contexts[1]))
    assert pair.its.running == 0
    statuses = pair.its.metrics().operation("C-ECHO").statuses
    assert dict(statuses) == {"Success": 1, "Failure": 1}


def test_cancels_are_told_late_ones_too() -> None:
    heard: list[list[Event]] = [[], []]
    pair = Pair(Clock(), hooks=Hooks(heard[0].append))
    pair.its._hooks = Hooks(heard[1].append)
    for _ in range(2):
        pair.asking.request(3, command("C-FIND-RQ", AffectedSOPClassUID=FIND, Priority=0), b"query")
    other = pair.carry()[2]
    pair.performing.respond(3, response(other.command, 0x0000))  # crosses the cancel of it
    for message_id in (1, 2):
        pair.asking.cancel(3, message_id)
    pair.carry()
    pair.mine.deliver()
    pair.its.deliver()
    told = [[event for event in events if isinstance(event, CancelRequested)] for events in heard]
    assert told == [
        [CancelRequested(pair.mine.association, "user", number, "C-FIND") for number in (1, 2)],
        [
            CancelRequested(pair.its.association, "provider", 1, "C-FIND"),
            CancelRequested(pair.its.association, "provider", 2, ""),
        ],
    ]


def test_a_handshake_fails_once() -> None:
    heard: list[Event] = []
    server = ServerWatch(heard.append)
    watch = server.open(("127.0.0.1", 1))
    for why in ("127.0.0.1:1: no TLS connection: it shares no TLS version", "another"):
        watch.unsecured(NegotiationError(why))
    watch.closed()
    watch.unsecured(NegotiationError("too late"))
    server.open(("127.0.0.1", 2)).closed()
    server.finish()
    why = "no TLS connection: it shares no TLS version"
    assert heard[1] == HandshakeFailed(watch.association, "127.0.0.1:1", why)
    assert [type(event).__name__ for event in heard] == [
        "ConnectionOpened",
        "HandshakeFailed",
        "ConnectionClosed",
        "ConnectionOpened",
        "ConnectionClosed",
    ]
    assert (server.metrics().handshakes_failed, server.metrics().connections_opened) == (1, 2)


def test_what_waits_at_the_end_ends_with_it() -> None:
    heard: list[Event] = []
    clock = Clock()
    pair = Pair(clock, hooks=Hooks(heard.append))
    pair.asking.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
    clock.now += 7.0
    pair.user.closed()
    pair.mine.ended(AssociationAborted("the line is dead"))
    pair.mine.ended(AssociationAborted("something else"))
    pair.mine.closed()
    pair.mine.closed()
    assert heard == []
    pair.mine.deliver()
    kinds = [type(event).__name__ for event in heard]
    assert kinds[-3:] == ["OperationEnded", "AssociationEnded", "ConnectionClosed"]
    lost, over = heard[-3], heard[-2]
    assert isinstance(lost, OperationEnded)
    assert lost.status is None
    assert isinstance(over, AssociationEnded)
    assert (over.how, over.why) == ("lost", "the line is dead")
    assert over.metrics.seconds == 7.0
    assert pair.mine.metrics().connections_open == 0
    assert pair.its.peer == "[::1]:104"


def test_names_are_unique_and_short() -> None:
    names = [Watch().association for _ in range(100)]
    assert len(set(names)) == 100
    assert max(map(len, names)) < 8


def test_a_server_adds_up() -> None:
    clock = Clock()
    heard: list[Event] = []
    server = ServerWatch(heard.append, clock=clock, memory=lambda: (5, 9))
    watches = [server.open(("127.0.0.1", port)) for port in range(4)]
    for watch in watches:
        watch.tally.received_objects = 2
        watch.tally.rejected["full"] = 1
    assert server.metrics().received_objects == 8
    watches[0].closed()
    watches[0].closed()
    server.refuse(("10.0.0.1", 1))
    clock.now += 60.0
    metrics = server.metrics()
    assert (metrics.received_objects, metrics.connections_opened, metrics.connections_open) == (8, 4, 3)
    assert (metrics.connections_refused, dict(metrics.associations_rejected)) == (1, {"full": 4})
    assert (metrics.memory, metrics.peak_memory, metrics.seconds) == (5, 9, 60.0)
    server.finish()
    assert isinstance(heard[-1], ConnectionRefused)
    assert heard[-1].peer == "10.0.0.1:1"


def test_reading_while_associations_come_and_go() -> None:
    server = ServerWatch()
    done = threading.Event()

    def churn() -> None:
        for number in range(500):
            watch = server.open("x")
            watch.tally.rejected[str(number % 7)] = 1
            watch.closed()
        done.set()

    def read() -> None:
        last = 0
        while not done.is_set():
            total = server.metrics().connections_opened
            assert total >= last
            last = total

    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(read)
        pool.submit(churn).result(PATIENCE)
        reading.result(PATIENCE)
    assert server.metrics().connections_opened == sum(server.metrics().associations_rejected.values()) == 500


# hooks


def number(name: object) -> Event:
    return Event(str(name))


def test_events_come_in_order_and_one_at_a_time() -> None:
    heard: list[str] = []
    inside = threading.Lock()

    def hook(event: Event) -> None:
        assert inside.acquire(blocking=False)
        heard.append(event.association)
        inside.release()

    with ThreadPoolExecutor(4) as pool:
        hooks = Hooks(hook, pool.submit)
        for each in range(2000):
            hooks.put(number(each))
        eventually(lambda: len(heard) == 2000)
    assert heard == [str(each) for each in range(2000)]


def test_a_hook_that_is_too_slow_misses_events() -> None:
    works: list[Callable[[], None]] = []
    heard: list[str] = []
    hooks = Hooks(lambda event: heard.append(event.association), works.append)
    for each in range(ROOM + 3):
        hooks.put(number(each))
    assert (len(works), hooks.dropped) == (1, 3)
    works[0]()
    assert (len(heard), heard[-1]) == (ROOM, str(ROOM - 1))
    hooks.put(number("next"))
    assert len(works) == 2
    assert Watch(hooks=hooks).metrics().events_dropped == 3


def test_a_hook_that_makes_events() -> None:
    heard: list[str] = []

    def hook(event: Event) -> None:
        heard.append(event.association)
        if len(heard) < 5:
            hooks.put(number(len(heard)))
            hooks.deliver()  # as a call on the association would

    hooks = Hooks(hook)
    hooks.put(number(0))
    hooks.deliver()
    assert heard == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_hook_that_fails_hears_the_next(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def hook(event: Event) -> None:
        heard.append(event.association)
        if event.association == "0":
            raise error("no")

    hooks = Hooks(hook)
    hooks.put(number(0))
    hooks.put(number(1))
    if error is ValueError:
        hooks.deliver()
        assert [record.association for record in caplog.records] == ["0"]  # type: ignore[attr-defined]
    else:
        with pytest.raises(KeyboardInterrupt):
            hooks.deliver()
        hooks.deliver()
    assert heard == ["0", "1"]


def test_a_hook_that_exits_ends_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def hook(event: Event) -> None:
        heard.append(event.association)
        raise SystemExit(1)

    with ThreadPoolExecutor(1) as pool:
        hooks = Hooks(hook, pool.submit)
        hooks.put(number(0))
        hooks.put(number(1))
        eventually(lambda: len(heard) == 2)
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


def test_a_hook_is_a_plain_function() -> None:
    async def hook(event: Event) -> None: ...

    with pytest.raises(LocalProtocolError, match="coroutine"):
        Hooks(hook)


# logging


def test_every_record_has_the_attribute(caplog: pytest.LogCaptureFixture) -> None:
    log = Log("net")
    watch = Watch()
    log.warning("of nobody")
    log.warning("of somebody", extra=watch.extra)
    assert [record.association for record in caplog.records] == ["", watch.association]  # type: ignore[attr-defined]


def test_nothing_is_traced_unless_debug_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    quiet = Pair(clock)
    assert quiet.user.tracer is quiet.provider.tracer is None
    with caplog.at_level(logging.DEBUG, "dicomcore"):
        loud = Pair(clock)
        assert loud.user.tracer is not None
        assert loud.user.try_path() is None
        loud.asking.request(3, command("C-FIND-RQ", AffectedSOPClassUID=FIND, Priority=0), b"query")
        loud.carry()
        loud.asking.cancel(3, 1)
        loud.carry()
        before = len(caplog.records)
        quiet.asking.request(1, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION))
        quiet.carry()
        assert len(caplog.records) == before
    lines = [record.message for record in caplog.records if record.name == "dicomcore.dimse"]
    assert lines == [
        "-> C-FIND-RQ, message 1 on context 3",
        "<- C-FIND-RQ, message 1 on context 3",
        "-> C-CANCEL-RQ of message 1 on context 3",
        "<- C-CANCEL-RQ of message 1 on context 3",
    ]
    assert not any("query" in record.getMessage() for record in caplog.records)


def test_a_watch_is_small() -> None:
    """While nothing happens, however long the association stands."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [Watch() for _ in range(200)]
        each = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    finally:
        tracemalloc.stop()
    assert each < 2500
