"""Blocks of private elements (PS3.5 section 7.8): a creator in (gggg,0010-00FF) reserves (gggg,xx00-xxFF)."""

from __future__ import annotations

from typing import Any

from ..errors import EncodingError
from ..vocab.dictionary import lookup_private
from .element import Element

__all__ = ["PrivateBlock"]


class PrivateBlock:
    """One creator's elements in one group, by their offset (0x00-0xFF) in the block."""

    __slots__ = ("_dataset", "creator", "group", "start")

    def __init__(self, dataset: Any, group: int, creator: str, start: int) -> None:
        self._dataset = dataset
        self.group = group
        self.creator = creator
        self.start = start  # first element number, 0xxx00

    @classmethod
    def find(cls, dataset: Any, group: int, creator: str, create: bool) -> PrivateBlock:
        if not group & 1:
            raise ValueError(f"group {group:04X} is even; private elements are in odd groups")
        first_free = None
        for number in range(0x10, 0x100):
            element = dataset.get((group, number))
            if element is None:
                first_free = number if first_free is None else first_free
            elif str(element.value).strip() == creator:
                return cls(dataset, group, creator, number << 8)
        if not create:
            raise KeyError(f"{creator} has no block in group {group:04X}")
        if first_free is None:
            raise EncodingError(f"every block of group {group:04X} is reserved", clause="PS3.5 7.8.1")
        dataset.add_new((group, first_free), "LO", creator)
        return cls(dataset, group, creator, first_free << 8)

    def tag(self, offset: int) -> int:
        """The tag that an offset has in this data set."""
        if not 0 <= offset <= 0xFF:
            raise ValueError(f"{offset:#x} is no offset in a block; it has 0x00 to 0xFF")
        return self.group << 16 | self.start | offset

    def __contains__(self, offset: int) -> bool:
        return self.tag(offset) in self._dataset

    def __getitem__(self, offset: int) -> Element:
        element: Element = self._dataset[self.tag(offset)]
        return element

    def __delitem__(self, offset: int) -> None:
        del self._dataset[self.tag(offset)]

    def add_new(self, offset: int, vr: str, value: Any) -> None:
        self._dataset.add_new(self.tag(offset), vr, value)

    def add(self, offset: int, value: Any) -> None:
        """Set an element of a publicly known creator by the VR of the private dictionary."""
        entry = lookup_private(self.creator, self.tag(offset))
        if entry is None:
            raise KeyError(f"no VR is known for ({self.group:04X},xx{offset:02X}) of {self.creator}; use add_new")
        self.add_new(offset, entry.vr, value)
