"""``dicomcore transcode`` as a user types it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from dicomcore import CODECS, Dataset, dcmread
from dicomcore.cli import transcode as module
from dicomcore.cli.program import program
from dicomcore.cli.transcode import Job, Outcome
from dicomcore.rt.phantom import Settings, iter_study
from dicomcore.vocab.syntaxes import SHORT_NAMES, SYNTAXES
from tests.pixels.objects import image

pytest.importorskip("imagecodecs")

J2K, RLE, EXPLICIT = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["transcode", *map(str, arguments)], prog_name="dicomcore")


def told(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    answer: dict[str, Any] = json.loads(result.stdout)
    return {**answer, "exit": result.exit_code}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CT images in a folder below, RT objects with and without pixels, an image of 32 bits, and notes."""
    folder = tmp_path_factory.mktemp("study")
    for ds in iter_study(Settings(slices=2, matrix=16, dose_spacing=30.0, contour_points=8, seed=3)):
        name = f"{ds.Modality}.{ds.get('InstanceNumber')}.dcm"
        path = folder / "images" / name if ds.Modality == "CT" else folder / name
        path.parent.mkdir(exist_ok=True)
        ds.save_as(path)
    image(BitsAllocated=32, BitsStored=32, HighBit=31, PixelData=bytes(24)).save_as(folder / "deep.dcm")
    (folder / "notes.txt").write_text("no DICOM")
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.dcm"
    data = (np.arange(64 * 64) % 251).astype(np.uint8)
    image(Rows=64, Columns=64, PixelData=data.tobytes()).save_as(path)
    return path


def test_help_shows_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "dicomcore transcode htj2k study/" in result.stdout


