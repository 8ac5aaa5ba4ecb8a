"""A data set without the faults that writing can mend: what ``save_as(conform=True)`` writes (PS3.5 6.2, 7.1.1).

Mended: decimal strings over 16 bytes (to the nearest that fits), integer strings over 12 or written as fractions,
values of odd length, text padded with NUL and UIDs padded with spaces, numbers of which bytes are left over, codes in
lower case, dates and times in the form of before DICOM (1997.04.24, 14:04:38), ages of fewer than three digits, -0000
for UTC, and spaces that make a value too long or do not belong where they are. Kept as it is, with its Issue: what has
no one right form, such as text where a number belongs, or a name longer than its VR allows. So for what was assigned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from types import MappingProxyType

from ..encoding.rules import value_fault
from ..encoding.text import is_readable
from ..encoding.values import DS, IS, decode, format_decimal
from ..encoding.vrs import UNDEFINED_LENGTH
from ..vocab.vr import VRS
from .dataset import Dataset
from .element import Element
from .origin import TEXT_VRS

__all__ = ["conformed", "mended"]

_REPAIRS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "AS": lambda text: text.upper().zfill(4),
        "CS": str.upper,
        "DA": lambda text: text.replace(".", "") if text.count(".") == 2 else text,
        "DT": lambda text: re.sub(r"-0000\Z", "+0000", text),
        "TM": lambda text: text.replace(":", ""),
        **dict.fromkeys(("AE", "LO", "SH", "UI", "UR"), str),
    }
)
_LONGEST = {"DS": 16, "IS": 12}
_BULK = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])


def conformed(dataset: Dataset) -> Dataset:
    """A copy in which every faulty value that can be mended is; the data set itself stays as it is."""
    copy = deepcopy(dataset)
    levels = [copy]
    while levels:
        level = levels.pop()
        origin = level._origin
        for element in list(level):
            tag = int(element.tag)
            if element.VR == "SQ":
                levels += element.value
            elif tag in level._edits:
                if element.VR in _REPAIRS and element.value and not isinstance(element.value, bytes):
                    _mend_edit(level, tag, element)
            elif origin is not None:
                row = origin.index.find(tag)
                if origin.index.length_at(row) == UNDEFINED_LENGTH:
                    continue
                raw = origin.raw(row)
                if len(raw) % 2 == 0 and (element.VR in _BULK or len(raw) == 0):
                    continue
                value = mended(element.VR, bytes(raw))
                if value is not None and element.VR in TEXT_VRS and is_readable(value, origin.charsets, element.VR):
                    level._store(Element._of(level, tag, element.VR, decode(element.VR, value, False, origin.charsets)))
                elif value is not None:
                    level._store(Element._of(level, tag, element.VR, value))
    return copy


def _mend_edit(level: Dataset, tag: int, element: Element) -> None:
    values = [element.value] if isinstance(element.value, str) else list(element.value)
    repaired = [_repaired(element.VR, value) for value in values]
    if repaired != values:
        level._assign(tag, repaired)


def mended(vr: str, raw: bytes) -> bytes | None:
    """The value field as it should have been, not yet padded; None when there is nothing to mend, or no way to."""
    row = VRS[vr]
    if not row.is_string:
        odd = len(raw) % row.word if vr not in _BULK else 0
        return raw[: len(raw) - odd] if odd or len(raw) % 2 else None
    pad = b"\0" if vr == "UI" else b" "
    if vr in _REPAIRS and raw.isascii():
        values = raw.rstrip(b" \0").decode("ascii").split("\\")
        repaired = [_repaired(vr, value) for value in values]
        if repaired != values:
            return "\\".join(repaired).encode("ascii")
    parts = raw.rstrip(b" \0").split(b"\\")
    longest = _LONGEST.get(vr)
    if longest is not None:
        if any(len(part.strip(b" ")) > longest or (vr == "IS" and b"." in part) for part in parts):
            numbers = [_number(vr, part.strip(b" \0")) for part in parts]
            return None if None in numbers else b"\\".join(part for part in numbers if part is not None)
        if any(len(part) > longest for part in parts):
            return b"\\".join(part.strip(b" ") for part in parts)
    body = raw.rstrip(b" \0")
    padding = raw[len(body) :]
    is_padded = padding in (b"", pad) or (vr != "UI" and b"\0" not in padding)
    return None if len(raw) % 2 == 0 and is_padded else body


def _repaired(vr: str, value: str) -> str:
    """A value in the form that its VR wants; the value itself when that would still be wrong, or it is right."""
    if value_fault(vr, value) is None:
        return value
    mended = _REPAIRS[vr](value.strip(" \0"))
    return mended if mended and value_fault(vr, mended) is None else value


def _number(vr: str, part: bytes) -> bytes | None:
    """One numeric string that fits, the part itself where it does; None when it is no number."""
    try:
        text = part.decode("ascii")
        if len(text) <= _LONGEST[vr] and not (vr == "IS" and "." in text):
            return part
        fitting = format_decimal(float(DS(text))) if vr == "DS" else int.__repr__(IS(text))
    except (ValueError, OverflowError):
        return None
    return fitting.encode("ascii") if len(fitting) <= _LONGEST[vr] else None
