"""A C-MOVE provider over files: it opens an association to the destination, which it has to know, and sends there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from get_scp import Catalogue

from dicomcore import AE, DicomError
from dicomcore.services import (
    PLAIN_SYNTAXES,
    Associate,
    CommandField,
    Provider,
    Request,
    Response,
    ServiceContext,
    StorageSCU,
    model_uid,
    received_dataset,
    sub_operations,
)

SUCCESS, UNABLE_TO_PERFORM, UNKNOWN_DESTINATION = 0x0000, 0xA702, 0xA801


class MoveSCP:
    """Sends what is asked for to one of ``destinations``: host and port by AE title."""

    commands = frozenset({CommandField.C_MOVE_RQ})

    def __init__(
        self, catalogue: Catalogue, destinations: Mapping[str, tuple[str, int]], model: str = "study-root"
    ) -> None:
        self.catalogue = catalogue
        self.destinations = destinations
        self.supported = {model_uid(model, "C-MOVE"): PLAIN_SYNTAXES}

    def handle(self, request: Request, context: ServiceContext) -> Provider:
        query = yield from received_dataset(request, context)
        title = request.command.MoveDestination.strip()
        if title not in self.destinations:
            yield Response(UNKNOWN_DESTINATION, elements={"ErrorComment": "Move Destination unknown"})
            return
        found = self.catalogue.find(query)
        if not found:
            yield Response(SUCCESS)
            return
        host, port = self.destinations[title]
        try:
            channel = yield Associate(host, port, called_ae=title, contexts=found)
        except DicomError as error:
            yield Response(UNABLE_TO_PERFORM, elements={"ErrorComment": str(error)[:64]})
            return
        yield from sub_operations(found, StorageSCU(channel.negotiated), request, context, channel)


if __name__ == "__main__":
    files = Catalogue(Path(sys.argv[1]).rglob("*.dcm"))
    with AE("MOVER").serve(11112, services=[MoveSCP(files, {"STORE": ("localhost", 11113)})]) as server:
        server.wait()
