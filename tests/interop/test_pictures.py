"""Pictures beside DCMTK's (dcmj2pnm): of pydicom's files that it decodes, and of made ones with what a picture takes.

It rounds brightness otherwise, so that shades may differ by one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from dicomcore import Dataset, dcmread, frames
from tests.pixels.test_lut import lut
from tests.pixels.test_overlays import PLANE, overlaid
from tests.pixels.test_palette import coloured
from tests.pixels.test_picture import colour, grey

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
LITTLE = "1.2.840.10008.1.2.1"
NAMES = [
    *("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "JPEG-lossy.dcm", "rtdose.dcm"),
    *("examples_palette.dcm", "examples_rgb_color.dcm", "examples_ybr_color.dcm", "SC_rgb_rle_16bit.dcm"),
    *("SC_ybr_full_422_uncompressed.dcm", "ExplVR_BigEnd.dcm", "dicomdirtests/77654033/CR1/6154"),
    "dicomdirtests/98892001/CT2N/6293",
]


@pytest.fixture
def theirs(tmp_path: Path, peer: Callable[[str], str]) -> Callable[..., NDArray[np.uint8]]:
    def render(path: Path, *options: str) -> NDArray[np.uint8]:
        out = tmp_path / "theirs.png"
        command = [peer("dcmj2pnm"), "-q", "+on", *options, str(path), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with Image.open(out) as found:
            return np.asarray(found)

    return render


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("name", NAMES)
def test_files(name: str, theirs: Callable[..., NDArray[np.uint8]]) -> None:
    path = FILES / name
    source = frames(dcmread(path))
    options = ["+Wi", "1"] if "WindowCenter" in source.dataset else []
    if not options and source.photometric.startswith("MONOCHROME") and source.model.bits_stored > 8:
        options = ["+Wm"]
    assert distance(source.picture().array, theirs(path, "-O", *options)) <= 1


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
TABLE = [(i * i) >> 12 for i in range(4096)]
ENTRIES = np.arange(4000, dtype="<u2") * 16
WINDOWED = {"WindowCenter": 600, "WindowWidth": 1200}
MADE: dict[str, tuple[Dataset, list[str], dict[str, Any]]] = {
    "linear": (grey(RAMP, 12, RescaleSlope=2, RescaleIntercept=-1024, **WINDOWED), ["+Wi", "1"], {}),
    "second": (grey(RAMP, 12, WindowCenter=[1, 2000], WindowWidth=[1, 500]), ["+Wi", "2"], {"voi": 1}),
    "own": (grey(RAMP, 12, **WINDOWED), ["+Ww", "3000", "100"], {"window": (3000, 100)}),
    "narrow": (grey(RAMP, 12, WindowCenter=600, WindowWidth=1), ["+Wi", "1"], {}),
    "sigmoid": (grey(RAMP, 12, VOILUTFunction="SIGMOID", **WINDOWED), ["+Wi", "1"], {}),
    "voi table": (grey(RAMP, 12, VOILUTSequence=[lut(0, TABLE, 12)]), ["+Wl", "1"], {}),
    "short voi table": (grey(RAMP, 12, VOILUTSequence=[lut(500, TABLE[:2000], 10)]), ["+Wl", "1"], {}),
    "monochrome1": (grey(RAMP, 12, PhotometricInterpretation="MONOCHROME1", **WINDOWED), ["+Wi", "1"], {}),
    "signed": (grey(RAMP.astype(np.int16) - 2048, 12, **WINDOWED), ["+Wi", "1"], {}),
    "all values": (grey((RAMP // 2).astype(np.int16) - 1000, 12), ["+Wm"], {}),
    "rgb": (colour(np.arange(6, dtype=np.uint8) * 40), [], {}),
    "palette": (
        coloured([ENTRIES[i : i + 2000].tobytes() for i in (0, 1000, 2000)], 300, 16, count=2000, Rows=64,
                 Columns=64, BitsAllocated=16, BitsStored=12, HighBit=11, PixelData=RAMP.tobytes()),
        [], {},
    ),
    "overlay": (
        overlaid(PLANE, base=grey(RAMP, 12, **WINDOWED), origin=[60, 62]), ["+Wi", "1", "+O", "0"], {"overlays": True},
    ),
    "overlay above": (
        overlaid(PLANE, base=grey(RAMP, 12, **WINDOWED), origin=[0, -1]), ["+Wi", "1", "+O", "0"], {"overlays": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_made_ones(name: str, theirs: Callable[..., NDArray[np.uint8]], tmp_path: Path) -> None:
    ds, options, ours = MADE[name]
    path = tmp_path / "made.dcm"
    ds.save_as(path, transfer_syntax=LITTLE)
    made = frames(dcmread(path)).picture(**ours).array
    assert distance(made, theirs(path, *([] if "+O" in options else ["-O"]), *options)) <= 1


def test_embedded_overlays(theirs: Callable[..., NDArray[np.uint8]], tmp_path: Path) -> None:
    bits = np.random.default_rng(3).integers(0, 2, RAMP.shape, np.uint16)
    ds = grey(RAMP | bits << 14, 12, **WINDOWED)
    overlaid(PLANE, base=ds, data=None, rows=64, columns=64, bits=16, position=14)
    path = tmp_path / "made.dcm"
    ds.save_as(path, transfer_syntax=LITTLE)
    made = frames(dcmread(path)).picture(overlays=True).array
    assert (made[bits == 1] == 255).all()
    assert distance(made, theirs(path, "+Wi", "1", "+O", "0")) <= 1
