"""Framing on the way out: a message given whole is the same bytes as one given in parts, in fewer pieces."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.errors import LocalProtocolError
from dicomcore.ul.outbound import Outbound, Slice


class Lying:
    """A payload that only its owner can read."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)


def outbound(size: int) -> Outbound:
    made = Outbound()
    made.fragment_length = size
    return made


def handed_out(outbound: Outbound, max_bytes: int = 1 << 20, max_count: int = 1024) -> tuple[bytes, int]:
    """All bytes, and the number of pieces; the lengths that are kept come out even."""
    pieces: list[bytes] = []
    before = outbound.sent_length
    while outbound.queue:
        segments = outbound.segments(max_bytes, max_count)
        assert segments
        for one in segments:
            if isinstance(one, Slice):
                payload: Any = one.payload
                pieces.append(payload.data[one.start : one.stop])
            else:
                pieces.append(bytes(one))
    data = b"".join(pieces)
    assert outbound.length == outbound.streamed_length == 0
    assert outbound.sent_length - before == len(data)
    return data, len(pieces)


@given(
    command=st.integers(0, 2000),
    body=st.none() | st.sampled_from([0, 2, 100, 511, 512, 514, 32_768, 32_770, 70_000]) | st.integers(0, 1000),
    size=st.sampled_from([10, 100, 1000, 16_372, 131_060]),
    form=st.sampled_from([bytes, bytearray, memoryview, Lying]),
)
def test_a_message_is_its_parts(command: int, body: int | None, size: int, form: Any) -> None:
    head = bytes(index & 0xFF for index in range(command))
    data = None if body is None else form(bytes(index * 7 & 0xFF for index in range(body)))
    whole, parts = outbound(size), outbound(size)
    whole.message(5, head, data)
    parts.send(5, True, head, True)
    if data is not None:
        parts.send(5, False, data, True)
    assert not whole.is_open
    assert whole.streamed_length == parts.streamed_length == (body or 0 if form is Lying else 0)
    expected, _ = handed_out(parts)
    got, count = handed_out(whole)
    assert got == expected
    if command <= size and (body is None or (form is bytes and body <= min(size, 32_768))):
        assert count == 1


def test_messages_wait_in_their_order() -> None:
    whole, parts = outbound(1000), outbound(1000)
    for body in (b"a" * 600, b"b" * 5000, None, bytearray(7), b""):
        whole.message(1, b"command", body)
        parts.send(1, True, b"command", True)
        if body is not None:
            parts.send(1, False, body, True)
    assert handed_out(whole, 1, 2)[0] == handed_out(parts)[0]


def test_what_cannot_be_sent_leaves_nothing_behind() -> None:
    """Neither a command without its data set nor one in the middle of another."""
    one = outbound(1000)
    with pytest.raises(LocalProtocolError, match="contiguous"):
        one.message(1, b"command", memoryview(bytes(10))[::2])
    assert not one.queue
    one.send(1, False, b"begun", False)
    with pytest.raises(LocalProtocolError, match="not complete"):
        one.message(1, b"command", b"body")
    assert len(one.queue) == 1
