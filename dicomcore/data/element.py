"""One element of a data set as a value, and how Python values become values of a VR when they are assigned.

Promises: an `Element` read from a file decodes its value on first touch; setting ``.value`` on one that a `Dataset`
gave out edits that data set. What is assigned takes the type that reading would give (PS3.5 section 6.2).
Refuses (`InvalidValue`): a value that no reading of its VR could give.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from typing import Any

from .._core.level import Cell
from .._core.values import decimals_of
from ..encoding.arrays import encode_array
from ..encoding.person_name import PersonName
from ..encoding.rules import TAKES
from ..encoding.temporal import moment_text
from ..encoding.values import DS, IS, MultiValue, decode, empty_value, format_decimal
from ..errors import DicomError, InvalidValue
from ..vocab.dictionary import lookup
from ..vocab.tag import Tag, format_tag, is_private, is_private_creator, parse_tag
from ..vocab.uids import UID
from ..vocab.vr import VRS
from .origin import in_order
from .sequence import Sequence

__all__ = ["Element", "coerce", "element_name"]


def _number(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def coerce_number(value: Any) -> Any:
        return None if value is None else convert(value)

    return coerce_number


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("ascii")
    if value is None or type(value) is str:
        return value
    if isinstance(value, str):
        return str(value)  # of numpy, for one
    raise TypeError(f"expected str, not {type(value).__name__}")


def _moment(vr: str, *kinds: type[date] | type[time]) -> Callable[[Any], Any]:
    """Text as it is; what ``datetime`` calls a date or a time, in the form of PS3.5 6.2."""
    return lambda value: moment_text(vr, value) if isinstance(value, kinds) else _text(value)


def _name(value: Any) -> Any:
    if value is None or isinstance(value, PersonName):
        return value
    text = str(value) if hasattr(value, "family_name") else _text(value)  # pydicom's, for one
    return PersonName(text.rstrip("="))


def _string_number(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def coerce_string(value: Any) -> Any:
        if type(value) in _KNOWN_NUMBERS:
            return kind(value)
        if value is None or value == "":
            return value
        original = getattr(value, "original_string", None)  # pydicom's numbers remember too
        return kind(original if isinstance(original, str) and original else value)

    return coerce_string


def _octets(value: Any) -> Any:
    if value is None or isinstance(value, bytes):
        return value
    return memoryview(value).tobytes()


_KNOWN_NUMBERS = frozenset([float, int, DS, IS])
_SHOWN = 16  # values, or bytes, on one line of text
_INTEGERS = ("US", "SS", "UL", "SL", "UV", "SV")
_COERCE: dict[str, Callable[[Any], Any]] = {
    **{code: _text for code, row in VRS.items() if row.is_string},
    **{code: _number(operator.index) for code in _INTEGERS},
    **{code: _octets for code in VRS if code[0] == "O" or code == "UN"},
    "DA": _moment("DA", date),
    "TM": _moment("TM", time, datetime),
    "DT": _moment("DT", date),
    "FL": _number(float),
    "FD": _number(float),
    "AT": _number(parse_tag),
    "DS": _string_number(DS),
    "IS": _string_number(IS),
    "PN": _name,
    "UI": lambda value: value if value is None or isinstance(value, UID) else UID(_text(value)),
}
_STRING_NUMBERS = frozenset(["DS", "IS"])
_BINARY_NUMBERS = frozenset([*_INTEGERS, "FL", "FD"])
_SPLITS = frozenset(code for code, row in VRS.items() if row.is_string and row.is_multi_valued)
_MULTI = frozenset(code for code, row in VRS.items() if row.is_multi_valued)


def coerce(vr: str, value: Any, tag: int) -> Any:
    """``value`` as reading an element of this VR would give it; ``vr`` may be ambiguous, such as ``US or SS``.

    InvalidValue, which is a ValueError and a TypeError, says what the element takes.
    """
    try:
        return _coerced(vr, value)
    except DicomError as error:
        error.path = error.path or format_tag(tag)
        raise
    except (TypeError, ValueError, OverflowError):
        entry = lookup(tag)
        name = entry.keyword if entry is not None and entry.keyword else "the element"
        shown = f"a {type(value).__name__}" if hasattr(value, "keys") else repr(value)
        takes = dict.fromkeys(TAKES[one] for one in vr.split(" or "))
        raise InvalidValue(
            f"{shown if len(shown) <= 60 else shown[:57] + '...'} is no value of {name}",
            path=format_tag(tag),
            clause=f"PS3.5 6.2 {vr}",
            hint=f"{vr} takes {' or '.join(takes)}",
        ) from None


def _coerced(vr: str, value: Any) -> Any:
    if vr == "SQ":
        if isinstance(value, Sequence):
            return value
        if hasattr(value, "keys"):  # one Dataset where a list of them belongs; iterating it would give elements
            raise TypeError
        return Sequence(value or ())
    code = vr[:2] if vr[:2] in VRS else "UN"
    convert = _COERCE[code]
    if type(value) is str and " " not in vr and ("\\" not in value or code not in _SPLITS):
        return convert(value)  # one text, which is what most values are
    if code == "DS" and type(value) is MultiValue and (twin := value.twin()) is not None:
        return twin
    if code == "DS" and isinstance(value, (list, tuple)) and (many := decimals_of(value, format_decimal)) is not None:
        return many
    if getattr(value, "ndim", 0) and (code in _STRING_NUMBERS or code in _BINARY_NUMBERS):
        if code in _STRING_NUMBERS:  # as it will be written, and compiled both ways
            return decode(code, encode_array(code, value), False, ())
        value = value.ravel().tolist()
    if " or " in vr:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        if code == "OB":
            convert = _octets
    is_many = isinstance(value, Iterable) and not isinstance(value, (str, bytes)) and not hasattr(value, "family_name")
    if code in _MULTI and is_many and not (code == "AT" and _is_tag_pair(value)):
        values = [convert(one) for one in value]
        if len(values) < 2:
            return values[0] if values else empty_value(code)
        return MultiValue(values)
    if code in _SPLITS and isinstance(value, str) and "\\" in value:
        return MultiValue([convert(one) for one in value.split("\\")])
    return convert(value)


def _is_tag_pair(value: Any) -> bool:
    """(0x0010, 0x0010) is one tag; two tags would not both fit 16 bits."""
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(n, int) and n <= 0xFFFF for n in value)


def element_name(tag: int, private_name: str = "") -> str:
    """What PS3.6 calls the element; private ones by their dictionary name in brackets."""
    if entry := lookup(tag):
        return entry.name
    if is_private_creator(tag):
        return "Private Creator"
    if tag & 0xFFFF == 0:
        return "Group Length"
    return f"[{private_name}]" if private_name else "Private tag data" if is_private(tag) else ""


class Element(Cell):
    """``tag``, ``VR``, ``value``, with ``keyword``, ``name`` and ``VM`` from them."""

    __slots__ = ()

    def __init__(self, tag: Any, vr: str, value: Any) -> None:
        self.tag = parse_tag(tag)
        if vr[:2] not in VRS:
            raise ValueError(f"{vr!r} is no value representation of PS3.5 section 6.2")
        self.VR = vr
        self._value = coerce(vr, value, self.tag)

    def _change(self, value: Any) -> None:
        self._value = coerce(self.VR, value, self.tag)
        if self._owner is not None:
            self._owner._store(self)

    @property
    def keyword(self) -> str:
        entry = lookup(self.tag)
        return entry.keyword if entry else ""

    @property
    def name(self) -> str:
        return element_name(self.tag, self._owner._private_name(self.tag) if self._owner else "")

    @property
    def is_private(self) -> bool:
        return is_private(self.tag)

    @property
    def is_empty(self) -> bool:
        return _vm(self) == 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Element):
            return NotImplemented
        return self.tag == other.tag and self.VR == other.VR and _is_same(self, other)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return restore_element, (int(self.tag), self.VR, self.value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Element:
        from copy import deepcopy

        return restore_element(self.tag, self.VR, deepcopy(self.value, memo))

    def __str__(self) -> str:
        return f"{format_tag(self.tag)} {self.name[:35]:<35} {self.VR}: {shown_value(self)}"

    __repr__ = __str__

    def _count(self) -> int:
        return _vm(self)

    VM = property(_count, doc="How many values (PS3.5 section 6.4); a sequence counts as one.")


def restore_element(tag: int, vr: str, value: Any) -> Element:
    """An element of its own with a value as it was read, which a fault may have left in a type that none may assign."""
    element = Element(tag, vr, None)
    element._value = value
    return element


def _vm(element: Element) -> int:
    value = element.value
    if element.VR == "SQ":
        return 1
    if value is None or (isinstance(value, (str, bytes, PersonName, MultiValue)) and not len(value)):
        return 0
    return len(value) if isinstance(value, MultiValue) else 1


def _is_same(one: Element, other: Element) -> bool:
    """Whether the values are equal: bytes in the same byte order; NaN is NaN, and nothing is nothing."""
    left, right = one.value, other.value
    if isinstance(left, bytes) and isinstance(right, bytes):
        is_big = getattr(one._owner, "is_big_endian", False)
        if is_big != getattr(other._owner, "is_big_endian", False):
            right = in_order(right, VRS[one.VR].word, True)
        return left == right
    if left == right or _vm(one) == _vm(other) == 0:
        return True
    if one.VR not in ("FD", "FL", "DS"):
        return False
    pairs = zip(left, right, strict=True) if _is_alike(left, right) else [(left, right)]
    return all(a == b or (a != a and b != b) for a, b in pairs)


def _is_alike(left: Any, right: Any) -> bool:
    return isinstance(left, list) and isinstance(right, list) and len(left) == len(right)


def shown_value(element: Element, width: int = 0) -> str:
    """The value on one line: strings quoted; of many values the first ones, many bytes counted."""
    value = element.value
    if element.VR == "SQ":
        return f"<Sequence, length {len(value)}>"
    if isinstance(value, bytes):
        return f"Array of {len(value)} elements" if len(value) > _SHOWN else repr(value)
    if isinstance(value, UID) and value.isprintable():  # a peer's bytes are not to steer somebody's terminal
        text = value.name
    elif isinstance(value, MultiValue):
        few = value if len(value) <= _SHOWN else value[: _SHOWN // 2]
        text = ", ".join(str(one) if isinstance(one, (DS, IS)) else _shown(one) for one in few)
        text = f"[{text}]" if few is value else f"[{text}, ...] ({len(value)} values)"
    else:
        text = _shown(value)
    return text if not width or len(text) <= width else text[: width - 3] + "..."


def _shown(value: Any) -> str:
    if isinstance(value, (DS, IS)):
        return f"'{value}'"
    if isinstance(value, (Tag, UID)) and str(value).isprintable():
        return str(value)
    return repr(str(value)) if isinstance(value, (str, PersonName)) else str(value)
