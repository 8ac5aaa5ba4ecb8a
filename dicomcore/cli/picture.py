"""Small pictures on a terminal: two pixels a character cell, by an upper half block in colours or by shades of text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

from dicomcore.data.dataset import Dataset
from dicomcore.pixels.frames import frames
from dicomcore.rt.dose import Dose

__all__ = ["ct_with_dose", "picture", "shades"]

Image = NDArray[np.uint8]
WASH_FROM = 0.1  # of the maximum: less dose than that is not painted
SHADES = " .:-=+*#%@"  # from black to white
WASH = np.array([(0, 0, 255), (0, 200, 255), (0, 255, 80), (255, 230, 0), (255, 40, 0)], np.float64)


def ct_with_dose(ct: Dataset, dose: Dose, size: int) -> tuple[Image, Image]:
    """The CT image and the same with its dose as a colour wash, both ``size`` x ``size`` x 3.

    For transverse images and grids of one frame of reference; the nearest voxel is shown.
    """
    rows, columns = (np.linspace(0, extent - 1, size).round().astype(int) for extent in (ct.Rows, ct.Columns))
    grey = frames(ct).picture().rgb[np.ix_(rows, columns)]
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


def shades(image: Image) -> str:
    """``image`` (rows x columns x 3) where there are no colours: a character for two rows, by their brightness."""
    grey = image.mean(axis=2)[: len(image) // 2 * 2].reshape(-1, 2, image.shape[1]).mean(axis=1)
    marks = np.array(list(SHADES))[(grey * len(SHADES) / 256).astype(int)]
    return "\n".join("".join(line).rstrip() for line in marks)
