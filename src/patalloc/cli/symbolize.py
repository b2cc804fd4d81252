"""`patalloc symbolize`."""

import re
import sys
from collections.abc import Iterable
from typing import IO

import click

from patalloc.watch import Event, Module

_FRAME = re.compile(r"( +#\d+ )0x[0-9a-f]+ (.+)\+(0x[0-9a-f]+)\n?")


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


def _with_names(mark: str, path: str, offset: str) -> None:
    """A frame of a report's text; what was inlined there has lines of its own."""
    from patalloc.watch.rendering import render_place
    from patalloc.watch.symbols import locate

    module = Module(path=path, base="0", start="0", end="0", build_id="")
    for location in locate(module, int(offset, 16)):
        click.echo(mark + render_place(location))
        mark = " " * len(mark)


@click.command()
@click.argument("file", type=click.File(errors="surrogateescape"))
def symbolize(file: IO[str]) -> None:
    """Print reports with functions and source lines.

    FILE is what report=FILE has written, or a log with what report=yes has said: other lines stay
    as they are. The programs and libraries are looked for where they were; those that have changed
    since are not used, as far as a report tells their build ids. FILE may be - for standard input.
    """
    found = line = None
    for line in file:
        frame = _FRAME.fullmatch(line)
        found = found or frame or line.startswith(("{", "patalloc: "))
        if frame:
            _with_names(*frame.groups())
        elif line.startswith("{"):
            try:
                show([Event.from_json(line)], sys.stdout)
            except ValueError as error:
                raise click.UsageError(f"{file.name}: {error}") from None
        else:
            click.echo(line, nl=False)
    if line and not found:
        raise click.UsageError(f"{file.name}: no event of patalloc's is in it")
