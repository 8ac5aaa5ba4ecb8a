"""The objects of the study that carry numbers: RT structure set (PS3.3 A.19) and RT plan (A.20)."""

from __future__ import annotations

from dicomcore.data.dataset import Dataset
from dicomcore.rt.phantom.anatomy import STRUCTURES, TARGET, Beam, Ellipsoid
from dicomcore.rt.phantom.identity import Settings, common, frame_of_reference, reference
from dicomcore.vocab.uids import uid_for_keyword

__all__ = ["rt_plan", "rt_structure_set"]

LEAF_PAIRS = 40
LEAF_WIDTH = 10.0  # mm at the isocentre
LEAF_MARGIN = 7.0
DOSE_RATE = 600  # MU/min
MU_PER_GRAY = 118.0


def rt_structure_set(settings: Settings) -> Dataset:
    """Closed planar outlines of every shape on every CT plane that it meets."""
    ds = common(settings, "RTStructureSetStorage", "RTSTRUCT", 2, "structures")
    ds.SeriesDescription = "Structures"
    ds.StructureSetLabel = "Phantom"
    ds.StructureSetName = "Water phantom and its inserts"
    ds.StructureSetDate, ds.StructureSetTime = settings.date, settings.time
    ds.InstanceNumber = 1
    frame_of_reference(ds, settings)

    images = [reference("CTImageStorage", settings.uid(f"CT/{index}")) for index in range(settings.slices)]
    series = Dataset()
    series.SeriesInstanceUID = settings.uid("series/CT")
    series.ContourImageSequence = images
    study = Dataset()
    study.ReferencedSOPClassUID = uid_for_keyword("DetachedStudyManagement")
    study.ReferencedSOPInstanceUID = settings.uid("study")
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = settings.uid("frame of reference")
    frame.RTReferencedStudySequence = [study]
    ds.ReferencedFrameOfReferenceSequence = [frame]

    ds.StructureSetROISequence = [_roi(settings, shape) for shape in STRUCTURES]
    ds.ROIContourSequence = [_contours(settings, shape) for shape in STRUCTURES]
    ds.RTROIObservationsSequence = [_observation(shape) for shape in STRUCTURES]
    ds.ApprovalStatus = "UNAPPROVED"
    return ds


def _roi(settings: Settings, shape: Ellipsoid) -> Dataset:
    item = Dataset()
    item.ROINumber = shape.number
    item.ReferencedFrameOfReferenceUID = settings.uid("frame of reference")
    item.ROIName = shape.name
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    return item


def _contours(settings: Settings, shape: Ellipsoid) -> Dataset:
    contours: list[Dataset] = []
    for index, z in enumerate(settings.planes):
        vertices = shape.outline(z, settings.contour_points)
        if vertices is None:
            continue
        contour = Dataset()
        contour.ContourImageSequence = [reference("CTImageStorage", settings.uid(f"CT/{index}"))]
        contour.ContourGeometricType = "CLOSED_PLANAR"
        contour.NumberOfContourPoints = len(vertices)
        contour.ContourNumber = len(contours) + 1
        contour.ContourData = vertices.ravel().tolist()
        contours.append(contour)
    item = Dataset()
    item.ROIDisplayColor = list(shape.colour)
    item.ReferencedROINumber = shape.number
    if contours:
        item.ContourSequence = contours
    return item


def _observation(shape: Ellipsoid) -> Dataset:
    item = Dataset()
    item.ObservationNumber = shape.number
    item.ReferencedROINumber = shape.number
    item.ROIObservationLabel = shape.name
    item.RTROIInterpretedType = shape.interpreted_type
    item.ROIInterpreter = ""
    return item


def rt_plan(settings: Settings) -> Dataset:
    """A photon plan of static beams with a multi-leaf collimator, prescribed to the target."""
    ds = common(settings, "RTPlanStorage", "RTPLAN", 3, "plan")
    ds.SeriesDescription = "Plan"
    ds.InstanceNumber = 1
    frame_of_reference(ds, settings)
    ds.RTPlanLabel = "Two fields"
    ds.RTPlanName = "Two fields on the water phantom"
    ds.RTPlanDescription = "For tests, not for treatment"
    ds.RTPlanDate, ds.RTPlanTime = settings.date, settings.time
    ds.PlanIntent = "RESEARCH"
    ds.RTPlanGeometry = "PATIENT"

    target = Dataset()
    target.ReferencedROINumber = TARGET.number
    target.DoseReferenceNumber = 1
    target.DoseReferenceUID = settings.uid("dose reference")
    target.DoseReferenceStructureType = "VOLUME"
    target.DoseReferenceDescription = TARGET.name
    target.DoseReferenceType = "TARGET"
    target.DeliveryMaximumDose = round(settings.prescription * 1.1, 3)
    target.TargetPrescriptionDose = settings.prescription
    target.TargetUnderdoseVolumeFraction = 5
    ds.DoseReferenceSequence = [target]

    tolerance = Dataset()
    tolerance.ToleranceTableNumber = 1
    tolerance.ToleranceTableLabel = "Phantom"
    tolerance.GantryAngleTolerance = 1
    tolerance.BeamLimitingDeviceAngleTolerance = 1
    tolerance.PatientSupportAngleTolerance = 1
    ds.ToleranceTableSequence = [tolerance]

    setup = Dataset()
    setup.PatientSetupNumber = 1
    setup.PatientPosition = "HFS"
    setup.SetupTechnique = "ISOCENTRIC"
    ds.PatientSetupSequence = [setup]

    ds.FractionGroupSequence = [_fractions(settings)]
    ds.BeamSequence = [_beam(settings, beam) for beam in settings.beams]
    ds.ReferencedStructureSetSequence = [reference("RTStructureSetStorage", settings.uid("structures"))]
    ds.ApprovalStatus = "UNAPPROVED"
    return ds


