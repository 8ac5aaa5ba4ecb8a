"""``store``: send files and folders to a peer (Storage, PS3.4 annex B), streaming each from its path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dicomcore.cli.common import (
    amount,
    association_limits,
    count,
    failing,
    on_terminal,
    peer_options,
    print_json,
    tls_options,
    to_terminal,
    verbose_option,
)

if TYPE_CHECKING:
    from dicomcore.net import StoreReport, StoreResult
    from dicomcore.net.tls import TLS
    from dicomcore.ul import Quirks

__all__ = ["store_command"]


@click.command("store")
@peer_options
@tls_options()
@click.argument("paths", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True, metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with a row for each file.")
@verbose_option
def store_command(
    host: str,
    port: int,
    called: str,
    calling: str,
    timeout: float | None,
    quirks: Quirks,
    paths: tuple[Path, ...],
    as_json: bool,
    tls: TLS | None,
) -> None:
    """Send PATHs, files and folders with all that is below, to the peer at HOST PORT.

    \b
    Example:
      dicomcore store localhost 11112 study/ plan.dcm --called PACS
      dicomcore store pacs.example 2762 study/ --tls --ca hospital-ca.pem
    """
    from dicomcore.net import store

    with failing():

        def send(progress: Callable[[StoreResult], None] | None) -> StoreReport:
            return store(
                paths,
                (host, port),
                called_ae=called,
                calling_ae=calling,
                quirks=quirks,
                tls=tls,
                limits=association_limits(timeout),
                progress=progress,
            )

        report = _watched(send, paths) if on_terminal() else send(None)
    named = [file for file, _ in report.skipped if Path(file) in paths]
    for file, reason in report.skipped:
        click.echo(f"passed over {file}: {reason}", err=True)
    for result in report.results:
        if result.status != 0:
            click.echo(f"{_path(result)}: {_told(result)}", err=True)
    if not report.results:
        raise click.ClickException("no DICOM file found")
    stored, megabytes, seconds = len(report.stored), report.bytes_stored / 1e6, max(report.seconds, 1e-9)
    if as_json:
        totals = {"stored": stored, "failed": len(report.failed), "bytes": report.bytes_stored}
        rates = {"seconds": round(seconds, 6), "megabytes_per_second": round(megabytes / seconds, 3)}
        rows = [{"path": _path(row), "status": row.status, "result": _told(row)} for row in report.results]
        print_json({"host": host, "port": port, "called": called, **totals, **rates, "objects": rows})
    else:
        objects = f"{stored} of {len(report.results)} objects" if report.failed else count(stored, "object")
        amounts = f"{amount(report.bytes_stored)} in {seconds:.2f} s, {megabytes / seconds:.1f} MB/s"
        click.echo(f"{called} at {host}:{port} stored {objects}: {amounts}")
    if report.failed or named:
        raise click.exceptions.Exit(1)


def _path(result: StoreResult) -> str:
    return str(getattr(result.source, "path", result.source))


def _told(result: StoreResult) -> str:
    from dicomcore.vocab.status import describe

    return str(result.error) if result.status is None else describe(result.status, "C-STORE")


def _watched(send: Callable[[Callable[[StoreResult], None]], StoreReport], paths: tuple[Path, ...]) -> StoreReport:
    """Send under a progress bar, which counts bytes of files."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file()]
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=to_terminal(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=sum(file.stat().st_size for file in files))
        return send(lambda result: progress.advance(task, getattr(result.source, "file_size", 0)))
