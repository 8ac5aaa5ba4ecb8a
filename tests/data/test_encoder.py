"""Data sets whose every element was assigned: the compiled encoder against its plain twin, and read back."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from random import Random
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


def tree(chance: Random, depth: int) -> Dataset:
    """Items within items, some many, some without elements, some with elements out of order."""
    ds = Dataset()
    if chance.random() < 0.9:
        ds.PatientID = "x" * chance.randrange(9)
    if depth and chance.random() < 0.8:
        ds.ReferencedStudySequence = [tree(chance, depth - 1) for _ in range(chance.choice([0, 1, 1, 3, 20]))]
        ds["ReferencedStudySequence"].value.is_undefined_length = chance.random() < 0.3
    if chance.random() < 0.3:
        ds.ContourData = [chance.uniform(-300, 300) for _ in range(chance.choice([1, 3, 200]))]
    if depth and chance.random() < 0.5:
        ds.ReferencedSeriesSequence = [tree(chance, depth - 1) for _ in range(chance.randrange(3))]
    ds.PatientName = chance.choice(["A^B", "Müller"])
    return ds


@pytest.mark.parametrize("seed", range(12))
def test_items_of_every_number_and_depth(seed: int) -> None:
    ds = tree(Random(seed), 4)
    ds.SpecificCharacterSet = "ISO_IR 100"
    for syntax in (EXPLICIT_LE, IMPLICIT_LE):
        assert ds.to_bytes(syntax.uid) == encode_fresh(ds, syntax.explicit)


TEXTS = ["Müller", "Ærø\x85", "Œuvre", "日本^語", "x", "Ö" * 70_000, "\ud800"]
SETS: list[Any] = [None, "", "ISO_IR 100", "ISO_IR 192", "ISO_IR 144", ["", "ISO 2022 IR 87"], ["ISO_IR 192"], "GBK"]


@pytest.mark.parametrize("seed", range(60))
def test_text_in_the_character_set_that_is_in_effect(seed: int) -> None:
    chance = Random(seed)
    ds = level = Dataset()
    for _ in range(4):
        if chance.random() < 0.6:
            level.SpecificCharacterSet = chance.choice(SETS)
            if chance.random() < 0.2:
                del level.SpecificCharacterSet
        level.PatientName = PersonName(chance.choice(TEXTS[:5]))
        level.PatientComments = chance.choice(TEXTS)
        level.OtherPatientNames = chance.choices(TEXTS[:5], k=3)
        level.Modality = chance.choice(["CT", "CT", "CT", "Ü"])
        inner = Dataset()
        level.ReferencedStudySequence = [inner]
        level = inner
    try:
        expected = encode_fresh(ds, True)
    except EncodingError:
        with pytest.raises(EncodingError):
            ds.to_bytes()
    else:
        assert ds.to_bytes() == expected


class Forgetful:
    """A number that empties the data set as it is asked for."""

    def __init__(self, ds: Dataset) -> None:
        self.ds = ds

    def __float__(self) -> float:
        self.ds.ReferencedStudySequence = []
        gc.collect()
        return 1.5


def test_what_goes_away_while_it_is_written_does_no_harm() -> None:
    def made(number: Any) -> Dataset:
        inner = Dataset({"TableHeight": 1, "PatientID": "x" * 100})
        if number is not None:
            inner["TableHeight"]._value = number
        outer = Dataset({"ReferencedSeriesSequence": [inner, Dataset({"Rows": 1})], "PatientID": "y" * 100})
        return Dataset({"ReferencedStudySequence": [outer, Dataset({"Rows": 3})]})

    expected = made(1.5).to_bytes()
    ds = made(None)
    ds.ReferencedStudySequence[0].ReferencedSeriesSequence[0]["TableHeight"]._value = Forgetful(ds)
    assert ds.to_bytes() == expected
    assert ds.ReferencedStudySequence == []


def test_more_items_than_are_fetched_together() -> None:
    ds = Dataset()
    ds.ReferencedStudySequence = items = [Dataset({"PatientID": str(number)}) for number in range(1500)]
    items[700].ReferencedSeriesSequence = [Dataset({"Rows": number}) for number in range(1500)]
    items[3].ContourData = [0.1] * 700_000  # longer than the buffer doubles
    assert ds.to_bytes() == encode_fresh(ds, True)
    assert len(encode_dataset(ds, EXPLICIT_LE)) == 1


def test_levels_out_of_order_are_no_work_twice() -> None:
    ds = Dataset()
    for _ in range(55):  # 2^55 of them otherwise
        outer = Dataset()
        outer.ReferencedStudySequence = [ds]
        outer.Modality = "CT"
        ds = outer
    assert ds.to_bytes() == encode_fresh(ds, True)


ODD_NUMBERS = [
    0,
    -7,
    10**15,
    True,
    1e-9,
    5e-324,
    1.7e308,
    1e22,
    -0.0,
    0.1 + 0.2,
    "1.50",
    " 2",
    "+3",
    ".5",
    "1e-30",
    "",
    None,
]


@pytest.mark.parametrize("seed", range(20))
def test_lists_of_numbers_are_what_single_numbers_are(seed: int) -> None:
    chance = Random(seed)
    values: list[Any] = [chance.choice([chance.uniform(-1e3, 1e3), chance.randrange(99)]) for _ in range(50)]
    values += [DS(1.25), DS("7e3"), read_dataset(b"\x06\x30\x50\x00DS\x06\0007.0\\8 ", EXPLICIT_LE.uid).ContourData[0]]
    values += chance.sample(ODD_NUMBERS, seed % 7)
    chance.shuffle(values)
    ds = Dataset()
    ds.ContourData = values
    singles = [one if one is None or one == "" else DS(one) for one in values]
    assert ds.ContourData == singles
    assert list(map(type, ds.ContourData)) == list(map(type, singles))
    assert list(map(str, ds.ContourData)) == list(map(str, singles))
    assert ds.to_bytes() == encode_fresh(ds, True)
    assert max(map(len, ds.to_bytes()[8:].rstrip().split(b"\\"))) <= 16
    ds.ContourData[2] = 0.25
    assert read_dataset(ds.to_bytes(), EXPLICIT_LE.uid).ContourData[2] == 0.25
    ds.ContourData = tuple(values)
    assert ds.to_bytes() == encode_fresh(ds, True)
    ds.ContourData = [1.5, math.nan]
    with pytest.raises(EncodingError):
        ds.to_bytes()
