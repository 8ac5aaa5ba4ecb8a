"""Headers, and the re-encode kernel against its plain twin, pydicom and dcmconv."""

from __future__ import annotations

import random
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import pack, unpack

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicomcore._core.reencode import FAULTS
from dicomcore.encoding.vrs import VRContext
from dicomcore.encoding.writer import (
    element_header,
    encode_element,
    item_delimiter,
    item_header,
    reencode,
    sequence_delimiter,
)
from dicomcore.errors import EncodingError, Issue, LimitExceeded
from dicomcore.limits import Limits
from dicomcore.vocab.vr import VRS
from tests.reference import reencode as twin

Encoding = tuple[bool, bool]
IMPLICIT, EXPLICIT, BIG = (False, False), (True, False), (True, True)
ENCODINGS = (IMPLICIT, EXPLICIT, BIG)
UNDEFINED = 0xFFFFFFFF


def element(tag: int, vr: str, value: bytes, form: Encoding = EXPLICIT, length: int | None = None) -> bytes:
    header = element_header(tag, vr, len(value) if length is None else length, explicit=form[0], big_endian=form[1])
    return header + value


def item(content: bytes, big: bool = False, undefined: bool = False) -> bytes:
    if undefined:
        return item_header(big_endian=big) + content + item_delimiter(big_endian=big)
    return item_header(len(content), big_endian=big) + content


# headers


@pytest.mark.parametrize("vr", list(VRS))
def test_headers_are_those_of_pydicom(vr: str) -> None:
    for explicit, big in ENCODINGS:
        header = element_header(0x00091001, vr, 4, explicit=explicit, big_endian=big)
        order = ">" if big else "<"
        if not explicit:
            assert header == pack(order + "HHI", 9, 0x1001, 4)
        elif vr in pydicom.valuerep.EXPLICIT_VR_LENGTH_32:
            assert header == pack(order + "HH2sHI", 9, 0x1001, vr.encode(), 0, 4)
        else:
            assert header == pack(order + "HH2sH", 9, 0x1001, vr.encode(), 4)


def test_long_values_of_short_vrs_become_unknown() -> None:
    raw = b"1\\" * 40000
    assert encode_element(0x30060050, "DS", raw, explicit=True, big_endian=False)[:12] == pack(
        "<HH2sHI", 0x3006, 0x50, b"UN", 0, 80000
    )
    assert element_header(0x30060050, "DS", 65534, explicit=True, big_endian=False)[4:8] == b"DS\xfe\xff"
    assert element_header(0x30060050, "DS", 65535, explicit=True, big_endian=False)[4:6] == b"UN"


def test_headers_refuse_what_they_cannot_say() -> None:
    with pytest.raises(EncodingError):
        element_header(0x00100010, "ZZ", 0, explicit=True, big_endian=False)
    with pytest.raises(EncodingError):
        element_header(0x00100010, "PN", 1 << 32, explicit=False, big_endian=False)


def test_delimiters() -> None:
    assert item_header(4) == bytes.fromhex("feff00e0 04000000")
    assert item_header() == bytes.fromhex("feff00e0 ffffffff")
    assert item_delimiter() == bytes.fromhex("feff0de0 00000000")
    assert sequence_delimiter(big_endian=True) == bytes.fromhex("fffee0dd 00000000")


# one rule at a time


