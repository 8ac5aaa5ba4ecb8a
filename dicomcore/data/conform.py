"""A data set without the faults that writing can mend: what ``save_as(conform=True)`` writes (PS3.5 6.2, 7.1.1).

Mended: decimal strings over 16 bytes (to the nearest that fits), integer strings over 12 or written as fractions,
values of odd length, text padded with NUL and UIDs padded with spaces, numbers of which bytes are left over. Kept as it
is, with its Issue: what no rule can mend, such as text where a number belongs, or a string longer than its VR allows.
"""

from __future__ import annotations

from copy import deepcopy

from ..encoding.text import fitting_charsets
from ..encoding.values import DS, IS, decode, format_decimal
from ..encoding.vrs import UNDEFINED_LENGTH
from ..vocab.vr import VRS
from .dataset import Dataset
from .element import Element
from .origin import CHARSET, TEXT_VRS

__all__ = ["conformed", "fit_charset", "mended"]

_LONGEST = {"DS": 16, "IS": 12}
_BULK = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])


def conformed(dataset: Dataset) -> Dataset:
    """A copy in which every faulty unedited value is replaced; the data set itself stays as it is."""
    copy = deepcopy(dataset)
    levels = [copy]
    while levels:
        level = levels.pop()
        origin = level._origin
        for element in list(level):
            tag = int(element.tag)
            if element.VR == "SQ":
                levels += element.value
            elif origin is not None and tag not in level._edits:
                row = origin.index.find(tag)
                if origin.index.length_at(row) == UNDEFINED_LENGTH:
                    continue
                raw = origin.raw(row)
                if len(raw) % 2 == 0 and (element.VR in _BULK or len(raw) == 0):
                    continue
                value = mended(element.VR, bytes(raw))
                if value is not None and element.VR in TEXT_VRS:
                    level._store(Element._of(level, tag, element.VR, decode(element.VR, value, False, origin.charsets)))
                elif value is not None:
                    level._store(Element._of(level, tag, element.VR, value))
    return copy


def fit_charset(dataset: Dataset) -> tuple[str, ...]:
    """Declare a character set that holds all text, and answer its terms: the declared one where that does.

    Else it is the first single-byte set that does, or UTF-8 (PS3.3 C.12.1.1.2). Without it, text that the declared set
    does not have is refused when it is written. Items that declare a set of their own are seen to by themselves.
    """
    texts: list[str] = []
    levels = [dataset]
    while levels:
        for element in levels.pop():
            value = element.value
            if element.VR == "SQ":
                for item in value:
                    if CHARSET in item:
                        fit_charset(item)
                    else:
                        levels.append(item)
            elif element.VR in TEXT_VRS and value:
                texts += [value] if isinstance(value, str) else value
    declared = dataset._charsets()
    terms = fitting_charsets(texts, declared)
    if terms != declared:
        dataset._assign(CHARSET, list(terms))
    return terms


def mended(vr: str, raw: bytes) -> bytes | None:
    """The value field as it should have been, not yet padded; None when there is nothing to mend, or no way to."""
    row = VRS[vr]
    if not row.is_string:
        odd = len(raw) % row.word if vr not in _BULK else 0
        return raw[: len(raw) - odd] if odd or len(raw) % 2 else None
    pad = b"\0" if vr == "UI" else b" "
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
