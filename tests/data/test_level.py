"""The compiled way to a value against the plain one, for every element of every file at hand."""

from __future__ import annotations

import gc
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dicomcore import Dataset, dcmread
from dicomcore.errors import DicomError
from dicomcore.vocab.dictionary import keyword_for_tag, tag_for_keyword
from tests.reference.level import read as plain_read


def test_every_attribute_both_ways(pydicom_files: list[Path]) -> None:
    count = 0
    for path in pydicom_files:
        try:
            quick, plain = dcmread(path), dcmread(path.read_bytes())
        except DicomError:
            continue
        for one, other in zip(levels(quick), levels(plain), strict=True):
            for element in one:
                keyword = keyword_for_tag(element.tag)
                if tag_for_keyword(keyword) == element.tag and element.VR != "SQ":
                    value: Any = getattr(one, keyword)
                    assert type(value) is type(other._value(element.tag, None))
                    assert value == other._value(element.tag, None) or value != value
                    with suppress(LookupError):
                        expected = plain_read(other, keyword)
                        assert value == expected or value != value
                        count += 1
        assert quick.issues == plain.issues
    assert count > 2000


def levels(dataset: Dataset) -> list[Dataset]:
    found = [dataset]
    for element in dataset:
        if element.VR == "SQ":
            found += [level for item in element.value for level in levels(item)]
    return found


def test_edits_and_deletions_are_seen_at_once(pydicom_files: list[Path]) -> None:
    ds = dcmread(next(path for path in pydicom_files if path.name == "CT_small.dcm"))
    assert ds.Rows == 128
    ds.Rows = 5
    assert ds.Rows == 5
    del ds.Rows
    with pytest.raises(AttributeError):
        _ = ds.Rows
    values = ds.ImageType
    values[1] = "SECONDARY"
    assert ds.ImageType == ["ORIGINAL", "SECONDARY", "AXIAL"]


def test_an_attribute_error_of_a_property_is_not_hidden() -> None:
    class Odd(Dataset):
        @property
        def odd(self) -> int:
            raise AttributeError("from within")

    with pytest.raises(AttributeError, match="from within"):
        _ = Odd().odd
    assert not hasattr(Dataset(), "odd")


def test_nothing_leaks(pydicom_files: list[Path]) -> None:
    data = next(path for path in pydicom_files if path.name == "CT_small.dcm").read_bytes()
    before = sys.getrefcount(data)
    for _ in range(100):
        ds = dcmread(data)
        ds.ImageType.append("X")
        _ = ds.PatientName, ds.Rows
    del ds
    gc.collect()
    assert sys.getrefcount(data) == before


def test_many_threads_read_one_data_set(pydicom_files: list[Path]) -> None:
    ds = dcmread(next(path for path in pydicom_files if path.name == "rtplan.dcm"))
    found: list[Any] = []
    start = threading.Barrier(8)

    def read() -> None:
        start.wait()
        for _ in range(50):
            index = ds.BeamSequence[0].ControlPointSequence[1].ControlPointIndex
            found.extend([(ds.PatientName, id(ds.BeamSequence), index)])

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(str, found))) == 1
