"""Which cells of table 9-10 can happen at all: every way through the real core is walked, not sampled.

Two searches, both exhaustive over what they distinguish. *One core and any peer*: from each state of each role every
local primitive, every PDU, nonsense, the clock and the close of the transport are tried. *Two cores and a wire*: all
interleavings of what two sides that keep the rules may do and of what the wire may do (deliver the next PDU to either
side, break for either side first). Both results are compared with ``vectors/ul_reachable.txt``, so a cell that becomes
reachable, or no longer is, is seen. A dash of the table is never fired, by whatever peer.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from dicomcore.errors import LocalProtocolError
from dicomcore.ul import (
    AbortRequest,
    Accept,
    Associate,
    Association,
    Body,
    Evt,
    Reject,
    Release,
    ReleaseResponse,
    State,
)
from dicomcore.ul.grid import GRID
from dicomcore.ul.outbound import Outbound
from tests.ul.wire import ACCEPTANCE, PDU_BYTES, REQUEST, VECTORS, feed, flush, pdus

Cell = tuple[Evt, State]


class Watched(Association):
    """An association that notes each cell it passes."""

    def __init__(self, *, requestor: bool) -> None:
        super().__init__(requestor=requestor, acceptance=None if requestor else ACCEPTANCE)
        self.fired: list[Cell] = []

    def _fire(self, event: Evt, argument: Any = None) -> None:
        cell = event, self.state
        super()._fire(event, argument)  # raises for a dash
        self.fired.append(cell)

    def clone(self) -> Watched:
        """A copy to try something on. Between steps nothing waits to be sent, told or understood."""
        assert not self.wants_write
        other = copy.copy(self)
        other._events, other.fired = [], []
        other._inbound = copy.copy(self._inbound)
        other._outbound = Outbound()
        other._outbound.fragment_length = self._outbound.fragment_length
        return other

    @property
    def key(self) -> tuple[object, ...]:
        return self.state, self._deaf, self._responds, self.close_transport


def expire(core: Watched) -> None:
    """Let the timer that runs run out."""
    core.tick(0.0)
    core.tick(1e9)


def send(core: Watched) -> None:
    state = core.state
    core.send(1, False, b"data")
    core.fired.append((Evt.Evt9, state))


LOCAL: dict[str, Callable[[Watched], None]] = {
    "associate": lambda core: core.request(Associate(REQUEST)),
    "connect": lambda core: core.connected(),
    "accept": lambda core: core.request(Accept()),
    "reject": lambda core: core.request(Reject()),
    "send": send,
    "release": lambda core: core.request(Release()),
    "respond": lambda core: core.request(ReleaseResponse()),
    "abort": lambda core: core.request(AbortRequest()),
    "expire": expire,
    "close": lambda core: core.closed(),
}


def hear(core: Watched, data: bytes) -> None:
    state = core.state
    if state in (State.Sta1, State.Sta4):
        return  # there is no transport that could bring it
    if any(isinstance(event, Body) for event in feed(core, data)):
        core.fired.append((Evt.Evt10, state))


def step(core: Watched, deed: Callable[[Watched], None]) -> tuple[Watched, bytes] | None:
    """A copy of the core after a deed, and what it sends; None when the deed is not allowed."""
    after = core.clone()
    try:
        deed(after)
    except LocalProtocolError:
        assert after.key == core.key
        return None
    after.events()
    return after, flush(after)


def alone(requestor: bool) -> Iterator[Cell]:
    """All cells of one core in the hands of any user and any peer."""
    deeds = [*LOCAL.values(), *[lambda core, data=data: hear(core, data) for data in PDU_BYTES.values()]]
    start = Watched(requestor=requestor)
    seen, waiting = {start.key}, deque([start])
    while waiting:
        core = waiting.popleft()
        for deed in deeds:
            found = step(core, deed)
            if found is not None:
                yield from found[0].fired
                if found[0].key not in seen:
                    seen.add(found[0].key)
                    waiting.append(found[0])


class Pair(NamedTuple):
    """Two cores, and the PDUs under way to each of them; whether each side's transport is open."""

    cores: tuple[Watched, Watched]
    wires: tuple[tuple[bytes, ...], tuple[bytes, ...]]
    open: tuple[bool, bool]
    sent: tuple[bool, bool]  # data: once each is enough

    @property
    def key(self) -> tuple[object, ...]:
        kinds = tuple(tuple(pdu[0] for pdu in wire) for wire in self.wires)
        return self.cores[0].key, self.cores[1].key, kinds, self.open, self.sent


def put(pair: tuple[Any, Any], side: int, value: Any) -> tuple[Any, Any]:
    return (value, pair[1]) if side == 0 else (pair[0], value)


