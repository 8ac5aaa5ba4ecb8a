"""The application entity for asyncio: ``from dicomcore.aio import AE``; the names of `dicomcore.AE`, awaitable."""

from .net.aio import AE, Association, Responses, Server, StoreMany

__all__ = ["AE", "Association", "Responses", "Server", "StoreMany"]
