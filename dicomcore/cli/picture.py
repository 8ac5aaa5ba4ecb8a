"""Small pictures on a colour terminal: two pixels a character cell, upper half block over its background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

from dicomcore.data.dataset import Dataset
from dicomcore.rt.dose import Dose

__all__ = ["ct_with_dose", "picture", "window"]

Image = NDArray[np.uint8]
WASH_FROM = 0.1  # of the maximum: less dose than that is not painted
WASH = np.array([(0, 0, 255), (0, 200, 255), (0, 255, 80), (255, 230, 0), (255, 40, 0)], np.float64)


def window(stored: NDArray[np.generic], ds: Dataset) -> Image:
    """Grey values 0..255 of stored pixels, by the rescale and the first window of ``ds`` (PS3.3 C.11.1, C.11.2.1.2)."""
    values = stored.astype(np.float64) * float(ds.get("RescaleSlope") or 1) + float(ds.get("RescaleIntercept") or 0)
    centre, width = (float(np.atleast_1d(ds[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
    return np.clip(((values - (centre - 0.5)) / max(width - 1.0, 1.0) + 0.5) * 255.0, 0, 255).astype(np.uint8)


def ct_with_dose(ct: Dataset, dose: Dose, size: int) -> tuple[Image, Image]:
    """The CT image and the same with its dose as a colour wash, both ``size`` x ``size`` x 3.

    For transverse images and grids of one frame of reference; the nearest voxel is shown.
    """
    rows, columns = (np.linspace(0, extent - 1, size).round().astype(int) for extent in (ct.Rows, ct.Columns))
    grey = np.repeat(window(ct.pixel_array[np.ix_(rows, columns)], ct)[..., np.newaxis], 3, axis=2)
    origin = np.asarray(ct.ImagePositionPatient, dtype=float)
    x = origin[0] + columns * float(ct.PixelSpacing[1])
    y = origin[1] + rows * float(ct.PixelSpacing[0])
    grid, geometry = dose.grid(np.float32), dose.geometry
    frame = int(np.argmin(np.abs(geometry.origin[2] + geometry.offsets - origin[2])))
    row = np.rint((y - geometry.origin[1]) / geometry.spacing[0]).astype(int)
    column = np.rint((x - geometry.origin[0]) / geometry.spacing[1]).astype(int)
    share = np.zeros((size, size))
    within_rows, within_columns = (row >= 0) & (row < grid.shape[1]), (column >= 0) & (column < grid.shape[2])
    plane = grid[frame] / max(float(grid.max()), 1e-9)
    share[np.ix_(within_rows, within_columns)] = plane[np.ix_(row[within_rows], column[within_columns])]
    steps = np.linspace(0.0, 1.0, len(WASH))
    colour = np.stack([np.interp(share, steps, WASH[:, channel]) for channel in range(3)], axis=-1)
    wash = np.where((share > WASH_FROM)[..., np.newaxis], 0.55 * grey + 0.45 * colour, grey)
    return grey, wash.astype(np.uint8)


def picture(image: Image) -> Text:
    """``image`` (rows x columns x 3) as lines of text, two rows each."""
    lines = Text()
    for upper, lower in zip(image[0::2], image[1::2], strict=False):
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            lines.append("▀", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
        lines.append("\n")
    return lines
