"""What waits to be sent holds back what comes next: no request begins, no provider is resumed, none is forgotten."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

import pytest

from dicomcore.dimse.command import Command, CommandField, command
from dicomcore.dimse.exchange import CancelReceived, Exchange
from dicomcore.encoding.sink import MemorySink
from dicomcore.limits import Limits
from dicomcore.net.budget import Budget, Share
from dicomcore.net.operations import ROOM_LENGTH, Operations
from dicomcore.services.base import Call, Invoke, Perform, Receive, Request, Response, Router, ServiceContext
from dicomcore.ul import Accept, Acceptance, Associate, Association, AsyncWindow, Body, propose
from dicomcore.vocab.syntaxes import EXPLICIT_LE

from .conftest import CT, Scripted

WINDOW = 16
Steps = Generator[Any, Any, None]
WANTED = command("N-GET-RQ", RequestedSOPClassUID=CT, RequestedSOPInstanceUID="1.2.3")


class Desk:
    """The server's end, driven by hand; its peer takes nothing but when it is told to."""

    def __init__(self, provider: Any, share: Share | None = None) -> None:
        window = AsyncWindow(WINDOW, WINDOW)
        acceptance = Acceptance(supported={CT: (EXPLICIT_LE.uid,)}, window=window)
        self.near, self.far = Association(requestor=True), Association(requestor=False, acceptance=acceptance)
        self.near.request(Associate(propose([(CT, (EXPLICIT_LE.uid,))], calling_ae="A", called_ae="B", window=window)))
        self.near.connected()
        self.far.connected()
        self._carry(self.near, self.far)
        self.far.request(Accept())
        self._carry(self.far, self.near)
        self.there, self.here = Exchange(self.near), Exchange(self.far)
        router = Router([Scripted(provider, CT, CommandField.N_GET_RQ), Scripted(provider, CT, CommandField.C_FIND_RQ)])
        self.operations = Operations(self.here, Limits(), router, flush=self.flush, share=share)

    def _carry(self, one: Association, other: Association) -> list[Any]:
        found: list[Any] = []
        data = b"".join(bytes(cast(Any, part)) for part in one.segments(1 << 30, 1 << 20))
        while data:
            view = other.buffer()
            count = min(len(view), len(data))
            view[:count] = data[:count]
            other.received(count)
            data = data[count:]
            found += other.events()
        return found

    def flush(self) -> bool:
        self.operations.note(self.far.waiting_length)
        return self.far.queued_length < ROOM_LENGTH

    def ask(self, times: int, wanted: Command = WANTED, body: bytes | None = None) -> None:
        for _ in range(times):
            self.there.request(1, wanted, body)
        for event in self._carry(self.near, self.far):
            assert isinstance(event, Body)
            self.operations.inbox += cast(Any, self.here.receive(event))

    def take(self) -> None:
        """The peer reads all there is."""
        for event in self._carry(self.far, self.near):
            self.there.receive(event)
        self.operations.note(0)

    def work(self) -> list[Any]:
        """Effects that operations wait for now, with them."""
        waiting = []
        while (operation := self.operations.next(room=not self.far.wants_write)) is not None:
            effect = self.operations.advance(operation)
            if effect is not None:
                waiting.append((operation, effect))
        return waiting


