"""Plain twin of pyx/opening.pyx: what a file of which everything is beyond doubt says of itself."""

from __future__ import annotations

import re

from tests.reference.meta import LONG

SHORT = frozenset(re.findall("..", "AEASATCSDADSDTFDFLISLOLTPNSHSLSSSTTMUIULUS"))
FIRST = {0x0000, 0x0005, 0x0008, 0x0012, 0x0016}
UID = re.compile(rb"([0-9.]{1,64})\0?")


def plain(data: bytes, syntaxes: dict[bytes, tuple[str, bool]]) -> tuple[str, str, str, int] | None:
    """SOP class, SOP instance, transfer syntax and the offset of the data set; None where the reader has to decide."""
    head = data if len(data) <= 32768 else data[:4096]
    if head[128:140] != b"DICM\2\0\0\0UL\4\0":
        return None
    at, last = 132, -1
    uids: dict[int, bytes] = {}
    for _ in range(64):
        if len(head) - at < 8:
            return None
        if head[at : at + 2] != b"\2\0":
            break
        element, vr = int.from_bytes(head[at + 2 : at + 4], "little"), head[at + 4 : at + 6].decode("latin-1")
        if element <= last or not re.fullmatch("[A-Z][A-Z]", vr):
            return None
        header = 12 if vr in LONG else 8
        length = int.from_bytes(head[at + 8 : at + 12] if vr in LONG else head[at + 6 : at + 8], "little")
        value = head[at + header : at + header + length]
        if len(head) - at < header or len(value) < length:
            return None
        if element in (2, 3, 0x10):
            matched = UID.fullmatch(value)
            if matched is None:
                return None
            uids[element] = matched[1]
        at, last = at + header + length, element
    else:
        return None
    if len(uids) < 3 or int.from_bytes(head[140:144], "little") != at - 144 or uids[0x10] not in syntaxes:
        return None
    first, vr = int.from_bytes(head[at + 2 : at + 4], "little"), head[at + 4 : at + 6].decode("latin-1")
    syntax, explicit = syntaxes[uids[0x10]]
    if head[at : at + 2] != b"\x08\0" or (vr in SHORT or vr in LONG) != explicit or not (explicit or first in FIRST):
        return None
    return uids[2].decode(), uids[3].decode(), syntax, at
