"""The same pixels in another transfer syntax, with every attribute changed that must change (PS3.5 8.2, PS3.3 C.7.6).

`transcode` answers a new Dataset; `transcode_file` goes from file to file, and holds a few frames at a time: what is
encoded waits in a temporary file without a name. Streams that can become streams of the other syntax without decoding
(JPEG Baseline and JPEG XL) do. Encoding that loses makes a derived instance: a new SOP Instance UID, Image Type
DERIVED, Lossy Image Compression with its ratio and method, and what it was made from.
Between native syntaxes only the encoding of elements changes; pixels are not looked at.
Refuses (`PixelError`): syntaxes without codec, pixels that the wanted one cannot hold, options that it does not have,
objects in which frames are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from errno import EEXIST
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dicomcore.data.chunks import SourceSlice
from dicomcore.data.dataset import Dataset
from dicomcore.data.element import Element
from dicomcore.data.files import dcmread, save_as
from dicomcore.data.located import locate
from dicomcore.encoding.policy import Policy
from dicomcore.errors import DicomError, Issue, LimitExceeded, PixelError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.pixels.codec import CODECS, Array, Buffer, CodecRow, CodecTable
from dicomcore.pixels.colour import YBR, convert
from dicomcore.pixels.derived import add_loss, derive, describe, had_lost
from dicomcore.pixels.encapsulation import END, LONGEST, OffsetTable, extended_table, fragment, value_start
from dicomcore.pixels.frames import FrameSource, frames
from dicomcore.pixels.image_model import PIXEL_ELEMENTS, ImageModel
from dicomcore.pixels.native import encode_frame
from dicomcore.pixels.overlays import move_overlays
from dicomcore.pixels.parallel import run, usable_cores
from dicomcore.pixels.spool import spool
from dicomcore.vocab.syntaxes import NAMES, TransferSyntax, transfer_syntax

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Transcoded", "transcode", "transcode_file", "transcode_losslessly"]

PIXEL_DATA = 0x7FE00010
# Where YBR_FULL was made by the coding: to anything else, such frames go as RGB.
DCT = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 111))
# Options under which syntaxes that may lose do not.
FAITHFUL: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "1.2.840.10008.1.2.4.81": {"near": 0},
        "1.2.840.10008.1.2.4.91": {"reversible": True},
        "1.2.840.10008.1.2.4.112": {"distance": 0},
        "1.2.840.10008.1.2.4.203": {"reversible": True},
    }
)
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

    The syntax is named by its UID, keyword, name or short name, such as "rle" (see `dicomcore transcode --list`).
    ``options`` are the codec's: ``quality``, ``near``, ``error`` and so on (see `dicomcore.pixels.codecs`). ``colour``
    "stored" keeps YBR_FULL that JPEG decodes to, "rgb" makes RGB of any YBR_FULL; without it JPEG becomes RGB and all
    else stays. ``workers``: threads, as many as usable cores without it. ``ds`` without pixels changes its syntax only.
    """
    transfer_syntax_uid = NAMES.get(transfer_syntax_uid.casefold(), transfer_syntax_uid)
    work = _plan(ds, transfer_syntax_uid, codecs, limits, policy, colour, offset_table, options)
    if work is None:
        return _renamed(ds, transfer_syntax_uid)
    if not work.syntax.encapsulated and work.target.stored_length > limits.inflated_length:
        raise LimitExceeded(
            f"{work.target.stored_length} bytes of native pixels, over the limit of {limits.inflated_length}",
            path=work.target.path,
            clause="PS3.3 C.7.6.3",
            hint="transcode_file holds a few frames at a time; or raise Limits.inflated_length",
        )
    pieces = list(work.encoded(workers, ds.is_big_endian))
    if not work.syntax.encapsulated:
        return work.described(b"".join(pieces), sum(map(len, pieces)), None)
    lengths = [len(piece) for piece in pieces]
    start, table = value_start(lengths, offset_table)
    value = b"".join([start, *(part for piece in pieces for part in fragment(piece))])  # as reading a file gives it
    return work.described(value, sum(lengths), lengths if table == "extended" else None)


