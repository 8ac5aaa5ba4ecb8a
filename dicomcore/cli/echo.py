"""``echo``: Verification (PS3.4 annex A) against a peer, and what it was agreed on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from dicomcore.cli.common import (
    association_limits,
    failing,
    logs,
    peer_options,
    print_json,
    tls_options,
    to_terminal,
)

if TYPE_CHECKING:
    from dicomcore.net import Association
    from dicomcore.net.tls import TLS
    from dicomcore.ul import Negotiated, Quirks
    from dicomcore.ul.pdu import UserInformation

__all__ = ["echo_command"]


@click.command("echo")
@peer_options
@tls_options()
@click.option(
    "--count", "times", type=click.IntRange(1), metavar="N", default=1, show_default=True, help="C-ECHOs to send."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; the exit status tells.")
@click.option("-v", "--verbose", count=True, help="Print what was agreed, as a table; -vv also logs to standard error.")
def echo_command(
    host: str,
    port: int,
    called: str,
    calling: str,
    timeout: float | None,
    quirks: Quirks,
    times: int,
    as_json: bool,
    quiet: bool,
    verbose: int,
    tls: TLS | None,
) -> None:
    """Open an association with the peer at HOST PORT and send a C-ECHO.

    \b
    Example:
      dicomcore echo localhost 11112 --called PACS -v
      dicomcore echo pacs.example 2762 --tls --ca hospital-ca.pem --cert here.pem --key here.key
    """
    from dicomcore.net import AE
    from dicomcore.vocab.sop_classes import VERIFICATION
    from dicomcore.vocab.status import StatusCategory, category, describe

    if quiet and (verbose or as_json):
        raise click.UsageError("-q prints nothing, so it goes with neither -v nor --json")
    if verbose > 1:
        logs(logging.DEBUG)
    echoes: list[float] = []
    status = 0
    with failing():
        started = perf_counter()
        ae = AE(calling, limits=association_limits(timeout))
        with ae.associate(host, port, called_ae=called, contexts=[VERIFICATION], quirks=quirks, tls=tls) as association:
            agreed = perf_counter()
            for _ in range(times):
                began = perf_counter()
                status = association.c_echo() or status
                echoes.append(perf_counter() - began)
            done = perf_counter()
    released = perf_counter()
    each = sum(echoes) / times
    if as_json:
        times_ms = {"association_ms": agreed - started, "echo_ms": each, "release_ms": released - done}
        print_json(
            {"host": host, "port": port, "called": called, "status": status, "count": times}
            | {name: round(seconds * 1000, 3) for name, seconds in times_ms.items()}
            | {"negotiation": _as_json(association.negotiated), "tls": association.cipher}
        )
    elif not quiet:
        if verbose:
            timings = [("association", _ms(agreed - started)), ("C-ECHO", _spread(echoes))]
            _print_table(association, [*timings, ("release", _ms(released - done))])
        click.echo(f"{called} at {host}:{port}: {describe(status)}, {each * 1000:.2f} ms")
    if category(status) is not StatusCategory.SUCCESS:
        raise click.exceptions.Exit(1)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def _spread(seconds: list[float]) -> str:
    if len(seconds) == 1:
        return _ms(seconds[0])
    parts = (min(seconds), median(seconds), max(seconds))
    return f"{' / '.join(map(_ms, parts))} (least, median, most of {len(seconds)})"


def _as_json(negotiated: Negotiated) -> dict[str, Any]:
    from dicomcore.ul import explain_rows

    request, answer = negotiated.request, negotiated.answer
    sides = (("calling", request.calling_ae, request.user), ("called", request.called_ae, answer.user))
    return {
        "contexts": [
            {
                "id": row.id,
                "abstract_syntax": row.abstract_syntax,
                "accepted": row.accepted,
                "result": row.result,
                "transfer_syntax": row.transfer_syntax or None,
                "requestor_roles": row.roles,
                "note": row.note or None,
            }
            for row in explain_rows(request, answer, negotiated.quirks)
        ],
        "window": {"invoked": negotiated.window.invoked, "performed": negotiated.window.performed},
    } | {
        side: {
            "ae": title,
            "max_length": user.max_length,
            "implementation_class_uid": user.implementation_class_uid,
            "implementation_version": user.implementation_version,
        }
        for side, title, user in sides
    }


def _facts(association: Association) -> Iterator[tuple[str, str]]:
    """What is agreed beside presentation contexts."""
    negotiated = association.negotiated
    ours, theirs = negotiated.request.user, negotiated.answer.user
    window = negotiated.window
    yield "maximum length", f"{_length(ours)} received, {_length(theirs)} sent"
    yield "window", f"{window.invoked or 'unlimited'} invoked, {window.performed or 'unlimited'} performed"
    yield "their implementation", _implementation(theirs)
    yield "our implementation", _implementation(ours)
    if (cipher := association.cipher) is not None:
        yield "TLS", ", ".join(filter(None, cipher))


def _length(user: UserInformation) -> str:
    return f"{user.max_length:,}" if user.max_length else "unlimited"


def _implementation(user: UserInformation) -> str:
    named = " ".join(filter(None, (user.implementation_version, f"({user.implementation_class_uid})")))
    return named if user.implementation_class_uid else user.implementation_version or "unnamed"


def _print_table(association: Association, timings: list[tuple[str, str]]) -> None:
    """The negotiation, in two tables."""
    from rich.table import Table

    from dicomcore.ul import explain_rows
    from dicomcore.vocab.uids import UID

    negotiated = association.negotiated
    rows = explain_rows(negotiated.request, negotiated.answer, negotiated.quirks)
    console = to_terminal()
    if not console.is_terminal:
        console.width = 200  # a reader wants whole lines
    title = f"{negotiated.calling_ae} -> {association.peer}"
    contexts = Table("id", "SOP class", "result", "transfer syntax", "our roles", title=title, title_justify="left")
    noted = any(row.note for row in rows)
    if noted:
        contexts.add_column("note")
    for row in rows:
        syntax = UID(row.transfer_syntax).name if row.accepted else "-"
        cells = [str(row.id), UID(row.abstract_syntax).name, row.result, syntax, " and ".join(row.roles) or "-"]
        contexts.add_row(*cells, *([row.note] if noted else []))
    console.print(contexts)
    facts = Table(show_header=False, box=None)
    for name, text in [*_facts(association), *timings]:
        facts.add_row(name, text)
    console.print(facts)
