"""Sending files over an association and keeping account of it: what `store` and `demo` share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicomcore.data.part10 import FileHeader, read_header
from dicomcore.errors import DicomError, NegotiationError
from dicomcore.net import Association
from dicomcore.vocab.status import StatusCategory, category, describe

__all__ = ["Outcome", "Report", "find_headers", "send"]

DIRECTORY_STORAGE = "1.2.840.10008.1.3.10"
ACCEPTED = (StatusCategory.SUCCESS, StatusCategory.WARNING)


@dataclass(slots=True)
class Outcome:
    """What became of one file: its status, or why it could not even be sent."""

    header: FileHeader
    status: int | None
    reason: str = ""

    @property
    def stored(self) -> bool:
        return self.status is not None and category(self.status) in ACCEPTED

    @property
    def text(self) -> str:
        return self.reason or describe(self.status or 0, "storage")

    def as_json(self) -> dict[str, Any]:
        return {
            "path": self.header.path,
            "sop_class_uid": self.header.sop_class_uid,
            "sop_instance_uid": self.header.sop_instance_uid,
            "status": self.status,
            "result": self.text,
        }


@dataclass(slots=True)
class Report:
    """The outcomes of a run and how long it took."""

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def stored(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.stored]

    @property
    def length(self) -> int:
        """Bytes of the objects that were stored."""
        return sum(outcome.header.file_size - outcome.header.dataset_offset for outcome in self.stored)

    @property
    def rate(self) -> float:
        """MB/s."""
        return self.length / 1e6 / max(self.seconds, 1e-9)


def find_headers(paths: Iterable[Path]) -> tuple[list[FileHeader], list[tuple[Path, str]]]:
    """Headers of the DICOM files among ``paths`` and in folders below, and what was passed over, with the reason.

    DicomError when a file that was named itself is no DICOM file.
    """
    headers, skipped = [], []
    for path in paths:
        for file in _files(path):
            try:
                header = read_header(file)
            except (DicomError, OSError) as error:
                if file == path:
                    raise
                skipped.append((file, str(error)))
                continue
            if header.sop_class_uid == DIRECTORY_STORAGE:
                skipped.append((file, "a DICOMDIR is not sent"))
            else:
                headers.append(header)
    return headers, skipped


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(folder, name)


def send(association: Association, headers: Iterable[FileHeader]) -> Iterator[Outcome]:
    """Send each file over an open association; a status is an outcome, a lost association raises."""
    for header in headers:
        try:
            yield Outcome(header, association.c_store(header))
        except NegotiationError as error:  # no context fits this file; others may
            yield Outcome(header, None, str(error))
