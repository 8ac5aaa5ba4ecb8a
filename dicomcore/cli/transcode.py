"""``transcode``: files and folders into another transfer syntax, on all cores, file by file (PS3.5 8.2, annex A).

A file that fails is told and stops nothing. One file is encoded by several threads; many are shared out to worker
processes, and should a codec's library take one down, only the file that it was at has failed. Files appear whole or
not at all, so ``--resume`` needs no list of its own: what is there in the wanted syntax, not older than its source and
made from the same instance, is complete.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from dicomcore.cli.common import amount, count, failing, on_terminal, print_json, to_terminal, verbose_option
from dicomcore.encoding.sink import TEMPORARY_PREFIX
from dicomcore.errors import DicomError
from dicomcore.vocab.syntaxes import NAMES, SHORT_NAMES, transfer_syntax

__all__ = ["Job", "Outcome", "transcode_command"]

_WORTH = 32 << 20  # bytes of files from which on processes, which take a while to begin, are quicker than threads
_ROWS = 40  # files that a table on the terminal shows
_OWN = frozenset({"codecs", "colour", "limits", "offset_table", "policy", "replace", "workers"})  # of the call itself
_MANY = 5  # faults of one file that are told


@dataclass(frozen=True, slots=True)
class Job:
    """One file to be done."""

    source: str
    target: str
    syntax: str
    workers: int | None
    resume: bool
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file; lengths are bytes of pixel data."""

    source: str
    target: str
    status: str  # transcoded; copied: has no pixels; kept: was there (--resume); skipped: is no DICOM; failed
    message: str = ""
    syntax: str = ""
    sop_instance_uid: str = ""
    frames: int = 0
    length_before: int = 0
    length_after: int = 0
    seconds: float = 0.0
    issues: tuple[str, ...] = field(default=())


def _as_syntax(ctx: click.Context, parameter: click.Parameter, word: str) -> str:
    """The UID of a syntax by short name, keyword, name or UID."""
    uid = NAMES.get(word.casefold())
    if uid is None:
        shorts = {uid: short for short, uid in SHORT_NAMES.items()}
        near = get_close_matches(word.casefold(), NAMES, 3, 0.5)
        shown = sorted({shorts.get(NAMES[name], name) for name in near})
        hint = f"; did you mean {' or '.join(shown)}?" if shown else ""
        raise click.BadParameter(f"{word!r} is no transfer syntax{hint} --list shows them all", ctx, parameter)
    return uid


