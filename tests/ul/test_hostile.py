"""What bad peers send: each gets the abort or reject of the standard, in bounded memory, and is heard no more."""

from __future__ import annotations

import random
import struct
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.limits import Limits
from dicomcore.ul import (
    Aborted,
    AssociateRJ,
    Association,
    AssociationRequested,
    Body,
    PresentationContext,
    PresentationResult,
    State,
    UnknownItem,
    decode,
    encode,
)
from tests.ul.wire import ANSWER, REQUEST, acceptor, established, feed, flush, in_state, p_data, pdus, pdv, requestor

LIMITS = Limits()
USER_ABORT = [(7, b"\0\0\0\0")]
HTTP = b"GET / HTTP/1.1\r\nHost: archive\r\nAccept: */*\r\n\r\n"


def ended(core: Association) -> None:
    """The core has said its last word: it asks for the close, and hears nothing."""
    assert core.close_transport
    assert feed(core, encode(REQUEST) + bytes(300)) == []
    assert not core.wants_write
    core.closed()
    assert core.state is State.Sta1
    assert core.events() == []


@pytest.mark.parametrize(
    "garbage",
    [
        HTTP,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS ClientHello
        b"\0",
        b"\xff" * 5000,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        p_data(pdv(1, 3, b"ab")),
        encode(ANSWER),
        encode(AssociateRJ(1, 1, 1)),
        struct.pack(">BxI", 5, 4) + bytes(4),
        struct.pack(">BxI", 6, 4) + bytes(4),
        struct.pack(">BxI", 7, 5) + bytes(5),
        struct.pack(">BxI", 1, 67) + bytes(67),  # shorter than the fixed fields
        struct.pack(">BxI", 1, 68) + bytes(68),  # without items
        struct.pack(">BxI", 4, 0xFFFFFFFF),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_no_association_request(garbage: bytes, chunk: int) -> None:
    core = acceptor()
    (event,) = feed(core, garbage, chunk)
    assert isinstance(event, Aborted)
    assert not event.by_peer
    assert "PS3.8" in event.why
    assert core.state is State.Sta13
    assert pdus(flush(core)) == USER_ABORT  # AA-1
    assert core.held_length <= LIMITS.handshake_length
    ended(core)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 1 << 31, LIMITS.associate_length + 1])
def test_a_request_that_claims_too_much_is_refused_at_its_header(length: int) -> None:
    core = acceptor()
    (event,) = feed(core, struct.pack(">BxI", 1, length))
    assert isinstance(event, Aborted)
    assert "Limits.associate_length" in event.why
    assert pdus(flush(core)) == [(3, b"\0\1\3\2")]  # local limit exceeded
    assert core.state is State.Sta13
    assert core.held_length <= LIMITS.handshake_length
    ended(core)


def test_an_answer_that_claims_too_much() -> None:
    core = requestor()
    flush(core)
    (event,) = feed(core, struct.pack(">BxI", 2, 0xFFFFFFFF))
    assert isinstance(event, Aborted)
    assert pdus(flush(core)) == [(7, b"\0\0\2\6")]
    ended(core)


def big_request(length: int) -> bytes:
    """A valid A-ASSOCIATE-RQ of just this length (its variable field), blown up by unknown items."""
    missing = length - (len(encode(REQUEST)) - 6)
    items = []
    while missing:
        take = min(missing - 4, 0xFFFF)
        if 0 < missing - 4 - take < 4:
            take -= 4
        items.append(UnknownItem(0x7F, bytes(take)))
        missing -= take + 4
    return encode(replace(REQUEST, unknown=tuple(items)))


def test_the_largest_request() -> None:
    core = acceptor()
    raw = big_request(LIMITS.associate_length)
    (event,) = feed(core, raw)
    assert isinstance(event, AssociationRequested)
    assert encode(event.request) == raw
    core.buffer()
    assert core.held_length <= LIMITS.held_length  # the large block is gone


def test_the_block_grows_only_as_bytes_arrive() -> None:
    core = acceptor()
    raw = big_request(LIMITS.associate_length)
    sent = 0
    while sent < len(raw) - 1:
        room = core.buffer()
        count = min(len(room), len(raw) - 1 - sent, 1400)
        room[:count] = raw[sent : sent + count]
        core.received(count)
        sent += count
        assert core.held_length <= max(8 * 1024, 2 * sent)
        assert core.held_length <= LIMITS.associate_length + 6


def test_the_bound_before_an_association_is_a_limit() -> None:
    core = acceptor(LIMITS.but(handshake_length=1000))
    assert len(core.buffer()) == 1000
    (event,) = feed(core, big_request(5000), 700)  # valid, so the block may follow its length
    assert isinstance(event, AssociationRequested)


