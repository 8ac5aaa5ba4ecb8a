"""One association, without sockets, clocks or threads (PS3.8 sections 7 and 9).

How to drive it (a driver owns the transport and the time)::

    core = Association(requestor=True)          # acceptor: Association(requestor=False, acceptance=...)
    core.request(Associate(rq))                 # requestor only; then connect the transport
    core.connected()
    loop: while core.wants_write: send all of core.segments(), in order and to the end
          if core.close_transport: shut down, close, core.closed(); stop
          wait until readable, writable or core.deadline; on time-out core.tick(now)
          if core.wants_read: n = recv_into(core.buffer()); core.received(n), or core.closed() when n is 0
          for event in core.events(): act on it; a `Body` view is good until the next buffer()
          core.tick(now)

``deadline`` 0.0 means that a timer was started: call ``tick`` with the time, then ask again. Nothing but `_fire`
changes the state, by the cell of the grid. What a peer does wrong never raises: it becomes an A-ABORT and an `Aborted`
event; the core is then deaf, and asks for the close. What the caller does wrong raises `LocalProtocolError`.

Bounds: before an association stands the receive block is 8 KiB and grows only as bytes arrive, to the length of an
A-ASSOCIATE-RQ within ``limits.associate_length``; anything that claims more is refused at its header.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from ..errors import DicomError, LimitExceeded, LocalProtocolError, RemoteProtocolError
from ..limits import DEFAULT_LIMITS, Limits
from .actions import ACTIONS, Agree, Indicate, Send, SendLast, Signal
from .answers import Answers
from .codec import FIXED_LENGTH, INVALID, MINIMUM_ASSOCIATE_LENGTH, UNEXPECTED, UNRECOGNIZED, decode, encode, fault
from .grid import DATA_STATES, GRID, PDU_EVENTS, SEND_STATES, Evt, State
from .inbound import LARGE, SMALL, Inbound, Path, Reader
from .negotiation import Acceptance, Negotiated, Proposal, adapt, conclude, negotiate, unusable
from .outbound import Outbound, Payload, Segment, Stretch
from .pdu import Abort, AssociateAC, AssociateRJ, AssociateRQ
from .primitives import (
    Aborted,
    AbortRequest,
    Accept,
    Associate,
    AssociationRequested,
    Body,
    Event,
    Primitive,
    Reject,
    Release,
    ReleaseResponse,
)
from .quirks import Quirks, mend
from .trace import Observer, Tracer

__all__ = ["Association"]

_ENDS: Final = frozenset({"AA-1", "AA-7", "AA-8"})  # the answer is an abort, whatever the PDU contains
_ARTIM: Final = "artim"
_BARE: Final = frozenset({Evt.Evt12, Evt.Evt13})  # PDUs that say nothing beyond their type (PS3.8 9.3.6, 9.3.7)
_SHUT: Final = frozenset({State.Sta1, State.Sta4})  # no transport is open

# Looked up so often that the way by the class would count.
_Sta1, _Sta6, _Sta7, _Sta12 = State.Sta1, State.Sta6, State.Sta7, State.Sta12
_Evt6, _Evt7, _Evt17 = Evt.Evt6, Evt.Evt7, Evt.Evt17
_START_ARTIM, _STOP_ARTIM, _CLOSE = Signal.START_ARTIM, Signal.STOP_ARTIM, Signal.CLOSE

_ENDINGS: Final[Mapping[str, str]] = MappingProxyType(
    {  # what an action makes of the association, for who observes it
        "AR-3": "released",
        "AR-4": "released",
        "AE-4": "rejected",
        "AE-8": "rejected",
        "AA-1": "aborted",
        "AA-8": "aborted",
        "AA-3": "aborted by peer",
        "AA-4": "lost",
    }
)

_LOCAL_TIMERS: Final[Mapping[State, tuple[str, str]]] = MappingProxyType(
    {  # beyond PS3.8, which knows only ARTIM: how long a peer or a caller may leave an association undecided
        State.Sta3: ("association_timeout", "no decision about the association"),
        State.Sta5: ("association_timeout", "no answer to A-ASSOCIATE-RQ"),
        State.Sta7: ("network_timeout", "no answer to A-RELEASE-RQ"),
        State.Sta10: ("network_timeout", "no answer to A-RELEASE-RQ"),
        State.Sta11: ("network_timeout", "no answer to A-RELEASE-RQ"),
    }
)


_TIMERS: Final = tuple(_LOCAL_TIMERS.get(state, ("", ""))[0] for state in (None, *State))  # by the number of a state


class Association:
    """The upper layer of one side of one association; the module explains how to drive it."""

    def __init__(
        self,
        *,
        requestor: bool,
        limits: Limits = DEFAULT_LIMITS,
        acceptance: Acceptance | None = None,
        max_pdu_length: int | None = None,
        quirks: Quirks | None = None,
        answers: Answers | None = None,
    ) -> None:
        """``max_pdu_length`` bounds what is sent (default ``limits.pdu_length``); what may be received is stated in the
        request or the acceptance. ``quirks`` of the peer; None = those of the acceptance. ``answers``, shared by the
        associations of an acceptor, take the place of acceptance and limits."""
        if answers is not None:
            acceptance, limits = answers.acceptance, answers.limits
        self.requestor = requestor
        self.limits = limits
        acceptance = acceptance or Acceptance()
        self.acceptance = acceptance if quirks is None else replace(acceptance, quirks=quirks)
        self.quirks = self.acceptance.quirks
        self._answers = answers if quirks is None else None
        self.negotiated: Negotiated | None = None
        self.asked: AssociateRQ | None = None  # the A-ASSOCIATE-RQ, of either side
        self.proposal: Proposal | None = None
        self.because = ""  # there is no association for a bound of ours: for which one, in words
        self.close_transport = False
        self.received_length = 0  # bytes, in all
        self.observer: Observer | None = None
        self.tracer: Tracer | None = None
        self.reader: Reader | None = None  # takes whole PDUs of Sta6 before they become events; answers where it ends
        self._send_length = max_pdu_length or limits.pdu_length or DEFAULT_LIMITS.pdu_length
        self._state = _Sta1
        self._events: list[Any] = []
        self._contexts: Collection[int] = frozenset()
        self._inbound = Inbound(max(64, min(SMALL, limits.handshake_length, limits.held_length)))
        self._inbound.longest_pdv = limits.received_pdv_length
        self._outbound = Outbound()
        self.queue = self._outbound.queue  # for drivers that look at nothing but whether it is empty
        self._deaf = False
        self._responds = False  # a release response that waits for its turn in a collision
        self._timer = ""  # the attribute of `limits` that says how long
        self._deadline: float | None = None

    # --- what the driver may ask ------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._state

    @property
    def established(self) -> bool:
        """Data may be sent."""
        return self._state in SEND_STATES

    @property
    def wants_write(self) -> bool:
        return bool(self._outbound.queue)

    @property
    def wants_read(self) -> bool:
        """A read makes sense now: the transport is open and every event has been taken."""
        return not self._events and self._state not in _SHUT

    @property
    def fragment_length(self) -> int:
        """The longest fragment that the peer takes; 0 while that is not known."""
        return self._outbound.fragment_length

    @property
    def sent_length(self) -> int:
        """Bytes handed out, in all."""
        return self._outbound.sent_length

    @property
    def queued_length(self) -> int:
        """Bytes given to send and not yet handed out."""
        return self._outbound.length

    @property
    def waiting_length(self) -> int:
        """Those of them that lie in memory: all but payloads that only their owner can read."""
        return self._outbound.length - self._outbound.streamed_length

    @property
    def held_length(self) -> int:
        """Bytes of the receive block."""
        return self._inbound.held_length

    @property
    def receiving(self) -> bool:
        """A PDU, a command or a data set has arrived in part."""
        return self._inbound.midway

    @property
    def deadline(self) -> float | None:
        """When to call ``tick``; 0.0 = at once, to start a timer; None = no timer runs."""
        return 0.0 if self._deadline is None and self._timer else self._deadline

    # --- in ---------------------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """The transport is open: Evt2 for the requestor, Evt5 for the acceptor."""
        self._fire(Evt.Evt2 if self.requestor else Evt.Evt5)

    def closed(self) -> None:
        """The transport is closed, by whichever side; harmless when the association is over."""
        if self._state is not _Sta1:
            self._fire(_Evt17)
        self.close_transport = True
        self._deaf = True
        self._outbound.clear()

    def buffer(self) -> memoryview:
        """Room to receive into. Views of earlier `Body` events are overwritten; they must have been taken."""
        if self._events and any(type(event) is Body for event in self._events):
            raise LocalProtocolError("events with data were not taken", hint="call events() before buffer()")
        return self._inbound.lend()

    def received(self, count: int) -> None:
        """This many bytes were received into the last ``buffer()``; never raises for what they are."""
        inbound = self._inbound
        inbound.received(count)
        self.received_length += count
        if self.tracer is not None:
            self.tracer.received(inbound.last(count))
        state = self._state
        if state is _Sta6:
            if self.reader is not None and not self._events and inbound.offer(self.reader):
                return
        elif state is _Sta7 and count:
            self._deadline = None  # the peer still sends: its time to answer starts anew
        while not self._deaf:
            try:
                if self._state in DATA_STATES:
                    more = inbound.data(self._contexts, self.limits.received_pdu_length, self._events)
                else:
                    more = inbound.at_pdu()
                if not more or not self._control():
                    return
            except RemoteProtocolError as error:
                self._fire(Evt.Evt19, error)
        inbound.discard()

    def try_path(self) -> Path | None:
        """For a driver that moves the rest of a data set itself (Sta6, Sta7): where it is; None when that cannot be."""
        if self._state not in DATA_STATES or self._deaf or self._events or self.tracer is not None:
            return None
        return self._inbound.try_path(self.limits.received_pdu_length)

    def passed(self, received: int, held: int, state: tuple[int, int, int, bool], over: bool) -> None:
        """What became of the path: as `Inbound.passed`. The driver reports the end of a data set itself."""
        self.received_length += received
        self._inbound.passed(received, held, state, over)
        if self._state is State.Sta7 and received:
            self._deadline = None
        if held or 0 < state[1] < 6:  # the latter is a fault already: no fragment fits in
            self.received(0)

    def tick(self, now: float) -> None:
        """Time passes: starts a timer that waits to be started, ends one that is due."""
        if self._deadline is not None and now >= self._deadline:
            self._expired()
        if self._timer and self._deadline is None:
            self._deadline = now + float(getattr(self.limits, self._timer))

    def request(self, primitive: Primitive) -> None:
        """A primitive of the local user; `LocalProtocolError` where the state does not allow it."""
        match primitive:
            case ReleaseResponse():
                self._whole()
                if self._state is State.Sta10:
                    self._responds = True
                else:
                    self._fire(Evt.Evt14)
            case Accept():
                self._accept(primitive)
            case Reject(result, source, reason):
                self._fire(Evt.Evt8, AssociateRJ(result, source, reason))
            case Associate(request):
                self._check(Evt.Evt1)
                if not self.requestor:
                    raise LocalProtocolError("an acceptor cannot request an association", clause="PS3.8 7.1")
                self.asked = request
                self._fire(Evt.Evt1, request)
            case Release():
                self._whole()
                self._fire(Evt.Evt11)
            case AbortRequest(source, reason):
                self._fire(Evt.Evt15, Abort(source, reason))

    def send(self, context_id: int, command: bool, payload: Payload, last: bool = True) -> None:
        """Queue a command set or data set (or, ``last`` False, a part of one) on an agreed context: Evt9."""
        if self._state not in SEND_STATES:
            self._check(Evt.Evt9)
        if context_id not in self._contexts:
            raise LocalProtocolError(f"presentation context {context_id} was not agreed", clause="PS3.8 9.3.5.1")
        self._outbound.send(context_id, command, payload, last)

    def message(self, context_id: int, command: bytes, body: Payload | None = None) -> None:
        """Queue a command set and the data set that follows it, both whole, on an agreed context: Evt9."""
        if self._state not in SEND_STATES:
            self._check(Evt.Evt9)
        if context_id not in self._contexts:
            raise LocalProtocolError(f"presentation context {context_id} was not agreed", clause="PS3.8 9.3.5.1")
        self._outbound.message(context_id, command, body)

    def release_memory(self) -> None:
        """Give the receive block back while nothing flows; the next ``buffer()`` makes a small one."""
        self._inbound.shrink()

    # --- out --------------------------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """All that happened since the last call, in order."""
        events = self._events
        if events:
            self._events = []
        return events

    def stretch(self) -> Stretch | None:
        """For a driver that frames a payload itself, one that lies in a file: what is left of it, once ``segments``
        without ``slices`` has given all before it. `framed` tells what became of it."""
        return None if self.tracer is not None else self._outbound.stretch()

    def framed(self, position: int, total: int) -> None:
        """That stretch is framed up to here, in whole PDUs of so many bytes in all; the driver owns them."""
        self._outbound.framed(position, total)

    def segments(self, max_bytes: int = 1 << 20, max_count: int = 1024, *, slices: bool = True) -> list[Segment]:
        """Whole PDUs to send, in order, as header and slice by turns, a small one in one piece: at least one when
        ``wants_write``, at most ``max_count`` segments, and no further one once ``max_bytes`` are reached. The driver
        owns what it got.

        Without ``slices``, only what comes before a `stretch`: perhaps nothing.
        """
        segments = self._outbound.segments(max_bytes, max_count, slices)
        if self.tracer is not None:
            self.tracer.sent(segments)
        return segments

    # --- motion -----------------------------------------------------------------------------------------------------

    def _check(self, event: Evt) -> str:
        action = GRID[event][self._state]
        if action is None:
            raise LocalProtocolError(f"{event.name} cannot happen in {self._state.name}", clause="PS3.8 table 9-10")
        return action

    def _fire(self, event: Evt, argument: Any = None) -> None:
        """The one place where the state changes: look up the cell, run its action, perform the effects."""
        action = GRID[event][self._state] or self._check(event)
        effect: Any
        effects, state = ACTIONS[action](self, argument)
        if state is not self._state:
            self._state = state
            self._timer = _TIMERS[state]
            self._deadline = None
        for effect in effects:
            kind = type(effect)
            if kind is Signal:
                if effect is _START_ARTIM:
                    self._timer, self._deadline = _ARTIM, None
                elif effect is _STOP_ARTIM:
                    if self._timer == _ARTIM:
                        self._timer, self._deadline = "", None
                elif effect is _CLOSE:
                    self._outbound.clear()
                    self._end()
            elif kind is Indicate:
                self._events.append(effect.event)
            elif kind is Send:
                self._outbound.put(effect.pdu)
            elif kind is Agree:
                self._agree(effect.negotiated)
            elif kind is SendLast:
                self._outbound.clear()
                self._outbound.put(effect.pdu)
                self._end()
        if self.observer is not None:
            how = _ENDINGS.get(action) or ("rejected" if type(argument) is AssociateRJ else None)  # AE-6
            if how is not None:
                self.observer.over(how, argument)
        if self._responds and state is _Sta12:
            self._responds = False
            self._fire(Evt.Evt14)

    def _end(self) -> None:
        self._deaf = True
        self.close_transport = True
        self._inbound.allow(0)

    def _agree(self, negotiated: Negotiated) -> None:
        self.negotiated = negotiated
        self._contexts = negotiated.contexts.keys()
        length = min(negotiated.send_length or self._send_length, self._send_length)
        self._outbound.fragment_length = max(length - 6, 2) & ~1  # fragments are even (PS3.8 E.2)
        self._inbound.allow(LARGE)
        if self.observer is not None:
            self.observer.agreed(negotiated)

    def _accept(self, accept: Accept) -> None:
        proposal = self.proposal
        if proposal is not None and proposal.pdu and accept.answer is None and accept.contexts is None:
            self._fire(_Evt7, (proposal.pdu, proposal.negotiated))  # as proposed; no identity is kept with a PDU
            return
        self._check(_Evt7)
        assert self.asked is not None
        assert proposal is not None
        answer, negotiated = adapt(
            self.asked,
            proposal,
            answer=accept.answer,
            identity_response=accept.identity_response,
            contexts=accept.contexts,
        )
        self._fire(_Evt7, (encode(answer), negotiated))

    def _whole(self) -> None:
        if self._outbound.is_open:
            raise LocalProtocolError("a command or data set is not complete", clause="PS3.8 E.2")

    def _expired(self) -> None:
        name, state = self._timer, self._state
        self._timer, self._deadline = "", None
        if name == _ARTIM:
            if state is State.Sta2:
                self.because = f"no request came within Limits.artim ({self.limits.artim:g} s)"
            self._fire(Evt.Evt18)
            return
        why = f"{_LOCAL_TIMERS[state][1]} within {getattr(self.limits, name):g} s"
        if state is State.Sta3:
            self._fire(Evt.Evt8, AssociateRJ(2, 3, 1))
            self._events.append(Aborted(2, 0, by_peer=False, why=why))
        else:
            self._fire(Evt.Evt15, Abort(0, 0))
            self._events.append(Aborted(0, 0, by_peer=False, why=why))

    # --- PDUs other than P-DATA-TF ----------------------------------------------------------------------------------

    def _control(self) -> bool:
        """Deal with the PDU that begins here; False when more bytes are due, `RemoteProtocolError` when invalid."""
        inbound = self._inbound
        kind, length = inbound.header()
        event = PDU_EVENTS.get(kind)
        if event is None:
            raise fault(f"PDU type {kind:02X}H", UNRECOGNIZED, "PS3.8 9.3.1", inbound.offset + inbound.start)
        if length is None:
            return False
        action = GRID[event][self._state] or self._check(event)
        if action in _ENDS:
            what = f"PDU type {kind:02X}H in {self._state.name}"
            self._fire(event, fault(what, UNEXPECTED, "PS3.8 table 9-10", inbound.offset + inbound.start))
            return True
        if action == "AA-6":
            inbound.pass_over(length)
            self._fire(event)
            return True
        if kind > 2:
            fits = length == FIXED_LENGTH
        else:
            fits = MINIMUM_ASSOCIATE_LENGTH <= length <= self.limits.associate_length
        if not (fits or self._plausible(kind, length)):
            return True
        body = inbound.gather(length)
        if body is None:
            return False
        if event is _Evt6 and self._answers is not None and (known := self._answers.find(body)) is not None:
            self.asked, self.proposal = known.request, known.proposal
            self._fire(event, known)
            return True
        if event in _BARE:
            self._fire(event)
            return True
        try:
            pdu = mend(decode(kind, body, self.limits), self.quirks)
        except LimitExceeded as error:
            self._refuse(event, error)
            return True
        argument: object = pdu
        if isinstance(pdu, AssociateRQ):
            self.asked = pdu
            argument = self._judge(pdu, body)
        elif isinstance(pdu, AssociateAC):
            assert self.asked is not None
            argument = conclude(self.asked, pdu, self.quirks)
        self._fire(event, argument)
        return True

    def _plausible(self, kind: int, length: int) -> bool:
        """Whether the claimed length may be waited for; False when the PDU was refused instead."""
        offset = self._inbound.offset + self._inbound.start + 2
        associate = kind in (1, 2)
        shortest, longest = (
            (MINIMUM_ASSOCIATE_LENGTH, self.limits.associate_length) if associate else (FIXED_LENGTH, FIXED_LENGTH)
        )
        if length < shortest or (length > longest and not associate):
            raise fault(f"PDU type {kind:02X}H of length {length}", INVALID, "PS3.8 9.3.1", offset)
        if length > longest:
            self._refuse(
                PDU_EVENTS[kind],
                LimitExceeded(
                    f"PDU type {kind:02X}H of length {length}",
                    offset=offset,
                    clause="PS3.8 9.3.1",
                    hint="see Limits.associate_length",
                ),
            )
            return False
        return True

    def _judge(self, request: AssociateRQ, body: bytes) -> AssociateRJ | AssociationRequested:
        """AE-6: what the provider cannot take is rejected by it; any other request goes to the user with a proposal."""
        proposal = negotiate(request, self.acceptance)
        if proposal.reject is not None:
            self.because = unusable(request)
            if proposal.reject.source != 1:
                return proposal.reject
        if self._answers is not None:
            requested = self._answers.keep(body, request, proposal)
        else:
            requested = AssociationRequested(request, proposal)
        self.proposal = requested.proposal
        return requested

    def _refuse(self, event: Evt, error: DicomError) -> None:
        """More than the limits allow: a request is rejected (AE-6), an answer is an invalid PDU."""
        if event is Evt.Evt6:
            self.because = str(error)
            self._fire(event, AssociateRJ(1, 3, 2))
            self._events.append(Aborted(2, 0, by_peer=False, why=str(error)))
            self._end()  # its body is not read, so nothing after it can be
        else:
            invalid = fault(error.message, INVALID, error.clause or "", error.offset)
            invalid.hint = error.hint
            self._fire(Evt.Evt19, invalid)
