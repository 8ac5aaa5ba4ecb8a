"""Fragments and their offset tables: what is written is read back, offsets over 32 bits go to the extended table."""

from __future__ import annotations

from struct import pack
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore import frames
from dicomcore.errors import PixelError
from dicomcore.pixels import encapsulation
from dicomcore.pixels.encapsulation import END, extended_table, fragment, value_start
from tests.pixels.objects import PRIVATE, TABLE, image, read

EMPTY = b"\xfe\xff\x00\xe0\0\0\0\0"


@given(
    st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=6), st.sampled_from(["basic", "extended", "none"])
)
def test_what_is_written_is_read_back(encoded: list[bytes], table: Literal["basic", "extended", "none"]) -> None:
    lengths = [len(one) for one in encoded]
    start, made = value_start(lengths, table)
    assert made == table
    value = b"".join([start, *(part for one in encoded for part in fragment(one)), END])
    ds = image(NumberOfFrames=len(encoded), PixelData=value)
    if made == "extended":
        ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = extended_table(lengths)
    source = frames(read(ds, PRIVATE), codecs=TABLE)
    assert [bytes(source.encoded(i))[: len(one)] for i, one in enumerate(encoded)] == encoded
    assert not source.issues


def test_the_basic_table_has_an_offset_for_each_frame() -> None:
    start, made = value_start([3, 4, 5])
    assert made == "basic"
    assert start == b"\xfe\xff\x00\xe0" + pack("<I", 12) + pack("<3I", 0, 12, 24)
    assert value_start([]) == (EMPTY, "basic")


def test_offsets_over_32_bits_need_the_extended_table() -> None:
    edge = [0xFFFFFFFF - 8 - 1, 10]
    assert value_start(edge)[1] == "basic"
    lengths = [3 << 30, 3 << 30, 7]
    assert value_start(lengths) == (EMPTY, "extended")
    assert value_start(lengths, "none") == (EMPTY, "none")
    offsets, told = extended_table(lengths)
    assert np.frombuffer(offsets, "<u8").tolist() == [0, (3 << 30) + 8, (6 << 30) + 16]
    assert np.frombuffer(told, "<u8").tolist() == lengths
    assert [np.frombuffer(one, ">u8").tolist() for one in extended_table(lengths, big_endian=True)] == [
        [0, (3 << 30) + 8, (6 << 30) + 16],
        lengths,
    ]
    with pytest.raises(PixelError, match="Extended Offset Table"):
        value_start(lengths, "basic")


def test_a_frame_too_long_for_a_fragment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert b"".join(fragment(b"abc")) == b"\xfe\xff\x00\xe0\x04\0\0\0abc\0"
    monkeypatch.setattr(encapsulation, "LONGEST", 4)
    with pytest.raises(PixelError, match="5 bytes is too long"):
        list(fragment(b"abcde"))
