"""The faces of a data set in other forms, as methods: JSON, XML, HTML, pydicom. The work lives in later modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from ._late import late

if TYPE_CHECKING:
    from .element import Element

__all__ = ["Convertible"]


class Convertible:
    """Thin methods of `Dataset`; ``bulk_data`` is the caller's handler of values that are held elsewhere.

    On the way out it is offered, as an `Element`, every value field over ``threshold`` bytes whose VR may be held
    elsewhere, and answers its URI, or None to keep it inline. On the way in it is given the URI, and answers the value
    or the bytes of its value field (little endian, text in UTF-8).
    """

    __slots__ = ()

    def to_json_dict(
        self, bulk_data: Callable[[Element], str | None] | None = None, threshold: int = 1024
    ) -> dict[str, Any]:
        """The DICOM JSON model (PS3.18 annex F) as a dict."""
        model: dict[str, Any] = late("to_json_dict")(self, bulk_data, threshold)
        return model

    def to_json(self, bulk_data: Callable[[Element], str | None] | None = None, threshold: int = 1024) -> str:
        """The DICOM JSON model as text."""
        text: str = late("to_json")(self, bulk_data, threshold)
        return text

    @classmethod
    def from_json(cls, model: str | bytes | Mapping[str, Any], bulk_data: Callable[[str], Any] | None = None) -> Self:
        """A data set from the DICOM JSON model."""
        dataset: Self = late("from_json")(model, bulk_data)
        return dataset

    def to_xml(self, bulk_data: Callable[[Element], str | None] | None = None, threshold: int = 1024) -> str:
        """The Native DICOM Model (PS3.19 annex A.1) as text."""
        text: str = late("to_xml")(self, bulk_data, threshold)
        return text

    @classmethod
    def from_xml(cls, document: Any, bulk_data: Callable[[str], Any] | None = None) -> Self:
        """A data set from the Native DICOM Model: text, bytes, or a file that is read block by block."""
        dataset: Self = late("from_xml")(document, bulk_data)
        return dataset

    def to_pydicom(self) -> Any:
        """The same as a pydicom Dataset (a FileDataset's ``file_meta`` included)."""
        return late("to_pydicom")(self)

    @classmethod
    def from_pydicom(cls, dataset: Any) -> Self:
        """The same as a pydicom Dataset, its ``file_meta`` included when it has one."""
        converted: Self = late("from_pydicom")(dataset)
        return converted

    def _repr_html_(self) -> str:
        text: str = late("to_html")(self)
        return text
