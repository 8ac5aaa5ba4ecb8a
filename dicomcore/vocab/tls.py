"""Secure transport connection profiles (PS3.15 B.9 to B.13): what BCP 195 asks of a TLS connection, as values.

The names of cipher suites are those of the IANA registry; who runs a TLS library turns them into its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ._tables import read_table

__all__ = ["DEFAULT_TLS_PROFILE", "FFDHE2048", "TLS_PORT", "TLSProfile", "tls_profile", "tls_profiles"]

DEFAULT_TLS_PROFILE = "bcp195-rfc9325"  # B.12
TLS_PORT = 2762  # registered for DICOM over TLS, "dicom-tls"
FFDHE2048 = Path(__file__).parent / "data" / "ffdhe2048.pem"  # the Diffie-Hellman group of RFC 7919 A.1


class TLSProfile(NamedTuple):
    """One profile. ``min`` and ``prefer`` are versions such as "TLSv1.2"; 0 bits and "" say nothing."""

    name: str
    clause: str
    retired: bool
    min: str
    prefer: str
    tls13: bool
    dhe_min_bits: int
    ecdhe_min_bits: int
    suites: tuple[str, ...]
    tls13_suites: tuple[str, ...]

    @property
    def oldest(self) -> tuple[int, int]:
        """The oldest version that may be agreed: (1, 0), (1, 2)."""
        major, _, minor = self.min.removeprefix("TLSv").partition(".")
        return int(major), int(minor)


@cache
def tls_profiles() -> Mapping[str, TLSProfile]:
    """Every profile by its name."""
    rows = {}
    for name, clause, retired, oldest, prefer, tls13, dhe, ecdhe, suites, suites13 in read_table("tls_profiles"):
        rows[name] = TLSProfile(
            name,
            f"PS3.15 {clause}",
            retired == "Y",
            oldest,
            prefer,
            tls13 == "Y",
            int(dhe or 0),
            int(ecdhe or 0),
            tuple(suites.split(",")),
            tuple(suites13.split(",")) if suites13 else (),
        )
    return MappingProxyType(rows)


def tls_profile(name: str) -> TLSProfile | None:
    """A profile by its name, or by its clause such as ``B.12``."""
    profiles = tls_profiles()
    clause = f"PS3.15 {name.strip().upper()}"
    return profiles.get(name.strip().lower()) or next((row for row in profiles.values() if row.clause == clause), None)
