"""`patalloc map`."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import attrs
import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from patalloc.cli.outcome import end_as, not_started
from patalloc.cli.outputs import writing
from patalloc.cli.processes import is_there, refusal
from patalloc.machine import describe
from patalloc.traces import Trace, is_trace, running
from patalloc.traces.frames import Frames, label
from patalloc.traces.maps import Totals
from patalloc.watch.description import call_stack
from patalloc.watch.heapmap import Attached, Map
from patalloc.watch.mapshown import as_csv, data, evenly, headline, lines, page, png, svg
from patalloc.watch.symbols import locate_in

_RATE = 4  # a second


_FORMS = (".html", ".svg", ".png")
_MAPS = 500  # of a trace that are kept, evenly


@attrs.frozen
class _Found:
    """Maps of a heap, each with its time in microseconds; which is shown; names of call stacks.

    Of a trace `end` has the time of the last one.
    """

    maps: Sequence[tuple[int, Map]]
    names: Callable[[int], list[str]]
    place: int = 0
    end: int | None = None

    @property
    def shown(self) -> Map:
        return self.maps[self.place][1]


def _shown(found: Map, width: int, most: int) -> Group:
    return Group(Text(headline(found)), *lines(found, width, most))


def _watch(pid: int, console: Console) -> None:
    """Until it ends. What changes while it is read may be torn, and is read again."""
    with (
        closing(Attached(pid)) as process,
        Live(console=console, auto_refresh=False, screen=console.is_terminal) as live,
    ):
        while is_there(pid):
            with suppress(OSError, ValueError):
                found = process.read()
                live.update(_shown(found, console.width, console.height - 2), refresh=True)
            time.sleep(1 / _RATE)


def _of_process(pid: int) -> _Found:
    try:
        with closing(Attached(pid)) as process:
            found, modules = process.read(spans=True), process.image.modules
            if process.blind:
                raise process.blind
    except (OSError, ValueError) as error:
        raise refusal(pid, error) from None

    def names(stack: int) -> list[str]:
        return [label(each) for each in locate_in(call_stack(stack), modules)]

    return _Found([((found.now or 0) * 1000, found)], names)


def _place(known: Sequence[Totals], seconds: float | None) -> int:
    """The last one up to that moment, or else that with most live bytes."""
    if seconds is None:
        return max(range(len(known)), key=lambda place: known[place].live)
    before = sum(each.time <= seconds * 1e6 for each in known)
    if not before:
        first = known[0].time / 1e6
        raise click.UsageError(f"--at {seconds:g}: the first map is of {first:.2f} s")
    return before - 1


def _of_trace(path: Path, seconds: float | None) -> _Found:
    with Trace(path) as trace:
        known = [*trace.heap_totals()]
        if not known:
            why = "the program had ended by then, or could not be read"
            raise click.UsageError(f"{path}: it has no maps: {why}")
        place = _place(known, seconds)
        wanted = {place, *evenly(len(known), _MAPS)}
        maps = [*trace.heap_maps(wanted)]
    return _Found(maps, Frames(trace).names, sorted(wanted).index(place), known[-1].time)


def _of_program(command: Sequence[str], seconds: float | None) -> tuple[_Found, int]:
    """What it was, and its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = running.record(command, f"{folder}/trace")
        except OSError as error:
            not_started(command, error)
        if run.last is None:
            raise click.UsageError(f"{command[0]}: it has no map: it calls no malloc")
        return _of_trace(run.last, seconds), run.status


def _write(found: _Found, output: Path) -> None:
    shown = found.shown
    if output.suffix not in _FORMS:
        allowed = ", ".join(_FORMS)
        raise click.UsageError(
            f"--output {output}: a name that ends with one of {allowed} is wanted"
        )
    if output.suffix == ".svg":
        output.write_text(svg(shown))
    elif output.suffix == ".png":
        try:
            output.write_bytes(png(shown))
        except ImportError as error:
            raise click.UsageError(f"--output {output}: {error}") from None
    else:
        output.write_text(page(found.maps, found.place, describe(), found.names))


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="PID|FILE|-- PROGRAM [ARGUMENTS]")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A page of HTML that needs no network, or (FILE.svg, FILE.png) a picture.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_lines", is_flag=True, help="Print CSV, a line a block.")
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
    as_lines: bool,
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
    alone = Path(first) if len(what) == 1 else None
    is_process = alone is not None and first.isdecimal()
    if watch and (as_json or as_lines or output):
        raise click.UsageError("--watch excludes --json, --csv and --output")
    if (watch and not is_process) or (is_process and at is not None):
        raise click.UsageError("--watch is for processes, and --at for traces and programs")
    if is_process:
        found = _of_process(int(first))
        if watch:
            with suppress(KeyboardInterrupt, FileNotFoundError, ProcessLookupError):
                _watch(int(first), console)
            return None
    elif alone and not alone.is_file() and not shutil.which(first):
        raise click.UsageError(f"{first}: there is no such process, trace or program")
    elif len(what) > 1 and Path(first).is_file() and is_trace(Path(first)):
        raise click.UsageError(f"{' '.join(what)}: one trace is wanted")
    elif alone and alone.is_file() and (is_trace(alone) or not os.access(alone, os.X_OK)):
        found = _of_trace(alone, at)
    else:
        found, status = _of_program(what, at)
    if as_json:
        click.echo(json.dumps(data(found.shown)))
    elif as_lines:
        click.echo(as_csv(found.shown), nl=False)
    elif output:
        with writing(output, *([alone] if alone else [])):
            _write(found, output)
    else:
        if found.end is not None:
            console.print(f"at {found.maps[found.place][0] / 1e6:.2f} s of {found.end / 1e6:.2f}:")
        console.print(_shown(found.shown, console.width, blocks))
    if status:
        end_as(status)
    return None
