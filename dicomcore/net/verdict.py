"""What came of a request for an association, in words where that is nothing; for every user."""

from __future__ import annotations

from dicomcore.errors import AssociationAborted, AssociationRejected
from dicomcore.net.connection import UserConnection
from dicomcore.net.tls import why_no_tls
from dicomcore.ul import AssociateRQ, Negotiated, advice, explain

__all__ = ["agreed"]


def agreed(
    connection: UserConnection, request: AssociateRQ, peer: str, failure: BaseException | None, *, secure: bool
) -> Negotiated:
    """What the peer has accepted. ``failure``: what ended a connection that is ``secure``.

    AssociationRejected, NegotiationError or AssociationAborted say why it has not.
    """
    if (refusal := connection.refusal) is not None:
        answer = refusal.result, refusal.source, refusal.reason
        raise AssociationRejected(explain(request, refusal), answer=answer)
    if connection.negotiated is not None:
        return connection.negotiated
    over = connection.over
    assert over is not None
    mute = not connection.core.received_length
    if secure and isinstance(failure, OSError):
        raise why_no_tls(failure, peer)  # in TLS 1.3 the peer judges after our handshake
    if secure and mute:
        raise why_no_tls(ConnectionResetError(), peer)
    kind = type(over) if isinstance(over, AssociationAborted) else AssociationAborted
    hints = ["does it want TLS there?" if mute else "", advice(request, None)]
    hint = "; ".join(filter(None, hints)) or None
    raise kind(f"{peer}: {over.message}", clause=over.clause, answer=over.answer, hint=hint)
