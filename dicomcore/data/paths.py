"""Data sets element by element with paths such as ``(300A,00B0)[2].(300A,0111)``: walking one, comparing two.

Promises: `walk` visits what was there when its level was entered, so that the caller may edit or delete on the way;
``diff(a, b)`` is empty exactly when ``a == b``. Neither recurses, however deep the items are nested. Paths count items
from 0, as Python and `Issue` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

from ..encoding.person_name import PersonName
from ..vocab.tag import format_tag, parse_tag
from .dataset import Dataset
from .element import Element, shown_value

__all__ = ["Difference", "Visit", "call_on_each", "diff", "walk"]

_WIDTH = 80  # characters of a value in a line of text
_FEW = 16  # values or bytes that a line of text shows all of
_BLOCK = 1 << 16  # bytes that are compared at once


class Visit(NamedTuple):
    """An element, the data set or item that holds it, and where that is."""

    path: str
    dataset: Dataset
    element: Element


def walk(dataset: Dataset) -> Iterator[Visit]:
    """Every element in tag order, those of items after the sequence that holds them.

    >>> for path, level, element in walk(ds):
    ...     if element.VR == "PN":
    ...         element.value = ""
    """
    levels = [_visits(dataset, "")]
    while levels:
        visit = next(levels[-1], None)
        if visit is None:
            levels.pop()
            continue
        yield visit
        present = visit.dataset._element(visit.element.tag)
        if present is not None and present.VR == "SQ":
            levels.append(_visits_of_items(present.value, visit.path))


def _visits(dataset: Dataset, path: str) -> Iterator[Visit]:
    prefix = f"{path}." if path else ""
    for element in dataset:
        yield Visit(prefix + format_tag(element.tag), dataset, element)


def _visits_of_items(items: Iterable[Dataset], path: str) -> Iterator[Visit]:
    for number, item in enumerate(items):
        yield from _visits(item, f"{path}[{number}]")


def call_on_each(dataset: Dataset, callback: Callable[[Dataset, Element], object], recursive: bool = True) -> None:
    """`walk` as pydicom has it: calls ``callback(level, element)``, without items when not ``recursive``."""
    for visit in walk(dataset) if recursive else _visits(dataset, ""):
        callback(visit.dataset, visit.element)


class Difference(NamedTuple):
    """What differs at ``path``: ``kind`` is removed, added, vr or value; a removed or added item is a `Dataset`."""

    path: str
    kind: str
    left: Element | Dataset | None
    right: Element | Dataset | None

    @property
    def name(self) -> str:
        """What PS3.6 calls the element; empty for an item."""
        return next((side.name for side in (self.left, self.right) if isinstance(side, Element)), "")

    @property
    def lengths(self) -> tuple[int, int] | None:
        """How many values, bytes or characters either side has; None where there are no two such values to compare."""
        pair = _comparable(self.left, self.right)
        return pair and (len(pair[0]), len(pair[1]))

    @property
    def position(self) -> int | None:
        """Index of the first value, byte or character that differs, the shorter length when one side goes on."""
        pair = _comparable(self.left, self.right)
        return pair and _parting(*pair)

    def __str__(self) -> str:
        left, right = _side(self.left), _side(self.right)
        head = f"{self.path} {self.name}".rstrip()
        if self.kind == "removed":
            return f"- {head}: {left}"
        if self.kind == "added":
            return f"+ {head}: {right}"
        text = f"~ {head}: {left}" if left == right else f"~ {head}: {left} -> {right}"
        pair = _comparable(self.left, self.right)
        if pair is None or max(map(len, pair)) <= (_WIDTH - 2 if isinstance(pair[0], str) else _FEW):
            return text  # all of it is shown
        position = _parting(*pair)
        if position == len(pair[0]) == len(pair[1]):  # a change of VR alone
            return text
        one, other = (_at(side, position) for side in pair)
        return f"{text}, first at [{position}]: {one} -> {other}"


def _side(side: Element | Dataset | None) -> str:
    if isinstance(side, Element):
        text = shown_value(side, _WIDTH)
        is_cut = isinstance(side.value, str | PersonName) and len(str(side.value)) > _WIDTH - 2
        return f"{side.VR} {text} ({len(str(side.value))} characters)" if is_cut else f"{side.VR} {text}"
    return "" if side is None else f"item of {len(side)} elements"


def _comparable(left: Element | Dataset | None, right: Element | Dataset | None) -> tuple[Any, Any] | None:
    """Both values as lists, as text, or as bytes in the same byte order."""
    if not (isinstance(left, Element) and isinstance(right, Element)):
        return None
    sides = []
    for side in (left, right):
        value = side.value
        if isinstance(value, bytes) and isinstance(side._owner, Dataset):
            value = side._owner._little_endian(side.VR, value)
        sides.append(str(value) if isinstance(value, str | PersonName) else value)
    one, other = sides
    is_alike = any(isinstance(one, kind) and isinstance(other, kind) for kind in (list, bytes, str))
    return (one, other) if is_alike and left.VR != "SQ" else None


def _parting(left: Any, right: Any) -> int:
    """Index of the first difference; the shorter length when there is none up to there."""
    start = 0
    if isinstance(left, bytes):
        while start < len(left) and left[start : start + _BLOCK] == right[start : start + _BLOCK]:
            start += _BLOCK
        start = min(start, len(left), len(right))
        left, right = left[start : start + _BLOCK], right[start : start + _BLOCK]
    pairs = enumerate(zip(left, right, strict=False), start)
    end = start + min(len(left), len(right))
    return next((n for n, (one, other) in pairs if one != other and (one == one or other == other)), end)


def _at(side: Any, position: int) -> str:
    if position >= len(side):
        return "the end"
    if isinstance(side, bytes):
        return f"{side[position]:02X}"
    return repr(side[position]) if isinstance(side, str) else f"{side[position]!s:.40}"


def diff(left: Dataset, right: Dataset, *, ignore: Iterable[Any] = ()) -> list[Difference]:
    """What must change in ``left`` to make it ``right``, in tag order.

    ``ignore`` names elements (tags or keywords) that may differ at any depth. As with ``==``, file meta information is
    another data set: compare ``left.file_meta`` with ``right.file_meta``. Bytes are compared in the same byte order.
    """
    ignored = frozenset(int(parse_tag(one)) for one in ignore)
    found: list[Difference] = []
    levels = [_differences(left, right, "", ignored)]
    while levels:
        step = next(levels[-1], None)
        if step is None:
            levels.pop()
        elif isinstance(step, Difference):
            found.append(step)
        else:
            levels.append(_differences(*step, ignored))
    return found


_Below = tuple[Dataset, Dataset, str]


def _differences(left: Dataset, right: Dataset, path: str, ignored: frozenset[int]) -> Iterator[Difference | _Below]:
    """Differences of one level; a pair of items to descend into stands where its differences belong."""
    prefix = f"{path}." if path else ""
    for tag in sorted({*left._tags(), *right._tags()} - ignored):
        here = prefix + format_tag(tag)
        one, other = left._element(tag), right._element(tag)
        if one is None or other is None:
            yield Difference(here, "added" if one is None else "removed", one, other)
        elif one.VR != other.VR:
            yield Difference(here, "vr", one, other)
        elif one.VR == "SQ":
            for number, (item, twin) in enumerate(zip_longest(one.value, other.value)):
                inner = f"{here}[{number}]"
                if item is None or twin is None:
                    yield Difference(inner, "added" if item is None else "removed", item, twin)
                else:
                    yield item, twin, inner
        elif one != other:
            yield Difference(here, "value", one, other)
