"""From an array to stored integers and back: what is lost, what the decimal string says, what the data set tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn
from numpy.typing import NDArray

from dicomcore import dcmread
from dicomcore.errors import PixelError
from dicomcore.rt.dose import Dose
from dicomcore.rt.grid_geometry import GridGeometry
from tests.pixels.objects import EXPLICIT_BE
from tests.rt.objects import OBLIQUE, STORED, read, rt_dose

DOSES = hn.arrays(
    np.float64,
    hn.array_shapes(min_dims=3, max_dims=3, max_side=5),
    elements=st.floats(0, 100) | st.sampled_from([0.0, 1e-12, 2.0, 65.535, 80.000001]),
)


def round_trip(array: NDArray[Any], **options: Any) -> tuple[Dose, float]:
    """Through the bytes of a file, so that scaling is what the decimal string says."""
    encoded = Dose.encode(array, **options)
    ds = rt_dose(DoseType="ERROR" if encoded.is_signed else "PHYSICAL")
    shape = array.shape if array.ndim == 3 else (1, *array.shape)
    geometry = GridGeometry.from_dataset(
        rt_dose(NumberOfFrames=shape[0], Rows=shape[1], Columns=shape[2], GridFrameOffsetVector=[*range(shape[0])])
    )
    encoded.put_into(ds, geometry)
    dose = Dose(read(ds))
    assert dose.scaling == encoded.scaling
    assert len(str(dose.dataset["DoseGridScaling"].value)) <= 16
    return dose, encoded.max_error


@given(DOSES, st.sampled_from([16, 32, None]), st.sampled_from([1.0, 1e-3, 1e6]), st.booleans())
def test_what_comes_back_is_off_by_what_was_told(
    array: NDArray[np.float64], bits: int | None, factor: float, signed: bool
) -> None:
    array = (array - array.mean() if signed else array) * factor
    dose, error = round_trip(array, bits=bits, signed=signed)
    grid = dose.grid()
    assert np.abs(grid - array).max() == error
    top = 2 ** ((bits or 16) - signed) - 1  # with None at least as good as 16 bits
    reach = max(array.max(), -array.min())
    assert error <= reach / top / 2 * (1 + 1e-6)


def test_scaling_is_as_small_as_can_be() -> None:
    """No decimal of one digit less in the last place would do."""
    array = np.random.default_rng(6).uniform(0, 73.123456789, (4, 5, 6))
    for bits in (16, 32):
        encoded = Dose.encode(array, bits)
        assert encoded.stored.max() in (2**bits - 1, 2**bits - 2, 2**bits - 3)
        assert encoded.max_error <= encoded.scaling / 2 * (1 + 1e-9)


def test_sixteen_bits_where_they_are_exact() -> None:
    lattice = np.random.default_rng(7).integers(0, 65536, (3, 4, 5))
    lattice[0, 0, 0] = 65535
    encoded = Dose.encode(lattice * 0.001)
    assert (encoded.bits, encoded.scaling) == (16, 0.001)
    np.testing.assert_array_equal(encoded.stored, lattice)
    assert Dose.encode((lattice * 0.001).astype(np.float32)).bits == 16
    assert Dose.encode(lattice * 0.001 + 1e-7).bits == 32
    assert Dose.encode(np.zeros((1, 2, 3))).bits == 16
    assert Dose.encode(np.zeros((1, 2, 3))).max_error == 0.0
    assert Dose.encode(np.full((1, 2, 3), 60), 32).stored.dtype == np.uint32


def test_a_grid_that_was_read_goes_back_as_it_was() -> None:
    dose = Dose(rt_dose())
    for encoded in (Dose.encode(dose.grid()), Dose.encode(dose.grid(), 16, scaling=dose.scaling)):
        assert encoded.max_error == 0.0
        assert encoded.bits == 16
        np.testing.assert_array_equal(encoded.stored, STORED)


@pytest.mark.parametrize("scaling", [1.7e-8, 3.051804e-05, 1.2345678901e-5, 0.00012345678901])
def test_what_was_read_is_found_to_be_exact(scaling: float) -> None:
    """Also of single precision, as far as that tells one stored number from the next."""
    stored = np.random.default_rng(3).integers(0, 40_000, (3, 40, 50))
    encoded = Dose.encode(stored * scaling)
    assert (encoded.bits, encoded.scaling, encoded.max_error) == (16, scaling, 0.0)
    single = Dose.encode((stored * scaling).astype(np.float32))
    assert single.bits == 16
    assert single.scaling == pytest.approx(scaling, rel=1e-6)
    fine = np.random.default_rng(4).integers(0, 1 << 32, (3, 40, 50)) * scaling
    encoded = Dose.encode(fine)
    assert (encoded.bits, encoded.scaling, encoded.max_error) == (32, scaling, 0.0)


def test_differences_are_signed() -> None:
    array = np.array([[[-2.0, 1.5], [0.0, 1.0]]])
    encoded = Dose.encode(array, 16)
    assert encoded.is_signed
    assert encoded.stored.dtype == np.int16
    np.testing.assert_array_equal(encoded.stored * encoded.scaling, array)
    ds = rt_dose()
    where = GridGeometry.from_dataset(rt_dose(NumberOfFrames=1, Rows=2, Columns=2))
    with pytest.raises(PixelError, match="ERROR") as caught:
        encoded.put_into(ds, where)
    assert caught.value.clause == "PS3.3 C.8.8.3.4.6"
    ds.DoseType = "ERROR"
    encoded.put_into(ds, where)
    assert ds.PixelRepresentation == 1
    np.testing.assert_allclose(Dose(ds).grid(), array, atol=encoded.max_error)
    with pytest.raises(PixelError, match="unsigned"):
        Dose.encode(abs(array)).put_into(ds, where)
    Dose.encode(abs(array), signed=True).put_into(ds, where)
    assert Dose(ds).statistics().minimum == 0.0


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_all_workers_and_types_make_the_same(
    bits: int, workers: int, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    array: NDArray[Any] = np.random.default_rng(9).uniform(0, 70, (7, 50, 60)).astype(kind)
    expected = Dose.encode(array, bits)
    monkeypatch.setattr("dicomcore.rt.dose_encoding.VOXELS", 1000)
    encoded = Dose.encode(array, bits, workers=workers)
    np.testing.assert_array_equal(encoded.stored, expected.stored)
    np.testing.assert_array_equal(encoded.stored, np.rint(array.astype(np.float64) / encoded.scaling))
    assert encoded.max_error == expected.max_error
    turned = Dose.encode(array.transpose(2, 1, 0), bits)
    np.testing.assert_array_equal(turned.stored, expected.stored.transpose(2, 1, 0))


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", EXPLICIT_BE])
def test_into_a_data_set_that_was_read(bits: int, syntax: str, tmp_path: Path) -> None:
    import pydicom

    ds = read(rt_dose(ImageOrientationPatient=OBLIQUE), syntax)
    geometry = Dose(ds).geometry
    array = np.random.default_rng(1).uniform(0, 70, (2, 3, 4))
    encoded = Dose.encode(array, bits)
    encoded.put_into(ds)
    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (bits, bits, bits - 1, 0)
    assert ds["PixelData"].VR == "OW"
    path = tmp_path / "dose.dcm"
    ds.save_as(path)
    dose = Dose(dcmread(path))
    np.testing.assert_array_equal(dose.grid(), encoded.stored * encoded.scaling)
    np.testing.assert_allclose(dose.geometry.positions([[1, 2, 3]]), geometry.positions([[1, 2, 3]]))
    if syntax != EXPLICIT_BE:
        theirs = pydicom.dcmread(path)
        np.testing.assert_array_equal(theirs.pixel_array * float(theirs.DoseGridScaling), dose.grid())


def test_into_a_compressed_data_set(pydicom_files: list[Path]) -> None:
    ds = dcmread(next(path for path in pydicom_files if path.stem == "rtdose_rle"))
    grid = Dose(ds).grid()
    encoded = Dose.encode(grid * 2, 32)
    ds.ExtendedOffsetTable = ds.ExtendedOffsetTableLengths = bytes(8 * 15)
    encoded.put_into(ds)
    assert not {"ExtendedOffsetTable", "ExtendedOffsetTableLengths"} & set(ds.dir())
    again = read(ds, ds.transfer_syntax)
    assert again.transfer_syntax == "1.2.840.10008.1.2.1"
    np.testing.assert_allclose(Dose(again).grid(), grid * 2, atol=encoded.max_error)


def test_one_plane() -> None:
    array = np.arange(12.0).reshape(3, 4)
    dose, error = round_trip(array)
    assert (dose.shape, error) == ((1, 3, 4), 0.0)
    assert "NumberOfFrames" not in dose.dataset
    np.testing.assert_array_equal(dose.grid(frames=0), array)


@pytest.mark.parametrize(("array", "options", "word"), [
    (np.array([[[1.0, np.nan]]]), {}, "not finite"),
    (np.array([[[1.0, np.inf]]]), {}, "not finite"),
    (np.array([[[1.0, -1.0]]]), {"signed": False}, "signed"),
    (np.array([[[1.0, 70_000.0]]]) * 5e-324, {"bits": 16}, "no decimal"),
    (np.array([[[1.0]]]), {"scaling": 1 / 3}, "16 characters"),
    (np.array([[[1.0]]]), {"scaling": 0.0}, "16 characters"),
    (np.array([[[1.0]]]), {"scaling": np.inf}, "16 characters"),
    (np.array([[[70.0]]]), {"scaling": 0.001, "bits": 16}, "does not fit"),
])  # fmt: skip
def test_dose_that_cannot_be_stored(array: NDArray[Any], options: dict[str, Any], word: str) -> None:
    with pytest.raises(PixelError, match=word) as caught:
        Dose.encode(array, **options)
    assert caught.value.clause


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="16 or 32"):
        Dose.encode(np.zeros((1, 2, 3)), 8)
    for shape in ((2,), (1, 2, 3, 4), (0, 2, 3)):
        with pytest.raises(ValueError, match="frames x rows"):
            Dose.encode(np.zeros(shape))
    encoded = Dose.encode(np.zeros((2, 3, 5)))
    with pytest.raises(PixelError, match="geometry"):
        encoded.put_into(rt_dose())
