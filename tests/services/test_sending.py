"""The user of Storage: what leaves for which source on which context, and which contexts are asked for."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.data.files import read_dataset
from dicomcore.data.part10 import FileHeader, read_header
from dicomcore.encoding.source import FileSlice
from dicomcore.errors import EncodingError, NegotiationError
from dicomcore.services.base import Answer
from dicomcore.services.sending import StorageSCU, contexts_for_files, transcoded
from dicomcore.services.storage import storage_syntaxes
from dicomcore.ul import Acceptance, Negotiated, negotiate, propose
from dicomcore.vocab.uids import UID
from tests.services.driver import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    INSTANCE,
    JPEG,
    RT_PLAN,
    ask,
    encoded,
    file_bytes,
    plan,
)

PLAIN = [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED]

# --- the user -------------------------------------------------------------------------------------------------------


def agreed(*contexts: tuple[str, list[str]]) -> Negotiated:
    request = propose(contexts, calling_ae="A", called_ae="B")
    supported = {uid: tuple(storage_syntaxes()) for uid, _ in contexts}
    negotiated = negotiate(request, Acceptance(supported=supported)).negotiated
    assert negotiated is not None
    return negotiated


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[[str], Path]:
    def make(syntax: str) -> Path:
        path = tmp_path / f"{syntax}.dcm"
        path.write_bytes(file_bytes(plan(), syntax))
        return path

    return make


def body_bytes(body: Any) -> bytes:
    if isinstance(body, list):
        return b"".join(map(body_bytes, body))
    return bytes(body.read(0, len(body)) if hasattr(body, "read") else body)


@pytest.mark.parametrize("syntax", PLAIN)
@pytest.mark.parametrize("long", [False, True])
def test_a_file_goes_out_as_it_lies(make_file: Callable[[str], Path], syntax: str, long: bool) -> None:
    """A short one from memory, since it came with its header; of a long one a slice of the file, opened once."""
    path = make_file(syntax)
    if long:
        with path.open("ab") as file:
            file.write(bytes(100_000))
    scu = StorageSCU(agreed((RT_PLAN, [IMPLICIT]), (RT_PLAN, [syntax])))
    user = scu.c_store(path, priority=2, move_originator=("MOVER", 9))
    invoke = next(user)
    assert isinstance(invoke.body, FileSlice if long else bytes | memoryview)
    descriptor = invoke.body.fileno() if isinstance(invoke.body, FileSlice) else -1
    assert path.read_bytes().endswith(body_bytes(invoke.body))
    assert len(invoke.body) == path.stat().st_size - read_header(path).dataset_offset
    assert invoke.context_id == (1 if syntax == IMPLICIT else 3)
    asked = invoke.command
    assert (asked.AffectedSOPClassUID, asked.AffectedSOPInstanceUID) == (RT_PLAN, INSTANCE)
    assert (asked.Priority, asked.MoveOriginatorMessageID) == (2, 9)
    assert asked.MoveOriginatorApplicationEntityTitle == "MOVER"
    answer = Answer(0xB000, invoke.command)
    with pytest.raises(StopIteration) as end:
        user.send(answer)
    assert end.value.value is answer
    if long:
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(descriptor)


@pytest.mark.parametrize("source", PLAIN)
@pytest.mark.parametrize("target", PLAIN)
def test_encoded_anew_among_the_plain_syntaxes(make_file: Callable[[str], Path], source: str, target: str) -> None:
    scu = StorageSCU(agreed((RT_PLAN, [target])))
    invoke, answer = ask(scu.c_store(read_header(make_file(source))))
    assert answer.status == 0
    sent = pydicom.dcmread(io.BytesIO(with_meta(body_bytes(invoke.body), target)))
    del sent.file_meta
    assert sent == plan()


def with_meta(body: bytes, syntax: str) -> bytes:
    from dicomcore.data.part10 import encode_file_meta

    return encode_file_meta(RT_PLAN, INSTANCE, syntax) + body


def test_a_dataset_goes_out_too(make_file: Callable[[str], Path]) -> None:
    from dicomcore.data.files import dcmread

    dataset = dcmread(make_file(EXPLICIT))
    dataset.RTPlanLabel = "EDITED"
    invoke, _ = ask(StorageSCU(agreed((RT_PLAN, [IMPLICIT]))).c_store(dataset))
    sent = pydicom.dcmread(io.BytesIO(with_meta(body_bytes(invoke.body), IMPLICIT)))
    assert sent.RTPlanLabel == "EDITED"


def test_pieces_are_few(tmp_path: Path) -> None:
    """Small chunks are joined, so that a data set of many edits is not sent as many PDUs."""
    from dicomcore.data.files import dcmread

    path = tmp_path / "ct.dcm"
    path.write_bytes(file_bytes(plan(PixelData=bytes(200_000), BitsAllocated=16), EXPLICIT))
    dataset = dcmread(path)
    dataset.PatientName = "A^B"
    dataset.Modality = "CT"
    dataset.RTPlanLabel = "L"
    invoke, _ = ask(StorageSCU(agreed((RT_PLAN, [EXPLICIT]))).c_store(dataset))
    assert isinstance(invoke.body, list)
    assert len(invoke.body) <= 3


def jpeg_header(path: Path) -> FileHeader:
    path.write_bytes(with_meta(encoded(plan(), EXPLICIT), JPEG))
    return read_header(path)


def test_what_needs_a_codec_needs_a_transcoder(tmp_path: Path) -> None:
    header = jpeg_header(tmp_path / "jpeg.dcm")
    negotiated = agreed((RT_PLAN, [IMPLICIT]), (RT_PLAN, [EXPLICIT]))
    with pytest.raises(NegotiationError, match=r"JPEG Baseline.*the peer accepted.*Explicit VR.*transcoder"):
        next(StorageSCU(negotiated).c_store(header))
    calls = []

    def transcoder(dataset: Any, uid: str) -> Any:
        calls.append((dataset.RTPlanLabel if "RTPlanLabel" in dataset else "", uid))
        return read_dataset(encoded(plan(RTPlanLabel="TRANSCODED"), EXPLICIT), EXPLICIT)

    invoke, _ = ask(StorageSCU(negotiated, transcoder=transcoder).c_store(header))
    assert calls == [("", EXPLICIT)]
    assert b"TRANSCODED" in body_bytes(invoke.body)
    assert invoke.context_id == 3
    invoke, _ = ask(StorageSCU(agreed((RT_PLAN, [JPEG]))).c_store(header))  # verbatim, nothing to transcode
    assert body_bytes(invoke.body) == encoded(plan(), EXPLICIT)


def test_without_another_transcoder_nothing_is_lost(tmp_path: Path) -> None:
    rle, baseline = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.PatientName = CT, "2.25.1", "A"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 2, 2, 8, 8, 7
    ds.PixelData = b"abcd"
    ds.save_as(tmp_path / "native.dcm", transfer_syntax=EXPLICIT)
    for contexts in ([(CT, [baseline]), (CT, [rle])], [(CT, [rle]), (CT, [IMPLICIT])]):
        invoke, _ = ask(StorageSCU(agreed(*contexts), transcoder=transcoded).c_store(tmp_path / "native.dcm"))
        assert invoke.context_id == 3  # neither the one that loses, nor compression where none is needed
        assert invoke.command.AffectedSOPInstanceUID == "2.25.1"
    assert b"abcd" in body_bytes(invoke.body)
    with pytest.raises(NegotiationError, match=r"Explicit VR.*cannot be sent as JPEG Baseline.*loses something"):
        next(StorageSCU(agreed((CT, [baseline])), transcoder=transcoded).c_store(tmp_path / "native.dcm"))


def test_what_a_transcoder_makes_another_instance_is_sent_as_that() -> None:
    def renamed(dataset: Any, uid: str) -> Any:
        made = dataset.copy()
        made.SOPInstanceUID = "2.25.77"
        return made

    ds = read_dataset(encoded(plan(), EXPLICIT), EXPLICIT)
    ds.file_meta.TransferSyntaxUID = JPEG
    invoke, _ = ask(StorageSCU(agreed((RT_PLAN, [EXPLICIT])), transcoder=renamed).c_store(ds))
    assert invoke.command.AffectedSOPInstanceUID == "2.25.77"


def test_errors_name_the_file_or_the_lack(tmp_path: Path) -> None:
    scu = StorageSCU(agreed((CT, [IMPLICIT])))
    path = tmp_path / "plan.dcm"
    path.write_bytes(file_bytes(plan()))
    with pytest.raises(NegotiationError, match="no presentation context for RT Plan Storage"):
        next(scu.c_store(path))
    with pytest.raises(FileNotFoundError):
        next(scu.c_store(tmp_path / "absent.dcm"))
    (tmp_path / "text").write_bytes(b"this is no DICOM file at all, is it?")
    with pytest.raises(EncodingError):
        next(scu.c_store(tmp_path / "text"))
    nameless = FileHeader("x.dcm", UID(RT_PLAN), UID(""), UID(IMPLICIT), 0, 9)
    with pytest.raises(EncodingError, match=r"x\.dcm has no SOP Instance UID"):
        next(scu.c_store(nameless))


def test_a_user_may_only_send_where_it_is_the_scu() -> None:
    negotiated = agreed((CT, [IMPLICIT]))
    assert StorageSCU(negotiated).context_for(CT, IMPLICIT).id == 1
    with pytest.raises(NegotiationError):
        StorageSCU(negotiated, requestor=False).context_for(CT, IMPLICIT)


# --- the user: which contexts ---------------------------------------------------------------------------------------


def header(sop_class: str, syntax: str) -> FileHeader:
    return FileHeader("", UID(sop_class), UID(INSTANCE), UID(syntax), 0, 0)


def test_contexts_for_files() -> None:
    headers = [header(CT, EXPLICIT), header(CT, JPEG), header(CT, JPEG), header(RT_PLAN, IMPLICIT)]
    assert contexts_for_files(headers) == (
        (CT, (JPEG,)),
        (RT_PLAN, (IMPLICIT,)),
        (CT, (EXPLICIT,)),
        (CT, (IMPLICIT,)),
        (RT_PLAN, (EXPLICIT,)),
    )
    assert contexts_for_files([header(CT, JPEG)]) == ((CT, (JPEG,)), (CT, (EXPLICIT, IMPLICIT)))
    assert contexts_for_files([header(CT, JPEG)], default_syntaxes=()) == ((CT, (JPEG,)),)
    assert contexts_for_files([]) == ()


def test_contexts_are_at_most_128_and_every_class_keeps_one() -> None:
    classes = [f"1.2.{number}" for number in range(100)]
    rows = contexts_for_files(header(uid, syntax) for uid in classes for syntax in (JPEG, EXPLICIT, IMPLICIT))
    assert len(rows) == 128
    assert {uid for uid, _ in rows} == set(classes)
    propose(rows, calling_ae="A", called_ae="B")
