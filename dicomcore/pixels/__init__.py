"""Pixel data as numpy arrays (PS3.3 C.7.6.3, PS3.5 8): a description checked first, and native decoding."""

from __future__ import annotations

from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.native import decode_native, pixel_array

__all__ = ["ImageModel", "decode_native", "pixel_array"]
