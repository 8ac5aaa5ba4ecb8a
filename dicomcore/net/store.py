"""Sending files and folders in one call: contexts, associations, C-STORE and a report (PS3.4 Annex B)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from dicomcore.data.part10 import FileHeader, read_header
from dicomcore.errors import DicomError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.net.ae import AE
from dicomcore.net.association import StoreResult
from dicomcore.net.tls import TLSOption
from dicomcore.net.transport import split_address
from dicomcore.services.sending import Transcoder, transcoded
from dicomcore.ul import NO_QUIRKS, Quirks

__all__ = ["StoreReport", "store"]

CONTEXTS = 128  # in one association (PS3.8 9.3.2.2)
_NOT_SENT = frozenset({"1.2.840.10008.1.3.10"})  # a DICOMDIR describes files and is none that is stored


@dataclass(slots=True)
class StoreReport:
    """What became of every file: results, unreadable ones included, and what is no DICOM and was passed over."""

    results: list[StoreResult] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    bytes_stored: int = 0

    @property
    def stored(self) -> list[StoreResult]:
        return [result for result in self.results if result.stored]

    @property
    def failed(self) -> list[StoreResult]:
        return [result for result in self.results if not result.stored]

    def __str__(self) -> str:
        rate = self.bytes_stored / 1e6 / max(self.seconds, 1e-9)
        text = f"{len(self.stored)} stored, {self.bytes_stored / 1e6:.1f} MB in {self.seconds:.2f} s ({rate:.0f} MB/s)"
        text += f", {len(self.failed)} failed" if self.failed else ""
        return text + (f", {len(self.skipped)} passed over" if self.skipped else "")


def store(
    paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    peer: str | tuple[str, int],
    *,
    called_ae: str = "ANY-SCP",
    calling_ae: str = "DICOMCORE",
    window: int = 1,
    quirks: Quirks = NO_QUIRKS,
    tls: TLSOption = None,
    limits: Limits = DEFAULT_LIMITS,
    transcoder: Transcoder | None = transcoded,
    progress: Callable[[StoreResult], None] | None = None,
) -> StoreReport:
    """Send files, and all files in folders, to ``peer`` ("host:port" or (host, port)); ``progress`` hears each result.

    A host that is an IPv6 address stands in brackets before its port. ``quirks``, ``tls``: see `AE.associate`.

    Raises what `AE.associate` raises, and AssociationAborted when the association is lost on the way. A file that
    cannot be sent is in the report and stops nothing. More than 128 presentation contexts are shared out over
    several associations.
    """
    host, port = _address(peer)
    ae = AE(calling_ae, limits=limits, transcoder=transcoder)
    report = StoreReport()
    began = monotonic()
    for headers in _batches(_read(paths, report, limits)):
        with ae.associate(
            host, port, called_ae=called_ae, contexts=headers, window=window, quirks=quirks, tls=tls
        ) as association:
            for result in association.c_store_many(headers, window=window):
                report.results.append(result)
                if result.stored and isinstance(result.source, FileHeader):
                    report.bytes_stored += result.source.file_size - result.source.dataset_offset
                if progress is not None:
                    progress(result)
    report.seconds = monotonic() - began
    return report


def _address(peer: str | tuple[str, int]) -> tuple[str, int]:
    return peer if isinstance(peer, tuple) else split_address(peer)


def _read(
    paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str], report: StoreReport, limits: Limits
) -> list[FileHeader]:
    """Headers of the DICOM files among and below the paths. What cannot be read has failed; the rest is passed over."""
    headers: list[FileHeader] = []

    def unreadable(error: OSError) -> None:
        report.results.append(StoreResult(os.fspath(error.filename), None, error))

    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        for file in _files(Path(path), unreadable):
            try:
                header = read_header(file, limits=limits)
            except OSError as error:
                report.results.append(StoreResult(os.fspath(file), None, error))
                continue
            except DicomError as error:
                report.skipped.append((os.fspath(file), str(error)))
                continue
            if header.sop_class_uid in _NOT_SENT:
                report.skipped.append((os.fspath(file), "a DICOMDIR is not stored"))
            else:
                headers.append(header)
    return headers


def _files(path: Path, onerror: Callable[[OSError], None]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path, onerror=onerror):
        folders.sort()
        for name in sorted(names):
            yield Path(folder, name)


def _batches(headers: list[FileHeader]) -> Iterator[list[FileHeader]]:
    """Files in their order, cut where the contexts that they need would be too many: one a kind and one a SOP class."""
    batch: list[FileHeader] = []
    kinds: set[tuple[str, str]] = set()
    classes: set[str] = set()
    for header in headers:
        kind = header.sop_class_uid, header.transfer_syntax_uid
        if len(kinds | {kind}) + len(classes | {kind[0]}) > CONTEXTS:
            yield batch
            batch, kinds, classes = [], set(), set()
        batch.append(header)
        kinds.add(kind)
        classes.add(kind[0])
    if batch:
        yield batch
