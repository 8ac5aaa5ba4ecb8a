"""Native (not encapsulated) pixels into arrays and back (PS3.5 8.1.1, 8.2; PS3.3 C.7.6.3.1).

Colour comes by pixel, chrominance for every pixel, bits above Bits Stored replaced by zero or by the sign. High Bit is
not used: pixels are taken as right-aligned, which PS3.5 8.1.1 demands. What is refused raises PixelError.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomcore._core.pixels import BIG, LITTLE, WORDS, decode, encode
from dicomcore.errors import PixelError
from dicomcore.pixels.colour import YBR, to_rgb
from dicomcore.pixels.image_model import ImageModel

__all__ = ["as_described", "clear_unused_bits", "decode_frame", "decode_native", "encode_frame", "to_rgb"]

Array = NDArray[Any]
Buffer = bytes | bytearray | memoryview

OWN_ORDER = LITTLE if sys.byteorder == "little" else BIG


def decode_native(view: Buffer, model: ImageModel, *, big_endian: bool = False, words: bool = False) -> Array:
    """A new array of ``model.shape`` from all frames in ``view``, YBR_FULL and YBR_FULL_422 as RGB.

    ``words`` says that the bytes are big-endian 16-bit words (OW): then 8-bit pixels have traded places, and of wider
    ones the least significant word comes first, as in little endian (PS3.5 8.1.1, annex D). DCMTK reads and writes them
    so; pydicom takes 32-bit pixels in such words to be big-endian 32-bit numbers. Wide pixels keep the byte order of
    the file in their dtype, as pydicom's do.
    """
    array = np.empty((model.frames, *model.frame_shape), model.dtype)
    bits, unit = model.frame_bits, 16 if words else 8
    data = memoryview(view)
    for i in range(model.frames):
        first, stop = i * bits // unit * unit, -(-(i + 1) * bits // unit) * unit
        part = data[first // 8 : stop // 8]
        decode_frame(part, model, array[i], bit=i * bits - first, big_endian=big_endian, words=words)
    if model.photometric in YBR and model.samples == 3:
        to_rgb(array, model)
    array.resize(model.shape, refcheck=False)  # in place: the same memory without the axes of one
    in_file = big_endian and not (words and model.dtype.itemsize != 2)
    if model.dtype.itemsize > 1 and in_file != (sys.byteorder == "big"):
        return array.astype(array.dtype.newbyteorder())
    return array


def decode_frame(
    view: Buffer, model: ImageModel, out: Array, *, bit: int = 0, big_endian: bool = False, words: bool = False
) -> str:
    """One native frame into ``out`` (``model.frame_shape``, ``model.dtype``): the photometric interpretation it has.

    ``view`` begins ``bit`` bits before the frame: 0 to 7, or 15 in ``words``, and ends with the byte or word that ends
    it. Unused bits are cleared, chrominance is spread; the colours stay.
    """
    try:
        # The cast refuses what is not C-contiguous.
        decode(view, out.data.cast("B"), *_layout(model, big_endian, words), bit)
    except ValueError:
        _explain(len(view), model, words and big_endian)
        raise
    return "YBR_FULL" if model.subsampled else model.photometric


def _explain(length: int, model: ImageModel, words: bool) -> None:
    if words and length % 2:  # the padding byte of an odd length is missing, and the last pixel stands behind it
        raise PixelError(f"{length} bytes are no whole number of 16-bit words", path=model.path, clause="PS3.5 6.2")
    if length < model.frame_length:
        raise PixelError(
            f"{length} bytes where a frame has {model.frame_length}", path=model.path, clause="PS3.3 C.7.6.3"
        )


def encode_frame(
    frame: Array,
    model: ImageModel,
    out: Array | bytearray | memoryview | None = None,
    *,
    bit: int = 0,
    big_endian: bool = False,
    words: bool = False,
) -> bytes:
    """A frame (``model.frame_shape``, ``model.dtype``, colours of ``model``) as ``model.frame_length`` native bytes.

    Unused bits become zero, or the sign. Of YBR_FULL_422, whose frame has chrominance for each pixel, pairs keep
    the mean.
    With ``out``, which begins ``bit`` bits before the frame, the answer is empty and the bytes are there: so frames of
    single bits follow each other. In ``words``, they come to a whole number of them.
    """
    flat = as_described(frame, model).reshape(-1).view(np.uint8)
    if model.subsampled and model.bits_allocated != 8:
        raise PixelError(
            f"{model.photometric} is defined for 8 bits, not {model.bits_allocated}",
            path=model.path,
            clause="PS3.3 C.7.6.3.1.2",
        )
    return encode(flat, out, *_layout(model, big_endian, words), bit) or b""


def _layout(model: ImageModel, big_endian: bool, words: bool) -> tuple[int, int, int, bool, int, bool, bool]:
    """How the kernel is told what stored pixels are like."""
    return (
        model.samples,
        0 if model.bits_allocated == 1 else model.bits_allocated // 8,
        model.bits_stored,
        model.kind == "i",
        WORDS if words and big_endian else BIG if big_endian else LITTLE,
        model.planar,
        model.subsampled,
    )


def as_described(frame: Array, model: ImageModel) -> Array:
    """``frame``, C-contiguous and in this machine's byte order; PixelError when it is not such a frame.

    Numbers of another type are never made to fit: whoever has them knows how.
    """
    same = frame.dtype.newbyteorder("=") == model.dtype or (model.bits_allocated == 1 and frame.dtype == np.bool_)
    if not same or frame.shape != model.frame_shape:
        raise PixelError(
            f"a frame of {frame.dtype} in shape {frame.shape} where {model.dtype} in {model.frame_shape} is described",
            path=model.path,
        )
    return np.ascontiguousarray(frame, model.dtype)


def clear_unused_bits(array: Array, model: ImageModel) -> None:
    """Bits above Bits Stored may hold anything, overlays for one (PS3.5 8.1.1): zero them, or repeat the sign."""
    flat = array.data.cast("B")
    decode(flat, flat, 1, array.dtype.itemsize, model.bits_stored, model.kind == "i", OWN_ORDER)
