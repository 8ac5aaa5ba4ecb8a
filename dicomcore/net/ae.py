"""An application entity (PS3.8 3.1): a title and bounds, with which to ask for associations and to serve them.

`AE` holds no connection and no thread: it may be shared, and used from several threads. What a call needs beyond it
is an argument of the call.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from dicomcore.data.dataset import Dataset
from dicomcore.data.part10 import FileHeader, read_header
from dicomcore.errors import LocalProtocolError
from dicomcore.limits import DEFAULT_LIMITS, Limits
from dicomcore.net.association import Association
from dicomcore.net.effects import refuse_coroutines
from dicomcore.net.events import Event
from dicomcore.net.poller import Facilities
from dicomcore.net.server import Server
from dicomcore.net.tls import TLS, TLSOption, client_settings, server_settings
from dicomcore.services.base import PLAIN_SYNTAXES, Router, ServiceProvider
from dicomcore.services.query import model_uids
from dicomcore.services.sending import Transcoder, contexts_for_files, transcoded
from dicomcore.ul import (
    NO_QUIRKS,
    Acceptance,
    AssociateRQ,
    AssociationRequested,
    AsyncWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    Options,
    Quirks,
    RoleSelection,
    UserIdentity,
    checked_options,
    is_ae_title,
    propose,
)
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.uids import is_valid_uid

__all__ = ["AE", "Context", "Entity"]

Context: TypeAlias = str | os.PathLike[str] | FileHeader | Dataset | ServiceProvider | tuple[str, Sequence[str]]
"""What presentation contexts can be made of: a UID, its keyword, an information model by its short name (see
`services.query`), a path, a Dataset, a UID with transfer syntaxes, or a service: its SOP classes, as far as there is
room for 128 contexts."""

_OF_PATIENTS = "1.2.840.10008.5.1.4.1.1."


class Entity:
    """What every application entity has, whatever drives its associations; `AE` tells the arguments."""

    def __init__(
        self,
        title: str = "DICOMCORE",
        *,
        limits: Limits = DEFAULT_LIMITS,
        transcoder: Transcoder | None = transcoded,
        facilities: Facilities | None = None,
    ) -> None:
        if not is_ae_title(title):
            raise LocalProtocolError(f"{title!r} is no AE title", clause="PS3.5 6.2")
        self.title = title
        self.limits = limits
        self._transcoder = transcoder
        self._facilities = facilities or Facilities()

    def __repr__(self) -> str:
        return f"AE({self.title!r})"

    def _request(
        self,
        limits: Limits,
        contexts: Iterable[Context] | Context | None,
        *,
        services: Iterable[ServiceProvider],
        called_ae: str,
        window: int,
        roles: Iterable[RoleSelection],
        extended: Iterable[ExtendedNegotiation] | Mapping[str, Options],
        common_extended: Iterable[CommonExtendedNegotiation],
        identity: UserIdentity | None,
        quirks: Quirks,
    ) -> AssociateRQ:
        rows, provided = with_services(presentation_contexts(contexts), Router(services).supported)
        roles = tuple(roles)
        stated = {role.sop_class for role in roles}
        return propose(
            rows,
            calling_ae=self.title,
            called_ae=called_ae,
            max_pdu_length=limits.pdu_length,
            roles=roles + tuple(RoleSelection(uid, True, True) for uid in provided if uid not in stated),
            window=None if window == 1 else AsyncWindow(window, _bounded(window, limits)),
            extended=extended,
            common_extended=common_extended,
            identity=identity,
            quirks=quirks,
        )

    def _acceptance(
        self,
        limits: Limits,
        services: Iterable[ServiceProvider],
        *,
        window: int,
        roles: Mapping[str, tuple[bool, bool]],
        extended: Mapping[str, Options],
        quirks: Quirks,
        require_called_ae: bool,
        allowed_calling: Sequence[str],
    ) -> Acceptance:
        router = Router(services)
        for uid, role in roles.items():
            if not isinstance(role, tuple) or len(role) != 2:
                raise LocalProtocolError(f"roles: {uid}: {role!r}", hint="two of True and False: as an SCU, as an SCP")
        checked_options(extended)
        return Acceptance(
            ae_title=self.title,
            supported=router.supported,
            max_pdu_length=limits.pdu_length,
            window=AsyncWindow(_bounded(window, limits), _bounded(window, limits)),
            roles={**router.roles, **roles},
            extended=extended,
            quirks=quirks,
            require_called_ae=require_called_ae,
            allowed_calling=(allowed_calling,) if isinstance(allowed_calling, str) else tuple(allowed_calling),
        )


class AE(Entity):
    """An application entity called `title` (at most 16 characters, no backslash).

    ``transcoder(dataset, transfer_syntax_uid)`` makes what a peer accepts out of pixel data that needs a codec; unless
    one is given that is `dicomcore.transcode`, as far as it loses nothing. None: such objects are refused.
    """

    def associate(
        self,
        host: str,
        port: int,
        *,
        called_ae: str = "ANY-SCP",
        contexts: Iterable[Context] | Context | None = None,
        window: int = 1,
        services: Iterable[ServiceProvider] = (),
        roles: Iterable[RoleSelection] = (),
        extended: Iterable[ExtendedNegotiation] | Mapping[str, Options] = (),
        common_extended: Iterable[CommonExtendedNegotiation] = (),
        identity: UserIdentity | None = None,
        quirks: Quirks = NO_QUIRKS,
        tls: TLSOption = None,
        on_event: Callable[[Event], object] | None = None,
        limits: Limits | None = None,
    ) -> Association:
        """Connect and agree on an association; use it in a ``with`` block.

        ``contexts``: what it is for (see `Context`); None proposes Verification. ``services`` perform what a peer asks
        on it, such as the C-STOREs of a C-GET: for what they support, the role of an SCP is proposed, and a context, as
        far as there is room for 128 (those named in ``contexts`` have it anyway). ``window`` above 1 asks for that many
        operations under way at a time (0: no bound). ``extended`` and ``common_extended`` state options of SOP classes
        (PS3.7 D.3.3.5, D.3.3.6), ``identity`` who asks, ``quirks`` what this peer is forgiven. ``tls``: True, `TLS` or
        an ssl.SSLContext; the port registered for that is 2762. ``on_event(event)`` hears of all that happens (see
        `net.events`), in this thread, between the calls. Raises AssociationRejected, NegotiationError (no connection,
        no TLS, or no context accepted), AssociationAborted or PeerTimeout.
        """
        limits = limits or self.limits
        services = tuple(services)
        refuse_coroutines(services)
        request = self._request(
            limits,
            contexts,
            services=services,
            called_ae=called_ae,
            window=window,
            roles=roles,
            extended=extended,
            common_extended=common_extended,
            identity=identity,
            quirks=quirks,
        )
        return Association.open(
            host,
            port,
            request,
            limits,
            self._facilities,
            self._transcoder,
            services=services,
            associate=self.associate,
            quirks=quirks,
            security=client_settings(tls, host),
            on_event=on_event,
        )

    def serve(
        self,
        port: int = 11112,
        *,
        services: Iterable[ServiceProvider],
        host: str = "",
        workers: int = 8,
        window: int = 1,
        roles: Mapping[str, tuple[bool, bool]] = MappingProxyType({}),
        extended: Mapping[str, Options] = MappingProxyType({}),
        quirks: Quirks = NO_QUIRKS,
        require_called_ae: bool = False,
        allowed_calling: Sequence[str] = (),
        authorize: Callable[[AssociationRequested], Any] | None = None,
        tls: ssl.SSLContext | TLS | None = None,
        on_event: Callable[[Event], object] | None = None,
        limits: Limits | None = None,
    ) -> Server:
        """Serve these services in the background and return at once; ``server.port`` tells the port that 0 chose.

        ``host`` "" listens on every interface. ``workers`` bounds the threads in which providers run, however many
        associations there are. ``authorize(event)``, called on one of them, decides about each association that could
        be accepted: ``event.identity`` says who asks, `dicomcore.ul.decision` what may be answered. ``tls``, with a
        certificate, serves over TLS only; the port registered for that is 2762. ``on_event(event)`` hears of all that
        happens (see `net.events`), one event at a time, on a worker. OSError when the port cannot be had.
        """
        limits = limits or self.limits
        services = tuple(services)
        refuse_coroutines(services)
        acceptance = self._acceptance(
            limits,
            services,
            window=window,
            roles=roles,
            extended=extended,
            quirks=quirks,
            require_called_ae=require_called_ae,
            allowed_calling=allowed_calling,
        )
        return Server(
            services,
            acceptance,
            port=port,
            host=host,
            workers=workers,
            limits=limits,
            facilities=self._facilities,
            associate=self.associate,
            authorize=authorize,
            on_event=on_event,
            security=server_settings(tls),
        )


def _bounded(window: int, limits: Limits) -> int:
    """How many operations a peer is told that it may have under way: 0, which is no bound, is the limit."""
    if not isinstance(window, int) or not 0 <= window <= 0xFFFF:
        raise LocalProtocolError(f"window={window!r}", hint="a number from 1 to 65535, or 0 for no bound")
    return min(window or limits.operations_window, limits.operations_window)


def presentation_contexts(contexts: Iterable[Context] | Context | None) -> list[tuple[str, tuple[str, ...]]]:
    """(abstract syntax, transfer syntaxes) for all that is wanted, without repetition, in the order given."""
    if contexts is None:
        return [(VERIFICATION, PLAIN_SYNTAXES)]
    single = isinstance(contexts, str | os.PathLike | FileHeader | Dataset) or hasattr(contexts, "supported")
    items = cast("Iterable[Any]", [contexts] if single else contexts)
    rows: list[tuple[str, tuple[str, ...]]] = []
    headers: list[FileHeader] = []
    of_services: list[tuple[str, tuple[str, ...]]] = []
    for item in items:
        if isinstance(item, FileHeader):
            headers.append(item)
        elif isinstance(item, Dataset):
            headers.append(_header_of(item))
        elif isinstance(item, str) and is_valid_uid(item):
            rows.append((item, PLAIN_SYNTAXES))
        elif isinstance(item, str) and (uids := model_uids(item)):
            rows += [(uid, PLAIN_SYNTAXES) for uid in uids]
        elif isinstance(item, str | os.PathLike):
            try:
                headers.append(read_header(item))
            except FileNotFoundError as error:
                error.add_note(f"{item!r} is no UID, no keyword and no information model, so a file was looked for")
                raise
        elif isinstance(item, tuple):
            abstract, transfer = item
            rows.append((abstract, (transfer,) if isinstance(transfer, str) else tuple(transfer)))
        else:
            of_services += [(uid, syntaxes) for uid, syntaxes in Router([item]).supported.items()]
    rows = list(dict.fromkeys([*rows, *contexts_for_files(headers)]))
    extra = sorted(dict.fromkeys(row for row in of_services if row not in rows), key=lambda row: _rarity(row[0]))
    return rows + extra[: max(128 - len(rows), 0)]


def with_services(
    rows: list[tuple[str, tuple[str, ...]]], supported: Mapping[str, tuple[str, ...]]
) -> tuple[list[tuple[str, tuple[str, ...]]], list[str]]:
    """The rows and, as far as 128 contexts go, one for each abstract syntax that services support; which of all those
    these support."""
    wanted = dict.fromkeys(uid for uid, _ in rows)
    room = 128 - len(rows)
    extra = sorted(supported.keys() - wanted, key=_rarity)
    rows = rows + [(uid, _syntaxes(supported[uid])) for uid in extra[: max(room, 0)]]
    return rows, [uid for uid in dict.fromkeys(uid for uid, _ in rows) if uid in supported]


def _rarity(uid: str) -> tuple[bool, int, str]:
    """The order in which SOP classes get what room there is for contexts.

    Old ones, which have short numbers, are those in use; palettes and implants are seldom sent or retrieved.
    """
    return not uid.startswith(_OF_PATIENTS), len(uid), uid


def _syntaxes(supported: tuple[str, ...]) -> tuple[str, ...]:
    """What to propose of the transfer syntaxes that a service takes: those that every peer has, else its own."""
    return tuple(uid for uid in PLAIN_SYNTAXES if uid in supported) or supported


def _header_of(dataset: Any) -> FileHeader:
    """What the contexts for a Dataset depend on."""
    return FileHeader("", dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.transfer_syntax, 0, 0)
