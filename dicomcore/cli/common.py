"""What the commands share: options of an association, consoles, and how a failure becomes exit status 1."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomcore.errors import DicomError
from dicomcore.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from rich.console import Console

    from dicomcore.data.dataset import Dataset
    from dicomcore.net.tls import TLS
    from dicomcore.ul import Quirks

__all__ = [
    "Command",
    "amount",
    "association_limits",
    "count",
    "failing",
    "logs",
    "on_terminal",
    "peer_options",
    "print_json",
    "quirk_option",
    "tell_issues",
    "title_option",
    "tls_options",
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
    """Log to standard error from ``level`` on; in brackets the association that a line is about."""
    handler = logging.StreamHandler(sys.stderr)
    line = "%(asctime)s %(levelname)s %(name)s [%(association)s] %(message)s"
    handler.setFormatter(logging.Formatter(line, defaults={"association": ""}))
    logging.basicConfig(level=level, handlers=[handler])


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


def _quirks(ctx: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> Quirks:
    from dicomcore.ul import Quirks

    unknown = [name for name in names if name not in Quirks.names()]
    if unknown:
        raise click.BadParameter(f"{unknown[0]} is none of {', '.join(Quirks.names())}", ctx, parameter)
    return Quirks.named(*names)


quirk_option = click.option(
    "--quirk",
    "quirks",
    multiple=True,
    metavar="NAME",
    callback=_quirks,
    help="What the peer is forgiven, such as no-async, no-role-answer, odd-padding or old; may be repeated.",
)


def peer_options(command: Command) -> Command:
    """HOST PORT --called --calling --timeout --quirk of a command that opens an association."""
    for option in (
        quirk_option,
        click.option("--timeout", type=click.FloatRange(0.001), metavar="SECONDS", help="Longest wait for the peer."),
        title_option("--calling", "DICOMCORE", "AE title to call with."),
        title_option("--called", "ANY-SCP", "AE title of the peer."),
        click.argument("port", type=click.IntRange(1, 65535)),
        click.argument("host"),
    ):
        command = option(command)
    return command


def _profile(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from dicomcore.vocab.tls import tls_profile, tls_profiles

    if value is not None and tls_profile(value) is None:
        known = ", ".join(f"{row.name} or {row.clause.split()[-1]}" for row in tls_profiles().values())
        raise click.BadParameter(f"the profiles of PS3.15 are {known}", ctx, parameter)
    return value


def tls_options(*, serving: bool = False) -> Callable[[Command], Command]:
    """--tls and what belongs to it; the command gets an argument ``tls``: a `TLS`, or None without --tls."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    trusted = "of clients, which then have to show a certificate" if serving else "of the peer, if not the system's"
    own = "Our certificate" if serving else "Certificate to show if asked"
    options = [
        click.option("--tls", "secure", is_flag=True, help="Use TLS (PS3.15 annex B); its registered port is 2762."),
        click.option("--tls-profile", metavar="NAME", callback=_profile, help="bcp195-rfc9325 (B.12) if not given."),
        click.option("--ca", type=file, metavar="FILE", help=f"Certificates (PEM) of the CAs {trusted}."),
        click.option("--cert", type=file, metavar="FILE", help=f"{own} (PEM), with those of its CAs after it."),
        click.option("--key", type=file, metavar="FILE", help="Its key, if not in the same file."),
    ]
    if not serving:
        options.append(click.option("--no-verify", is_flag=True, help="Take any certificate of the peer: insecure."))

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(*args: Any, secure: bool, tls_profile: str | None, no_verify: bool = False, **rest: Any) -> Any:
            from dicomcore.net.tls import TLS
            from dicomcore.vocab.tls import DEFAULT_TLS_PROFILE

            files = {name: rest.pop(name) for name in ("ca", "cert", "key")}
            if not secure and (no_verify or tls_profile or any(files.values())):
                raise click.UsageError("--tls-profile, --ca, --cert, --key and --no-verify belong to --tls")
            if secure and files["cert"] is None and (serving or files["key"]):
                raise click.UsageError("--tls needs --cert here")
            tls: TLS | None = None
            if secure:
                profile, verify = tls_profile or DEFAULT_TLS_PROFILE, not no_verify
                tls = TLS(profile, files["ca"], certificate=files["cert"], key=files["key"], verify=verify)
            return command(*args, tls=tls, **rest)

        result: Command = run
        for option in reversed(options):
            result = option(result)
        return result

    return decorate


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
