"""Files as they come, made of pydicom's own: what an odd encoding does not lose, reading does not lose either.

Each sample is taken apart by pydicom, written again by the small encoder below in a way that breaks a habit or a rule,
and has to read as the plain file does. Where pydicom reads the odd file too, both see the same.
"""

from __future__ import annotations

import io
import pickle
import random
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from typing import Any

import pydicom
import pydicom.filewriter
import pytest

from dicomcore import Dataset, dcmread
from dicomcore.data.part10 import encode_file_meta
from dicomcore.vocab.syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, TransferSyntax
from dicomcore.vocab.vr import VRS
from tests.interop.test_pydicom_files import FOLDER, compare, theirs

NAMES = (
    "charset_files/chrH31.dcm",
    "charset_files/chrSQEncoding.dcm",
    "test_files/CT_small.dcm",
    "test_files/examples_overlay.dcm",
    "test_files/reportsi.dcm",
    "test_files/rtdose_1frame.dcm",
    "test_files/rtplan.dcm",
    "test_files/waveform_ecg.dcm",
)
UNDEFINED, VALUE_LENGTH = 0xFFFFFFFF, 600
SYNTAXES = {(True, False): EXPLICIT_LE, (False, False): IMPLICIT_LE, (True, True): EXPLICIT_BE}


@dataclass
class Node:
    """An element, its value in little endian; what is None is as in the rest of the file."""

    tag: int
    vr: str
    value: bytes = b""
    items: list[list[Node]] | None = None
    written_vr: str | None = None
    explicit: bool | None = None  # the element and what is in it
    inner_explicit: bool | None = None  # what is in its items


@dataclass
class Way:
    explicit: bool = True
    big: bool = False
    undefined_sequences: bool = False
    undefined_items: bool = False
    order: str = field(init=False, default="<")

    def __post_init__(self) -> None:
        self.order = ">" if self.big else "<"

    def header(self, tag: int, vr: str, length: int) -> bytes:
        start = struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)
        if not self.explicit or tag >> 16 == 0xFFFE:
            return start + struct.pack(self.order + "I", length)
        if vr in VRS and VRS[vr].long_header:
            return start + vr.encode() + struct.pack(self.order + "HI", 0, length)
        return start + vr.encode() + struct.pack(self.order + "H", length)

    def encode(self, nodes: list[Node]) -> bytes:
        return b"".join(map(self.element, nodes))

    def element(self, node: Node) -> bytes:
        way = self if node.explicit is None else replace(self, explicit=node.explicit)
        vr = node.written_vr or node.vr
        if node.items is None:
            return way.header(node.tag, vr, len(node.value)) + way.words(node)
        inner = way if node.inner_explicit is None else replace(way, explicit=node.inner_explicit)
        if vr == "UN":  # PS3.5 6.2.2
            inner = replace(inner, explicit=False, big=False)
        value = b"".join(inner.item(inner.encode(nodes)) for nodes in node.items)
        if not self.undefined_sequences:
            return way.header(node.tag, vr, len(value)) + value
        return way.header(node.tag, vr, UNDEFINED) + value + inner.header(0xFFFEE0DD, "", 0)

    def item(self, content: bytes) -> bytes:
        if not self.undefined_items:
            return self.header(0xFFFEE000, "", len(content)) + content
        return self.header(0xFFFEE000, "", UNDEFINED) + content + self.header(0xFFFEE00D, "", 0)

    def words(self, node: Node) -> bytes:
        word, value = VRS[node.vr].word, node.value
        if not self.big or word == 1:
            return value
        return b"".join(value[at : at + word][::-1] for at in range(0, len(value), word))


def taken_apart(dataset: pydicom.Dataset) -> list[Node]:
    nodes = []
    for tag in sorted(dataset.keys()):
        element = dataset[tag]
        if element.VR == "SQ":
            nodes.append(Node(int(tag), "SQ", items=[taken_apart(item) for item in element.value[:5]]))
        elif tag.element:
            stream = io.BytesIO()
            encodings = getattr(dataset, "_character_set", None) or ["iso8859"]
            file = pydicom.filebase.DicomFileLike(stream)
            file.is_little_endian, file.is_implicit_VR = True, False
            pydicom.filewriter.write_data_element(file, element, encodings)
            raw = stream.getvalue()
            vr = raw[4:6].decode()
            value = raw[12 if VRS[vr].long_header else 8 :]
            nodes.append(Node(int(tag), vr, value[:VALUE_LENGTH] if vr in ("OB", "OW", "UN") else value))
    return nodes


