"""The dictionary against facts of PS3.6, and against pydicom's copy of it."""

from __future__ import annotations

import pytest
from pydicom import datadict

from dicomcore.vocab import dictionary


@pytest.mark.parametrize(
    ("tag", "keyword", "vr", "vm"),
    [
        (0x00100010, "PatientName", "PN", "1"),
        (0x300A00B0, "BeamSequence", "SQ", "1"),
        (0x30060050, "ContourData", "DS", "3-3n"),
        (0x7FE00010, "PixelData", "OB or OW", "1"),
        (0x00280106, "SmallestImagePixelValue", "US or SS", "1"),
        (0x60020010, "OverlayRows", "US", "1"),  # repeating group 60xx
        (0x50040010, "NumberOfPoints", "US", "1"),  # repeating group 50xx
        (0x002031AB, "SourceImageIDs", "CS", "1-n"),
    ],
)
def test_lookup(tag: int, keyword: str, vr: str, vm: str) -> None:
    entry = dictionary.lookup(tag)
    assert entry is not None
    assert (entry.keyword, entry.vr, entry.vm) == (keyword, vr, vm)


@pytest.mark.parametrize("tag", [0x60010010, 0x00091001, 0x00100099])
def test_lookup_of_unknown_and_odd_groups(tag: int) -> None:
    assert dictionary.lookup(tag) is None
    assert dictionary.keyword_for_tag(tag) == ""


def test_agrees_with_pydicom() -> None:
    # entries that the standard changed after the edition that pydicom carries
    newer = {"SummarizedFilterLookupTableSequence", "AnalogFilterTypeCodeSequence"}
    compared = 0
    for tag, vr in dictionary.vr_rows():
        entry = dictionary.lookup(tag)
        assert entry is not None
        if not datadict.dictionary_has_tag(tag) or not vr or entry.keyword in newer:
            continue
        assert (entry.keyword, vr, entry.vm) == (
            datadict.dictionary_keyword(tag),
            datadict.dictionary_VR(tag),
            datadict.dictionary_VM(tag),
        )
        compared += 1
    assert compared > 4900


def test_keywords_are_both_ways() -> None:
    table = dictionary.keyword_table()
    assert table["StudyInstanceUID"] == 0x0020000D
    assert all(dictionary.keyword_for_tag(tag) == keyword for keyword, tag in table.items())


def test_keyword_table_is_frozen() -> None:
    with pytest.raises(TypeError):
        dictionary.keyword_table()["PatientName"] = 0  # type: ignore[index]


def test_suggest() -> None:
    assert dictionary.suggest("PatientNam") == "PatientName"
    assert dictionary.suggest("qqqqqqqq") is None


def test_private_elements() -> None:
    entry = dictionary.lookup_private("SIEMENS CSA HEADER", 0x00291110)
    assert entry is not None
    assert entry.vr == "OB"
    assert dictionary.lookup_private("SIEMENS CSA HEADER", 0x00291010) == entry
    assert dictionary.lookup_private("nobody", 0x00291010) is None
