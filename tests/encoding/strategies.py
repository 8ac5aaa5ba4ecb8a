"""Encoded data sets to read and to damage: made from a seed, of every shape that PS3.5 7 has."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

from dicomcore.vocab.vr import VRS

UNDEFINED = 0xFFFFFFFF
SHORT_VRS = [code for code, vr in VRS.items() if not vr.long_header]
LONG_VRS = ["OB", "OW", "UT", "UN", "OD", "UC", "SV"]


@dataclass(frozen=True)
class Encoder:
    """The three uncompressed encodings; items and delimiters are alike in all of them."""

    explicit: bool = True
    big: bool = False

    def header(self, tag: int, vr: str, length: int) -> bytes:
        order = ">" if self.big else "<"
        head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
        if not self.explicit or tag >> 16 == 0xFFFE:
            return head + struct.pack(order + "L", length)
        if VRS[vr].long_header:
            return head + vr.encode() + struct.pack(order + "HL", 0, length)
        return head + vr.encode() + struct.pack(order + "H", length)

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        return self.header(tag, vr, len(value)) + value

    def item(self, content: bytes, *, undefined: bool = False) -> bytes:
        if undefined:
            return self.header(0xFFFEE000, "", UNDEFINED) + content + self.header(0xFFFEE00D, "", 0)
        return self.header(0xFFFEE000, "", len(content)) + content

    def sequence(self, tag: int, items: list[bytes], *, undefined: bool = False, vr: str = "SQ") -> bytes:
        content = b"".join(items)
        if undefined:
            return self.header(tag, vr, UNDEFINED) + content + self.header(0xFFFEE0DD, "", 0)
        return self.header(tag, vr, len(content)) + content

    def pixel_data(self, fragments: list[bytes]) -> bytes:
        return self.sequence(0x7FE00010, [self.item(fragment) for fragment in fragments], undefined=True, vr="OB")


ENCODERS = [Encoder(True), Encoder(False), Encoder(True, True)]


def data_set(rng: random.Random, encoder: Encoder, *, depth: int = 3, count: int = 6) -> bytes:
    """Elements in ascending order; sequences of both kinds below, fragments at the end now and then."""
    parts = []
    tag = 0x00080000
    for _ in range(rng.randrange(count)):
        tag += rng.randrange(1, 0x20000)
        choice = rng.random()
        if depth and choice < 0.25:
            undefined = rng.random() < 0.6
            inner, vr = encoder, "SQ"
            if undefined and rng.random() < 0.2:
                inner, vr = Encoder(False), "UN"
            items = [
                inner.item(data_set(rng, inner, depth=depth - 1, count=4), undefined=rng.random() < 0.5)
                for _ in range(rng.randrange(3))
            ]
            if undefined:
                content = b"".join(items) + inner.header(0xFFFEE0DD, "", 0)
                parts.append(encoder.header(tag, vr, UNDEFINED) + content)
            else:
                parts.append(encoder.sequence(tag, items))
        else:
            vr = rng.choice(SHORT_VRS if choice < 0.8 else LONG_VRS)
            parts.append(encoder.element(tag, vr, bytes(rng.choices(range(32, 127), k=2 * rng.randrange(9)))))
    if rng.random() < 0.2:
        parts.append(encoder.pixel_data([rng.randbytes(2 * rng.randrange(8)) for _ in range(rng.randrange(1, 4))]))
    return b"".join(parts)


HOSTILE = [
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\x00\xe0\x04\x00\x00\x00",
    b"\xfe\xff\x0d\xe0\x00\x00\x00\x00",
    b"\xfe\xff\xdd\xe0\x00\x00\x00\x00",
    b"\xff\xfe\xe0\x00\xff\xff\xff\xff",
    b"\xff\xfe\xe0\xdd\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\xfe\xff\xff\xff",
    b"\x00\x00\x00\x00\x00\x00\x00\x00",
    b"UN\x00\x00\xff\xff\xff\xff",
    b"SQ\x00\x00\xff\xff\xff\xff",
    b"OB\x00\x00\xff\xff\xff\xff",
    b"UT\x00\x00\xff\xff\xff\xff",
    b"ZZ",
    b"\x00",
]


def damage(rng: random.Random, data: bytes) -> bytes:
    """One to four faults: bits, lengths, delimiters, bytes lost, doubled or cut off."""
    work = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(work) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(work):
            work[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            hostile = rng.choice(HOSTILE)
            work[at : at + len(hostile)] = hostile
        elif kind == 2:
            work[at:at] = rng.choice(HOSTILE)
        elif kind == 3:
            del work[at : at + rng.randrange(1, 12)]
        elif kind == 4:
            work[at:at] = work[at : at + rng.randrange(40)]
        elif rng.random() < 0.5:
            del work[at:]
    return bytes(work)
