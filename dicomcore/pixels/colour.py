"""Between RGB and YCbCr of full range (PS3.3 C.7.6.3.1.2), 8 bits, as exact fractions rounded with halves going up.

`to_rgb` and `to_ybr` work in place. `convert` answers a frame in the colours asked for, and refuses (`PixelError`) what
has no conversion here: the other models come with their codecs, and indices into a palette are no colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomcore._core.pixels import rgb_to_ybr, ybr_to_rgb
from dicomcore.errors import PixelError

if TYPE_CHECKING:
    from dicomcore.pixels.image_model import ImageModel

__all__ = ["YBR", "convert", "to_rgb", "to_ybr"]

Array = NDArray[Any]

CLAUSE = "PS3.3 C.7.6.3.1.2"
YBR = frozenset({"YBR_FULL", "YBR_FULL_422"})  # with chrominance spread, both are the same


def to_rgb(array: Array, model: ImageModel) -> None:
    """YCbCr into RGB, in place: any number of frames of ``model``, C-contiguous, colour by pixel."""
    ybr_to_rgb(_bytes(array, model))


def to_ybr(array: Array, model: ImageModel) -> None:
    """RGB into YCbCr, in place."""
    rgb_to_ybr(_bytes(array, model))


def convert(frame: Array, model: ImageModel, photometric: str) -> Array:
    """``frame``, which has the colours of ``model``, in those of ``photometric``: itself, or a changed copy."""
    given = "YBR_FULL" if model.photometric in YBR else model.photometric
    wanted = "YBR_FULL" if photometric in YBR else photometric
    if given == wanted:
        return frame
    if (given, wanted) not in (("RGB", "YBR_FULL"), ("YBR_FULL", "RGB")):
        raise PixelError(f"{given} cannot become {wanted}", path=model.path, clause=CLAUSE)
    made = np.array(frame, order="C")
    (to_rgb if wanted == "RGB" else to_ybr)(made, model)
    return made


def _bytes(array: Array, model: ImageModel) -> memoryview:
    if array.dtype != np.uint8 or model.samples != 3:
        raise PixelError(
            f"{model.photometric} is defined for 3 samples of 8 bits, not {model.samples} of {model.bits_allocated}",
            path=model.path,
            clause=CLAUSE,
        )
    return array.data.cast("B")  # refuses what is not C-contiguous
