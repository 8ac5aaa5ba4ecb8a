"""``find``, ``get``, ``move``: query and retrieve (PS3.4 annexes C, K) against a peer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomcore.cli.common import (
    Command,
    association_limits,
    count,
    failing,
    on_terminal,
    peer_options,
    print_json,
    title_option,
    tls_options,
    verbose_option,
)

if TYPE_CHECKING:
    from dicomcore.data.dataset import Dataset
    from dicomcore.net import Association
    from dicomcore.net.tls import TLS
    from dicomcore.services.query import Progress
    from dicomcore.ul import Quirks

__all__ = ["find_command", "get_command", "move_command"]

_STEP = re.compile(r"(?P<name>[A-Za-z]\w*|\(?[0-9A-Fa-f]{4},?[0-9A-Fa-f]{4}\)?)(?:\[(?P<item>\d+)\])?")


def query_of(keys: tuple[str, ...]) -> Dataset:
    """``PatientID=P1``, ``0010,0020=P1``, ``Sequence[0].Modality=CT``, or a key without ``=``, which is asked for.

    BadParameter for a name that is none, or a value that does not fit.
    """
    from dicomcore.data.dataset import Dataset
    from dicomcore.errors import DicomError
    from dicomcore.vocab.dictionary import lookup
    from dicomcore.vocab.tag import parse_tag

    query = Dataset()
    for key in keys:
        path, _, text = key.partition("=")
        *sequences, last = path.split(".")
        try:
            level = query
            for step in sequences:
                level = _item(level, *_step(step))
            tag = parse_tag(_step(last)[0])
            entry = lookup(tag)
            vr = entry.vr.split()[0] if entry else "UN"
            if vr == "SQ" and text:
                raise ValueError("a sequence takes keys of its items, such as Sequence.Keyword=value")
            level.add_new(tag, vr, [] if vr == "SQ" else _numbers(vr, text) if vr in _NUMBERS else text)
        except (DicomError, ValueError, TypeError) as error:
            raise click.BadParameter(f"{key}: {error}", param_hint="-k") from None
    if not query.get("SpecificCharacterSet") and not "".join(keys).isascii():
        query.SpecificCharacterSet = "ISO_IR 192"
    return query


_NUMBERS = frozenset(["US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"])


def _numbers(vr: str, text: str) -> list[Any]:
    kind: Callable[[str], Any] = float if vr[0] == "F" else int
    return [kind(value) for value in text.split("\\") if value]


def _step(text: str) -> tuple[str, int]:
    match = _STEP.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is neither a keyword nor a tag")
    return match["name"], int(match["item"] or 0)


def _item(level: Dataset, name: str, number: int) -> Dataset:
    """The item of a sequence, which is made as far as it is missing."""
    from dicomcore.data.dataset import Dataset
    from dicomcore.vocab.tag import parse_tag

    tag = parse_tag(name)
    if tag not in level:
        level.add_new(tag, "SQ", [])
    items = level[tag].value
    if number > len(items):
        raise ValueError(f"item {number} of {name} comes after item {len(items)}")
    if number == len(items):
        items.append(Dataset())
    item: Dataset = items[number]
    return item


_KEY_HELP = "A key: keyword or ggggeeee, in a sequence SEQUENCE.KEY; what has no value is asked for. May be repeated."
_MODEL_HELP = "Information model: study-root, patient-root, worklist, a keyword or a UID."


def _query_options(command: Command) -> Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON, one line for each response."),
        click.option("-k", "keys", multiple=True, metavar="KEY[=VALUE]", help=_KEY_HELP),
        click.option("--level", metavar="LEVEL", help="PATIENT, STUDY, SERIES or IMAGE; short for QueryRetrieveLevel."),
        click.option("--model", default="study-root", show_default=True, metavar="NAME", help=_MODEL_HELP),
    ):
        command = option(command)
    return command


@dataclass
class _Asking:
    """What the three have in common: whom to ask, for what, and how to tell it."""

    host: str
    port: int
    called: str
    calling: str
    timeout: float | None
    quirks: Quirks
    model: str
    level: str | None
    keys: tuple[str, ...]
    as_json: bool
    tls: TLS | None

    @property
    def peer(self) -> str:
        return f"{self.called} at {self.host}:{self.port}"

    @property
    def query(self) -> Dataset:
        return query_of((f"QueryRetrieveLevel={self.level.upper()}", *self.keys) if self.level else self.keys)

    @contextmanager
    def association(self, operation: str, services: Callable[[], Iterable[Any]] = tuple) -> Iterator[Association]:
        """One for this operation; BadParameter when ``--model`` means none. Failures end the command."""
        from dicomcore.errors import NegotiationError
        from dicomcore.net import AE
        from dicomcore.services import model_uid

        try:
            contexts = [model_uid(self.model, operation)]
        except NegotiationError as error:
            raise click.BadParameter(str(error), param_hint="--model") from None
        with failing():
            ae = AE(self.calling, limits=association_limits(self.timeout))
            with ae.associate(
                self.host,
                self.port,
                called_ae=self.called,
                contexts=contexts,
                services=services(),
                quirks=self.quirks,
                tls=self.tls,
            ) as association:
                yield association


@click.command("find")
@peer_options
@tls_options()
@_query_options
@verbose_option
def find_command(**options: Any) -> None:
    """Ask the peer at HOST PORT what matches the keys (C-FIND).

    \b
    Example:
      dicomcore find localhost 11112 --level STUDY -k PatientID=P1 -k StudyDate -k StudyInstanceUID
      dicomcore find localhost 11112 --model worklist -k "ScheduledProcedureStepSequence.Modality=CT" --json
    """
    asking = _Asking(**options)
    query = asking.query
    found = 0
    with asking.association("C-FIND") as association:
        for _, identifier in association.c_find(query, asking.model, check=True):
            if identifier is not None:
                found += 1
                click.echo(identifier.to_json() if asking.as_json else f"{identifier}\n")
    if not asking.as_json:
        click.echo(f"{asking.peer}: {found} matched", err=True)


@click.command("get")
@peer_options
@tls_options()
@_query_options
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", required=True, help="Where they go."
)
@verbose_option
def get_command(out: Path, **options: Any) -> None:
    """Have the peer at HOST PORT send what matches the keys over this association (C-GET).

    \b
    Example:
      dicomcore get localhost 11112 --level STUDY -k StudyInstanceUID=1.2.3 --out study
    """
    from dicomcore.services import StorageSCP

    asking = _Asking(**options)
    query = asking.query
    with asking.association("C-GET", lambda: [StorageSCP(out)]) as association:
        _watch(association.c_get(query, asking.model), asking, "C-GET")


@click.command("move")
@peer_options
@tls_options()
@_query_options
@title_option("--to", "DICOMCORE", "AE title of the destination, which the peer has to know.")
@verbose_option
def move_command(to: str, **options: Any) -> None:
    """Have the peer at HOST PORT send what matches the keys to another AE (C-MOVE).

    \b
    Example:
      dicomcore move localhost 11112 --level STUDY -k StudyInstanceUID=1.2.3 --to WORKSTATION
    """
    asking = _Asking(**options)
    query = asking.query
    with asking.association("C-MOVE") as association:
        _watch(association.c_move(query, to, asking.model), asking, "C-MOVE")


def _watch(responses: Iterable[Progress], asking: _Asking, service: str) -> None:
    """Tell how it goes, at last how it ended. Exit status 1 when that was no success."""
    from dicomcore.vocab.status import StatusCategory, category, describe

    last: Progress | None = None
    for last in responses:
        if asking.as_json:
            counts = {name: getattr(last, name) for name in ("remaining", "completed", "failed", "warning")}
            print_json({"status": last.status, **counts, "failed_instances": last.failed_instances})
        elif on_terminal() and last.remaining is not None:
            click.echo(f"\r{last.completed or 0} done, {last.remaining} to go ", nl=False, err=True)
    assert last is not None  # a final response always comes, or an exception
    if not asking.as_json:
        if on_terminal():
            click.echo("\r\033[K", nl=False, err=True)
        totals = [count(last.completed or 0, "object")]
        totals += [f"{number} {what}" for number, what in ((last.failed, "failed"), (last.warning, "warned")) if number]
        click.echo(f"{asking.peer}: {describe(last.status, service)}; {', '.join(totals)}")
        for uid in last.failed_instances:
            click.echo(f"failed: {uid}", err=True)
    if category(last.status) is not StatusCategory.SUCCESS:
        raise click.exceptions.Exit(1)
