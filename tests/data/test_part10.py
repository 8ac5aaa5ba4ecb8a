"""The frame of a file: layouts of every kind, headers for sending, meta groups for receiving."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pydicom
import pytest

from dicomcore import dcmread
from dicomcore.data.part10 import Layout, encode_file_meta, read_header, read_layout
from dicomcore.encoding.policy import LENIENT, Policy
from dicomcore.encoding.source import BytesSource
from dicomcore.errors import EncodingError, Issue
from dicomcore.vocab.syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, TransferSyntax
from dicomcore.vocab.uids import IMPLEMENTATION_CLASS_UID

CT = "1.2.840.10008.5.1.4.1.1.2"
# (0008,0016) CT Image Storage and (0008,0018) 1.2.3
CLASS, INSTANCE = CT.encode() + b"\0", b"1.2.3\0"
BODIES = {
    EXPLICIT_LE: b"\x08\0\x16\0UI\x1a\0" + CLASS + b"\x08\0\x18\0UI\6\0" + INSTANCE,
    IMPLICIT_LE: b"\x08\0\x16\0\x1a\0\0\0" + CLASS + b"\x08\0\x18\0\6\0\0\0" + INSTANCE,
    EXPLICIT_BE: b"\0\x08\0\x16UI\0\x1a" + CLASS + b"\0\x08\0\x18UI\0\6" + INSTANCE,
}


def layout(data: bytes, policy: Policy = LENIENT) -> tuple[Layout, list[Issue]]:
    issues: list[Issue] = []
    return read_layout(BytesSource(data), policy=policy, issues=issues)[0], issues


@pytest.mark.parametrize("syntax", BODIES, ids=str)
def test_a_whole_file(syntax: TransferSyntax) -> None:
    meta = encode_file_meta(CT, "1.2.3", syntax.uid)
    found, issues = layout(meta + BODIES[syntax])
    assert found == (True, 132, len(meta), syntax, syntax.uid)
    assert not issues


@pytest.mark.parametrize("syntax", BODIES, ids=str)
def test_without_preamble_or_meta(syntax: TransferSyntax) -> None:
    meta = encode_file_meta(CT, "1.2.3", syntax.uid)
    bare, issues = layout(meta[132:] + BODIES[syntax])
    assert bare == (False, 0, len(meta) - 132, syntax, syntax.uid)
    assert "preamble" in issues[0].message
    naked, issues = layout(BODIES[syntax])
    assert naked == (False, 0, 0, syntax, "")
    assert len(issues) == 3
    prefixed, _ = layout(meta[128:] + BODIES[syntax])
    assert prefixed == (False, 4, len(meta) - 128, syntax, syntax.uid)


def test_a_wrong_group_length_or_none_changes_nothing() -> None:
    meta = bytearray(encode_file_meta(CT, "1.2.3", EXPLICIT_LE.uid))
    whole = len(meta)
    for length in (0, 1, 20, 0xFFFFFFFF):
        meta[140:144] = struct.pack("<I", length)
        assert layout(bytes(meta) + BODIES[EXPLICIT_LE])[0].dataset_offset == whole
    found, issues = layout(bytes(meta[:132] + meta[144:]) + BODIES[EXPLICIT_LE])
    assert found.dataset_offset == whole - 12
    assert "group length" in issues[0].message


@pytest.mark.parametrize(("declared", "actual"), [(EXPLICIT_LE, IMPLICIT_LE), (IMPLICIT_LE, EXPLICIT_LE)])
def test_a_wrong_declaration_is_an_issue(declared: TransferSyntax, actual: TransferSyntax) -> None:
    data = encode_file_meta(CT, "1.2.3", declared.uid) + BODIES[actual]
    found, issues = layout(data)
    assert (found.syntax.explicit, found.syntax.uid) == (actual.explicit, declared.uid)
    assert "declared" in issues[0].message
    with pytest.raises(EncodingError) as caught:
        layout(data, Policy.strict())
    assert caught.value.offset == len(data) - len(BODIES[actual])


@pytest.mark.parametrize("start", [b"", encode_file_meta(CT, "1.2.3", IMPLICIT_LE.uid)])
def test_implicit_big_endian(start: bytes) -> None:
    rows = ((0x00080010, b"ACR-NEMA 1.0"), (0x00280010, b"\0\5"), (0x7FE00010, b"\1\2\3\4"))
    data = b"".join(struct.pack(">HHI", tag >> 16, tag & 0xFFFF, len(value)) + value for tag, value in rows)
    dataset = dcmread(start + data)
    assert dataset.Rows == 5
    assert str(dataset[0x0008, 0x0010].value) == "ACR-NEMA 1.0"
    assert pydicom.dcmread(io.BytesIO(dataset.to_bytes(EXPLICIT_LE)), force=True).PixelData == b"\2\1\4\3"
    assert any("declared" in issue.message for issue in dataset.issues)


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 300, b"\0" * 300, b"PK\3\4" + b"x" * 200])
def test_what_is_not_dicom_is_refused(data: bytes) -> None:
    with pytest.raises(EncodingError) as caught:
        layout(data)
    assert caught.value.clause == "PS3.10 7.1"


def test_gzip_gets_a_hint() -> None:
    with pytest.raises(EncodingError, match="decompress"):
        layout(b"\x1f\x8b\x08\0" + b"\0" * 200)


def test_every_cut_of_a_meta_group_ends_in_an_answer() -> None:
    data = encode_file_meta(CT, "1.2.3", EXPLICIT_LE.uid, source_ae="ME") + BODIES[EXPLICIT_LE]
    for length in range(len(data)):
        try:
            found, _ = layout(data[:length])
        except EncodingError:
            continue
        assert found.dataset_offset <= length


def test_header_for_sending(tmp_path: Path) -> None:
    path = tmp_path / "ct.dcm"
    meta = encode_file_meta(CT, "1.2.3", IMPLICIT_LE.uid)
    path.write_bytes(meta + BODIES[IMPLICIT_LE])
    whole = (str(path), CT, "1.2.3", IMPLICIT_LE.uid, len(meta), path.stat().st_size)
    assert read_header(path) == whole
    path.write_bytes(BODIES[IMPLICIT_LE])
    assert read_header(path)[1:5] == (CT, "1.2.3", IMPLICIT_LE.uid, 0)
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "none")


def test_meta_group_as_pydicom_reads_it() -> None:
    data = encode_file_meta(CT, "1.2.3", EXPLICIT_LE.uid, source_ae="A", sending_ae="BB", receiving_ae="CCC")
    assert len(data) % 2 == 0
    meta = pydicom.dcmread(io.BytesIO(data + BODIES[EXPLICIT_LE])).file_meta
    assert meta.FileMetaInformationGroupLength == len(data) - 144
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (CT, "1.2.3")
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    titles = meta.SourceApplicationEntityTitle, meta.SendingApplicationEntityTitle, meta.ReceivingApplicationEntityTitle
    assert titles == ("A", "BB", "CCC")
