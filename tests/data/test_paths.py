"""Walking a data set and comparing two: order, paths, edits on the way, and that diff agrees with equality."""

from __future__ import annotations

import math
import pickle
from copy import copy, deepcopy
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given

from dicomcore import Dataset, dcmread, diff, walk
from dicomcore.errors import EncodingError
from dicomcore.vocab.tag import format_tag
from tests.data.models import datasets


def nested() -> Dataset:
    points = [Dataset({"GantryAngle": 10 * n, "ControlPointIndex": n}) for n in range(2)]
    return Dataset({"PatientName": "A^B", "BeamSequence": [Dataset({"ControlPointSequence": points})], "Rows": 3})


def test_walk_gives_every_element_with_its_path() -> None:
    assert [visit.path for visit in walk(nested())] == [
        "(0010,0010)",
        "(0028,0010)",
        "(300A,00B0)",
        "(300A,00B0)[0].(300A,0111)",
        "(300A,00B0)[0].(300A,0111)[0].(300A,0112)",
        "(300A,00B0)[0].(300A,0111)[0].(300A,011E)",
        "(300A,00B0)[0].(300A,0111)[1].(300A,0112)",
        "(300A,00B0)[0].(300A,0111)[1].(300A,011E)",
    ]


def test_walk_visits_what_iterall_does(pydicom_files: list[Path]) -> None:
    for path in pydicom_files:
        if path.name == "no_meta.dcm":
            continue
        ds = dcmread(path)
        assert [visit.element.tag for visit in walk(ds)] == [element.tag for element in ds.iterall()], path
        for where, level, element in walk(ds):
            assert where.endswith(format_tag(element.tag))
            assert element.tag in level


def test_walk_lets_the_caller_edit_and_delete() -> None:
    ds = nested()
    for _, level, element in walk(ds):
        if element.keyword == "GantryAngle":
            element.value = 7
        elif element.keyword in ("ControlPointIndex", "Rows"):
            del level[element.tag]
    assert [point.GantryAngle for point in ds.BeamSequence[0].ControlPointSequence] == [7, 7]
    assert "Rows" not in ds
    assert "ControlPointIndex" not in ds.BeamSequence[0].ControlPointSequence[1]
    for _, level, element in walk(ds):
        if element.VR == "SQ":
            del level[element.tag]  # what it held is not visited
    assert [element.keyword for element in ds] == ["PatientName"]


def test_neither_recurses() -> None:
    ds, other = Dataset({"Rows": 1}), Dataset({"Rows": 2})
    for _ in range(5000):
        ds, other = (Dataset({"ReferencedImageSequence": [one]}) for one in (ds, other))
    assert sum(1 for _ in walk(ds)) == 5001
    (difference,) = diff(ds, other)
    assert difference.path.count("[0]") == 5000
    while "ReferencedImageSequence" in ds:  # taken apart before it goes, so that nothing recurses there either
        ds, other = ds.ReferencedImageSequence.pop(), other.ReferencedImageSequence.pop()


def test_what_diff_says() -> None:
    left, right = nested(), nested()
    assert diff(left, right) == []
    right.PatientName = "A^C"
    del right.Rows
    right.PatientID = "7"
    right.BeamSequence[0].ControlPointSequence[1].GantryAngle = 5
    right.BeamSequence[0].ControlPointSequence.append(Dataset({"ControlPointIndex": 2}))
    left.add_new("PixelData", "OB", b"\0\0")
    right.add_new("PixelData", "OW", b"\0\0")
    assert [str(one) for one in diff(left, right)] == [
        "~ (0010,0010) Patient's Name: PN 'A^B' -> PN 'A^C'",
        "+ (0010,0020) Patient ID: LO '7'",
        "- (0028,0010) Rows: US 3",
        "~ (300A,00B0)[0].(300A,0111)[1].(300A,011E) Gantry Angle: DS '10.0' -> DS '5.0'",
        "+ (300A,00B0)[0].(300A,0111)[2]: item of 1 elements",
        "~ (7FE0,0010) Pixel Data: OB b'\\x00\\x00' -> OW b'\\x00\\x00'",
    ]
    assert [one.kind for one in diff(left, right)] == ["value", "added", "removed", "value", "added", "vr"]
    few = diff(left, right, ignore=["PatientName", 0x00100020, "Rows", "PixelData", "ControlPointSequence"])
    assert few == []
    with pytest.raises(ValueError, match="NoSuchName"):
        diff(left, right, ignore=["NoSuchName"])


def test_what_diff_says_of_long_values() -> None:
    left = Dataset({"ContourData": [1.0] * 600, "PixelData": bytes(100), "PatientComments": "x" * 100 + "a"})
    right = Dataset({"ContourData": [1.0] * 599 + [2.0], "PixelData": bytes(101), "PatientComments": "x" * 100 + "b"})
    assert [str(one).partition(" first at ")[2] for one in diff(left, right)] == [
        "[100]: 'a' -> 'b'",
        "[599]: 1.0 -> 2.0",
        "[100]: the end -> 00",
    ]
    assert [one.position for one in diff(left, right)] == [100, 599, 100]
    assert [one.lengths for one in diff(left, right)] == [(101, 101), (600, 600), (100, 101)]
    assert "Array of 100 elements -> OW Array of 101 elements, first" in str(diff(left, right)[2])
    assert "... (101 characters), first at" in str(diff(left, right)[0])
    assert str(left["ContourData"]).endswith("DS: [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, ...] (600 values)")