@pytest.mark.parametrize(
    ("tag", "vr", "context"),
    [
        (0x00100010, "PN", VRContext()),
        (0x00280010, "US", VRContext()),
        (0x00280106, "US", VRContext()),
        (0x00280106, "SS", VRContext(pixel_representation=1)),
        (0x00283006, "US", VRContext(lut_entries=1)),
        (0x00283006, "OW", VRContext()),
        (0x7FE00010, "OW", VRContext(bits_allocated=8)),
        (0x60043000, "OW", VRContext()),
        (0x50023000, "OB", VRContext()),
        (0x60040010, "US", VRContext()),
        (0x00280410, "US", VRContext()),
        (0x00290010, "LO", VRContext()),
        (0x00291010, "UN", VRContext()),
        (0x00291010, "OB", VRContext(private_creators={0x00290010: "SIEMENS CSA HEADER"})),
        (0x00081001, "UN", VRContext()),
        (0x00287FE0, "UR", VRContext()),
    ],
)
def test_implicit_elements_get_their_vr_and_lose_it_again(tag: int, vr: str, context: VRContext) -> None:
    implicit, explicit = element(tag, vr, b"abcd", IMPLICIT), element(tag, vr, b"abcd")
    assert reencode(implicit, source=IMPLICIT, target=EXPLICIT, context=context) == explicit
    assert reencode(explicit, source=EXPLICIT, target=IMPLICIT, context=context) == implicit


@pytest.mark.parametrize("vr", [vr for vr in VRS if vr not in ("SQ", "UN")])
def test_byte_order_swaps_by_the_word_of_the_vr(vr: str) -> None:
    value = bytes(range(16))
    word = VRS[vr].word
    swapped = b"".join(value[i : i + word][::-1] for i in range(0, 16, word))
    little, big = element(0x00091001, vr, value), element(0x00091001, vr, swapped, BIG)
    assert reencode(little, source=EXPLICIT, target=BIG) == big
    assert reencode(big, source=BIG, target=EXPLICIT) == little
    odd = element(0x00091001, vr, value + b"\x7f")
    assert reencode(odd, source=EXPLICIT, target=BIG)[-1:] == b"\x7f"


def test_unknown_content_crosses_byte_orders_as_it_is_with_an_issue() -> None:
    issues: list[Issue] = []
    raw = element(0x00091001, "UN", b"abcd")
    assert reencode(raw, source=EXPLICIT, target=BIG, issues=issues) == element(0x00091001, "UN", b"abcd", BIG)
    assert [issue.path for issue in issues] == ["(0009,1001)"]
    assert reencode(raw, source=EXPLICIT, target=BIG)


def test_long_strings_travel_as_unknown_and_come_back() -> None:
    contour = b"\\".join([b"-123.45"] * 30000)
    implicit = element(0x30060050, "DS", contour, IMPLICIT)
    explicit = reencode(implicit, source=IMPLICIT, target=EXPLICIT)
    assert explicit == pack("<HH2sHI", 0x3006, 0x50, b"UN", 0, len(contour)) + contour
    assert reencode(explicit, source=EXPLICIT, target=IMPLICIT) == implicit
    assert reencode(explicit, source=EXPLICIT, target=BIG)[12:] == contour
    short = element(0x30060050, "UN", b"1\\2\\3 ")
    assert reencode(short, source=EXPLICIT, target=EXPLICIT) == element(0x30060050, "DS", b"1\\2\\3 ")


def test_numbers_hidden_as_unknown_swap_by_their_own_vr() -> None:
    raw = element(0x00280010, "UN", b"\1\2")
    assert reencode(raw, source=EXPLICIT, target=BIG) == element(0x00280010, "US", b"\2\1", BIG)


@pytest.mark.parametrize("undefined", [False, True])
def test_unknown_sequences_hold_implicit_little_endian(undefined: bool) -> None:
    # PS3.5 6.2.2, for a known tag and, with undefined length, for any
    inner_implicit = item(element(0x00080100, "SH", b"code", IMPLICIT), undefined=undefined)
    inner_explicit = item(element(0x00080100, "SH", b"code"), undefined=undefined)
    end = sequence_delimiter() if undefined else b""
    length = UNDEFINED if undefined else None
    for tag in (0x00081140, 0x00091001) if undefined else (0x00081140,):
        unknown = element(tag, "UN", inner_implicit + end, EXPLICIT, length)
        assert reencode(unknown, source=EXPLICIT, target=EXPLICIT) == element(
            tag, "SQ", inner_explicit + end, EXPLICIT, length
        )
        assert reencode(unknown, source=EXPLICIT, target=IMPLICIT) == element(
            tag, "SQ", inner_implicit + end, IMPLICIT, length
        )