@pytest.mark.parametrize(("length", "together"), [(ROOM_LENGTH, 1), (ROOM_LENGTH // 2, 2), (1000, WINDOW)])
def test_no_request_begins_before_there_is_room(length: int, together: int) -> None:
    made: list[int] = []

    def provider(request: Request, context: ServiceContext) -> Steps:
        made.append(1)
        yield Response(0, bytes(length))

    desk = Desk(provider)
    desk.ask(WINDOW)
    while len(made) < WINDOW:
        before = len(made)
        desk.work()
        assert len(made) == before + together
        assert desk.operations.room_wanted is (len(made) < WINDOW)
        desk.take()
    assert not desk.there.invoked
    assert desk.operations.idle


def test_those_that_have_begun_wait_before_they_produce() -> None:
    made: list[int] = []
    closed: list[int] = []

    def provider(request: Request, context: ServiceContext) -> Steps:
        try:
            number = yield Call(len, made)
            made.append(number)
            yield Response(0, bytes(ROOM_LENGTH))
        finally:
            closed.append(1)

    desk = Desk(provider)
    desk.ask(WINDOW)
    waiting = desk.work()
    assert len(waiting) == WINDOW  # nothing is there yet
    for operation, _ in waiting:
        operation.value = 0
        assert desk.operations.advance(operation) is None
    assert len(made) == 1
    desk.take()
    desk.work()
    assert len(made) == 2
    for operation in desk.operations.end():  # their peer leaves
        assert desk.operations.advance(operation) is None
    assert len(made) == 2
    assert len(closed) == WINDOW


def test_of_many_long_responses_one_waits() -> None:
    made: list[int] = []

    def provider(request: Request, context: ServiceContext) -> Steps:
        yield Receive(MemorySink(1000))
        for number in range(5):
            made.append(number)
            yield Response(0xFF00 if number < 4 else 0, None if number == 4 else bytes(ROOM_LENGTH))

    desk = Desk(provider)
    desk.ask(1, command("C-FIND-RQ", AffectedSOPClassUID=CT, Priority=0), b"")
    for number in range(1, 6):
        desk.work()
        assert len(made) == number
        desk.take()
    desk.work()
    assert desk.operations.idle


def test_what_we_ask_for_ourselves_does_not_hold_the_peer_back() -> None:
    """Its response may be stuck behind the request that would wait."""
    begun: list[int] = []

    def user() -> Generator[Any, Any, int]:
        ask = command("C-STORE-RQ", AffectedSOPClassUID=CT, AffectedSOPInstanceUID="1.2.3", Priority=0)
        yield Invoke(1, ask, bytes(10 * ROOM_LENGTH))
        return 0

    def provider(request: Request, context: ServiceContext) -> Steps:
        begun.append(1)
        yield Perform(user())
        yield Response(0)

    desk = Desk(provider)
    desk.ask(3)
    desk.work()
    assert desk.operations.queued >= 10 * ROOM_LENGTH
    assert len(begun) == 3
    for operation in desk.operations.end():
        desk.operations.advance(operation)


def test_while_the_budget_is_used_up_one_response_at_a_time() -> None:
    made: list[int] = []

    def provider(request: Request, context: ServiceContext) -> Steps:
        made.append(1)
        yield Response(0, bytes(100))

    budget = Budget(10_000, 0)
    share = Share(budget, lambda: None)
    desk = Desk(provider, share)
    assert budget.hold("another", 10_000, forced=True)
    desk.ask(WINDOW)
    desk.work()
    assert len(made) == 1
    assert budget.used > 10_000
    desk.take()
    assert budget.used == 10_000
    desk.work()
    assert len(made) == 2
    budget.release("another")
    desk.work()
    assert len(made) == WINDOW
    share.detach()
    assert budget.used == 0


def test_a_cancel_right_behind_its_request() -> None:
    """Both lie in one block, so that the request has not begun when the cancel is read (PS3.7 9.3.2.3)."""
    seen: list[tuple[int, bool]] = []

    def finding(request: Request, context: ServiceContext) -> Steps:
        yield Receive(MemorySink(1 << 20))
        seen.append((request.command.elements["MessageID"], context.cancelled))
        yield Response(0xFE00 if context.cancelled else 0)

    desk = Desk(finding)
    wanted = command("C-FIND-RQ", AffectedSOPClassUID=CT, Priority=0)
    for again in (True, False):
        message_id = desk.there.request(1, wanted, b"")
        if again:
            desk.there.cancel(1, message_id)
        for event in desk._carry(desk.near, desk.far):
            for message in desk.here.receive(event):
                if isinstance(message, CancelReceived):
                    desk.operations.cancel(message)
                else:
                    desk.operations.inbox.append(message)
        desk.work()
        desk.take()
    assert seen == [(1, True), (2, False)]
    assert not desk.operations._cancelled
