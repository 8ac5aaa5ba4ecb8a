"""Plain twin of pyx/meta.pyx: the elements of group 0002, one slice at a time."""

from __future__ import annotations

LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}


def walk(data: bytes, start: int) -> tuple[int, dict[int, bytes]] | int:
    """(end of the group, values) of a whole source; the offset of the element that overruns it."""
    values: dict[int, bytes] = {}
    at, count = start, 0
    while len(data) - at >= 8 and data[at : at + 2] == b"\2\0" and count < 64:
        element = int.from_bytes(data[at + 2 : at + 4], "little")
        vr = data[at + 4 : at + 6].decode("latin-1")
        if not (vr.isascii() and vr.isalpha() and vr.isupper()):
            header, length = 8, int.from_bytes(data[at + 4 : at + 8], "little")
        elif vr in LONG or vr[0] == "O":
            if len(data) - at < 12:
                break
            header, length = 12, int.from_bytes(data[at + 8 : at + 12], "little")
        else:
            header, length = 8, int.from_bytes(data[at + 6 : at + 8], "little")
        value = data[at + header : at + header + length]
        if len(value) < length:
            return at
        if element != 0x0102:
            values[element] = value
        at += header + length
        count += 1
    return at, values
