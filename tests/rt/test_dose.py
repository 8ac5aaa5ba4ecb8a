"""The dose view: one pass from stored integers to Gy, statistics and histograms, in any byte order and syntax."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomcore import Dataset, Limits, dcmread
from dicomcore.errors import LimitExceeded, PixelError, SourceChanged
from dicomcore.rt import stored_grid
from dicomcore.rt.dose import Dose, DoseStatistics
from tests.pixels.objects import EXPLICIT_BE, PRIVATE, TABLE, encapsulated
from tests.rt.objects import STORED, read, rt_dose, written

Make = Callable[[NDArray[Any]], Dose]


def described(stored: NDArray[Any], **changes: object) -> dict[str, object]:
    """The attributes of an RT Dose of these numbers (frames x rows x columns), its scaling 0.001."""
    frames, rows, columns = stored.shape
    bits = stored.dtype.itemsize * 8
    values: dict[str, object] = {
        "NumberOfFrames": frames,
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "DoseType": "ERROR" if stored.dtype.kind == "i" else "PHYSICAL",
        "GridFrameOffsetVector": [2.5 * i for i in range(frames)],
        "DoseGridScaling": 0.001,
        "PixelData": stored.astype(stored.dtype.newbyteorder("<")).tobytes(),
    }
    return values | changes


def in_memory(stored: NDArray[Any]) -> Dose:
    return Dose(read(rt_dose(**described(stored))))


def just_made(stored: NDArray[Any]) -> Dose:
    return Dose(rt_dose(**described(stored)))


def big_endian(stored: NDArray[Any]) -> Dose:
    return Dose(read(rt_dose(**described(stored)), EXPLICIT_BE))


def deflated(stored: NDArray[Any]) -> Dose:
    return Dose(read(rt_dose(**described(stored)), "1.2.840.10008.1.2.1.99"))


def compressed(stored: NDArray[Any]) -> Dose:
    ds = encapsulated([[frame.tobytes()] for frame in stored], "basic", PRIVATE)
    for keyword, value in described(stored, PixelData=None).items():
        if value is not None:
            setattr(ds, keyword, value)
    for element in rt_dose():
        if element.keyword not in ds:
            ds[element.tag] = element
    return Dose(ds, codecs=TABLE)


def numbers(kind: str, shape: tuple[int, ...] = (5, 7, 9)) -> NDArray[Any]:
    limits = np.iinfo(kind)
    stored = np.random.default_rng(3).integers(limits.min, limits.max, shape, kind, endpoint=True)
    stored[0, 0, :2] = limits.min, limits.max
    return stored


def test_grid_and_maximum_are_gray() -> None:
    dose = Dose(rt_dose())
    assert (dose.units, dose.type, dose.summation, dose.scaling) == ("GY", "PHYSICAL", "PLAN", 0.25)
    assert (dose.is_absolute, dose.unit, dose.shape) == (True, "Gy", (2, 3, 4))
    grid = dose.grid()
    assert grid.dtype == np.float64
    assert grid.flags.writeable
    assert grid.flags.owndata
    np.testing.assert_array_equal(grid, STORED * 0.25)
    assert dose.maximum == 23 * 0.25
    assert dose.grid(np.float32).dtype == np.float32
    assert "2 x 3 x 4" in repr(dose)


def test_relative_dose_is_told() -> None:
    dose = Dose(rt_dose(DoseUnits="RELATIVE"))
    assert (dose.is_absolute, dose.unit) == (False, "relative")


@pytest.mark.parametrize("kind", ["u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("make", [in_memory, just_made, big_endian, deflated, compressed])
def test_every_way_that_numbers_are_stored(make: Make, kind: str) -> None:
    stored = numbers(kind)
    dose = make(stored)
    expected = stored * 0.001
    np.testing.assert_array_equal(dose.grid(), expected)
    np.testing.assert_array_equal(dose.grid(np.float32), expected.astype(np.float32))
    for frames in (slice(1, 4), slice(None, None, -2), slice(3, 3), slice(-1, None)):
        np.testing.assert_array_equal(dose.grid(frames=frames), expected[frames])
    for frame in (0, 4, -2):
        np.testing.assert_array_equal(dose.grid(frames=frame), expected[frame])
    total = sum(stored.reshape(-1).tolist())
    statistics = dose.statistics()
    assert statistics == DoseStatistics(expected.min(), expected.max(), total / stored.size * 0.001, stored.size)
    assert dose.read(np.float32).statistics == statistics
    low, high = np.quantile(expected, [0.2, 0.7])
    histogram = dose.histogram((low, high), 50)
    np.testing.assert_array_equal(histogram.counts, np.histogram(expected, 50, (low, high))[0])
    assert histogram.below == np.count_nonzero(expected < low)
    assert histogram.above == np.count_nonzero(expected > high)


def test_bits_that_are_not_stored_do_not_count() -> None:
    stored = numbers("u4")
    ds = read(rt_dose(**described(stored, BitsStored=20, HighBit=19)))
    np.testing.assert_array_equal(Dose(ds).grid(), (stored & 0xFFFFF) * 0.001)
    ds = read(rt_dose(**described(stored.view("i4"), BitsStored=20, HighBit=19)))
    signed = (stored.view("i4") << 12) >> 12
    np.testing.assert_array_equal(Dose(ds).grid(), signed * 0.001)


@given(
    st.sampled_from([1e-9, 2.3e-5, 0.001, 1 / 3, 7.0]),
    st.integers(1, 300),
    st.floats(-10, 10),
    st.floats(0.01, 50),
    st.booleans(),
)
def test_histograms_are_those_of_numpy(scaling: float, bins: int, low: float, width: float, signed: bool) -> None:
    """Bins narrower and wider than a stored number, within, around and beside what is there."""
    stored = np.random.default_rng(bins).integers(-3000 if signed else 0, 3000, (1, 20, 30), "i4" if signed else "u4")
    dose = just_made(stored)
    dose.scaling = scaling
    extent = (low * scaling * 300, (low + width) * scaling * 300)
    grid = dose.grid()
    histogram = dose.histogram(extent, bins)
    counts, edges = np.histogram(grid, bins, extent)
    np.testing.assert_array_equal(histogram.counts, counts)
    np.testing.assert_array_equal(histogram.edges, edges)
    assert histogram.below + histogram.above + histogram.counts.sum() == grid.size


def test_histogram_of_what_is_masked() -> None:
    stored = numbers("u2")
    dose, grid = in_memory(stored), stored * 0.001
    mask = np.random.default_rng(8).random(stored.shape) < 0.3
    histogram = dose.histogram((0, 60), mask=mask)
    np.testing.assert_array_equal(histogram.counts, np.histogram(grid[mask], 1000, (0, 60))[0])
    assert histogram.cumulative[0] == np.count_nonzero(mask)
    np.testing.assert_array_equal(
        histogram.cumulative,
        [np.count_nonzero(grid[mask] >= edge) for edge in histogram.edges[:-1]] + [histogram.above],
    )
    plane = dose.histogram((0, 60), 7, mask=mask[2], frames=2)
    np.testing.assert_array_equal(plane.counts, np.histogram(grid[2][mask[2]], 7, (0, 60))[0])


@pytest.mark.parametrize(("extent", "bins", "mask", "word"), [
    ((1.0, 1.0), 10, None, "lower first"),
    ((2.0, 1.0), 10, None, "lower first"),
    ((0.0, np.inf), 10, None, "two doses"),
    ((0.0, 1.0), 0, None, "0 bins"),
    ((0.0, 1.0), 10, np.zeros((2, 3, 4)), "booleans"),
    ((0.0, 1.0), 10, np.zeros((3, 4), bool), "booleans"),
])  # fmt: skip
def test_histograms_that_cannot_be(extent: tuple[float, float], bins: int, mask: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Dose(rt_dose()).histogram(extent, bins, mask=mask)


@pytest.fixture
def large(ram_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, NDArray[Any]]:
    """A file that is read in many windows."""
    monkeypatch.setattr(stored_grid, "RUN", 1 << 14)
    monkeypatch.setattr(stored_grid, "WINDOW", 1 << 12)
    stored = numbers("u4", (11, 50, 70))
    path = ram_path / "dose.dcm"
    path.write_bytes(written(rt_dose(**described(stored))))
    return path, stored


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("workers", [None, 1, 3])
def test_files_are_read_in_windows_by_several_workers(
    large: tuple[Path, NDArray[Any]], workers: int | None, mapped: bool
) -> None:
    path, stored = large
    dose, expected = Dose(dcmread(path), mapped=mapped), stored * 0.001
    np.testing.assert_array_equal(dose.grid(workers=workers), expected)
    np.testing.assert_array_equal(dose.grid(frames=7, workers=workers), expected[7])
    np.testing.assert_array_equal(dose.grid(frames=slice(9, 2, -3), workers=workers), expected[9:2:-3])
    grid = dose.read(frames=slice(2, 6), workers=workers)
    np.testing.assert_array_equal(grid.array, expected[2:6])
    np.testing.assert_array_equal(grid.geometry.positions([[0, 0, 0]]), dose.geometry.positions([[2, 0, 0]]))
    assert grid.statistics.maximum == expected[2:6].max()
    assert dose.statistics(workers=workers).voxels == expected.size
    extent = (0.0, 4e6)
    counts = dose.histogram(extent, 100, workers=workers).counts
    np.testing.assert_array_equal(counts, np.histogram(expected, 100, extent)[0])


def test_a_file_that_was_rewritten_is_not_read(large: tuple[Path, NDArray[Any]]) -> None:
    path, _ = large
    dose = Dose(dcmread(path))
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(SourceChanged):
        dose.grid()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_out_is_filled_and_answered(kind: type) -> None:
    dose = Dose(rt_dose())
    out: NDArray[Any] = np.full((2, 3, 4), np.nan, kind)
    assert dose.grid(out=out) is out
    np.testing.assert_array_equal(out, STORED * 0.25)
    larger: NDArray[Any] = np.full((4, 3, 4), np.nan, kind)
    dose.grid(out=larger[1:3], dtype=kind)
    np.testing.assert_array_equal(larger[1:3], STORED * 0.25)
    assert np.isnan(larger[[0, 3]]).all()
    assert dose.read(out=out).array is out


@pytest.mark.parametrize("out", [
    np.zeros((2, 3, 5)),
    np.zeros((2, 3, 4), np.float16),
    np.zeros((2, 3, 4), np.int32),
    np.zeros((2, 3, 4), np.dtype(np.float64).newbyteorder()),
    np.zeros((2, 4, 3)).transpose(0, 2, 1),
    np.zeros((2, 3, 8))[:, :, ::2],
    np.frombuffer(bytes(2 * 3 * 4 * 8)).reshape(2, 3, 4),
    np.zeros(2 * 3 * 4 * 8 + 1, np.uint8)[1:].view(np.float64).reshape(2, 3, 4),
])  # fmt: skip
def test_out_that_will_not_do(out: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"out has to be|float32 or float64"):
        Dose(rt_dose()).grid(out=out)


def test_arguments_are_checked() -> None:
    dose = Dose(rt_dose())
    with pytest.raises(ValueError, match="float32 or float64"):
        dose.grid(np.int32)
    with pytest.raises(ValueError, match="type float32"):
        dose.grid(np.float32, np.zeros((2, 3, 4)))
    with pytest.raises(IndexError, match="frame 2 of 2"):
        dose.grid(frames=2)
    with pytest.raises(ValueError, match="no frames"):
        dose.statistics(frames=slice(2, 2))
    with pytest.raises(ValueError, match="workers"):
        dose.grid(workers=0)


@pytest.mark.parametrize(("changes", "word", "clause"), [
    ({"DoseGridScaling": None}, "Scaling", "PS3.3 C.8.8.3"),
    ({"DoseGridScaling": 0}, "Scaling", "PS3.3 C.8.8.3"),
    ({"DoseGridScaling": -0.1}, "Scaling", "PS3.3 C.8.8.3"),
    ({"SamplesPerPixel": 3, "PlanarConfiguration": 0}, "Samples", "PS3.3 C.8.8.3.4.1"),
    ({"BitsAllocated": 8, "BitsStored": 8}, "neither 16 nor 32", "PS3.3 C.8.8.3.4.3"),
    ({"Rows": 300}, "24 x 4|48 bytes", "PS3.3 C.7.6.3"),
    ({"Rows": None}, "Rows", "PS3.3 C.7.6.3"),
    ({"PixelData": None}, "no Pixel Data", "PS3.3 A.18.3"),
    ({"PixelData": None, "DVHSequence": [Dataset(), Dataset()]}, "only 2 dose-volume histograms", "PS3.3 A.18.3"),
])  # fmt: skip
def test_an_object_without_a_grid_is_refused(changes: dict[str, object], word: str, clause: str) -> None:
    with pytest.raises(PixelError, match=word) as caught:
        Dose(rt_dose(**changes))
    assert caught.value.clause == clause


def test_a_grid_that_lies_nowhere_can_be_read() -> None:
    dose = Dose(rt_dose(ImagePositionPatient=None))
    np.testing.assert_array_equal(dose.grid(), STORED * 0.25)
    with pytest.raises(PixelError, match="ImagePositionPatient"):
        dose.read()


def test_frames_beyond_those_that_are_told_are_left_alone() -> None:
    ds = read(rt_dose(NumberOfFrames=None, GridFrameOffsetVector=None))
    assert Dose(ds).grid().shape == (1, 3, 4)


def test_compressed_frames_are_bounded() -> None:
    stored = numbers("u2")
    dose = compressed(stored)
    small = Dose(dose.dataset, codecs=TABLE, limits=Limits().but(inflated_length=stored.nbytes))
    with pytest.raises(LimitExceeded):
        small.grid()
    assert small.grid(frames=2).shape == (7, 9)
    dose.dataset.NumberOfFrames = 1_000_000_000  # and five fragments
    with pytest.raises(PixelError, match="missing"):
        Dose(dose.dataset, codecs=TABLE).grid()


def test_errors_of_frames_are_told() -> None:
    stored = numbers("u2")
    ds = encapsulated([[b"bad!"], [b"bad!"]], "basic", PRIVATE)
    for keyword, value in described(stored[:2], PixelData=None).items():
        if value is not None:
            setattr(ds, keyword, value)
    ds.DoseUnits = "GY"
    with pytest.raises(ValueError, match="bad bytes"):
        Dose(ds, codecs=TABLE).grid()


@pytest.mark.parametrize("name", ["rtdose", "rtdose_1frame", "rtdose_rle", "rtdose_rle_1frame"])
def test_files_of_pydicom(pydicom_files: list[Path], name: str) -> None:
    import pydicom

    path = next(path for path in pydicom_files if path.stem == name)
    theirs = pydicom.dcmread(path)
    expected = theirs.pixel_array * float(theirs.DoseGridScaling)
    dose = Dose(dcmread(path))
    np.testing.assert_array_equal(dose.grid().reshape(expected.shape), expected)
    assert (dose.maximum, dose.unit) == (expected.max(), "relative")
    assert dose.geometry.is_uniform


@pytest.mark.parametrize("name", ["rtdose_expb", "rtdose_expb_1frame"])
def test_files_of_pydicom_in_big_endian(
    pydicom_files: list[Path], name: str, peer: Callable[[str], str], tmp_path: Path
) -> None:
    """Their 32-bit numbers stand in 16-bit words: what DCMTK makes of them in little endian is the same dose."""
    path = next(path for path in pydicom_files if path.stem == name)
    turned = tmp_path / "little.dcm"
    subprocess.run([peer("dcmconv"), "+te", str(path), str(turned)], check=True, capture_output=True)
    np.testing.assert_array_equal(Dose(dcmread(path)).grid(), Dose(dcmread(turned)).grid())
