"""Modality Performed Procedure Step (PS3.4 F.7): created IN PROGRESS by N-CREATE, ended by N-SET, then fixed."""

from types import MappingProxyType

from dicomcore import AE, Dataset, new_uid
from dicomcore.services import (
    PLAIN_SYNTAXES,
    CommandField,
    Provider,
    Request,
    Response,
    ServiceContext,
    received_dataset,
)

MPPS = "1.2.840.10008.3.1.2.3.3"
SUCCESS, INVALID_VALUE, PROCESSING_FAILURE, DUPLICATE, NO_SUCH_INSTANCE = 0x0000, 0x0106, 0x0110, 0x0111, 0x0112
NO_LONGER_TO_BE_UPDATED = 0xA710  # Error ID (PS3.4 F.7.2.2.2)
STATUS = 0x00400252


class MppsSCP:
    """Keeps the steps in memory, by SOP Instance UID."""

    supported = MappingProxyType({MPPS: PLAIN_SYNTAXES})
    commands = frozenset({CommandField.N_CREATE_RQ, CommandField.N_SET_RQ})

    def __init__(self) -> None:
        self.steps: dict[str, Dataset] = {}

    def handle(self, request: Request, context: ServiceContext) -> Provider:
        values = yield from received_dataset(request, context)
        if request.command.field == CommandField.N_CREATE_RQ:
            yield self.create(request.command.AffectedSOPInstanceUID or new_uid(), values)
        else:
            yield self.change(request.command.RequestedSOPInstanceUID, values)

    def create(self, uid: str, values: Dataset) -> Response:
        if uid in self.steps:
            return Response(DUPLICATE)
        if values.get("PerformedProcedureStepStatus") != "IN PROGRESS":
            return Response(INVALID_VALUE, elements={"OffendingElement": (STATUS,)})
        self.steps[uid] = values
        return Response(SUCCESS, elements={"AffectedSOPInstanceUID": uid})

    def change(self, uid: str, values: Dataset) -> Response:
        step = self.steps.get(uid)
        if step is None:
            return Response(NO_SUCH_INSTANCE)
        if step.PerformedProcedureStepStatus != "IN PROGRESS":
            comment = "the step has ended and may no longer be updated"
            return Response(PROCESSING_FAILURE, elements={"ErrorComment": comment, "ErrorID": NO_LONGER_TO_BE_UPDATED})
        step.update(values)
        return Response(SUCCESS)


if __name__ == "__main__":
    with AE("MPPS").serve(11112, services=[MppsSCP()]) as server:
        server.wait()
