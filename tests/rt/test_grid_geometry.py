"""Where a grid lies: the two readings of Grid Frame Offset Vector (PS3.3 C.8.8.3.2), indices to positions and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore import Dataset
from dicomcore.errors import PixelError
from dicomcore.rt.grid_geometry import GridGeometry
from tests.rt.objects import OBLIQUE, STORED, rt_dose


@pytest.mark.parametrize(("vector", "orientation", "far"), [
    ([0.0, 5.0], [1, 0, 0, 0, 1, 0], (10 + 9, 20 + 4, 35)),  # relative
    ([30.0, 35.0], [1, 0, 0, 0, 1, 0], (10 + 9, 20 + 4, 35)),  # absolute
    ([0.0, 5.0], [-1, 0, 0, 0, 1, 0], (10 - 9, 20 + 4, 25)),  # feet first: the normal points down z
    ([30.0, 25.0], [-1, 0, 0, 0, 1, 0], (10 - 9, 20 + 4, 25)),
    ([0.0, -5.0], [1, 0, 0, 0, 1, 0], (10 + 9, 20 + 4, 25)),
    ([0.0, 5.0], OBLIQUE, (10 + 9 * 0.6 - 4, 20 + 9 * 0.8 + 3, 30 - 4)),
])  # fmt: skip
def test_offsets_and_orientation(vector: list[float], orientation: list[float], far: tuple[float, ...]) -> None:
    geometry = GridGeometry.from_dataset(rt_dose(GridFrameOffsetVector=vector, ImageOrientationPatient=orientation))
    assert geometry.shape == (2, 3, 4)
    np.testing.assert_allclose(geometry.positions([[0, 0, 0], [1, 2, 3]]), [(10, 20, 30), far], atol=1e-12)
    middle = geometry.positions([[0.5, 1, 1.5]])
    np.testing.assert_allclose(middle[0], (np.array([10, 20, 30]) + np.array(far)) / 2, atol=1e-12)
    np.testing.assert_allclose(geometry.indices([far]), [(1, 2, 3)], atol=1e-12)


@pytest.mark.parametrize("vector", [None, [0.0], [30.0], [0.0, 5.0, 10.0]])
def test_a_single_plane_needs_no_offsets(vector: list[float] | None) -> None:
    ds = rt_dose(NumberOfFrames=None, GridFrameOffsetVector=vector, PixelData=STORED[0].tobytes())
    geometry = GridGeometry.from_dataset(ds)
    assert geometry.offsets.tolist() == [0.0]
    assert geometry.is_uniform
    found = geometry.indices([[13.0, 22.0, 30.0], [13.0, 22.0, 30.5]])
    np.testing.assert_allclose(found, [(0, 1, 1), (np.nan, 1, 1)], atol=1e-12)


@given(
    st.lists(st.floats(0.5, 10.0), min_size=1, max_size=5),
    st.booleans(),
    st.floats(0, 2 * np.pi),
    st.floats(0, np.pi),
    st.integers(0, 1 << 16),
)
def test_indices_and_positions_reverse_each_other(
    steps: list[float], descending: bool, turn: float, tilt: float, seed: int
) -> None:
    offsets = np.concatenate([[0.0], np.cumsum(steps)]) * (-1 if descending else 1)
    along_row = np.array([np.cos(turn), np.sin(turn), 0.0])
    across = np.array([-np.sin(turn), np.cos(turn), 0.0])
    along_column = across * np.cos(tilt) + np.array([0.0, 0.0, 1.0]) * np.sin(tilt)
    geometry = GridGeometry(
        np.array([-31.5, 7.25, 402.0]), (2.5, 1.25), along_row, along_column, offsets, (len(offsets), 6, 7)
    )
    index = np.random.default_rng(seed).uniform(-3, 9, (40, 3))  # beyond the grid on all sides
    np.testing.assert_allclose(geometry.indices(geometry.positions(index)), index, atol=1e-9)


def test_planes_that_are_not_equally_far_apart() -> None:
    ds = rt_dose(NumberOfFrames=3, GridFrameOffsetVector=[0.0, 1.0, 4.0])
    geometry = GridGeometry.from_dataset(ds)
    assert not geometry.is_uniform
    np.testing.assert_allclose(geometry.positions([[1.5, 0, 0]])[0], (10, 20, 32.5))
    np.testing.assert_allclose(geometry.indices([[10, 20, 32.5], [10, 20, 37.0]])[:, 0], [1.5, 3.0])


def test_some_frames_have_a_geometry_too() -> None:
    geometry = GridGeometry.from_dataset(rt_dose(NumberOfFrames=3, GridFrameOffsetVector=[0.0, 1.0, 4.0]))
    part = geometry.of_frames(range(2, 0, -1))
    assert part.shape == (2, 3, 4)
    assert part.offsets.tolist() == [0.0, -3.0]
    np.testing.assert_allclose(part.positions([[1, 2, 3]]), geometry.positions([[1, 2, 3]]))
    assert geometry.of_frames([]).shape == (0, 3, 4)


@pytest.mark.parametrize("frames", [1, 2])
def test_put_into_a_data_set(frames: int) -> None:
    geometry = GridGeometry.from_dataset(rt_dose(ImageOrientationPatient=OBLIQUE)).of_frames(range(frames))
    ds = rt_dose(NumberOfFrames=7)
    geometry.put_into(ds)
    assert ("GridFrameOffsetVector" in ds) == ("FrameIncrementPointer" in ds) == (frames > 1)
    again = GridGeometry.from_dataset(ds)
    index = np.array([[frames - 1, 1.5, 2.5]])
    np.testing.assert_allclose(again.positions(index), geometry.positions(index))


@pytest.mark.parametrize(("changes", "word"), [
    ({"ImagePositionPatient": None}, "ImagePositionPatient"),
    ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
    ({"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]}, "perpendicular"),
    ({"ImageOrientationPatient": [1e300, 0, 0, 0, 1e300, 0]}, "perpendicular"),
    ({"PixelSpacing": [2.0, 0.0]}, "Pixel Spacing"),
    ({"PixelSpacing": None}, "PixelSpacing has 0"),
    ({"GridFrameOffsetVector": [7.0, 12.0]}, "begin at 7"),
    ({"GridFrameOffsetVector": [0.0, 0.0]}, "monotonic"),
    ({"GridFrameOffsetVector": [0.0, 2.0, 1.0], "NumberOfFrames": 3}, "monotonic"),
    ({"GridFrameOffsetVector": [0.0, 1.0, 2.0]}, "3 values"),
    ({"GridFrameOffsetVector": [30.0, 35.0], "ImageOrientationPatient": OBLIQUE}, "begin at 30"),
])  # fmt: skip
def test_a_grid_that_lies_nowhere_is_refused(changes: dict[str, object], word: str) -> None:
    ds: Dataset = rt_dose(**changes)
    with pytest.raises(PixelError, match=word) as caught:
        GridGeometry.from_dataset(ds)
    assert caught.value.clause


def test_points_are_triples() -> None:
    geometry = GridGeometry.from_dataset(rt_dose())
    assert geometry.positions([1, 2, 3]).shape == (1, 3)
    with pytest.raises(ValueError, match="n x 3"):
        geometry.positions([[1.0, 2.0]])
