"""What pixel data claims to be (Image Pixel module, PS3.3 C.7.6.3), checked before a byte is decoded or allocated.

An `ImageModel` is made from the attributes alone. It refuses a description that is incomplete or that no array can
hold, and `check_length` refuses pixel data shorter than the description. Bits Allocated is 1, 8, 16, 32 or 64
(PS3.5 8.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomcore.errors import LimitExceeded, PixelError
from dicomcore.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["ImageModel"]

CLAUSE = "PS3.3 C.7.6.3"
# Keyword of the pixel element -> its path, and numpy kind and bits where the keyword decides them (PS3.3 C.7.6.24, .25)
PIXEL_ELEMENTS: dict[str, tuple[str, str, int]] = {
    "PixelData": ("(7FE0,0010)", "", 0),
    "FloatPixelData": ("(7FE0,0008)", "f", 32),
    "DoubleFloatPixelData": ("(7FE0,0009)", "f", 64),
}
INTEGER_BITS = (1, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class ImageModel:
    """The shape and coding of the pixels of one object. Lengths are bytes, ``stored`` ones those of native encoding."""

    keyword: str
    frames: int
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    bits_allocated: int
    bits_stored: int
    high_bit: int
    kind: str  # numpy's: "u", "i" or "f"

    @classmethod
    def from_dataset(cls, ds: Dataset, *, native: bool = True) -> ImageModel:
        """The model of what ``ds`` says of its pixels; PixelError when it says too little or contradicts itself.

        Where a code stream has the last word on the layout (``native=False``), less is asked of the attributes.
        """
        present = [keyword for keyword in PIXEL_ELEMENTS if keyword in ds]
        if len(present) != 1:
            found = " and ".join(present) or "no Pixel Data, Float Pixel Data or Double Float Pixel Data"
            raise PixelError(f"one element with pixels is needed, and there is {found}", clause=CLAUSE)
        keyword = present[0]
        path, kind, bits = PIXEL_ELEMENTS[keyword]
        samples = _integer(ds, "SamplesPerPixel", path)
        allocated = bits or _integer(ds, "BitsAllocated", path)
        stored = bits or _integer(ds, "BitsStored", path)
        model = cls(
            keyword=keyword,
            frames=_integer(ds, "NumberOfFrames", path, default=1) or 1,
            rows=_integer(ds, "Rows", path),
            columns=_integer(ds, "Columns", path),
            samples=samples,
            photometric=_text(ds, "PhotometricInterpretation", path),
            planar=samples > 1 and _integer(ds, "PlanarConfiguration", path, default=None if native else 0) == 1,
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=bits - 1 if bits else _integer(ds, "HighBit", path, default=stored - 1),
            kind=kind or ("i" if allocated > 1 and _integer(ds, "PixelRepresentation", path) == 1 else "u"),
        )
        model.check(native=native)
        return model

    def check(self, *, native: bool = True) -> None:
        """PixelError unless an array can hold such pixels, and a data set as they are if they are ``native``."""
        facts: tuple[tuple[bool, str], ...] = (
            (self.frames > 0, f"Number of Frames is {self.frames}"),
            (self.rows > 0, f"Rows is {self.rows}"),
            (self.columns > 0, f"Columns is {self.columns}"),
            (self.samples in (1, 3, 4), f"Samples per Pixel is {self.samples}"),
            (self.bits_allocated in INTEGER_BITS, f"Bits Allocated is {self.bits_allocated}"),
            (
                0 < self.bits_stored <= self.bits_allocated,
                f"Bits Stored is {self.bits_stored} of {self.bits_allocated} allocated",
            ),
            (
                not (native and self.subsampled) or (self.samples == 3 and self.columns % 2 == 0 and not self.planar),
                "YBR_FULL_422 needs 3 samples, Planar Configuration 0 and an even number of Columns",
            ),
        )
        for holds, message in facts:
            if not holds:
                raise PixelError(message, path=self.path, clause=CLAUSE)

    @property
    def path(self) -> str:
        """Where the pixels are, such as (7FE0,0010)."""
        return PIXEL_ELEMENTS[self.keyword][0]

    @property
    def subsampled(self) -> bool:
        """Whether chrominance is stored for every second column only (PS3.3 C.7.6.3.1.2)."""
        return self.photometric == "YBR_FULL_422"

    @property
    def frame_values(self) -> int:
        """Numbers in a decoded frame: rows x columns x samples."""
        return self.rows * self.columns * self.samples

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(rows, columns[, samples]) of one decoded frame."""
        return (self.rows, self.columns, self.samples) if self.samples > 1 else (self.rows, self.columns)

    @property
    def frame_length(self) -> int:
        """Bytes that one native frame takes; with single bits, those of the whole bytes that hold it."""
        return (self.frame_bits + 7) // 8

    @property
    def frame_bits(self) -> int:
        """Bits that a native frame takes; frames of single bits follow each other without padding (PS3.5 8.1.1)."""
        bits = self.frame_values * self.bits_allocated
        return bits * 2 // 3 if self.subsampled else bits

    @property
    def stored_length(self) -> int:
        """Bytes of all native frames, without the padding byte."""
        return (self.frame_bits * self.frames + 7) // 8

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of decoded pixels, in this machine's byte order; packed bits come as one byte each."""
        return np.dtype(f"{self.kind}{max(self.bits_allocated // 8, 1)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """([frames,] rows, columns [, samples]): an axis of one is left out, as pydicom does."""
        frames = (self.frames,) if self.frames > 1 else ()
        samples = (self.samples,) if self.samples > 1 else ()
        return (*frames, self.rows, self.columns, *samples)

    def but(self, **changes: Any) -> ImageModel:
        """A copy with some facts changed."""
        return replace(self, **changes)

    def check_length(self, length: int) -> ImageModel:
        """The model that ``length`` bytes of native pixel data hold: with more frames when more whole ones are there.

        PixelError when they hold less. That bounds the array too: it is at most eight times the bytes that are there.
        """
        if length < self.stored_length:
            raise PixelError(
                f"{length} bytes of pixel data where {self.frames} x {self.rows} x {self.columns} x {self.samples} "
                f"pixels of {self.bits_allocated} bits need {self.stored_length}",
                path=self.path,
                clause=CLAUSE,
                hint="the object is cut short, or its Image Pixel attributes or its transfer syntax are wrong",
            )
        if self.subsampled and length >= self.frame_values * self.frames:
            raise PixelError(
                f"{length} bytes of pixel data are too many for YBR_FULL_422",
                path=self.path,
                clause="PS3.3 C.7.6.3.1.2",
                hint="Photometric Interpretation is probably RGB or YBR_FULL",
            )
        whole = length * 8 // self.frame_bits
        # A few bits left over hold no frame that anyone meant to send.
        return replace(self, frames=whole) if whole > self.frames and self.frame_bits >= 64 else self

    def check_limits(self, limits: Limits = DEFAULT_LIMITS) -> None:
        """LimitExceeded when one decoded frame would be longer than ``limits.frame_length`` or ``inflated_length``."""
        length, bound = self.frame_values * self.dtype.itemsize, min(limits.frame_length, limits.inflated_length)
        if length > bound:
            raise LimitExceeded(
                f"a frame of {length} bytes, over the limit of {bound}",
                path=self.path,
                clause=CLAUSE,
                hint="raise Limits.frame_length where frames are this large",
            )


def _integer(ds: Dataset, keyword: str, path: str, default: int | None = None) -> int:
    value = ds.get(keyword)
    if value is None or value == "":
        if default is None:
            raise PixelError(f"{keyword} is missing, so the pixels cannot be read", path=path, clause=CLAUSE)
        return default
    try:
        return int(value)
    except (TypeError, ValueError):
        raise PixelError(f"{keyword} is {value!r}, not one number", path=path, clause=CLAUSE) from None


def _text(ds: Dataset, keyword: str, path: str) -> str:
    value = ds.get(keyword)
    if not isinstance(value, str) or not value:
        raise PixelError(f"{keyword} is missing, so the pixels cannot be read", path=path, clause=CLAUSE)
    return value
