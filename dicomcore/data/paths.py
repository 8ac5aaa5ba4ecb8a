"""Data sets element by element with paths such as ``(300A,00B0)[2].(300A,0111)``: walking one, comparing two.

Promises: `walk` visits what was there when its level was entered, so that the caller may edit or delete on the way;
``diff(a, b)`` is empty exactly when ``a == b``. Neither recurses, however deep the items are nested. Paths count items
from 0, as Python and `Issue` do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

from ..vocab.tag import format_tag, parse_tag
from .dataset import Dataset
from .element import Element, shown_value

__all__ = ["Difference", "Visit", "diff", "walk"]

_WIDTH = 80  # characters of a value in a line of text


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

    def __str__(self) -> str:
        left, right = _side(self.left), _side(self.right)
        head = f"{self.path} {self.name}".rstrip()
        if self.kind == "removed":
            return f"- {head}: {left}"
        if self.kind == "added":
            return f"+ {head}: {right}"
        if left == right:  # what differs is not shown
            return f"~ {head}: {left}, first at {_first(self.left, self.right)}"
        return f"~ {head}: {left} -> {right}"


def _side(side: Element | Dataset | None) -> str:
    if isinstance(side, Element):
        return f"{side.VR} {shown_value(side, _WIDTH)}"
    return "" if side is None else f"item of {len(side)} elements"


def _first(left: Any, right: Any) -> str:
    """Where two long values part: the index of a value or byte (or character), and both there."""
    pairs = enumerate(zip_longest(left.value, right.value))
    return next((f"[{n}]: {one!s:.40} -> {other!s:.40}" for n, (one, other) in pairs if one != other), "the end")


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
