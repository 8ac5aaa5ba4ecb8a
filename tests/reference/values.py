"""The value kernel in plain Python: what each VR's field reads as, written from PS3.5 section 6.2 with library parsers.

Values come back as plain data: a list of them for several, ``None`` where the kernel leaves the field to its fallback.
Decimal and integer strings are (number, text as written). Text is read in the default repertoire, latin-1 beyond it.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import iter_unpack
from typing import Any

NUMBERS = {"FL": "f", "FD": "d", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
BULK = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")
WHITE = " \t\n\r\f\v"
ASCII_WHITE = WHITE + "\x1c\x1d\x1e\x1f"


def decode(vr: str, raw: bytes, big_endian: bool) -> Any:
    if not raw:
        return None
    if vr in NUMBERS:
        return _numbers(NUMBERS[vr], raw, big_endian)
    if vr in BULK:
        return raw
    text = raw.decode("iso8859_1")
    if vr == "AT":
        tags = [group << 16 | element for group, element in _pairs(raw, big_endian)]
        return tags[0] if len(raw) == 4 else tags
    if vr in ("LT", "ST", "UT"):
        return text.rstrip(" \0")
    if vr == "UR":
        return text.rstrip(WHITE + "\0")
    if vr == "DS":
        return _several(text.strip(ASCII_WHITE).rstrip(" \0"), _decimal)
    if vr == "IS":
        return _several(text.rstrip(" \0"), _integer)
    if vr == "AE":
        return _several(text, lambda one: one.strip(WHITE + "\0"))
    if vr == "PN":
        return _several(text.rstrip(" \0"), lambda one: one.rstrip("="))
    if vr in ("LO", "SH", "UC"):
        return _several(text, lambda one: one.rstrip(" \0"))
    return _several(text.rstrip(" \0"), str)


def _numbers(form: str, raw: bytes, big_endian: bool) -> Any:
    order = ">" if big_endian else "<"
    try:
        values = [value for (value,) in iter_unpack(order + form, raw)]
    except Exception:  # struct.error: no whole number of values
        return None
    return values[0] if len(values) == 1 else values


def _pairs(raw: bytes, big_endian: bool) -> list[tuple[int, int]]:
    whole = raw[: len(raw) // 4 * 4]
    return [(group, element) for group, element in iter_unpack(">HH" if big_endian else "<HH", whole)]


def _several(text: str, convert: Callable[[str], Any]) -> Any:
    try:
        values = [convert(one) for one in text.split("\\")]
    except ValueError:
        return None
    return values[0] if len(values) == 1 else values


def _decimal(text: str) -> Any:
    text_only = text.strip(ASCII_WHITE)
    return (float(text_only), text_only) if text_only else text


def _integer(text: str) -> Any:
    written = text.strip()
    if not written:
        return text
    try:
        return int(written), written
    except ValueError:
        number = float(written)
        return (int(number) if number.is_integer() else number), written
