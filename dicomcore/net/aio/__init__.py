"""Associations in an event loop (asyncio, uvloop): the asking and the serving application entity, awaitable."""

from .ae import AE, Opening
from .association import Association, Responses
from .server import Server
from .storing import StoreMany

__all__ = ["AE", "Association", "Opening", "Responses", "Server", "StoreMany"]
