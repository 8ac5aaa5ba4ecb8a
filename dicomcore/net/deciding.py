"""Whether a server takes an association: what negotiation or the caller said, and if there is room (PS3.8 9.3.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from dicomcore.errors import DicomError, LocalProtocolError
from dicomcore.net.admission import Admission
from dicomcore.net.connection import Connection
from dicomcore.net.watch import Log
from dicomcore.ul import Accept, Decision, Reject, State

__all__ = ["has_room", "reply", "undecided"]

log = Log("net")

LOCAL_LIMIT: Final = Reject(result=2, source=3, reason=2)  # transient, presentation provider, local-limit-exceeded
NO_REASON: Final = Reject(1, 1, 1)
CANNOT_SAY: Final = Reject(2, 2, 1)  # transient, ACSE provider, no reason
ASKED: Final = State.Sta3


def undecided(connection: Connection, error: BaseException) -> Reject:
    """What a request gets whose decision came to an exception: the caller's own, or what it answered is no decision."""
    unfit = isinstance(error, LocalProtocolError)
    asked = connection.core.asked
    log.error(
        "an association from %r is refused: %s",
        "" if asked is None else asked.calling_ae,
        error,
        exc_info=None if unfit else error,
        extra=connection.watcher.extra,
    )
    return NO_REASON if unfit else CANNOT_SAY


def reply(connection: Connection, answer: Decision, has_room: Callable[[Any], bool]) -> bool | None:
    """Accept (True) or reject (False), unless there is no room. None: nobody waits for an answer any more."""
    core = connection.core
    if core.state is not ASKED:
        return None  # what came right behind the request has ended it: a fault, an abort, the end of the connection
    accepted = isinstance(answer, Accept)
    if accepted and not has_room(connection):
        accepted, answer = False, LOCAL_LIMIT
    try:
        core.request(answer)
    except DicomError as error:  # an answer of the caller that does not fit the request
        core.request(undecided(connection, LocalProtocolError(str(error))))
        return False
    return accepted


def has_room(connection: Connection, admission: Admission, peer: tuple[Any, ...], closing: bool) -> bool:
    """Whether one more association may stand; it is then counted. If not, the core knows for which bound."""
    if not closing and admission.associate(peer[0]):
        return True
    connection.core.because = "the server closes" if closing else admission.bound(peer[0])
    return False