def after_deed(pair: Pair, side: int, deed: Callable[[Watched], None]) -> Pair | None:
    found = step(pair.cores[side], deed)
    if found is None:
        return None
    core, data = found
    out = tuple(bytes([kind]) + b"\0" + len(body).to_bytes(4, "big") + body for kind, body in pdus(data))
    other = 1 - side
    wires = put(pair.wires, other, pair.wires[other] + out) if pair.open[side] else pair.wires
    return pair._replace(cores=put(pair.cores, side, core), wires=wires)


def moves(pair: Pair) -> Iterator[Pair | None]:
    """All that two sides which keep the rules, and the wire, may do next."""
    asking = pair.cores[0]
    if asking.state is State.Sta1 and pair.open == (False, False) and not asking.close_transport:
        yield after_deed(pair, 0, LOCAL["associate"])
    if asking.state is State.Sta4:
        yield after_deed(pair, 0, LOCAL["close"])  # nobody is there
        connected = after_deed(pair._replace(open=(True, True)), 0, LOCAL["connect"])
        assert connected is not None
        yield after_deed(connected, 1, LOCAL["connect"])
    for side in (0, 1):
        if pair.cores[side].close_transport and pair.open[side]:  # the driver does what the core asks for
            closed = after_deed(pair, side, LOCAL["close"])
            assert closed is not None
            yield closed._replace(open=put(closed.open, side, False), wires=put(closed.wires, side, ()))
            continue
        for name in ("accept", "reject", "release", "respond", "abort"):
            yield after_deed(pair, side, LOCAL[name])
        if not pair.sent[side]:
            done = after_deed(pair, side, LOCAL["send"])
            yield done and done._replace(sent=put(done.sent, side, True))
        if pair.open[side]:
            if pair.wires[side]:
                first, *rest = pair.wires[side]
                heard = after_deed(pair, side, lambda core, first=first: hear(core, first))  # type: ignore[misc]
                assert heard is not None
                wires = list(heard.wires)
                wires[side] = tuple(rest)
                yield heard._replace(wires=(wires[0], wires[1]))
            yield after_deed(pair, side, LOCAL["expire"])
            broken = after_deed(pair, side, LOCAL["close"])  # with what was under way to it
            assert broken is not None
            yield broken._replace(open=put(broken.open, side, False), wires=put(broken.wires, side, ()))


def together() -> tuple[set[Cell], int]:
    """All cells of two cores that talk to each other, and how many joint states there are."""
    start = Pair((Watched(requestor=True), Watched(requestor=False)), ((), ()), (False, False), (False, False))
    seen, waiting, cells = {start.key}, deque([start]), set[Cell]()
    while waiting:
        for following in moves(waiting.popleft()):
            if following is not None:
                cells.update(cell for core in following.cores for cell in core.fired)
                if following.key not in seen:
                    seen.add(following.key)
                    waiting.append(following)
    return cells, len(seen)


def read_reachable() -> dict[Cell, str]:
    """The table of `ul_reachable.txt`."""
    text = (VECTORS / "ul_reachable.txt").read_text("ascii")
    head, *rows = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {
        (Evt[name], State[state]): cell
        for name, *cells in rows
        for state, cell in zip(head, cells, strict=True)
    }  # fmt: skip


def written(alone_cells: dict[bool, set[Cell]], honest: set[Cell]) -> dict[Cell, str]:
    """The same table, as found."""
    marks = {(True, False): "r", (False, True): "a", (True, True): "b", (False, False): "-"}
    table = {}
    for event in Evt:
        for state in State:
            cell = event, state
            mark = marks[cell in alone_cells[True], cell in alone_cells[False]]
            table[cell] = mark.upper() if cell in honest else mark
    return table


def test_every_cell_is_reachable_or_a_dash() -> None:
    found = {requestor: set(alone(requestor)) for requestor in (True, False)}
    honest, count = together()
    table = written(found, honest)
    assert count > 100
    assert honest <= found[True] | found[False]
    for (event, state), mark in table.items():
        assert (mark != "-") == (GRID[event][state] is not None), (event.name, state.name)
    assert table == read_reachable()


def show() -> None:
    """Print the table, to be put into the vectors when the machine changes on purpose."""
    found = {requestor: set(alone(requestor)) for requestor in (True, False)}
    honest, count = together()
    table = written(found, honest)
    print(f"{count} joint states")
    print(" " * 7, " ".join(f"{state.name:<5}" for state in State).rstrip())
    for event in Evt:
        print(f"{event.name:<7}", " ".join(f"{table[event, state]:<5}" for state in State).rstrip())


if __name__ == "__main__":
    show()
