"""Services (PS3.4) without sockets, threads or clocks: one module a service class, user and provider side by side. Only
Storage has two: `storage` answers, `sending` asks.

What somebody needs to write a provider or a user of their own is imported from here; `base` says how they work.
"""

from dicomcore.dimse.command import Command, CommandField, command
from dicomcore.ul.extended import FindOptions, RetrieveOptions, StorageOptions, WorklistOptions, common_extended
from dicomcore.ul.negotiation import options_for

from .base import (
    MORE,
    PLAIN_SYNTAXES,
    Answer,
    Associate,
    At,
    Await,
    BodySink,
    Call,
    Channel,
    Effect,
    Invoke,
    More,
    Perform,
    Provider,
    Receive,
    Received,
    Request,
    Response,
    ServiceContext,
    ServiceProvider,
    User,
)
from .messages import Ask, Elements, Prepared, context_for, received_dataset
from .normalized import Outcome, n_action, n_create, n_delete, n_event_report, n_get, n_set
from .query import Found, Progress, c_find, c_get, c_move, model_names, model_uid
from .retrieve import sub_operations
from .sending import StorageSCU
from .storage import StorageSCP, Stored, storage_syntaxes
from .stores import FolderStore, InstanceStore, NewInstance, file_name
from .verification import VerificationSCP, c_echo

__all__ = [
    "MORE",
    "PLAIN_SYNTAXES",
    "Answer",
    "Ask",
    "Associate",
    "At",
    "Await",
    "BodySink",
    "Call",
    "Channel",
    "Command",
    "CommandField",
    "Effect",
    "Elements",
    "FindOptions",
    "FolderStore",
    "Found",
    "InstanceStore",
    "Invoke",
    "More",
    "NewInstance",
    "Outcome",
    "Perform",
    "Prepared",
    "Progress",
    "Provider",
    "Receive",
    "Received",
    "Request",
    "Response",
    "RetrieveOptions",
    "ServiceContext",
    "ServiceProvider",
    "StorageOptions",
    "StorageSCP",
    "StorageSCU",
    "Stored",
    "User",
    "VerificationSCP",
    "WorklistOptions",
    "c_echo",
    "c_find",
    "c_get",
    "c_move",
    "command",
    "common_extended",
    "context_for",
    "file_name",
    "model_names",
    "model_uid",
    "n_action",
    "n_create",
    "n_delete",
    "n_event_report",
    "n_get",
    "n_set",
    "options_for",
    "received_dataset",
    "storage_syntaxes",
    "sub_operations",
]
