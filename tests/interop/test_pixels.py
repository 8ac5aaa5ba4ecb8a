"""Every image among pydicom's files decodes to the array that pydicom gives with its plugins, or it is said why not.

Compared are shape, type and every value. `DIFFERENCES` names the files that come out otherwise, how, and who is right.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from dicomcore import CODECS, dcmread, frames
from dicomcore.errors import DicomError
from dicomcore.pixels.image_model import ImageModel
from tests.pixels.objects import encapsulated, image

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


class Difference(NamedTuple):
    """How an array differs: by at most ``by`` (of lossy pixels), or in kind, with ``by`` None."""

    why: str
    by: int | None = None


_WORDS = (
    "32-bit pixels in big-endian OW are 16-bit words, the least significant first (PS3.5 annex D), as DCMTK reads them"
)
DIFFERENCES: dict[str, Difference] = {
    "rtdose_expb.dcm": Difference(_WORDS),
    "rtdose_expb_1frame.dcm": Difference(_WORDS),
    "JPGExtended.dcm": Difference(
        "inverse cosine transforms of two libraries, which PS3.5 8.2.1 allows to round apart", 1
    ),
}
# What only one of the two decodes: the file, and what the other says.
ONLY_OURS: dict[str, str] = {
    "JPEG-lossy.dcm": "scan stop must be 63",  # a scan header that is wrong in a field which sequential JPEG ignores
}
ONLY_THEIRS: dict[str, str] = {}


@contextmanager
def quiet() -> Iterator[None]:
    """pydicom warns and logs about what these files are there to have wrong with them."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def theirs(path: Path) -> NDArray[Any] | Exception | None:
    """pydicom's array; what it raises instead; None for a file that it does not read or that has no pixels."""
    with quiet():
        try:
            ds = pydicom.dcmread(path)
            if not any(keyword in ds for keyword in PIXELS):
                return None
        except Exception:
            return None
        try:
            return np.asarray(ds.pixel_array)
        except Exception as error:
            return error


def ours(path: Path) -> NDArray[Any] | DicomError:
    try:
        array: NDArray[Any] = dcmread(path).pixel_array
    except DicomError as error:
        return error
    return array


def compare(name: str, ours: NDArray[Any] | DicomError, theirs: NDArray[Any] | Exception) -> str:
    """What is unlike and unexplained, or ""."""
    if isinstance(ours, DicomError) and isinstance(theirs, Exception):
        return ""
    if isinstance(ours, DicomError):
        return "" if name in ONLY_THEIRS and ONLY_THEIRS[name] in str(ours) else f"pydicom decodes it, we: {ours}"
    if isinstance(theirs, Exception):
        return "" if name in ONLY_OURS and ONLY_OURS[name] in str(theirs) else f"we decode it, pydicom: {theirs}"
    known = DIFFERENCES.get(name)
    if known is not None and known.by is None:
        return "" if not np.array_equal(ours, theirs) else "is alike by now"
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        return f"{ours.shape} {ours.dtype}, pydicom {theirs.shape} {theirs.dtype}"
    if np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"):
        return "" if known is None else "is alike by now"
    apart = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    if known is not None and known.by is not None and apart.max() <= known.by:
        return ""
    return f"{np.count_nonzero(apart)} of {apart.size} values differ, by up to {apart.max():g}"


@pytest.fixture(scope="module")
def images() -> dict[Path, NDArray[Any] | Exception]:
    folder = Path(pydicom.__file__).parent / "data"
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in ("", ".dcm"))
    found = {path: theirs(path) for path in paths}
    return {path: array for path, array in found.items() if array is not None}


def test_every_image_of_pydicom_gives_the_same_array(images: dict[Path, NDArray[Any] | Exception]) -> None:
    unlike = {path.name: compare(path.name, ours(path), expected) for path, expected in images.items()}
    assert len(images) >= 100
    assert not {name: what for name, what in unlike.items() if what}
    assert DIFFERENCES.keys() | ONLY_OURS.keys() | ONLY_THEIRS.keys() <= unlike.keys()


def test_every_frame_alone_is_that_of_the_whole_array(images: dict[Path, NDArray[Any] | Exception]) -> None:
    for path in images:
        whole = ours(path)
        if isinstance(whole, DicomError):
            continue
        source = frames(dcmread(path))
        whole = whole.reshape(len(source), *source.model.frame_shape)
        for i in {0, len(source) // 2, len(source) - 1}:
            np.testing.assert_array_equal(source[i], whole[i], err_msg=f"{path.name}, frame {i}")
            assert not source[i].flags.writeable


def coded(syntax: str, count: int) -> list[bytes]:
    """``count`` frames of 8 x 8 bytes, each of its own value and a slope."""
    codec = CODECS[syntax].encoder()
    source = ImageModel.from_dataset(image(Rows=8, Columns=8, PixelData=bytes(64)))
    assert codec.target is not None
    assert codec.encode is not None
    target = codec.target(source, {})
    slope = np.arange(64, dtype=np.uint8).reshape(8, 8)
    data = [codec.encode(slope + np.uint8(50 * i), source, target, {}) for i in range(count)]
    return [one + b"\0" * (len(one) % 2) for one in data]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"])
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("table", ["basic", "extended", "none"])
@pytest.mark.parametrize("stated", [None, 0, 1, 2, 3, 4])
def test_frames_and_fragments_are_counted_as_pydicom_counts_them(
    syntax: str, pieces: int, table: str, stated: int | None
) -> None:
    """Three frames, whole or in pieces, whatever Number of Frames says: pydicom's array, if it gives one."""
    if table == "extended" and pieces > 1:
        return  # PS3.3 C.7.6.3.1.8 has one fragment a frame, and pydicom takes item headers for pixels
    cuts = [[one[i * len(one) // 6 * 2 : (i + 1) * len(one) // 6 * 2] for i in range(3)] for one in coded(syntax, 3)]
    whole = [[b"".join(one)] for one in cuts] if pieces == 1 else cuts
    ds = encapsulated(whole, table, syntax, Rows=8, Columns=8, NumberOfFrames=stated)
    file = io.BytesIO()
    ds.save_as(file)
    with quiet():
        try:
            expected: NDArray[Any] | None = pydicom.dcmread(io.BytesIO(file.getvalue())).pixel_array
        except Exception:
            expected = None
    read = dcmread(file.getvalue())
    try:
        array = read.pixel_array
    except DicomError:
        assert expected is None
        return
    if expected is not None:
        np.testing.assert_array_equal(array, expected)
    elif array.ndim == 3:
        assert array[:, 0, 0].tolist() == [0, 50, 100]
    if (len(array) if array.ndim == 3 else 1) != (stated or 1):
        assert read.issues
