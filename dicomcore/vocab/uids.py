"""Unique identifiers (PS3.5 section 9, PS3.6 annex A).

New UIDs are made under 2.25 from a random UUID (PS3.5 annex B.2), so no registered root is needed or borrowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple
from uuid import uuid4

from ._tables import read_table

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "UID",
    "is_valid_uid",
    "new_uid",
    "uid_for_keyword",
]

_VALID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")


class _Row(NamedTuple):
    uid: str
    keyword: str
    name: str
    type: str
    retired: bool


@cache
def _registry() -> Mapping[str, _Row]:
    return MappingProxyType(
        {
            uid: _Row(uid, keyword, name, uid_type, retired == "1")
            for uid, keyword, name, uid_type, retired in read_table("uids")
        }
    )


@cache
def _keywords() -> Mapping[str, str]:
    return MappingProxyType({row.keyword: row.uid for row in _registry().values() if row.keyword})


class UID(str):
    """A UID that knows its row in PS3.6 annex A."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The registered name, or the UID itself."""
        row = _registry().get(self)
        return row.name if row else str(self)

    @property
    def keyword(self) -> str:
        row = _registry().get(self)
        return row.keyword if row else ""

    @property
    def type(self) -> str:
        row = _registry().get(self)
        return row.type if row else ""

    @property
    def is_private(self) -> bool:
        """Not under the root of the standard, 1.2.840.10008."""
        return not self.startswith("1.2.840.10008.")

    @property
    def is_valid(self) -> bool:
        return is_valid_uid(self)


def is_valid_uid(value: str) -> bool:
    """At most 64 characters, numeric components without leading zeros, joined by dots (PS3.5 section 9.1)."""
    return len(value) <= 64 and _VALID.fullmatch(value) is not None


def new_uid() -> UID:
    """A new UID under 2.25, unique without any registration."""
    return UID(f"2.25.{uuid4().int}")


def uid_for_keyword(keyword: str) -> UID | None:
    """The UID with this keyword, such as ``CTImageStorage``."""
    uid = _keywords().get(keyword)
    return UID(uid) if uid is not None else None


IMPLEMENTATION_CLASS_UID = UID("2.25.38186950227870989115378123399704650223")
IMPLEMENTATION_VERSION_NAME = "DICOMCORE_0_1"
