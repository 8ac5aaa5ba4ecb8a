"""Whether two data sets hold the same elements: tags, VRs and values, at every depth.

A loop, not a recursion: what `Limits.nesting_depth` lets in can be compared, and what contains itself is told
(`LimitExceeded`).
"""

from __future__ import annotations

from typing import Any

from ..errors import LimitExceeded
from ..limits import DEFAULT_LIMITS

__all__ = ["is_equal"]


def is_equal(one: Any, other: Any) -> bool:
    """For two Datasets. Their file meta information is not looked at."""
    waiting = [(one, other, 0)]
    while waiting:
        one, other, depth = waiting.pop()
        if one is other:
            continue
        if depth > DEFAULT_LIMITS.nesting_depth:
            raise LimitExceeded(f"items nested deeper than {depth - 1}", hint="does an item contain itself?")
        tags = one._tags()
        if tags != other._tags():
            return False
        for tag in tags:
            left, right = one._element(tag), other._element(tag)
            if left.VR != "SQ" or right.VR != "SQ":
                if left != right:
                    return False
                continue
            items, others = left.value, right.value
            if len(items) != len(others):
                return False
            waiting += [(item, another, depth + 1) for item, another in zip(items, others, strict=True)]
    return True
