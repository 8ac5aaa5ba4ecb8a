"""Encapsulated frames in every syntax that has a decoder: all frames of an object, one of very many, and memory.

Objects are made when a contest begins: slices of a body, of 12 bits in 16, or ultrasound in colour. dicomcore encodes
them (see its own tests for what others decode of it), so all read the same streams. The limit is the library that does
the work, called in a loop over the streams alone; other limits are named.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._harness import OWN, Contest, Missing, Run, Sample, child_python, plain
from benchmarks._inputs import EXPLICIT
from benchmarks.bench_pixels import as_file, ct_frames, model_of, own_encoded, pydicom_object, ultrasound_frames

if TYPE_CHECKING:
    from dicomcore.pixels.encapsulation import OffsetTable

FRAMES = 20
JPEG = "1.2.840.10008.1.2.4."
RLE, DEFLATED = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"
GREY, COLOUR, PLANES = (512, 512), (600, 800, 3), (3, 600, 800)
DECODE_NOTE = (
    "From the bytes of the object in memory to a new array of all frames, offsets included. Each of pydicom's plugins"
    " that decodes the syntax is an entrant."
)
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Coding:
    """One contest: ``call`` is what `imagecodecs` is asked to decode a stream into an array."""

    name: str
    title: str
    syntax: str
    plugins: tuple[str, ...]
    call: Callable[[Any, bytes, Array], object]
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    shape: tuple[int, ...] = GREY
    encoder: str = ""  # the plugin of pydicom that encodes the syntax
    same: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))  # its options for as much loss
    times: int = 1  # that two workers decode each frame: what takes 1 ms in all is over before a thread has begun

    @property
    def frame_bytes(self) -> int:
        return prod(self.shape) * (1 if self.shape is COLOUR else 2)


def _flat(array: Array) -> Array:
    return array.reshape(-1).view(np.uint8)


CODINGS = (
    Coding(
        "jpeg-baseline", "JPEG Baseline, colour", f"{JPEG}50", ("gdcm", "pylibjpeg", "pillow"),
        lambda lib, data, out: lib.jpeg8_decode(data, out=out), shape=COLOUR,
    ),
    Coding(
        "jpeg-extended", "JPEG Extended, 12 bits", f"{JPEG}51", ("pylibjpeg",),
        lambda lib, data, out: lib.jpeg8_decode(data, out=out),
    ),
    Coding(
        "jpeg-lossless", "JPEG Lossless, first predictor", f"{JPEG}70", ("gdcm", "pylibjpeg"),
        lambda lib, data, out: lib.jpeg8_decode(data, out=out),
    ),
    Coding(
        "jpegls", "JPEG-LS", f"{JPEG}80", ("gdcm", "pyjpegls", "pylibjpeg"),
        lambda lib, data, out: lib.jpegls_decode(data, out=out), encoder="pyjpegls",
    ),
    Coding(
        "jpegls-near", "JPEG-LS, near-lossless", f"{JPEG}81", ("gdcm", "pyjpegls", "pylibjpeg"),
        lambda lib, data, out: lib.jpegls_decode(data, out=out), encoder="pyjpegls", same={"jls_error": 2},
    ),
    Coding(
        "j2k-lossless", "JPEG 2000, lossless", f"{JPEG}90", ("gdcm", "pylibjpeg"),
        lambda lib, data, out: lib.jpeg2k_decode(data, numthreads=1, out=out), encoder="pylibjpeg",
    ),
    Coding(
        "j2k", "JPEG 2000, lossy", f"{JPEG}91", ("gdcm", "pylibjpeg"),
        lambda lib, data, out: lib.jpeg2k_decode(data, numthreads=1, out=out), {"error": 4}, encoder="pylibjpeg",
        same={"j2k_psnr": [60.2]},
    ),
    Coding(
        "htj2k-lossless", "HTJ2K, lossless", f"{JPEG}201", ("pylibjpeg",),
        lambda lib, data, out: lib.htj2k_decode(data, out=out),
    ),
    Coding(
        "htj2k", "HTJ2K, lossy", f"{JPEG}203", ("pylibjpeg",),
        lambda lib, data, out: lib.htj2k_decode(data, out=out), {"step": 8},
    ),
    Coding(
        "jpegxl", "JPEG XL, lossless", f"{JPEG}110", (),
        lambda lib, data, out: lib.jpegxl_decode(data, numthreads=1, out=out), {"effort": 3},
    ),
    Coding(
        "rle", "RLE Lossless", RLE, ("pylibjpeg",),
        lambda lib, data, out: lib.dicomrle_decode(data, "<u2", out=_flat(out)), times=10,
    ),
    Coding(
        "rle-colour", "RLE Lossless, colour", RLE, ("pylibjpeg",),
        lambda lib, data, out: np.copyto(
            out, np.moveaxis(np.frombuffer(lib.dicomrle_decode(data, "u1"), np.uint8).reshape(PLANES), 0, -1)
        ),
        shape=COLOUR, times=10,
    ),
    Coding(
        "deflated", "deflated frames", DEFLATED, (),
        lambda lib, data, out: lib.deflate_decode(data, raw=True, out=_flat(out)),
    ),
)  # fmt: skip


@cache
def native_object(shape: tuple[int, ...]) -> bytes:
    """A file that pydicom wrote."""
    if shape is COLOUR:
        return as_file(pydicom_object(ultrasound_frames(FRAMES), EXPLICIT))
    dataset = pydicom_object(ct_frames(FRAMES), EXPLICIT)
    dataset.BitsStored, dataset.HighBit = 12, 11
    return as_file(dataset)


@cache
def encoded_object(name: str) -> bytes:
    from dicomcore import dcmread, transcode

    coding = next(one for one in CODINGS if one.name == name)
    out = BytesIO()
    transcode(dcmread(native_object(coding.shape)), coding.syntax, **coding.options).save_as(out)
    return out.getvalue()


def _own(coding: Coding) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        from dicomcore import dcmread, frames

        dataset = dcmread(encoded_object(coding.name))

        def run() -> None:
            frames(dataset).decode_many(workers=1)

        yield run

    return entrant


def _on_cores(coding: Coding, workers: int) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        from dicomcore import dcmread, frames

        source = frames(dcmread(encoded_object(coding.name)))
        numbers = [*range(FRAMES)] * coding.times
        out = np.ones((len(numbers), *coding.shape), source.model.dtype)

        def run() -> None:
            source.decode_many(numbers, out, workers)

        yield run

    return entrant


def _pydicom(coding: Coding, plugin: str) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        from pydicom import dcmread
        from pydicom.pixels import get_decoder

        decoder: Any = get_decoder(coding.syntax)
        if plugin not in decoder.available_plugins:
            raise Missing(f"pydicom's plugin {plugin}")
        dataset = dcmread(BytesIO(encoded_object(coding.name)))
        decoder.as_array(dataset, decoding_plugin=plugin)

        def run() -> None:
            decoder.as_array(dataset, decoding_plugin=plugin)

        yield run

    return entrant


def _library(coding: Coding) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        try:
            import imagecodecs
        except ImportError:
            raise Missing("pip install imagecodecs") from None
        from dicomcore import dcmread, frames

        source = frames(dcmread(encoded_object(coding.name)))
        streams = [bytes(source.encoded(i)) for i in range(len(source))]

        def run() -> None:
            out = np.empty((len(streams), *coding.shape), np.uint8 if coding.shape is COLOUR else np.uint16)
            for data, frame in zip(streams, out, strict=True):
                coding.call(imagecodecs, data, frame)

        yield run

    return entrant


def _decoding(coding: Coding) -> Iterator[Contest]:
    what = "ultrasound of 600 x 800" if coding.shape is COLOUR else "CT of 512 x 512, 12 bits of 16"
    title = f"Decode {FRAMES} frames, {what}: {coding.title}"
    goal = 3.0 if coding.syntax == RLE else 1.0
    peers = {f"pydicom, {plugin}": plugin for plugin in coding.plugins}
    one = "one worker"
    yield Contest(
        f"decode-{coding.name}", f"{title}; one core each", "frames", FRAMES,
        {
            OWN: _own(coding),
            **{name: _pydicom(coding, plugin) for name, plugin in peers.items()},
            "limit: imagecodecs alone": _library(coding),
        },
        unit_bytes=coding.frame_bytes, rounds=5, goals=dict.fromkeys(peers, goal),
        note=DECODE_NOTE if peers else f"{DECODE_NOTE} It has none here.",
    )  # fmt: skip
    count = FRAMES * coding.times
    yield Contest(
        f"cores-{coding.name}",
        f"Decode {count} frames, {what}, into an array that is there: {coding.title}; two workers",
        "frames",
        count,
        {OWN: _on_cores(coding, 2), one: _on_cores(coding, 1)},
        unit_bytes=coding.frame_bytes,
        rounds=5,
        goals={one: 1.8},
        note="Memory limits it: a plain copy of such frames is no faster on two cores here."
        if coding.times > 1
        else "",
    )


# -- encoding ----------------------------------------------------------------------------------------------------------


def _own_encoding(coding: Coding, workers: int) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        from dicomcore import dcmread, transcode

        dataset = dcmread(native_object(coding.shape))

        def run() -> None:
            transcode(dataset, coding.syntax, workers=workers, **coding.options)

        yield run

    return entrant


def _pydicom_encoding(coding: Coding, plugin: str) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        from pydicom import dcmread
        from pydicom.encaps import encapsulate
        from pydicom.pixels import get_encoder

        encoder: Any = get_encoder(coding.syntax)
        if plugin not in encoder.available_plugins:
            raise Missing(f"pydicom's plugin {plugin}")
        dataset = dcmread(BytesIO(native_object(coding.shape)))

        def run() -> None:
            encapsulate(list(encoder.iter_encode(dataset, encoding_plugin=plugin, **coding.same)))

        yield run

    return entrant


def _encoding(coding: Coding) -> Contest:
    """Of RLE there are contests beside its decoding."""
    what = "ultrasound of 600 x 800" if coding.shape is COLOUR else "CT of 512 x 512, 12 bits of 16"
    peers = {f"pydicom, {coding.encoder}": 1.0} if coding.encoder else {}
    return Contest(
        f"encode-{coding.name}",
        f"Encode {FRAMES} frames, {what}: {coding.title}; one core each",
        "frames",
        FRAMES,
        {
            OWN: _own_encoding(coding, 1),
            "two workers": _own_encoding(coding, 2),
            **{name: _pydicom_encoding(coding, coding.encoder) for name in peers},
        },
        unit_bytes=coding.frame_bytes,
        rounds=3,
        goals=peers,
        note="From native pixels in memory to the value of encapsulated Pixel Data.",
    )


# -- one frame of very many --------------------------------------------------------------------------------------------

MANY = 10_000
SMALL = 320  # rows and columns
TABLES: dict[OffsetTable, str] = {"basic": "Basic Offset Table", "none": "no offset table"}


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Gone when the process is."""
    return tempfile.TemporaryDirectory(prefix="dicomcore-bench-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


@cache
def _many_frames() -> tuple[list[bytes], Array]:
    """Sixteen encoded frames, which repeat, and their pixels."""
    pixels = np.ascontiguousarray(ct_frames(FRAMES)[:16, 96:416, 96:416])
    return own_encoded(pixels), pixels


@cache
def _large_file(table: OffsetTable) -> Path:
    """10,000 frames of 320 x 320 x 16 bits in RLE, 1 GB, written frame by frame."""
    from dicomcore.pixels.encapsulation import END, extended_table, fragment, value_start

    streams, pixels = _many_frames()
    dataset = pydicom_object(pixels, RLE, streams)
    del dataset.PixelData
    dataset.NumberOfFrames = MANY
    lengths = [len(streams[i % 16]) for i in range(MANY)]
    start, _ = value_start(lengths, table)
    path = Path(_scratch().name) / f"{table}.dcm"
    with path.open("wb") as file:
        file.write(as_file(dataset))
        if table == "extended":
            for element, value in enumerate(extended_table(lengths), 1):
                file.write(b"\xe0\x7f%c\0OV\0\0" % element + len(value).to_bytes(4, "little") + value)
        file.write(b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + start)
        for i in range(MANY):
            file.writelines(fragment(streams[i % 16]))
        file.write(END)
    return path


@cache
def _order() -> list[int]:
    return random.Random(1).sample(range(MANY), 200)


def _random_frames(table: OffsetTable) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        from dicomcore import dcmread, frames

        path = _large_file(table)
        source = frames(dcmread(path))

        def run() -> None:
            for i in _order():
                source.copy(i)

        yield run
        pixels = _many_frames()[1]
        assert all((source[i] == pixels[i % 16]).all() for i in _order())

    return entrant


def _opened(table: OffsetTable) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        from dicomcore import dcmread, frames

        path = _large_file(table)

        def run() -> None:
            frames(dcmread(path)).copy(MANY - 2)

        yield run

    return entrant


def _opened_by_pydicom(table: OffsetTable) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        try:
            import rle  # noqa: F401 - pydicom finds it by itself
        except ImportError:
            raise Missing("pip install pylibjpeg-rle") from None
        from pydicom.pixels import pixel_array

        path = _large_file(table)

        def run() -> None:
            pixel_array(path, index=MANY - 2)

        yield run

    return entrant


def _codec_alone() -> None:
    from dicomcore.pixels.codecs.rle import RLE as CODEC

    streams, pixels = _many_frames()
    model = model_of(pixels)
    assert CODEC.decode is not None
    for i in _order():
        CODEC.decode(streams[i % 16], model, np.empty((SMALL, SMALL), np.uint16), lambda message, clause: None)


def _one_of_many() -> Iterator[Contest]:
    length = SMALL * SMALL * 2
    yield Contest(
        "random-frame", "One frame anywhere in an open object of 1 GB with 10,000 frames in RLE", "frames", 200,
        {
            OWN: _random_frames("extended"),
            **{name: _random_frames(table) for table, name in TABLES.items()},
            "limit: the codec alone": plain(_codec_alone),
        },
        unit_bytes=length, rounds=5, note="Ours has an Extended Offset Table. Goal: 1 ms above the codec at most.",
    )  # fmt: skip
    yield Contest(
        "open-random-frame", "Open an object of 1 GB with 10,000 frames in RLE and decode one", "frames", 1,
        {
            OWN: _opened("extended"),
            **{name: _opened(table) for table, name in TABLES.items()},
            "pydicom, pylibjpeg, Basic Offset Table": _opened_by_pydicom("basic"),
        },
        rounds=5, note="Ours has an Extended Offset Table. Opening goes once over the headers of all fragments.",
    )  # fmt: skip


# -- memory ------------------------------------------------------------------------------------------------------------

_OPEN = "from dicomcore import dcmread, frames\nimport numpy as np\nsource = frames(dcmread(sys.argv[1]))\n"
_MEMORY = {
    OWN: f"{_OPEN}source[0]\nwith clock:\n for frame in source: pass",
    "the first 100 frames 100 times": (
        f"{_OPEN}source[0]\nwith clock:\n for _ in range(100):\n  for frame in source[:100]: pass"
    ),
    "one by one into an array": (
        f"{_OPEN}out = np.ones(source.model.frame_shape, source.model.dtype); source.copy(0, out)\n"
        "with clock:\n for i in range(len(source)): source.copy(i, out)"
    ),
    "two workers, 100 at a time into an array": (
        f"{_OPEN}out = np.ones((100, *source.model.frame_shape), source.model.dtype)\n"
        "source[:100].decode_many(out=out)\n"
        "with clock:\n for i in range(0, len(source), 100): source[i : i + 100].decode_many(out=out, workers=2)"
    ),
    "pydicom, pylibjpeg": (
        "from pydicom.pixels import iter_pixels\nimport rle\nwith clock:\n for frame in iter_pixels(sys.argv[1]): pass"
    ),
}  # fmt: skip


def _in_process(code: str) -> Callable[[], AbstractContextManager[Run]]:
    @contextmanager
    def entrant() -> Iterator[Run]:
        path = _large_file("basic")

        def run() -> Sample:
            return child_python(code, str(path))[0]

        yield run

    return entrant


def _memory() -> Contest:
    return Contest(
        "frames-memory", "All 10,000 frames of an object of 1 GB in RLE, in a process of its own", "frames", MANY,
        {name: _in_process(code) for name, code in _MEMORY.items()},
        unit_bytes=SMALL * SMALL * 2, rounds=3,
        note="Peak is that of the whole process; it is flat if 10,000 frames take what 100 take. 100 frames are 20 MB.",
    )  # fmt: skip


def contests() -> Iterable[Contest]:
    for coding in CODINGS:
        yield from _decoding(coding)
        if coding.syntax != RLE:
            yield _encoding(coding)
    yield from _one_of_many()
    yield _memory()
