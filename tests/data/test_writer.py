"""Random nested data sets, edited, moved between files and re-encoded, against the same content built afresh."""

from __future__ import annotations

import copy
import io
from typing import Any

import pydicom
from hypothesis import given
from hypothesis import strategies as st

from dicomcore import Dataset, dcmread
from dicomcore.data.chunks import iter_bytes
from dicomcore.data.files import read_dataset
from dicomcore.data.writer import encode_dataset
from dicomcore.vocab.syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE

SYNTAXES = st.sampled_from([IMPLICIT_LE.uid, EXPLICIT_LE.uid, EXPLICIT_BE.uid, DEFLATED_LE.uid])
LATIN = st.text("abcÄéü ß", max_size=12).map(str.strip)
SMALL = st.integers(0, 0x7FFF)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "PatientName": LATIN,
    "PatientID": st.text("0123abc", max_size=9),
    "PatientComments": LATIN,
    "StudyDate": st.just("20240229"),
    "SOPInstanceUID": st.just("1.2.840.1"),
    "Rows": SMALL,
    "SmallestImagePixelValue": SMALL,
    "PixelSpacing": st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=2, max_size=2),
    "InstanceNumber": st.integers(-(2**31), 2**31 - 1),
    "ImageType": st.lists(st.sampled_from(["A", "BB", "CCC"]), min_size=2, max_size=4),
    "FrameIncrementPointer": st.just(0x00181063),
    "DoubleFloatPixelData": st.binary(min_size=0, max_size=2).map(lambda b: b * 8),
    "TubeAngle": st.floats(allow_nan=False, width=32),
    "RedPaletteColorLookupTableData": st.binary(min_size=1, max_size=20).map(lambda b: b * 2),
    "EncryptedContent": st.binary(min_size=0, max_size=9).map(lambda b: b * 2),
}
SEQUENCES = ["BeamSequence", "ControlPointSequence", "ReferencedImageSequence"]


def levels(children: st.SearchStrategy[Any] | None) -> st.SearchStrategy[dict[str, Any]]:
    optional = dict(VALUES)
    if children is not None:
        optional |= {keyword: st.lists(children, max_size=3) for keyword in SEQUENCES}
    return st.fixed_dictionaries({}, optional=optional)


PLAIN = levels(levels(levels(None)))


def build(content: dict[str, Any]) -> Dataset:
    ds = Dataset()
    for keyword, value in content.items():
        setattr(ds, keyword, [build(item) for item in value] if keyword in SEQUENCES else copy.copy(value))
    return ds


def root(content: dict[str, Any], charset: str = "ISO_IR 100") -> Dataset:
    ds = build(content)
    ds.SpecificCharacterSet = charset
    return ds


def read(ds: Dataset, syntax: str) -> Dataset:
    return read_dataset(ds.to_bytes(syntax), syntax)


@given(PLAIN, SYNTAXES, SYNTAXES)
def test_there_and_back(content: dict[str, Any], first: str, second: str) -> None:
    fresh = root(content)
    one = read(fresh, first)
    assert [e.tag for e in one.iterall()] == [e.tag for e in fresh.iterall()]
    two = read(one, second)
    assert one.issues == two.issues == []
    assert two.to_bytes(EXPLICIT_LE.uid) == one.to_bytes(EXPLICIT_LE.uid) == fresh.to_bytes(EXPLICIT_LE.uid)
    assert read(two, EXPLICIT_LE.uid) == read(fresh, EXPLICIT_LE.uid)
    assert sum(map(len, encode_dataset(two, first))) == len(two.to_bytes(first))


@given(PLAIN, SYNTAXES)
def test_pydicom_reads_the_same(content: dict[str, Any], syntax: str) -> None:
    fresh = root(content)
    file = io.BytesIO()
    fresh.save_as(file, syntax, enforce_file_format=False)
    theirs = pydicom.dcmread(io.BytesIO(file.getvalue()))
    assert Dataset.from_pydicom(theirs).to_bytes(EXPLICIT_LE.uid) == fresh.to_bytes(EXPLICIT_LE.uid)


@given(PLAIN, PLAIN, SYNTAXES, SYNTAXES, st.data())
def test_edits_equal_a_fresh_build(
    before: dict[str, Any], after: dict[str, Any], first: str, second: str, data: st.DataObject
) -> None:
    """Turn what was read into other content by edits at every depth; the bytes are those of the other content."""
    ds = read(root(before), first)
    turn(ds, after, data)
    ds.SpecificCharacterSet = "ISO_IR 100"
    expected = root(after)
    for twin in (ds, copy.deepcopy(ds), read(ds, second)):
        assert twin.to_bytes(EXPLICIT_LE.uid) == expected.to_bytes(EXPLICIT_LE.uid)
        assert twin.to_bytes(second) == expected.to_bytes(second)


def turn(ds: Dataset, content: dict[str, Any], data: st.DataObject) -> None:
    for keyword in [*VALUES, *SEQUENCES]:
        if keyword not in content:
            if keyword in ds:
                delattr(ds, keyword)
        elif keyword not in SEQUENCES:
            if isinstance(ds.get(keyword), list) and isinstance(content[keyword], list):
                getattr(ds, keyword)[:] = content[keyword]
            else:  # adding an element of another data set brings bytes into this one's order
                ds.update(build({keyword: content[keyword]}))
        elif keyword not in ds:
            setattr(ds, keyword, [build(item) for item in content[keyword]])
        else:
            items, wanted = getattr(ds, keyword), content[keyword]
            while len(items) > len(wanted):
                items.pop(data.draw(st.integers(0, len(items) - 1)))
            for number, item in enumerate(wanted):
                if number == len(items):
                    items.append(build(item))
                turn(items[number], item, data)


