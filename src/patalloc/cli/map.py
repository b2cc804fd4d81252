"""`patalloc map`."""

import json
import time
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from patalloc.cli.processes import is_there, refusal
from patalloc.machine import describe
from patalloc.watch.heapmap import Map, read
from patalloc.watch.mapshown import data, headline, lines, page, svg

_RATE = 4  # a second


def _shown(found: Map, width: int, most: int) -> Group:
    return Group(Text(headline(found)), *lines(found, width, most))


def _watch(pid: int, console: Console) -> None:
    """Until it ends. What changes while it is read may be torn, and is read again."""
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while is_there(pid):
            with suppress(OSError, ValueError):
                found = read(pid)
                live.update(_shown(found, console.width, console.height - 2), refresh=True)
            time.sleep(1 / _RATE)


@click.command()
@click.argument("pid", type=click.IntRange(1))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A page of HTML that needs no network, or (FILE.svg) a picture.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Go on until the process ends, four times a second.")
@click.option("--blocks", type=click.IntRange(1), default=40, show_default=True, help="At most.")
def map(pid: int, output: Path | None, as_json: bool, watch: bool, blocks: int) -> None:  # noqa: A001
    """Show a running process's heap: each block, and which of its pages were ever written.

    The process goes on meanwhile, and nothing of it changes. It must run under this patalloc, and
    be one that this user may trace (ptrace(2)). Blocks are those of the pattern heap: large ones.
    """
    console = Console(highlight=False)
    try:
        found = read(pid)
    except (OSError, ValueError) as error:
        raise refusal(pid, error) from None
    if watch:
        _watch(pid, console)
    elif as_json:
        click.echo(json.dumps(data(found)))
    elif output:
        output.write_text(svg(found) if output.suffix == ".svg" else page(found, describe()))
    else:
        console.print(_shown(found, console.width, blocks))
