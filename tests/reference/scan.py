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
) = range(1, 13)
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
                return Head(tag, raw.decode(), length, 8, 0 if vr is not None else ALIEN_VR)
            return Head(tag, "", struct.unpack_from(order + "L", self.data, at + 4)[0], 8, NO_VR)
        return Head(tag, "", struct.unpack_from(order + "L", self.data, at + 4)[0], 8)

    def short(self, at: int, stop: int, tag: int, steps: Steps) -> int:
        self.tell(TRAILING, at, tag, 0, stop - at, steps)
        self.finish(at, steps)
        return stop

    def zeros(self, at: int, stop: int, steps: Steps) -> int:
        self.tell(PADDING, at, 0, 0, stop - at, steps)
        self.finish(at, steps)
        return stop

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
    ) -> tuple[list[Node], int, bool]:
        """(rows, where the level above goes on, whether the delimiter is missing)"""
        rows: list[Node] = []
        last, unordered = -1, False
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
                at = self.zeros(at, stop, steps)
                continue
            left = stop - at - head.size
            if head.tag >> 16 == 0xFFFE:
                if head.tag == ITEM_END and closer:
                    if head.length:
                        self.tell(DELIMITER_LENGTH, at, head.tag, head.length, 0, steps)
                    return rows, at + 8, False
                if closer and (head.tag == ITEM or (head.tag == SEQUENCE_END and outer_closer)):
                    self.tell(UNCLOSED, at, head.tag, 0, 0, steps)
                    return rows, at, True
                self.tell(STRAY, at, head.tag, head.length, 0, steps)
                at += 8
                if head.tag not in (ITEM_END, SEQUENCE_END) and head.length != UNDEFINED and head.length <= left:
                    at += head.length
                continue
            if stop_tag is not None and not steps and head.tag >= stop_tag:
                self.finish(at, steps)
                return rows, stop, False
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
            if head.length != UNDEFINED:
                if head.length > self.value_length:
                    raise Refused("length", at)
                if head.length % 2:
                    self.tell(ODD, at, head.tag, head.length, 0, steps)
                if head.length > left:
                    self.tell(OVERRUN, at, head.tag, head.length, left, steps)
                    row.length, row.cut = left, True
                at = row.end_offset = row.value_offset + row.length
                continue
            inside = (*steps, head.tag)
            un = head.vr == "UN"
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
            else:
                if head.vr not in ("", "UN", "OB", "OD", "OF", "OL", "OV", "OW"):
                    self.tell(NEVER_UNDEFINED, at, head.tag, ord(head.vr[0]) << 8 | ord(head.vr[1]), 0, steps)
                row.fragments, row.explicit, row.big = True, explicit, big
                row.below, at, row.cut = self.pieces(row.value_offset, stop, explicit, big, head.tag, inside)
            row.end_offset = at

    def items(
        self,
        at: int,
        stop: int,
        explicit: bool,
        big: bool,
        *,
        opener: int = 0,
        closer: bool,
        steps: Steps = (),
        depth: int = 0,
    ) -> tuple[list[Node], int, bool]:
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
                at = self.zeros(at, stop, steps)
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
                row.below, at, missing = self.elements(
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
                self.tell(NOT_ITEM, at, head.tag, 0, 0, steps)
                if closer:
                    return rows, at, True
                self.finish(at, steps)
                at = stop

    def pieces(
        self, at: int, stop: int, explicit: bool, big: bool, opener: int, steps: Steps
    ) -> tuple[list[Node], int, bool]:
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
                at = self.zeros(at, stop, steps)
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
        rows, _, _ = reader.items(start, stop, explicit, big, closer=False, depth=depth)
    else:
        rows, _, _ = reader.elements(start, stop, explicit, big, stop_tag=stop_tag, depth=depth)
    assert reader.end is not None
    return rows, reader.end, reader.faults
