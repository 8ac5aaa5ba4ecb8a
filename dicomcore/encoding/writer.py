"""Headers, items and delimiters as bytes (PS3.5 sections 7.1, 7.5), and re-encoding of whole runs of elements."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from struct import Struct
from types import MappingProxyType
from typing import Literal

from .._core.reencode import FAULTS, VRTable
from .._core.reencode import reencode as _reencode
from ..errors import EncodingError, Issue
from ..limits import DEFAULT_LIMITS, Limits
from ..vocab.dictionary import private_rows, repeating_rows, vr_rows
from ..vocab.tag import format_tag
from ..vocab.vr import VRS
from .vrs import NO_CONTEXT, VRContext

__all__ = [
    "SHORT_LENGTH_LIMIT",
    "UNSWAPPED",
    "Lengths",
    "element_header",
    "encode_element",
    "item_delimiter",
    "item_header",
    "reencode",
    "sequence_delimiter",
]

UNSWAPPED = FAULTS[6][0]  # the one fault of `reencode` after which all bytes are where they belong
SHORT_LENGTH_LIMIT = 0xFFFE  # the longest even value that a 16-bit length can give
_UNDEFINED = 0xFFFFFFFF
Lengths = Literal["defined", "undefined"]
_LENGTHS: Mapping[Lengths | None, int] = MappingProxyType({None: 0, "defined": 1, "undefined": 2})
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


@cache
def _table() -> VRTable:
    return VRTable(vr_rows(), repeating_rows(), private_rows())


def reencode(
    view: bytes | bytearray | memoryview,
    *,
    source: tuple[bool, bool],
    target: tuple[bool, bool],
    context: VRContext = NO_CONTEXT,
    limits: Limits = DEFAULT_LIMITS,
    lengths: Lengths | None = None,
    issues: list[Issue] | None = None,
) -> bytes:
    """A run of whole elements in another encoding; ``source`` and ``target`` are (explicit, big_endian).

    Sequences and items keep the kind of length they have, or all get ``lengths``; defined ones are recomputed. Group
    lengths are dropped; fragments of pixel data and values of unknown content are copied. ``context`` gives what is in
    effect at the start of the run. A fault that leaves a readable result is repaired and appended to ``issues`` (the
    first 64, by offset in the run); without a list it raises EncodingError.
    """
    faults: list[tuple[int, int, int]] | None = None if issues is None else []
    result = _reencode(
        view,
        *source,
        *target,
        _table(),
        pixel_representation=-1 if context.pixel_representation is None else context.pixel_representation,
        lut_entries=-1 if context.lut_entries is None else context.lut_entries,
        private_creators=context.private_creators.items(),
        nesting_depth=limits.nesting_depth,
        lengths=_LENGTHS[lengths],
        faults=faults,
    )
    if issues is not None and faults:
        for kind, offset, tag in faults:
            message, clause = FAULTS[kind]
            issues.append(Issue(message, offset=offset, path=format_tag(tag) if tag else None, clause=clause))
    return result
