"""From sources to indexes: what is found, what is told, what is refused (PS3.5 7)."""

from __future__ import annotations

import random
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dicomcore._core.scan import OFFSET_LIMIT
from dicomcore.encoding.index import UNDEFINED_LENGTH, ElementIndex, items, read_index
from dicomcore.encoding.policy import Policy
from dicomcore.encoding.source import BytesSource, FileSource, Source
from dicomcore.errors import EncodingError, Issue, LimitExceeded
from dicomcore.limits import Limits
from tests.encoding.strategies import ENCODERS, Encoder, damage, data_set

EXPLICIT, IMPLICIT, BIG = ENCODERS
CT = EXPLICIT.element(0x00080060, "CS", b"CT")
ROWS = EXPLICIT.element(0x00280010, "US", b"\x00\x02")


def index_of(data: bytes, encoder: Encoder = EXPLICIT, **arguments: Any) -> tuple[ElementIndex, list[Issue]]:
    issues: list[Issue] = []
    index = read_index(BytesSource(data), explicit=encoder.explicit, big_endian=encoder.big, issues=issues, **arguments)
    return index, issues


def values(data: bytes, index: ElementIndex) -> dict[int, bytes]:
    return {
        tag: data[offset : offset + length]
        for tag, _, length, offset, _, _ in map(index.row, range(len(index)))
        if length != UNDEFINED_LENGTH
    }


def words(issues: list[Issue]) -> list[tuple[str | None, int | None]]:
    return [(issue.path, issue.offset) for issue in issues]


def test_rows_say_where_everything_is() -> None:
    data = CT + EXPLICIT.element(0x7FE00010, "OW", bytes(4))
    index, issues = index_of(data)
    assert issues == []
    assert len(index) == 2
    assert index.tags() == [0x00080060, 0x7FE00010]
    assert index.row(0) == (0x00080060, 0x4353, 2, 8, 0, 10)
    assert index.row(1) == (0x7FE00010, 0x4F57, 4, 22, 10, 26)
    accessors = (
        index.tag_at, index.vr_at, index.length_at, index.value_offset_at, index.header_offset_at, index.end_offset_at
    )  # fmt: skip
    assert tuple(accessor(1) for accessor in accessors) == index.row(1)
    assert index.content_end_at(1) == 26
    assert index.lookup(0x7FE00010) == (0x4F57, 22, 4)
    assert index.lookup(0x7FE00011) is None
    assert (index.start_offset, index.end_offset, index.depth) == (0, 26, 0)
    assert (index.explicit, index.big_endian, index.ascending) == (True, False, True)
    for i in (-1, 2, 1 << 40):
        with pytest.raises(IndexError):
            index.row(i)
    with pytest.raises(ValueError, match="skipped"):
        index.descend(0)


def test_find_in_order_and_out_of_order() -> None:
    rng = random.Random(3)
    tags = sorted(rng.sample(range(0x00080000, 0x7FE00000), 300))
    index, issues = index_of(b"".join(EXPLICIT.element(tag, "CS", b"") for tag in tags))
    assert index.ascending
    assert not issues
    assert [index.find(tag) for tag in tags] == list(range(300))
    assert all(index.find(tag) == -1 for tag in (0, 0xFFFFFFFF, tags[7] + 1))
    rng.shuffle(tags)
    data = b"".join(EXPLICIT.element(tag, "CS", b"") for tag in [*tags, tags[0]])
    index, issues = index_of(data)
    assert not index.ascending
    assert [index.find(tag) for tag in tags] == list(range(300))
    assert len(issues) == 1  # once a level
    assert "out of order" in str(issues[0])


