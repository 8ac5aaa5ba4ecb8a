"""``diff``: where two files differ, element by element with paths; exit status 1 when they do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomcore.cli.common import failing, print_json, tell_issues, verbose_option
from dicomcore.cli.dump import FILE, as_tags

if TYPE_CHECKING:
    from dicomcore.data.paths import Difference

__all__ = ["diff_command"]


@click.command("diff")
@click.argument("left", type=FILE, metavar="A")
@click.argument("right", type=FILE, metavar="B")
@click.option(
    "--ignore",
    multiple=True,
    metavar="KEYWORD",
    callback=as_tags,
    help="Let this element differ at any depth (keyword or ggggeeee); may be repeated.",
)
@click.option("--meta", is_flag=True, help="Compare the file meta information too.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON instead of text.")
@verbose_option
def diff_command(left: Path, right: Path, ignore: tuple[int, ...], meta: bool, as_json: bool) -> None:
    """Print what differs between the data sets of A and B: - only in A, + only in B, ~ not the same.

    Values are compared, not bytes: transfer syntax, byte order and lengths make no difference. Exit status 1 when
    there are differences. Of long values the first difference is named: [0] is the first value, byte or character.
    Faults of the files are told on standard error.

    \b
    Example:
      dicomcore diff plan.dcm plan-approved.dcm
      dicomcore diff --ignore SOPInstanceUID --ignore InstanceCreationTime a.dcm b.dcm
    """
    from dicomcore.data.files import dcmread
    from dicomcore.data.paths import diff

    with failing(left):
        a = dcmread(left)
    with failing(right):
        b = dcmread(right)
    with failing():
        found = diff(a.file_meta, b.file_meta, ignore=ignore) if meta else []
        found += diff(a, b, ignore=ignore)
    if as_json:
        print_json([_row(one) for one in found])
    else:
        for one in found:
            click.echo(str(one))
    for path, ds in ((left, a), (right, b)):
        tell_issues(path, ds)
    if found:
        raise click.exceptions.Exit(1)


def _row(one: Difference) -> dict[str, Any]:
    row: dict[str, Any] = {"path": one.path, "kind": one.kind, "name": one.name, "text": str(one)}
    return row if one.lengths is None else row | {"position": one.position, "lengths": one.lengths}
