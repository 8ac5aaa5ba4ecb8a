"""A typed view of an RT Dose object: its grid in Gy, where it lies, its statistics and histograms (PS3.3 C.8.8.3).

Every reading is one pass over the stored integers on all usable cores, straight from windows on the file or from
memory; frames in a compressed syntax go through one buffer of a frame a worker. Nothing as large as the grid is made
but the result. A voxel is ``stored * Dose Grid Scaling`` multiplied as doubles; single precision is that product,
rounded to the nearest float.

Refuses (PixelError): an object with histograms only, a grid without a scaling above 0 or of other than 16 or 32 bits;
`LimitExceeded`: a compressed grid over ``limits.inflated_length``. Relative dose comes out as it is scaled, and
`is_absolute` and `unit` tell. A file that another program cuts short while it is read kills the process, unless
``mapped=False`` (see `FileSource.map`).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dicomcore._core import dose as kernel
from dicomcore.errors import LimitExceeded, PixelError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.pixels.codec import CODECS, CodecTable
from dicomcore.rt.dose_encoding import EncodedDose, encode
from dicomcore.rt.dose_grid import DoseGrid, DoseStatistics, Histogram, Tally
from dicomcore.rt.grid_geometry import GridGeometry
from dicomcore.rt.stored_grid import Bytes, StoredGrid, Work

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["Dose", "DoseGrid", "DoseStatistics", "EncodedDose", "GridGeometry", "Histogram"]

SCALING = "(3004,000E)"
Frames = int | slice | None


class Dose:
    """An RT Dose object: ``Dose(ds).grid()`` is the dose, ``.geometry`` tells where, ``.read()`` answers both and more.

    ``units`` is that of the object (GY or RELATIVE), ``type`` its Dose Type (PHYSICAL, EFFECTIVE, ERROR), ``summation``
    its Dose Summation Type. It may be used from several threads at once.
    """

    def __init__(
        self, ds: Dataset, *, codecs: CodecTable = CODECS, limits: Limits = DEFAULT_LIMITS, mapped: bool = True
    ) -> None:
        self.dataset = ds
        self.units = str(ds.get("DoseUnits") or "")
        self.type = str(ds.get("DoseType") or "")
        self.summation = str(ds.get("DoseSummationType") or "")
        self._limits = limits
        self._stored = StoredGrid(ds, codecs, limits, mapped)
        self.shape = self._stored.shape
        self.scaling = _scaling(ds)

    @cached_property
    def geometry(self) -> GridGeometry:
        """Where the voxels lie; PixelError when the object does not say, and even then its grid can be read."""
        return GridGeometry.from_dataset(self.dataset)

    @property
    def is_absolute(self) -> bool:
        """Whether values are Gy; otherwise they are fractions of a dose that the object does not tell."""
        return self.units == "GY"

    @property
    def unit(self) -> str:
        """Of all values that come out: ``"Gy"``, or ``"relative"``."""
        return "Gy" if self.is_absolute else "relative"

    def grid(
        self,
        dtype: DTypeLike | None = None,
        out: NDArray[Any] | None = None,
        *,
        frames: Frames = None,
        workers: int | None = None,
    ) -> NDArray[Any]:
        """The dose in Gy (or relative), frames x rows x columns; of ``frames=3`` one plane, of a slice those frames.

        ``dtype`` is float64 or float32; ``out``, a C-contiguous array of such a type, is filled and answered instead of
        a new one. ``workers`` threads, or as many as there are usable cores.
        """
        numbers, shape = self._numbers(frames)
        return self._scaled(numbers, shape, dtype, out, workers, None)

    def read(
        self,
        dtype: DTypeLike | None = None,
        out: NDArray[Any] | None = None,
        *,
        frames: slice | None = None,
        workers: int | None = None,
    ) -> DoseGrid:
        """As `grid`, with geometry, and with minimum, maximum and mean from the same pass."""
        numbers, shape = self._numbers(frames)
        geometry = self.geometry if frames is None else self.geometry.of_frames(numbers)
        extents: list[tuple[int, int, int]] = []
        array = self._scaled(numbers, shape, dtype, out, workers, extents)
        return DoseGrid(array, geometry, self._statistics(extents, array.size))

    def statistics(self, *, frames: Frames = None, workers: int | None = None) -> DoseStatistics:
        """Minimum, maximum and mean, exact over the stored integers, without making an array."""
        numbers, shape = self._numbers(frames)
        extents: list[tuple[int, int, int]] = []

        def start() -> Work:
            def work(stored: Bytes, first: int, stop: int) -> None:
                extent = kernel.measure(stored, self._stored.coding)
                if extent is not None:
                    extents.append(extent)

            return work

        self._stored.each(numbers, start, workers)
        return self._statistics(extents, math.prod(shape))

    @property
    def maximum(self) -> float:
        """The highest dose in the grid."""
        return self.statistics().maximum

    def histogram(
        self,
        range: tuple[float, float],  # noqa: A002 - as numpy.histogram names it
        bins: int = 1000,
        *,
        mask: NDArray[Any] | None = None,
        frames: Frames = None,
        workers: int | None = None,
    ) -> Histogram:
        """Voxels in ``bins`` equal bins between two doses, without making an array.

        ``numpy.histogram`` of the grid in double precision answers the same counts. ``mask``: booleans of the shape
        that `grid` answers for the same ``frames``; where it is False nothing is counted.
        """
        numbers, shape = self._numbers(frames)
        tally = Tally(range, bins, mask, shape)
        starts = _first_stored(tally.edges, self.scaling)
        coding, flags = self._stored.coding, tally.flags

        def start() -> Work:
            counts = tally.part()

            def work(stored: Bytes, first: int, stop: int) -> None:
                kernel.count(stored, coding, starts, counts, None if flags is None else flags[first:stop])

            return work

        self._stored.each(numbers, start, workers)
        return tally.total()

    @staticmethod
    def encode(
        array: NDArray[Any],
        bits: int | None = None,
        *,
        signed: bool | None = None,
        scaling: float | None = None,
        workers: int | None = None,
    ) -> EncodedDose:
        """The stored integers of a dose grid in Gy that lose least, and how much; see `dose_encoding.encode`."""
        return encode(array, bits, signed=signed, scaling=scaling, workers=workers)

    # -- one pass ---------------------------------------------------------------------------------------------------

    def _numbers(self, frames: Frames) -> tuple[range, tuple[int, ...]]:
        """Numbers of the frames that are asked for, and the shape of an array of them."""
        every = range(self.shape[0])
        if frames is None:
            numbers, shape = every, self.shape
        elif isinstance(frames, slice):
            numbers = every[frames]
            shape = (len(numbers), *self.shape[1:])
        else:
            try:
                number = every[frames]
            except IndexError:
                raise IndexError(f"frame {frames} of {len(every)}") from None
            return range(number, number + 1), self.shape[1:]
        return numbers, shape

    def _scaled(
        self,
        numbers: range,
        shape: tuple[int, ...],
        dtype: DTypeLike | None,
        out: NDArray[Any] | None,
        workers: int | None,
        extents: list[tuple[int, int, int]] | None,
    ) -> NDArray[Any]:
        self._stored.check(numbers)
        array = self._room(shape, dtype, out)
        flat = array.reshape(-1)
        coding, scaling, measured = self._stored.coding, self.scaling, extents is not None

        def start() -> Work:
            def work(stored: Bytes, first: int, stop: int) -> None:
                extent = kernel.scale(stored, coding, scaling, flat[first:stop], measured)
                if extent is not None and extents is not None:
                    extents.append(extent)

            return work

        self._stored.each(numbers, start, workers)
        return array

    def _room(self, shape: tuple[int, ...], dtype: DTypeLike | None, out: NDArray[Any] | None) -> NDArray[Any]:
        """``out`` if it will do, or a new array."""
        kind = np.dtype(np.float64 if dtype is None else dtype) if out is None or dtype is not None else out.dtype
        if kind not in (np.float32, np.float64):
            raise ValueError(f"dose comes as float32 or float64, not {kind}")
        if out is None:
            length = math.prod(shape) * kind.itemsize
            if not self._stored.is_native and length > self._limits.inflated_length:
                raise LimitExceeded(
                    f"{length} bytes of dose, over the limit of {self._limits.inflated_length}",
                    path="(7FE0,0010)",
                    clause="PS3.3 C.8.8.3.4",
                    hint="raise Limits.inflated_length, or read fewer frames at a time",
                )
            return np.empty(shape, kind)
        behaved = out.flags.c_contiguous and out.flags.aligned and out.flags.writeable
        if out.shape != shape or out.dtype != kind or not behaved:
            raise ValueError(
                f"out has to be a writable, C-contiguous array of shape {shape} and type {kind}, "
                f"not {out.shape} and {out.dtype}"
            )
        return out

    def _statistics(self, extents: list[tuple[int, int, int]], voxels: int) -> DoseStatistics:
        if not voxels:
            raise ValueError("no frames, so no statistics")
        return DoseStatistics(
            minimum=min(low for low, _, _ in extents) * self.scaling,
            maximum=max(high for _, high, _ in extents) * self.scaling,
            mean=sum(total for _, _, total in extents) / voxels * self.scaling,
            voxels=voxels,
        )

    def __repr__(self) -> str:
        frames, rows, columns = self.shape
        return f"<Dose {self.summation} {self.type} {self.units}: {frames} x {rows} x {columns}>"


def _scaling(ds: Dataset) -> float:
    value = ds.get("DoseGridScaling")
    if value is None or value == "" or not 0.0 < float(value) < math.inf:
        raise PixelError(
            "an RT Dose with a grid needs a Dose Grid Scaling above 0", path=SCALING, clause="PS3.3 C.8.8.3"
        )
    return float(value)


def _first_stored(edges: NDArray[np.float64], scaling: float) -> NDArray[np.int64]:
    """The first stored number at or above each of the ``edges``; of the last, the first above it."""
    wanted = edges.copy()
    wanted[-1] = np.nextafter(wanted[-1], math.inf)
    with np.errstate(over="ignore"):  # edges that no number reaches are infinitely far
        first = np.clip(np.ceil(wanted / scaling), -(2.0**40), 2.0**40)
        for _ in range(2):  # the quotient is rounded
            first -= (first - 1.0) * scaling >= wanted
            first += first * scaling < wanted
    return first.astype(np.int64)
