"""SOP Class and Instance UID from the first bytes of a data set (PS3.3 C.12.1), without an index and without the rest.

It walks top-level headers up to (0008,0018), passing over what lies before, nested items included. It answers as soon
as it can and says when it needs more bytes; what is no data set in the given encoding is an `EncodingError`.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from dicomcore.errors import EncodingError

__all__ = ["PEEK_LENGTH", "SopUids", "peek_sop_uids"]

PEEK_LENGTH: Final = 16 * 1024  # both UIDs lie in the first few hundred bytes of what the field produces

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


class SopUids(NamedTuple):
    """The two UIDs as far as the data set has them; ``decided`` is False when more bytes may bring them."""

    sop_class_uid: str | None
    sop_instance_uid: str | None
    decided: bool


def peek_sop_uids(head: bytes | bytearray | memoryview, *, explicit: bool, big_endian: bool) -> SopUids:
    """(0008,0016) and (0008,0018) in the first bytes of a data set. EncodingError when they are no data set."""
    found: dict[int, str] = {}
    end = len(head)
    position = depth = 0
    header = (_EXPLICIT if explicit else _IMPLICIT)[big_endian]
    while position + 8 <= end:
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
                raise EncodingError("an item outside a sequence", offset=position, clause="PS3.5 7.5")
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
                raise EncodingError(f"{vr!r} is no VR", offset=position, clause="PS3.5 7.1.2")
        if not depth:
            tag = group << 16 | element
            if tag > _SOP_INSTANCE:
                return SopUids(found.get(_SOP_CLASS), found.get(_SOP_INSTANCE), True)
            if tag in (_SOP_CLASS, _SOP_INSTANCE):
                if start + length > end:
                    break
                found[tag] = bytes(head[start : start + length]).decode("latin-1").strip("\0 ")
                if tag == _SOP_INSTANCE:
                    return SopUids(found.get(_SOP_CLASS), found[tag], True)
        if length == _UNDEFINED:
            depth += 1
            length = 0
        position = start + length
    return SopUids(found.get(_SOP_CLASS), found.get(_SOP_INSTANCE), False)
