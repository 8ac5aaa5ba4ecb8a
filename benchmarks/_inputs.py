"""Objects that the benchmarks read and write, made by pydicom so that no reader here reads its own writing.

All are complete Part 10 files as bytes, the same in every run: a CT image, an RT Structure Set of some 7 MB, the header
of an enhanced CT of 1,000 frames; and, to time the scan alone, a bare data set of many short elements.
"""

from __future__ import annotations

import random
from functools import cache
from io import BytesIO
from typing import Any

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CT, STRUCTURE_SET, ENHANCED_CT = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.481.3",
    "1.2.840.10008.5.1.4.1.1.2.1",
)

# What a viewer or an archive asks of a CT slice; the question that the parse benchmarks time.
TWENTY = (
    "SOPInstanceUID",
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "StudyDate",
    "Modality",
    "SeriesNumber",
    "InstanceNumber",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "RescaleSlope",
    "RescaleIntercept",
    "BitsAllocated",
)


def _item(**elements: Any) -> Any:
    from pydicom.dataset import Dataset

    dataset: Any = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def _code(value: str) -> Any:
    return _item(CodeValue=value, CodingSchemeDesignator="DCM", CodeMeaning=f"Meaning of {value}")


def _common(sop_class: str, modality: str, number: int) -> Any:
    root = "2.25.1777"
    return _item(
        SpecificCharacterSet="ISO_IR 100",
        InstanceCreationDate="20261122",
        InstanceCreationTime="101112",
        SOPClassUID=sop_class,
        SOPInstanceUID=f"{root}.4.{number}",
        StudyDate="20261122",
        SeriesDate="20261122",
        StudyTime="101010",
        SeriesTime="101011",
        AccessionNumber="A123456",
        Modality=modality,
        Manufacturer="Benchmark",
        InstitutionName="Institute of Measures",
        ReferringPhysicianName="Referrer^Rita",
        StudyDescription="Benchmark study",
        SeriesDescription="Benchmark series",
        ManufacturerModelName="Model 1",
        PatientName="Müller^Jörg^^Dr.",
        PatientID="BENCH-0001",
        PatientBirthDate="19500101",
        PatientSex="O",
        PatientAge="076Y",
        StudyInstanceUID=f"{root}.1",
        SeriesInstanceUID=f"{root}.2",
        StudyID="1",
        SeriesNumber="2",
        InstanceNumber=str(number),
        FrameOfReferenceUID=f"{root}.3",
    )


def _file(dataset: Any, syntax: str) -> bytes:
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = "2.25.1777"
    dataset.file_meta = meta
    out = BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


@cache
def ct(syntax: str = EXPLICIT, number: int = 1) -> bytes:
    """A 512 x 512 CT image of 16 bits with 278 elements, 150 of them private, some in sequences."""
    noise = random.Random(number)
    dataset = _common(CT, "CT", number)
    image = _item(
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        AcquisitionDate="20261122",
        ContentDate="20261122",
        AcquisitionTime="101012.123456",
        ContentTime="101013.5",
        BodyPartExamined="PELVIS",
        SliceThickness="3",
        KVP="120",
        DataCollectionDiameter="500",
        SoftwareVersions=["1.0", "2.1b"],
        ReconstructionDiameter="500",
        DistanceSourceToDetector="1085.6",
        DistanceSourceToPatient="595",
        GantryDetectorTilt="0",
        TableHeight="158",
        RotationDirection="CW",
        ExposureTime="500",
        XRayTubeCurrent="300",
        Exposure="150",
        ConvolutionKernel="B30f",
        PatientPosition="HFS",
        AcquisitionNumber="1",
        ImagePositionPatient=["-249.51171875", "-249.51171875", f"{number * 3 - 150}"],
        ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
        PositionReferenceIndicator="",
        SliceLocation=f"{number * 3 - 150}",
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=512,
        Columns=512,
        PixelSpacing=["0.9765625", "0.9765625"],
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=1,
        SmallestImagePixelValue=-1024,
        LargestImagePixelValue=3071,
        WindowCenter=["40", "300"],
        WindowWidth=["400", "2000"],
        RescaleIntercept="0",
        RescaleSlope="1",
        RescaleType="HU",
        ReferencedStudySequence=[
            _item(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID="2.25.5")
        ],
        ReferencedImageSequence=[
            _item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=f"2.25.{i}") for i in range(3)
        ],
        ProcedureCodeSequence=[_code("P1")],
        AnatomicRegionSequence=[_code("R1")],
        CTDIPhantomTypeCodeSequence=[_code("113691")],
        DerivationCodeSequence=[_code("D1")],
        PerformedProtocolCodeSequence=[_code("Q1")],
        RequestAttributesSequence=[
            _item(ScheduledProcedureStepID="1", RequestedProcedureID="2", ScheduledProtocolCodeSequence=[_code("S1")])
        ],
        SourceImageSequence=[
            _item(
                ReferencedSOPClassUID=CT,
                ReferencedSOPInstanceUID=f"2.25.{i}",
                PurposeOfReferenceCodeSequence=[_code("121322")],
            )
            for i in range(3)
        ],
    )
    dataset.update(image)
    block: Any = dataset.private_block(0x0029, "DICOMCORE BENCH", create=True)
    for i in range(0, 150, 2):
        block.add_new(i + 1, "DS", f"{noise.uniform(-1000, 1000):.6f}")
        block.add_new(i + 2, "LO", f"private text {noise.random():.9f}")
    dataset.add_new(0x7FE00010, "OW", noise.randbytes(512 * 512 * 2))
    return _file(dataset, syntax)


