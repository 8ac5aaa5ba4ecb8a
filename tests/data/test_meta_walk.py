"""The compiled walk over group 0002 against its plain twin, whole, cut, and fed in small heads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dicomcore._core.meta import DONE, NEED, OVERRUN, walk
from dicomcore.data.part10 import encode_file_meta
from tests.reference.meta import walk as plain_walk

WHOLE = encode_file_meta("1.2.3", "1.2.3.4", "1.2.840.10008.1.2.1", source_ae="ME", sending_ae="YOU")
ELEMENT = st.builds(
    lambda number, vr, value, lie: (
        b"\2\0"
        + number.to_bytes(2, "little")
        + vr
        + (b"\0\0" + len(value).to_bytes(4, "little") if vr in (b"OB", b"UN") else len(value).to_bytes(2, "little"))
        + value[: len(value) - lie]
    ),
    st.integers(0, 0x110),
    st.sampled_from([b"UI", b"OB", b"UN", b"SH", b"UL", b"\4\0", b"xx"]),
    st.binary(max_size=12),
    st.integers(0, 1),
)


def compare(data: bytes, start: int, head_length: int) -> None:
    status, position, values = walk(data[:head_length], start, len(data))
    for _ in range(200):
        if status != NEED:
            break
        assert position > head_length
        head_length = position
        status, position, values = walk(memoryview(data)[:position], start, len(data))
    expected = plain_walk(data, start)
    if isinstance(expected, int):
        assert (status, position) == (OVERRUN, expected)
    else:
        assert (status, position, values) == (DONE, *expected)


def test_every_cut_and_every_head() -> None:
    data = WHOLE + b"\x08\0\x05\0CS\0\0"
    for length in range(132, len(data)):
        compare(data[:length], 132, length)
        compare(data, 132, length)


@given(st.lists(ELEMENT, max_size=70), st.binary(max_size=12), st.integers(0, 300))
def test_any_elements(elements: list[bytes], rest: bytes, head_length: int) -> None:
    data = b"".join(elements) + rest
    compare(data, 0, min(head_length, len(data)))
