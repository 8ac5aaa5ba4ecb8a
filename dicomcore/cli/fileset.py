"""``fileset``: folders of DICOM files under one DICOMDIR (PS3.10 section 8): list, create, add, remove."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomcore.cli.common import Command, count, failing, print_json, verbose_option
from dicomcore.errors import DicomError
from dicomcore.vocab.dictionary import suggest, tag_for_keyword

if TYPE_CHECKING:
    from dicomcore.data.fileset import FileSet, Record

__all__ = ["fileset_command"]

FOLDER = click.Path(path_type=Path)
SOURCE = click.Path(exists=True, path_type=Path)
# What a line of the tree says of a record, by its type; of the others, what is there of `LEAF`.
SHOWN = {
    "PATIENT": ("PatientID", "PatientName"),
    "STUDY": ("StudyDate", "StudyID", "StudyDescription"),
    "SERIES": ("Modality", "SeriesNumber", "SeriesDescription"),
}
LEAF = ("InstanceNumber", "RTPlanLabel", "StructureSetLabel", "DoseSummationType", "ContentLabel", "DocumentTitle")


def _as_criteria(ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """``KEYWORD=VALUE`` as a mapping."""
    criteria = {}
    for word in words:
        keyword, equals, value = word.partition("=")
        if not equals:
            raise click.BadParameter(f"{word!r} is not KEYWORD=VALUE", ctx, parameter)
        if tag_for_keyword(keyword) is None:
            near = suggest(keyword)
            hint = f"; did you mean {near}?" if near else ""
            raise click.BadParameter(f"{keyword!r} is no keyword of the data dictionary{hint}", ctx, parameter)
        criteria[keyword] = value
    return criteria


def where_option(text: str) -> Callable[[Command], Command]:
    """An option that picks instances; it may be repeated."""
    return click.option("--where", multiple=True, metavar="KEYWORD=VALUE", callback=_as_criteria, help=text)


def json_option(text: str) -> Callable[[Command], Command]:
    return click.option("--json", "as_json", is_flag=True, help=text)


@click.group("fileset")
def fileset_command() -> None:
    """Look into and change file-sets: folders of DICOM files under one DICOMDIR.

    \b
    Example:
      dicomcore fileset create /media/cd study/ plan.dcm --id PLANNING
      dicomcore fileset list /media/cd
      dicomcore fileset list /media/cd --where Modality=RT* --json
    """


@fileset_command.command("list")
@click.argument("folder", type=SOURCE, metavar="FOLDER")
@where_option("Only instances with this value; * and ? stand for any text and any character.")
@click.option("--check", is_flag=True, help="Compare the records with the files; exit status 1 when something differs.")
@json_option("Print a JSON object with a row for each instance.")
@verbose_option
def list_command(folder: Path, where: dict[str, Any], check: bool, as_json: bool) -> None:
    """Show the file-set of FOLDER (or of a DICOMDIR) as a tree.

    \b
    Example:
      dicomcore fileset list /media/cd
      dicomcore fileset list /media/cd --check --json
    """
    with failing():
        fileset = _open(folder)
        chosen = fileset.find(**where) if where else list(fileset)
        faults = fileset.check() if check else []
    if as_json:
        issues = [str(issue) for issue in [*fileset.issues, *faults]]
        head = {"path": str(fileset.path), "id": fileset.file_set_id, "uid": fileset.uid, "issues": issues}
        print_json({**head, "instances": [_row(record) for record in chosen]})
    else:
        _print_tree(fileset, chosen)
        _tell(faults)
    if faults:
        raise click.exceptions.Exit(1)


@fileset_command.command("create")
@click.argument("folder", type=FOLDER, metavar="FOLDER")
@click.argument("paths", type=SOURCE, nargs=-1, metavar="[PATH...]")
@click.option("--id", "file_set_id", default="", metavar="ID", help="File-set ID: at most 16 of A-Z, 0-9, space, _.")
@json_option("Print a JSON object with a row for each instance that was added.")
@verbose_option
def create_command(folder: Path, paths: tuple[Path, ...], file_set_id: str, as_json: bool) -> None:
    """Make FOLDER a file-set and copy PATHs, files and folders with all that is below, into it.

    Files of FOLDER itself that have conforming names stay where they are.

    \b
    Example:
      dicomcore fileset create /media/cd study/ plan.dcm --id PLANNING
    """
    from dicomcore.data.fileset import FileSet

    with failing():
        try:
            fileset = FileSet.create(folder, file_set_id=file_set_id)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        _add(fileset, paths, "keep", as_json)


@fileset_command.command("add")
@click.argument("folder", type=SOURCE, metavar="FOLDER")
@click.argument("paths", type=SOURCE, nargs=-1, required=True, metavar="PATH...")
@click.option("--replace", is_flag=True, help="Replace instances that are there; without it they are kept.")
@json_option("Print a JSON object with a row for each instance that was added.")
@verbose_option
def add_command(folder: Path, paths: tuple[Path, ...], replace: bool, as_json: bool) -> None:
    """Copy PATHs, files and folders with all that is below, into the file-set of FOLDER.

    \b
    Example:
      dicomcore fileset add /media/cd dose.dcm
    """
    with failing():
        _add(_open(folder), paths, "replace" if replace else "keep", as_json)


@fileset_command.command("remove")
@click.argument("folder", type=SOURCE, metavar="FOLDER")
@click.argument("uids", nargs=-1, metavar="[UID...]")
@where_option("Remove all instances with this value.")
@click.option("--keep-files", is_flag=True, help="Take them out of the DICOMDIR only.")
@json_option("Print a JSON object with a row for each instance that was removed.")
@verbose_option
def remove_command(folder: Path, uids: tuple[str, ...], where: dict[str, Any], keep_files: bool, as_json: bool) -> None:
    """Remove instances, by SOP Instance UID or by what their records say, from the file-set of FOLDER.

    \b
    Example:
      dicomcore fileset remove /media/cd --where PatientID=1234
    """
    if not uids and not where:
        raise click.UsageError("say what to remove: UIDs or --where KEYWORD=VALUE")
    with failing():
        fileset = _open(folder)
        missing = [uid for uid in uids if uid not in fileset]
        chosen = [fileset[uid] for uid in dict.fromkeys(uids) if uid in fileset]
        if where:
            chosen += [record for record in fileset.find(**where) if record.sop_instance_uid not in uids]
        rows = [_row(record) for record in chosen]
        known = len(fileset.issues)
        for record in chosen:
            fileset.remove(record, keep_files=keep_files)
        if chosen:
            fileset.save()
    for uid in missing:
        click.echo(f"no instance {uid}", err=True)
    _tell(fileset.issues[known:])
    _report(fileset, "removed", rows, as_json)
    if missing or not chosen:
        raise click.exceptions.Exit(1)


def _open(folder: Path) -> FileSet:
    from dicomcore.data.fileset import FileSet

    try:
        fileset = FileSet.open(folder)
    except DicomError as error:
        raise click.ClickException(f"{folder}: {error}") from error
    _tell(fileset.issues)
    return fileset


def _tell(issues: Iterable[object]) -> None:
    for issue in issues:
        click.echo(_shown(str(issue)), err=True)


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """Files, and whether they were named; DICOMDIRs found in folders are passed over."""
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            yield from ((file, False) for file in files if file.name.casefold() != "dicomdir")
        else:
            yield path, True


def _add(fileset: FileSet, paths: tuple[Path, ...], duplicates: Any, as_json: bool) -> None:
    rows, failed, known = [], False, len(fileset.issues)
    members = {record.sop_instance_uid for record in fileset}
    with fileset:
        for path, named in list(_files(paths)):  # before the copies are there
            try:
                record = fileset.add(path, duplicates=duplicates)
            except (DicomError, OSError) as error:
                click.echo(f"passed over {path}: {error}", err=True)
                failed = failed or named
                continue
            if record.sop_instance_uid not in members or duplicates == "replace":
                members.add(record.sop_instance_uid)
                rows.append(_row(record))
        fileset.save()
    _tell(fileset.issues[known:])
    _report(fileset, "added", rows, as_json)
    if failed:
        raise click.exceptions.Exit(1)


def _report(fileset: FileSet, done: str, rows: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        print_json({"path": str(fileset.path), done: rows, "instances": len(fileset)})
    else:
        click.echo(f"{fileset.path}: {done} {count(len(rows), 'instance')}, holds {len(fileset)}")


def _row(record: Record) -> dict[str, str]:
    keys = ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
    found = {keyword: str(record.get(keyword) or "") for keyword in keys}
    own = {"type": record.type, "file_id": "/".join(record.file_id), "sop_class_uid": str(record.sop_class_uid)}
    return {**own, "sop_instance_uid": str(record.sop_instance_uid), **found}


def _print_tree(fileset: FileSet, chosen: list[Record]) -> None:
    shown = {id(record) for leaf in chosen for record in (leaf, *leaf.ancestors)}

    def branches(records: list[Record], indent: str) -> Iterator[tuple[str, Record]]:
        records = [record for record in records if id(record) in shown]
        for record in records:
            last = record is records[-1]
            yield indent + ("└── " if last else "├── "), record
            yield from branches(record.children, indent + ("    " if last else "│   "))

    title = f"{fileset.file_set_id or fileset.path.parent.name}  ·  {count(len(chosen), 'instance')}"
    click.secho(_shown(title), bold=True)
    for guide, record in branches(fileset.records, ""):
        click.echo(click.style(guide, dim=True) + click.style(_line(record), None if record.is_instance else "cyan"))


def _line(record: Record) -> str:
    keys = [str(record.dataset.get(keyword) or "") for keyword in SHOWN.get(record.type, LEAF)]
    parts = [record.type, *keys, "/".join(record.file_id)]
    return _shown("  ".join(part for part in parts if part))


def _shown(text: str) -> str:
    """Without what a terminal would obey: a directory may come from anybody."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
