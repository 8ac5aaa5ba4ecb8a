"""The exchange over two upper-layer cores joined in memory, and every way in which a peer can break its rules."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.dimse.command import ABORT, NO_DATA_SET, command, decode_command, encode_command, response
from dicomcore.dimse.exchange import CancelReceived, Exchange, Fragment, RequestReceived, ResponseReceived
from dicomcore.errors import LocalProtocolError, RemoteProtocolError
from dicomcore.limits import Limits
from dicomcore.ul import AsyncWindow, Body
from tests.dimse.wire import RT_PLAN, STUDY_FIND, VERIFICATION, Held, Wire

ECHO, STORE, FIND = 1, 3, 5  # context ids
echo = command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)
store = command("C-STORE-RQ", AffectedSOPClassUID=RT_PLAN, AffectedSOPInstanceUID="1.2.3")
find = command("C-FIND-RQ", AffectedSOPClassUID=STUDY_FIND)


def body_of(messages: list[Any]) -> bytes:
    assert all(isinstance(message, Held) for message in messages)
    assert [message.last for message in messages] == [False] * (len(messages) - 1) + [True]
    return b"".join(message.data for message in messages)


def test_dimse_needs_no_data_sets_and_no_kernel_but_its_own() -> None:
    """In a fresh process: DIMSE sees bodies only as payloads and views."""
    code = (
        "import sys, dicomcore.dimse.exchange\n"
        "print([name for name in sys.modules if name.startswith(('numpy', 'dicomcore.data', 'dicomcore._core'))])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "['dicomcore._core', 'dicomcore._core.command']\n"


def test_echo() -> None:
    wire = Wire()
    message_id = wire.user.exchange.request(ECHO, echo)
    wire.run()
    [asked] = wire.provider.take()
    assert asked == RequestReceived(ECHO, echo.but(MessageID=message_id), has_body=False)
    assert list(wire.provider.exchange.performing) == [message_id]
    wire.provider.exchange.respond(ECHO, response(asked.command, 0))
    wire.run()
    [answered] = wire.user.take()
    assert isinstance(answered, ResponseReceived)
    assert (answered.message_id, answered.final, answered.command.Status) == (message_id, True, 0)
    assert not wire.user.exchange.invoked
    assert not wire.provider.exchange.performing


@given(
    size=st.integers(0, 3000),
    pdu_length=st.integers(20, 600),
    splits=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 1500), max_size=3),
)
def test_bodies_arrive_whole_however_the_wire_splits(
    size: int, pdu_length: int, splits: list[int], cuts: list[int]
) -> None:
    wire = Wire(splits=tuple(splits), pdu_length=pdu_length)
    data = bytes(index * 7 & 0xFF for index in range(size))
    edges = [0, *sorted(min(2 * cut, size & ~1) for cut in cuts), size]
    pieces: Any = [data[start:stop] for start, stop in pairwise(edges)]
    wire.user.exchange.request(STORE, store, pieces if cuts else data)
    wire.run()
    asked, *fragments = wire.provider.take()
    assert asked.has_body
    assert body_of(fragments) == data
    assert not wire.provider.exchange.receiving


def test_pending_responses_keep_the_operation_open_and_bodies_follow_their_message() -> None:
    wire = Wire()
    message_id = wire.user.exchange.request(FIND, find, b"identifier")
    wire.run()
    asked = wire.provider.take()[0]
    for number in range(3):
        wire.provider.exchange.respond(
            FIND, response(asked.command, 0xFF01 if number else 0xFF00), b"match %d" % number
        )
    wire.provider.exchange.respond(FIND, response(asked.command, 0))
    wire.run()
    messages = wire.user.take()
    responses = [message for message in messages if isinstance(message, ResponseReceived)]
    assert [message.final for message in responses] == [False, False, False, True]
    assert {message.message_id for message in responses} == {message_id}
    assert [message.data for message in messages if isinstance(message, Held)] == [b"match 0", b"match 1", b"match 2"]
    assert [type(message) for message in messages] == [ResponseReceived, Held] * 3 + [ResponseReceived]
    with pytest.raises(LocalProtocolError, match="not open"):
        wire.provider.exchange.respond(FIND, response(asked.command, 0))


def test_pending_means_nothing_outside_find_get_move() -> None:
    wire = Wire()
    wire.user.exchange.request(ECHO, echo)
    wire.run()
    wire.provider.exchange.respond(ECHO, response(wire.provider.take()[0].command, 0xFF00))
    wire.run()
    assert wire.user.take()[0].final


def test_cancel() -> None:
    wire = Wire()
    message_id = wire.user.exchange.request(FIND, find, b"identifier")
    wire.run()
    asked = wire.provider.take()[0]
    wire.user.exchange.cancel(FIND, message_id)
    wire.run()
    assert wire.provider.take() == [CancelReceived(FIND, message_id)]
    wire.provider.exchange.respond(FIND, response(asked.command, 0xFE00))
    wire.user.exchange.cancel(FIND, message_id)  # crosses the final response: not an error on either side
    wire.run()
    assert wire.provider.take() == []
    assert wire.user.take()[0].final


def test_cancel_of_what_cannot_be_cancelled() -> None:
    wire = Wire()
    message_id = wire.user.exchange.request(ECHO, echo)
    for context_id, number in ((ECHO, message_id), (ECHO, 99), (FIND, message_id)):
        with pytest.raises(LocalProtocolError):
            wire.user.exchange.cancel(context_id, number)


def test_message_ids_wrap_and_skip_those_in_flight() -> None:
    wire = Wire(window=(2, 1))
    first = wire.user.exchange.request(FIND, find, b"")
    wire.run()
    wire.provider.take()
    seen = []
    for _ in range(0x10000):
        exchange = Exchange.request(wire.user.exchange, ECHO, echo)
        seen.append(exchange)
        wire.user.exchange._invoked.pop(exchange)  # answered, without the cost of the wire
    assert first == 1
    assert seen[:3] == [2, 3, 4]
    assert seen[0xFFFD:] == [0xFFFF, 2, 3]
    assert 0 not in seen


@pytest.mark.parametrize(
    ("window", "invoked", "performed"),
    [(None, 1, 1), ((3, 2), 3, 2), ((0, 0), 16, 16), ((40, 1), 16, 1)],
)
def test_window(window: tuple[int, int] | None, invoked: int, performed: int) -> None:
    wire = Wire(window=window)
    assert (wire.user.exchange.window, wire.provider.exchange.window) == (invoked, performed)
    for _ in range(invoked):
        assert wire.user.exchange.can_request
        wire.user.exchange.request(ECHO, echo)
    assert not wire.user.exchange.can_request
    with pytest.raises(LocalProtocolError, match="open already"):
        wire.user.exchange.request(ECHO, echo)
    wire.run()
    asked = wire.provider.take()
    assert len(asked) == invoked
    for message in reversed(asked):  # in any order
        wire.provider.exchange.respond(ECHO, response(message.command, 0))
    wire.run()
    assert not wire.user.exchange.invoked
    assert len(wire.user.take()) == invoked


def test_what_cannot_be_sent_leaves_no_trace() -> None:
    wire = Wire()
    exchange = wire.user.exchange
    for context_id, message, body in (
        (ECHO, echo, b"a body"),
        (STORE, store, None),
        (STORE, store, 7),
        (STORE, store, [b"a", 7]),
        (ECHO, response(echo.but(MessageID=1), 0), None),
        (ECHO, command("C-CANCEL-RQ", MessageIDBeingRespondedTo=1), None),
        (ECHO, command("C-ECHO-RQ"), None),
        (99, echo, None),
    ):
        with pytest.raises(LocalProtocolError):
            exchange.request(context_id, message, body)
    assert not exchange.invoked
    assert not wire.user.core.wants_write
    exchange.request(ECHO, echo)
    wire.run()
    assert wire.provider.take()[0].command.MessageID == 1


class Fake:
    """An association whose peer is this test."""

    requestor = True
    negotiated: Any = type(
        "Agreed", (), {"contexts": {ECHO: None, STORE: None, FIND: None}, "window": AsyncWindow(4, 4)}
    )

    def __init__(self) -> None:
        self.sent: list[tuple[int, bool, Any, bool]] = []

    def send(self, context_id: int, command: bool, payload: Any, last: bool = True) -> None:
        self.sent.append((context_id, command, payload, last))

    def message(self, context_id: int, command: bytes, body: Any = None) -> None:
        self.send(context_id, True, command)
        if body is not None:
            self.send(context_id, False, body)


def arrives(exchange: Exchange, context_id: int, data: bytes, *, command: bool = True, last: bool = True) -> list[Any]:
    return list(exchange.receive(Body(context_id, command, last, memoryview(data))))


def test_bodies_are_passed_on_uncopied() -> None:
    association = Fake()
    exchange = Exchange(association)
    payload = bytearray(10)
    exchange.request(STORE, store, payload)
    assert association.sent[1][2] is payload
    exchange.request(STORE, store, [payload, b"tail"])
    assert association.sent[3:] == [(STORE, False, payload, False), (STORE, False, b"tail", True)]
    assert association.sent[3][2] is payload
    arrives(exchange, STORE, encode_command(store.but(MessageID=1)))
    view = memoryview(payload)
    [fragment] = exchange.receive(Body(STORE, False, True, view))
    assert isinstance(fragment, Fragment)
    assert fragment.view is view


def test_empty_body_still_ends() -> None:
    association = Fake()
    Exchange(association).request(STORE, store, [])
    assert association.sent[1:] == [(STORE, False, b"", True)]


raw_echo = encode_command(echo.but(MessageID=5))
raw_store = encode_command(store.but(MessageID=5))


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        ([(7, True, raw_echo, True)], "was not accepted"),
        ([(ECHO, False, b"body", True)], "no message has one"),
        ([(ECHO, True, raw_echo, True), (ECHO, False, b"body", True)], "no message has one"),
        ([(STORE, True, raw_store, True), (ECHO, False, b"body", True)], "no message has one"),
        ([(STORE, True, raw_store, True), (ECHO, True, raw_echo, True)], "before the end of a data set"),
        ([(ECHO, True, raw_echo[:9], False), (STORE, True, raw_echo[9:], True)], "mixed"),
        ([(ECHO, True, raw_echo[:9], False), (ECHO, False, b"body", True)], "no message has one"),
        ([(ECHO, True, raw_echo, True), (ECHO, True, raw_echo, True)], "message id 5, which is open"),
        ([(ECHO, True, encode_command(response(echo.but(MessageID=9), 0)), True)], "no open request"),
        ([(ECHO, True, b"garbage!", True)], "command set"),
        ([(ECHO, True, b"", True)], "no command field"),
    ],
)
def test_broken_rules_end_in_an_abort(steps: list[tuple[int, bool, bytes, bool]], what: str) -> None:
    exchange = Exchange(Fake())
    *before, (context_id, is_command, data, last) = steps
    for early_context, early_command, early, early_last in before:
        arrives(exchange, early_context, early, command=early_command, last=early_last)
    with pytest.raises(RemoteProtocolError, match=what) as caught:
        arrives(exchange, context_id, data, command=is_command, last=last)
    assert caught.value.answer == ABORT


@pytest.mark.parametrize(
    ("context_id", "answer"),
    [
        (FIND, response(echo.but(MessageID=1), 0)),
        (ECHO, response(find.but(MessageID=1), 0)),
    ],
)
def test_an_answer_of_another_kind(context_id: int, answer: Any) -> None:
    exchange = Exchange(Fake())
    assert exchange.request(ECHO, echo) == 1
    with pytest.raises(RemoteProtocolError, match="another kind or context"):
        arrives(exchange, context_id, encode_command(answer))


def test_more_requests_than_any_window_allows() -> None:
    exchange = Exchange(Fake(), Limits(operations_window=3))
    for number in range(1, 4):
        arrives(exchange, ECHO, encode_command(echo.but(MessageID=number)))
    with pytest.raises(RemoteProtocolError, match="more than 3"):
        arrives(exchange, ECHO, encode_command(echo.but(MessageID=4)))


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_command_fragments_are_gathered(size: int) -> None:
    exchange = Exchange(Fake())
    pieces = [raw_store[start : start + size] for start in range(0, len(raw_store), size)]
    for piece in pieces[:-1]:
        assert arrives(exchange, STORE, piece, last=False) == []
        assert exchange.receiving
    [message] = arrives(exchange, STORE, pieces[-1])
    assert message == RequestReceived(STORE, decode_command(raw_store), has_body=True)


def test_gathering_is_bounded() -> None:
    exchange = Exchange(Fake(), Limits(command_length=100))
    for _ in range(10):
        arrives(exchange, ECHO, bytes(10), last=False)
    with pytest.raises(RemoteProtocolError, match="command_length"):
        arrives(exchange, ECHO, bytes(1), last=False)
    assert len(exchange._gathered) == 100
    with pytest.raises(RemoteProtocolError, match="command_length"):
        arrives(Exchange(Fake(), Limits(command_length=100)), ECHO, bytes(101))


def test_data_set_type_other_than_none_announces_a_body() -> None:
    exchange = Exchange(Fake())
    for number, kind in enumerate((0, 1, 0x0102, 0xFFFF, NO_DATA_SET)):
        report = command("N-ACTION-RQ", RequestedSOPClassUID="1.2", RequestedSOPInstanceUID="1.3", ActionTypeID=1)
        raw = encode_command(report.but(MessageID=number + 1, CommandDataSetType=kind))
        [message] = arrives(exchange, ECHO, raw)
        assert message.has_body is (kind != NO_DATA_SET)
        if message.has_body:
            arrives(exchange, ECHO, b"", command=False)
