"""ICC profiles (PS3.3 C.11.15): passed along as bytes, applied on request by Pillow's colour management."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomcore.errors import PixelError

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset
    from dicomcore.pixels.lookup import Array

__all__ = ["apply_icc", "icc_profile", "pillow_image"]

CLAUSE = "PS3.3 C.11.15"
HINT = "pip install 'dicomcore[plot]'"


def pillow_image() -> Any:
    """The module ``PIL.Image``; PixelError naming the extra without Pillow."""
    try:
        from PIL import Image
    except ImportError:
        raise PixelError("pictures need Pillow", hint=HINT) from None
    return Image


def icc_profile(ds: Dataset) -> bytes | None:
    """The profile of the image, or of its first optical path (PS3.3 C.8.12.5); None without one."""
    for level in (ds, *(ds.get("OpticalPathSequence") or ())):
        profile = level.get("ICCProfile")
        if isinstance(profile, bytes) and profile:
            return profile
    return None


def apply_icc(ds: Dataset, array: Array, *, intent: int | None = None) -> Array:
    """RGB of 8 bits, (..., rows, columns, 3), as sRGB in a new array. ``intent``: 0 to 3, else that of the profile.

    PixelError when there is no profile, or none that can be used.
    """
    profile = icc_profile(ds)
    if profile is None:
        raise PixelError("there is no ICC profile", path="(0028,2000)", clause=CLAUSE)
    if array.dtype != np.uint8 or array.ndim < 3 or array.shape[-1] != 3:
        raise PixelError(
            f"an ICC profile is for RGB of 8 bits, not for {array.dtype} of shape {array.shape}", clause=CLAUSE
        )
    image = pillow_image()
    from PIL import ImageCms

    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        how = ImageCms.getDefaultIntent(given) if intent is None else intent
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(given, target, "RGB", "RGB", renderingIntent=ImageCms.Intent(how))
        planes = array.reshape(-1, *array.shape[-3:])
        made = [np.asarray(ImageCms.applyTransform(image.fromarray(plane), transform)) for plane in planes]
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise PixelError(f"the ICC profile cannot be applied: {error}", path="(0028,2000)", clause=CLAUSE) from error
    return np.stack(made).reshape(array.shape) if made else array.copy()
