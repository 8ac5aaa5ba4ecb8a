"""`Dataset.as_array` and arrays assigned: what is read, what is written, and where a fault is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomcore import Dataset, dcmread
from dicomcore.data.files import read_dataset
from dicomcore.errors import EncodingError
from dicomcore.vocab.syntaxes import EXPLICIT_BE, EXPLICIT_LE


def reread(ds: Dataset, syntax: str = EXPLICIT_LE.uid) -> Dataset:
    return read_dataset(ds.to_bytes(syntax), syntax)


def test_contours_of_a_structure_set(pydicom_files: list[Path]) -> None:
    ds = dcmread(next(path for path in pydicom_files if path.name == "rtstruct.dcm"))
    for region in ds.ROIContourSequence:
        for contour in region.ContourSequence:
            points = contour.as_array("ContourData")
            assert points.dtype == np.float64
            assert points.shape == (3 * contour.NumberOfContourPoints,)
            assert points.tolist() == contour.ContourData
            contour.ContourData = points.reshape(-1, 3)
            assert contour.as_array("ContourData").tolist() == points.tolist()


@pytest.mark.parametrize("syntax", [EXPLICIT_LE.uid, EXPLICIT_BE.uid])
def test_arrays_are_assigned_as_the_values_that_they_are(syntax: str) -> None:
    ds = Dataset()
    ds.ContourData = np.array([[0.1, 1 / 3, -2.5], [1e-7, 3.0, 1e20]])
    ds.ReferencedFrameNumber = np.arange(3)
    ds.RedPaletteColorLookupTableDescriptor = np.array([256, 0, 16], np.uint16)
    ds.DimensionIndexValues = np.array([1, 70000])
    ds.RecommendedDisplayFrameRateInFloat = np.float32(0.5)
    ds.ImagePositionPatient = np.array([1.5, -2.25, 100.0], np.float32)
    assert isinstance(ds.ContourData, list)
    assert ds.ContourData[0].original_string == "0.1"
    for one in (ds, reread(ds, syntax)):
        assert one.as_array("ContourData").tolist() == [0.1, 0.33333333333333, -2.5, 1e-7, 3.0, 1e20]
        assert one.as_array("ReferencedFrameNumber").tolist() == [0, 1, 2]
        assert one.as_array(0x00209157).tolist() == [1, 70000]
        assert one.as_array("DimensionIndexValues").dtype == np.uint32
        assert one.as_array("ImagePositionPatient").tolist() == [1.5, -2.25, 100.0]


def test_a_fault_is_told_with_its_place() -> None:
    ds = Dataset()
    inner = Dataset()
    inner.add_new(0x30060050, "LO", "1\\x\\3")
    ds.ContourSequence = [inner]
    data = ds.to_bytes(EXPLICIT_LE.uid).replace(b"LO", b"DS")
    contour = read_dataset(data, EXPLICIT_LE.uid).ContourSequence[0]
    with pytest.raises(EncodingError) as caught:
        contour.as_array("ContourData")
    assert caught.value.path == "(3006,0040)[0].(3006,0050)"
    assert caught.value.offset is not None
    assert data[caught.value.offset : caught.value.offset + 1] == b"x"
    with pytest.raises(KeyError):
        contour.as_array("Rows")


def test_values_of_no_numbers_are_refused() -> None:
    ds = Dataset()
    ds.PatientID = "x"
    ds.ContourData = None
    ds.PixelData = b"\1\0\2\0"
    assert ds.as_array("ContourData").shape == (0,)
    assert ds.as_array("PixelData").size in (2, 4)
    for one in (ds, reread(ds)):
        with pytest.raises(EncodingError):
            one.as_array("PatientID")
    with pytest.raises(EncodingError):
        ds.ReferencedFrameNumber = np.array([1.5, 2])
