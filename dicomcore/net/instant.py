"""Requests of a peer that are answered at once: which they are, and their bodies out of the inbox (`services.base`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from dicomcore.dimse.exchange import Exchange, RequestReceived
from dicomcore.limits import Limits
from dicomcore.services.base import AtOnce, Router, ServiceContext
from dicomcore.ul import AgreedContext

__all__ = ["Instant"]


class Instant:
    """The services of one association that answer at once.

    ``context``: what they are told that nobody can cancel, the same for all; there once something has been taken.
    """

    __slots__ = ("_exchange", "_found", "_limits", "_router", "context")

    def __init__(self, exchange: Exchange, limits: Limits, router: Router) -> None:
        self._exchange = exchange
        self._limits = limits
        self._router = router
        self.context = ServiceContext(limits)
        self._found: dict[tuple[int, int], tuple[AtOnce | None, AgreedContext]] = {}  # by context id, command field

    def try_take(
        self, message: RequestReceived, inbox: deque[Any], defer: Callable[[bool, int], bool] | None
    ) -> tuple[AtOnce, AgreedContext, list[memoryview]] | None:
        """Take the request that is the first of ``inbox``: its service and body. None when that cannot answer it now.

        ``defer(prompt, length)`` is that of `Operations`. What is longer than it may be is not for here.
        """
        context_id, command, has_body = message
        key = context_id, command.field
        service, agreed = self._found.get(key) or self._find(key)
        if service is None:
            return None
        views: list[memoryview] = []
        length = 0
        if has_body:
            for _, view, last in islice(inbox, 1, None):
                views.append(view)
                length += len(view)
                if last:
                    break
            else:
                return None
            if length > self._limits.object_length:
                return None
        if defer is not None and defer(True, length):
            return None
        inbox.popleft()
        for _ in views:
            inbox.popleft()
        return service, agreed, views

    def _find(self, key: tuple[int, int]) -> tuple[AtOnce | None, AgreedContext]:
        context_id, field = key
        self.context.negotiated, self.context.requestor = self._exchange.negotiated, self._exchange.requestor
        agreed = self._exchange.negotiated.contexts[context_id]
        service = self._router.at_once.get((agreed.general or agreed.abstract_syntax, field))
        self._found[key] = found = service, agreed
        return found
