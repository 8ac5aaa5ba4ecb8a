"""The dose view: units, scaling, and the two readings of Grid Frame Offset Vector (PS3.3 C.8.8.3.2)."""

from __future__ import annotations

import numpy as np
import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.errors import PixelError
from dicomcore.rt.dose import Dose

STORED = np.arange(24, dtype="<u2").reshape(2, 3, 4)
OBLIQUE = [0.6, 0.8, 0, 0, 0, -1]


def rt_dose(**changes: object) -> Dataset:
    ds = Dataset()
    values: dict[str, object] = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": 2,
        "Rows": 3,
        "Columns": 4,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "ImagePositionPatient": [10.0, 20.0, 30.0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [2.0, 3.0],
        "GridFrameOffsetVector": [0.0, 5.0],
        "DoseUnits": "GY",
        "DoseType": "PHYSICAL",
        "DoseSummationType": "PLAN",
        "DoseGridScaling": 0.25,
        "PixelData": STORED.tobytes(),
    }
    for keyword, value in (values | changes).items():
        if value is not None:
            setattr(ds, keyword, value)
    return ds


def test_grid_and_maximum_are_gray() -> None:
    dose = Dose(rt_dose())
    assert (dose.units, dose.type, dose.summation, dose.scaling, dose.is_absolute) == (
        "GY",
        "PHYSICAL",
        "PLAN",
        0.25,
        True,
    )
    grid = dose.grid()
    assert grid.dtype == np.float64
    assert grid.flags.writeable
    np.testing.assert_array_equal(grid, STORED * 0.25)
    assert dose.maximum == 23 * 0.25
    assert dose.grid(np.float32).dtype == np.float32
    assert "2 x 3 x 4" in repr(dose)
    assert not Dose(rt_dose(DoseUnits="RELATIVE")).is_absolute


@pytest.mark.parametrize(("vector", "orientation", "far"), [
    ([0.0, 5.0], [1, 0, 0, 0, 1, 0], (10 + 9, 20 + 4, 35)),  # relative
    ([30.0, 35.0], [1, 0, 0, 0, 1, 0], (10 + 9, 20 + 4, 35)),  # absolute
    ([0.0, 5.0], [-1, 0, 0, 0, 1, 0], (10 - 9, 20 + 4, 25)),  # feet first: the normal points down z
    ([30.0, 25.0], [-1, 0, 0, 0, 1, 0], (10 - 9, 20 + 4, 25)),
    ([0.0, -5.0], [1, 0, 0, 0, 1, 0], (10 + 9, 20 + 4, 25)),
    ([0.0, 5.0], OBLIQUE, (10 + 9 * 0.6 - 4, 20 + 9 * 0.8 + 3, 30 - 4)),
])  # fmt: skip
def test_offsets_and_orientation(vector: list[float], orientation: list[float], far: tuple[float, ...]) -> None:
    geometry = Dose(rt_dose(GridFrameOffsetVector=vector, ImageOrientationPatient=orientation)).geometry
    assert geometry.shape == (2, 3, 4)
    np.testing.assert_allclose(geometry.positions([[0, 0, 0], [1, 2, 3]]), [(10, 20, 30), far], atol=1e-12)
    middle = geometry.positions([[0.5, 1, 1.5]])
    np.testing.assert_allclose(middle[0], (np.array([10, 20, 30]) + np.array(far)) / 2, atol=1e-12)


def test_a_single_plane_needs_no_offsets() -> None:
    dose = Dose(rt_dose(NumberOfFrames=None, GridFrameOffsetVector=None, PixelData=STORED[0].tobytes()))
    assert dose.grid().shape == (1, 3, 4)
    assert dose.geometry.offsets.tolist() == [0.0]


@pytest.mark.parametrize(("changes", "word"), [
    ({"DoseGridScaling": None}, "Scaling"),
    ({"DoseGridScaling": 0}, "Scaling"),
    ({"ImagePositionPatient": None}, "ImagePositionPatient"),
    ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
    ({"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]}, "perpendicular"),
    ({"GridFrameOffsetVector": [7.0, 12.0]}, "begin at 7"),
    ({"GridFrameOffsetVector": [0.0, 1.0, 2.0]}, "3 values"),
    ({"GridFrameOffsetVector": [30.0, 35.0], "ImageOrientationPatient": OBLIQUE}, "begin at 30"),
])  # fmt: skip
def test_a_grid_that_lies_nowhere_is_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(PixelError, match=word):
        Dose(rt_dose(**changes))
