"""`patalloc run`."""

import json
import os
import sys
from collections.abc import Callable
from typing import IO

import attrs
import click

from patalloc.cli.outcome import (
    FORMATS,
    end_as,
    not_started,
    print_summary,
    print_suppressions,
    without_known,
    write,
)
from patalloc.cli.symbolize import show as show_events
from patalloc.heap import PRESETS, Config
from patalloc.machine import options as all_options
from patalloc.preload import WITHOUT_POOLS, Outcome, environment, with_site
from patalloc.preload import run as run_and_wait
from patalloc.reach import obstacle


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
@click.option(
    "--preset",
    type=click.Choice([*PRESETS]),
    default="light",
    show_default=True,
    help="What the options are unless given; `patalloc options --preset NAME` shows it.",
)
@click.option("--summary", is_flag=True, help="Wait for the program, and sum up what happened.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON; implies --summary.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write summary, events and symbols there; %p in it is the program's number.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS]),
    help="Of --output (json unless given); github without it goes to standard error.",
)
@click.option(
    "--error-exitcode",
    type=click.IntRange(1, 255),
    metavar="N",
    help="Exit with this if there was an error in any process.",
)
@click.option(
    "--suppressions",
    type=click.File(),
    metavar="FILE",
    help="Errors that are known: lines KIND:NAME, of a function or file on the call stack.",
)
@click.option(
    "--without-pools",
    is_flag=True,
    help="Tell CPython, NumPy, PHP, GLib, Arrow and C++ to keep no pools in front of malloc.",
)
@click.option("--gen-suppressions", is_flag=True, help="Print such lines for what was found.")
@click.argument("command", nargs=-1, required=True)
@_with_heap_options
def run(
    preset: str,
    summary: bool,
    as_json: bool,
    output: str | None,
    form: str | None,
    error_exitcode: int | None,
    suppressions: IO[str] | None,
    without_pools: bool,
    gen_suppressions: bool,
    command: tuple[str, ...],
    **options: str | None,
) -> None:
    """Run a program with its heap memory pattern-filled.

    It is waited for, and its exit status or signal passed on. Errors in the heap, and what it died
    of, are reported, with functions and source lines, when it has ended. With another --report than
    yes and without a summary the program takes this process's place.

    Presets: light is what a service can bear; find has every check on but leaks, and takes 4
    to 25 times as long; harden stops the program at errors: those that are found by a call with a
    line, faults without a word.

    Options add to those in PATALLOC_OPTIONS, and these to the preset's. All that is printed goes to
    standard error.
    """
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    inherited = os.environ.get("PATALLOC_OPTIONS")
    config = Config.parse(":".join([PRESETS[preset], *([inherited] if inherited else []), *given]))
    gathers = output or form or error_exitcode or suppressions or gen_suppressions
    if gathers and config.report != "yes":
        message = f"report={config.report}: only --report yes gathers errors (preset {preset})"
        raise click.UsageError(message)
    if form not in (None, "github") and not output:
        raise click.UsageError(f"--format {form}: needs --output")
    if output and "%p" not in output:
        _try_to_write(output)
    if without_pools:
        for name, value in WITHOUT_POOLS.items():
            os.environ.setdefault(name, value)
        os.environ.update(with_site(os.environ))
    known = suppressions.readlines() if suppressions else []
    counting = bool(summary or as_json or output)
    outcome = _started(command, config, counting=counting)
    try:
        outcome, left_out = without_known(outcome, known) if known else (outcome, 0)
    except ValueError as error:
        raise click.UsageError(f"--suppressions: {error}") from None
    if as_json:
        data = {"status": outcome.status, "processes": [attrs.asdict(s) for s in outcome.processes]}
        click.echo(json.dumps(data, indent=2), err=True)
    elif summary:
        print_summary(outcome)
    if outcome.events:
        show_events(outcome.events, sys.stderr)
    if left_out:
        click.echo(f"patalloc: {left_out} reports are suppressed", err=True)
    if gen_suppressions:
        print_suppressions(outcome.events)
    if output or form:
        write(outcome, command, form or "json", output)
    if error_exitcode and any(event.kind != "still-reachable" for event in outcome.events):
        sys.exit(error_exitcode)
    end_as(outcome.status)


def _try_to_write(path: str) -> None:
    """Before the program is started, not when it has ended."""
    try:
        with open(path, "a"):
            pass
    except OSError as error:
        raise click.UsageError(f"--output {path}: {error.strerror}") from None


def _started(command: tuple[str, ...], config: Config, *, counting: bool) -> Outcome:
    """How it ended; never returns where the program takes this process's place."""
    in_the_way = obstacle(command)
    if in_the_way:
        click.echo(f"patalloc: {in_the_way}: it runs without patalloc", err=True)
    try:
        if not counting and config.report != "yes":
            os.execvpe(command[0], command, environment(config))  # noqa: S606
        return run_and_wait(command, config, counting=counting)
    except OSError as error:
        not_started(command, error)