def test_list_has_every_syntax_and_every_reason() -> None:
    result = run("--list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    rows = {line.split()[0]: line for line in lines if line[0] == "1"}
    assert rows.keys() == SYNTAXES.keys()
    for uid, row in CODECS.items():
        assert ("decode" in rows[uid].split()[1:3]) == row.can_decode
        assert (" encode " in rows[uid]) == row.can_encode
        assert not row.reason or row.reason in result.stdout
    assert all(any(short in line.split() for line in lines) for short in SHORT_NAMES)


@pytest.mark.parametrize("word", [*SHORT_NAMES, "RLELossless", "rlelossless", "RLE Lossless", RLE])
def test_syntaxes_by_many_names(word: str, photo: Path, tmp_path: Path) -> None:
    uid = SHORT_NAMES.get(word, RLE)
    answer = told(word, photo, "--out", tmp_path / "out.dcm")
    if word in ("jxl-jpeg", "jpeg-12"):
        assert answer["exit"] == (1 if word == "jxl-jpeg" else 0)
        return
    assert (answer["exit"], answer["syntax"], answer["transcoded"]) == (0, uid, 1)
    assert dcmread(tmp_path / "out.dcm").transfer_syntax == uid


def test_a_name_that_is_none_is_answered_with_those_near_it(photo: Path) -> None:
    result = run("jpegls", photo, "--out", "x")
    assert result.exit_code == 2
    assert "did you mean" in result.stderr
    assert "jpeg-ls" in result.stderr


def test_a_folder_is_written_with_all_that_is_below(study: Path, tmp_path: Path) -> None:
    answer = told("j2k", study, "--out", tmp_path / "made", "--report", tmp_path / "report.csv")
    by_name = {Path(row["source"]).name: row for row in answer["files"]}
    assert by_name["notes.txt"]["status"] == "skipped"
    made = [row for row in answer["files"] if row["status"] == "transcoded"]
    assert {Path(row["target"]).relative_to(tmp_path / "made").parts[0] for row in made} >= {"images"}
    for row in made:
        before, after = dcmread(row["source"]), dcmread(row["target"])
        assert (after.transfer_syntax, after.SOPInstanceUID) == (J2K, row["sop_instance_uid"])
        np.testing.assert_array_equal(before.pixel_array, after.pixel_array)
        assert row["length_before"] > 0
        assert row["frames"] >= 1
    copied = [row for row in answer["files"] if row["status"] == "copied"]
    assert len(copied) == answer["copied"] == 2
    for row in copied:
        assert dcmread(row["source"]) == dcmread(row["target"])
    # 32 bits are more than JPEG 2000 has here: it fails, and the others are there.
    assert (answer["failed"], answer["exit"]) == (1, 1)
    (failed,) = (row for row in answer["files"] if row["status"] == "failed")
    assert "Bits Stored is 32" in failed["message"]
    assert not Path(failed["target"]).exists()
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == [row["status"] for row in answer["files"]]


def test_what_is_there_and_complete_is_kept(study: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    first = told("rle", study, "--out", made)
    assert (first["exit"], first["failed"], first["transcoded"]) == (0, 0, 5)
    times = {path: path.stat().st_mtime_ns for path in made.rglob("*.dcm")}
    again = told("rle", study, "--out", made, "--resume")
    assert (again["exit"], again["kept"], again["transcoded"], again["copied"]) == (0, 7, 0, 0)
    assert times == {path: path.stat().st_mtime_ns for path in made.rglob("*.dcm")}
    gone, other, old, cut = sorted(made.rglob("*.dcm"))[:4]
    gone.unlink()
    other.write_bytes(sorted(made.rglob("*.dcm"))[-1].read_bytes())
    os.utime(old, ns=(0, 0))
    cut.write_bytes(cut.read_bytes()[:200])
    mended = told("rle", study, "--out", made, "--resume")
    assert (mended["exit"], mended["kept"]) == (0, 3)
    other_syntax = told("deflated-frame", study, "--out", made, "--resume")
    assert (other_syntax["transcoded"], other_syntax["kept"]) == (5, 2)


def test_lossy_files_are_kept_too(photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.dcm"
    assert told("jpeg", photo, "--out", target, "-o", "quality=40")["transcoded"] == 1
    uid = dcmread(target).SOPInstanceUID
    assert uid != dcmread(photo).SOPInstanceUID
    assert told("jpeg", photo, "--out", target, "--resume")["kept"] == 1
    assert dcmread(target).SOPInstanceUID == uid


def test_options_reach_the_codec(photo: Path, tmp_path: Path) -> None:
    lengths = []
    for quality in (10, 90):
        answer = told("jpeg", photo, "--out", tmp_path / "x.dcm", "-o", f"quality={quality}")
        lengths.append(answer["length_after"])
    assert lengths[0] < lengths[1]
    assert told("j2k-lossy", photo, "--out", tmp_path / "x.dcm", "-o", "reversible=true")["exit"] == 0
    assert "LossyImageCompression" not in dcmread(tmp_path / "x.dcm")
    assert told("rle", photo, "--out", tmp_path / "x.dcm", "--offset-table", "extended")["exit"] == 0
    assert "ExtendedOffsetTable" in dcmread(tmp_path / "x.dcm")
    wrong = run("rle", photo, "--out", tmp_path / "y.dcm", "-o", "quality=3")
    assert (wrong.exit_code, "has no option quality" in wrong.stderr) == (1, True)
    for bad in ("quality", "workers=3"):
        assert run("rle", photo, "--out", tmp_path / "y.dcm", "-o", bad).exit_code == 2


def test_one_file_goes_to_a_file_or_into_a_folder(photo: Path, tmp_path: Path) -> None:
    result = run("rle", photo, "--out", tmp_path / "one.dcm")
    assert result.exit_code == 0
    assert "1 file transcoded" in result.stdout
    (tmp_path / "folder").mkdir()
    assert run("rle", photo, "--out", tmp_path / "folder").exit_code == 0
    assert run("rle", photo, "--out", f"{tmp_path}/new/").exit_code == 0
    for path in (tmp_path / "one.dcm", tmp_path / "folder" / "photo.dcm", tmp_path / "new" / "photo.dcm"):
        assert dcmread(path).transfer_syntax == RLE
    assert run("explicit", photo, "--out", photo).exit_code == 0
    result = run("rle", photo, photo.parent / "folder" / "photo.dcm", "--out", tmp_path / "both")
    assert result.exit_code == 2
    assert "would both become" in result.stderr


def test_a_named_file_that_is_no_dicom_fails(study: Path, tmp_path: Path) -> None:
    result = run("rle", study / "notes.txt", "--out", tmp_path / "x")
    assert result.exit_code == 1
    assert "notes.txt" in result.stderr
    assert run("rle", study, "--out", tmp_path / "x", "--report", "report.txt").exit_code == 2


def test_what_an_earlier_run_made_below_a_source_is_no_source(photo: Path) -> None:
    folder = photo.parent
    assert told("rle", folder, "--out", folder / "made")["transcoded"] == 1
    assert told("rle", folder, "--out", folder / "made")["transcoded"] == 1
    assert told("rle", folder, "--out", folder)["transcoded"] == 2


def test_many_files_are_shared_out_to_processes(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORTH", 0)
    answer = told("j2k", study, "--out", tmp_path, "--workers", 2)
    assert (answer["transcoded"], answer["copied"], answer["skipped"], answer["failed"]) == (4, 2, 1, 1)


def dies(job: Job) -> Outcome:
    if job.source == "bad":
        os._exit(3)
    return Outcome(job.source, job.target, "transcoded")


def test_only_the_file_at_which_a_process_died_has_failed() -> None:
    jobs = [Job(name, "", RLE, 1, False, {}) for name in ("a", "b", "bad", "c", "d", "e", "f", "g")]
    found = {outcome.source: outcome.status for outcome in module._in_processes(jobs, 2, dies)}
    assert found == {job.source: "failed" if job.source == "bad" else "transcoded" for job in jobs}


def test_progress_is_shown_to_who_watches(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "on_terminal", lambda: True)
    result = run("rle", photo, "--out", tmp_path / "x.dcm")
    assert result.exit_code == 0


def test_a_fault_of_any_kind_stops_no_other_file(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module._transcoded
    calls: Iterator[int] = iter(range(100))

    def failing(job: Job) -> Outcome:
        if next(calls) == 0:
            raise RuntimeError("a bug")
        return real(job)

    monkeypatch.setattr(module, "_transcoded", failing)
    answer = told("explicit", study, "--out", tmp_path, "--report", tmp_path / "report.json")
    assert (answer["failed"], answer["transcoded"], answer["exit"]) == (1, 6, 1)
    assert any(row["message"] == "RuntimeError: a bug" for row in json.loads((tmp_path / "report.json").read_text()))


def test_faults_that_reading_survived_are_told(tmp_path: Path) -> None:
    ds = image(PixelData=bytes(20))
    ds.save_as(tmp_path / "x.dcm")
    result = run("rle", tmp_path / "x.dcm", "--out", tmp_path / "y.dcm")
    assert result.exit_code == 0
    assert "Warning: " in result.stderr
    assert isinstance(dcmread(tmp_path / "y.dcm"), Dataset)


def test_a_codec_that_is_not_installed_is_told_once(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomcore.pixels.codec._installed", lambda module: False)
    result = run("j2k", study, "--out", tmp_path / "made")
    assert result.exit_code == 1
    assert result.stderr.count("dicomcore[codecs]") == 1
    assert not (tmp_path / "made").exists()
