"""Messages that are taken whole come out as those that arrive piece by piece, however the bytes are cut or damaged."""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.dimse.command import MESSAGES, Command, command, encode_command, find_whole
from dicomcore.dimse.exchange import Exchange, Fragment
from dicomcore.errors import RemoteProtocolError
from dicomcore.limits import DEFAULT_LIMITS
from dicomcore.ul import Accept, Acceptance, Association, Body, encode, propose
from dicomcore.ul.pdu import ReleaseRQ
from tests.dimse.test_command import ROWS
from tests.dimse.wire import IMPLICIT, RT_PLAN, STUDY_FIND, VERIFICATION
from tests.reference import command as reference

LIMITS = DEFAULT_LIMITS.but(received_pdu_length=600, received_pdv_length=500, command_length=300, operations_window=3)
CONTEXTS = (VERIFICATION, RT_PLAN, STUDY_FIND)  # 1, 3, 5
BOUNDS = LIMITS.received_pdu_length, LIMITS.received_pdv_length, LIMITS.command_length
NEEDS: dict[int, tuple[str, frozenset[str]]] = {int(row.field): (row.body, row.required) for row in MESSAGES.values()}


def pdus(context_id: int, flags: int, data: bytes, size: int) -> bytes:
    """P-DATA-TF of at most so many bytes of a command or data set."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    last = len(pieces) - 1
    return b"".join(
        struct.pack(">BxIIBB", 4, len(piece) + 6, len(piece) + 2, context_id, flags | (2 if number == last else 0))
        + piece
        for number, piece in enumerate(pieces)
    )


def together(context_id: int, encoded: bytes, data: bytes) -> bytes:
    """A command and its data set in one P-DATA-TF."""
    pdvs = b"".join(
        struct.pack(">IBB", len(part) + 2, context_id, flags) + part for part, flags in ((encoded, 3), (data, 2))
    )
    return struct.pack(">BxI", 4, len(pdvs)) + pdvs


def store(message_id: int) -> Command:
    return command(
        "C-STORE-RQ", MessageID=message_id, AffectedSOPClassUID=RT_PLAN, AffectedSOPInstanceUID="1.2.3"
    )  # fmt: skip


def find(message_id: int) -> Command:
    return command("C-FIND-RQ", MessageID=message_id, AffectedSOPClassUID=STUDY_FIND)


def messages(number: int) -> list[tuple[int, Command, bytes | None]]:
    """Requests, a cancel, answers that nobody waits for; some on the wrong context."""
    echo = command("C-ECHO-RQ", MessageID=number, AffectedSOPClassUID=VERIFICATION)
    answer = command("C-ECHO-RSP", MessageIDBeingRespondedTo=number, Status=0)
    cancel = command("C-CANCEL-RQ", MessageIDBeingRespondedTo=number)
    return [
        (1, echo, None),
        (3, store(number), b"abcd" * 40),
        (3, store(number), b""),
        (5, find(number), b"12"),
        (5, cancel, None),
        (1, answer, None),
        (7, echo, None),
    ]


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """What a peer may send: mostly messages as they should be."""
    parts = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        context_id, asked, body = draw(st.sampled_from(messages(draw(st.sampled_from([number, number, 1])))))
        encoded = encode_command(asked)
        size = draw(st.sampled_from([500, 500, 500, 40]))
        if body is not None and draw(st.integers(0, 5)) == 0:
            parts.append(together(context_id, encoded, body))
            continue
        parts.append(pdus(context_id, 1, encoded, size))
        if body is not None and draw(st.integers(0, 9)):
            parts.append(pdus(draw(st.sampled_from([context_id] * 9 + [1])), 0, body, size))
    if draw(st.booleans()):
        parts.append(encode(ReleaseRQ()))
    stream = bytearray(b"".join(parts))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(stream) - 1))
        stream[at] = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 255]))
    return bytes(stream)


class Ear:
    """An acceptor that has agreed, and all that it hears: with ``whole`` it takes messages, else pieces."""

    def __init__(self, *, whole: bool) -> None:
        acceptance = Acceptance(supported=dict.fromkeys(CONTEXTS, (IMPLICIT,)))
        self.core = Association(requestor=False, acceptance=acceptance, limits=LIMITS)
        self.core.connected()
        request = propose([(uid, (IMPLICIT,)) for uid in CONTEXTS], calling_ae="A", called_ae="B")
        self.heard: list[Any] = []
        self.exchange = Exchange(self.core, LIMITS)
        self.feed(encode(request))
        self.core.request(Accept())
        self.core.segments()
        self.heard.clear()
        self.exchange.observer = self
        self.over = False
        if whole:
            self.core.reader = partial(self.exchange.take, self.hear)

    def __getattr__(self, name: str) -> Any:  # of an observer: it notes what it is told
        return lambda *told: self.heard.append((name, *told))

    def hear(self, message: Any) -> None:
        self.heard.append(
            message._replace(view=memoryview(bytes(message.view))) if isinstance(message, Fragment) else message
        )

    def feed(self, data: bytes) -> None:
        while data:
            view = self.core.buffer()
            count = min(len(view), len(data))
            view[:count], data = data[:count], data[count:]
            self.core.received(count)
            for event in self.core.events():
                if not isinstance(event, Body):
                    self.heard.append(event)
                    continue
                try:
                    for message in self.exchange.receive(event):
                        self.hear(message)
                except RemoteProtocolError as error:
                    self.heard.append((str(error), error.answer))
                    self.over = True
                    return

    def joined(self) -> list[Any]:
        """All that was heard, each data set in one piece."""
        heard: list[Any] = []
        for message in self.heard:
            if isinstance(message, Fragment) and heard and isinstance(heard[-1], Fragment) and not heard[-1].last:
                earlier = heard.pop()
                message = message._replace(view=memoryview(bytes(earlier.view) + bytes(message.view)))
            heard.append(message)
        return heard

    @property
    def state(self) -> tuple[Any, ...]:
        exchange, core = self.exchange, self.core
        return (
            dict(exchange.performing), dict(exchange.invoked), exchange.body_context, exchange.receiving,
            exchange.message_count, core.state, core.receiving, core.received_length, core.wants_read,
        )  # fmt: skip


def same(stream: bytes, cuts: list[int]) -> tuple[Ear, Ear]:
    taking, hearing = Ear(whole=True), Ear(whole=False)
    begin = 0
    for end in [*sorted(cuts), len(stream)]:
        for ear in (taking, hearing):
            ear.feed(stream[begin:end])
        assert taking.joined() == hearing.joined()
        assert taking.state == hearing.state
        begin = end
        if taking.over or hearing.over:
            break
    assert taking.over == hearing.over
    assert b"".join(map(bytes, taking.core.segments())) == b"".join(map(bytes, hearing.core.segments()))  # type: ignore[arg-type]
    return taking, hearing


@given(streams(), st.lists(st.integers(0, 900), max_size=6))
def test_what_is_taken_is_what_is_received(stream: bytes, cuts: list[int]) -> None:
    same(stream, [cut for cut in cuts if cut < len(stream)])


@pytest.mark.parametrize("damaged", [False, True])
def test_cut_at_every_byte(damaged: bool) -> None:
    stream = bytearray(
        pdus(3, 1, encode_command(store(1)), 500)
        + pdus(3, 0, b"data", 500)
        + pdus(5, 1, encode_command(find(2)), 500)
        + pdus(5, 0, b"12" * 30, 20)
        + pdus(5, 1, encode_command(command("C-CANCEL-RQ", MessageIDBeingRespondedTo=2)), 500)
        + encode(ReleaseRQ())
    )
    if damaged:
        stream[-40] ^= 0xFF
    for cut in range(len(stream)):
        same(bytes(stream), [cut])
    same(bytes(stream), list(range(len(stream))))


INNER = pdus(1, 1, encode_command(command("C-ECHO-RQ", MessageID=9, AffectedSOPClassUID=VERIFICATION)), 500)


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(pdus(3, 1, encode_command(store(1)), 500) + pdus(3, 0, 2 * INNER, 500), id="in one data set"),
        pytest.param(
            pdus(3, 1, encode_command(store(1)), 500) + pdus(3, 0, INNER + b"..", len(INNER)), id="as a fragment"
        ),
        pytest.param(pdus(3, 1, encode_command(store(1)), 500) + INNER, id="where a data set is due"),
        pytest.param(pdus(3, 1, INNER, 500), id="in a command"),
        pytest.param(pdus(3, 1, encode_command(store(1)), 40)[:52] + INNER, id="amid a command"),
        pytest.param(
            pdus(3, 1, encode_command(store(1)), 500) + pdus(3, 0, b"." * 40, 20)[:32] + INNER, id="amid a data set"
        ),
    ],
)
def test_a_message_amid_another(stream: bytes) -> None:
    """What looks like a whole message is none, or is one too many, wherever the bytes are cut."""
    for cut in range(len(stream)):
        same(stream, [cut])
        same(stream, [cut, min(cut + 12, len(stream) - 1)])


def test_several_in_one_block_are_taken_without_an_event() -> None:
    ear = Ear(whole=True)
    stream = b"".join(pdus(3, 1, encode_command(store(n)), 500) + pdus(3, 0, b"data", 500) for n in (1, 2))
    view = ear.core.buffer()
    view[: len(stream)] = stream
    ear.core.received(len(stream))
    assert ear.core.events() == []
    assert [type(message).__name__ for message in ear.heard if type(message) is not tuple] == [
        "RequestReceived",
        "Fragment",
    ] * 2
    assert not ear.exchange.receiving
    assert not ear.core.receiving


@given(streams(), st.integers(0, 400), st.integers(0, 900))
def test_kernel_and_twin_agree(stream: bytes, start: int, cut: int) -> None:
    start, stop = min(start, len(stream)), max(min(start, len(stream)), len(stream) - cut)
    for begin in (0, start):
        found = find_whole(stream, begin, stop, *BOUNDS)
        assert found == reference.whole(ROWS, NEEDS, stream[:stop], begin, BOUNDS)


@pytest.mark.parametrize(("start", "stop"), [(-1, 4), (3, 2), (0, 11), (11, 12)])
def test_nothing_beyond_the_block_is_looked_at(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="the block"):
        find_whole(bytes(10), start, stop, *BOUNDS)
