"""The core driven as a driver drives it: whole, byte by byte, junk behind; data paths; wrong callers; memory; time."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.errors import LocalProtocolError
from dicomcore.limits import Limits
from dicomcore.ul import (
    Abort,
    Aborted,
    AbortRequest,
    Accept,
    Acceptance,
    Accepted,
    Associate,
    AssociateRJ,
    Association,
    AssociationRequested,
    Body,
    ConnectionLost,
    Reject,
    Rejected,
    Release,
    Released,
    ReleaseRequested,
    ReleaseResponse,
    ReleaseRP,
    ReleaseRQ,
    Slice,
    State,
    encode,
    negotiate,
)
from tests.ul.wire import (
    ACCEPTANCE,
    ANSWER,
    IMPLICIT,
    PDU_BYTES,
    REQUEST,
    VERIFICATION,
    acceptor,
    bodies,
    established,
    feed,
    flush,
    in_state,
    join,
    now_in,
    p_data,
    pair,
    pdus,
    pdv,
    read_vectors,
    requestor,
)

CHUNKS = [1 << 30, 1, 3, 7]


def test_import_needs_the_standard_library_only() -> None:
    code = (
        "import sys, dicomcore.ul\n"
        "bad = [name for name in sys.modules if name.split('.')[0] in ('numpy', 'pydicom', 'click', 'rich')]\n"
        "bad += [name for name in sys.modules if name.startswith('dicomcore._core.')]\n"
        "bad += [name for name in sys.modules if name.startswith(('dicomcore.encoding', 'dicomcore.data'))]\n"
        "sys.exit(', '.join(bad) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("chunk", CHUNKS)
def test_a_whole_association(chunk: int) -> None:
    asking, answering = requestor(), acceptor()
    requested = feed(answering, flush(asking), chunk)
    assert requested == [AssociationRequested(REQUEST, negotiate(REQUEST, ACCEPTANCE))]
    answering.request(Accept())
    accepted = feed(asking, flush(answering), chunk)
    assert [type(event) for event in accepted] == [Accepted]
    assert asking.negotiated is not None
    assert answering.negotiated is not None
    assert asking.negotiated.contexts == answering.negotiated.contexts
    asking.send(1, True, b"command.")
    asking.send(1, False, bytes(range(256)) * 40)
    heard = feed(answering, flush(asking), chunk)
    assert bodies(heard) == [(1, True, b"command.", True), (1, False, bytes(range(256)) * 40, True)]
    asking.request(Release())
    assert feed(answering, flush(asking), chunk) == [ReleaseRequested()]
    answering.request(ReleaseResponse())
    assert feed(asking, flush(answering), chunk) == [Released()]
    assert now_in(asking, State.Sta1)
    assert asking.close_transport
    answering.closed()
    assert now_in(answering, State.Sta1)
    assert answering.close_transport
    assert asking.events() == answering.events() == []


@pytest.mark.parametrize("chunk", CHUNKS)
def test_the_vector_of_p_data(chunk: int) -> None:
    core = established(requestor_side=False)
    events = feed(core, read_vectors()["p-data-tf"], chunk)
    assert bodies(events) == [(1, True, b"ABCD", True), (1, False, b"EFGHI", False)]
    assert now_in(core, State.Sta6)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("kind", ["Evt3", "Evt4", "Evt6", "Evt12", "Evt13", "Evt16"])
def test_trailing_junk_after_each_pdu(kind: str, chunk: int) -> None:
    """The PDU is understood, what follows it is a fault of its own, or nobody listens any more."""
    before = {"Evt3": 5, "Evt4": 5, "Evt6": 2, "Evt12": 6, "Evt13": 7, "Evt16": 6}
    core = in_state(State(before[kind]))
    events = feed(core, PDU_BYTES[kind] + b"\xffjunk", chunk)
    names = [type(event).__name__ for event in events]
    told = {
        "Evt3": ["Accepted", "Aborted"],
        "Evt4": ["Rejected"],
        "Evt6": ["AssociationRequested", "Aborted"],
        "Evt12": ["ReleaseRequested", "Aborted"],
        "Evt13": ["Released"],
        "Evt16": ["Aborted"],
    }
    assert names == told[kind]
    assert core.close_transport
    if names[-1] == "Aborted" and kind != "Evt16":
        assert pdus(flush(core)) == [(7, b"\0\0\2\1")]


def test_answers_and_the_data_behind_them_in_one_read() -> None:
    core = requestor()
    events = feed(core, encode(ANSWER) + p_data(pdv(1, 3, b"ab")))
    assert [type(event) for event in events] == [Accepted, Body]


def test_body_views_lie_in_the_block() -> None:
    core = established(requestor_side=False)
    data = p_data(pdv(1, 1, b"abcd"), pdv(1, 3, b"ef")) + p_data(pdv(1, 2, b"ghi"))
    room = core.buffer()
    room[: len(data)] = data
    core.received(len(data))
    first, second, third = core.events()
    assert isinstance(first, Body)
    assert isinstance(second, Body)
    assert isinstance(third, Body)
    assert first.view.obj is room.obj  # no copy
    assert [bytes(event.view) for event in (first, second, third)] == [b"abcd", b"ef", b"ghi"]
    assert [(event.command, event.last) for event in (first, second, third)] == [
        (True, False),
        (True, True),
        (False, True),
    ]


def test_an_empty_last_fragment_is_told_and_an_empty_other_is_not() -> None:
    core = established(requestor_side=False)
    events = feed(core, p_data(pdv(1, 0, b"ab"), pdv(1, 0, b"")) + p_data(pdv(1, 2, b"")))
    assert bodies(events) == [(1, False, b"ab", True)]
    assert len(events) == 2


def test_the_upper_bits_of_the_control_header_are_not_tested() -> None:
    core = established(requestor_side=False)
    assert bodies(feed(core, p_data(pdv(1, 0xFF, b"ab")))) == [(1, True, b"ab", True)]


class Lazy:
    """A payload that has a length and nothing else."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


