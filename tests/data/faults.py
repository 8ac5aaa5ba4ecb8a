"""Files that break PS3.5 or PS3.10 in one way each: how lenient reading shows them, its Issue, and who agrees.

A row: name, bytes, elements as tag:VR=value, how the first Issue begins, its clause, and the readers that open the file
and see the same: P pydicom (VRs and values), D DCMTK's dcmdump (tags at every level).
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from dicomcore.data.part10 import encode_file_meta
from dicomcore.vocab.vr import VRS

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPL, EXPL, BE, DEFL = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
JPG = "1.2.840.10008.1.2.4.50"
UNDEFINED = 0xFFFFFFFF
IMAGES, PIXEL_DATA, PADDING = 0x00081140, 0x7FE00010, 0xFFFCFFFC


class Fault(NamedTuple):
    name: str
    data: bytes
    shown: str
    message: str
    clause: str
    peers: str


def tag(number: int, big: bool = False) -> bytes:
    return struct.pack(">HH" if big else "<HH", number >> 16, number & 0xFFFF)


def explicit(number: int, vr: str, value: bytes, length: int | None = None, *, big: bool = False) -> bytes:
    length = len(value) if length is None else length
    form = (">" if big else "<") + ("HI" if vr in VRS and VRS[vr].long_header else "H")
    return tag(number, big) + vr.encode() + struct.pack(form, *((0, length) if len(form) == 3 else (length,))) + value


def implicit(number: int, value: bytes, length: int | None = None) -> bytes:
    return tag(number) + struct.pack("<I", len(value) if length is None else length) + value


def item(content: bytes, length: int | None = None) -> bytes:
    return implicit(0xFFFEE000, content, length)


def meta(syntax: str) -> bytes:
    return encode_file_meta(CT, "1.2.3", syntax)


ITEM_END, SEQUENCE_END = implicit(0xFFFEE00D, b""), implicit(0xFFFEE0DD, b"")
CLASS = CT.encode() + b"\0"
IDS_E = explicit(0x00080016, "UI", CLASS) + explicit(0x00080018, "UI", b"1.2.3\0")
IDS_I = implicit(0x00080016, CLASS) + implicit(0x00080018, b"1.2.3\0")
IDS_B = explicit(0x00080016, "UI", CLASS, big=True) + explicit(0x00080018, "UI", b"1.2.3\0", big=True)
NAME_E, NAME_I = explicit(0x00100010, "PN", b"A^B "), implicit(0x00100010, b"A^B ")
NAME_B = explicit(0x00100010, "PN", b"A^B ", big=True)
ROWS_E, ROWS_I = explicit(0x00280010, "US", b"\5\0"), implicit(0x00280010, b"\5\0")
ROWS_B = explicit(0x00280010, "US", b"\0\5", big=True)
CONTENT_E = explicit(0x00081150, "UI", b"1.2\0") + explicit(0x00081155, "UI", b"1.3\0")
CONTENT_I = implicit(0x00081150, b"1.2\0") + implicit(0x00081155, b"1.3\0")
META = meta(EXPL)
META_IMPLICIT = bytes(128) + b"DICM" + implicit(0x00020000, b"\x1c\0\0\0") + implicit(0x00020010, EXPL.encode() + b"\0")
META_BIG = bytes(128) + b"DICM" + explicit(0x00020010, "UI", BE.encode() + b"\0", big=True)
FILE_E, FILE_I = META + IDS_E, meta(IMPL) + IDS_I
_deflater = zlib.compressobj(wbits=-15)
DEFLATED = _deflater.compress(IDS_E + NAME_E + ROWS_E) + _deflater.flush()

SOUND = {
    "explicit": FILE_E + NAME_E + ROWS_E,
    "implicit": FILE_I + NAME_I + ROWS_I,
    "big endian": meta(BE) + IDS_B + NAME_B + ROWS_B,
    "deflated": meta(DEFL) + DEFLATED,
    "deflated, padded": meta(DEFL) + DEFLATED + b"\0",
    "unknown syntax": meta("1.2.3.4.5") + IDS_E + NAME_E + ROWS_E,
    "UN with implicit items": FILE_E + explicit(IMAGES, "UN", item(CONTENT_I)) + NAME_E,
    "UN of undefined length": FILE_E
    + explicit(IMAGES, "UN", item(CONTENT_I + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED)
    + NAME_E,
    "empty items": FILE_E
    + explicit(IMAGES, "SQ", item(b"") + item(b"", UNDEFINED) + ITEM_END + SEQUENCE_END, UNDEFINED)
    + NAME_E,
    "delimiters in a fragment": meta(JPG)
    + IDS_E
    + NAME_E
    + explicit(PIXEL_DATA, "OB", item(b"") + item(b"ab" + SEQUENCE_END + b"cd") + SEQUENCE_END, UNDEFINED)
    + explicit(PADDING, "OB", b"\0\0"),
}

PLAIN = "00100010:PN='A^B' 00280010:US='5'"
NESTED = f"00081140:SQ=[00081150:UI='1.2' 00081155:UI='1.3'] {PLAIN}"
FAULTS = [
    Fault(
        "a damaged VR",
        FILE_E + NAME_E[:5] + b"\0" + NAME_E[6:] + ROWS_E,
        PLAIN,
        "(0010,0010) has the unknown VR 'P\\x00'; ",
        "PS3.5 6.2",
        "D",
    ),
    Fault(
        "no preamble, no prefix",
        META[132:] + IDS_E + NAME_E + ROWS_E,
        PLAIN,
        "no preamble and no DICM prefix",
        "PS3.10 7.1",
        "PD",
    ),
    Fault("no meta, explicit", IDS_E + NAME_E + ROWS_E, PLAIN, "no preamble and no DICM prefix", "PS3.10 7.1", "PD"),
    Fault("no meta, implicit", IDS_I + NAME_I + ROWS_I, PLAIN, "no preamble and no DICM prefix", "PS3.10 7.1", "PD"),
    Fault("no meta, big endian", IDS_B + NAME_B + ROWS_B, PLAIN, "no preamble and no DICM prefix", "PS3.10 7.1", "PD"),
    Fault(
        "preamble only, explicit",
        b"\0" * 128 + b"DICM" + IDS_E + NAME_E + ROWS_E,
        PLAIN,
        "no file meta information",
        "PS3.10 7.1",
        "PD",
    ),
    Fault(
        "preamble only, implicit",
        b"\0" * 128 + b"DICM" + IDS_I + NAME_I + ROWS_I,
        PLAIN,
        "no file meta information",
        "PS3.10 7.1",
        "PD",
    ),
    Fault(
        "meta without group length",
        META[:132] + META[144:] + IDS_E + NAME_E + ROWS_E,
        PLAIN,
        "file meta information without its group ",
        "PS3.10 7.1",
        "PD",
    ),
    Fault(
        "meta with a wrong group length",
        META[:140] + struct.pack("<I", 20) + META[144:] + IDS_E + NAME_E + ROWS_E,
        PLAIN,
        "the group length says 20, the meta group",
        "PS3.10 7.1",
        "PD",
    ),
    Fault(
        "meta with an empty transfer syntax",
        b"\0" * 128 + b"DICM" + explicit(0x00020010, "UI", b"") + IDS_E + NAME_E + ROWS_E,
        PLAIN,
        "file meta information without its group ",
        "PS3.10 7.1",
        "PD",
    ),
    Fault(
        "meta in implicit VR",
        META_IMPLICIT + IDS_E + NAME_E + ROWS_E,
        PLAIN,
        "file meta information in Implicit VR",
        "PS3.10 7.1",
        "PD",
    ),
    Fault(
        "meta in big endian",
        META_BIG + IDS_B + NAME_B + ROWS_B,
        PLAIN,
        "file meta information in big endian",
        "PS3.10 7.1",
        "D",
    ),
    Fault("truncated in meta", META[:200], "", "the file ends within the file meta infor", "PS3.10 7.1", "P"),
    Fault(
        "explicit declared, implicit",
        meta(EXPL) + IDS_I + NAME_I + ROWS_I,
        PLAIN,
        "Explicit VR Little Endian is declared, b",
        "PS3.10 7.1",
        "P",
    ),
    Fault(
        "implicit declared, explicit",
        meta(IMPL) + IDS_E + NAME_E + ROWS_E,
        PLAIN,
        "Implicit VR Little Endian is declared, b",
        "PS3.10 7.1",
        "P",
    ),
    Fault(
        "little declared, big endian",
        meta(EXPL) + IDS_B + NAME_B + ROWS_B,
        PLAIN,
        "Explicit VR Little Endian is declared, b",
        "PS3.10 7.1",
        "",
    ),
    Fault(
        "big declared, little endian",
        meta(BE) + IDS_E + NAME_E + ROWS_E,
        PLAIN,
        "Explicit VR Big Endian is declared, but ",
        "PS3.10 7.1",
        "",
    ),
    Fault(
        "big endian declared, implicit",
        meta(BE) + IDS_I + NAME_I + ROWS_I,
        PLAIN,
        "Explicit VR Big Endian is declared, but ",
        "PS3.10 7.1",
        "",
    ),
    Fault(
        "implicit declared, big endian",
        meta(IMPL) + IDS_B + NAME_B + ROWS_B,
        PLAIN,
        "Implicit VR Little Endian is declared, b",
        "PS3.10 7.1",
        "",
    ),
    Fault(
        "JPEG declared, implicit",
        meta(JPG) + IDS_I + NAME_I + ROWS_I,
        PLAIN,
        "JPEG Baseline (Process 1) is declared, b",
        "PS3.10 7.1",
        "P",
    ),
    Fault(
        "implicit element in explicit",
        FILE_E + NAME_I + ROWS_E,
        PLAIN,
        "(0010,0010) has no VR in an explicit VR ",
        "PS3.5 7.1.2",
        "P",
    ),
    Fault(
        "implicit item in explicit",
        FILE_E + explicit(IMAGES, "SQ", item(CONTENT_I)) + NAME_E + ROWS_E,
        NESTED,
        "(0008,1150) has no VR in an explicit VR ",
        "PS3.5 7.1.2",
        "P",
    ),
    Fault(
        "implicit item of undefined length in explicit",
        FILE_E
        + explicit(IMAGES, "SQ", item(CONTENT_I + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED)
        + NAME_E
        + ROWS_E,
        NESTED,
        "(0008,1150) has no VR in an explicit VR ",
        "PS3.5 7.1.2",
        "P",
    ),
    Fault(
        "explicit item in implicit",
        FILE_I + implicit(IMAGES, item(CONTENT_E)) + NAME_I + ROWS_I,
        NESTED,
        "(0008,1150) has the VR UI in an implicit",
        "PS3.5 7.1.3",
        "",
    ),
    Fault(
        "explicit item of undefined length in implicit",
        FILE_I + implicit(IMAGES, item(CONTENT_E + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED) + NAME_I + ROWS_I,
        NESTED,
        "(0008,1150) has the VR UI in an implicit",
        "PS3.5 7.1.3",
        "",
    ),
    Fault(
        "explicit element in implicit",
        FILE_I + NAME_E + ROWS_I,
        PLAIN,
        "(0010,0010) has the VR PN in an implicit",
        "PS3.5 7.1.3",
        "",
    ),
    Fault(
        "UN of undefined length with explicit items",
        FILE_E
        + explicit(IMAGES, "UN", item(CONTENT_E + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED)
        + NAME_E
        + ROWS_E,
        NESTED,
        "(0008,1150) has the VR UI in an implicit",
        "PS3.5 7.1.3",
        "P",
    ),
    Fault(
        "UN with explicit items",
        FILE_E + explicit(IMAGES, "UN", item(CONTENT_E)) + NAME_E + ROWS_E,
        NESTED,
        "(0008,1150) has the VR UI in an implicit",
        "PS3.5 7.1.3",
        "P",
    ),
    Fault(
        "odd length",
        FILE_E + explicit(0x00100010, "PN", b"A^B") + ROWS_E,
        PLAIN,
        "(0010,0010) has the odd length 3",
        "PS3.5 7.1.1",
        "PD",
    ),
    Fault(
        "odd item",
        FILE_E + explicit(IMAGES, "SQ", item(explicit(0x00081150, "UI", b"1.2"))) + NAME_E + ROWS_E,
        "00081140:SQ=[00081150:UI='1.2'] 00100010:PN='A^B' 00280010:US='5'",
        "(0008,1140) has the odd length 19",
        "PS3.5 7.1.1",
        "PD",
    ),
    Fault(
        "odd number",
        FILE_E + NAME_E + explicit(0x00280010, "US", b"\5\0\0"),
        "00100010:PN='A^B' 00280010:US=b'\\x05\\x00\\x00'",
        "(0028,0010) has the odd length 3",
        "PS3.5 7.1.1",
        "D",
    ),
    Fault(
        "unknown VR, short",
        FILE_E + explicit(0x00100010, "ZZ", b"A^B ") + ROWS_E,
        PLAIN,
        "(0010,0010) has the unknown VR 'ZZ'; rea",
        "PS3.5 6.2",
        "",
    ),
    Fault(
        "unknown VR, long",
        FILE_E + tag(0x00100010) + b"ZZ\0\0" + struct.pack("<I", 4) + b"A^B " + ROWS_E,
        PLAIN,
        "(0010,0010) has the unknown VR 'ZZ'; rea",
        "PS3.5 6.2",
        "D",
    ),
    Fault(
        "VR in lower case",
        FILE_E + explicit(0x00100010, "pn", b"A^B ") + ROWS_E,
        PLAIN,
        "(0010,0010) has the unknown VR 'pn'; rea",
        "PS3.5 6.2",
        "D",
    ),
    Fault(
        "undefined length of text",
        FILE_E + tag(0x00104000) + b"UT\0\0" + b"\xff\xff\xff\xff" + b"HELLO " + SEQUENCE_END + ROWS_E,
        "00104000:UT='HELLO' 00280010:US='5'",
        "(0010,4000) of VR UT may not have an und",
        "PS3.5 7.1.1",
        "P",
    ),
    Fault(
        "undefined length of native pixels",
        FILE_E
        + NAME_E
        + ROWS_E
        + explicit(PIXEL_DATA, "OW", b"\1\2\3\4\5\6\7\x08\x09\x0a" + SEQUENCE_END, UNDEFINED)
        + explicit(PADDING, "OB", b"\0\0"),
        "00100010:PN='A^B' 00280010:US='5' 7FE00010:OW=b'\\x01\\x02\\x03\\x04\\x05\\x06 FFFCFFFC:OB=b'\\x00\\x00'",
        "no item of (7FE0,0010) here, 10 bytes be",
        "PS3.5 7.5",
        "P",
    ),
    Fault(
        "undefined length of native pixels, implicit",
        FILE_I
        + NAME_I
        + ROWS_I
        + implicit(PIXEL_DATA, b"\1\2\3\4\5\6\7\x08\x09\x0a" + SEQUENCE_END, UNDEFINED)
        + implicit(PADDING, b"\0\0"),
        "00100010:PN='A^B' 00280010:US='5' 7FE00010:OW=b'\\x01\\x02\\x03\\x04\\x05\\x06 FFFCFFFC:OB=b'\\x00\\x00'",
        "no item of (7FE0,0010) here, 10 bytes be",
        "PS3.5 7.5",
        "",
    ),
    Fault(
        "undefined length of text, implicit",
        FILE_I + implicit(0x00104000, b"HELLO " + SEQUENCE_END, UNDEFINED) + ROWS_I,
        "00104000:LT='HELLO' 00280010:US='5'",
        "no item of (0010,4000) here, 6 bytes bef",
        "PS3.5 7.5",
        "P",
    ),
    Fault(
        "sequence without delimiter",
        FILE_E + explicit(IMAGES, "SQ", item(CONTENT_E + ITEM_END, UNDEFINED), UNDEFINED) + NAME_E + ROWS_E,
        NESTED,
        "(0010,0010) stands where an item or a de",
        "PS3.5 7.5",
        "",
    ),
    Fault(
        "item without delimiter",
        FILE_E + explicit(IMAGES, "SQ", item(CONTENT_E, UNDEFINED) + SEQUENCE_END, UNDEFINED) + NAME_E + ROWS_E,
        NESTED,
        "an undefined length without its delimite",
        "PS3.5 7.5.2",
        "",
    ),
    Fault(
        "delimiter in a defined item",
        FILE_E + explicit(IMAGES, "SQ", item(CONTENT_E + ITEM_END)) + NAME_E + ROWS_E,
        NESTED,
        "stray (FFFE,E00D); left out",
        "PS3.5 7.5",
        "PD",
    ),
    Fault(
        "delimiters in the data set",
        FILE_E + explicit(IMAGES, "SQ", item(CONTENT_E)) + ITEM_END + SEQUENCE_END + NAME_E + ROWS_E,
        NESTED,
        "stray (FFFE,E00D); left out",
        "PS3.5 7.5",
        "",
    ),
    Fault(
        "delimiters in a defined sequence",
        FILE_E + explicit(IMAGES, "SQ", item(CONTENT_E) + ITEM_END + SEQUENCE_END) + NAME_E + ROWS_E,
        NESTED,
        "stray (FFFE,E00D); left out",
        "PS3.5 7.5",
        "",
    ),
    Fault(
        "delimiter with a length",
        FILE_E
        + explicit(IMAGES, "SQ", item(CONTENT_E + implicit(0xFFFEE00D, b"", 4), UNDEFINED) + SEQUENCE_END, UNDEFINED)
        + NAME_E
        + ROWS_E,
        NESTED,
        "the delimiter (FFFE,E00D) has the length",
        "PS3.5 7.5",
        "PD",
    ),
    Fault(
        "overlong item",
        FILE_E + explicit(IMAGES, "SQ", item(CONTENT_E, 500)) + NAME_E + ROWS_E,
        NESTED,
        "the value of (FFFE,E000) claims 500 byte",
        "PS3.5 7.1.1",
        "PD",
    ),
    Fault(
        "overlong sequence",
        FILE_E + explicit(IMAGES, "SQ", item(CONTENT_E), 5000) + NAME_E + ROWS_E,
        NESTED,
        "the value of (0008,1140) claims 5000 byt",
        "PS3.5 7.1.1",
        "",
    ),
    Fault(
        "sequence cut short",
        FILE_E + explicit(IMAGES, "SQ", item(CONTENT_E), len(item(CONTENT_E)) - 4) + NAME_E + ROWS_E,
        "00081140:SQ=[00081150:UI='1.2' 00081155:UI=''] 2E310033:LO='PN\\x04\\x00A^B (\\x00\\x10\\x",
        "(2E31,0033) has no VR in an explicit VR ",
        "PS3.5 7.1.2",
        "P",
    ),
    Fault(
        "overlong value in an item",
        FILE_E + explicit(IMAGES, "SQ", item(CONTENT_E + explicit(0x00081199, "LO", b"ab", 60))) + NAME_E + ROWS_E,
        "00081140:SQ=[00081150:UI='1.2' 00081155:UI='1.3' 00081199:LO='ab'] 00100010:PN='A^B' 00280010:US='5'",
        "the value of (0008,1199) claims 60 bytes",
        "PS3.5 7.1.1",
        "P",
    ),
    Fault(
        "defined sequence without item",
        FILE_E + explicit(IMAGES, "SQ", CONTENT_E) + NAME_E + ROWS_E,
        "00081140:SQ=[] 00100010:PN='A^B' 00280010:US='5'",
        "(0008,1150) stands where an item or a de",
        "PS3.5 7.5",
        "",
    ),
    Fault(
        "undefined sequence without item",
        FILE_E + explicit(IMAGES, "SQ", CONTENT_E + SEQUENCE_END, UNDEFINED) + NAME_E + ROWS_E,
        "00081140:UN=b'\\x08\\x00P\\x11UI\\x04\\x001 00100010:PN='A^B' 00280010:US='5'",
        "no item of (0008,1140) here, 24 bytes be",
        "PS3.5 7.5",
        "",
    ),
    Fault(
        "wrong fragment length",
        meta(JPG)
        + IDS_E
        + NAME_E
        + ROWS_E
        + explicit(PIXEL_DATA, "OB", item(b"") + item(b"abcdefghij", 6) + SEQUENCE_END, UNDEFINED)
        + explicit(PADDING, "OB", b"\0\0"),
        "00100010:PN='A^B' 00280010:US='5' 7FE00010:OB=b'\\xfe\\xff\\x00\\xe0\\x00\\x00 FFFCFFFC:OB=b'\\x00\\x00'",
        "no item of (7FE0,0010) here, 4 bytes bef",
        "PS3.5 7.5",
        "P",
    ),
    Fault(
        "fragments without delimiter",
        meta(JPG) + IDS_E + NAME_E + ROWS_E + explicit(PIXEL_DATA, "OB", item(b"") + item(b"abcdefghij"), UNDEFINED),
        "00100010:PN='A^B' 00280010:US='5' 7FE00010:OB=b'\\xfe\\xff\\x00\\xe0\\x00\\x00",
        "an undefined length without its delimite",
        "PS3.5 7.5.2",
        "",
    ),
    Fault(
        "truncated in a fragment",
        meta(JPG)
        + IDS_E
        + NAME_E
        + ROWS_E
        + explicit(PIXEL_DATA, "OB", item(b"") + item(b"abcdefghij", 100), UNDEFINED),
        "00100010:PN='A^B' 00280010:US='5' 7FE00010:OB=b'\\xfe\\xff\\x00\\xe0\\x00\\x00",
        "the value of (FFFE,E000) claims 100 byte",
        "PS3.5 7.1.1",
        "",
    ),
    Fault(
        "trailing zeros",
        FILE_E + NAME_E + ROWS_E + b"\0" * 100,
        PLAIN,
        "zeros where an element has to be; the 10",
        "PS3.5 7.1",
        "",
    ),
    Fault(
        "trailing FF",
        FILE_E + NAME_E + ROWS_E + b"\xff" * 100,
        "00100010:PN='A^B' 00280010:US='5' FFFFFFFF:SQ=[]",
        "(FFFF,FFFF) has no VR in an explicit VR ",
        "PS3.5 7.1.2",
        "",
    ),
    Fault(
        "trailing bytes",
        FILE_E + NAME_E + ROWS_E + b"\0\0\0",
        PLAIN,
        "3 bytes at the end are too few for an el",
        "PS3.5 7.1",
        "P",
    ),
    Fault(
        "truncated in a header",
        FILE_E + NAME_E + ROWS_E[:5],
        "00100010:PN='A^B'",
        "5 bytes at the end are too few for an el",
        "PS3.5 7.1",
        "P",
    ),
    Fault(
        "truncated in a value",
        FILE_E + NAME_E + ROWS_E[:-1],
        "00100010:PN='A^B' 00280010:US=b'\\x05'",
        "the value of (0028,0010) claims 2 bytes ",
        "PS3.5 7.1.1",
        "",
    ),
    Fault(
        "truncated in a sequence",
        FILE_E + NAME_E + explicit(0x300A0010, "SQ", item(CONTENT_E[:-2], len(CONTENT_E)), len(CONTENT_E) + 8),
        "00100010:PN='A^B' 300A0010:SQ=[00081150:UI='1.2' 00081155:UI='1.']",
        "the value of (300A,0010) claims 32 bytes",
        "PS3.5 7.1.1",
        "P",
    ),
    Fault(
        "truncated in an undefined sequence",
        FILE_E + NAME_E + explicit(0x300A0010, "SQ", item(CONTENT_E[:-2], UNDEFINED), UNDEFINED),
        "00100010:PN='A^B' 300A0010:SQ=[00081150:UI='1.2' 00081155:UI='1.']",
        "the value of (0008,1155) claims 4 bytes ",
        "PS3.5 7.1.1",
        "",
    ),
    Fault(
        "truncated in pixel data",
        FILE_E + NAME_E + ROWS_E + explicit(PIXEL_DATA, "OW", b"1234", 1000),
        "00100010:PN='A^B' 00280010:US='5' 7FE00010:OW=b'1234'",
        "the value of (7FE0,0010) claims 1000 byt",
        "PS3.5 7.1.1",
        "P",
    ),
    Fault(
        "out of order", FILE_E + ROWS_E + NAME_E, PLAIN, "(0010,0010) is out of order or repeated", "PS3.5 7.1", "PD"
    ),
    Fault(
        "zeros between elements",
        FILE_E + b"\0" * 8 + NAME_E + ROWS_E,
        PLAIN,
        "8 zero bytes between elements; left out",
        "PS3.5 7.1",
        "",
    ),
    Fault(
        "prefix without preamble",
        META[128:] + IDS_E + NAME_E + ROWS_E,
        PLAIN,
        "no preamble before the DICM prefix",
        "PS3.10 7.1",
        "",
    ),
    Fault(
        "deflated, truncated",
        meta(DEFL) + DEFLATED[:-8],
        "00100010:PN='A^B'",
        "the deflated stream has no end",
        "PS3.5 A.5",
        "",
    ),
    Fault(
        "deflated, garbage behind",
        meta(DEFL) + DEFLATED + b"xxxxx",
        PLAIN,
        "5 bytes behind the deflated stream; left",
        "PS3.5 A.5",
        "PD",
    ),
    Fault(
        "deflated with zlib's wrapping",
        meta(DEFL) + zlib.compress(IDS_E + NAME_E + ROWS_E),
        PLAIN,
        "the deflated stream is wrapped as zlib d",
        "PS3.5 A.5",
        "",
    ),
    Fault(
        "deflated declared, not so",
        meta(DEFL) + IDS_E + NAME_E + ROWS_E,
        PLAIN,
        "deflated is declared, but the data set i",
        "PS3.5 A.5",
        "",
    ),
    Fault(
        "element twice",
        FILE_E + NAME_E + NAME_E + ROWS_E,
        PLAIN,
        "(0010,0010) is out of order or repeated",
        "PS3.5 7.1",
        "PD",
    ),
    Fault(
        "odd fragment",
        meta(JPG)
        + IDS_E
        + NAME_E
        + ROWS_E
        + explicit(PIXEL_DATA, "OB", item(b"") + item(b"abc") + SEQUENCE_END, UNDEFINED),
        "00100010:PN='A^B' 00280010:US='5' 7FE00010:OB=b'\\xfe\\xff\\x00\\xe0\\x00\\x00",
        "(FFFE,E000) has the odd length 3",
        "PS3.5 7.1.1",
        "PD",
    ),
    Fault(
        "meta without transfer syntax",
        b"\0" * 128 + b"DICM" + explicit(0x00020002, "UI", CT.encode() + b"\0") + IDS_I + NAME_I + ROWS_I,
        PLAIN,
        "file meta information without its group ",
        "PS3.10 7.1",
        "PD",
    ),
    Fault(
        "first element without its VR",
        meta(EXPL) + implicit(0x00080016, CLASS) + explicit(0x00080018, "UI", b"1.2.3\0") + NAME_E + ROWS_E,
        PLAIN,
        "(0008,0016) has no VR",
        "PS3.5 7.1.2",
        "",
    ),
    Fault(
        "first element with a VR that is none",
        meta(EXPL) + explicit(0x00080012, "-?", b"20200101") + IDS_E + NAME_E + ROWS_E,
        "00080012:DA='20200101' " + PLAIN,
        "(0008,0012) has",
        "PS3.5 6.2",
        "D",
    ),
    Fault(
        "sequence with a VR among implicit elements",
        meta(IMPL) + IDS_I + explicit(IMAGES, "SQ", item(explicit(0x00100020, "LT", b"X" * 70))) + NAME_I + ROWS_I,
        "00081140:SQ=[00100020:LT='XXXXXXXXXXXXXXXXXXXXXXXXX] " + PLAIN,
        "(0008,1140) has the VR SQ in an implicit",
        "PS3.5 7.1.3",
        "",
    ),
]
