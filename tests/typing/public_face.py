"""The public face as a user's type checker sees it: `mypy --strict` must accept this file and its `assert_type`s.

Checked twice: in the source tree with everything else, and against the installed wheel, where only the shipped stubs
and ``py.typed`` speak. It is never run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import dicomcore.aio
from dicomcore import (
    AE,
    UID,
    Dataset,
    DicomError,
    Element,
    FileSet,
    FrameSource,
    Issue,
    Limits,
    Policy,
    StorageSCP,
    VerificationSCP,
    dcmread,
    dcmwrite,
    diff,
    frames,
    pixels,
    walk,
)
from dicomcore.net.association import Association, StoreResult
from dicomcore.net.server import Server
from dicomcore.services.normalized import Outcome
from dicomcore.services.query import Progress
from dicomcore.services.storage import Stored


def files(path: Path) -> None:
    ds = dcmread(path, stop_before_pixels=True, policy=Policy.strict())
    assert_type(ds, Dataset)
    assert_type(dcmread(b"...", specific_tags=["PatientName"]), Dataset)
    assert_type(ds.PatientName, Any)
    assert_type("Rows" in ds, bool)
    assert_type(len(ds), int)
    assert_type(ds.to_json(), str)
    assert_type(Dataset.from_json("{}"), Dataset)
    assert_type(ds.file_meta, Dataset)
    assert_type(ds.issues, list[Issue])
    assert_type(ds.to_bytes(), bytes)
    assert_type(ds.issues[0].is_broken, bool)
    assert_type(ds.filename, str | None)
    assert_type(ds.dir("patient"), list[str])
    ds.walk(lambda level, element: level.pop(element.tag))
    for visit in walk(ds):
        assert_type(visit.dataset, Dataset)
        assert_type(visit.element, Element)
    for difference in diff(ds, ds):
        assert_type(difference.position, int | None)
    dcmwrite(path, ds, "1.2.840.10008.1.2")
    ds.save_as(path, transfer_syntax="1.2.840.10008.1.2")
    ds.PatientID = "1"
    del ds.PatientID
    for element in ds:
        assert_type(element.VR, str)
    pixels: NDArray[np.generic] = ds.pixel_array
    print(pixels.shape)


def file_sets(folder: Path) -> None:
    with FileSet.create(folder, file_set_id="CD") as fileset:
        assert_type(fileset, FileSet)
        assert_type(fileset.add(Dataset()).path, Path)
    for instance in FileSet.open(folder):
        assert_type(instance.read(), Dataset)
        assert_type(instance.PatientID, Any)
    assert_type(fileset.remove("1.2.3"), int)
    assert_type(fileset.find("RT PLAN", PatientID="1*", InstanceNumber=1)[0].file_id, tuple[str, ...])
    assert_type(fileset.check(), list[Issue])


def network(paths: list[Path]) -> Iterator[StoreResult]:
    ae = AE("TYPED", limits=Limits().but(dimse_timeout=5.0))
    with ae.serve(port=0, services=[VerificationSCP(), StorageSCP("received")]) as server:
        assert_type(server, Server)
        assert_type(server.port, int)
        with ae.associate("localhost", server.port, called_ae="ANY", contexts=paths) as association:
            assert_type(association, Association)
            assert_type(association.c_echo(), int)
            assert_type(association.c_store(paths[0]), int)
            yield from association.c_store_many(paths, window=8)
    print(dicomcore.store(paths, "localhost:11112"))


def asking(association: Association, query: Dataset) -> Iterator[str]:
    for status, identifier in association.c_find(query, "study-root", check=True):
        assert_type(status, int)
        assert_type(identifier, Dataset | None)
    for progress in association.c_move({"StudyInstanceUID": "1.2"}, "THERE", "study-root"):
        assert_type(progress.remaining, int | None)
        yield from progress.failed_instances
    assert_type(next(association.c_get(query, "study-root")), Progress)
    status, dataset, elements = association.n_get("Printer", "1.2", ["PrinterStatus", 0x21100010])
    assert_type(dataset, Dataset | None)
    assert_type(elements, Mapping[str, Any])
    assert_type(association.n_create("1.2.3", dataset={"PatientID": "1"}), Outcome)


async def awaiting(association: dicomcore.aio.Association, query: Dataset) -> None:
    async for status, identifier in association.c_find(query, "study-root"):
        assert_type(status, int)
        assert_type(identifier, Dataset | None)
    assert_type(await association.n_delete("Printer", "1.2"), Outcome)


def shown(dataset: Dataset, stored: Stored) -> int | None:
    return 0xC000 if stored.length > 100 and not dataset.get("PatientID") else None


def services() -> list[StorageSCP]:
    return [StorageSCP("folder", on_stored=lambda stored: None), StorageSCP(handler=shown)]


def pictures(ds: Dataset) -> Iterator[NDArray[np.uint8]]:
    source = frames(ds)
    assert_type(source, FrameSource)
    assert_type(source.picture(0, window=(40, 400)), pixels.Picture)
    assert_type(source.sheet(2, 3), pixels.Picture)
    assert_type(pixels.overlays(ds), list[pixels.Overlay])
    assert_type(pixels.windows(ds), list[pixels.Window])
    assert_type(pixels.modality(ds, source[0]), NDArray[Any])
    yield source.picture(0, window="full").array


def errors(error: DicomError) -> tuple[int | None, str | None, str | None]:
    assert_type(dicomcore.new_uid(), UID)
    return error.offset, error.path, error.clause
