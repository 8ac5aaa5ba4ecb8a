"""A DICOM protocol stack with a compiled core: files, associations, DIMSE and services, at home in radiotherapy.

Every public name is imported when it is first used, so that ``import dicomcore`` costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from . import aio as aio
    from . import events as events
    from . import pixels as pixels
    from . import services as services
    from .data.charset import fit_charset
    from .data.dataset import Dataset
    from .data.element import Element
    from .data.files import dcmread, dcmwrite
    from .data.fileset import FileSet
    from .data.part10 import FileHeader, read_header
    from .data.paths import diff, walk
    from .data.sequence import Sequence
    from .encoding.policy import Policy
    from .errors import (
        AssociationAborted,
        AssociationRejected,
        DicomError,
        EncodingError,
        Issue,
        LimitExceeded,
        NegotiationError,
        PeerTimeout,
        PixelError,
        ProtocolError,
        ServiceError,
        SourceChanged,
    )
    from .limits import Limits
    from .net.ae import AE
    from .net.metrics import Metrics, prometheus_text
    from .net.store import store
    from .net.tls import TLS, client_context, server_context
    from .pixels.codec import CODECS, Codec
    from .pixels.frames import FrameSource, frames
    from .pixels.transcode import transcode, transcode_file
    from .rt.dose import Dose
    from .services.storage import StorageSCP
    from .services.verification import VerificationSCP
    from .ul.pdu import RoleSelection, UserIdentity
    from .ul.primitives import Accept, Reject
    from .ul.quirks import Quirks
    from .vocab.uids import UID, new_uid

__all__ = [
    "AE",
    "CODECS",
    "TLS",
    "UID",
    "Accept",
    "AssociationAborted",
    "AssociationRejected",
    "Codec",
    "Dataset",
    "DicomError",
    "Dose",
    "Element",
    "EncodingError",
    "FileHeader",
    "FileSet",
    "FrameSource",
    "Issue",
    "LimitExceeded",
    "Limits",
    "Metrics",
    "NegotiationError",
    "PeerTimeout",
    "PixelError",
    "Policy",
    "ProtocolError",
    "Quirks",
    "Reject",
    "RoleSelection",
    "Sequence",
    "ServiceError",
    "SourceChanged",
    "StorageSCP",
    "UserIdentity",
    "VerificationSCP",
    "__version__",
    "client_context",
    "dcmread",
    "dcmwrite",
    "diff",
    "fit_charset",
    "frames",
    "new_uid",
    "prometheus_text",
    "read_header",
    "server_context",
    "store",
    "transcode",
    "transcode_file",
    "walk",
]

_PUBLIC: Mapping[str, str] = MappingProxyType(
    {
        "AE": "dicomcore.net.ae",
        "Accept": "dicomcore.ul.primitives",
        "AssociationAborted": "dicomcore.errors",
        "AssociationRejected": "dicomcore.errors",
        "CODECS": "dicomcore.pixels.codec",
        "Codec": "dicomcore.pixels.codec",
        "Dataset": "dicomcore.data.dataset",
        "DicomError": "dicomcore.errors",
        "Dose": "dicomcore.rt.dose",
        "Element": "dicomcore.data.element",
        "EncodingError": "dicomcore.errors",
        "FileHeader": "dicomcore.data.part10",
        "FileSet": "dicomcore.data.fileset",
        "FrameSource": "dicomcore.pixels.frames",
        "Issue": "dicomcore.errors",
        "LimitExceeded": "dicomcore.errors",
        "Limits": "dicomcore.limits",
        "Metrics": "dicomcore.net.metrics",
        "NegotiationError": "dicomcore.errors",
        "PeerTimeout": "dicomcore.errors",
        "PixelError": "dicomcore.errors",
        "Policy": "dicomcore.encoding.policy",
        "ProtocolError": "dicomcore.errors",
        "Quirks": "dicomcore.ul.quirks",
        "Reject": "dicomcore.ul.primitives",
        "RoleSelection": "dicomcore.ul.pdu",
        "Sequence": "dicomcore.data.sequence",
        "ServiceError": "dicomcore.errors",
        "SourceChanged": "dicomcore.errors",
        "StorageSCP": "dicomcore.services.storage",
        "TLS": "dicomcore.net.tls",
        "UID": "dicomcore.vocab.uids",
        "UserIdentity": "dicomcore.ul.pdu",
        "VerificationSCP": "dicomcore.services.verification",
        "client_context": "dicomcore.net.tls",
        "dcmread": "dicomcore.data.files",
        "dcmwrite": "dicomcore.data.files",
        "diff": "dicomcore.data.paths",
        "fit_charset": "dicomcore.data.charset",
        "frames": "dicomcore.pixels.frames",
        "new_uid": "dicomcore.vocab.uids",
        "prometheus_text": "dicomcore.net.metrics",
        "read_header": "dicomcore.data.part10",
        "server_context": "dicomcore.net.tls",
        "store": "dicomcore.net.store",
        "transcode": "dicomcore.pixels.transcode",
        "transcode_file": "dicomcore.pixels.transcode",
        "walk": "dicomcore.data.paths",
    }
)

_MODULES = ("aio", "events", "pixels", "services")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(_PUBLIC[name]), name)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith(f"{__name__}._core."):
            raise
        hint = "these are the sources, not what was installed: start Python in another folder, or build here (make dev)"
        raise ImportError(f"the core is not compiled: no {error.name}; {hint}", name=error.name) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
