"""Storage Commitment (PS3.4 J): an N-ACTION asks, and is answered at once; an N-EVENT-REPORT tells what is safe.

The report goes out a while later, on an association of its own, whether or not the one of the request still stands.
"""

import sys
from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dicomcore import AE, Dataset, RoleSelection
from dicomcore.services import (
    PLAIN_SYNTAXES,
    Associate,
    At,
    CommandField,
    Perform,
    Provider,
    Request,
    Response,
    ServiceContext,
    file_name,
    n_event_report,
    received_dataset,
)

COMMITMENT, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
SUCCESS, NO_SUCH_OBJECT_INSTANCE, NO_SUCH_ACTION = 0x0000, 0x0112, 0x0123
ALL_SAFE, SOME_FAILED = 1, 2  # Event Type ID


class CommitmentSCP:
    """Commits to what ``is_stored(SOP Class UID, SOP Instance UID)`` says is there; ``users``: where they listen."""

    supported = MappingProxyType({COMMITMENT: PLAIN_SYNTAXES})
    commands = frozenset({CommandField.N_ACTION_RQ})

    def __init__(
        self, is_stored: Callable[[str, str], bool], users: Mapping[str, tuple[str, int]], delay: float = 1.0
    ) -> None:
        self.is_stored = is_stored
        self.users = users
        self.delay = delay

    def handle(self, request: Request, context: ServiceContext) -> Provider:
        asked = yield from received_dataset(request, context)
        if request.command.ActionTypeID != 1:
            yield Response(NO_SUCH_ACTION)
            return
        yield At(self.delay, partial(self.report, request.calling_ae, asked))
        yield Response(SUCCESS)

    def report(self, title: str, asked: Dataset) -> Generator[Any, Any, None]:
        safe, failed = [], []
        for item in asked.ReferencedSOPSequence:
            sop_class, sop_instance = item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID
            row = Dataset({"ReferencedSOPClassUID": sop_class, "ReferencedSOPInstanceUID": sop_instance})
            if self.is_stored(sop_class, sop_instance):
                safe.append(row)
            else:
                row.FailureReason = NO_SUCH_OBJECT_INSTANCE
                failed.append(row)
        told = Dataset({"TransactionUID": asked.TransactionUID, "ReferencedSOPSequence": safe})
        if failed:
            told.FailedSOPSequence = failed
        roles = [RoleSelection(COMMITMENT, scu=False, scp=True)]
        channel = yield Associate(*self.users[title], called_ae=title, contexts=COMMITMENT, roles=roles)
        event = SOME_FAILED if failed else ALL_SAFE
        yield Perform(n_event_report(channel.negotiated, COMMITMENT, INSTANCE, event, told).last(), channel)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    service = CommitmentSCP(lambda _, uid: (folder / file_name(uid)).exists(), {"MODALITY": ("localhost", 11113)})
    with AE("COMMITTER").serve(11112, services=[service]) as server:
        server.wait()