@pytest.mark.parametrize(
    ("peer", "own", "fragment"), [(0, 4096, 4090), (1000, None, 994), (1001, None, 994), (8, 8, 2)]
)
def test_framing_obeys_the_peer_and_ones_own_cap(peer: int, own: int | None, fragment: int) -> None:
    acceptance = Acceptance("ARCHIVE", {VERIFICATION: (IMPLICIT,)}, max_pdu_length=peer)
    core = Association(requestor=True, max_pdu_length=own)
    core.request(Associate(REQUEST))
    core.connected()
    proposal = negotiate(REQUEST, acceptance)
    assert proposal.accept is not None
    feed(core, encode(proposal.accept))
    flush(core)
    data = bytes(index % 251 for index in range(2 * fragment + 1))
    core.send(1, False, data)
    segments = core.segments(1 << 30)
    assert [len(segment) for segment in segments] == [12, fragment, 12, fragment, 12, 1]
    found = pdus(join(segments))
    assert all(len(body) <= (peer or 1 << 32) for _, body in found)
    assert [body[5] for _, body in found] == [0, 0, 2]
    assert b"".join(body[6:] for _, body in found) == data


@pytest.mark.parametrize(("peer", "fragment"), [(0, Limits().pdu_length - 6), (1000, 994)])
def test_who_takes_any_length_sends_no_shorter_fragments_for_that(peer: int, fragment: int) -> None:
    core = Association(requestor=True, limits=Limits(pdu_length=0))
    core.request(Associate(REQUEST))
    core.connected()
    answer = negotiate(REQUEST, Acceptance("ARCHIVE", {VERIFICATION: (IMPLICIT,)}, max_pdu_length=peer)).accept
    assert answer is not None
    feed(core, encode(answer))
    assert core.fragment_length == fragment


def test_a_gigabyte_is_framed_lazily() -> None:
    core = established(requestor_side=True)
    payload = Lazy(1 << 30)
    core.send(1, False, payload)
    assert core.queued_length == 1 << 30
    position = 0
    while core.wants_write:
        segments = core.segments(4 << 20)
        assert len(segments) <= 40
        for header, piece in zip(segments[::2], segments[1::2], strict=True):
            assert isinstance(header, bytes)
            assert isinstance(piece, Slice)
            assert piece.payload is payload
            assert piece.start == position
            position = piece.stop
            assert len(piece) + 6 <= 256 * 1024
    assert position == 1 << 30
    assert core.queued_length == 0


