"""Nesting to any depth: what walks it works, what recurses says LimitExceeded, and nothing ends in RecursionError."""

from __future__ import annotations

import copy
import io
import pickle
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from dicomcore import Dataset, dcmread
from dicomcore.errors import LimitExceeded
from dicomcore.limits import Limits

DEEP = Limits().but(nesting_depth=100_000)
OPENED = bytes.fromhex("400030A7") + b"SQ\0\0\xff\xff\xff\xff" + bytes.fromhex("FEFF00E0FFFFFFFF")
CLOSED = bytes.fromhex("FEFF0DE000000000FEFFDDE000000000")
MODALITY = b"\x08\0\x60\0CS\2\0CT"


def undefined(levels: int) -> Dataset:
    return dcmread(OPENED * levels + MODALITY + CLOSED * levels, limits=DEEP)


def defined(levels: int) -> Dataset:
    data = MODALITY
    for _ in range(levels):
        data = struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
        data = bytes.fromhex("400030A7") + b"SQ\0\0" + struct.pack("<I", len(data)) + data
    return dcmread(data, limits=DEEP)


def built(levels: int) -> Dataset:
    dataset = Dataset()
    dataset.Modality = "CT"
    for _ in range(levels):
        outer = Dataset()
        outer.ContentSequence = [dataset]
        dataset = outer
    return dataset


def edited(levels: int) -> Dataset:
    dataset = undefined(levels)
    level = dataset
    while "ContentSequence" in level:
        level = level.ContentSequence[0]
    level.Modality = "MR"
    return dataset


def written(dataset: Dataset, syntax: str | None = None) -> bytes:
    out = io.BytesIO()
    dataset.save_as(out, syntax, enforce_file_format=False)
    return out.getvalue()


MAKERS = [undefined, defined, built, edited]
WALKS: list[Callable[[Dataset], Any]] = [
    lambda ds: sum(1 for _ in ds.iterall()),
    lambda ds: len(ds.check()),
    lambda ds: copy.copy(ds).ContentSequence,
    lambda ds: copy.deepcopy(ds).ContentSequence[0].ContentSequence,
]
RECURSIONS: list[Callable[[Dataset], Any]] = [
    str,
    repr,
    Dataset.to_json,
    Dataset.to_xml,
    lambda ds: ds._repr_html_(),
    lambda ds: ds == copy.deepcopy(ds),
    lambda ds: pickle.loads(pickle.dumps(ds)),
    Dataset.to_bytes,
    written,
    lambda ds: written(ds, "1.2.840.10008.1.2"),
    lambda ds: str(ds["ContentSequence"]),
    Dataset.to_pydicom,
]


@pytest.mark.parametrize("make", MAKERS, ids=lambda one: one.__name__)
def test_the_default_limit_can_be_used_to_the_full(make: Callable[[int], Dataset]) -> None:
    for step in (*WALKS, *RECURSIONS):
        step(make(100))


@pytest.mark.parametrize("make", MAKERS, ids=lambda one: one.__name__)
def test_beyond_it_nothing_ends_in_a_recursion_error(make: Callable[[int], Dataset]) -> None:
    for walk in WALKS:
        walk(make(1500))
    for step in RECURSIONS:
        with suppress(LimitExceeded):
            step(make(1500))


@pytest.mark.parametrize("make", MAKERS, ids=lambda one: one.__name__)
def test_walks_and_ends_of_life_take_no_stack(make: Callable[[int], Dataset]) -> None:
    levels = 3000 if make is defined else 20_000
    dataset = make(levels)
    assert sum(1 for _ in dataset.iterall()) == levels + 1
    twin = copy.deepcopy(dataset)
    del dataset
    assert sum(1 for _ in twin.iterall()) == levels + 1
    del twin


def test_a_fault_at_the_bottom_is_told_with_its_path() -> None:
    levels = 2000
    dataset = dcmread(
        OPENED * levels + b"\x28\0\x10\0US\2\0\1\0" + b"\x28\0\x11\0US\3\0abc" + CLOSED * levels, limits=DEEP
    )
    found = dataset.check()
    assert all((issue.path or "").count("(0040,A730)[0]") == levels for issue in found[-2:])
    assert len(found) >= 2


def test_an_item_that_contains_itself_is_refused() -> None:
    dataset = Dataset()
    dataset.ContentSequence = [Dataset()]
    dataset.ContentSequence[0].ContentSequence = [dataset]
    for step in (written, Dataset.to_json, str, pickle.dumps):
        with pytest.raises(LimitExceeded):
            step(dataset)
    assert copy.deepcopy(dataset).ContentSequence[0].ContentSequence[0].ContentSequence


def test_a_data_set_that_contains_itself_is_not_walked_for_ever() -> None:
    outer, inner = Dataset(), Dataset()
    inner.PatientID = "1"
    outer.BeamSequence = [inner, inner]  # the same item twice is no loop
    assert len(list(outer.iterall())) == 3
    inner.BeamSequence = [outer]
    with pytest.raises(LimitExceeded, match="contains itself"):
        outer.check()


@pytest.mark.parametrize("make", [undefined, defined])
def test_it_is_written_within_the_limits_that_it_was_read_with(make: Callable[[int], Dataset]) -> None:
    dataset = make(20_000)
    again = dcmread(written(dataset, "1.2.840.10008.1.2"), limits=DEEP)
    assert sum(1 for _ in again.iterall()) == 20_001
    with pytest.raises(LimitExceeded):
        dcmread(written(dataset)).check()
