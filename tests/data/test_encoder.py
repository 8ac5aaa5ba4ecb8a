"""Data sets whose every element was assigned: the compiled encoder against its plain twin, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dicomcore import Dataset, Limits, dcmread
from dicomcore.data.files import read_dataset
from dicomcore.data.writer import encode_dataset
from dicomcore.encoding.person_name import PersonName
from dicomcore.encoding.values import DS
from dicomcore.errors import DicomError, EncodingError, LimitExceeded
from dicomcore.vocab.syntaxes import EXPLICIT_LE, IMPLICIT_LE, transfer_syntax
from tests.reference.level import encode_fresh


def afresh(ds: Dataset, plain: bool = False) -> Dataset:
    """The same elements, each assigned anew; lists become plain lists if asked for."""
    made = Dataset()
    for element in ds:
        value: Any = element.value
        if element.VR == "SQ":
            value = [afresh(item, plain) for item in value]
        elif plain and isinstance(value, list):
            value = list(value)
        made.add_new(element.tag, element.VR, value)
    return made


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT_LE, IMPLICIT_LE])
def test_every_file_assigned_anew(pydicom_files: list[Path], syntax: Any, plain: bool) -> None:
    count = 0
    for path in pydicom_files:
        try:
            read = dcmread(path)
            if read.is_big_endian or read.check() or transfer_syntax(read.transfer_syntax).encapsulated:
                continue
            made = afresh(read, plain)
            expected = encode_fresh(made, syntax.explicit)
        except DicomError:
            continue
        assert made.to_bytes(syntax.uid) == expected, path.name
        assert read_dataset(expected, syntax.uid)._tags() == made._tags()
        count += 1
    assert count > 20


def test_values_of_every_kind() -> None:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = PersonName("Müller^Jörg")
    ds.PatientComments = "back\\slash"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Rows = 512
    ds.ImagePositionPatient = [0.1 + 0.2, DS("1.50"), -1e-7]
    ds.SeriesNumber = "0012"
    ds.ReferencedFrameNumber = [1, -5]
    ds.FrameIncrementPointer = [0x00181063, 0x00181065]
    ds.SmallestImagePixelValue = -4
    ds.PixelRepresentation = 1
    ds.add_new(0x00091001, "UV", 2**63)
    ds.add_new(0x00091002, "SV", -(2**62))
    ds.add_new(0x00091003, "FL", [1.5, 3e38])
    ds.add_new(0x00091004, "FD", [1, 2.5])
    ds.add_new(0x00091005, "UT", "x" * 70_001)
    ds.add_new(0x00091006, "LO", "y" * 70_001)
    ds.add_new(0x00091007, "OB", b"123")
    ds.PixelData = b"\1" * 200_001
    item = Dataset()
    item.PatientID = "in"
    item.PatientName = "Müller"
    item.add_new(0x00091007, "OB", b"1" * 100_001)
    ds.ReferencedStudySequence = [item, Dataset()]
    ds.ReferencedSeriesSequence = []
    ds["ReferencedStudySequence"].value.is_undefined_length = True
    for syntax in (EXPLICIT_LE, IMPLICIT_LE):
        back = read_dataset(ds.to_bytes(syntax.uid), syntax.uid)
        assert not back.issues
        assert back.PatientName == "Müller^Jörg"
        assert back.ReferencedStudySequence[0].PatientName == "Müller"
        assert back.ReferencedStudySequence.is_undefined_length
        assert back.ImagePositionPatient == ["0.3", "1.50", "-1e-07"]
        assert back.SeriesNumber == 12
        assert back.SmallestImagePixelValue == -4
        assert back[0x00091001].value == 2**63 if syntax.explicit else True
        assert len(back.PixelData) == 200_002
    assert len(encode_dataset(ds, EXPLICIT_LE)) >= 2  # pixel data travels uncopied


def test_elements_are_written_in_order() -> None:
    ds = Dataset()
    ds.Rows, ds.PatientID, ds.Modality = 1, "x", "CT"
    assert read_dataset(ds.to_bytes(), EXPLICIT_LE.uid)._tags() == [0x00080060, 0x00100020, 0x00280010]
    del ds.PatientID
    assert read_dataset(ds.to_bytes(), EXPLICIT_LE.uid)._tags() == [0x00080060, 0x00280010]


def test_lists_that_were_changed_are_written_as_they_are_now() -> None:
    ds = Dataset()
    ds.ContourData = ["1.0", "2.0", "3.0"]
    read = read_dataset(ds.to_bytes(), EXPLICIT_LE.uid)
    made = Dataset()
    made.ContourData = read.ContourData
    assert made.to_bytes() == ds.to_bytes()
    made.ContourData[1] = "7.25"
    assert read.ContourData == [1, 2, 3]
    assert read_dataset(made.to_bytes(), EXPLICIT_LE.uid).ContourData == [1, 7.25, 3]


def test_faults_are_told_with_their_place() -> None:
    ds, item = Dataset(), Dataset()
    item.PatientName = "日本"
    ds.ReferencedStudySequence = [Dataset(), item]
    with pytest.raises(EncodingError) as caught:
        ds.to_bytes()
    assert caught.value.path == "(0008,1110)[1].(0010,0010)"
    ds.ReferencedStudySequence.append(ds)
    item.PatientName = "x"
    with pytest.raises(LimitExceeded):
        encode_dataset(ds, EXPLICIT_LE, limits=Limits(nesting_depth=20))
