"""Sub-operations, for providers of C-GET and C-MOVE (PS3.4 C.4.2.3, C.4.3.3): instances sent, counted and reported.

``yield from sub_operations(...)`` does all of it, up to the final response: one Pending response after each
C-STORE, an end with FE00 at a cancel, at last 0000, B000 when some failed, or A702 when all did, with the UIDs of those
in FailedSOPInstanceUIDList.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dicomcore.data.dataset import Dataset
from dicomcore.data.part10 import FileHeader
from dicomcore.errors import AssociationAborted, DicomError
from dicomcore.vocab.status import CANCELLED, PENDING, SUCCESS, StatusCategory, category

from .base import Answer, Channel, Perform, Provider, Request, Response, ServiceContext
from .sending import StorageSCU

__all__ = ["sub_operations"]

SOME_FAILED = 0xB000
UNABLE_TO_PERFORM = 0xA702  # no sub-operation succeeded

log = logging.getLogger("dicomcore.services")


def sub_operations(
    instances: Sequence[FileHeader | Dataset],
    user: StorageSCU,
    request: Request,
    context: ServiceContext,
    channel: Channel | None = None,
) -> Provider:
    """Send each instance with ``user``, on ``channel`` (C-MOVE) or on the provider's own association (C-GET)."""
    originator = (request.calling_ae, request.command.MessageID) if channel is not None else None
    done = {StatusCategory.SUCCESS: 0, StatusCategory.WARNING: 0}
    failed: list[str] = []
    cancelled = False
    for number, instance in enumerate(instances):
        if cancelled := context.cancelled:
            remaining = instances[number:]
            break
        try:
            answer: Answer = yield Perform(user.c_store(instance, move_originator=originator), channel)
            outcome = category(answer.status)
        except (DicomError, OSError) as error:
            log.warning("%s was not sent: %s", _uid(instance), error)
            outcome = StatusCategory.FAILURE
            if isinstance(error, AssociationAborted):  # the channel is gone, and with it the rest
                failed += map(_uid, instances[number:])
                break
        if outcome in done:
            done[outcome] += 1
        else:
            failed.append(_uid(instance))
        left = len(instances) - number - 1
        if left:
            yield Response(PENDING, elements=_counts(done, failed) | {"NumberOfRemainingSuboperations": left})
    counts = _counts(done, failed)
    if cancelled:
        counts["NumberOfRemainingSuboperations"] = len(remaining)
        status = CANCELLED
    elif failed:
        status = SOME_FAILED if any(done.values()) else UNABLE_TO_PERFORM
    else:
        status = SUCCESS if not done[StatusCategory.WARNING] else SOME_FAILED
    yield Response(status, {"FailedSOPInstanceUIDList": failed} if failed else None, counts)


def _counts(done: dict[StatusCategory, int], failed: list[str]) -> dict[str, int]:
    return {
        "NumberOfCompletedSuboperations": done[StatusCategory.SUCCESS],
        "NumberOfFailedSuboperations": len(failed),
        "NumberOfWarningSuboperations": done[StatusCategory.WARNING],
    }


def _uid(instance: FileHeader | Dataset) -> str:
    return instance.sop_instance_uid if isinstance(instance, FileHeader) else str(instance.SOPInstanceUID)
