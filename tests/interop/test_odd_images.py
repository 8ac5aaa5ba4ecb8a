"""Odd but legal native images, all bits stored, any high bit, sign, planes, 4:2:2, odd sizes: arrays are pydicom's."""

from __future__ import annotations

import io
import random
import warnings
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset

from dicomcore import dcmread, frames

KINDS = [(1, 0, "MONOCHROME2"), (1, 0, "PALETTE COLOR"), (3, 0, "RGB"), (3, 1, "RGB"), (3, 0, "YBR_FULL_422")]
KINDS += [(3, 0, "YBR_FULL"), (3, 1, "YBR_FULL")]
SYNTAXES = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"]


def written(allocated: int, stored: int, seed: int) -> bytes:
    """A file of one or three frames; the bits above those stored hold the sign, nothing, or anything."""
    chance = random.Random(seed)
    samples, planar, photometric = chance.choice(KINDS[:4] if allocated > 8 else KINDS)
    rows, columns, count = chance.randint(1, 6), chance.randint(1, 8), chance.choice([1, 3])
    is_signed = chance.random() < 0.5 and not photometric.startswith("YBR")
    columns += columns % 2 if photometric == "YBR_FULL_422" else 0
    values = rows * columns * samples * count * (2 if photometric == "YBR_FULL_422" else 3) // 3
    numbers: NDArray[Any] = np.random.default_rng(seed).integers(0, 1 << 62, values)
    shift = 64 - (allocated if chance.random() < 0.4 else stored)
    numbers = numbers << shift >> shift if is_signed else (numbers << shift).view(np.uint64) >> np.uint64(shift)
    syntax = chance.choice(SYNTAXES if allocated < 32 else SYNTAXES[:2])  # words of which are told apart elsewhere
    is_big = syntax == SYNTAXES[2]
    data = numbers.astype(f"{'>' if is_big else '<'}{'i' if is_signed else 'u'}{allocated // 8}").tobytes()
    data += b"\0" * (len(data) % 2)
    if is_big and allocated == 8:  # in words
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.3"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = samples, photometric
    ds.Rows, ds.Columns, ds.NumberOfFrames = rows, columns, count
    if samples > 1:
        ds.PlanarConfiguration = planar
    ds.BitsAllocated, ds.BitsStored, ds.PixelRepresentation = allocated, stored, int(is_signed)
    ds.HighBit = chance.choice([stored - 1, allocated - 1])
    ds.add_new("PixelData", "OW", data)
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def theirs(data: bytes) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bits that it clears, and of frames
        return np.asarray(pydicom.dcmread(io.BytesIO(data)).pixel_array)


@pytest.mark.parametrize("allocated", [8, 16, 32])
def test_arrays_are_those_of_pydicom(allocated: int) -> None:
    for stored in range(1, allocated + 1):
        for seed in range(6):
            data = written(allocated, stored, 100 * stored + seed)
            expected, ds = theirs(data), dcmread(data)
            found = ds.pixel_array
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected, err_msg=f"{allocated} {stored} {seed}")
            source = frames(ds)
            whole = expected if len(source) > 1 else expected[np.newaxis]
            for i, frame in enumerate(source):
                np.testing.assert_array_equal(frame, whole[i])
