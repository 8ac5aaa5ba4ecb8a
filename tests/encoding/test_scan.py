"""The scan kernel against its plain twin: whole, in blocks of any size, and on damaged bytes (PS3.5 7)."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore._core.scan import COUNT, DEPTH, DONE, FAULT, LENGTH, NEED, OFFSET_LIMIT, ElementIndex, Scanner
from tests.encoding.strategies import ENCODERS, Encoder, damage, data_set
from tests.reference.scan import Node, Refused, Told, scan

REFUSALS = {"depth": DEPTH, "count": COUNT, "length": LENGTH}


def scanner(
    data: bytes, encoder: Encoder, *, items: bool = False, stop_tag: int | None = None, depth: int = 0, **limits: int
) -> Scanner:
    bounds = {"nesting_depth": 128, "element_count": 1 << 32, "value_length": 0xFFFFFFFF, **limits}
    return Scanner(0, len(data), encoder.explicit, encoder.big, items=items, depth=depth, stop_tag=stop_tag, **bounds)


def run(s: Scanner, data: bytes, block: int | None = None) -> tuple[int, list[Told]]:
    """Feed it all, or blocks of ``block`` bytes from where it wants them; (last status, faults).

    A header, a short value and the next header have to fit into a block: 84 bytes.
    """
    told: list[Told] = []
    while True:
        at = s.position if block else 0
        piece = data[at : at + block] if block else data
        status = s.feed(memoryview(piece), at)
        while status == FAULT:
            told += s.faults()
            status = s.feed(memoryview(piece), at)
        if status != NEED:
            return status, told


def flat(index: ElementIndex) -> list[Any]:
    """Everything an index says, all levels."""
    rows = []
    for i in range(len(index)):
        below = flat(index.descend(i)) if index.is_walked(i) else None
        encoding = (index.descend(i).explicit, index.descend(i).big_endian) if below is not None else None
        flags = index.is_cut(i), index.is_encapsulated(i), index.is_plain(i)
        rows.append((*index.row(i), *flags, encoding, below))
    return rows


def flat_twin(nodes: list[Node]) -> list[Any]:
    return [
        (
            node.tag,
            ord(node.vr[0]) << 8 | ord(node.vr[1]) if node.vr else 0,
            node.length,
            node.value_offset,
            node.header_offset,
            node.end_offset,
            node.cut,
            node.fragments,
            node.plain,
            (node.explicit, node.big) if node.below is not None else None,
            flat_twin(node.below) if node.below is not None else None,
        )
        for node in nodes
    ]


def check(data: bytes, encoder: Encoder, block: int | None = None, **arguments: Any) -> int:
    """Kernel and twin agree on rows, end, faults or refusal; the last status."""
    kernel = scanner(data, encoder, **arguments)
    status, told = run(kernel, data, block)
    refusal = None
    try:
        nodes, end, faults = scan(data, 0, len(data), encoder.explicit, encoder.big, **arguments)
    except Refused as refused:
        refusal = (REFUSALS[refused.which], refused.offset)
    if refusal:
        assert (status, kernel.position) == refusal
        return status
    assert status == DONE
    assert told == faults
    index = kernel.finish()
    assert index.end_offset == end
    assert flat(index) == flat_twin(nodes)
    return status


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
def test_whole_and_in_blocks(encoder: Encoder) -> None:
    rng = random.Random(7)
    for _ in range(150):
        data = data_set(rng, encoder)
        for block in (None, 84, rng.randrange(84, 300)):
            check(data, encoder, block)


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
def test_a_made_data_set_has_no_fault(encoder: Encoder) -> None:
    rng = random.Random(8)
    for _ in range(200):
        data = data_set(rng, encoder)
        status, told = run(s := scanner(data, encoder), data)
        assert (status, told) == (DONE, [])
        assert s.finish().end_offset == len(data)


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
@pytest.mark.parametrize("items", [False, True])
def test_damaged_bytes_agree_with_the_twin(encoder: Encoder, items: bool) -> None:
    rng = random.Random(9)
    for _ in range(1500):
        data = data_set(rng, encoder)
        if items:
            data = b"".join(encoder.item(data_set(rng, encoder), undefined=rng.random() < 0.5) for _ in range(2))
        data = damage(rng, data)
        check(
            data,
            encoder,
            rng.choice([None, 84, rng.randrange(84, 300)]),
            items=items,
            stop_tag=rng.choice([None, 0x00280010, 0x7FE00010]),
            nesting_depth=rng.choice([0, 1, 2, 128]),
            element_count=rng.choice([0, 3, 1 << 32]),
            value_length=rng.choice([4, 0xFFFFFFFF, 0xFFFFFFFF]),
            depth=rng.choice([0, 0, 1]),
        )


@given(st.binary(max_size=200), st.sampled_from(ENCODERS), st.booleans(), st.integers(84, 200))
def test_any_bytes_agree_with_the_twin(data: bytes, encoder: Encoder, items: bool, block: int) -> None:
    check(data, encoder, None, items=items)
    check(data, encoder, block, items=items)


def test_every_cut_of_a_data_set() -> None:
    encoder = Encoder()
    data = encoder.sequence(
        0x300A00B0, [encoder.item(encoder.element(0x00080060, "CS", b"CT"), undefined=True)] * 2, undefined=True
    ) + encoder.pixel_data([b"", b"abcd"])
    for stop in range(len(data) + 1):
        check(data[:stop], encoder)


def test_nesting_is_bounded_without_recursion() -> None:
    encoder = Encoder()
    levels = 20_000
    data = (encoder.header(0x300A00B0, "SQ", 0xFFFFFFFF) + encoder.header(0xFFFEE000, "", 0xFFFFFFFF)) * levels
    assert run(s := scanner(data, encoder), data)[0] == DEPTH
    assert s.position == 128 * 20
    s = scanner(data, encoder, nesting_depth=levels)
    s.mute()
    assert run(s, data) == (DONE, [])
    index = s.finish()
    assert index.is_cut(0)
    assert index.end_offset == len(data)


def test_a_scanner_gives_its_tables_once_and_only_when_done() -> None:
    encoder = Encoder()
    data = encoder.element(0x00080060, "CS", b"CT")
    s = scanner(data, encoder)
    with pytest.raises(ValueError, match="not done"):
        s.finish()
    assert s.feed(data[:4], 0) == NEED
    assert s.feed(b"", 0) == NEED
    assert s.feed(data, 0) == DONE
    assert len(s.finish()) == 1
    assert len(s.finish()) == 0


def test_a_row_costs_24_bytes() -> None:
    encoder = Encoder(False)
    counts = (100, 1100)
    sizes = []
    for count in counts:
        data = b"".join(encoder.element(0x00090000 + i, "", b"") for i in range(count))
        run(s := scanner(data, encoder), data)
        sizes.append(sys.getsizeof(s.finish()))
    assert sizes[1] - sizes[0] == 24 * 1000


def test_rows_reach_256_tebibytes_and_no_further() -> None:
    encoder, fragment = Encoder(), 0xFFFFFFF0
    pixels, piece, end = (
        encoder.header(0x7FE00010, "OB", 0xFFFFFFFF),
        encoder.header(0xFFFEE000, "", fragment),
        encoder.header(0xFFFEE0DD, "", 0),
    )
    stop = OFFSET_LIMIT - 1
    start = stop - len(pixels) - 3 * (len(piece) + fragment) - len(end)
    arguments: dict[str, Any] = {"items": False, "depth": 0, "stop_tag": None, "nesting_depth": 1, "element_count": 9}
    s = Scanner(start, stop, True, False, value_length=4, **arguments)
    assert s.feed(pixels + piece + bytes(4), start) == NEED  # a header may have 12 bytes
    for block in (piece + bytes(4), piece + bytes(4), end):
        assert s.feed(block, s.position) == (DONE if block == end else NEED)
    index = s.finish()
    assert index.row(0) == (0x7FE00010, 0x4F42, 0xFFFFFFFF, start + 12, start, stop)
    assert index.content_end_at(0) == stop - 8
    below = index.descend(0)
    assert [below.value_offset_at(i) for i in range(3)] == [start + 20 + i * (8 + fragment) for i in range(3)]
    assert below.end_offset_at(2) == stop - 8
    with pytest.raises(OverflowError, match=str(OFFSET_LIMIT)):
        Scanner(0, OFFSET_LIMIT, True, False, value_length=4, **arguments)


DAMAGED = [b"C\0", b"\0S", b"\0\0", b"c\0", b"L\x01", b"\xffO"]


@pytest.mark.parametrize("vr", DAMAGED, ids=repr)
@pytest.mark.parametrize("length", [0, 2, 64, 76, 3000])
@pytest.mark.parametrize("encoder", [ENCODERS[0], ENCODERS[2]], ids=["little", "big"])
@pytest.mark.parametrize("more", [True, False])
def test_a_damaged_vr_has_a_short_length(vr: bytes, length: int, encoder: Encoder, more: bool) -> None:
    """As DCMTK reads it; but where a 32-bit length fits, it is an element without VR, as pydicom reads it."""
    before, name, rows = (
        encoder.element(0x00080060, "CS", b"CT"),
        encoder.element(0x00100020, "LO", b"x" * length),
        encoder.element(0x00280010, "US", bytes(2)),
    )
    data = before + name[:4] + vr + name[6:] + (rows + rows if more else b"")
    for block in (None, 84, 100):
        check(data, encoder, block)
    status, told = run(s := scanner(data, encoder), data)
    assert status == DONE
    index = s.finish()
    if (vr == b"\0\0" and not length) or (vr in (b"\0\0", b"c\0") and length > 64 and more):
        return  # a 32-bit length of zero; no letter, and the next element is too far
    found = [(tag, index.length_at(row)) for row, tag in enumerate(index.tags())]
    assert found[:2] == [(0x00080060, 2), (0x00100020, length)]
    assert len(found) == (4 if more else 2)
    assert told
