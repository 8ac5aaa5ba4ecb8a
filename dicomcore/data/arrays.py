"""The values of one element as a numpy array: `Dataset.as_array`.

Numeric strings are parsed in one pass, so a contour costs some tens of nanoseconds a coordinate and no Python object;
binary numbers of an unedited element are viewed where they lie when the machine has their byte order, and read-only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoding.arrays import ARRAY_TYPES, decode_array
from ..errors import EncodingError
from ..vocab.tag import format_tag, parse_tag
from .dataset import Dataset

__all__ = ["as_array"]


def as_array(dataset: Dataset, key: Any) -> NDArray[Any]:
    """All values of an element, shape (VM,): float64 for DS, int64 for IS, else the type of the VR; (0,) when empty.

    ``ds.as_array("ContourData").reshape(-1, 3)`` are the points of a contour. KeyError when the element is not there,
    EncodingError with offset, path and clause when its values are no numbers.
    """
    tag, origin = int(parse_tag(key)), dataset._origin
    row = origin.index.find(tag) if origin is not None and tag not in dataset._edits else -1
    if origin is None or row < 0:
        return _edited(dataset, tag, key)
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
