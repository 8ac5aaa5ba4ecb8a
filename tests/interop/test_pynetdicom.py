"""pynetdicom at the other end: its user and its server against ours, both ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dicomcore.data.part10 import read_header
from dicomcore.net import AE, store
from dicomcore.services.base import ServiceProvider
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.sop_classes import VERIFICATION
from tests.net.conftest import CT


def their_user(pynetdicom: Any, port: int) -> Any:
    ae = pynetdicom.AE("THEIRS")
    ae.add_requested_context(VERIFICATION)
    ae.add_requested_context(CT, "1.2.840.10008.1.2.1")
    return ae.associate("127.0.0.1", port)


def test_their_user(pynetdicom: Any, files: list[Path], tmp_path: Path) -> None:
    import pydicom

    services: list[ServiceProvider] = [StorageSCP(tmp_path / "out"), VerificationSCP()]
    with AE("SERVER").serve(0, host="127.0.0.1", services=services) as server:
        association = their_user(pynetdicom, server.port)
        assert association.is_established
        assert [association.send_c_echo().Status for _ in range(5)] == [0] * 5
        assert [association.send_c_store(str(path)).Status for path in files] == [0] * 3
        association.release()
        assert association.is_released
    for path in files:
        sent = pydicom.dcmread(path)
        assert pydicom.dcmread(tmp_path / "out" / f"{sent.SOPInstanceUID}.dcm") == sent


def test_their_user_aborts(pynetdicom: Any) -> None:
    with AE("SERVER").serve(0, host="127.0.0.1", services=[VerificationSCP()]) as server:
        association = their_user(pynetdicom, server.port)
        association.send_c_echo()
        association.abort()
        assert association.is_aborted
        assert their_user(pynetdicom, server.port).is_established


def test_their_server(pynetdicom: Any, files: list[Path], tmp_path: Path) -> None:
    received: dict[str, bytes] = {}

    def handle(event: Any) -> int:
        received[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        return 0

    ae = pynetdicom.AE("THEIRS")
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(CT, "1.2.840.10008.1.2.1")
    handlers: list[tuple[Any, Callable[[Any], int]]] = [(pynetdicom.evt.EVT_C_STORE, handle)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        port = server.socket.getsockname()[1]
        with AE("USER").associate("127.0.0.1", port) as association:
            assert [association.c_echo() for _ in range(5)] == [0] * 5
        report = store(files, ("127.0.0.1", port))
        assert len(report.stored) == 3
        for path in files:
            header = read_header(path)
            assert received[header.sop_instance_uid] == path.read_bytes()[header.dataset_offset :]
    finally:
        server.shutdown()
