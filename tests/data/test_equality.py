"""Comparing data sets, however deep, and with what contains itself."""

from __future__ import annotations

import copy
import pickle
import struct

import pytest

from dicomcore import Dataset, dcmread
from dicomcore.errors import LimitExceeded
from dicomcore.limits import DEFAULT_LIMITS

DEPTH = DEFAULT_LIMITS.nesting_depth


def nested(depth: int, innermost: bytes = b"") -> bytes:
    """Sequences of one item in one another, Explicit VR Little Endian, without file meta information."""
    level = innermost
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(level)) + level
        level = b"\x08\x00\x40\x11SQ\0\0" + struct.pack("<I", len(item)) + item
    return level


def test_as_deep_as_the_limits_let_in() -> None:
    ds = dcmread(nested(DEPTH, b"\x10\0\x20\0LO\x02\0ab"))
    assert ds == dcmread(nested(DEPTH, b"\x10\0\x20\0LO\x02\0ab"))
    assert ds != dcmread(nested(DEPTH, b"\x10\0\x20\0LO\x02\0ac"))
    assert ds != dcmread(nested(DEPTH - 1))
    assert copy.deepcopy(ds) == ds
    assert pickle.loads(pickle.dumps(ds)) == ds
    assert ds.ReferencedImageSequence == copy.deepcopy(ds).ReferencedImageSequence


def test_what_contains_itself_is_told() -> None:
    def looped() -> Dataset:
        ds = Dataset()
        ds.ReferencedImageSequence = [ds]
        return ds

    one = looped()
    assert one == one
    with pytest.raises(LimitExceeded):
        assert one == looped()


def test_items_are_compared_in_order_and_number() -> None:
    def with_items(*names: str) -> Dataset:
        ds = Dataset()
        ds.ReferencedImageSequence = [Dataset({"PatientID": name}) for name in names]
        return ds

    assert with_items("a", "b") == with_items("a", "b")
    assert with_items("a", "b") != with_items("b", "a")
    assert with_items("a") != with_items("a", "a")
    assert with_items() != Dataset()
    assert with_items("a") != "a"