def _fractions(settings: Settings) -> Dataset:
    share = settings.fraction_dose / len(settings.beams)
    beams = []
    for beam in settings.beams:
        item = Dataset()
        item.BeamDose = round(share, 4)
        item.BeamMeterset = round(share * MU_PER_GRAY, 3)
        item.ReferencedBeamNumber = beam.number
        beams.append(item)
    target = Dataset()
    target.ReferencedDoseReferenceNumber = 1
    group = Dataset()
    group.FractionGroupNumber = 1
    group.NumberOfFractionsPlanned = settings.fractions
    group.NumberOfBeams = len(beams)
    group.NumberOfBrachyApplicationSetups = 0
    group.ReferencedBeamSequence = beams
    group.ReferencedDoseReferenceSequence = [target]
    return group


def _beam(settings: Settings, beam: Beam) -> Dataset:
    item = Dataset()
    item.TreatmentMachineName = "LINAC1"
    item.PrimaryDosimeterUnit = "MU"
    item.SourceAxisDistance = beam.distance
    item.Manufacturer = "dicomcore"
    item.BeamNumber = beam.number
    item.BeamName = beam.name
    item.BeamDescription = f"Gantry at {beam.gantry:g} degrees"
    item.BeamType = "STATIC"
    item.RadiationType = "PHOTON"
    item.TreatmentDeliveryType = "TREATMENT"
    item.NumberOfWedges = 0
    item.NumberOfCompensators = 0
    item.NumberOfBoli = 0
    item.NumberOfBlocks = 0
    fluence = Dataset()
    fluence.FluenceMode = "STANDARD"
    item.PrimaryFluenceModeSequence = [fluence]
    item.BeamLimitingDeviceSequence = [_device("ASYMX", 1), _device("ASYMY", 1), _device("MLCX", LEAF_PAIRS)]
    item.FinalCumulativeMetersetWeight = 1
    item.NumberOfControlPoints = 2
    item.ControlPointSequence = [_first_control_point(settings, beam), _last_control_point()]
    item.ReferencedPatientSetupNumber = 1
    item.ReferencedToleranceTableNumber = 1
    return item


def _leaf_edges() -> list[float]:
    return [(number - LEAF_PAIRS / 2) * LEAF_WIDTH for number in range(LEAF_PAIRS + 1)]


def _device(kind: str, pairs: int) -> Dataset:
    item = Dataset()
    item.RTBeamLimitingDeviceType = kind
    item.NumberOfLeafJawPairs = pairs
    if kind == "MLCX":
        item.LeafPositionBoundaries = _leaf_edges()
    return item


def _leaf_positions(beam: Beam) -> list[float]:
    """Both banks, conformed to the target with a margin; leaves that the target does not reach stay closed."""
    half = []
    for lower in _leaf_edges()[:-1]:
        nearest = max(0.0, abs(lower + LEAF_WIDTH / 2) - LEAF_WIDTH / 2 - LEAF_MARGIN)
        cut = max(0.0, 1.0 - (nearest / TARGET.radii[2]) ** 2) ** 0.5
        half.append(round(min(TARGET.radii[0] * cut + LEAF_MARGIN, beam.half_width), 1) if cut else 0.0)
    return [-position if position else 0.0 for position in half] + half


def _positions(kind: str, values: list[float]) -> Dataset:
    item = Dataset()
    item.RTBeamLimitingDeviceType = kind
    item.LeafJawPositions = values
    return item


def _first_control_point(settings: Settings, beam: Beam) -> Dataset:
    item = Dataset()
    item.ControlPointIndex = 0
    item.NominalBeamEnergy = 6
    item.DoseRateSet = DOSE_RATE
    item.BeamLimitingDevicePositionSequence = [
        _positions("ASYMX", [-beam.half_width, beam.half_width]),
        _positions("ASYMY", [-beam.half_length, beam.half_length]),
        _positions("MLCX", _leaf_positions(beam)),
    ]
    item.GantryAngle = beam.gantry
    item.GantryRotationDirection = "NONE"
    item.BeamLimitingDeviceAngle = 0
    item.BeamLimitingDeviceRotationDirection = "NONE"
    item.PatientSupportAngle = 0
    item.PatientSupportRotationDirection = "NONE"
    item.TableTopEccentricAngle = 0
    item.TableTopEccentricRotationDirection = "NONE"
    item.TableTopVerticalPosition = None
    item.TableTopLongitudinalPosition = None
    item.TableTopLateralPosition = None
    item.IsocenterPosition = list(settings.isocentre)
    item.TableTopPitchAngle = 0
    item.TableTopPitchRotationDirection = "NONE"
    item.TableTopRollAngle = 0
    item.TableTopRollRotationDirection = "NONE"
    item.CumulativeMetersetWeight = 0
    return item


def _last_control_point() -> Dataset:
    item = Dataset()
    item.ControlPointIndex = 1
    item.CumulativeMetersetWeight = 1
    return item
