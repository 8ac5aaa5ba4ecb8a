"""Sockets, threads and clocks: the blocking application entity and its server (PS3.8 9.1)."""

from .ae import AE
from .association import Association, StoreResult
from .metrics import Metrics, prometheus_text
from .server import Server
from .store import StoreReport, store
from .tls import TLS, client_context, server_context

__all__ = [
    "AE",
    "TLS",
    "Association",
    "Metrics",
    "Server",
    "StoreReport",
    "StoreResult",
    "client_context",
    "prometheus_text",
    "server_context",
    "store",
]
