"""`patalloc symbolize`."""

import sys
from collections.abc import Iterable
from typing import IO

import click

from patalloc.watch import Event, read


def show(found: Iterable[Event], stream: IO[str]) -> None:
    """Print events, in colour on a terminal, with an empty line between two."""
    from rich.console import Console

    from patalloc.watch.rendering import render

    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
    for number, event in enumerate(found):
        if number:
            console.print()
        first, *others = render(event)
        console.print(first, style="bold red")
        for line in others:
            console.print(line)


@click.command()
@click.argument("file", type=click.File(errors="surrogateescape"))
def symbolize(file: IO[str]) -> None:
    """Print the events that report=FILE has written, with functions and source lines.

    The programs and libraries are looked for where they were; those that have changed since are not
    used. FILE may be - for standard input.
    """
    try:
        found = read(file.read())
    except ValueError as error:
        raise click.UsageError(f"{file.name}: {error}") from None
    show(found, sys.stdout)
