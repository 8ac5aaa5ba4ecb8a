"""Pixel data as numpy arrays (PS3.3 C.7.6.3, PS3.5 8): a description checked first, then frames by number, by codec.

What their values mean and how they are shown is asked for: `modality`, `voi`, `presentation`, `palette_rgb`,
`overlays`, `apply_icc`; `FrameSource.picture` does all of it.
"""

from __future__ import annotations

from dicomcore.pixels.array import pixel_array
from dicomcore.pixels.codec import CODECS, Codec, CodecRow, CodecTable
from dicomcore.pixels.frames import FrameSource, frames
from dicomcore.pixels.icc import apply_icc, icc_profile
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.lookup import Lookup
from dicomcore.pixels.lut import (
    Rescale,
    Window,
    modality,
    padding_mask,
    presentation,
    value_range,
    voi,
    voi_luts,
    windows,
)
from dicomcore.pixels.native import decode_native
from dicomcore.pixels.overlays import Overlay, overlays
from dicomcore.pixels.palette import palette, palette_rgb
from dicomcore.pixels.picture import Picture

__all__ = [
    "CODECS",
    "Codec",
    "CodecRow",
    "CodecTable",
    "FrameSource",
    "ImageModel",
    "Lookup",
    "Overlay",
    "Picture",
    "Rescale",
    "Window",
    "apply_icc",
    "decode_native",
    "frames",
    "icc_profile",
    "modality",
    "overlays",
    "padding_mask",
    "palette",
    "palette_rgb",
    "pixel_array",
    "presentation",
    "value_range",
    "voi",
    "voi_luts",
    "windows",
]
