"""The objects of the study that carry pixels: CT image (PS3.3 A.3), RT dose (A.18) and RT image (A.17)."""

from __future__ import annotations

import numpy as np

from dicomcore.data.dataset import Dataset
from dicomcore.rt.phantom.anatomy import STRUCTURES, Floats
from dicomcore.rt.phantom.identity import Settings, code, common, frame_of_reference, reference
from dicomcore.rt.phantom.physics import hounsfield_plane, percent_dose, radiograph, volume_histogram

__all__ = ["ct_image", "dose_grid", "rt_dose", "rt_image"]

INTERCEPT = -1024
PRIVATE_GROUP = 0x0099
DVH_BIN = 0.1  # Gy
IMAGER_SIZE = 256
IMAGER_SPACING = 1.6  # mm at the receptor
IMAGER_DISTANCE = 1500.0


def ct_image(settings: Settings, index: int) -> Dataset:
    """CT image ``index`` (0 is the one nearest the feet), 16 bits allocated, 12 stored."""
    z = settings.planes[index]
    pixel = settings.field_of_view / settings.matrix
    axis: Floats = (np.arange(settings.matrix, dtype=np.float64) - (settings.matrix - 1) / 2.0) * pixel
    random = np.random.default_rng([settings.seed or 0, index])
    stored = (hounsfield_plane(axis, axis, z, settings.noise, random) - INTERCEPT).astype("<u2")

    ds = common(settings, "CTImageStorage", "CT", 1, f"CT/{index}")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = settings.date
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = settings.time
    ds.SeriesDescription = "Planning CT"
    ds.ProtocolName = "Planning CT"
    ds.BodyPartExamined = "CHEST"
    ds.PatientPosition = "HFS"
    frame_of_reference(ds, settings)
    ds.AcquisitionNumber = 1
    ds.InstanceNumber = index + 1
    ds.ImagePositionPatient = [round(float(axis[0]), 6), round(float(axis[0]), 6), z]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.SliceLocation = z
    ds.SliceThickness = settings.slice_spacing
    ds.PixelSpacing = [round(pixel, 8), round(pixel, 8)]
    ds.KVP = 120
    ds.ScanOptions = "HELICAL MODE"
    ds.DataCollectionDiameter = 500
    ds.ReconstructionDiameter = settings.field_of_view
    ds.ReconstructionTargetCenterPatient = [0.0, 0.0, z]
    ds.DataCollectionCenterPatient = [0.0, 0.0, z]
    ds.DistanceSourceToDetector = 1085
    ds.DistanceSourceToPatient = 595
    ds.GantryDetectorTilt = 0
    ds.TableHeight = 150
    ds.RotationDirection = "CW"
    ds.ExposureTime = 500
    ds.XRayTubeCurrent = 300
    ds.Exposure = 150
    ds.FilterType = "BODY FILTER"
    ds.GeneratorPower = 36
    ds.FocalSpots = 1.2
    ds.ConvolutionKernel = "STANDARD"
    ds.SingleCollimationWidth = 0.625
    ds.TotalCollimationWidth = 40
    ds.TableSpeed = 39.4
    ds.TableFeedPerRotation = 39.4
    ds.SpiralPitchFactor = 0.984
    ds.CTDIvol = 11.5
    ds.CTDIPhantomTypeCodeSequence = [code("113691", "DCM", "IEC Body Dosimetry Phantom")]
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    _pixels(ds, stored.shape, bits=16, stored=12, data=stored.tobytes())
    ds.RescaleIntercept = INTERCEPT
    ds.RescaleSlope = 1
    ds.RescaleType = "HU"
    ds.WindowCenter = [40, -600]
    ds.WindowWidth = [400, 1600]
    ds.WindowCenterWidthExplanation = ["SOFT TISSUE", "LUNG"]
    _private_block(ds, settings.private_elements)
    return ds


