"""Plain twin of pyx/command.pyx: command sets (PS3.7 6.3.1) element by element; what is wrong is a ValueError."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

Rows = list[tuple[int, str, str]]


def decode(rows: Rows, data: bytes) -> tuple[int | None, dict[str, Any], tuple[tuple[int, bytes], ...]]:
    """(command field, elements by keyword, unknown elements)."""
    plan = {element: (vr, keyword) for element, vr, keyword in rows}
    elements: dict[str, Any] = {}
    unknown = []
    frame: dict[int, bytes] = {}
    while data:
        if len(data) < 8:
            raise ValueError("short")
        group, element, length = struct.unpack("<HHL", data[:8])
        raw, data = data[8 : 8 + length], data[8 + length :]
        if group or len(raw) < length:
            raise ValueError("group or length")
        if element in (0x0000, 0x0100):
            if element in frame or length != (2 if element else 4):
                raise ValueError("frame")
            frame[element] = raw
        elif element not in plan:
            unknown.append((element, raw))
        else:
            vr, keyword = plan[element]
            if keyword in elements:
                raise ValueError("twice")
            if (value := decode_value(vr, raw) if raw else None) not in (None, ""):
                elements[keyword] = value
    if 0 not in frame or 0x0100 not in frame:
        raise ValueError("frame")
    return int.from_bytes(frame[0x0100], "little"), elements, tuple(unknown)


def decode_value(vr: str, raw: bytes) -> Any:
    if vr == "US":
        return struct.unpack("<H", raw)[0] if len(raw) == 2 else fail()
    if vr == "AT":
        words = struct.unpack(f"<{len(raw) // 2}H", raw) if not len(raw) % 4 else fail()
        return tuple(group << 16 | element for group, element in zip(words[::2], words[1::2], strict=True))
    return raw.decode("latin-1" if vr == "LO" else "ascii").strip("\0 ")


def fail() -> Any:
    raise ValueError("length")


def encode(rows: Rows, field: int, elements: dict[str, Any], unknown: tuple[tuple[int, bytes], ...]) -> bytes:
    """The bytes of a command set, group length first."""
    parts = [(0x0100, struct.pack("<H", field)), *unknown]
    parts += [(tag, encode_value(vr, elements[word])) for tag, vr, word in rows if elements.get(word) is not None]
    body = b"".join(struct.pack("<HHL", 0, tag, len(raw)) + raw for tag, raw in sorted(parts, key=lambda part: part[0]))
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def encode_value(vr: str, value: Any) -> bytes:
    if vr == "US":
        return struct.pack("<H", value)
    if vr == "AT":
        tags = (value,) if isinstance(value, int) else value
        return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
    raw = str(value).encode("ascii", "replace")[:64] if vr == "LO" else bytes(value.encode("ascii"))
    if len(raw) > (16 if vr == "AE" else 64):
        raise ValueError("long")
    return raw + (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)


def piece(data: bytes, most: int, flags: int) -> int | None:
    """Bytes of the fragment that is all of the P-DATA-TF that begins here, has these flags and is all here."""
    if len(data) < 12:
        return None
    kind, pdu, pdv, _, control = struct.unpack(">BxIIBB", data[:12])
    length = int(pdu) - 6
    fits = 0 <= length <= most and pdv == length + 2 and len(data) >= 12 + length
    return length if fits and kind == 4 and control & 3 == flags else None


def whole(
    rows: Rows, needs: Mapping[int, tuple[str, frozenset[str]]], data: bytes, start: int, longest: tuple[int, int, int]
) -> tuple[int, int, dict[str, Any], tuple[tuple[int, bytes], ...], int, int] | None:
    """The message that begins there; ``needs``: by command field, its body and what is required."""
    most = min(longest[1], longest[0] - 6)
    length = piece(data[start:], most, 3)
    if length is None or length > longest[2]:
        return None
    end = start + 12 + length
    try:
        field, elements, unknown = decode(rows, data[start + 12 : end])
        body, required = needs[field or 0]
    except (ValueError, KeyError):
        return None
    has_body = elements.get("CommandDataSetType", 0x0101) != 0x0101
    if not required <= elements.keys() or (body != "either" and (body == "always") != has_body):
        return None
    begin = 0
    if has_body and (length := piece(data[end:], most, 2)) is not None and data[end + 10] == data[start + 10]:
        begin, end = end + 12, end + 12 + length
    return data[start + 10], field or 0, elements, unknown, begin, end
