"""Plain twin of pyx/level.pyx: from a keyword to a value over the rows of an index, one step at a time."""

from __future__ import annotations

from typing import Any

from dicomcore import Dataset
from dicomcore.encoding.values import decode, encode
from dicomcore.encoding.writer import element_header
from dicomcore.vocab.dictionary import tag_for_keyword
from dicomcore.vocab.vr import vr_name


def read(dataset: Dataset, keyword: str) -> Any:
    """The value of a short, unedited element with a VR of its own; LookupError for what the kernel leaves to Python."""
    tag, origin = tag_for_keyword(keyword), dataset._origin
    if tag is None or origin is None or dataset._edits:
        raise LookupError(keyword)
    rows = [row for row in map(origin.index.row, range(len(origin.index))) if row[0] == tag]
    if not rows or vr_name(rows[0][1]) in ("", "SQ", "UN") or rows[0][2] > 4096:
        raise LookupError(keyword)
    _, code, length, offset, _, _ = rows[0]
    raw = bytes(origin.source.view(offset, length))
    return decode(vr_name(code), raw, origin.index.big_endian, origin.charsets)


def encode_fresh(dataset: Dataset, explicit: bool, charsets: tuple[str, ...] = ()) -> bytes:
    """Plain twin of pyx/encoder.pxi: a data set whose elements were assigned, little endian, element after element."""
    declared = dataset.get("SpecificCharacterSet")
    if "SpecificCharacterSet" in dataset:
        charsets = (declared,) if isinstance(declared, str) and declared else tuple(declared or ())
    out = bytearray()
    for element in dataset:
        if element.VR == "SQ":
            body = bytearray()
            for item in element.value:
                inside = encode_fresh(item, explicit, charsets)
                body += b"\xfe\xff\x00\xe0" + len(inside).to_bytes(4, "little") + inside
            length = 0xFFFFFFFF if element.value.is_undefined_length else len(body)
            if element.value.is_undefined_length:
                body += b"\xfe\xff\xdd\xe0\0\0\0\0"
        else:
            body = bytearray(encode(element.VR, element.value, False, charsets))
            length = len(body)
        out += element_header(int(element.tag), element.VR, length, explicit=explicit, big_endian=False) + body
    return bytes(out)
