"""What headers of code streams say: JPEG and JPEG-LS (ISO/IEC 10918-1, 14495-1), JPEG 2000 and HTJ2K (15444-1, -15).

Only markers are read, never coded data. Where attributes and code stream differ, the stream rules (PS3.5 8.2):
`agreed` answers the description that decoding follows. `PixelError` says at which byte a header ends or goes wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from dicomcore.errors import PixelError
from dicomcore.pixels.codec import Buffer, Report
from dicomcore.pixels.image_model import ImageModel

__all__ = ["StreamHeader", "agreed", "check_end", "check_frame", "read_jpeg", "read_jpeg2000", "read_near", "segment"]

# Start of frame -> neither a table (C4), an extension (C8) nor arithmetic conditioning (CC); F7 is JPEG-LS.
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF, 0xF7})
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment
_TAIL = 64  # bytes at the end of a stream in which its end is looked for

_U16 = Struct(">H")
_FRAME = Struct(">BHHB")  # precision, lines, columns, components
_SIZE = Struct(">HIIIIIIIIH")
_STYLE = Struct(">BBHBB")  # style, progression, layers, transform of components, levels


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """The image in one code stream."""

    rows: int
    columns: int
    samples: int
    bits: int
    is_signed: bool = False
    is_lossless: bool = False
    colour: str = ""  # "RGB" or "YBR_FULL" where the stream tells what its components are; "RGB" behind a JPEG 2000 one


def read_jpeg(data: Buffer) -> StreamHeader:
    """The header of a JPEG or JPEG-LS stream."""
    view = memoryview(data)
    if bytes(view[:2]) != b"\xff\xd8":
        raise PixelError("no JPEG stream begins here", offset=0, clause="PS3.5 A.4.1")
    at, adobe, has_jfif = 2, None, False
    while True:
        marker, body, at = segment(view, at)
        if marker == 0xE0 and bytes(body[:4]) == b"JFIF":
            has_jfif = True
        elif marker == 0xEE and bytes(body[:5]) == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        elif marker in _FRAMES:
            break
        elif marker in (0xD9, 0xDA):
            raise PixelError("the JPEG stream has no frame header", offset=at, clause="PS3.5 8.2.1")
    if len(body) < 6:
        raise PixelError("the JPEG frame header is cut short", offset=at, clause="PS3.5 8.2.1")
    bits, rows, columns, samples = _FRAME.unpack_from(body)
    identifiers = bytes(body[6 : 6 + 3 * samples : 3])
    colour = ""
    if samples == 3:
        if adobe is not None:
            colour = "YBR_FULL" if adobe == 1 else "RGB"
        elif has_jfif:
            colour = "YBR_FULL"
        elif identifiers == b"RGB":
            colour = "RGB"
    return StreamHeader(rows, columns, samples, bits, is_lossless=marker in _LOSSLESS, colour=colour)


def read_near(data: Buffer) -> int:
    """The greatest error of a value in a JPEG-LS stream, as its first scan tells; 0 is lossless."""
    view = memoryview(data)
    at = 2
    while True:
        marker, body, at = segment(view, at)
        if marker == 0xDA:
            break
    if not body or len(body) < 2 + 2 * body[0]:
        raise PixelError("the JPEG-LS scan header is cut short", offset=at, clause="PS3.5 8.2.3")
    return body[1 + 2 * body[0]]


def segment(view: memoryview, at: int) -> tuple[int, memoryview, int]:
    """The marker at or behind ``at``, its parameters, and where they end."""
    while True:
        while at + 1 < len(view) and view[at] == 0xFF and view[at + 1] == 0xFF:  # fill bytes
            at += 1
        if at + 4 > len(view) or view[at] != 0xFF:
            raise PixelError("the JPEG headers are damaged or cut short", offset=at, clause="PS3.5 8.2.1")
        marker = view[at + 1]
        if marker not in _ALONE:
            break
        at += 2
    end = at + 2 + _U16.unpack_from(view, at + 2)[0]
    if end > len(view) or end < at + 4:
        raise PixelError("a segment of the JPEG headers runs behind the stream's end", offset=at, clause="PS3.5 8.2.1")
    return marker, view[at + 4 : end], end


def read_jpeg2000(data: Buffer, report: Report) -> StreamHeader:
    """The header of a JPEG 2000 or HTJ2K code stream; one wrapped into a JP2 file is found, and reported."""
    view = memoryview(data)
    start = 0
    if bytes(view[4:8]) == b"jP  ":
        start = bytes(view[:4096]).find(b"\xff\x4f\xff\x51")
        report("the JPEG 2000 code stream is wrapped into a JP2 file", "PS3.5 A.4.4")
    if start < 0 or bytes(view[start : start + 4]) != b"\xff\x4f\xff\x51" or len(view) < start + 45:
        raise PixelError("no JPEG 2000 code stream begins here", offset=max(start, 0), clause="PS3.5 A.4.4")
    _, right, bottom, left, top, *_, samples = _SIZE.unpack_from(view, start + 6)
    depth = view[start + 42]
    at, transform, is_lossless = start + 2, 0, False
    while True:
        marker, body, at = segment(view, at)
        if marker == 0x52 and len(body) >= 10:  # coding style
            _, _, _, transform, _ = _STYLE.unpack_from(body)
            is_lossless = body[9] == 1
            break
        if marker == 0x90:
            raise PixelError("the JPEG 2000 code stream has no coding style", offset=at, clause="PS3.5 8.2.4")
    return StreamHeader(
        rows=bottom - top,
        columns=right - left,
        samples=samples,
        bits=(depth & 0x7F) + 1,
        is_signed=depth > 0x7F,
        is_lossless=is_lossless,
        colour="RGB" if transform else "",
    )


def check_end(data: Buffer, report: Report, clause: str) -> bool:
    """Whether the end marker is there; report it missing, since decoders fill up what is."""
    ends = bytes(memoryview(data)[-_TAIL:]).rstrip(b"\0\xff").endswith(b"\xff\xd9")
    if not ends:
        report("the code stream is cut short: its end marker is missing", clause)
    return ends


def agreed(header: StreamHeader, model: ImageModel, report: Report, clause: str) -> ImageModel:
    """``model``, with what the stream knows better."""
    changes: dict[str, object] = {}
    if (header.rows, header.columns) != (model.rows, model.columns):
        report(
            f"the code stream has {header.rows} rows and {header.columns} columns, the attributes say "
            f"{model.rows} and {model.columns}",
            clause,
        )
        changes |= {"rows": header.rows, "columns": header.columns}
    if header.samples != model.samples:
        report(f"the code stream has {header.samples} samples a pixel, the attributes say {model.samples}", clause)
        photometric = (header.colour or "RGB") if header.samples > 1 else "MONOCHROME2"
        changes |= {"samples": header.samples, "photometric": photometric, "planar": False}
    if header.bits > model.bits_allocated:
        report(f"the code stream has samples of {header.bits} bits, Bits Allocated is {model.bits_allocated}", clause)
        allocated = next((bits for bits in (8, 16, 32, 64) if bits >= header.bits), header.bits)
        changes |= {"bits_allocated": allocated, "bits_stored": header.bits, "high_bit": header.bits - 1}
    return model.but(**changes) if changes else model


def check_frame(header: StreamHeader, model: ImageModel, clause: str) -> None:
    """PixelError for a frame that is not like the first."""
    found = header.rows, header.columns, header.samples
    wanted = model.rows, model.columns, model.samples
    if found != wanted or header.bits > model.bits_allocated:
        raise PixelError(
            f"the code stream has {' x '.join(map(str, found))} samples of {header.bits} bits where frames have "
            f"{' x '.join(map(str, wanted))} of {model.bits_allocated}",
            clause=clause,
        )
