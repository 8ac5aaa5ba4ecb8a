"""Sockets, threads and clocks: the blocking application entity and its server (PS3.8 9.1)."""

from .ae import AE
from .association import Association, StoreResult
from .metrics import Metrics, prometheus_text
from .server import Server
from .store import StoreReport, store

__all__ = ["AE", "Association", "Metrics", "Server", "StoreReport", "StoreResult", "prometheus_text", "store"]
