"""Headers, items and delimiters as bytes (PS3.5 sections 7.1, 7.5), and re-encoding of whole runs of elements."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from struct import Struct
from types import MappingProxyType

from ..errors import EncodingError
from ..vocab.tag import format_tag
from ..vocab.vr import VRS

__all__ = [
    "SHORT_LENGTH_LIMIT",
    "element_header",
    "encode_element",
    "item_delimiter",
    "item_header",
    "sequence_delimiter",
]

SHORT_LENGTH_LIMIT = 0xFFFE  # the longest even value that a 16-bit length can give
_UNDEFINED = 0xFFFFFFFF
_SHORT = (Struct("<HH2sH"), Struct(">HH2sH"))
_LONG = (Struct("<HH2sHI"), Struct(">HH2sHI"))
_IMPLICIT = (Struct("<HHI"), Struct(">HHI"))


@cache
def _forms() -> Mapping[str, tuple[bytes, bool]]:
    return MappingProxyType({vr: (vr.encode("ascii"), row.long_header) for vr, row in VRS.items()})


def element_header(tag: int, vr: str, length: int, *, explicit: bool, big_endian: bool) -> bytes:
    """The header of an element; ``length`` 0xFFFFFFFF is undefined.

    In explicit VR a value over 65,534 bytes whose VR has a 16-bit length is declared UN (PS3.5 section 6.2.2).
    """
    if not 0 <= length <= _UNDEFINED:
        raise EncodingError(f"a value of {length} bytes has no 32-bit length", path=format_tag(tag), clause="PS3.5 7.1")
    group, element = tag >> 16, tag & 0xFFFF
    if not explicit:
        return _IMPLICIT[big_endian].pack(group, element, length)
    form = _forms().get(vr)
    if form is None:
        raise EncodingError(f"{vr!r} is no VR", path=format_tag(tag), clause="PS3.5 6.2")
    code, long_form = form
    if long_form:
        return _LONG[big_endian].pack(group, element, code, 0, length)
    if length > SHORT_LENGTH_LIMIT:
        return _LONG[big_endian].pack(group, element, b"UN", 0, length)
    return _SHORT[big_endian].pack(group, element, code, length)


def encode_element(tag: int, vr: str, raw_value: bytes | memoryview, *, explicit: bool, big_endian: bool) -> bytes:
    """Header and value; the value is taken as it is, already padded and in the target's byte order."""
    return b"".join((element_header(tag, vr, len(raw_value), explicit=explicit, big_endian=big_endian), raw_value))


def item_header(length: int = _UNDEFINED, *, big_endian: bool = False) -> bytes:
    """(FFFE,E000) with its length, undefined by default."""
    return _IMPLICIT[big_endian].pack(0xFFFE, 0xE000, length)


def item_delimiter(*, big_endian: bool = False) -> bytes:
    """(FFFE,E00D)."""
    return _IMPLICIT[big_endian].pack(0xFFFE, 0xE00D, 0)


def sequence_delimiter(*, big_endian: bool = False) -> bytes:
    """(FFFE,E0DD)."""
    return _IMPLICIT[big_endian].pack(0xFFFE, 0xE0DD, 0)
