"""The fragments of encapsulated pixel data as a table (PS3.5 A.4): two integers for each, whatever its size."""

from __future__ import annotations

from dataclasses import dataclass
from struct import unpack

import numpy as np
from numpy.typing import NDArray

from dicomcore.encoding.index import ElementIndex
from dicomcore.encoding.source import Source
from dicomcore.errors import EncodingError, Issue

__all__ = ["FragmentTable", "fragment_table", "read_fragments"]

_ITEM, _DELIMITER = 0xE000FFFE, 0xE0DDFFFE  # as a little-endian integer


@dataclass(frozen=True, slots=True, eq=False)
class FragmentTable:
    """Where the fragments lie: ``offsets`` of their first byte in the source and ``lengths``, both int64 arrays.

    ``basic_offset_table`` is the (offset, length) of the first item's value, which is not a fragment; its entries count
    from ``base_offset``, the first byte behind that item.
    """

    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    basic_offset_table: tuple[int, int]

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def base_offset(self) -> int:
        return sum(self.basic_offset_table)

    def view(self, source: Source, i: int) -> memoryview:
        """Fragment ``i`` as it is encoded."""
        return source.view(int(self.offsets[i]), int(self.lengths[i]))


def fragment_table(index: ElementIndex, row: int) -> FragmentTable:
    """The fragments of an encapsulated value. The scan has walked them, so nothing is read."""
    if not index.is_encapsulated(row):
        raise EncodingError("the value is not encapsulated", offset=index.header_offset_at(row), clause="PS3.5 A.4")
    below = index.descend(row)
    offsets = np.empty(len(below), np.int64)
    lengths = np.empty(len(below), np.int64)
    below.copy_spans(offsets, lengths)
    return _table(offsets, lengths, index.value_offset_at(row))


def read_fragments(source: Source, offset: int, length: int, issues: list[Issue]) -> FragmentTable:
    """The fragments of an encapsulated value that no scan has walked: one hop from item header to item header."""
    offsets: list[int] = []
    lengths: list[int] = []
    place, end = offset, offset + length
    with source.session() as opened:
        while place + 8 <= end:
            tag, size = unpack("<II", opened.view(place, 8))
            if tag == _DELIMITER:
                break
            if tag != _ITEM:
                issues.append(Issue("no item where a fragment has to be; ended here", place, None, "PS3.5 A.4", True))
                break
            place += 8
            if size > end - place:
                issues.append(
                    Issue(f"a fragment claims {size} bytes of {end - place}; cut there", place, None, "PS3.5 A.4", True)
                )
                size = end - place
            offsets.append(place)
            lengths.append(size)
            place += size
    return _table(np.array(offsets, np.int64), np.array(lengths, np.int64), offset)


def _table(offsets: NDArray[np.int64], lengths: NDArray[np.int64], start: int) -> FragmentTable:
    for array in (offsets, lengths):
        array.flags.writeable = False
    if not len(offsets):
        return FragmentTable(offsets, lengths, (start, 0))
    return FragmentTable(offsets[1:], lengths[1:], (int(offsets[0]), int(lengths[0])))
