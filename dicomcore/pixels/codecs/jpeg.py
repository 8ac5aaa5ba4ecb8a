"""JPEG (PS3.5 8.2.1, A.4.1): Baseline, Extended of 12 bits, and Lossless, process 14 with any predictor or the first.

imagecodecs codes; which colours the components have is told by the stream's markers, else by the attributes. Options:
``quality`` (1 to 100, 90) and ``subsampling`` ("422", "444" or "420") of the lossy ones, ``predictor`` (1 to 7, 1) of
process 14. Lossy coding takes 8 or 12 bits without a sign, as the standard has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from dicomcore.errors import PixelError
from dicomcore.pixels.code_stream import StreamHeader, agreed, check_end, check_frame, read_jpeg
from dicomcore.pixels.codec import Array, Buffer, Codec, Report
from dicomcore.pixels.codecs.native import check_options
from dicomcore.pixels.codecs.shared import (
    COLOUR,
    GREY,
    MODULE,
    check_holds,
    decode_into,
    number,
    precision,
    stored_bits,
)
from dicomcore.pixels.image_model import ImageModel
from dicomcore.pixels.stream_cost import check_jpeg

__all__ = ["JPEG_BASELINE", "JPEG_EXTENDED", "JPEG_LOSSLESS", "JPEG_LOSSLESS_SV1", "decode"]

CLAUSE = "PS3.5 8.2.1"
RECOMPRESSED = "1.2.840.10008.1.2.4.111"


def _inspect(data: Buffer, model: ImageModel, report: Report) -> ImageModel:
    return agreed(read_jpeg(data), model, report, CLAUSE)


def decode(data: Buffer, model: ImageModel, out: Array, report: Report) -> str:
    """Any process that the library decodes; what the components are is answered, and nothing is converted."""
    import imagecodecs

    header = read_jpeg(data)
    check_frame(header, model, CLAUSE)
    check_jpeg(data)
    check_end(data, report, CLAUSE)
    # With both colour spaces named alike, no component is converted.
    raw = {"colorspace": "RGB", "outcolorspace": "RGB"} if header.samples == 3 else {}
    decode_into(out, header.bits, False, lambda array: imagecodecs.jpeg8_decode(data, out=array, **raw))
    return _photometric(header, model, report)


def _photometric(header: StreamHeader, model: ImageModel, report: Report) -> str:
    if header.samples != 3:
        return model.photometric
    told = "YBR_FULL" if model.photometric.startswith("YBR") else "RGB"
    if header.is_lossless or header.colour in ("", told):
        return told
    report(f"the code stream's colours are {header.colour}, the attributes say {model.photometric}", CLAUSE)
    return header.colour


# -- encoding ----------------------------------------------------------------------------------------------------------


def _lossy(name: str, model: ImageModel, options: Mapping[str, Any], bits: int) -> ImageModel:
    check_options(name, options, ("quality", "subsampling"))
    number(name, options, "quality", 90, 1, 100)
    if str(options.get("subsampling", "422")) not in ("422", "444", "420"):
        raise PixelError(f"{name}: subsampling is {options['subsampling']!r}, not '422', '444' or '420'")
    colour = COLOUR if bits == 8 else frozenset[str]()
    allocated = 8 if bits == 8 else 16
    check_holds(
        name,
        model,
        CLAUSE,
        allocated=(allocated,),
        stored=range(1, bits + 1),
        photometric=(GREY - {"PALETTE COLOR"}) | colour,
    )
    return model.but(
        bits_stored=bits,
        high_bit=bits - 1,
        planar=False,
        photometric="YBR_FULL_422" if model.samples == 3 else model.photometric,
    )


def _target_baseline(model: ImageModel, options: Mapping[str, Any]) -> ImageModel:
    return _lossy(JPEG_BASELINE.name, model, options, 8)


def _target_extended(model: ImageModel, options: Mapping[str, Any]) -> ImageModel:
    return _lossy(JPEG_EXTENDED.name, model, options, 8 if model.bits_allocated == 8 else 12)


def _encode_lossy(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
    import imagecodecs

    colour: dict[str, Any] = {}
    if target.samples == 3:
        given = "RGB" if source.photometric == "RGB" else "YCBCR"
        subsampling = str(options.get("subsampling", "422"))
        colour = {"colorspace": given, "outcolorspace": "YCBCR", "subsampling": subsampling}
    top = (1 << target.bits_stored) - 1
    if source.bits_stored > target.bits_stored or (frame.dtype.itemsize == 2 and int(frame.max()) > top):
        raise PixelError(f"{int(frame.max())} does not fit {target.bits_stored} bits", clause=CLAUSE)
    made = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(frame), options.get("quality", 90), bitspersample=target.bits_stored, **colour
    )
    return bytes(made)


def _target_lossless(name: str, predictors: range) -> Callable[[ImageModel, Mapping[str, Any]], ImageModel]:
    known = ("predictor",) if len(predictors) > 1 else ()

    def target(model: ImageModel, options: Mapping[str, Any]) -> ImageModel:
        check_options(name, options, known)
        if options.get("predictor", 1) not in predictors:
            raise PixelError(f"{name}: predictor is {options['predictor']!r}, not 1 to 7")
        check_holds(name, model, CLAUSE, allocated=(8, 16), stored=range(1, 17), photometric=GREY | COLOUR, signed=True)
        return model.but(planar=False, photometric="YBR_FULL" if model.subsampled else model.photometric)

    return target


def _encode_lossless(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
    import imagecodecs

    made = imagecodecs.jpeg8_encode(
        stored_bits(frame, target),
        lossless=True,
        predictor=options.get("predictor", 1),
        bitspersample=max(precision(target), 2),
    )
    return bytes(made)


def _lossless(name: str, predictors: range) -> Codec:
    return Codec(name, decode, _encode_lossless, _target_lossless(name, predictors), _inspect, requires=MODULE)


def _from_recompressed(data: Buffer) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpegxl_decode_jpeg(data))


JPEG_BASELINE = Codec(
    "JPEG Baseline",
    decode,
    _encode_lossy,
    _target_baseline,
    _inspect,
    loses=lambda options: True,
    requires=MODULE,
    recode=MappingProxyType({RECOMPRESSED: _from_recompressed}),
)
JPEG_EXTENDED = Codec(
    "JPEG Extended", decode, _encode_lossy, _target_extended, _inspect, loses=lambda options: True, requires=MODULE
)
JPEG_LOSSLESS = _lossless("JPEG Lossless", range(1, 8))
JPEG_LOSSLESS_SV1 = _lossless("JPEG Lossless, first predictor", range(1, 2))
