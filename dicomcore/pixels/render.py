"""How a frame is shown: a `Picture` of 8-bit grey or RGB (PS3.4 N.2, PS3.3 C.11), and many on a contact sheet.

A frame goes through modality, VOI and presentation as its object says, or through a window of one's own; without any,
the range of its values is the range of grey, except that images of up to 8 bits stay as they are. Palettes become
colours, and what is padding black.
Refuses (`PixelError`): colours that there is no conversion of, and what the tables of the object refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from dicomcore.errors import DicomError, LimitExceeded, PixelError
from dicomcore.limits import DEFAULT_LIMITS
from dicomcore.pixels.colour import YBR, convert
from dicomcore.pixels.frames import FrameSource
from dicomcore.pixels.icc import apply_icc
from dicomcore.pixels.lookup import Array, Lookup
from dicomcore.pixels.lut import Pair, Window, inverts, modality, padding_mask, presentation_lut, view_of
from dicomcore.pixels.overlays import Overlay, overlays
from dicomcore.pixels.palette import as_bytes, has_palette, palette, supplemental_rgb
from dicomcore.pixels.picture import Image, Picture, labelled

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["picture", "preview", "sheet"]

Wanted = tuple[float, float] | Literal["full"] | None

_GAP = 2  # pixels between the frames of a sheet
_PREVIEW = 4, 6  # rows and columns of the sheet that stands for many frames


def picture(
    source: FrameSource,
    i: int = 0,
    *,
    window: Wanted = None,
    voi: int | None = None,
    overlays: bool = False,
    size: int | None = None,
    icc: bool = False,
) -> Picture:
    """Frame ``i`` as the object wants it shown.

    ``window``: (center, width) instead, or "full" for the range of its values; ``voi``: which of the object's windows
    or VOI LUTs. ``overlays`` are drawn in white; ``size`` is that of the longer side; ``icc``: to sRGB by its profile.
    """
    made = _picture(source, i, window, voi, _planes(source) if overlays else [], None, icc)
    return made if size is None else made.fitted(size)


def _planes(source: FrameSource) -> list[Overlay]:
    return overlays(source.dataset)


def _picture(
    source: FrameSource,
    i: int,
    window: Wanted,
    voi: int | None,
    planes: Sequence[Overlay],
    scale: Pair | None,
    icc: bool,
) -> Picture:
    frame = source._number(i)
    stored = source[i]
    array = _rendered(source, stored, frame, window, voi, scale)
    if icc:
        array = apply_icc(source.dataset, Picture(array).rgb).astype(np.uint8)
    for overlay in planes:
        array[overlay.over(array.shape[0], array.shape[1], frame)] = 255
    return Picture(array)


def _rendered(
    source: FrameSource, stored: Array, frame: int, window: Wanted, voi: int | None, scale: Pair | None
) -> Image:
    """A new array of the frame, as it is shown."""
    ds, photometric = source.dataset, source.photometric
    if stored.ndim != 2 and photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"):
        raise PixelError(
            f"{photometric} with {stored.shape[-1]} samples", path=source.model.path, clause="PS3.3 C.7.6.3"
        )
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        grey = _grey(ds, stored, frame, _view(ds, frame, window, voi), scale or _plain(source, window))
        if has_palette(ds) and ds.get("PixelPresentation") in ("COLOR", "MIXED"):
            return supplemental_rgb(ds, stored, grey).astype(np.uint8)
        return grey
    if photometric == "PALETTE COLOR":
        return as_bytes(palette(ds)).apply(stored).astype(np.uint8, copy=False)
    model = source.model
    if photometric in YBR:
        stored = convert(stored, model.but(photometric=photometric), "RGB")
    elif photometric == "ARGB":
        stored = stored[..., 1:]
    elif photometric != "RGB":
        raise PixelError(f"there is no picture of {photometric}", path=model.path, clause="PS3.3 C.7.6.3.1.2")
    if stored.ndim != 3 or stored.shape[-1] != 3 or model.kind == "f":
        raise PixelError(f"{photometric} of shape {stored.shape} is no colour", path=model.path, clause="PS3.3 C.7.6.3")
    bits = model.bits_stored
    if bits == 8:
        return stored.astype(np.uint8)
    if bits > 8:
        return (stored.astype(np.int64) >> (bits - 8)).astype(np.uint8)
    return (stored.astype(np.int64) * 255 // ((1 << bits) - 1)).astype(np.uint8)


def _view(ds: Dataset, frame: int, window: Wanted, voi: int | None) -> Lookup | Window | None:
    if window == "full":
        return None
    if window is not None:
        center, width = window
        return Window(center, width, "LINEAR" if width >= 1 else "LINEAR_EXACT")
    how = view_of(ds, frame, voi or 0)
    if how is None and voi is not None:
        raise PixelError("there is neither window nor VOI LUT", clause="PS3.3 C.11.2")
    return how


def _plain(source: FrameSource, window: Wanted) -> Pair | None:
    """The range of grey of an image that has few shades and says nothing about them."""
    model = source.model
    is_plain = window is None and model.bits_stored <= 8 and model.kind == "u"
    return (0.0, 2.0**model.bits_stored - 1) if is_plain and "RescaleSlope" not in source.dataset else None


def _grey(ds: Dataset, stored: Array, frame: int, view: Lookup | Window | None, scale: Pair | None) -> Image:
    """Brightness of stored values. Few different values are converted once each."""
    mask = padding_mask(ds, stored)
    is_padded = bool(mask.any())
    values, low = stored, 0
    is_table = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2
    if is_table:
        low = int(stored.min())
        is_table = int(stored.max()) - low < stored.size
    if is_table:
        values = np.arange(low, int(stored.max()) + 1, dtype=np.int32)
    if view is None and scale is None:
        scale = _extent(ds, stored[~mask] if is_padded else stored, frame)
    table = _brightness(ds, modality(ds, values, frame=frame), view, scale or (0.0, 1.0))
    made = table.take(stored.astype(np.int32) - low) if is_table else table
    if is_padded:
        made[mask] = 0
    return made


def _extent(ds: Dataset, stored: Array, frame: int) -> Pair | None:
    """The least and the greatest value there are; None where there is none."""
    if stored.dtype.kind == "f":
        stored = stored[np.isfinite(stored)]
    if not stored.size:
        return None
    if "ModalityLUTSequence" not in ds and "PerFrameFunctionalGroupsSequence" not in ds:
        stored = np.array([stored.min(), stored.max()])  # what follows goes straight
    values = modality(ds, stored, frame=frame)
    return float(values.min()), float(values.max())


def _brightness(ds: Dataset, values: Array, view: Lookup | Window | None, scale: Pair) -> Image:
    if isinstance(view, Lookup):
        bright = view.apply(values) / (2.0**view.bits - 1)
    elif isinstance(view, Window):
        bright = view.apply(values)
    else:
        low, high = scale
        with np.errstate(over="ignore", invalid="ignore"):  # floats may be as far apart as they like
            bright = (values.astype(np.float64) - low) / (high - low if high > low else 1.0)
    table = presentation_lut(ds)
    if table is not None:
        bright = Lookup(table.values, 0, table.bits).apply(bright * (len(table.values) - 1)) / (2.0**table.bits - 1)
    if inverts(ds):
        bright = 1.0 - bright
    return np.asarray((np.clip(np.nan_to_num(bright, nan=0.0), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))


# -- many of them ------------------------------------------------------------------------------------------------------


def sheet(
    source: FrameSource,
    rows: int,
    columns: int,
    *,
    size: int = 128,
    labels: bool = True,
    window: Wanted = None,
    voi: int | None = None,
    overlays: bool = False,
) -> Picture:
    """A contact sheet: up to rows x columns frames, evenly spaced, each within ``size`` x ``size`` pixels.

    ``labels``: with its number, which counts from one as PS3.3 does. Without a window all share one range of grey.
    """
    if rows < 1 or columns < 1 or size < 1 or not len(source):
        raise ValueError(f"a sheet of {rows} x {columns} pictures of {size} pixels, of {len(source)} frames")
    step = size + _GAP
    length = rows * columns * step * step * 3
    if length > DEFAULT_LIMITS.inflated_length:
        raise LimitExceeded(f"a sheet of {length} bytes, over the limit of {DEFAULT_LIMITS.inflated_length}")
    count = min(rows * columns, len(source))
    numbers = [(2 * place * (len(source) - 1) + count - 1) // (2 * max(count - 1, 1)) for place in range(count)]
    planes = _planes(source) if overlays else []
    scale = _common(source, numbers, window, voi)
    lines = -(-count // columns)
    made: Image = np.zeros((lines * step - _GAP, min(columns, count) * step - _GAP), np.uint8)
    for place, i in enumerate(numbers):
        image = _picture(source, i, window, voi, planes, scale, False).fitted(size).array
        if image.ndim > made.ndim:
            made = Picture(made).rgb
        if labels:
            image = labelled(image, source._number(i) + 1)
        row, column = place // columns * step, place % columns * step
        row, column = row + (size - image.shape[0]) // 2, column + (size - image.shape[1]) // 2
        if image.ndim < made.ndim:
            image = Picture(image).rgb
        made[row : row + image.shape[0], column : column + image.shape[1]] = image
    return Picture(made)


def _common(source: FrameSource, numbers: Sequence[int], window: Wanted, voi: int | None) -> Pair | None:
    """The range of grey that frames without a window share."""
    ds = source.dataset
    if not source.photometric.startswith("MONOCHROME") or _plain(source, window) is not None:
        return None
    ends: list[float] = []
    for i in numbers:
        frame = source._number(i)
        if _view(ds, frame, window, voi) is None:
            stored = source[i]
            ends += _extent(ds, stored[~padding_mask(ds, stored)], frame) or ()
    return (min(ends), max(ends)) if ends else None


def preview(source: FrameSource) -> bytes | None:
    """What a notebook shows: the frame, or a sheet of many. None, and so the text, where there is no picture of it."""
    try:
        made = picture(source) if len(source) == 1 else sheet(source, *_PREVIEW)
        return made.png()
    except (DicomError, OSError, ValueError):
        return None
