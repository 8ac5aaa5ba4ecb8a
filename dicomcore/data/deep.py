"""Nested data sets walked and copied without recursion, however deep they are (PS3.5 7.5 sets no bound)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import chain
from typing import Any

from .._core.level import Level
from ..errors import LimitExceeded
from ..vocab.tag import format_tag
from .element import Element
from .sequence import Sequence

__all__ = ["copy_deep", "is_edited", "iter_all"]

_set = object.__setattr__


def is_edited(dataset: Any) -> bool:
    """Whether writing it must differ from the bytes that it was read from."""
    waiting = [dataset]
    while waiting:
        level = waiting.pop()
        if level._origin is None or level._edits:
            return True
        for sequence in level._sequences.values():
            if sequence._reshaped:
                return True
            waiting += [item for item in sequence._items if isinstance(item, Level)]
    return False


def iter_all(dataset: Any) -> Iterator[Element]:
    """Every element, those of items after the sequence that holds them. LimitExceeded when one contains itself."""
    levels = [iter(dataset)]
    opened: list[int] = []  # the sequences that lead to the innermost level
    known = set(opened)
    while levels:
        for element in levels[-1]:
            yield element
            if element.VR == "SQ" and len(element.value):
                if id(element.value) in known:
                    raise LimitExceeded("a data set contains itself", path=format_tag(element.tag), clause="PS3.5 7.5")
                opened.append(id(element.value))
                known.add(opened[-1])
                levels.append(chain.from_iterable(element.value))
                break
        else:
            levels.pop()
            if opened:
                known.discard(opened.pop())


def copy_deep(dataset: Any, memo: dict[int, Any]) -> Any:
    """A data set of its own: edits, touched items and file meta information are copied, what was read is shared."""
    root = _shell(dataset, memo)
    pending = [(dataset, root)]
    while pending:
        source, copy = pending.pop()
        if source._meta is not None:
            _set(copy, "_meta", deepcopy(source._meta, memo))
        for tag, sequence in source._sequences.items():
            copy._sequences[tag] = _copied(sequence, memo, pending)
        for tag, element in source._edits.items():
            if element is None:
                copy._edits[tag] = None
                continue
            value = element.value
            value = _copied(value, memo, pending) if isinstance(value, Sequence) else deepcopy(value, memo)
            copy._edits[tag] = Element._of(copy, tag, element.VR, value)
    return root


def _shell(dataset: Any, memo: dict[int, Any]) -> Any:
    copy = dataset.__new__(type(dataset))
    memo[id(dataset)] = copy
    _set(copy, "_origin", dataset._origin)
    _set(copy, "_sequences", {})
    _set(copy, "_edits", {})
    return copy


def _copied(sequence: Any, memo: dict[int, Any], pending: list[tuple[Any, Any]]) -> Any:
    """A sequence whose items are made, to be filled by those pending."""
    if id(sequence) in memo:
        return memo[id(sequence)]

    def item_copy(item: Any) -> Any:
        if id(item) not in memo:
            pending.append((item, _shell(item, memo)))
        return memo[id(item)]

    memo[id(sequence)] = copy = sequence._copy_with(item_copy)
    return copy
