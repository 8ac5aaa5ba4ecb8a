"""The upper layer's state machine as data (PS3.8 section 9.2, tables 9-1 to 9-10).

Thirteen states, nineteen events, and one cell for each pair: the action of table 9-10, or a dash, which says that the
event cannot happen in that state; a local request made there is the caller's mistake. What an action does is in
`actions`; this file knows neither roles nor bytes, and all motion of an association is a walk over `GRID`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

__all__ = ["DATA_STATES", "GRID", "PDU_EVENTS", "SEND_STATES", "Evt", "State"]


class State(IntEnum):
    """States of the machine (PS3.8 tables 9-1 to 9-5)."""

    Sta1 = 1  # idle
    Sta2 = 2  # transport open, awaiting A-ASSOCIATE-RQ
    Sta3 = 3  # awaiting the local A-ASSOCIATE response
    Sta4 = 4  # awaiting the transport
    Sta5 = 5  # awaiting A-ASSOCIATE-AC or -RJ
    Sta6 = 6  # established
    Sta7 = 7  # awaiting A-RELEASE-RP
    Sta8 = 8  # awaiting the local A-RELEASE response
    Sta9 = 9  # release collision, requestor: awaiting the local A-RELEASE response
    Sta10 = 10  # release collision, acceptor: awaiting A-RELEASE-RP
    Sta11 = 11  # release collision, requestor: awaiting A-RELEASE-RP
    Sta12 = 12  # release collision, acceptor: awaiting the local A-RELEASE response
    Sta13 = 13  # awaiting the close of the transport


class Evt(IntEnum):
    """Events of the machine (PS3.8 table 9-10)."""

    Evt1 = 1  # A-ASSOCIATE request (local)
    Evt2 = 2  # transport connected (requestor)
    Evt3 = 3  # A-ASSOCIATE-AC received
    Evt4 = 4  # A-ASSOCIATE-RJ received
    Evt5 = 5  # transport connected (acceptor)
    Evt6 = 6  # A-ASSOCIATE-RQ received
    Evt7 = 7  # A-ASSOCIATE response: accept (local)
    Evt8 = 8  # A-ASSOCIATE response: reject (local)
    Evt9 = 9  # P-DATA request (local)
    Evt10 = 10  # P-DATA-TF received
    Evt11 = 11  # A-RELEASE request (local)
    Evt12 = 12  # A-RELEASE-RQ received
    Evt13 = 13  # A-RELEASE-RP received
    Evt14 = 14  # A-RELEASE response (local)
    Evt15 = 15  # A-ABORT request (local)
    Evt16 = 16  # A-ABORT received
    Evt17 = 17  # transport closed
    Evt18 = 18  # ARTIM timer expired
    Evt19 = 19  # unrecognized or invalid PDU received


_TABLE: Final = """
        Sta1  Sta2  Sta3  Sta4  Sta5  Sta6  Sta7  Sta8  Sta9  Sta10 Sta11 Sta12 Sta13
Evt1    AE-1  -     -     -     -     -     -     -     -     -     -     -     -
Evt2    -     -     -     AE-2  -     -     -     -     -     -     -     -     -
Evt3    -     AA-1  AA-8  -     AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt4    -     AA-1  AA-8  -     AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt5    AE-5  -     -     -     -     -     -     -     -     -     -     -     -
Evt6    -     AE-6  AA-8  -     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
Evt7    -     -     AE-7  -     -     -     -     -     -     -     -     -     -
Evt8    -     -     AE-8  -     -     -     -     -     -     -     -     -     -
Evt9    -     -     -     -     -     DT-1  -     AR-7  -     -     -     -     -
Evt10   -     AA-1  AA-8  -     AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt11   -     -     -     -     -     AR-1  -     -     -     -     -     -     -
Evt12   -     AA-1  AA-8  -     AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt13   -     AA-1  AA-8  -     AA-8  AA-8  AR-3  AA-8  AA-8  AR-10 AR-3  AA-8  AA-6
Evt14   -     -     -     -     -     -     -     AR-4  AR-9  -     -     AR-4  -
Evt15   -     -     AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  -
Evt16   -     AA-2  AA-3  -     AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
Evt17   -     AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
Evt18   -     AA-2  -     -     -     -     -     -     -     -     -     -     AA-2
Evt19   -     AA-1  AA-8  -     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
"""


def _read(table: str) -> Mapping[Evt, Mapping[State, str | None]]:
    head, *rows = (line.split() for line in table.strip().splitlines())
    states = [State[name] for name in head]
    return MappingProxyType(
        {
            Evt[name]: MappingProxyType(
                {state: None if cell == "-" else cell for state, cell in zip(states, cells, strict=True)}
            )
            for name, *cells in rows
        }
    )


GRID: Final = _read(_TABLE)
"""GRID[event][state]: the name of the action, or None for a dash."""

PDU_EVENTS: Final = MappingProxyType(
    {1: Evt.Evt6, 2: Evt.Evt3, 3: Evt.Evt4, 4: Evt.Evt10, 5: Evt.Evt12, 6: Evt.Evt13, 7: Evt.Evt16}
)
"""PDU type (PS3.8 9.3.1) to the event of its arrival; any other type is Evt19."""

DATA_STATES: Final = frozenset(state for state, cell in GRID[Evt.Evt10].items() if cell in ("DT-2", "AR-6"))
"""States in which arriving P-DATA is indicated: the cells say that they neither end nor change there."""

SEND_STATES: Final = frozenset(state for state, cell in GRID[Evt.Evt9].items() if cell)
"""States in which P-DATA may be sent."""
