"""Pixel data as numpy arrays (PS3.3 C.7.6.3, PS3.5 8): a description checked first, then frames by number, by codec."""

from __future__ import annotations

from dicomcore.pixels.array import pixel_array
from dicomcore.pixels.codec import CODECS, Codec, CodecRow, CodecTable
from dicomcore.pixels.frames import FrameSource, frames
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.native import decode_native

__all__ = [
    "CODECS",
    "Codec",
    "CodecRow",
    "CodecTable",
    "FrameSource",
    "ImageModel",
    "decode_native",
    "frames",
    "pixel_array",
]