@pytest.mark.parametrize("length", [0, 7, 8, 9])
def test_stop_tag_ends_before_the_element(length: int) -> None:
    pixels = EXPLICIT.element(0x7FE00010, "OB", bytes(1000))
    index, issues = index_of((CT + pixels)[: len(CT) + 12 + length], stop_tag=0x7FE00010)
    assert index.tags() == [0x00080060]
    assert index.end_offset == len(CT)
    assert issues == []


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
def test_a_file_is_read_in_blocks(encoder: Encoder, tmp_path: Path) -> None:
    rng = random.Random(11)
    parts, expected, tag = [], {}, 0x00090000
    for _ in range(400):
        tag += 1
        value = bytes(rng.choice([0, 10, 100, 5000]))
        parts.append(encoder.element(tag, "OB", value))
        expected[tag] = len(value)
    parts.append(encoder.pixel_data([b""] + [bytes(9000)] * 50))
    data = b"".join(parts)
    path = tmp_path / "x"
    path.write_bytes(data)
    for head_length in (0, 100, 32768):
        source = FileSource(path, head_length=head_length)
        index = read_index(source, explicit=encoder.explicit, big_endian=encoder.big, issues=[], policy=Policy.strict())
        assert {index.tag_at(i): index.length_at(i) for i in range(400)} == expected
        assert index.is_encapsulated(400)
        assert len(index.descend(400)) == 51
        assert index.end_offset_at(400) == len(data)


def test_a_range_of_a_source() -> None:
    data = b"\xff" * 100 + CT + b"\xff" * 100
    index, issues = index_of(data, start=100, stop=100 + len(CT))
    assert index.row(0)[3] == 108
    assert issues == []
    for start, stop in ((5, 4), (-1, 4), (500, None)):
        with pytest.raises(EncodingError):
            index_of(data, start=start, stop=stop)


