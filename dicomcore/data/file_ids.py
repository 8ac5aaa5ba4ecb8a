"""File IDs: the names of the files of a file-set, inside the folder that it is (PS3.10 section 8.2).

Refuses (`EncodingError`): File IDs that leave the folder, by their components or through a symbolic link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import EncodingError

__all__ = ["DICOMDIR", "Folder", "conforms", "find_directory"]

DICOMDIR = "DICOMDIR"
_COMPONENT = re.compile(r"[A-Z0-9_]{1,8}")
_DEPTH = 8


def _plain(name: str) -> str:
    """Media are mounted with names in lower case, or with the version numbers of ISO 9660."""
    return name.casefold().removesuffix(";1").removesuffix(".")


def conforms(file_id: tuple[str, ...]) -> bool:
    """At most 8 components of at most 8 characters A-Z, 0-9 and _ (PS3.10 section 8.2)."""
    return 0 < len(file_id) <= _DEPTH and all(_COMPONENT.fullmatch(component) for component in file_id)


def find_directory(path: Path) -> Path:
    """The DICOMDIR of a folder, or the path itself when it is no folder."""
    if not path.is_dir():
        return path
    names = sorted(name for name in os.listdir(path) if _plain(name) == _plain(DICOMDIR))
    return path / (DICOMDIR if DICOMDIR in names or not names else names[0])


class Folder:
    """The folder of a file-set: File IDs to paths that stay inside."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()

    def path_of(self, file_id: tuple[str, ...]) -> Path:
        """Where a File ID leads; names are matched without regard to case where the exact one is not there.

        `EncodingError` when that is not below the folder.
        """
        separators = {"/", "\0", os.sep, os.altsep or os.sep}
        for component in file_id:
            if component in ("", ".", "..") or separators & set(component) or Path(component).is_absolute():
                raise self._leaves(file_id)
        path = self.root.joinpath(*file_id)
        if not os.path.lexists(path):
            path = self._any_case(file_id) or path
        if not path.resolve().is_relative_to(self.root):
            raise self._leaves(file_id)
        return path

    def _any_case(self, file_id: tuple[str, ...]) -> Path | None:
        path = self.root
        for component in file_id:
            try:
                names = os.listdir(path)
            except OSError:
                return None
            found = sorted(name for name in names if _plain(name) == component.casefold())
            if not found:
                return None
            path /= found[0]
        return path

    def flush(self, paths: Iterable[Path]) -> None:
        """Write files that were added, and the folders down to them, through to the medium."""
        files = list(paths)
        folders = {folder for file in files for folder in file.parents if folder.is_relative_to(self.root)}
        for path in [*files, *sorted(folders)]:
            with suppress(PermissionError):  # where folders cannot be opened, they need no flushing
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    @staticmethod
    def _leaves(file_id: tuple[str, ...]) -> EncodingError:
        return EncodingError(
            f"the File ID {'/'.join(file_id)!r} is no file below the folder of the file-set",
            path="(0004,1500)",
            clause="PS3.10 8.2",
        )
