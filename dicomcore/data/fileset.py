"""File-sets: a folder of DICOM files under one DICOMDIR (PS3.10 section 8, PS3.3 annex F).

    with FileSet.create("cd", file_set_id="PLANNING") as fileset:
        fileset.add("plan.dcm")
    for instance in FileSet.open("cd"):
        print(instance.PatientID, instance.type, instance.path, instance.read().SOPClassUID)

Promises: files are copied in under conforming File IDs as they are added; the DICOMDIR is replaced atomically by
`save`, and files that were removed are deleted after that, so that at no time a directory names a file that is not
there. Nothing outside of the folder is read, written or deleted on the word of a DICOMDIR.
Refuses: to save over a DICOMDIR that somebody else replaced meanwhile (`SourceChanged`); what no record type lists.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ..encoding.policy import LENIENT, Policy
from ..encoding.sink import FileSink
from ..errors import DicomError, EncodingError, Issue, LimitExceeded, SourceChanged
from ..limits import DEFAULT_LIMITS, Limits
from ..vocab.directory import record_types
from ..vocab.syntaxes import EXPLICIT_LE
from ..vocab.uids import UID, new_uid, uid_for_keyword
from .dataset import Dataset
from .directory import LEVELS, Criterion, Record, descend, encode_directory, meets, read_records
from .file_ids import DICOMDIR, Folder, conforms, find_directory
from .files import dcmread, encode_head
from .part10 import read_header
from .record_keys import make_record, patient_id, record_type_of, uid_of

__all__ = ["FileSet", "Record"]

CLAUSE = "PS3.10 8"
_FILE_SET_ID = re.compile(r"[A-Z0-9_ ]{0,16}")
_DIRECTORY = uid_for_keyword("MediaStorageDirectoryStorage") or UID("1.2.840.10008.1.3.10")
_KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}
_NUMBERS = 1_000_000
_BLOCK_LENGTH = 1 << 20

Duplicates = Literal["keep", "replace", "refuse"]
_Stamp = tuple[int, int, int]


class FileSet:
    """A file-set as a tree of `Record` objects; iterating gives those of instances. Not for use by several threads."""

    def __init__(self, path: Path, dataset: Dataset, policy: Policy, limits: Limits, stamp: _Stamp | None) -> None:
        """Use `open` or `create`."""
        self.path = path.absolute()  # of the DICOMDIR
        self.dataset = dataset  # of the DICOMDIR; its records count only when it is read
        self.policy = policy
        self.limits = limits
        self._stamp = stamp
        self._folder = Folder(path.parent)
        self._changed = stamp is None
        self._added: list[Path] = []
        self._removed: list[tuple[str, ...]] = []
        self._numbers: dict[tuple[tuple[str, ...], str], int] = {}
        self._issues = dataset.issues
        self._records, self._orphans = read_records(dataset, self._folder, policy=policy, limits=limits)
        self._instances: dict[str, Record] = {}
        self._levels: dict[tuple[int, str, str], Record] = {}
        self._file_ids = self._count_file_ids()
        for record in self.walk():
            self._register(record)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, policy: Policy | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> FileSet:
        """The file-set of a DICOMDIR, or of the folder that holds it.

        The DICOMDIR is read into memory. OSError as `open` raises; EncodingError for what is no DICOMDIR.
        """
        policy = policy or LENIENT
        where = find_directory(Path(path))
        with where.open("rb") as file:
            stamp = _stamp(os.fstat(file.fileno()))
            dataset = dcmread(file.read(), policy=policy, limits=limits)
        sop_class = dataset.file_meta.get("MediaStorageSOPClassUID")
        if sop_class != _DIRECTORY:
            if "DirectoryRecordSequence" not in dataset:
                raise EncodingError(f"{where.name} is no DICOMDIR", path="(0002,0002)", clause=CLAUSE)
            policy.accept(Issue(f"a DICOMDIR of SOP Class {sop_class}", None, "(0002,0002)", CLAUSE), dataset.issues)
        if dataset.transfer_syntax != EXPLICIT_LE.uid:
            message = f"a DICOMDIR in {dataset.transfer_syntax.name}"
            policy.accept(Issue(message, None, "(0002,0010)", "PS3.10 8.6"), dataset.issues)
        return cls(where, dataset, policy, limits, stamp)

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        *,
        file_set_id: str = "",
        uid: str | None = None,
        policy: Policy | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> FileSet:
        """An empty file-set in a folder, which is made when it is not there; `save` writes its DICOMDIR.

        FileExistsError when the folder has one. Files that are there already become members by `add`.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / DICOMDIR
        if os.path.lexists(path):
            raise FileExistsError(17, "the folder has a DICOMDIR", str(path))
        dataset = Dataset()
        dataset.file_meta.MediaStorageSOPClassUID = _DIRECTORY
        dataset.file_meta.MediaStorageSOPInstanceUID = uid or new_uid()
        fileset = cls(path, dataset, policy or LENIENT, limits, None)
        fileset.file_set_id = file_set_id
        return fileset

    # -- what is in it ----------------------------------------------------------------------------------------------

    @property
    def uid(self) -> UID:
        """The File-set UID: SOP Instance UID of the DICOMDIR."""
        return UID(self.dataset.file_meta.get("MediaStorageSOPInstanceUID") or "")

    @property
    def file_set_id(self) -> str:
        """File-set ID (0004,1130), at most 16 characters."""
        return str(self.dataset.get("FileSetID") or "")

    @file_set_id.setter
    def file_set_id(self, value: str) -> None:
        if not _FILE_SET_ID.fullmatch(value):
            raise ValueError(f"a File-set ID has at most 16 of A-Z, 0-9, space and _, not {value!r}")
        self.dataset.FileSetID = value or None
        self._changed = True

    @property
    def is_consistent(self) -> bool:
        """Whether the File-set Consistency Flag (0004,1212) is down; `save` takes it down."""
        return not self.dataset.get("FileSetConsistencyFlag")

    @property
    def issues(self) -> list[Issue]:
        """What was wrong in the DICOMDIR, and which keys of added instances had to be invented."""
        return self._issues

    @property
    def records(self) -> list[Record]:
        """The records in use of the root directory entity: patients, and what belongs to none."""
        return [record for record in self._records if record.in_use]

    @property
    def orphans(self) -> list[Record]:
        """Records that no link reaches, as trees. They are written as they are; `adopt` takes their files in again."""
        return list(self._orphans)

    def walk(self) -> Iterator[Record]:
        """All records in use, depth first; those with the flag "inactive" (0004,1410) and all below are passed over."""
        return descend(self._records, active=True)

    def patients(self) -> list[Record]:
        return self._of_type("PATIENT")

    def studies(self) -> list[Record]:
        return self._of_type("STUDY")

    def series(self) -> list[Record]:
        return self._of_type("SERIES")

    def _of_type(self, name: str) -> list[Record]:
        return [record for record in self.walk() if record.type == name]

    def __iter__(self) -> Iterator[Record]:
        return (record for record in self.walk() if record.is_instance)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, sop_instance_uid: object) -> bool:
        return sop_instance_uid in self._instances

    def __getitem__(self, sop_instance_uid: str) -> Record:
        """The record of an instance by its SOP Instance UID; KeyError."""
        return self._instances[sop_instance_uid]

    def find(self, record_type: str | None = None, *, load: bool = False, **criteria: Criterion) -> list[Record]:
        """The instances that meet all criteria: a value with ``*`` and ``?`` as in queries, or a function of the value.

        Keys are those of the record and of the records above it; ``load`` reads files for the others.
        """
        found = []
        for record in self:
            if record_type is not None and record.type != record_type:
                continue
            file: Dataset | None = None
            for keyword, wanted in criteria.items():
                value = record.get(keyword)
                if value is None and load:
                    file = file or record.read(stop_before_pixels=True)
                    value = file.get(keyword)
                if not meets(value, wanted):
                    break
            else:
                found.append(record)
        return found

    def check(self) -> list[Issue]:
        """Compare every instance with its file: missing, outside, unreadable, other UIDs, a wrong place or name."""
        found: list[Issue] = []
        for record in self:
            name = "/".join(record.file_id)
            row, above = record_types().get(record.type), record.parent.type if record.parent is not None else ""
            if row is not None and above not in (*row.parents, "PRIVATE"):
                place = f"a {above} record" if above else "the root"
                found.append(Issue(f"no {record.type} record belongs below {place}", record.offset, name, "PS3.3 F.4"))
            if not conforms(record.file_id):
                found.append(Issue("the File ID does not conform", record.offset, name, "PS3.10 8.2"))
            try:
                header = read_header(record.path)
            except (OSError, DicomError) as error:
                found.append(Issue(str(error), record.offset, name, CLAUSE))
                continue
            for said, held in (
                (record.sop_class_uid, header.sop_class_uid),
                (record.sop_instance_uid, header.sop_instance_uid),
                (record.transfer_syntax_uid, header.transfer_syntax_uid),
            ):
                if said != held:
                    found.append(
                        Issue(f"the record says {said or 'nothing'}, the file {held}", None, name, "PS3.3 F.3")
                    )
        return found

    # -- changes ----------------------------------------------------------------------------------------------------

    def add(self, source: str | os.PathLike[str] | Dataset, *, duplicates: Duplicates = "keep") -> Record:
        """Take an instance in: a file, byte for byte, or a Dataset. The record of the instance is answered.

        A file that lies in the folder under a conforming name stays where it is; everything else is copied.
        ``duplicates``: keep an instance of that SOP Instance UID, replace it, or refuse (FileExistsError).
        """
        path = None if isinstance(source, Dataset) else Path(source)
        instance = (
            source if isinstance(source, Dataset) else dcmread(source, stop_before_pixels=True, limits=self.limits)
        )
        kind = record_type_of(instance)
        uid = uid_of(instance, "SOPInstanceUID")
        stated = instance.file_meta.get("MediaStorageSOPInstanceUID")
        if path is not None and stated and stated != uid:
            message = f"{path} holds {uid}, its file meta information says {stated}"
            self.policy.accept(Issue(message, None, "(0002,0003)", "PS3.10 7.1"), self._issues)
        present = self._instances.get(uid)
        if present is not None and duplicates != "replace":
            if duplicates == "refuse":
                raise FileExistsError(17, f"the file-set has the instance {uid}", "/".join(present.file_id))
            return present
        parent, made = self._place(instance, record_types()[kind].parents)
        siblings = self._records if parent is None else parent._children
        file_id = self._in_place(path) if path is not None else None
        copied = file_id is None
        if file_id is None:
            folder = self._folder_of([*reversed(parent.ancestors), parent] if parent is not None else [])
            file_id = self._free(folder, kind)
        syntax = instance.transfer_syntax
        number = len(siblings) + 1
        record = Record(make_record(instance, kind, number, self.policy, self._issues, file_id, syntax), self._folder)
        if copied:
            self._copy(path, instance, self._folder.root.joinpath(*file_id))
        record.parent = parent
        made.append((parent, record))
        for above, one in made:
            (self._records if above is None else above._children).append(one)
        if present is not None:  # now, when the records above it have another below
            self.remove(present)
        self._file_ids[file_id] = self._file_ids.get(file_id, 0) + 1
        for _, one in made:
            self._register(one)
        self._changed = True
        return record

    def adopt(self) -> list[Record]:
        """Add the files of `orphans` that are there, and forget the orphans whose files are members now."""
        taken, left = [], []
        for orphan in descend(self._orphans):
            if orphan.is_instance and orphan.sop_instance_uid not in self:
                try:
                    taken.append(self.add(orphan.path))
                except (OSError, DicomError) as error:
                    self._issues.append(Issue(str(error), orphan.offset, "/".join(orphan.file_id), CLAUSE))
                    left.append(orphan)
        for orphan in left:
            orphan._children = []
        self._changed = self._changed or len(left) < len(self._orphans)
        self._orphans = left
        self._file_ids = self._count_file_ids()
        return taken

    def remove(self, target: Record | str, *, keep_files: bool = False) -> int:
        """Take out a record with all below it, or an instance by its SOP Instance UID; KeyError when it is not there.

        `save` deletes the files unless ``keep_files``. Answers how many instances left. Records above that are left
        without any below go too.
        """
        record = self._instances[target] if isinstance(target, str) else target
        siblings = self._records if record.parent is None else record.parent._children
        position = next((number for number, one in enumerate(siblings) if one is record), None)
        if position is None:
            raise KeyError(repr(record))
        count = 0
        for one in descend([record]):
            count += one.is_instance and one.in_use
            self._unregister(one, keep_files)
        del siblings[position]
        self._changed = True
        above = record.parent
        if above is not None and above.type in LEVELS and not above._children:
            self.remove(above, keep_files=keep_files)
        return count

    def save(self, *, durability: Literal["process", "power"] = "process") -> None:
        """Write the DICOMDIR, atomically, then delete the files that were removed.

        With "power", what was added and the DICOMDIR outlive a loss of power once this returns.
        """
        try:
            now = _stamp(os.stat(self.path))
        except FileNotFoundError:
            now = None
        if now != self._stamp:
            raise SourceChanged(f"{self.path} was changed by somebody else", hint="open the file-set again")
        meta = self.dataset.file_meta
        meta.MediaStorageSOPClassUID = _DIRECTORY  # an edit: the head is made anew, and says who wrote it
        meta.MediaStorageSOPInstanceUID = self.uid or new_uid()
        head = encode_head(self.dataset, EXPLICIT_LE.uid)
        encoded = encode_directory(self.dataset, self._records, self._orphans, len(head))
        if durability == "power":
            self._folder.flush(self._added)
        with FileSink(self.path, durability=durability) as sink:
            sink.write(head)
            sink.write(encoded)
        self._stamp = _stamp(os.stat(self.path))
        self._changed = False
        self._added.clear()
        removed, self._removed = self._removed, []
        for file_id in removed:
            if file_id not in self._file_ids:
                self._delete(file_id)

    def discard(self) -> None:
        """Delete the copies that were made since the last `save`; this object is of no use afterwards."""
        for path in self._added:
            path.unlink(missing_ok=True)
            self._prune(path.parent)
        self._added.clear()
        self._changed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Save what was changed; by an exception, discard it."""
        if kind is not None:
            self.discard()
        elif self._changed:
            self.save()

    def __repr__(self) -> str:
        return f"<FileSet {str(self.path)!r}, {len(self)} instances>"

    # -- places -----------------------------------------------------------------------------------------------------

    def _count_file_ids(self) -> dict[tuple[str, ...], int]:
        """How many records, inactive ones and orphans included, reference each file."""
        return Counter(record.file_id for record in descend([*self._records, *self._orphans]) if record.file_id)

    def _register(self, record: Record) -> None:
        if record.type in LEVELS:
            self._levels.setdefault((id(record.parent), record.type, _key(record)), record)
        elif record.file_id:
            self._instances.setdefault(record.sop_instance_uid, record)

    def _unregister(self, record: Record, keep_file: bool) -> None:
        file_id = record.file_id
        if file_id in self._file_ids:
            self._file_ids[file_id] -= 1
            if not self._file_ids[file_id]:
                del self._file_ids[file_id]
                if not keep_file:
                    self._removed.append(file_id)
        level = (id(record.parent), record.type, _key(record))
        if self._levels.get(level) is record:
            del self._levels[level]
        if self._instances.get(record.sop_instance_uid) is record:
            del self._instances[record.sop_instance_uid]

    def _place(
        self, instance: Dataset, parents: tuple[str, ...]
    ) -> tuple[Record | None, list[tuple[Record | None, Record]]]:
        """The record to hang an instance on, and those above and including it that are not in the tree yet."""
        made: list[tuple[Record | None, Record]] = []
        parent: Record | None = None
        if "" in parents:
            return parent, made
        for name in LEVELS:
            key = patient_id(instance) if name == "PATIENT" else uid_of(instance, _KEYS[name])
            record = self._levels.get((id(parent), name, key))
            if record is None:
                number = 1 + len(self._records if parent is None else parent._children)
                keys = make_record(instance, name, number, self.policy, self._issues)
                record = Record(keys, self._folder)
                record.parent = parent
                made.append((parent, record))
            parent = record
        return parent, made

    def _in_place(self, path: Path) -> tuple[str, ...] | None:
        """The File ID of a file that is in the folder under a conforming name already."""
        resolved = path.resolve()
        if not resolved.is_relative_to(self._folder.root):
            return None
        file_id = resolved.relative_to(self._folder.root).parts
        return file_id if conforms(file_id) else None

    def _folder_of(self, chain: list[Record]) -> tuple[str, ...]:
        """Where the files below the last record of a chain are; new levels get new folders."""
        for depth, record in enumerate(reversed(chain)):
            known = next((one.file_id for one in record.instances() if conforms(one.file_id)), None)
            if known is not None:
                folder = known[: max(len(known) - 1 - depth, 0)]
                missing = chain[len(chain) - depth :]
                break
        else:
            folder, missing = (), chain
        for record in missing:
            folder = self._free(folder, record.type)
        return folder

    def _free(self, folder: tuple[str, ...], kind: str) -> tuple[str, ...]:
        """A name in ``folder`` that no file, folder or record has: two letters of the type and a number."""
        words = kind.split()
        prefix = words[0][0] + words[1][0] if len(words) > 1 else kind[:2]
        start = self._numbers.get((folder, prefix), 0)
        for number in range(start, _NUMBERS):
            file_id = (*folder, f"{prefix}{number:06d}")
            if file_id not in self._file_ids and not os.path.lexists(self._folder.root.joinpath(*file_id)):
                self._numbers[folder, prefix] = number + 1
                return file_id
        raise LimitExceeded(f"the folder {'/'.join(folder)!r} of the file-set is full", clause="PS3.10 8.2")

    def _copy(self, path: Path | None, instance: Dataset, target: Path) -> None:
        if not target.parent.resolve().is_relative_to(self._folder.root):
            raise EncodingError(f"{target.parent} leads out of the folder of the file-set", clause="PS3.10 8.2")
        target.parent.mkdir(parents=True, exist_ok=True)
        layout = instance._origin.file.layout if instance._origin is not None else None
        if path is None or layout is None or not (layout.has_preamble and layout.declared_syntax):
            whole = instance if path is None else dcmread(path, limits=self.limits)
            whole.save_as(target, replace=False)
        else:
            with path.open("rb") as file, FileSink(target, replace=False) as sink:
                while block := file.read(_BLOCK_LENGTH):
                    sink.write(block)
        self._added.append(target)

    def _delete(self, file_id: tuple[str, ...]) -> None:
        try:
            path = self._folder.path_of(file_id)
            if not (path.exists() and path.samefile(self.path)):
                path.unlink(missing_ok=True)
                self._prune(path.parent)
        except (OSError, EncodingError) as error:
            self._issues.append(Issue(f"a removed file is left: {error}", None, "/".join(file_id), CLAUSE))

    def _prune(self, folder: Path) -> None:
        """Remove folders that are empty now, up to the root."""
        with suppress(OSError):
            while folder != self._folder.root and folder.is_relative_to(self._folder.root):
                folder.rmdir()
                folder = folder.parent


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _key(record: Record) -> str:
    return str(record.dataset.get(_KEYS.get(record.type, "PatientID")) or "").strip()