def transcode_losslessly(ds: Dataset, transfer_syntax_uid: str) -> Dataset:
    """`transcode` without loss: what is done by itself when a peer did not accept the syntax of ``ds``.

    PixelError for syntaxes that always lose: that has to be wanted.
    """
    syntax = transfer_syntax(transfer_syntax_uid)
    options = FAITHFUL.get(syntax.uid, {})
    if syntax.pixel_loss not in ("none", "lossless") and not options:
        raise PixelError(f"{syntax} loses something", clause="PS3.5 8.2", hint="transcode with the options you want")
    return transcode(ds, transfer_syntax_uid, **options)


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
    """``source`` in another transfer syntax as the file ``target``, which may be the same; complete or not at all.

    Arguments are those of `transcode`. Memory stays that of a few frames. ``replace=False``: FileExistsError when there
    is a ``target``.
    """
    path = os.fspath(target)
    if not replace and os.path.lexists(path):
        raise FileExistsError(EEXIST, "there is a file of this name", path)
    ds = dcmread(source, policy=policy, limits=limits)
    transfer_syntax_uid = NAMES.get(transfer_syntax_uid.casefold(), transfer_syntax_uid)
    work = _plan(ds, transfer_syntax_uid, codecs, limits, policy, colour, offset_table, options)
    if work is None:
        made = _renamed(ds, transfer_syntax_uid)
        count, length = _passed(ds)
        save_as(made, target, replace=replace)
        syntax = transfer_syntax(transfer_syntax_uid)
        return Transcoded(path, syntax, _uid(made), count, length, length, tuple(ds.issues))
    with spool(os.path.dirname(os.path.abspath(target)), limits) as waiting:
        lengths: list[int] = []
        big_endian = work.syntax.big_endian
        for piece in work.encoded(workers, big_endian):
            lengths.append(len(piece))
            waiting.write(fragment(piece) if work.syntax.encapsulated else (piece,))
        table = None
        if work.syntax.encapsulated:
            start, table = value_start(lengths, offset_table)
            waiting.finish(start, END)
        else:
            waiting.finish(b"", b"\0" * (waiting.size % 2))
        value = SourceSlice(waiting, 0, waiting.size)
        made = work.described(value, sum(lengths), lengths if table == "extended" else None)
        save_as(made, target, replace=replace)
    issues = (*ds.issues, *work.source.issues)
    return Transcoded(path, work.syntax, _uid(made), len(work.source), work.length_before, sum(lengths), issues)


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
        try:
            return self._encoded(numbers, big_endian, scratch)
        except PixelError as error:
            if not error.message.startswith("frame "):
                error.message = f"frame {numbers[0]}: {error.message}"
            raise
        except (DicomError, MemoryError, OSError):
            raise
        except Exception as error:  # whatever a codec's library raises
            message = f"frame {numbers[0]} cannot be encoded in {self.syntax}: {error or type(error).__name__}"
            raise PixelError(message, path=self.target.path, clause="PS3.5 8.2") from error

    def _encoded(self, numbers: range, big_endian: bool, scratch: Array) -> bytes:
        if self.recode is not None:
            return self.recode(self.source.encoded(numbers[0]))
        if self.encode is not None:
            return self.encode(self._frame(numbers[0], scratch))
        target = self.target
        words = big_endian and target.bits_allocated > 16
        out = bytearray((target.frame_bits * len(numbers) + 7) // 8)
        for place, i in enumerate(numbers):
            pixels = convert(self._frame(i, scratch), self.model, target.photometric)
            start, bit = divmod(place * target.frame_bits, 8)
            room = memoryview(out)[start : start + (bit + target.frame_bits + 7) // 8]
            encode_frame(pixels, target, room, bit=bit, big_endian=big_endian, words=words)
        return bytes(out)

    def _frame(self, i: int, scratch: Array) -> Array:
        """Frame ``i``, in the worker's own array."""
        return self.first if i == 0 and self.first is not None else self.source.copy(i, scratch)

    def described(self, value: bytes | SourceSlice, length: int, lengths: list[int] | None) -> Dataset:
        """The new data set. ``lengths``: of the frames, where they are to be told in an Extended Offset Table."""
        target = self.target
        made = _renamed(self.source.dataset, self.syntax.uid)
        describe(made, target, len(self.source))
        move_overlays(self.source.dataset, made, limits=self.source._pixels.limits)  # out of bits that are cleared
        if lengths is not None:
            tables = extended_table(lengths, big_endian=made.is_big_endian)
            made.ExtendedOffsetTable, made.ExtendedOffsetTableLengths = tables
        native = self.model.but(frames=len(self.source)).stored_length
        if had_lost(self.source) and str(made.get("LossyImageCompression") or "") != "01":
            add_loss(made, native / max(self.length_before, 1), self.source.transfer_syntax.lossy_method)
        if self.loses:
            derive(made, self.syntax, native / max(length, 1))
        _plain_icons(made, self.source)
        vr = "OB" if self.syntax.encapsulated or target.bits_allocated <= 8 else "OW"
        made._edits[PIXEL_DATA] = Element._of(made, PIXEL_DATA, vr, value)  # also one that is still to be read
        return made


def _plain_icons(made: Dataset, source: FrameSource) -> None:
    """Icons that are encoded in the syntax that was become native, which any syntax allows (PS3.5 A.4)."""
    icons = made.get("IconImageSequence") or ()
    plain = [_plain_icon(icon, source) for icon in icons]
    if any(one is not icon for one, icon in zip(plain, icons, strict=True)):
        made.pop("IconImageSequence")
        if kept := [one for one in plain if one is not None]:
            made.IconImageSequence = kept


def _plain_icon(icon: Dataset, source: FrameSource) -> Dataset | None:
    """``icon`` itself when it is native; None when it cannot be decoded: nothing depends on it."""
    where = locate(icon, PIXEL_DATA, [], encapsulated=True)
    if where is None or where.fragments is None:
        return icon
    alone = icon.copy()
    alone.file_meta = Dataset()
    alone.file_meta.TransferSyntaxUID = source.transfer_syntax.uid
    try:
        decoded = frames(alone, mapped=False)
        pixels = decoded.copy(0)
    except (DicomError, IndexError) as error:
        source.issues.append(Issue(f"an icon cannot be decoded and is left out: {error}", None, "(0088,0200)"))
        return None
    made = icon.copy()
    model = decoded.model.but(photometric=decoded.photometric, planar=False)
    describe(made, model, 1)
    made.add_new(PIXEL_DATA, "OB" if model.bits_allocated <= 8 else "OW", encode_frame(pixels, model))
    return made


def _plan(
    ds: Dataset,
    uid: str,
    codecs: CodecTable,
    limits: Limits,
    policy: Policy | None,
    colour: Colour | None,
    offset_table: OffsetTable | None,
    options: Mapping[str, Any],
) -> _Work | None:
    """What is to be done; None when the pixels, if there are any, stay as they are."""
    syntax, before = transfer_syntax(uid), transfer_syntax(ds.transfer_syntax)
    photometric = str(ds.get("PhotometricInterpretation"))
    recolours = colour == "rgb" and photometric in YBR and before.pixel_loss != "lossy"
    is_same = syntax.uid == before.uid and not options and not recolours
    if is_same and not (offset_table and syntax.encapsulated):
        return None
    row = codecs.row(syntax.uid)
    if not any(keyword in ds for keyword in PIXEL_ELEMENTS):
        _check_pixelless(row, codecs.row(before.uid))
        return None
    if not (syntax.encapsulated or before.encapsulated or recolours) and row.can_encode:
        _no_options(syntax, options)
        return None
    recode = bytes if is_same else _recoding(codecs, syntax.uid, before.uid)
    codec = row.encoder("(7FE0,0010)") if recode is None else None
    wanted = colour or ("rgb" if before.uid in DCT else "stored")
    source = frames(ds, codecs=codecs, colour=wanted, limits=limits, policy=policy, mapped=False)
    if source.complete < len(source):
        source.encoded(source.complete)  # says what is missing
    length = _encoded_length(source)
    if codec is None:
        _no_options(syntax, options)
        return _Work(source, syntax, source.model, source.model, length, recode=recode)
    code, describe_target = codec.encode, codec.target
    if code is None or describe_target is None:
        raise PixelError(f"{codec.name} does not tell how pixels are encoded", hint="a codec has encode and target")
    first = source.copy(0)
    model = source.model.but(photometric=source.photometric, planar=False)
    target = describe_target(model, options)
    if not syntax.encapsulated and target.stored_length > LONGEST:
        raise PixelError(
            f"{target.stored_length} bytes of pixels are more than an element can have",
            path=target.path,
            clause="PS3.5 7.1",
            hint="they have to be encapsulated",
        )
    return _Work(
        source,
        syntax,
        model,
        target,
        length,
        encode=(lambda frame: code(frame, model, target, options)) if syntax.encapsulated else None,
        loses=codec.loses is not None and codec.loses(options),
        first=first,
    )


def _check_pixelless(wanted: CodecRow, given: CodecRow) -> None:
    """PixelError unless a data set without pixels, which may be elsewhere, can be in this syntax."""
    if given.syntax.codec == "jpip":
        given.decoder()  # says where the pixels are
    if not wanted.can_encode:
        wanted.encoder()  # says why
    if wanted.syntax.encapsulated:
        raise PixelError(f"there are no pixels to be encoded in {wanted.syntax}", clause="PS3.5 A.4")


def _no_options(syntax: TransferSyntax, options: Mapping[str, Any]) -> None:
    if options:
        raise PixelError(f"{syntax} has no option {', '.join(options)}", hint="nothing is encoded anew")


def _recoding(codecs: CodecTable, uid: str, before: str) -> Callable[[Buffer], bytes] | None:
    """What makes frames of the one syntax from those of the other without decoding, if anything does."""
    row = codecs.row(uid)
    codec = row.codec if row.can_decode else None
    made = codec.recode.get(before) if codec is not None else None
    if made is not None:
        row.decoder()  # or says what to install
    return made


def _encoded_length(source: FrameSource) -> int:
    """Bytes of all frames that are there, as they are."""
    if source.table is None:
        return source.model.but(frames=max(source.complete, 1)).stored_length
    return sum(length for i in range(len(source.table)) for _, length in source.table.spans(i))


def _passed(ds: Dataset) -> tuple[int, int]:
    """Frames, and bytes of pixels, that are passed on as they are; none where the attributes do not describe them."""
    try:
        source = frames(ds, mapped=False)
    except DicomError:
        return 0, 0
    return source.complete, _encoded_length(source)
