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
    "encode_command",
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
_US_ELEMENT: Final = struct.Struct("<HHLH")
_GROUP_LENGTH: Final = struct.Struct("<HHLL")
_ENCODE_PLAN: Final = tuple(
    (keyword, vr, struct.pack("<HH", 0, element), element) for keyword, (element, vr) in _ELEMENTS.items()
)
_DECODE_PLAN: Final = {element: (keyword, vr) for keyword, (element, vr) in _ELEMENTS.items()}
_FIELD_ELEMENT: Final = 0x0100
_MAXIMUM: Final = {"UI": 64, "AE": 16, "LO": 64}


class Command(NamedTuple):
    """A command set: its field, and its elements by keyword, which read as attributes (None when absent).

    A value: not to be changed. AT values are tuples of tags, whatever their number. ``unknown`` holds (element, bytes)
    of group 0000 that have no row here.
    """

    field: CommandField
    elements: Mapping[str, Any]
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
    if sop_class and len(sop_class) <= _MAXIMUM["UI"]:
        repeated["AffectedSOPClassUID"] = sop_class
    sop_instance = asked.get("AffectedSOPInstanceUID") or asked.get("RequestedSOPInstanceUID")
    if sop_instance and len(sop_instance) <= _MAXIMUM["UI"]:
        repeated["AffectedSOPInstanceUID"] = sop_instance
    row = MESSAGES[request.field | RESPONSE_BIT]
    if elements:
        if not row.allowed.issuperset(elements):
            extra = ", ".join(sorted(elements.keys() - row.allowed))
            raise LocalProtocolError(f"{row.name} has no element {extra}", clause=row.clause)
        repeated.update(elements)
    repeated["CommandDataSetType"] = NO_DATA_SET
    return Command(row.field, repeated)


def encode_command(command: Command) -> bytes:
    """The bytes of a command set, group length first. LocalProtocolError when an element is missing or does not fit."""
    row = MESSAGES[command.field]
    elements = command.elements
    if not row.required <= elements.keys():
        missing = ", ".join(sorted(row.required - elements.keys()))
        raise LocalProtocolError(f"{row.name} lacks {missing}", clause=row.clause)
    if row.body != "either" and (row.body == "always") != (elements["CommandDataSetType"] != NO_DATA_SET):
        raise LocalProtocolError(f"{row.name} {row.body} has a data set", clause=row.clause)
    parts = []
    field_due = True
    for keyword, vr, tag, element in _ENCODE_PLAN:
        if field_due and element > _FIELD_ELEMENT:
            parts.append(_US_ELEMENT.pack(0, _FIELD_ELEMENT, 2, command.field))
            field_due = False
        value = elements.get(keyword)
        if value is None:
            continue
        try:
            if vr == "US":
                parts.append(_US_ELEMENT.pack(0, element, 2, value))
            else:
                raw = _encode_value(vr, value)
                parts.append(tag + len(raw).to_bytes(4, "little") + raw)
        except (struct.error, UnicodeEncodeError, ValueError, TypeError, AttributeError) as error:
            raise LocalProtocolError(f"{keyword} of {row.name} cannot be {value!r}", clause="PS3.7 6.3") from error
    if command.unknown:
        parts.extend(_HEADER.pack(0, element, len(raw)) + raw for element, raw in command.unknown)
        parts.sort(key=_element_of)
    body = b"".join(parts)
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def _element_of(encoded: bytes) -> int:
    return encoded[2] | encoded[3] << 8


def _encode_value(vr: str, value: Any) -> bytes:
    if vr == "AT":
        tags = (value,) if isinstance(value, int) else value
        return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
    if vr == "LO":  # free text about an error: cut and ASCII rather than refused
        raw = str(value).encode("ascii", "replace")[: _MAXIMUM[vr]]
    else:
        raw = value.encode("ascii")
        if len(raw) > _MAXIMUM[vr]:
            raise ValueError(f"longer than {_MAXIMUM[vr]}")
    if len(raw) & 1:
        raw += b"\0" if vr == "UI" else b" "
    return raw


def _fault(message: str, offset: int | None = None, clause: str = "PS3.7 6.3") -> RemoteProtocolError:
    return RemoteProtocolError(message, offset=offset, clause=clause, answer=ABORT)


def decode_command(view: bytes | bytearray | memoryview, limits: Limits = DEFAULT_LIMITS) -> Command:
    """The command set in `view`, checked against its row. RemoteProtocolError with the A-ABORT to send otherwise."""
    data = bytes(view)
    end = len(data)
    if end > limits.command_length:
        raise _fault(f"command set of {end} bytes is longer than Limits.command_length ({limits.command_length})")
    elements: dict[str, Any] = {}
    unknown: list[tuple[int, bytes]] = []
    group_length = field = None
    position = 0
    unpack = _HEADER.unpack_from
    plan = _DECODE_PLAN
    while position < end:
        if end - position < 8:
            raise _fault("command set ends inside an element header", position)
        group, element, length = unpack(data, position)
        start = position + 8
        stop = start + length
        if stop > end or group:
            what = "an element beyond its end" if not group else f"an element of group {group:04X}"
            raise _fault(f"command set with {what}", position)
        row = plan.get(element)
        if row is not None:
            keyword, vr = row
            if keyword in elements:
                raise _fault(f"{keyword} twice in a command set", position)
            if vr == "US":
                if length == 2:
                    elements[keyword] = data[start] | data[start + 1] << 8
                elif length:
                    raise _fault(f"{keyword} of {length} bytes", position)
            elif length:
                value = _decode_value(vr, data[start:stop], keyword, position)
                if value:
                    elements[keyword] = value
        elif element == _FIELD_ELEMENT and length == 2 and field is None:
            field = data[start] | data[start + 1] << 8
        elif element == 0 and length == 4 and group_length is None:
            group_length = start
        elif element in (0, _FIELD_ELEMENT):
            raise _fault(f"(0000,{element:04X}) twice or of a wrong length", position)
        else:
            unknown.append((element, data[start:stop]))
        position = stop
    message = MESSAGES.get(field) if field is not None else None
    if message is None or group_length is None:
        what = "no group length" if message else "no command field" if field is None else f"command field {field:04X}"
        raise _fault(f"command set with {what}", clause="PS3.7 E.1")
    if not message.required <= elements.keys():
        missing = ", ".join(sorted(message.required - elements.keys()))
        raise _fault(f"{message.name} lacks {missing}", clause=message.clause)
    if message.body != "either" and (message.body == "always") != (elements["CommandDataSetType"] != NO_DATA_SET):
        raise _fault(f"{message.name} {message.body} has a data set", clause=message.clause)
    return Command(message.field, elements, tuple(unknown))


def _decode_value(vr: str, raw: bytes, keyword: str, offset: int) -> Any:
    if vr == "AT":
        if len(raw) % 4:
            raise _fault(f"{keyword} of {len(raw)} bytes", offset)
        words = struct.unpack(f"<{len(raw) // 2}H", raw)
        return tuple(group << 16 | element for group, element in zip(words[::2], words[1::2], strict=True))
    if vr == "LO":
        return raw.decode("latin-1").strip("\0 ")
    try:
        return raw.decode("ascii").strip("\0 ")
    except UnicodeDecodeError:
        raise _fault(f"{keyword} is not ASCII", offset) from None
