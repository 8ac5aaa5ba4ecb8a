"""Verification (PS3.4 Annex A): C-ECHO, asked and answered."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dicomcore.dimse.command import CommandField, command
from dicomcore.errors import NegotiationError
from dicomcore.ul.explain import explain_missing
from dicomcore.ul.negotiation import Negotiated, contexts_for
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.syntaxes import UNCOMPRESSED

from .base import Asking, Invoke, Provider, Request, Response, ServiceContext

__all__ = ["VerificationSCP", "c_echo"]

_SUCCESS: Final = Response(0x0000)


class VerificationSCP:
    """Answers every C-ECHO with success."""

    commands = frozenset({CommandField.C_ECHO_RQ})
    prompt = True
    supported: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {VERIFICATION: tuple(syntax.uid for syntax in UNCOMPRESSED)}
    )

    def handle(self, request: Request, context: ServiceContext, /) -> Provider:
        yield _SUCCESS

    def at_once(self, request: Request, context: ServiceContext, views: list[memoryview], /) -> Response:
        return _SUCCESS


def c_echo(negotiated: Negotiated, *, requestor: bool = True) -> Asking:
    """Ask whether the peer is there. NegotiationError without a context for Verification."""
    agreed = contexts_for(VERIFICATION, None, negotiated, requestor=requestor)
    if not agreed:
        why = explain_missing(VERIFICATION, None, negotiated, requestor=requestor)
        raise NegotiationError(f"no presentation context for Verification: {why}", clause="PS3.4 A.4")
    return (yield Invoke(agreed[0].id, command("C-ECHO-RQ", AffectedSOPClassUID=VERIFICATION)))
