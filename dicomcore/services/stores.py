"""Where received instances go: the `InstanceStore` protocol, and a folder of DICOM files as one.

A store names a sink before the first byte and never sees a whole object. `FolderStore` promises: a file under its final
name is complete; names are made of valid UIDs or of hashes, so no peer chooses a path; writers of one instance never
mix; what a killed process left behind is removed at start.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from dicomcore.encoding.sink import (
    TEMPORARY_PREFIX,
    FileSink,
    Sink,
    TemporaryPaths,
    deposit_file,
    try_remove_leftover,
)
from dicomcore.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FolderStore", "InstanceStore", "NewInstance", "file_name", "put_pieces", "write_views"]

DUPLICATE_SOP_INSTANCE: Final = 0x0111
SUCCESS: Final = 0x0000

_SAFE_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_UID_LENGTH: Final = 64


class NewInstance(NamedTuple):
    """What is known of an instance before its body: UIDs as in command and negotiation, and who sends it."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str = ""
    called_ae: str = ""


class InstanceStore(Protocol):
    """Gives a sink for an instance; the sink gets a complete DICOM file (PS3.10), then ``commit``, or ``discard``.

    ``discard`` follows a failed ``write`` or ``commit`` too, and comes before the peer is answered.

    To refuse, `create` or ``commit`` raises `ServiceError` whose ``answer`` is the status to send (0000: nothing new is
    stored, and the peer is content); an OSError becomes A700 or 0110.
    """

    def create(self, instance: NewInstance, /) -> Sink: ...


def file_name(sop_instance_uid: str) -> str:
    """``<uid>.dcm`` for digits and dots, at most 64 characters; for anything else a name made of its SHA-256."""
    if len(sop_instance_uid) <= _UID_LENGTH and _SAFE_UID.fullmatch(sop_instance_uid):
        return f"{sop_instance_uid}.dcm"
    digest = hashlib.sha256(sop_instance_uid.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256-{digest[:40]}.dcm"


def write_views(sink: Sink, views: Sequence[bytes | memoryview]) -> None:
    """All of them, at once if the sink can do that."""
    gather = getattr(sink, "writev", None)
    if gather is not None and len(views) > 1:
        gather(views)
    else:
        for view in views:
            sink.write(view)


def put_pieces(store: InstanceStore, instance: NewInstance, pieces: Sequence[bytes | memoryview]) -> None:
    """A whole file, in pieces, into a sink of this store."""
    sink = store.create(instance)
    try:
        write_views(sink, pieces)
        sink.commit()
    except BaseException:
        sink.discard()
        raise


class _InstanceFile(FileSink):
    """A file whose final name may turn out to be taken only at its commit."""

    __slots__ = ("_duplicate",)

    def __init__(
        self,
        path: str,
        durability: Literal["process", "power"],
        duplicate: ServiceError | None,
        temporary_paths: TemporaryPaths,
    ) -> None:
        super().__init__(path, durability=durability, replace=duplicate is None, temporary_paths=temporary_paths)
        self._duplicate = duplicate

    def commit(self) -> None:
        try:
            super().commit()
        except FileExistsError:
            raise self._duplicate or ServiceError("the file exists") from None


class FolderStore:
    """Instances as files in one folder, named by SOP Instance UID.

    ``duplicates``: "replace" the stored file by the new one; "keep" the stored one and answer success; "refuse" with
    status 0111. ``durability`` as in `FileSink`. The folder is made if needed; unfinished files in it that nobody is
    writing are removed. Where files cannot be locked, these are the ones whose process is gone, or to which nothing was
    written for ``stale_after`` seconds.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        durability: Literal["process", "power"] = "process",
        duplicates: Literal["replace", "keep", "refuse"] = "replace",
        stale_after: float = 3600.0,
    ) -> None:
        if durability not in ("process", "power") or duplicates not in ("replace", "keep", "refuse"):
            raise ValueError(f"no such rule: durability={durability!r}, duplicates={duplicates!r}")
        self.root = os.path.abspath(root)
        self.durability: Literal["process", "power"] = durability
        self.duplicates = duplicates
        os.makedirs(self.root, exist_ok=True)
        self._folder = os.path.join(self.root, "")
        self._temporary_paths = TemporaryPaths(self._folder)
        self.removed = self._remove_leftovers(stale_after)

    def path_for(self, sop_instance_uid: str) -> str:
        """The final path of an instance."""
        return self._folder + file_name(sop_instance_uid)

    def create(self, instance: NewInstance, /) -> FileSink:
        """A sink for this instance. ServiceError when it is stored already and shall not be replaced."""
        path = self.path_for(instance.sop_instance_uid)
        if self.duplicates == "replace":
            return _InstanceFile(path, self.durability, None, self._temporary_paths)
        kept = self.duplicates == "keep"
        duplicate = ServiceError(
            f"{instance.sop_instance_uid} is stored already", answer=SUCCESS if kept else DUPLICATE_SOP_INSTANCE
        )
        if os.path.lexists(path):
            raise duplicate
        return _InstanceFile(path, self.durability, duplicate, self._temporary_paths)

    def put(self, instance: NewInstance, pieces: list[bytes | memoryview], /) -> None:
        """A whole file, in pieces: what `create`, a sink written and its ``commit`` do, in one step where it can be."""
        if self.duplicates == "replace" and self.durability == "process" and self._is_ordinary:
            deposit_file(self._folder + file_name(instance.sop_instance_uid), pieces, self._temporary_paths)
        else:
            put_pieces(self, instance, pieces)

    @property
    def _is_ordinary(self) -> bool:
        """Whether nobody has put another method in the place of those that make sinks: who has gets the bytes."""
        create, path_for = getattr(self.create, "__func__", None), getattr(self.path_for, "__func__", None)
        return create is _CREATE and path_for is _PATH_FOR

    def _remove_leftovers(self, stale_after: float) -> int:
        names = [name for name in os.listdir(self.root) if name.startswith(TEMPORARY_PREFIX)]
        if not names:
            return 0
        with_now = FileSink(os.path.join(self.root, "now"))  # the clock of the file system, wherever that is
        now = os.stat(with_now.temporary_path).st_mtime
        with_now.discard()
        removed = 0
        for name in names:
            path = os.path.join(self.root, name)
            with suppress(OSError):  # another store on this folder may be quicker
                gone = try_remove_leftover(path)
                if gone is None and (not _is_running(name) or now - os.stat(path).st_mtime >= stale_after):
                    os.unlink(path)
                    gone = True
                removed += bool(gone)
        return removed


_CREATE: Final = FolderStore.create
_PATH_FOR: Final = FolderStore.path_for


def _is_running(name: str) -> bool:
    """Whether the process in a temporary name may still be writing. Where that cannot be asked, it may."""
    process = name.removeprefix(TEMPORARY_PREFIX).partition("-")[0]
    if os.name != "posix" or not process.isdecimal():  # elsewhere signal 0 is not a question
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
