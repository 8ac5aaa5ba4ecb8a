"""Value fields to Python values and back (PS3.5 section 6.2), by the conventions of pydicom.

| VR | one value | several | empty |
|---|---|---|---|
| AE AS CS DA DT LO SH TM UC | str | MultiValue[str] | "" |
| LT ST UR UT | str, backslash is a character | | "" |
| PN / UI / AT | PersonName / UID / Tag | MultiValue of them | PersonName("") / "" / None |
| DS / IS | DS (a float) / IS (an int), both keep how they were written | MultiValue | None |
| FL FD SL SS SV UL US UV | float or int | MultiValue | None |
| OB OD OF OL OV OW UN | bytes, in the byte order of the data set | | None |

Reading never raises on bytes: a number that is none is given as text, a value field that is no whole number of values
as bytes, each with an `Issue`. Writing refuses what the VR cannot hold, and keeps DS within 16 and IS within 12 bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from functools import partial
from struct import Struct
from struct import error as struct_error
from types import MappingProxyType
from typing import Any, Self

from .._core.arrays import format_decimal as _format_plain
from .._core.values import DS, Decoder, MultiValue
from ..errors import EncodingError, Issue
from ..vocab.tag import Tag, parse_tag
from ..vocab.uids import UID
from ..vocab.vr import VRS
from .person_name import PersonName
from .rules import TAKES
from .temporal import moment_text
from .text import decode_text, encode_text

__all__ = ["DS", "IS", "MultiValue", "decode", "empty_value", "encode", "format_decimal"]


class IS(int):
    """An integer string: an int that remembers how it was written."""

    _text: str | None = None  # when it is not what the number itself would be written as

    def __new__(cls, value: str | int | float | Decimal = 0) -> Self:
        if isinstance(value, str):
            text = value.strip()
            try:
                self = super().__new__(cls, text)
            except ValueError:
                number = float(text)
                if not number.is_integer():
                    raise ValueError(f"{text!r} is no integer") from None
                self = super().__new__(cls, number)
            if text != int.__repr__(self):
                self._text = text
            return self
        self = super().__new__(cls, value)
        if self != value:
            raise ValueError(f"{value!r} is no integer")
        if isinstance(value, IS) and value._text is not None:
            self._text = value._text
        return self

    @property
    def original_string(self) -> str:
        return self._text or int.__repr__(self)

    def __eq__(self, other: object) -> bool:
        return self.original_string == other if isinstance(other, str) else int.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__

    def __str__(self) -> str:
        return self.original_string

    def __repr__(self) -> str:
        return f"'{int.__repr__(self)}'"

    def __format__(self, spec: str) -> str:
        return int.__format__(self, spec) if spec else str(self)


def _read_integer(value: str) -> IS | DS | str:
    """As pydicom: blank stays text, a fraction where an integer belongs becomes a float."""
    if not value.strip():
        return value
    try:
        return IS(value)
    except ValueError:
        return DS(value.strip())


_NAME = PersonName("")
_NUMBERS: Mapping[str, tuple[Struct, Struct]] = MappingProxyType(
    {
        vr: (Struct("<" + form), Struct(">" + form))
        for vr, form in {"FL": "f", "FD": "d", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}.items()
    }
)
_TAG = (Struct("<HH"), Struct(">HH"))
_BULK = MappingProxyType({"OB": "B", "OW": "H", "OL": "I", "OV": "Q", "OF": "f", "OD": "d", "UN": "B"})
_NONE_WHEN_EMPTY = frozenset([*_NUMBERS, *_BULK, "DS", "IS", "AT"])
_TEXT = frozenset(vr for vr, row in VRS.items() if row.is_text)
_PLAIN = frozenset(vr for vr, row in VRS.items() if row.is_string and not row.is_text)


def empty_value(vr: str) -> str | None:
    """What an empty value field reads as."""
    return None if vr in _NONE_WHEN_EMPTY else _NAME if vr == "PN" else UID("") if vr == "UI" else ""


def _fallback(vr: str, raw: bytes, issues: list[Issue] | None) -> Any:
    """What the kernel leaves: empty fields, numbers of a wrong length, text that is no number."""
    if not raw:
        return empty_value(vr)
    if issues is not None:
        issues.append(Issue(f"{len(raw)} bytes are no value of {vr}: {raw[:32]!r}", clause="PS3.5 6.2"))
    if vr not in ("DS", "IS"):
        return raw
    values = [one.rstrip(" \0") for one in raw.decode("iso8859_1").split("\\")]
    return values[0] if len(values) == 1 else MultiValue(values)


decode = Decoder(
    uid=UID,
    tag=Tag,
    name=PersonName,
    integer=partial(int.__new__, IS),
    integer_text=_read_integer,
    text=decode_text,
    fallback=_fallback,
).decode


def _fail(vr: str, value: object, why: str) -> EncodingError:
    shown = repr(value)
    return EncodingError(
        f"{shown if len(shown) <= 80 else shown[:77] + '...'} {why}",
        clause=f"PS3.5 6.2 {vr}",
        hint=f"{vr} takes {TAKES[vr]}" if vr in TAKES else None,
    )


def encode(vr: str, value: Any, big_endian: bool = False, charsets: tuple[str, ...] = ()) -> bytes:
    """The padded, even value field of ``value``; bytes are taken as they are. EncodingError if it does not fit."""
    row = VRS.get(vr)
    if row is None:
        raise _fail(vr, value, "has no such VR")
    if value is None or (isinstance(value, (str, list, tuple)) and not value):
        return b""
    if isinstance(value, (bytes, bytearray)):
        raw = bytes(value)
    elif vr in _NUMBERS:
        raw = _encode_numbers(vr, value, big_endian)
    elif vr in _BULK:
        raw = _encode_bulk(vr, value, big_endian)
    elif vr in _TEXT:
        raw = encode_text(_join(vr, value, str), charsets, vr)
    elif vr in _PLAIN:
        convert = _CONVERTERS.get(vr, str)
        try:
            raw = _join(vr, value, convert).encode("ascii")
        except UnicodeEncodeError:
            raise _fail(vr, value, "has characters beyond the default repertoire") from None
    elif vr == "AT":
        raw = b"".join(_encode_tag(one, big_endian) for one in _many(value, pair=True))
    else:
        raise _fail(vr, value, "is no value field")
    return raw + row.pad if len(raw) % 2 else raw


def _many(value: Any, pair: bool = False) -> Iterable[Any]:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (str, int, float, Decimal)) or not isinstance(value, Iterable):
        return (value,)
    if pair and isinstance(value, tuple) and len(value) == 2:
        is_pair = all(isinstance(one, int) and 0 <= one <= 0xFFFF for one in value)
        return (value,) if is_pair else value
    return value


def _join(vr: str, value: Any, convert: Callable[[Any], str]) -> str:
    if type(value) is str and convert is str:
        return value
    parts = [convert(one) if one is not None else "" for one in _many(value)]
    if len(parts) > 1 and not VRS[vr].is_multi_valued:
        raise _fail(vr, value, "has several values where one is allowed")
    if convert is str and len(parts) > 1 and any("\\" in part for part in parts):
        raise _fail(vr, value, "has a backslash within one of several values")
    return "\\".join(parts)


def _encode_numbers(vr: str, value: Any, big_endian: bool) -> bytes:
    form = _NUMBERS[vr][big_endian]
    if (buffer := _array_bytes(value, form.format)) is not None:
        return buffer
    try:
        if isinstance(value, (int, float)):
            return form.pack(value)
        many = tuple(_many(value))
        return Struct(f"{form.format[0]}{len(many)}{form.format[1]}").pack(*many)
    except (struct_error, OverflowError, TypeError):
        raise _fail(vr, value, "does not fit") from None


def _array_bytes(value: Any, form: str) -> bytes | None:
    """The bytes of a numpy array in the wanted type and order; None when it is no array. Refuses to change a number."""
    if not hasattr(value, "astype") or not hasattr(value, "tobytes"):
        return None
    wanted = value.astype(form)
    if value.dtype.kind != "f" and not (wanted == value).all():
        raise EncodingError(f"an array of {value.dtype} has values that {form} cannot hold", clause="PS3.5 6.2")
    if value.dtype.kind == "f" and form[-1] not in "fd" and not (wanted == value).all():
        raise EncodingError(f"an array of {value.dtype} has values that {form} cannot hold", clause="PS3.5 6.2")
    return bytes(wanted.tobytes())


def _encode_bulk(vr: str, value: Any, big_endian: bool) -> bytes:
    form = "<>"[big_endian] + _BULK[vr]
    if hasattr(value, "dtype"):
        if vr in ("OB", "OW", "UN"):  # whatever the samples are, PS3.5 section 8.1.1
            return bytes(value.astype(value.dtype.newbyteorder("<>"[big_endian])).tobytes())
        return _array_bytes(value, form) or b""
    if isinstance(value, memoryview):
        return value.tobytes()
    if isinstance(value, Sequence) and not isinstance(value, str):
        try:
            return Struct(f"{form[0]}{len(value)}{form[1]}").pack(*value)
        except struct_error:
            raise _fail(vr, value, "does not fit") from None
    raise _fail(vr, value, "is not bytes")


def _encode_tag(value: Any, big_endian: bool) -> bytes:
    try:
        tag = parse_tag(value)
    except ValueError:
        raise _fail("AT", value, "is no tag") from None
    return _TAG[big_endian].pack(tag >> 16, tag & 0xFFFF)


_DECIMAL = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([Ee][+-]?\d+)? *")
_INTEGER = re.compile(r" *[+-]?\d+ *")


def _decimal_text(value: Any) -> str:
    if isinstance(value, str) or hasattr(value, "original_string"):
        text = str(value).strip(" ")
        if not text:
            return ""
        if _DECIMAL.fullmatch(text):
            return text if len(text) <= 16 else format_decimal(float(text))
        raise _fail("DS", value, "is no decimal number")
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        text = str(value)
        if len(text) <= 16 and _DECIMAL.fullmatch(text):
            return text
    try:
        return format_decimal(float(value))
    except (TypeError, ValueError, OverflowError):
        raise _fail("DS", value, "is no finite number") from None


def format_decimal(value: float) -> str:
    """The decimal string of at most 16 characters nearest to ``value``, the shortest of those that read back equal."""
    plain = _format_plain(value)
    if plain is not None:
        return plain
    if not math.isfinite(value):
        raise ValueError(f"{value!r} has no decimal string")
    text = float.__repr__(value)
    if len(text) <= 16:
        return text
    for digits in range(16, 0, -1):
        for form in ("f", "e"):
            text = _compact(value, digits, form)
            if len(text) <= 16 and math.isfinite(float(text)):
                return text
    raise ValueError(f"{value!r} has no decimal string")  # pragma: no cover - one digit always fits


def _compact(value: float, digits: int, form: str) -> str:
    """``value`` to so many significant digits, fixed (``f``) or scientific without idle characters (``e``)."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if form == "e":
        plain = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{plain}e{power}"
    return f"{value:.{max(digits - 1 - power, 0)}f}"


def _integer_text(value: Any) -> str:
    if isinstance(value, str):
        text = value.strip(" ")
        if not text:
            return ""
        if not _INTEGER.fullmatch(text):
            raise _fail("IS", value, "is no integer")
    else:
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            raise _fail("IS", value, "is no integer") from None
        if number != value:
            raise _fail("IS", value, "is no integer")
        text = value.original_string if isinstance(value, IS) else int.__repr__(number)
    if len(text) > 12:
        text = int.__repr__(int(text)) if _INTEGER.fullmatch(text) else int.__repr__(int(value))
        if len(text) > 12:
            raise _fail("IS", value, "takes more than 12 characters")
    return text if _INTEGER.fullmatch(text) else int.__repr__(int(value))


def _moment_text(vr: str, value: Any) -> str:
    if isinstance(value, (date, time)):
        try:
            return moment_text(vr, value)
        except ValueError as error:
            raise _fail(vr, value, str(error)) from None
    return str(value)


_CONVERTERS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {"DS": _decimal_text, "IS": _integer_text, **{vr: partial(_moment_text, vr) for vr in ("DA", "TM", "DT")}}
)
