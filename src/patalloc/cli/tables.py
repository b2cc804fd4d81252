"""Tables on terminals, and the same in columns for what reads a pipe."""

from io import StringIO
from typing import IO

from rich.console import Console
from rich.table import Table

_WIDE = 10_000  # columns: no line of ours is as long, and none is broken


def table(*columns: str) -> Table:
    """An empty table, the first column of which holds names: one must be able to type them."""
    made = Table(highlight=False)
    for number, column in enumerate(columns):
        made.add_column(column, no_wrap=number == 0, overflow="fold")
    return made


def show(shown: Table, stream: IO[str]) -> None:
    """Print it: with lines around it on a terminal, one row a line elsewhere."""
    console = Console(file=stream, highlight=False)
    if console.is_terminal:
        console.print(shown)
        return
    shown.box = None
    shown.pad_edge = False
    lines = StringIO()
    Console(file=lines, highlight=False, width=_WIDE).print(shown)
    stream.writelines(f"{line.rstrip()}\n" for line in lines.getvalue().splitlines())
