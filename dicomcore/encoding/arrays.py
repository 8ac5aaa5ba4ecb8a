"""Value fields to numpy arrays and back (PS3.5 section 6.2): DS and IS parsed in one pass, binary numbers as they lie.

`decode_array` gives a new or read-only array of shape (VM,): float64 for DS, int64 for IS, for the binary numbers their
own type in the byte order of the machine; `decode_arrays` does many fields of one block at once. `encode_array` writes
DS in at most 16 bytes, the shortest decimal that reads back equal or else the nearest, ties to even, and IS in at most
12. EncodingError tells the offset in the value field.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.arrays import (
    count_fields,
    join_fields,
    read_decimals,
    read_fields,
    read_integers,
    read_text,
    write_decimals,
    write_integers,
)
from ..errors import EncodingError
from .values import format_decimal

__all__ = ["ARRAY_TYPES", "decode_array", "decode_arrays", "encode_array"]

ARRAY_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "DS": "f8", "IS": "i8", "FL": "f4", "FD": "f8", "OF": "f4", "OD": "f8", "SS": "i2", "SL": "i4", "SV": "i8",
        "US": "u2", "UL": "u4", "UV": "u8", "OB": "u1", "OW": "u2", "OL": "u4", "OV": "u8", "UN": "u1",
    }
)  # fmt: skip
_TEXT_ROOM = 24  # bytes that the kernel wants for each value


def decode_array(vr: str, raw: bytes | memoryview, big_endian: bool = False) -> NDArray[Any]:
    """All values of a field. Raises EncodingError on text that is no number, and where bytes are left over."""
    if vr not in ARRAY_TYPES:
        raise EncodingError(f"values of {vr} are no numbers", clause=f"PS3.5 6.2 {vr}")
    if vr in ("DS", "IS"):
        return _decode_text(vr, raw)
    form = np.dtype(ARRAY_TYPES[vr])
    if len(raw) % form.itemsize:
        raise EncodingError(
            f"{len(raw)} bytes are no whole number of values of {form.itemsize}", offset=0, clause=f"PS3.5 6.2 {vr}"
        )
    values: NDArray[Any] = np.frombuffer(raw, form.newbyteorder(">" if big_endian else "<"))
    return values.astype(form) if form.itemsize > 1 and big_endian != (sys.byteorder == "big") else values


def _decode_text(vr: str, raw: bytes | memoryview) -> NDArray[Any]:
    values, count, at = read_text(raw, vr == "DS", np.empty)
    if at < 0:
        return values
    read, convert = (read_decimals, float) if vr == "DS" else (read_integers, int)
    text = bytes(raw).rstrip(b" \0")
    while at >= 0:  # one that the kernel leaves: more digits than a word holds, or no number at all
        stop = text.find(b"\\", at)
        one = text[at : stop if stop >= 0 else len(text)]
        try:
            if b"_" in one or one.strip().lower().lstrip(b"+-")[:1].isalpha():
                raise ValueError
            values[count] = convert(one)
        except (ValueError, OverflowError):
            raise EncodingError(
                f"value {count + 1} is no number: {one[:32]!r}", offset=at, clause=f"PS3.5 6.2 {vr}"
            ) from None
        count += 1
        if stop < 0:
            break
        if stop + 1 == len(text):
            raise EncodingError(f"value {count + 1} is empty", offset=stop + 1, clause=f"PS3.5 6.2 {vr}")
        count, at = read(text, values, count, stop + 1)
    return values


def decode_arrays(
    vr: str, block: bytes | memoryview, offsets: NDArray[Any], lengths: NDArray[Any], big_endian: bool = False
) -> list[NDArray[Any] | None]:
    """Arrays of fields of a block, parts of one new array; None for a field that only `decode_array` can tell about.

    ``offsets`` and ``lengths`` are int64 and of one length.
    """
    form = np.dtype(ARRAY_TYPES[vr])
    if vr in ("DS", "IS"):
        sizes, counts = lengths.copy(), np.empty_like(lengths)
        values: NDArray[Any] = np.empty(count_fields(block, offsets, sizes, counts), form)
        left = np.empty(len(offsets), np.uint8)
        decimals, integers = (values, None) if vr == "DS" else (None, values)
        read_fields(block, offsets, sizes, counts, decimals, integers, left)
    else:
        left = lengths % form.itemsize != 0
        sizes = np.where(left, 0, lengths)
        counts = sizes // form.itemsize
        values = np.empty(int(counts.sum()), form)
        join_fields(block, offsets, sizes, values.view(np.uint8))
        if form.itemsize > 1 and big_endian != (sys.byteorder == "big"):
            values.byteswap(inplace=True)
    ends = np.cumsum(counts).tolist()
    arrays: list[NDArray[Any] | None] = [values[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    for number in np.flatnonzero(left).tolist():
        arrays[number] = None
    return arrays


def encode_array(vr: str, values: NDArray[Any]) -> bytes:
    """DS or IS for the values of an array in C order, unpadded. EncodingError for what VR cannot hold."""
    if vr == "IS":
        return _encode_integers(values)
    flat = np.ascontiguousarray(values, np.float64).ravel()
    if not len(flat):
        return b""
    out = np.empty(_TEXT_ROOM * len(flat), np.uint8)
    done, at = write_decimals(flat, out, 0, 0)
    while done < len(flat):  # very small and very large ones
        try:
            text = format_decimal(float(flat[done])).encode("ascii") + b"\\"
        except ValueError:
            raise EncodingError(f"value {done + 1} is {flat[done]}, no finite number", clause="PS3.5 6.2 DS") from None
        out[at : at + len(text)] = np.frombuffer(text, np.uint8)
        at += len(text)
        done += 1
        if done < len(flat):
            done, at = write_decimals(flat, out, done, at)
    return out[: at - 1].tobytes()


def _encode_integers(values: NDArray[Any]) -> bytes:
    flat = np.ascontiguousarray(values).ravel()
    if not len(flat):
        return b""
    with np.errstate(invalid="ignore"):
        whole = flat.astype(np.int64)
    wrong = (whole != flat) | (whole > 999_999_999_999) | (whole < -99_999_999_999)
    if wrong.any():
        first = int(wrong.argmax())
        raise EncodingError(f"value {first + 1} is {flat[first]}, no integer of 12 characters", clause="PS3.5 6.2 IS")
    out = np.empty(_TEXT_ROOM * len(flat), np.uint8)
    return out[: write_integers(whole, out) - 1].tobytes()
