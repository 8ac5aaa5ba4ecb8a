"""What ``ds.check()`` tells of values, where it says they are, and that reading says nothing of it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from dicomcore import Dataset, dcmread
from dicomcore.data.files import read_dataset
from dicomcore.encoding.policy import Policy
from dicomcore.encoding.writer import encode_element
from dicomcore.errors import EncodingError, InvalidValue
from dicomcore.vocab.syntaxes import EXPLICIT_LE


def element(tag: int, vr: str, raw: bytes) -> bytes:
    return encode_element(tag, vr, raw, explicit=True, big_endian=False)


@pytest.mark.parametrize(
    ("tag", "vr", "raw", "message", "clause"),
    [
        (0x00080020, "DA", b"20240230", "'20240230' is wrong", "PS3.5 6.2 DA"),
        (0x00080030, "TM", b"250000", "'250000' is wrong", "PS3.5 6.2 TM"),
        (0x0008002A, "DT", b"20241301", "'20241301' is wrong", "PS3.5 6.2 DT"),
        (0x00080060, "CS", b"ct", "'ct' is wrong", "PS3.5 6.2 CS"),
        (0x00080060, "CS", b"A" * 18, "18 characters long", "PS3.5 6.2 CS"),
        (0x00080054, "AE", b"A" * 18, "18 characters long", "PS3.5 6.2 AE"),
        (0x00080050, "SH", b"x" * 18, "18 characters long", "PS3.5 6.2 SH"),
        (0x00100020, "LO", b"x" * 66, "66 characters long", "PS3.5 6.2 LO"),
        (0x00080018, "UI", b"1.02.3", "'1.02.3' is wrong", "PS3.5 6.2 UI"),
        (0x00280030, "DS", b"0.1234567890123456\\12 ", "value 1 of 2", "PS3.5 6.2 DS"),
        (0x00280030, "DS", b"1 ", "1 value where the multiplicity is 2", "PS3.5 6.4"),
        (0x00200013, "IS", b"99999999999 ", "'99999999999' is wrong", "PS3.5 6.2 IS"),
        (0x00200013, "IS", b"x ", "no integer|no value of IS", "PS3.5 6.2"),
        (0x00101010, "AS", b"45Y ", "'45Y' is wrong", "PS3.5 6.2 AS"),
        (0x00280010, "US", b"\1\0\2\0", "2 values where the multiplicity is 1", "PS3.5 6.4"),
        (0x00287FE0, "UR", b" http://a ", "is wrong: UR", "PS3.5 6.2 UR"),
        (0x00660016, "OF", b"\0\0", "no whole number of values", "PS3.5 6.2 OF"),
    ],
)
def test_faults_of_values(tag: int, vr: str, raw: bytes, message: str, clause: str) -> None:
    inner = element(tag, vr, raw)
    data = element(0x00081115, "SQ", b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner)
    for body, path in ((inner, ""), (data, "(0008,1115)[0].")):
        ds = read_dataset(body, EXPLICIT_LE.uid)
        assert ds.issues == []
        [issue] = ds.check()
        assert issue.path == f"{path}({tag >> 16:04X},{tag & 0xFFFF:04X})"
        assert issue.offset == len(body) - len(raw)
        assert issue.clause == clause
        assert any(one in issue.message for one in message.split("|"))
        assert ds.check() == ds.issues == [issue]  # told once
        with pytest.raises(EncodingError) as caught:
            read_dataset(body, EXPLICIT_LE.uid, policy=Policy.strict())
        assert (caught.value.path, caught.value.offset) == (issue.path, issue.offset)


def test_what_is_right_is_not_told() -> None:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = "王^小东=王^小东"
    ds.StudyDate = "20240229"
    ds.PixelSpacing = [1, 2]
    ds.StudyDescription = "é" * 64  # 128 bytes, 64 characters
    item = Dataset()
    item.PatientComments = "a\\b\r\nc"
    item.SeriesDescription = "日" * 64
    ds.ReferencedStudySequence = [item]
    assert ds.check() == []
    assert read_dataset(ds.to_bytes(), EXPLICIT_LE.uid, policy=Policy.strict()).check() == []


def test_edits_are_answered_but_not_kept() -> None:
    ds = read_dataset(element(0x00080060, "CS", b"CT") + element(0x00100020, "LO", b"x" * 66), EXPLICIT_LE.uid)
    ds.Modality = "ct"
    item = Dataset()
    item.StudyDate = "yesterday"
    item.Rows = 70000
    item.PatientName = "é"
    ds.ReferencedStudySequence = [item]
    assert {issue.path for issue in ds.check()} == {
        "(0010,0020)",
        "(0008,0060)",
        "(0008,1110)[0].(0008,0020)",
        "(0008,1110)[0].(0028,0010)",
        "(0008,1110)[0].(0010,0010)",
    }
    assert [issue.path for issue in ds.issues] == ["(0010,0020)"]
    ds.PatientID, ds.Modality = "x", "CT"
    del ds.ReferencedStudySequence
    assert [issue.path for issue in Dataset({"Modality": "ct"}).check()] == ["(0008,0060)"]


def test_file_meta_information_is_checked(pydicom_files: list[Path]) -> None:
    [path] = [path for path in pydicom_files if path.name == "no_meta_group_length.dcm"]
    ds = dcmread(path)
    assert any(issue.path == "(0002,0013)" and "NUL" in issue.message for issue in ds.check())


def test_what_an_element_takes() -> None:
    ds = Dataset()
    with pytest.raises(InvalidValue) as caught:
        ds.Rows = "abc"
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.path == "(0028,0010)"
    assert caught.value.clause == "PS3.5 6.2 US"
    assert caught.value.hint == "US takes integers from 0 to 65535"
    assert str(caught.value).startswith("'abc' is no value of Rows in (0028,0010)")
    for keyword, value in (
        ("PatientName", 5),
        ("BeamSequence", 5),
        ("BeamSequence", Dataset()),
        ("PixelSpacing", "a\\b"),
        ("SmallestImagePixelValue", "x"),
        ("FrameIncrementPointer", "Nothing"),
        ("ContentTime", date(2024, 1, 2)),
    ):
        with pytest.raises(InvalidValue, match=keyword):
            setattr(ds, keyword, value)
    ds.Rows = 1
    with pytest.raises(InvalidValue, match="Rows"):
        ds["Rows"].value = "x"


FRAGMENTS = bytes.fromhex("E07F1000") + b"OB\0\0\xff\xff\xff\xff" + bytes.fromhex("FEFF00E000000000FEFFDDE000000000")
NATIVE = element(0x7FE00010, "OB", b"\1\2")


@pytest.mark.parametrize(
    ("data", "syntax", "message"),
    [
        (FRAGMENTS, EXPLICIT_LE.uid, "pixel data in fragments in Explicit VR Little Endian"),
        (NATIVE, "1.2.840.10008.1.2.4.50", "pixel data without fragments in JPEG Baseline (Process 1)"),
        (FRAGMENTS, "1.2.840.10008.1.2.4.50", None),
        (NATIVE, EXPLICIT_LE.uid, None),
        (NATIVE, "1.2.3.4", None),  # a private syntax may do as it likes
        (element(0x7FE00010, "OB", b""), "1.2.840.10008.1.2.4.50", None),
        (element(0x00000100, "US", b"\1\0"), EXPLICIT_LE.uid, "group 0000 belongs into no data set"),
        (element(0x00020010, "UI", b"1.2\0"), EXPLICIT_LE.uid, "group 0002 belongs into no data set"),
        (element(0x00070110, "LO", b"ab"), EXPLICIT_LE.uid, "group 0007 belongs into no data set"),
        (element(0x00090110, "LO", b"ab"), EXPLICIT_LE.uid, None),
    ],
)
def test_what_no_data_set_has(data: bytes, syntax: str, message: str | None) -> None:
    ds = read_dataset(data, syntax)
    assert not ds.issues
    told = ds.check()
    assert [issue.message for issue in told] == ([message] if message else [])
    assert all(issue.offset and issue.path and issue.clause for issue in told)
    if message:
        with pytest.raises(EncodingError, match=message[:20]):
            read_dataset(data, syntax, policy=Policy.strict())


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("PatientNam", "PatientName"),
        ("PatientsName", "PatientName"),
        ("patient_name", "PatientName"),
        ("patientname", "PatientName"),
        ("Rowz", "Rows"),
        ("save", "save_as"),
        ("decode", ""),
        ("shape", ""),
        ("storage_path", ""),
        ("Xyzzy", ""),
    ],
)
def test_only_near_names_are_suggested(name: str, near: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(Dataset(), name)
    assert str(caught.value).endswith(f"; did you mean {near}?") if near else "mean" not in str(caught.value)
