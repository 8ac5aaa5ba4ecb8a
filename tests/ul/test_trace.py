"""The trace of PDUs: the same lines however the bytes are cut, and no value of a data set in any of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.ul import Abort, AssociateRJ, ReleaseRP, ReleaseRQ, Slice, Tracer, encode


def p_data(*fragments: tuple[int, int, bytes]) -> bytes:
    body = b"".join(
        (len(data) + 2).to_bytes(4, "big") + bytes((context, flags)) + data for context, flags, data in fragments
    )
    return b"\4\0" + len(body).to_bytes(4, "big") + body


STREAM = b"".join(
    (
        p_data((1, 3, b"command!")),
        p_data((1, 0, b"PATIENT" * 10), (1, 2, b"")),
        p_data(*[(3, 0, b"xy")] * 11),
        encode(ReleaseRQ()),
        encode(ReleaseRP()),
        encode(AssociateRJ(1, 1, 7)),
        b"\x42\0\0\0\0\3abc",
        encode(Abort(2, 1)),
    )
)
LINES = [
    "P-DATA-TF of 14 bytes; command of 8 on context 1, last",
    "P-DATA-TF of 82 bytes; data of 70 on context 1; data of 0 on context 1, last",
    "P-DATA-TF of 88 bytes; " + "; ".join(["data of 2 on context 3"] * 8) + "; and 3 more",
    "A-RELEASE-RQ of 4 bytes",
    "A-RELEASE-RP of 4 bytes",
    "A-ASSOCIATE-RJ of 4 bytes",
    "PDU 42H of 3 bytes",
    "A-ABORT of 4 bytes",
]


@contextmanager
def told() -> Iterator[list[str]]:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert record.association == "7"  # type: ignore[attr-defined]
            lines.append(record.getMessage())

    logger = logging.getLogger("dicomcore.ul")
    handler = Keep()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_any_cut_gives_the_same_lines(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(STREAM)})
    with told() as lines:
        tracer = Tracer({"association": "7"})
        for start, stop in pairwise(places):
            tracer.received(memoryview(STREAM)[start:stop])
    assert lines == [f"<- {line}" for line in LINES]


def test_what_leaves_may_be_known_by_its_length_only() -> None:
    body = range(70)
    head = (4, 0, *(76).to_bytes(4, "big"), *(72).to_bytes(4, "big"), 5, 2)
    with told() as lines:
        tracer = Tracer({"association": "7"})
        tracer.sent([bytes(head), Slice(body, 0, 40), Slice(body, 40, 70), encode(ReleaseRQ())])
    assert lines == ["-> P-DATA-TF of 76 bytes; data of 70 on context 5, last", "-> A-RELEASE-RQ of 4 bytes"]


@pytest.mark.parametrize("body", [b"", b"\0\0\0", b"\xff\xff\xff\xff\1\2abc", bytes(6), bytes(7)])
def test_a_p_data_that_is_wrong_is_passed_over(body: bytes) -> None:
    with told() as lines:
        tracer = Tracer({"association": "7"})
        tracer.received(memoryview(b"\4\0" + len(body).to_bytes(4, "big") + body + encode(ReleaseRQ())))
    assert lines[-1] == "<- A-RELEASE-RQ of 4 bytes"
    assert len(lines) == 2
