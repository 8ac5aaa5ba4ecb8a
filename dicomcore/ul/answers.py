"""What an acceptance has answered before: peers send the same request each time they connect (PS3.8 7.1).

The answer to a request is a function of its bytes, the acceptance and the limits, so it is found by the bytes alone.
Kept is nothing that is rejected or states an identity (PS3.7 D.3.3.7), and nothing at all when a function of the
caller has a say in it, who may answer otherwise the next time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..errors import LocalProtocolError
from ..limits import DEFAULT_LIMITS, Limits
from .codec import encode
from .negotiation import Acceptance, Proposal
from .pdu import AssociateRQ
from .primitives import AssociationRequested

__all__ = ["Answers"]

COUNT: Final = 64  # requests that are kept, the oldest of which goes first
LENGTH: Final = 4096  # bytes of the longest that is kept


class Answers:
    """The answers of one acceptance within these limits. For one thread; neither of the two may be changed."""

    def __init__(self, acceptance: Acceptance, limits: Limits = DEFAULT_LIMITS) -> None:
        self.acceptance = acceptance
        self.limits = limits
        self._keeps = not (callable(acceptance.supported) or callable(acceptance.extended))
        self._known: dict[bytes, AssociationRequested] = {}
        self.find: Final = self._known.get  # what was made of an A-ASSOCIATE-RQ with this variable field, or None

    def __len__(self) -> int:
        return len(self._known)

    def keep(self, body: bytes, request: AssociateRQ, proposal: Proposal) -> AssociationRequested:
        """What the user is told; the proposal has its PDU with it if it is to be found again."""
        requested = AssociationRequested(request, proposal)
        if not self._keeps or proposal.accept is None or request.user.user_identity is not None or len(body) > LENGTH:
            return requested
        try:
            requested = AssociationRequested(request, replace(proposal, pdu=encode(proposal.accept)))
        except LocalProtocolError:
            return requested  # it fits no PDU, which is for who accepts it to hear
        if len(self._known) >= COUNT:
            del self._known[next(iter(self._known))]
        self._known[body] = requested
        return requested
