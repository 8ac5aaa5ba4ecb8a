"""From an array of dose to stored integers that lose least, and into a data set (PS3.3 C.8.8.3, C.8.8.3.4).

Dose Grid Scaling is a decimal string of at most 16 characters (PS3.5 6.2): it is chosen *first*, as the decimal just
large enough for the greatest dose, and the integers are made with the very number that a reader will get from it. The
greatest error over all voxels is measured, not estimated. Negative dose needs Pixel Representation 1, which the
standard knows for Dose Type ERROR only. Refuses (PixelError): dose that is not finite, and a scaling under which it
does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomcore._core import dose as kernel
from dicomcore.data.element import Element
from dicomcore.encoding.values import encode as encode_value
from dicomcore.errors import PixelError
from dicomcore.pixels.parallel import run
from dicomcore.rt.grid_geometry import GridGeometry
from dicomcore.vocab.syntaxes import EXPLICIT_LE, transfer_syntax

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["EncodedDose", "encode"]

SCALING = "(3004,000E)"
REPRESENTATION = "PS3.3 C.8.8.3.4.6"
DIGITS = 10  # of the scaling: with sign, point and exponent of three digits, 16 characters
VOXELS = 1 << 20  # that a worker takes at a time

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedDose:
    """Stored integers and the scaling that makes them dose: ``stored * scaling`` is off by ``max_error`` Gy at most."""

    stored: Array  # frames x rows x columns, of ``bits`` bits
    scaling: float  # exactly what the decimal string in the data set says
    bits: int
    is_signed: bool
    max_error: float  # Gy, the greatest |stored * scaling - dose| over all voxels

    def put_into(self, ds: Dataset, geometry: GridGeometry | None = None) -> None:
        """Make this the grid of ``ds``: pixels, scaling, and all attributes that describe them.

        ``geometry``: where it lies, unless ``ds`` says so already. Dose Units, Dose Type and the UIDs stay; a changed
        dose is a new instance, and giving it a SOP Instance UID is the caller's. A compressed transfer syntax becomes
        Explicit VR Little Endian.
        """
        is_error = ds.get("DoseType") == "ERROR"
        if is_error != self.is_signed:
            raise PixelError(
                f"Dose Type {ds.get('DoseType')} and {'signed' if self.is_signed else 'unsigned'} pixels: "
                "Pixel Representation is 1 for ERROR and 0 for all others",
                path="(0028,0103)",
                clause=REPRESENTATION,
                hint="encode with signed=True" if is_error else "a difference of doses has ds.DoseType = 'ERROR'",
            )
        where = GridGeometry.from_dataset(ds) if geometry is None else geometry
        if where.shape != self.stored.shape:
            raise PixelError(
                f"the grid is {self.stored.shape} (frames, rows, columns), its geometry {where.shape}",
                path="(7FE0,0010)",
                clause="PS3.3 C.8.8.3",
            )
        if transfer_syntax(ds.transfer_syntax).encapsulated:
            ds.file_meta.TransferSyntaxUID = EXPLICIT_LE.uid
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):  # of what was compressed
            if keyword in ds:
                del ds[keyword]
        where.put_into(ds)
        ds.SamplesPerPixel = 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = self.bits
        ds.HighBit = self.bits - 1
        ds.PixelRepresentation = int(self.is_signed)
        ds.DoseGridScaling = self.scaling
        pixels = self.stored.astype(self.stored.dtype.newbyteorder("<"), copy=False)
        if ds.is_big_endian:  # OW: words of 16 bits in the order of the file, the least significant first
            pixels = pixels.view("<u2").byteswap()
        ds["PixelData"] = Element("PixelData", "OW", pixels.tobytes())


def encode(
    array: Array,
    bits: int | None = None,
    *,
    signed: bool | None = None,
    scaling: float | None = None,
    workers: int | None = None,
) -> EncodedDose:
    """The stored integers of ``array`` (frames x rows x columns, or one plane; Gy) and their scaling.

    ``bits`` is 16 or 32; without it 32, unless 16 are exact: to half a unit in the last place of the greatest dose, in
    the type of ``array``. Dose that is a multiple of one decimal everywhere, as what was read from a file is, is found
    to be so and stored exactly. ``signed`` without being given: whether any dose is negative. ``scaling`` is used as it
    is.
    """
    if bits not in (None, 16, 32):
        raise ValueError(f"a dose grid has 16 or 32 bits, not {bits}")
    if array.ndim not in (2, 3) or not array.size:
        raise ValueError(f"a dose grid is frames x rows x columns, not {' x '.join(map(str, array.shape))}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    values = np.ascontiguousarray(array).reshape(-1)
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise PixelError("the dose is not finite everywhere", path="(7FE0,0010)", clause="PS3.3 C.8.8.3")
    negative = low < 0.0 if signed is None else signed
    if low < 0.0 and not negative:
        raise PixelError(
            f"a dose of {low:g} needs signed pixels", path="(0028,0103)", clause=REPRESENTATION, hint="signed=True"
        )
    extent = _Extent(low, high, negative, float(np.finfo(array.dtype).eps) * max(-low, high))
    if scaling is not None and not _is_told(scaling):
        raise PixelError(f"a scaling of {scaling!r} cannot be told in 16 characters", path=SCALING, clause="PS3.5 6.2")
    chosen, bits = _chosen(values, extent, bits, scaling, workers)
    bounds = extent.bounds(bits)
    if not extent.fits(chosen, bits):
        raise PixelError(
            f"dose from {low:g} to {high:g} does not fit {bounds[0]}..{bounds[1]} under a scaling of {chosen:g}",
            path=SCALING,
            clause="PS3.3 C.8.8.3",
        )
    stored = np.empty(values.shape, f"{'i' if negative else 'u'}{bits // 8}")
    error = _store(values, chosen, bounds, stored.view(np.uint8), bits, workers)
    shape = array.shape if array.ndim == 3 else (1, *array.shape)
    return EncodedDose(stored.reshape(shape), chosen, bits, negative, error)


@dataclass(frozen=True, slots=True)
class _Extent:
    """What has to be stored."""

    low: float
    high: float
    signed: bool
    unit: float  # in the last place of the greatest dose

    def bounds(self, bits: int) -> tuple[int, int]:
        return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if self.signed else (0, (1 << bits) - 1)

    def fits(self, scaling: float, bits: int) -> bool:
        lowest, highest = self.bounds(bits)
        return lowest * scaling <= self.low + scaling / 2 and self.high - scaling / 2 <= highest * scaling


def _chosen(
    values: Array, extent: _Extent, bits: int | None, scaling: float | None, workers: int | None
) -> tuple[float, int]:
    """The scaling and the number of bits: the first that is exact, else the finest."""
    few = np.ascontiguousarray(values[:: max(values.size // 4096, 1)])

    def is_exact(trial: float, bits: int) -> bool:
        return extent.fits(trial, bits) and all(
            _store(some, trial, extent.bounds(bits), None, 0, workers) <= extent.unit / 2 for some in (few, values)
        )

    if scaling is not None:
        return scaling, bits or (16 if is_exact(scaling, 16) else 32)
    lattices = list(_lattices(few, extent))
    for trial_bits in (16, 32) if bits is None else (bits,):
        for trial in lattices:
            if is_exact(trial, trial_bits):
                return trial, trial_bits
        if bits is None and trial_bits == 16 and is_exact(finest := _finest(extent, 16), 16):
            return finest, 16
    return _finest(extent, bits or 32), bits or 32


def _finest(extent: _Extent, bits: int) -> float:
    """The shortest decimal under which all fit and that is too large by less than half a stored number."""
    lowest, highest = extent.bounds(bits)
    if extent.low == extent.high == 0.0:
        return 1.0  # and any other would do
    least = max(extent.high / highest, extent.low / lowest if extent.signed else 0.0)
    for digits in range(1, DIGITS + 1):
        for nudge in (0.0, 1.0):
            if least <= 0.0:
                break
            step = 10.0 ** (math.floor(math.log10(least)) - digits + 1)
            trial = float(f"{least + nudge * step:.{digits - 1}e}")
            if trial - least <= least / highest / 2 and extent.fits(trial, bits) and _is_told(trial):
                return trial
            if digits == DIGITS and extent.fits(trial, bits) and _is_told(trial):
                return trial
    raise PixelError(
        f"no decimal string of 16 characters scales a dose from {extent.low:g} to {extent.high:g}",
        path=SCALING,
        clause="PS3.5 6.2",
    )


def _lattices(few: Array, extent: _Extent) -> Iterator[float]:
    """Decimals of which these may be multiples, shortest first: by Euclid's algorithm on rounded numbers."""
    unit = extent.unit
    values = np.unique(np.append(np.abs(few.astype(np.float64)), 0.0))
    common, error = 0.0, unit
    for step in np.unique(np.diff(values)).tolist():  # small multiples, so that their errors stay small
        if step <= 4.0 * unit:
            continue
        (larger, off), (smaller, by) = (step, 2.0 * unit), (common or step, error)
        while True:
            times = max(round(larger / smaller), 1)
            rest, its = abs(larger - times * smaller), off + times * by
            if rest <= its:
                break
            (larger, off), (smaller, by) = (smaller, by), (rest, its)
        common, error = larger / times, min(off / times, by)
    if common <= 4.0 * max(error, unit):
        return
    for value in values.tolist():  # the greater, the more exactly it tells
        if count := round(value / common):
            common = value / count
    counts = np.rint(values / common)
    ideal = float(values @ counts) / float(counts @ counts)  # least squares
    slack = 2.0 * unit / max(-extent.low, extent.high) * ideal
    trials = (float(f"{ideal:.{digits - 1}e}") for digits in range(1, 15))
    yield from (trial for trial in trials if abs(trial - ideal) <= slack and _is_told(trial))


def _is_told(scaling: float) -> bool:
    """Whether a decimal string says exactly this."""
    return 0.0 < scaling < math.inf and float(encode_value("DS", scaling)) == scaling


def _store(
    values: Array, scaling: float, bounds: tuple[int, int], out: Array | None, bits: int, workers: int | None
) -> float:
    """Fill ``out``, or only measure; answers the greatest error."""
    worst: list[float] = [0.0]
    width = bits // 8

    def start() -> Callable[[int, int], None]:
        def work(first: int, stop: int) -> None:
            room = None if out is None else out[first * width : stop * width]
            worst.append(kernel.store(values[first:stop], scaling, *bounds, room, bits))

        return work

    run(len(values), start, workers=workers, chunk=VOXELS)
    return max(worst)
