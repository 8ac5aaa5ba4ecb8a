"""A dose grid in memory: dose at points, histograms and statistics of any array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomcore.rt.dose import Dose, DoseGrid, DoseStatistics
from dicomcore.rt.grid_geometry import GridGeometry
from tests.rt.objects import OBLIQUE, STORED, rt_dose

COEFFICIENTS = np.array([0.03, -0.02, 0.05])


def linear(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A dose that trilinear interpolation knows exactly."""
    return np.asarray(7.0 + points @ COEFFICIENTS)


def linear_grid(kind: Any = np.float64, **changes: object) -> DoseGrid:
    geometry = GridGeometry.from_dataset(rt_dose(**changes))
    index = np.stack(np.meshgrid(*map(range, geometry.shape), indexing="ij"), -1).reshape(-1, 3)
    return DoseGrid(linear(geometry.positions(index)).reshape(geometry.shape).astype(kind), geometry)


@pytest.mark.parametrize("changes", [
    {},
    {"GridFrameOffsetVector": [0.0, -5.0]},
    {"GridFrameOffsetVector": [30.0, 22.5]},
    {"ImageOrientationPatient": OBLIQUE},
    {"ImageOrientationPatient": [-1, 0, 0, 0, 1, 0]},
    {"NumberOfFrames": 4, "GridFrameOffsetVector": [0.0, 1.0, 4.0, 4.5]},
    {"NumberOfFrames": 4, "GridFrameOffsetVector": [0.0, -1.0, -4.0, -4.5], "ImageOrientationPatient": OBLIQUE},
])  # fmt: skip
@pytest.mark.parametrize("workers", [1, 3])
def test_dose_at_points(changes: dict[str, object], workers: int) -> None:
    grid = linear_grid(**changes)
    frames, rows, columns = grid.geometry.shape
    index = np.random.default_rng(2).uniform(0, 1, (50_000, 3)) * [frames - 1, rows - 1, columns - 1]
    points = grid.geometry.positions(index)
    np.testing.assert_allclose(grid.sample(points, workers=workers), linear(points), rtol=1e-12)
    singles = linear_grid(np.float32, **changes)
    np.testing.assert_allclose(singles.sample(points), linear(points), rtol=1e-6)


def test_voxels_at_the_border_are_inside_and_what_is_beyond_is_not() -> None:
    grid = linear_grid(ImageOrientationPatient=OBLIQUE)
    corners = np.array([[f, r, c] for f in (0, 1) for r in (0, 2) for c in (0, 3)], np.float64)
    np.testing.assert_allclose(grid.sample(grid.geometry.positions(corners)), linear(grid.geometry.positions(corners)))
    for axis, step in ((0, 0.002 / 5), (1, 0.002 / 2), (2, 0.002 / 3)):  # two thousandths of a mm
        for corner in corners:
            beyond = corner.copy()
            beyond[axis] += step if corner[axis] else -step
            assert math.isnan(grid.sample(grid.geometry.positions(beyond)[0]))
            assert grid.sample(grid.geometry.positions(beyond)[0], fill=-1.0) == -1.0


def test_shapes_of_points() -> None:
    grid = linear_grid()
    points = grid.geometry.positions(np.full((12, 3), 0.5)).reshape(3, 4, 3)
    assert grid.sample(points).shape == (3, 4)
    assert grid.sample(points[0, 0]).shape == ()
    assert grid.sample(points.tolist()).shape == (3, 4)
    assert grid.sample(np.empty((0, 3))).shape == (0,)
    for wrong in (np.zeros((3, 2)), 1.0):
        with pytest.raises(ValueError, match="n x 3"):
            grid.sample(wrong)


def test_a_plane_is_sampled_within_itself() -> None:
    ds = rt_dose(NumberOfFrames=None, PixelData=STORED[0].tobytes())
    grid = Dose(ds).read()
    points = [[11.5, 21.0, 30.0], [11.5, 21.0, 30.0009], [11.5, 21.0, 30.1]]
    np.testing.assert_array_equal(grid.sample(points), [2.5 * 0.25, 2.5 * 0.25, np.nan])


def test_sampling_what_was_read() -> None:
    dose = Dose(rt_dose())
    grid = dose.read(np.float32)
    index = np.array([[0, 0, 0], [1, 2, 3], [0.5, 1.5, 2.0]])
    np.testing.assert_allclose(grid.sample(grid.geometry.positions(index)), [0.0, 23 * 0.25, 14 * 0.25])
    assert grid.statistics == dose.statistics() == DoseStatistics(0.0, 23 * 0.25, 11.5 * 0.25, 24)
    assert repr(grid) == "<DoseGrid 2 x 3 x 4 float32>"


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("workers", [1, 3])
def test_histograms_are_those_of_numpy(kind: Any, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicomcore.rt.dose_grid.VOXELS", 1000)
    geometry = GridGeometry.from_dataset(
        rt_dose(NumberOfFrames=5, Rows=30, Columns=40, GridFrameOffsetVector=[*range(5)])
    )
    array = np.random.default_rng(4).normal(30, 20, geometry.shape).astype(kind)
    grid = DoseGrid(array, geometry)
    histogram = grid.histogram((0, 60), 100, workers=workers)
    wide = array.astype(np.float64)
    np.testing.assert_array_equal(histogram.counts, np.histogram(wide, 100, (0, 60))[0])
    assert histogram.below == np.count_nonzero(wide < 0)
    assert histogram.above == np.count_nonzero(wide > 60)
    mask = array > 25
    np.testing.assert_array_equal(
        grid.histogram((0, 60), 100, mask=mask, workers=workers).counts, np.histogram(wide[mask], 100, (0, 60))[0]
    )
    assert grid.statistics.maximum == array.max()
    assert grid.statistics.mean == pytest.approx(wide.mean())


def test_any_array_makes_a_grid() -> None:
    geometry = GridGeometry.from_dataset(rt_dose())
    turned = np.arange(24).reshape(4, 3, 2).T
    grid = DoseGrid(turned, geometry)
    assert grid.array.dtype == np.float64
    assert grid.array.flags.c_contiguous
    assert grid.sample(geometry.positions([[1, 2, 3]])) == turned[1, 2, 3]
    with pytest.raises(ValueError, match="geometry"):
        DoseGrid(np.zeros((2, 3, 5)), geometry)
