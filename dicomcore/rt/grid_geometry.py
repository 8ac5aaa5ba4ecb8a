"""Where the voxel centres of a dose grid lie: grid indices to patient coordinates and back (PS3.3 C.8.8.3.2, C.7.6.2).

Positions are mm in the patient coordinates of the frame of reference; indices are (frame, row, column), fractions too.
Both readings of Grid Frame Offset Vector are understood: relative to Image Position (first value 0, any orientation)
and absolute along the patient's z axis. Planes need not be equally far apart; they may descend. Refuses (PixelError):
a position, an orientation or a spacing that is missing or makes no grid, and offsets that are not monotonic or fit
neither reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomcore.errors import PixelError

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["TOLERANCE", "GridGeometry"]

CLAUSE = "PS3.3 C.7.6.2.1.1"
OFFSETS_CLAUSE = "PS3.3 C.8.8.3.2"
OFFSETS = "(3004,000C)"
TOLERANCE = 1e-3  # mm, and of a direction cosine

Floats = NDArray[np.float64]
Points = NDArray[Any] | Iterable[Iterable[float]] | Iterable[float]


@dataclass(frozen=True, slots=True, eq=False)
class GridGeometry:
    """Where the voxel centres of a grid lie; `positions` puts the parts together."""

    origin: Floats  # of the first voxel of the first plane, mm
    spacing: tuple[float, float]  # between rows, between columns, mm
    along_row: Floats  # unit vector of increasing column
    along_column: Floats  # unit vector of increasing row
    offsets: Floats  # mm along the normal, one a frame, the first is 0
    shape: tuple[int, int, int]  # frames, rows, columns

    @property
    def normal(self) -> Floats:
        """Unit vector of increasing offset."""
        return np.cross(self.along_row, self.along_column)

    @property
    def is_uniform(self) -> bool:
        """Whether all planes are equally far apart, to `TOLERANCE`."""
        steps = np.diff(self.offsets)
        return not len(steps) or bool(np.ptp(steps) <= TOLERANCE)

    @property
    def axes(self) -> Floats:
        """3 x 3: what (position - origin) is multiplied with to become (mm along the normal, row, column)."""
        steps = [self.normal, self.along_column * self.spacing[0], self.along_row * self.spacing[1]]
        return np.ascontiguousarray(np.linalg.inv(np.array(steps).T))

    def positions(self, indices: Points) -> Floats:
        """Patient coordinates (n x 3, mm) of grid ``indices`` (n x 3), outside of the grid too."""
        index = _triples(indices, "indices")
        offset = self._along(index[:, 0], np.arange(len(self.offsets), dtype=np.float64), self.offsets)
        return np.asarray(
            self.origin
            + offset[:, np.newaxis] * self.normal
            + index[:, 1:2] * self.spacing[0] * self.along_column
            + index[:, 2:3] * self.spacing[1] * self.along_row
        )

    def indices(self, positions: Points) -> Floats:
        """Grid indices (n x 3) of patient coordinates ``positions`` (n x 3, mm): the inverse of `positions`.

        A single plane has no distance to another: what is off it by more than `TOLERANCE` has the frame index NaN.
        """
        point = _triples(positions, "positions")
        found = (point - self.origin) @ self.axes.T
        if len(self.offsets) == 1:
            found[:, 0] = np.where(np.abs(found[:, 0]) <= TOLERANCE, 0.0, np.nan)
        else:
            sign = -1.0 if self.offsets[-1] < 0 else 1.0
            numbers = np.arange(len(self.offsets), dtype=np.float64)
            found[:, 0] = self._along(found[:, 0] * sign, self.offsets * sign, numbers)
        return np.asarray(found)

    def _along(self, values: Floats, known: Floats, wanted: Floats) -> Floats:
        """Linear between the planes, and beyond the first and last as between the two at that end."""
        if len(known) == 1:
            return np.zeros(len(values))
        left = np.clip(np.searchsorted(known, values, side="right") - 1, 0, len(known) - 2)
        part = (values - known[left]) / (known[left + 1] - known[left])
        return np.asarray(wanted[left] * (1.0 - part) + wanted[left + 1] * part)

    def of_frames(self, frames: Sequence[int]) -> GridGeometry:
        """The geometry of some of the frames, in that order."""
        offsets = self.offsets[list(frames)]
        first = offsets[0] if len(offsets) else 0.0
        shape = (len(offsets), *self.shape[1:])
        return replace(self, origin=self.origin + first * self.normal, offsets=offsets - first, shape=shape)

    @classmethod
    def from_dataset(cls, ds: Dataset) -> GridGeometry:
        """The geometry of an RT Dose, single- or multi-frame."""
        origin = _vector(ds, "ImagePositionPatient", 3)
        cosines = np.clip(_vector(ds, "ImageOrientationPatient", 6), -2.0, 2.0)  # no square is infinite
        spacing = _vector(ds, "PixelSpacing", 2)
        along_row, along_column = cosines[:3], cosines[3:]
        lengths = np.array([np.linalg.norm(along_row), np.linalg.norm(along_column)])
        if np.any(np.abs(lengths - 1.0) > TOLERANCE) or abs(float(along_row @ along_column)) > TOLERANCE:
            raise PixelError(
                "Image Orientation (Patient) is not two perpendicular unit vectors", path="(0020,0037)", clause=CLAUSE
            )
        if not np.all(spacing > 0.0):
            raise PixelError("Pixel Spacing is not above 0", path="(0028,0030)", clause="PS3.3 10.7.1.3")
        frames = int(ds.get("NumberOfFrames") or 1)
        offsets = _offsets(ds, frames, float(origin[2]), float(np.cross(along_row, along_column)[2]))
        return cls(
            origin=origin,
            spacing=(float(spacing[0]), float(spacing[1])),
            along_row=along_row,
            along_column=along_column,
            offsets=offsets,
            shape=(frames, int(ds.Rows), int(ds.Columns)),
        )

    def put_into(self, ds: Dataset) -> None:
        """Set the attributes of ``ds`` that say all this, with relative offsets; of one frame without any."""
        frames, ds.Rows, ds.Columns = self.shape
        ds.ImagePositionPatient = self.origin.tolist()
        ds.ImageOrientationPatient = [*self.along_row.tolist(), *self.along_column.tolist()]
        ds.PixelSpacing = list(self.spacing)
        if frames > 1:
            ds.NumberOfFrames = frames
            ds.FrameIncrementPointer = 0x3004000C
            ds.GridFrameOffsetVector = (self.offsets - self.offsets[0]).tolist()
            return
        for keyword in ("NumberOfFrames", "FrameIncrementPointer", "GridFrameOffsetVector"):
            if keyword in ds:
                del ds[keyword]


def _triples(values: Points, name: str) -> Floats:
    array = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"{name} are n x 3, not {' x '.join(map(str, array.shape))}")
    return array


def _vector(ds: Dataset, keyword: str, count: int) -> Floats:
    value = ds.get(keyword)
    numbers = np.atleast_1d(np.asarray([] if value is None or value == "" else value, dtype=np.float64))
    if numbers.size != count or not np.all(np.isfinite(numbers)):
        raise PixelError(f"{keyword} has {numbers.size} values where {count} are needed", clause="PS3.3 C.8.8.3")
    return numbers


def _offsets(ds: Dataset, frames: int, z: float, slope: float) -> Floats:
    """Distances of the planes from the first along the normal, whichever reading applies."""
    if frames == 1:  # where the one frame lies, Image Position says
        return np.zeros(1)
    vector = _vector(ds, "GridFrameOffsetVector", frames)
    steps = np.diff(vector)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise PixelError("Grid Frame Offset Vector is not monotonic", path=OFFSETS, clause=OFFSETS_CLAUSE)
    if abs(vector[0]) <= TOLERANCE:
        return np.asarray(vector - vector[0])
    if abs(abs(slope) - 1.0) <= TOLERANCE and abs(vector[0] - z) <= TOLERANCE:
        return np.asarray((vector - vector[0]) * np.sign(slope))
    raise PixelError(
        f"the offsets begin at {vector[0]:g}, neither at 0 nor at the z of Image Position (Patient), {z:g}",
        path=OFFSETS,
        clause=OFFSETS_CLAUSE,
    )
