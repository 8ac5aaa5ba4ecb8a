"""A C-GET provider over files: the instances come back on the association on which they were asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from dicomcore import AE, Dataset, FileHeader, dcmread, read_header
from dicomcore.services import (
    PLAIN_SYNTAXES,
    CommandField,
    Provider,
    Request,
    ServiceContext,
    StorageSCU,
    model_uid,
    received_dataset,
    storage_syntaxes,
    sub_operations,
)

LEVELS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class Catalogue:
    """Files by the identifiers of the four levels of query and retrieve (PS3.4 C.3)."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.rows: list[tuple[dict[str, str], FileHeader]] = []
        for path in paths:
            dataset = dcmread(path, stop_before_pixels=True)
            self.rows.append(({level: str(dataset.get(level, "")) for level in LEVELS}, read_header(path)))

    def find(self, query: Dataset) -> list[FileHeader]:
        """The files that have the identifiers of a query, each one or a list of them."""
        wanted = {level: query.get(level) for level in LEVELS}
        lists = {level: value if isinstance(value, list) else [value] for level, value in wanted.items() if value}
        return [header for row, header in self.rows if all(row[level] in lists[level] for level in lists)]


class GetSCP:
    """Sends what is asked for, as far as the requestor takes it."""

    commands = frozenset({CommandField.C_GET_RQ})

    def __init__(self, catalogue: Catalogue, model: str = "study-root") -> None:
        self.catalogue = catalogue
        classes = {header.sop_class_uid for _, header in catalogue.rows}
        self.supported: dict[str, tuple[str, ...]] = {uid: storage_syntaxes() for uid in sorted(classes)}
        self.supported[model_uid(model, "C-GET")] = PLAIN_SYNTAXES
        self.roles = dict.fromkeys(classes, (True, True))  # for these the requestor may be the SCP

    def handle(self, request: Request, context: ServiceContext) -> Provider:
        query = yield from received_dataset(request, context)
        assert context.negotiated is not None
        user = StorageSCU(context.negotiated, limits=context.limits, requestor=context.requestor)
        yield from sub_operations(self.catalogue.find(query), user, request, context)


if __name__ == "__main__":
    files = Catalogue(Path(sys.argv[1]).rglob("*.dcm"))
    with AE("GETTER").serve(11112, services=[GetSCP(files)]) as server:
        server.wait()
