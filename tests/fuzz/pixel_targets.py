"""Seeded targets of the pixel layer: code streams, whole images with attributes that lie, tables, overlays, dose grids.

Only `DicomError` may leave, and what takes memory stays within `LIMITS`: `tests.fuzz.test_memory` runs these in a
process that has little more. Libraries that decode are used as users use them.
"""

from __future__ import annotations

import math
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np

from dicomcore import CODECS, Dataset, DicomError, Policy, dcmread, frames, transcode
from dicomcore.pixels import (
    apply_icc,
    modality,
    overlays,
    padding_mask,
    palette,
    palette_rgb,
    presentation,
    value_range,
    voi,
    voi_luts,
    windows,
)
from dicomcore.pixels.array import pixel_array
from dicomcore.pixels.image_model import ImageModel
from dicomcore.rt.dose import Dose
from tests.anomaly.test_mutations import LIMITS, attempt, mutate

J = "1.2.840.10008.1.2.4."
NATIVE = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2")
RLE, DEFLATED = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"
CODED = tuple(f"{J}{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203, 110, 112))
LOSSLESS = (*NATIVE, RLE, DEFLATED, *(f"{J}{number}" for number in (57, 70, 80, 90, 201, 202, 110)))
WOUNDS = [
    *(b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\xff\xff", b"\0\0"),
    *(b"\xff\xd9", b"\xff\xda", b"\xff\x52", b"\xff\x53", b"\xff\x90", b"\xff\x93", b"\xff\xc2", b"\xff\xc4"),
]
NUMBERS = [0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 38, 127, 128, 255]


def quiet(message: str, clause: str) -> None:
    """Who listens to nothing."""


@contextmanager
def unraised() -> Iterator[None]:
    """imagecodecs loses what OpenJPH raises, and Python says so on its error channel."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda found: None
    try:
        yield
    finally:
        sys.unraisablehook = before


def wounded(data: bytes, chance: random.Random) -> bytes:
    """A code stream with one to three wounds, most of them in its headers."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        reach = min(chance.choice([32, 120, 700, len(out)]), len(out))
        if reach < 4:
            break
        at, wound = chance.randrange(reach), chance.randrange(7)
        if wound == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif wound == 1:
            piece = chance.choice(WOUNDS)
            out[at : at + len(piece)] = piece
        elif wound == 2:
            out[at] = chance.choice(NUMBERS)
        elif wound == 3:
            del out[at : at + chance.randint(1, 8)]
        elif wound == 4:
            out[at:at] = chance.randbytes(chance.randint(1, 6))
        elif wound == 5:
            end = at + chance.randint(1, 40)
            out[at:at] = out[at:end]
        else:
            del out[at:]
    return bytes(out)


def ramp(shape: tuple[int, ...], bits: int, seed: int = 3) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Something like a picture."""
    values = sum(np.ogrid[tuple(slice(0, 5 * size, 5) for size in shape)], np.zeros(shape, np.int64))
    return np.asarray((values + np.random.default_rng(seed).integers(0, 3, shape)) % (1 << bits))


@cache
def streams(uid: str) -> list[tuple[bytes, ImageModel]]:
    """Frames of some kinds, as this syntax encodes them."""
    made = []
    codec = CODECS.row(J + "50" if uid == J + "111" else uid).encoder()
    assert codec.encode is not None
    assert codec.target is not None
    for samples in (1, 3):
        for allocated, bits in ((8, 8), (16, 12), (16, 16), (32, 30)):
            for rows, columns in ((9, 13), (64, 64)):
                colour = "RGB" if samples == 3 else "MONOCHROME2"
                model = ImageModel(
                    "PixelData", 1, rows, columns, samples, colour, False, allocated, bits, bits - 1, "u"
                )
                target = attempt(codec.target, model, {})
                if target is not None:
                    frame = ramp(model.frame_shape, bits).astype(model.dtype)
                    made.append((codec.encode(frame, model, target, {}), target))
    recode = CODECS.row(uid).decoder().recode
    return [(recode[J + "50"](data), model) for data, model in made] if uid == J + "111" else made


def code_streams(seed: int) -> None:
    """Damaged streams of every coding, decoded as the attributes or as the stream itself describes them."""
    chance = random.Random(seed)
    uid = chance.choice([*CODED, J + "111", RLE, DEFLATED])
    data, model = chance.choice(streams(uid))
    data = wounded(data, chance)
    codec = CODECS.row(uid).decoder()
    assert codec.decode is not None
    with warnings.catch_warnings(), unraised():
        warnings.simplefilter("error")
        try:
            if codec.inspect is not None and chance.random() < 0.6:
                model = codec.inspect(data, model, quiet)
                model.check(native=False)
                model.check_limits(LIMITS)
            codec.decode(data, model, np.empty(model.frame_shape, model.dtype), quiet)
        except DicomError as error:
            str(error)
        except (ValueError, RuntimeError, NotImplementedError):
            pass  # what libraries raise: `frames` tells the frame's number with it


@cache
def images() -> list[bytes]:
    """Files of two or three small frames in every syntax, of several kinds."""
    made = []
    for number, (samples, allocated, bits, signed) in enumerate(
        [(1, 8, 8, 0), (1, 16, 12, 1), (3, 8, 8, 0), (1, 16, 16, 0), (1, 1, 1, 0), (1, 32, 32, 0)]
    ):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7.4", f"2.25.{number + 1}"
        ds.SamplesPerPixel, ds.PhotometricInterpretation = samples, "RGB" if samples == 3 else "MONOCHROME2"
        ds.NumberOfFrames, ds.Rows, ds.Columns = 3, 9, 14
        if samples == 3:
            ds.PlanarConfiguration = 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = allocated, bits, bits - 1, signed
        shape = (3, 9, 14, samples) if samples > 1 else (3, 9, 14)
        pixels = ramp(shape, bits)
        if allocated == 1:
            ds.PixelData = np.packbits(pixels.astype(bool).reshape(-1), bitorder="little").tobytes()
        else:
            ds.PixelData = pixels.astype(f"<u{allocated // 8}").tobytes()
        ds["PixelData"].VR = "OB" if allocated <= 8 else "OW"
        for uid in (*NATIVE, RLE, DEFLATED, *CODED):
            for table in ("basic", "extended", "none") if uid == RLE else ("basic",):
                out = BytesIO()
                again = attempt(transcode, ds, uid, offset_table=table) if uid not in NATIVE else ds
                if again is not None:
                    again.save_as(out, transfer_syntax=uid)
                    made.append(out.getvalue())
    return made


# What attributes are made to say: keyword -> values, each of a type that the element takes.
LIES: dict[str, list[Any]] = {
    "Rows": [0, 1, 3, 8, 65535, None],
    "Columns": [0, 1, 7, 13, 65535, None],
    "NumberOfFrames": [0, -1, 1, 2, 4, 70000, 2**31 - 1, None],
    "SamplesPerPixel": [0, 1, 2, 3, 4, 65535, None],
    "PlanarConfiguration": [0, 1, 2, None],
    "BitsAllocated": [0, 1, 8, 12, 16, 24, 32, 40, 64, 65535],
    "BitsStored": [0, 1, 7, 8, 12, 16, 17, 32, 65535],
    "HighBit": [0, 3, 7, 15, 31, 65535, None],
    "PixelRepresentation": [0, 1, 2, 65535, None],
    "PhotometricInterpretation": [
        *("MONOCHROME1", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR", "XYB", "ARGB", "?"),
        None,
    ],
    "ExtendedOffsetTable": [b"", b"\0" * 8, b"\xff" * 24, np.array([0, 8, 16], "<u8").tobytes(), b"\0" * 21],
    "ExtendedOffsetTableLengths": [b"", b"\0" * 8, b"\xff" * 24, np.array([1, 1 << 62, 3], "<u8").tobytes()],
    "RescaleSlope": ["0", "-1", "1e300", "1e-300", "", "2"],
    "RescaleIntercept": ["0", "-1e300", "", "-1024"],
    "WindowCenter": ["40", "1e300", "-1e300", ["1", "2"], ""],
    "WindowWidth": ["400", "0", "-1", "1", "1e300", "1e-300", ["1", "2"], ""],
    "VOILUTFunction": ["LINEAR", "LINEAR_EXACT", "SIGMOID", "NONE"],
    "PresentationLUTShape": ["IDENTITY", "INVERSE", "ROUND"],
    "PixelPaddingValue": [0, 5, 65535],
    "PixelPaddingRangeLimit": [0, 5, 65535],
    "RedPaletteColorLookupTableDescriptor": [[0, 0, 16], [256, 0, 8], [3, 65535, 16], [4, 0, 0], [1, 2]],
    "ICCProfile": [b"", b"\0" * 128, b"acsp" * 40],
    "TransferSyntaxUID": [*NATIVE, RLE, *CODED, J + "100", "1.2.3"],
}
OVERLAY_LIES: dict[int, tuple[str, list[Any]]] = {
    0x60000010: ("US", [0, 1, 9, 65535]),
    0x60000011: ("US", [0, 1, 14, 65535]),
    0x60000015: ("IS", [0, 1, 3, -1, 2**31 - 1]),
    0x60000050: ("SS", [[1, 1], [-32768, 32767], [0, 0], [5]]),
    0x60000051: ("US", [0, 1, 65535]),
    0x60000100: ("US", [0, 1, 8, 16, 65535]),
    0x60000102: ("US", [0, 8, 12, 15, 16, 65535]),
    0x60003000: ("OW", [b"", b"\xff" * 16, b"\x55" * 64]),
}


def lie(ds: Dataset, chance: random.Random) -> None:
    """Change one to four attributes."""
    for _ in range(chance.randint(1, 4)):
        if chance.random() < 0.15:
            tag = chance.choice(list(OVERLAY_LIES))
            vr, values = OVERLAY_LIES[tag]
            ds.add_new(tag, vr, chance.choice(values))
            continue
        keyword = chance.choice(list(LIES))
        value = chance.choice(LIES[keyword])
        if keyword == "TransferSyntaxUID":
            ds.file_meta.TransferSyntaxUID = value
        elif value is None:
            ds.pop(keyword, None)
        else:
            attempt(setattr, ds, keyword, value)
    if chance.random() < 0.15:
        described = chance.choice(LIES["RedPaletteColorLookupTableDescriptor"])
        prefix, length = chance.choice(["", "Segmented"]), chance.choice([0, 4, 6, 12, 256, 512])
        segments = b"\0\3\1\2\3\1\x40\x50\2\1\0\0\0\0\1\xba\xff"
        for colour in ("Red", "Green", "Blue"):
            attempt(setattr, ds, f"{colour}PaletteColorLookupTableDescriptor", described)
            data = mutate(segments, chance.randrange(99)) if prefix and length < 256 else chance.randbytes(length)
            attempt(setattr, ds, f"{prefix}{colour}PaletteColorLookupTableData", data)
        ds.PhotometricInterpretation = "PALETTE COLOR"


def look(ds: Dataset, chance: random.Random) -> None:
    """All that one does with an image."""
    policy = chance.choice([None, None, Policy.strict()])
    found = attempt(frames, ds, limits=LIMITS, colour=chance.choice(["rgb", "stored"]), policy=policy)
    if found is not None:
        count = min(len(found), 4)
        for i in range(count):
            attempt(found.__getitem__, i)
            attempt(found.encoded, i)
        attempt(lambda: list(found[:count]))
        attempt(found.decode_many, range(count), workers=chance.choice([1, 2, 3]))
        attempt(found.decode_many, workers=2)
        attempt(lambda: (found.photometric, repr(found), found.model, found.issues))
        attempt(lambda: list(found.stream()))
        if len(found):
            attempt(found.picture, min(1, len(found) - 1), overlays=True)
            attempt(found.sheet, 2, 2, size=16)
            array = attempt(found.__getitem__, 0)
            if array is not None:
                meanings(ds, array)
    small = ds.get("NumberOfFrames") is None or found is None or len(found) < 10
    if small:
        attempt(pixel_array, ds)
    attempt(overlays, ds, limits=LIMITS)
    attempt(transcode, ds, chance.choice([*LOSSLESS, *CODED]), limits=LIMITS, workers=chance.choice([1, 2]))


def meanings(ds: Dataset, array: Any) -> None:
    """What values mean, and how they look."""
    attempt(padding_mask, ds, array)
    for made in (array, attempt(modality, ds, array)):
        if made is not None:
            attempt(voi, ds, made)
            attempt(presentation, ds, made)
    for step in (value_range, windows, voi_luts, palette):
        attempt(step, ds)
    attempt(palette_rgb, ds, array)
    if array.dtype == np.uint8 and array.ndim == 3:
        attempt(apply_icc, ds, array)


def image(seed: int) -> None:
    """Images in every syntax whose attributes lie, or whose bytes are damaged, or both."""
    chance = random.Random(seed)
    data = chance.choice(images())
    if chance.random() < 0.4:
        at = max(data.rfind(b"\xe0\x7f\x10\0"), data.rfind(b"\x7f\xe0\0\x10"))
        data = data[:at] + mutate(data[at:], seed)
    ds = attempt(dcmread, data, limits=LIMITS)
    if ds is None:
        return
    with warnings.catch_warnings(), unraised(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        if chance.random() < 0.8:
            lie(ds, chance)
        if chance.random() < 0.3:  # as a file that says so
            out = BytesIO()
            if attempt(ds.save_as, out) is None and not out.getvalue():
                return
            ds = attempt(dcmread, out.getvalue(), limits=LIMITS)
        if ds is not None:
            look(ds, chance)


def dose(seed: int) -> None:
    """Dose grids with scalings, offsets, positions and sizes that are none."""
    chance = random.Random(seed)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.2", "2.25.9"
    bits = chance.choice([16, 32])
    planes, rows, columns = 3, 4, 5
    ds.NumberOfFrames, ds.Rows, ds.Columns, ds.SamplesPerPixel = planes, rows, columns, 1
    ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", chance.randrange(2)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType = chance.choice(["GY", "RELATIVE", ""]), "PHYSICAL", "PLAN"
    ds.DoseGridScaling = chance.choice(["1e-4", "0", "-1", "1e300", "1e-320", "", "5"])
    ds.ImagePositionPatient = chance.choice([[0, 0, 0], [1e300, 0, 0], [0, 0], [-1e300, 1e300, 5]])
    ds.ImageOrientationPatient = chance.choice([[1, 0, 0, 0, 1, 0], [0] * 6, [1, 0, 0, 1, 0, 0], [1e300] * 6, [1, 0]])
    ds.PixelSpacing = chance.choice([[1, 1], [0, 0], [-1, 2], [1e-320, 1e300], [1]])
    ds.GridFrameOffsetVector = chance.choice(
        [[0, 1, 2], [0, 0, 0], [0, 1], [2, 1, 0], [0, 1e300, 2e300], [1, 5, 2], [0]]
    )
    ds.PixelData = chance.randbytes(planes * rows * columns * bits // 8 - chance.choice([0, 0, 0, 2, 40]))
    ds["PixelData"].VR = "OW"
    with warnings.catch_warnings(), unraised():
        warnings.simplefilter("error")
        if chance.random() < 0.3:
            ds = attempt(transcode, ds, chance.choice(LOSSLESS), limits=LIMITS) or ds
        if chance.random() < 0.6:
            lie(ds, chance)
        found = attempt(Dose, ds, limits=LIMITS)
        if found is None:
            return
        attempt(found.grid, np.float32, workers=chance.choice([1, 2]))
        attempt(lambda: (found.maximum, found.unit, repr(found), found.scaling))
        grid = attempt(found.read)
        attempt(found.histogram, (0.0, chance.choice([1.0, 1e-300, 1e300])), 10)
        attempt(getattr, found, "geometry")
        if grid is not None:
            attempt(grid.sample, [[0.0, 0.0, 0.0], [math.nan, 1e300, -1e300]])


PIXEL_TARGETS: dict[str, Callable[[int], None]] = {one.__name__: one for one in (code_streams, image, dose)}