def test_segments_bounds() -> None:
    core = established(requestor_side=True)
    core.send(1, False, bytes(1 << 20))
    assert len(core.segments(1)) == 2  # at least one whole PDU
    assert len(core.segments(1 << 30, 4)) == 4
    assert len(core.segments(1 << 30, 5)) == 4  # a header never goes without its slice
    core.segments()
    core.send(1, True, bytes(513))
    rest = core.segments()
    assert len(rest) == 2
    assert isinstance(rest[1], memoryview)
    core.send(1, True, bytes(512))  # a few bytes are joined with their header
    assert [len(part) for part in core.segments()] == [524]


@pytest.mark.parametrize("payload", [b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), memoryview(b"a-b-c-d-")[::2]])
def test_payloads(payload: bytes | bytearray | memoryview) -> None:
    core = established(requestor_side=True)
    if isinstance(payload, memoryview) and not payload.contiguous:
        with pytest.raises(LocalProtocolError, match="contiguous"):
            core.send(1, False, payload)
        return
    core.send(1, False, payload)
    assert pdus(flush(core)) == [(4, pdv(1, 2, b"abcd"))]


def test_wide_items_count_as_bytes() -> None:
    core = established(requestor_side=True)
    core.send(1, False, memoryview(b"abcdefgh").cast("I"))
    assert pdus(flush(core)) == [(4, pdv(1, 2, b"abcdefgh"))]


def test_a_set_in_parts() -> None:
    core = established(requestor_side=True)
    core.send(1, False, b"", last=False)
    assert not core.wants_write
    core.send(1, False, b"ab", last=False)
    for context_id, command in ((1, True), (5, False)):
        with pytest.raises(LocalProtocolError, match="not complete"):
            core.send(context_id, command, b"x")
    with pytest.raises(LocalProtocolError, match="not complete"):
        core.request(Release())
    core.send(1, False, b"")
    assert pdus(flush(core)) == [(4, pdv(1, 0, b"ab")), (4, pdv(1, 2, b""))]
    core.request(Release())


def test_data_still_flows_while_a_release_is_asked() -> None:
    asking, answering = pair()
    asking.request(Release())
    feed(answering, flush(asking))
    answering.send(1, True, b"late")  # AR-7 (Sta8), AR-6 (Sta7)
    answering.request(ReleaseResponse())
    heard = feed(asking, flush(answering))
    assert bodies(heard) == [(1, True, b"late", True)]
    assert heard[-1] == Released()


@pytest.mark.parametrize("eager", [True, False])
def test_release_collision(eager: bool) -> None:
    asking, answering = pair()
    asking.request(Release())
    answering.request(Release())
    to_answering, to_asking = flush(asking), flush(answering)
    assert feed(answering, to_answering) == [ReleaseRequested()]
    assert feed(asking, to_asking) == [ReleaseRequested()]
    assert (asking.state, answering.state) == (State.Sta9, State.Sta10)
    if eager:
        answering.request(ReleaseResponse())
        assert now_in(answering, State.Sta10)
        assert not answering.wants_write
    asking.request(ReleaseResponse())
    assert now_in(asking, State.Sta11)
    assert feed(answering, flush(asking)) == [Released()]
    if not eager:
        assert now_in(answering, State.Sta12)
        answering.request(ReleaseResponse())
    assert now_in(answering, State.Sta13)
    assert feed(asking, flush(answering)) == [Released()]
    assert now_in(asking, State.Sta1)
    answering.closed()
    assert now_in(answering, State.Sta1)


def test_rejection() -> None:
    asking, answering = requestor(), acceptor(acceptance=Acceptance("OTHER", {}, require_called_ae=True))
    (requested,) = feed(answering, flush(asking))
    assert isinstance(requested, AssociationRequested)
    assert requested.proposal.reject == AssociateRJ(1, 1, 7)
    with pytest.raises(LocalProtocolError, match="called AE title not recognized"):
        answering.request(Accept())
    assert now_in(answering, State.Sta3)
    answering.request(Reject(1, 1, 7))
    assert feed(asking, flush(answering)) == [Rejected(AssociateRJ(1, 1, 7))]
    assert asking.close_transport
    assert now_in(answering, State.Sta13)
    assert not answering.close_transport  # the peer closes; ARTIM bounds the wait
    assert feed(answering, p_data(pdv(1, 0, bytes(100)))[:50]) == []  # AA-6, also of half a PDU
    assert feed(answering, bytes(62) + encode(ReleaseRQ())) == []
    answering.closed()
    assert now_in(answering, State.Sta1)


