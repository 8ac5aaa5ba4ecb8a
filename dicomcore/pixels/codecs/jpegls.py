"""JPEG-LS, lossless and near-lossless (PS3.5 8.2.3, A.4.3), through imagecodecs.

Option of the near-lossless one: ``near`` (0 to 255, 127 for bytes; 2), the greatest error of a stored value. What is
encoded says 8 or 16 bits a sample, whatever Bits Stored is; a near-lossless frame may use all of them, so its
description does, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dicomcore.pixels.code_stream import agreed, check_end, check_frame, read_jpeg
from dicomcore.pixels.codec import Array, Buffer, Codec, Report
from dicomcore.pixels.codecs.native import check_options
from dicomcore.pixels.codecs.shared import COLOUR, GREY, MODULE, check_holds, decode_into, number, stored_bits
from dicomcore.pixels.image_model import ImageModel

__all__ = ["JPEG_LS", "JPEG_LS_NEAR"]

CLAUSE = "PS3.5 8.2.3"
END = b"\xff\xd9"


def _inspect(data: Buffer, model: ImageModel, report: Report) -> ImageModel:
    return agreed(read_jpeg(data), model, report, CLAUSE)


def _decode(data: Buffer, model: ImageModel, out: Array, report: Report) -> str:
    import imagecodecs

    header = read_jpeg(data)
    check_frame(header, model, CLAUSE)
    if not check_end(data, report, CLAUSE):
        data = bytes(data) + END  # without a marker to stop at, CharLS may go on for minutes
    decode_into(out, header.bits, False, lambda array: imagecodecs.jpegls_decode(data, out=array))
    return "YBR_FULL" if model.subsampled else model.photometric


def _near(options: Mapping[str, Any]) -> int:
    return int(number(JPEG_LS_NEAR.name, options, "near", 2, 0, 255))


def _target(name: str, lossy: bool) -> Callable[[ImageModel, Mapping[str, Any]], ImageModel]:
    def target(model: ImageModel, options: Mapping[str, Any]) -> ImageModel:
        check_options(name, options, ("near",) if lossy else ())
        near = _near(options) if lossy else 0
        photometric = (GREY if not near else GREY - {"PALETTE COLOR"}) | COLOUR
        check_holds(
            name, model, CLAUSE, allocated=(8, 16), stored=range(1, 17), photometric=photometric, signed=not near
        )
        if near:
            number(name, options, "near", 2, 0, 127 if model.bits_allocated == 8 else 255)  # half of the values' range
        stored = model.bits_allocated if near else model.bits_stored
        return model.but(
            planar=False,
            photometric="YBR_FULL" if model.subsampled else model.photometric,
            bits_stored=stored,
            high_bit=stored - 1,
        )

    return target


def _encode(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
    return _coded(stored_bits(frame, target), 0)


def _encode_near(frame: Array, source: ImageModel, target: ImageModel, options: Mapping[str, Any]) -> bytes:
    return _coded(stored_bits(frame, target), _near(options))


def _coded(samples: Array, near: int) -> bytes:
    import imagecodecs

    try:
        return _bare(imagecodecs.jpegls_encode(samples, near))
    except (
        imagecodecs.JpeglsError
    ):  # noise becomes longer than the library expects: no code is over four times a sample
        return _bare(imagecodecs.jpegls_encode(samples, near, out=4 * samples.nbytes + 1024))


def _bare(stream: bytes) -> bytes:
    """The stream without the header of a file (SPIFF), in whose place attributes stand."""
    return b"\xff\xd8" + stream[stream.index(b"\xff\xf7") :]


JPEG_LS = Codec("JPEG-LS", _decode, _encode, _target("JPEG-LS", lossy=False), _inspect, requires=MODULE)
JPEG_LS_NEAR = Codec(
    "JPEG-LS, near-lossless",
    _decode,
    _encode_near,
    _target("JPEG-LS, near-lossless", lossy=True),
    _inspect,
    loses=lambda options: _near(options) > 0,
    requires=MODULE,
)
