"""Which VR an element has (PS3.5 sections 6.2.2, 7.8, A.1; PS3.6): from its header, or from what is known of its tag.

An explicit header is believed, but for ``UN`` on a known tag. Implicit elements take the VR of the dictionary, private
ones that of their creator's dictionary; where PS3.6 leaves a choice, the attributes in effect decide (`VRContext`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from ..vocab.dictionary import lookup, lookup_private, vr_rows
from ..vocab.vr import VRS, vr_code

__all__ = ["NO_CONTEXT", "UNDEFINED_LENGTH", "VRContext", "dictionary_vr", "resolve_vr", "single_vrs", "vr_for_value"]

UNDEFINED_LENGTH = 0xFFFFFFFF
_UN = vr_code("UN")
_NO_CREATORS: Mapping[int, str] = MappingProxyType({})
_PIXEL_DATA, _CURVE_DATA = 0x7FE00010, 0x50003000


@dataclass(frozen=True, slots=True)
class VRContext:
    """What decides a VR: the values in effect, from the data set itself or else the nearest one that encloses it.

    ``private_creators`` maps the tag of a creator element (gggg,00xx) to its value, and holds for this level only.
    """

    pixel_representation: int | None = None
    bits_allocated: int | None = None
    waveform_bits_allocated: int | None = None
    lut_entries: int | None = None  # value 1 of LUT Descriptor (0028,3002)
    private_creators: Mapping[int, str] = field(default_factory=lambda: _NO_CREATORS)


NO_CONTEXT = VRContext()


@cache
def _standard() -> Mapping[int, str]:
    return MappingProxyType({tag: vr for tag, vr in vr_rows() if vr})


def single_vrs() -> dict[int, str]:
    """Tag -> VR for all standard elements whose VR nothing else decides."""
    return {tag: vr for tag, vr in _standard().items() if len(vr) == 2}


@cache
def _names() -> Mapping[int, str]:
    return MappingProxyType({vr_code(vr): vr for vr in VRS})


def dictionary_vr(tag: int, context: VRContext = NO_CONTEXT) -> str | None:
    """The VR by dictionary, alternatives as PS3.6 writes them (``US or SS``); None where nothing is known."""
    vr = _standard().get(tag)
    if vr is not None:
        return vr
    element = tag & 0xFFFF
    if element == 0:
        return "UL"  # group length, PS3.5 section 7.2
    if not tag & 0x10000:
        entry = lookup(tag)
        return (entry.vr or None) if entry else None
    if element < 0x1000:
        return "LO" if 0x10 <= element <= 0xFF else None
    creator = context.private_creators.get(tag & 0xFFFF0000 | element >> 8)
    known = lookup_private(creator, tag) if creator is not None else None
    return known.vr if known else None


def resolve_vr(tag: int, raw_vr_code: int, length: int, context: VRContext = NO_CONTEXT) -> str:
    """The VR by which an element as read is understood; ``raw_vr_code`` is that of its header, 0 when implicit.

    ``UN`` is what remains: an unknown tag or a private element whose creator is missing. Undefined length without a VR
    means a sequence wherever it does not mean encapsulated pixel data (PS3.5 section 6.2.2, note 2).
    """
    if raw_vr_code and raw_vr_code != _UN:
        vr = _names().get(raw_vr_code)
        if vr is not None:
            return vr
        if length == UNDEFINED_LENGTH:
            return "UN"
    known = dictionary_vr(tag, context)
    if length == UNDEFINED_LENGTH and known != "SQ":
        return "OB" if tag == _PIXEL_DATA or known in ("OB", "OW", "OB or OW") else "SQ"
    if known is None:
        return "UN"
    return known if len(known) == 2 else _decide(tag, known, context, "OW")


def vr_for_value(tag: int, context: VRContext = NO_CONTEXT) -> str:
    """The VR that a newly assigned value is written with; unlike `resolve_vr`, 8-bit data are OB (A.2)."""
    vr = dictionary_vr(tag, context)
    if vr is None:
        return "UN"
    if len(vr) == 2:
        return vr
    bits = context.waveform_bits_allocated if tag >> 16 == 0x5400 else context.bits_allocated
    words = bits is None or bits > 8 or tag & 0xFF00FFFF == 0x60003000
    return _decide(tag, vr, context, "OW" if words else "OB")


def _decide(tag: int, alternatives: str, context: VRContext, bulk: str) -> str:
    if alternatives == "US or SS":
        return "SS" if context.pixel_representation else "US"
    if alternatives == "US or OW":
        return "US" if context.lut_entries == 1 else "OW"  # PS3.3 section C.11.1.1.1
    if alternatives == "OB or OW":
        return "OB" if tag & 0xFF00FFFF == _CURVE_DATA else bulk
    return "OW"  # Gray Lookup Table Data
