"""Pixels: RLE Lossless both ways, native frames into an array, and all pixels of a file as one new array.

RLE is timed frame by frame, bytes in and an array out, or the other way; what is encoded is what a scanner sees: noise
in a body, next to nothing outside. Peers decode the frames that dicomcore has encoded, so all read the same runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._floor import floor
from benchmarks._harness import OWN, Contest, Missing, Run, Sample, ram_folder
from benchmarks._inputs import EXPLICIT

RLE = "1.2.840.10008.1.2.5"
FRAMES = 24
SLICE = 512 * 512 * 2  # bytes
Array = NDArray[Any]
Frames = Callable[[], Array]  # makes them when an entrant begins


@cache
def ct_frames(count: int = FRAMES) -> Array:
    """Slices of a body in air, with noise; the corners that no detector sees are zero. 16 bits, 12 of them used."""
    chance = np.random.default_rng(20261123)
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    made = np.zeros((count, 512, 512), np.uint16)
    for i in range(count):
        size = 0.75 + 0.1 * np.sin(i / 5)
        body = (x / size) ** 2 + (y / (0.7 * size)) ** 2 < 1
        lungs = ((np.abs(x) - 0.35) / 0.2) ** 2 + (y / 0.3) ** 2 < 1
        slice_ = np.where(body, 1064.0, 24.0)
        slice_[body & lungs] = 224
        slice_ += chance.normal(0, np.where(body, 12, 4))
        made[i] = np.where(x * x + y * y > 0.96, 0, slice_.clip(0, 4095))
    return made


@cache
def ultrasound_frames(count: int = FRAMES) -> Array:
    """RGB: a fan of grey speckle on black, a coloured inset of flow, and flat labels."""
    chance = np.random.default_rng(20261124)
    y, x = np.mgrid[:600, :800]
    fan = (np.hypot(x - 400, y - 20) < 540) & (np.abs(x - 400) < (y - 20) * 0.8)
    flow = (np.abs(x - 400) < 60) & (np.abs(y - 300) < 80)
    made = np.zeros((count, 600, 800, 3), np.uint8)
    for frame in made:
        frame[fan] = chance.gamma(2, 20, fan.sum()).clip(0, 255).astype(np.uint8)[:, None]
        frame[flow] = chance.integers(0, 256, (int(flow.sum()), 3), np.uint8)
        frame[20:50, 20:220] = (250, 200, 0)
    return made


def model_of(frames: Array) -> Any:
    from dicomcore.pixels import ImageModel

    samples = frames.shape[3] if frames.ndim == 4 else 1
    bits = frames.itemsize * 8
    return ImageModel(
        keyword="PixelData",
        frames=len(frames),
        rows=frames.shape[1],
        columns=frames.shape[2],
        samples=samples,
        photometric="RGB" if samples == 3 else "MONOCHROME2",
        planar=False,
        bits_allocated=bits,
        bits_stored=bits,
        high_bit=bits - 1,
        kind="u",
    )


def pydicom_object(frames: Array, syntax: str, encoded: list[bytes] | None = None) -> Any:
    """An object of these frames: native, or encapsulated where they are given encoded."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    model = model_of(frames)
    dataset: Any = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7.4", "2.25.1"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = model.samples, model.photometric
    if model.samples > 1:
        dataset.PlanarConfiguration = 0
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = len(frames), model.rows, model.columns
    dataset.BitsAllocated = dataset.BitsStored = model.bits_allocated
    dataset.HighBit, dataset.PixelRepresentation = model.high_bit, 0
    dataset.add_new(0x7FE00010, "OW", frames.tobytes() if encoded is None else encapsulate(encoded))
    dataset["PixelData"].is_undefined_length = encoded is not None
    return dataset


def as_file(dataset: Any) -> bytes:
    from pydicom import dcmwrite

    out = BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def own_encoded(frames: Array) -> list[bytes]:
    from dicomcore.pixels.codecs.rle import RLE as CODEC

    model = model_of(frames)
    assert CODEC.encode is not None
    return [CODEC.encode(frame, model, model, {}) for frame in frames]


def memcpy(load: Frames) -> Callable[[], AbstractContextManager[Run]]:
    """As many bytes as the decoded frames have, each frame from its place to its place."""

    @contextmanager
    def entrant() -> Iterator[Run]:
        frames = load()
        copies = [floor().copier(bytearray(frame.nbytes), frame.tobytes()) for frame in frames]

        def run() -> None:
            for copy in copies:
                copy()

        yield run

    return entrant


# -- RLE -------------------------------------------------------------------------------------------------------------


def _own_decode(load: Frames) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        from dicomcore.pixels.codecs.rle import RLE as CODEC

        frames = load()
        encoded, model, out = own_encoded(frames), model_of(frames), np.empty_like(frames)
        decode = CODEC.decode
        assert decode is not None

        def run() -> None:
            for data, one in zip(encoded, out, strict=True):
                decode(data, model, one, _refuse)

        yield run
        assert (out == frames).all()

    return entrant