def _private_block(ds: Dataset, count: int) -> None:
    """``count`` private elements (PS3.5 7.8.1) of the kinds that scanners write, at most 240 to a block."""
    kinds = (("LO", "acquisition step {}"), ("DS", "{}.5"), ("IS", "{}"), ("SH", "mode {}"))
    for number in range(count):
        block, low = 0x10 + number // 240, 0x10 + number % 240
        if low == 0x10:
            ds.add_new((PRIVATE_GROUP << 16) | block, "LO", f"DICOMCORE PHANTOM {block:02X}")
        vr, text = kinds[number % len(kinds)]
        ds.add_new((PRIVATE_GROUP << 16) | (block << 8) | low, vr, text.format(number))


def _pixels(ds: Dataset, shape: tuple[int, ...], *, bits: int, stored: int, data: bytes) -> None:
    """Image pixel module (PS3.3 C.7.6.3) of unsigned monochrome pixels."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = shape[-2:]
    ds.BitsAllocated = bits
    ds.BitsStored = stored
    ds.HighBit = stored - 1
    ds.PixelRepresentation = 0
    ds.PixelData = data


def _grid(settings: Settings) -> tuple[Floats, Floats, Floats]:
    """x, y and z (mm) of the dose grid's columns, rows and frames."""
    step = settings.dose_spacing
    x: Floats = np.arange(-160.0, 160.0 + step / 2, step)
    y: Floats = np.arange(-120.0, 120.0 + step / 2, step)
    first, last = settings.planes[0], settings.planes[-1]
    z: Floats = first + step * np.arange(int((last - first) / step + 1e-6) + 1, dtype=np.float64)
    return x, y, z


def dose_grid(settings: Settings) -> tuple[Floats, Floats]:
    """Dose in Gy, frames x rows x columns, and the points it belongs to, frames x rows x columns x 3 (mm)."""
    x, y, z = _grid(settings)
    points = np.stack(np.broadcast_arrays(x, y[:, None], z[:, None, None]), axis=-1)
    relative = np.zeros(points.shape[:3])
    at_isocentre = 0.0
    for beam in settings.beams:
        at_isocentre += float(percent_dose(np.array([settings.isocentre]), beam, settings.isocentre)[0])
        for frame, plane in zip(relative, points, strict=True):
            frame += percent_dose(plane, beam, settings.isocentre)
    return relative * (settings.prescription / at_isocentre), points


def rt_dose(settings: Settings) -> Dataset:
    """The planned dose, absolute in Gy, with cumulative histograms of the structures."""
    x, y, z = _grid(settings)
    dose, points = dose_grid(settings)
    # The scaling is rounded up to what a DS holds *before* the pixels are made, so that it reverses them exactly.
    top = 2**settings.dose_bits - 1
    scaling = float(f"{dose.max() / top * (1 + 1e-9):.9e}")
    stored = np.rint(dose / scaling).astype(f"<u{settings.dose_bits // 8}")
    ds = common(settings, "RTDoseStorage", "RTDOSE", 4, "dose")
    ds.SeriesDescription = "Planned dose"
    frame_of_reference(ds, settings)
    ds.ContentDate, ds.ContentTime = settings.date, settings.time
    ds.InstanceNumber = 1
    ds.ImagePositionPatient = [float(x[0]), float(y[0]), float(z[0])]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [settings.dose_spacing, settings.dose_spacing]
    ds.SliceThickness = settings.dose_spacing
    ds.NumberOfFrames = len(z)
    ds.FrameIncrementPointer = 0x3004000C
    ds.GridFrameOffsetVector = [round(float(offset - z[0]), 4) for offset in z]
    _pixels(ds, stored.shape, bits=settings.dose_bits, stored=settings.dose_bits, data=stored.tobytes())
    ds.DoseUnits = "GY"
    ds.DoseType = "PHYSICAL"
    ds.DoseSummationType = "PLAN"
    ds.DoseComment = "Closed formula, not for treatment"
    ds.NormalizationPoint = list(settings.isocentre)
    ds.TissueHeterogeneityCorrection = "IMAGE"
    ds.DoseGridScaling = scaling
    ds.ReferencedRTPlanSequence = [reference("RTPlanStorage", settings.uid("plan"))]
    ds.ReferencedStructureSetSequence = [reference("RTStructureSetStorage", settings.uid("structures"))]
    ds.DVHSequence = [_histogram(settings, shape.number, dose, points) for shape in STRUCTURES]
    return ds


