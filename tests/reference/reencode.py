"""The re-encode kernel in plain Python: recursive, slow, and written from PS3.5 alone. Oracle of tests/encoding."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack, unpack_from

from dicomcore.vocab.dictionary import lookup, lookup_private
from dicomcore.vocab.vr import VRS
from tests.reference.scan import is_damaged

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class Refused(Exception):
    """The bytes cannot be carried over."""


class TooDeep(Refused):
    """More nesting than allowed."""


@dataclass
class Level:
    pixel_representation: int | None = None
    lut_entries: int | None = None
    creators: dict[int, str] = field(default_factory=dict)
    group: int = 0
    outer: dict[int, str] = field(default_factory=dict)


class Reencoder:
    def __init__(self, data: bytes, target: tuple[bool, bool], depth: int) -> None:
        self.data = data
        self.explicit, self.big = target
        self.depth = depth
        self.faults: list[tuple[str, int]] = []

    def fault(self, kind: str, at: int) -> None:
        self.faults.append((kind, at))

    def u16(self, at: int, big: bool) -> int:
        return int(unpack_from(">H" if big else "<H", self.data, at)[0])

    def u32(self, at: int, big: bool) -> int:
        return int(unpack_from(">I" if big else "<I", self.data, at)[0])

    def tag(self, at: int, big: bool) -> int:
        return self.u16(at, big) << 16 | self.u16(at + 2, big)

    def plain(self, tag: int, length: int) -> bytes:
        return pack(">HHI" if self.big else "<HHI", tag >> 16, tag & 0xFFFF, length)

    def header(self, tag: int, vr: str, length: int) -> bytes:
        if not self.explicit:
            return self.plain(tag, length)
        order = ">" if self.big else "<"
        if not VRS[vr].long_header and length <= 65534:
            return pack(order + "HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), length)
        if not VRS[vr].long_header:
            vr = "UN"
        return pack(order + "HH2sHI", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)

    def known_vr(self, tag: int, level: Level, root: bool) -> str | None:
        if entry := lookup(tag):
            return entry.vr or None
        if not tag >> 16 & 1:
            return None
        element = tag & 0xFFFF
        if element < 0x1000:
            return "LO" if 0x10 <= element <= 0xFF else None
        creator_tag = tag & 0xFFFF0000 | element >> 8
        creator = level.creators.get(creator_tag) if level.group == tag >> 16 else None
        if creator is None and root:
            creator = level.outer.get(creator_tag)
        entry = lookup_private(creator, tag) if creator is not None else None
        return (entry.vr or None) if entry else None

    def decide(self, tag: int, vr: str | None, level: Level) -> str | None:
        if vr == "US or SS":
            return "SS" if level.pixel_representation else "US"
        if vr == "US or OW":
            return "US" if level.lut_entries == 1 else "OW"
        if vr == "OB or OW":
            return "OB" if tag & 0xFF00FFFF == 0x50003000 else "OW"
        return "OW" if vr == "US or SS or OW" else vr

    def run(
        self, at: int, stop: int, source: tuple[bool, bool], level: Level, depth: int, item: str
    ) -> tuple[bytes, int]:
        """The data set at ``at``; ``item`` is "", "defined" or "undefined". Returns its bytes and where it ended."""
        explicit, big = source
        out = b""
        while at < stop:
            if stop - at < 8:
                self.fault("trailing", at)
                return self._missing_end(out, stop, item)
            start, tag = at, self.tag(at, big)
            if tag >> 16 == 0xFFFE:
                if tag == ITEM_END and item == "undefined":
                    return out, at + 8
                if tag == SEQUENCE_END and item == "undefined":
                    self.fault("unended", at)
                    return out, at
                if tag not in (ITEM_END, SEQUENCE_END):
                    raise Refused
                self.fault("stray", at)
                at += 8
                continue
            raw: str | None = None
            two = self.data[at + 4 : at + 6]
            if explicit and all(32 <= one < 127 for one in two):
                raw = two.decode()
                if raw in VRS and VRS[raw].long_header:
                    if stop - at < 12:
                        self.fault("trailing", at)
                        return self._missing_end(out, stop, item)
                    length, at = self.u32(at + 8, big), at + 12
                else:
                    length, at = self.u16(at + 6, big), at + 8
                    raw = raw if raw in VRS else "??"
                    if raw == "??" and not length and stop - start >= 12 and self.tag(start + 8, big) <= tag:
                        length, at = self.u32(start + 8, big), start + 12
            else:
                length, at = self.u32(at + 4, big), at + 8
                short = self.u16(start + 6, big)
                if explicit and stop - at < length != UNDEFINED and is_damaged(self.data, start, stop, big, short, two):
                    length, raw = short, "??"

            vr: str | None
            if raw in (None, "UN") or (raw == "??" and length != UNDEFINED):
                vr = self.known_vr(tag, level, root=not item)
                if length == UNDEFINED and vr != "SQ":
                    vr = "OB" if tag == 0x7FE00010 or vr in ("OB", "OW", "OB or OW") else "SQ"
                vr = self.decide(tag, vr, level)
            else:
                vr = raw if raw in VRS else None
                if length == UNDEFINED and vr != "SQ" and (vr or " ")[0] != "O":
                    raise Refused
            inner = (False, False) if raw == "UN" else source

            if length == UNDEFINED:
                if vr == "SQ":
                    content, at = self.sequence(at, stop, inner, level, depth, undefined=True)
                else:
                    content, at = self.fragments(at, stop, big)
                out += self.header(tag, str(vr), UNDEFINED) + content + self.plain(SEQUENCE_END, 0)
                continue
            if length > stop - at:
                self.fault("overrun", start)
                length = stop - at
            value, end = self.data[at : at + length], at + length
            if tag & 0xFFFF == 0:
                at = end
                continue
            if vr == "SQ":
                if not length or (length >= 8 and self.tag(at, inner[1]) in (ITEM, SEQUENCE_END)):
                    content, at = self.sequence(at, end, inner, level, depth, undefined=False)
                    out += self.header(tag, "SQ", len(content)) + content
                    continue
                self.fault("no items", start)
                vr = "UN"
            vr = vr or "UN"
            self.remember(tag, value, big, level)
            if big != self.big:
                if vr == "UN" and value:
                    self.fault("unswapped", start)
                word = VRS[vr].word
                whole = len(value) // word * word
                value = b"".join(value[i : i + word][::-1] for i in range(0, whole, word)) + value[whole:]
            out += self.header(tag, vr, length) + value
            at = end
        return self._missing_end(out, at, item)

    def _missing_end(self, out: bytes, at: int, item: str) -> tuple[bytes, int]:
        if item == "undefined":
            self.fault("unended", at)
        return out, at

    def remember(self, tag: int, value: bytes, big: bool, level: Level) -> None:
        if tag == 0x00280103 and len(value) >= 2:
            level.pixel_representation = int(unpack_from(">H" if big else "<H", value)[0])
        elif tag == 0x00283002 and len(value) >= 2:
            level.lut_entries = int(unpack_from(">H" if big else "<H", value)[0])
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            if level.group != tag >> 16:
                level.group, level.creators = tag >> 16, {}
            level.creators[tag] = value.rstrip(b" \0").decode("utf-8", "replace")

    def sequence(
        self, at: int, stop: int, source: tuple[bool, bool], level: Level, depth: int, undefined: bool
    ) -> tuple[bytes, int]:
        """The items at ``at``, without the delimiter of the sequence."""
        if depth >= self.depth:
            raise TooDeep
        out, big = b"", source[1]
        while at < stop:
            if stop - at < 8:
                self.fault("trailing", at)
                at = stop
                break
            tag, length = self.tag(at, big), self.u32(at + 4, big)
            if tag == SEQUENCE_END:
                at += 8
                if undefined:
                    return out, at
                self.fault("stray", at - 8)
                continue
            if tag != ITEM:
                raise Refused
            at += 8
            end = stop
            if length != UNDEFINED:
                if length > stop - at:
                    self.fault("overrun", at - 8)
                else:
                    end = at + length
            inner = Level(level.pixel_representation)
            if length == UNDEFINED:
                content, at = self.run(at, end, source, inner, depth + 1, "undefined")
                out += self.plain(ITEM, UNDEFINED) + content + self.plain(ITEM_END, 0)
            else:
                content, at = self.run(at, end, source, inner, depth + 1, "defined")
                out += self.plain(ITEM, len(content)) + content
        if undefined:
            self.fault("unended", at)
        return out, at

    def fragments(self, at: int, stop: int, big: bool) -> tuple[bytes, int]:
        out = b""
        while stop - at >= 8:
            tag, length = self.tag(at, big), self.u32(at + 4, big)
            at += 8
            if tag == SEQUENCE_END:
                return out, at
            if tag != ITEM or length == UNDEFINED:
                raise Refused
            if length > stop - at:
                self.fault("overrun", at - 8)
                length = stop - at
            out += self.plain(ITEM, length) + self.data[at : at + length]
            at += length
        self.fault("unended", at)
        return out, stop


def reencode(
    data: bytes,
    source: tuple[bool, bool],
    target: tuple[bool, bool],
    *,
    pixel_representation: int | None = None,
    lut_entries: int | None = None,
    private_creators: dict[int, str] | None = None,
    depth: int = 128,
) -> tuple[bytes, list[tuple[str, int]]]:
    """The bytes in their new encoding, and the faults as (kind, offset) in no particular order."""
    work = Reencoder(data, target, depth)
    level = Level(pixel_representation, lut_entries, outer=dict(private_creators or {}))
    out, _ = work.run(0, len(data), source, level, 0, "")
    return out, work.faults
