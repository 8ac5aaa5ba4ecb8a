"""A typed view of an RT Dose object: its grid in Gy and where the grid lies (PS3.3 C.8.8.3).

Positions are in the patient coordinates of the frame of reference, in mm; grid indices are (frame, row, column). Both
readings of Grid Frame Offset Vector are understood: relative to Image Position (first value 0) and absolute along the
patient's z axis. Refuses (PixelError): an object without a grid, a grid without a scaling or a position, and offsets
that fit neither reading.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dicomcore.errors import PixelError
from dicomcore.pixels.array import pixel_array

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["Dose", "GridGeometry"]

CLAUSE = "PS3.3 C.8.8.3"
OFFSETS = "(3004,000C)"
TOLERANCE = 1e-3  # mm, and of a direction cosine

Floats = NDArray[np.float64]


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

    def positions(self, indices: NDArray[Any] | Iterable[Iterable[float]]) -> Floats:
        """Patient coordinates (n x 3, mm) of grid ``indices`` (n x 3: frame, row, column; fractions too)."""
        index = np.atleast_2d(np.asarray(indices, dtype=np.float64))
        offset = np.interp(index[:, 0], np.arange(len(self.offsets)), self.offsets)
        return np.asarray(
            self.origin
            + offset[:, np.newaxis] * self.normal
            + index[:, 1:2] * self.spacing[0] * self.along_column
            + index[:, 2:3] * self.spacing[1] * self.along_row
        )

    @classmethod
    def from_dataset(cls, ds: Dataset) -> GridGeometry:
        """The geometry of an RT Dose, single- or multi-frame."""
        origin = _vector(ds, "ImagePositionPatient", 3)
        cosines = _vector(ds, "ImageOrientationPatient", 6)
        spacing = _vector(ds, "PixelSpacing", 2)
        along_row, along_column = cosines[:3], cosines[3:]
        lengths = np.array([np.linalg.norm(along_row), np.linalg.norm(along_column)])
        if np.any(np.abs(lengths - 1.0) > TOLERANCE) or abs(float(along_row @ along_column)) > TOLERANCE:
            raise PixelError(
                "Image Orientation (Patient) is not two perpendicular unit vectors", path="(0020,0037)", clause=CLAUSE
            )
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


def _vector(ds: Dataset, keyword: str, count: int) -> Floats:
    value = ds.get(keyword)
    numbers = np.atleast_1d(np.asarray([] if value is None or value == "" else value, dtype=np.float64))
    if numbers.size != count or not np.all(np.isfinite(numbers)):
        raise PixelError(f"{keyword} has {numbers.size} values where {count} are needed", clause=CLAUSE)
    return numbers


def _offsets(ds: Dataset, frames: int, z: float, slope: float) -> Floats:
    """Distances of the planes from the first along the normal, whichever reading applies (PS3.3 C.8.8.3.2)."""
    value = ds.get("GridFrameOffsetVector")
    if frames == 1 and (value is None or value == ""):
        return np.zeros(1)
    vector = _vector(ds, "GridFrameOffsetVector", frames)
    if abs(vector[0]) <= TOLERANCE:
        return np.asarray(vector - vector[0])
    if abs(abs(slope) - 1.0) <= TOLERANCE and abs(vector[0] - z) <= TOLERANCE:
        return np.asarray((vector - vector[0]) * np.sign(slope))
    raise PixelError(
        f"the offsets begin at {vector[0]:g}, neither at 0 nor at the z of Image Position (Patient), {z:g}",
        path=OFFSETS,
        clause="PS3.3 C.8.8.3.2",
    )


class Dose:
    """An RT Dose object: ``Dose(ds).grid()`` is the dose, ``.geometry`` tells where."""

    def __init__(self, ds: Dataset) -> None:
        self.dataset = ds
        self.units = str(ds.get("DoseUnits") or "")
        self.type = str(ds.get("DoseType") or "")
        self.summation = str(ds.get("DoseSummationType") or "")
        scaling = ds.get("DoseGridScaling")
        if scaling is None or scaling == "" or not float(scaling) > 0.0:
            raise PixelError(
                "an RT Dose with a grid needs a Dose Grid Scaling above 0", path="(3004,000E)", clause=CLAUSE
            )
        self.scaling = float(scaling)
        self.geometry = GridGeometry.from_dataset(ds)

    @property
    def is_absolute(self) -> bool:
        """Whether values are Gy; otherwise they are fractions of a dose that the object does not tell."""
        return self.units == "GY"

    def grid(self, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """A new array of the dose, frames x rows x columns, in Gy (or relative, see `is_absolute`)."""
        stored = pixel_array(self.dataset).reshape(self.geometry.shape)
        return np.multiply(stored, self.scaling, dtype=np.dtype(dtype))

    @property
    def maximum(self) -> float:
        """The highest dose in the grid."""
        return float(pixel_array(self.dataset).max()) * self.scaling

    def __repr__(self) -> str:
        frames, rows, columns = self.geometry.shape
        return f"<Dose {self.summation} {self.type} {self.units}: {frames} x {rows} x {columns}>"
