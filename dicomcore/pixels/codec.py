"""Which transfer syntax is decoded and encoded by what: one table with a row for each of PS3.5 annex A and PS3.6.

A `Codec` is a value: functions over one frame. A `CodecTable` is immutable; `CodecTable.with_codec` answers a new one,
and installed packages add theirs under the entry-point group ``dicomcore.codecs`` (the entry's name is the UID), which
fill gaps and replace nothing. Codec modules are imported when the first frame asks for them.
What a row does not do it refuses by name: `PixelError` with the transfer syntax, the reason, and the extra to install.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Literal, cast

from numpy.typing import NDArray

from dicomcore.errors import PixelError
from dicomcore.pixels.image_model import ImageModel
from dicomcore.vocab.syntaxes import SYNTAXES, TransferSyntax, transfer_syntax

__all__ = ["CODECS", "Array", "Buffer", "Codec", "CodecRow", "CodecTable", "Report"]

Buffer = bytes | bytearray | memoryview
Array = NDArray[Any]
Report = Callable[[str, str], None]  # (message, clause): a mismatch that decoding survived
Loss = Literal["none", "lossless", "lossy", "either"]

GROUP = "dicomcore.codecs"
# Module of an optional extra -> the extra.
EXTRAS: Mapping[str, str] = MappingProxyType({"imagecodecs": "codecs"})


@dataclass(frozen=True, slots=True)
class Codec:
    """How frames of one coding become pixels and back.

    ``decode(data, model, out, report)`` answers the photometric interpretation of what ``out`` now holds. ``data`` is
    one encoded frame, its fragments joined. ``out`` is C-contiguous, of shape ``model.frame_shape`` and type
    ``model.dtype``, colour by pixel. PixelError carries no frame number: the caller adds it. The GIL is released.

    ``encode(frame, source, target, options)`` answers the encoded frame; ``frame`` is in the colours of ``source``, and
    ``target`` is what ``target(source, options)`` answered: the description after encoding, or PixelError when this
    coding cannot hold these pixels or has no such option.

    ``inspect(data, model, report)`` answers the description as the first frame's code stream itself tells it (PS3.5
    8.2); without it the attributes are believed. ``recode``: syntaxes whose streams become streams of this one without
    decoding, each with the function that does it. ``loses(options)``: whether encoding changes pixels (None: never).
    """

    name: str
    decode: Callable[[Buffer, ImageModel, Array, Report], str] | None = None
    encode: Callable[[Array, ImageModel, ImageModel, Mapping[str, Any]], bytes] | None = None
    target: Callable[[ImageModel, Mapping[str, Any]], ImageModel] | None = None
    inspect: Callable[[Buffer, ImageModel, Report], ImageModel] | None = None
    loses: Callable[[Mapping[str, Any]], bool] | None = None
    requires: str = ""  # the module of an optional extra
    view: bool = False  # frames may be views of the source
    recode: Mapping[str, Callable[[Buffer], bytes]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class CodecRow:
    """What is done with the pixels of one transfer syntax; ``reason`` says why, where an answer is no."""

    uid: str
    where: Codec | str | None  # or "module:NAME"
    can_decode: bool
    can_encode: bool
    lossy: Loss
    reason: str = ""

    @property
    def syntax(self) -> TransferSyntax:
        return transfer_syntax(self.uid)

    @property
    def codec(self) -> Codec | None:
        """The codec, imported now; None where there is none."""
        return _imported(self.where) if isinstance(self.where, str) else self.where

    def decoder(self, path: str = "") -> Codec:
        """The codec, able to decode here and now; PixelError with the syntax and the reason."""
        return self._ready(self.can_decode, "decoded", path)

    def encoder(self, path: str = "") -> Codec:
        """The codec, able to encode here and now; PixelError with the syntax and the reason."""
        return self._ready(self.can_encode, "encoded", path)

    def _ready(self, can: bool, done: str, path: str) -> Codec:
        reason = self.reason
        try:
            codec = self.codec if can else None
        except ImportError as error:
            codec, reason = None, str(error)
        if codec is None:
            raise PixelError(
                f"frames in {self.syntax} ({self.uid}) cannot be {done}: {reason}",
                path=path or None,
                clause="PS3.5 8.2",
            )
        if codec.requires and not _installed(codec.requires):
            extra = EXTRAS.get(codec.requires)
            raise PixelError(
                f"frames in {self.syntax} ({self.uid}) cannot be {done} without {codec.requires}",
                path=path or None,
                clause="PS3.5 8.2",
                hint=f"pip install 'dicomcore[{extra}]'" if extra else f"pip install {codec.requires}",
            )
        return codec


class CodecTable(Mapping[str, CodecRow]):
    """Transfer syntax UID -> `CodecRow`. Immutable."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Mapping[str, CodecRow]) -> None:
        self._rows = MappingProxyType(dict(rows))

    def __getitem__(self, uid: str) -> CodecRow:
        return self._rows[uid]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def with_codec(self, uid: str, codec: Codec) -> CodecTable:
        """A table in which ``codec`` decodes and encodes ``uid``, as far as it has the functions."""
        return CodecTable({**self._rows, uid: _row_of(uid, codec)})

    def row(self, uid: str) -> CodecRow:
        """The row of a syntax; where the table decodes nothing, one that an installed package offers."""
        row = self._rows.get(uid)
        if row is not None and row.can_decode:
            return row
        offered = _offered().get(uid)
        if offered is not None:
            return _row_of(uid, _imported(offered))
        return row or CodecRow(uid, None, False, False, "none", "it is no transfer syntax that this codec table knows")