def _refuse(message: str, clause: str) -> None:
    raise AssertionError(message)


def _own_encode(load: Frames) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        from dicomcore.pixels.codecs.rle import RLE as CODEC

        frames = load()
        model, encode = model_of(frames), CODEC.encode
        assert encode is not None

        def run() -> None:
            for frame in frames:
                encode(frame, model, model, {})

        yield run

    return entrant


def _imagecodecs(load: Frames, *, by_pixel: bool) -> Callable[[], AbstractContextManager[Run]]:
    """It leaves colours in planes; ``by_pixel`` adds the copy that brings them together, as arrays have them."""

    @contextmanager
    def entrant() -> Iterator[Run]:
        try:
            import imagecodecs
        except ImportError:
            raise Missing("pip install imagecodecs") from None
        frames = load()
        encoded, out = own_encoded(frames), np.empty_like(frames)
        kind = frames.dtype.str
        plane = (frames.shape[3], *frames.shape[1:3]) if frames.ndim == 4 else frames.shape[1:]
        planes = np.empty((1 if by_pixel else len(frames), *plane), frames.dtype)
        decode: Any = imagecodecs.dicomrle_decode

        def run() -> None:
            for i, data in enumerate(encoded):
                if frames.ndim == 3:
                    decode(data, kind, out=out[i].reshape(-1).view(np.uint8))
                    continue
                decode(data, kind, out=planes[i % len(planes)].reshape(-1).view(np.uint8))
                if by_pixel:
                    np.copyto(out[i], np.moveaxis(planes[0], 0, -1))

        yield run

    return entrant


def _pylibjpeg(load: Frames, *, encode: bool) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        try:
            import rle  # noqa: F401 - pydicom finds it by itself
        except ImportError:
            raise Missing("pip install pylibjpeg-rle") from None
        from pydicom.pixels import get_decoder, get_encoder

        frames = load()
        if encode:
            coder: Any = get_encoder(RLE)
            model = model_of(frames)
            options = {
                "rows": model.rows,
                "columns": model.columns,
                "number_of_frames": 1,
                "samples_per_pixel": model.samples,
                "bits_allocated": model.bits_allocated,
                "bits_stored": model.bits_stored,
                "pixel_representation": 0,
                "photometric_interpretation": model.photometric,
            } | ({"planar_configuration": 0} if model.samples > 1 else {})

            def run() -> None:
                for frame in frames:
                    coder.encode(frame, encoding_plugin="pylibjpeg", **options)
        else:
            decoder: Any = get_decoder(RLE)
            dataset = pydicom_object(frames, RLE, own_encoded(frames))

            def run() -> None:
                for _ in decoder.iter_array(dataset, decoding_plugin="pylibjpeg"):
                    pass

        yield run

    return entrant


def _gdcm(load: Frames, *, encode: bool) -> Callable[[], AbstractContextManager[Run]]:
    """Its change of transfer syntax, all frames at once, which stays in C++ as its Python face gives text for bytes.

    An image that was changed once stays as it is: each run reads it anew, which is not timed.
    """

    @contextmanager
    def entrant() -> Iterator[Run]:
        try:
            import gdcm
        except ImportError:
            raise Missing("pip install python-gdcm") from None
        frames = load()
        data = pydicom_object(frames, EXPLICIT) if encode else pydicom_object(frames, RLE, own_encoded(frames))
        kind = gdcm.TransferSyntax.RLELossless if encode else gdcm.TransferSyntax.ExplicitVRLittleEndian
        with ram_folder() as folder:
            path = folder / "frames.dcm"
            path.write_bytes(as_file(data))

            def run() -> Sample:
                reader = gdcm.ImageReader()
                reader.SetFileName(str(path))
                assert reader.Read()
                change = gdcm.ImageChangeTransferSyntax()
                change.SetTransferSyntax(gdcm.TransferSyntax(kind))
                change.SetInput(reader.GetImage())
                start, cpu = time.perf_counter(), time.process_time()
                assert change.Change()
                return Sample(time.perf_counter() - start, time.process_time() - cpu)

            yield run

    return entrant