def test_defined_lengths_are_recomputed_at_every_level() -> None:
    content: dict[Encoding, bytes] = {}
    for form in ENCODINGS:
        inner = item(element(0x300A0132, "UN", b"", form) + element(0x00091001, "UN", b"ab", form), form[1])
        middle = item(
            element(0x300A0111, "SQ", inner + inner, form) + element(0x300A00C2, "LO", b"beam", form), form[1]
        )
        content[form] = element(0x300A00B0, "SQ", middle, form) + element(0x300E0002, "CS", b"APPROVED", form)
    for source in ENCODINGS:
        for target in ENCODINGS:
            got = reencode(content[source], source=source, target=target, issues=[])
            assert reencode(got, source=target, target=IMPLICIT, issues=[]) == content[IMPLICIT]


def test_what_decides_a_vr_is_taken_from_the_nearest_level() -> None:
    def build(form: Encoding, signed: str) -> bytes:
        inside = element(0x00280103, "US", b"\1\0", form) + element(0x00280106, signed, b"ab", form)
        plain = element(0x00280106, "US", b"ab", form)
        sequence = element(0x00081140, "SQ", item(inside) + item(plain), form)
        return sequence + element(0x00280103, "US", b"\0\0", form) + element(0x00280106, "US", b"ab", form)

    assert reencode(build(IMPLICIT, "SS"), source=IMPLICIT, target=EXPLICIT) == build(EXPLICIT, "SS")
    inherited = element(0x00081140, "SQ", item(element(0x00280106, "SS", b"ab", IMPLICIT)), IMPLICIT)
    explicit = reencode(inherited, source=IMPLICIT, target=EXPLICIT, context=VRContext(pixel_representation=1))
    assert b"SS" in explicit


def test_private_blocks_hold_for_their_level_and_group() -> None:
    creator = element(0x00290010, "LO", b"SIEMENS CSA HEADER", IMPLICIT)
    data = element(0x00291010, "OB", b"abcd", IMPLICIT)
    foreign = element(0x00291110, "OB", b"abcd", IMPLICIT)
    nested = element(0x00081140, "SQ", item(data) + item(creator + data), IMPLICIT)
    explicit = reencode(nested + creator + data + foreign, source=IMPLICIT, target=EXPLICIT)
    vrs = [explicit[at + 4 : at + 6] for at in range(len(explicit)) if explicit[at : at + 4] == b"\x29\0\x10\x10"]
    assert vrs == [b"UN", b"OB", b"OB"]
    assert element(0x00291110, "UN", b"abcd") in explicit


def test_group_lengths_go() -> None:
    raw = element(0x00080000, "UL", b"\x08\0\0\0", IMPLICIT) + element(0x00100010, "PN", b"ab", IMPLICIT)
    nested = element(0x00081140, "SQ", item(raw), IMPLICIT)
    assert b"UL" not in reencode(raw + nested, source=IMPLICIT, target=EXPLICIT)


def test_fragments_are_copied() -> None:
    frames = item(b"") + item(b"abcd") + item(b"\xfe\xff\xdd\xe0")
    for undefined_item in (False, True):
        pixels = element(0x7FE00010, "OB", frames, EXPLICIT, UNDEFINED) + sequence_delimiter()
        icon = element(0x00880200, "SQ", item(pixels, undefined=undefined_item))
        implicit = reencode(icon + pixels, source=EXPLICIT, target=IMPLICIT)
        assert implicit.count(frames) == 2
        assert reencode(implicit, source=IMPLICIT, target=EXPLICIT) == icon + pixels
        big = reencode(icon + pixels, source=EXPLICIT, target=BIG)
        assert reencode(big, source=BIG, target=EXPLICIT) == icon + pixels


