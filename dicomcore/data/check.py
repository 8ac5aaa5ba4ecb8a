"""Every value of a data set held against PS3.5 section 6.2 and the multiplicity of PS3.6: what ``ds.check()`` does.

Reading all values brings out the faults that reading itself meets; on top come values that read well and yet are none
of their VR: a wrong date, a code in lower case, a name too long. So do groups that no data set has, and pixel data that
are not in the form that the transfer syntax gives them. Each is an `Issue` with offset, path and clause.
Those of unedited elements stay in ``ds.issues`` (a strict policy raises them), those of edits are only answered: an
edit has no offset and may be mended before it is written. Refuses to judge the IOD: which attributes belong here.
"""

from __future__ import annotations

from typing import Any

from ..encoding.rules import count_fault, field_fault
from ..encoding.text import decode_text
from ..encoding.values import MultiValue, encode
from ..errors import EncodingError, Issue
from ..vocab.dictionary import lookup
from ..vocab.tag import format_tag
from ..vocab.vr import VRS
from .deep import iter_all
from .origin import TEXT_VRS, as_charsets

__all__ = ["check"]

_NUMBERS = frozenset(["DS", "IS"])
_PIXEL_DATA = 0x7FE00010
_FOREIGN = {0: "PS3.7 6.3.1", 2: "PS3.10 7.1", **dict.fromkeys((1, 3, 5, 7, 0xFFFF), "PS3.5 7.8")}


def check(dataset: Any) -> list[Issue]:
    """All faults of a data set, its items and its file meta information: ``ds.issues``, then those of edits."""
    found: list[Issue] = []
    if dataset._origin is None or dataset._origin.parent is None:
        _check_level(dataset.file_meta, found, is_meta=True)
        _check_pixels(dataset)
    _check_level(dataset, found)
    return [*dataset.issues, *found] if found else list(dataset.issues)


def _check_pixels(dataset: Any) -> None:
    """Whether the pixel data that were read are fragments where the syntax has fragments, and only there."""
    origin = dataset._origin
    layout = origin.file.layout if origin is not None else None
    if layout is None or not layout.syntax.known:
        return
    row = origin.index.find(_PIXEL_DATA)
    if row < 0 or not origin.index.length_at(row):
        return
    is_encapsulated = origin.index.is_encapsulated(row)
    if is_encapsulated != layout.syntax.encapsulated:
        message = f"pixel data {'in fragments' if is_encapsulated else 'without fragments'} in {layout.syntax}"
        origin.report(Issue(message, origin.offset_of(_PIXEL_DATA), format_tag(_PIXEL_DATA), "PS3.5 A.4"))


def _check_level(root: Any, found: list[Issue], *, is_meta: bool = False) -> None:
    paths: dict[int, tuple[str, tuple[str, ...]]] = {id(root): ("", root._charsets())}
    for element in iter_all(root):
        level, tag, vr = element._owner, int(element.tag), element.VR
        path, charsets = paths[id(level)]
        here = f"{path}.{format_tag(tag)}" if path else format_tag(tag)
        value = element.value
        is_read = level._origin is not None and tag not in level._edits
        faults: list[tuple[str, str | None]] = []
        if not is_meta and tag >> 16 in _FOREIGN:
            faults.append((f"group {tag >> 16:04X} belongs into no data set", _FOREIGN[tag >> 16]))
        if vr == "SQ":
            for number, item in enumerate(value):
                own = as_charsets(item._value(0x00080005, None)) if 0x00080005 in item else charsets
                paths[id(item)] = f"{here}[{number}]", own
        else:
            faults += _faults(level, element, tag, vr, value, charsets, is_read)
        for message, clause in faults:
            if is_read:
                origin = level._origin
                origin.report(Issue(message, origin.offset_of(tag), origin.path_of(tag), clause))
            else:
                found.append(Issue(message, None, here, clause))


def _faults(
    level: Any, element: Any, tag: int, vr: str, value: Any, charsets: tuple[str, ...], is_read: bool
) -> list[tuple[str, str | None]]:
    """(message, clause) of what is wrong with the value of one element; what reading has told already is left out."""
    row = VRS[vr[:2]]
    faults: list[tuple[str, str | None]] = []
    count = len(value) if isinstance(value, MultiValue) else int(value is not None and value != "")
    if row.is_string:
        try:
            raw = bytes(level.view(tag)) if is_read else encode(vr, value, False, charsets)
        except EncodingError as error:
            return [(error.message, error.clause)]
        own = level._origin.charsets if is_read else charsets
        text = raw.decode("ascii") if raw.isascii() and b"\x1b" not in raw else _text(raw, own, vr)
        is_told = vr in _NUMBERS and is_read and _is_no_number(value)
        if not is_told and (fault := field_fault(vr, text)) is not None:
            faults.append((fault, f"PS3.5 6.2 {vr}"))
    elif not is_read:
        try:
            if not isinstance(value, bytes) and " or " not in vr:
                encode(vr, value, False, charsets)
        except EncodingError as error:
            return [(error.message, error.clause)]
    elif isinstance(value, bytes) and len(value) % row.word and vr[0] == "O":
        faults.append((f"{len(value)} bytes are no whole number of values of {vr}", f"PS3.5 6.2 {vr}"))
    is_counted = row.is_multi_valued and not (isinstance(value, bytes) and not row.is_string)
    if is_counted and not tag & 0x10000 and (entry := lookup(tag)) is not None:
        fault = count_fault(entry.vm, count)
        if fault is not None:
            faults.append((f"{fault} by PS3.6", "PS3.5 6.4"))
    return faults


def _text(raw: bytes, charsets: tuple[str, ...], vr: str) -> str:
    return decode_text(raw, charsets, vr) if vr in TEXT_VRS else raw.decode("latin-1")


def _is_no_number(value: Any) -> bool:
    """Whether reading has left text where numbers belong, and told so."""
    values = value if isinstance(value, MultiValue) else [value]
    return any(isinstance(one, str) and one.strip() for one in values)
