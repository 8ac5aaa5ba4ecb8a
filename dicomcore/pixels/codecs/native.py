"""Frames that are not compressed: in the data set (PS3.5 8.1.1), or one in a fragment (PS3.5 8.2.11, A.4.11).

Bits above Bits Stored are zero, or the sign, in what is encoded. A frame of single bits begins with a byte of its own;
whoever joins such frames in a data set packs them with `dicomcore.pixels.native.encode_frame`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dicomcore.errors import PixelError
from dicomcore.pixels.codec import Array, Buffer, Codec, Report
from dicomcore.pixels.colour import convert
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.native import decode_frame, encode_frame

__all__ = ["ENCAPSULATED", "NATIVE", "NATIVE_BIG_ENDIAN", "by_pixel", "check_options", "decode_little"]


def check_options(name: str, options: Mapping[str, Any], known: tuple[str, ...] = ()) -> None:
    """PixelError when ``options`` has what ``known`` has not."""
    unknown = [option for option in options if option not in known]
    if unknown:
        allowed = f"it has {', '.join(known)}" if known else "it has none"
        raise PixelError(f"{name} has no option {', '.join(unknown)}", hint=allowed)


def by_pixel(name: str, source: ImageModel, options: Mapping[str, Any], known: tuple[str, ...] = ()) -> ImageModel:
    """The same pixels, colour by pixel and chrominance for each: what any coding that changes no value can hold."""
    check_options(name, options, known)
    return source.but(planar=False, photometric="YBR_FULL" if source.subsampled else source.photometric)


def decode_little(data: Buffer, model: ImageModel, out: Array, report: Report) -> str:
    """Little endian; a byte that makes the length even is no part of the frame."""
    extra = len(data) - model.frame_length
    if extra > 1:
        report(f"{len(data)} bytes where a frame has {model.frame_length}", "PS3.5 A.4")
    return decode_frame(data, model, out)


def _decode_big(data: Buffer, model: ImageModel, out: Array, report: Report) -> str:
    return decode_frame(data, model, out, big_endian=True, words=model.bits_allocated > 16)


def _encode_little(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
    return encode_frame(convert(frame, source, target.photometric), target)


def _encode_big(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
    return encode_frame(
        convert(frame, source, target.photometric), target, big_endian=True, words=target.bits_allocated > 16
    )


def _target(name: str, fragments: bool) -> Callable[[ImageModel, Mapping[str, Any]], ImageModel]:
    def target(source: ImageModel, options: Mapping[str, Any]) -> ImageModel:
        if fragments and source.keyword != "PixelData":
            raise PixelError(f"{source.keyword} is never encapsulated", path=source.path, clause="PS3.5 A.4")
        return by_pixel(name, source, options)

    return target


NATIVE = Codec("native", decode_little, _encode_little, _target("native", False), view=True)
# Values wider than 16 bits lie in words of OW, least significant word first; those of a byte are taken to be OB.
NATIVE_BIG_ENDIAN = Codec("native, big endian", _decode_big, _encode_big, _target("native", False), view=True)
ENCAPSULATED = Codec("encapsulated, not compressed", decode_little, _encode_little, _target("encapsulated", True))
