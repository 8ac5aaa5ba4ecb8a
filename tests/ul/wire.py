"""Helpers of the upper layer's tests: vectors, hand-made PDUs, cores brought into each state by real steps, a wire."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from pathlib import Path

from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.ul import (
    Abort,
    Accept,
    Acceptance,
    Associate,
    AssociateRJ,
    Association,
    Body,
    Event,
    Reject,
    Release,
    ReleaseResponse,
    ReleaseRP,
    ReleaseRQ,
    Segment,
    Slice,
    State,
    encode,
    negotiate,
    propose,
)

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

REQUEST = propose(
    [(VERIFICATION, [EXPLICIT, IMPLICIT]), ("1.2.3.4", [IMPLICIT]), (VERIFICATION, [IMPLICIT])],
    calling_ae="RTPLAN",
    called_ae="ARCHIVE",
)
ACCEPTANCE = Acceptance("ARCHIVE", {VERIFICATION: (IMPLICIT, EXPLICIT)})
_proposal = negotiate(REQUEST, ACCEPTANCE)
assert _proposal.accept is not None
ANSWER = _proposal.accept


def pdv(context_id: int, flags: int, data: bytes) -> bytes:
    return struct.pack(">IBB", len(data) + 2, context_id, flags) + data


def p_data(*pdvs: bytes) -> bytes:
    body = b"".join(pdvs)
    return struct.pack(">BxI", 4, len(body)) + body


PDU_BYTES: dict[str, bytes] = {
    "Evt3": encode(ANSWER),
    "Evt4": encode(AssociateRJ(1, 1, 7)),
    "Evt6": encode(REQUEST),
    "Evt10": p_data(pdv(1, 0, b"data")),
    "Evt12": encode(ReleaseRQ()),
    "Evt13": encode(ReleaseRP()),
    "Evt16": encode(Abort(0, 0)),
    "Evt19": b"GET / HTTP/1.1\r\nHost: archive\r\n\r\n",
}
"""What makes each PDU event happen."""


def read_vectors(name: str = "pdu.txt") -> dict[str, bytes]:
    """Name to bytes of the annotated vectors: hex pairs and 'ASCII' up to a semicolon."""
    vectors: dict[str, bytes] = {}
    current = ""
    for line in (VECTORS / name).read_text("ascii").splitlines():
        if line.startswith("=="):
            current = line[2:].split("|")[0].strip()
            vectors[current] = b""
        elif line and not line.startswith("#"):
            for text, pairs in re.findall(r"'([^']*)'|([0-9A-Fa-f]+)", re.sub(r";[^']*$", "", line)):
                vectors[current] += bytes.fromhex(pairs) if pairs else text.encode("ascii")
    return vectors


def feed(core: Association, data: bytes, chunk: int = 1 << 30) -> list[Event]:
    """Deliver bytes as a driver does, at most so many at a time; `Body` events come back as copies."""
    events: list[Event] = []
    position = 0
    while position < len(data):
        room = core.buffer()
        count = min(len(room), len(data) - position, chunk)
        room[:count] = data[position : position + count]
        position += count
        core.received(count)
        events += [
            event._replace(view=memoryview(bytes(event.view))) if isinstance(event, Body) else event
            for event in core.events()
        ]
    return events


def flush(core: Association) -> bytes:
    """All that the core wants to send."""
    out = b""
    while core.wants_write:
        out += join(core.segments())
    return out


def join(segments: Iterable[Segment]) -> bytes:
    return b"".join(segment for segment in segments if not isinstance(segment, Slice))


def pdus(data: bytes) -> list[tuple[int, bytes]]:
    """(type, variable field) of each PDU; they must fill the bytes exactly."""
    found = []
    while data:
        kind, length = struct.unpack_from(">BxI", data)
        assert len(data) >= 6 + length
        found.append((kind, data[6 : 6 + length]))
        data = data[6 + length :]
    return found


def bodies(events: Iterable[Event]) -> list[tuple[int, bool, bytes, bool]]:
    """(context, command, bytes, complete) with the pieces of each command or data set joined."""
    joined: list[tuple[int, bool, bytes, bool]] = []
    for event in events:
        if isinstance(event, Body):
            if joined and not joined[-1][3]:
                context, command, data, _ = joined.pop()
                assert (context, command) == (event.context_id, event.command)
                joined.append((context, command, data + bytes(event.view), event.last))
            else:
                joined.append((event.context_id, event.command, bytes(event.view), event.last))
    return joined


def acceptor(limits: Limits = DEFAULT_LIMITS, acceptance: Acceptance = ACCEPTANCE) -> Association:
    core = Association(requestor=False, limits=limits, acceptance=acceptance)
    core.connected()
    return core


def requestor(limits: Limits = DEFAULT_LIMITS) -> Association:
    core = Association(requestor=True, limits=limits)
    core.request(Associate(REQUEST))
    core.connected()
    return core


def established(*, requestor_side: bool, limits: Limits = DEFAULT_LIMITS) -> Association:
    """A core in Sta6 with nothing left to send or to tell."""
    core = requestor(limits) if requestor_side else acceptor(limits)
    if requestor_side:
        feed(core, encode(ANSWER))
    else:
        feed(core, encode(REQUEST))
        core.request(Accept())
    flush(core)
    core.events()
    assert core.state is State.Sta6
    return core


def pair(limits: Limits = DEFAULT_LIMITS, acceptance: Acceptance = ACCEPTANCE) -> tuple[Association, Association]:
    """Requestor and acceptor, both established."""
    asking, answering = requestor(limits), acceptor(limits, acceptance)
    feed(answering, flush(asking))
    answering.request(Accept())
    feed(asking, flush(answering))
    assert asking.state is answering.state is State.Sta6
    return asking, answering


def in_state(state: State) -> Association:
    """A core brought into a state by real steps, with nothing left to send or to tell."""
    number = int(state)
    if number == 1:
        return Association(requestor=True)
    if number == 4:
        core = Association(requestor=True)
        core.request(Associate(REQUEST))
    elif number in (2, 3, 13):
        core = acceptor()
        if number != 2:
            feed(core, encode(REQUEST))
        if number == 13:
            core.request(Reject())
    elif number == 5:
        core = requestor()
    else:
        core = established(requestor_side=number in (6, 7, 9, 11))
        if number in (7, 9, 10, 11, 12):
            core.request(Release())
        if number in (8, 9, 10, 11, 12):
            feed(core, encode(ReleaseRQ()))
        if number == 11:
            core.request(ReleaseResponse())
        if number == 12:
            feed(core, encode(ReleaseRP()))
    flush(core)
    core.events()
    assert core.state is state
    return core


def now_in(core: Association, state: State) -> bool:
    """Whether the core is in this state now (a function, since type checkers take an attribute to stay as compared)."""
    return core.state is state
