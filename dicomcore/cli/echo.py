"""``echo``: Verification (PS3.4 annex A) against a peer."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import click

from dicomcore.cli.common import association_limits, failing, peer_options, print_json, tls_options, verbose_option

if TYPE_CHECKING:
    from dicomcore.net.tls import TLS

__all__ = ["echo_command"]


@click.command("echo")
@peer_options
@tls_options()
@click.option(
    "--count", "times", type=click.IntRange(1), metavar="N", default=1, show_default=True, help="C-ECHOs to send."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@verbose_option
def echo_command(
    host: str, port: int, called: str, calling: str, timeout: float | None, times: int, as_json: bool, tls: TLS | None
) -> None:
    """Open an association with the peer at HOST PORT and send a C-ECHO.

    \b
    Example:
      dicomcore echo localhost 11112 --called PACS
      dicomcore echo pacs.example 2762 --tls --ca hospital-ca.pem --cert here.pem --key here.key
    """
    from dicomcore.net import AE
    from dicomcore.vocab.sop_classes import VERIFICATION
    from dicomcore.vocab.status import StatusCategory, category, describe

    with failing():
        started = perf_counter()
        ae = AE(calling, limits=association_limits(timeout))
        with ae.associate(host, port, called_ae=called, contexts=[VERIFICATION], tls=tls) as association:
            associated = perf_counter()
            statuses = [association.c_echo() for _ in range(times)]
            done = perf_counter()
    each = (done - associated) / times * 1000
    status = next((code for code in statuses if code), 0)
    if as_json:
        milliseconds = {"association_ms": round((associated - started) * 1000, 3), "echo_ms": round(each, 3)}
        print_json({"host": host, "port": port, "called": called, "status": status, "count": times, **milliseconds})
    else:
        click.echo(f"{called} at {host}:{port}: {describe(status)}, {each:.2f} ms")
    if category(status) is not StatusCategory.SUCCESS:
        raise click.exceptions.Exit(1)