def _row_of(uid: str, codec: Codec) -> CodecRow:
    can_decode, can_encode = codec.decode is not None or codec.view, codec.encode is not None
    missing = [name for name, can in (("decoder", can_decode), ("encoder", can_encode)) if not can]
    reason = f"{codec.name} has no {' and no '.join(missing)}" if missing else ""
    known = SYNTAXES.get(uid)
    return CodecRow(uid, codec, can_decode, can_encode, cast(Loss, known.pixel_loss) if known else "either", reason)


@cache
def _imported(where: str) -> Codec:
    module, _, name = where.partition(":")
    codec = getattr(import_module(module), name)
    if not isinstance(codec, Codec):
        raise PixelError(f"{where} is not a dicomcore.Codec", hint=f"see the entry points of the group {GROUP}")
    return codec


@cache
def _offered() -> Mapping[str, str]:
    """What installed packages offer: UID -> "module:NAME"."""
    return MappingProxyType({entry.name: entry.value for entry in entry_points(group=GROUP)})


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


_HERE = "dicomcore.pixels.codecs"
_J = "1.2.840.10008.1.2.4"
_VIDEO = (
    "it is a video stream, whose pictures depend on each other and do not map to fragments; extract the stream with "
    "frames(ds).stream() and hand it to a video player or library"
)
_JPIP = "the pixels are not in the object, which names a JPIP server that has them"
_PROCESS = "it is a JPEG process that the standard has retired and that no maintained library decodes"
_HIERARCHICAL = "it is hierarchical JPEG, which the standard has retired and which no maintained library decodes"
_MULTI = "it is JPEG 2000 Part 2 with transforms across components, which no maintained library decodes"
_FLOW = "its pixels are a live flow over the network, not in the object"
_MIME = "it wraps a whole object for mail, has been retired, and holds no pixels of its own"
_PAPYRUS = "it arranges images by private pointers in a way that the standard has never described"
_RECOMPRESSION = "it is made from a stream of JPEG Baseline, not from pixels: transcode an object in JPEG Baseline"
# Syntaxes that do both, by the codec that does it.
_BOTH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "native:NATIVE": ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"),
        "native:NATIVE_BIG_ENDIAN": ("1.2.840.10008.1.2.2",),
        "native:ENCAPSULATED": ("1.2.840.10008.1.2.1.98",),
        "deflated:DEFLATED_FRAME": ("1.2.840.10008.1.2.8.1",),
        "rle:RLE": ("1.2.840.10008.1.2.5",),
        "jpeg:JPEG_BASELINE": (f"{_J}.50",),
        "jpeg:JPEG_EXTENDED": (f"{_J}.51",),
        "jpeg:JPEG_LOSSLESS": (f"{_J}.57",),
        "jpeg:JPEG_LOSSLESS_SV1": (f"{_J}.70",),
        "jpegls:JPEG_LS": (f"{_J}.80",),
        "jpegls:JPEG_LS_NEAR": (f"{_J}.81",),
        "jpeg2000:JPEG2000_LOSSLESS": (f"{_J}.90",),
        "jpeg2000:JPEG2000": (f"{_J}.91",),
        "jpeg2000:HTJ2K_LOSSLESS": (f"{_J}.201",),
        "jpeg2000:HTJ2K_LOSSLESS_RPCL": (f"{_J}.202",),
        "jpeg2000:HTJ2K": (f"{_J}.203",),
        "jpegxl:JPEGXL_LOSSLESS": (f"{_J}.110",),
        "jpegxl:JPEGXL": (f"{_J}.112",),
    }
)
# Reason -> the syntaxes that do neither.
_NEITHER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        _PROCESS: tuple(f"{_J}.{n}" for n in (52, 53, 54, 55, 56, 58)),
        _HIERARCHICAL: tuple(f"{_J}.{n}" for n in range(59, 67)),
        _MULTI: (f"{_J}.92", f"{_J}.93"),
        _JPIP: tuple(f"{_J}.{n}" for n in (94, 95, 204, 205)),
        _VIDEO: (
            *(f"{_J}.{n}{kind}" for n in range(100, 107) for kind in ("", ".1")),
            f"{_J}.107",
            f"{_J}.108",
        ),
        _FLOW: tuple(f"1.2.840.10008.1.2.7.{n}" for n in (1, 2, 3)),
        _MIME: ("1.2.840.10008.1.2.6.1",),
        "it is XML, not PS3.5 encoding, and has been retired": ("1.2.840.10008.1.2.6.2",),
        _PAPYRUS: ("1.2.840.10008.1.20",),
    }
)


def _built_in() -> CodecTable:
    rows = {uid: (f"{_HERE}.{where}", True, True, "") for where, uids in _BOTH.items() for uid in uids}
    rows |= {uid: ("", False, False, reason) for reason, uids in _NEITHER.items() for uid in uids}
    rows[f"{_J}.111"] = (f"{_HERE}.jpegxl:JPEGXL_RECOMPRESSION", True, False, _RECOMPRESSION)
    return CodecTable(
        {
            uid: CodecRow(uid, where or None, can_decode, can_encode, cast(Loss, SYNTAXES[uid].pixel_loss), reason)
            for uid, (where, can_decode, can_encode, reason) in sorted(rows.items())
        }
    )


CODECS: CodecTable = _built_in()