FAULTS = [
    ("overrun", CT + EXPLICIT.header(0x00280010, "US", 6) + b"ab", ("(0028,0010)", 10), [2, 2]),
    ("odd", EXPLICIT.element(0x00080060, "CS", b"MR1"), ("(0008,0060)", 0), [3]),
    ("trailing bytes", CT + b"\x08\x00\x70", (None, 10), [2]),
    ("half a long header", CT + EXPLICIT.header(0x7FE00010, "OB", 4)[:10], ("(7FE0,0010)", 10), [2]),
    ("zeros", CT + bytes(512), (None, 10), [2]),
    ("order", ROWS + CT, ("(0008,0060)", 10), [2, 2]),
    ("unknown VR", CT + b"\x28\x00\x10\x00ZZ\x02\x00ab", ("(0028,0010)", 10), [2, 2]),
    ("no VR", CT + IMPLICIT.element(0x00280010, "US", b"ab"), ("(0028,0010)", 10), [2, 2]),
    ("stray item end", CT + EXPLICIT.header(0xFFFEE00D, "", 0) + ROWS, (None, 10), [2, 2]),
    ("stray sequence end", CT + EXPLICIT.header(0xFFFEE0DD, "", 0) + ROWS, (None, 10), [2, 2]),
    ("stray item", CT + EXPLICIT.item(CT) + ROWS, (None, 10), [2, 2]),
    ("stray item without end", CT + EXPLICIT.header(0xFFFEE000, "", UNDEFINED_LENGTH) + ROWS, (None, 10), [2, 2]),
    ("no delimiter", CT + EXPLICIT.header(0x300A00B0, "SQ", UNDEFINED_LENGTH), ("(300A,00B0)", 22), [2, -1]),
    ("text of undefined length", EXPLICIT.sequence(0x00400001, [EXPLICIT.item(b"")], undefined=True, vr="UT"),
     ("(0040,0001)", 0), [-1]),
    ("element for item", EXPLICIT.header(0x00280008, "SQ", UNDEFINED_LENGTH) + ROWS, ("(0028,0008)", 12), [-1, 2]),
    ("no item end", EXPLICIT.sequence(0x00280008, [EXPLICIT.header(0xFFFEE000, "", UNDEFINED_LENGTH) + CT],
     undefined=True) + ROWS, ("(0028,0008)[0]", 30), [-1, 2]),
    ("delimiter with a length", EXPLICIT.header(0x00280008, "SQ", UNDEFINED_LENGTH)
     + EXPLICIT.header(0xFFFEE0DD, "", 4) + ROWS, ("(0028,0008)", 12), [-1, 2]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "where", "lengths"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_a_fault_is_told_or_raised(name: str, data: bytes, where: tuple[str | None, int], lengths: list[int]) -> None:
    index, issues = index_of(data)
    assert words(issues) == [where], issues
    assert [-1 if (n := index.length_at(i)) == UNDEFINED_LENGTH else n for i in range(len(index))] == lengths
    assert issues[0].clause is not None
    assert issues[0].clause.startswith("PS3.5 ")
    with pytest.raises(EncodingError) as caught:
        index_of(data, policy=Policy.strict())
    assert (caught.value.path, caught.value.offset) == where
    assert caught.value.clause == issues[0].clause


def test_a_cut_value_says_so() -> None:
    index, _ = index_of(FAULTS[0][1])
    assert [index.is_cut(i) for i in range(2)] == [False, True]
    assert index.end_offset == index.end_offset_at(1) == 20


def test_a_wrong_fragment_keeps_the_rest_in_the_value() -> None:
    data = EXPLICIT.header(0x7FE00010, "OB", UNDEFINED_LENGTH) + EXPLICIT.item(b"") + b"\xff\xd8" * 20
    index, issues = index_of(data)
    assert words(issues) == [("(7FE0,0010)", 20)]
    assert index.is_cut(0)
    assert (index.end_offset_at(0), index.content_end_at(0)) == (len(data), len(data))
    assert len(index.descend(0)) == 1


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("item_undefined", [False, True])
def test_items_of_every_kind(encoder: Encoder, undefined: bool, item_undefined: bool) -> None:
    inner = encoder.sequence(
        0x300A0111, [encoder.item(encoder.element(0x300A0112, "IS", b"%d " % k)) for k in range(3)], undefined=undefined
    )
    element = encoder.element(0x300A00C0, "IS", b"1 ")
    data = encoder.sequence(
        0x300A00B0, [encoder.item(element + inner, undefined=item_undefined)] * 2 + [encoder.item(b"")],
        undefined=undefined,
    ) + encoder.element(0x300C0002, "LO", b"after ")  # fmt: skip
    source = BytesSource(data)
    index, issues = index_of(data, encoder)
    assert index.tags() == [0x300A00B0, 0x300C0002]
    assert index.is_walked(0) == undefined
    assert index.is_sequence(0) == (encoder.explicit or undefined)
    beams = items(index, 0, source, issues=issues, path="(300A,00B0)")
    assert len(beams) == 3
    for beam in beams[:2]:
        assert beam.index.tags() == [0x300A00C0, 0x300A0111]
        assert beam.index is beam.index
        assert (beam.index.explicit, beam.index.big_endian, beam.index.depth) == (encoder.explicit, encoder.big, 1)
        assert beam.length_undefined == item_undefined
        assert data[beam.start : beam.stop] == element + inner
        assert (beam.index.start_offset, beam.index.end_offset) == (beam.start, beam.stop)
        assert beam.start - beam.header_offset == 8
        assert beam.end_offset - beam.stop == (8 if item_undefined else 0)
        points = items(beam.index, 1, source, issues=issues)
        assert [values(data, point.index)[0x300A0112] for point in points] == [b"0 ", b"1 ", b"2 "]
        assert points[0].index.depth == 2
    assert len(beams[2].index) == 0
    assert issues == []


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("encoder", [EXPLICIT, BIG], ids=str)
def test_un_holds_implicit_little_endian_items(encoder: Encoder, undefined: bool) -> None:
    content = IMPLICIT.item(IMPLICIT.element(0x00091001, "", b"abcd"))
    if undefined:
        data = encoder.header(0x00091000, "UN", UNDEFINED_LENGTH) + content + IMPLICIT.header(0xFFFEE0DD, "", 0)
    else:
        data = encoder.element(0x00091000, "UN", content)
    data += encoder.element(0x00100010, "PN", b"A^B ")
    index, issues = index_of(data, encoder)
    assert index.tags() == [0x00091000, 0x00100010]
    (item,) = items(index, 0, BytesSource(data), issues=issues)
    assert values(data, item.index) == {0x00091001: b"abcd"}
    assert (item.index.explicit, item.index.big_endian) == (False, False)
    assert issues == []


def test_un_items_that_kept_the_big_endian_order() -> None:
    swapped = Encoder(explicit=False, big=True)
    data = BIG.header(0x00091000, "UN", UNDEFINED_LENGTH)
    data += swapped.item(swapped.element(0x00091001, "", b"abcd")) + swapped.header(0xFFFEE0DD, "", 0)
    index, issues = index_of(data, BIG)
    (item,) = items(index, 0, BytesSource(data), issues=issues)
    assert values(data, item.index) == {0x00091001: b"abcd"}
    assert (item.index.explicit, item.index.big_endian) == (False, True)
    assert issues == []


def test_pixel_data_in_an_implicit_data_set_may_be_encapsulated() -> None:
    for encoder in (IMPLICIT, EXPLICIT):
        index, issues = index_of(
            encoder.sequence(0x7FE00010, [encoder.item(b"abcd")], undefined=True, vr="UN"), encoder
        )
        assert index.is_encapsulated(0)
        assert not index.is_sequence(0)
        assert issues == []


def test_items_that_are_none() -> None:
    data = EXPLICIT.element(0x300A00B0, "SQ", b"") + EXPLICIT.pixel_data([b""])
    index, issues = index_of(data)
    assert items(index, 0, BytesSource(data), issues=issues) == []
    with pytest.raises(EncodingError, match="fragments"):
        items(index, 1, BytesSource(data), issues=issues)


def test_a_length_that_overruns_its_parent_is_cut_there() -> None:
    bad = EXPLICIT.header(0x00080060, "CS", 500) + b"CT"
    good = EXPLICIT.item(CT)
    data = EXPLICIT.sequence(0x300A00B0, [EXPLICIT.item(bad), good]) + EXPLICIT.element(0x300C0002, "LO", b"after ")
    source = BytesSource(data)
    index, issues = index_of(data)
    assert issues == []  # not touched yet
    first, second = items(index, 0, source, issues=issues, path="(300A,00B0)")
    assert words(issues) == [("(300A,00B0)[0].(0008,0060)", first.start)]
    assert values(data, first.index) == {0x00080060: b"CT"}
    assert values(data, second.index) == {0x00080060: b"CT"}
    assert values(data, index)[0x300C0002] == b"after "
    items(index, 0, source, issues=issues, path="(300A,00B0)")
    assert len(issues) == 1  # told once
    with pytest.raises(EncodingError):
        items(index, 0, source, issues=[], policy=Policy.strict())


def test_an_item_that_overruns_its_sequence() -> None:
    data = EXPLICIT.element(0x300A00B0, "SQ", EXPLICIT.header(0xFFFEE000, "", 90) + CT)
    data += EXPLICIT.element(0x300C0002, "LO", b"after ")
    index, issues = index_of(data)
    (item,) = items(index, 0, BytesSource(data), issues=issues, path="(300A,00B0)")
    assert words(issues) == [("(300A,00B0)[0]", 12)]
    assert values(data, item.index) == {0x00080060: b"CT"}


@pytest.mark.parametrize(
    ("limits", "data", "hint"),
    [
        (Limits(nesting_depth=1), EXPLICIT.sequence(0x300A00B0, [EXPLICIT.item(EXPLICIT.sequence(
            0x300A0111, [], undefined=True))], undefined=True), "nesting_depth"),
        (Limits(element_count=1), CT + ROWS, "element_count"),
        (Limits(value_length=1), CT, "value_length"),
        (Limits(element_count=2), EXPLICIT.pixel_data([b"", b""]), "element_count"),
    ],
)  # fmt: skip
def test_limits_are_refusals_in_lenient_reading_too(limits: Limits, data: bytes, hint: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        index_of(data, limits=limits)
    assert hint in str(caught.value.hint)
    assert caught.value.offset is not None


def test_a_source_longer_than_rows_can_tell_is_refused() -> None:
    source = BytesSource(CT)
    source.size = OFFSET_LIMIT
    with pytest.raises(LimitExceeded, match=str(OFFSET_LIMIT)):
        read_index(source, explicit=True, issues=[])


def test_nesting_is_bounded_over_touches() -> None:
    data = b""
    for _ in range(6):
        data = EXPLICIT.sequence(0x300A00B0, [EXPLICIT.item(data)])
    source = BytesSource(data)
    for depth, fits in ((6, True), (5, False)):
        limits = Limits(nesting_depth=depth)
        index, issues = index_of(data, limits=limits)
        with nullcontext() if fits else pytest.raises(LimitExceeded, match="5 levels"):
            for _ in range(6):
                (item,) = items(index, 0, source, limits=limits, issues=issues)
                index = item.index


def test_a_flood_of_faults_costs_a_bounded_list() -> None:
    data = EXPLICIT.header(0xFFFEE00D, "", 0) * 200_000
    issues: list[Issue] = []
    read_index(BytesSource(data), explicit=True, issues=issues, policy=Policy(issue_count=50))
    assert len(issues) == 51
    assert "more than 50" in str(issues[-1])


def test_first_touches_from_many_threads() -> None:
    rng = random.Random(21)
    inner = [EXPLICIT.item(data_set(rng, EXPLICIT, count=20), undefined=k % 2 == 0) for k in range(200)]
    bad = EXPLICIT.item(EXPLICIT.header(0x00080060, "CS", 500) + b"CT")
    data = EXPLICIT.sequence(0x300A00B0, [*inner, bad]) + EXPLICIT.sequence(0x300A00C0, inner, undefined=True)
    source = BytesSource(data)
    index, issues = index_of(data)
    expected = [[item.index.tags() for item in items(index, row, source, issues=[])] for row in range(2)]
    results: list[list[list[list[int]]]] = []
    barrier = threading.Barrier(8)
    shared = [items(index, row, source, issues=issues) for row in range(2)]

    def touch() -> None:
        barrier.wait()
        results.append([[item.index.tags() for item in spans] for spans in shared])
        results.append([[item.index.tags() for item in items(index, row, source, issues=issues)] for row in range(2)])

    threads = [threading.Thread(target=touch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 16
    assert len(issues) == 1


def test_damaged_files_end_in_documented_errors_only(tmp_path: Path) -> None:
    rng = random.Random(33)
    path = tmp_path / "x"

    def walk(index: ElementIndex, source: Source, issues: list[Issue], policy: Policy) -> None:
        for i in range(len(index)):
            _, _, length, start, header, end = index.row(i)
            assert 0 <= header < start <= end <= source.size
            assert length == UNDEFINED_LENGTH or start + length == end
            if index.is_encapsulated(i):
                continue
            if index.is_sequence(i):
                for item in items(index, i, source, issues=issues, policy=policy):
                    assert start <= item.header_offset < item.start <= item.stop <= item.end_offset <= end
                    walk(item.index, source, issues, policy)

    for _ in range(400):
        encoder = rng.choice(ENCODERS)
        path.write_bytes(damage(rng, data_set(rng, encoder, count=8)))
        source = FileSource(path, head_length=rng.choice([0, 64, 32768]))
        for policy in (Policy(), Policy.strict()):
            issues: list[Issue] = []
            try:
                index = read_index(
                    source, explicit=encoder.explicit, big_endian=encoder.big, issues=issues, policy=policy
                )
                walk(index, source, issues, policy)
            except EncodingError:
                assert not policy.lenient
                assert issues == []
            assert policy.lenient or issues == []


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_real_files_against_pydicom(pydicom_files: list[Path]) -> None:
    """Tags on every level, and where each value lies."""
    compared = 0

    def compare(index: ElementIndex, source: Source, peer: pydicom.Dataset, name: str) -> None:
        nonlocal compared
        mine = {tag for tag in index.tags() if tag >> 16 > 2}
        assert mine == {int(tag) for tag in peer.keys() if tag.group > 2}, name  # noqa: SIM118
        for tag in mine:
            row = index.find(tag)
            raw = peer.get_item(tag)
            compared += 1
            if raw.VR == "SQ" or (raw.VR is None and pydicom.datadict.dictionary_has_tag(tag) and peer[tag].VR == "SQ"):
                spans = items(index, row, source, issues=[])
                assert len(spans) == len(peer[tag].value), name
                for span, item in zip(spans, peer[tag].value, strict=True):
                    compare(span.index, source, item, name)
            elif isinstance(raw, pydicom.dataelem.RawDataElement) and not index.is_encapsulated(row):
                assert source.view(index.value_offset_at(row), index.length_at(row)) == (raw.value or b""), name

    for path in pydicom_files:
        try:
            peer = pydicom.dcmread(path)
            syntax = peer.file_meta.TransferSyntaxUID
        except (pydicom.errors.InvalidDicomError, AttributeError):
            continue
        if syntax.is_deflated or path.name == "nested_priv_SQ.dcm":  # the latter is not in the syntax that it names
            continue
        source = FileSource(path)
        meta = read_index(source, 132, explicit=True, issues=[], stop_tag=0x00030000)
        index = read_index(
            source,
            meta.end_offset,
            explicit=not syntax.is_implicit_VR,
            big_endian=not syntax.is_little_endian,
            issues=[],
        )
        compare(index, source, peer, path.name)
    assert compared > 5000
