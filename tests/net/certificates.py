"""A CA that lives as long as a test run, and what it vouches for."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
NAMES = ("localhost", "127.0.0.1", "::1")

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Identity(NamedTuple):
    """PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates into a folder; ``file`` is its own."""

    def __init__(self, folder: Path, name: str = "CA") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(self._name, self._key, (-1, 100)).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def _build(self, name: x509.Name, key: PrivateKey, days: tuple[int, int]) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
        )

    def issue(
        self,
        stem: str,
        names: tuple[str, ...] = NAMES,
        *,
        days: tuple[int, int] = (-1, 10),
        rsa_bits: int = 0,
        password: bytes | None = None,
    ) -> Identity:
        """A certificate for hosts of these names, valid from and to so many days from now."""
        key: PrivateKey = (
            rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
            if rsa_bits
            else ec.generate_private_key(ec.SECP256R1())
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
        certificate = (
            self._build(subject, key, days)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        encryption: KeySerializationEncryption = (
            NoEncryption() if password is None else BestAvailableEncryption(password)
        )
        identity = Identity(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")
        identity.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        identity.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        return identity


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class House(NamedTuple):
    """What the tests of TLS have in common."""

    authority: Authority
    server: Identity
    rsa_server: Identity
    client: Identity
    expired: Identity
    elsewhere: Identity  # of another host
    stranger: Authority
    unknown: Identity  # vouched for by the stranger

    @classmethod
    def build(cls, folder: Path) -> House:
        authority = Authority(folder)
        stranger = Authority(folder, "stranger")
        return cls(
            authority,
            authority.issue("server"),
            authority.issue("rsa", rsa_bits=2048),
            authority.issue("client", ("client.invalid",)),
            authority.issue("expired", days=(-10, -1)),
            authority.issue("elsewhere", ("elsewhere.invalid",)),
            stranger,
            stranger.issue("unknown"),
        )
