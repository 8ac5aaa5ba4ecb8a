"""The phantom study: what it promises of references, repetition and sizes; and what dciodvfy says of each object."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dicomcore.data.dataset import Dataset
from dicomcore.rt.dose import Dose
from dicomcore.rt.phantom import Settings, ct_image, iter_study, rt_dose, rt_plan, rt_structure_set
from dicomcore.rt.phantom.images import dose_grid

SMALL = Settings(slices=3, matrix=64, dose_spacing=10.0, contour_points=24, seed=7)
KINDS = ("CT", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTIMAGE")


@pytest.fixture(scope="module")
def study() -> list[Dataset]:
    return list(iter_study(SMALL))


def by_modality(study: list[Dataset], modality: str) -> Dataset:
    return next(ds for ds in study if ds.Modality == modality)


def walk(ds: Dataset) -> list[Dataset]:
    found = [ds]
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                found += walk(item)
    return found


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
@pytest.mark.parametrize("settings", [Settings(slices=2, seed=1), SMALL], ids=["full", "small"])
def test_dciodvfy_finds_no_fault(settings: Settings, syntax: str, tmp_path: Path, peer: Callable[[str], str]) -> None:
    program = peer("dciodvfy")
    for number, ds in enumerate(iter_study(settings)):
        path = tmp_path / f"{number}.dcm"
        ds.save_as(path, transfer_syntax=syntax)
        run = subprocess.run([program, str(path)], capture_output=True, text=True, timeout=240, check=False)
        assert run.returncode == 0, (ds.Modality, run.stderr)
        assert "Error" not in run.stderr, (ds.Modality, run.stderr)
        assert "Warning" not in run.stderr, (ds.Modality, run.stderr)


def test_one_patient_study_and_frame_of_reference(study: list[Dataset]) -> None:
    assert [ds.Modality for ds in study] == ["CT"] * 3 + list(KINDS[1:])
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert len({str(ds[keyword].value) for ds in study}) == 1, keyword
    assert len({ds.SOPInstanceUID for ds in study}) == len(study)
    assert len({ds.SeriesInstanceUID for ds in study}) == len(KINDS)
    assert all(ds.SOPInstanceUID.startswith("2.25.") for ds in study)


def test_every_reference_leads_to_an_object_of_the_study(study: list[Dataset]) -> None:
    instances = {ds.SOPInstanceUID: ds.SOPClassUID for ds in study}
    seen = set()
    for item in (item for ds in study for item in walk(ds)):
        if "ReferencedSOPInstanceUID" in item and "RTReferencedSeriesSequence" not in item:
            assert instances[item.ReferencedSOPInstanceUID] == item.ReferencedSOPClassUID
            seen.add(item.ReferencedSOPInstanceUID)
    image = by_modality(study, "RTIMAGE").SOPInstanceUID
    dose = by_modality(study, "RTDOSE").SOPInstanceUID
    assert seen == set(instances) - {image, dose}


def test_numbers_agree_between_structures_plan_and_dose(study: list[Dataset]) -> None:
    structures = by_modality(study, "RTSTRUCT")
    rois = [item.ROINumber for item in structures.StructureSetROISequence]
    assert rois == [item.ReferencedROINumber for item in structures.ROIContourSequence]
    assert rois == [item.ReferencedROINumber for item in structures.RTROIObservationsSequence]
    dose = by_modality(study, "RTDOSE")
    assert rois == [item.DVHReferencedROISequence[0].ReferencedROINumber for item in dose.DVHSequence]
    plan = by_modality(study, "RTPLAN")
    assert plan.DoseReferenceSequence[0].ReferencedROINumber in rois
    beams = [beam.BeamNumber for beam in plan.BeamSequence]
    assert beams == [item.ReferencedBeamNumber for item in plan.FractionGroupSequence[0].ReferencedBeamSequence]
    assert by_modality(study, "RTIMAGE").ReferencedBeamNumber in beams


def test_contours_lie_on_the_planes_of_their_images(study: list[Dataset]) -> None:
    planes = {ds.SOPInstanceUID: float(ds.ImagePositionPatient[2]) for ds in study if ds.Modality == "CT"}
    for roi in by_modality(study, "RTSTRUCT").ROIContourSequence:
        for contour in roi.ContourSequence:
            points = np.asarray(contour.ContourData, dtype=float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints == SMALL.contour_points
            assert np.all(points[:, 2] == planes[contour.ContourImageSequence[0].ReferencedSOPInstanceUID])


def test_leaves_stay_within_the_jaws_and_never_cross() -> None:
    for beam in rt_plan(SMALL).BeamSequence:
        boundaries = {item.RTBeamLimitingDeviceType: item for item in beam.BeamLimitingDeviceSequence}
        for item in beam.ControlPointSequence[0].BeamLimitingDevicePositionSequence:
            pairs = boundaries[item.RTBeamLimitingDeviceType].NumberOfLeafJawPairs
            positions = np.asarray(item.LeafJawPositions, dtype=float).reshape(2, pairs)
            assert np.all(positions[0] <= positions[1])
        assert len(boundaries["MLCX"].LeafPositionBoundaries) == boundaries["MLCX"].NumberOfLeafJawPairs + 1


def test_a_seed_makes_the_study_repeatable(tmp_path: Path) -> None:
    files: list[list[bytes]] = [[], []]
    for run in files:
        for ds in iter_study(SMALL):
            ds.save_as(tmp_path / "x.dcm", transfer_syntax="1.2.840.10008.1.2.1")
            run.append((tmp_path / "x.dcm").read_bytes())
    assert files[0] == files[1]
    fresh = {ct_image(Settings(slices=1, matrix=32), 0).SOPInstanceUID for _ in range(2)}
    assert len(fresh) == 2


def test_larger_studies_are_a_matter_of_settings() -> None:
    large = Settings(slices=40, matrix=128, private_elements=300, contour_points=400, seed=1)
    ds = ct_image(large, 39)
    assert (ds.Rows, ds.InstanceNumber) == (128, 40)
    assert len(list(ds)) > 380
    body = rt_structure_set(large).ROIContourSequence[0]
    assert len(body.ContourSequence) == 40
    assert len(body.ContourSequence[0].ContourData) == 1200


@pytest.mark.parametrize(
    "wrong",
    [{"slices": 0}, {"matrix": 8}, {"contour_points": 2}, {"dose_bits": 24}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_settings_that_make_no_study_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"phantom needs|dose_bits"):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [16, 32])
def test_the_stored_dose_is_the_computed_one(bits: int) -> None:
    settings = Settings(slices=3, dose_spacing=8.0, dose_bits=bits, seed=1)
    computed, points = dose_grid(settings)
    dose = Dose(rt_dose(settings))
    np.testing.assert_allclose(dose.grid(), computed, atol=dose.scaling * 0.51)
    assert dose.maximum == pytest.approx(computed.max(), abs=dose.scaling)
    indices = np.argwhere(np.ones(computed.shape, bool))
    np.testing.assert_allclose(dose.geometry.positions(indices), points.reshape(-1, 3), atol=1e-9)


def test_the_isocentre_gets_the_prescription() -> None:
    settings = Settings(slices=3, dose_spacing=5.0, seed=1)
    computed, points = dose_grid(settings)
    nearest = np.argmin(np.linalg.norm(points - np.asarray(settings.isocentre), axis=-1))
    assert computed.flat[nearest] == pytest.approx(settings.prescription, rel=1e-9)


def test_ct_numbers_show_water_lung_bone_and_air() -> None:
    ds = ct_image(Settings(slices=1, matrix=200, noise=0.0, seed=1), 0)
    hounsfield = ds.pixel_array.astype(int) * int(ds.RescaleSlope) + int(ds.RescaleIntercept)
    at = {(0, -60): 0, (85, -15): -720, (15, 68): 700, (0, 68): 30, (190, 190): -1000, (0, -10): 45}
    for (x, y), expected in at.items():
        assert hounsfield[int((y + 200) / 2), int((x + 200) / 2)] == expected
