"""The data dictionary (PS3.6), with repeating groups, and the private elements that are publicly known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from ._tables import read_table

__all__ = [
    "Entry",
    "keyword_for_tag",
    "keyword_table",
    "lookup",
    "lookup_private",
    "private_rows",
    "repeating_rows",
    "suggest",
    "tag_for_keyword",
    "vr_rows",
]


class Entry(NamedTuple):
    """A row of PS3.6. ``vr`` may name alternatives (``US or SS``); in a repeating group ``tag`` has zeros for the x."""

    tag: int
    keyword: str
    name: str
    vr: str
    vm: str
    retired: bool


class _Elements(NamedTuple):
    by_tag: dict[int, Entry]
    by_mask: dict[int, dict[int, Entry]]  # repeating groups: mask -> masked tag -> entry
    keywords: Mapping[str, int]


@cache
def _elements() -> _Elements:
    by_tag: dict[int, Entry] = {}
    by_mask: dict[int, dict[int, Entry]] = {}
    for tag, keyword, name, vr, vm, retired in read_table("elements"):
        if "x" in tag:
            mask = int("".join("0" if digit == "x" else "F" for digit in tag), 16)
            value = int(tag.replace("x", "0"), 16)
            by_mask.setdefault(mask, {})[value] = Entry(value, keyword, name, vr, vm, retired == "1")
        else:
            value = int(tag, 16)
            by_tag[value] = Entry(value, keyword, name, vr, vm, retired == "1")
    keywords = {entry.keyword: entry.tag for entry in by_tag.values() if entry.keyword}
    return _Elements(by_tag, by_mask, MappingProxyType(keywords))


@cache
def _private_elements() -> dict[tuple[str, int], Entry]:
    table: dict[tuple[str, int], Entry] = {}
    for creator, group, element, vr, vm, name in read_table("private_elements"):
        tag = int(group, 16) << 16 | int(element, 16)
        table[creator, tag] = Entry(tag, "", name, vr, vm, False)
    return table


def lookup(tag: int) -> Entry | None:
    """The entry of a standard tag, repeating groups (PS3.5 section 7.6) included; None when it is not in PS3.6."""
    elements = _elements()
    if (entry := elements.by_tag.get(tag)) is not None:
        return entry
    if tag & 0x10000:
        return None
    for mask, rows in elements.by_mask.items():
        if (entry := rows.get(tag & mask)) is not None:
            return entry
    return None


def lookup_private(creator: str, tag: int) -> Entry | None:
    """The entry of a private element under its creator (PS3.5 section 7.8), whatever the block byte of ``tag``."""
    return _private_elements().get((creator, tag & 0xFFFF00FF))


def keyword_table() -> Mapping[str, int]:
    """Keyword -> tag for every element outside repeating groups: a frozen view, for loops that need it often."""
    return _elements().keywords


def tag_for_keyword(keyword: str) -> int | None:
    return _elements().keywords.get(keyword)


def keyword_for_tag(tag: int) -> str:
    """The keyword, or an empty string."""
    entry = lookup(tag)
    return entry.keyword if entry else ""


@cache
def _folded() -> Mapping[str, str]:
    return MappingProxyType({keyword.lower(): keyword for keyword in _elements().keywords})


def suggest(keyword: str, others: Iterable[str] = ()) -> str | None:
    """The keyword nearest to a misspelt one, if any is near. ``others`` are names that a small letter may begin."""
    if (exact := _folded().get(keyword.replace("_", "").lower())) is not None:
        return exact
    names = _elements().keywords if keyword[:1].isupper() or not others else others
    matches = get_close_matches(keyword, names, n=1, cutoff=0.72)
    return matches[0] if matches else None


def vr_rows() -> Iterator[tuple[int, str]]:
    """(tag, VR) of all elements outside repeating groups; the VR may name alternatives, and is empty for delimiters."""
    return ((entry.tag, entry.vr) for entry in _elements().by_tag.values())


def repeating_rows() -> Iterator[tuple[int, int, str]]:
    """(mask, tag, VR) of the repeating groups: a row is for every even group's tag with ``tag & mask`` equal to it."""
    return ((mask, tag, entry.vr) for mask, rows in _elements().by_mask.items() for tag, entry in rows.items())


def private_rows() -> Iterator[tuple[str, int, str]]:
    """(creator, tag without its block byte, VR) of the private elements that are publicly known."""
    return ((creator, tag, entry.vr) for (creator, tag), entry in _private_elements().items())
