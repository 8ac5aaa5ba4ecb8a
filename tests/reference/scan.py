"""The slow twin of the scan kernel: the same reading of PS3.5 7, over whole bytes, by recursion, in plain Python."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from dicomcore.vocab.vr import VRS

(
    OVERRUN,
    TRAILING,
    ODD,
    ORDER,
    ALIEN_VR,
    NO_VR,
    STRAY,
    NOT_ITEM,
    UNCLOSED,
    DELIMITER_LENGTH,
    PADDING,
    NEVER_UNDEFINED,
    ISLAND,
    BARE,
    ZEROS,
) = range(1, 16)
ITEM, ITEM_END, SEQUENCE_END, PIXEL_DATA = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010
UNDEFINED = 0xFFFFFFFF

Steps = tuple[int, ...]
Told = tuple[int, int, int, int, int, Steps]


class Refused(Exception):
    """Over a limit: ``which`` of "depth", "count", "length", and the offset of the header."""

    def __init__(self, which: str, offset: int) -> None:
        super().__init__(which, offset)
        self.which = which
        self.offset = offset


@dataclass
class Node:
    """A row and what is below it; ``below`` is None where the scan does not go."""

    tag: int
    vr: str
    length: int
    value_offset: int
    header_offset: int
    end_offset: int = 0
    cut: bool = False
    fragments: bool = False
    plain: bool = False
    explicit: bool = False
    big: bool = False
    below: list[Node] | None = None


@dataclass
class Head:
    tag: int
    vr: str
    length: int
    size: int
    fault: int = 0


@dataclass
class Reader:
    data: bytes
    nesting_depth: int = 128
    element_count: int = 1 << 32
    value_length: int = UNDEFINED
    faults: list[Told] = field(default_factory=list)
    end: int | None = None

    def tell(self, code: int, at: int, tag: int, claimed: int, available: int, steps: Steps) -> None:
        self.faults.append((code, at, tag, claimed, available, steps))

    def finish(self, at: int, steps: Steps) -> None:
        if not steps and self.end is None:
            self.end = at

    def row(self, at: int, head: Head) -> Node:
        if self.element_count == 0:
            raise Refused("count", at)
        self.element_count -= 1
        return Node(head.tag, head.vr, head.length, at + head.size, at)

    def head(self, at: int, stop: int, explicit: bool, big: bool) -> Head | int:
        """The header, or the tag of one that does not fit."""
        order = ">" if big else "<"
        group, element = struct.unpack_from(order + "HH", self.data, at)
        tag: int = group << 16 | element
        raw = self.data[at + 4 : at + 6]
        if explicit and group != 0xFFFE:
            vr = VRS.get(raw.decode("latin-1"))
            if vr is not None and vr.long_header:
                if stop - at < 12:
                    return tag
                (length,) = struct.unpack_from(order + "L", self.data, at + 8)
                return Head(tag, vr.code, length, 12)
            if vr is not None or all(32 <= byte < 127 for byte in raw):
                length = struct.unpack_from(order + "H", self.data, at + 6)[0]
                if vr is None and not length and stop - at >= 12 and self.tag(at + 8, big) <= tag:
                    (length,) = struct.unpack_from(order + "L", self.data, at + 8)
                    return Head(tag, raw.decode(), length, 12, ALIEN_VR)
                return Head(tag, raw.decode(), length, 8, 0 if vr is not None else ALIEN_VR)
            return Head(tag, "", struct.unpack_from(order + "L", self.data, at + 4)[0], 8, NO_VR)
        return Head(tag, "", struct.unpack_from(order + "L", self.data, at + 4)[0], 8)

    def tag(self, at: int, big: bool) -> int:
        group, element = struct.unpack_from(">HH" if big else "<HH", self.data, at)
        return int(group << 16 | element)

    def has_vr(self, at: int) -> bool:
        return self.data[at + 4 : at + 6].decode("latin-1") in VRS

    def island(self, at: int, stop: int, big: bool, head: Head, undefined: bool) -> tuple[Head, bool] | None:
        """The header read as explicit where it is that, and whether what follows is so too."""
        if not self.has_vr(at):
            return None
        other = self.head(at, stop, True, big)
        if isinstance(other, int) or (other.size == 12 and self.data[at + 6 : at + 8] != b"\0\0"):
            return None
        left = stop - at
        if other.length == UNDEFINED:
            if other.vr != "SQ" or left < 20 or self.tag(at + 12, big) not in (ITEM, SEQUENCE_END):
                return None
            return other, True
        behind = other.size + other.length
        if behind > left:
            return None
        if behind == left:
            return other, True
        if other.length <= 64 and left - behind >= 8:
            tag = self.tag(at + behind, big)
            ends = undefined and tag == ITEM_END and not any(self.data[at + behind + 4 : at + behind + 8])
            if ends or (tag >> 16 != 0xFFFE and tag > head.tag and self.has_vr(at + behind)):
                return other, True
        return (other, False) if left - 8 < head.length != UNDEFINED else None

    def bare(self, at: int, stop: int, big: bool, opener: int, steps: Steps) -> int | None:
        """Behind the next delimiter, where something at ``at`` is no item."""
        end = self.data.find(b"\xff\xfe\xe0\xdd\0\0\0\0" if big else b"\xfe\xff\xdd\xe0\0\0\0\0", at, stop)
        if end < 0:
            return None
        self.tell(BARE, at, opener, 0, end - at, steps)
        return end + 8

    def short(self, at: int, stop: int, tag: int, steps: Steps) -> int:
        self.tell(TRAILING, at, tag, 0, stop - at, steps)
        self.finish(at, steps)
        return stop

    def zeros(self, at: int, stop: int, explicit: bool, big: bool, steps: Steps) -> int:
        """Where a run of zeros ends."""
        start = at
        while True:
            at = stop if at + 8 - start >= 1024 else at + 8
            while True:
                if stop < at + 8:
                    self.tell(PADDING, start, 0, 0, stop - start, steps)
                    self.finish(start, steps)
                    return stop
                head = self.head(at, stop, explicit, big)
                if isinstance(head, int) or head.tag >> 16:
                    self.tell(ZEROS, start, 0, 0, at - start, steps)
                    return at
                if not head.tag and not head.length and not head.vr:
                    break
                at += 2

    def elements(
        self,
        at: int,
        stop: int,
        explicit: bool,
        big: bool,
        *,
        opener: int = 0,
        closer: bool = False,
        outer_closer: bool = False,
        steps: Steps = (),
        depth: int = 0,
        stop_tag: int | None = None,
    ) -> tuple[list[Node], int, bool, bool]:
        """(rows, where the level above goes on, whether the delimiter is missing, whether it has VRs)"""
        rows: list[Node] = []
        last, unordered = -1, False
        while True:
            if at >= stop:
                if closer:
                    self.tell(UNCLOSED, at, opener, UNDEFINED, 0, steps)
                self.finish(at, steps)
                return rows, at, closer, explicit
            if stop - at < 8:
                at = self.short(at, stop, 0, steps)
                continue
            head = self.head(at, stop, explicit, big)
            if isinstance(head, int):
                at = self.short(at, stop, head, steps)
                continue
            if not head.tag and not head.length and not head.vr:
                at = self.zeros(at, stop, explicit, big, steps)
                continue
            if not explicit and head.tag >> 16 != 0xFFFE and (found := self.island(at, stop, big, head, closer)):
                head = found[0]
                self.tell(ISLAND, at, head.tag, ord(head.vr[0]) << 8 | ord(head.vr[1]), 0, steps)
                explicit = bool(steps and found[1])
            left = stop - at - head.size
            if head.tag >> 16 == 0xFFFE:
                if head.tag == ITEM_END and closer:
                    if head.length:
                        self.tell(DELIMITER_LENGTH, at, head.tag, head.length, 0, steps)
                    return rows, at + 8, False, explicit
                if closer and (head.tag == ITEM or (head.tag == SEQUENCE_END and outer_closer)):
                    self.tell(UNCLOSED, at, head.tag, 0, 0, steps)
                    return rows, at, True, explicit
                self.tell(STRAY, at, head.tag, head.length, 0, steps)
                at += 8
                if head.tag not in (ITEM_END, SEQUENCE_END) and head.length != UNDEFINED and head.length <= left:
                    at += head.length
                continue
            if stop_tag is not None and not steps and head.tag >= stop_tag:
                self.finish(at, steps)
                return rows, stop, False, explicit
            if head.tag <= last:
                if not unordered:
                    self.tell(ORDER, at, head.tag, 0, 0, steps)
                unordered = True
            last = head.tag
            if head.fault:
                code = (ord(head.vr[0]) << 8 | ord(head.vr[1])) if head.vr else 0
                self.tell(head.fault, at, head.tag, code, 0, steps)
            row = self.row(at, head)
            rows.append(row)
            inside = (*steps, head.tag)
            un = head.vr == "UN"
            if head.length != UNDEFINED:
                if head.length > self.value_length:
                    raise Refused("length", at)
                if head.length % 2:
                    self.tell(ODD, at, head.tag, head.length, 0, steps)
                if head.length > left:
                    self.tell(OVERRUN, at, head.tag, head.length, left, steps)
                    row.length, row.cut = left, True
                    begins = left >= 8 and (
                        head.vr == "SQ"
                        or (head.vr in ("", "UN") and self.tag(row.value_offset, big and not un) == ITEM)
                    )
                    if begins:
                        if depth >= self.nesting_depth:
                            raise Refused("depth", at)
                        row.explicit, row.big = explicit and not un, big and not un
                        row.below, at, missing = self.items(
                            row.value_offset, stop, row.explicit, row.big, overlong=True, steps=inside, depth=depth
                        )
                        row.end_offset = at
                        row.length = at - row.value_offset if missing else left
                        continue
                at = row.end_offset = row.value_offset + row.length
                continue
            if head.vr == "SQ" or (head.vr in ("", "UN") and head.tag != PIXEL_DATA):
                if depth >= self.nesting_depth:
                    raise Refused("depth", at)
                row.explicit, row.big = explicit and not un, big and not un
                if un and big and self.data[row.value_offset : row.value_offset + 2] == b"\xff\xfe":
                    row.big = stop - row.value_offset >= 8
                row.below, at, row.cut = self.items(
                    row.value_offset,
                    stop,
                    row.explicit,
                    row.big,
                    opener=head.tag,
                    closer=True,
                    steps=inside,
                    depth=depth,
                )
                if row.below is None:
                    row.plain = True
            else:
                if head.vr not in ("", "UN", "OB", "OD", "OF", "OL", "OV", "OW"):
                    self.tell(NEVER_UNDEFINED, at, head.tag, ord(head.vr[0]) << 8 | ord(head.vr[1]), 0, steps)
                row.fragments, row.explicit, row.big = True, explicit, big
                row.below, at, row.cut = self.pieces(row.value_offset, stop, explicit, big, head.tag, inside)
                if row.below is None:
                    row.plain, row.fragments = True, False
            row.end_offset = at

    def items(
        self,
        at: int,
        stop: int,
        explicit: bool,
        big: bool,
        *,
        opener: int = 0,
        closer: bool = False,
        overlong: bool = False,
        steps: Steps = (),
        depth: int = 0,
    ) -> tuple[list[Node] | None, int, bool]:
        rows: list[Node] = []
        while True:
            if at >= stop:
                if closer:
                    self.tell(UNCLOSED, at, opener, UNDEFINED, 0, steps)
                self.finish(at, steps)
                return rows, at, closer
            if stop - at < 8:
                at = self.short(at, stop, 0, steps)
                continue
            head = self.head(at, stop, explicit, big)
            if isinstance(head, int):
                at = self.short(at, stop, head, steps)
                continue
            if not head.tag and not head.length and not head.vr:
                at = self.zeros(at, stop, explicit, big, steps)
            elif head.tag == SEQUENCE_END and closer:
                if head.length:
                    self.tell(DELIMITER_LENGTH, at, head.tag, head.length, 0, steps)
                return rows, at + 8, False
            elif head.tag == ITEM:
                row = self.row(at, head)
                rows.append(row)
                inside = (*steps, len(rows) - 1)
                end = stop
                if head.length != UNDEFINED:
                    if head.length % 2:
                        self.tell(ODD, at, head.tag, head.length, 0, inside)
                    if head.length > stop - at - 8:
                        self.tell(OVERRUN, at, head.tag, head.length, stop - at - 8, inside)
                        row.length, row.cut = stop - at - 8, True
                    end = row.value_offset + row.length
                if depth >= self.nesting_depth:
                    raise Refused("depth", at)
                row.explicit, row.big = explicit, big
                row.below, at, missing, row.explicit = self.elements(
                    row.value_offset,
                    end,
                    explicit,
                    big,
                    opener=ITEM,
                    closer=head.length == UNDEFINED,
                    outer_closer=closer,
                    steps=inside,
                    depth=depth + 1,
                )
                row.end_offset = at
                row.cut |= missing
            elif head.tag in (ITEM_END, SEQUENCE_END):
                self.tell(STRAY, at, head.tag, head.length, 0, steps)
                at += 8
            else:
                if closer and not rows and (behind := self.bare(at, stop, big, opener, steps)):
                    return None, behind, False
                self.tell(NOT_ITEM, at, head.tag, 0, 0, steps)
                if closer or overlong:
                    return rows, at, True
                self.finish(at, steps)
                at = stop

    def pieces(
        self, at: int, stop: int, explicit: bool, big: bool, opener: int, steps: Steps
    ) -> tuple[list[Node] | None, int, bool]:
        rows: list[Node] = []
        while True:
            if at >= stop:
                self.tell(UNCLOSED, at, opener, UNDEFINED, 0, steps)
                return rows, at, True
            if stop - at < 8:
                at = self.short(at, stop, 0, steps)
                continue
            head = self.head(at, stop, explicit, big)
            if isinstance(head, int):
                at = self.short(at, stop, head, steps)
                continue
            if not head.tag and not head.length and not head.vr:
                at = self.zeros(at, stop, explicit, big, steps)
            elif head.tag == SEQUENCE_END:
                if head.length:
                    self.tell(DELIMITER_LENGTH, at, head.tag, head.length, 0, steps)
                return rows, at + 8, False
            elif head.tag == ITEM and head.length != UNDEFINED:
                row = self.row(at, head)
                rows.append(row)
                inside = (*steps, len(rows) - 1)
                if head.length % 2:
                    self.tell(ODD, at, head.tag, head.length, 0, inside)
                if head.length > stop - at - 8:
                    self.tell(OVERRUN, at, head.tag, head.length, stop - at - 8, inside)
                    row.length, row.cut = stop - at - 8, True
                at = row.end_offset = row.value_offset + row.length
            else:
                if behind := self.bare(at, stop, big, opener, steps):
                    return rows or None, behind, False
                self.tell(NOT_ITEM, at, head.tag, 0, 0, steps)
                return rows, stop, True


def scan(
    data: bytes,
    start: int,
    stop: int,
    explicit: bool,
    big: bool,
    *,
    items: bool = False,
    stop_tag: int | None = None,
    depth: int = 0,
    **limits: Any,
) -> tuple[list[Node], int, list[Told]]:
    """(rows, end offset, faults); `Refused` over a limit."""
    reader = Reader(data, **limits)
    if items:
        found, _, _ = reader.items(start, stop, explicit, big, depth=depth)
        rows = found or []
    else:
        rows, _, _, _ = reader.elements(start, stop, explicit, big, stop_tag=stop_tag, depth=depth)
    assert reader.end is not None
    return rows, reader.end, reader.faults
