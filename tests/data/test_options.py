"""Choices of writing (lengths, group lengths, syntax) and values that one syntax cannot carry as another does."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dicomcore import Dataset, dcmread
from dicomcore.data.chunks import iter_bytes
from dicomcore.data.files import read_dataset
from dicomcore.data.writer import encode_dataset
from dicomcore.encoding.writer import Lengths
from dicomcore.errors import EncodingError
from dicomcore.vocab.syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE
from tests.data.faults import explicit, implicit, item

ALL = [IMPLICIT_LE.uid, EXPLICIT_LE.uid, EXPLICIT_BE.uid, DEFLATED_LE.uid]
OPEN = b"\xff\xff\xff\xff"


def saved(dataset: Dataset, syntax: str, **options: Any) -> bytes:
    out = io.BytesIO()
    dataset.save_as(out, syntax, **options)
    return out.getvalue()


def encoded(dataset: Dataset, syntax: str, **options: Any) -> bytes:
    return b"".join(iter_bytes(encode_dataset(dataset, syntax, **options)))


def nested() -> bytes:
    """Both kinds of lengths, in one another, and group lengths."""
    inner = explicit(0x00080000, "UL", struct.pack("<I", 12)) + explicit(0x00081150, "UI", b"1.2\0")
    undefined = explicit(
        0x00081140, "SQ", implicit(0xFFFEE000, inner + implicit(0xFFFEE00D, b""), 0xFFFFFFFF), 0xFFFFFFFF
    )
    undefined += implicit(0xFFFEE0DD, b"")
    group = undefined + explicit(0x00082112, "SQ", item(inner) + item(undefined))
    return (
        explicit(0x00080000, "UL", struct.pack("<I", len(group)))
        + group
        + explicit(0x00100000, "UL", struct.pack("<I", 12))
        + explicit(0x00100010, "PN", b"A^B ")
    )


@pytest.mark.parametrize("syntax", ALL[:3])
@pytest.mark.parametrize("touched", [False, True])
def test_lengths_by_choice(syntax: str, touched: bool) -> None:
    ds = read_dataset(nested(), EXPLICIT_LE.uid)
    if touched:
        ds.SourceImageSequence[1].ReferencedImageSequence[0].ReferencedSOPClassUID = "1.2"
    kept = encoded(ds, syntax)
    defined, undefined = encoded(ds, syntax, lengths="defined"), encoded(ds, syntax, lengths="undefined")
    assert (kept.count(OPEN), defined.count(OPEN), undefined.count(OPEN)) == (4, 0, 7)
    plain = {element.tag: element.value for element in ds.iterall() if element.VR != "SQ" and element.tag & 0xFFFF}
    for data in (kept, defined, undefined):
        again = read_dataset(data, syntax)
        assert not again.check()
        assert {one.tag: one.value for one in again.iterall() if one.VR != "SQ" and one.tag & 0xFFFF} == plain
        assert len(again.SourceImageSequence) == 2
    theirs = pydicom.dcmread(io.BytesIO(saved(ds, syntax, lengths="undefined")))
    assert theirs.SourceImageSequence[1].ReferencedImageSequence[0].ReferencedSOPClassUID == "1.2"


def group_length(dataset: Dataset, group: int) -> int:
    return int(dataset[group << 16].value)


def test_group_lengths_dropped_kept_or_made_right() -> None:
    ds = read_dataset(nested(), EXPLICIT_LE.uid)
    assert encoded(ds, EXPLICIT_LE.uid) == nested()
    none = read_dataset(encoded(ds, EXPLICIT_LE.uid, group_lengths=False), EXPLICIT_LE.uid)
    assert not [one for one in none.iterall() if not one.tag & 0xFFFF]
    ds.PatientName = "A^Longer^Name"
    ds.PatientID = "12"
    ds.StudyInstanceUID = "1.2.3"
    for syntax in ALL[:3]:
        data = encoded(ds, syntax, group_lengths=True)
        again = read_dataset(data, syntax)
        assert [one.tag for one in again if not one.tag & 0xFFFF] == [0x00080000, 0x00100000]
        index = again._origin.index if again._origin is not None else None
        assert index is not None
        for group in (0x0008, 0x0010):
            rows = [row for row in range(len(index)) if index.tag_at(row) >> 16 == group and index.tag_at(row) & 0xFFFF]
            assert group_length(again, group) == index.end_offset_at(rows[-1]) - index.header_offset_at(rows[0])
    assert 0x00080000 not in read_dataset(encoded(ds, IMPLICIT_LE.uid), IMPLICIT_LE.uid)


def assert_group_lengths(ds: Dataset, groups: list[int]) -> None:
    """The level has these group lengths, and each counts the bytes of its group."""
    assert ds._origin is not None
    index = ds._origin.index
    assert [tag >> 16 for tag in index.tags() if not tag & 0xFFFF] == groups
    for group in groups:
        rows = [row for row, tag in enumerate(index.tags()) if tag >> 16 == group and tag & 0xFFFF]
        ends = index.end_offset_at(rows[-1]) - index.header_offset_at(rows[0]) if rows else 0
        assert group_length(ds, group) == ends


@pytest.mark.parametrize("lengths", [None, "defined", "undefined"])
@pytest.mark.parametrize("edited", [False, True])
def test_group_lengths_of_every_level_are_made_right(lengths: Lengths | None, edited: bool) -> None:
    """PS3.5 7.2. Wrong ones too, deeper ones too, assigned ones too; none where there was none."""
    inner, outer, ds = Dataset(), Dataset(), Dataset()
    for level in (inner, outer, ds):
        level.add_new(0x00080000, "UL", 7)
        level.Modality = "CT"
        level.add_new(0x00200000, "UL", 0)
        level.InstanceNumber = 12
        level.PatientName = "A^B"
    inner.ContourData = [1, 2, 3]
    outer.ReferencedStudySequence = [inner]
    ds.ReferencedSeriesSequence = [Dataset({"Modality": "MR"}), outer]
    for source in ALL[:3]:
        read = read_dataset(ds.to_bytes(source), source)
        assert group_length(read, 8) == 7
        if edited:
            read.ReferencedSeriesSequence[1].ReferencedStudySequence[0].ContourData = [1.5]
            read.PatientID = "X"
        for dataset in (ds, read):
            for syntax in ALL[:3]:
                data = encoded(dataset, syntax, group_lengths=True, lengths=lengths)
                again = read_dataset(data, syntax)
                assert_group_lengths(again, [0x0008, 0x0020])
                first, second = again.ReferencedSeriesSequence
                assert_group_lengths(first, [])
                assert_group_lengths(second, [0x0008, 0x0020])
                assert_group_lengths(second.ReferencedStudySequence[0], [0x0008, 0x0020])
                plain = read_dataset(encoded(dataset, syntax, group_lengths=False), syntax)
                assert not [one for one in plain.iterall() if not one.tag & 0xFFFF]
                for one in (again, *again.ReferencedSeriesSequence, second.ReferencedStudySequence[0]):
                    for group in (8, 0x20):
                        one.pop(group << 16, None)
                assert again == plain


def test_an_odd_value_of_words_is_padded_before_it_is_swapped() -> None:
    ds = Dataset()
    ds.add_new(0x00720069, "OW", b"abc")
    assert read_dataset(ds.to_bytes(EXPLICIT_BE.uid), EXPLICIT_BE.uid).to_bytes(EXPLICIT_LE.uid)[-4:] == b"abc\0"


def test_a_contour_of_ten_thousand_points_goes_as_un_and_comes_back() -> None:
    """PS3.5 6.2.2: over 65,534 bytes, so UN with a 32-bit length in explicit VR."""
    values = [round(n * 0.37, 2) for n in range(30_000)]
    contour = Dataset()
    contour.ContourData = values
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.3"
    ds.ROIContourSequence = [Dataset({"ContourSequence": [contour]})]
    raw = bytes(contour.view("ContourData"))
    assert len(raw) > 65_534
    for first in ALL:
        once = dcmread(saved(ds, first))
        for second in ALL:
            twice = dcmread(saved(once, second))
            element = twice.ROIContourSequence[0].ContourSequence[0][0x30060050]
            assert element.VR == "DS"
            assert element.value == values
            assert not twice.check()
            if second in (EXPLICIT_LE.uid, EXPLICIT_BE.uid):
                order = "<" if second == EXPLICIT_LE.uid else ">"
                header = struct.pack(order + "HH", 0x3006, 0x0050) + b"UN\0\0" + struct.pack(order + "I", len(raw))
                assert header in encoded(twice, second)
            else:
                assert b"P\0UN" not in encoded(twice, IMPLICIT_LE.uid)
        theirs = pydicom.dcmread(io.BytesIO(saved(ds, first)))
        value = theirs.ROIContourSequence[0].ContourSequence[0].ContourData
        text = value.decode().split("\\") if isinstance(value, bytes) else value  # it leaves long UN as it is
        assert [float(one) for one in text] == values


def test_unknown_content_is_carried_unswapped_and_told() -> None:
    data = explicit(0x00290010, "LO", b"NOBODY") + explicit(0x00291001, "UN", b"\1\2\3\4")
    ds = read_dataset(data, EXPLICIT_LE.uid)
    big = read_dataset(encoded(ds, EXPLICIT_BE.uid), EXPLICIT_BE.uid)
    assert big[0x00291001].value == b"\1\2\3\4"
    [issue] = ds.issues
    assert ("byte order" in issue.message, issue.path, issue.clause) == (True, "(0029,1001)", "PS3.5 6.2.2")
    assert encoded(big, EXPLICIT_LE.uid) == data
    assert len(big.issues) == 1


@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_pixel_data_of_eight_bits(vr: str) -> None:
    """OW is swapped as words whatever the bits, OB never (PS3.5 8.1.1, annex A)."""
    data = explicit(0x00280100, "US", b"\x08\0") + explicit(0x7FE00010, vr, b"\1\2\3\4")
    big = encoded(read_dataset(data, EXPLICIT_LE.uid), EXPLICIT_BE.uid)
    assert big.endswith(b"\2\1\4\3" if vr == "OW" else b"\1\2\3\4")
    assert encoded(read_dataset(big, EXPLICIT_BE.uid), EXPLICIT_LE.uid) == data
    through = encoded(
        read_dataset(encoded(read_dataset(big, EXPLICIT_BE.uid), IMPLICIT_LE.uid), IMPLICIT_LE.uid), EXPLICIT_LE.uid
    )
    assert through.endswith(b"\1\2\3\4")


def test_what_decides_is_re_encoded_with_what_depends_on_it() -> None:
    latin = explicit(0x00080005, "CS", b"ISO_IR 100") + explicit(0x00100010, "PN", "Müller".encode("latin-1"))
    ds = read_dataset(latin, EXPLICIT_LE.uid)
    ds.SpecificCharacterSet = "ISO_IR 192"
    assert "Müller".encode() in encoded(ds, EXPLICIT_LE.uid)

    signed = implicit(0x00280103, b"\0\0") + implicit(0x00280106, b"\5\0")
    ds = read_dataset(signed, IMPLICIT_LE.uid)
    ds.PixelRepresentation = 1
    assert read_dataset(encoded(ds, EXPLICIT_LE.uid), EXPLICIT_LE.uid)[0x00280106].VR == "SS"

    private = implicit(0x00290010, b"SIEMENS CSA HEADER") + implicit(0x00291008, b"IMAGE NUM 4 ")
    ds = read_dataset(private, IMPLICIT_LE.uid)
    assert ds[0x00291008].VR == "CS"
    ds[0x00290010].value = "NOBODY"  # what was read stays what it was read as
    again = read_dataset(encoded(ds, EXPLICIT_LE.uid), EXPLICIT_LE.uid)
    assert (again[0x00290010].value, again[0x00291008].VR, again[0x00291008].value) == ("NOBODY", "CS", "IMAGE NUM 4")


def test_streaming_output_and_atomic_files(tmp_path: Path) -> None:
    class Writable:
        def __init__(self) -> None:
            self.blocks: list[bytes] = []

        def write(self, block: bytes) -> int:
            self.blocks.append(bytes(block))
            return len(block)

    source = tmp_path / "big.dcm"
    ds = Dataset({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SOPInstanceUID": "1.2.3", "BitsAllocated": 16})
    ds.PixelData = bytes(5 << 20)
    ds.save_as(source)
    for syntax in (EXPLICIT_LE.uid, DEFLATED_LE.uid):
        out = Writable()
        dcmread(source).save_as(out, syntax)
        assert max(map(len, out.blocks)) <= 1 << 20
        data = b"".join(out.blocks)
        again = dcmread(data)
        assert (again.PixelData == ds.PixelData, len(data) % 2) == (True, 0)
    assert zlib.decompress(data[dcmread(data)._origin.file.layout.dataset_offset :], -15)  # type: ignore[union-attr]
    before = source.read_bytes()
    broken = dcmread(source)
    broken.add_new(0x00091001, "LO", "ü" * 3)
    broken.SpecificCharacterSet = "ISO_IR 144"
    with pytest.raises(EncodingError):
        broken.save_as(source)
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["big.dcm"]


def test_a_file_names_its_sop_class_and_instance() -> None:
    """PS3.10 7.1: a new one must, one that was read without may go on and is told; nothing is written silently."""
    ds = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        with pytest.raises(EncodingError, match=f"no {keyword}") as caught:
            ds.save_as(io.BytesIO())
        assert caught.value.clause == "PS3.10 7.1"
        ds.update({keyword: "1.2.3"})
    meta = dcmread(saved(ds, EXPLICIT_LE.uid)).file_meta
    assert meta.MediaStorageSOPClassUID == meta.MediaStorageSOPInstanceUID == "1.2.3"
    named = Dataset()
    named.file_meta = Dataset({"MediaStorageSOPClassUID": "1.2", "MediaStorageSOPInstanceUID": "1.3"})
    assert dcmread(saved(named, EXPLICIT_LE.uid)).file_meta.MediaStorageSOPInstanceUID == "1.3"
    data = saved(Dataset({"PatientID": "1"}), EXPLICIT_LE.uid, enforce_file_format=False)
    assert "MediaStorageSOPClassUID" not in dcmread(data).file_meta
    read = dcmread(data)
    assert saved(read, EXPLICIT_LE.uid) == data  # as it stands
    assert read.issues == []
    read.PatientID = "2"
    assert dcmread(saved(read, IMPLICIT_LE.uid)).PatientID == "2"
    assert [issue.path for issue in read.issues] == ["(0002,0002)", "(0002,0003)"]
    saved(read, IMPLICIT_LE.uid)
    assert len(read.issues) == 2
