"""Code streams that cost their reader far more than their writer: refused before anything decodes them (`PixelError`).

A hundred bytes of JPEG 2000 may say that a frame lies in millions of pieces, for each of which a decoder makes room,
and a short JPEG stream may have thousands of scans, each a pass over the frame. Pictures have neither. What is wrong
with such headers besides is left to whoever decodes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from re import finditer
from struct import Struct
from typing import NamedTuple

from dicomcore.errors import PixelError
from dicomcore.pixels.code_stream import segment
from dicomcore.pixels.codec import Buffer

__all__ = ["check_jpeg", "check_jpeg2000", "check_openjph"]

_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LOSSLESS = frozenset({0xC3, 0xC7})
_MISSING = 16  # what is cut short to less than this part of the least that it takes is no frame
_SCANS = 100  # ten are usual
_PIECES = 1 << 16  # that are no matter; beyond, each has as many samples as the smallest code block, 4 x 4

_ONCE = (0x51, 0x52, 0x5C)  # sizes, coding style, quantization
_PLAIN = frozenset({*_ONCE, 0x50, 0x55, 0x57, 0x64})  # and capabilities, lengths, comments
_DATA = b"\xff\x93"  # start of coded data
_FRAME = Struct(">BHHB")  # precision, lines, columns, components
_SIZE = Struct(">HIIIIIIIIH")
_TILE_PART = Struct(">HIBB")


def check_jpeg(data: Buffer) -> None:
    """PixelError for a JPEG stream of more scans than `_SCANS`, or of next to nothing for a large frame."""
    view = memoryview(data)
    at, marker, frame, samples, units = 2, 0, 0, 0, 0
    while marker not in (0xD9, 0xDA):
        try:
            marker, body, at = segment(view, at)
        except PixelError:
            break
        if marker in _FRAMES and len(body) > 5:
            frame = marker
            _, rows, columns, samples = _FRAME.unpack_from(body)
            units = rows * columns * samples if frame in _LOSSLESS else -(-rows // 8) * -(-columns // 8)
    # Each sample, or the mean of each 8 x 8, takes a bit at least, but with arithmetic coding. The rest is filled up.
    if frame < 0xC8 and units > _PIECES and units > 8 * len(view) * _MISSING:
        raise PixelError(
            f"{len(view)} bytes of JPEG are no frame of {rows} x {columns} pixels", offset=at, clause="PS3.5 8.2.1"
        )
    if marker != 0xDA or (frame not in _PROGRESSIVE and len(body) and body[0] >= samples):
        return  # all components are in this scan, so it is the only one
    if sum(1 for _ in islice(finditer(b"\xff\xda", view[at:]), _SCANS)) == _SCANS:
        raise PixelError(f"the JPEG stream has more than {_SCANS} scans", offset=at, clause="PS3.5 8.2.1")


class _Style(NamedTuple):
    """How one component or all of them are cut into pieces. Sizes are exponents of two."""

    components: int
    layers: int
    width: int  # of a code block
    height: int
    precincts: tuple[tuple[int, int], ...]  # width and height, for each resolution from the lowest


def check_jpeg2000(data: Buffer) -> None:
    """PixelError for a JPEG 2000 or HTJ2K stream of more packets than bytes, or of too many small code blocks."""
    view = memoryview(data)
    start = 0 if bytes(view[4:8]) != b"jP  " else max(bytes(view[:4096]).find(b"\xff\x4f\xff\x51"), 0)
    if len(view) < start + 42:
        return
    _, right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, count = _SIZE.unpack_from(
        view, start + 6
    )
    columns, rows = right - left, bottom - top
    if columns <= 0 or rows <= 0 or not tile_width or not tile_height or tile_left > left or tile_top > top:
        return
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    width, height = min(tile_width, columns), min(tile_height, rows)
    for style in _styles(view, start + 2, count):
        packets = blocks = 0
        for level, (wide, high) in enumerate(reversed(style.precincts)):
            lowest = level == len(style.precincts) - 1
            across, down = -(-width >> level), -(-height >> level)  # rounded up
            packets += (-(-across >> wide) or 1) * (-(-down >> high) or 1)
            half = 0 if lowest else 1
            block = 1 << min(style.width, max(wide - half, 0)), 1 << min(style.height, max(high - half, 0))
            bands = 1 if lowest else 3
            blocks += bands * -(-(across >> half) // block[0]) * -(-(down >> half) // block[1])
        packets *= tiles * style.components
        blocks *= tiles * style.components
        # 1/16 of the samples, a third of that for edges; and no frame that is not empty has fewer bits than blocks.
        most = _PIECES + min(columns * rows * style.components // 12, 8 * len(view))
        if max(blocks, packets) > most or packets * style.layers > max(len(view), _PIECES):
            raise PixelError(
                f"the JPEG 2000 code stream is said to have {blocks} code blocks in {packets * style.layers} packets, "
                f"for {columns} x {rows} pixels in {len(view)} bytes",
                offset=start,
                clause="PS3.5 8.2.4",
            )


def check_openjph(data: Buffer) -> None:
    """PixelError for headers of lossless HTJ2K that OpenJPH takes as they are, and then never ends, or crashes."""
    view = memoryview(data)
    start = 0 if bytes(view[4:8]) != b"jP  " else max(bytes(view[:4096]).find(b"\xff\x4f\xff\x51"), 0)
    at, known = start + 2, dict[int, memoryview]()
    while True:
        marker, body, at = segment(view, at)
        if marker == 0x90:
            break
        if marker not in _PLAIN or (marker in known and marker in _ONCE):
            raise PixelError(f"marker {marker:02X} in the header of HTJ2K", offset=at, clause="PS3.5 8.2.14")
        known[marker] = body
    size, style, steps = (known.get(marker, memoryview(b"")) for marker in _ONCE)
    fits = len(size) >= 39 and len(style) >= 10 and len(steps) >= 1
    if fits:
        _, right, bottom, left, top, *tile, count = _SIZE.unpack_from(size)
        depth = bytes(size[36:39])
        fits = (
            tile[2] <= left < tile[2] + tile[0]
            and tile[3] <= top < tile[3] + tile[1]
            and bytes(size[36:]) == depth * count
            and depth[1:] == b"\1\1"
            and (style[5] <= 32 and style[6] <= 4 and style[7] <= 4 and style[8] == 0x40 and style[9] == 1)
            and len(style) == 10 + (style[5] + 1 if style[0] & 1 else 0)
            and steps[0] & 31 == 0
            and len(steps) == 2 + 3 * style[5]
            and right - left <= tile[0] * 0xFFFF
            and bottom - top <= tile[1] * 0xFFFF
        )
    if not fits:
        raise PixelError("the HTJ2K headers are damaged", offset=start, clause="PS3.5 8.2.14")


def _styles(view: memoryview, at: int, count: int) -> Iterator[_Style]:
    """Coding styles of the main header and of those of tile-parts."""
    wide = 2 if count > 256 else 1  # bytes of a component's number
    layers, end = 1, 0
    try:
        while True:
            if bytes(view[at : at + 2]) == _DATA:
                if end <= at:
                    return  # the last tile-part, or one that leads back
                at = end
            here = at
            marker, body, at = segment(view, at)
            if marker == 0x90 and len(body) == 8:
                end = here + _TILE_PART.unpack_from(body)[1]
            elif marker == 0x52 and len(body) >= 10:
                layers = body[2] << 8 | body[3]
                yield _style(count, layers, body[5:], bool(body[0] & 1))
            elif marker == 0x53 and len(body) >= wide + 6:
                yield _style(1, layers, body[wide + 1 :], bool(body[wide] & 1))
    except PixelError:
        return


def _style(components: int, layers: int, body: memoryview, has_precincts: bool) -> _Style:
    levels = min(body[0], 32)
    sizes = bytes(body[5 : 6 + levels]) if has_precincts else b""
    sizes += b"\xff" * (levels + 1 - len(sizes))
    precincts = tuple((size & 15, size >> 4) for size in sizes)
    return _Style(components, layers, (body[1] & 15) + 2, (body[2] & 15) + 2, precincts)
