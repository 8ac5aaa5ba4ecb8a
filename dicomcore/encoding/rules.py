"""What the value field of a VR may hold (PS3.5 section 6.2): characters, form, range and length of each value.

Reading does not look at these rules, so they cost it nothing; `Dataset.check`, strict reading and
``save_as(conform=True)`` do. One expression over the whole field clears nearly every element at once; only what it
does not clear is taken apart. Lengths of text count characters, as PS3.5 does, escape sequences not included. Ranges
(``2024-2025``) and wildcards are for queries only (PS3.4 C.2.2.2), so here they are faults.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

from ..vocab.vr import VRS
from .temporal import parse_date, parse_datetime, parse_time

__all__ = ["TAKES", "count_fault", "field_fault", "value_fault"]

_INTEGERS = {"SL": 32, "SS": 16, "SV": 64, "UL": 32, "US": 16, "UV": 64}


def _range(vr: str) -> str:
    top = 1 << _INTEGERS[vr]
    low, high = (0, top - 1) if vr[0] == "U" else (-top // 2, top // 2 - 1)
    return f"integers from {low} to {high}"


#: what a value of the VR is, in words that complete "takes ..."
TAKES: Mapping[str, str] = MappingProxyType(
    {
        "AE": "text of at most 16 characters, not only spaces, without backslash or control characters",
        "AS": "ages such as 045Y: three digits and D, W, M or Y",
        "AT": "tags: a number, a pair, a keyword",
        "CS": "text of at most 16 capital letters, digits, spaces and underscores",
        "DA": "dates as YYYYMMDD",
        "DS": "decimal numbers of at most 16 characters",
        "DT": "date times as YYYYMMDDHHMMSS.FFFFFF&ZZXX",
        "FD": "numbers",
        "FL": "numbers in the range of 32-bit floating point",
        "IS": "integers from -2147483648 to 2147483647 in at most 12 characters",
        "LO": "text of at most 64 characters without control characters",
        "LT": "one text of at most 10240 characters, of control characters TAB, LF, FF, CR",
        "PN": "names of at most 3 component groups, each of at most 64 characters and 5 components",
        "SH": "text of at most 16 characters without control characters",
        "SQ": "a list of Datasets",
        "ST": "one text of at most 1024 characters, of control characters TAB, LF, FF, CR",
        "TM": "times as HHMMSS.FFFFFF",
        "UC": "text without control characters",
        "UI": "text of at most 64 digits and dots, no component with a leading zero",
        "UR": "one URI of the characters of RFC 3986",
        "UT": "one text, of control characters TAB, LF, FF, CR",
        **{vr: _range(vr) for vr in _INTEGERS},
        **{vr: "bytes" for vr in VRS if vr[0] == "O" or vr == "UN"},
    }
)
_AGE = re.compile(r"\d{3}[DWMY]")
_CODE = re.compile(r"[A-Z0-9 _]*")
_DECIMAL = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([Ee][+-]?\d+)? *", re.ASCII)
_INTEGER = re.compile(r" *[+-]?\d+ *", re.ASCII)
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*", re.ASCII)
_URI = re.compile(r"[!#-;=?-\[\]_a-z~]* *")
_TITLE = re.compile(r"[ -\[\]-~]*")
_LINE = re.compile(r"[^\x00-\x1a\x1c-\x1f\x7f]*")  # ESC belongs to code extensions
_TEXT = re.compile(r"[^\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]*")
_OLD = re.compile(r"[.:]\d\d[.:]|^\d\d:\d\d")
_LENGTHS: Mapping[str, int] = MappingProxyType(
    {"AE": 16, "CS": 16, "DS": 16, "DT": 26, "IS": 12, "LO": 64, "LT": 10240, "SH": 16, "ST": 1024, "TM": 14, "UI": 64}
)
# Whole fields that are surely right; what does not match may still be. DA to the 28th, IS to nine digits, and so on.
_CLEAR: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        vr: re.compile(rf"(?:{one})?(?:\\(?:{one})?)*", re.ASCII)
        for vr, one in {
            "AE": r"(?! *(?:\\|$))[ -\[\]-~]{1,16}",
            "AS": r"\d{3}[DWMY]",
            "CS": r"[A-Z0-9 _]{1,16}",
            "DA": r"(?!0000)\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|1\d|2[0-8])",
            "DS": r"(?=[^\\]{1,16}(?:\\|$)) *[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d+)? *",
            "IS": r"[+-]?\d{1,9}",
            "LO": r"[^\x00-\x1f\x7f\\]{1,64}",
            "PN": r"[^\x00-\x1f\x7f\\^=]{0,12}(?:\^[^\x00-\x1f\x7f\\^=]{0,12}){0,4}",
            "SH": r"[^\x00-\x1f\x7f\\]{1,16}",
            "TM": r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,6})?)?)?",
            "UI": r"(?=[^\\]{1,64}(?:\\|$))(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))*",
        }.items()
    }
)


def _moment(parse: Callable[[str], object], text: str) -> str | None:
    if _OLD.search(text):
        return "is in the form of before DICOM"
    if text.startswith(" "):
        return "starts with a space"
    try:
        parse(text)
    except ValueError:
        return ""
    return "says -0000 where UTC is +0000" if text.rstrip(" ").endswith("-0000") and len(text) > 8 else None


def _form(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    return lambda text: None if pattern.fullmatch(text) else ""


def _title(text: str) -> str | None:
    return "" if not _TITLE.fullmatch(text) else None if text.strip(" ") else "has nothing but spaces"


def _integer(text: str) -> str | None:
    return None if _INTEGER.fullmatch(text) and -(1 << 31) <= int(text) < 1 << 31 else ""


def _name(text: str) -> str | None:
    groups = text.split("=")
    if len(groups) > 3:
        return f"has {len(groups)} component groups"
    if longest := max((len(group) for group in groups if len(group) > 64), default=0):
        return f"has a component group of {longest} characters"
    if any(group.count("^") > 4 for group in groups):
        return "has more than 5 components in a group"
    return _form(_LINE)(text)


#: VR -> what is wrong with one value: None nothing, "" that it is none, else in words
_FAULTS: Mapping[str, Callable[[str], str | None]] = MappingProxyType(
    {
        "AE": _title,
        "AS": _form(_AGE),
        "CS": _form(_CODE),
        "DA": lambda text: _moment(parse_date, text),
        "DS": _form(_DECIMAL),
        "DT": lambda text: _moment(parse_datetime, text),
        "IS": _integer,
        "LO": _form(_LINE),
        "LT": _form(_TEXT),
        "PN": _name,
        "SH": _form(_LINE),
        "ST": _form(_TEXT),
        "TM": lambda text: _moment(parse_time, text),
        "UC": _form(_LINE),
        "UI": _form(_UID),
        "UR": _form(_URI),
        "UT": _form(_TEXT),
    }
)


def value_fault(vr: str, value: str) -> str | None:
    """What is wrong with one value of a string VR, as words that follow it; None for nothing. Empty is never wrong."""
    if not value:
        return None
    if (longest := _LENGTHS.get(vr)) is not None and len(value) > longest:
        return f"is {len(value)} characters long: {vr} takes {TAKES[vr]}"
    fault = _FAULTS[vr](value) if vr in _FAULTS else None
    return None if fault is None else f"{fault or 'is wrong'}: {vr} takes {TAKES[vr]}"


def field_fault(vr: str, text: str) -> str | None:
    """What is wrong with a whole field of a string VR, decoded but not stripped; its first faulty value is named."""
    pad = "\0" if vr == "UI" else " "
    body = text.rstrip(" \0")
    padding = text[len(body) :]
    clear = _CLEAR.get(vr)
    if clear is None or not clear.fullmatch(body):
        values = body.split("\\") if VRS[vr].is_multi_valued else [body]
        found = [(number, value, fault) for number, value in enumerate(values) if (fault := value_fault(vr, value))]
        if found:
            number, value, fault = found[0]
            shown = repr(value if len(value) <= 72 else value[:69] + "...")
            where = f"value {number + 1} of {len(values)}, " if len(values) > 1 else ""
            more = f"; {len(found)} values are" if len(found) > 1 else ""
            return f"{where}{shown} {fault}{more}"
    if padding.strip(pad):
        return f"{vr} is padded with {'spaces' if vr == 'UI' else 'NUL'}, not with {'NUL' if vr == 'UI' else 'spaces'}"
    return "'' has nothing but spaces: AE takes " + TAKES["AE"] if vr == "AE" and not body and padding else None


@cache
def _counts(vm: str) -> tuple[int, int, int] | None:
    """``2-2n`` -> (2, 0, 2): at least, at most (0: no bound), in multiples of."""
    match = re.fullmatch(r"(\d+)(?:-(\d*)(n?))?", vm)
    if match is None:
        return None
    low, high, open_end = int(match[1]), match[2], match[3]
    if high is None:
        return low, low, 1
    return (low, 0, int(high or 1)) if open_end else (low, int(high), 1)


def count_fault(vm: str, count: int) -> str | None:
    """What is wrong with so many values where PS3.6 has the multiplicity ``vm``; none at all is right."""
    bounds = _counts(vm)
    if bounds is None or count == 0:
        return None
    low, high, step = bounds
    if low <= count and (not high or count <= high) and count % step == 0:
        return None
    return f"{count} value{'s' * (count != 1)} where the multiplicity is {vm}"
