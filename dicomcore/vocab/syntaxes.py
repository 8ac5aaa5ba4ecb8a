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
IMPLICIT_LE = SYNTAXES["1.2.840.10008.1.2"]
EXPLICIT_LE = SYNTAXES["1.2.840.10008.1.2.1"]
EXPLICIT_BE = SYNTAXES["1.2.840.10008.1.2.2"]
DEFLATED_LE = SYNTAXES["1.2.840.10008.1.2.1.99"]
UNCOMPRESSED = (EXPLICIT_LE, IMPLICIT_LE, DEFLATED_LE, EXPLICIT_BE)


def transfer_syntax(uid: str) -> TransferSyntax:
    """The syntax of a UID; for an unregistered UID one that is flagged ``known=False``."""
    return SYNTAXES.get(uid) or TransferSyntax(UID(uid), encapsulated=True, codec="unknown", known=False)
