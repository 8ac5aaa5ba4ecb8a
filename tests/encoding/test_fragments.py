"""Fragment tables of encapsulated values (PS3.5 A.4)."""

from __future__ import annotations

import pytest

from dicomcore.encoding.fragments import fragment_table, read_fragments
from dicomcore.encoding.index import read_index
from dicomcore.encoding.source import BytesSource
from dicomcore.errors import EncodingError, Issue
from tests.encoding.strategies import Encoder

EXPLICIT = Encoder()


def test_offsets_lengths_and_the_basic_offset_table() -> None:
    data = EXPLICIT.pixel_data([bytes(8), b"first!", b"", b"third fragment"])
    source = BytesSource(data)
    index = read_index(source, explicit=True, issues=[])
    table = fragment_table(index, 0)
    assert len(table) == 3
    assert table.basic_offset_table == (20, 8)
    assert table.base_offset == 28
    assert table.offsets.tolist() == [36, 50, 58]
    assert table.lengths.tolist() == [6, 0, 14]
    assert [bytes(table.view(source, i)) for i in range(3)] == [b"first!", b"", b"third fragment"]
    assert not table.offsets.flags.writeable


def test_no_item_at_all() -> None:
    index = read_index(BytesSource(EXPLICIT.pixel_data([])), explicit=True, issues=[])
    table = fragment_table(index, 0)
    assert len(table) == 0
    assert table.basic_offset_table == (12, 0)


def test_a_native_value_has_no_fragments() -> None:
    index = read_index(BytesSource(EXPLICIT.element(0x7FE00010, "OW", bytes(8))), explicit=True, issues=[])
    with pytest.raises(EncodingError, match="not encapsulated"):
        fragment_table(index, 0)


def test_fragments_are_read_where_no_scan_has_walked_them() -> None:
    """From the first item to the delimiter, within a source that goes on around them."""
    data = EXPLICIT.pixel_data([bytes(8), b"first!", b"", b"third fragment"])
    walked = fragment_table(read_index(BytesSource(data), explicit=True, issues=[]), 0)
    issues: list[Issue] = []
    for length in (len(data) - 12, len(data) - 20):  # with the delimiter and without
        table = read_fragments(BytesSource(data + b"more"), 12, length, issues)
        assert table.offsets.tolist() == walked.offsets.tolist()
        assert table.lengths.tolist() == walked.lengths.tolist()
        assert table.basic_offset_table == walked.basic_offset_table
    assert not issues
    assert not table.offsets.flags.writeable


@pytest.mark.parametrize(("cut", "lengths"), [(9, [6, 13]), (22, [6, 0]), (25, [6])])
def test_fragments_that_are_cut_short(cut: int, lengths: list[int]) -> None:
    data = EXPLICIT.pixel_data([b"", b"first!", b"third fragment"])
    issues: list[Issue] = []
    table = read_fragments(BytesSource(data), 12, len(data) - 12 - cut, issues)
    assert table.lengths.tolist() == lengths
    assert [issue.is_broken for issue in issues] == [True] * (lengths[-1] != 6)


def test_what_is_no_item_ends_the_fragments() -> None:
    data = EXPLICIT.pixel_data([b"", b"first!"])[12:-8] + b"no item at all"
    issues: list[Issue] = []
    assert read_fragments(BytesSource(data), 0, len(data), issues).lengths.tolist() == [6]
    assert ["no item" in issue.message for issue in issues] == [True]
    assert issues[0].offset == 22
