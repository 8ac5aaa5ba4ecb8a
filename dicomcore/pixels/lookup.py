"""Look-up tables (LUT Descriptor and LUT Data, PS3.3 C.11.1.1, C.11.2.1.1, C.7.6.3.1.5): read, checked and applied.

A descriptor has the number of entries (0 is 65536), the first input that is mapped and the bits of an entry. Inputs
below the first get the first entry, inputs behind the last get the last. Entries of up to 8 bits may lie in bytes or in
words; how long the data are tells which. Refuses (`PixelError`): descriptors without three values or with bits that no
entry has, and data with fewer entries than are said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomcore.errors import PixelError
from dicomcore.vocab.dictionary import tag_for_keyword
from dicomcore.vocab.tag import format_tag

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["Descriptor", "Lookup", "read_descriptor", "read_little", "read_lookup"]

Array = NDArray[Any]

_SWAPPED = frozenset({"OW", "US", "SS", "US or SS", "US or OW", "OB or OW"})


def path_of(keyword: str) -> str:
    return format_tag(tag_for_keyword(keyword) or 0)


def read_little(ds: Dataset, key: str | int) -> NDArray[np.uint8]:
    """The bytes of an element of 16-bit words or of bytes, as they stand in a little-endian file."""
    element = ds[key]
    data = np.frombuffer(ds.view(key), np.uint8)
    is_edited = element.tag in ds._edits
    in_order = not ds.is_big_endian or (is_edited and not isinstance(element.value, bytes))
    if in_order or element.VR not in _SWAPPED:
        return data
    return data[: len(data) // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """How many entries, the input of the first one, and the bits of each as they are said to be."""

    entries: int
    first: int
    bits: int


def read_descriptor(ds: Dataset, keyword: str, *, signed: bool, clause: str) -> Descriptor:
    """The three values; ``signed``: whether inputs may be negative, so that the first one is."""
    data = read_little(ds, keyword)
    if len(data) != 6:
        raise PixelError(f"{keyword} has {len(data) // 2} values, not 3", path=path_of(keyword), clause=clause)
    entries, first, bits = data.view("<u2").tolist() if data.flags.c_contiguous else data.copy().view("<u2").tolist()
    if not 0 < bits <= 16:
        raise PixelError(f"entries of {bits} bits", path=path_of(keyword), clause=clause)
    if first >= 0x8000 and (signed or ds[keyword].VR == "SS"):
        first -= 0x10000
    return Descriptor(entries or 0x10000, first, bits)


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """A table: ``values``, uint8 or uint16, of the inputs from ``first`` on; (n,), or (n, 3) of a palette."""

    values: Array
    first: int
    bits: int
    explanation: str = ""

    def apply(self, array: Array) -> Array:
        """The entry of each number; between two inputs that of the nearer one."""
        if array.dtype.kind == "f":
            last = self.first + len(self.values) - 1
            near = np.rint(np.clip(np.nan_to_num(array, nan=self.first), self.first, last))
            index = near.astype(np.int64) - self.first
        elif array.dtype.itemsize < 4:
            index = array.astype(np.int32) - np.int32(self.first)
        else:
            far = np.minimum(array, 1 << 40) if array.dtype == np.uint64 else array
            index = np.maximum(far.astype(np.int64), -(1 << 40)) - self.first
        return np.asarray(self.values.take(index, axis=0, mode="clip"))


def read_lookup(
    ds: Dataset, *, data: str = "LUTData", descriptor: str = "LUTDescriptor", signed: bool, clause: str
) -> Lookup:
    """The table of ``ds``, which is an item of a LUT sequence or has a palette."""
    for keyword in (descriptor, data):
        if keyword not in ds:
            raise PixelError(f"{keyword} is missing", path=path_of(keyword), clause=clause)
    described = read_descriptor(ds, descriptor, signed=signed, clause=clause)
    content = read_little(ds, data)
    count, bits = described.entries, described.bits
    if len(content) >= 2 * count:
        words = np.ascontiguousarray(content[: 2 * count]).view("<u2").astype(np.uint16)
        bits = max(bits, int(words.max()).bit_length())  # some say 8 and have more
        values = words.astype(np.uint8) if bits <= 8 else words
    elif bits <= 8 and len(content) >= count:
        values = content[:count].copy()
        bits = max(bits, int(values.max()).bit_length())
    else:
        raise PixelError(
            f"{len(content)} bytes of {data} where {count} entries of {bits} bits are described",
            path=path_of(data),
            clause=clause,
        )
    explanation = ds.get("LUTExplanation")
    return Lookup(values, described.first, bits, explanation if isinstance(explanation, str) else "")
