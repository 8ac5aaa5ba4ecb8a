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

    @property
    def code(self) -> int:
        return int.from_bytes(self.vr.encode("latin-1"), "big")

    @property
    def is_zero(self) -> bool:
        return not (self.tag or self.length or self.vr)

    @property
    def is_structure(self) -> bool:
        return self.tag >> 16 == 0xFFFE


def is_damaged(data: bytes, at: int, stop: int, big: bool, length: int, raw: bytes) -> bool:
    """Whether the VR of the header at ``at`` is damaged: what follows ``length`` bytes tells, or one letter of it."""
    order = ">HH" if big else "<HH"
    behind = at + 8 + length
    if behind > stop or (stop - at >= 12 and struct.unpack_from(order, data, at + 8) == (0xFFFE, 0xE000)):
        return False
    if behind < stop and length <= 64:
        if stop - behind < 8:
            return False
        tag = struct.unpack_from(order, data, behind)
        own = struct.unpack_from(order, data, at)
        follows = tag > own and data[behind + 4 : behind + 6].decode("latin-1") in VRS
        return tag == (0xFFFE, 0xE00D) or follows
    return behind == stop or any(65 <= one <= 90 for one in raw)


@dataclass
class Level:
    """Elements, items or fragments up to ``stop``, or to a delimiter where there is a ``closer``."""

    stop: int
    explicit: bool
    big: bool
    steps: Steps = ()
    depth: int = 0
    opener: int = 0
    closer: bool = False
    outer_closer: bool = False


