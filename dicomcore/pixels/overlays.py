"""Overlay planes (PS3.3 C.9.2): single bits over an image, in Overlay Data or, in older objects, in unused bits of it.

`overlays` answers all planes of groups 6000 to 601E. Where Overlay Bits Allocated is more than 1 a plane is the bit at
Overlay Bit Position of every pixel (retired, PS3.5 8.1.2); decoding clears those bits, so what re-encodes pixels calls
`move_overlays` first. Refuses (`PixelError`) sizes without their data, attributes that are no numbers, bits of the
image itself; `LimitExceeded` before arrays over ``limits.inflated_length`` are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomcore.data.element import Element
from dicomcore.errors import DicomError, LimitExceeded, PixelError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.pixels.frames import FrameSource, frames
from dicomcore.pixels.lookup import read_little
from dicomcore.vocab.tag import format_tag

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["Overlay", "iter_overlays", "move_overlays", "overlays"]

CLAUSE = "PS3.3 C.9.2"
Plane = NDArray[np.bool_]
ROWS, COLUMNS, COUNT, KIND, ORIGIN, FIRST, BITS, POSITION = 0x10, 0x11, 0x15, 0x40, 0x50, 0x51, 0x100, 0x102
DESCRIPTION, LABEL, DATA = 0x22, 0x1500, 0x3000


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """One group of overlay planes: ``frames`` of (rows, columns) bits over the image frames from ``first_frame`` on."""

    group: int  # 0x6000 to 0x601E
    frames: NDArray[np.bool_] = field(repr=False)  # (n, rows, columns)
    origin: tuple[int, int]  # row and column of the image that its first bit lies on; the image begins at (1, 1)
    type: str  # "G": graphics, "R": region of interest
    label: str = ""
    description: str = ""
    first_frame: int = 0  # of the image, counted from zero
    is_embedded: bool = False  # in unused bits of the pixels
    each_frame: bool = True  # a single plane lies over all frames of the image

    @property
    def array(self) -> Plane:
        """The first, or only, plane."""
        return np.asarray(self.frames[0])

    def plane(self, frame: int) -> Plane | None:
        """What lies over frame ``frame`` of the image, counted from zero."""
        if len(self.frames) == 1 and self.each_frame:
            return self.array
        i = frame - self.first_frame
        return np.asarray(self.frames[i]) if 0 <= i < len(self.frames) else None

    def over(self, rows: int, columns: int, frame: int = 0) -> Plane:
        """The bits on an image of that size: moved to the origin, and cut where they leave it."""
        mask = np.zeros((rows, columns), bool)
        plane = self.plane(frame)
        if plane is None:
            return mask
        row, column = self.origin[0] - 1, self.origin[1] - 1
        part = plane[max(-row, 0) : max(rows - row, 0), max(-column, 0) : max(columns - column, 0)]
        top, left = max(row, 0), max(column, 0)
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
        return mask


def overlays(ds: Dataset, *, limits: Limits = DEFAULT_LIMITS) -> list[Overlay]:
    """All overlays of ``ds``, in order of their groups."""
    return list(iter_overlays(ds, limits=limits))


def iter_overlays(ds: Dataset, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Overlay]:
    """`overlays` one by one."""
    for group in range(0x6000, 0x6020, 2):
        base = group << 16
        if base | DATA in ds:
            yield _packed(ds, base, limits)
        elif _is_embedded(ds, base):
            yield _embedded(ds, base, limits)


def _value(ds: Dataset, tag: int, default: Any = None) -> Any:
    element = ds.get(tag)
    value = None if element is None else element.value
    return default if value is None or value == "" else value


def _number(ds: Dataset, tag: int, default: int | None, least: int = 1) -> int:
    value = _value(ds, tag, default)
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise PixelError(
            f"{'no number' if value is None else repr(value)} of an overlay", path=format_tag(tag), clause=CLAUSE
        ) from None
    if number < least:
        raise PixelError(f"{number} of an overlay", path=format_tag(tag), clause=CLAUSE)
    return number


def _overlay(ds: Dataset, base: int, planes: Plane, embedded: bool) -> Overlay:
    origin = _value(ds, base | ORIGIN, [1, 1])
    if not isinstance(origin, list) or len(origin) != 2 or not all(isinstance(one, int) for one in origin):
        raise PixelError(f"Overlay Origin is {origin!r}", path=format_tag(base | ORIGIN), clause=CLAUSE)
    return Overlay(
        group=base >> 16,
        frames=planes,
        origin=(origin[0], origin[1]),
        type=str(_value(ds, base | KIND, "G")),
        label=str(_value(ds, base | LABEL, "")),
        description=str(_value(ds, base | DESCRIPTION, "")),
        first_frame=_number(ds, base | FIRST, 1) - 1,
        is_embedded=embedded,
        each_frame=_value(ds, base | COUNT) is None and not embedded,
    )


def _check(length: int, tag: int, limits: Limits) -> None:
    if length > limits.inflated_length:
        raise LimitExceeded(
            f"{length} bytes of overlay planes, over the limit of {limits.inflated_length}",
            path=format_tag(tag),
            clause=CLAUSE,
        )


def _packed(ds: Dataset, base: int, limits: Limits) -> Overlay:
    """Eight bits a byte, the first in the lowest; frames follow without padding (PS3.5 8.1.2)."""
    rows, columns = _number(ds, base | ROWS, None), _number(ds, base | COLUMNS, None)
    count = _number(ds, base | COUNT, 1)
    size = rows * columns * count
    data = read_little(ds, base | DATA)
    if len(data) * 8 < size:
        raise PixelError(
            f"{len(data)} bytes of Overlay Data where {count} x {rows} x {columns} bits need {(size + 7) // 8}",
            path=format_tag(base | DATA),
            clause=CLAUSE,
        )
    _check(size, base | DATA, limits)
    bits = np.unpackbits(data[: (size + 7) // 8], count=size, bitorder="little")
    return _overlay(ds, base, bits.view(bool).reshape(count, rows, columns), False)


# -- in the pixels -----------------------------------------------------------------------------------------------------


def _is_embedded(ds: Dataset, base: int) -> bool:
    """Whether bits of the pixels are this overlay, as it says."""
    bits = _value(ds, base | BITS, 1)
    return isinstance(bits, int) and bits > 1 and "PixelData" in ds and base | DATA not in ds


def _whole(ds: Dataset, limits: Limits) -> FrameSource:
    """The frames with all the bits that are allocated."""
    wide = ds.copy()
    wide.file_meta = ds.file_meta
    wide.BitsStored = ds.get("BitsAllocated")
    wide.HighBit = wide.BitsStored - 1
    wide.PixelRepresentation = 0
    return frames(wide, colour="stored", limits=limits)


def _position(ds: Dataset, base: int) -> int:
    """Which bit of the pixels; PixelError when it is one of the image itself, or there is none such."""
    position = _number(ds, base | POSITION, None, 0)
    stored, allocated = (_value(ds, tag) for tag in (0x00280101, 0x00280100))
    is_wide = isinstance(allocated, int) and isinstance(stored, int) and _value(ds, 0x00280002, 1) == 1
    if not is_wide or not stored <= position < allocated:
        raise PixelError(
            f"an overlay in bit {position} of pixels with {stored} bits stored of {allocated}",
            path=format_tag(base | POSITION),
            clause="PS3.5 8.1.2",
        )
    return position


def _embedded_planes(ds: Dataset, base: int, limits: Limits) -> tuple[tuple[int, int, int], Iterator[Plane]]:
    """How many planes of which size, and those one by one."""
    bit = 1 << _position(ds, base)
    source = _whole(ds, limits)
    model = source.model
    planes = (np.not_equal(frame & frame.dtype.type(bit), 0) for frame in source)
    return (len(source), model.rows, model.columns), planes


def _embedded(ds: Dataset, base: int, limits: Limits) -> Overlay:
    shape, planes = _embedded_planes(ds, base, limits)
    _check(shape[0] * shape[1] * shape[2], base | POSITION, limits)
    made = np.empty(shape, bool)
    for room, plane in zip(made, planes, strict=True):
        room[:] = plane
    return _overlay(ds, base, made, True)


def _pack(planes: Iterator[Plane]) -> bytes:
    """Overlay Data of them; eight of whatever size are whole bytes."""
    parts = []
    while eight := list(islice(planes, 8)):
        parts.append(np.packbits(np.stack(eight).reshape(-1), bitorder="little").tobytes())
    packed = b"".join(parts)
    return packed + b"\0" * (len(packed) % 2)


def move_overlays(ds: Dataset, made: Dataset, *, limits: Limits = DEFAULT_LIMITS) -> list[int]:
    """Give ``made``, a copy of ``ds`` whose pixels lose their unused bits, the overlays in them as Overlay Data.

    Answers the groups. An overlay that cannot be read, or that is said to be in bits of the image, stays as it is.
    """
    moved = []
    for group in range(0x6000, 0x6020, 2):
        base = group << 16
        if not _is_embedded(ds, base):
            continue
        try:
            (count, rows, columns), planes = _embedded_planes(ds, base, limits)
            _check(count * rows * columns // 8, base | POSITION, limits)
            packed = _pack(planes)
        except LimitExceeded:
            raise
        except DicomError:
            continue
        changes: list[tuple[int, str, Any]] = [
            (ROWS, "US", rows),
            (COLUMNS, "US", columns),
            (BITS, "US", 1),
            (POSITION, "US", 0),
            (DATA, "OB", packed),  # bytes have no order that could change
        ]
        if count > 1:
            changes += [(COUNT, "IS", count), (FIRST, "US", 1)]
        for element, vr, value in changes:
            made.add(Element(base | element, vr, value))
        moved.append(group)
    return moved
