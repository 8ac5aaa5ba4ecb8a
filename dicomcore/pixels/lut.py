"""From stored values to what they mean and how bright they are shown (PS3.3 C.11.1, C.11.2, C.11.4; PS3.4 N.2.1).

`modality` gives Hounsfield units and their like, `voi` what a window or a table makes of them, `presentation` P-values.
Each takes any array of values of one frame, or of all frames, and answers a new one; without the attributes it is about
it answers the array itself. Of enhanced objects the functional groups of the frame have the word, then the shared ones,
then the data set (PS3.3 C.7.6.16.2.9, .10). Frames count from zero.
Refuses (`PixelError`): tables that are not what their descriptor says, windows without width, numbers that are none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from dicomcore.errors import PixelError
from dicomcore.pixels.lookup import Array, Lookup, path_of, read_lookup

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = [
    "Lookup",
    "Rescale",
    "Window",
    "inverts",
    "modality",
    "padding_mask",
    "presentation",
    "value_range",
    "voi",
    "voi_luts",
    "windows",
]

MODALITY, VOI, PRESENTATION = "PS3.3 C.11.1", "PS3.3 C.11.2", "PS3.3 C.11.4"
_FAR = 1e64  # beyond it, nothing is a brightness

_T = TypeVar("_T")
Pair = tuple[float, float]


# -- where the attributes are ------------------------------------------------------------------------------------------


def _first(ds: Dataset, keyword: str) -> Dataset | None:
    items = ds.get(keyword)
    return items[0] if items else None


def _levels(ds: Dataset, group: str, frame: int) -> list[Dataset]:
    """What may hold the attributes of a functional group for one frame, the first to be asked first."""
    each, shared = ds.get("PerFrameFunctionalGroupsSequence"), _first(ds, "SharedFunctionalGroupsSequence")
    holders = [each[frame]] if each and frame < len(each) else []
    holders += [shared] if shared is not None else []
    return [level for level in (_first(holder, group) for holder in holders) if level is not None] + [ds]


def _level(ds: Dataset, group: str, frame: int, *keywords: str) -> Dataset:
    """The level that says something of what the keywords name, else the data set."""
    levels = _levels(ds, group, frame)
    return next((one for one in levels if any(_has(one, keyword) for keyword in keywords)), ds)


def _has(ds: Dataset, keyword: str) -> bool:
    value = ds.get(keyword)
    return value is not None and (not hasattr(value, "__len__") or len(value) > 0)


def _each(
    ds: Dataset, array: Array, frame: int | None, find: Callable[[int], _T], work: Callable[[Array, _T], Array]
) -> Array:
    """``work`` with what is found for the frame, or for each of all frames."""
    each = ds.get("PerFrameFunctionalGroupsSequence")
    if frame is not None or not each:
        return work(array, find(frame or 0))
    count = len(each)
    found = [find(i) for i in range(count)]
    if found.count(found[0]) == count:
        return work(array, found[0])
    if array.ndim < 3 or len(array) != count:
        raise ValueError(f"frames differ: say which of the {count} this is, frame=..., or give an array of all of them")
    return np.stack([work(plane, one) for plane, one in zip(array, found, strict=True)])


def _numbers(ds: Dataset, keyword: str, clause: str) -> list[float]:
    value = ds.get(keyword)
    if value is None or value == "":
        return []
    try:
        numbers = [float(one) for one in (value if isinstance(value, list) else [value])]
    except (TypeError, ValueError):
        raise PixelError(f"{keyword} is {value!r}", path=path_of(keyword), clause=clause) from None
    for number in numbers:
        if not abs(number) < _FAR:
            raise PixelError(f"{keyword} is {number}", path=path_of(keyword), clause=clause)
    return numbers


def _is_signed(ds: Dataset) -> bool:
    return bool(ds.get("PixelRepresentation") == 1)


# -- modality ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rescale:
    """stored value * slope + intercept (PS3.3 C.11.1.1.2)."""

    slope: float
    intercept: float

    def apply(self, array: Array, dtype: DTypeLike = np.float64) -> Array:
        """A new array of ``dtype``."""
        made = array.astype(dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            made *= self.slope
            made += self.intercept
        return made


def _modality(ds: Dataset, frame: int) -> Lookup | Rescale | None:
    level = _level(ds, "PixelValueTransformationSequence", frame, "ModalityLUTSequence", "RescaleSlope")
    item = _first(level, "ModalityLUTSequence")
    if item is not None:
        return read_lookup(item, signed=_is_signed(ds), clause=MODALITY)
    slope, intercept = (_numbers(level, keyword, MODALITY) for keyword in ("RescaleSlope", "RescaleIntercept"))
    return Rescale(slope[0], intercept[0]) if slope and intercept else None


def modality(ds: Dataset, array: Array, *, frame: int | None = None, dtype: DTypeLike = np.float64) -> Array:
    """What stored values mean, such as Hounsfield units: by Modality LUT, or by rescale slope and intercept.

    A table gives its entries (uint8 or uint16); slope and intercept give ``dtype``; with neither it is ``array``.
    Where frames of an enhanced object differ, tell ``frame``, unless ``array`` has all of them (else ValueError).
    """

    def work(values: Array, how: Lookup | Rescale | None) -> Array:
        if how is None:
            return values
        return how.apply(values) if isinstance(how, Lookup) else how.apply(values, dtype)

    return _each(ds, array, frame, lambda i: _modality(ds, i), work)


def value_range(ds: Dataset, frame: int = 0) -> Pair:
    """The least and the greatest value that `modality` can give: the range of the stored bits, converted."""
    how = _modality(ds, frame)
    if isinstance(how, Lookup):
        return 0.0, 2.0**how.bits - 1
    bits = ds.get("BitsStored")
    if not isinstance(bits, int) or not 0 < bits <= 64:
        raise PixelError(f"BitsStored is {bits!r}", path="(0028,0101)", clause="PS3.3 C.7.6.3")
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if _is_signed(ds) else (0.0, 2.0**bits - 1)
    if how is None:
        return low, high
    ends = low * how.slope + how.intercept, high * how.slope + how.intercept
    return min(ends), max(ends)


# -- values of interest ------------------------------------------------------------------------------------------------


def _linear(x: Array, center: float, width: float) -> Array:
    """PS3.3 C.11.2.1.2.1: a width of 1 is a step."""
    if width < 1:
        raise PixelError(f"Window Width is {width:g}, and LINEAR needs 1", path="(0028,1051)", clause=VOI)
    return _ramp(x, center - 0.5, width - 1)


def _linear_exact(x: Array, center: float, width: float) -> Array:
    return _ramp(x, center, _positive(width))


def _ramp(x: Array, center: float, width: float) -> Array:
    """0 up to the lower end of the window, 1 beyond the upper one."""
    if width < 1e-30:
        return (x > center).astype(x.dtype)
    x -= center
    x /= width
    x += 0.5
    return np.clip(x, 0.0, 1.0, out=x)


def _sigmoid(x: Array, center: float, width: float) -> Array:
    x -= center
    x *= -4 / max(_positive(width), 1e-30)
    np.clip(x, -80, 80, out=x)  # e to the power of 80 still is a float32
    np.exp(x, out=x)
    x += 1
    return np.reciprocal(x, out=x)


def _positive(width: float) -> float:
    if width <= 0:
        raise PixelError(f"Window Width is {width:g}", path="(0028,1051)", clause=VOI)
    return width


# VOI LUT Function (0028,1056) -> function(new array of floats, center, width), which answers numbers from 0 to 1.
FUNCTIONS: Mapping[str, Callable[[Array, float, float], Array]] = MappingProxyType(
    {"LINEAR": _linear, "LINEAR_EXACT": _linear_exact, "SIGMOID": _sigmoid}
)


@dataclass(frozen=True, slots=True)
class Window:
    """A range of values spread over the brightness there is (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

    center: float
    width: float
    function: str = "LINEAR"  # LINEAR_EXACT, SIGMOID
    explanation: str = ""

    def apply(self, array: Array, output: Pair = (0.0, 1.0), dtype: DTypeLike = np.float64) -> Array:
        """A new array of floats from ``output[0]`` to ``output[1]``."""
        function = FUNCTIONS.get(self.function)
        if function is None:
            raise PixelError(f"VOI LUT Function is {self.function!r}", path="(0028,1056)", clause=VOI)
        low, high = output
        made = function(array.astype(dtype), self.center, self.width)
        made *= high - low
        made += low
        return made


def windows(ds: Dataset, frame: int = 0) -> list[Window]:
    """The windows of one frame, as many as have center and width."""
    level = _level(ds, "FrameVOILUTSequence", frame, "WindowCenter", "WindowWidth")
    centers, widths = (_numbers(level, keyword, VOI) for keyword in ("WindowCenter", "WindowWidth"))
    function = str(level.get("VOILUTFunction") or "LINEAR").strip().upper()
    told = level.get("WindowCenterWidthExplanation") or ""
    texts = [told] if isinstance(told, str) else [str(one) for one in told]
    texts += [""] * len(centers)
    return [Window(center, width, function, text) for center, width, text in zip(centers, widths, texts, strict=False)]


def voi_luts(ds: Dataset, frame: int = 0) -> list[Lookup]:
    """The VOI LUTs of one frame. Their inputs are signed where values of the modality may be negative."""
    level = _level(ds, "FrameVOILUTSequence", frame, "VOILUTSequence")
    items = level.get("VOILUTSequence") or ()
    signed = bool(items) and value_range(ds, frame)[0] < 0
    return [read_lookup(item, signed=signed, clause=VOI) for item in items]


def view_of(ds: Dataset, frame: int, index: int = 0, prefer_lut: bool = True) -> Lookup | Window | None:
    """VOI LUT or window number ``index``; of the kind that is not preferred where there is none of the other."""
    luts = voi_luts(ds, frame) if prefer_lut or not windows(ds, frame) else []
    views: list[Lookup] | list[Window] = luts or windows(ds, frame)
    if not views:
        return None
    if not 0 <= index < len(views):
        count = f"{len(views)} {'VOI LUT' if luts else 'window'}{'s' * (len(views) > 1)}"
        raise PixelError(f"the image has {count}, and not the one asked for", clause=VOI)
    return views[index]


def voi(
    ds: Dataset,
    array: Array,
    index: int = 0,
    *,
    frame: int | None = None,
    prefer_lut: bool = True,
    output: Pair | None = None,
) -> Array:
    """Values of `modality` as VOI LUT or window ``index`` shows them; ``array`` itself where there is neither.

    A table gives its entries; a window float64 over `value_range`. With ``output``, both give float64 from
    ``output[0]`` to ``output[1]``.
    """

    def find(i: int) -> tuple[Lookup | Window | None, Pair]:
        how = view_of(ds, i, index, prefer_lut)
        return how, output or (value_range(ds, i) if isinstance(how, Window) else (0.0, 1.0))

    def work(values: Array, found: tuple[Lookup | Window | None, Pair]) -> Array:
        how, ends = found
        if isinstance(how, Window):
            return how.apply(values, ends)
        if how is None:
            return values
        made = how.apply(values)
        return made if output is None else made * ((ends[1] - ends[0]) / (2.0**how.bits - 1)) + ends[0]

    return _each(ds, array, frame, find, work)


# -- presentation ------------------------------------------------------------------------------------------------------


def presentation_lut(ds: Dataset) -> Lookup | None:
    item = _first(ds, "PresentationLUTSequence")
    return None if item is None else read_lookup(item, signed=False, clause=PRESENTATION)


def presentation(ds: Dataset, array: Array, *, scale: Pair | None = None) -> Array:
    """P-values of what `voi` answered, by Presentation LUT or its shape; ``array`` itself where there is neither.

    ``scale``: the least and the greatest value that could be there; without it, what `voi` can give for frame 0.
    """
    lookup = presentation_lut(ds)
    shape = str(ds.get("PresentationLUTShape") or "IDENTITY").strip().upper()
    if lookup is None and shape == "IDENTITY":
        return array
    if lookup is None and shape != "INVERSE":
        raise PixelError(f"Presentation LUT Shape is {shape!r}", path="(2050,0020)", clause=PRESENTATION)
    if scale is None:
        how = view_of(ds, 0)
        scale = (0.0, 2.0**how.bits - 1) if isinstance(how, Lookup) else value_range(ds)
    low, high = scale
    if lookup is None:
        ends = int(low) + int(high) if array.dtype.kind in "iu" else low + high
        wide = array.astype(np.int64) if array.dtype.kind in "iu" else array
        return np.asarray((ends - wide).astype(array.dtype))
    steps = (len(lookup.values) - 1) / (high - low) if high > low else 0.0
    return Lookup(lookup.values, 0, lookup.bits).apply((array.astype(np.float64) - low) * steps)


def inverts(ds: Dataset) -> bool:
    """Whether least values are shown white. MONOCHROME1 says so, and INVERSE beside it says it again (PS3.3 C.8.11.1).

    A Presentation LUT answers P-values, of which the least are always black.
    """
    if _first(ds, "PresentationLUTSequence") is not None:
        return False
    shape = str(ds.get("PresentationLUTShape") or "").strip().upper()
    return shape == "INVERSE" or ds.get("PhotometricInterpretation") == "MONOCHROME1"


# -- padding -----------------------------------------------------------------------------------------------------------


def padding_mask(ds: Dataset, array: Array) -> Array:
    """Which *stored* values are no part of the image: Pixel Padding Value, to its Range Limit (PS3.3 C.7.5.1.1.2)."""
    ends: list[int | float] = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value: Any = ds.get(keyword)
        if isinstance(value, int):
            ends.append(_as_stored(value, array.dtype))
    for keyword in (
        "FloatPixelPaddingValue",
        "FloatPixelPaddingRangeLimit",
        "DoubleFloatPixelPaddingValue",
        "DoubleFloatPixelPaddingRangeLimit",
    ):
        value = ds.get(keyword)
        if isinstance(value, float) and not math.isnan(value):
            ends.append(value)
    if not ends:
        return np.zeros(array.shape, bool)
    if len(ends) == 1:
        return np.asarray(array == ends[0])
    return np.asarray((array >= min(ends)) & (array <= max(ends)))


def _as_stored(value: int, dtype: np.dtype[Any]) -> int:
    """A negative value may stand under a VR of unsigned ones, and the other way round."""
    bits = 8 * dtype.itemsize
    if dtype.kind == "i" and value >= 1 << (bits - 1):
        return value - (1 << bits)
    return value + (1 << bits) if dtype.kind == "u" and value < 0 else value
