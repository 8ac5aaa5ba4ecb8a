"""`Picture`: 8-bit grey or RGB to look at. Writing files takes Pillow (extra `plot`); the array does not."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomcore.errors import PixelError
from dicomcore.pixels.icc import pillow_image

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Picture", "labelled", "scaled"]

Image = NDArray[np.uint8]

# 3 x 5 dots a digit: each number is a row, its bits the dots.
DIGITS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71111", "75757", "75717")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """``array``: (rows, columns) of grey, or (rows, columns, 3) of red, green and blue, uint8."""

    array: Image

    def save(self, path: str | PathLike[str], **options: Any) -> None:
        """Write a PNG, JPEG or whatever else Pillow makes of the suffix; ``options`` are Pillow's, as ``quality``."""
        image = pillow_image().fromarray(np.ascontiguousarray(self.array))
        try:
            image.save(path, **options)
        except ValueError as error:
            raise PixelError(f"{path}: {error}", hint="name it .png or .jpg") from error

    def png(self) -> bytes:
        """The bytes of a PNG file."""
        file = io.BytesIO()
        pillow_image().fromarray(np.ascontiguousarray(self.array)).save(file, "PNG")
        return file.getvalue()

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows; without Pillow it is the text instead."""
        try:
            return self.png()
        except PixelError:
            return None

    @property
    def rgb(self) -> Image:
        """The same in three samples."""
        return self.array if self.array.ndim == 3 else np.repeat(self.array[..., np.newaxis], 3, axis=2)

    def fitted(self, size: int) -> Picture:
        """As large as fits ``size`` x ``size`` pixels; fewer pixels are means of more, more are copies."""
        rows, columns = self.array.shape[:2]
        longest = max(rows, columns)
        return Picture(scaled(self.array, max(rows * size // longest, 1), max(columns * size // longest, 1)))

    def __repr__(self) -> str:
        rows, columns = self.array.shape[:2]
        return f"<Picture of {rows} x {columns} {'grey' if self.array.ndim == 2 else 'RGB'}>"


def scaled(array: Image, rows: int, columns: int) -> Image:
    """``array`` as rows x columns: each pixel the mean of an area, or the pixel that lies there."""
    for axis, wanted in enumerate((rows, columns)):
        there = array.shape[axis]
        edges = np.arange(wanted) * there // wanted
        if wanted >= there:
            array = array.take(edges, axis=axis)
        else:
            sums = np.add.reduceat(array, edges, axis=axis, dtype=np.uint32)
            counts = np.diff(np.append(edges, there)).astype(np.uint32)
            counts = counts.reshape([-1 if i == axis else 1 for i in range(array.ndim)])
            array = ((sums + counts // 2) // counts).astype(np.uint8)
    return array


def labelled(image: Image, number: int) -> Image:
    """The number in white on black, at the top left; as much of it as there is room for."""
    text = str(number)
    dots = np.zeros((7, 4 * len(text) + 1), np.uint8)
    for place, digit in enumerate(text):
        for row, bits in enumerate(DIGITS[int(digit)]):
            dots[row + 1, 4 * place + 1 : 4 * place + 4] = [255 * (int(bits) >> shift & 1) for shift in (2, 1, 0)]
    if min(image.shape[:2]) >= 96:
        dots = dots.repeat(2, axis=0).repeat(2, axis=1)
    made = image.copy()
    part = made[: dots.shape[0], : dots.shape[1]]
    cut = dots[: part.shape[0], : part.shape[1]]
    part[...] = cut if image.ndim == 2 else cut[..., np.newaxis]
    return made
