"""``dump`` and ``json``: what is in a file (PS3.10), as text or in the DICOM JSON model (PS3.18 annex F)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dicomcore.cli.common import failing, verbose_option
from dicomcore.errors import DicomError
from dicomcore.vocab.tag import parse_tag

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset

__all__ = ["dump_command", "json_command"]

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _as_tags(ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> tuple[int, ...]:
    """Tags of keywords or of ``ggggeeee``."""
    try:
        return tuple(parse_tag(word) for word in words)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from error


@click.command("dump")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEYWORD",
    callback=_as_tags,
    help="Show only this element (keyword or ggggeeee); may be repeated.",
)
@verbose_option
def dump_command(files: tuple[Path, ...], tags: tuple[int, ...]) -> None:
    """Print the data sets of FILEs as text, one element a line; bytes are counted, not shown.

    \b
    Example:
      dicomcore dump plan.dcm
      dicomcore dump --tag PatientName --tag BeamSequence *.dcm
    """
    from dicomcore.data.files import dcmread

    bad = 0
    for path in files:
        try:
            text = _selected(dcmread(path), tags)
        except (DicomError, OSError) as error:
            click.echo(f"Error: {path}: {error}", err=True)
            bad += 1
            continue
        if len(files) > 1:
            click.secho(f"# {path}", bold=True)
        click.echo(text)
    if bad:
        raise click.exceptions.Exit(1)


def _selected(ds: Dataset, tags: tuple[int, ...]) -> str:
    if not tags:
        return str(ds)
    chosen = type(ds)()
    for tag in tags:
        if tag in ds:
            chosen.add(ds[tag])
    return str(chosen)


@click.command("json")
@click.argument("file", type=FILE, metavar="FILE")
@click.option("--indent", type=click.IntRange(0, 8), metavar="N", help="Spaces per level; without it, all on one line.")
@verbose_option
def json_command(file: Path, indent: int | None) -> None:
    """Print the data set of FILE in the DICOM JSON model.

    \b
    Example:
      dicomcore json --indent 2 plan.dcm
      dicomcore json plan.dcm | jq '."00100010".Value[0].Alphabetic'
    """
    from dicomcore.data.files import dcmread

    with failing():
        text = dcmread(file).to_json()
    click.echo(text if indent is None else json.dumps(json.loads(text), indent=indent, ensure_ascii=False))