# faults


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (element(0x00100010, "PN", b"ab") + b"\x10", "too few"),
        (element(0x00100010, "PN", b"ab", length=100), "beyond the end"),
        (item_delimiter() + element(0x00100010, "PN", b"ab"), "where none belongs"),
        (element(0x00081140, "SQ", item(b""), length=UNDEFINED), "missing delimiter"),
        (element(0x00081140, "SQ", item_header() + element(0x00100010, "PN", b"ab"), length=UNDEFINED), "missing"),
        (element(0x00081140, "SQ", b"no items"), "without items"),
        (element(0x00081140, "SQ", item_header(100) + element(0x00100010, "PN", b"ab")), "beyond the end"),
        (element(0x7FE00010, "OB", item_header(100) + b"ab", length=UNDEFINED), "beyond the end"),
    ],
)
def test_faults_are_mended_and_told_or_refused(raw: bytes, kind: str) -> None:
    issues: list[Issue] = []
    result = reencode(raw, source=EXPLICIT, target=IMPLICIT, issues=issues)
    assert kind in issues[0].message
    assert issues[0].clause
    again: list[Issue] = []
    reencode(result, source=IMPLICIT, target=EXPLICIT, issues=again)
    assert not [issue for issue in again if "without items" not in issue.message]
    with pytest.raises(EncodingError, match=kind) as caught:
        reencode(raw, source=EXPLICIT, target=IMPLICIT)
    assert caught.value.offset is not None


@pytest.mark.parametrize(
    "raw",
    [
        item(b""),
        element(0x00081140, "SQ", item(b"") + element(0x00100010, "PN", b"abcd")),
        element(0x7FE00010, "OB", item_header(), length=UNDEFINED),
        element(0x7FE00010, "OB", item_delimiter(), length=UNDEFINED),
    ],
)
def test_what_cannot_be_mended_is_refused(raw: bytes) -> None:
    with pytest.raises(EncodingError) as caught:
        reencode(raw, source=EXPLICIT, target=IMPLICIT, issues=[])
    assert caught.value.clause == "PS3.5 7.5"


def test_nesting_is_bounded_without_recursion() -> None:
    deep = b""
    for _ in range(5000):
        deep = element(0x00081140, "SQ", item(deep, undefined=True) + sequence_delimiter(), length=UNDEFINED)
    with pytest.raises(LimitExceeded):
        reencode(deep, source=EXPLICIT, target=IMPLICIT)
    limits = Limits(nesting_depth=5000)
    implicit = reencode(deep, source=EXPLICIT, target=IMPLICIT, limits=limits)
    assert reencode(implicit, source=IMPLICIT, target=EXPLICIT, limits=limits) == deep
    with pytest.raises(LimitExceeded):
        reencode(deep, source=EXPLICIT, target=IMPLICIT, limits=Limits(nesting_depth=4999))


def test_nothing_becomes_nothing() -> None:
    assert reencode(b"", source=EXPLICIT, target=IMPLICIT) == b""


# the twin


NAMES = {
    "too few": "trailing",
    "beyond the end": "overrun",
    "where none": "stray",
    "missing": "unended",
    "without items": "no items",
    "byte order": "unswapped",
}


def check_against_twin(raw: bytes, source: Encoding, target: Encoding, depth: int = 20) -> bytes | str:
    issues: list[Issue] = []
    result: bytes | str
    try:
        result = reencode(raw, source=source, target=target, limits=Limits(nesting_depth=depth), issues=issues)
    except (EncodingError, LimitExceeded) as error:
        result = type(error).__name__
    try:
        expected, faults = twin.reencode(raw, source, target, depth=depth)
    except twin.TooDeep:
        assert result == "LimitExceeded"
        return result
    except twin.Refused:
        assert result == "EncodingError"
        return result
    assert result == expected
    if len(issues) < 64:  # the kernel tells the first 64
        told = [(next(name for part, name in NAMES.items() if part in one.message), one.offset) for one in issues]
        assert sorted(told) == sorted(faults)
    return result


