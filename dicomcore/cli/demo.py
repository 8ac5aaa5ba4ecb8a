"""``demo``: the main job end to end, on this machine; the work is in `showcase`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from dicomcore.cli.common import failing, print_json, to_terminal, verbose_option

__all__ = ["demo_command"]


@click.command("demo")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Folder for the files.")
@click.option(
    "--slices", type=click.IntRange(1, 1000), metavar="N", default=7, show_default=True, help="CT images to make."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with the figures only.")
@verbose_option
def demo_command(out: Path | None, slices: int, as_json: bool) -> None:
    """Make a small radiotherapy study, send it to a storage server of our own, read it back and show it.

    \b
    Example:
      dicomcore demo
      dicomcore demo --slices 100 --out /tmp/study
    """
    from dicomcore.cli.showcase import run_demo

    console = to_terminal()
    console.quiet = as_json
    with failing():
        folder = out or Path(tempfile.mkdtemp(prefix="dicomcore-demo-"))
        figures = run_demo(console, folder, slices)
    if as_json:
        print_json(figures)
