"""Every error that leaves this package, and the issues that lenient reading collects.

An error carries fields, not prose: where (``offset`` in bytes, ``path`` such as ``(300A,00B0)[2].(300A,0111)``),
which ``clause`` of the standard was broken, what to do about it (``hint``) and what a protocol stack has to ``answer``:
a DIMSE status (int), or the source and reason of an A-ABORT or A-ASSOCIATE-RJ (tuple).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AssociationAborted",
    "AssociationRejected",
    "DicomError",
    "EncodingError",
    "InvalidValue",
    "Issue",
    "LimitExceeded",
    "LocalProtocolError",
    "NegotiationError",
    "PeerTimeout",
    "PixelError",
    "ProtocolError",
    "RemoteProtocolError",
    "ServiceError",
    "SourceChanged",
]


class DicomError(Exception):
    """Root of the tree; catch this to catch all that the package raises on bad input or a bad peer."""

    def __init__(
        self,
        message: str,
        *,
        offset: int | None = None,
        path: str | None = None,
        clause: str | None = None,
        hint: str | None = None,
        answer: int | tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.path = path
        self.clause = clause
        self.hint = hint
        self.answer = answer

    def __str__(self) -> str:
        where = [f"at byte {self.offset}" if self.offset is not None else "", f"in {self.path}" if self.path else ""]
        text = " ".join([self.message, *filter(None, where)])
        if self.clause:
            text += f" [{self.clause}]"
        return f"{text}; {self.hint}" if self.hint else text


class EncodingError(DicomError, ValueError):
    """Bytes that PS3.5 or PS3.10 do not allow, or a value that cannot be encoded."""


class InvalidValue(EncodingError, TypeError):
    """A Python value that no reading of its VR could give; as often as a wrong value it is a wrong type."""


class SourceChanged(EncodingError):
    """A file was truncated, replaced or deleted after it was opened and before a value was read."""


class LimitExceeded(DicomError, ValueError):
    """A length, count or depth is over what `Limits` allows."""


class ProtocolError(DicomError):
    """A rule of PS3.7 or PS3.8 was broken."""


class LocalProtocolError(ProtocolError):
    """The caller asked for what the protocol does not allow in this state."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol does not allow; ``answer`` is the A-ABORT to send."""


class AssociationAborted(ProtocolError):
    """The association ended by A-ABORT, A-P-ABORT or a lost connection."""


class PeerTimeout(AssociationAborted, TimeoutError):
    """The peer did not answer in time."""


class NegotiationError(DicomError):
    """No association, or no usable presentation context, could be agreed."""


class AssociationRejected(NegotiationError):
    """The peer answered A-ASSOCIATE-RJ; ``answer`` is its (result, source, reason)."""


class ServiceError(DicomError):
    """A service answered with a failure status (``answer``) and the caller asked for an exception."""


class PixelError(DicomError, ValueError):
    """Pixel data that its description does not fit, or that cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Issue:
    """A fault that lenient reading passed over: what, where, and the clause that it breaks.

    ``is_broken``: not a matter of form. The structure ends or goes wrong there, so that something is missing or could
    not be told apart, as in a truncated file.
    """

    message: str
    offset: int | None = None
    path: str | None = None
    clause: str | None = None
    is_broken: bool = False

    def __str__(self) -> str:
        return str(DicomError(self.message, offset=self.offset, path=self.path, clause=self.clause))
