"""A sequence of items (PS3.5 section 7.5): a list of Datasets, each made from its bytes when it is first asked for.

Promises: list behaviour, and the same Dataset object for the same item. Refuses (`TypeError`) what is no Dataset.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from copy import deepcopy
from typing import Any

from ..encoding.index import ItemSpan

__all__ = ["Item", "Sequence"]


class Item(ABC):
    """What a sequence holds: a Dataset, named here so that this module stays below it."""

    __slots__ = ()

    @abstractmethod
    def _is_edited(self) -> bool: ...


def _checked(item: Any) -> Any:
    if not isinstance(item, Item):
        raise TypeError(f"a sequence holds Datasets, not {type(item).__name__}")
    return item


class Sequence(MutableSequence[Any]):
    """Items as Datasets. ``is_undefined_length`` is how it was delimited in its file, and will be written."""

    __slots__ = ("_items", "_make", "_reshaped", "is_undefined_length")

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._items: list[Any] = [_checked(item) for item in items]
        self._make: Callable[[ItemSpan, int], Any] | None = None
        self._reshaped = True
        self.is_undefined_length = False

    @classmethod
    def _lazy(cls, spans: list[ItemSpan], make: Callable[[ItemSpan, int], Any], undefined: bool) -> Sequence:
        sequence = cls.__new__(cls)
        sequence._items = list(spans)
        sequence._make = make
        sequence._reshaped = False
        sequence.is_undefined_length = undefined
        return sequence

    def _item(self, position: int) -> Any:
        item = self._items[position]
        if not isinstance(item, Item):
            assert self._make is not None
            position %= len(self._items)
            item = self._items[position] = self._make(item, position)
        return item

    def _is_edited(self) -> bool:
        """Whether writing it must differ from the bytes that it was read from."""
        return self._reshaped or any(isinstance(item, Item) and item._is_edited() for item in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        position = 0
        while position < len(self._items):
            yield self._item(position)
            position += 1

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._item(position) for position in range(*index.indices(len(self._items)))]
        return self._item(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._items[index] = [_checked(item) for item in value] if isinstance(index, slice) else _checked(value)
        self._reshaped = True

    def __delitem__(self, index: int | slice) -> None:
        del self._items[index]
        self._reshaped = True

    def insert(self, index: int, value: Any) -> None:
        self._items.insert(index, _checked(value))
        self._reshaped = True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Sequence, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Sequence:
        return Sequence(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Sequence:
        copy = Sequence.__new__(Sequence)
        copy._items = [deepcopy(item, memo) if isinstance(item, Item) else item for item in self._items]
        copy._make = self._make
        copy._reshaped = self._reshaped
        copy.is_undefined_length = self.is_undefined_length
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return Sequence, (list(self),)

    def __repr__(self) -> str:
        return f"<Sequence, length {len(self)}>"
