"""SOP classes (PS3.4, PS3.6 annex A): which service class they belong to and which DIMSE services carry them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from ._tables import read_table
from .uids import UID

__all__ = ["VERIFICATION", "SopClass", "sop_classes", "storage_uids"]

VERIFICATION = UID("1.2.840.10008.1.1")


class SopClass(NamedTuple):
    """``iod`` is the identifier of the information object; ``dimse`` the services, such as ``("C-STORE",)``.

    ``directory_record`` is the type of the record that lists its instances in a DICOMDIR (PS3.3 annex F), or empty;
    ``related_general`` are the SOP classes that it specialises (PS3.4 B.3.1.4).
    """

    uid: UID
    keyword: str
    name: str
    service_class: str
    iod: str
    dimse: tuple[str, ...]
    retired: bool
    directory_record: str
    related_general: tuple[str, ...]


@cache
def sop_classes() -> Mapping[str, SopClass]:
    """All registered SOP classes by UID."""
    return MappingProxyType(
        {
            uid: SopClass(
                UID(uid), keyword, name, service, iod, _listed(dimse), retired == "1", record, _listed(general)
            )
            for uid, keyword, name, service, iod, dimse, retired, record, general in read_table("sop_classes")
        }
    )


@cache
def storage_uids() -> frozenset[str]:
    """Every SOP class that C-STORE carries: Storage and Non-Patient Object Storage, retired ones included."""
    return frozenset(row.uid for row in sop_classes().values() if "C-STORE" in row.dimse)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))
