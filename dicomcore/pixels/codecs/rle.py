"""RLE Lossless (PS3.5 8.2.2, A.4.2, annex G): byte runs, of each sample the most significant byte of all pixels first.

A header names up to 15 segments: any frame of up to 15 bytes a pixel. Single bits are runs of one byte a pixel, as
others write them; frames that hold them packed, eight to a byte, are read with a report. A segment that goes on behind
its last pixel is reported, one that ends before it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dicomcore._core import rle
from dicomcore.errors import PixelError
from dicomcore.pixels.codec import Array, Buffer, Codec, Report
from dicomcore.pixels.codecs.native import by_pixel
from dicomcore.pixels.colour import convert
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.native import as_described, decode_frame

__all__ = ["RLE"]

NAME = "RLE Lossless"


def _decode(data: Buffer, model: ImageModel, out: Array, report: Report) -> str:
    size = out.itemsize
    _check_segments(model, size)
    status, segment, offset = rle.decode(data, out.data.cast("B"), model.samples, size)
    if status == rle.LONGER:
        report(f"RLE segment {segment + 1} holds more than {model.rows * model.columns} bytes", "PS3.5 G.3.2")
    elif status != rle.DONE and not (model.bits_allocated == 1 and _decode_packed(data, model, out, report)):
        raise _error(status, segment, offset, data, model, size)
    elif model.bits_allocated == 1:
        np.minimum(out, 1, out=out)
    return "YBR_FULL" if model.subsampled else model.photometric


def _decode_packed(data: Buffer, model: ImageModel, out: Array, report: Report) -> bool:
    packed = np.empty(model.frame_length, np.uint8)
    if rle.decode(data, packed, 1, 1)[0] != rle.DONE:
        return False
    report("single bits packed before the runs were made", "PS3.5 G.2")
    decode_frame(packed.data, model, out)
    return True


def _error(status: int, segment: int, offset: int, data: Buffer, model: ImageModel, size: int) -> PixelError:
    wanted = model.samples * size
    if status == rle.HEADER:
        found = int.from_bytes(bytes(data[:4]), "little")
        message = f"{len(data)} bytes have no RLE header"
        if len(data) >= 64:
            message = f"{found} RLE segments where {model.samples} samples of {size} bytes need {wanted}"
        return PixelError(message, offset=offset, clause="PS3.5 G.5")
    if status == rle.OFFSET:
        return PixelError(
            f"RLE segment {segment + 1} cannot begin where it is said to", offset=offset, clause="PS3.5 G.5"
        )
    return PixelError(
        f"RLE segment {segment + 1} of {wanted} ends before its {model.rows * model.columns} bytes",
        offset=offset,
        clause="PS3.5 G.3.2",
    )


def _check_segments(model: ImageModel, size: int) -> None:
    if model.samples * size > rle.SEGMENTS:
        raise PixelError(
            f"{model.samples} samples of {size} bytes are more RLE segments than {rle.SEGMENTS}",
            path=model.path,
            clause="PS3.5 G.5",
        )


def _encode(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
    stored = as_described(convert(frame, source, target.photometric), target)
    flat = stored.reshape(-1).view(np.uint8)
    done = rle.encode(flat, target.rows, target.samples, stored.itemsize)
    if done is None:
        raise PixelError(
            f"a frame of {stored.nbytes} bytes is longer than the header of RLE segments can tell",
            path=target.path,
            clause="PS3.5 G.5",
        )
    return done


def _target(source: ImageModel, options: Mapping[str, Any]) -> ImageModel:
    if source.keyword != "PixelData":
        raise PixelError(f"{source.keyword} is never encapsulated", path=source.path, clause="PS3.5 A.4")
    _check_segments(source, source.dtype.itemsize)
    return by_pixel(NAME, source, options)


RLE = Codec(NAME, _decode, _encode, _target)