@pytest.mark.parametrize("where", [1, 65_535, 65_536, 65_537, 199_999])
def test_where_bulk_data_differ(where: int) -> None:
    data = bytes(200_000)
    other = data[:where] + b"\x1f" + data[where + 1 :]
    (one,) = diff(Dataset({"PixelData": data}), Dataset({"PixelData": other}))
    assert (one.position, one.lengths) == (where, (200_000, 200_000))
    assert str(one).endswith(f": OW Array of 200000 elements, first at [{where}]: 00 -> 1F")
    (one,) = diff(Dataset({"PixelData": data[: where + 1]}), Dataset({"PixelData": data + other}))
    assert one.position == where + 1
    (one,) = diff(Dataset({"PixelData": data + other}), Dataset({"PixelData": data}))
    assert str(one).endswith("first at [200000]: 00 -> the end")


def test_where_values_differ_is_told_of_what_can_be_compared() -> None:
    left = Dataset(
        {"Rows": 1, "PatientName": "A^B", "BeamSequence": [Dataset()], "RotationPoint": [math.nan, 1.0, 2.0]}
    )
    right = Dataset({"Rows": 2, "PatientName": "A^C", "BeamSequence": [], "RotationPoint": [math.nan, 1.0, 3.0]})
    right.PatientID = "7"
    found = {one.name: (one.position, one.lengths) for one in diff(left, right)}
    assert found == {
        "Rows": (None, None),
        "Patient's Name": (2, (3, 3)),
        "Patient ID": (None, None),
        "": (None, None),
        "Rotation Point": (2, (3, 3)),
    }


def test_where_bulk_data_differ_in_byte_order_and_vr(pydicom_files: list[Path]) -> None:
    (path,) = (one for one in pydicom_files if one.name == "MR_small_bigendian.dcm")
    big, file = dcmread(path), BytesIO()
    big.save_as(file, transfer_syntax="1.2.840.10008.1.2.1", enforce_file_format=False)
    little = dcmread(file.getvalue())
    data = bytearray(little.PixelData)
    data[101] ^= 1
    little.PixelData = bytes(data)
    assert [one.position for one in diff(big, little)] == [101]
    left, right = Dataset(), Dataset()
    left.add_new("PixelData", "OB", bytes(30))
    right.add_new("PixelData", "OW", bytes(30))
    assert str(diff(left, right)[0]) == ("~ (7FE0,0010) Pixel Data: OB Array of 30 elements -> OW Array of 30 elements")


def test_diff_is_empty_exactly_when_equal(pydicom_files: list[Path]) -> None:
    for path in pydicom_files:
        if path.name == "no_meta.dcm":
            continue
        ds, again = dcmread(path), dcmread(path)
        assert diff(ds, again) == [], path
        assert ds == again
        again.PatientID = "somebody else"
        assert [one.path for one in diff(ds, again)] == ["(0010,0020)"]
        assert ds != again


@pytest.mark.parametrize("name", ["MR_small_bigendian.dcm", "rtdose_expb.dcm", "SC_rgb_small_odd_big_endian.dcm"])
def test_byte_order_makes_no_difference(pydicom_files: list[Path], name: str) -> None:
    (path,) = (one for one in pydicom_files if one.name == name)
    big, file = dcmread(path), BytesIO()
    big.save_as(file, transfer_syntax="1.2.840.10008.1.2.1", enforce_file_format=False)
    little = dcmread(file.getvalue())
    assert big.is_big_endian
    assert not little.is_big_endian
    assert big == little
    assert diff(big, little) == []
    assert big.to_json() == little.to_json()
    assert big.to_xml() == little.to_xml()


def test_not_a_number_is_itself() -> None:
    ds = Dataset({"TubeAngle": math.nan, "RotationPoint": [1.0, math.nan]})
    other = Dataset({"TubeAngle": float("nan"), "RotationPoint": [1.0, float("nan")]})
    assert ds == other
    assert diff(ds, other) == []
    other.RotationPoint = [2.0, float("nan")]
    assert ds != other
    other.RotationPoint = 1.0
    assert ds != other


@given(datasets())
def test_copies_and_pickles_are_equal(ds: Dataset) -> None:
    for twin in (copy(ds), deepcopy(ds), pickle.loads(pickle.dumps(ds))):
        assert twin == ds
        assert diff(twin, ds) == []
        assert twin.to_xml() == ds.to_xml()


def test_text_that_waits_for_a_character_set_is_pickled() -> None:
    ds = Dataset({"SpecificCharacterSet": "ISO_IR 192", "BeamSequence": [Dataset({"BeamName": "山"})]})
    item = pickle.loads(pickle.dumps(ds.BeamSequence[0]))
    assert item == ds.BeamSequence[0]
    ds.BeamSequence[0] = item
    file = BytesIO()
    ds.save_as(file, enforce_file_format=False)
    assert dcmread(file.getvalue()).BeamSequence[0].BeamName == "山"
    ds = pickle.loads(pickle.dumps(dcmread(file.getvalue())))
    assert pickle.loads(pickle.dumps(ds.BeamSequence[0])).BeamName == "山"
    undeclared = Dataset({"PatientID": "ü"})
    assert pickle.loads(pickle.dumps(undeclared)) == undeclared
    declared = Dataset({"SpecificCharacterSet": "ISO_IR 100", "PatientID": "山"})
    with pytest.raises(EncodingError):
        pickle.dumps(declared)


@given(datasets(), datasets())
def test_diff_agrees_with_equality(left: Dataset, right: Dataset) -> None:
    assert (diff(left, right) == []) is (left == right)
    assert [one.path for one in diff(left, right)] == [one.path for one in diff(right, left)]
