"""Images for tests: native or encapsulated, in memory or as a file, and a codec that only copies."""

from __future__ import annotations

import io
from collections.abc import Sequence
from struct import pack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomcore import CODECS, Codec, Dataset, dcmread
from dicomcore.pixels.codec import Buffer, Report
from dicomcore.pixels.image_model import ImageModel

PRIVATE = "2.25.1"  # a syntax that nobody else knows, so it is encapsulated
RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4.50"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
ITEM = b"\xfe\xff\x00\xe0"
END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def image(**changes: Any) -> Dataset:
    """A MONOCHROME2 image of 2 x 3 bytes; ``None`` leaves an attribute out."""
    values: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
        "SOPInstanceUID": "2.25.2",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 2,
        "Columns": 3,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    ds = Dataset()
    for keyword, value in (values | changes).items():
        if value is not None:
            setattr(ds, keyword, value)
    return ds


def read(ds: Dataset, syntax: str = "1.2.840.10008.1.2.1") -> Dataset:
    """``ds`` as a file in memory, read again."""
    file = io.BytesIO()
    ds.save_as(file, transfer_syntax=syntax)
    return dcmread(file.getvalue())


def items(fragments: Sequence[bytes], table: bytes = b"") -> bytes:
    """The value of encapsulated pixel data, from the Basic Offset Table to the delimiter."""
    return b"".join(ITEM + pack("<I", len(one)) + one for one in (table, *fragments)) + END


def offsets(frames: Sequence[Sequence[bytes]]) -> list[int]:
    """Of the first item of each frame, from the first of all."""
    lengths = [sum(8 + len(one) for one in fragments) for fragments in frames]
    return [sum(lengths[:i]) for i in range(len(lengths))]


def encapsulated(
    frames: Sequence[Sequence[bytes]], table: str = "basic", syntax: str = PRIVATE, **changes: Any
) -> Dataset:
    """An image of these frames, each a list of fragments, read from memory. ``table``: basic, extended or none."""
    fragments = [fragment for frame in frames for fragment in frame]
    at = offsets(frames)
    value = items(fragments, np.array(at, "<u4").tobytes() if table == "basic" else b"")
    if table == "extended":
        changes = {
            "ExtendedOffsetTable": np.array(at, "<u8").tobytes(),
            "ExtendedOffsetTableLengths": np.array([sum(map(len, frame)) for frame in frames], "<u8").tobytes(),
        } | changes
    ds = image(**{"NumberOfFrames": len(frames), "PixelData": value} | changes)
    return read(ds, syntax)


def copying(data: Buffer, model: ImageModel, out: NDArray[Any], report: Report) -> str:
    """Decode what is no more than the pixels; ``bad`` and ``odd`` are faults."""
    if bytes(data[:3]) == b"bad":
        raise ValueError("bad bytes")
    if bytes(data[:3]) == b"odd":
        report("odd bytes", "PS3.5 8.2")
    out.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8, out.nbytes)
    return model.photometric


COPY = Codec("copy", decode=copying)
TABLE = CODECS.with_codec(PRIVATE, COPY).with_codec(RLE, COPY).with_codec(JPEG, COPY)
