"""What ``save_as(conform=True)`` mends, what it leaves, and that nothing else changes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from dicomcore import Dataset, dcmread
from dicomcore.data.conform import mended
from dicomcore.data.files import read_dataset
from dicomcore.encoding.writer import encode_element
from dicomcore.vocab.syntaxes import EXPLICIT_LE


@pytest.mark.parametrize(
    ("vr", "raw", "expected"),
    [
        ("DS", b"1.5\\2 ", None),
        ("DS", b"0.12345678901234567\\2", b"0.12345678901235\\2"),
        ("DS", b"1.50000000000000000000", b"1.5"),
        ("DS", b"              1.5\\2", b"1.5\\2"),
        ("DS", b"0.123456789012345678\\x", b"0.12345678901235\\x"),
        ("DS", b"0.123456789012345678\\no number at all", b"0.12345678901235\\no number at all"),
        ("DS", b"no number, and too long", None),
        ("DS", b"1.5\0", b"1.5"),
        ("IS", b"0000000000000012", b"12"),
        ("IS", b"12.0", b"12"),
        ("IS", b"12.5", None),
        ("IS", b"1234567890123456", None),
        ("LO", b"abc", b"abc"),
        ("LO", b"abc\0", b"abc"),
        ("LO", b"abc ", None),
        ("LO", b" abc  ", None),
        ("UI", b"1.2 ", b"1.2"),
        ("UI", b"1.2\0", None),
        ("US", b"\1\0\2", b"\1\0"),
        ("US", b"\1\0", None),
        ("FD", b"\0" * 12, b"\0" * 8),
        ("OB", b"\1\2\3", b"\1\2\3"),
        ("OB", b"\1\2", None),
        ("CS", b"ct", b"CT"),
        ("CS", b"Original\\PRIMARY\\ax-1", b"ORIGINAL\\PRIMARY\\ax-1"),
        ("CS", b"ax-1", None),
        ("CS", b"CT                  ", None),
        ("CS", b"                   CT\\A", b"CT\\A"),
        ("DA", b"1997.04.24", b"19970424"),
        ("DA", b"1997.04.31", None),
        ("DA", b" 20240101 ", b"20240101"),
        ("DA", b"20240101-20240202 ", None),
        ("TM", b"14:04:38", b"140438"),
        ("TM", b"14:04:38.25\\10", b"140438.25\\10"),
        ("TM", b"25:00:00", None),
        ("DT", b"20240101-0000 ", b"20240101+0000"),
        ("AS", b"45Y ", b"045Y"),
        ("AS", b"5w", b"005W"),
        ("AS", b"45", None),
        ("AE", b"   STORE              ", None),
        ("AE", b"              STORE ", b"STORE"),
        ("SH", b"              abcd", b"abcd"),
        ("SH", b"abcdefghijklmnopqr", None),
        ("UI", b" 1.2", b"1.2"),
        ("UI", b"1.02", None),
        ("UR", b" http://a ", b"http://a"),
    ],
)
def test_value_fields(vr: str, raw: bytes, expected: bytes | None) -> None:
    assert mended(vr, raw) == expected


def faulty() -> bytes:
    def element(tag: int, vr: str, raw: bytes) -> bytes:
        return encode_element(tag, vr, raw, explicit=True, big_endian=False)

    inner = element(0x30060050, "DS", b"0.1234567890123456\\1 ") + element(0x30060046, "IS", b"1 ")
    item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    return (
        element(0x00080018, "UI", b"1.2.3 ")
        + element(0x00100010, "PN", b"A^B\0")
        + element(0x00100020, "LO", b"odd")
        + element(0x00280030, "DS", b"1\\x ")
        + element(0x30060040, "SQ", item)
    )


def test_only_what_is_faulty_changes() -> None:
    ds = read_dataset(faulty(), EXPLICIT_LE.uid)
    plain, mended_file = BytesIO(), BytesIO()
    ds.save_as(plain)
    assert plain.getvalue().endswith(faulty())
    ds.save_as(mended_file, conform=True)
    back = dcmread(mended_file.getvalue())
    assert bytes(back.view(0x00080018)) == b"1.2.3\0"
    assert bytes(back.view(0x00100010)) == b"A^B "
    assert bytes(back.view(0x00100020)) == b"odd "
    assert bytes(back.view(0x00280030)) == b"1\\x "
    assert bytes(back.ContourSequence[0].view("ContourData")) == b"0.12345678901235\\1"
    assert bytes(back.ContourSequence[0].view("NumberOfContourPoints")) == b"1 "
    assert ds.to_bytes() == faulty()


def test_what_was_assigned_is_mended_too() -> None:
    ds, out = Dataset(), BytesIO()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2", "1.3"
    ds.Modality, ds.ImageType, ds.PatientAge = "ct", ["original", "PRIMARY"], "45Y"
    ds.ReferencedStudySequence = [Dataset({"StudyDate": "2024.01.02", "StudyTime": "yesterday"})]
    assert len(ds.check()) == 5
    ds.save_as(out, conform=True)
    back = dcmread(out.getvalue())
    assert (back.Modality, back.ImageType, back.PatientAge) == ("CT", ["ORIGINAL", "PRIMARY"], "045Y")
    assert back.ReferencedStudySequence[0].StudyDate == "20240102"
    assert [issue.path for issue in back.check()] == ["(0008,1110)[0].(0008,0030)"]
    assert ds.Modality == "ct"


def test_a_file_is_mended_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    read_dataset(faulty(), EXPLICIT_LE.uid).save_as(path)
    ds = dcmread(path)
    contour = ds.ContourSequence[0]
    ds.save_as(path, conform=True)
    assert contour.ContourData == ["0.12345678901235", 1]
    assert bytes(ds.view("PatientID")) == b"odd "


def test_what_is_sound_stays_byte_for_byte(pydicom_files: list[Path]) -> None:
    for path in pydicom_files:
        if path.name in ("CT_small.dcm", "rtplan.dcm", "rtstruct.dcm"):
            ds, out, again = dcmread(path), BytesIO(), BytesIO()
            ds.save_as(out, conform=True)
            once: Dataset = dcmread(out.getvalue())
            once.save_as(again, conform=True)
            assert out.getvalue() == again.getvalue()
            assert once == ds


def test_text_that_cannot_be_read_keeps_its_bytes() -> None:
    raw = b"\xfcber\0"
    data = encode_element(0x00080005, "CS", b"ISO_IR 192", explicit=True, big_endian=False)
    data += b"\x10\0\x10\0PN\5\0" + raw + b"\x10\0\x20\0LO\2\x00P1"
    out = BytesIO()
    read_dataset(data, EXPLICIT_LE.uid).save_as(out, conform=True, enforce_file_format=False)
    assert bytes(dcmread(out.getvalue()).view("PatientName")) == b"\xfcber"


def test_a_lut_descriptor_counts_its_entries() -> None:
    raw = b"\0\x80\xff\xff\x10\0"
    data = encode_element(0x00283002, "SS", raw, explicit=True, big_endian=False)
    for keyword in (True, False):
        ds = read_dataset(data, EXPLICIT_LE.uid)
        assert (ds.LUTDescriptor if keyword else ds[0x00283002].value) == [32768, -1, 16]
        ds[0x00283002].value = list(ds.LUTDescriptor)
        assert ds.to_bytes() == data
