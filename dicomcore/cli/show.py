"""``show``: a frame, or a contact sheet of many, as a picture file or as characters on the terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dicomcore.cli.common import failing, tell_issues, to_terminal, verbose_option
from dicomcore.cli.dump import FILE
from dicomcore.errors import PixelError

if TYPE_CHECKING:
    from dicomcore.pixels.frames import FrameSource
    from dicomcore.pixels.picture import Picture

__all__ = ["show_command"]

CELLS = 80  # most of a line of the terminal that are used without --size


def _window(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        center, width = map(float, value.split(","))
    except ValueError:
        raise click.BadParameter("give CENTER,WIDTH, as 40,400", ctx, parameter) from None
    if not width > 0:
        raise click.BadParameter("a window is wider than 0", ctx, parameter)
    return center, width


def _sheet(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})", value.lower())
    if found is None:
        raise click.BadParameter("give ROWSxCOLUMNS, as 4x6", ctx, parameter)
    return int(found[1]), int(found[2])


@click.command("show")
@click.argument("file", type=FILE)
@click.option("--frame", type=click.IntRange(1), metavar="N", help="Which frame; the first is 1, as DICOM counts.")
@click.option("--sheet", metavar="ROWSxCOLUMNS", callback=_sheet, help="A contact sheet, with the numbers of frames.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="PICTURE", help="A .png, .jpg or .tif file."
)
@click.option("--window", metavar="CENTER,WIDTH", callback=_window, help="A window of your own, such as 40,400.")
@click.option("--voi", type=click.IntRange(1), metavar="N", help="Which window or VOI LUT of the file; 1 if not given.")
@click.option("--full-range", is_flag=True, help="From the least value to the greatest, whatever the file says.")
@click.option("--overlays", is_flag=True, help="Draw overlay planes.")
@click.option("--icc", is_flag=True, help="Colours to sRGB, by the ICC profile of the file.")
@click.option(
    "--size", type=click.IntRange(1, 10_000), metavar="N", help="Pixels of the longer side; on a sheet, of each."
)
@verbose_option
def show_command(
    file: Path,
    frame: int | None,
    sheet: tuple[int, int] | None,
    out: Path | None,
    window: tuple[float, float] | None,
    voi: int | None,
    full_range: bool,
    overlays: bool,
    icc: bool,
    size: int | None,
) -> None:
    """Show a frame of FILE as the file wants it shown: rescaled, windowed, its palette as colours.

    With --out it becomes a picture file, else a small picture on the terminal. A file without window shows all its
    values.

    \b
    Example:
      dicomcore show ct.dcm
      dicomcore show ct.dcm --window 40,400 --out ct.png
      dicomcore show cine.dcm --sheet 4x6 --out cine.jpg
    """
    if (window is not None) + (voi is not None) + full_range > 1:
        raise click.UsageError("--window, --voi and --full-range exclude each other")
    if sheet is not None and (frame is not None or icc):
        raise click.UsageError("--sheet goes with neither --frame nor --icc")
    from dicomcore.data.files import dcmread
    from dicomcore.pixels.frames import frames

    console = to_terminal()
    if out is None and size is None:
        size = min(CELLS, console.width) // (sheet[1] if sheet else 1) - (2 if sheet else 0)
    wanted: tuple[float, float] | Literal["full"] | None = "full" if full_range else window
    which = None if voi is None else voi - 1
    with failing(file):
        ds = dcmread(file)
        source = frames(ds)
        if sheet is not None:
            options = {"size": max(size, 1)} if size is not None else {}
            made = source.sheet(*sheet, window=wanted, voi=which, overlays=overlays, labels=out is not None, **options)
        else:
            made = _one(source, frame or 1).picture(0, window=wanted, voi=which, overlays=overlays, size=size, icc=icc)
        if out is not None:
            made.save(out)
    for issue in source.issues:
        click.echo(f"Warning: {file}: {issue}", err=True)
    tell_issues(file, ds)
    if out is not None:
        rows, columns = made.array.shape[:2]
        click.echo(f"{out}: {columns} x {rows} pixels")
    else:
        _print(made)


def _one(source: FrameSource, number: int) -> FrameSource:
    if number > len(source):
        raise PixelError(f"there is no frame {number}, only {len(source)}", path="(0028,0008)")
    return source[number - 1 : number]


def _print(made: Picture) -> None:
    """On the terminal, in colours if it has them."""
    from dicomcore.cli.picture import picture, shades

    console, image = to_terminal(), made.rgb
    if len(image) == 1:
        image = image.repeat(2, axis=0)
    if console.color_system in ("truecolor", "256"):
        console.print(picture(image), end="")
    else:
        click.echo(shades(image))
