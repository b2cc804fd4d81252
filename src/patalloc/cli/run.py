"""`patalloc run`."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

import attrs
import click

from patalloc.cli.symbolize import show as show_events
from patalloc.heap import PRESETS, Config, Stats
from patalloc.machine import options as all_options
from patalloc.preload import Outcome, environment
from patalloc.preload import run as run_and_wait

_NOT_FOUND, _NOT_STARTED = 127, 126  # as shells have it


def _with_heap_options(command: Callable[..., None]) -> Callable[..., None]:
    """One --option for each of the heap's; their values are the core's to check."""
    light = attrs.asdict(Config.parse(PRESETS["light"]))
    for option in reversed(all_options()):
        flag = "--" + option.name.replace("_", "-")
        given = f"{option.name}=" in PRESETS["light"]
        text = f"{option.meaning} ({option.allowed}) "
        text += f"[{light[option.name] if given else option.preset}]"
        command = click.option(flag, option.name, metavar="VALUE", help=text)(command)
    return command


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--summary", is_flag=True, help="Wait for the program, and sum up what happened.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON; implies --summary.")
@click.option(
    "--preset",
    type=click.Choice([*PRESETS]),
    default="light",
    show_default=True,
    help="What the options are unless given; `patalloc options --preset NAME` shows it.",
)
@click.argument("command", nargs=-1, required=True)
@_with_heap_options
def run(
    summary: bool, as_json: bool, preset: str, command: tuple[str, ...], **options: str | None
) -> None:
    """Run a program with its heap memory pattern-filled.

    It is waited for, and its exit status or signal passed on. Errors in the heap, and what it died
    of, are reported, with functions and source lines, when it has ended. With another --report than
    yes and without a summary the program takes this process's place.
    Presets: light is what a service can bear; find finds every error that can be found, and takes 3
    to 18 times as long; harden stops the program at errors, and tells but a line.
    Options add to those in PATALLOC_OPTIONS, and these to the preset's. All that is printed goes to
    standard error.
    """
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    inherited = os.environ.get("PATALLOC_OPTIONS")
    config = Config.parse(":".join([PRESETS[preset], *([inherited] if inherited else []), *given]))
    summary = summary or as_json
    try:
        if not summary and config.report != "yes":
            os.execvpe(command[0], command, environment(config))  # noqa: S606
        outcome = run_and_wait(command, config, counting=summary)
    except OSError as error:
        click.echo(f"patalloc: {command[0]}: {error.strerror}", err=True)
        sys.exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_STARTED)
    if as_json:
        data = {"status": outcome.status, "processes": [attrs.asdict(s) for s in outcome.processes]}
        click.echo(json.dumps(data, indent=2), err=True)
    elif summary:
        _print(outcome)
    if outcome.events:
        show_events(outcome.events, sys.stderr)
    _end_as(outcome.status)


def _end_as(status: int) -> NoReturn:
    """Exit as the program did, or die of the same signal (without a core dump of our own)."""
    if status < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


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


def _print(outcome: Outcome) -> None:
    from rich.filesize import decimal

    from patalloc.cli.tables import show, table

    if not outcome.processes:
        text = "patalloc: no stats: the program was killed, ended by _exit, or is static"
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
