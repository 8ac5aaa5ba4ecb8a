"""A dose grid in memory: an array in Gy and where it lies; dose at points between voxels, histograms, statistics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomcore._core import dose as kernel
from dicomcore.pixels.parallel import run
from dicomcore.rt.grid_geometry import TOLERANCE, GridGeometry

__all__ = ["DoseGrid", "DoseStatistics", "Histogram", "Tally"]

VOXELS = 1 << 20  # that a worker takes at a time
POINTS = 1 << 14
MOST_BINS = 1 << 24


@dataclass(frozen=True, slots=True)
class DoseStatistics:
    """Of ``voxels`` voxels, in Gy (or relative, as the dose is)."""

    minimum: float
    maximum: float
    mean: float
    voxels: int


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """``counts[i]`` voxels with ``edges[i] <= dose < edges[i + 1]``; the last bin holds its upper edge too.

    ``below`` and ``above`` are those outside of the range.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    below: int
    above: int

    @property
    def cumulative(self) -> NDArray[np.int64]:
        """How many voxels have at least the dose of each edge: what a cumulative dose-volume histogram plots."""
        high = np.append(self.counts, self.above)
        return np.asarray(np.cumsum(high[::-1])[::-1])


class Tally:
    """Counts in the making: a part for each worker, and the sum of all."""

    def __init__(
        self, extent: tuple[float, float], bins: int, mask: NDArray[Any] | None, shape: tuple[int, ...]
    ) -> None:
        low, high = map(float, extent)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"the range is from {low:g} to {high:g}; two doses are wanted, the lower first")
        if not 1 <= bins <= MOST_BINS:
            raise ValueError(f"{bins} bins; 1 to {MOST_BINS} are possible")
        self.edges: NDArray[np.float64] = np.linspace(low, high, bins + 1)
        self.flags: NDArray[np.uint8] | None = None
        self._parts: list[NDArray[np.uint32]] = []
        if mask is not None:
            if mask.shape != shape or mask.dtype != np.bool_:
                raise ValueError(f"the mask has to be booleans of shape {shape}, not {mask.shape} and {mask.dtype}")
            self.flags = np.ascontiguousarray(mask).reshape(-1).view(np.uint8)

    def part(self) -> NDArray[np.uint32]:
        """What one worker counts in: 4 x (below, the bins, above)."""
        part = np.zeros((4, len(self.edges) + 1), np.uint32)
        self._parts.append(part)
        return part

    def total(self) -> Histogram:
        """All parts together."""
        counts = np.zeros(len(self.edges) + 1, np.int64)
        for part in self._parts:
            counts += part.sum(axis=0, dtype=np.int64)
        return Histogram(counts[1:-1], self.edges, int(counts[0]), int(counts[-1]))


class DoseGrid:
    """``array`` (frames x rows x columns, float32 or float64) in Gy and its ``geometry``.

    Made by ``Dose.read``, or from any array: one that is not C-contiguous or of another type is copied.
    """

    def __init__(self, array: NDArray[Any], geometry: GridGeometry, statistics: DoseStatistics | None = None) -> None:
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float64)
        self.array = np.ascontiguousarray(array)
        self.geometry = geometry
        self._statistics = statistics
        if self.array.shape != geometry.shape:
            raise ValueError(f"the array is {self.array.shape}, its geometry {geometry.shape}")

    @property
    def statistics(self) -> DoseStatistics:
        """Minimum, maximum, mean: from the pass that read the grid, else from the array."""
        if self._statistics is None:
            low, high, mean = self.array.min(), self.array.max(), self.array.mean(dtype=np.float64)
            self._statistics = DoseStatistics(float(low), float(high), float(mean), self.array.size)
        return self._statistics

    def sample(self, points: ArrayLike, *, fill: float = math.nan, workers: int | None = None) -> NDArray[np.float64]:
        """Dose at ``points`` (... x 3, mm in patient coordinates), trilinear between voxel centres.

        ``fill`` where a point is outside of the box of voxel centres, by more than a thousandth of a mm.
        """
        given = np.asarray(points, dtype=np.float64)
        if given.ndim < 1 or given.shape[-1] != 3:
            raise ValueError(f"points are n x 3, not {' x '.join(map(str, given.shape)) or 'a number'}")
        flat = np.ascontiguousarray(given.reshape(-1, 3))
        out = np.empty(len(flat))
        geometry = self.geometry
        axes, offsets = geometry.axes, np.array(geometry.offsets, np.float64)
        if offsets[-1] < 0:  # the kernel wants them ascending
            offsets, axes[0] = -offsets, -axes[0]
        origin = np.ascontiguousarray(geometry.origin, np.float64)
        array = self.array

        def start() -> Callable[[int, int], None]:
            def work(first: int, stop: int) -> None:
                kernel.sample(array, offsets, flat[first:stop], origin, axes, TOLERANCE, fill, out[first:stop])

            return work

        run(len(flat), start, workers=workers, chunk=POINTS)
        return out.reshape(given.shape[:-1])

    def histogram(
        self,
        range: tuple[float, float],  # noqa: A002 - as numpy.histogram names it
        bins: int = 1000,
        *,
        mask: NDArray[Any] | None = None,
        workers: int | None = None,
    ) -> Histogram:
        """Voxels of the array in ``bins`` equal bins between two doses; see `Dose.histogram`."""
        tally = Tally(range, bins, mask, self.array.shape)
        flat, flags = self.array.reshape(-1), tally.flags

        def start() -> Callable[[int, int], None]:
            counts = tally.part()

            def work(first: int, stop: int) -> None:
                chosen = None if flags is None else flags[first:stop]
                kernel.count_values(flat[first:stop], tally.edges, counts, chosen)

            return work

        run(len(flat), start, workers=workers, chunk=VOXELS)
        return tally.total()

    def __repr__(self) -> str:
        return f"<DoseGrid {' x '.join(map(str, self.array.shape))} {self.array.dtype.name}>"
