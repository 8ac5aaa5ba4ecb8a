"""Who, when and which: the settings of a study, its UIDs, and the modules all objects share (PS3.3 C.7, C.12.1)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from dicomcore.data.dataset import Dataset
from dicomcore.rt.phantom.anatomy import Beam, Point
from dicomcore.vocab.uids import IMPLEMENTATION_VERSION_NAME, UID, uid_for_keyword

__all__ = ["Settings", "code", "common", "equipment", "reference"]

_NAMESPACE = uuid.UUID("6f6b2c1e-3f0b-4d55-9f5d-6f2c0f5c0a11")
DEFAULT_MOMENT = datetime(2026, 1, 5, 9, 30)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a phantom study is made from. Equal settings with a ``seed`` give byte-identical objects.

    ``slices`` CT planes of ``matrix`` x ``matrix`` pixels, ``slice_spacing`` mm apart, over ``field_of_view`` mm;
    a dose grid of ``dose_spacing`` mm in 16 or 32 bits; outlines of ``contour_points`` vertices. ``private_elements``
    adds that many elements of a private block to each CT image, as scanners do. Without a ``seed`` each study gets UIDs
    of its own.
    """

    slices: int = 7
    matrix: int = 512
    slice_spacing: float = 5.0
    field_of_view: float = 400.0
    dose_spacing: float = 2.5
    dose_bits: int = 16
    contour_points: int = 120
    noise: float = 8.0
    private_elements: int = 0
    patient_id: str = "PHANTOM-001"
    patient_name: str = "Phantom^Water"
    moment: datetime = DEFAULT_MOMENT
    seed: int | None = None
    fractions: int = 25
    fraction_dose: float = 2.0
    isocentre: Point = (0.0, -10.0, 0.0)
    beams: tuple[Beam, ...] = (Beam(1, "G000", 0.0), Beam(2, "G090", 90.0))
    _root: uuid.UUID = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.slices < 1 or self.matrix < 16 or self.contour_points < 3:
            raise ValueError("a phantom needs a slice, 16 x 16 pixels and 3 vertices at least")
        if self.dose_bits not in (16, 32):
            raise ValueError("dose_bits is 16 or 32 (PS3.3 C.8.8.3)")
        object.__setattr__(self, "_root", uuid.uuid4() if self.seed is None else uuid.uuid5(_NAMESPACE, str(self.seed)))

    def uid(self, role: str) -> UID:
        """The UID of the thing that plays ``role`` in this study: under 2.25, from a UUID (PS3.5 B.2)."""
        return UID(f"2.25.{uuid.uuid5(self._root, role).int}")

    @property
    def planes(self) -> list[float]:
        """z of each CT plane in mm, from feet to head, the middle at 0."""
        middle = (self.slices - 1) / 2.0
        return [round((i - middle) * self.slice_spacing, 3) + 0.0 for i in range(self.slices)]

    @property
    def prescription(self) -> float:
        """Dose to the isocentre over all fractions, in Gy."""
        return self.fractions * self.fraction_dose

    @property
    def date(self) -> str:
        """DA of the study's moment."""
        return self.moment.strftime("%Y%m%d")

    @property
    def time(self) -> str:
        """TM of the study's moment."""
        return self.moment.strftime("%H%M%S")


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded entry (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def reference(sop_class: str, instance: str) -> Dataset:
    """A referenced SOP item, by keyword of the class and UID of the instance (PS3.3 table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID = uid_for_keyword(sop_class)
    item.ReferencedSOPInstanceUID = instance
    return item


def common(settings: Settings, sop_class: str, modality: str, number: int, role: str) -> Dataset:
    """A new object with its patient, study, series and SOP common modules; ``role`` names the instance."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.InstanceCreationDate = settings.date
    ds.InstanceCreationTime = settings.time
    ds.SOPClassUID = uid_for_keyword(sop_class)
    ds.SOPInstanceUID = settings.uid(role)
    ds.StudyDate = settings.date
    ds.StudyTime = settings.time
    ds.AccessionNumber = ""
    ds.Modality = modality
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Water phantom with inserts"
    ds.PatientName = settings.patient_name
    ds.PatientID = settings.patient_id
    ds.PatientBirthDate = ""
    ds.PatientSex = "O"
    ds.StudyInstanceUID = settings.uid("study")
    ds.SeriesInstanceUID = settings.uid(f"series/{modality}")
    ds.StudyID = "1"
    ds.SeriesNumber = number
    ds.OperatorsName = ""
    equipment(ds)
    return ds


def equipment(ds: Dataset) -> None:
    """General equipment (PS3.3 C.7.5.1)."""
    ds.Manufacturer = "dicomcore"
    ds.InstitutionName = "dicomcore phantom laboratory"
    ds.StationName = "PHANTOM"
    ds.ManufacturerModelName = "Water phantom"
    ds.DeviceSerialNumber = "1"
    ds.SoftwareVersions = IMPLEMENTATION_VERSION_NAME


def frame_of_reference(ds: Dataset, settings: Settings) -> None:
    """Frame of reference (PS3.3 C.7.4.1): one for the whole study."""
    ds.FrameOfReferenceUID = settings.uid("frame of reference")
    ds.PositionReferenceIndicator = ""
