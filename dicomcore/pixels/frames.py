"""Any frame of an object, decoded, in every transfer syntax that has a codec (PS3.3 C.7.6.3, PS3.5 8, A.4).

`frames` answers a `FrameSource`: a sequence of read-only arrays. Where a frame lies is arithmetic, or a table over the
fragments; nothing before it is read. A native frame whose bytes are its pixels is a view of the source, which it keeps
alive; every other is decoded. Memory is one encoded and one decoded frame. Safe to use from several threads at once.
Refuses with `PixelError`, which names the frame and its offset: what is missing, what cannot be decoded and why; with
`LimitExceeded`: arrays over ``limits.inflated_length``, before they are made.

Views of a file, and what `FrameSource.encoded` answers, lie in a window of a memory map unless ``mapped=False``: a file
that another program cuts short while they are used kills the process (see `FileSource.map`). Decoding reads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from dicomcore.data._late import late
from dicomcore.encoding.policy import Policy
from dicomcore.errors import DicomError, Issue, LimitExceeded, PixelError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.pixels.codec import CODECS, Array, Buffer, Codec, CodecTable
from dicomcore.pixels.colour import YBR, to_rgb
from dicomcore.pixels.encoded import WINDOW, EncodedFrames, Reader, Scratch
from dicomcore.pixels.frame_table import FrameTable
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.native import clear_unused_bits, decode_frame
from dicomcore.pixels.parallel import run
from dicomcore.vocab.syntaxes import TransferSyntax

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset
    from dicomcore.pixels.picture import Picture

__all__ = ["FrameSource", "frames"]

Colour = Literal["rgb", "stored"]

_LITTLE = sys.byteorder == "little"
_TURN = 512 << 10  # bytes of decoded pixels that a worker takes at a time at most, or one frame
_LEAST = 32 << 10  # and at least: what fast codecs decode in the time that it takes to share work
_PIECE = 512 << 10  # bytes of native pixels that are decoded at a time: they stay in the processor's cache


def frames(
    ds: Dataset,
    *,
    codecs: CodecTable = CODECS,
    colour: Colour = "rgb",
    limits: Limits = DEFAULT_LIMITS,
    policy: Policy | None = None,
    mapped: bool = True,
) -> FrameSource:
    """The frames of ``ds``: ``[i]``, slices, ``encoded(i)``, ``copy(i)``, ``decode_many()``.

    ``colour="rgb"`` makes RGB of YBR_FULL and YBR_FULL_422; "stored" leaves colours as they are encoded. Indices into a
    palette stay indices. ``policy`` is that of reading ``ds`` unless it is given; a strict one raises what becomes an
    Issue otherwise.
    """
    if colour not in ("rgb", "stored"):
        raise ValueError(f"colour is {colour!r}, neither 'rgb' nor 'stored'")
    pixels = _Pixels(ds, codecs, limits, policy, mapped, colour)
    return FrameSource(pixels, range(pixels.header.frames))


class _Pixels(EncodedFrames):
    """The encoded frames, and how they are decoded: what all windows on one object's frames share."""

    def __init__(
        self,
        ds: Dataset,
        codecs: CodecTable,
        limits: Limits,
        policy: Policy | None,
        mapped: bool,
        colour: Colour,
    ) -> None:
        super().__init__(ds, codecs, limits, policy, mapped)
        self.colour = colour
        self.reading = Reader(self.located.source, mapped=False)
        self.photometric = ""  # of what was decoded last
        self._codec: Codec | None = None
        self._model: ImageModel | None = None

    @property
    def model(self) -> ImageModel:
        """The description of decoded frames: where the code stream knows better than the attributes, what it says."""
        if self._model is None:
            self._model = self._inspected()
        return self._model

    @property
    def known(self) -> ImageModel:
        """`model`, or what the attributes say where the code stream cannot be asked."""
        try:
            return self.model
        except DicomError:
            return self.header

    def _inspected(self) -> ImageModel:
        try:
            codec = self.decoder()
        except PixelError:
            return self.header
        if codec is None or codec.inspect is None:
            return self.header
        try:
            with self._named(0, codec.name):
                model = codec.inspect(self.encoded(0, self.reader), self.header, self.reporter(0))
                model.check(native=False)
        except PixelError:
            if not self.policy.lenient:
                raise
            return self.header  # whoever decodes the frame will be told
        model.check_limits(self.limits)
        return model

    def decoder(self) -> Codec | None:
        """What decodes the frames; None for native ones. PixelError when nothing does."""
        if self._codec is None and not self.is_native:
            self._codec = self.row.decoder(self.path)
        return self._codec

    def new_array(self, count: int | None = None) -> Array:
        """Room for one frame, or ``count`` of them; LimitExceeded first. What is native bounds itself."""
        model = self.model
        length = model.frame_values * model.dtype.itemsize * (1 if count is None else count)
        if not self.is_native and length > self.limits.inflated_length:
            raise LimitExceeded(
                f"{length} bytes of decoded pixels, over the limit of {self.limits.inflated_length}",
                path=self.path,
                clause="PS3.3 C.7.6.3",
                hint="raise Limits.inflated_length, or decode fewer frames at a time",
            )
        return np.empty(model.frame_shape if count is None else (count, *model.frame_shape), model.dtype)

    def decode(self, i: int, reader: Reader | Scratch, out: Array | None = None) -> Array:
        """Frame ``i`` in ``out``, or in a new array."""
        codec = self.decoder()
        if codec is None:
            if i >= self.complete:
                self.native_frame(i, reader)  # raises, before there is an array
            out = self.new_array() if out is None else out
            pixels = self.header.rows * self.header.columns
            self.decode_run(i * pixels, (i + 1) * pixels, reader, out)
            return out
        with self._named(i, codec.name):
            data = self.encoded(i, reader)
            if not len(data):
                raise PixelError("it has no bytes", clause="PS3.5 A.4")
            model = self.model
            out = self.new_array() if out is None else out
            assert codec.decode is not None
            photometric = codec.decode(data, model, out, self.reporter(i))
            if model.bits_stored < model.bits_allocated and model.kind != "f":
                clear_unused_bits(out, model)
            self.photometric = self._coloured(out, photometric)
        return out

    def decode_run(self, start: int, stop: int, reader: Reader | Scratch, out: Array) -> None:
        """Native pixels ``start`` to ``stop``, counted over all frames, into ``out``: frames need not be whole.

        Those that lie by plane, and only those, are whole frames.
        """
        model = self.header
        size = model.rows * model.columns
        bits = model.frame_bits // size
        step = size if model.planar else max(_PIECE * 8 // bits, 1) // 16 * 16 or 16
        flat = out.reshape(-1)
        for first in range(start, stop, step):
            last = min(first + step, stop)
            with self._named(first // size, "native"):
                view, bit = self.native(first * bits, last * bits, reader)
                part = flat[(first - start) * model.samples : (last - start) * model.samples]
                photometric = decode_frame(view, model, part, bit=bit, big_endian=self.big_endian, words=self.words)
                self.photometric = self._coloured(part, photometric)

    def _coloured(self, out: Array, photometric: str) -> str:
        """The photometric interpretation of ``out`` once its colours are those asked for."""
        model = self.model
        if self.colour != "rgb" or photometric not in YBR or model.samples != 3:
            return photometric
        to_rgb(out, model)
        return "RGB"

    @contextmanager
    def _named(self, i: int, codec: str) -> Iterator[None]:
        """Whatever goes wrong, say at which frame."""
        try:
            yield
        except (DicomError, MemoryError) as error:
            if isinstance(error, PixelError):
                self._name(error, i)
            raise
        except Exception as error:  # whatever a codec's library raises on a broken stream
            broken = PixelError(f"{codec}: {error or type(error).__name__}")
            self._name(broken, i)
            raise broken from error

    def _name(self, error: PixelError, i: int) -> None:
        """Give the error the frame's number and place."""
        if not error.message.startswith("frame "):
            inside = error.offset if self.table is not None and len(self.table.spans(i)) == 1 else None
            start = self.offset(i)
            error.offset = start + (inside or 0) if start is not None else None
            error.message = f"frame {i}: {error.message}"
        error.path = error.path or self.path

    def decode_into(self, numbers: Sequence[int], out: Array, workers: int | None) -> None:
        """All those frames into ``out``, on several threads; native ones that follow each other in equal pieces."""
        model = self.model
        flat = out.reshape(-1)
        is_run = self.is_native and not model.planar and isinstance(numbers, range) and numbers.step == 1
        size = model.rows * model.columns
        length = size * model.samples * model.dtype.itemsize
        with ExitStack() as stack:
            lock = Lock()

            def start() -> Callable[[int, int], None]:
                with lock:
                    reader = Scratch(stack.enter_context(self.located.source.session()))

                def run_piece(first: int, stop: int) -> None:
                    part = flat[first * model.samples : stop * model.samples]
                    self.decode_run(numbers[0] * size + first, numbers[0] * size + stop, reader, part)

                def some_frames(first: int, stop: int) -> None:
                    for place in range(first, stop):
                        self.decode(numbers[place], reader, out[place])

                return run_piece if is_run else some_frames

            if is_run:
                run(len(numbers) * size, start, workers=workers, chunk=_TURN * size // length // 16 * 16 or 16)
            else:
                # Small frames of a slow codec are worth sharing, too: 16 turns, if they are not tiny.
                chunk = min(max(len(numbers) // 16, _LEAST // length), _TURN // length)
                run(len(numbers), start, workers=workers, chunk=chunk)

    def try_view(self, i: int, reader: Reader) -> Array | None:
        """Frame ``i`` as a view of the source, where its bytes are its pixels."""
        model = self.header
        bits = model.bits_allocated
        is_plain = bits >= 8 and not model.subsampled and not model.planar
        in_order = bits == 8 or self.big_endian != _LITTLE
        if not self.is_native or not is_plain or not in_order or (self.words and bits != 16):
            return None
        if self.colour == "rgb" and model.photometric == "YBR_FULL" and model.samples == 3:
            return None
        view, _ = self.native_frame(i, reader)
        array = np.frombuffer(view, model.dtype).reshape(model.frame_shape)
        return array if _is_clean(array, model) else None


def _is_clean(array: Array, model: ImageModel) -> bool:
    """Whether the bits above Bits Stored hold nothing, or the sign."""
    if model.bits_stored == model.bits_allocated or model.kind == "f":
        return True
    if model.kind == "u":
        return int(array.max()) >> model.bits_stored == 0
    edge = 1 << (model.bits_stored - 1)
    return int(array.max()) < edge and int(array.min()) >= -edge


class FrameSource(Sequence[Array]):
    """Frames of one object. ``[i]`` is read-only, (rows, columns[, samples]); ``[a:b]`` is a `FrameSource` of those."""

    __slots__ = ("_indices", "_pixels")

    def __init__(self, pixels: _Pixels, indices: range) -> None:
        self._pixels = pixels
        self._indices = indices

    @property
    def model(self) -> ImageModel:
        """What one decoded frame is like; the first code stream is asked where it knows better than the attributes."""
        return self._pixels.model.but(frames=len(self))

    @property
    def dataset(self) -> Dataset:
        """What the frames are those of."""
        return self._pixels.dataset

    @property
    def issues(self) -> list[Issue]:
        """What was wrong and yet read, with the frames decoded so far."""
        return self._pixels.issues

    @property
    def table(self) -> FrameTable | None:
        """Where encoded frames lie; None for native pixel data, where arithmetic tells."""
        return self._pixels.table

    @property
    def transfer_syntax(self) -> TransferSyntax:
        """What the frames are encoded in."""
        return self._pixels.syntax

    @property
    def is_swapped(self) -> bool:
        """Whether the pixels are stored in the other byte order than this machine's; what comes out never is."""
        pixels = self._pixels
        size = pixels.header.dtype.itemsize
        in_file = pixels.big_endian and not (pixels.words and size != 2)
        return pixels.is_native and size > 1 and in_file == _LITTLE

    @property
    def photometric(self) -> str:
        """Photometric Interpretation of what comes out. It is known once a frame has been decoded: this decodes one."""
        if not self._pixels.photometric:
            self._pixels.decode(self._indices[0] if self._indices else 0, self._pixels.reading)
        return self._pixels.photometric

    @property
    def complete(self) -> int:
        """How many of these are there; the others are missing in the object. All, of a video."""
        pixels = self._pixels
        if pixels.is_video:
            return len(self)
        up = self._indices if self._indices.step > 0 else self._indices[::-1]
        return len(range(up.start, min(up.stop, pixels.complete), up.step))  # billions may be said to be there

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, i: int) -> Array: ...
    @overload
    def __getitem__(self, i: slice) -> FrameSource: ...
    def __getitem__(self, i: int | slice) -> Array | FrameSource:
        if isinstance(i, slice):
            return FrameSource(self._pixels, self._indices[i])
        pixels, number = self._pixels, self._number(i)
        array = pixels.try_view(number, pixels.reader)
        if array is None:
            array = pixels.decode(number, pixels.reading)
        array.flags.writeable = False
        return array

    def __iter__(self) -> Iterator[Array]:
        pixels = self._pixels
        with ExitStack() as stack:
            reader: Scratch | None = None
            for number in self._indices:
                array = pixels.try_view(number, pixels.reader)
                if array is None:
                    reader = reader or Scratch(stack.enter_context(pixels.located.source.session()))
                    array = pixels.decode(number, reader)
                array.flags.writeable = False
                yield array

    def _number(self, i: int) -> int:
        try:
            return self._indices[i]
        except IndexError:
            raise IndexError(f"frame {i} of {len(self)}") from None

    def encoded(self, i: int) -> Buffer:
        """Frame ``i`` as it is encoded: read-only, of one fragment a view. Native: the bytes of its pixels."""
        pixels = self._pixels
        return pixels.encoded(self._number(i), pixels.reader)

    def stream(self) -> Iterator[memoryview]:
        """The fragments of all frames one by one: ``b"".join(frames(ds).stream())`` is a video as it was recorded."""
        pixels = self._pixels
        where = pixels.located
        if where.fragments is not None:
            for offset, length in zip(where.fragments.offsets, where.fragments.lengths, strict=True):
                yield pixels.reader.view(int(offset), int(length))
            return
        for start in range(0, where.length, WINDOW):
            yield pixels.reader.view(where.offset + start, min(WINDOW, where.length - start))

    def copy(self, i: int, out: Array | None = None) -> Array:
        """Frame ``i`` in a new array, or in ``out`` (C-contiguous, of the frame's shape and type); it is writable."""
        pixels, number = self._pixels, self._number(i)
        if out is not None:
            _check_out(out, pixels.model.frame_shape, pixels.model)
        return pixels.decode(number, pixels.reading, out)

    def decode_many(
        self, indices: Iterable[int] | None = None, out: Array | None = None, workers: int | None = None
    ) -> Array:
        """Those frames (all without ``indices``) as one array, (n, rows, columns[, samples]), on all usable cores.

        ``out`` is filled and answered instead of a new array. The frame of the lowest place that fails raises.
        """
        pixels = self._pixels
        numbers = self._indices if indices is None else [self._number(i) for i in indices]
        count = len(numbers)
        pixels.decoder()
        absent = next((number for number in numbers if number >= pixels.complete), None)
        if absent is not None:
            raise pixels.missing(absent)
        model = pixels.model
        if out is None:
            out = pixels.new_array(count)
        else:
            _check_out(out, (count, *model.frame_shape), model)
        pixels.decode_into(numbers, out, workers)
        return out

    def picture(
        self,
        i: int = 0,
        *,
        window: tuple[float, float] | Literal["full"] | None = None,
        voi: int | None = None,
        overlays: bool = False,
        size: int | None = None,
        icc: bool = False,
    ) -> Picture:
        """Frame ``i`` as its object wants it shown, 8-bit grey or RGB; see `dicomcore.pixels.render.picture`."""
        made: Picture = late("picture")(self, i, window=window, voi=voi, overlays=overlays, size=size, icc=icc)
        return made

    def sheet(
        self,
        rows: int,
        columns: int,
        *,
        size: int = 128,
        labels: bool = True,
        window: tuple[float, float] | Literal["full"] | None = None,
        voi: int | None = None,
        overlays: bool = False,
    ) -> Picture:
        """A contact sheet of up to rows x columns frames, evenly spaced; see `dicomcore.pixels.render.sheet`."""
        options = {"size": size, "labels": labels, "window": window, "voi": voi, "overlays": overlays}
        made: Picture = late("sheet")(self, rows, columns, **options)
        return made

    def _repr_png_(self) -> bytes | None:
        made: bytes | None = late("preview")(self)
        return made

    def __repr__(self) -> str:
        model = self._pixels.known
        shape = " x ".join(map(str, (len(self), *model.frame_shape)))
        return f"<FrameSource of {shape} {model.dtype.name}, {self._pixels.syntax}>"


def _check_out(out: Array, shape: tuple[int, ...], model: ImageModel) -> None:
    if out.shape != shape or out.dtype != model.dtype or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(
            f"out has to be a writable, C-contiguous array of shape {shape} and type {model.dtype}, "
            f"not {out.shape} and {out.dtype}"
        )
