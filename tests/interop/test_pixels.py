"""Every image among pydicom's files decodes to the array that pydicom gives with its plugins, or it is said why not.

Compared are shape, type and every value. `DIFFERENCES` names the files that come out otherwise, how, and who is right.
"""

from __future__ import annotations

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

from dicomcore import dcmread, frames
from dicomcore.errors import DicomError

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
}
# What only one of the two decodes: the file, and what the other says.
ONLY_OURS: dict[str, str] = {}
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