@pytest.mark.parametrize("stop", [3, 100, 8192, 9000, 60000])
def test_memory_given_back_in_the_middle_of_a_request(stop: int) -> None:
    core = acceptor()
    raw = big_request(70000)
    assert feed(core, raw[:stop], 1400) == []
    core.release_memory()
    assert core.held_length == stop
    assert len(core.buffer()) > 0
    (event,) = feed(core, raw[stop:], 1400)
    assert isinstance(event, AssociationRequested)


def test_memory_of_many_connections_that_never_associate() -> None:
    """Whatever a peer sends short of a request, a connection costs less than 64 KiB, all objects counted."""
    head = encode(REQUEST)[:200]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cores = []
        for index in range(50):
            core = acceptor()
            feed(core, [b"", head, struct.pack(">BxI", 1, 1 << 20), HTTP, head[:5]][index % 5])
            core.buffer()
            cores.append(core)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(cores) < LIMITS.handshake_length


def test_a_peak_of_one_request_is_bounded() -> None:
    raw = big_request(LIMITS.associate_length)
    core = acceptor()
    tracemalloc.start()
    try:
        feed(core, raw, 65536)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * LIMITS.associate_length


@pytest.mark.parametrize(
    ("bound", "fits"),
    [
        ("context_count", 3),
        ("transfer_syntax_count", 2),
        ("user_item_count", 3),
        ("item_count", 5),
        ("user_information_length", 72),
    ],
)
def test_limits_of_a_request_and_of_an_answer(bound: str, fits: int) -> None:
    """A request at the limit passes, one beyond it is rejected and told why; too much of an answer is an abort."""
    core = acceptor(LIMITS.but(**{bound: fits}))
    (event,) = feed(core, encode(REQUEST))
    assert isinstance(event, AssociationRequested)
    core = acceptor(LIMITS.but(**{bound: fits - 1}))
    (event,) = feed(core, encode(REQUEST))
    assert isinstance(event, Aborted)
    assert f"Limits.{bound}" in event.why
    assert pdus(flush(core)) == [(3, b"\0\1\3\2")]  # permanently, presentation related, local limit exceeded
    ended(core)
    core = requestor(LIMITS.but(**{bound: 0}))
    flush(core)
    (event,) = feed(core, encode(ANSWER))
    assert isinstance(event, Aborted)
    assert f"Limits.{bound}" in event.why
    assert pdus(flush(core)) == [(7, b"\0\0\2\6")]
    ended(core)


def test_a_version_of_the_future_is_rejected_by_the_provider() -> None:
    core = acceptor()
    assert feed(core, encode(replace(REQUEST, protocol_version=2))) == []
    assert pdus(flush(core)) == [(3, b"\0\1\2\2")]  # AE-6
    assert core.state is State.Sta13


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (struct.pack(">BxI", 4, 0), 6),  # no PDV
        (struct.pack(">BxI", 4, 5) + bytes(5), 6),
        (p_data(b"\0\0\0\1\1\3"), 6),  # a PDV shorter than its own header
        (p_data(b"\0\0\0\0\1\3"), 6),
        (p_data(b"\0\0\0\x09\1\3ab"), 6),  # a PDV that overruns its PDU
        (p_data(b"\xff\xff\xff\xff\1\3ab"), 6),
        (p_data(pdv(1, 3, b"ab") + b"\0\0\0"), 6),  # bytes left behind the last PDV
        (p_data(pdv(3, 3, b"ab")), 6),  # a context that was refused
        (p_data(pdv(2, 3, b"ab")), 6),  # an even one
        (p_data(pdv(99, 3, b"ab")), 6),
        (p_data(pdv(1, 0, b"ab")) + p_data(pdv(5, 0, b"ab")), 6),  # another message before the last fragment
        (p_data(pdv(1, 1, b"ab"), pdv(1, 0, b"ab")), 6),  # data before the command is whole
        (b"\x08", 1),
        (HTTP, 1),
        (encode(REQUEST), 2),
        (encode(ANSWER), 2),
        (encode(AssociateRJ(1, 1, 1)), 2),
        (struct.pack(">BxI", 6, 4) + bytes(4), 2),
        (struct.pack(">BxI", 5, 5) + bytes(5), 6),
        (struct.pack(">BxI", 7, 0xFFFFFFFF), 6),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_faults_while_established(data: bytes, reason: int, chunk: int) -> None:
    core = established(requestor_side=False)
    core.send(1, False, bytes(1 << 20))
    *bodies, event = feed(core, data, chunk)
    assert all(isinstance(body, Body) for body in bodies)
    assert isinstance(event, Aborted)
    assert (event.source, event.reason, event.by_peer) == (2, reason, False)
    assert pdus(flush(core)) == [(7, bytes([0, 0, 2, reason]))]  # AA-8; what was not framed is dropped
    ended(core)


