"""The command line: one module a command, thin over functions that a notebook can call."""

import sys

import click

from patalloc.cli.doctor import doctor
from patalloc.cli.hunt import hunt
from patalloc.cli.lib import lib
from patalloc.cli.options import options
from patalloc.cli.run import run
from patalloc.cli.symbolize import symbolize
from patalloc.errors import OptionError, PreloadError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="patalloc")
def patalloc() -> None:
    """Run programs with heap memory that comes filled with a pattern."""


for command in (run, hunt, symbolize, lib, doctor, options):
    patalloc.add_command(command)


def main() -> None:
    """The entry point: errors end with one line and status 2."""
    try:
        patalloc(prog_name="patalloc")
    except (OptionError, PreloadError) as error:
        sys.exit(_complain(str(error)))


def _complain(message: str) -> int:
    for line in message.splitlines():
        click.echo(f"patalloc: {line}", err=True)
    return 2
