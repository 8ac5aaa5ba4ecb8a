"""``show`` as a user types it: picture files, contact sheets, windows, and what there is on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from dicomcore.cli.program import program
from tests.pixels.objects import image

RAMP = np.arange(64, dtype="<u2").reshape(8, 8) * 10


def run(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], prog_name="dicomcore", **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Six frames of 8 x 8, each brighter than the one before; a window over half of the first."""
    planes = np.stack([RAMP + 40 * i for i in range(6)])
    ds = image(Rows=8, Columns=8, BitsAllocated=16, BitsStored=12, HighBit=11, NumberOfFrames=6,
               WindowCenter=[160.5, 400], WindowWidth=[321, 801], PixelData=planes.tobytes())  # fmt: skip
    for element, vr, value in ((0x10, "US", 2), (0x11, "US", 8), (0x40, "CS", "G"), (0x50, "SS", [1, 1]),
                               (0x100, "US", 1), (0x102, "US", 0), (0x3000, "OW", b"\xff\x00")):  # fmt: skip
        ds.add_new(0x60000000 | element, vr, value)
    path = tmp_path / "image.dcm"
    ds.save_as(path, transfer_syntax="1.2.840.10008.1.2.1")
    return path


def written(path: Path) -> NDArray[Any]:
    with Image.open(path) as found:
        return np.asarray(found)


def test_a_frame_by_the_window_of_the_file(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.png"
    result = run("show", file, "--out", out)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{out}: 8 x 8 pixels\n", "")
    shown = written(out)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, np.clip(np.floor(RAMP / 320 * 255 + 0.5), 0, 255))
    assert run("show", file, "--out", out, "--frame", 3).exit_code == 0
    assert written(out)[0, 0] == 64  # 80 of 320


@pytest.mark.parametrize(("options", "last"), [
    (["--voi", "2"], 201), (["--window", "315,631"], 255), (["--window", "315,1261"], 191), (["--full-range"], 255),
])  # fmt: skip
def test_other_windows(file: Path, tmp_path: Path, options: list[str], last: int) -> None:
    out = tmp_path / "one.png"
    assert run("show", file, "--out", out, *options).exit_code == 0
    assert written(out)[-1, -1] == last


def test_size_and_overlays(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.png"
    result = run("show", file, "--out", out, "--size", 4, "--overlays")
    assert result.stdout == f"{out}: 4 x 4 pixels\n"
    assert written(out)[0, 0] > 127  # one of two rows is under the overlay


def test_a_contact_sheet(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.jpg"
    result = run("show", file, "--out", out, "--sheet", "2x3", "--size", 40)
    assert result.stdout == f"{out}: 124 x 82 pixels\n"
    assert written(out).shape == (82, 124)


def test_on_no_terminal_it_is_text(file: Path) -> None:
    result = run("show", file, "--size", 8)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "@" * 8
    assert run("show", file, "--sheet", "2x3").stdout.count("\n") == 25  # 80 cells across, 24 for each frame


def test_on_a_colour_terminal_it_is_blocks(file: Path) -> None:
    command = [sys.executable, "-m", "dicomcore", "show", str(file), "--size", "8"]
    environment = os.environ | {
        "FORCE_COLOR": "1",
        "COLORTERM": "truecolor",
        "TERM": "xterm-256color",
        "PYTHONWARNINGS": "error",
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=240)
    assert done.stdout.count("▀") == 32
    assert "\x1b[38;2;0;0;0;48;2;64;64;64m" in done.stdout


@pytest.mark.parametrize("options", [
    ["--window", "40"], ["--window", "a,b"], ["--window", "40,0"], ["--window", "40,-3"], ["--window", "40,nan"],
    ["--sheet", "4"], ["--sheet", "0x4"], ["--sheet", "4x4000"], ["--frame", "0"], ["--voi", "0"], ["--size", "0"],
    ["--voi", "1", "--full-range"], ["--voi", "1", "--window", "1,2"], ["--sheet", "2x2", "--frame", "1"],
])  # fmt: skip
def test_wrong_usage(file: Path, options: list[str]) -> None:
    result = run("show", file, *options)
    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.parametrize(("options", "message"), [
    (["--frame", "7"], "there is no frame 7, only 6"),
    (["--voi", "3"], "the image has 2 windows, and not the one asked for"),
    (["--icc"], "there is no ICC profile"),
    (["--out", "picture.what"], "picture.what: unknown file extension: .what; name it .png or .jpg"),
])  # fmt: skip
def test_what_cannot_be_shown(file: Path, options: list[str], message: str) -> None:
    result = run("show", file, *options)
    assert result.exit_code == 1
    assert str(file) in result.stderr
    assert message in result.stderr
    assert not Path("picture.what").exists()


def test_a_file_without_pixels(tmp_path: Path) -> None:
    path = tmp_path / "plan.dcm"
    image().save_as(path, transfer_syntax="1.2.840.10008.1.2.1")
    result = run("show", path)
    assert result.exit_code == 1
    assert "one element with pixels is needed" in result.stderr


def test_without_pillow_the_extra_is_named(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    result = run("show", file, "--out", tmp_path / "one.png")
    assert result.exit_code == 1
    assert "pictures need Pillow; pip install 'dicomcore[plot]'" in result.stderr
    assert run("show", file).exit_code == 0
