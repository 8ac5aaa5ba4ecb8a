"""To and from pydicom, which is imported only here and only when asked for. The bytes travel, not the objects."""

from __future__ import annotations

import io
from typing import Any

from ..vocab.syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, transfer_syntax
from .dataset import Dataset
from .files import read_dataset, save_as
from .writer import encode_group

__all__ = ["from_pydicom", "to_pydicom"]

_ENCODINGS = {(False, True): EXPLICIT_LE, (True, True): IMPLICIT_LE, (False, False): EXPLICIT_BE}


def to_pydicom(dataset: Dataset) -> Any:
    """A pydicom FileDataset; of an item a plain pydicom Dataset."""
    import pydicom
    from pydicom.filereader import read_dataset as read_theirs

    if dataset._origin is not None and dataset._origin.parent is not None:
        data = encode_group(dataset, dataset._charsets())
        return read_theirs(io.BytesIO(data), is_implicit_VR=False, is_little_endian=True)
    file = io.BytesIO()
    save_as(dataset, file)
    file.seek(0)
    return pydicom.dcmread(file)


def from_pydicom(dataset: Any) -> Dataset:
    """A Dataset with the elements of a pydicom one, and its file meta information when it has any."""
    meta = getattr(dataset, "file_meta", None)
    ours = _read(dataset, str(meta.get("TransferSyntaxUID", "")) if meta is not None else "")
    if meta is not None:
        ours.file_meta = _read(meta, "")
    return ours


def _read(dataset: Any, uid: str) -> Dataset:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    encoding = _ENCODINGS.get(getattr(dataset, "original_encoding", (False, True)), EXPLICIT_LE)
    file = DicomBytesIO()
    file.is_little_endian = not encoding.big_endian
    file.is_implicit_VR = not encoding.explicit
    write_dataset(file, dataset)
    declared = transfer_syntax(uid)
    is_same = (declared.explicit, declared.big_endian) == (encoding.explicit, encoding.big_endian)
    return read_dataset(file.getvalue(), uid if uid and is_same and not declared.deflated else encoding.uid)