Found = tuple[list[Node] | None, int, bool]  # rows, where the level above goes on, whether the delimiter is missing


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
        tag, raw = self.tag(at, big), self.data[at + 4 : at + 6]
        if not explicit or tag >> 16 == 0xFFFE:
            return Head(tag, "", self.number(at + 4, 4, big), 8)
        vr = VRS.get(raw.decode("latin-1"))
        if vr is not None and vr.long_header:
            return tag if stop - at < 12 else Head(tag, vr.code, self.number(at + 8, 4, big), 12)
        if vr is None and not all(32 <= byte < 127 for byte in raw):
            return Head(tag, "", self.number(at + 4, 4, big), 8, NO_VR)
        length = self.number(at + 6, 2, big)
        if vr is None and not length and stop - at >= 12 and self.tag(at + 8, big) <= tag:
            return Head(tag, raw.decode(), self.number(at + 8, 4, big), 12, ALIEN_VR)
        return Head(tag, raw.decode(), length, 8, ALIEN_VR if vr is None else 0)

    def number(self, at: int, size: int, big: bool) -> int:
        assert at + size <= len(self.data)
        return int.from_bytes(self.data[at : at + size], "big" if big else "little")

    def tag(self, at: int, big: bool) -> int:
        return self.number(at, 2, big) << 16 | self.number(at + 2, 2, big)

    def has_vr(self, at: int) -> bool:
        return self.data[at + 4 : at + 6].decode("latin-1") in VRS

    def island(self, at: int, level: Level, head: Head) -> tuple[Head, bool] | None:
        """The header read as explicit where it is that, and whether what follows is so too."""
        if not self.has_vr(at):
            return None
        stop, big = level.stop, level.big
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
            ends = level.closer and tag == ITEM_END and not any(self.data[at + behind + 4 : at + behind + 8])
            if ends or (tag >> 16 != 0xFFFE and tag > head.tag and self.has_vr(at + behind)):
                return other, True
        if other.vr == "SQ" and other.length >= 8 and self.tag(at + 12, big) == ITEM:
            return other, False
        return (other, False) if left - 8 < head.length != UNDEFINED else None

    def damaged(self, at: int, head: Head, level: Level) -> Head:
        """An element without VR, or one whose VR is damaged where only a 16-bit length fits the level."""
        length = 0 if head.length == UNDEFINED else head.length
        if at + 8 + length <= level.stop:
            return head
        raw = self.data[at + 4 : at + 6]
        short = self.number(at + 6, 2, level.big)
        if is_damaged(self.data, at, level.stop, level.big, short, raw):
            return Head(head.tag, raw.decode("latin-1").replace("\0\0", ""), short, 8, ALIEN_VR)
        return head

    def bare(self, at: int, level: Level) -> int | None:
        """Behind the next delimiter, where something at ``at`` is no item."""
        mark = b"\xff\xfe\xe0\xdd\0\0\0\0" if level.big else b"\xfe\xff\xdd\xe0\0\0\0\0"
        end = self.data.find(mark, at, level.stop)
        if end < 0:
            return None
        self.tell(BARE, at, level.opener, 0, end - at, level.steps)
        return end + 8

    def short(self, at: int, level: Level, tag: int) -> int:
        self.tell(TRAILING, at, tag, 0, level.stop - at, level.steps)
        self.finish(at, level.steps)
        return level.stop

    def zeros(self, at: int, level: Level) -> int:
        """Where a run of zeros ends."""
        start = at
        while True:
            at = level.stop if at + 8 - start >= 1024 else at + 8
            while True:
                if level.stop < at + 8:
                    self.tell(PADDING, start, 0, 0, level.stop - start, level.steps)
                    self.finish(start, level.steps)
                    return level.stop
                head = self.head(at, level.stop, level.explicit, level.big)
                if isinstance(head, int) or head.tag >> 16:
                    self.tell(ZEROS, start, 0, 0, at - start, level.steps)
                    return at
                if head.is_zero:
                    break
                at += 2

    def next(self, at: int, level: Level) -> tuple[int, Head | None]:
        """The next header of the level and where it is; None at the end."""
        while at < level.stop:
            head = self.head(at, level.stop, level.explicit, level.big) if level.stop - at >= 8 else 0
            if isinstance(head, int):
                at = self.short(at, level, head)
            elif head.is_zero:
                at = self.zeros(at, level)
            else:
                return at, head
        if level.closer:
            self.tell(UNCLOSED, at, level.opener, UNDEFINED, 0, level.steps)
        self.finish(at, level.steps)
        return at, None

    def delimiter(self, at: int, head: Head, level: Level) -> int:
        if head.length:
            self.tell(DELIMITER_LENGTH, at, head.tag, head.length, 0, level.steps)
        return at + 8

    def bound(self, row: Node, stop: int, steps: Steps) -> None:
        """Tell of a defined length that is odd, and cut one that goes beyond ``stop``."""
        left = stop - row.value_offset
        if row.length % 2:
            self.tell(ODD, row.header_offset, row.tag, row.length, 0, steps)
        if row.length > left:
            self.tell(OVERRUN, row.header_offset, row.tag, row.length, left, steps)
            row.length, row.cut = left, True
        row.end_offset = row.value_offset + row.length

    def deeper(self, row: Node, depth: int) -> None:
        if depth >= self.nesting_depth:
            raise Refused("depth", row.header_offset)

    def elements(self, at: int, level: Level, stop_tag: int | None = None) -> Found:
        rows: list[Node] = []
        last, unordered = -1, False
        while True:
            at, head = self.next(at, level)
            if head is None:
                return rows, at, level.closer
            if head.fault == NO_VR:
                head = self.damaged(at, head, level)
            if not level.explicit and not head.is_structure and (found := self.island(at, level, head)):
                head = found[0]
                self.tell(ISLAND, at, head.tag, head.code, 0, level.steps)
                level.explicit = bool(level.steps and found[1])
            if head.is_structure:
                if head.tag == ITEM_END and level.closer:
                    return rows, self.delimiter(at, head, level), False
                if level.closer and (head.tag == ITEM or (head.tag == SEQUENCE_END and level.outer_closer)):
                    self.tell(UNCLOSED, at, head.tag, 0, 0, level.steps)
                    return rows, at, True
                self.tell(STRAY, at, head.tag, head.length, 0, level.steps)
                at += 8
                if head.tag not in (ITEM_END, SEQUENCE_END) and head.length <= level.stop - at:
                    at += head.length if head.length != UNDEFINED else 0
                continue
            if stop_tag is not None and not level.steps and head.tag >= stop_tag:
                self.finish(at, level.steps)
                return rows, level.stop, False
            if head.tag <= last:
                if not unordered:
                    self.tell(ORDER, at, head.tag, 0, 0, level.steps)
                unordered = True
            last = head.tag
            if head.fault:
                self.tell(head.fault, at, head.tag, head.code, 0, level.steps)
            row = self.row(at, head)
            rows.append(row)
            self.value(row, head, level)
            at = row.end_offset

    def value(self, row: Node, head: Head, level: Level) -> None:
        """Where the value of an element ends, and what is below it."""
        un, at = head.vr == "UN", row.value_offset
        below = Level(level.stop, level.explicit and not un, level.big and not un, (*level.steps, row.tag), level.depth)
        if head.length != UNDEFINED:
            if head.length > self.value_length:
                raise Refused("length", row.header_offset)
            self.bound(row, level.stop, level.steps)
            unknown = head.vr in ("", "UN")
            if row.cut and row.length >= 8 and (head.vr == "SQ" or (unknown and self.tag(at, below.big) == ITEM)):
                self.deeper(row, level.depth)
                row.explicit, row.big = below.explicit, below.big
                row.below, row.end_offset, _ = self.items(at, below, overlong=True)
                row.length = row.end_offset - at
            return
        below.opener, below.closer = row.tag, True
        if head.vr == "SQ" or (head.vr in ("", "UN") and row.tag != PIXEL_DATA):
            self.deeper(row, level.depth)
            if un and level.big and level.stop - at >= 8:
                below.big = self.data[at : at + 2] == b"\xff\xfe"
            found = self.items(at, below)
        else:
            if head.vr not in ("", "UN", "OB", "OD", "OF", "OL", "OV", "OW"):
                self.tell(NEVER_UNDEFINED, row.header_offset, row.tag, head.code, 0, level.steps)
            below.explicit, below.big = level.explicit, level.big
            found = self.pieces(at, below)
            row.fragments = found[0] is not None
        row.below, row.end_offset, row.cut = found
        row.plain = row.below is None
        row.explicit, row.big = below.explicit, below.big

    def items(self, at: int, level: Level, *, overlong: bool = False) -> Found:
        rows: list[Node] = []
        while True:
            at, head = self.next(at, level)
            if head is None:
                return rows, at, level.closer
            if head.tag == SEQUENCE_END and level.closer:
                return rows, self.delimiter(at, head, level), False
            if head.tag == ITEM:
                row = self.row(at, head)
                rows.append(row)
                inside = (*level.steps, len(rows) - 1)
                below = Level(level.stop, level.explicit, level.big, inside, level.depth + 1, ITEM)
                if head.length == UNDEFINED:
                    below.closer, below.outer_closer = True, level.closer
                else:
                    self.bound(row, level.stop, inside)
                    below.stop = row.end_offset
                self.deeper(row, level.depth)
                row.below, at, missing = self.elements(row.value_offset, below)
                row.end_offset = at
                row.cut |= missing
                row.explicit, row.big = below.explicit, below.big
            elif head.tag in (ITEM_END, SEQUENCE_END):
                self.tell(STRAY, at, head.tag, head.length, 0, level.steps)
                at += 8
            elif level.closer and not rows and (behind := self.bare(at, level)):
                return None, behind, False
            else:
                self.tell(NOT_ITEM, at, head.tag, 0, 0, level.steps)
                if level.closer or overlong:
                    return rows, at, True
                self.finish(at, level.steps)
                at = level.stop

    def pieces(self, at: int, level: Level) -> Found:
        rows: list[Node] = []
        while True:
            at, head = self.next(at, level)
            if head is None:
                return rows, at, True
            if head.tag == SEQUENCE_END:
                return rows, self.delimiter(at, head, level), False
            if head.tag == ITEM and head.length != UNDEFINED:
                row = self.row(at, head)
                rows.append(row)
                self.bound(row, level.stop, (*level.steps, len(rows) - 1))
                at = row.end_offset
            elif behind := self.bare(at, level):
                return rows or None, behind, False
            else:
                self.tell(NOT_ITEM, at, head.tag, 0, 0, level.steps)
                return rows, level.stop, True


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
    level = Level(stop, explicit, big, depth=depth)
    rows, _, _ = reader.items(start, level) if items else reader.elements(start, level, stop_tag)
    assert rows is not None
    assert reader.end is not None
    return rows, reader.end, reader.faults
