"""A C-FIND provider over a list of data sets, one for each study, worklist item, or whatever is asked for.

Keys match when they are equal, when a wildcard fits, or when one of a list of UIDs does: a part of PS3.4 C.2.2.2.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from dicomcore import AE, Dataset
from dicomcore.services import (
    PLAIN_SYNTAXES,
    CommandField,
    Provider,
    Request,
    Response,
    ServiceContext,
    model_uid,
    received_dataset,
)

NO_KEYS = ("QueryRetrieveLevel", "SpecificCharacterSet")
PENDING, SUCCESS, CANCEL = 0xFF00, 0x0000, 0xFE00


def texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value or "")]


def matches(query: Dataset, row: Dataset) -> bool:
    """Whether a row has, for each key with a value, one that fits."""
    for key in query:
        wanted = texts(key.value)
        if key.keyword in NO_KEYS or key.VR == "SQ" or not any(wanted):
            continue
        found = texts(row[key.tag].value) if key.tag in row else [""]
        patterns = [text.replace("[", "[[]") for text in wanted]  # * and ? are wildcards, brackets are not
        if not any(fnmatchcase(value, pattern) for value in found for pattern in patterns):
            return False
    return True


def answer(query: Dataset, row: Dataset) -> Dataset:
    """Of a row what was asked for, and its character set; a key that the row does not have comes back empty."""
    found = Dataset()
    for key in query:
        found.add(row[key.tag] if key.tag in row and key.keyword != "QueryRetrieveLevel" else key)
    if "SpecificCharacterSet" in row:
        found.SpecificCharacterSet = row.SpecificCharacterSet
    return found


class FindSCP:
    """Answers with the rows that match."""

    commands = frozenset({CommandField.C_FIND_RQ})

    def __init__(self, rows: Iterable[Dataset], models: Iterable[str] = ("study-root", "patient-root")) -> None:
        self.rows = list(rows)
        self.supported = {model_uid(model, "C-FIND"): PLAIN_SYNTAXES for model in models}

    def handle(self, request: Request, context: ServiceContext) -> Provider:
        query = yield from received_dataset(request, context)
        for row in self.rows:
            if context.cancelled:
                yield Response(CANCEL)
                return
            if matches(query, row):
                yield Response(PENDING, answer(query, row))
        yield Response(SUCCESS)


if __name__ == "__main__":
    patients = [Dataset({"PatientID": str(number), "PatientName": f"Phantom^{number}"}) for number in range(3)]
    with AE("FINDER").serve(11112, services=[FindSCP(patients)]) as server:
        server.wait()
