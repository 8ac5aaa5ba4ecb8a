"""The values of one element as a numpy array, `Dataset.as_array`; that element of all items, `Sequence.as_arrays`.

Numeric strings are parsed in one pass, so a contour costs some tens of nanoseconds a coordinate and no Python object;
binary numbers of an unedited element are viewed where they lie when the machine has their byte order, and read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.level import ItemSpan
from ..encoding.arrays import ARRAY_TYPES, decode_array, decode_arrays
from ..encoding.vrs import single_vrs
from ..errors import EncodingError
from ..vocab.tag import format_tag, parse_tag
from .dataset import Dataset
from .origin import PLAIN_VRS, Origin
from .sequence import Sequence

__all__ = ["as_array", "as_arrays"]

_DICTIONARY: Mapping[int, str] = MappingProxyType(single_vrs())
_GAP = 64 * 1024  # bytes that are rather read along than left out
_BLOCK = 8 * 1024 * 1024  # of a file, read at once


def as_array(dataset: Dataset, key: Any) -> NDArray[Any]:
    """All values of an element, shape (VM,): float64 for DS, int64 for IS, else the type of the VR; (0,) when empty.

    ``ds.as_array("ContourData").reshape(-1, 3)`` are the points of a contour. KeyError when the element is not there,
    EncodingError with offset, path and clause when its values are no numbers.
    """
    tag, origin = int(parse_tag(key)), dataset._origin
    row = origin.index.find(tag) if origin is not None and tag not in dataset._edits else -1
    if origin is None or row < 0:
        return _edited(dataset, tag, key)
    code = origin.index.vr_at(row)
    vr = PLAIN_VRS.get(code) if code else _DICTIONARY.get(tag)
    if vr is None or vr not in ARRAY_TYPES:  # other attributes may tell
        vr = origin.vr(row, tag)
    try:
        return decode_array(vr, origin.raw(row), origin.big_endian)
    except EncodingError as error:
        error.offset = origin.index.value_offset_at(row) + (error.offset or 0)
        error.path = origin.path_of(tag)
        raise


def _edited(dataset: Dataset, tag: int, key: Any) -> NDArray[Any]:
    if tag not in dataset:
        raise KeyError(key)
    element = dataset[tag]
    value, vr = element.value, element.VR[:2]
    if vr not in ARRAY_TYPES or element.VR == "SQ":
        raise EncodingError(f"values of {vr} are no numbers", path=format_tag(tag), clause=f"PS3.5 6.2 {vr}")
    if isinstance(value, bytes):
        return decode_array(vr, value, dataset.is_big_endian)
    if value is None or value == "":
        return np.empty(0, ARRAY_TYPES[vr])
    try:
        values = np.asarray(value if isinstance(value, list) else [value], ARRAY_TYPES[vr])
    except (ValueError, OverflowError, TypeError):
        raise EncodingError("a value is no number", path=format_tag(tag), clause=f"PS3.5 6.2 {vr}") from None
    return values


def as_arrays(sequence: Sequence, key: Any) -> list[NDArray[Any] | None]:
    """What `as_array` gives for every item, in order; None for an item that lacks the element.

    Items that were not edited are read in one pass, without Datasets being made of them; their arrays are parts of one
    new array, which lives as long as any of them. A value that is no number raises what `as_array` of its item raises.
    """
    tag = int(parse_tag(key))
    numbers, table, rows, single = _as_read(sequence, tag)
    arrays: list[NDArray[Any] | None] = [None] * len(sequence)
    if table is not None:
        read, left = _read_together(sequence._make.place, table, rows, tag)
        if len(read) == len(arrays):
            arrays = read
            single = left
        else:
            for number, array in zip(numbers, read, strict=True):
                arrays[number] = array
            single = sorted(single + [numbers[position] for position in left])
    for number in single:
        dataset = sequence[number]
        if tag in dataset:
            arrays[number] = as_array(dataset, tag)
    return arrays


def _as_read(sequence: Sequence, tag: int) -> tuple[Seq[int], Any, Seq[int], list[int]]:
    """(items as they were read, their table, their rows there, the other items)"""
    items: list[Any] = sequence._items
    if not sequence._reshaped and set(map(type, items)) == {ItemSpan}:
        return range(len(items)), items[0].items, range(len(items)), []
    origin: Origin | None = sequence._make.place if sequence._make is not None else None
    table: Any = None
    single, numbers, rows = [], [], []
    for number, item in enumerate(items):
        span = item
        if type(item) is not ItemSpan:
            level = item._origin
            span = level.span if level is not None and level.parent is origin and tag not in item._edits else None
        if span is not None and table is None and origin is not None:
            table = span.items
        if span is None or span.items is not table:
            single.append(number)
        else:
            numbers.append(number)
            rows.append(span.number)
    return numbers, table, rows, single


def _read_together(origin: Origin, table: Any, rows: Seq[int], tag: int) -> tuple[list[NDArray[Any] | None], list[int]]:
    """The arrays of these rows of a table of items, and the positions that have to be asked one by one."""
    found = np.empty((len(table), 3), np.int64)
    table.locate(tag, found)
    offsets, lengths, codes = (found if type(rows) is range else found[rows]).T
    together = (offsets >= 0) & (codes >= 0)
    code = int(codes[together.argmax()]) if together.any() else 0
    vr = PLAIN_VRS.get(code) if code else _DICTIONARY.get(tag)
    if vr is None or vr not in ARRAY_TYPES:
        return [None] * len(rows), np.flatnonzero((offsets >= 0) | (codes < 0)).tolist()
    together &= codes == code
    parts = _decode_parts(origin, vr, table.big_endian, offsets[together], lengths[together])
    arrays = parts
    if len(parts) < len(rows):
        arrays = [None] * len(rows)
        for position, array in zip(np.flatnonzero(together).tolist(), parts, strict=True):
            arrays[position] = array
    absent = ((offsets < 0) & (codes == 0)).tolist()
    return arrays, [position for position, array in enumerate(arrays) if array is None and not absent[position]]


def _decode_parts(
    origin: Origin, vr: str, big_endian: bool, offsets: NDArray[Any], lengths: NDArray[Any]
) -> list[NDArray[Any] | None]:
    """The fields of the source, from the bytes at hand or from blocks that are read."""
    ends = offsets + lengths
    if not len(ends) or ends.max() <= len(origin.head):
        return decode_arrays(vr, origin.head, offsets, lengths, big_endian)
    arrays: list[NDArray[Any] | None] = []
    first = 0
    with origin.source.session() as source:
        while first < len(offsets):
            start, last = int(offsets[first]), first + 1
            end = int(ends[first])
            while last < len(offsets) and 0 <= offsets[last] - end <= _GAP and ends[last] - start <= _BLOCK:
                end = int(ends[last])
                last += 1
            block = source.view(start, end - start)
            arrays += decode_arrays(vr, block, offsets[first:last] - start, lengths[first:last], big_endian)
            first = last
    return arrays