def test_a_limit_on_the_length_of_p_data() -> None:
    core = established(requestor_side=False, limits=LIMITS.but(received_pdu_length=1000))
    assert len(feed(core, p_data(pdv(1, 0, bytes(994))))) == 1
    (event,) = feed(core, struct.pack(">BxI", 4, 1001))
    assert isinstance(event, Aborted)


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_a_limit_on_the_length_of_a_fragment(chunk: int) -> None:
    core = established(requestor_side=False, limits=LIMITS.but(received_pdv_length=100))
    fits = p_data(pdv(1, 0, bytes(100)), pdv(1, 0, bytes(100)))
    assert sum(len(event.view) for event in feed(core, fits, chunk) if isinstance(event, Body)) == 200
    *_, event = feed(core, p_data(pdv(1, 0, bytes(100)), pdv(1, 0, bytes(101))), chunk)
    assert isinstance(event, Aborted)
    assert "Limits.received_pdv_length" in event.why
    assert pdus(flush(core)) == [(7, b"\0\0\2\6")]
    ended(core)


def test_a_p_data_of_4_gib_costs_nothing() -> None:
    core = established(requestor_side=False)
    head = struct.pack(">BxIIBB", 4, 0xFFFFFFFF, 0xFFFFFFFB, 1, 0)
    events = feed(core, head + bytes(1 << 20), 1 << 16)
    assert sum(len(event.view) for event in events if isinstance(event, Body)) == 1 << 20
    assert core.held_length <= 256 * 1024
    assert core.state is State.Sta6


def test_an_answer_that_fits_no_request() -> None:
    bad = [
        replace(ANSWER, results=(PresentationResult(9, 0, "1.2"),)),
        replace(ANSWER, user=replace(ANSWER.user, max_length=3)),
        replace(ANSWER, protocol_version=0),
    ]
    for answer in bad:
        core = requestor()
        flush(core)
        (event,) = feed(core, encode(answer))
        assert isinstance(event, Aborted)
        assert pdus(flush(core)) == [(7, b"\0\0\2\6")]
        ended(core)


def test_a_request_in_sta13_is_answered_by_an_abort() -> None:
    core = in_state(State.Sta13)
    assert feed(core, encode(REQUEST)) == []
    assert pdus(flush(core)) == [(7, b"\0\0\2\2")]  # AA-7
    ended(core)


def test_cut_at_every_byte() -> None:
    """The transport may close anywhere; the core ends in Sta1 and tells at most the loss."""
    raw = encode(REQUEST)
    for stop in range(len(raw)):
        core = acceptor()
        assert feed(core, raw[:stop]) == []
        core.closed()
        assert core.events() == []
        assert core.state is State.Sta1


def damaged(seed: int) -> bytes:
    """A request, or a request and data, with a few bytes changed, cut or doubled."""
    source = random.Random(seed)
    raw = bytearray(encode(REQUEST) + p_data(pdv(1, 3, b"abcdef"), pdv(1, 2, b"gh")) * 3)
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(raw))
        match source.randrange(3):
            case 0:
                raw[at] = source.randrange(256)
            case 1:
                del raw[at : at + source.randint(1, 8)]
            case _:
                raw[at:at] = raw[at : at + source.randint(1, 8)]
    return bytes(raw)


def test_seeded_mutations() -> None:
    for seed in range(1500):
        core = acceptor() if seed % 2 else established(requestor_side=False)
        data = damaged(seed)
        if seed % 2 == 0:
            data = data[len(encode(REQUEST)) :]
        feed(core, data, 1 + seed % 97)
        assert core.held_length <= LIMITS.associate_length
        for kind, body in pdus(flush(core)):
            decode(kind, body)
        core.closed()
        assert core.state is State.Sta1


LISTENING = [state for state in State if state not in (State.Sta1, State.Sta4)]


@given(st.binary(max_size=300), st.sampled_from(LISTENING), st.integers(1, 64))
def test_random_bytes(data: bytes, where: State, chunk: int) -> None:
    core = in_state(where)
    flush(core)
    feed(core, data, chunk)
    for kind, body in pdus(flush(core)):
        decode(kind, body)
    core.closed()
    assert core.state is State.Sta1


def test_many_contexts_with_many_syntaxes_stay_quick() -> None:
    """The largest request that the limits allow is decoded and answered without quadratic work."""
    syntaxes = tuple(f"1.2.{n}" for n in range(100))
    contexts = tuple(PresentationContext(2 * n + 1, f"1.3.{n}", syntaxes) for n in range(128))
    core = acceptor()
    (event,) = feed(core, encode(replace(REQUEST, contexts=contexts)))
    assert isinstance(event, AssociationRequested)
    assert event.proposal.accept is not None
    assert len(event.proposal.accept.results) == 128
