"""A negotiation in words: which side lacked what. A pure function of the request and its answer."""

from __future__ import annotations

from ..vocab.uids import UID
from .negotiation import settle
from .pdu import CONTEXT_RESULTS, Abort, AssociateAC, AssociateRJ, AssociateRQ

__all__ = ["explain"]


def explain(request: AssociateRQ, answer: AssociateAC | AssociateRJ | Abort | None) -> str:
    """One line on the whole, then one for each presentation context; None = no answer came."""
    who = f"{request.calling_ae} -> {request.called_ae}"
    if answer is None:
        return f"{who}: no answer"
    if not isinstance(answer, AssociateAC):
        return f"{who}: {answer}{_hint(request, answer)}"
    negotiated = settle(request, answer, requestor=True)
    count = len(request.contexts)
    window = negotiated.window
    lines = [
        f"{who}: accepted, {len(negotiated.contexts)} of {count} presentation context{'s' if count != 1 else ''}; "
        f"maximum length {request.user.max_length or 'unlimited'} here, {answer.user.max_length or 'unlimited'} there; "
        f"operations window {window.invoked or 'unlimited'}/{window.performed or 'unlimited'}"
    ]
    for context in request.contexts:
        name = _name(context.abstract_syntax)
        agreed = negotiated.contexts.get(context.id)
        if agreed is not None:
            roles = [role for role, yes in (("SCU", agreed.requestor_scu), ("SCP", agreed.requestor_scp)) if yes]
            lines.append(
                f"  {context.id}: {name}: {_name(agreed.transfer_syntax)}, requestor as "
                f"{' and '.join(roles) or 'neither SCU nor SCP'}"
            )
            continue
        refused = negotiated.refused[context.id]
        code = refused.result
        reason = refused.why or (CONTEXT_RESULTS[code] if code < len(CONTEXT_RESULTS) else f"result {code}")
        if code == 3:
            reason += f": {request.called_ae} does not know this abstract syntax"
        elif code == 4:
            reason += f": {request.called_ae} takes none of {', '.join(map(_name, context.transfer_syntaxes))}"
        lines.append(f"  {context.id}: {name}: {reason}")
    return "\n".join(lines)


def _name(uid: str) -> str:
    name = UID(uid).name
    return name if name == uid else f"{name} ({uid})"


def _hint(request: AssociateRQ, answer: AssociateRJ | Abort) -> str:
    if isinstance(answer, AssociateRJ) and answer.source == 1:
        if answer.reason == 7:
            return f"; the peer does not call itself {request.called_ae!r}"
        if answer.reason == 3:
            return f"; the peer does not know {request.calling_ae!r}"
    return ""
