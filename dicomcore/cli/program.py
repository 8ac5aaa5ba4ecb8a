"""The root of the command line: a table of commands, each imported only when it runs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

import click

from dicomcore._version import __version__

__all__ = ["COMMANDS", "program"]

# name -> (module of the command, which is its function of the same name; what the list says of it)
COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "dump": ("dicomcore.cli.dump", "Print data sets as text."),
        "json": ("dicomcore.cli.dump", "Print a data set in the DICOM JSON model."),
        "xml": ("dicomcore.cli.dump", "Print a data set in the Native DICOM Model (XML)."),
        "diff": ("dicomcore.cli.diff", "Show where the data sets of two files differ."),
        "show": ("dicomcore.cli.show", "Make a picture of a frame, or a contact sheet of many."),
        "transcode": ("dicomcore.cli.transcode", "Write files and folders in another transfer syntax."),
        "echo": ("dicomcore.cli.echo", "Ask a peer whether it is there (C-ECHO)."),
        "store": ("dicomcore.cli.store", "Send files and folders to a peer (C-STORE)."),
        "find": ("dicomcore.cli.query", "Ask a peer what it has (C-FIND)."),
        "get": ("dicomcore.cli.query", "Fetch objects over the same association (C-GET)."),
        "move": ("dicomcore.cli.query", "Have a peer send objects elsewhere (C-MOVE)."),
        "serve": ("dicomcore.cli.serve", "Receive objects into a folder (Storage and Verification SCP)."),
        "fileset": ("dicomcore.cli.fileset", "List, make and change file-sets (DICOMDIR)."),
        "demo": ("dicomcore.cli.demo", "Make a radiotherapy study, send it, read it back and show it."),
    }
)


class LazyGroup(click.Group):
    """A group whose commands are rows of `COMMANDS`; listing them imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", prog_name="dicomcore")
def program() -> None:
    """DICOM from the command line: look into files, talk to peers, receive objects.

    \b
    Example:
      dicomcore demo
      dicomcore echo localhost 11112 --called PACS
    """
