"""The exchange of messages on one association (PS3.7 7, 8; PS3.8 Annex E): who asked what, and what is still open.

It reads command sets, never data sets: a body goes out as the payloads handed in and comes in as the views that
arrived. Promised: a response is matched with its request by message id, context and command field; Pending keeps an
operation open; ids in flight are not given twice; never more requests are open than the window allows (PS3.7 D.3.3.3);
the fragments of a command are gathered up to `Limits.command_length`, those of a data set are not gathered at all.
A message that has arrived whole is taken where it lies (`take`), any other piece by piece (`receive`), alike.
Messages are not interleaved, neither sent nor accepted. RemoteProtocolError means that the association is to be aborted
with its ``answer``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, Final, NamedTuple, Protocol

from dicomcore.errors import LocalProtocolError, RemoteProtocolError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.ul.negotiation import Negotiated
from dicomcore.ul.primitives import Body
from dicomcore.vocab.status import StatusCategory, category

from .command import (
    ABORT,
    DATA_SET_PRESENT,
    NO_DATA_SET,
    Command,
    CommandField,
    command,
    decode_command,
    encode_answer,
    encode_command,
    find_whole,
)

__all__ = ["CancelReceived", "CommandObserver", "Exchange", "Fragment", "RequestReceived", "ResponseReceived"]

_LAST_ID: Final = 0xFFFF
_RESPONSE_BIT: Final = 0x8000
_new: Final[Any] = tuple.__new__  # a NamedTuple without a call of its own in Python
_SIZED: Final = (bytes, memoryview, Sized)  # the first two need no look at their methods
_CANCEL: Final = CommandField.C_CANCEL_RQ
_MANY_ANSWERS: Final = frozenset({CommandField.C_FIND_RSP, CommandField.C_GET_RSP, CommandField.C_MOVE_RSP})


class Carrier(Protocol):
    """What the exchange needs of an association (`ul.association.Association`)."""

    @property
    def negotiated(self) -> Negotiated | None: ...
    @property
    def requestor(self) -> bool: ...

    def send(self, context_id: int, command: bool, payload: Any, last: bool = True) -> None: ...
    def message(self, context_id: int, command: bytes, body: Any = None) -> None: ...


class CommandObserver(Protocol):
    """Who wants to know every message; told in the middle of things, so it must not act on them."""

    def asked(self, context_id: int, message_id: int, command: Command, /) -> None:
        """We sent a request."""

    def answered(self, context_id: int, message_id: int, command: Command, final: bool, /) -> None:
        """Its response has arrived."""

    def requested(self, context_id: int, message_id: int, command: Command, /) -> None:
        """A request has arrived."""

    def responded(self, context_id: int, message_id: int, field: int, status: int, final: bool, /) -> None:
        """We sent its response, whose command field this is."""

    def cancelled(self, context_id: int, message_id: int, field: int, by_peer: bool, /) -> None:
        """A C-CANCEL came or went. ``field``: that of the request that it is about; 0 when none is open."""


class RequestReceived(NamedTuple):
    """The peer asks; if ``has_body``, `Fragment`s follow."""

    context_id: int
    command: Command
    has_body: bool


class ResponseReceived(NamedTuple):
    """The peer answers request ``message_id``; ``final`` when no more responses to it will come."""

    context_id: int
    command: Command
    has_body: bool
    message_id: int
    final: bool


class CancelReceived(NamedTuple):
    """The peer wants the end of a request that is being performed."""

    context_id: int
    message_id: int


class Fragment(NamedTuple):
    """A piece of the body of the last message, as it arrived; the view is valid as long as the event it came in."""

    context_id: int
    view: memoryview
    last: bool


Event = RequestReceived | ResponseReceived | CancelReceived | Fragment


class Exchange:
    """Both directions of one association."""

    __slots__ = (
        "_association",
        "_body_context",
        "_bounds",
        "_gathered",
        "_gathering",
        "_invoked",
        "_last_id",
        "_limits",
        "_performing",
        "_windows",
        "message_count",
        "observer",
    )

    def __init__(self, association: Carrier, limits: Limits = DEFAULT_LIMITS) -> None:
        self._association = association
        self._limits = limits
        self._invoked: dict[int, tuple[int, int]] = {}  # message id -> context, command field of its responses
        self._performing: dict[int, tuple[int, int]] = {}
        self._last_id = 0
        self._gathered = bytearray()
        self._gathering: int | None = None  # context of a command whose last fragment is not here yet
        self._bounds = limits.received_pdu_length, limits.received_pdv_length, limits.command_length
        self._body_context: int | None = None  # context of a data set whose last fragment is not here yet
        self._windows: tuple[int, int] | None = None  # not asked for yet
        self.message_count = 0  # whose command has been received
        self.observer: CommandObserver | None = None

    @property
    def negotiated(self) -> Negotiated:
        """What the association agreed on; LocalProtocolError before that."""
        agreed = self._association.negotiated
        if agreed is None:
            raise LocalProtocolError("nothing is agreed yet", clause="PS3.8 7.1")
        return agreed

    @property
    def requestor(self) -> bool:
        """Whether this side asked for the association."""
        return self._association.requestor

    @property
    def window(self) -> int:
        """How many of our requests may be open at a time, as negotiated (PS3.7 D.3.3.3), within `Limits`."""
        return (self._windows or self._agree())[0]

    @property
    def performing_window(self) -> int:
        """How many of the peer's requests may be open at a time, alike."""
        return (self._windows or self._agree())[1]

    def _agree(self) -> tuple[int, int]:
        agreed = self._association.negotiated
        if agreed is None:
            return 1, 1
        cap = self._limits.operations_window
        invoked, performed = (min(count or cap, cap) for count in agreed.window)  # from the requestor's side
        self._windows = (invoked, performed) if self._association.requestor else (performed, invoked)
        return self._windows

    @property
    def invoked(self) -> Mapping[int, tuple[int, int]]:
        """Our open requests: message id -> (context id, command field of its responses)."""
        return self._invoked

    @property
    def performing(self) -> Mapping[int, tuple[int, int]]:
        """The peer's open requests, alike."""
        return self._performing

    @property
    def fetching(self) -> bool:
        """Whether a C-GET of ours is open."""
        return any(field == CommandField.C_GET_RSP for _, field in self._invoked.values())

    @property
    def can_request(self) -> bool:
        return len(self._invoked) < self.window

    @property
    def body_context(self) -> int | None:
        """On which context a data set is due, its last fragment at least."""
        return self._body_context

    @property
    def receiving(self) -> bool:
        """Whether a message is half here."""
        return self._gathering is not None or self._body_context is not None

    def request(self, context_id: int, command: Command, body: Any = None) -> int:
        """Send a request and its body (a payload, or a list of payloads); its new message id.

        LocalProtocolError when the window is full, or the message is no request, cannot be encoded or may (not) have a
        body.
        """
        field = command.field
        response_field = field | _RESPONSE_BIT
        if response_field == field or field == _CANCEL:
            raise LocalProtocolError(f"{command.name} is no request", clause="PS3.7 7.1")
        if len(self._invoked) >= (self._windows or self._agree())[0]:
            raise LocalProtocolError(
                f"{self.window} operations are open already",
                clause="PS3.7 D.3.3.3",
                hint="wait for a response, or negotiate a larger asynchronous operations window",
            )
        message_id = self._last_id % _LAST_ID + 1
        while message_id in self._invoked:
            message_id = message_id % _LAST_ID + 1
        data_set = NO_DATA_SET if body is None else DATA_SET_PRESENT
        self._send(context_id, command, {"MessageID": message_id, "CommandDataSetType": data_set}, body)
        self._last_id = message_id
        self._invoked[message_id] = (context_id, response_field)
        if self.observer is not None:
            self.observer.asked(context_id, message_id, command)
        return message_id

    def respond(self, context_id: int, command: Command, body: Any = None) -> bool:
        """Send a response; True when it ends the operation: its status is not Pending. LocalProtocolError when nobody
        asked."""
        message_id = command.elements.get("MessageIDBeingRespondedTo", 0)
        if self._performing.get(message_id) != (context_id, command.field):
            raise LocalProtocolError(f"{command.name} to message {message_id}, which is not open on {context_id}")
        data_set = NO_DATA_SET if body is None else DATA_SET_PRESENT
        self._send(context_id, command, {"CommandDataSetType": data_set}, body)
        return self._responded(context_id, message_id, command.field, command.elements["Status"])

    def answer(self, context_id: int, request: Command, status: int) -> bool:
        """Send a response to `request` that holds nothing but a status; all else as `respond`."""
        message_id = request.elements.get("MessageID", 0)
        field = request.field | _RESPONSE_BIT
        if self._performing.get(message_id) != (context_id, field):
            raise LocalProtocolError(f"{request.name} of message {message_id} is not open on {context_id}")
        self._association.message(context_id, encode_answer(request, status))
        return self._responded(context_id, message_id, field, status)

    def _responded(self, context_id: int, message_id: int, field: int, status: int) -> bool:
        final = field not in _MANY_ANSWERS or category(status) is not StatusCategory.PENDING
        if final:
            del self._performing[message_id]
        if self.observer is not None:
            self.observer.responded(context_id, message_id, field, status, final)
        return final

    def cancel(self, context_id: int, message_id: int) -> None:
        """Ask the peer to end a C-FIND, C-GET or C-MOVE; its final response is still to come."""
        open_on, response_field = self._invoked.get(message_id, (None, 0))
        if open_on != context_id or response_field not in _MANY_ANSWERS:
            raise LocalProtocolError(f"message {message_id} is no open C-FIND, C-GET or C-MOVE", clause="PS3.7 9.3.2.3")
        self._send(context_id, command("C-CANCEL-RQ", MessageIDBeingRespondedTo=message_id), None, None)
        if self.observer is not None:
            self.observer.cancelled(context_id, message_id, response_field & ~_RESPONSE_BIT, False)

    def receive(self, arrived: Body) -> list[Event]:
        """What a piece of P-DATA means. RemoteProtocolError when it means nothing."""
        context_id, is_command, last, view = arrived
        if is_command:
            return self._command_arrived(context_id, view, last)
        if self._body_context != context_id:
            raise _fault(f"data set fragment on context {context_id}, where no message has one")
        if last:
            self._body_context = None
        return [_new(Fragment, (context_id, view, last))]

    def _command_arrived(self, context_id: int, view: memoryview, last: bool) -> list[Event]:
        if self._body_context is not None:
            raise _fault("command fragment before the end of a data set")
        if self._gathering is None:
            agreed = self._association.negotiated
            if agreed is None or context_id not in agreed.contexts:
                raise _fault(f"command on presentation context {context_id}, which was not accepted")
            if last:
                return self._message(context_id, decode_command(view, self._limits))
            self._gathering = context_id
        elif self._gathering != context_id:
            raise _fault("command fragments of two contexts are mixed")
        if len(self._gathered) + len(view) > self._limits.command_length:
            raise _fault(f"command set is longer than Limits.command_length ({self._limits.command_length})")
        self._gathered += view
        if not last:
            return []
        whole = self._gathered
        self._gathered, self._gathering = bytearray(), None
        return self._message(context_id, decode_command(whole, self._limits))

    def take(self, inbox: Callable[[Any], object], view: memoryview, start: int, stop: int) -> int:
        """Give ``inbox`` the messages that lie whole in a block from here on; where they end.

        What is no such message, is wrong, or concerns another message (C-CANCEL) is left to `receive`. A data set that
        is not there in one piece is left to it as well. Nothing may be half here.
        """
        if self._body_context is not None or self._gathering is not None:
            return start
        agreed = self._association.negotiated
        while (found := find_whole(view, start, stop, *self._bounds)) is not None:
            context_id, field, elements, unknown, body, end = found
            if field == _CANCEL or agreed is None or context_id not in agreed.contexts:
                break
            try:
                message = self._judge(context_id, _new(Command, (field, elements, unknown)))
            except RemoteProtocolError:
                break  # nothing has changed, so that `receive` finds the same
            inbox(message)
            start = end
            if body:
                inbox(_new(Fragment, (context_id, view[body:end], True)))
            elif elements["CommandDataSetType"] != NO_DATA_SET:
                self._body_context = context_id
                break
        return start

    def _message(self, context_id: int, received: Command) -> list[Event]:
        message = self._judge(context_id, received)
        if received.elements["CommandDataSetType"] != NO_DATA_SET:
            self._body_context = context_id
        return [] if message is None else [message]

    def _judge(self, context_id: int, received: Command) -> Event | None:
        """What a command says, its data set apart; RemoteProtocolError before anything changes."""
        elements = received.elements
        has_body = elements["CommandDataSetType"] != NO_DATA_SET
        if received.field & _RESPONSE_BIT:
            message_id = elements["MessageIDBeingRespondedTo"]
            expected = self._invoked.get(message_id)
            if expected != (context_id, received.field):
                what = "no open request" if expected is None else "a request of another kind or context"
                raise _fault(f"{received.name} answers message {message_id}, {what}")
            final = received.field not in _MANY_ANSWERS or _is_final(received)
            self.message_count += 1
            if final:
                del self._invoked[message_id]
            if self.observer is not None:
                self.observer.answered(context_id, message_id, received, final)
            answer: ResponseReceived = _new(ResponseReceived, (context_id, received, has_body, message_id, final))
            return answer
        if received.field == _CANCEL:
            self.message_count += 1
            message_id = elements["MessageIDBeingRespondedTo"]
            # A cancel may cross the final response on its way; then there is nothing left to cancel (PS3.7 9.3.2.3).
            asked_on, response_field = self._performing.get(message_id, (None, 0))
            known = asked_on == context_id and response_field in _MANY_ANSWERS
            if self.observer is not None:
                self.observer.cancelled(context_id, message_id, response_field & ~_RESPONSE_BIT if known else 0, True)
            return CancelReceived(context_id, message_id) if known else None
        message_id = elements["MessageID"]
        if message_id in self._performing:
            raise _fault(f"{received.name} uses message id {message_id}, which is open")
        if len(self._performing) >= self._limits.operations_window:
            raise _fault(f"more than {self._limits.operations_window} requests are open")
        self.message_count += 1
        self._performing[message_id] = (context_id, received.field | _RESPONSE_BIT)
        if self.observer is not None:
            self.observer.requested(context_id, message_id, received)
        request: RequestReceived = _new(RequestReceived, (context_id, received, has_body))
        return request

    def _send(self, context_id: int, message: Command, changes: dict[str, Any] | None, body: Any) -> None:
        encoded = encode_command(message, changes)  # all that can be wrong is found before the first byte leaves
        if body is not None and type(body) is not bytes:
            if isinstance(body, (list, tuple)):
                if len(body) > 1:
                    self._send_pieces(context_id, encoded, body)
                    return
                body = body[0] if body else b""
            if not isinstance(body, _SIZED):
                raise _not_sized(body)
        self._association.message(context_id, encoded, body)

    def _send_pieces(self, context_id: int, encoded: bytes, body: Sequence[Any]) -> None:
        for payload in body:
            if not isinstance(payload, _SIZED):
                raise _not_sized(payload)
        send = self._association.send
        send(context_id, True, encoded)
        for payload in body[:-1]:
            send(context_id, False, payload, False)
        send(context_id, False, body[-1])


def _is_final(message: Command) -> bool:
    """One of those to which there may be many."""
    return category(message.elements["Status"]) is not StatusCategory.PENDING


def _not_sized(payload: object) -> LocalProtocolError:
    return LocalProtocolError(f"a body is something with a length, not {type(payload).__name__}")


def _fault(message: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, clause="PS3.7 6.3, PS3.8 Annex E", answer=ABORT)