@pytest.mark.parametrize("vr", [b"C\0", b"\0S", b"\0\0", b"c\0"], ids=repr)
@pytest.mark.parametrize("length", [0, 4, 76])
@pytest.mark.parametrize("form", [EXPLICIT, BIG])
def test_a_damaged_vr_is_that_of_the_dictionary(vr: bytes, length: int, form: Encoding) -> None:
    patient = element(0x00100020, "LO", b"x" * length, form)
    rest = element(0x00100040, "CS", b"M ", form) if length < 65 or vr[:1] == b"C" else b""
    for target in ENCODINGS:
        made = check_against_twin(patient[:4] + vr + patient[6:] + rest, form, target)
        implicit = element(0x00100020, "LO", b"x" * length, target)
        assert made == implicit + (element(0x00100040, "CS", b"M ", target) if rest else b"")


def test_every_fault_has_its_words() -> None:
    assert all(any(part in message for part in NAMES) for message, _ in FAULTS.values())


def bodies(paths: list[Path], limit: int) -> Iterator[tuple[bytes, Encoding]]:
    """The data set bytes of sample files that have meta information, with their encoding."""
    for path in paths:
        data = path.read_bytes()
        if len(data) > limit or data[128:136] != b"DICM\2\0\0\0":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            syntax = pydicom.dcmread(path, specific_tags=[]).file_meta.get("TransferSyntaxUID")
        if syntax is None or syntax.is_private or syntax.is_deflated:
            continue
        start = 144 + unpack("<I", data[140:144])[0]
        yield data[start:], (not syntax.is_implicit_VR, not syntax.is_little_endian)


def test_sample_files_convert_as_the_twin_does(pydicom_files: list[Path]) -> None:
    count = 0
    for raw, source in bodies(pydicom_files, 200_000):
        for target in ENCODINGS:
            result = check_against_twin(raw, source, target)
            if isinstance(result, bytes):
                check_against_twin(result, target, source)
                count += 1
    assert count > 150


MUTATIONS = [
    item_header(),
    item_header(8),
    item_delimiter(),
    sequence_delimiter(),
    element_header(0x00081140, "SQ", UNDEFINED, explicit=True, big_endian=False),
    element_header(0x00081140, "SQ", UNDEFINED, explicit=False, big_endian=False),
    element_header(0x00081140, "UN", UNDEFINED, explicit=True, big_endian=False),
    element_header(0x7FE00010, "OB", UNDEFINED, explicit=True, big_endian=False),
    b"SQ",
    b"UN",
    b"ZZ",
    b"\0\0",
    b"\xff\xff\xff\xff",
    b"\xfe\xff\xff\xff",
]


def test_mutated_files_convert_as_the_twin_does(pydicom_files: list[Path]) -> None:
    chance = random.Random(20)
    samples = list(bodies(pydicom_files, 20_000))
    outcomes = []
    for _ in range(6000):
        original, source = chance.choice(samples)
        raw = bytearray(original[: chance.choice([100, 1000, 20_000])])
        for _ in range(chance.choice([1, 2, 8])):
            at = chance.randrange(len(raw) + 1)
            patch = chance.choice([*MUTATIONS, chance.randbytes(1), pack("<I", len(raw)), b""])
            raw[at : at + chance.choice([0, len(patch), len(patch), 9])] = patch
        form = chance.choice([source, source, source, *ENCODINGS])
        result = check_against_twin(bytes(raw), form, chance.choice(ENCODINGS), chance.choice([1, 3, 20]))
        outcomes.append(type(result) is bytes)
    assert 0.3 < sum(outcomes) / len(outcomes) < 0.99


@given(st.binary(max_size=200), st.sampled_from(ENCODINGS), st.sampled_from(ENCODINGS))
def test_random_bytes_convert_as_the_twin_does(raw: bytes, source: Encoding, target: Encoding) -> None:
    check_against_twin(raw, source, target)
    check_against_twin(element(0x00081140, "SQ", item(raw) + item(raw, undefined=True)), source, target)


# other implementations