@cache
def structure_set(syntax: str = IMPLICIT, contours: int = 1800, points: int = 160) -> bytes:
    """An RT Structure Set of 12 regions and ``contours`` closed planar contours of ``points`` points: some 7 MB."""
    noise = random.Random(7)
    dataset = _common(STRUCTURE_SET, "RTSTRUCT", 1)
    regions = 12
    dataset.StructureSetLabel = "BENCH"
    dataset.StructureSetDate = "20261122"
    dataset.StructureSetTime = "101010"
    dataset.StructureSetROISequence = [
        _item(
            ROINumber=str(i),
            ReferencedFrameOfReferenceUID="2.25.1777.3",
            ROIName=f"Region {i}",
            ROIGenerationAlgorithm="MANUAL",
        )
        for i in range(regions)
    ]

    def contour(i: int) -> Any:
        z = f"{i % 150 * 3 - 225:.2f}"
        flat = [
            part
            for _ in range(points)
            for part in (f"{noise.uniform(-99, 99):.4f}", f"{noise.uniform(-99, 99):.4f}", z)
        ]
        return _item(
            ContourImageSequence=[_item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=f"2.25.1777.4.{i % 150}")],
            ContourGeometricType="CLOSED_PLANAR",
            NumberOfContourPoints=str(points),
            ContourData=flat,
        )

    dataset.ROIContourSequence = [
        _item(
            ROIDisplayColor=["255", str(20 * i), "0"],
            ContourSequence=[contour(j) for j in range(i, contours, regions)],
            ReferencedROINumber=str(i),
        )
        for i in range(regions)
    ]
    dataset.RTROIObservationsSequence = [
        _item(ObservationNumber=str(i), ReferencedROINumber=str(i), RTROIInterpretedType="ORGAN", ROIInterpreter="")
        for i in range(regions)
    ]
    dataset.ApprovalStatus = "UNAPPROVED"
    return _file(dataset, syntax)


@cache
def enhanced_header(syntax: str = EXPLICIT, frames: int = 1000, *, delimited: bool = False) -> bytes:
    """An enhanced CT of ``frames`` frames without its pixels: ten functional groups and some 35 elements a frame.

    ``delimited`` writes every sequence and item with undefined length.
    """
    dataset = _common(ENHANCED_CT, "CT", 1)
    dataset.NumberOfFrames = str(frames)
    dataset.Rows = dataset.Columns = 512

    def frame(i: int) -> Any:
        moment = f"20261122101010.{i:06d}"
        return _item(
            CTAcquisitionTypeSequence=[_item(AcquisitionType="SPIRAL", TubeAngle=0.0, ConstantVolumeFlag="NO")],
            CTAcquisitionDetailsSequence=[
                _item(RotationDirection="CW", RevolutionTime=0.5, SingleCollimationWidth=0.6, TableHeight=158.0)
            ],
            CTTableDynamicsSequence=[_item(TableSpeed=46.0, TableFeedPerRotation=23.0, SpiralPitchFactor=1.2)],
            CTGeometrySequence=[_item(DistanceSourceToDetector="1085.6", DistanceSourceToDataCollectionCenter=595.0)],
            CTExposureSequence=[
                _item(ExposureModulationType="NONE", ExposureTimeInms=500.0, XRayTubeCurrentInmA=300.0, CTDIvol=7.5)
            ],
            FrameContentSequence=[
                _item(
                    FrameAcquisitionNumber=1,
                    FrameReferenceDateTime=moment,
                    FrameAcquisitionDateTime=moment,
                    FrameAcquisitionDuration=500.0,
                    StackID="1",
                    InStackPositionNumber=i + 1,
                    DimensionIndexValues=[1, i + 1],
                )
            ],
            PlanePositionSequence=[_item(ImagePositionPatient=["-249.5", "-249.5", f"{i * 0.5:.3f}"])],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
            PixelMeasuresSequence=[_item(SliceThickness="0.5", PixelSpacing=["0.9765625", "0.9765625"])],
            FrameVOILUTSequence=[_item(WindowCenter="40", WindowWidth="400")],
            PixelValueTransformationSequence=[_item(RescaleIntercept="-1024", RescaleSlope="1", RescaleType="HU")],
        )

    dataset.PerFrameFunctionalGroupsSequence = [frame(i) for i in range(frames)]
    if delimited:
        _undefine(dataset)
    return _file(dataset, syntax)


def more_frames(header: bytes, times: int) -> bytes:
    """An explicit little endian `enhanced_header` of defined lengths with its items repeated: quick for many frames."""
    start = header.index(b"\x00\x52\x30\x92SQ\0\0") + 12  # the last element of the data set
    items = header[start:] * times
    return header[: start - 4] + len(items).to_bytes(4, "little") + items


def _undefine(dataset: Any) -> None:
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _undefine(item)


@cache
def flat_elements(count: int = 100_000, *, explicit: bool = True) -> bytes:
    """A bare data set (no file meta) of ``count`` short elements in groups of 256: only headers to walk."""
    out = bytearray()
    for i in range(count):
        out += (0x0011 + 2 * (i >> 8)).to_bytes(2, "little") + (i & 0xFF | 0x1000).to_bytes(2, "little")
        out += (b"LO" + (8).to_bytes(2, "little") if explicit else (8).to_bytes(4, "little")) + b"%08d" % (i % 10**8)
    return bytes(out)
