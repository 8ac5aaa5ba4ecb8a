"""The stored integers of a dose grid, handed to a function run by run, on several cores (PS3.3 C.8.8.3.4).

Native ones come straight from a window of the file or from memory, compressed ones through one buffer of a frame for
each worker: nothing as large as the grid is made. Refuses (PixelError) what is no dose grid: other than 16 or 32 bits,
several samples, floating pixels, and an object with histograms only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomcore._core.dose import BIG, LITTLE, WORDS, Coding
from dicomcore.data.located import Located, locate
from dicomcore.encoding.source import FileSource
from dicomcore.errors import PixelError
from dicomcore.limits import Limits
from dicomcore.pixels.codec import CodecTable
from dicomcore.pixels.frames import frames
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.parallel import run

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["Bytes", "StoredGrid", "Work"]

CLAUSE = "PS3.3 C.8.8.3.4"
RUN = 16 << 20  # bytes of stored integers that a worker takes at a time
TURN = 256 << 10  # the same where it is frame by frame; or one frame
WINDOW = 256 << 10  # from here on a window on the file is faster than reading
_LITTLE = sys.byteorder == "little"

Bytes = memoryview | NDArray[Any]
Work = Callable[[Bytes, int, int], None]  # (stored, first, stop): voxels counted from the first of the first frame


class StoredGrid:
    """``shape`` is frames, rows, columns; ``coding`` says how a number lies in the bytes that `each` hands out."""

    def __init__(self, ds: Dataset, codecs: CodecTable, limits: Limits, mapped: bool) -> None:
        _refuse_what_is_no_grid(ds)
        model = ImageModel.from_dataset(ds)
        _check(model)
        self.shape = (model.frames, model.rows, model.columns)
        self.path = model.path
        self._source = frames(ds, codecs=codecs, colour="stored", limits=limits, mapped=mapped)
        self._native: Located | None = None
        self._mapped = mapped
        if self._source.table is None:
            words = ds["PixelData"].VR == "OW"
            order = LITTLE if not ds.is_big_endian else WORDS if words else BIG
            self.coding = Coding(model.bits_allocated, model.bits_stored, model.kind == "i", order)
            self._native = locate(ds, "PixelData", [])
            assert self._native is not None
            model.check_length(self._native.length)
        else:
            decoded = self._source.model
            _check(decoded)
            if decoded.frame_shape != self.shape[1:]:
                raise PixelError(
                    f"frames of {decoded.rows} x {decoded.columns} where Rows and Columns say "
                    f"{model.rows} x {model.columns}",
                    path=model.path,
                    clause="PS3.5 8.2",
                )
            # What comes decoded has no bits that do not count.
            self.coding = Coding(
                decoded.bits_allocated, decoded.bits_allocated, decoded.kind == "i", LITTLE if _LITTLE else BIG
            )

    @property
    def is_native(self) -> bool:
        """Whether the bytes of the object bound the grid; else the frames are decoded."""
        return self._native is not None

    def check(self, numbers: range) -> None:
        """PixelError when one of these frames is not there."""
        if self._native is None and len(numbers):
            self._source.encoded(max(numbers[0], numbers[-1]))

    def each(self, numbers: range, start: Callable[[], Work], workers: int | None) -> None:
        """Hand the frames ``numbers``, run by run, to ``start()(stored, first, stop)``; each worker calls ``start``."""
        native = self._native
        voxels, width = self.shape[1] * self.shape[2], self.coding.allocated // 8
        if native is None or numbers.step != 1:  # frame by frame

            def begin() -> Callable[[int, int], None]:
                work, fetch = start(), self._fetch()

                def some(first: int, stop: int) -> None:
                    for place in range(first, stop):
                        work(fetch(numbers[place]), place * voxels, (place + 1) * voxels)

                return some

            run(len(numbers), begin, workers=workers, chunk=TURN // max(voxels * width, 1))
        else:
            base = numbers.start * voxels * width

            def begin_runs() -> Callable[[int, int], None]:
                work = start()

                def one_run(first: int, stop: int) -> None:
                    work(self._bytes(native, base + first * width, (stop - first) * width), first, stop)

                return one_run

            run(len(numbers) * voxels, begin_runs, workers=workers, chunk=RUN // width)
        if native is not None and isinstance(native.source, FileSource):
            native.source.check(native.offset)

    def _fetch(self) -> Callable[[int], Bytes]:
        """The stored bytes of a frame; valid until the next is fetched."""
        native, source = self._native, self._source
        if native is not None:
            length = self.shape[1] * self.shape[2] * self.coding.allocated // 8
            return lambda number: self._bytes(native, number * length, length)
        frame = np.empty(source.model.frame_shape, source.model.dtype)
        stored = frame.reshape(-1).view(np.uint8)

        def decoded(number: int) -> Bytes:
            source.copy(number, frame)
            return stored

        return decoded

    def _bytes(self, native: Located, start: int, length: int) -> memoryview:
        """A view of memory, a window on the file, or what was read from it."""
        source, offset = native.source, native.offset + start
        if self._mapped and isinstance(source, FileSource) and length >= WINDOW:
            window = source.map(offset, length)
            if window is not None:
                return window
        return source.view(offset, length)


def _refuse_what_is_no_grid(ds: Dataset) -> None:
    if "PixelData" in ds:
        return
    histograms = len(ds.get("DVHSequence") or ())
    told = f"only {histograms} dose-volume histograms" if histograms else "no Pixel Data"
    raise PixelError(
        f"there is no dose grid: the object has {told}",
        path="(7FE0,0010)",
        clause="PS3.3 A.18.3",
        hint="ds.DVHSequence has the histograms" if histograms else "was it read with stop_before_pixels=True?",
    )


def _check(model: ImageModel) -> None:
    facts = (
        (model.samples == 1, f"Samples per Pixel is {model.samples}, not 1", "1"),
        (model.bits_allocated in (16, 32), f"Bits Allocated is {model.bits_allocated}, neither 16 nor 32", "3"),
        (model.kind in "ui", "the pixels are floating numbers, not integers", "6"),
    )
    for holds, message, number in facts:
        if not holds:
            raise PixelError(f"no dose grid: {message}", path=model.path, clause=f"{CLAUSE}.{number}")
