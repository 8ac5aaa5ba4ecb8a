"""A study as a table: one row a series, with what matters about its kind of object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from rich.table import Table

from dicomcore.data.dataset import Dataset
from dicomcore.rt.dose import Dose

__all__ = ["study_table"]

Described = list[Dataset]


def _images(series: Described) -> str:
    ds = series[0]
    row, column = (float(value) for value in ds.PixelSpacing)
    return f"{ds.Rows} x {ds.Columns} pixels of {row:.3g} x {column:.3g} x {float(ds.SliceThickness):.3g} mm"


def _structures(series: Described) -> str:
    ds = series[0]
    contours = [contour for roi in ds.ROIContourSequence for contour in roi.get("ContourSequence") or ()]
    points = sum(int(contour.NumberOfContourPoints) for contour in contours)
    return f"{len(ds.StructureSetROISequence)} structures, {len(contours)} contours, {points:,} points"


def _plan(series: Described) -> str:
    ds = series[0]
    gantry = ", ".join(f"{float(beam.ControlPointSequence[0].GantryAngle):g}°" for beam in ds.BeamSequence)
    group, reference = ds.FractionGroupSequence[0], ds.DoseReferenceSequence[0]
    dose = f"{float(reference.TargetPrescriptionDose):g} Gy in {group.NumberOfFractionsPlanned}"
    return f"{len(ds.BeamSequence)} beams at {gantry}; {dose} fractions"


def _dose(series: Described) -> str:
    dose = Dose(series[0])
    frames, rows, columns = dose.geometry.shape
    top = f"{dose.maximum:.2f} {dose.units.title()}"
    return f"{frames} x {rows} x {columns} voxels of {dose.geometry.spacing[0]:g} mm, max {top}"


def _radiograph(series: Described) -> str:
    ds = series[0]
    return f"{ds.Rows} x {ds.Columns} pixels, gantry {float(ds.GantryAngle):g}°, {ds.RTImageLabel}"


DESCRIBE: Mapping[str, Callable[[Described], str]] = MappingProxyType(
    {"CT": _images, "RTSTRUCT": _structures, "RTPLAN": _plan, "RTDOSE": _dose, "RTIMAGE": _radiograph}
)


def study_table(objects: Iterable[tuple[Path, Dataset]]) -> Table:
    """Files of one study, a row for each series, in order of Series Number."""
    series: dict[str, list[tuple[Path, Dataset]]] = {}
    for path, ds in objects:
        series.setdefault(ds.SeriesInstanceUID, []).append((path, ds))
    rows = sorted(series.values(), key=lambda members: int(members[0][1].get("SeriesNumber") or 0))
    first = rows[0][0][1]
    table = Table(
        title=f"{first.PatientName}  ·  {first.PatientID}  ·  {first.StudyDescription}  ·  {first.StudyDate}",
        title_justify="left",
        title_style="bold",
        header_style="bold cyan",
    )
    table.add_column("Modality", style="bold", no_wrap=True)
    table.add_column("Objects", justify="right")
    table.add_column("What is in it")
    table.add_column("kB", justify="right", no_wrap=True)
    for members in rows:
        ds = members[0][1]
        size = sum(path.stat().st_size for path, _ in members)
        describe = DESCRIBE.get(str(ds.Modality))
        text = describe([one for _, one in members]) if describe else ""
        table.add_row(ds.Modality, str(len(members)), text, f"{size / 1000:,.0f}")
    return table
