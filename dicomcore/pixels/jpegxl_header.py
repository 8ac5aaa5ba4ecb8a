"""The image header of a JPEG XL stream, bare or in its container (ISO/IEC 18181-1 annex D, 18181-2): a picture's size.

`PixelError` for what no frame of an object is (PS3.5 8.2.15): animations, previews, extra channels, numbers with a
point; and for headers that end early.
"""

from __future__ import annotations

from struct import unpack

from dicomcore.errors import PixelError
from dicomcore.pixels.code_stream import StreamHeader
from dicomcore.pixels.codec import Buffer

__all__ = ["read_jpegxl"]

CLAUSE = "PS3.5 8.2.15"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_ENOUGH = 64  # bytes that hold any such header
_SIZES = ((9, 1), (13, 1), (18, 1), (30, 1))  # bits, and what is added to them
_DEPTHS = ((0, 8), (0, 10), (0, 12), (6, 1))
_CHANNELS = ((0, 0), (0, 1), (4, 2), (12, 1))
_ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # columns to rows


class _Bits:
    """Numbers of some bits, the least significant first."""

    def __init__(self, data: bytes) -> None:
        self.left = int.from_bytes(data, "little")
        self.count = 8 * len(data)

    def take(self, bits: int) -> int:
        if bits > self.count:
            raise PixelError("the JPEG XL header is cut short", offset=0, clause=CLAUSE)
        value = self.left & ((1 << bits) - 1)
        self.left >>= bits
        self.count -= bits
        return value

    def choose(self, cases: tuple[tuple[int, int], ...]) -> int:
        bits, more = cases[self.take(2)]
        return self.take(bits) + more


def read_jpegxl(data: Buffer) -> StreamHeader:
    """Rows, columns, samples and bits of the picture in ``data``."""
    bits = _Bits(_code_stream(memoryview(data)))
    if bits.take(16) != 0x0AFF:
        raise PixelError("no JPEG XL stream begins here", offset=0, clause="PS3.5 A.4.12")
    rows, columns = _size(bits)
    depth, samples, turned = 8, 3, False
    if not bits.take(1):  # not all as usual
        if bits.take(1):
            turned = bits.take(3) > 3
            if bits.take(1):
                _size(bits)  # at which to show it
            if bits.take(1):
                raise _refused("a preview")
            if bits.take(1):
                raise _refused("an animation")
        if bits.take(1):
            raise _refused("numbers with a point")
        depth = bits.choose(_DEPTHS)
        bits.take(1)
        if bits.choose(_CHANNELS):
            raise _refused("more channels than colours")
        bits.take(1)  # colours as XYB
        if not bits.take(1):
            bits.take(1)  # an ICC profile follows
            samples = 1 if bits.choose(_ENUM) == 1 else 3
    if turned:
        rows, columns = columns, rows
    return StreamHeader(rows, columns, samples, depth)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    rows = 8 * (bits.take(5) + 1) if small else bits.choose(_SIZES)
    ratio = bits.take(3)
    if ratio:
        wide, high = _RATIOS[ratio]
        return rows, rows * wide // high
    return rows, 8 * (bits.take(5) + 1) if small else bits.choose(_SIZES)


def _refused(what: str) -> PixelError:
    return PixelError(f"the JPEG XL stream has {what}, which no frame has", offset=0, clause=CLAUSE)


def _code_stream(view: memoryview) -> bytes:
    """Its first bytes."""
    if bytes(view[: len(_CONTAINER)]) != _CONTAINER:
        return bytes(view[:_ENOUGH])
    at, made = len(_CONTAINER), b""
    while len(made) < _ENOUGH and at + 8 <= len(view):
        length, kind = unpack(">I4s", view[at : at + 8])
        head = 8
        if length == 1 and at + 16 <= len(view):
            (length,) = unpack(">Q", view[at + 8 : at + 16])
            head = 16
        end = at + length if length else len(view)  # without a length it is the last
        if end < at + head:
            break
        if kind in (b"jxlc", b"jxlp"):
            made += bytes(view[at + head + (4 if kind == b"jxlp" else 0) : min(end, at + head + 4 + _ENOUGH)])
        at = end
    return made
