"""Which fragments make which frame of encapsulated pixel data (PS3.5 A.4, PS3.3 C.7.6.3.1.8).

The first of these that fits the fragments: the Extended Offset Table, the Basic Offset Table, one fragment a frame, all
fragments one frame, the markers by which code streams begin and end. A table that does not fit is told and set aside,
never followed. Offsets are 64 bits wide; nothing but offset tables is read, unless markers have to be looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomcore.encoding.fragments import FragmentTable
from dicomcore.encoding.source import Source
from dicomcore.errors import Issue

__all__ = ["FrameTable", "frame_table"]

Integers = NDArray[np.int64]
Accept = Callable[[Issue], None]

CLAUSE = "PS3.5 A.4"
# How code streams begin, by the codec that PS3.5 names; where there is none, a frame is one fragment (PS3.5 A.4.2).
_JPEG = (b"\xff\xd8\xff",)
_JPEG2000 = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
_STARTS = {
    "jpeg": _JPEG,
    "jpeg-lossless": _JPEG,
    "jpeg-ls": _JPEG,
    "jpeg2000": _JPEG2000,
    "jpeg2000-mc": _JPEG2000,
    "htj2k": _JPEG2000,
    "jpegxl": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
}
_END = b"\xff\xd9"  # end of image, end of code stream
_TAIL = 10  # bytes at the end of a fragment in which the end is looked for: padding may follow it


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable:
    """Frame ``i`` is the fragments ``first[i]`` to ``first[i + 1]``; ``basis`` says by what that is known."""

    fragments: FragmentTable
    first: Integers
    basis: str
    lengths: Integers | None = None  # of frames, without padding, where the Extended Offset Table tells them

    def __len__(self) -> int:
        return len(self.first) - 1

    def spans(self, i: int) -> list[tuple[int, int]]:
        """(offset, length) in the source of each fragment of frame ``i``, without those that are empty."""
        start, stop = int(self.first[i]), int(self.first[i + 1])
        fragments = self.fragments
        if stop - start == 1 and self.lengths is not None:
            return [(int(fragments.offsets[start]), int(self.lengths[i]))]
        offsets, lengths = fragments.offsets[start:stop].tolist(), fragments.lengths[start:stop].tolist()
        return [(offset, length) for offset, length in zip(offsets, lengths, strict=True) if length]

    def offset(self, i: int) -> int:
        """Where the first byte of frame ``i`` lies."""
        return int(self.fragments.offsets[self.first[i]])

    def length(self, i: int) -> int:
        """Bytes of frame ``i``."""
        return sum(length for _, length in self.spans(i))


def frame_table(
    fragments: FragmentTable,
    source: Source,
    frames: int,
    accept: Accept,
    *,
    codec: str = "",
    extended: tuple[memoryview, memoryview] | None = None,
    stated: bool = True,
) -> FrameTable:
    """The frames in ``fragments`` of ``source``, of which the attributes claim ``frames``.

    ``codec`` is `TransferSyntax.codec`; ``extended`` the values of (7FE0,0001) and (7FE0,0002); ``stated`` says whether
    Number of Frames is there at all. What does not fit is told to ``accept``.
    """

    def issue(message: str, clause: str = CLAUSE) -> None:
        accept(Issue(message, fragments.base_offset, "(7FE0,0010)", clause))

    table: FrameTable | None = None
    if extended is not None:
        table = _extended(fragments, *extended, issue)
    if table is None and fragments.basic_offset_table[1]:
        table = _basic(fragments, source, issue)
    count = len(fragments)
    if table is not None and len(table) != frames:
        message = f"{table.basis} has {len(table)} frames for {count} fragments, and Number of Frames says {frames}"
        if count == frames or len(table) < frames < count:
            issue(f"{message}; set aside")
            table = None
        else:
            issue(f"{message}; the table is believed")
    if table is not None:
        return table
    if frames == 1 and count > 1:
        return _one_frame(fragments, source, codec, stated, issue)
    if count <= frames:
        if count < frames:
            issue(f"{count} fragments for {frames} frames")
        return FrameTable(fragments, np.arange(count + 1, dtype=np.int64), "one fragment a frame")
    return _by_markers(fragments, source, frames, codec, issue)


def _starts(fragments: FragmentTable, offsets: Integers) -> Integers | None:
    """The numbers of the fragments whose item headers lie at ``offsets`` from the first; None when one does not."""
    headers = fragments.offsets - 8 - fragments.base_offset
    if not len(offsets) or not len(headers) or int(offsets[0]) != 0 or bool(np.any(offsets[1:] <= offsets[:-1])):
        return None
    found = np.searchsorted(headers, offsets)
    if int(found[-1]) >= len(headers) or bool(np.any(headers[found] != offsets)):
        return None
    return np.append(found, len(headers)).astype(np.int64)


def _basic(fragments: FragmentTable, source: Source, issue: Callable[[str], None]) -> FrameTable | None:
    offset, length = fragments.basic_offset_table
    offsets = np.frombuffer(source.view(offset, length - length % 4), "<u4").astype(np.int64)
    first = _starts(fragments, offsets)
    if first is None:
        issue("the Basic Offset Table does not point to fragments; set aside")
        return None
    return FrameTable(fragments, first, "the Basic Offset Table")


def _extended(
    fragments: FragmentTable, offsets: memoryview, lengths: memoryview, issue: Callable[[str, str], None]
) -> FrameTable | None:
    clause = "PS3.3 C.7.6.3.1.8"
    at, sizes = (np.frombuffer(value[: len(value) - len(value) % 8], "<i8") for value in (offsets, lengths))
    first = _starts(fragments, at) if len(at) == len(sizes) else None
    if first is None:
        issue(
            "the Extended Offset Table does not point to fragments, or has other lengths than offsets; set aside",
            clause,
        )
        return None
    present = np.add.reduceat(fragments.lengths, first[:-1])
    if bool(np.any((sizes != present) & (sizes != present - 1))):
        issue("Extended Offset Table Lengths are not those of the fragments; the fragments are believed", clause)
        sizes = present
    if len(at) != len(fragments):
        issue("the Extended Offset Table has frames of several fragments", clause)
        return FrameTable(fragments, first, "the Extended Offset Table")
    return FrameTable(fragments, first, "the Extended Offset Table", sizes)


def _one_frame(
    fragments: FragmentTable, source: Source, codec: str, stated: bool, issue: Callable[[str], None]
) -> FrameTable:
    several = codec not in _STARTS or (not stated and int(_markers(fragments, source, _STARTS[codec])[0].sum()) > 1)
    if several:
        issue(f"{len(fragments)} fragments, taken as one frame since Number of Frames says no other")
    return FrameTable(fragments, np.array([0, len(fragments)], np.int64), "one frame of all fragments")


def _by_markers(
    fragments: FragmentTable, source: Source, frames: int, codec: str, issue: Callable[[str], None]
) -> FrameTable:
    """More fragments than frames, and no table: where code streams begin and end."""
    count = len(fragments)
    filled = np.flatnonzero(fragments.lengths)
    if codec not in _STARTS or len(filled) == frames:  # empty fragments belong to the frame before them
        starts = np.concatenate([[0], filled[1:]]) if len(filled) == frames else np.arange(count)
        issue(f"{count} fragments for {frames} frames, taken as {len(starts)} frames")
        return FrameTable(fragments, np.append(starts, count).astype(np.int64), "one fragment a frame")
    begins, ends = _markers(fragments, source, _STARTS[codec])
    after = np.append(True, ends[:-1])
    candidates = [np.flatnonzero(one) for one in (begins & after, begins, after)]
    usable = [one for one in candidates if len(one) and one[0] == 0]
    for starts in usable:
        if len(starts) == frames:
            return FrameTable(fragments, np.append(starts, count).astype(np.int64), "the markers of code streams")
    starts = next((one for one in usable if len(one) > 1), np.zeros(1, np.int64))
    issue(f"{count} fragments whose markers tell {len(starts)} frames, and Number of Frames says {frames}")
    return FrameTable(fragments, np.append(starts, count).astype(np.int64), "the markers of code streams")


def _markers(
    fragments: FragmentTable, source: Source, starts: tuple[bytes, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each fragment, whether a code stream begins there, and whether one ends there."""
    count = len(fragments)
    begins, ends = np.zeros(count, bool), np.zeros(count, bool)
    with source.session() as opened:
        for i, (offset, length) in enumerate(zip(fragments.offsets.tolist(), fragments.lengths.tolist(), strict=True)):
            begins[i] = bytes(opened.view(offset, min(length, 12))).startswith(starts)
            tail = min(length, _TAIL)
            ends[i] = _END in bytes(opened.view(offset + length - tail, tail))
    return begins, ends
