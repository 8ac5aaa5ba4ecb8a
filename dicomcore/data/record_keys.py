"""The directory records of an instance: which type, and its keys (PS3.3 section F.5).

Promises: a record holds every key that its type asks for; type 1 keys that the instance lacks get a stand-in, made from
the instance alone and told as an Issue, so that equal instances get equal records; items are copied whole.
Refuses (`EncodingError`): SOP classes that no record type lists, and instances without their UIDs.
"""

from __future__ import annotations

from contextlib import suppress
from zlib import crc32

from ..encoding.policy import Policy
from ..errors import EncodingError, Issue
from ..vocab.dictionary import keyword_for_tag, lookup
from ..vocab.directory import record_types
from ..vocab.sop_classes import sop_classes
from ..vocab.syntaxes import EXPLICIT_LE
from ..vocab.tag import format_tag
from ..vocab.uids import UID, is_valid_uid
from .dataset import Dataset
from .element import Element
from .files import read_dataset
from .sequence import Sequence
from .writer import encode_group

__all__ = ["make_record", "patient_id", "record_type_of", "uid_of"]

CLAUSE = "PS3.3 F.5"
_CHARSET, _CONTENT, _VERIFIED_AT = 0x00080005, 0x0040A730, 0x0040A030
_RELATED_GENERAL = 0x0008001A
_OLD_MARKS = {"DA": ".", "TM": ":"}  # 1997.04.24 and 14:04:38, as before DICOM (PS3.5 6.2): records have them plain
_DATES = ("ContentDate", "AcquisitionDate", "SeriesDate", "InstanceCreationDate", "StudyDate")
_TIMES = ("ContentTime", "AcquisitionTime", "SeriesTime", "InstanceCreationTime", "StudyTime")


def uid_of(instance: Dataset, keyword: str) -> UID:
    """A UID that the instance must have."""
    value = instance.get(keyword)
    if not isinstance(value, str) or not is_valid_uid(value):
        state = "has no" if not value else f"has a wrong {value!r} as"
        raise EncodingError(f"the instance {state} {keyword}", clause=CLAUSE)
    return UID(value)


def record_type_of(instance: Dataset) -> str:
    """The type of record that lists an instance of its SOP Class."""
    uid = uid_of(instance, "SOPClassUID")
    row = sop_classes().get(uid)
    name = row.directory_record if row is not None else ""
    if name not in record_types():
        raise EncodingError(f"no directory record lists instances of {uid.name}", path="(0008,0016)", clause=CLAUSE)
    return name


def patient_id(instance: Dataset) -> str:
    """Patient ID, or the stand-in of a patient who has none: another for each study."""
    value = str(instance.get("PatientID") or "").strip()
    if value:
        return value
    person = f"{instance.get('PatientName') or ''}|{instance.get('StudyInstanceUID') or ''}"
    return f"NOID-{crc32(person.encode()):08X}"


def make_record(
    instance: Dataset,
    name: str,
    number: int,
    policy: Policy,
    issues: list[Issue],
    file_id: tuple[str, ...] = (),
    syntax_uid: str = "",
) -> Dataset:
    """A record of type ``name``, independent of the instance's file; ``number`` stands in for one that is missing."""
    record = Dataset()
    record.RecordInUseFlag = 0xFFFF
    record.DirectoryRecordType = name
    if file_id:
        record.ReferencedFileID = list(file_id)
        record.ReferencedSOPClassUIDInFile = uid_of(instance, "SOPClassUID")
        record.ReferencedSOPInstanceUIDInFile = uid_of(instance, "SOPInstanceUID")
        record.ReferencedTransferSyntaxUIDInFile = syntax_uid
        if related := instance.get("RelatedGeneralSOPClassUID"):
            record.ReferencedRelatedGeneralSOPClassUIDInFile = related
    for tag, kind in record_types()[name].keys:
        element = instance.get(tag)
        if element is not None and element.VR == "SQ":
            _add_sequence(record, element, kind)
        elif element is not None and element.value not in (None, "") and element.VR != "UN":
            record.add(element)
            mark = _OLD_MARKS.get(element.VR)
            if mark and isinstance(element.value, str):
                record.update({tag: element.value.replace(mark, "")})
        elif tag == _VERIFIED_AT:  # documents have it in the items of those who verified: the latest counts
            observers = instance.get("VerifyingObserverSequence") or ()
            if times := [str(one.VerificationDateTime) for one in observers if one.get("VerificationDateTime")]:
                record.VerificationDateTime = max(times)
        elif kind == "2":
            record.update({tag: None})
        elif kind == "1":
            _stand_in(record, instance, tag, number, policy, issues)
    return read_dataset(_encode(record, policy, issues), EXPLICIT_LE.uid)


def _encode(record: Dataset, policy: Policy, issues: list[Issue]) -> bytes:
    """With the instance's character set where one is needed; in UTF-8 where that one does not hold the text."""
    own = record.get(_CHARSET)
    record.pop(_CHARSET, None)
    try:
        return encode_group(record)
    except EncodingError as error:
        fault = Issue(f"keys are kept in UTF-8: {error.message}", None, error.path, "PS3.5 6.1.2")
    if own is not None:
        record.add(own)
        with suppress(EncodingError):
            return encode_group(record)
    policy.accept(fault, issues)
    record.SpecificCharacterSet = "ISO_IR 192"
    return encode_group(record)


def _add_sequence(record: Dataset, element: Element, kind: str) -> None:
    """Icons are left to the files; of document content a record has the modifiers of its title (PS3.3 F.5.26)."""
    if kind == "3":
        return
    if element.tag != _CONTENT:
        record.add(element)
        return
    modifiers = [item for item in element.value if item.get("RelationshipType") == "HAS CONCEPT MOD"]
    if modifiers:
        record.add(Element(_CONTENT, "SQ", Sequence(modifiers)))


def _stand_in(record: Dataset, instance: Dataset, tag: int, number: int, policy: Policy, issues: list[Issue]) -> None:
    keyword, entry = keyword_for_tag(tag), lookup(tag)
    vr = entry.vr if entry is not None else "UN"
    candidates = {"DA": _DATES, "TM": _TIMES}.get(vr, ())
    kin = next((instance.get(one) for one in candidates if instance.get(one)), None)
    plain = {"DA": "19000101", "TM": "000000", "DT": "19000101", "IS": number, "LO": "NONE", "SH": "NONE"}
    named = {"PatientID": patient_id(instance), "Modality": "OT", "ContentLabel": "NONE"}
    value = kin or named.get(keyword) or plain.get(vr)
    what = f"the record gets {value}" if value is not None else "the record goes without"
    message = f"{instance.get('SOPInstanceUID')} has no {keyword}: {what}"
    policy.accept(Issue(message, None, format_tag(tag), CLAUSE), issues)
    if value is not None:
        record.update({tag: value})