def written_by_pydicom(dataset: pydicom.Dataset, form: Encoding) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = not form[0], not form[1]
    write_dataset(out, dataset)
    return bytes(out.getvalue())


def test_pydicom_reads_the_same_values_afterwards(pydicom_files: list[Path]) -> None:
    count = 0
    for raw, source in bodies(pydicom_files, 100_000):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for target in ENCODINGS:
                if source[1] != target[1]:
                    continue  # pydicom does not swap words
                original = read_by_pydicom(raw, source)
                if original is None:
                    continue
                issues: list[Issue] = []
                try:
                    converted = reencode(raw, source=source, target=target, issues=issues)
                except EncodingError:
                    continue
                if not issues:
                    assert read_by_pydicom(converted, target) == original
                    count += 1
    assert count > 80


@pytest.mark.filterwarnings("ignore:.*exceeds the size of 64 kByte")
@pytest.mark.parametrize("undefined", [False, True])
def test_bytes_equal_those_that_pydicom_writes(undefined: bool) -> None:
    contour = pydicom.Dataset()
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.ContourData = [f"{number}.25" for number in range(9000)]
    roi = pydicom.Dataset()
    roi.ROIDisplayColor = [255, 0, 0]
    roi.ContourSequence = [contour, pydicom.Dataset()]
    dataset = pydicom.Dataset()
    dataset.PatientName = "Doe^John"
    dataset.PixelRepresentation = 1
    dataset.SmallestImagePixelValue = -5
    dataset.ROIContourSequence = [roi, roi]
    dataset["ROIContourSequence"].is_undefined_length = undefined
    for one in (contour, roi):
        one.is_undefined_length_sequence_item = undefined
    implicit, explicit = (written_by_pydicom(dataset, form) for form in (IMPLICIT, EXPLICIT))
    assert reencode(implicit, source=IMPLICIT, target=EXPLICIT) == explicit
    assert reencode(explicit, source=EXPLICIT, target=IMPLICIT) == implicit


def read_by_pydicom(raw: bytes, form: Encoding) -> list[tuple[str, str, str]] | None:
    """(tag, VR or blank, value) of all elements but group lengths and what only one of the encodings knows."""
    from pydicom.filereader import read_dataset

    def rows(dataset: pydicom.Dataset) -> Iterator[tuple[str, str, str]]:
        for one in dataset:
            if one.tag.element == 0 or one.tag.is_private:
                continue
            if one.VR == "SQ":
                for child in one.value:
                    yield (str(one.tag), "SQ", "item")
                    yield from rows(child)
            else:
                yield (str(one.tag), "", str(one.value))

    try:
        return list(rows(read_dataset(DicomBytesIO(raw), not form[0], not form[1])))
    except Exception:  # a file that pydicom refuses says nothing here
        return None


@pytest.mark.parametrize("option", ["+ti", "+te", "+tb"])
def test_dcmconv_agrees(option: str, pydicom_files: list[Path], peer: Callable[[str], str], ram_path: Path) -> None:
    """The same elements and values after DCMTK's conversion and ours, word for word in the other byte order too."""
    target = {"+ti": IMPLICIT, "+te": EXPLICIT, "+tb": BIG}[option]
    program, count = peer("dcmconv"), 0
    for name in ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "rtdose.dcm", "rtstruct.dcm", "MR_small_bigendian.dcm"):
        path = next((path for path in pydicom_files if path.name == name), None)
        if path is None:
            continue
        raw, source = next(bodies([path], 10_000_000), (b"", IMPLICIT))
        if not raw:
            continue
        out = ram_path / name
        subprocess.run([program, option, "-g", "+e", path, out], check=True, capture_output=True)
        ((theirs, form),) = bodies([out], 10_000_000)
        assert form == target
        context = VRContext()
        ours = reencode(raw, source=source, target=target, context=context, issues=[])
        assert read_by_pydicom(ours, target) == read_by_pydicom(theirs, target)
        count += 1
    assert count >= 4
