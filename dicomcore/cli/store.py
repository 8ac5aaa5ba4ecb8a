"""``store``: send files and folders to a peer (Storage, PS3.4 annex B), streaming each from its path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from dicomcore.cli.common import (
    association_limits,
    count,
    failing,
    on_terminal,
    peer_options,
    print_json,
    to_terminal,
    verbose_option,
)
from dicomcore.data.part10 import FileHeader, read_header
from dicomcore.errors import DicomError, NegotiationError
from dicomcore.net import AE
from dicomcore.vocab.sop_classes import sop_classes
from dicomcore.vocab.status import StatusCategory, category, describe

__all__ = ["store_command"]

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


def send(association: Any, headers: Iterable[FileHeader]) -> Iterator[Outcome]:
    """Send each file over an open association; a status is an outcome, a lost association raises."""
    for header in headers:
        try:
            yield Outcome(header, association.c_store(header))
        except NegotiationError as error:  # no context fits this file; others may
            yield Outcome(header, None, str(error))


@click.command("store")
@peer_options
@click.argument("paths", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True, metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with a row for each file.")
@verbose_option
def store_command(
    host: str, port: int, called: str, calling: str, timeout: float | None, paths: tuple[Path, ...], as_json: bool
) -> None:
    """Send PATHs, files and folders with all that is below, to the peer at HOST PORT.

    \b
    Example:
      dicomcore store localhost 11112 study/ plan.dcm --called PACS
    """
    with failing():
        headers, skipped = find_headers(paths)
        for file, reason in skipped:
            click.echo(f"passed over {file}: {reason}", err=True)
        if not headers:
            raise click.ClickException("no DICOM file found")
        report = _run(AE(calling, limits=association_limits(timeout)), host, port, called, headers)
    for outcome in report.outcomes:
        if not outcome.stored or outcome.status:
            click.echo(f"{outcome.header.path}: {outcome.text}", err=True)
    stored = len(report.stored)
    if as_json:
        totals = {"stored": stored, "failed": len(headers) - stored, "bytes": report.length}
        rates = {"seconds": round(report.seconds, 6), "megabytes_per_second": round(report.rate, 3)}
        rows = [outcome.as_json() for outcome in report.outcomes]
        print_json({"host": host, "port": port, "called": called, **totals, **rates, "objects": rows})
    else:
        objects = count(stored, "object") if stored == len(headers) else f"{stored} of {len(headers)} objects"
        amounts = f"{report.length / 1e6:.1f} MB in {report.seconds:.2f} s, {report.rate:.1f} MB/s"
        click.echo(f"{called} at {host}:{port} stored {objects}: {amounts}")
    if stored < len(headers):
        raise click.exceptions.Exit(1)


def _run(ae: AE, host: str, port: int, called: str, headers: list[FileHeader]) -> Report:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    report = Report()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=to_terminal(stderr=True), transient=True, disable=not on_terminal()) as progress:
        task = progress.add_task("connecting", total=sum(header.file_size for header in headers))
        started = perf_counter()
        with ae.associate(host, port, called_ae=called, contexts=headers) as association:
            for outcome in send(association, headers):
                report.outcomes.append(outcome)
                row = sop_classes().get(outcome.header.sop_class_uid)
                progress.update(task, advance=outcome.header.file_size, description=row.name if row else "object")
        report.seconds = perf_counter() - started
    return report
