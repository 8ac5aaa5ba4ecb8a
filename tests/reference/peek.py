"""Plain Python twin of `_core.peek`: the same walk, slow and plain."""

from __future__ import annotations

from struct import Struct
from typing import Final

MORE, DECIDED, STRAY, NO_VR = range(4)

_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_ITEM_GROUP: Final = 0xFFFE
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
_UNDEFINED: Final = 0xFFFFFFFF
_LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())

# by big_endian: group, element, VR, 16-bit length; 32-bit length
_EXPLICIT: Final = (Struct("<HH2sH"), Struct(">HH2sH"))
_IMPLICIT: Final = (Struct("<HHL"), Struct(">HHL"))
_LENGTH: Final = (Struct("<L"), Struct(">L"))


def walk(
    head: bytes | bytearray | memoryview, explicit: bool, big_endian: bool
) -> tuple[int, int, str | None, str | None]:
    """Outcome, position of the last header, SOP Class UID, SOP Instance UID."""
    found: dict[int, str] = {}
    end = len(head)
    position = depth = last = 0
    header = (_EXPLICIT if explicit else _IMPLICIT)[big_endian]
    while position + 8 <= end:
        last = position
        if explicit:
            group, element, vr, length = header.unpack_from(head, position)
        else:
            group, element, length = header.unpack_from(head, position)
            vr = b""
        start = position + 8
        if group == _ITEM_GROUP:
            if explicit:
                (length,) = _LENGTH[big_endian].unpack_from(head, position + 4)
            if not depth or element not in (_ITEM, _ITEM_END, _SEQUENCE_END):
                return STRAY, last, found.get(_SOP_CLASS), None
            if element != _ITEM:
                depth -= 1
            elif length == _UNDEFINED:
                depth += 1
            else:
                start += length
            position = start
            continue
        if explicit:
            if vr in _LONG_VRS:
                if position + 12 > end:
                    break
                (length,) = _LENGTH[big_endian].unpack_from(head, start)
                start += 4
            elif not (vr.isalpha() and vr.isupper()):
                return NO_VR, last, found.get(_SOP_CLASS), None
        if not depth:
            tag = group << 16 | element
            if tag > _SOP_INSTANCE:
                return DECIDED, last, found.get(_SOP_CLASS), None
            if tag in (_SOP_CLASS, _SOP_INSTANCE):
                if start + length > end:
                    break
                found[tag] = bytes(head[start : start + length]).decode("latin-1").strip("\0 ")
                if tag == _SOP_INSTANCE:
                    return DECIDED, last, found.get(_SOP_CLASS), found[tag]
        if length == _UNDEFINED:
            depth += 1
            length = 0
        position = start + length
    return MORE, last, found.get(_SOP_CLASS), None
