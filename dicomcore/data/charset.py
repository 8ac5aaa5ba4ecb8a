"""A character set that holds the text of a data set (PS3.3 C.12.1.1.2, PS3.5 6.1.2).

Promises: what is declared stays where it holds all that would be encoded anew (what was assigned, and what came from
elsewhere), and then nothing else changes, so that text under a wrong declaration keeps its bytes. Else the first
single-byte set that holds everything is declared, or UTF-8. Items that declare a set of their own are seen to by
themselves. Refuses nothing: UTF-8 has every character.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..encoding.text import fitting_charsets, is_readable
from .dataset import Dataset
from .origin import CHARSET, TEXT_VRS

__all__ = ["fit_charset"]


def fit_charset(dataset: Dataset) -> tuple[str, ...]:
    """Declare a character set that holds all text of a data set or item, and answer the terms that are in effect.

    Call it before text is written that the declared set may not hold, which else is refused with `EncodingError`.
    """
    levels = [dataset]
    for level in levels:
        _fit(level)
        levels += [inner for inner, is_own in _levels(level) if is_own and not any(inner is one for one in levels)]
    return dataset._charsets()


def _fit(dataset: Dataset) -> None:
    declared = dataset._charsets()
    new = list(_texts(dataset, declared, True))
    if fitting_charsets(new, declared) != declared:
        dataset._assign(CHARSET, list(fitting_charsets([*new, *_texts(dataset, declared, False)])))


def _levels(dataset: Dataset) -> Iterator[tuple[Dataset, bool]]:
    """The level and those below, each with whether it declares a set of its own; of such a one, nothing below."""
    levels, seen = [dataset], {id(dataset)}
    for level in levels:
        is_own = level is not dataset and CHARSET in level
        yield level, is_own
        for element in () if is_own else level:
            for item in element.value if element.VR == "SQ" else ():
                if id(item) not in seen:
                    seen.add(id(item))
                    levels.append(item)


def _texts(dataset: Dataset, declared: tuple[str, ...], is_new: bool) -> Iterator[str]:
    """What is encoded anew while ``declared`` stays; or the rest, without what no change of sets can re-encode."""
    for level, is_own in _levels(dataset):
        if is_own:
            continue
        origin = level._origin
        is_moved = origin is not None and origin.charsets != declared
        for element in level:
            if element.VR not in TEXT_VRS:
                continue
            tag = int(element.tag)
            is_edited = tag in level._edits
            if (is_edited or is_moved) is not is_new:
                continue
            if not is_edited and origin is not None:
                raw = bytes(origin.raw(origin.index.find(tag)))
                if (raw.isascii() and b"\x1b" not in raw) or not is_readable(raw, origin.charsets, element.VR):
                    continue
            value = element.value
            if isinstance(value, str):
                yield value
            elif value and not isinstance(value, bytes):
                yield from value
