"""Two cores joined by a wire that delays, splits and cuts anywhere, walked at random, against the grid as a model.

The model is a second, naive reading of table 9-10: it keeps the state of each side by the cells alone, from the events
that the rules cause and from the PDUs that arrive. Invariants: core and model agree on the state; what was sent as one
command or data set comes out as one, in order and unchanged; what is not allowed raises and changes nothing; when the
transport is closed, both sides are in Sta1.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dicomcore.errors import LocalProtocolError
from dicomcore.ul import (
    Abort,
    Aborted,
    AbortRequest,
    Accept,
    Accepted,
    Associate,
    Association,
    AssociationRequested,
    Body,
    ConnectionLost,
    Event,
    Evt,
    Reject,
    Rejected,
    Release,
    Released,
    ReleaseRequested,
    ReleaseResponse,
    State,
)
from dicomcore.ul.grid import GRID
from tests.ul.wire import ACCEPTANCE, REQUEST, feed, join, pdus

NEXT = {
    "AE-1": State.Sta4,
    "AE-2": State.Sta5,
    "AE-3": State.Sta6,
    "AE-4": State.Sta1,
    "AE-5": State.Sta2,
    "AE-6": State.Sta3,
    "AE-7": State.Sta6,
    "AE-8": State.Sta13,
    "AR-1": State.Sta7,
    "AR-2": State.Sta8,
    "AR-3": State.Sta1,
    "AR-4": State.Sta13,
    "AR-5": State.Sta1,
    "AR-9": State.Sta11,
    "AR-10": State.Sta12,
    "AA-1": State.Sta13,
    "AA-2": State.Sta1,
    "AA-3": State.Sta1,
    "AA-4": State.Sta1,
    "AA-5": State.Sta1,
    "AA-6": State.Sta13,
    "AA-7": State.Sta13,
    "AA-8": State.Sta13,
}
"""Next state of each action (tables 9-6 to 9-9); those of P-DATA stay, AR-8 depends on the role."""

ARRIVALS = {1: Evt.Evt6, 2: Evt.Evt3, 3: Evt.Evt4, 4: Evt.Evt10, 5: Evt.Evt12, 6: Evt.Evt13, 7: Evt.Evt16}


class Side:
    """One core, the bytes on their way to it, its model, and what it should hear."""

    def __init__(self, *, requestor: bool) -> None:
        self.core = Association(requestor=requestor, acceptance=None if requestor else ACCEPTANCE)
        self.requestor = requestor
        self.model = State.Sta1
        self.inbox = b""  # on the wire, not delivered
        self.arrived = b""  # delivered, not yet a whole PDU for the model
        self.deaf = False
        self.expected: list[tuple[int, bool, bytes]] = []  # sent by the other side, in order
        self.heard: list[tuple[int, bool, bytes]] = []
        self.partial = b""
        self.told: list[Event] = []
        self.waiting_response = False
        self.open = False  # its end of the transport

    def move(self, event: Evt) -> bool:
        """Walk the model; False when the cell is a dash."""
        action = GRID[event][self.model]
        if action is None:
            return False
        if action == "AR-8":
            self.model = State.Sta9 if self.requestor else State.Sta10
        else:
            self.model = NEXT.get(action, self.model)
        self.deaf = self.deaf or action in ("AA-1", "AA-2", "AA-3", "AA-7", "AA-8", "AE-4", "AR-3")
        if self.model is State.Sta12 and self.waiting_response:
            self.waiting_response = False
            self.move(Evt.Evt14)
        return True

    def hear(self, data: bytes, chunk: int) -> None:
        self.arrived += data
        while not self.deaf and len(self.arrived) >= 6:
            length = 6 + int.from_bytes(self.arrived[2:6], "big")
            if len(self.arrived) < length:
                break
            ((kind, _),) = pdus(self.arrived[:length])
            self.arrived = self.arrived[length:]
            self.move(ARRIVALS[kind])
        for event in feed(self.core, data, chunk):
            if isinstance(event, Body):
                self.partial += bytes(event.view)
                if event.last:
                    self.heard.append((event.context_id, event.command, self.partial))
                    self.partial = b""
            else:
                self.told.append(event)


class UpperLayer(RuleBasedStateMachine):
    """Random walk; small PDUs, so that bodies are fragmented."""

    def __init__(self) -> None:
        super().__init__()
        self.asking = Side(requestor=True)
        self.answering = Side(requestor=False)
        self.was_open = False
        self.agreed = {1, 5}
        self.now = 0.0

    def side(self, which: bool) -> tuple[Side, Side]:
        return (self.asking, self.answering) if which else (self.answering, self.asking)

    def act(self, side: Side, event: Evt, deed: Callable[[], None]) -> bool:
        """A local event: allowed by the grid, or refused without a trace."""
        before = side.core.state
        if side.move(event):
            deed()
            return True
        with pytest.raises(LocalProtocolError):
            deed()
        assert side.core.state is before
        return False

    @initialize(established=st.sampled_from([True, True, True, False]))
    def begin(self, established: bool) -> None:
        """Most walks begin where most of the states are near."""
        if established:
            self.associate()
            self.connect()
            self.transmit(True, 1 << 20)
            self.deliver(False, 100, 1 << 20)
            self.decide(Accept())
            self.transmit(False, 1 << 20)
            self.deliver(True, 100, 1 << 20)
            assert self.asking.model is self.answering.model is State.Sta6

    @precondition(lambda self: self.asking.model is State.Sta1 and not self.was_open)
    @rule()
    def associate(self) -> None:
        self.act(self.asking, Evt.Evt1, lambda: self.asking.core.request(Associate(REQUEST)))

    @precondition(lambda self: self.asking.model is State.Sta4 and not self.was_open)
    @rule()
    def connect(self) -> None:
        self.asking.open = self.answering.open = self.was_open = True
        self.act(self.asking, Evt.Evt2, self.asking.core.connected)
        self.act(self.answering, Evt.Evt5, self.answering.core.connected)

    @precondition(lambda self: self.answering.model is State.Sta3)
    @rule(outcome=st.sampled_from([Accept(), Accept(contexts=[5]), Accept(contexts=[]), Reject(), Reject(2, 3, 1)]))
    def decide(self, outcome: Accept | Reject) -> None:
        if isinstance(outcome, Accept):
            self.agreed = {1, 5} if outcome.contexts is None else {1, 5}.intersection(outcome.contexts)
        event = Evt.Evt7 if isinstance(outcome, Accept) else Evt.Evt8
        self.act(self.answering, event, lambda: self.answering.core.request(outcome))

    @precondition(lambda self: self.any_in(State.Sta6, State.Sta8))
    @rule(which=st.booleans(), command=st.booleans(), context=st.sampled_from([1, 5]), length=st.integers(0, 9000))
    def send(self, which: bool, command: bool, context: int, length: int) -> None:
        side, other = self.side(which)
        body = bytes(index % 253 for index in range(length))
        if context not in self.agreed:
            with pytest.raises(LocalProtocolError):
                side.core.send(context, command, body)
            return
        if self.act(side, Evt.Evt9, lambda: side.core.send(context, command, body)):
            other.expected.append((context, command, body))

    @precondition(lambda self: self.any_in(State.Sta6))
    @rule(which=st.booleans())
    def release(self, which: bool) -> None:
        side, other = self.side(which)
        if side.model is State.Sta7:
            side = other  # a collision, if it has not heard yet
        self.act(side, Evt.Evt11, lambda: side.core.request(Release()))

    @precondition(lambda self: self.any_in(State.Sta8, State.Sta9, State.Sta10, State.Sta12))
    @rule(which=st.booleans())
    def respond(self, which: bool) -> None:
        """The response of the side that owes one; tried where none is owed, too."""
        side, other = self.side(which)
        if side.model is State.Sta6:
            side = other
        if side.model is State.Sta10:  # held back until its turn
            side.waiting_response = True
            side.core.request(ReleaseResponse())
            return
        self.act(side, Evt.Evt14, lambda: side.core.request(ReleaseResponse()))

    @rule(which=st.booleans(), dice=st.integers(0, 9))
    def abort(self, which: bool, dice: int) -> None:
        side, _ = self.side(which)
        if dice == 9 and side.model is not State.Sta4:
            self.act(side, Evt.Evt15, lambda: side.core.request(AbortRequest()))

    def any_in(self, *states: State) -> bool:
        return self.asking.model in states or self.answering.model in states

    @precondition(lambda self: any(side.open and side.core.wants_write for side in self.sides()))
    @rule(which=st.booleans(), max_bytes=st.sampled_from([1, 5000, 1 << 20]))
    def transmit(self, which: bool, max_bytes: int) -> None:
        side, other = self.side(which)
        if not (side.open and side.core.wants_write):
            side, other = other, side
        data = join(side.core.segments(max_bytes))
        pdus(data)  # whole PDUs only
        if other.open:
            other.inbox += data

    @precondition(lambda self: any(side.open and side.inbox for side in self.sides()))
    @rule(which=st.booleans(), share=st.sampled_from([100, 1, 30, 100]), chunk=st.sampled_from([1, 5, 1000, 1 << 20]))
    def deliver(self, which: bool, share: int, chunk: int) -> None:
        side, other = self.side(which)
        if not (side.open and side.inbox):
            side = other
        count = -(-len(side.inbox) * share // 100)
        data, side.inbox = side.inbox[:count], side.inbox[count:]
        side.hear(data, max(chunk, len(data) // 200))

    @precondition(lambda self: any(side.open for side in self.sides()))
    @rule(dice=st.integers(0, 14), which=st.booleans())
    def cut(self, dice: int, which: bool) -> None:
        """The wire breaks, and one side sees it first: what was under way to it is lost, at any byte."""
        if dice == 14:
            self.close(self.side(which)[0])

    @precondition(lambda self: any(side.open and side.core.close_transport for side in self.sides()))
    @rule()
    def close_as_asked(self) -> None:
        for side in self.sides():
            if side.open and side.core.close_transport:
                self.close(side)

    @precondition(lambda self: self.asking.open != self.answering.open)
    @rule()
    def notice_the_close(self) -> None:
        """The other side has closed; this one has read what came before, or not."""
        for side in self.sides():
            if side.open:
                self.close(side)

    def sides(self) -> tuple[Side, Side]:
        return self.asking, self.answering

    def close(self, side: Side) -> None:
        side.open = False
        side.inbox = b""
        if side.model is not State.Sta1:
            side.move(Evt.Evt17)
        side.core.closed()
        side.told += side.core.events()

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.5, 0.5, 1.0, 20.0, 40.0]))
    def wait(self, seconds: float) -> None:
        for side in (self.asking, self.answering):
            side.core.tick(self.now)
        self.now += seconds
        for side in (self.asking, self.answering):
            core = side.core
            due = core.deadline is not None and core.deadline <= self.now
            state = core.state
            core.tick(self.now)
            side.told += core.events()
            if due:  # the expiry of each state: ARTIM by the grid, the local times by an abort or a reject
                side.move(
                    Evt.Evt18 if state in (State.Sta2, State.Sta13) else Evt.Evt8 if state is State.Sta3 else Evt.Evt15
                )

    @invariant()
    def core_and_model_agree(self) -> None:
        for side in (self.asking, self.answering):
            assert side.core.state is side.model
            assert not side.core.events()

    @invariant()
    def messages_arrive_whole_and_in_order(self) -> None:
        for side in (self.asking, self.answering):
            assert side.heard == side.expected[: len(side.heard)]

    @invariant()
    def an_end_is_told_once(self) -> None:
        """Whoever had an association, or tried to, hears of its end at most once."""
        for side in (self.asking, self.answering):
            ends = [event for event in side.told if isinstance(event, Aborted | ConnectionLost | Rejected)]
            assert len(ends) <= 1
            assert sum(isinstance(event, Accepted | AssociationRequested) for event in side.told) <= 1
            assert sum(isinstance(event, ReleaseRequested) for event in side.told) <= 1
            assert sum(isinstance(event, Released) for event in side.told) <= 1
            for event in side.told:
                if isinstance(event, Aborted) and event.by_peer:
                    assert (event.source, event.reason) == (Abort().source, Abort().reason)

    @invariant()
    def two_well_behaved_cores_never_fault(self) -> None:
        for side in (self.asking, self.answering):
            faults = [event for event in side.told if isinstance(event, Aborted) and not event.by_peer]
            assert all("within" in event.why for event in faults)  # local times only, never what the other sent

    def teardown(self) -> None:
        for side in self.sides():
            self.close(side)
            assert side.core.state is State.Sta1
            assert side.core.close_transport
            assert not side.core.wants_write


TestUpperLayer = UpperLayer.TestCase
EXAMPLES = 50 if "ASAN_OPTIONS" in os.environ else 200  # it is Python alone
TestUpperLayer.settings = settings(
    settings(), max_examples=max(EXAMPLES, settings().max_examples), stateful_step_count=60
)
