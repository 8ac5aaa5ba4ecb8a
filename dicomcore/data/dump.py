"""A data set as readable text, one element a line, items indented; bytes are counted, not shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..vocab.tag import format_tag
from .element import shown_value

__all__ = ["dump"]

_INDENT = "   "


def dump(dataset: Any) -> str:
    """All elements in tag order, file meta information first when there is any."""
    lines: list[str] = []
    meta = dataset._meta
    if meta is None and dataset._origin is not None and dataset._origin.parent is None:
        meta = dataset.file_meta
    if meta is not None and len(meta):
        lines += ["Dataset.file_meta -------------------------------", *_lines(meta, 0), "-" * 49]
    return "\n".join([*lines, *_lines(dataset, 0)])


def _lines(dataset: Any, depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    for element in dataset:
        head = f"{indent}{format_tag(element.tag)} "
        if element.VR != "SQ":
            yield f"{head}{element.name[:35]:<35} {element.VR}: {shown_value(element)}"
            continue
        items = element.value
        yield f"{head} {element.name}  {len(items)} item(s) ---- "
        for item in items:
            yield from _lines(item, depth + 1)
            yield f"{indent}{_INDENT}---------"
