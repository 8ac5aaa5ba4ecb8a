"""Person names (PS3.5 section 6.2, PN): up to three component groups joined by ``=``, five parts joined by ``^``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

__all__ = ["PersonName"]


class PersonName(str):
    """A name as text, equal to the plain string; reading drops trailing empty component groups."""

    __slots__ = ()

    @classmethod
    def from_named_components(
        cls,
        family_name: str = "",
        given_name: str = "",
        middle_name: str = "",
        name_prefix: str = "",
        name_suffix: str = "",
        *,
        ideographic: str | Sequence[str] = "",
        phonetic: str | Sequence[str] = "",
    ) -> Self:
        """A name from its parts; a group may be given as text or as components. ValueError on a delimiter in a part."""
        groups = [[family_name, given_name, middle_name, name_prefix, name_suffix]]
        groups += [group.split("^") if isinstance(group, str) else list(group) for group in (ideographic, phonetic)]
        for part in (part for group in groups for part in group):
            if any(delimiter in part for delimiter in "\\^="):
                raise ValueError(f"{part!r} holds a delimiter of person names")
        return cls("=".join("^".join(group).rstrip("^") for group in groups).rstrip("="))

    @property
    def components(self) -> tuple[str, ...]:
        """The component groups: alphabetic, ideographic, phonetic."""
        text = self.rstrip("=")
        return tuple(text.split("=")) if text else ()

    def _group(self, number: int) -> str:
        groups = self.split("=")
        return str(groups[number]) if number < len(groups) else ""

    def _part(self, number: int) -> str:
        parts = self._group(0).split("^")
        return str(parts[number]) if number < len(parts) else ""

    @property
    def alphabetic(self) -> str:
        return self._group(0)

    @property
    def ideographic(self) -> str:
        return self._group(1)

    @property
    def phonetic(self) -> str:
        return self._group(2)

    @property
    def family_name(self) -> str:
        return self._part(0)

    @property
    def given_name(self) -> str:
        return self._part(1)

    @property
    def middle_name(self) -> str:
        return self._part(2)

    @property
    def name_prefix(self) -> str:
        return self._part(3)

    @property
    def name_suffix(self) -> str:
        return self._part(4)

    def family_comma_given(self) -> str:
        return f"{self.family_name}, {self.given_name}"

    def formatted(self, template: str) -> str:
        """``template % parts``, such as ``"%(given_name)s %(family_name)s"``."""
        names = ("family_name", "given_name", "middle_name", "name_prefix", "name_suffix", "ideographic", "phonetic")
        return template % {name: getattr(self, name) for name in names}
