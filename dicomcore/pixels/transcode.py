"""The same pixels in another transfer syntax, with every attribute changed that must change (PS3.5 8.2, PS3.3 C.7.6).

`transcode` answers a new Dataset; `transcode_file` goes from file to file, and holds a few frames at a time: what is
encoded waits in a temporary file without a name. Streams that can become streams of the other syntax without decoding
(JPEG Baseline and JPEG XL) do. Encoding that loses makes a derived instance: a new SOP Instance UID, Image Type
DERIVED, Lossy Image Compression with its ratio and method, and what it was made from.
Refuses (`PixelError`): syntaxes without codec, pixels that the wanted one cannot hold, options that it does not have.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dicomcore.data.chunks import SourceSlice
from dicomcore.data.dataset import Dataset
from dicomcore.data.element import Element
from dicomcore.data.files import dcmread, save_as
from dicomcore.encoding.policy import Policy
from dicomcore.errors import EncodingError, Issue, PixelError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.pixels.codec import CODECS, Array, Buffer, CodecTable
from dicomcore.pixels.colour import convert
from dicomcore.pixels.encapsulation import END, OffsetTable, extended_table, fragment, value_start
from dicomcore.pixels.frames import FrameSource, frames
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.native import encode_frame
from dicomcore.pixels.parallel import run, usable_cores
from dicomcore.vocab.syntaxes import TransferSyntax, transfer_syntax
from dicomcore.vocab.uids import new_uid

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Transcoded", "transcode", "transcode_file"]

PIXEL_DATA = 0x7FE00010
# Where YBR_FULL was made by the coding: to anything else, such frames go as RGB.
DCT = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 111))
_BATCH = 32 << 20  # bytes of pixels that are encoded before they are written, and at least one frame a worker

Colour = Literal["rgb", "stored"]


@dataclass(frozen=True, slots=True)
class Transcoded:
    """What `transcode_file` did. Lengths are bytes of pixel data."""

    path: str
    transfer_syntax: TransferSyntax
    sop_instance_uid: str
    frame_count: int
    length_before: int
    length_after: int
    issues: tuple[Issue, ...]


def transcode(
    ds: Dataset,
    transfer_syntax_uid: str,
    *,
    codecs: CodecTable = CODECS,
    workers: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    policy: Policy | None = None,
    colour: Colour | None = None,
    offset_table: OffsetTable | None = None,
    **options: Any,
) -> Dataset:
    """A new Dataset of the same image in another transfer syntax; ``ds`` stays as it is. Encoded frames are in memory.

    ``options`` are the codec's: ``quality``, ``near``, ``error`` and so on (see `dicomcore.pixels.codecs`). ``colour``
    "stored" keeps YBR_FULL that JPEG decodes to, "rgb" makes RGB of any YBR_FULL; without it JPEG becomes RGB and all
    else stays. ``workers``: threads, as many as usable cores without it. ``ds`` without pixels changes its syntax only.
    """
    work = _plan(ds, transfer_syntax_uid, codecs, limits, policy, colour, options)
    if work is None:
        return _renamed(ds, transfer_syntax_uid)
    pieces = list(work.encoded(workers, ds.is_big_endian))
    if not work.syntax.encapsulated:
        return work.described(b"".join(pieces), sum(map(len, pieces)), None)
    lengths = [len(piece) for piece in pieces]
    start, table = value_start(lengths, offset_table)
    value = b"".join([start, *(part for piece in pieces for part in fragment(piece)), END])
    return work.described(value, sum(lengths), lengths if table == "extended" else None)


def transcode_file(
    source: str | PathLike[str],
    target: str | PathLike[str],
    transfer_syntax_uid: str,
    *,
    codecs: CodecTable = CODECS,
    workers: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    policy: Policy | None = None,
    colour: Colour | None = None,
    offset_table: OffsetTable | None = None,
    replace: bool = True,
    **options: Any,
) -> Transcoded:
    """``source`` in another transfer syntax as the file ``target``, which may be the same; complete or not at all."""
    ds = dcmread(source, policy=policy, limits=limits)
    work = _plan(ds, transfer_syntax_uid, codecs, limits, policy, colour, options)
    if work is None:
        made = _renamed(ds, transfer_syntax_uid)
        made.save_as(target, replace=replace)
        return Transcoded(
            os.fspath(target), transfer_syntax(transfer_syntax_uid), _uid(made), 0, 0, 0, tuple(ds.issues)
        )
    with _spool(os.path.dirname(os.path.abspath(target)), limits) as spool:
        lengths: list[int] = []
        big_endian = work.syntax.big_endian
        for piece in work.encoded(workers, big_endian):
            lengths.append(len(piece))
            spool.write(fragment(piece) if work.syntax.encapsulated else (piece,))
        table = None
        if work.syntax.encapsulated:
            start, table = value_start(lengths, offset_table)
            spool.finish(start, END)
        else:
            spool.finish(b"", b"\0" * (spool.size % 2))
        value = SourceSlice(spool, 0, spool.size)
        made = work.described(value, sum(lengths), lengths if table == "extended" else None)
        save_as(made, target, replace=replace)
    return Transcoded(
        os.fspath(target),
        work.syntax,
        _uid(made),
        len(work.source),
        work.length_before,
        sum(lengths),
        (*ds.issues, *work.source.issues),
    )


def _uid(ds: Dataset) -> str:
    return str(ds.get("SOPInstanceUID") or "")


def _renamed(ds: Dataset, uid: str) -> Dataset:
    """A copy that is written in another syntax; its pixels, where it has any, are native in both."""
    made = ds.copy()
    made.file_meta = ds.file_meta.copy()
    made.file_meta.TransferSyntaxUID = transfer_syntax(uid).uid
    return made


# -- what is to be done ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Work:
    """The frames of one object on their way into another syntax."""

    source: FrameSource
    syntax: TransferSyntax
    model: ImageModel  # what is decoded
    target: ImageModel  # what is encoded
    length_before: int
    encode: Callable[[Array], bytes] | None = None  # a frame in the colours of ``model``; None where native is wanted
    recode: Callable[[Buffer], bytes] | None = None  # an encoded frame, without decoding it
    loses: bool = False
    first: Array | None = None  # the first frame, which was decoded to know what it is

    def encoded(self, workers: int | None, big_endian: bool) -> Iterator[bytes]:
        """The frames in order, each encoded; native ones of single bits, which share bytes, eight at a time."""
        count, target = len(self.source), self.target
        step = 1 if self.syntax.encapsulated or target.frame_bits % 8 == 0 else 8
        pieces = -(-count // step)
        length = max(self.model.frame_values * self.model.dtype.itemsize * step, 1)
        batch = max(_BATCH // length, workers or usable_cores())
        for begin in range(0, pieces, batch):
            done: list[bytes] = [b""] * min(batch, pieces - begin)

            def start(begin: int = begin, done: list[bytes] = done) -> Callable[[int, int], None]:
                scratch = np.empty(self.model.frame_shape, self.model.dtype)

                def some(first: int, stop: int) -> None:
                    for place in range(first, stop):
                        i = (begin + place) * step
                        done[place] = self._piece(range(i, min(i + step, count)), big_endian, scratch)

                return some

            run(len(done), start, workers=workers)
            yield from done

    def _piece(self, numbers: range, big_endian: bool, scratch: Array) -> bytes:
        if self.recode is not None:
            return self.recode(self.source.encoded(numbers[0]))
        if self.encode is not None:
            return self.encode(self._frame(numbers[0], scratch))
        target = self.target
        words = big_endian and target.bits_allocated > 16
        out = bytearray((target.frame_bits * len(numbers) + 7) // 8)
        for place, i in enumerate(numbers):
            pixels = convert(self._frame(i, scratch), self.model, target.photometric)
            encode_frame(pixels, target, out, bit=place * target.frame_bits, big_endian=big_endian, words=words)
        return bytes(out)

    def _frame(self, i: int, scratch: Array) -> Array:
        """Frame ``i``, in the worker's own array."""
        return self.first if i == 0 and self.first is not None else self.source.copy(i, scratch)

    def described(self, value: bytes | SourceSlice, length: int, lengths: list[int] | None) -> Dataset:
        """The new data set. ``lengths``: of the frames, where they are to be told in an Extended Offset Table."""
        ds, target = self.source.dataset, self.target
        made = _renamed(ds, self.syntax.uid)
        for keyword, number in _description(target, len(self.source), "NumberOfFrames" in ds).items():
            if number is None:
                made.pop(keyword, None)
            elif made.get(keyword) != number:
                setattr(made, keyword, number)
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            made.pop(keyword, None)
        if lengths is not None:
            made.ExtendedOffsetTable, made.ExtendedOffsetTableLengths = extended_table(lengths)
        self._tell_loss(made, length)
        vr = "OB" if self.syntax.encapsulated or target.bits_allocated <= 8 else "OW"
        made._edits[PIXEL_DATA] = Element._of(made, PIXEL_DATA, vr, value)  # also one that is still to be read
        return made

    def _tell_loss(self, made: Dataset, length: int) -> None:
        """PS3.3 C.7.6.1.1.5: each lossy step that the pixels went through, with its ratio and its method."""
        native = self.model.frame_length * len(self.source)
        before = self.source.transfer_syntax
        if before.pixel_loss == "lossy" and str(made.get("LossyImageCompression") or "") != "01":
            _add_loss(made, native / max(self.length_before, 1), before.lossy_method)
        if not self.loses:
            return
        _add_loss(made, native / max(length, 1), self.syntax.lossy_method)
        for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue"):
            made.pop(keyword, None)
        kinds = made.get("ImageType") or ["ORIGINAL", "PRIMARY"]
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        made.ImageType = ["DERIVED", *kinds[1:]]
        made.DerivationDescription = f"Lossy compression with {self.syntax}"
        made.DerivationCodeSequence = [_code("113040", "DCM", "Lossy Compression")]
        if "SOPInstanceUID" in made:
            origin = Dataset()
            origin.ReferencedSOPClassUID = made.get("SOPClassUID")
            origin.ReferencedSOPInstanceUID = made.SOPInstanceUID
            origin.PurposeOfReferenceCodeSequence = [_code("121320", "DCM", "Uncompressed predecessor")]
            made.SourceImageSequence = [origin]
        made.SOPInstanceUID = new_uid()


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _add_loss(made: Dataset, ratio: float, method: str) -> None:
    made.LossyImageCompression = "01"
    for keyword, value in (("LossyImageCompressionRatio", f"{ratio:.6g}"), ("LossyImageCompressionMethod", method)):
        known = made.get(keyword)
        values = [] if known is None or known == "" else [known] if isinstance(known, str | float) else list(known)
        if value:
            setattr(made, keyword, [*values, value] if values else value)


