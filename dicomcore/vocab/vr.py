"""Value representations (PS3.5 section 6.2), one row each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ._tables import read_table

__all__ = ["VR", "VRS", "vr_code", "vr_name"]

_WORDS = {
    "uint16 pair": 2,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
}


class VR(NamedTuple):
    """``word`` is the unit that big endian order swaps; ``max_length`` in bytes or characters as in PS3.5, 0: open."""

    code: str
    name: str
    long_header: bool  # explicit header of 12 bytes with a 32-bit length, PS3.5 section 7.1.2
    max_length: int
    pad: bytes
    is_string: bool
    is_text: bool  # affected by Specific Character Set
    is_multi_valued: bool
    word: int


def vr_code(vr: str) -> int:
    """The two letters as one 16-bit number, first letter high; 0 for an empty string. Kernels know VRs by it."""
    return ord(vr[0]) << 8 | ord(vr[1]) if vr else 0


def vr_name(code: int) -> str:
    """Inverse of `vr_code`."""
    return chr(code >> 8) + chr(code & 0xFF) if code else ""


def _read() -> Mapping[str, VR]:
    rows = {}
    for vr, name, storage, length_bytes, max_length, _unit, pad, multi, text in read_table("vrs"):
        limit = int(max_length.split()[0]) if max_length.split()[:1] and max_length.split()[0].isdigit() else 0
        rows[vr] = VR(
            vr,
            name,
            length_bytes == "4",
            limit,
            bytes.fromhex(pad) or b"\0",
            storage == "text",
            text == "1",
            multi == "1",
            _WORDS.get(storage, 1),
        )
    return MappingProxyType(rows)


VRS: Mapping[str, VR] = _read()
