"""`patalloc symbolize`."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import click

from patalloc.watch import Event, Module

_MAGIC = b"\x7fELF"
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


def _with_names(ids: dict[str, str], mark: str, path: str, offset: str) -> None:
    """A frame of a report's text; what was inlined there has lines of its own."""
    from patalloc.watch.rendering import render_place
    from patalloc.watch.symbols import locate

    module = Module(path=path, base="0", start="0", end="0", build_id=ids.get(path, ""))
    for location in locate(module, int(offset, 16)):
        click.echo(mark + render_place(location))
        mark = " " * len(mark)


def _core_dump(path: str) -> tuple[list[str], dict[str, str]]:
    """What the process reported last, and the build ids of what was mapped in it."""
    from patalloc.watch.description import last_report
    from patalloc.watch.image import of_core

    image = of_core(Path(path))
    ids = {each.path: each.build_id for each in image.modules}
    return last_report(image).splitlines(keepends=True), ids


def _is_elf(file: IO[str]) -> bool:
    if not Path(file.name).is_file():
        return False
    with Path(file.name).open("rb") as start:
        return start.read(len(_MAGIC)) == _MAGIC


@click.command()
@click.argument("file", type=click.File(errors="surrogateescape"))
def symbolize(file: IO[str]) -> None:
    """Print reports with functions and source lines.

    FILE is what report=FILE has written, or a log with what report=yes has said: other lines stay
    as they are. Or it is a core dump, of which the last report is printed. The programs and
    libraries are looked for where they were; those that have changed since are not used, as far as
    a report tells their build ids, or the core dump does. FILE may be - for standard input.
    """
    found = line = None
    try:
        lines, ids = _core_dump(file.name) if _is_elf(file) else (file, {})
        for line in lines:
            frame = _FRAME.fullmatch(line)
            found = found or frame or line.startswith(("{", "patalloc: "))
            if frame:
                _with_names(ids, *frame.groups())
            elif line.startswith("{"):
                show([Event.from_json(line)], sys.stdout)
            else:
                click.echo(line, nl=False)
    except ValueError as error:
        raise click.UsageError(f"{file.name}: {error}") from None
    if not found and (line or lines is not file):
        hint = "" if lines is file else "; describe --core tells of its blocks"
        raise click.UsageError(f"{file.name}: no event of patalloc's is in it{hint}")
