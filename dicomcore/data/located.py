"""Where the value of an element lies: in the source that was read, or in memory once it has been edited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..encoding.fragments import FragmentTable, fragment_table, read_fragments
from ..encoding.source import BytesSource, Source
from ..errors import Issue
from ..vocab.tag import parse_tag

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["Located", "locate"]

_ITEM = b"\xfe\xff\x00\xe0"


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """``length`` bytes at ``offset`` of ``source``; of an encapsulated value (PS3.5 A.4) the fragments in it too."""

    source: Source
    offset: int
    length: int
    fragments: FragmentTable | None
    is_marked: bool  # its length says that it is encapsulated; else only its bytes do, or it is not

    def view(self) -> memoryview:
        """All of it."""
        return self.source.view(self.offset, self.length)


def locate(ds: Dataset, key: int | str, issues: list[Issue], *, encapsulated: bool = False) -> Located | None:
    """The value of ``key``, or None without one. ``encapsulated``: read fragments also where only the bytes show them.

    Faults in the headers of fragments that no scan has read go to ``issues``.
    """
    tag = parse_tag(key)
    origin = ds._origin
    if tag not in ds._edits and origin is not None:
        row = origin.index.find(tag)
        if row < 0:
            return None
        offset = origin.index.value_offset_at(row)
        length = origin.index.content_end_at(row) - offset
        if origin.index.is_encapsulated(row):
            return Located(origin.source, offset, length, fragment_table(origin.index, row), True)
        source: Source = origin.source
    elif tag in ds:
        source = BytesSource(ds.view(tag))
        offset, length = 0, source.size
    else:
        return None
    is_items = encapsulated and length >= 8 and source.view(offset, 4) == _ITEM
    fragments = read_fragments(source, offset, length, issues) if is_items else None
    return Located(source, offset, length, fragments, False)
