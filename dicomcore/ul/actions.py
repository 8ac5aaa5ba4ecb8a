"""What the cells of the grid do (PS3.8 tables 9-6 to 9-9): each action answers (effects, next state) and changes
nothing.

The association performs the effects. P-DATA is indicated fragment by fragment while it arrives, and framed while it
leaves; DT-1, DT-2, AR-6 and AR-7 therefore have the one effect of letting that happen. An A-ABORT that is sent makes
the association deaf and asks for the close of the transport: PS3.8 only demands to wait for the peer's close no longer
than ARTIM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from ..errors import DicomError
from .codec import encode
from .grid import State
from .negotiation import Negotiated
from .pdu import Abort, AssociateRJ, AssociateRQ, ReleaseRP, ReleaseRQ
from .primitives import (
    Aborted,
    Accepted,
    AssociationRequested,
    ConnectionLost,
    Event,
    Rejected,
    Released,
    ReleaseRequested,
)

__all__ = ["ACTIONS", "Agree", "Core", "Effect", "Indicate", "Send", "SendLast", "Signal"]

_new: Final[Any] = tuple.__new__  # a NamedTuple without a call of its own in Python


class Signal(Enum):
    """Effects without an argument."""

    START_ARTIM = auto()
    STOP_ARTIM = auto()
    CLOSE = auto()  # drop what waits and close the transport
    DATA = auto()  # fragments pass


class Send(NamedTuple):
    """Queue a PDU behind what waits."""

    pdu: bytes


class SendLast(NamedTuple):
    """Drop what waits, send this PDU, hear nothing more, close the transport."""

    pdu: bytes


class Indicate(NamedTuple):
    """Tell the user."""

    event: Event


class Agree(NamedTuple):
    """The association stands on these terms."""

    negotiated: Negotiated


Effect: TypeAlias = Signal | Send | SendLast | Indicate | Agree


class Core(Protocol):
    """What an action may read of the association."""

    @property
    def requestor(self) -> bool: ...

    @property
    def state(self) -> State: ...

    @property
    def asked(self) -> AssociateRQ | None: ...


Action: TypeAlias = Callable[[Core, Any], tuple[tuple[Effect, ...], State]]


def _always(next_state: State, *effects: Effect) -> Action:
    def action(core: Core, argument: object) -> tuple[tuple[Effect, ...], State]:
        return effects, next_state

    return action


def _stay(core: Core, argument: object) -> tuple[tuple[Effect, ...], State]:
    return (Signal.DATA,), core.state


def _ae_1(core: Core, request: AssociateRQ) -> tuple[tuple[Effect, ...], State]:
    return (), State.Sta4  # the driver connects


def _ae_2(core: Core, argument: object) -> tuple[tuple[Effect, ...], State]:
    assert core.asked is not None
    return (Send(encode(core.asked)),), State.Sta5


def _ae_3(core: Core, negotiated: Negotiated) -> tuple[tuple[Effect, ...], State]:
    return (Agree(negotiated), Indicate(Accepted(negotiated))), State.Sta6


def _ae_4(core: Core, answer: AssociateRJ) -> tuple[tuple[Effect, ...], State]:
    return (Indicate(Rejected(answer)), Signal.CLOSE), State.Sta1


def _ae_6(core: Core, argument: AssociationRequested | AssociateRJ) -> tuple[tuple[Effect, ...], State]:
    if isinstance(argument, AssociateRJ):  # not acceptable to the service provider
        return (Signal.STOP_ARTIM, *_rejection(argument)), State.Sta13
    return (Signal.STOP_ARTIM, _new(Indicate, (argument,))), State.Sta3


def _rejection(answer: AssociateRJ) -> tuple[Effect, ...]:
    return Send(encode(answer)), Signal.START_ARTIM


def _ae_7(core: Core, argument: tuple[bytes, Negotiated]) -> tuple[tuple[Effect, ...], State]:
    pdu, negotiated = argument
    return (_new(Send, (pdu,)), _new(Agree, (negotiated,))), State.Sta6


def _ae_8(core: Core, answer: AssociateRJ) -> tuple[tuple[Effect, ...], State]:
    return _rejection(answer), State.Sta13


def _ar_8(core: Core, argument: object) -> tuple[tuple[Effect, ...], State]:
    return (Indicate(ReleaseRequested()),), State.Sta9 if core.requestor else State.Sta10


def _aa_1(core: Core, cause: Abort | DicomError) -> tuple[tuple[Effect, ...], State]:
    if isinstance(cause, Abort):  # by the local user, who knows
        return (SendLast(encode(cause)), Signal.START_ARTIM), State.Sta13
    event = Aborted(0, 0, by_peer=False, why=str(cause))
    return (SendLast(encode(Abort(0, 0))), Indicate(event), Signal.START_ARTIM), State.Sta13


def _provider_abort(cause: DicomError) -> Abort:
    answer = cause.answer
    return Abort(*answer) if isinstance(answer, tuple) and len(answer) == 2 else Abort(2, 0)


def _aa_3(core: Core, abort: Abort) -> tuple[tuple[Effect, ...], State]:
    event = Aborted(abort.source, abort.reason, by_peer=True, why=str(abort))
    return (Indicate(event), Signal.CLOSE), State.Sta1


def _aa_7(core: Core, cause: DicomError) -> tuple[tuple[Effect, ...], State]:
    return (SendLast(encode(_provider_abort(cause))),), State.Sta13


def _aa_8(core: Core, cause: DicomError) -> tuple[tuple[Effect, ...], State]:
    abort = _provider_abort(cause)
    event = Aborted(abort.source, abort.reason, by_peer=False, why=str(cause))
    return (SendLast(encode(abort)), Indicate(event), Signal.START_ARTIM), State.Sta13


_RELEASE_RQ: Final = Send(encode(ReleaseRQ()))
_RELEASE_RP: Final = Send(encode(ReleaseRP()))

ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "AE-1": _ae_1,
        "AE-2": _ae_2,
        "AE-3": _ae_3,
        "AE-4": _ae_4,
        "AE-5": _always(State.Sta2, Signal.START_ARTIM),
        "AE-6": _ae_6,
        "AE-7": _ae_7,
        "AE-8": _ae_8,
        "DT-1": _stay,
        "DT-2": _stay,
        "AR-1": _always(State.Sta7, _RELEASE_RQ),
        "AR-2": _always(State.Sta8, Indicate(ReleaseRequested())),
        "AR-3": _always(State.Sta1, Indicate(Released()), Signal.CLOSE),
        "AR-4": _always(State.Sta13, _RELEASE_RP, Signal.START_ARTIM),
        "AR-5": _always(State.Sta1, Signal.STOP_ARTIM),
        "AR-6": _stay,
        "AR-7": _stay,
        "AR-8": _ar_8,
        "AR-9": _always(State.Sta11, _RELEASE_RP),
        "AR-10": _always(State.Sta12, Indicate(Released())),
        "AA-1": _aa_1,
        "AA-2": _always(State.Sta1, Signal.STOP_ARTIM, Signal.CLOSE),
        "AA-3": _aa_3,
        "AA-4": _always(State.Sta1, Indicate(ConnectionLost())),
        "AA-5": _always(State.Sta1, Signal.STOP_ARTIM),
        "AA-6": _always(State.Sta13),
        "AA-7": _aa_7,
        "AA-8": _aa_8,
    }
)
