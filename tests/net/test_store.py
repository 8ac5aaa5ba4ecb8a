"""Sending in one call and the results of many: what one file is stops nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dicomcore.data.part10 import encode_file_meta, read_header
from dicomcore.errors import EncodingError, NegotiationError, PeerTimeout, SourceChanged
from dicomcore.net import AE, Server, store
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.syntaxes import EXPLICIT_LE

from .conftest import CT, element, even, hurry, write_ct

Serving = Callable[..., Server]


def _with_uid(path: Path, uid: str) -> None:
    dataset = element(8, 0x16, b"UI", even(CT)) + element(8, 0x18, b"UI", even(uid))
    path.write_bytes(encode_file_meta(CT, uid, EXPLICIT_LE.uid) + dataset)


def test_a_file_whose_uid_cannot_be_sent_stops_nothing(serving: Serving, tmp_path: Path) -> None:
    server = serving(StorageSCP(tmp_path / "out"))
    folder = tmp_path / "in"
    folder.mkdir()
    write_ct(folder / "a")
    _with_uid(folder / "b", "1." * 40 + "1")
    _with_uid(folder / "c", "2.25.77")
    raw = (folder / "c").read_bytes()
    (folder / "c").write_bytes(raw.replace(b"2.25.77", b"\xff\xfe25.77"))
    write_ct(folder / "d")
    report = store(folder, ("127.0.0.1", server.port))
    assert [Path(result.source.path).name for result in report.stored] == ["a", "d"]  # type: ignore[union-attr]
    assert [type(result.error) for result in report.failed] == [EncodingError, EncodingError]
    assert str(report.failed[0]).startswith(str(folder / "b"))


@pytest.mark.parametrize("how", ["shorter", "longer", "a folder", "absent"])
def test_a_file_that_changed_since_its_header_was_read(serving: Serving, user: AE, tmp_path: Path, how: str) -> None:
    server = serving(StorageSCP(tmp_path / "out"))
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path in paths:
        write_ct(path, 100_000)
    headers = [read_header(path) for path in paths]
    raw = paths[1].read_bytes()
    if how in ("shorter", "longer"):
        paths[1].write_bytes(raw[:1000] if how == "shorter" else raw + bytes(2))
    else:
        paths[1].unlink()
        if how == "a folder":
            paths[1].mkdir()
    with user.associate("127.0.0.1", server.port, contexts=headers) as association:
        results = list(association.c_store_many(headers))
        assert [result.status for result in results] == [0, None, 0]
        assert isinstance(results[1].error, FileNotFoundError if how == "absent" else SourceChanged)
        if how != "absent":
            with pytest.raises(SourceChanged):
                association.c_store(headers[1])
        assert association.c_store(headers[2]) == 0
    assert len(os.listdir(tmp_path / "out")) == 2


def test_what_cannot_be_read_has_failed(serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serving(StorageSCP(tmp_path / "out"))
    (tmp_path / "in" / "closed").mkdir(parents=True)
    write_ct(tmp_path / "in" / "a")
    (tmp_path / "in" / "b").symlink_to("nowhere")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root may read everything
    report = store(tmp_path / "in", ("127.0.0.1", server.port))
    assert len(report.stored) == 1
    assert {Path(str(result.source)).name: type(result.error) for result in report.failed} == {
        "b": FileNotFoundError,
        "closed": PermissionError,
    }
    assert report.skipped == []


@pytest.mark.parametrize("host", ["..", "a" * 70 + ".example", "a..b"])
def test_a_host_that_is_no_name(user: AE, host: str) -> None:
    with pytest.raises(NegotiationError, match="no address"):
        user.associate(host, 104)


@pytest.mark.parametrize("port", [0, -1, 65536, 70000])
def test_a_port_that_is_none(user: AE, port: int) -> None:
    with pytest.raises(NegotiationError, match="no port"):
        user.associate("127.0.0.1", port)


def test_a_flood_does_not_put_off_the_deadline(serving: Serving, user: AE, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serving(VerificationSCP())
    association = user.associate("127.0.0.1", server.port)
    hurry(association, dimse_timeout=0.2)
    connection = association._connection
    monkeypatch.setattr(connection, "short", False)
    monkeypatch.setattr(connection, "pull", lambda **_: True)  # there is always more, and never the answer
    monkeypatch.setattr(association, "_take_in", lambda: None)
    with pytest.raises(PeerTimeout):
        association.c_echo()
    association.abort()