def test_the_caller_may_answer_otherwise() -> None:
    asking, answering = requestor(), acceptor(acceptance=Acceptance())
    feed(answering, flush(asking))
    answering.request(Accept(ANSWER))
    (accepted,) = feed(asking, flush(answering))
    assert isinstance(accepted, Accepted)
    assert set(accepted.negotiated.contexts) == {1, 5}
    assert answering.negotiated is not None
    assert set(answering.negotiated.contexts) == {1, 5}


def test_abort_drops_what_is_not_framed_and_spares_what_is() -> None:
    asking, answering = pair()
    asking.send(1, False, bytes(1 << 20))
    handed_out = asking.segments(1)
    asking.request(AbortRequest())
    assert asking.close_transport
    heard = feed(answering, join(handed_out) + flush(asking))
    assert isinstance(heard[-1], Aborted)
    assert heard[-1] == Aborted(0, 0, by_peer=True, why="aborted by the user")
    assert not any(event.last for event in heard if isinstance(event, Body))
    assert answering.close_transport
    assert now_in(answering, State.Sta1)


def test_nothing_is_heard_after_an_abort() -> None:
    asking, _ = pair()
    asking.request(AbortRequest())
    assert feed(asking, p_data(pdv(1, 3, b"ab")) + b"junk") == []
    assert pdus(flush(asking)) == [(7, bytes(4))]
    assert now_in(asking, State.Sta13)
    asking.closed()
    assert now_in(asking, State.Sta1)


@pytest.mark.parametrize("state", list(State)[2:12], ids=lambda state: state.name)
def test_a_lost_connection_is_told_once(state: State) -> None:
    core = in_state(state)
    core.closed()
    core.closed()
    assert core.events() == [ConnectionLost()]
    assert now_in(core, State.Sta1)
    assert core.close_transport
    assert not core.wants_write


def test_a_health_check_tells_nothing() -> None:
    core = acceptor()
    core.closed()
    assert core.events() == []
    assert now_in(core, State.Sta1)


# --- what a caller does wrong -----------------------------------------------------------------------------------------


def test_buffer_before_events() -> None:
    core = established(requestor_side=False)
    data = p_data(pdv(1, 3, b"ab"))
    core.buffer()[: len(data)] = data
    core.received(len(data))
    assert (core.wants_read, len(core.events())) == (False, 1)
    core.buffer()[: len(data)] = data
    core.received(len(data))
    with pytest.raises(LocalProtocolError, match="not taken"):
        core.buffer()
    core.events()
    assert core.wants_read


def test_more_received_than_lent() -> None:
    core = acceptor()
    with pytest.raises(LocalProtocolError, match="lent"):
        core.received(len(core.buffer()) + 1)
    with pytest.raises(LocalProtocolError, match="lent"):
        core.received(-1)


def test_a_context_that_was_not_agreed() -> None:
    core = established(requestor_side=True)
    with pytest.raises(LocalProtocolError, match="context 3 was not agreed"):
        core.send(3, True, b"x")


def test_an_acceptor_does_not_associate() -> None:
    with pytest.raises(LocalProtocolError):
        Association(requestor=False).request(Associate(REQUEST))


# --- memory -----------------------------------------------------------------------------------------------------------


def test_the_block_grows_when_it_is_filled_and_goes_back() -> None:
    limits = Limits()
    core = established(requestor_side=False)
    core.buffer()
    assert core.held_length <= limits.held_length
    sizes = []
    pdu = p_data(pdv(1, 0, bytes(16378)))
    stream = pdu * 64
    while stream:
        room = core.buffer()
        sizes.append(len(room))
        count = min(len(room), len(stream))
        room[:count] = stream[:count]
        core.received(count)
        core.events()
        stream = stream[count:]
    assert core.held_length == 256 * 1024
    assert max(sizes) <= 256 * 1024
    core.release_memory()
    assert core.held_length == 0
    core.buffer()
    assert core.held_length <= limits.held_length


