"""Data sets for hypothesis: every VR, empty and multiple values, nested items, private blocks."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from dicomcore import Dataset
from dicomcore.vocab.vr import VRS

# Text as it may stand in any set: no backslash, no padding at its ends; LT and the like take line ends too.
_LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\\^=")
_TEXT = st.text(_LETTERS, max_size=8).map(str.strip)
_LINES = st.text(st.sampled_from("ab \r\n\t\\<&>\"'é山=^\f"), max_size=12).map(lambda text: text.rstrip())
_CODE = st.text("ABC_ 12", max_size=8).map(str.strip)
_GROUP = st.lists(_TEXT, max_size=5).map("^".join)
_NAME = st.lists(_GROUP, max_size=3).map("=".join).map(lambda text: text.rstrip("="))
_BYTES = st.binary(max_size=40).map(lambda raw: raw + raw[:1] if len(raw) % 2 else raw)


def _words(size: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.binary(min_size=size, max_size=size), max_size=4).map(b"".join)


def _integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    half = 1 << (bits - 1)
    return st.integers(-half, half - 1) if signed else st.integers(0, 2 * half - 1)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "AE": _CODE,
    "AS": st.sampled_from(["001D", "018M", "120Y", ""]),
    "AT": st.integers(0, 0xFFFFFFFF),
    "CS": _CODE,
    "DA": st.sampled_from(["20240229", "", "19700101-19701231"]),
    "DS": st.one_of(
        st.sampled_from(["1", "+01.50", "-1E-5", "9999999999999999", "0.1", ".5"]),
        st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: f"{number:.6g}"),
    ),
    "DT": st.sampled_from(["20240229120000.123456+0200", "2024", ""]),
    "FD": st.floats(),
    "FL": st.floats(width=32),
    "IS": st.one_of(st.sampled_from(["007", "+5", "-0"]), st.integers(-(1 << 31), (1 << 31) - 1).map(str)),
    "LO": _TEXT,
    "LT": _LINES,
    "OB": _BYTES,
    "OD": _words(8),
    "OF": _words(4),
    "OL": _words(4),
    "OV": _words(8),
    "OW": _words(2),
    "PN": _NAME,
    "SH": _TEXT,
    "SL": _integers(32, True),
    "SS": _integers(16, True),
    "ST": _LINES,
    "SV": _integers(64, True),
    "TM": st.sampled_from(["120000.5", "12", ""]),
    "UC": _TEXT,
    "UI": st.sampled_from(["1.2.840.10008.1.2", "2.25.1", ""]),
    "UL": _integers(32, False),
    "UN": _BYTES,
    "UR": st.sampled_from(["https://example.org/a?b=<c>&d", ""]),
    "US": _integers(16, False),
    "UT": _LINES,
    "UV": _integers(64, False),
}
assert {*VALUES, "SQ"} == set(VRS)
# Public tags whose VR is not ambiguous, and of no meaning to the encoding, one for each VR that PS3.6 has a tag for.
PUBLIC = {
    "AE": 0x00080054,
    "AS": 0x00101010,
    "AT": 0x00280009,
    "CS": 0x00080008,
    "DA": 0x00100030,
    "DS": 0x00280030,
    "DT": 0x0008002A,
    "FD": 0x00189309,
    "FL": 0x00700273,
    "IS": 0x00081160,
    "LO": 0x00081090,
    "LT": 0x00204000,
    "PN": 0x00101001,
    "SH": 0x00080050,
    "SL": 0x00186020,
    "SS": 0x00189219,
    "ST": 0x00080081,
    "SV": 0x00720082,
    "TM": 0x00080030,
    "UC": 0x00080119,
    "UI": 0x00080018,
    "UL": 0x00186016,
    "UR": 0x00080120,
    "US": 0x00280010,
    "UT": 0x00080117,
    "UV": 0x00720083,
}
_CREATORS = ("ACME 1.1", "Übrig & <Co>", "OTHER")


@st.composite
def datasets(draw: st.DrawFn, depth: int = 2, root: bool = True) -> Dataset:
    """A data set in UTF-8."""
    ds = Dataset({"SpecificCharacterSet": "ISO_IR 192"}) if root else Dataset()
    for vr in draw(st.lists(st.sampled_from(sorted(PUBLIC)), max_size=6, unique=True)):
        ds.add_new(PUBLIC[vr], vr, draw(_value(vr)))
    for creator in draw(st.lists(st.sampled_from(_CREATORS), max_size=2, unique=True)):
        block = ds.private_block(0x0011, creator, create=True)
        for vr in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=5, unique=True)):
            block.add_new(draw(st.integers(0, 0xFF)), vr, draw(_value(vr)))
    if depth:
        for tag in draw(st.lists(st.sampled_from([0x00081140, 0x300A00B0, 0x00111080]), max_size=2, unique=True)):
            if tag & 0x10000 and "00110010" not in ds:
                continue
            ds.add_new(tag, "SQ", draw(st.lists(datasets(depth - 1, False), max_size=2)))
    return ds


def _value(vr: str) -> st.SearchStrategy[Any]:
    one = VALUES[vr]
    if not VRS[vr].is_multi_valued:
        return one
    return st.one_of(one, st.lists(one, max_size=3), st.just(None) if not VRS[vr].is_string else st.just(""))
