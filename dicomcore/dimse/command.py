"""Command sets (PS3.7 6.3, 9.3, 10.3, Annex E): the 23 messages as rows of one table, and the codec that reads it.

A command set is Implicit VR Little Endian whatever the presentation context says, and holds elements of group 0000
only. Promised: every element that the standard makes mandatory for a message is there, or it is neither sent nor
accepted; elements that are not known are kept and sent again; nothing is read beyond `Limits.command_length`. An
element of zero length counts as absent. Not refused, since they do no harm and do occur: elements out of order, odd
lengths, a wrong (0000,0000) value.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from dicomcore._core.command import (
    ASCII,
    BEYOND,
    BODY,
    FRAME,
    GROUP,
    LENGTH,
    MISSING,
    NO_FIELD,
    SHORT,
    TWICE,
    Codec,
)
from dicomcore.errors import LocalProtocolError, RemoteProtocolError
from dicomcore.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "ABORT",
    "DATA_SET_PRESENT",
    "MESSAGES",
    "NO_DATA_SET",
    "Command",
    "CommandField",
    "Message",
    "command",
    "decode_command",
    "encode_answer",
    "encode_command",
    "find_whole",
    "response",
]

NO_DATA_SET: Final = 0x0101  # Command Data Set Type (0000,0800): "no data set"; any other value says that one follows
DATA_SET_PRESENT: Final = 0x0001
RESPONSE_BIT: Final = 0x8000

ABORT: Final = (0, 0)  # what a fault in a message is answered with: A-ABORT by the service-user (PS3.8 9.3.8)


class CommandField(IntEnum):
    """Command Field (0000,0100), PS3.7 Table E.1-1."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_GET_RQ = 0x0110
    N_GET_RSP = 0x8110
    N_SET_RQ = 0x0120
    N_SET_RSP = 0x8120
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130
    N_CREATE_RQ = 0x0140
    N_CREATE_RSP = 0x8140
    N_DELETE_RQ = 0x0150
    N_DELETE_RSP = 0x8150
    C_CANCEL_RQ = 0x0FFF


class Message(NamedTuple):
    """One row: what a message must and may hold. ``body`` says whether a data set follows: never, always or either."""

    name: str
    field: CommandField
    body: Literal["never", "always", "either"]
    required: frozenset[str]
    allowed: frozenset[str]
    clause: str


# keyword -> (element, VR), in ascending order of tag (that of encoding); (0000,0000) and (0000,0100) are the codec's
_ELEMENTS: Final[Mapping[str, tuple[int, str]]] = {
    "AffectedSOPClassUID": (0x0002, "UI"),
    "RequestedSOPClassUID": (0x0003, "UI"),
    "MessageID": (0x0110, "US"),
    "MessageIDBeingRespondedTo": (0x0120, "US"),
    "MoveDestination": (0x0600, "AE"),
    "Priority": (0x0700, "US"),
    "CommandDataSetType": (0x0800, "US"),
    "Status": (0x0900, "US"),
    "OffendingElement": (0x0901, "AT"),
    "ErrorComment": (0x0902, "LO"),
    "ErrorID": (0x0903, "US"),
    "AffectedSOPInstanceUID": (0x1000, "UI"),
    "RequestedSOPInstanceUID": (0x1001, "UI"),
    "EventTypeID": (0x1002, "US"),
    "AttributeIdentifierList": (0x1005, "AT"),
    "ActionTypeID": (0x1008, "US"),
    "NumberOfRemainingSuboperations": (0x1020, "US"),
    "NumberOfCompletedSuboperations": (0x1021, "US"),
    "NumberOfFailedSuboperations": (0x1022, "US"),
    "NumberOfWarningSuboperations": (0x1023, "US"),
    "MoveOriginatorApplicationEntityTitle": (0x1030, "AE"),
    "MoveOriginatorMessageID": (0x1031, "US"),
}

# What any response may add to say what went wrong (PS3.7 Annex C).
_STATUS_DETAIL: Final = (
    "AffectedSOPClassUID AffectedSOPInstanceUID OffendingElement ErrorComment ErrorID AttributeIdentifierList "
    "EventTypeID ActionTypeID"
)
_COUNTS: Final = (
    "NumberOfRemainingSuboperations NumberOfCompletedSuboperations NumberOfFailedSuboperations "
    "NumberOfWarningSuboperations"
)

