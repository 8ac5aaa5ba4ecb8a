"""Frames into fragments (PS3.5 A.4): the value of encapsulated Pixel Data, a fragment for each, with offset tables.

The Basic Offset Table stands in the value; the Extended one (PS3.3 C.7.6.3.1.8) is two attributes beside it, and then
the basic one is empty. A frame is padded to even length; the extended table tells its length without that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import pack
from typing import Literal

import numpy as np

from dicomcore.errors import PixelError

__all__ = ["END", "LONGEST", "OffsetTable", "extended_table", "fragment", "value_start"]

OffsetTable = Literal["basic", "extended", "none"]

ITEM = b"\xfe\xff\x00\xe0"
END = b"\xfe\xff\xdd\xe0\0\0\0\0"
LONGEST = 0xFFFFFFFE  # bytes of a value or an item (PS3.5 7.1.1)
FARTHEST = 0xFFFFFFFF  # offset that a Basic Offset Table can tell
CLAUSE = "PS3.5 A.4"


def _offsets(lengths: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Of each frame's item, from the first one."""
    steps = np.array([8 + length + length % 2 for length in lengths], np.int64)
    return np.asarray(np.cumsum(steps) - steps)


def value_start(lengths: Sequence[int], table: OffsetTable | None = None) -> tuple[bytes, OffsetTable]:
    """The first item of the value, and which table is made for frames of these lengths.

    Without ``table`` that is the basic one, or the extended one where offsets need more than its 32 bits.
    """
    offsets = _offsets(lengths)
    fits = not len(offsets) or int(offsets[-1]) <= FARTHEST
    made = table or ("basic" if fits else "extended")
    if made == "basic" and not fits:
        raise PixelError("offsets of these frames need an Extended Offset Table", clause=CLAUSE)
    content = offsets.astype("<u4").tobytes() if made == "basic" else b""
    return ITEM + pack("<I", len(content)) + content, made


def extended_table(lengths: Sequence[int], *, big_endian: bool = False) -> tuple[bytes, bytes]:
    """Extended Offset Table and Extended Offset Table Lengths, for a data set in that byte order."""
    kind = ">u8" if big_endian else "<u8"
    return _offsets(lengths).astype(kind).tobytes(), np.array(lengths, kind).tobytes()


def fragment(frame: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """The item of one frame, in pieces."""
    length = len(frame)
    if length > LONGEST:
        raise PixelError(f"a frame of {length} bytes is too long for one fragment", clause=CLAUSE)
    yield ITEM + pack("<I", length + length % 2)
    yield frame
    if length % 2:
        yield b"\0"