def walk(nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for item in node.items or ():
            yield from walk(item)


@lru_cache
def _sample(name: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pickle.dumps(taken_apart(theirs(FOLDER / name)))


def sample(name: str) -> list[Node]:
    """The same elements each time, to be changed at will."""
    nodes: list[Node] = pickle.loads(_sample(name))
    return nodes


def meta(syntax: TransferSyntax = EXPLICIT_LE) -> bytes:
    return encode_file_meta("1.2.840.10008.5.1.4.1.1.7", "1.2.3", syntax.uid)


def shuffled(nodes: list[Node], chance: random.Random) -> bytes:
    return meta() + Way().encode(chance.sample(nodes, len(nodes)))


def islands(nodes: list[Node], chance: random.Random) -> bytes:
    for node in nodes:
        node.explicit = False if chance.random() < 0.3 else None
    return meta() + Way().encode(nodes)


def implicit_first(nodes: list[Node], chance: random.Random) -> bytes:
    nodes[0].explicit = False
    return meta() + Way().encode(nodes)


def no_such_vr(nodes: list[Node], chance: random.Random) -> bytes:
    for node in [nodes[0], *walk(nodes)]:
        if not VRS[node.vr].long_header and (node is nodes[0] or chance.random() < 0.1):
            node.written_vr = chance.choice(["??", "XX", "us", "-?", "  "])
    return meta() + Way().encode(nodes)


def unknown(nodes: list[Node], chance: random.Random) -> bytes:
    for node in walk(nodes):
        if not node.tag & 0x10000 and node.tag not in (0x00080005, 0x7FE00010) and chance.random() < 0.7:
            node.written_vr = "UN"
    return meta() + Way().encode(nodes)


def unknown_undefined(nodes: list[Node], chance: random.Random) -> bytes:
    for node in walk(nodes):
        node.written_vr = "UN" if node.items is not None else None
    return meta() + Way(undefined_sequences=True).encode(nodes)


def items_in(inner: bool, outer: bool, undefined: bool) -> Callable[[list[Node], random.Random], bytes]:
    def made(nodes: list[Node], chance: random.Random) -> bytes:
        for node in nodes:
            node.inner_explicit = inner if node.items is not None else None
        way = Way(outer, undefined_sequences=undefined, undefined_items=undefined)
        return meta(SYNTAXES[outer, False]) + way.encode(nodes)

    return made


def declared(syntax: TransferSyntax, explicit: bool, big: bool) -> Callable[[list[Node], random.Random], bytes]:
    return lambda nodes, chance: meta(syntax) + Way(explicit, big).encode(nodes)


ODD: dict[str, Callable[[list[Node], random.Random], bytes]] = {
    "no meta": lambda nodes, chance: Way().encode(nodes),
    "no meta, implicit": lambda nodes, chance: Way(False).encode(nodes),
    "no meta, big endian": lambda nodes, chance: Way(big=True).encode(nodes),
    "undefined lengths": lambda nodes, chance: meta() + Way(True, False, True, True).encode(nodes),
    "undefined sequences": lambda nodes, chance: meta() + Way(True, False, True).encode(nodes),
    "undefined items in big endian": lambda nodes, chance: (
        meta(EXPLICIT_BE) + Way(True, True, False, True).encode(nodes)
    ),
    "padded": lambda nodes, chance: meta() + Way().encode(nodes) + b"\0" * 999,
    "reversed": lambda nodes, chance: meta() + Way().encode(nodes[::-1]),
    "shuffled": shuffled,
    "islands": islands,
    "implicit first": implicit_first,
    "no such VR": no_such_vr,
    "UN": unknown,
    "UN of undefined length": unknown_undefined,
    **{
        f"{inner} items in {outer}, {'un' * undefined}defined lengths": items_in(
            inner == "explicit", outer == "explicit", undefined
        )
        for inner, outer in (("explicit", "implicit"), ("implicit", "explicit"))
        for undefined in (False, True)
    },
    **{
        f"{syntax.keyword} declared, {actual.keyword} found": declared(syntax, *form)
        for form, actual in SYNTAXES.items()
        for syntax in SYNTAXES.values()
        if syntax is not actual
    },
}


def shown(dataset: Dataset) -> dict[str, Any]:
    """The JSON model; of private elements and pixel data, whose VR implicit data do not have, the bytes in no order."""
    model: dict[str, Any] = {}
    for element in dataset:
        if element.tag & 0x10000 or element.tag == 0x7FE00010:
            model[str(element.tag)] = None if element.VR == "SQ" else sorted(dataset.view(element.tag))
        elif element.VR == "SQ":
            model[str(element.tag)] = [shown(item) for item in element.value]
        else:
            model[str(element.tag)] = Dataset({element.tag: element}).to_json_dict()
    return model


LAWFUL = {way for way in ODD if "undefined" in way and " in " not in way} | {"UN", "undefined items in big endian"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ODD)
def test_an_odd_encoding_loses_nothing(way: str, name: str) -> None:
    plain = dcmread(meta() + Way().encode(sample(name)))
    odd = ODD[way](sample(name), random.Random(way + name))
    dataset = dcmread(odd)
    assert shown(dataset) == shown(plain)
    broken = way not in LAWFUL and (" items in " not in way or any(element.VR == "SQ" for element in plain))
    assert (len(dataset.check()) > len(plain.check())) == broken
    again = pickle.loads(pickle.dumps(dataset))
    assert again == dataset
    written = io.BytesIO()
    dataset.save_as(written, EXPLICIT_LE)
    assert shown(dcmread(written.getvalue())) == shown(plain)


# how pydicom reads these: not at all, or other elements
NOT_PYDICOM = ("islands", "implicit first", "no such VR", "declared", "explicit items in implicit")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", [way for way in ODD if not any(one in way for one in NOT_PYDICOM)])
def test_pydicom_sees_the_same(way: str, name: str) -> None:
    odd = ODD[way](sample(name), random.Random(way + name))
    found = compare(dcmread(odd), theirs(io.BytesIO(odd)))
    # zeros are no elements; of 8-bit pixel data that came as UN we keep the VR of implicit data (PS3.5 A.1)
    assert [line for line in found if line != " tags ['0x0']" and "VR OW OB" not in line] == []


TEXTS = {"": "Äö", "ISO_IR 100": "Äö", "ISO_IR 144": "Люк", "ISO_IR 192": "Äö山"}
CODECS = {"": "latin1", "ISO_IR 100": "latin1", "ISO_IR 144": "iso8859_5", "ISO_IR 192": "utf8"}
CREATORS = ("", "GEMS_ACQU_01", "SIEMENS CSA HEADER")


def level(
    charset: str | None, inherited: str, signed: int | None, creator: str, items: list[Node] | None
) -> list[Node]:
    """What decides how an element reads, each there or not, and elements that depend on it."""
    effective = inherited if charset is None else charset
    text = TEXTS[effective].encode(CODECS[effective])
    nodes = [Node(0x00100010, "PN", text + b" " * (len(text) % 2)), Node(0x00280106, "US", b"\xff\xff")]
    if charset is not None:
        nodes.append(Node(0x00080005, "CS", charset.encode()))
    if signed is not None:
        nodes.append(Node(0x00280103, "US", bytes([signed, 0])))
    if creator:
        nodes += [Node(0x00190010, "LO", creator.encode()), Node(0x00191002, "SL", b"\1\0\0\0")]
    if items is not None:
        nodes.append(Node(0x00081140, "SQ", items=[items]))
    return sorted(nodes, key=lambda node: node.tag)


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("outer", [None, "ISO_IR 100", "ISO_IR 192"])
@pytest.mark.parametrize("inner", [None, "", "ISO_IR 144", "ISO_IR 192"])
def test_what_items_inherit(explicit: bool, outer: str | None, inner: str | None) -> None:
    for signed, within, creator, other in product((None, 0, 1), (None, 0, 1), CREATORS, CREATORS):
        items = level(inner, outer or "", within, other, None)
        nodes = level(outer, "", signed, creator, items)
        data = meta(SYNTAXES[explicit, False]) + Way(explicit).encode(nodes)
        dataset = dcmread(data)
        effective = (outer or "") if inner is None else inner
        assert str(dataset.ReferencedImageSequence[0].PatientName) == TEXTS[effective]
        found = compare(dataset, theirs(io.BytesIO(data)))
        # where Pixel Representation is nowhere, pydicom leaves the choice open
        assert [line for line in found if "ambiguous" not in line] == []
