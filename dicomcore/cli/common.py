"""What the commands share: options of an association, consoles, and how a failure becomes exit status 1."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dicomcore.errors import DicomError
from dicomcore.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from rich.console import Console

    from dicomcore.data.dataset import Dataset

__all__ = [
    "amount",
    "association_limits",
    "count",
    "failing",
    "logs",
    "on_terminal",
    "peer_options",
    "print_json",
    "tell_issues",
    "to_terminal",
    "verbose_option",
]

Command = Callable[..., Any]
_TOLD = 20  # faults of one file on standard error


def to_terminal(*, stderr: bool = False) -> Console:
    """A console on standard output or error; plain text when that is no terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def on_terminal() -> bool:
    """Whether somebody watches: progress is shown then only."""
    return sys.stderr.isatty()


def print_json(value: Any) -> None:
    """One line of JSON on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False))


def tell_issues(about: object, ds: Dataset) -> bool:
    """The faults met in reading ``ds``, on standard error, the worst first. True when its structure is broken."""
    issues = sorted(ds.issues, key=lambda issue: not issue.is_broken)
    for issue in issues[:_TOLD]:
        click.echo(f"{'Error' if issue.is_broken else 'Warning'}: {about}: {issue}", err=True)
    if len(issues) > _TOLD:
        click.echo(f"Warning: {about}: {len(issues) - _TOLD} more faults; dump --json has them all", err=True)
    return any(issue.is_broken for issue in issues)


def count(number: int, thing: str) -> str:
    """``1 object``, ``2 objects``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def amount(octets: int) -> str:
    """``4.6 kB``, ``4.3 MB``: by thousands, as disks and networks count."""
    return f"{octets / 1e6:,.1f} MB" if octets >= 1_000_000 else f"{octets / 1e3:.1f} kB"


def logs(level: int) -> None:
    """Log to standard error from ``level`` on."""
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


@contextmanager
def failing(about: object = "") -> Iterator[None]:
    """Turn what the peer, the data or the system refuses into one line on standard error and exit status 1.

    The line names what it is ``about``, such as a file.
    """
    try:
        yield
    except BrokenPipeError:  # the reader of our output has left: click ends quietly
        raise
    except (DicomError, OSError) as error:
        raise click.ClickException(f"{about}: {error}" if about else str(error)) from error
    except KeyboardInterrupt:
        raise click.Abort from None


def _title(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """An AE title: 1 to 16 characters of ASCII without control characters and backslash (PS3.5 6.2)."""
    title = value.strip()
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise click.BadParameter("an AE title has 1 to 16 ASCII characters and no backslash", ctx, parameter)
    return title


def title_option(name: str, default: str, text: str) -> Callable[[Command], Command]:
    """An option that takes an AE title."""
    return click.option(name, default=default, show_default=True, metavar="AE", callback=_title, help=text)


def peer_options(command: Command) -> Command:
    """HOST PORT --called --calling --timeout of a command that opens an association."""
    for option in (
        click.option("--timeout", type=click.FloatRange(0.001), metavar="SECONDS", help="Longest wait for the peer."),
        title_option("--calling", "DICOMCORE", "AE title to call with."),
        title_option("--called", "ANY-SCP", "AE title of the peer."),
        click.argument("port", type=click.IntRange(1, 65535)),
        click.argument("host"),
    ):
        command = option(command)
    return command


def verbose_option(command: Command) -> Command:
    """-v: log what the package does."""

    def apply(ctx: click.Context, parameter: click.Parameter, value: bool) -> bool:
        if value:
            logs(logging.DEBUG)
        return value

    return click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, callback=apply, help="Log details to standard error."
    )(command)


def association_limits(timeout: float | None) -> Limits:
    """The default limits, with every wait for the peer bounded by ``timeout`` seconds."""
    if timeout is None:
        return DEFAULT_LIMITS
    names = ("connect_timeout", "association_timeout", "network_timeout", "dimse_timeout")
    bounds: Mapping[str, float] = dict.fromkeys(names, timeout)
    return DEFAULT_LIMITS.but(**bounds)
