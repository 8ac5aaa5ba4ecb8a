"""An HTTP endpoint for Prometheus: ``GET /metrics``, and nothing else, on an address of its own.

It knows no TLS and no passwords, so it listens on the loopback interface unless told otherwise.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from dicomcore._version import __version__

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Endpoint"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE = 10.0  # seconds for a client to say what it wants

log = logging.getLogger("dicomcore.cli")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("metrics for %s failed", client_address, exc_info=True)


class Endpoint:
    """Serves ``read()`` at ``/metrics`` in a thread until it is closed. OSError when the port cannot be had."""

    def __init__(self, read: Callable[[], str], port: int, host: str = "127.0.0.1") -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = PATIENCE
            server_version = f"dicomcore/{__version__}"
            sys_version = ""

            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(HTTPStatus.NOT_FOUND, "it is at /metrics")
                    return
                body = read().encode()
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def do_HEAD(self) -> None:
                self.do_GET()

            def log_message(self, *said: Any, **_: Any) -> None:
                log.debug("metrics: " + said[0], *said[1:])

        self._server = _Server((host, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="dicomcore-metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
