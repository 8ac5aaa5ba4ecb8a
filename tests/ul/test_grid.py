"""The grid against PS3.8 table 9-10: total, equal to the transcribed facts, and lived through cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dicomcore.errors import LocalProtocolError
from dicomcore.ul import (
    Abort,
    AbortRequest,
    Accept,
    Associate,
    Association,
    Evt,
    Reject,
    Release,
    ReleaseResponse,
    State,
)
from dicomcore.ul.actions import ACTIONS
from dicomcore.ul.grid import DATA_STATES, GRID, PDU_EVENTS, SEND_STATES
from tests.ul.wire import PDU_BYTES, REQUEST, VECTORS, feed, flush, in_state, pdus

PDU_NAMES = {
    1: "A-ASSOCIATE-RQ",
    2: "A-ASSOCIATE-AC",
    3: "A-ASSOCIATE-RJ",
    4: "P-DATA-TF",
    5: "A-RELEASE-RQ",
    6: "A-RELEASE-RP",
    7: "A-ABORT",
}


@dataclass(frozen=True)
class Cell:
    action: str
    next_states: tuple[State, ...]


@dataclass(frozen=True)
class Effects:
    sent: str
    indicated: str
    artim: str
    transport: str


def read_facts() -> tuple[dict[tuple[Evt, State], Cell], dict[str, Effects]]:
    cells: dict[tuple[Evt, State], Cell] = {}
    actions: dict[str, Effects] = {}
    for line in (VECTORS / "ul_state_table.txt").read_text("ascii").splitlines():
        if line.startswith("cell "):
            _, event, state, action, following = line.split()
            cells[Evt[event], State[state]] = Cell(action, tuple(State[name] for name in following.split(",")))
        elif line.startswith("action "):
            name, *fields = (field.strip() for field in line.removeprefix("action ").split("|"))
            actions[name] = Effects(*fields)
    return cells, actions


CELLS, ACTION_FACTS = read_facts()
EVERY_PAIR = [(event, state) for event in Evt for state in State]


def test_the_grid_is_total() -> None:
    assert len(EVERY_PAIR) == 19 * 13 == 247
    assert list(GRID) == list(Evt)
    for row in GRID.values():
        assert list(row) == list(State)
        assert all(cell is None or cell in ACTIONS for cell in row.values())


def test_the_grid_equals_table_9_10() -> None:
    assert len(CELLS) == 123
    for event, state in EVERY_PAIR:
        fact = CELLS.get((event, state))
        assert GRID[event][state] == (fact.action if fact else None), (event.name, state.name)


def test_every_action_is_used_and_known() -> None:
    assert set(ACTIONS) == set(ACTION_FACTS) == {cell.action for cell in CELLS.values()}
    assert len(ACTIONS) == 28


def test_what_is_derived_from_the_grid() -> None:
    assert {State.Sta6, State.Sta7} == DATA_STATES
    assert {State.Sta6, State.Sta8} == SEND_STATES
    assert sorted(PDU_EVENTS) == [1, 2, 3, 4, 5, 6, 7]


def happen(core: Association, event: Evt) -> list[str]:
    """Make an event happen as a driver would; the names of what the core tells."""
    told: list[object] = []
    match event.name:
        case "Evt1":
            core.request(Associate(REQUEST))
        case "Evt2" | "Evt5":
            core.requestor = event is Evt.Evt2
            core.connected()
        case "Evt7":
            core.request(Accept())
        case "Evt8":
            core.request(Reject(1, 1, 1))
        case "Evt9":
            core.send(1, False, b"data")
        case "Evt11":
            core.request(Release())
        case "Evt14":
            core.request(ReleaseResponse())
        case "Evt15":
            core.request(AbortRequest())
        case "Evt17":
            core.closed()
        case "Evt18":
            core._fire(Evt.Evt18)  # where no ARTIM runs, no step from outside can make it expire
        case name:
            told += feed(core, PDU_BYTES[name])
    told += core.events()
    return [type(item).__name__ for item in told]


@pytest.mark.parametrize(("event", "state"), EVERY_PAIR, ids=lambda value: value.name)
def test_every_cell(event: Evt, state: State) -> None:
    core = in_state(state)
    core.tick(1000.0)
    artim_ran = core.deadline == 1030.0 and state in (State.Sta2, State.Sta13)
    assert artim_ran == (state in (State.Sta2, State.Sta13))
    fact = CELLS.get((event, state))
    if fact is None:
        if (event, state) == (Evt.Evt17, State.Sta1):
            happen(core, event)  # closing what is over harms nobody
        elif (event, state) == (Evt.Evt14, State.Sta10):
            assert happen(core, event) == []  # held back until Sta12
            assert flush(core) == b""
        else:
            with pytest.raises(LocalProtocolError, match="cannot happen in"):
                happen(core, event)
        assert core.state is state
        return
    told = happen(core, event)
    effects = ACTION_FACTS[fact.action]
    assert core.state in fact.next_states
    if len(fact.next_states) == 2 and fact.action == "AR-8":
        assert core.state is (State.Sta9 if core.requestor else State.Sta10)
    sent = flush(core)
    shown = " ".join(PDU_NAMES[kind] for kind, _ in pdus(sent)) or "-"
    if shown == "A-ABORT":
        shown += f" {sent[8]}"
    assert shown == effects.sent
    indicated = " ".join(told) or "-"
    if fact.action == "AA-1" and event is not Evt.Evt15:
        assert indicated == "Aborted"  # beyond the standard: before an association the driver is told, too
    else:
        assert indicated == effects.indicated
    if effects.artim == "start":
        assert core.deadline == 0.0
        core.tick(2000.0)
        assert core.deadline == 2030.0
    elif effects.artim == "stop":
        assert core.deadline is None or core.state is State.Sta3  # there the caller's own time runs
    if effects.transport == "close" or core.state is State.Sta1 or fact.action in ("AA-1", "AA-7", "AA-8"):
        assert core.close_transport
    else:
        assert not core.close_transport


@pytest.mark.parametrize("state", [State.Sta2, State.Sta13], ids=lambda state: state.name)
def test_artim_expires(state: State) -> None:
    core = in_state(state)
    core.tick(5.0)
    core.tick(34.9)
    assert core.state is state
    core.tick(35.0)
    assert core.state is State.Sta1
    assert core.close_transport
    assert core.deadline is None
    assert flush(core) == b""


def test_an_abort_of_the_provider_carries_its_reason() -> None:
    core = in_state(State.Sta6)
    core.request(AbortRequest(2, 2))
    assert pdus(flush(core)) == [(7, b"\0\0\2\2")]
    assert core.events() == []
    assert str(Abort(2, 2)) == "aborted by the provider: unexpected PDU"
