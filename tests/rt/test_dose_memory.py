"""Memory of a pass over a dose grid: the result, a window a worker, and nothing else of the size of the grid."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dicomcore.pixels.codecs.rle import RLE as CODEC
from dicomcore.pixels.image_model import ImageModel
from tests.pixels.objects import RLE, items
from tests.rt.objects import rt_dose, written

SHAPE = (96, 400, 400)
GRID = 4 * 96 * 400 * 400  # bytes of stored integers, and of single precision

CODE = """
import sys
import numpy as np
from dicomcore import dcmread
from dicomcore.rt import stored_grid
from dicomcore.rt.dose import Dose

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))

path, what = sys.argv[1:]
stored_grid.RUN = 4 << 20
dose = Dose(dcmread(path))
dose.grid(frames=0)
dose.histogram((0, 1), frames=0)
out = np.ones(dose.shape, np.float32) if what == "out" else None
before = status("VmRSS")
with open("/proc/self/clear_refs", "w") as marks:
    marks.write("5")
if what == "out":
    dose.grid(out=out, workers=2)
elif what == "new":
    grid = dose.grid(np.float32, workers=2)
else:
    dose.statistics(workers=2)
    dose.histogram((0, 60), workers=2)
print(status("VmHWM") - before)
"""


@pytest.mark.footprint
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured on Linux")
@pytest.mark.parametrize(("what", "result"), [("out", 0), ("new", GRID), ("counts", 0)])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", RLE])
def test_a_pass_holds_the_result_and_little_else(ram_path: Path, syntax: str, what: str, result: int) -> None:
    stored = np.arange(GRID // 4, dtype="<u4").reshape(SHAPE)
    values: dict[str, object] = {
        "NumberOfFrames": SHAPE[0],
        "Rows": SHAPE[1],
        "Columns": SHAPE[2],
        "BitsAllocated": 32,
        "BitsStored": 32,
        "HighBit": 31,
        "GridFrameOffsetVector": [*range(SHAPE[0])],
        "DoseGridScaling": 1e-6,
    }
    if syntax == RLE:
        model = ImageModel.from_dataset(rt_dose(**values | {"NumberOfFrames": 1}))
        assert CODEC.encode is not None
        values["PixelData"] = items([CODEC.encode(frame, model, model, {}) for frame in stored])
    else:
        values["PixelData"] = stored.tobytes()
    path = ram_path / "dose.dcm"
    path.write_bytes(written(rt_dose(**values), syntax))
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path), what], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < result + GRID // 3, f"{int(done.stdout) / GRID:.2f} of the grid"
