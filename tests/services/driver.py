"""A driver in memory: it performs what providers and users yield, with no socket, thread or clock."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pydicom
from pydicom.dataset import Dataset as PydicomDataset
from pydicom.filewriter import write_dataset

from dicomcore.dimse.command import command
from dicomcore.services.base import (
    Answer,
    Call,
    Invoke,
    Provider,
    Receive,
    Received,
    Request,
    Response,
    ServiceContext,
    ServiceProvider,
)
from dicomcore.ul.negotiation import AgreedContext

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
CT = "1.2.840.10008.5.1.4.1.1.2"
INSTANCE = "2.25.99"


class Run:
    """One provider being driven: `start`, `feed` fragments, `finish`; or `leave` as when the peer has gone."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.log: list[str] = []
        self.responses: list[Response] = []
        self.error: Exception | None = None
        self.length = 0
        self.receive: Receive | None = None
        self._step(None)

    def _step(self, value: Any) -> None:
        failure: Exception | None = None
        while True:
            try:
                effect = self.provider.send(value) if failure is None else self.provider.throw(failure)
            except StopIteration:
                return
            value = failure = None
            self.log.append(type(effect).__name__)
            if isinstance(effect, Receive):
                self.receive = effect
                return
            if isinstance(effect, Response):
                self.responses.append(effect)
                continue
            assert isinstance(effect, Call)
            try:
                value = effect.fn(*effect.args)
            except Exception as error:
                failure = error

    def feed(self, fragments: Iterable[bytes | memoryview], *, gather: bool = False) -> Run:
        views = [memoryview(fragment) for fragment in fragments]
        self.length += sum(map(len, views))
        if self.receive is not None and self.error is None:
            sink: Any = self.receive.sink
            try:
                if gather:
                    sink.writev(views)
                else:
                    for view in views:
                        sink.write(view)
            except Exception as error:
                self.error = error
        return self

    def finish(self) -> list[Response]:
        self._step(Received(self.length, self.error))
        return self.responses

    def leave(self) -> None:
        self.provider.close()


def store_request(
    instance: str = INSTANCE, sop_class: str = RT_PLAN, syntax: str = IMPLICIT, context_class: str = ""
) -> Request:
    asked = command("C-STORE-RQ", AffectedSOPClassUID=sop_class, AffectedSOPInstanceUID=instance).but(MessageID=1)
    agreed = AgreedContext(1, context_class or sop_class, syntax)
    return Request(1, asked, True, agreed, "SENDER", "STORE", ("127.0.0.1", 1))


def begin(scp: ServiceProvider, request: Request | None = None) -> Run:
    return Run(scp.handle(request or store_request(), ServiceContext()))


def encoded(dataset: PydicomDataset, syntax: str = IMPLICIT) -> bytes:
    """A data set without file meta, by pydicom."""
    import zlib

    stream = pydicom.filebase.DicomBytesIO()
    stream.is_little_endian = syntax != BIG_ENDIAN
    stream.is_implicit_VR = syntax == IMPLICIT
    write_dataset(stream, dataset)
    raw: bytes = stream.getvalue()
    if syntax == DEFLATED:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        raw = deflate.compress(raw) + deflate.flush()
        raw += b"\0" * (len(raw) & 1)
    return raw


def plan(instance: str = INSTANCE, sop_class: str = RT_PLAN, **elements: Any) -> PydicomDataset:
    dataset = PydicomDataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = instance
    dataset.Modality = "RTPLAN"
    dataset.PatientName = "Phantom^Water"
    dataset.PatientID = "P1"
    beam = PydicomDataset()
    beam.BeamNumber = 1
    beam.BeamName = "AP"
    dataset.BeamSequence = [beam]
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def file_bytes(dataset: PydicomDataset, syntax: str = EXPLICIT) -> bytes:
    """A whole file, by pydicom."""
    dataset = dataset.copy()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def ask(user: Any, status: int = 0) -> tuple[Invoke, Answer]:
    """Run a user to its end, answering its request with `status`: what it asked, and what it made of the answer."""
    invoke = next(user)
    assert isinstance(invoke, Invoke)
    answer = Answer(status, invoke.command)
    try:
        user.send(answer)
    except StopIteration as end:
        return invoke, end.value
    raise AssertionError("one request, one answer")
