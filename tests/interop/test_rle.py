"""RLE Lossless with others, both ways, bit for bit: DCMTK, GDCM, pydicom with either plugin, imagecodecs."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder

from dicomcore import dcmread, frames
from dicomcore.pixels.codecs.rle import RLE as CODEC
from dicomcore.pixels.image_model import ImageModel

RLE = "1.2.840.10008.1.2.5"
EXPLICIT = "1.2.840.10008.1.2.1"
Array = NDArray[Any]


def made(dtype: str, samples: int = 1, shape: tuple[int, int, int] = (3, 37, 131)) -> Array:
    """Frames with noise, flat parts, ramps and single rows of pairs: runs and literals of all lengths."""
    chance = np.random.default_rng(5)
    bits = np.dtype(dtype).itemsize * 8
    values = chance.integers(0, 1 << bits, (*shape, samples), np.uint64)
    values[:, 5:20] = 7
    values[:, 20:25] = np.arange(shape[2], dtype=np.uint64)[:, None] // 3
    values[:, 25:30] = values[:, 25:30, np.arange(shape[2]) // 2]
    values[:, 30:] = (values[:, 30:] % 3) << (bits - 2)
    out = values.astype(f"<u{bits // 8}").view(dtype)
    return np.ascontiguousarray(out[..., 0] if samples == 1 else out)


IMAGES: dict[str, Array] = {
    "8": made("<u1"),
    "16": made("<u2"),
    "16-signed": made("<i2"),
    "32": made("<u4"),
    "rgb": made("<u1", 3),
    "rgb-16": made("<u2", 3),
    "one-column": made("<u2", shape=(2, 40, 1)),
    "one-row": made("<u1", 3, (1, 1, 1000))[:, :, :999],
}
each_image = pytest.mark.parametrize("name", IMAGES)
# GDCM writes no 16-bit colour, and ends when it encodes rows of an odd length; pydicom encodes no 32 bits.
each_of_gdcm = pytest.mark.parametrize("name", [name for name in IMAGES if name != "rgb-16"])
each_by_gdcm = pytest.mark.parametrize("name", [name for name in IMAGES if name not in ("rgb-16", "one-row")])
each_by_pydicom = pytest.mark.parametrize("name", [name for name in IMAGES if name != "32"])


def model_of(image: Array) -> ImageModel:
    samples = image.shape[3] if image.ndim == 4 else 1
    bits = image.itemsize * 8
    return ImageModel(
        "PixelData", len(image), image.shape[1], image.shape[2], samples, "RGB" if samples == 3 else "MONOCHROME2",
        False, bits, bits, bits - 1, image.dtype.kind,
    )  # fmt: skip


def dataset(image: Array) -> Any:
    """Native, made by pydicom."""
    model = model_of(image)
    ds: Any = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = EXPLICIT
    # GDCM minds the class: secondary captures have no signs, and none but a dose has 32 bits.
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.2" if model.bits_allocated == 32 else "1.2.840.10008.5.1.4.1.1.4.1"
    ds.SOPInstanceUID = "2.25.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "2.25.2", "2.25.3", "OT"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = model.samples, model.photometric
    if model.samples > 1:
        ds.PlanarConfiguration = 0
    ds.NumberOfFrames, ds.Rows, ds.Columns = model.frames, model.rows, model.columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = model.bits_allocated, model.bits_stored, model.high_bit
    ds.PixelRepresentation = int(model.kind == "i")
    data = image.tobytes()
    ds.add_new(0x7FE00010, "OB" if model.bits_allocated == 8 else "OW", data + b"\0" * (len(data) % 2))
    return ds


def ours(image: Array) -> list[bytes]:
    model = model_of(image)
    assert CODEC.encode is not None
    return [CODEC.encode(frame, model, model, {}) for frame in image]


def in_rle(image: Array) -> Any:
    """The object with our frames."""
    ds = dataset(image)
    ds.file_meta.TransferSyntaxUID = RLE
    ds.add_new(0x7FE00010, "OB", encapsulate(ours(image)))
    ds["PixelData"].is_undefined_length = True
    return ds


def saved(ds: Any, path: Path) -> Path:
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return path


def same(array: Array, image: Array) -> None:
    np.testing.assert_array_equal(array, image.reshape(array.shape))
    assert array.dtype == image.dtype


def run(program: str, *arguments: object) -> None:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- we encode, they decode --------------------------------------------------------------------------------------------


@each_image
def test_dcmtk_reads_ours(name: str, peer: Callable[[str], str], tmp_path: Path) -> None:
    image = IMAGES[name]
    run(peer("dcmdrle"), saved(in_rle(image), tmp_path / "rle.dcm"), tmp_path / "native.dcm")
    same(pydicom.dcmread(tmp_path / "native.dcm").pixel_array, image)
    same(dcmread(tmp_path / "native.dcm").pixel_array, image)


@each_image
@pytest.mark.parametrize("plugin", ["pydicom", "pylibjpeg"])
def test_pydicom_reads_ours(name: str, plugin: str, tmp_path: Path) -> None:
    ds = in_rle(IMAGES[name])
    ds.pixel_array_options(decoding_plugin=plugin)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(ds.pixel_array, IMAGES[name])


@each_of_gdcm
def test_gdcm_reads_ours(name: str, tmp_path: Path) -> None:
    image = IMAGES[name]
    change_with_gdcm(saved(in_rle(image), tmp_path / "rle.dcm"), tmp_path / "native.dcm", "ExplicitVRLittleEndian")
    same(pydicom.dcmread(tmp_path / "native.dcm").pixel_array, image)


@each_image
def test_imagecodecs_reads_ours(name: str) -> None:
    for frame, data in zip(IMAGES[name], ours(IMAGES[name]), strict=True):
        planes = np.frombuffer(imagecodecs.dicomrle_decode(data, frame.dtype.str), frame.dtype)
        by_plane = np.moveaxis(frame, -1, 0) if frame.ndim == 3 else frame
        np.testing.assert_array_equal(planes.reshape(by_plane.shape), by_plane)


# -- they encode, we decode --------------------------------------------------------------------------------------------


@each_image
def test_we_read_those_of_dcmtk(name: str, peer: Callable[[str], str], tmp_path: Path) -> None:
    image = IMAGES[name]
    run(peer("dcmcrle"), saved(dataset(image), tmp_path / "native.dcm"), tmp_path / "rle.dcm")
    read_back(tmp_path / "rle.dcm", image)


@each_by_gdcm
def test_we_read_those_of_gdcm(name: str, tmp_path: Path) -> None:
    image = IMAGES[name]
    change_with_gdcm(saved(dataset(image), tmp_path / "native.dcm"), tmp_path / "rle.dcm", "RLELossless")
    read_back(tmp_path / "rle.dcm", image)


@each_by_pydicom
@pytest.mark.parametrize("plugin", ["pydicom", "pylibjpeg"])
def test_we_read_those_of_pydicom(name: str, plugin: str, tmp_path: Path) -> None:
    image = IMAGES[name]
    ds = dataset(image)
    ds.compress(RLE, encoding_plugin=plugin, generate_instance_uid=False)
    read_back(saved(ds, tmp_path / "rle.dcm"), image)


def read_back(path: Path, image: Array) -> None:
    ds = dcmread(path)
    same(ds.pixel_array, image)
    source = frames(ds)
    same(source.decode_many(), image)
    assert not source.issues


@each_by_pydicom
def test_ours_is_not_longer_than_theirs(name: str) -> None:
    encoder: Any = get_encoder(RLE)
    theirs = encoder.encode(dataset(IMAGES[name]), index=0, encoding_plugin="pylibjpeg")
    assert len(ours(IMAGES[name])[0]) <= len(theirs)


GDCM = """
import sys, gdcm
given, wanted, syntax = sys.argv[1:]
reader = gdcm.ImageReader()
reader.SetFileName(given)
change = gdcm.ImageChangeTransferSyntax()
change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
writer = gdcm.ImageWriter()
writer.SetFileName(wanted)
if reader.Read():
    change.SetInput(reader.GetImage())
    if change.Change():
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        sys.exit(not writer.Write())
sys.exit(2)
"""


def change_with_gdcm(given: Path, wanted: Path, syntax: str) -> None:
    """In a process of its own: it ends with some images, and a sanitizer would look into it."""
    pytest.importorskip("gdcm")
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    arguments = [sys.executable, "-c", GDCM, str(given), str(wanted), syntax]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
