"""RT Dose objects for tests."""

from __future__ import annotations

import io

import numpy as np

from dicomcore import Dataset, dcmread

STORED = np.arange(24, dtype="<u2").reshape(2, 3, 4)
OBLIQUE = [0.6, 0.8, 0, 0, 0, -1]


def rt_dose(**changes: object) -> Dataset:
    """Two planes of 3 x 4 voxels, 16 bits; ``None`` leaves an attribute out."""
    ds = Dataset()
    values: dict[str, object] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2",
        "SOPInstanceUID": "2.25.481",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": 2,
        "Rows": 3,
        "Columns": 4,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "ImagePositionPatient": [10.0, 20.0, 30.0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [2.0, 3.0],
        "GridFrameOffsetVector": [0.0, 5.0],
        "DoseUnits": "GY",
        "DoseType": "PHYSICAL",
        "DoseSummationType": "PLAN",
        "DoseGridScaling": 0.25,
        "PixelData": STORED.tobytes(),
    }
    for keyword, value in (values | changes).items():
        if value is not None:
            setattr(ds, keyword, value)
    return ds


def written(ds: Dataset, syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    """``ds`` as a file."""
    file = io.BytesIO()
    ds.save_as(file, transfer_syntax=syntax)
    return file.getvalue()


def read(ds: Dataset, syntax: str = "1.2.840.10008.1.2.1") -> Dataset:
    """``ds`` as a file in memory, read again."""
    return dcmread(written(ds, syntax))
