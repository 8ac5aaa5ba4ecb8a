"""Attribute tags (PS3.5 section 7.1): a 32-bit number, group in the high half, element in the low half.

Everywhere inside the package a tag is a plain ``int``; `Tag` is the same number with the standard's way of writing it.
"""

from __future__ import annotations

import re

from . import dictionary

__all__ = ["Tag", "format_tag", "is_private", "is_private_creator", "parse_tag"]

_HEX = re.compile(r"\(?\s*([0-9A-Fa-f]{4})\s*,?\s*([0-9A-Fa-f]{4})\s*\)?")


class Tag(int):
    """A tag that prints as ``(gggg,eeee)``."""

    __slots__ = ()

    @property
    def group(self) -> int:
        return self >> 16

    @property
    def element(self) -> int:
        return self & 0xFFFF

    @property
    def is_private(self) -> bool:
        return is_private(self)

    def __str__(self) -> str:
        return format_tag(self)

    def __repr__(self) -> str:
        return f"Tag({int(self):#010x})"


def format_tag(tag: int) -> str:
    """``(gggg,eeee)``, upper case as PS3.6 writes it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def is_private(tag: int) -> bool:
    """Odd group (PS3.5 section 7.8)."""
    return bool(tag & 0x10000)


def is_private_creator(tag: int) -> bool:
    """(gggg,0010-00FF) with gggg odd reserves a block of private elements (PS3.5 section 7.8.1)."""
    return bool(tag & 0x10000) and 0x10 <= (tag & 0xFFFF) <= 0xFF


def parse_tag(value: object) -> Tag:
    """A tag from a number, a (group, element) pair, ``ggggeeee`` or ``(gggg,eeee)`` in hexadecimal, or a keyword.

    Raises ValueError when it is none of these.
    """
    if isinstance(value, int) and 0 <= value <= 0xFFFFFFFF:
        return Tag(value)
    if isinstance(value, str):
        if (tag := dictionary.tag_for_keyword(value)) is not None:
            return Tag(tag)
        if match := _HEX.fullmatch(value):
            return Tag(int(match[1] + match[2], 16))
    if isinstance(value, (tuple, list)) and len(value) == 2:
        group, element = (int(part, 16) if isinstance(part, str) else part for part in value)
        if isinstance(group, int) and isinstance(element, int) and 0 <= group <= 0xFFFF and 0 <= element <= 0xFFFF:
            return Tag(group << 16 | element)
    raise ValueError(f"{value!r} is neither a tag nor a keyword of the data dictionary")
