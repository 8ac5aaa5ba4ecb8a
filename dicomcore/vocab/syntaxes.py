"""Transfer syntaxes as values (PS3.5 section 10 and annex A, PS3.6 annex A)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ._tables import read_table
from .uids import UID

__all__ = [
    "DEFLATED_LE",
    "EXPLICIT_BE",
    "EXPLICIT_LE",
    "IMPLICIT_LE",
    "NAMES",
    "SHORT_NAMES",
    "SYNTAXES",
    "UNCOMPRESSED",
    "TransferSyntax",
    "transfer_syntax",
]


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """How a data set is encoded. An unregistered one is taken as explicit little endian, which PS3.5 annex A demands of
    every encapsulating syntax."""

    uid: UID
    keyword: str = ""
    name: str = ""
    explicit: bool = True
    big_endian: bool = False
    encapsulated: bool = False
    deflated: bool = False
    pixel_loss: str = "none"
    codec: str = ""
    retired: bool = False
    lossy_method: str = ""  # for Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1)
    known: bool = True

    def __str__(self) -> str:
        return self.name or self.uid


def _read() -> Mapping[str, TransferSyntax]:
    rows = read_table("transfer_syntaxes")
    return MappingProxyType(
        {
            uid: TransferSyntax(
                UID(uid),
                keyword,
                name,
                explicit == "1",
                endian == "BE",
                encapsulated == "1",
                deflated == "1",
                loss,
                codec,
                retired == "1",
                method.partition(" ")[0],
            )
            for uid, keyword, name, endian, explicit, encapsulated, deflated, loss, codec, retired, method in rows
        }
    )


SYNTAXES: Mapping[str, TransferSyntax] = _read()
_BY_KEYWORD = {syntax.keyword: uid for uid, syntax in SYNTAXES.items()}
# Of codings that can do both, the plain name is the one that loses nothing.
SHORT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        short: _BY_KEYWORD[keyword]
        for short, keyword in (
            ("implicit", "ImplicitVRLittleEndian"),
            ("explicit", "ExplicitVRLittleEndian"),
            ("big-endian", "ExplicitVRBigEndian"),
            ("deflated", "DeflatedExplicitVRLittleEndian"),
            ("encapsulated", "EncapsulatedUncompressedExplicitVRLittleEndian"),
            ("deflated-frame", "DeflatedImageFrameCompression"),
            ("rle", "RLELossless"),
            ("jpeg", "JPEGBaseline8Bit"),
            ("jpeg-12", "JPEGExtended12Bit"),
            ("jpeg-lossless", "JPEGLosslessSV1"),
            ("jpeg-lossless-14", "JPEGLossless"),
            ("jpeg-ls", "JPEGLSLossless"),
            ("jpeg-ls-near", "JPEGLSNearLossless"),
            ("j2k", "JPEG2000Lossless"),
            ("j2k-lossy", "JPEG2000"),
            ("htj2k", "HTJ2KLossless"),
            ("htj2k-rpcl", "HTJ2KLosslessRPCL"),
            ("htj2k-lossy", "HTJ2K"),
            ("jxl", "JPEGXLLossless"),
            ("jxl-lossy", "JPEGXL"),
            ("jxl-jpeg", "JPEGXLJPEGRecompression"),
        )
    }
)
# UID, keyword, name or short name, in lower case -> UID; "htj2k" is the short name, not the keyword of the lossy one.
NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{name.casefold(): uid for uid, one in SYNTAXES.items() for name in (uid, one.keyword, one.name)},
        **SHORT_NAMES,
    }
)
IMPLICIT_LE = SYNTAXES["1.2.840.10008.1.2"]
EXPLICIT_LE = SYNTAXES["1.2.840.10008.1.2.1"]
EXPLICIT_BE = SYNTAXES["1.2.840.10008.1.2.2"]
DEFLATED_LE = SYNTAXES["1.2.840.10008.1.2.1.99"]
UNCOMPRESSED = (EXPLICIT_LE, IMPLICIT_LE, DEFLATED_LE, EXPLICIT_BE)


def transfer_syntax(uid: str) -> TransferSyntax:
    """The syntax of a UID; for an unregistered UID one that is flagged ``known=False``."""
    return SYNTAXES.get(uid) or TransferSyntax(UID(uid), encapsulated=True, codec="unknown", known=False)
