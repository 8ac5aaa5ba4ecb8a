"""Colours of PALETTE COLOR, and of grey images with a supplemental palette (PS3.3 C.7.6.3.1.5, C.7.6.19, C.7.9).

Frames of such images are indices until their colours are asked for. Tables may be written out or in segments: values,
lines to a value, and copies of segments that came before. Offsets of copies are bytes, of 16-bit entries too, as C.7.9
has it. Refuses (`PixelError`): segments that run out of the data, overrun the table, begin with nothing before them, or
copy what is no segment or a copy; and tables shorter than their descriptor says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dicomcore.errors import PixelError
from dicomcore.pixels.lookup import Array, Lookup, path_of, read_descriptor, read_little, read_lookup

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["expand_segments", "has_palette", "palette", "palette_rgb", "supplemental_rgb"]

CLAUSE, SEGMENTS = "PS3.3 C.7.6.3.1.5", "PS3.3 C.7.9.2"
_MOST = 0x10000
_DISCRETE, _LINEAR, _INDIRECT = range(3)


def has_palette(ds: Dataset) -> bool:
    return "RedPaletteColorLookupTableDescriptor" in ds


def palette(ds: Dataset, *, alpha: bool = False) -> Lookup:
    """The table of colours: its ``values`` are (n, 3) of uint8 or uint16, with ``alpha`` (n, 1) of opacity instead."""
    names = ("Alpha",) if alpha else ("Red", "Green", "Blue")
    tables = [_table(ds, name) for name in names]
    shapes = {(len(one.values), one.first) for one in tables}
    if len(shapes) > 1:
        raise PixelError(
            "tables of red, green and blue differ in length or first value", clause=CLAUSE, path="(0028,1101)"
        )
    values = np.stack([one.values for one in tables], axis=-1)
    return Lookup(values, tables[0].first, max(one.bits for one in tables))


def _table(ds: Dataset, name: str) -> Lookup:
    base = f"{name}PaletteColorLookupTable"
    # There is no descriptor for opacity: it is as the colours are.
    descriptor = f"{'Red' if name == 'Alpha' else name}PaletteColorLookupTableDescriptor"
    signed = ds.get("PixelRepresentation") == 1
    if f"{base}Data" in ds or f"Segmented{base}Data" not in ds:
        return read_lookup(ds, data=f"{base}Data", descriptor=descriptor, signed=signed, clause=CLAUSE)
    if descriptor not in ds:
        raise PixelError(f"{descriptor} is missing", path=path_of(descriptor), clause=CLAUSE)
    described = read_descriptor(ds, descriptor, signed=signed, clause=CLAUSE)
    data = f"Segmented{base}Data"
    size = 1 if described.bits <= 8 else 2
    content = read_little(ds, data)
    try:
        values = expand_segments(content.tobytes(), size)
    except PixelError as error:
        error.path = path_of(data)
        raise
    if len(values) < described.entries:
        raise PixelError(
            f"segments of {len(values)} entries where {described.entries} are described",
            path=path_of(data),
            clause=SEGMENTS,
        )
    return Lookup(values[: described.entries], described.first, described.bits)


def expand_segments(data: bytes, size: int) -> Array:
    """All entries of segmented data (little endian), each of ``size`` bytes."""
    dtype = np.dtype(np.uint8 if size == 1 else "<u2")
    units = np.frombuffer(data[: len(data) // size * size], dtype)
    parts: list[Array] = []
    starts: list[int] = []  # of segments that a copy may name, in units
    numbers: dict[int, int] = {}  # start -> place in starts
    count = last = done = 0
    position = 0

    def need(stop: int) -> None:
        if stop > len(units):
            raise PixelError(
                f"a segment ends behind the data, at {stop * size} of {len(data)}",
                offset=position * size,
                clause=SEGMENTS,
            )

    def plain(start: int) -> int:
        """Add the discrete or linear segment at ``start``; where it ends."""
        nonlocal count, last, done
        done += 1
        kind, length = int(units[start]), int(units[start + 1])
        stop = start + 2 + (length if kind == _DISCRETE else 1)
        need(stop)
        if count + length > _MOST or done > 2 * _MOST:  # many empty ones are work, too
            raise PixelError(f"segments of more than {_MOST} entries", offset=start * size, clause=SEGMENTS)
        if length and kind == _LINEAR:
            if not count:
                raise PixelError("the first segment is a line from nowhere", offset=start * size, clause=SEGMENTS)
            end = int(units[start + 2])
            line = np.linspace(last + (end - last) / length, end, length)
            parts.append(np.around(line).astype(dtype))
        elif length:
            parts.append(units[start + 2 : stop])
        if length:
            count, last = count + length, int(units[stop - 1])
        return stop

    while position + 2 <= len(units):
        kind, length = int(units[position]), int(units[position + 1])
        if kind in (_DISCRETE, _LINEAR):
            numbers[position] = len(starts)
            starts.append(position)
            position = plain(position)
            continue
        if kind != _INDIRECT:
            raise PixelError(f"there is no segment of type {kind}", offset=position * size, clause=SEGMENTS)
        stop = position + 2 + 4 // size
        need(stop)
        offset = int.from_bytes(data[(position + 2) * size : stop * size], "little")
        index = numbers.get(offset // size, -1) if offset % size == 0 else -1
        if index < 0 or index + length > len(starts):
            raise PixelError(
                f"a copy of {length} segments from byte {offset} on, which are not there",
                offset=position * size,
                clause=SEGMENTS,
            )
        for start in starts[index : index + length]:
            plain(start)
        position = stop
    made = np.concatenate(parts) if parts else units[:0]
    return made.astype(np.uint8 if size == 1 else np.uint16)


def palette_rgb(ds: Dataset, array: Array) -> Array:
    """The colours of indices, (..., 3): uint8, or uint16 where entries have more than 8 bits."""
    return palette(ds).apply(array)


def supplemental_rgb(ds: Dataset, stored: Array, grey: Array) -> Array:
    """Grey of 8 bits as RGB, with the colours of those *stored* values that the palette maps (PS3.3 C.7.6.19)."""
    table = as_bytes(palette(ds))
    made = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    mask = stored >= table.first
    made[mask] = table.apply(stored[mask])
    return made


def as_bytes(table: Lookup) -> Lookup:
    """The same with entries of 8 bits, for a screen."""
    values, bits = table.values, table.bits
    if values.dtype == np.uint8 and bits == 8:
        return table
    most = int(values.max())
    if bits > 8 and most < 256:  # said to be of 16 bits, and written as bytes
        bits = 8
    scaled = values >> (bits - 8) if bits > 8 else values.astype(np.uint16) * 255 // ((1 << bits) - 1)
    return Lookup(scaled.astype(np.uint8), table.first, 8)
