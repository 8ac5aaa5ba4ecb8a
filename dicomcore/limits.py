"""Bounds on everything that a file or a peer can make large: a value, handed down as an argument, never a global."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["DEFAULT_LIMITS", "Limits"]

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB


@dataclass(frozen=True, slots=True)
class Limits:
    """What is accepted from files and peers. Lengths are bytes, times are seconds, ``count`` is a number of things.

    ``Limits().but(artim=5.0)`` changes one bound and keeps the rest.
    """

    # data sets (PS3.5, PS3.10)
    nesting_depth: int = 128
    element_count: int = 50_000_000
    inflated_length: int = 4 * GiB
    frame_length: int = 512 * MiB  # of one frame that is decoded; libraries take several times as much beside it
    value_length: int = 0xFFFFFFFE
    memory_object: int = 32 * MiB  # of one data set that is held in memory; received objects lie in a file above it

    # upper layer (PS3.8): before an association stands, a connection costs at most `handshake_length`
    associate_length: int = 1 * MiB
    handshake_length: int = 64 * KiB
    context_count: int = 128
    transfer_syntax_count: int = 128
    item_count: int = 512  # of an A-ASSOCIATE PDU, presentation contexts included
    user_item_count: int = 512
    user_information_length: int = 0xFFFF
    pdu_length: int = 256 * KiB
    received_pdu_length: int = 0xFFFFFFFF  # a P-DATA-TF is streamed, so its length costs no memory
    received_pdv_length: int = 0xFFFFFFFF  # of one fragment in it
    held_length: int = 16 * KiB  # what an idle association may hold

    # DIMSE (PS3.7)
    command_length: int = 64 * KiB
    operations_window: int = 16
    object_length: int = 64 * GiB  # of one data set that is received
    deferred_count: int = 10_000  # works that providers put off

    # time
    artim: float = 30.0
    connect_timeout: float = 10.0
    association_timeout: float = 30.0
    network_timeout: float = 60.0
    dimse_timeout: float = 120.0
    idle_timeout: float = 600.0
    message_timeout: float = 60.0  # that a peer may let us wait within one message; more while it sends
    message_rate: float = 1024.0  # as many bytes a second as it then has to send

    # memory of a server: objects that are received into it, long receive blocks, and what waits to be sent
    memory_budget: int = 512 * MiB
    budget_wait: float = 30.0  # that an object waits for its share of it, while its sender is not read

    # server; a rate is new connections a second, of which as many may come at once
    association_count: int = 1000
    peer_association_count: int = 1000  # from one address
    connection_rate: float = 10_000.0
    peer_connection_rate: float = 10_000.0  # from one address

    def but(self, **changes: Any) -> Limits:
        """A copy with some bounds changed."""
        return replace(self, **changes)


DEFAULT_LIMITS = Limits()
