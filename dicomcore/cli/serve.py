"""``serve``: a Storage and Verification provider (PS3.4 annexes A and B) that writes what it gets into a folder."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dicomcore.cli.common import failing, print_json, quirk_option, title_option, tls_options, verbose_option

if TYPE_CHECKING:
    from types import FrameType

    from dicomcore.cli.endpoint import Endpoint
    from dicomcore.net import Server
    from dicomcore.net.tls import TLS
    from dicomcore.services.base import ServiceProvider
    from dicomcore.services.storage import Stored
    from dicomcore.ul import Quirks

__all__ = ["serve_command"]


@click.command("serve")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=11112,
    show_default=True,
    help="Port; 0: any free one.",
)
@title_option("--ae", "DICOMCORE", "Our AE title.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR", help="Store here."
)
@click.option("--host", default="", metavar="ADDRESS", help="Address to listen at; every interface when not given.")
@click.option(
    "--workers", type=click.IntRange(1, 1000), default=8, show_default=True, metavar="N", help="Worker threads."
)
@click.option(
    "--duplicates",
    type=click.Choice(["replace", "keep", "refuse"]),
    default="replace",
    show_default=True,
    help="What to do with an instance that is there already.",
)
@click.option(
    "--durability",
    type=click.Choice(["process", "power"]),
    default="process",
    show_default=True,
    help="Success is answered for files that outlive a kill, or a loss of power.",
)
@quirk_option
@tls_options(serving=True)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Serve counters for Prometheus over HTTP, at /metrics; 0: any free port.",
)
@click.option(
    "--metrics-host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to serve them at."
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each stored object, not its path.")
@verbose_option
def serve_command(
    port: int,
    ae: str,
    out: Path,
    host: str,
    workers: int,
    duplicates: Literal["replace", "keep", "refuse"],
    durability: Literal["process", "power"],
    quirks: Quirks,
    metrics_port: int | None,
    metrics_host: str,
    as_json: bool,
    tls: TLS | None,
) -> None:
    """Receive objects into a folder until Ctrl-C; the path of each stored object is a line of standard output.

    \b
    Example:
      dicomcore serve --port 11112 --ae PACS --out received/
      dicomcore serve --port 2762 --out received/ --tls --cert pacs.pem --key pacs.key --ca clients-ca.pem
    """
    from dicomcore.net import AE
    from dicomcore.services.storage import StorageSCP
    from dicomcore.services.verification import VerificationSCP

    def terminate(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with failing():
        signal.signal(signal.SIGTERM, terminate)
        told = partial(_told, as_json=as_json)
        storage = StorageSCP(out, duplicates=duplicates, durability=durability, on_stored=told)
        with _listening(host, port):
            services: list[ServiceProvider] = [VerificationSCP(), storage]
            serving = AE(ae).serve(port, host=host, services=services, workers=workers, quirks=quirks, tls=tls)
        with ExitStack() as stack:
            server = stack.enter_context(serving)
            if metrics_port is not None:
                stack.enter_context(_endpoint(server, metrics_host, metrics_port))
            click.echo(f"{ae} listens on port {server.port} and stores into {out}; Ctrl-C ends it", err=True)
            try:
                server.wait()
            except KeyboardInterrupt:
                click.echo("closing", err=True)


def _told(stored: Stored, *, as_json: bool) -> None:
    row = {
        "path": stored.path,
        "sop_class_uid": stored.sop_class_uid,
        "sop_instance_uid": stored.sop_instance_uid,
        "transfer_syntax_uid": stored.transfer_syntax_uid,
        "bytes": stored.length,
        "calling": stored.calling_ae,
    }
    with suppress(OSError):  # who read our lines has left, or their disk is full; what is stored is stored
        if as_json:
            print_json(row)
        else:
            click.echo(stored.path)


def _endpoint(server: Server, host: str, port: int) -> Endpoint:
    """Counters of ``server`` over HTTP."""
    from dicomcore.cli.endpoint import Endpoint
    from dicomcore.net import prometheus_text
    from dicomcore.net.transport import join_address

    with _listening(host, port):
        endpoint = Endpoint(lambda: prometheus_text(server.metrics), port, host)
    click.echo(f"metrics at http://{join_address(host, endpoint.port)}/metrics", err=True)
    return endpoint


@contextmanager
def _listening(host: str, port: int) -> Iterator[None]:
    """The system's words for what goes wrong do not name the port."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
