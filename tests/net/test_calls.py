"""The generic calls: what they send, what their iterators give, and what is left when they end early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.dimse.command import CommandField
from dicomcore.errors import EncodingError, LocalProtocolError, NegotiationError, PeerTimeout, ServiceError
from dicomcore.limits import Limits
from dicomcore.net import AE, Server
from dicomcore.services.base import Request, Response, ServiceContext
from dicomcore.services.messages import Prepared, received_dataset
from dicomcore.services.verification import VerificationSCP
from dicomcore.ul import RoleSelection
from dicomcore.vocab.sop_classes import VERIFICATION

from .conftest import FIND, PATIENCE, Scripted, eventually

Serving = Callable[..., Server]
Steps = Generator[Any, Any, None]
MOVE, GET = FIND[:-1] + "2", FIND[:-1] + "3"
PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PRINTER = "1.2.840.10008.5.1.1.16"
PRINTER_INSTANCE = "1.2.840.10008.5.1.1.17"
QUERY = {"QueryRetrieveLevel": "STUDY", "PatientID": "", "PatientName": "Ä*", "SpecificCharacterSet": "ISO_IR 100"}


def finder(provider: Callable[[Request, ServiceContext], Steps]) -> Scripted:
    return Scripted(provider, PATIENT_FIND, CommandField.C_FIND_RQ)


def test_find(serving: Serving, user: AE) -> None:
    seen: list[Dataset] = []

    def find(request: Request, context: ServiceContext) -> Steps:
        query = yield from received_dataset(request, context)
        seen.append(query)
        for number in range(3):
            yield Response(0xFF01 if number else 0xFF00, {"PatientID": str(number), "QueryRetrieveLevel": "STUDY"})
        yield Response(0x0000)

    port = serving(finder(find)).port
    with user.associate("127.0.0.1", port, contexts="patient-root") as association:
        found = list(association.c_find(QUERY, "patient-root", priority=2))
    assert [status for status, _ in found] == [0xFF00, 0xFF01, 0xFF01, 0]
    assert [row.identifier.PatientID for row in found if row.identifier is not None] == ["0", "1", "2"]
    assert found[-1].identifier is None
    assert seen[0].PatientName == "Ä*"
    assert seen[0].QueryRetrieveLevel == "STUDY"
    assert seen[0].get("PatientID") in (None, "")
