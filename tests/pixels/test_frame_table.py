"""Which fragments make which frame (PS3.5 A.4): tables that are right, tables that are wrong, and no table at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.encoding.fragments import read_fragments
from dicomcore.encoding.source import BytesSource
from dicomcore.errors import Issue
from dicomcore.pixels.frame_table import FrameTable, frame_table
from tests.pixels.objects import END, items, offsets

SOI, EOI = b"\xff\xd8\xff\xe0", b"\xff\xd9"
Frames = Sequence[Sequence[bytes]]


def table_of(
    fragments: Sequence[bytes],
    frames: int,
    *,
    basic: Sequence[int] = (),
    extended: tuple[Sequence[int], Sequence[int]] | None = None,
    codec: str = "",
    stated: bool = True,
) -> tuple[FrameTable, list[Issue], BytesSource]:
    source = BytesSource(items(fragments, np.array(basic, "<u4").tobytes()))
    issues: list[Issue] = []
    found = read_fragments(source, 0, source.size, issues)
    tables = None
    if extended is not None:
        tables = (
            memoryview(np.array(extended[0], "<u8").tobytes()),
            memoryview(np.array(extended[1], "<u8").tobytes()),
        )
    table = frame_table(found, source, frames, issues.append, codec=codec, extended=tables, stated=stated)
    return table, issues, source


def joined(table: FrameTable, source: BytesSource) -> list[bytes]:
    return [b"".join(bytes(source.view(*span)) for span in table.spans(i)) for i in range(len(table))]


def flat(frames: Frames) -> list[bytes]:
    return [fragment for frame in frames for fragment in frame]


TWO: Frames = [[b"first ", b"frame."], [b"second", b"", b" frame"], [b"third."]]
WHOLE = [b"first frame.", b"second frame", b"third."]


def test_a_basic_offset_table() -> None:
    table, issues, source = table_of(flat(TWO), 3, basic=offsets(TWO))
    assert joined(table, source) == WHOLE
    assert not issues
    assert table.basis == "the Basic Offset Table"
    assert [table.length(i) for i in range(3)] == [12, 12, 6]
    assert bytes(source.view(table.offset(1), 6)) == b"second"


def test_an_extended_offset_table_tells_lengths_without_padding() -> None:
    fragments = [b"first\0", b"second", b"third\0"]
    frames = [[one] for one in fragments]
    table, issues, source = table_of(fragments, 3, extended=(offsets(frames), [5, 6, 6]))
    assert joined(table, source) == [b"first", b"second", b"third\0"]
    assert not issues
    assert table.basis == "the Extended Offset Table"


def test_the_extended_table_goes_before_the_basic_one() -> None:
    table, issues, _ = table_of([b"aa", b"bb"], 2, basic=[0], extended=([0, 10], [2, 2]))
    assert (len(table), issues, table.basis) == (2, [], "the Extended Offset Table")


@pytest.mark.parametrize(("basic", "word"), [
    ([0, 11, 20], "set aside"),  # between two fragments
    ([8, 10, 20], "set aside"),  # not from the first
    ([0, 20, 10], "set aside"),  # backwards
    ([0, 10, 10], "set aside"),
    ([0, 10, 4_000_000_000], "set aside"),
    ([0], "set aside"),  # what some writers think is enough
    ([0, 20], "set aside"),
])  # fmt: skip
def test_a_wrong_basic_table_is_set_aside(basic: list[int], word: str) -> None:
    table, issues, source = table_of([b"aa", b"bb", b"cc"], 3, basic=basic)
    assert joined(table, source) == [b"aa", b"bb", b"cc"]
    assert [word in issue.message for issue in issues] == [True]
    assert issues[0].clause == "PS3.5 A.4"


@pytest.mark.parametrize(("extended", "kept"), [
    (([0, 9], [2, 2]), False),
    (([0, 10], [2]), False),
    (([], []), False),
    (([0, 2**63], [2, 2]), False),
    (([0, 10], [2, 4]), True),  # the offsets are right, the lengths are not
    (([0, 10], [2, 2**64 - 1]), True),
])  # fmt: skip
def test_a_wrong_extended_table(extended: tuple[list[int], list[int]], kept: bool) -> None:
    table, issues, source = table_of([b"aa", b"bb"], 2, extended=extended)
    assert joined(table, source) == [b"aa", b"bb"]
    assert len(issues) == 1
    assert (table.basis == "the Extended Offset Table") is kept


def test_an_extended_table_of_frames_in_several_fragments() -> None:
    table, issues, source = table_of(flat(TWO), 3, extended=(offsets(TWO), [12, 12, 6]))
    assert joined(table, source) == WHOLE
    assert ["several fragments" in issue.message for issue in issues] == [True]


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_table_that_fits_the_fragments_is_believed_against_the_number_of_frames(frames: int) -> None:
    table, issues, source = table_of(flat(TWO), frames, basic=offsets(TWO))
    assert joined(table, source) == WHOLE
    assert ["believed" in issue.message for issue in issues] == [True]


def test_one_fragment_a_frame() -> None:
    table, issues, source = table_of([b"aa", b"", b"cc"], 3, codec="rle")
    assert joined(table, source) == [b"aa", b"", b"cc"]
    assert not issues


def test_all_fragments_are_one_frame() -> None:
    table, issues, source = table_of([SOI, b"", b"bb", EOI], 1, codec="jpeg")
    assert joined(table, source) == [SOI + b"bb" + EOI]
    assert not issues


@pytest.mark.parametrize(("codec", "stated"), [("jpeg", False), ("rle", True)])
def test_one_frame_that_may_be_several_is_told(codec: str, stated: bool) -> None:
    table, issues, _ = table_of([SOI + EOI, SOI + EOI], 1, codec=codec, stated=stated)
    assert len(table) == 1
    assert ["taken as one frame" in issue.message for issue in issues] == [True]


def test_too_few_fragments() -> None:
    table, issues, _ = table_of([b"aa", b"bb"], 2**31 - 1, codec="rle")
    assert len(table) == 2
    assert ["2 fragments for 2147483647 frames" in issue.message for issue in issues] == [True]


def test_no_fragments() -> None:
    table, issues, _ = table_of([], 1, codec="rle")
    assert len(table) == 0
    assert len(issues) == 1


@pytest.mark.parametrize(("codec", "begin", "end"), [
    ("jpeg", SOI, EOI),
    ("jpeg-ls", b"\xff\xd8\xff\xf7", EOI + b"\0"),
    ("jpeg2000", b"\xff\x4f\xff\x51", EOI),
    ("htj2k", b"\0\0\0\x0cjP  \r\n", b"no end"),
    ("jpegxl", b"\xff\x0a", b""),
    ("jpeg-lossless", b"no start", EOI),
])  # fmt: skip
def test_markers_tell_frames_where_no_table_does(codec: str, begin: bytes, end: bytes) -> None:
    frames = [[begin + b"a", b"b" * 20, b"c" + end], [begin + b"d" + end], [begin + b"e", b"f" + end]]
    table, issues, source = table_of(flat(frames), 3, codec=codec)
    assert joined(table, source) == [b"".join(frame) for frame in frames]
    assert table.basis == "the markers of code streams"
    assert not issues


def test_a_start_inside_a_frame_is_none() -> None:
    """A thumbnail begins as its image does, and nothing has ended before it."""
    frames = [[SOI + b"a", SOI + b"thumbnail", b"c" + EOI], [SOI + EOI], [SOI, EOI]]
    table, issues, source = table_of(flat(frames), 3, codec="jpeg")
    assert joined(table, source) == [b"".join(frame) for frame in frames]
    assert not issues


def test_markers_that_tell_another_number_are_believed_with_an_issue() -> None:
    table, issues, _ = table_of([SOI, EOI, SOI, EOI, SOI + EOI], 2, codec="jpeg")
    assert len(table) == 3
    assert ["tell 3 frames" in issue.message for issue in issues] == [True]
    table, issues, _ = table_of([b"a", b"b", b"c"], 2, codec="jpeg")
    assert len(table) == 1
    assert len(issues) == 1


@pytest.mark.parametrize("codec", ["rle", "jpeg"])
def test_empty_fragments_are_not_counted(codec: str) -> None:
    table, issues, source = table_of([b"", b"aa", b"", b"", b"bb", b""], 2, codec=codec)
    assert joined(table, source) == [b"aa", b"bb"]
    assert len(issues) == 1


def test_more_fragments_than_frames_where_a_frame_is_one_fragment() -> None:
    table, issues, source = table_of([b"aa", b"bb", b"cc"], 2, codec="rle")
    assert joined(table, source) == [b"aa", b"bb", b"cc"]
    assert len(issues) == 1


@given(
    fragments=st.lists(st.sampled_from([b"", b"a", SOI, EOI, SOI + EOI, b"12345678"]), max_size=8),
    frames=st.integers(1, 9),
    basic=st.lists(st.integers(0, 60), max_size=5),
    extended=st.none() | st.tuples(st.lists(st.integers(0, 60), max_size=5), st.lists(st.integers(0, 9), max_size=5)),
    codec=st.sampled_from(["jpeg", "rle", "jpegxl"]),
    stated=st.booleans(),
)
def test_no_byte_is_lost_or_used_twice(
    fragments: list[bytes],
    frames: int,
    basic: list[int],
    extended: tuple[list[int], list[int]] | None,
    codec: str,
    stated: bool,
) -> None:
    table, _, source = table_of(fragments, frames, basic=basic, extended=extended, codec=codec, stated=stated)
    if table.lengths is None:
        assert b"".join(joined(table, source)) == b"".join(fragments)
    assert np.all(np.diff(table.first) > 0)


def test_the_delimiter_may_be_missing() -> None:
    whole = items([b"aa", b"bb"])
    for value in (whole, whole.removesuffix(END)):
        source = BytesSource(value)
        issues: list[Issue] = []
        assert len(read_fragments(source, 0, source.size, issues)) == 2
        assert not issues
