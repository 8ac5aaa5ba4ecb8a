"""Fragment tables of encapsulated values (PS3.5 A.4)."""

from __future__ import annotations

import pytest

from dicomcore.encoding.fragments import fragment_table
from dicomcore.encoding.index import read_index
from dicomcore.encoding.source import BytesSource
from dicomcore.errors import EncodingError
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
