"""How long a C-GET may take, with time as an argument: what counts as being heard of, and what does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from dicomcore.net.fetching import Fetching


def fetching(**state: Any) -> tuple[Any, Fetching]:
    exchange = SimpleNamespace(fetching=True)
    operations = SimpleNamespace(exchange=exchange, stores=0, stored_length=0, **state)
    return operations, Fetching(cast(Any, operations), 100.0)


def test_nothing_is_heard_unless_something_is_stored() -> None:
    operations, watched = fetching()
    assert watched.heard(5.0) == 0.0
    operations.stores = 1
    assert watched.heard(6.0) == 6.0
    assert watched.heard(9.0) == 6.0


def test_bytes_count_as_fast_as_they_have_to_come() -> None:
    operations, watched = fetching()
    operations.stores = 1
    assert watched.heard(10.0) == 10.0
    operations.stored_length = 1000
    assert watched.heard(15.0) == 15.0  # ten seconds' worth
    operations.stored_length = 1050
    assert watched.heard(100.0) == 20.5
    operations.stores = 2  # it is taken in
    assert watched.heard(101.0) == 101.0
    operations.stores, operations.stored_length = 3, 0
    assert watched.heard(102.0) == 102.0


def test_without_a_get_nothing_counts() -> None:
    operations, watched = fetching()
    operations.exchange.fetching = False
    operations.stores, operations.stored_length = 1, 100
    assert watched.heard(5.0) == 0.0