def _description(model: ImageModel, count: int, counted: bool) -> Mapping[str, object]:
    """The Image Pixel attributes (PS3.3 C.7.6.3) that the coding decides; None: it is not to be there."""
    return {
        "Rows": model.rows,
        "Columns": model.columns,
        "SamplesPerPixel": model.samples,
        "PhotometricInterpretation": model.photometric,
        "PlanarConfiguration": int(model.planar) if model.samples > 1 else None,
        "BitsAllocated": model.bits_allocated,
        "BitsStored": model.bits_stored,
        "HighBit": model.bits_stored - 1,
        "NumberOfFrames": count if counted or count > 1 else None,
    }


def _plan(
    ds: Dataset,
    uid: str,
    codecs: CodecTable,
    limits: Limits,
    policy: Policy | None,
    colour: Colour | None,
    options: Mapping[str, Any],
) -> _Work | None:
    """What is to be done; None when the pixels, if there are any, stay as they are."""
    syntax, before = transfer_syntax(uid), transfer_syntax(ds.transfer_syntax)
    row = codecs.row(syntax.uid)
    if not any(keyword in ds for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        if not row.can_encode and not syntax.known:
            row.encoder()  # says why
        if syntax.encapsulated:
            raise PixelError(f"there are no pixels to be encoded in {syntax}", clause="PS3.5 A.4")
        return None
    if syntax.uid == before.uid and not options and colour is None:
        return None
    if not (syntax.encapsulated or before.encapsulated) and row.can_encode:
        _no_options(syntax, options)
        return None
    source = frames(ds, codecs=codecs, colour=colour or ("rgb" if before.uid in DCT else "stored"), limits=limits,
                    policy=policy)  # fmt: skip
    if not len(source):
        raise PixelError("there is no frame", path="(7FE0,0010)", clause="PS3.5 A.4")
    recode = _recoding(codecs, syntax.uid, before.uid)
    if recode is not None:
        _no_options(syntax, options)
        return _Work(source, syntax, source.model, source.model, _encoded_length(source), recode=recode)
    codec = row.encoder("(7FE0,0010)")
    code, describe = codec.encode, codec.target
    if code is None or describe is None:
        raise PixelError(f"{codec.name} does not tell how pixels are encoded", hint="a codec has encode and target")
    first = source.copy(0)
    model = source.model.but(photometric=source.photometric, planar=False)
    target = describe(model, options)
    return _Work(
        source,
        syntax,
        model,
        target,
        _encoded_length(source),
        encode=(lambda frame: code(frame, model, target, options)) if syntax.encapsulated else None,
        loses=codec.loses is not None and codec.loses(options),
        first=first,
    )


def _no_options(syntax: TransferSyntax, options: Mapping[str, Any]) -> None:
    if options:
        raise PixelError(f"{syntax} has no option {', '.join(options)}", hint="nothing is encoded anew")


def _recoding(codecs: CodecTable, uid: str, before: str) -> Callable[[Buffer], bytes] | None:
    row = codecs.row(uid)
    codec = row.codec if row.can_decode else None
    made = codec.recode.get(before) if codec is not None else None
    if made is not None:
        row.decoder()  # or says what to install
    return made


def _encoded_length(source: FrameSource) -> int:
    """Bytes of all frames as they are."""
    if source.table is None:
        return source.model.frame_length * len(source)
    return sum(length for i in range(len(source)) for _, length in source.table.spans(i))


# -- what waits to be written ------------------------------------------------------------------------------------------


class _Spool:
    """A `Source` that is written first: in memory up to ``limits.memory_object``, then in a file without a name."""

    def __init__(self, file: SpooledTemporaryFile[bytes]) -> None:
        self._file = file
        self._start = b""
        self.size = 0
        self.name = "the encoded frames"
        self.head = memoryview(b"")

    def write(self, parts: Iterable[bytes | memoryview]) -> None:
        for part in parts:
            self._file.write(part)
            self.size += len(part)

    def finish(self, start: bytes, end: bytes) -> None:
        """What goes before, and behind, what was written."""
        self.write((end,))
        self._start = start
        self.size += len(start)

    def view(self, offset: int, length: int) -> memoryview:
        made = self._start[offset : offset + length]
        if len(made) < length:
            self._file.seek(max(offset - len(self._start), 0))
            made += self._file.read(length - len(made))
        if len(made) != length:
            raise EncodingError(f"{length} bytes wanted of {self.name}", offset=offset)
        return memoryview(made)

    @contextmanager
    def session(self) -> Iterator[_Spool]:
        yield self

    def close(self) -> None:
        self._file.close()


@contextmanager
def _spool(folder: str, limits: Limits) -> Iterator[_Spool]:
    with SpooledTemporaryFile(max_size=limits.memory_object, dir=folder) as file:
        yield _Spool(file)