def _as_options(ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{word!r} is not NAME=VALUE", ctx, parameter)
        if name in _OWN:
            raise click.BadParameter(f"{name} is no option of a codec", ctx, parameter)
        value: Any = {"true": True, "false": False}.get(text.casefold(), text)
        for kind in (float, int):
            with suppress(ValueError):
                value = kind(text)
        options[name] = value
    return options


def _list(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Every transfer syntax, what is done with its frames, and why what is not done is not."""
    if not value or ctx.resilient_parsing:
        return
    from dicomcore.pixels.codec import CODECS

    shorts = {uid: short for short, uid in SHORT_NAMES.items()}
    for uid, row in CODECS.items():
        does = f"{'decode' if row.can_decode else '':6}  {'encode' if row.can_encode else '':6}"
        retired = ", retired" if row.syntax.retired else ""
        click.echo(f"{uid:26}{does}  {shorts.get(uid, ''):16}  {row.syntax.keyword}{retired}")
        if row.reason:
            click.echo(f"{'':26}{row.reason}")
    ctx.exit()


@click.command("transcode")
@click.argument("syntax", callback=_as_syntax)
@click.argument("sources", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True, metavar="SOURCE...")
@click.option("--out", required=True, type=click.Path(), metavar="PATH", help="Folder; or file, for one.")
@click.option("-o", "options", multiple=True, metavar="NAME=VALUE", callback=_as_options, help="Option of the codec.")
@click.option("--colour", type=click.Choice(["rgb", "stored"]), help="Make YBR_FULL RGB, or leave it.")
@click.option("--offset-table", type=click.Choice(["basic", "extended", "none"]), help="Where frames lie is told so.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes or threads; as many as cores.")
@click.option("--resume", is_flag=True, help="Keep what an earlier run has completed.")
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write a row a file, as .json or .csv.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with a row for each file.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="Show all syntaxes.")
@verbose_option
def transcode_command(
    syntax: str,
    sources: tuple[Path, ...],
    out: str,
    options: dict[str, Any],
    colour: str | None,
    offset_table: str | None,
    workers: int | None,
    resume: bool,
    report: Path | None,
    as_json: bool,
) -> None:
    """Write SOURCEs, files and folders with all that is below, in another transfer SYNTAX.

    SYNTAX is a UID, a keyword or a short name such as rle, jpeg-ls, j2k, htj2k, jxl, deflated, explicit (see --list).
    Objects without pixels are copied as they are where SYNTAX is one for images. Options of codecs: quality of jpeg,
    near of jpeg-ls-near, error or reversible of j2k-lossy, step of htj2k-lossy, distance and effort of jxl-lossy.

    \b
    Example:
      dicomcore transcode htj2k study/ --out compressed
      dicomcore transcode jpeg photo.dcm --out small.dcm -o quality=75
      dicomcore transcode explicit compressed/ --out native --resume --report report.csv
    """
    if report is not None and report.suffix not in (".json", ".csv"):
        raise click.UsageError("--report takes a name that ends in .json or .csv")
    options |= {name: value for name, value in (("colour", colour), ("offset_table", offset_table)) if value}
    with failing():
        _check_encoder(syntax)
        jobs = list(_jobs(sources, out, Job("", "", syntax, workers, resume, options)))
        began = perf_counter()
        outcomes = list(_shown(_done(jobs, workers), jobs) if on_terminal() else _told(_done(jobs, workers)))
        seconds = perf_counter() - began
        outcomes.sort(key=lambda outcome: outcome.source)
        if report is not None:
            _write(report, outcomes)
    named = {str(source) for source in sources}
    failed = [one for one in outcomes if one.status == "failed" or (one.status == "skipped" and one.source in named)]
    kinds = ("transcoded", "copied", "kept", "skipped", "failed")
    totals = {kind: sum(outcome.status == kind for outcome in outcomes) for kind in kinds}
    lengths = {name: sum(getattr(one, name) for one in outcomes) for name in ("length_before", "length_after")}
    if as_json:
        rows = [asdict(outcome) for outcome in outcomes]
        print_json({"syntax": syntax, **totals, **lengths, "seconds": round(seconds, 6), "files": rows})
    else:
        _table(outcomes)
        others = "".join(f", {number} {kind}" for kind, number in totals.items() if number and kind != "transcoded")
        sizes = f"{amount(lengths['length_before'])} to {amount(lengths['length_after'])} of pixels in {seconds:.2f} s"
        click.echo(f"{count(totals['transcoded'], 'file')} transcoded{others}: {sizes}")
    if failed:
        raise click.exceptions.Exit(1)
    if not outcomes:
        raise click.ClickException("no file found")


def _check_encoder(syntax: str) -> None:
    """PixelError at once for what would fail with every file: a codec that is not installed."""
    from dicomcore.pixels.codec import CODECS

    row = CODECS[syntax]
    if row.can_encode:
        row.encoder()


# -- which files -------------------------------------------------------------------------------------------------------


def _jobs(sources: tuple[Path, ...], out: str, job: Job) -> Iterator[Job]:
    """Each file with its place below ``out``; one file goes to the file ``out`` unless that is a folder."""
    folder = Path(out)
    if len(sources) == 1 and sources[0].is_file() and not (folder.is_dir() or out.endswith(os.sep)):
        yield replace(job, source=str(sources[0]), target=out)
        return
    taken: dict[Path, Path] = {}
    made = folder.resolve()
    for source in sources:
        files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        for path in files:
            if path is not source and (path.name.casefold() == "dicomdir" or path.name.startswith(TEMPORARY_PREFIX)):
                continue
            if source.is_dir() and made != source.resolve() and made in path.resolve().parents:
                continue  # an earlier run has made it
            target = folder / (path.relative_to(source) if path is not source else path.name)
            other = taken.setdefault(target, path)
            if other is not path:
                raise click.UsageError(f"{other} and {path} would both become {target}")
            yield replace(job, source=str(path), target=str(target))


# -- the work ----------------------------------------------------------------------------------------------------------


def work(job: Job) -> Outcome:
    """Do it. Whatever goes wrong with a file is told in what is answered."""
    from dicomcore.data.part10 import read_header

    began = perf_counter()
    try:
        try:
            header = read_header(job.source)
        except DicomError as error:
            return Outcome(job.source, "", "skipped", str(error))
        if job.resume and _is_complete(job, header.sop_instance_uid):
            return Outcome(job.source, job.target, "kept", syntax=job.syntax)
        return replace(_transcoded(job), seconds=round(perf_counter() - began, 6))
    except (DicomError, OSError) as error:
        return Outcome(job.source, job.target, "failed", str(error))
    except Exception as error:  # other files go on whatever it is
        return Outcome(job.source, job.target, "failed", f"{type(error).__name__}: {error}")


def _transcoded(job: Job) -> Outcome:
    from dicomcore.data.files import dcmread
    from dicomcore.pixels.image_model import PIXEL_ELEMENTS
    from dicomcore.pixels.transcode import transcode_file

    ds = dcmread(job.source)
    has_pixels = any(keyword in ds for keyword in PIXEL_ELEMENTS)
    is_copied = not has_pixels and transfer_syntax(job.syntax).encapsulated
    syntax, options = (str(ds.transfer_syntax), {}) if is_copied else (job.syntax, job.options)
    if not has_pixels:
        options = {}
    Path(job.target).parent.mkdir(parents=True, exist_ok=True)
    made = transcode_file(job.source, job.target, syntax, workers=job.workers, **options)
    return Outcome(
        job.source,
        job.target,
        "copied" if is_copied else "transcoded",
        "it has no pixels" if is_copied else "",
        syntax,
        made.sop_instance_uid,
        made.frame_count,
        made.length_before,
        made.length_after,
        issues=tuple(map(str, made.issues)),
    )


def _is_complete(job: Job, sop_instance_uid: str) -> bool:
    """Whether the target is there, not older than its source, and of the same instance or derived from that."""
    from dicomcore.data.files import dcmread

    try:
        if os.stat(job.target).st_mtime_ns < os.stat(job.source).st_mtime_ns:
            return False
        made = dcmread(job.target)
        if str(made.get("SOPInstanceUID") or "") == sop_instance_uid:
            return made.transfer_syntax == job.syntax or "PixelData" not in made
        origins = made.get("SourceImageSequence") or []
        is_derived = bool(origins) and origins[-1].get("ReferencedSOPInstanceUID") == sop_instance_uid
        return is_derived and made.transfer_syntax == job.syntax
    except (DicomError, OSError):
        return False


def _done(jobs: list[Job], workers: int | None) -> Iterator[Outcome]:
    """What becomes of each, in any order."""
    from dicomcore.pixels.parallel import usable_cores

    crew = min(workers or usable_cores(), len(jobs))
    size = sum(os.path.getsize(job.source) for job in jobs if os.path.exists(job.source))
    if crew > 1 and size >= _WORTH:
        yield from _in_processes([replace(job, workers=1) for job in jobs], crew, work)
    else:
        yield from map(work, jobs)


def _in_processes(jobs: Iterable[Job], crew: int, task: Callable[[Job], Outcome]) -> Iterator[Outcome]:
    """In worker processes; those that were under way when one died are tried again, each in a process of its own."""
    waiting = iter(jobs)
    more = True
    while more:
        suspects: list[Job] = []
        with _pool(crew) as pool:
            running: dict[Future[Outcome], Job] = {pool.submit(task, job): job for job in islice(waiting, 2 * crew)}
            more = bool(running)
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    job = running.pop(future)
                    try:
                        outcome = future.result()
                    except BrokenProcessPool:
                        suspects.append(job)
                        continue
                    for following in islice(waiting, 0 if suspects else 1):
                        try:
                            running[pool.submit(task, following)] = following
                        except BrokenProcessPool:
                            suspects.append(following)
                    yield outcome
        for job in suspects:
            with _pool(1) as pool:
                try:
                    yield pool.submit(task, job).result()
                except BrokenProcessPool:
                    yield Outcome(job.source, job.target, "failed", "the process that worked on it died")


def _pool(crew: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(crew, mp_context=get_context("spawn"))


# -- what is told ------------------------------------------------------------------------------------------------------


def _told(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """On standard error, what did not go well."""
    for outcome in outcomes:
        if outcome.status in ("skipped", "failed"):
            click.echo(f"{outcome.status} {outcome.source}: {outcome.message}", err=True)
        for issue in outcome.issues[:_MANY]:
            click.echo(f"Warning: {outcome.source}: {issue}", err=True)
        if len(outcome.issues) > _MANY:
            click.echo(f"Warning: {outcome.source}: {len(outcome.issues) - _MANY} more faults", err=True)
        yield outcome


def _shown(outcomes: Iterator[Outcome], jobs: list[Job]) -> Iterator[Outcome]:
    """The same under a progress bar, which counts bytes of files."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    sizes = {job.source: os.path.getsize(job.source) for job in jobs}
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=to_terminal(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=sum(sizes.values()))
        for outcome in _told(outcomes):
            progress.advance(task, sizes[outcome.source])
            yield outcome


def _table(outcomes: list[Outcome]) -> None:
    """A line for each file, while they are few."""
    if len(outcomes) > _ROWS:
        return
    for one in outcomes:
        ratio = f"{one.length_before / one.length_after:.2f}:1" if one.length_after else ""
        sizes = f"{amount(one.length_before)} to {amount(one.length_after)}" if one.length_after else ""
        frames = count(one.frames, "frame") if one.frames else ""
        click.echo("  ".join(filter(None, (f"{one.status:10}", one.target or one.source, frames, sizes, ratio))))


def _write(path: Path, outcomes: list[Outcome]) -> None:
    rows = [asdict(outcome) for outcome in outcomes]
    with open(path, "w", encoding="utf-8", newline="") as file:
        if path.suffix == ".json":
            json.dump(rows, file, ensure_ascii=False, indent=1)
            return
        table = csv.DictWriter(file, list(Outcome.__dataclass_fields__))
        table.writeheader()
        table.writerows({**row, "issues": "; ".join(row["issues"])} for row in rows)
