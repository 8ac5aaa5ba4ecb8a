"""JPEG XL: lossless, lossy, and JPEG Baseline streams packed tighter (PS3.5 8.2.15, A.4.12), through imagecodecs.

Options: ``effort`` (1 to 9, 7), and of the lossy one ``distance`` (0 to 25, 1), where 1 is the edge of what an eye sees
and 0 loses nothing. Lossy RGB is coded as XYB and comes out as RGB. A recompressed stream is turned back into JPEG,
byte for byte, and decoded as that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from dicomcore.errors import PixelError
from dicomcore.pixels.code_stream import agreed, check_frame
from dicomcore.pixels.codec import Array, Buffer, Codec, Report
from dicomcore.pixels.codecs import jpeg
from dicomcore.pixels.codecs.native import check_options
from dicomcore.pixels.codecs.shared import COLOUR, GREY, MODULE, check_holds, number, precision, stored_bits
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.jpegxl_header import read_jpegxl

__all__ = ["JPEGXL", "JPEGXL_LOSSLESS", "JPEGXL_RECOMPRESSION"]

CLAUSE = "PS3.5 8.2.15"
BASELINE = "1.2.840.10008.1.2.4.50"


def _inspect(data: Buffer, model: ImageModel, report: Report) -> ImageModel:
    return agreed(read_jpegxl(data), model, report, CLAUSE)


def _decode(data: Buffer, model: ImageModel, out: Array, report: Report) -> str:
    import imagecodecs

    check_frame(read_jpegxl(data), model, CLAUSE)
    target = out.view(f"u{out.dtype.itemsize}") if out.dtype.kind == "i" else out
    try:
        imagecodecs.jpegxl_decode(data, numthreads=1, out=target)
    except ValueError as error:  # the stream has another shape or type
        found = np.asarray(imagecodecs.jpegxl_decode(data, numthreads=1))
        if found.shape != out.shape or found.dtype.kind != "u" or found.dtype.itemsize > out.dtype.itemsize:
            raise PixelError(
                f"the code stream holds {found.shape} of {found.dtype}, where a frame has {out.shape} of {out.dtype}",
                clause=CLAUSE,
            ) from error
        out[...] = found
    if model.photometric == "XYB":
        return "RGB"
    return "YBR_FULL" if model.subsampled else model.photometric


def _loses(options: Mapping[str, Any]) -> bool:
    return number(JPEGXL.name, options, "distance", 1, 0, 25) > 0


def _target(name: str, lossy: bool) -> Callable[[ImageModel, Mapping[str, Any]], ImageModel]:
    def target(model: ImageModel, options: Mapping[str, Any]) -> ImageModel:
        check_options(name, options, ("effort", "distance") if lossy else ("effort",))
        number(name, options, "effort", 7, 1, 9)
        changed = lossy and _loses(options)
        check_holds(
            name,
            model,
            CLAUSE,
            allocated=(8, 16),
            stored=range(1, 17),
            photometric={"MONOCHROME1", "MONOCHROME2", "RGB"} if changed else GREY | COLOUR,
            signed=not changed,
        )
        if changed and model.photometric == "RGB":
            photometric = "XYB"
        else:
            photometric = "YBR_FULL" if model.subsampled else model.photometric
        # Where something is lost, values may fill what the stream has room for.
        stored = precision(model) if changed else model.bits_stored
        return model.but(planar=False, photometric=photometric, bits_stored=stored, high_bit=stored - 1)

    return target


def _encode(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
    import imagecodecs

    made = imagecodecs.jpegxl_encode(
        stored_bits(frame, target),
        lossless=True,
        # At 1, libjxl 0.11 writes samples of more than 14 bits beyond its buffers.
        effort=max(options.get("effort", 7), 1 if target.bits_stored <= 8 else 2),
        bitspersample=precision(target),
        numthreads=1,
    )
    return bytes(made)


def _encode_lossy(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
    import imagecodecs

    if not _loses(options):
        return _encode(frame, source, target, options)
    made = imagecodecs.jpegxl_encode(
        np.ascontiguousarray(frame),
        distance=float(options.get("distance", 1)),
        effort=options.get("effort", 7),
        bitspersample=precision(target),
        numthreads=1,
    )
    return bytes(made)


# -- JPEG in JPEG XL ---------------------------------------------------------------------------------------------------


def _as_jpeg(data: Buffer) -> bytes:
    import imagecodecs

    try:
        return bytes(imagecodecs.jpegxl_decode_jpeg(data))
    except Exception as error:
        raise PixelError(f"the JPEG XL stream holds no JPEG stream: {error}", clause=CLAUSE) from error


def _decode_jpeg(data: Buffer, model: ImageModel, out: Array, report: Report) -> str:
    check_frame(read_jpegxl(data), model, CLAUSE)
    return jpeg.decode(_as_jpeg(data), model, out, report)


def _from_jpeg(data: Buffer) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpegxl_encode_jpeg(data, numthreads=1))


JPEGXL_LOSSLESS = Codec(
    "JPEG XL lossless", _decode, _encode, _target("JPEG XL lossless", lossy=False), _inspect, requires=MODULE
)
JPEGXL = Codec("JPEG XL", _decode, _encode_lossy, _target("JPEG XL", lossy=True), _inspect, _loses, MODULE)
JPEGXL_RECOMPRESSION = Codec(
    "JPEG XL of JPEG",
    _decode_jpeg,
    inspect=_inspect,
    requires=MODULE,
    recode=MappingProxyType({BASELINE: _from_jpeg}),
)
