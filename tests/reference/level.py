"""Plain twin of pyx/level.pyx: from a keyword to a value over the rows of an index, one step at a time."""

from __future__ import annotations

from typing import Any

from dicomcore import Dataset
from dicomcore.encoding.values import decode
from dicomcore.vocab.dictionary import tag_for_keyword
from dicomcore.vocab.vr import vr_name


def read(dataset: Dataset, keyword: str) -> Any:
    """The value of a short, unedited element with a VR of its own; LookupError for what the kernel leaves to Python."""
    tag, origin = tag_for_keyword(keyword), dataset._origin
    if tag is None or origin is None or dataset._edits:
        raise LookupError(keyword)
    rows = [row for row in map(origin.index.row, range(len(origin.index))) if row[0] == tag]
    if not rows or vr_name(rows[0][1]) in ("", "SQ", "UN") or rows[0][2] > 4096:
        raise LookupError(keyword)
    _, code, length, offset, _, _ = rows[0]
    raw = bytes(origin.source.view(offset, length))
    return decode(vr_name(code), raw, origin.index.big_endian, origin.charsets)
