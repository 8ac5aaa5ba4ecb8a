"""TLS for associations (PS3.15 annex B): contexts for the BCP 195 profiles, and a socket that never blocks.

`client_context` and `server_context` offer what a profile lists, as far as this Python and its OpenSSL have it, and
nothing else; `TLS` says the same as a value that both sides take. Certificates are verified unless somebody says
otherwise, and renegotiation is refused. `why_no_tls` puts into words why there is no connection. The port registered
for DICOM over TLS is 2762.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn, TypeAlias

from dicomcore.errors import LocalProtocolError, NegotiationError
from dicomcore.vocab.tls import DEFAULT_TLS_PROFILE, FFDHE2048, TLSProfile, tls_profile, tls_profiles

__all__ = [
    "TLS",
    "SecuritySettings",
    "TLSOption",
    "client_context",
    "client_settings",
    "server_context",
    "server_settings",
    "unavailable",
    "why_no_tls",
]

Password: TypeAlias = str | bytes | Callable[[], str | bytes] | None
FilePath: TypeAlias = str | os.PathLike[str]

# Which of the cipher suites of TLS 1.3 are offered cannot be chosen in Python; OpenSSL offers these.
SUITES_13 = frozenset({"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"})


# contexts


def client_context(
    profile: str = DEFAULT_TLS_PROFILE,
    *,
    cafile: FilePath | None = None,
    capath: FilePath | None = None,
    cadata: str | bytes | None = None,
    certificate: FilePath | None = None,
    key: FilePath | None = None,
    password: Password = None,
    check_hostname: bool = True,
    verify: bool = True,
) -> ssl.SSLContext:
    """A context with which to associate. Without ``ca...`` the peer's certificate is held against the system's CAs.

    ``certificate`` (PEM, with its chain) and ``key`` are shown to a peer that asks. ``verify=False`` takes every
    certificate and protects from nobody who can answer in the peer's stead. LocalProtocolError says what is wrong with
    a file, or with the profile here.
    """
    context = _context(profile, ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.check_hostname = check_hostname
    if cafile is not None or capath is not None or cadata is not None:
        _trust(context, cafile, capath, cadata)
    elif verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if certificate is not None:
        _show(context, certificate, key, password)
    elif key is not None:
        raise LocalProtocolError("a key without its certificate", hint="name both")
    return context


def server_context(
    profile: str = DEFAULT_TLS_PROFILE,
    *,
    certificate: FilePath,
    key: FilePath | None = None,
    password: Password = None,
    client_ca: FilePath | None = None,
    capath: FilePath | None = None,
    cadata: str | bytes | None = None,
) -> ssl.SSLContext:
    """A context with which to serve. ``key`` None: it is in the same file as the ``certificate`` and its chain.

    With ``client_ca`` (or ``capath``, ``cadata``) every client has to show a certificate that these CAs vouch for.
    """
    context = _context(profile, ssl.PROTOCOL_TLS_SERVER)
    _show(context, certificate, key, password)
    if client_ca is not None or capath is not None or cadata is not None:
        _trust(context, client_ca, capath, cadata)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _profile(name: str) -> TLSProfile:
    found = tls_profile(name)
    if found is None:
        names = ", ".join(f"{row.name} ({row.clause.split()[-1]})" for row in tls_profiles().values())
        raise LocalProtocolError(f"no TLS profile {name!r}", clause="PS3.15 B", hint=f"there are {names}")
    return found


def _context(name: str, protocol: int) -> ssl.SSLContext:
    profile = _profile(name)
    context = ssl.SSLContext(protocol)
    try:
        _restrict(context, profile)
    except (ssl.SSLError, ValueError) as error:
        raise LocalProtocolError(
            f"{ssl.OPENSSL_VERSION} has nothing of TLS profile {profile.name}: {error}", clause=profile.clause
        ) from error
    return context


def _restrict(context: ssl.SSLContext, profile: TLSProfile) -> None:
    old = profile.oldest < (1, 2)
    # OpenSSL speaks TLS below 1.2 at level 0 only; level 2 means keys of RSA and groups of 2,048 bits, curves of 224.
    context.set_ciphers(":".join(map(openssl_name, profile.suites)) + ("@SECLEVEL=0" if old else "@SECLEVEL=2"))
    # MINIMUM_SUPPORTED is TLS 1.0; SSL 3 is off in every context.
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED if old else ssl.TLSVersion.TLSv1_2
    if not profile.tls13:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if any("_DHE_" in suite for suite in profile.suites):
        context.load_dh_params(str(FFDHE2048))  # 2,048 bits, which no profile finds too few


def openssl_name(suite: str) -> str:
    """``ECDHE-RSA-AES128-GCM-SHA256`` for ``TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256``."""
    exchange, _, cipher = suite.removeprefix("TLS_").partition("_WITH_")
    for old, new in (("AES_", "AES"), ("CAMELLIA_", "CAMELLIA"), ("_CBC", ""), ("CCM_8", "CCM8")):
        cipher = cipher.replace(old, new)
    cipher = cipher.replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
    return "-".join(([] if exchange == "RSA" else [exchange]) + [cipher]).replace("_", "-")


def unavailable(profile: str = DEFAULT_TLS_PROFILE) -> tuple[str, ...]:
    """Cipher suites of a profile that this Python with its OpenSSL cannot offer; associations go without them."""
    row = _profile(profile)
    offered = {cipher["name"] for cipher in _context(profile, ssl.PROTOCOL_TLS_CLIENT).get_ciphers()}
    missing = [suite for suite in row.suites if openssl_name(suite) not in offered]
    return (*missing, *(suite for suite in row.tls13_suites if suite not in SUITES_13))


def _trust(
    context: ssl.SSLContext, cafile: FilePath | None, capath: FilePath | None, cadata: str | bytes | None
) -> None:
    if capath is not None and not os.path.isdir(capath):  # OpenSSL would find nothing there, in silence
        raise LocalProtocolError(f"no folder of CA certificates {os.fspath(capath)}")
    try:
        context.load_verify_locations(cafile, capath, cadata)
    except (OSError, ValueError) as error:
        where = _named(cafile or capath, "cadata")
        raise LocalProtocolError(f"no CA certificates in {where}: {_why(error)}") from error


def _show(context: ssl.SSLContext, certificate: FilePath, key: FilePath | None, password: Password) -> None:
    def ask() -> NoReturn:  # without this, OpenSSL would ask at the terminal
        raise LocalProtocolError(f"the key in {_named(key or certificate)} is encrypted", hint="give its password")

    try:
        context.load_cert_chain(certificate, key, ask if password is None else password)
    except (OSError, ValueError) as error:
        files = _named(certificate) + ("" if key is None else f" with the key in {_named(key)}")
        raise LocalProtocolError(f"no certificate to show in {files}: {_why(error)}") from error


def _named(path: FilePath | None, otherwise: str = "") -> str:
    return otherwise if path is None else os.fspath(path)


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return {
        "KEY_VALUES_MISMATCH": "the key is that of another certificate",
        "NO_START_LINE": "it is no PEM file",
        "EE_KEY_TOO_SMALL": "its key is shorter than the profile allows",
        "CA_MD_TOO_WEAK": "it is signed with a digest that the profile does not allow",
        "BAD_DECRYPT": "the password is wrong",
    }.get(reason, reason)


# what the arguments `tls=` take


@dataclass(frozen=True, slots=True)
class TLS:
    """What to secure associations with; see `client_context` for the arguments.

    To a server ``cafile``, ``capath`` and ``cadata`` are the CAs of clients, which then have to show a certificate.
    ``server_name`` is the name that the peer's certificate has to bear if that is not the host that is connected to.
    """

    profile: str = DEFAULT_TLS_PROFILE
    cafile: FilePath | None = None
    capath: FilePath | None = None
    cadata: str | bytes | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None
    password: Password = None
    check_hostname: bool = True
    verify: bool = True
    server_name: str | None = None

    def __repr__(self) -> str:
        return f"TLS({self.profile!r})"

    @property
    def unavailable(self) -> tuple[str, ...]:
        """See the function of this name."""
        return unavailable(self.profile)


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """What `TLS` comes to for one connection: a context, and the name that a client expects."""

    context: ssl.SSLContext
    server_name: str | None = None


TLSOption: TypeAlias = bool | ssl.SSLContext | TLS | None
"""What ``associate(tls=)`` takes: True is `TLS()`, None and False are plain TCP."""


def client_settings(tls: TLSOption, host: str) -> SecuritySettings | None:
    """What ``associate(tls=)`` means for this host; None: no TLS."""
    if tls is None or tls is False:
        return None
    name = host.partition("%")[0].strip("[]")  # without the scope of an IPv6 address, which no certificate has
    if isinstance(tls, ssl.SSLContext):
        if tls.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise LocalProtocolError("a context for servers cannot associate", hint="see client_context")
        return SecuritySettings(tls, name)
    if tls is True:
        tls = TLS()
    elif not isinstance(tls, TLS):
        raise LocalProtocolError(f"tls={tls!r}", hint="True, a TLS or an ssl.SSLContext")
    context = client_context(
        tls.profile,
        cafile=tls.cafile,
        capath=tls.capath,
        cadata=tls.cadata,
        certificate=tls.certificate,
        key=tls.key,
        password=tls.password,
        check_hostname=tls.check_hostname,
        verify=tls.verify,
    )
    return SecuritySettings(context, tls.server_name or name)


def server_settings(tls: ssl.SSLContext | TLS | None) -> SecuritySettings | None:
    """What ``serve(tls=)`` means; None: no TLS."""
    if tls is None:
        return None
    if isinstance(tls, ssl.SSLContext):
        if tls.protocol == ssl.PROTOCOL_TLS_CLIENT:
            raise LocalProtocolError("a context for clients cannot serve", hint="see server_context")
        return SecuritySettings(tls)
    if not isinstance(tls, TLS) or tls.certificate is None:
        raise LocalProtocolError("a server needs a certificate", hint="tls=TLS(certificate=..., key=...)")
    context = server_context(
        tls.profile,
        certificate=tls.certificate,
        key=tls.key,
        password=tls.password,
        client_ca=tls.cafile,
        capath=tls.capath,
        cadata=tls.cadata,
    )
    return SecuritySettings(context)


# why there is no connection, in words: reasons of OpenSSL

NO_TLS = "it does not speak TLS there", "is this the port for TLS?"
NO_COMMON = "it shares no TLS version or cipher suite with this profile", "see the profiles of both sides"
REASONS = MappingProxyType(
    {
        "WRONG_VERSION_NUMBER": NO_TLS,
        "HTTP_REQUEST": NO_TLS,
        "BAD_RECORD_TYPE": NO_TLS,
        "PACKET_LENGTH_TOO_LONG": NO_TLS,
        "RECORD_LAYER_FAILURE": NO_TLS,
        "UNSUPPORTED_PROTOCOL": NO_COMMON,
        "NO_PROTOCOLS_AVAILABLE": NO_COMMON,
        "VERSION_TOO_LOW": NO_COMMON,
        "NO_SHARED_CIPHER": NO_COMMON,
        "NO_CIPHERS_AVAILABLE": NO_COMMON,
        "WRONG_CIPHER_RETURNED": NO_COMMON,
        "TLSV1_ALERT_PROTOCOL_VERSION": NO_COMMON,
        "SSLV3_ALERT_HANDSHAKE_FAILURE": (
            "it finds nothing to agree on",
            "see the profiles of both sides; does it want a certificate?",
        ),
        "TLSV1_ALERT_INSUFFICIENT_SECURITY": NO_COMMON,
        "INSUFFICIENT_SECURITY": NO_COMMON,
        "DH_KEY_TOO_SMALL": ("its Diffie-Hellman group is smaller than the profile allows", None),
        "TLSV13_ALERT_CERTIFICATE_REQUIRED": ("it wants a certificate of this side", "give certificate= and key="),
        "PEER_DID_NOT_RETURN_A_CERTIFICATE": ("it showed no certificate", None),
        "TLSV1_ALERT_UNKNOWN_CA": ("it does not know the CA of this side's certificate", None),
        "SSLV3_ALERT_CERTIFICATE_EXPIRED": ("it finds this side's certificate expired", None),
        "SSLV3_ALERT_CERTIFICATE_REVOKED": ("it finds this side's certificate revoked", None),
        "SSLV3_ALERT_BAD_CERTIFICATE": ("it does not accept this side's certificate", None),
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN": ("it does not accept this side's certificate", None),
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": ("it does not accept this kind of certificate of this side", None),
        "TLSV1_ALERT_ACCESS_DENIED": ("it does not let this side's certificate in", None),
        "TLSV1_ALERT_DECRYPT_ERROR": ("it could not verify this side's signature", None),
        "TLSV1_UNRECOGNIZED_NAME": ("it knows no server of this name", None),
        "UNKNOWN_CERTIFICATE_TYPE": ("its certificate is of an unknown type", None),
    }
)
# Codes of OpenSSL's verification, and what helps
UNTRUSTED = frozenset({2, 18, 19, 20, 21, 27})
NAMES = frozenset({62, 64})


def why_no_tls(error: OSError, peer: str) -> NegotiationError:
    """Why there is no TLS with this peer, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = None
        if error.verify_code in UNTRUSTED:
            hint = "name the CA that is trusted to vouch for it"
        elif error.verify_code in NAMES:
            hint = "the host has to be called by a name of its certificate"
        words = f"its certificate is not accepted: {error.verify_message.rstrip('.')}"
    elif isinstance(error, ssl.SSLError) and error.reason in REASONS:
        words, hint = REASONS[error.reason]
    elif isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        words, hint = (
            "it closed the connection without an answer",
            "does it speak TLS there, with this profile, and want no certificate?",
        )
    else:
        words, hint = str(getattr(error, "reason", None) or error.strerror or error), None
    return NegotiationError(f"{peer}: no TLS connection: {words}", clause="PS3.15 B", hint=hint)
