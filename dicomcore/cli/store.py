"""``store``: send files and folders to a peer (Storage, PS3.4 annex B), streaming each from its path."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from dicomcore.cli.sending import Report
    from dicomcore.data.part10 import FileHeader
    from dicomcore.net import AE

__all__ = ["store_command"]


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
    from dicomcore.cli.sending import find_headers
    from dicomcore.net import AE

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

    from dicomcore.cli.sending import Report, send
    from dicomcore.vocab.sop_classes import sop_classes

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
