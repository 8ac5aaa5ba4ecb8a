"""Plain twin of pyx/rle.pyx: PS3.5 annex G, a byte at a time."""

from __future__ import annotations

DONE, SHORT, HEADER, OFFSET, LONGER = "done", "short", "header", "offset", "longer"


def unpack(data: bytes, at: int, end: int, count: int) -> tuple[bytes, int]:
    """Bytes of the packets from ``at`` on, until there are ``count`` or more, and where the next packet begins."""
    out = bytearray()
    while len(out) < count and at < end:
        control = data[at]
        if control == 128:
            at += 1
        elif control > 128:
            if at + 2 > end:
                break
            out += data[at + 1 : at + 2] * (257 - control)
            at += 2
        else:
            if at + 2 + control > end:
                break
            out += data[at + 1 : at + 2 + control]
            at += 2 + control
    return bytes(out), at


def decode(data: bytes, pixels: int, samples: int, size: int) -> tuple[str, bytes]:
    """(what came of it, little-endian pixels as far as they are whole)."""
    count = samples * size
    if len(data) < 64 or int.from_bytes(data[:4], "little") != count:
        return HEADER, b""
    offsets = [int.from_bytes(data[4 * i : 4 * i + 4], "little") for i in range(1, count + 1)]
    ends = [*offsets[1:], len(data)]
    if offsets[0] < 64 or any(start > end for start, end in zip(offsets, ends, strict=True)):
        return OFFSET, b""
    out, longer = bytearray(pixels * count), False
    for segment, (start, end) in enumerate(zip(offsets, ends, strict=True)):
        plane, at = unpack(data, start, end, pixels)
        if len(plane) < pixels:
            return SHORT, b""
        longer |= len(plane) > pixels or end - at > 1
        sample, place = divmod(segment, size)
        out[sample * size + size - 1 - place :: count] = plane[:pixels]
    return (LONGER if longer else DONE), bytes(out)


def pack(row: bytes) -> bytes:
    """One row as packets: runs of three and more; two of a kind only where no literal takes them along."""
    out, at, literal = bytearray(), 0, bytearray()

    def flush() -> None:
        if len(literal) == 2 and literal[0] == literal[1]:
            out.extend([255, literal[0]])
        else:
            for i in range(0, len(literal), 128):
                out.append(len(literal[i : i + 128]) - 1)
                out.extend(literal[i : i + 128])
        literal.clear()

    while at < len(row):
        run = 1
        while row[at : at + 1] == row[at + run : at + run + 1]:
            run += 1
        if run < 3:
            literal.append(row[at])
            at += 1
            continue
        flush()
        while run > 1:
            part = min(run, 128)
            out.extend([257 - part, row[at]])
            at += part
            run -= part
    flush()
    return bytes(out)


def encode(frame: bytes, rows: int, samples: int, size: int) -> bytes:
    """Of little-endian pixels, colour by pixel."""
    count = samples * size
    segments = []
    for segment in range(count):
        sample, place = divmod(segment, size)
        plane = frame[sample * size + size - 1 - place :: count]
        columns = len(plane) // rows
        packed = b"".join(pack(plane[i * columns : (i + 1) * columns]) for i in range(rows))
        segments.append(packed + b"\0" * (len(packed) % 2))
    head, at = count.to_bytes(4, "little"), 64
    for packed in segments:
        head += at.to_bytes(4, "little")
        at += len(packed)
    return head.ljust(64, b"\0") + b"".join(segments)