@given(PLAIN, PLAIN, SYNTAXES, SYNTAXES, SYNTAXES)
def test_items_moved_between_files(
    here: dict[str, Any], there: dict[str, Any], first: str, second: str, third: str
) -> None:
    """Items of a Latin-1 file in one encoding move into a UTF-8 file in another: as if built there."""
    source, target = read(root(here), first), read(root(there, "ISO_IR 192"), second)
    target.BeamSequence = [*target.get("BeamSequence", []), *source.get("BeamSequence", [])]
    expected = root(there, "ISO_IR 192")
    expected.BeamSequence = [build(item) for item in [*there.get("BeamSequence", []), *here.get("BeamSequence", [])]]
    assert target.to_bytes(third) == expected.to_bytes(third)


@given(PLAIN, SYNTAXES, st.sampled_from(["ISO_IR 100", "ISO_IR 192", "GB18030"]))
def test_a_new_character_set(content: dict[str, Any], syntax: str, charset: str) -> None:
    ds = read(root(content), syntax)
    ds.SpecificCharacterSet = charset
    assert ds.to_bytes(syntax) == root(content, charset).to_bytes(syntax)


@given(PLAIN, SYNTAXES)
def test_undefined_lengths_stay_and_unedited_bytes_too(content: dict[str, Any], syntax: str) -> None:
    fresh = root(content)
    for element in fresh.iterall():
        if element.VR == "SQ":
            element.value.is_undefined_length = True
    ds = read(fresh, syntax)
    if syntax != DEFLATED_LE.uid:
        assert b"".join(iter_bytes(encode_dataset(ds, syntax))) == fresh.to_bytes(syntax)
    ds.PatientID = "edited"
    fresh.PatientID = "edited"
    assert ds.to_bytes(syntax) == fresh.to_bytes(syntax)
    assert read(ds, EXPLICIT_LE.uid) == read(fresh, EXPLICIT_LE.uid)


def test_group_lengths_go_when_a_level_changes() -> None:
    raw = (
        bytes.fromhex("08000000 554C 0400 0A000000 08006000 4353 0200")
        + b"CT"
        + bytes.fromhex("10002000 4C4F 0200")
        + b"1 "
    )
    ds = read_dataset(raw, EXPLICIT_LE.uid)
    assert ds.to_bytes() == raw
    ds.PatientID = "2"
    assert ds.to_bytes() == raw[12:-2] + b"2 "


def test_faulty_values_stay_byte_for_byte() -> None:
    raw = bytes.fromhex("10002000 4C4F 0300") + b"abc" + bytes.fromhex("28001000 5553 0300") + b"xyz"
    ds = read_dataset(raw, EXPLICIT_LE.uid)
    assert ds.PatientID == "abc"
    assert ds.to_bytes() == raw
    ds.PatientName = "N"
    assert ds.to_bytes() == bytes.fromhex("10001000 504E 0200") + b"N " + raw
    assert {issue.path for issue in ds.check()} == {"(0010,0020)", "(0028,0010)"}


def test_out_of_order_and_repeated_elements() -> None:
    name, identity = bytes.fromhex("10001000 504E 0200") + b"N ", bytes.fromhex("10002000 4C4F 0200") + b"1 "
    ds = read_dataset(identity + name + identity, EXPLICIT_LE.uid)
    assert len(ds) == 2
    assert ds.to_bytes() == identity + name + identity
    ds.PatientSex = "O"
    ds.PatientID = "2"
    assert ds.to_bytes() == name + identity[:-2] + b"2 " + bytes.fromhex("10004000 4353 0200") + b"O "


def test_a_truncated_value_is_re_encoded_with_the_length_it_has() -> None:
    raw = bytes.fromhex("10001000 504E 0200") + b"N " + bytes.fromhex("28001000 5553 0600") + b"\1\0\2\0"
    ds = read_dataset(raw, EXPLICIT_LE.uid)
    assert ds.Rows == [1, 2]
    assert ds.to_bytes() == raw
    assert read(ds, EXPLICIT_BE.uid).Rows == [1, 2]
    assert read(ds, IMPLICIT_LE.uid).Rows == [1, 2]
    assert dcmread(raw).issues


def test_many_long_values_go_apart_without_recursion() -> None:
    ds = Dataset()
    for number in range(1500):
        ds.add_new((0x0009 + 2 * (number // 200), 0x1000 + number % 200), "OB", bytes([number % 251]) * 70_000)
        ds.add_new((0x0009 + 2 * (number // 200), 0x1100 + number % 200), "LO", "x")
    explicit = read_dataset(ds.to_bytes(), EXPLICIT_LE.uid)
    chunks = encode_dataset(explicit, IMPLICIT_LE.uid)
    assert sum(isinstance(chunk, memoryview) and len(chunk) == 70_000 for chunk in chunks) == 1500
    assert b"".join(iter_bytes(chunks)) == ds.to_bytes(IMPLICIT_LE.uid)
