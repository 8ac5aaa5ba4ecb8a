"""What stands for the `Operations` of an association on which nothing has been asked yet.

Most of what a server does for an association that is opened, and soon released or lost, would be done for operations
that never come; so they are made when the first message is here. Until then there is one of these, for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from dicomcore.net.operations import Operations

__all__ = ["UNBEGUN"]


class _Unbegun:
    """Nothing is under way, nothing waits, nothing is to be closed."""

    __slots__ = ()

    inbox: tuple[Any, ...] = ()
    roomless: tuple[Any, ...] = ()
    running: Mapping[int, Any] = MappingProxyType({})
    calling_ae = called_ae = ""
    idle = True
    asking = starved = room_wanted = holds_views = False
    streaming = write = None
    queued = 0

    def next(self, *, room: bool) -> None:
        """There is none."""

    def note(self, queued: int) -> None:
        """What waits belongs to the association itself, and is short."""

    def end(self) -> list[Any]:
        return []

    def detach(self) -> None:
        pass


UNBEGUN: Final = cast("Operations", _Unbegun())
