"""The encoded frames of one object, by number: where each lies and its bytes (PS3.5 8, A.4, PS3.3 C.7.6.3).

Native frames lie where arithmetic says, encapsulated ones where a table over the fragments does; nothing but the bytes
of the frame is read. Those of a file come through windows of a memory map, which move, or by reading where it cannot be
mapped. Refuses (`PixelError`) pixels that are not in the form that the transfer syntax says, and missing frames.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from dicomcore.data.located import locate
from dicomcore.encoding.policy import LENIENT, Policy
from dicomcore.encoding.source import FileSource, OpenFile, Source
from dicomcore.errors import Issue, PixelError
from dicomcore.limits import Limits
from dicomcore.pixels.codec import Buffer, CodecTable
from dicomcore.pixels.frame_table import FrameTable, frame_table
from dicomcore.pixels.image_model import ImageModel
from dicomcore.vocab.syntaxes import TransferSyntax, transfer_syntax

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["WINDOW", "EncodedFrames", "Reader", "Scratch"]

VIDEO = frozenset({"mpeg2", "h264", "hevc"})
WINDOW = 8 << 20  # bytes of a file that are mapped at a time, or one frame


class Reader:
    """Bytes of a source. Of a mapped file they come from one window, which moves."""

    __slots__ = ("_file", "_source", "_window")

    def __init__(self, source: Source, mapped: bool) -> None:
        self._source = source
        self._file = source if mapped and isinstance(source, FileSource) else None
        self._window = (0, 0, memoryview(b""))

    def view(self, offset: int, length: int) -> memoryview:
        file = self._file
        if file is None or offset + length <= len(file.head):
            return self._source.view(offset, length)
        start, stop, window = self._window
        if offset < start or offset + length > stop:
            self._window = (0, 0, memoryview(b""))  # the old one goes before the new one comes
            size = max(length, min(WINDOW, file.size - offset))
            mapping = file.map(offset, size)
            if mapping is None:
                self._file = None
                return self._source.view(offset, length)
            start, window = offset, mapping
            self._window = (offset, offset + size, mapping)
        else:
            file.check(offset)
        return window[offset - start : offset - start + length]

    def join(self, spans: list[tuple[int, int]]) -> Buffer:
        """The bytes of all spans; of one, a view."""
        parts = [self.view(*span) for span in spans]
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Scratch:
    """Bytes of an opened source, for one worker: those of a file lie in a buffer that the next ones overwrite."""

    __slots__ = ("_buffer", "_source")

    def __init__(self, opened: Source) -> None:
        self._source = opened
        self._buffer = memoryview(b"")

    def view(self, offset: int, length: int) -> memoryview:
        return self.join([(offset, length)])

    def join(self, spans: list[tuple[int, int]]) -> memoryview:
        """The bytes of all spans, one behind the other."""
        source = self._source
        length = sum(length for _, length in spans)
        if not isinstance(source, OpenFile) and len(spans) == 1:
            return source.view(*spans[0])
        if length > len(self._buffer):
            self._buffer = memoryview(b"")  # the old one goes before the new one comes
            self._buffer = memoryview(bytearray(length))
        done = 0
        for offset, size in spans:
            room = self._buffer[done : done + size]
            if isinstance(source, OpenFile):
                source.read_into(offset, room)
            else:
                room[:] = source.view(offset, size)
            done += size
        return self._buffer[:length].toreadonly()


def _table(ds: Dataset, keyword: str) -> memoryview:
    """Little endian, also where it waits to be written in a data set that was read from a big-endian one."""
    view = ds.view(keyword)
    return memoryview(ds._little_endian("OV", bytes(view))) if ds.is_big_endian else view


class EncodedFrames:
    """Of one object; any number of `FrameSource`s share it."""

    def __init__(self, ds: Dataset, codecs: CodecTable, limits: Limits, policy: Policy | None, mapped: bool) -> None:
        origin = ds._origin
        self.dataset = ds
        self.limits = limits
        self.policy = policy or (origin.file.policy if origin is not None else LENIENT)
        self.issues: list[Issue] = []
        self._lock = Lock()
        syntax = transfer_syntax(ds.transfer_syntax)
        if not syntax.encapsulated and not codecs.row(syntax.uid).can_decode:
            codecs.row(syntax.uid).decoder()  # says why
        header = ImageModel.from_dataset(ds, native=not syntax.encapsulated)
        faults: list[Issue] = []
        located = locate(ds, header.keyword, faults, encapsulated=True)
        assert located is not None  # the model has found it
        for fault in faults:
            self.accept(fault)
        self.located = located
        was_read = origin is not None and located.source is origin.source
        self.syntax = self._effective(syntax, transfer_syntax(ds._read_syntax()) if was_read else syntax, header)
        self.path = header.path
        self.row = codecs.row(self.syntax.uid)
        self.is_native = not self.syntax.encapsulated or located.fragments is None
        self.big_endian = ds.is_big_endian
        self.words = self.big_endian and ds[header.keyword].VR == "OW"
        self.mapped = mapped
        self.reader = self.new_reader()
        self.table: FrameTable | None = None
        self.header = self._native(header) if self.is_native else self._encapsulated(header)

    def _effective(self, syntax: TransferSyntax, read: TransferSyntax, header: ImageModel) -> TransferSyntax:
        """The syntax that the bytes are in: the one that is said, unless the bytes fit only the one that was read."""
        located = self.located
        if located.fragments is not None and syntax.encapsulated:
            return syntax
        if located.fragments is None or not located.is_marked:
            if not syntax.encapsulated:
                return syntax
            if not read.encapsulated:
                return read
            if 0 <= located.length - header.stored_length <= 1:
                self.accept(
                    Issue(f"pixel data in {syntax} without fragments; read as native", located.offset, header.path)
                )
                return syntax
            what, hint = "are not in fragments, as", "the transfer syntax or the pixel data is wrong"
        else:
            if read.encapsulated:
                return read
            what, hint = "are encapsulated in fragments, other than", "the transfer syntax is wrong"
        raise PixelError(
            f"the pixels {what} {syntax} says", offset=located.offset, path=header.path, clause="PS3.5 A.4", hint=hint
        )

    def _native(self, header: ImageModel) -> ImageModel:
        header.check()
        length = self.located.length
        if length < header.stored_length:
            return header  # complete frames are there to be read
        model = header.check_length(length)
        if model.frames != header.frames:
            self.accept(
                Issue(
                    f"pixel data for {model.frames} frames, and Number of Frames says {header.frames}",
                    self.located.offset,
                    self.path,
                    "PS3.3 C.7.6.6",
                )
            )
        elif length > header.stored_length + 1:
            self.accept(
                Issue(
                    f"{length - header.stored_length} bytes beyond the last frame",
                    self.located.offset,
                    self.path,
                    "PS3.5 8.1.1",
                )
            )
        return model

    def _encapsulated(self, header: ImageModel) -> ImageModel:
        header.check_limits(self.limits)
        located, ds = self.located, self.dataset
        assert located.fragments is not None
        if self.is_video:
            count = len(located.fragments)
            self.table = FrameTable(located.fragments, np.array([0, count], np.int64), "one stream")
            return header
        extended = None
        if "ExtendedOffsetTable" in ds and "ExtendedOffsetTableLengths" in ds:
            extended = _table(ds, "ExtendedOffsetTable"), _table(ds, "ExtendedOffsetTableLengths")
        stated = bool(ds.get("NumberOfFrames"))
        self.table = frame_table(
            located.fragments,
            located.source,
            header.frames,
            self.accept,
            codec=self.syntax.codec,
            extended=extended,
            stated=stated,
        )
        return header.but(frames=max(header.frames, len(self.table)))

    @property
    def is_video(self) -> bool:
        return self.syntax.codec in VIDEO

    def new_reader(self) -> Reader:
        return Reader(self.located.source, self.mapped)

    def accept(self, issue: Issue) -> None:
        with self._lock:
            if issue not in self.issues:
                self.policy.accept(issue, self.issues, error=PixelError)

    def reporter(self, i: int) -> Callable[[str, str], None]:
        def report(message: str, clause: str) -> None:
            self.accept(Issue(f"frame {i}: {message}", self.offset(i), self.path, clause))

        return report

    # -- where frames lie -------------------------------------------------------------------------------------------

    def offset(self, i: int) -> int | None:
        """Of the first byte of frame ``i``, as far as there is one."""
        if self.table is None:
            return self.located.offset + i * self.header.frame_bits // 8
        return self.table.offset(i) if i < len(self.table) else None

    @property
    def complete(self) -> int:
        """How many frames are there, from the first on."""
        if self.table is None:
            return min(self.header.frames, self.located.length * 8 // self.header.frame_bits)
        return len(self.table)

    def missing(self, i: int) -> PixelError:
        where = self.located
        if self.table is None:
            need = self.header.stored_length
            what = f"{where.length} bytes of pixel data where {self.header.frames} frames need {need}"
        else:
            what = f"{len(where.fragments or ())} fragments have {len(self.table)} of {self.header.frames} frames"
        return PixelError(
            f"frame {i} is missing: {what}",
            offset=where.offset + where.length,
            path=self.path,
            clause="PS3.3 C.7.6.3",
            hint="the object is cut short, or its Image Pixel attributes or its transfer syntax are wrong",
        )

    def native(self, start: int, stop: int, reader: Reader | Scratch) -> tuple[memoryview, int]:
        """The bytes (or words) that hold these bits of native pixel data, and the number of bits in them before."""
        unit = 16 if self.words else 8
        first, last = start // unit * unit // 8, -(-stop // unit) * unit // 8
        if last > self.located.length:
            i = start // self.header.frame_bits
            if stop > self.located.length * 8:
                raise self.missing(i)
            raise PixelError(  # the padding byte of an odd length is missing, and the last pixel stands behind it
                f"frame {i}: {self.located.length} bytes are no whole number of 16-bit words",
                offset=self.offset(i),
                path=self.path,
                clause="PS3.5 6.2",
            )
        return reader.view(self.located.offset + first, last - first), start - first * 8

    def native_frame(self, i: int, reader: Reader | Scratch) -> tuple[memoryview, int]:
        """`native` of one frame."""
        bits = self.header.frame_bits
        return self.native(i * bits, (i + 1) * bits, reader)

    def encoded(self, i: int, reader: Reader | Scratch) -> Buffer:
        """The bytes of frame ``i``, in the order of the file; where native frames share a word, both of its bytes."""
        if self.table is None:
            view, bit = self.native_frame(i, reader)
            if not self.header.frame_bits % 8 and (not bit % 8 or self.words):
                return view if self.words else view[bit // 8 :]
            bits = np.unpackbits(np.frombuffer(view, np.uint8), bitorder="little")[bit:][: self.header.frame_bits]
            return np.packbits(bits, bitorder="little").tobytes()
        if self.is_video:
            raise PixelError(
                f"{self.syntax} has no frames that can be told apart without decoding: {self.row.reason}",
                offset=self.located.offset,
                path=self.path,
                clause="PS3.5 8.2",
            )
        if i >= len(self.table):
            raise self.missing(i)
        return reader.join(self.table.spans(i))
