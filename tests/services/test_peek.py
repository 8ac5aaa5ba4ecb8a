"""The first look at a data set: what it finds, when it decides, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomcore._core import peek as kernel
from dicomcore.errors import EncodingError
from dicomcore.services.peek import PEEK_LENGTH, SopUids, has_sop_uids, peek_sop_uids
from tests.reference import peek as twin
from tests.services.driver import BIG_ENDIAN, EXPLICIT, IMPLICIT, INSTANCE, RT_PLAN, encoded, plan

ENCODINGS = {IMPLICIT: (False, False), EXPLICIT: (True, False), BIG_ENDIAN: (True, True)}


def peek(raw: bytes, syntax: str) -> SopUids:
    explicit, big_endian = ENCODINGS[syntax]
    return peek_sop_uids(raw, explicit=explicit, big_endian=big_endian)


def nested(levels: int, undefined: bool) -> Dataset:
    """A data set with a language code sequence before its UIDs, the same tags inside it as decoys."""
    if not levels:
        return plan()
    inner = plan("1.2.666", "1.2.667")
    del inner.BeamSequence
    inner.Modality = "OT"
    for _ in range(levels):
        outer = plan()
        del outer.BeamSequence
        outer.LanguageCodeSequence = Sequence([inner, inner])
        outer["LanguageCodeSequence"].is_undefined_length = undefined
        for item in outer.LanguageCodeSequence:
            item.is_undefined_length_sequence_item = undefined
        inner = outer
    return inner


@pytest.mark.parametrize("syntax", ENCODINGS)
@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("levels", [0, 1, 2, 4])
def test_found_behind_sequences_and_undecided_before(syntax: str, undefined: bool, levels: int) -> None:
    raw = encoded(nested(levels, undefined), syntax)
    assert peek(raw, syntax) == (RT_PLAN, INSTANCE, True)
    decided = 0
    for stop in range(len(raw)):
        uids = peek(raw[:stop], syntax)
        if uids.decided:
            assert uids == (RT_PLAN, INSTANCE, True)
            decided += 1
        else:
            assert not decided  # more bytes never take a decision back
            assert uids.sop_class_uid in (None, RT_PLAN)
            assert uids.sop_instance_uid is None
    assert decided


@pytest.mark.parametrize("syntax", ENCODINGS)
def test_whether_they_are_these(syntax: str) -> None:
    """Exactly where the whole look would say so."""
    raw = encoded(nested(2, True), syntax)
    explicit, big_endian = ENCODINGS[syntax]
    for stop in range(len(raw) + 1):
        uids = peek(raw[:stop], syntax)
        for wanted in ((RT_PLAN, INSTANCE), (RT_PLAN, "1.2"), ("1.2", INSTANCE)):
            has = has_sop_uids(raw[:stop], *wanted, explicit=explicit, big_endian=big_endian)
            assert has == (uids == (*wanted, True))
    assert not has_sop_uids(b"GIF89a" * 9, RT_PLAN, INSTANCE, explicit=True, big_endian=False)


@pytest.mark.parametrize("syntax", ENCODINGS)
@pytest.mark.parametrize("missing", [("SOPClassUID",), ("SOPInstanceUID",), ("SOPClassUID", "SOPInstanceUID")])
def test_missing_is_decided_by_what_follows(syntax: str, missing: tuple[str, ...]) -> None:
    dataset = plan()
    for keyword in missing:
        del dataset[keyword]
    uids = peek(encoded(dataset, syntax), syntax)
    assert uids.decided
    assert (uids.sop_class_uid is None) is ("SOPClassUID" in missing)
    assert (uids.sop_instance_uid is None) is ("SOPInstanceUID" in missing)


def test_empty_is_undecided() -> None:
    assert peek(b"", IMPLICIT) == (None, None, False)


def test_order_before_the_uids_does_not_matter() -> None:
    first, second = b"\x08\x00\x08\x00\x00\x00\x00\x00", b"\x08\x00\x05\x00\x00\x00\x00\x00"
    assert peek(first + second + encoded(plan()), IMPLICIT) == (RT_PLAN, INSTANCE, True)


@pytest.mark.parametrize(
    ("raw", "syntax"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", EXPLICIT),
        (b"\x08\x00\x05\x00?!\x00\x00" + bytes(20), EXPLICIT),
        (b"\xfe\xff\x00\xe0\x00\x00\x00\x00", IMPLICIT),
        (encoded(plan(), IMPLICIT), EXPLICIT),
    ],
)
def test_what_is_no_data_set(raw: bytes, syntax: str) -> None:
    with pytest.raises(EncodingError):
        peek(raw, syntax)


@given(raw=st.binary(max_size=200), syntax=st.sampled_from(sorted(ENCODINGS)), cut=st.integers(0, 120))
def test_any_bytes_give_an_answer_or_the_documented_error(raw: bytes, syntax: str, cut: int) -> None:
    for candidate in (raw, encoded(plan(), syntax)[:cut] + raw):
        try:
            uids = peek(candidate, syntax)
        except EncodingError:
            continue
        assert isinstance(uids, SopUids)


def test_cost_is_bounded_by_what_is_looked_at() -> None:
    """Zero-length elements as densely as they come: no quadratic walk."""
    raw = b"".join(b"\x08\x00" + (index & 3).to_bytes(2, "little") + bytes(4) for index in range(4))
    endless = b"\x02\x00\x00\x00\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * (PEEK_LENGTH // 8)
    assert not peek(endless, IMPLICIT).decided
    assert not peek(raw, IMPLICIT).decided


@given(st.data())
def test_the_kernel_and_its_twin_say_the_same(data: st.DataObject) -> None:
    """Data sets of all encodings, with bytes changed, cut anywhere."""
    syntax = data.draw(st.sampled_from(sorted(ENCODINGS)))
    raw = bytearray(encoded(nested(data.draw(st.integers(0, 2)), data.draw(st.booleans())), syntax))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, min(len(raw), 400) - 1))] = data.draw(
            st.sampled_from([0, 8, 0x16, 0x20, 0xFE, 0xFF])
        )
    head = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    assert kernel.walk(head, *ENCODINGS[syntax]) == twin.walk(head, *ENCODINGS[syntax])
