"""Associations in memory, under a simulated clock: the third driver, for tests, those of users included.

A `Network` has servers and opens associations to them; both run the engine and the cores that the other drivers run,
over simulated wires and in simulated time (`net.wire`). There is no thread, no socket and no wait: hours pass in
milliseconds, and the same seed gives the same run. ``latency`` says how long the work of a provider (`Call`) takes,
``conduct`` how kindly the wires behave.

::

    network = Network(seed=1)
    server = network.serve([StorageSCP("received")], workers=2)
    association = network.associate(server, contexts=[(CT_IMAGE_STORAGE, [EXPLICIT_LE.uid])])
    status = association.perform(c_echo(association.negotiated)).status
    association.release()

`MemoryAssociation.perform`, `release` and `Network.associate` let time pass until they are done; `start` and
`Network.open` return at once, so that much can be under way together, and `Network.run` lets it happen. Coroutines are
for `dicomcore.aio`.
"""

from __future__ import annotations

from .network import MemoryAssociation, MemoryServer, Network
from .wire import Conduct, Plug, Schedule

__all__ = ["Conduct", "MemoryAssociation", "MemoryServer", "Network", "Plug", "Schedule"]
