"""JPEG 2000 and High-Throughput JPEG 2000, reversible and not (PS3.5 8.2.4, 8.2.14, A.4.4), through imagecodecs.

RGB is encoded with the transform across components that each of them has (YBR_RCT, YBR_ICT) and decoded to RGB; other
colours are encoded as they are. Options of the syntaxes that may lose: ``reversible=True`` loses nothing; else
``error`` with JPEG 2000, the root mean square that pixels may be off (0.01 to 10,000, 1), and ``step`` with HTJ2K, by
which the finest detail is quantized (0.01 to 10,000, 1), both in stored values. JPEG 2000 takes 22 bits, of colours 16;
lossless HTJ2K 32, lossy 16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log10
from typing import Any

import numpy as np

from dicomcore.errors import PixelError
from dicomcore.pixels.code_stream import agreed, check_end, check_frame, read_jpeg2000
from dicomcore.pixels.codec import Array, Buffer, Codec, Report
from dicomcore.pixels.codecs.native import check_options
from dicomcore.pixels.codecs.shared import COLOUR, GREY, MODULE, check_holds, decode_into, number, precision
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.stream_cost import check_jpeg2000, check_openjph

__all__ = ["HTJ2K", "HTJ2K_LOSSLESS", "HTJ2K_LOSSLESS_RPCL", "JPEG2000", "JPEG2000_LOSSLESS"]

CLAUSE = "PS3.5 8.2.4"
DEEPEST = 24  # bits of a sample that OpenJPEG decodes
# Bits of a sample that come out of OpenJPEG as they went in, whatever the image: one more, and sharp edges do not.
DEEPEST_GREY, DEEPEST_COLOUR = 22, 16
TRANSFORMED = frozenset({"YBR_RCT", "YBR_ICT"})


def _inspect(data: Buffer, model: ImageModel, report: Report) -> ImageModel:
    header = read_jpeg2000(data, report)
    if header.is_signed != (model.kind == "i"):
        stream, attribute = ("signed", 0) if header.is_signed else ("unsigned", 1)
        report(f"the code stream's samples are {stream}, Pixel Representation is {attribute}", CLAUSE)
    return agreed(header, model, report, CLAUSE)


def _decode(data: Buffer, model: ImageModel, out: Array, report: Report) -> str:
    import imagecodecs

    header = read_jpeg2000(data, report)
    check_frame(header, model, CLAUSE)
    check_jpeg2000(data)
    check_end(data, report, CLAUSE)

    def decoded(array: Array | None) -> Array:
        # OpenJPEG decodes HTJ2K, too: half as fast as OpenJPH, but that lets values over the range wrap around, and
        # imagecodecs loses the errors it tells. Only it has more bits.
        if header.bits > DEEPEST:
            return _decode_deep(
                data, np.empty(out.shape, f"{'i' if header.is_signed else 'u'}4") if array is None else array
            )
        return np.asarray(imagecodecs.jpeg2k_decode(data, planar=False, numthreads=1, out=array))

    decode_into(out, header.bits, header.is_signed, decoded)
    if out.dtype.kind == "i" and not header.is_signed and header.bits < model.bits_allocated:
        shift = out.dtype.type(model.bits_allocated - header.bits)  # the stream's highest bit is the sign
        np.left_shift(out, shift, out=out)
        np.right_shift(out, shift, out=out)
    if model.photometric in TRANSFORMED or header.colour == "RGB":
        if header.colour != "RGB":
            report(f"the code stream has no colour transform, the attributes say {model.photometric}", CLAUSE)
        return "RGB"
    return "YBR_FULL" if model.subsampled else model.photometric


def _decode_deep(data: Buffer, out: Array) -> Array:
    """By OpenJPH, line by line. Its errors are lost, so the last line tells whether it was reached."""
    import imagecodecs

    check_openjph(data)
    last = out[-1, ..., -1:] if out.ndim == 3 else out[-1]
    for mark in (0x55555555, 0x2AAAAAAA):
        last[...] = mark
        imagecodecs.htj2k_decode(data, planar=False, out=out)
        if np.any(last != mark):
            return out
    raise PixelError("the HTJ2K code stream is damaged", clause="PS3.5 8.2.14")


# -- encoding ----------------------------------------------------------------------------------------------------------


def _lossless(options: Mapping[str, Any]) -> bool:
    return bool(options.get("reversible", False))


def _target(name: str, deepest: int, quality: str) -> Callable[[ImageModel, Mapping[str, Any]], ImageModel]:
    """``quality``: the option of the coding that loses."""

    def target(model: ImageModel, options: Mapping[str, Any]) -> ImageModel:
        check_options(name, options, ("reversible", quality) if quality else ())
        lossy = bool(quality) and not _lossless(options)
        if lossy:
            number(name, options, quality, 1, 0.01, 10_000)
        check_holds(
            name,
            model,
            CLAUSE,
            allocated=(8, 16) if lossy and deepest > DEEPEST else (8, 16, 32),
            stored=range(1, (deepest if model.samples == 1 or deepest > DEEPEST else DEEPEST_COLOUR) + 1),
            photometric=COLOUR | (GREY - {"PALETTE COLOR"} if lossy else GREY),
            signed=True,
        )
        photometric = "YBR_FULL" if model.subsampled else model.photometric
        if photometric == "RGB":
            photometric = "YBR_ICT" if lossy else "YBR_RCT"
        # Where something is lost, values may fill what the stream has room for; a high-throughput one has whole bytes.
        room = model.bits_allocated if deepest > DEEPEST else precision(model)
        stored = room if lossy else model.bits_stored
        return model.but(planar=False, photometric=photometric, bits_stored=stored, high_bit=stored - 1)

    return target


def _encode(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any], lossy: bool) -> bytes:
    import imagecodecs

    samples = np.ascontiguousarray(frame)
    transforms = target.photometric in TRANSFORMED

    def coded(bits: int, resolutions: int | None = None) -> bytes:
        made = imagecodecs.jpeg2k_encode(
            samples,
            20 * log10(((1 << bits) - 1) / options.get("error", 1)) if lossy else None,
            codecformat="j2k",
            planar=False,
            reversible=not lossy,
            mct=transforms,
            bitspersample=bits,
            resolutions=resolutions,
            numthreads=1,
        )
        return bytes(made)

    bits = precision(target)
    try:
        made = coded(bits)
    except imagecodecs.Jpeg2kError:  # OpenJPEG has too little room for what noise of one or two bits becomes
        if lossy or target.bits_allocated > 8:
            raise
        bits = 8
        made = coded(bits)
    # Differences of colours take a bit more, for which OpenJPEG makes no room behind its wavelets.
    if transforms and not lossy and _is_gaudy(samples, bits):
        found = imagecodecs.jpeg2k_decode(made, planar=False, numthreads=1)
        if not np.array_equal(found, samples):
            made = coded(bits, 1)
    return made


def _is_gaudy(samples: Array, bits: int) -> bool:
    """Whether the colours of a pixel lie apart by more than half of the range."""
    red, green, blue = (samples[..., i].astype(np.int32) for i in range(3))
    return max(int(np.abs(red - green).max()), int(np.abs(blue - green).max())) >= 1 << (bits - 1)


def _encode_ht(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any], lossy: bool) -> bytes:
    import imagecodecs

    made = imagecodecs.htj2k_encode(
        np.ascontiguousarray(frame),
        options.get("step", 1) / (1 << target.bits_allocated) if lossy else None,
        rgb=target.photometric in TRANSFORMED,
        planar=False,
        reversible=not lossy,
        tlm=True,  # which the RPCL syntax demands, and which helps every reader
    )
    return bytes(made)


def _codec(name: str, high_throughput: bool, quality: str = "", span: tuple[float, float, float] = (0, 0, 0)) -> Codec:
    make = _encode_ht if high_throughput else _encode

    def loses(options: Mapping[str, Any]) -> bool:
        return bool(quality) and not _lossless(options)

    def encode(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
        return make(frame, source, target, options, loses(options))

    deepest = 32 if high_throughput else DEEPEST_GREY
    target = _target(name, deepest, quality)
    return Codec(name, _decode, encode, target, _inspect, loses, MODULE)


JPEG2000_LOSSLESS = _codec("JPEG 2000 lossless", False)
JPEG2000 = _codec("JPEG 2000", False, "error")
HTJ2K_LOSSLESS = _codec("HTJ2K lossless", True)
HTJ2K_LOSSLESS_RPCL = _codec("HTJ2K lossless, RPCL", True)
HTJ2K = _codec("HTJ2K", True, "step")
