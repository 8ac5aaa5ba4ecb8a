"""The value rules of PS3.5 6.2, row by row: what is right, what is wrong, and how it is told."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.valuerep import validate_value

from dicomcore.encoding.rules import TAKES, count_fault, field_fault, value_fault
from dicomcore.vocab.vr import VRS

RIGHT = {
    "AE": ["STORE", " A B ", "A" * 16, "A\\B", ""],
    "AS": ["045Y", "001D\\012W", "006M"],
    "CS": ["ORIGINAL\\PRIMARY", "A_1 B", "A" * 16, "", "\\A", " A "],
    "DA": ["20240229", "19991231\\20000101", "20240131", ""],
    "DS": ["1", "-1.5", "+.5", "5.", " 1e-5 ", "1E+10", "1\\\\2", "0.12345678901234", "1" * 16 + "\\1"],
    "DT": ["2024", "202402", "20240229", "2024022923", "20240229235960", "20240229235959.123456+1400", "2024+0000"],
    "IS": ["1", "-2147483648", "2147483647", "+5", " 7 ", "000000000012", "1\\\\2"],
    "LO": ["x" * 64, "é" * 64, "a\\b", " a"],
    "LT": ["x" * 10240, "a\\b", "a\r\n\tb\f"],
    "PN": ["Doe^John", "a^b^c^d^e", "x" * 64 + "=" + "y" * 64 + "=" + "z" * 64, "=x", "^^^^", "A\\B", ""],
    "SH": ["x" * 16, "日" * 16],
    "ST": ["x" * 1024, "a\r\nb"],
    "TM": ["10", "1030", "103059", "235960", "103059.1", "103059.123456", "10\\11"],
    "UC": ["x" * 70000, "a\\b"],
    "UI": ["1.2.840.10008.1.2\0", "0", "1.0.2", "1" * 64, "1.2\\1.3", "\0"],
    "UR": ["http://a.b/c?d=[e]&f#g%20", "urn:oid:1.2  "],
    "UT": ["a\\b\r\n" + "x" * 70000],
}
WRONG = {
    "AE": ["A" * 17, "   ", "A\\ \\B", "é", "A\nB"],
    "AS": ["45Y", "045", "045y", "0045Y", "45 Y"],
    "CS": ["abc", "A" * 17, "A-B", "A\\b", "é"],
    "DA": ["2024", "20240230", "20241301", "20240132", "1997.04.24", "2024-01-01", "20240101-20240202", "00000101"],
    "DS": ["x", "1,5", "1 5", "1e", "0.123456789012345", "nan", "1\\x", "1_0", "٣"],
    "DT": ["20241", "20240230", "2024013124", "20240101000061", "2024+1500", "2024-1300", "20240101-0000", "x"],
    "IS": ["x", "1.0", "2147483648", "-2147483649", "1 2", "0000000000012", "1\\x"],
    "LO": ["x" * 65, "a\nb", "a\x7f"],
    "LT": ["x" * 10241, "a\0b"],
    "PN": ["a^b^c^d^e^f", "a=b=c=d", "x" * 65, "a=" + "y" * 65, "a\nb"],
    "SH": ["x" * 17, "日" * 17],
    "ST": ["x" * 1025],
    "TM": ["24", "1060", "07:53", "10:30:00", "103059.1234567", "1", "10-11", "103061"],
    "UC": ["a\nb"],
    "UI": ["1.02", "1..2", ".1", "1.", "1.2a", "1" * 65, "1.2 ", "1.2\\01"],
    "UR": [" http://a", "a\\b", "a b", "<a>"],
    "UT": ["a\x01b"],
}


@pytest.mark.parametrize(("vr", "text"), [(vr, text) for vr, texts in RIGHT.items() for text in texts])
def test_right_fields(vr: str, text: str) -> None:
    assert field_fault(vr, text) is None


@pytest.mark.parametrize(("vr", "text"), [(vr, text) for vr, texts in WRONG.items() for text in texts])
def test_wrong_fields(vr: str, text: str) -> None:
    fault = field_fault(vr, text)
    assert fault is not None
    assert vr in fault


def test_every_vr_says_what_it_takes() -> None:
    assert set(TAKES) == set(VRS)
    assert set(RIGHT) == set(WRONG) == {vr for vr, row in VRS.items() if row.is_string}


def test_the_faulty_value_is_named() -> None:
    assert (field_fault("CS", "A\\b\\C\\d") or "").startswith("value 2 of 4, 'b' is wrong: CS takes")
    assert (field_fault("CS", "A\\b\\C\\d") or "").endswith("; 2 values are")
    assert value_fault("TM", "10:30:00") == "is in the form of before DICOM: TM takes times as HHMMSS.FFFFFF"
    assert "17 characters long" in (value_fault("SH", "x" * 17) or "")
    assert "65 characters" in (value_fault("PN", "x" * 65) or "")
    assert len(field_fault("LT", "x" * 20000) or "") < 200


@pytest.mark.parametrize(
    ("vr", "text", "fault"),
    [("LO", "a\0", "padded with NUL"), ("UI", "1.2 ", "padded with spaces"), ("LO", "a ", ""), ("UI", "1.2\0", "")],
)
def test_padding(vr: str, text: str, fault: str) -> None:
    assert fault in (field_fault(vr, text) or "")
    assert bool(field_fault(vr, text)) == bool(fault)


@pytest.mark.parametrize(
    ("vm", "right", "wrong"),
    [
        ("1", [0, 1], [2]),
        ("3", [0, 3], [1, 2, 6]),
        ("1-n", [1, 9], []),
        ("2-n", [2, 3], [1]),
        ("1-3", [1, 3], [4]),
        ("2-2n", [2, 4, 100], [1, 3]),
        ("3-3n", [3, 6], [1, 4]),
        ("1-n or 1", [1, 5], []),
    ],
)
def test_multiplicity(vm: str, right: list[int], wrong: list[int]) -> None:
    assert [count_fault(vm, count) for count in right] == [None] * len(right)
    assert all(f"{count} value" in (count_fault(vm, count) or "") for count in wrong)


ALPHABETS = {
    "AE": "AB \n\\é",
    "AS": "0123DWMYy",
    "CS": "ABC_ 1a-",
    "DA": "0123456789-.",
    "DS": "0123456789+-.eE x",
    "DT": "0123456789+-.",
    "IS": "0123456789+- .",
    "LO": "aé\t 日",
    "PN": "ab^^==^ ",
    "SH": "aé日 ",
    "TM": "0123456789:.-",
    "UI": "0129..",
    "UR": "ab:/ %",
}


@given(st.data(), st.sampled_from(sorted(ALPHABETS)))
def test_what_pydicom_finds_wrong_is_wrong(data: st.DataObject, vr: str) -> None:
    """The other way round ours are stricter: days of a month, ranges, control characters, five components of a name."""
    value = data.draw(st.text(ALPHABETS[vr], min_size=1, max_size=70))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        validate_value(vr, value, config.WARN)
    assert not told or value_fault(vr, value)
