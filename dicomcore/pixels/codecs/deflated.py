"""Deflated Image Frame Compression (PS3.5 8.2.16, A.4.13): each frame deflated by itself, without a header (RFC 1951).

What is inflated never becomes longer than one frame. Option when encoding: ``level``, 0 to 9.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from dicomcore.errors import PixelError
from dicomcore.pixels.codec import Array, Buffer, Codec, Report
from dicomcore.pixels.codecs.native import by_pixel, decode_little
from dicomcore.pixels.colour import convert
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.native import encode_frame

__all__ = ["DEFLATED_FRAME"]

NAME = "deflated frame"
CLAUSE = "PS3.5 A.4.13"


def _decode(data: Buffer, model: ImageModel, out: Array, report: Report) -> str:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        frame = stream.decompress(data, model.frame_length + 1)
    except zlib.error as error:
        raise PixelError(f"the deflated frame is damaged: {error}", clause=CLAUSE) from None
    if len(frame) < model.frame_length:
        what = "is cut short" if not stream.eof else "is too short"
        raise PixelError(
            f"the deflated frame {what}: {len(frame)} bytes where a frame has {model.frame_length}", clause=CLAUSE
        )
    if len(frame) > model.frame_length or not stream.eof:
        report(f"more than the {model.frame_length} bytes of a frame were deflated", CLAUSE)
    elif len(stream.unused_data) > 1:
        report(f"{len(stream.unused_data)} bytes behind the end of the deflated frame", CLAUSE)
    return decode_little(memoryview(frame)[: model.frame_length], model, out, report)


def _encode(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
    made = encode_frame(convert(frame, source, target.photometric), target)
    deflate = zlib.compressobj(options.get("level", zlib.Z_DEFAULT_COMPRESSION), zlib.DEFLATED, -zlib.MAX_WBITS)
    done = deflate.compress(made) + deflate.flush()
    return done + b"\0" * (len(done) % 2)


def _target(source: ImageModel, options: Mapping[str, Any]) -> ImageModel:
    if source.keyword != "PixelData":
        raise PixelError(f"{source.keyword} is never encapsulated", path=source.path, clause="PS3.5 8.2.16")
    level = options.get("level", 6)
    if not isinstance(level, int) or not 0 <= level <= 9:
        raise PixelError(f"level is {level!r}, not 0 to 9")
    return by_pixel(NAME, source, options, ("level",))


DEFLATED_FRAME = Codec(NAME, _decode, _encode, _target)
