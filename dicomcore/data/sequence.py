"""A sequence of items (PS3.5 section 7.5): a list of Datasets, each made from its bytes when it is first asked for.

Promises: list behaviour, and the same Dataset object for the same item. Refuses (`TypeError`) what is no Dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableSequence
from copy import deepcopy
from typing import Any

from .._core.level import Items, Level
from ._late import late

__all__ = ["Sequence"]


def _checked(item: Any) -> Any:
    if not isinstance(item, Level):
        raise TypeError(f"a sequence holds Datasets, not {type(item).__name__}")
    return item


class Sequence(Items, MutableSequence[Any]):
    """Items as Datasets. ``is_undefined_length`` is how it was delimited in its file, and will be written."""

    __slots__ = ()

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._items = [_checked(item) for item in items]
        self._reshaped = True

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

    def sort(self, *, key: Callable[[Any], Any], reverse: bool = False) -> None:
        """Put the items in order by what ``key`` answers for each."""
        self[:] = sorted(self, key=key, reverse=reverse)

    def as_arrays(self, key: Any) -> Any:
        """The numbers of one element of every item, None where an item lacks it: a list of arrays of shape (VM,).

        ``[points.reshape(-1, 3) for points in region.ContourSequence.as_arrays("ContourData")]`` are the contours of a
        region. See `dicomcore.data.arrays.as_arrays`.
        """
        return late("as_arrays")(self, key)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Sequence, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Sequence:
        return Sequence(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Sequence:
        return self._copy_with(lambda item: deepcopy(item, memo))

    def _copy_with(self, item_copy: Callable[[Any], Any]) -> Sequence:
        """A copy; the items that were made go through ``item_copy``."""
        copy = Sequence.__new__(Sequence)
        copy._items = [item_copy(item) if isinstance(item, Level) else item for item in self._items]
        copy._make = self._make
        copy._reshaped = self._reshaped
        copy.is_undefined_length = self.is_undefined_length
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return Sequence, (list(self),)

    def __repr__(self) -> str:
        return f"<Sequence, length {len(self)}>"