# service, clause of its messages, then request and response: data set follows, mandatory elements, optional ones
_SERVICES: Final[tuple[tuple[str, str, tuple[str, str, str], tuple[str, str]], ...]] = (
    (
        "C-STORE",
        "9.3.1",
        (
            "always",
            "AffectedSOPClassUID Priority AffectedSOPInstanceUID",
            "MoveOriginatorApplicationEntityTitle MoveOriginatorMessageID",
        ),
        ("never", ""),
    ),
    ("C-FIND", "9.3.2", ("always", "AffectedSOPClassUID Priority", ""), ("either", "")),
    ("C-GET", "9.3.3", ("always", "AffectedSOPClassUID Priority", ""), ("either", _COUNTS)),
    ("C-MOVE", "9.3.4", ("always", "AffectedSOPClassUID Priority MoveDestination", ""), ("either", _COUNTS)),
    ("C-ECHO", "9.3.5", ("never", "AffectedSOPClassUID", ""), ("never", "")),
    (
        "N-EVENT-REPORT",
        "10.3.1",
        ("either", "AffectedSOPClassUID AffectedSOPInstanceUID EventTypeID", ""),
        ("either", ""),
    ),
    (
        "N-GET",
        "10.3.2",
        ("never", "RequestedSOPClassUID RequestedSOPInstanceUID", "AttributeIdentifierList"),
        ("either", ""),
    ),
    ("N-SET", "10.3.3", ("always", "RequestedSOPClassUID RequestedSOPInstanceUID", ""), ("either", "")),
    ("N-ACTION", "10.3.4", ("either", "RequestedSOPClassUID RequestedSOPInstanceUID ActionTypeID", ""), ("either", "")),
    ("N-CREATE", "10.3.5", ("either", "AffectedSOPClassUID", "AffectedSOPInstanceUID"), ("either", "")),
    ("N-DELETE", "10.3.6", ("never", "RequestedSOPClassUID RequestedSOPInstanceUID", ""), ("never", "")),
)


def _message(name: str, clause: str, body: Any, required: str, optional: str) -> Message:
    mandatory = frozenset(required.split()) | {"CommandDataSetType"}
    field = CommandField[name.replace("-", "_")]
    return Message(name, field, body, mandatory, mandatory | frozenset(optional.split()), f"PS3.7 {clause}")


def _rows() -> list[Message]:
    rows = [_message("C-CANCEL-RQ", "9.3.2.3", "never", "MessageIDBeingRespondedTo", "")]
    for name, clause, (body, required, optional), (response_body, response_optional) in _SERVICES:
        rows.append(_message(f"{name}-RQ", f"{clause}.1", body, f"MessageID {required}", optional))
        extra = f"{response_optional} {_STATUS_DETAIL}"
        rows.append(_message(f"{name}-RSP", f"{clause}.2", response_body, "MessageIDBeingRespondedTo Status", extra))
    return rows


MESSAGES: Final[Mapping[int, Message]] = MappingProxyType({row.field: row for row in _rows()})
_BY_NAME: Final = {row.name: row for row in MESSAGES.values()}

_HEADER: Final = struct.Struct("<HHL")
_CODEC: Final = Codec(
    [(element, vr, keyword) for keyword, (element, vr) in _ELEMENTS.items()],
    [(row.field, row.body, row.required) for row in MESSAGES.values()],
)
_UID_LENGTH: Final = 64
_new: Final[Any] = tuple.__new__  # a NamedTuple without a call of its own in Python


class Command(NamedTuple):
    """A command set: its field, and its elements by keyword, which read as attributes (None when absent).

    A value: not to be changed. AT values are tuples of tags, whatever their number. ``unknown`` holds (element, bytes)
    of group 0000 that have no row here.
    """

    field: CommandField
    elements: dict[str, Any]
    unknown: tuple[tuple[int, bytes], ...] = ()

    def __getattr__(self, keyword: str) -> Any:
        try:
            return self.elements[keyword]
        except KeyError:
            if keyword in _ELEMENTS:
                return None
            raise AttributeError(f"{keyword} is no element of a command set") from None

    @property
    def message(self) -> Message:
        return MESSAGES[self.field]

    @property
    def name(self) -> str:
        """Such as ``C-STORE-RQ``."""
        return MESSAGES[self.field].name

    @property
    def is_response(self) -> bool:
        return self.field >= RESPONSE_BIT

    @property
    def has_body(self) -> bool:
        """Whether a data set follows (PS3.7 E.1, Command Data Set Type)."""
        return bool(self.elements.get("CommandDataSetType", NO_DATA_SET) != NO_DATA_SET)

    @property
    def sop_class_uid(self) -> str | None:
        """The Affected or, for N- requests on an existing instance, the Requested SOP Class UID."""
        return self.elements.get("AffectedSOPClassUID") or self.elements.get("RequestedSOPClassUID")

    @property
    def sop_instance_uid(self) -> str | None:
        return self.elements.get("AffectedSOPInstanceUID") or self.elements.get("RequestedSOPInstanceUID")

    def but(self, **changes: Any) -> Command:
        """A copy with some elements set."""
        return Command(self.field, {**self.elements, **changes}, self.unknown)


def command(name: str, /, **elements: Any) -> Command:
    """A command by message name (``C-STORE-RQ``) and keywords; None leaves an element out.

    Priority becomes MEDIUM (0) where it is mandatory, Command Data Set Type what the message always has. MessageID may
    be left to the exchange. LocalProtocolError for a name or an element that the message does not know.
    """
    row = _BY_NAME.get(name)
    if row is None:
        raise LocalProtocolError(f"{name} is no DIMSE message", clause="PS3.7 E.1")
    given = {keyword: value for keyword, value in elements.items() if value is not None}
    if not row.allowed.issuperset(given):
        extra = ", ".join(sorted(given.keys() - row.allowed))
        raise LocalProtocolError(f"{name} has no element {extra}", clause=row.clause)
    if "Priority" in row.required:
        given.setdefault("Priority", 0)
    given.setdefault("CommandDataSetType", DATA_SET_PRESENT if row.body == "always" else NO_DATA_SET)
    return Command(row.field, given)


