"""PDUs to bytes and back (PS3.8 section 9.3 and annex D, PS3.7 annex D.3.3); pure functions.

Strict about lengths: every item must fit its parent exactly, every sub-item its item. Lenient where the standard says
"not tested": reserved octets, the titles of an A-ASSOCIATE-AC, trailing padding of names. Items of unknown type are
kept as bytes. ``decode(type, body)`` inverts ``encode``. Faults are `RemoteProtocolError` with the byte offset within
the PDU, the clause, and the (source, reason) of the A-ABORT to answer; what is merely too much is `LimitExceeded` with
the (result, source, reason) of an A-ASSOCIATE-RJ.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from ..errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from ..limits import DEFAULT_LIMITS, Limits
from .pdu import (
    PDU,
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsyncWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    PresentationContext,
    PresentationResult,
    ReleaseRP,
    ReleaseRQ,
    RoleSelection,
    UnknownItem,
    UserIdentity,
    UserInformation,
    ae_title_field,
)

__all__ = [
    "FIXED_LENGTH",
    "INVALID",
    "MINIMUM_ASSOCIATE_LENGTH",
    "UNEXPECTED",
    "UNEXPECTED_PARAMETER",
    "UNRECOGNIZED",
    "decode",
    "encode",
    "fault",
]

HEADER_LENGTH: Final = 6
FIXED_LENGTH: Final = 4  # of the variable field of RJ, RELEASE-RQ, RELEASE-RP and ABORT
MINIMUM_ASSOCIATE_LENGTH: Final = 68  # version, reserved, titles and 32 reserved octets

UNRECOGNIZED: Final = 1  # reasons of an A-ABORT by the provider (PS3.8 table 9-26)
UNEXPECTED: Final = 2
UNEXPECTED_PARAMETER: Final = 5
INVALID: Final = 6

_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_TWO_U16: Final = struct.Struct(">HH")
_ITEM: Final = struct.Struct(">BBH")
_PDU: Final = struct.Struct(">BxI")


def fault(message: str, reason: int, clause: str, offset: int | None = None) -> RemoteProtocolError:
    """The peer broke PS3.8; to be answered by an A-ABORT of the provider with this reason."""
    return RemoteProtocolError(message, offset=offset, clause=clause, answer=(2, reason))


# --- encoding ---------------------------------------------------------------------------------------------------------


def _item(kind: int, body: bytes, second: int = 0) -> bytes:
    if len(body) > 0xFFFF:
        raise LocalProtocolError(
            f"item {kind:02X}H is {len(body)} bytes long; its length field holds 65535", clause="PS3.8 9.3.1"
        )
    return _ITEM.pack(kind, second, len(body)) + body


def _name(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{text!r} is not ASCII", clause="PS3.8 annex F") from None


def _counted(data: bytes) -> bytes:
    if len(data) > 0xFFFF:
        raise LocalProtocolError(f"field of {len(data)} bytes; its length field holds 65535", clause="PS3.7 D.3.3")
    return _U16.pack(len(data)) + data


def _unknown(items: tuple[UnknownItem, ...]) -> bytes:
    return b"".join([_item(item.type, item.body) for item in items])


def _user(user: UserInformation) -> bytes:
    parts = [_item(0x51, _U32.pack(user.max_length))]
    if user.implementation_class_uid:
        parts.append(_item(0x52, _name(user.implementation_class_uid)))
    if user.async_window is not None:
        parts.append(_item(0x53, _TWO_U16.pack(*user.async_window)))
    parts += [_item(0x54, _counted(_name(role.sop_class)) + bytes((role.scu, role.scp))) for role in user.roles]
    if user.implementation_version:
        parts.append(_item(0x55, _name(user.implementation_version)))
    parts += [_item(0x56, _counted(_name(entry.sop_class)) + entry.information) for entry in user.extended]
    for common in user.common_extended:
        related = b"".join([_counted(_name(uid)) for uid in common.related])
        names = _counted(_name(common.sop_class)) + _counted(_name(common.service_class))
        parts.append(_item(0x57, names + _counted(related) + common.reserved, common.version))
    identity = user.user_identity
    if identity is not None:
        flags = bytes((identity.type, identity.response_requested))
        parts.append(_item(0x58, flags + _counted(identity.primary) + _counted(identity.secondary)))
    if user.user_identity_response is not None:
        parts.append(_item(0x59, _counted(user.user_identity_response)))
    return _item(0x50, b"".join(parts) + _unknown(user.unknown))


def _proposed(context: PresentationContext) -> bytes:
    names = [_item(0x30, _name(context.abstract_syntax))]
    names += [_item(0x40, _name(uid)) for uid in context.transfer_syntaxes]
    return _item(0x20, bytes((context.id, 0, 0, 0)) + b"".join(names))


def _answered(result: PresentationResult) -> bytes:
    syntax = _item(0x40, _name(result.transfer_syntax)) if result.transfer_syntax else b""
    return _item(0x21, bytes((result.id, 0, result.result, 0)) + syntax)


def _associate(pdu: AssociateRQ | AssociateAC, titles: bytes, contexts: list[bytes]) -> bytes:
    head = _TWO_U16.pack(pdu.protocol_version, 0) + titles
    application = _item(0x10, _name(pdu.application_context)) if pdu.application_context else b""
    return b"".join([head, application, *contexts, _user(pdu.user), _unknown(pdu.unknown)])


def _encode_request(pdu: AssociateRQ) -> bytes:
    titles = ae_title_field(pdu.called_ae) + ae_title_field(pdu.calling_ae) + (pdu.octets[32:] or bytes(32))
    return _associate(pdu, titles, [_proposed(context) for context in pdu.contexts])


def _encode_answer(pdu: AssociateAC) -> bytes:
    if len(pdu.echo) != 64:
        raise LocalProtocolError(f"the echo is {len(pdu.echo)} bytes long, not 64", clause="PS3.8 9.3.3")
    return _associate(pdu, pdu.echo, [_answered(result) for result in pdu.results])


_ENCODERS: Final[Mapping[type, tuple[int, Callable[[Any], bytes]]]] = MappingProxyType(
    {
        AssociateRQ: (1, _encode_request),
        AssociateAC: (2, _encode_answer),
        AssociateRJ: (3, lambda pdu: bytes((0, pdu.result, pdu.source, pdu.reason))),
        ReleaseRQ: (5, lambda _: bytes(4)),
        ReleaseRP: (6, lambda _: bytes(4)),
        Abort: (7, lambda pdu: bytes((0, 0, pdu.source, pdu.reason))),
    }
)


def encode(pdu: PDU) -> bytes:
    """The whole PDU, header included. `LocalProtocolError` when a name, number or length does not fit its field."""
    kind, body_of = _ENCODERS[type(pdu)]
    try:
        body = body_of(pdu)
    except (ValueError, struct.error) as error:  # a number that its field cannot hold
        raise LocalProtocolError(f"{type(pdu).__name__} cannot be encoded: {error}", clause="PS3.8 9.3") from error
    return _PDU.pack(kind, len(body)) + body


# --- decoding ---------------------------------------------------------------------------------------------------------


def _too_much(what: str, limit: str, begin: int, clause: str) -> LimitExceeded:
    """More than `Limits` allow: a request is to be rejected, permanently, "local limit exceeded" (PS3.8 table 9-21)."""
    return LimitExceeded(
        what, offset=begin - 4 + HEADER_LENGTH, clause=clause, hint=f"see Limits.{limit}", answer=(1, 3, 2)
    )


def _items(
    data: bytes, start: int, stop: int, limit: int, limit_name: str, clause: str
) -> Iterator[tuple[int, int, int]]:
    """(type, start, stop) of every item between two offsets, which they must fill exactly."""
    count = 0
    while start < stop:
        if stop - start < 4:
            raise fault(f"{stop - start} bytes left over after the last item", INVALID, clause, start + HEADER_LENGTH)
        kind, _, length = _ITEM.unpack_from(data, start)
        begin, end = start + 4, start + 4 + length
        if end > stop:
            raise fault(
                f"item {kind:02X}H claims {length} bytes where {stop - begin} are left",
                INVALID,
                clause,
                start + HEADER_LENGTH,
            )
        count += 1
        if count > limit:
            raise _too_much(f"more than {limit} items", limit_name, begin, clause)
        yield kind, begin, end
        start = end


def _text(data: bytes, start: int, stop: int, clause: str) -> str:
    """A name; padding by NUL or space, which PS3.8 annex F forbids but old peers send, is dropped."""
    try:
        return data[start:stop].decode("ascii").rstrip("\0 ")
    except UnicodeDecodeError:
        raise fault("a name that is not ASCII", INVALID, clause, start + HEADER_LENGTH) from None


def _field(data: bytes, start: int, stop: int, clause: str) -> tuple[int, int]:
    """(start, stop) of a field that is preceded by its 16-bit length."""
    if stop - start >= 2:
        end = start + 2 + int(_U16.unpack_from(data, start)[0])
        if end <= stop:
            return start + 2, end
    raise fault("a field that overruns its item", INVALID, clause, start + HEADER_LENGTH)


def _exactly(length: int, start: int, stop: int, clause: str) -> None:
    if stop - start != length:
        raise fault(f"{stop - start} bytes where {length} are due", INVALID, clause, start + HEADER_LENGTH)


def _max_length(data: bytes, start: int, stop: int) -> int:
    _exactly(4, start, stop, "PS3.8 D.1")
    return int(_U32.unpack_from(data, start)[0])


def _implementation_uid(data: bytes, start: int, stop: int) -> str:
    return _text(data, start, stop, "PS3.7 D.3.3.2")


def _window(data: bytes, start: int, stop: int) -> AsyncWindow:
    _exactly(4, start, stop, "PS3.7 D.3.3.3")
    return AsyncWindow(*_TWO_U16.unpack_from(data, start))


def _role(data: bytes, start: int, stop: int) -> RoleSelection:
    clause = "PS3.7 D.3.3.4"
    begin, end = _field(data, start, stop, clause)
    _exactly(2, end, stop, clause)
    return RoleSelection(_text(data, begin, end, clause), data[end] == 1, data[end + 1] == 1)


def _extended(data: bytes, start: int, stop: int) -> ExtendedNegotiation:
    clause = "PS3.7 D.3.3.5"
    begin, end = _field(data, start, stop, clause)
    return ExtendedNegotiation(_text(data, begin, end, clause), data[end:stop])


def _common(data: bytes, start: int, stop: int) -> CommonExtendedNegotiation:
    clause = "PS3.7 D.3.3.6"
    sop_class = _field(data, start, stop, clause)
    service_class = _field(data, sop_class[1], stop, clause)
    position, related_stop = _field(data, service_class[1], stop, clause)
    related = []
    while position < related_stop:
        begin, position = _field(data, position, related_stop, clause)
        related.append(_text(data, begin, position, clause))
    return CommonExtendedNegotiation(
        _text(data, *sop_class, clause),
        _text(data, *service_class, clause),
        tuple(related),
        data[start - 3],  # octet 2 of the item: the sub-item version
        data[related_stop:stop],
    )


def _identity(data: bytes, start: int, stop: int) -> UserIdentity:
    clause = "PS3.7 D.3.3.7"
    if stop - start < 6:
        raise fault("a user identity without its fields", INVALID, clause, start + HEADER_LENGTH)
    primary = _field(data, start + 2, stop, clause)
    secondary = _field(data, primary[1], stop, clause)
    _exactly(0, secondary[1], stop, clause)
    return UserIdentity(data[start], data[slice(*primary)], data[slice(*secondary)], data[start + 1] == 1)


def _identity_response(data: bytes, start: int, stop: int) -> bytes:
    clause = "PS3.7 D.3.3.7"
    begin, end = _field(data, start, stop, clause)
    _exactly(0, end, stop, clause)
    return data[begin:end]


_USER_ITEMS: Final[Mapping[int, tuple[str, bool, Callable[[bytes, int, int], Any]]]] = MappingProxyType(
    {  # by the type of the item: its field, whether it may repeat, what reads it
        0x51: ("max_length", False, _max_length),
        0x52: ("implementation_class_uid", False, _implementation_uid),
        0x53: ("async_window", False, _window),
        0x54: ("roles", True, _role),
        0x55: ("implementation_version", False, _implementation_uid),
        0x56: ("extended", True, _extended),
        0x57: ("common_extended", True, _common),
        0x58: ("user_identity", False, _identity),
        0x59: ("user_identity_response", False, _identity_response),
    }
)


def _decode_user(data: bytes, start: int, stop: int, limits: Limits) -> UserInformation:
    single: dict[str, Any] = {}
    lists: dict[str, list[Any]] = {}
    for kind, begin, end in _items(data, start, stop, limits.user_item_count, "user_item_count", "PS3.8 9.3.2.3"):
        row = _USER_ITEMS.get(kind)
        if row is None:
            lists.setdefault("unknown", []).append(UnknownItem(kind, data[begin:end]))
            continue
        name, repeats, read = row
        if name in single:
            raise _twice(kind, begin)
        value = read(data, begin, end)
        if repeats:
            lists.setdefault(name, []).append(value)
        else:
            single[name] = value
    single.update((name, tuple(values)) for name, values in lists.items())
    return UserInformation(**single)


def _twice(kind: int, begin: int) -> RemoteProtocolError:
    return fault(f"a second item {kind:02X}H", UNEXPECTED_PARAMETER, "PS3.8 9.3.2", begin + 2)


def _context_id(data: bytes, start: int, stop: int, seen: set[int], clause: str) -> int:
    if stop - start < 4:
        raise fault("a presentation context without its id", INVALID, clause, start + HEADER_LENGTH)
    number = data[start]
    if not number & 1 or number in seen:
        what = "used twice" if number & 1 else "even"
        raise fault(f"presentation context id {number} is {what}", INVALID, clause, start + HEADER_LENGTH)
    seen.add(number)
    return number


def _context(
    data: bytes, start: int, stop: int, seen: set[int], names: dict[str, str], limits: Limits
) -> PresentationContext:
    clause = "PS3.8 9.3.2.2"
    number = _context_id(data, start, stop, seen, clause)
    abstract: list[str] = []
    transfer: list[str] = []
    for kind, begin, end in _items(
        data, start + 4, stop, limits.transfer_syntax_count + 1, "transfer_syntax_count", clause
    ):
        if kind in (0x30, 0x40):
            name = _text(data, begin, end, clause)
            (abstract if kind == 0x30 else transfer).append(names.setdefault(name, name))
    if len(abstract) != 1:
        raise fault(f"{len(abstract)} abstract syntaxes in one context", INVALID, clause, start + HEADER_LENGTH)
    return PresentationContext(number, abstract[0], tuple(transfer))


def _result(
    data: bytes, start: int, stop: int, seen: set[int], names: dict[str, str], limits: Limits
) -> PresentationResult:
    clause = "PS3.8 9.3.3.2"
    number = _context_id(data, start, stop, seen, clause)
    syntaxes = [
        _text(data, begin, end, clause)
        for kind, begin, end in _items(
            data, start + 4, stop, limits.transfer_syntax_count, "transfer_syntax_count", clause
        )
        if kind == 0x40
    ]
    if len(syntaxes) > 1:
        raise fault("several transfer syntaxes in one answer", UNEXPECTED_PARAMETER, clause, start + HEADER_LENGTH)
    syntax = syntaxes[0] if syntaxes else ""
    return PresentationResult(number, data[start + 2], names.setdefault(syntax, syntax))


def _decode_associate(
    data: bytes,
    limits: Limits,
    context_type: int,
    read_context: Callable[[bytes, int, int, set[int], dict[str, str], Limits], Any],
    clause: str,
) -> tuple[list[Any], dict[str, Any]]:
    """The presentation items, and the keyword arguments that RQ and AC share."""
    if len(data) < MINIMUM_ASSOCIATE_LENGTH:
        raise fault(f"{len(data)} bytes where at least {MINIMUM_ASSOCIATE_LENGTH} are due", INVALID, clause, 2)
    contexts: list[Any] = []
    unknown: list[UnknownItem] = []
    seen: set[int] = set()
    names: dict[str, str] = {}  # the same few names, a hundred times, are kept once
    application: str | None = None
    user: UserInformation | None = None
    for kind, begin, end in _items(data, MINIMUM_ASSOCIATE_LENGTH, len(data), limits.item_count, "item_count", clause):
        if kind == context_type:
            if len(contexts) == limits.context_count:
                raise _too_much(f"over {limits.context_count} presentation contexts", "context_count", begin, clause)
            contexts.append(read_context(data, begin, end, seen, names, limits))
        elif kind == 0x10:
            if application is not None:
                raise _twice(kind, begin)
            application = _text(data, begin, end, "PS3.8 9.3.2.1")
        elif kind == 0x50:
            if user is not None:
                raise _twice(kind, begin)
            if end - begin > limits.user_information_length:
                raise _too_much(
                    f"user information of {end - begin} bytes", "user_information_length", begin, "PS3.8 9.3.2.3"
                )
            user = _decode_user(data, begin, end, limits)
        else:
            unknown.append(UnknownItem(kind, data[begin:end]))
    if user is None:
        raise fault("no user information item", INVALID, clause, 2)
    shared = {
        "user": user,
        "application_context": application or "",
        "protocol_version": int(_U16.unpack_from(data)[0]),
        "unknown": tuple(unknown),
    }
    return contexts, shared


def _title(raw: bytes) -> str:
    return raw.decode("latin-1").rstrip("\0 ").lstrip(" ")


def _decode_request(data: bytes, limits: Limits) -> AssociateRQ:
    contexts, shared = _decode_associate(data, limits, 0x20, _context, "PS3.8 9.3.2")
    return AssociateRQ(_title(data[4:20]), _title(data[20:36]), tuple(contexts), octets=data[4:68], **shared)


def _decode_answer(data: bytes, limits: Limits) -> AssociateAC:
    results, shared = _decode_associate(data, limits, 0x21, _result, "PS3.8 9.3.3")
    return AssociateAC(tuple(results), echo=data[4:68], **shared)


def _fixed(clause: str, build: Callable[[bytes], PDU]) -> Callable[[bytes, Limits], PDU]:
    def read(data: bytes, limits: Limits) -> PDU:
        if len(data) != FIXED_LENGTH:
            raise fault(f"PDU length {len(data)} where 4 is due", INVALID, clause, 2)
        return build(data)

    return read


_DECODERS: Final[Mapping[int, Callable[[bytes, Limits], PDU]]] = MappingProxyType(
    {
        1: _decode_request,
        2: _decode_answer,
        3: _fixed("PS3.8 9.3.4", lambda data: AssociateRJ(data[1], data[2], data[3])),
        5: _fixed("PS3.8 9.3.6", lambda _: ReleaseRQ()),
        6: _fixed("PS3.8 9.3.7", lambda _: ReleaseRP()),
        7: _fixed("PS3.8 9.3.8", lambda data: Abort(data[2], data[3])),
    }
)


def decode(pdu_type: int, body: bytes | bytearray | memoryview, limits: Limits = DEFAULT_LIMITS) -> PDU:
    """The PDU of this type whose variable field (what follows the 6-byte header) is ``body``."""
    read = _DECODERS.get(pdu_type)
    if read is None:
        raise fault(f"PDU type {pdu_type:02X}H", UNRECOGNIZED, "PS3.8 9.3.1", 0)
    return read(bytes(body), limits)
