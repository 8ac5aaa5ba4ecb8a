"""To and from pydicom, which is imported only here and only when asked for. The bytes travel, not the objects."""

from __future__ import annotations

import io
from typing import Any

from ..vocab.syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, transfer_syntax
from .dataset import Dataset
from .fields import settle
from .files import read_dataset, save_as
from .origin import as_charsets
from .writer import encode_group

__all__ = ["from_pydicom", "to_pydicom"]

_THEIR_DEFAULT = "iso8859"  # what pydicom takes for text without a character set
_UTF8 = ("ISO_IR 192",)
_ENCODINGS = {(False, True): EXPLICIT_LE, (True, True): IMPLICIT_LE, (False, False): EXPLICIT_BE}


def to_pydicom(dataset: Dataset) -> Any:
    """A pydicom FileDataset; of an item that was read a plain pydicom Dataset.

    Text beyond ASCII without a Specific Character Set gets UTF-8, as it would not survive otherwise.
    """
    import pydicom
    from pydicom.filereader import read_dataset as read_theirs

    if dataset._origin is not None and dataset._origin.parent is not None:
        charsets = dataset._charsets()
        data = io.BytesIO(encode_group(dataset, charsets))
        return read_theirs(
            data, is_implicit_VR=False, is_little_endian=True, parent_encoding=list(charsets) or _THEIR_DEFAULT
        )
    file = io.BytesIO()
    save_as(dataset if dataset._charsets() else settle(dataset.copy()), file, enforce_file_format=False)
    file.seek(0)
    return pydicom.dcmread(file)


def from_pydicom(dataset: Any) -> Dataset:
    """A Dataset with the elements of a pydicom one, and its file meta information when it has any.

    As pydicom writes them: without group lengths, the text of items in the character set around them.
    """
    meta = getattr(dataset, "file_meta", None)
    charsets = _inherited(dataset)
    ours = _read(dataset, str(meta.get("TransferSyntaxUID", "")) if meta is not None else "", charsets)
    if meta is not None:
        ours.file_meta = _read(meta, "")
    return settle(ours) if charsets == _UTF8 else ours


def _inherited(dataset: Any) -> tuple[str, ...]:
    """The terms that hold without a Specific Character Set of its own; what was never encoded can take any."""
    if "SpecificCharacterSet" in dataset:
        return ()
    terms = getattr(dataset, "_parent_encoding", _THEIR_DEFAULT)
    if terms != _THEIR_DEFAULT:
        return as_charsets(terms)
    return () if getattr(dataset, "is_original_encoding", False) else _UTF8


def _read(dataset: Any, uid: str, charsets: tuple[str, ...] = ()) -> Dataset:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    encoding = _ENCODINGS.get(getattr(dataset, "original_encoding", (False, True)), EXPLICIT_LE)

    def written() -> bytes:
        file = DicomBytesIO()
        file.is_little_endian = not encoding.big_endian
        file.is_implicit_VR = not encoding.explicit
        write_dataset(file, dataset, parent_encoding=list(charsets) or _THEIR_DEFAULT)
        return bytes(file.getvalue())

    try:
        data = written()
    except TypeError:  # implicit elements in a file that declares explicit ones have no VR there until they are read
        for _ in dataset.iterall():
            pass
        data = written()
    declared = transfer_syntax(uid)
    is_same = (declared.explicit, declared.big_endian) == (encoding.explicit, encoding.big_endian)
    ours = read_dataset(data, uid if uid and is_same and not declared.deflated else encoding.uid)
    if charsets and ours._origin is not None:
        ours._origin.inherit(charsets)
    return ours
