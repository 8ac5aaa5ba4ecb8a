"""What the JSON model (PS3.18 annex F) and the XML model (PS3.19 annex A.1) share: elements as rows of values or bytes.

Promises: every element finds a form. Numeric text that is no number stays text; what has no form in its VR (a number
field of odd length, a name of four groups) is carried as UN with its value field, byte for byte. Refuses on the way
back what the VR cannot hold, with the path.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..encoding.person_name import PersonName
from ..encoding.values import DS, IS, MultiValue, decode, empty_value, encode
from ..encoding.vrs import dictionary_vr
from ..errors import DicomError, EncodingError, LimitExceeded
from ..limits import Limits
from ..vocab.tag import format_tag, is_private_creator
from ..vocab.vr import VRS
from .dataset import Dataset
from .element import Element

__all__ = [
    "BINARY",
    "GROUPS",
    "BulkReader",
    "BulkWriter",
    "FailingAt",
    "Field",
    "charsets_in",
    "check_depth",
    "checked_vr",
    "is_within",
    "iter_fields",
    "place",
    "settle",
    "tag_of",
    "value_of",
]

BulkWriter = Callable[[Element], str | None]
BulkReader = Callable[[str], Any]

BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
# PS3.18 F.2.2: which VRs may be held elsewhere; PS3.19 A.1.5 knows no bound.
_BULK = BINARY | {"DS", "FD", "FL", "IS", "LT", "SL", "SS", "ST", "SV", "UC", "UL", "US", "UT", "UV"}
_RANGES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "SL": (-(1 << 31), (1 << 31) - 1),
        "SS": (-(1 << 15), (1 << 15) - 1),
        "SV": (-(1 << 63), (1 << 63) - 1),
        "UL": (0, (1 << 32) - 1),
        "US": (0, (1 << 16) - 1),
        "UV": (0, (1 << 64) - 1),
    }
)
_NON_FINITE = MappingProxyType({"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf})
_HEX = re.compile("[0-9A-Fa-f]{8}")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,40}\s*")
_DECIMAL = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([Ee][+-]?[0-9]+)?\s*")
_CHARSET = 0x00080005
_UTF8 = ("ISO_IR 192",)


class Field(NamedTuple):
    """An element in the models: exactly one of ``values`` (items of a sequence too), ``inline`` and ``uri``."""

    tag: int
    vr: str
    values: list[Any] | None = None
    inline: bytes | None = None
    uri: str | None = None


def iter_fields(
    dataset: Dataset,
    bulk_data: BulkWriter | None,
    threshold: int,
    can_hold: Callable[[str, list[Any]], bool],
    charsets: tuple[str, ...],
) -> Iterator[Field]:
    """The elements of one level but for group lengths and file meta information.

    Values of a VR for which ``can_hold`` says no are carried as UN.
    """
    for element in dataset:
        tag, vr = int(element.tag), element.VR
        if not tag & 0xFFFF or tag >> 16 == 2:
            continue
        value = element.value
        if vr == "SQ":
            yield Field(tag, vr, values=value)
            continue
        if isinstance(value, bytes):
            value = dataset._little_endian(vr, value)
        if bulk_data is not None and vr in _BULK and _length(vr, value) > threshold:
            uri = bulk_data(Element(tag, vr, value) if isinstance(value, bytes) and vr in BINARY else element)
            if uri is not None:
                yield Field(tag, vr, uri=str(uri))
                continue
        if isinstance(value, bytes):
            yield Field(tag, vr if vr in BINARY or not value else "UN", inline=value)
            continue
        values = _values(value)
        if can_hold(vr, values):
            yield Field(tag, vr, values=values)
        else:
            yield Field(tag, "UN", inline=_carried(dataset, element, charsets))


def _values(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [None if one == "" else one for one in value]
    return [] if value is None or value == "" else [value]


def _length(vr: str, value: Any) -> int:
    """Bytes that the value field takes, text counted in UTF-8."""
    if isinstance(value, bytes):
        return len(value)
    values, row = _values(value), VRS[vr]
    return sum(len(str(one).encode()) + 1 for one in values) if row.is_string else len(values) * row.word


def charsets_in(dataset: Dataset, inherited: tuple[str, ...]) -> tuple[str, ...]:
    """The terms in effect; an item that was not read inherits those of the level around it."""
    return dataset._charsets() if _CHARSET in dataset or dataset._origin is not None else inherited


def _carried(dataset: Dataset, element: Element, charsets: tuple[str, ...]) -> bytes:
    """The value field, little endian."""
    if int(element.tag) in dataset._edits:
        return encode(element.VR, element.value, False, charsets)
    return dataset._little_endian(element.VR, bytes(dataset.view(element.tag)))


def is_within(vr: str, values: list[Any]) -> bool:
    """Whether the models have a form for the values: all but names of more than three groups."""
    return vr != "PN" or all(one is None or one.count("=") < len(GROUPS) for one in values)


# -- the way back ---------------------------------------------------------------------------------------------------


class FailingAt:
    """Turns what goes wrong with one element into an `EncodingError` with its path."""

    __slots__ = ("clause", "path")

    def __init__(self, path: str, clause: str) -> None:
        self.path = path
        self.clause = clause

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (ValueError, TypeError, OverflowError, ArithmeticError, Base64Error)) and not isinstance(
            error, DicomError
        ):
            raise EncodingError(f"no element of the model: {error}", path=self.path, clause=self.clause) from error
        if isinstance(error, DicomError) and error.path is None:
            error.path = self.path


def tag_of(text: object) -> int:
    """The tag of eight hexadecimal digits; ValueError."""
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise ValueError(f"{text!r:.40} is no tag of 8 hexadecimal digits")
    tag = int(text, 16)
    if tag >> 16 == 0xFFFE:
        raise ValueError(f"{format_tag(tag)} delimits items, it is no element")
    return tag


def checked_vr(vr: object, tag: int) -> str:
    """The VR as given; where none is given that of the dictionary. ValueError."""
    if vr is None and len(known := dictionary_vr(tag) or "") == 2:
        return known
    if not isinstance(vr, str) or vr not in VRS:
        raise ValueError(f"{vr!r:.40} is no value representation")
    return vr


def place(dataset: Dataset, tag: int, vr: str, value: Any) -> None:
    """Set an element; file meta information goes where it belongs, group lengths nowhere. ValueError if it is there."""
    if not tag & 0xFFFF:
        return
    target = dataset.file_meta if tag >> 16 == 2 else dataset
    if tag in target:
        if is_private_creator(tag) and target[tag].value == value:
            return  # its block was needed first
        raise ValueError("the element is there twice")
    if vr in ("DS", "IS"):  # kept as read, numbers or not
        target._store(Element._of(target, tag, vr, MultiValue(value) if isinstance(value, list) else value))
    else:
        target.add_new(tag, vr, value)


def settle(dataset: Dataset) -> Dataset:
    """Both models are Unicode; text beyond ASCII that comes without Specific Character Set gets UTF-8."""
    if _CHARSET not in dataset and not _is_ascii(dataset):
        dataset.add_new(_CHARSET, "CS", _UTF8[0])
    return dataset


def _is_ascii(dataset: Dataset) -> bool:
    for element in dataset:
        value = element.value
        if element.VR == "SQ":
            if not all(_CHARSET in item or _is_ascii(item) for item in value):
                return False
        elif VRS[element.VR].is_text:
            for one in value if isinstance(value, list) else (value,):
                if one and not str(one).isascii():
                    return False
    return True


def check_depth(depth: int, limits: Limits, path: str) -> None:
    if depth > limits.nesting_depth:
        raise LimitExceeded(f"items nested deeper than {limits.nesting_depth}", path=path, hint="see Limits")


def value_of(vr: str, values: list[Any] | None, inline: object, uri: object, bulk_data: BulkReader | None) -> Any:
    """The Python value of an element of any VR but SQ from one of ``values``, base64 text and URI; ValueError."""
    if inline is not None:
        if not isinstance(inline, str):
            raise TypeError("InlineBinary is no text")
        return _value_of_bytes(vr, b64decode("".join(inline.split()), validate=True))
    if uri is not None:
        if not isinstance(uri, str):
            raise TypeError("the URI of bulk data is no text")
        value = bulk_data(uri) if bulk_data is not None else None
        if isinstance(value, (bytes, bytearray, memoryview)):
            return _value_of_bytes(vr, bytes(value))
        return empty_value(vr) if value is None else value
    if vr in BINARY:
        if values:
            raise ValueError(f"{vr} has no Value but InlineBinary or bulk data")
        return None
    row = VRS[vr]
    read: Callable[[str, Any], Any] = _READERS.get(vr, _text)
    found = [(_null(vr) if one is None else read(vr, one)) for one in values or ()]
    if not found or found == [None]:
        return empty_value(vr)
    if len(found) == 1:
        return found[0]
    if not row.is_multi_valued:
        raise ValueError(f"{len(found)} values of {vr}, which has one")
    if None in found:
        raise ValueError(f"a null among values of {vr}")
    return found


def _value_of_bytes(vr: str, raw: bytes) -> Any:
    if vr == "SQ":
        raise ValueError("a sequence has items, no bytes")
    return raw if vr in BINARY else decode(vr, raw, False, _UTF8)


def _null(vr: str) -> str | None:
    return "" if VRS[vr].is_string else None


def _text(vr: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)  # some senders write numbers where text belongs
    raise TypeError(f"{type(value).__name__} as a value of {vr}")


def _name(vr: str, value: Any) -> PersonName:
    if isinstance(value, str):  # before 2013 a name was a plain string
        return PersonName(value)
    if not isinstance(value, Mapping):
        raise TypeError(f"{type(value).__name__} as a person name")
    groups = [value.get(group) or "" for group in GROUPS]
    if not all(isinstance(group, str) for group in groups):
        raise TypeError("a component group of a person name is no text")
    if any("=" in group or "\\" in group for group in groups):
        raise ValueError("a component group of a person name holds a delimiter")
    return PersonName("=".join(groups).rstrip("="))


def _integer(vr: str, value: Any) -> int:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise ValueError(f"{value!r:.40} is no integer")
        number = int(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{type(value).__name__} as a value of {vr}")
    else:
        number = int(value)
        if number != value:
            raise ValueError(f"{value!r} is no integer")
    low, high = _RANGES[vr]
    if not low <= number <= high:
        raise ValueError(f"{number} is beyond {vr}")
    return number


def _real(vr: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"{type(value).__name__} as a value of {vr}")
    if isinstance(value, str):
        if (special := _NON_FINITE.get(value.strip())) is not None:
            return special
        if not _DECIMAL.fullmatch(value) and value.strip().lstrip("+-").lower() not in ("inf", "nan", "infinity"):
            raise ValueError(f"{value!r:.40} is no number")
    return float(value)


def _number_string(vr: str, value: Any) -> Any:
    """DS or IS as reading gives them: text that is no number, and a fraction where an integer belongs, are kept."""
    if isinstance(value, str):
        if "\\" in value:
            raise ValueError(f"{value!r:.40} is more than one value")
        return decode(vr, value.encode(), False, ())
    number = _real(vr, value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r:.40} has no decimal string")
    kind: Callable[[Any], Any] = IS if vr == "IS" and number.is_integer() else DS
    return kind(value)


def _tag(vr: str, value: Any) -> int:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError(f"{value!r:.40} is no tag of 8 hexadecimal digits")
    return int(value, 16)


_READERS: Mapping[str, Callable[[str, Any], Any]] = MappingProxyType(
    {
        **dict.fromkeys(_RANGES, _integer),
        "AT": _tag,
        "DS": _number_string,
        "FD": _real,
        "FL": _real,
        "IS": _number_string,
        "PN": _name,
    }
)
