"""What `patalloc run` makes of how a program ended: text, and files for other programs."""

import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import click

from patalloc.heap import Config, Stats
from patalloc.preload import Outcome
from patalloc.watch import Event

if TYPE_CHECKING:
    from patalloc.watch.formats import Told


def _document(outcome: Outcome, command: Sequence[str]) -> str:
    from patalloc.watch.formats import as_data

    data: dict[str, Any] = {
        "version": 1,
        "command": [*command],
        "status": outcome.status,
        "processes": [attrs.asdict(stats) for stats in outcome.processes],
        "events": [as_data(event) for event in outcome.events],
    }
    return json.dumps(data, indent=2) + "\n"


def formatted(errors: Sequence["Told"], command: Sequence[str], form: str) -> str:
    """Errors in a format for other programs: github, junit or sarif."""
    from importlib.metadata import version

    from patalloc.watch.formats import github, junit, sarif

    if form == "github":
        return github(errors)
    return junit(errors, command) if form == "junit" else sarif(errors, version("patalloc"))


def _written(outcome: Outcome, command: Sequence[str], form: str) -> str:
    from patalloc.watch.formats import told_of

    if form == "json":
        return _document(outcome, command)
    return formatted([told_of(event) for event in outcome.events], command, form)


ERROR_FORMATS = ("github", "junit", "sarif")
FORMATS = ("json", *ERROR_FORMATS)


def write(outcome: Outcome, command: Sequence[str], form: str, path: str | None) -> None:
    """Write what is for other programs, %p in the path being the program's number.

    Without a path it goes to standard error, where GitHub reads it.

    Raises:
        OSError: it can't be written.
    """
    text = _written(outcome, command, form)
    if path is None:
        click.echo(text, err=True, nl=False)
    else:
        Path(path.replace("%p", str(outcome.pid))).write_text(text, errors="backslashreplace")


def without_known(outcome: Outcome, lines: Iterable[str]) -> tuple[Outcome, int]:
    """The outcome without the events that are suppressed, and how many these are.

    Raises:
        ValueError: a line is no suppression.
    """
    from patalloc.watch.suppressions import read

    known = read(lines)
    left = [e for e in outcome.events if not any(each.covers(e) for each in known)]
    return attrs.evolve(outcome, events=tuple(left)), len(outcome.events) - len(left)


def print_suppressions(events: Iterable[Event]) -> None:
    """Print a line for each kind of error, for a file of suppressions."""
    from patalloc.watch.suppressions import suppression_for

    for line in dict.fromkeys(str(suppression_for(event)) for event in events):
        click.echo(line, err=True)


def _rows(processes: tuple[Stats, ...]) -> Iterator[tuple[str, int, int | None]]:
    """What to tell: a label, a count, and bytes where they are known."""

    def total(name: str) -> int:
        return sum(getattr(stats, name) for stats in processes)

    yield "large blocks", total("blocks"), None
    yield "  patterned by refpage", total("blocks_refpage"), total("bytes_refpage")
    yield "  patterned by memset", total("blocks_memset"), total("bytes_memset")
    yield "  zeros for calloc", total("blocks_zero"), None
    yield "small requests", total("small_requests"), total("small_bytes")
    yield "  that got a guard each", total("small_guarded"), None
    yield "pages of freed blocks", total("pages_counted"), None
    yield "  that had been written", total("pages_dirtied"), None
    for label, name in (
        ("blocks without the pattern", "blocks_unpatterned"),
        ("blocks from the malloc underneath", "fallback_primary"),
        ("guards missing", "guards_missing"),
        ("misuses reported", "errors"),
    ):
        if total(name):
            yield label, total(name), None


def print_summary(outcome: Outcome) -> None:
    """What the heaps of the program's processes have counted."""
    from rich.filesize import decimal

    from patalloc.cli.tables import show, table

    if not outcome.processes:
        text = "patalloc: no stats: the program was killed, ended by _exit, or was not reached"
        click.echo(text, err=True)
        return
    first, others = outcome.processes[0], len(outcome.processes) - 1
    click.echo(
        f"patalloc: pattern {Config.parse(first.options).pattern}, backend {first.backend}, "
        f"1 process and {others} of its children",
        err=True,
    )
    summary = table("what", "count", "bytes")
    for column in summary.columns[1:]:
        column.justify = "right"
    for label, count, size in _rows(outcome.processes):
        summary.add_row(label, f"{count:,}", "" if size is None else decimal(size))
    show(summary, sys.stderr)
    if not any(stats.small_requests or stats.blocks for stats in outcome.processes):
        text = "patalloc: no call of malloc was seen: the program may have one of its own"
        click.echo(text, err=True)


def not_started(command: Sequence[str], error: OSError) -> NoReturn:
    """End as shells do where a program can't be run."""
    click.echo(f"patalloc: {command[0]}: {error.strerror}", err=True)
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


def end_as(status: int) -> NoReturn:
    """Exit as the program did, or die of the same signal (without a core dump of our own)."""
    if status < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)
