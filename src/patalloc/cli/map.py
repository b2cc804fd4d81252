"""`patalloc map`."""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from patalloc.cli.outcome import end_as, not_started
from patalloc.cli.processes import is_there, refusal
from patalloc.machine import describe
from patalloc.traces import Trace, is_trace, running
from patalloc.traces.frames import Frames, label
from patalloc.watch.description import call_stack
from patalloc.watch.heapmap import Attached, Map, read
from patalloc.watch.mapshown import data, headline, lines, most_live, page, png, svg
from patalloc.watch.symbols import locate_in

_RATE = 4  # a second


@attrs.frozen
class _Found:
    """Maps of a heap, one or more, each with its time in microseconds; and names of call stacks."""

    maps: Sequence[tuple[int, Map]]
    names: Callable[[int], list[str]] | None = None

    def place(self, seconds: float | None) -> int:
        """Of which is shown: the last one up to that moment, or else that with most."""
        if seconds is None:
            return most_live(self.maps)
        first = self.maps[0][0] / 1e6
        before = sum(at <= seconds * 1e6 for at, _ in self.maps)
        if not before:
            raise click.UsageError(f"--at {seconds:g}: the first map is of {first:.2f} s")
        return before - 1


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


def _of_process(pid: int) -> _Found:
    try:
        with Attached(pid) as process:
            found, modules = process.read(spans=True), process.image.modules
            if process.blind:
                raise process.blind
    except (OSError, ValueError) as error:
        raise refusal(pid, error) from None

    def names(stack: int) -> list[str]:
        return [label(each) for each in locate_in(call_stack(stack), modules)]

    return _Found([((found.now or 0) * 1000, found)], names)


def _of_trace(path: Path) -> _Found:
    with Trace(path) as trace:
        maps = [*trace.heap_maps()]
    if not maps:
        raise click.UsageError(
            f"{path}: it has no maps: the program had ended, or could not be read"
        )
    return _Found(maps, Frames(trace).names)


def _of_program(command: Sequence[str]) -> tuple[_Found, int]:
    """What it was, and its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = running.record(command, f"{folder}/trace")
        except OSError as error:
            not_started(command, error)
        if run.last is None:
            raise click.UsageError(f"{command[0]}: it has no map: it calls no malloc")
        return _of_trace(run.last), run.status


def _write(found: _Found, place: int, output: Path) -> None:
    shown = found.maps[place][1]
    if output.suffix == ".svg":
        output.write_text(svg(shown))
    elif output.suffix == ".png":
        try:
            output.write_bytes(png(shown))
        except ImportError as error:
            raise click.UsageError(f"--output {output}: {error}") from None
    else:
        output.write_text(page(found.maps, place, describe(), found.names))


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="PID|FILE|-- PROGRAM [ARGUMENTS]")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A page of HTML that needs no network, or (FILE.svg, FILE.png) a picture.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Go on until the process ends, four times a second.")
@click.option(
    "--at",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Of a trace or program; else when most is live.",
)
@click.option("--blocks", type=click.IntRange(1), default=40, show_default=True, help="At most.")
def map(  # noqa: A001
    what: tuple[str, ...],
    output: Path | None,
    as_json: bool,
    watch: bool,
    at: float | None,
    blocks: int,
) -> None:
    """Show a heap: each block, and which of its pages were ever written.

    Of a running process, by its number, as it is: it goes on meanwhile, and nothing of it changes.
    It must run under this patalloc, and be one that this user may trace (ptrace(2)). Of a trace
    (`patalloc record`), from time to time; a page has a slider. Of a program, that is run for it.
    Blocks are those of the pattern heap: large ones.
    """
    console = Console(highlight=False)
    status, first = 0, what[0]
    is_process = len(what) == 1 and first.isdigit()
    if (watch and not is_process) or (is_process and at is not None):
        raise click.UsageError("--watch is for processes, and --at for traces and programs")
    if is_process:
        found = _of_process(int(first))
        if watch:
            return _watch(int(first), console)
    elif len(what) == 1 and Path(first).is_file() and is_trace(Path(first)):
        found = _of_trace(Path(first))
    else:
        found, status = _of_program(what)
    place = found.place(at)
    when, shown = found.maps[place]
    if as_json:
        click.echo(json.dumps(data(shown)))
    elif output:
        _write(found, place, output)
    else:
        if not is_process:
            console.print(f"at {when / 1e6:.2f} s of {found.maps[-1][0] / 1e6:.2f}:")
        console.print(_shown(shown, console.width, blocks))
    if status:
        end_as(status)
    return None
