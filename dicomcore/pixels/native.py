"""Native (not encapsulated) pixel data into arrays (PS3.5 8.1.1, 8.2; PS3.3 C.7.6.3.1).

Every array is new, writable, C-contiguous and owns its memory; shape, dtype and colour are those of pydicom's
``pixel_array``: colour by pixel, YBR_FULL and YBR_FULL_422 as RGB, bits above Bits Stored replaced by zero or by the
sign. High Bit is not used: pixels are taken as right-aligned, which PS3.5 8.1.1 demands. Encapsulated pixel data raises
PixelError naming its syntax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomcore.errors import PixelError
from dicomcore.pixels.image_model import ImageModel
from dicomcore.vocab.syntaxes import transfer_syntax

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["clear_unused_bits", "decode_frame", "decode_native", "pixel_array", "to_rgb"]

Array = NDArray[Any]
Buffer = bytes | bytearray | memoryview


def pixel_array(ds: Dataset) -> Array:
    """All frames of ``ds``: ([frames,] rows, columns [, samples])."""
    model = ImageModel.from_dataset(ds)
    syntax = transfer_syntax(ds.transfer_syntax)
    if syntax.encapsulated:
        model.check_limits()  # the length of what is encapsulated bounds nothing
        raise PixelError(
            f"pixel data in {syntax.name} needs a decoder, and this version decodes native pixel data only",
            path=model.path,
            clause="PS3.5 A.4",
            hint="the fragments can be read with ds.PixelData",
        )
    view = ds.view(model.keyword)
    words = ds.is_big_endian and ds[model.keyword].VR == "OW"
    return decode_native(view, model.check_length(len(view)), big_endian=ds.is_big_endian, words=words)


def decode_native(view: Buffer, model: ImageModel, *, big_endian: bool = False, words: bool = False) -> Array:
    """The array of ``model.shape`` in ``view``, which holds ``model.stored_length`` bytes at least.

    ``words`` says that the bytes are big-endian 16-bit words (OW): then 8-bit pixels have traded places, and of wider
    ones the least significant word comes first, as in little endian (PS3.5 8.1.1, annex D). DCMTK reads and writes them
    so; pydicom takes 32-bit pixels in such words to be big-endian 32-bit numbers. 16-bit pixels keep the byte order of
    the file in their dtype, as pydicom's do.
    """
    stored = _unpack_bits(view, model) if model.bits_allocated == 1 else _values(view, model, big_endian, words)
    array = np.empty(model.shape, stored.dtype)
    _arrange(stored, array, model)
    if model.bits_stored < model.bits_allocated:
        clear_unused_bits(array, model)
    if model.photometric in ("YBR_FULL", "YBR_FULL_422") and model.samples == 3:
        to_rgb(array, model)
    return array


def decode_frame(
    view: Buffer, model: ImageModel, out: Array, *, bit: int = 0, big_endian: bool = False, words: bool = False
) -> str:
    """One native frame into ``out`` (``model.frame_shape``, ``model.dtype``): the photometric interpretation it has.

    ``view`` begins ``bit`` bits before the frame: 0 to 7, or 15 in ``words`` that are 16 bits wide, and ends with the
    byte or word that ends it. Unused bits are cleared, chrominance is spread; the colours stay.
    """
    model = model.but(frames=1)
    if big_endian and words and model.dtype.itemsize != 2:
        view = np.frombuffer(view, "<u2", len(view) // 2).byteswap().view(np.uint8).data
        big_endian = words = False
    view = memoryview(view)[bit // 8 :]
    if model.bits_allocated == 1:
        stored = np.unpackbits(np.frombuffer(view, np.uint8), bitorder="little")[bit % 8 :][: model.frame_values]
    else:
        stored = _values(view, model, big_endian, words)
    _arrange(stored, out, model)
    if model.bits_stored < model.bits_allocated:
        clear_unused_bits(out, model)
    return "YBR_FULL" if model.subsampled else model.photometric


def _values(view: Buffer, model: ImageModel, big_endian: bool, words: bool) -> Array:
    """The stored values in stored order: flat, and a view where it can be."""
    dtype = model.dtype.newbyteorder(">" if big_endian else "<")
    if not words or dtype.itemsize == 2:
        return np.frombuffer(view, dtype, model.stored_length // dtype.itemsize)
    even = model.stored_length + model.stored_length % 2
    if len(view) < even:  # the padding byte of an odd length is missing, and the last pixel stands behind it
        raise PixelError(f"{len(view)} bytes are no whole number of 16-bit words", path=model.path, clause="PS3.5 6.2")
    swapped = np.frombuffer(view, "<u2", even // 2).byteswap().view(np.uint8)
    return swapped[: model.stored_length].view(model.dtype.newbyteorder("<"))


def _unpack_bits(view: Buffer, model: ImageModel) -> Array:
    """Single bits, the first pixel in the least significant bit, no gap between frames (PS3.5 8.1.1)."""
    packed = np.frombuffer(view, np.uint8, model.stored_length)
    return np.unpackbits(packed, count=model.frames * model.frame_values, bitorder="little")


def _arrange(stored: Array, out: Array, model: ImageModel) -> None:
    """Stored order into frames x rows x columns x samples, which is how ``out`` lies in memory."""
    if model.subsampled:  # Y1 Y2 Cb Cr for every two pixels (PS3.3 C.7.6.3.1.2)
        pairs = stored.reshape(-1, 4)
        pixels = out.reshape(-1, 2, 3)
        pixels[:, :, 0] = pairs[:, :2]
        pixels[:, :, 1:] = pairs[:, np.newaxis, 2:]
    elif model.planar:
        planes = stored.reshape(model.frames, model.samples, model.rows * model.columns)
        out.reshape(model.frames, -1, model.samples)[...] = planes.transpose(0, 2, 1)
    else:
        out.reshape(-1)[...] = stored


def clear_unused_bits(array: Array, model: ImageModel) -> None:
    """Bits above Bits Stored may hold anything, overlays for one (PS3.5 8.1.1): zero them, or repeat the sign."""
    if model.kind == "u":
        array &= array.dtype.type((1 << model.bits_stored) - 1)
        return
    shift = model.bits_allocated - model.bits_stored
    np.left_shift(array, shift, out=array)
    np.right_shift(array, shift, out=array)


def to_rgb(array: Array, model: ImageModel) -> None:
    """YCbCr of full range into RGB, in place, a frame at a time (PS3.3 C.7.6.3.1.2 inverted)."""
    if array.dtype != np.uint8:
        raise PixelError(
            f"{model.photometric} is defined for 8 bits, not {model.bits_allocated}",
            path=model.path,
            clause="PS3.3 C.7.6.3.1.2",
        )
    for frame in array.reshape(-1, model.rows * model.columns, 3):
        luma = frame[:, 0].astype(np.float32)
        blue = frame[:, 1].astype(np.float32) - 128
        red = frame[:, 2].astype(np.float32) - 128
        channels = (
            luma + np.float32(1.402) * red,
            luma - np.float32(0.114 * 1.772 / 0.587) * blue - np.float32(0.299 * 1.402 / 0.587) * red,
            luma + np.float32(1.772) * blue,
        )
        for channel, value in enumerate(channels):
            frame[:, channel] = np.clip(np.floor(value + np.float32(0.5)), 0, 255)