def response(request: Command, status: int, /, **elements: Any) -> Command:
    """The response to `request` with `status`: its UIDs are repeated where they are UIDs, ``elements`` add detail."""
    if request.field >= RESPONSE_BIT or request.field == CommandField.C_CANCEL_RQ:
        raise LocalProtocolError(f"{request.name} has no response", clause="PS3.7 E.1")
    asked = request.elements
    repeated: dict[str, Any] = {"MessageIDBeingRespondedTo": asked.get("MessageID"), "Status": status}
    # A UID that is too long has been taken, but is not repeated: the element is optional, and no UI may be that long.
    sop_class = asked.get("AffectedSOPClassUID") or asked.get("RequestedSOPClassUID")
    if sop_class and len(sop_class) <= _UID_LENGTH:
        repeated["AffectedSOPClassUID"] = sop_class
    sop_instance = asked.get("AffectedSOPInstanceUID") or asked.get("RequestedSOPInstanceUID")
    if sop_instance and len(sop_instance) <= _UID_LENGTH:
        repeated["AffectedSOPInstanceUID"] = sop_instance
    row = MESSAGES[request.field | RESPONSE_BIT]
    if elements:
        if not row.allowed.issuperset(elements):
            extra = ", ".join(sorted(elements.keys() - row.allowed))
            raise LocalProtocolError(f"{row.name} has no element {extra}", clause=row.clause)
        repeated.update(elements)
    repeated["CommandDataSetType"] = NO_DATA_SET
    made: Command = _new(Command, (row.field, repeated, ()))
    return made


def encode_command(command: Command, changes: dict[str, Any] | None = None) -> bytes:
    """The bytes of a command set with some elements changed, group length first.

    LocalProtocolError when an element is missing or does not fit.
    """
    encoded = _CODEC.encode(command.field, command.elements, command.unknown, changes)
    if isinstance(encoded, bytes):
        return encoded
    row = MESSAGES[command.field]
    elements = {**command.elements, **(changes or {})}
    if encoded == MISSING:
        missing = ", ".join(sorted(row.required - {key for key, value in elements.items() if value is not None}))
        raise LocalProtocolError(f"{row.name} lacks {missing}", clause=row.clause)
    if encoded == BODY:
        raise LocalProtocolError(f"{row.name} {row.body} has a data set", clause=row.clause)
    value = elements[str(encoded)]
    raise LocalProtocolError(f"{encoded} of {row.name} cannot be {value!r}", clause="PS3.7 6.3")


def encode_answer(request: Command, status: int) -> bytes:
    """The bytes of ``response(request, status)``. LocalProtocolError alike."""
    encoded: bytes | None = _CODEC.answer(request.field, request.elements, status)
    return encode_command(response(request, status)) if encoded is None else encoded


find_whole: Final = _CODEC.whole
"""The message that begins at some place of a block, if it lies there in so few pieces: see ``_core.command``."""


def _fault(message: str, offset: int | None = None, clause: str = "PS3.7 6.3") -> RemoteProtocolError:
    return RemoteProtocolError(message, offset=offset, clause=clause, answer=ABORT)


def decode_command(view: bytes | bytearray | memoryview, limits: Limits = DEFAULT_LIMITS) -> Command:
    """The command set in `view`, checked against its row. RemoteProtocolError with the A-ABORT to send otherwise."""
    if len(view) > limits.command_length:
        raise _fault(f"command set of {len(view)} bytes is longer than Limits.command_length ({limits.command_length})")
    fault, offset, field, elements, unknown = _CODEC.decode(view)
    if not fault:
        decoded: Command = _new(Command, (field, elements, unknown))
        return decoded
    if fault in (MISSING, BODY):
        row = MESSAGES[field]
        missing = ", ".join(sorted(row.required - elements.keys()))
        what = f"lacks {missing}" if fault == MISSING else f"{row.body} has a data set"
        raise _fault(f"{row.name} {what}", clause=row.clause)
    if fault == NO_FIELD:
        what = "no group length" if field in MESSAGES else "no command field"
        if field is not None and field not in MESSAGES:
            what = f"command field {field:04X}"
        raise _fault(f"command set with {what}", clause="PS3.7 E.1")
    assert offset is not None
    group, element, length = _HEADER.unpack_from(view, offset) if fault != SHORT else (0, 0, 0)
    raise _fault(
        {
            SHORT: "command set ends inside an element header",
            BEYOND: "command set with an element beyond its end",
            GROUP: f"command set with an element of group {group:04X}",
            TWICE: f"{field} twice in a command set",
            LENGTH: f"{field} of {length} bytes",
            ASCII: f"{field} is not ASCII",
            FRAME: f"(0000,{element:04X}) twice or of a wrong length",
        }[fault],
        offset,
    )
