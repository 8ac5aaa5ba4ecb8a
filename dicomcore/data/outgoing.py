"""Files on their way out: opened once, for what is to be known of them and for the data set, sent as it lies there."""

from __future__ import annotations

import os

from ..encoding.source import FileSlice, FileSource
from ..limits import DEFAULT_LIMITS, Limits
from .part10 import FileHeader, read_header

__all__ = ["open_instance"]


def open_instance(
    path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS
) -> tuple[FileHeader, memoryview | FileSlice]:
    """The header of a file and its data set: in memory when it came with the header, else a slice of the open file.

    Raises as `read_header` does. The caller closes the slice.
    """
    source, descriptor = FileSource.kept_open(path)
    head = source.head
    try:
        header = read_header(source, limits=limits)
        start, size = header.dataset_offset, header.file_size
        if size > len(head):
            piece = FileSlice(source.path, start, size - start, descriptor=descriptor)
            descriptor = -1
            return header, piece
        return header, head[start:]
    finally:
        if descriptor >= 0:
            os.close(descriptor)
