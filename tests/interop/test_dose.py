"""Dose grids that we store, as DCMTK rewrites and pydicom reads them; the phantom's dose against its formula."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dicomcore import dcmread
from dicomcore.rt.dose import Dose
from dicomcore.rt.phantom import Settings, rt_dose
from dicomcore.rt.phantom.images import dose_grid

PROGRAMS = {
    "implicit": ("dcmconv", "+ti"),
    "big endian": ("dcmconv", "+tb"),
    "deflated": ("dcmconv", "+td"),
    "RLE": ("dcmcrle",),
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("signed", [False, True])
def test_dcmtk_rewrites_what_we_store(
    peer: Callable[[str], str], tmp_path: Path, program: str, bits: int, signed: bool
) -> None:
    import pydicom

    ds = rt_dose(Settings())
    grid = Dose(ds).grid() - (20.0 if signed else 0.0)
    ds.DoseType = "ERROR" if signed else "PHYSICAL"
    encoded = Dose.encode(grid, bits)
    encoded.put_into(ds)
    ours, theirs = tmp_path / "ours.dcm", tmp_path / "theirs.dcm"
    ds.save_as(ours)
    name, *options = PROGRAMS[program]
    subprocess.run([peer(name), *options, str(ours), str(theirs)], check=True, capture_output=True)
    expected = encoded.stored * encoded.scaling
    np.testing.assert_array_equal(Dose(dcmread(theirs)).grid(), expected)
    assert np.abs(expected - grid).max() == encoded.max_error
    read = pydicom.dcmread(ours)
    np.testing.assert_array_equal(read.pixel_array * float(read.DoseGridScaling), expected)


def test_the_phantom_has_the_dose_of_its_formula() -> None:
    settings = Settings()
    ds = rt_dose(settings)
    computed, points = dose_grid(settings)
    grid = Dose(ds).read()
    assert np.abs(grid.array - computed).max() <= Dose(ds).scaling / 2 * (1 + 1e-9)
    np.testing.assert_array_equal(grid.sample(points), grid.array)
    again = Dose.encode(grid.array)
    assert (again.bits, again.scaling, again.max_error) == (16, float(ds.DoseGridScaling), 0.0)
    assert again.stored.tobytes() == ds.PixelData
