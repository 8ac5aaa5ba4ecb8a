"""`Sequence.as_arrays` against `as_array` of every item: any syntax, any VR, edited and moved items, faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore import Dataset, dcmread
from dicomcore._core.level import ItemSpan
from dicomcore.data.files import read_dataset
from dicomcore.data.part10 import encode_file_meta
from dicomcore.data.sequence import Sequence
from dicomcore.errors import EncodingError
from dicomcore.vocab.syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE

SYNTAXES = [IMPLICIT_LE.uid, EXPLICIT_LE.uid, EXPLICIT_BE.uid]
CONTOUR, FRAMES, FLOATS = 0x30060050, 0x00081160, 0x00720074
NUMBERS = {
    CONTOUR: ("DS", st.floats(-1e6, 1e6).map(lambda value: float(f"{value:.6g}"))),
    FRAMES: ("IS", st.integers(-(10**9), 10**9)),
    FLOATS: ("FD", st.floats(allow_nan=False, width=64)),
    0x00280008 + 0x20000: ("US", st.integers(0, 65535)),
    0x00186020: ("SL", st.integers(-(2**31), 2**31 - 1)),
}


def expected(sequence: Sequence, tag: int) -> list[Any]:
    return [item.as_array(tag) if tag in item else None for item in sequence]


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        (a is None) == (b is None) and (a is None or (a.dtype == b.dtype and a.shape == b.shape and (a == b).all()))
        for a, b in zip(one, other, strict=True)
    )


@st.composite
def sequences(draw: st.DrawFn) -> tuple[int, str, list[Dataset]]:
    tag = draw(st.sampled_from(sorted(NUMBERS)))
    vr, values = NUMBERS[tag]
    items = []
    for number in range(draw(st.integers(0, 6))):
        item = Dataset()
        item.ReferencedROINumber = str(number)
        if draw(st.booleans()):
            inner = Dataset()
            inner.add_new(tag, vr, draw(values))
            item.ContourImageSequence = [inner]
        if draw(st.integers(0, 4)):
            item.add_new(tag, vr, draw(st.lists(values, max_size=30)) or None)
        items.append(item)
    return tag, vr, items


@given(sequences(), st.sampled_from(SYNTAXES), st.booleans(), st.data())
def test_what_every_item_gives(made: tuple[int, str, list[Dataset]], syntax: str, delimited: bool, data: Any) -> None:
    tag, vr, items = made
    ds = Dataset()
    ds.ContourSequence = items
    ds.ContourSequence.is_undefined_length = delimited
    assert same(ds.ContourSequence.as_arrays(tag), expected(ds.ContourSequence, tag))
    encoded = ds.to_bytes(syntax)
    sequence, other = (read_dataset(encoded, syntax).ContourSequence for _ in range(2))
    assert same(sequence.as_arrays(tag), expected(other, tag))
    # now with edits: an array assigned, a value taken away, items gone, moved, new, of another file
    for _ in range(data.draw(st.integers(0, 4))):
        if not sequence:
            break
        number = data.draw(st.integers(0, len(sequence) - 1))
        match data.draw(st.integers(0, 5)):
            case 0:
                sequence[number].add_new(tag, vr, [1, 2, 3])
            case 1 if tag in sequence[number]:
                del sequence[number][tag]
            case 2:
                del sequence[number]
            case 3:
                sequence.insert(0, sequence.pop(number))
            case 4 if len(other):
                sequence.append(other[0])
            case _:
                sequence[number].ReferencedROINumber = "77"
    assert same(sequence.as_arrays(tag), expected(sequence, tag))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_untouched_items_stay_as_they_are(tmp_path: Path, syntax: str) -> None:
    ds = Dataset()
    ds.ContourSequence = [Dataset({"ContourData": np.arange(count) / 8}) for count in range(0, 9000, 300)]
    path = tmp_path / "file.dcm"
    path.write_bytes(encode_file_meta("1.2.840.10008.5.1.4.1.1.481.3", "2.25.1", syntax) + ds.to_bytes(syntax))
    for source in (path, path.read_bytes()):  # the head of a file ends somewhere in the items
        sequence = dcmread(source).ContourSequence
        arrays = sequence.as_arrays("ContourData")
        assert all(type(item) is ItemSpan for item in sequence._items)
        assert [array.tolist() for array in arrays] == [(np.arange(n) / 8).tolist() for n in range(0, 9000, 300)]
        assert len({id(array.base) for array in arrays}) == 1
        assert arrays[5].flags.writeable
        arrays[5][0] = -1  # the caller's own
        assert sequence.as_arrays("ContourData")[5][0] == 0


def test_a_list_changed_in_place_is_seen() -> None:
    ds = Dataset()
    ds.ContourSequence = [Dataset({"ContourData": [1, 2, 3]}), Dataset({"ContourData": [4, 5, 6]})]
    sequence = read_dataset(ds.to_bytes(IMPLICIT_LE.uid), IMPLICIT_LE.uid).ContourSequence
    sequence[1].ContourData[0] = 40
    assert [array.tolist() for array in sequence.as_arrays("ContourData")] == [[1, 2, 3], [40, 5, 6]]


@pytest.mark.parametrize("text", ["x\\1", "1\\\\2", "1\\2\\", "1\\1_0"])
def test_a_fault_is_that_of_its_item(text: str) -> None:
    ds = Dataset()
    ds.ContourSequence = [Dataset({"ContourData": [1, 2, 3]}) for _ in range(3)]
    ds.ContourSequence[1].add_new(CONTOUR, "LO", text)
    encoded = ds.to_bytes(EXPLICIT_LE.uid).replace(b"LO", b"DS")
    with pytest.raises(EncodingError) as alone:
        read_dataset(encoded, EXPLICIT_LE.uid).ContourSequence[1].as_array("ContourData")
    with pytest.raises(EncodingError) as caught:
        read_dataset(encoded, EXPLICIT_LE.uid).ContourSequence.as_arrays("ContourData")
    assert str(caught.value) == str(alone.value)
    assert caught.value.path == alone.value.path == "(3006,0040)[1].(3006,0050)"
    assert caught.value.offset == alone.value.offset


def test_values_that_need_more_than_a_word_and_other_vrs_among_them() -> None:
    texts = ["1\\2\\3", "123456789012345678901234\\0.1", " 1.5 \\+2\\ -3e-40", "-0"]
    ds = Dataset()
    ds.ContourSequence = [Dataset() for _ in texts]
    for item, text in zip(ds.ContourSequence, texts, strict=True):
        item.add_new(CONTOUR, "LO", text)
    ds.ContourSequence.append(Dataset())
    ds.ContourSequence[-1].add_new(CONTOUR, "FD", [1.5, 2.5])
    sequence = read_dataset(ds.to_bytes(EXPLICIT_LE.uid).replace(b"LO", b"DS"), EXPLICIT_LE.uid).ContourSequence
    arrays = sequence.as_arrays("ContourData")
    assert [array.tolist() for array in arrays[:-1]] == [[float(part) for part in text.split("\\")] for text in texts]
    assert np.signbit(arrays[3][0])
    assert arrays[-1].tolist() == [1.5, 2.5]


def test_what_is_no_number_or_not_there() -> None:
    ds = Dataset()
    ds.ContourSequence = [Dataset({"ContourGeometricType": "POINT"})]
    for one in (ds, read_dataset(ds.to_bytes(EXPLICIT_LE.uid), EXPLICIT_LE.uid)):
        assert one.ContourSequence.as_arrays("ContourData") == [None]
        with pytest.raises(EncodingError):
            one.ContourSequence.as_arrays("ContourGeometricType")
    assert Sequence().as_arrays("ContourData") == []
    with pytest.raises(ValueError, match="ContourDatum"):
        Sequence().as_arrays("ContourDatum")


def test_contours_of_a_structure_set(pydicom_files: list[Path]) -> None:
    path = next(path for path in pydicom_files if path.name == "rtstruct.dcm")
    for region, other in zip(dcmread(path).ROIContourSequence, dcmread(path).ROIContourSequence, strict=True):
        assert same(region.ContourSequence.as_arrays("ContourData"), expected(other.ContourSequence, CONTOUR))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_sequence_without_items_is_one(syntax: str) -> None:
    ds = Dataset()
    ds.ContourSequence = []
    sequence = read_dataset(ds.to_bytes(syntax), syntax).ContourSequence
    assert isinstance(sequence, Sequence)
    assert sequence.as_arrays("ContourData") == []
