"""``dump``, ``json`` and ``xml``: what is in a file, as text or in the models of PS3.18 F and PS3.19 A.1.

Each shows all that could be read, then the faults that it met on standard error; exit status 1 when the file is
truncated or its structure is broken otherwise (`Issue.is_broken`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomcore.cli.common import failing, print_json, tell_issues, verbose_option
from dicomcore.errors import DicomError
from dicomcore.vocab.dictionary import keyword_for_tag, suggest
from dicomcore.vocab.tag import format_tag, parse_tag

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["FILE", "as_tags", "dump_command", "json_command", "xml_command"]

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def as_tags(ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> tuple[int, ...]:
    """Tags of keywords or of ``ggggeeee``."""
    tags = []
    for word in words:
        try:
            tags.append(parse_tag(word))
        except ValueError as error:
            near = suggest(word)
            raise click.BadParameter(
                f"{error}; did you mean {near}?" if near else str(error), ctx, parameter
            ) from error
    return tuple(tags)


@click.command("dump")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEYWORD",
    callback=as_tags,
    help="Show only this element of the outermost level (keyword or ggggeeee); may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON a file: its faults, and the DICOM JSON model.")
@verbose_option
def dump_command(files: tuple[Path, ...], tags: tuple[int, ...], as_json: bool) -> None:
    """Print the data sets of FILEs as text, one element a line; bytes are counted, not shown.

    Faults of the encoding are told on standard error. Exit status 1 when a file cannot be read, is truncated, or has a
    broken structure; what can be read of it is shown.

    \b
    Example:
      dicomcore dump plan.dcm
      dicomcore dump --tag PatientName --tag BeamSequence *.dcm
      dicomcore dump --json *.dcm | jq -r 'select(.issues != []) | .path'
    """
    from dicomcore.data.files import dcmread

    bad = 0
    for path in files:
        try:
            ds = dcmread(path)
            shown = _selected(ds, tags)
            model = _model(path, ds, shown) if as_json else {}
            text = "" if as_json else str(shown)
        except (DicomError, OSError) as error:
            click.echo(f"Error: {path}: {error}", err=True)
            if as_json:
                print_json({"path": str(path), "error": str(error)})
            bad += 1
            continue
        if as_json:
            print_json(model)
        elif len(files) > 1:
            click.secho(f"# {path}", bold=True)
        if text:
            click.echo(text)
        bad += tell_issues(path, ds)
        for tag in tags:
            if tag not in ds:
                name = keyword_for_tag(tag) or format_tag(tag)
                click.echo(f"{path}: no {name} at the outermost level", err=True)
    if bad:
        raise click.exceptions.Exit(1)


def _selected(ds: Dataset, tags: tuple[int, ...]) -> Dataset:
    if not tags:
        return ds
    chosen = type(ds)()
    for tag in tags:
        if tag in ds:
            chosen.add(ds[tag])
    return chosen


def _model(path: Path, ds: Dataset, shown: Dataset) -> dict[str, Any]:
    model = shown.to_json_dict()
    return {
        "path": str(path),
        "transfer_syntax": str(ds.transfer_syntax),
        "issues": [asdict(issue) for issue in ds.issues],
        "dataset": model,
    }


@click.command("json")
@click.argument("file", type=FILE, metavar="FILE")
@click.option("--indent", type=click.IntRange(0, 8), metavar="N", help="Spaces per level; without it, all on one line.")
@verbose_option
def json_command(file: Path, indent: int | None) -> None:
    """Print the data set of FILE in the DICOM JSON model.

    Faults are told on standard error; exit status 1 when FILE is truncated or its structure is broken.

    \b
    Example:
      dicomcore json --indent 2 plan.dcm
      dicomcore json plan.dcm | jq '."00100010".Value[0].Alphabetic'
    """
    from dicomcore.data.files import dcmread

    with failing(file):
        ds = dcmread(file)
        text = ds.to_json()
    click.echo(text if indent is None else json.dumps(json.loads(text), indent=indent, ensure_ascii=False))
    if tell_issues(file, ds):
        raise click.exceptions.Exit(1)


@click.command("xml")
@click.argument("file", type=FILE, metavar="FILE")
@verbose_option
def xml_command(file: Path) -> None:
    """Print the data set of FILE in the Native DICOM Model (XML).

    Faults are told on standard error; exit status 1 when FILE is truncated or its structure is broken.

    \b
    Example:
      dicomcore xml plan.dcm
      dicomcore xml plan.dcm | xmllint --xpath '//*[@keyword="BeamName"]' -
    """
    from dicomcore.data.files import dcmread
    from dicomcore.data.xml import iter_xml

    with failing(file):
        ds = dcmread(file)
        for piece in iter_xml(ds):
            click.echo(piece, nl=False)
    if tell_issues(file, ds):
        raise click.exceptions.Exit(1)
