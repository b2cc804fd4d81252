"""The command line: one module a command, thin over functions that a notebook can call."""

import sys
from importlib import import_module
from io import TextIOWrapper

import click

from patalloc.errors import OptionError, PreloadError, TraceError

_COMMANDS = (
    *("compare", "describe", "doctor", "export", "hunt", "lib", "machine", "map", "options"),
    *("plot", "record", "replay", "report", "run", "sites", "sweep", "symbolize"),
    *("synthesize", "top", "tune"),
)


class _Group(click.Group):
    """Subcommands whose modules are loaded when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which --help shows them."""
        return [*_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The one of this name; of any other, all are loaded, so that click can suggest one."""
        for name in (cmd_name,) if cmd_name in _COMMANDS else _COMMANDS:
            self.add_command(getattr(import_module(f"patalloc.cli.{name}"), name))
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="patalloc")
def patalloc() -> None:
    """Run programs with heap memory that comes filled with a pattern."""


def main() -> None:
    """The entry point: errors end with one line and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a locale lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        patalloc(prog_name="patalloc")
    except (OptionError, PreloadError, TraceError) as error:
        sys.exit(_complain(str(error)))
    except OSError as error:  # of what is printed: a full disk
        _complain(str(error))
        sys.exit(1)


def _complain(message: str) -> int:
    for line in message.splitlines():
        click.echo(f"patalloc: {line}", err=True)
    return 2
