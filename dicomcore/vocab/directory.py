"""Directory records of a DICOMDIR (PS3.3 annex F): their types, where they stand in the tree, which keys they hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from ._tables import read_table

__all__ = ["RecordType", "record_types"]


class RecordType(NamedTuple):
    """``parents`` are record types, "" for the root entity; ``keys`` are (tag, type such as "1C"), in tag order.

    Attributes that a key sequence contains are not listed: its items are copied.
    """

    name: str
    parents: tuple[str, ...]
    keys: tuple[tuple[int, str], ...]


def _keys(column: str) -> tuple[tuple[int, str], ...]:
    pairs = (one.split(":") for one in column.split(",") if one)
    return tuple(sorted((int(tag, 16), kind) for tag, kind in pairs))


@cache
def record_types() -> Mapping[str, RecordType]:
    """All types that are in use, by name."""
    return MappingProxyType(
        {
            name: RecordType(name, tuple(parents.split(",")), _keys(keys))
            for name, parents, keys in read_table("directory_records")
        }
    )