def test_giving_the_block_back_keeps_what_is_not_understood() -> None:
    core = established(requestor_side=False)
    data = p_data(pdv(1, 2, b"ab"))
    feed(core, data[:9])
    core.release_memory()
    assert core.held_length == 9
    assert bodies(feed(core, data[9:])) == [(1, False, b"ab", True)]


def test_small_messages_keep_a_small_block() -> None:
    core = established(requestor_side=False)
    for _ in range(50):
        feed(core, p_data(pdv(1, 3, bytes(100))))
    assert core.held_length <= Limits().held_length


# --- time -------------------------------------------------------------------------------------------------------------


def test_no_answer_to_the_request() -> None:
    core = requestor(Limits().but(association_timeout=7.0, artim=5.0))
    flush(core)
    core.tick(100.0)
    assert core.deadline == 107.0
    core.tick(107.0)
    assert core.events() == [Aborted(0, 0, by_peer=False, why="no answer to A-ASSOCIATE-RQ within 7 s")]
    assert pdus(flush(core)) == [(7, bytes(4))]
    assert now_in(core, State.Sta13)
    assert core.deadline == 112.0
    core.tick(112.0)
    assert now_in(core, State.Sta1)
    assert core.deadline is None


def test_no_decision_about_the_association() -> None:
    core = in_state(State.Sta3)
    core.tick(0.0)
    core.tick(30.0)
    assert now_in(core, State.Sta13)
    assert pdus(flush(core)) == [(3, b"\0\2\3\1")]  # temporary congestion
    assert core.events() == [Aborted(2, 0, by_peer=False, why="no decision about the association within 30 s")]
    with pytest.raises(LocalProtocolError):
        core.request(Accept())


def test_artim_is_not_extended_by_a_drip() -> None:
    core = acceptor()
    now = 0.0
    core.tick(now)
    for byte in encode(REQUEST)[:29]:
        now += 1.0
        feed(core, bytes([byte]))
        core.tick(now)
        assert now_in(core, State.Sta2)
    core.tick(30.0)
    assert now_in(core, State.Sta1)
    assert core.close_transport


def test_a_release_waits_while_the_peer_still_sends() -> None:
    core = in_state(State.Sta7)
    core.tick(0.0)
    assert core.deadline == 60.0
    feed(core, p_data(pdv(1, 0, b"ab")))
    core.tick(50.0)
    assert core.deadline == 110.0
    core.tick(110.0)
    assert core.events() == [Aborted(0, 0, by_peer=False, why="no answer to A-RELEASE-RQ within 60 s")]


def test_no_timer_runs_while_established() -> None:
    for side in (True, False):
        core = established(requestor_side=side)
        core.tick(1e9)
        assert core.deadline is None
        assert now_in(core, State.Sta6)


def test_the_timer_of_one_state_does_not_outlive_it() -> None:
    core = requestor()
    core.tick(0.0)
    feed(core, encode(ANSWER))
    core.tick(1e9)
    assert now_in(core, State.Sta6)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=8), st.integers(1, 40), st.data())
def test_fragments_split_anywhere(parts: list[bytes], chunk: int, data: st.DataObject) -> None:
    """PDVs grouped into PDUs at will, delivered in pieces at will: the same command and data sets come out."""
    core = established(requestor_side=False)
    items = []
    expected = []
    for part in parts:
        flags = data.draw(st.integers(0, 1))
        cut = data.draw(st.integers(0, len(part)))
        items += [pdv(1, flags, part[:cut]), pdv(1, flags | 2, part[cut:])]
        expected.append((1, flags == 1, part, True))
    stream = b""
    while items:
        count = data.draw(st.integers(1, len(items)))
        stream += p_data(*items[:count])
        del items[:count]
    assert bodies(feed(core, stream, chunk)) == expected
    assert feed(core, encode(Abort(0, 0)))[-1] == Aborted(0, 0, by_peer=True, why="aborted by the user")


def test_release_pdus_are_ten_bytes() -> None:
    assert len(encode(ReleaseRQ())) == len(encode(ReleaseRP())) == 10