def _rle(name: str, what: str, load: Frames, *shape: int) -> Iterator[Contest]:
    """Frames of ``shape``, of 16 bits, or of 8 in three samples."""
    colour = len(shape) == 3
    size = prod(shape) * (1 if colour else 2)
    entrants: dict[str, Callable[[], AbstractContextManager[Run]]] = {
        OWN: _own_decode(load),
        "imagecodecs": _imagecodecs(load, by_pixel=True),
    }
    if colour:
        entrants["imagecodecs, planes left apart"] = _imagecodecs(load, by_pixel=False)
    entrants |= {
        "pydicom, pylibjpeg-rle": _pylibjpeg(load, encode=False),
        "GDCM in C++": _gdcm(load, encode=False),
        "limit: memcpy": memcpy(load),
    }
    yield Contest(
        f"rle-decode-{name}", f"Decode {what} from RLE Lossless", "frames", FRAMES, entrants, unit_bytes=size,
        rounds=5, goals={"imagecodecs": 1.5, "pydicom, pylibjpeg-rle": 3},
    )  # fmt: skip
    yield Contest(
        f"rle-encode-{name}", f"Encode {what} in RLE Lossless", "frames", FRAMES,
        {
            OWN: _own_encode(load),
            "pydicom, pylibjpeg-rle": _pylibjpeg(load, encode=True),
            "GDCM in C++": _gdcm(load, encode=True),
            "limit: memcpy": memcpy(load),
        },
        unit_bytes=size, rounds=5, goals={"pydicom, pylibjpeg-rle": 2, "GDCM in C++": 2},
    )  # fmt: skip


# -- native pixels of files --------------------------------------------------------------------------------------------


def _of_file(
    slices: int, load: Callable[[], Callable[[str], object]], count: int = 1
) -> Callable[[], AbstractContextManager[Run]]:
    """An entrant that does ``load()(path)`` with a file of so many slices; ``load`` imports what it needs."""

    @contextmanager
    def entrant() -> Iterator[Run]:
        work = load()
        with ram_folder() as folder:
            path = Path(folder) / "frames.dcm"
            path.write_bytes(as_file(pydicom_object(ct_frames(slices), EXPLICIT)))

            def run() -> None:
                for _ in range(count):
                    work(str(path))

            yield run

    return entrant


def _pydicom() -> Callable[[str], object]:
    from pydicom import dcmread

    return lambda path: dcmread(path).pixel_array


def _dicomsdl() -> Callable[[str], object]:
    try:
        import dicomsdl
    except ImportError:
        raise Missing("pip install dicomsdl") from None
    return lambda path: dicomsdl.open(path).pixelData(storedvalue=True)


def _own() -> Callable[[str], object]:
    from dicomcore import dcmread

    return lambda path: dcmread(path).pixel_array


def _mapped_copy(length: int, out: Array | None = None) -> Callable[[], Callable[[str], object]]:
    """numpy's copy of the last bytes of the file as they are mapped: what the system gives to whoever reads a file."""

    def copy(path: str) -> None:
        pixels = np.memmap(path, np.uint8, "r")[-length:]
        if out is None:
            pixels.copy()
        else:
            np.copyto(out.reshape(-1).view(np.uint8), pixels)

    return lambda: copy


def _pixel_array(name: str, what: str, slices: int, count: int) -> Contest:
    return Contest(
        f"pixel-array-{name}", f"All pixels of {what}, from its file, as a new array", "arrays", count,
        {
            OWN: _of_file(slices, _own, count),
            "pydicom": _of_file(slices, _pydicom, count),
            "dicomsdl": _of_file(slices, _dicomsdl, count),
            "limit: numpy, mapped file to a new array": _of_file(slices, _mapped_copy(slices * SLICE), count),
        },
        unit_bytes=slices * SLICE, rounds=5, goals={"pydicom": 3},
    )  # fmt: skip


def _native() -> Contest:
    slices = 100
    out = np.empty((slices, 512, 512), np.uint16)

    def own() -> Callable[[str], object]:
        from dicomcore import dcmread, frames

        return lambda path: frames(dcmread(path)).decode_many(out=out)

    def one_by_one() -> Callable[[str], object]:
        from dicomcore import dcmread, frames

        def work(path: str) -> None:
            source = frames(dcmread(path))
            for i in range(len(source)):
                source.copy(i, out[i])

        return work

    return Contest(
        "native-frames", "100 native frames of 512 x 512 x 16 bits, from their file into an array", "frames", slices,
        {
            OWN: _of_file(slices, own),
            "dicomcore, one by one": _of_file(slices, one_by_one),
            "pydicom": _of_file(slices, _pydicom),
            "dicomsdl": _of_file(slices, _dicomsdl),
            "limit: numpy, mapped file into an array": _of_file(slices, _mapped_copy(out.nbytes, out)),
            "limit: memcpy": memcpy(lambda: ct_frames(slices)),
        },
        unit_bytes=SLICE, rounds=5, goals={"pydicom": 3},
        note="The file lies on a RAM disk. pydicom and dicomsdl make a new array, which they cannot do without.",
    )  # fmt: skip


def contests() -> Iterable[Contest]:
    yield from _rle("mono16", "CT slices of 512 x 512 x 16 bits", ct_frames, 512, 512)
    yield from _rle("rgb", "ultrasound frames of 600 x 800 in colour", ultrasound_frames, 600, 800, 3)
    yield _native()
    yield _pixel_array("ct", "a 512 x 512 CT", 1, 40)
    yield _pixel_array("multiframe", "100 frames of 512 x 512 x 16 bits", 100, 1)
