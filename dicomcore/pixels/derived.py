"""What another coding of its pixels makes of an image's attributes (PS3.3 C.7.6.3, C.7.6.1.1, C.7.6.6; PS3.5 8.2).

`describe` sets what tells how pixels are coded. `add_loss` tells of a lossy step; `derive` makes of a data set whose
pixels have changed an instance of its own, which names the one that it was made from. Values that speak of pixels and
may be wrong afterwards (smallest and largest) go; padding values, palettes, ICC profiles and overlays stay.
The data sets that they change share items with others: an item is copied before it is changed.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from dicomcore.data.dataset import Dataset
from dicomcore.data.sequence import Sequence
from dicomcore.errors import PixelError
from dicomcore.pixels.code_stream import read_jpeg2000, read_near
from dicomcore.pixels.frames import FrameSource
from dicomcore.pixels.image_model import ImageModel
from dicomcore.vocab.syntaxes import TransferSyntax
from dicomcore.vocab.uids import new_uid

__all__ = ["add_loss", "derive", "describe", "had_lost"]

_PIXEL_GROUP = 0x7FE0


def describe(made: Dataset, model: ImageModel, count: int) -> None:
    """The attributes that the coding decides, as ``model`` and ``count`` frames have them. Group lengths go."""
    counted = count > 1 or bool(made.get("NumberOfFrames"))
    values: dict[str, Any] = {
        "Rows": model.rows,
        "Columns": model.columns,
        "SamplesPerPixel": model.samples,
        "PhotometricInterpretation": model.photometric,
        "PlanarConfiguration": int(model.planar) if model.samples > 1 else None,
        "BitsAllocated": model.bits_allocated,
        "BitsStored": model.bits_stored,
        "HighBit": model.bits_stored - 1,
        "NumberOfFrames": count if counted else None,
        "ExtendedOffsetTable": None,
        "ExtendedOffsetTableLengths": None,
    }
    for keyword, value in values.items():
        if value is None:
            made.pop(keyword, None)
        elif made.get(keyword) != value:
            setattr(made, keyword, value)
    for tag in [tag for tag in made._tags() if not tag & 0xFFFF]:
        del made[tag]


def had_lost(source: FrameSource) -> bool:
    """Whether the coding that the frames come in has lost something; its first stream tells where a syntax may."""
    syntax = source.transfer_syntax
    if syntax.pixel_loss in ("none", "lossless"):
        return False
    try:
        if syntax.codec == "jpeg-ls":
            return read_near(source.encoded(0)) > 0
        if syntax.codec in ("jpeg2000", "htj2k"):
            return not read_jpeg2000(source.encoded(0), lambda message, clause: None).is_lossless
    except PixelError:
        return syntax.pixel_loss == "lossy"
    return syntax.pixel_loss == "lossy" or source.dataset.get("PhotometricInterpretation") == "XYB"


def add_loss(made: Dataset, ratio: float, method: str) -> None:
    """PS3.3 C.7.6.1.1.5: a lossy step more, behind those that the image went through before."""
    made.LossyImageCompression = "01"
    for keyword, value in (("LossyImageCompressionRatio", f"{ratio:.6g}"), ("LossyImageCompressionMethod", method)):
        if value:
            values = [*_values(made.get(keyword)), value]
            setattr(made, keyword, values if len(values) > 1 else value)


def derive(made: Dataset, syntax: TransferSyntax, ratio: float) -> None:
    """The instance that lossy coding in ``syntax`` has made: DERIVED, with a UID and a source."""
    add_loss(made, ratio, syntax.lossy_method)
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue"):
        made.pop(keyword, None)
    made.ImageType = ["DERIVED", *(_values(made.get("ImageType")) or ["", "PRIMARY"])[1:]]
    told = f"Lossy compression with {syntax}, ratio {ratio:.1f}"
    before = str(made.get("DerivationDescription") or "")
    made.DerivationDescription = f"{before}; {told}" if before and len(before) + len(told) < 1000 else told
    _append(made, "DerivationCodeSequence", _code("113040", "DCM", "Lossy Compression"))
    meta = made.file_meta
    old = str(made.get("SOPInstanceUID") or meta.get("MediaStorageSOPInstanceUID") or "")
    sop_class = made.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID")
    new = new_uid()
    _follow(made, old, new)
    if old and sop_class:
        origin = Dataset()
        origin.ReferencedSOPClassUID, origin.ReferencedSOPInstanceUID = sop_class, old
        origin.PurposeOfReferenceCodeSequence = [_code("121320", "DCM", "Uncompressed predecessor")]
        _append(made, "SourceImageSequence", origin)
    made.SOPInstanceUID = new
    if "MediaStorageSOPInstanceUID" in meta:
        meta.MediaStorageSOPInstanceUID = new


def _values(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | float) else list(value)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _append(made: Dataset, keyword: str, item: Dataset) -> None:
    setattr(made, keyword, [*(deepcopy(one) for one in made.get(keyword) or ()), item])


def _follow(made: Dataset, old: str, new: str) -> None:
    """What the items say of this very instance, of the new one: references to it, and Frame Type (PS3.3 C.8.16.1)."""
    for tag in made._tags():
        if tag >> 16 == _PIXEL_GROUP:
            continue
        element = made._element(tag)
        if element is not None and element.VR == "SQ" and _changed(element.value, old, ""):
            copied = deepcopy(element.value)
            _changed(copied, old, new)
            made[tag].value = copied


def _changed(items: Sequence, old: str, new: str) -> bool:
    """Whether something in ``items`` speaks of the instance ``old``; changed to ``new`` where that is given."""
    found = False
    levels: list[Dataset] = list(items)
    while levels:
        level = levels.pop()
        if "FrameType" in level and (kinds := _values(level.FrameType)) and kinds[0] != "DERIVED":
            found = True
            if new:
                level.FrameType = ["DERIVED", *kinds[1:]]
        if old and level.get("ReferencedSOPInstanceUID") == old:
            found = True
            if new:
                level.ReferencedSOPInstanceUID = new
        for element in level:
            if element.VR == "SQ":
                levels += element.value
    return found
