"""What the codecs that imagecodecs does the work for have in common: types in and out, and what each coding holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from dicomcore.errors import PixelError
from dicomcore.pixels.codec import Array
from dicomcore.pixels.image_model import ImageModel

__all__ = ["COLOUR", "GREY", "MODULE", "check_holds", "decode_into", "number", "precision", "stored_bits"]

MODULE = "imagecodecs"
GREY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422"})  # of which frames come as RGB or YBR_FULL


def check_holds(
    name: str,
    model: ImageModel,
    clause: str,
    *,
    allocated: Collection[int],
    stored: range,
    photometric: Collection[str],
    signed: bool = False,
) -> None:
    """PixelError when a coding cannot hold these pixels."""
    faults = (
        (model.keyword != "PixelData", f"{model.keyword} is never encapsulated"),
        (model.bits_allocated not in allocated, f"Bits Allocated is {model.bits_allocated}"),
        (model.bits_stored not in stored, f"Bits Stored is {model.bits_stored}"),
        (model.kind == "i" and not signed, "Pixel Representation is 1"),
        (model.photometric not in photometric, f"Photometric Interpretation is {model.photometric}"),
        (model.samples != (1 if model.photometric in GREY else 3), f"there are {model.samples} samples a pixel"),
    )
    fault = next((message for holds, message in faults if holds), None)
    if fault is not None:
        raise PixelError(f"{name} cannot hold these pixels: {fault}", path=model.path, clause=clause)


def number(name: str, options: Mapping[str, Any], option: str, default: float, low: float, high: float) -> float:
    """An option that is a number; PixelError when it is not, or out of its range."""
    value = options.get(option, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise PixelError(f"{name}: {option} is {value!r}, not a number from {low:g} to {high:g}")
    return value


def precision(model: ImageModel) -> int:
    """Bits a sample that a code stream is told to have: no fewer than need the words that the samples come in."""
    return max(model.bits_stored, model.bits_allocated // 2 + 1 if model.bits_allocated > 8 else 1)


def stored_bits(frame: Array, model: ImageModel) -> Array:
    """``frame`` for a coding without a sign: two's complement in the bits stored, as native pixels have it."""
    if model.kind != "i":
        return np.ascontiguousarray(frame)
    unsigned = np.ascontiguousarray(frame).view(f"u{frame.dtype.itemsize}")
    stored: Array = unsigned & unsigned.dtype.type((1 << model.bits_stored) - 1)
    return stored


def decode_into(out: Array, bits: int, is_signed: bool, decode: Callable[[Array | None], Array]) -> None:
    """Fill ``out`` by ``decode(out=...)``: at once where the stream's samples are as wide as those of ``out``.

    A sign in place of an unsigned number, or the reverse, keeps its bits.
    """
    made = np.dtype(f"{'i' if is_signed else 'u'}{1 if bits <= 8 else 2 if bits <= 16 else 4}")
    if made.itemsize == out.dtype.itemsize:
        decode(out.view(made))
        return
    found = decode(None)
    if found.size != out.size:
        raise PixelError(f"{found.shape} samples were decoded where a frame has {out.shape}")
    out[...] = found.reshape(out.shape).astype(out.dtype)