def _histogram(settings: Settings, number: int, dose: Floats, points: Floats) -> Dataset:
    """A DVH item (PS3.3 C.8.8.4): pairs of bin width in Gy and volume in cm3."""
    shape = next(shape for shape in STRUCTURES if shape.number == number)
    volume, (low, high, mean) = volume_histogram(shape, points, dose, settings.dose_spacing**3, DVH_BIN)
    item = Dataset()
    referenced = Dataset()
    referenced.DVHROIContributionType = "INCLUDED"
    referenced.ReferencedROINumber = number
    item.DVHReferencedROISequence = [referenced]
    item.DVHType = "CUMULATIVE"
    item.DoseUnits = "GY"
    item.DoseType = "PHYSICAL"
    item.DVHDoseScaling = 1.0
    item.DVHVolumeUnits = "CM3"
    item.DVHNumberOfBins = len(volume)
    item.DVHData = [value for cubic in volume for value in (DVH_BIN, round(float(cubic), 4))]
    item.DVHMinimumDose = round(low, 4)
    item.DVHMaximumDose = round(high, 4)
    item.DVHMeanDose = round(mean, 4)
    return item


def rt_image(settings: Settings) -> Dataset:
    """A digitally reconstructed radiograph of the first beam, in the plane of the receptor."""
    beam = settings.beams[0]
    pixels = radiograph(beam, settings.isocentre, IMAGER_DISTANCE, IMAGER_SPACING, IMAGER_SIZE).astype("<u2")
    corner = (IMAGER_SIZE - 1) / 2.0 * IMAGER_SPACING
    ds = common(settings, "RTImageStorage", "RTIMAGE", 5, "image")
    ds.SeriesDescription = "Reconstructed radiograph"
    ds.ImageType = ["DERIVED", "SECONDARY", "DRR"]
    ds.DerivationDescription = "Ray sums through the phantom's shapes"
    ds.ContentDate, ds.ContentTime = settings.date, settings.time
    ds.AcquisitionNumber = None
    ds.InstanceNumber = 1
    ds.PatientOrientation = ["L", "F"]
    ds.BurnedInAnnotation = "NO"
    frame_of_reference(ds, settings)
    _pixels(ds, pixels.shape, bits=16, stored=16, data=pixels.tobytes())
    ds.PixelIntensityRelationship = "LIN"
    ds.PixelIntensityRelationshipSign = 1
    ds.RescaleIntercept = 0
    ds.RescaleSlope = 1
    ds.RescaleType = "US"
    ds.WindowCenter = 32768
    ds.WindowWidth = 65536
    ds.ConversionType = "WSD"
    ds.RTImageLabel = f"DRR {beam.name}"
    ds.RTImageName = f"Radiograph of beam {beam.name}"
    ds.RTImagePlane = "NORMAL"
    ds.XRayImageReceptorTranslation = [0.0, 0.0, beam.distance - IMAGER_DISTANCE]
    ds.XRayImageReceptorAngle = 0
    ds.RTImageOrientation = [1, 0, 0, 0, -1, 0]
    ds.ImagePlanePixelSpacing = [IMAGER_SPACING, IMAGER_SPACING]
    ds.RTImagePosition = [-corner, corner]
    ds.RadiationMachineName = "LINAC1"
    ds.RadiationMachineSAD = beam.distance
    ds.RTImageSID = IMAGER_DISTANCE
    ds.PrimaryDosimeterUnit = "MU"
    ds.GantryAngle = beam.gantry
    ds.BeamLimitingDeviceAngle = 0
    ds.PatientSupportAngle = 0
    ds.TableTopEccentricAngle = 0
    ds.TableTopPitchAngle = 0
    ds.TableTopRollAngle = 0
    ds.IsocenterPosition = list(settings.isocentre)
    ds.PatientPosition = "HFS"
    ds.ReferencedRTPlanSequence = [reference("RTPlanStorage", settings.uid("plan"))]
    ds.ReferencedBeamNumber = beam.number
    ds.ReferencedFractionGroupNumber = 1
    return ds
