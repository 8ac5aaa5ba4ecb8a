"""One element of a data set as a value, and how Python values become values of a VR when they are assigned.

Promises: an `Element` read from a file decodes its value on first touch; setting ``.value`` on one that a `Dataset`
gave out edits that data set. What is assigned takes the type that reading would give (PS3.5 section 6.2).
Refuses (`TypeError`, `ValueError`): a value that no reading of its VR could give.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..encoding.person_name import PersonName
from ..encoding.values import DS, IS, MultiValue
from ..vocab.dictionary import lookup
from ..vocab.tag import Tag, format_tag, is_private, is_private_creator, parse_tag
from ..vocab.uids import UID
from ..vocab.vr import VRS
from .sequence import Sequence

__all__ = ["Element", "coerce", "element_name"]

_UNREAD: Any = object()


def _number(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def coerce_number(value: Any) -> Any:
        return None if value is None else convert(value)

    return coerce_number


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("ascii")
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"expected str, not {type(value).__name__}")


def _string_number(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def coerce_string(value: Any) -> Any:
        return value if value is None or value == "" else kind(value)

    return coerce_string


def _octets(value: Any) -> Any:
    if value is None or isinstance(value, bytes):
        return value
    return memoryview(value).tobytes()


_INTEGERS = ("US", "SS", "UL", "SL", "UV", "SV")
_COERCE: dict[str, Callable[[Any], Any]] = {
    **{code: _text for code, row in VRS.items() if row.is_string},
    **{code: _number(operator.index) for code in _INTEGERS},
    **{code: _octets for code in VRS if code[0] == "O" or code == "UN"},
    "FL": _number(float),
    "FD": _number(float),
    "AT": _number(parse_tag),
    "DS": _string_number(DS),
    "IS": _string_number(IS),
    "PN": lambda value: value if value is None or isinstance(value, PersonName) else PersonName(_text(value)),
    "UI": lambda value: value if value is None or isinstance(value, UID) else UID(_text(value)),
}
_SPLITS = frozenset(code for code, row in VRS.items() if row.is_string and row.is_multi_valued)
_MULTI = frozenset(code for code, row in VRS.items() if row.is_multi_valued)


def coerce(vr: str, value: Any) -> Any:
    """``value`` as reading an element of this VR would give it; ``vr`` may be ambiguous, such as ``US or SS``."""
    if vr == "SQ":
        return value if isinstance(value, Sequence) else Sequence(value or ())
    code = vr[:2] if vr[:2] in VRS else "UN"
    convert = _COERCE[code]
    if " or " in vr:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        if code == "OB":
            convert = _octets
    is_many = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    if code in _MULTI and is_many and not (code == "AT" and _is_tag_pair(value)):
        values = [convert(one) for one in value]
        return values[0] if len(values) == 1 else MultiValue(values)
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


class _Owner(Protocol):
    def _read_value(self, tag: int, vr: str) -> Any: ...
    def _store(self, element: Element) -> None: ...
    def _private_name(self, tag: int) -> str: ...


class Element:
    """``tag``, ``VR``, ``value``, with ``keyword``, ``name`` and ``VM`` from them."""

    __slots__ = ("VR", "_owner", "_value", "tag")
    tag: Tag
    VR: str

    def __init__(self, tag: Any, vr: str, value: Any) -> None:
        self.tag = parse_tag(tag)
        if vr[:2] not in VRS:
            raise ValueError(f"{vr!r} is no value representation of PS3.5 section 6.2")
        self.VR = vr
        self._owner: _Owner | None = None
        self._value = coerce(vr, value)

    @classmethod
    def _of(cls, owner: _Owner, tag: int, vr: str, value: Any = _UNREAD) -> Element:
        """An element of a data set, its value not yet read unless given."""
        element = cls.__new__(cls)
        element.tag = Tag(tag)
        element.VR = vr
        element._owner = owner
        element._value = value
        return element

    @property
    def value(self) -> Any:
        if self._value is _UNREAD:
            assert self._owner is not None
            value = self._owner._read_value(self.tag, self.VR)
            if len(value) > 1024 if isinstance(value, bytes) else False:
                return value  # nothing big is kept
            self._value = value
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = coerce(self.VR, value)
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
        return self.tag == other.tag and self.VR == other.VR and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return Element, (self.tag, self.VR, self.value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Element:
        from copy import deepcopy

        return Element(self.tag, self.VR, deepcopy(self.value, memo))

    def __str__(self) -> str:
        return f"{format_tag(self.tag)} {self.name[:35]:<35} {self.VR}: {shown_value(self)}"

    __repr__ = __str__

    def _count(self) -> int:
        return _vm(self)

    VM = property(_count, doc="How many values (PS3.5 section 6.4); a sequence counts as one.")


def _vm(element: Element) -> int:
    value = element.value
    if element.VR == "SQ":
        return 1
    if value is None or (isinstance(value, (str, bytes, PersonName, MultiValue)) and not len(value)):
        return 0
    return len(value) if isinstance(value, MultiValue) else 1


def shown_value(element: Element, width: int = 0) -> str:
    """The value on one line: strings quoted, bytes counted when there are many of them."""
    value = element.value
    if element.VR == "SQ":
        return f"<Sequence, length {len(value)}>"
    if isinstance(value, bytes):
        return f"Array of {len(value)} elements" if len(value) > 16 else repr(value)
    if isinstance(value, UID):
        text = value.name
    elif isinstance(value, MultiValue):
        text = "[" + ", ".join(str(one) if isinstance(one, (DS, IS)) else _shown(one) for one in value) + "]"
    else:
        text = _shown(value)
    return text if not width or len(text) <= width else text[: width - 3] + "..."


def _shown(value: Any) -> str:
    if isinstance(value, (DS, IS)):
        return f"'{value}'"
    if isinstance(value, (Tag, UID)):
        return str(value)
    return repr(str(value)) if isinstance(value, (str, PersonName)) else str(value)
