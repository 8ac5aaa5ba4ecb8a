"""What ``demo`` does: make a study, send it over real associations to a server of our own, read it back, show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich.columns import Columns
from rich.console import Console

from dicomcore.cli.common import count
from dicomcore.cli.picture import ct_with_dose, picture
from dicomcore.cli.summary import study_table
from dicomcore.data.dataset import Dataset
from dicomcore.data.files import dcmread
from dicomcore.errors import ServiceError
from dicomcore.net import AE, store
from dicomcore.rt.dose import Dose
from dicomcore.rt.phantom import Settings, iter_study
from dicomcore.services.storage import StorageSCP
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.status import describe
from dicomcore.vocab.syntaxes import EXPLICIT_LE

__all__ = ["run_demo"]

HOST = "127.0.0.1"
PICTURE = 64  # cells across

Objects = list[tuple[Path, Dataset]]


@contextmanager
def step(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """A line that says what was done, once it is done, and how long it took; the body may say more."""
    more: list[str] = []
    started = perf_counter()
    yield more.append
    seconds = perf_counter() - started
    detail = f"[dim]{' '.join(more)}[/dim]" if more else ""
    console.print(f" [green]✓[/green] {text:<28} [cyan]{seconds * 1000:6.0f} ms[/cyan]  {detail}")


def _make(folder: Path, slices: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for ds in iter_study(Settings(slices=slices, moment=datetime.now().replace(microsecond=0))):
        path = folder / f"{ds.Modality}.{int(ds.get('InstanceNumber') or 1):03}.dcm"
        ds.save_as(path, transfer_syntax=EXPLICIT_LE.uid)
        paths.append(path)
    return paths


def _exchange(console: Console, sent: list[Path], received: Path) -> tuple[int, float]:
    """Serve on a free port, send images and radiotherapy objects on an association each. Bytes stored, and seconds."""
    length, seconds = 0, 0.0
    storage = StorageSCP(received)
    with AE("DEMO-SCP").serve(port=0, host=HOST, services=[VerificationSCP(), storage]) as server:
        console.print(f"   storage server [bold]DEMO-SCP[/bold] on {HOST}:{server.port}")
        with (
            step(console, "C-ECHO") as say,
            AE("DEMO-SCU").associate(HOST, server.port, called_ae="DEMO-SCP", contexts=[VERIFICATION]) as association,
        ):
            say(describe(association.c_echo()))
        images = [path for path in sent if path.name.startswith("CT.")]
        others = [path for path in sent if path not in images]
        for name, batch in (("CT images", images), ("RT objects", others)):
            with step(console, f"C-STORE of {len(batch)} {name}") as say:
                report = store(batch, (HOST, server.port), called_ae="DEMO-SCP", calling_ae="DEMO-SCU")
                say(describe(report.results[0].status or 0, "C-STORE"))
            for result in report.failed:
                raise ServiceError(str(result), answer=result.status)
            length += report.bytes_stored
            seconds += report.seconds
    return length, seconds


def _read_back(sent: list[Path], received: Path) -> tuple[Objects, int]:
    """The stored objects in the order sent, and how many of them equal what was sent, element by element."""
    objects, equal = [], 0
    for path in sent:
        original = dcmread(path)
        copy = received / f"{original.SOPInstanceUID}.dcm"
        ds = dcmread(copy)
        equal += ds == original
        objects.append((copy, ds))
    return objects, equal


def run_demo(console: Console, folder: Path, slices: int) -> dict[str, Any]:
    """All of it, told on ``console``; the files end up below ``folder``. Answers the figures.

    ServiceError when an object was not stored, or is not what was sent.
    """
    console.print("\n[bold]dicomcore[/bold] demo: a radiotherapy study made, sent, stored and read back\n")
    with step(console, "study made") as say:
        sent = _make(folder / "sent", slices)
        say(count(len(sent), "object"))
    received = folder / "received"
    length, seconds = _exchange(console, sent, received)
    rate = length / 1e6 / seconds
    with step(console, "stored files read back") as say:
        objects, equal = _read_back(sent, received)
        say(f"{equal} of {len(objects)} equal what was sent")
    if equal < len(objects):
        raise ServiceError(f"{len(objects) - equal} stored objects differ from what was sent")
    figures = _show(console, objects)
    amount = f"{length / 1e6:.1f} MB sent and stored in {seconds * 1000:.0f} ms"
    console.print(
        f"\n [bold green]{count(len(objects), 'object')}[/bold green], {amount}: "
        f"[bold green]{rate:.0f} MB/s[/bold green]\n files are in {received.resolve()}\n"
    )
    return {
        "objects": len(objects),
        "equal": equal,
        "bytes": length,
        "seconds": round(seconds, 6),
        "megabytes_per_second": round(rate, 3),
        "folder": str(received.resolve()),
        **figures,
    }


def _show(console: Console, objects: Objects) -> dict[str, Any]:
    """Decode an image and the dose, print the table and, on a colour terminal, pictures. Answers figures of both."""
    images = [ds for _, ds in objects if ds.Modality == "CT"]
    image = images[len(images) // 2]
    with step(console, "CT image decoded") as say:
        pixels = image.pixel_array
        hounsfield = pixels * float(image.RescaleSlope) + float(image.RescaleIntercept)
        low, high = float(hounsfield.min()), float(hounsfield.max())
        say(f"{pixels.shape[0]} x {pixels.shape[1]} {pixels.dtype}, {low:.0f} to {high:.0f} HU")
    with step(console, "dose grid decoded") as say:
        dose = Dose(next(ds for _, ds in objects if ds.Modality == "RTDOSE"))
        grid = dose.grid(np.float32)
        peak = dose.geometry.positions(np.argwhere(grid == grid.max())[:1])[0]
        say(f"max {grid.max():.2f} Gy at ({', '.join(f'{mm:g}' for mm in peak)}) mm")
    console.print()
    console.print(study_table(objects))
    if console.color_system in ("truecolor", "256") and console.width >= 40:
        size = min(PICTURE, (console.width - 2) // 2 if console.width < 2 * PICTURE + 2 else PICTURE)
        console.print()
        console.print(Columns([picture(one) for one in ct_with_dose(image, dose, size)], padding=(0, 1)))
        z = float(image.ImagePositionPatient[2])
        console.print(f" [dim]slice at z = {z:g} mm, and the planned dose on it[/dim]")
    return {
        "image_shape": list(pixels.shape),
        "image_range_hu": [low, high],
        "dose_shape": list(grid.shape),
        "dose_maximum_gy": round(float(grid.max()), 4),
    }
