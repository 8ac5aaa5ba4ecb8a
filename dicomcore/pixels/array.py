"""``ds.pixel_array``: all frames as one new, writable array that owns its memory, as pydicom shapes and colours it.

Colour comes by pixel, YBR_FULL and YBR_FULL_422 as RGB; bits above Bits Stored are replaced by zero or by the sign.
Pixels are taken as right-aligned, which PS3.5 8.1.1 demands. Those of a big-endian file keep its byte order in their
type. What was wrong and yet read is in ``ds.issues``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomcore.pixels.codec import Array
from dicomcore.pixels.frames import frames

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["pixel_array"]


def pixel_array(ds: Dataset) -> Array:
    """All frames of ``ds``: ([frames,] rows, columns [, samples]); an axis of one is left out."""
    source = frames(ds)
    array = source.decode_many()
    if ds._origin is not None:
        for issue in source.issues:
            ds._origin.report(issue)
    array.resize(source.model.shape, refcheck=False)  # in place: the same memory without the axes of one
    return array.astype(array.dtype.newbyteorder()) if source.is_swapped else array
