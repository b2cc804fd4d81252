"""What the commands share that measure programs: their options, progress, and tables."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import attrs
import click
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from patalloc.cli.tables import show, table
from patalloc.lab import (
    METRICS,
    Comparison,
    ExperimentError,
    JournalError,
    Point,
    PointError,
    Program,
    Progress,
    Results,
    Sweep,
    Tuning,
    Verdict,
)
from patalloc.lab.journal import Found, read
from patalloc.lab.texts import TITLES, as_csv, data, number, percent
from patalloc.lab.workloads import command as workload

_NOTHING, _CUT_SHORT = 2, 3  # exit statuses
_EVERY = 10  # seconds, after which a line tells how far it is, where there is no terminal
_SHOWN = ("wall", "cpu", "peak_rss", "instructions")


@attrs.frozen(kw_only=True)
class Asked:
    """What the options of a measurement say; see `with_options`."""

    metric: str
    width: float
    budget: float
    rounds: int | None
    margin: float
    seed: int
    check: str | None
    any_output: bool
    timeout: float
    journal: Path | None
    resume: bool
    as_json: bool
    as_csv: bool


_POSITIVE = click.FloatRange(0, min_open=True)
_OF_RUNS = (
    click.option("--seed", type=int, default=1, show_default=True, help="Of the orders."),
    click.option("--check", help="A shell command that must succeed after each run."),
    click.option("--any-output", is_flag=True, help="Runs may print what they like."),
    click.option(
        "--timeout", type=_POSITIVE, default=600, show_default=True, help="Seconds a run."
    ),
)
_OPTIONS = (
    click.option(
        "--metric",
        type=click.Choice([*METRICS]),
        default="cpu",
        show_default=True,
        help="Whose intervals decide when it is enough.",
    ),
    click.option(
        "--width",
        type=_POSITIVE,
        default=2,
        show_default=True,
        metavar="PERCENT",
        help="How wide they may be then.",
    ),
    click.option(
        "--budget",
        type=_POSITIVE,
        default=120,
        show_default=True,
        metavar="SECONDS",
        help="When it ends in any case.",
    ),
    click.option("--rounds", type=click.IntRange(1), help="Rounds at most."),
    click.option(
        "--margin",
        type=_POSITIVE,
        default=1,
        show_default=True,
        metavar="PERCENT",
        help="What difference does not matter.",
    ),
    click.option(
        "-o",
        "--output",
        "journal",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The journal: a line a run, on the disk before the next one.",
    ),
    click.option("--resume", is_flag=True, help="Go on with the journal that is there."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    click.option("--csv", "as_csv", is_flag=True, help="Print CSV: a line a run."),
)


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Those of a measurement, which the command gets as `asked`."""
    names = [field.name for field in attrs.fields(Asked)]

    @wraps(command)
    def gather(**given: Any) -> None:  # noqa: ANN401
        asked = Asked(**{name: given.pop(name) for name in names})
        command(asked=asked, **given)

    return with_run_options(_with(_OPTIONS, gather))


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Those of how runs are made: seed, check, any_output, timeout."""
    return _with(_OF_RUNS, command)


def _with(
    options: Sequence[Callable[[Callable[..., None]], Callable[..., None]]],
    command: Callable[..., None],
) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command


def refuse(message: str) -> NoReturn:
    """End with that line, and status 2."""
    click.echo(f"patalloc: {message}", err=True)
    sys.exit(2)


def picture_form(path: Path) -> str:
    """Of a file that is to be drawn: svg or png."""
    form = path.suffix.removeprefix(".")
    if form not in ("svg", "png"):
        refuse(f"{path}: must be NAME.svg or NAME.png")
    return form


@contextmanager
def refusals() -> Iterator[None]:
    """What can't be measured ends with one line."""
    try:
        yield
    except (PointError, ExperimentError, JournalError, ImportError, OSError) as error:
        refuse(str(error))


def program(command: Sequence[str], check: str | None, timeout: float) -> Program:
    """It must be there."""
    command = workload(tuple(command))
    path = shutil.which(command[0])
    if path is None:
        what = "not executable" if Path(command[0]).is_file() else "not found"
        refuse(f"{command[0]}: {what}")
    return Program((str(path), *command[1:]), check, timeout)


@contextmanager
def showing(measured: Sweep | Tuning) -> Iterator[None]:
    """Meanwhile it is told how far it is."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        told = time.monotonic()

        def tell(progress: Progress) -> None:
            nonlocal told
            what = f"round {progress.round}" if progress.round else "each point once"
            doing = f"{what}, {max(progress.seconds_left, 0):.0f} s left"
            bar.update(task, description=doing, completed=progress.done, total=progress.of)
            if not console.is_terminal and time.monotonic() - told > _EVERY:
                told = time.monotonic()
                click.echo(f"patalloc: {doing}", err=True)

        measured.progress = tell
        yield


def measure(command: Sequence[str], points: Sequence[Point], asked: Asked) -> Results:
    """Make the experiment, tell how far it is, and print what came of it."""
    path = asked.journal
    if asked.resume and not path:
        refuse("--resume goes on with a journal: -o FILE")
    if path and not asked.resume and path.exists() and path.stat().st_size:
        refuse(f"{path}: is there already: --resume goes on with it")
    sweep = Sweep(
        program(command, asked.check, asked.timeout),
        points,
        metric=asked.metric,
        width=asked.width / 100,
        budget=asked.budget,
        rounds=asked.rounds,
        seed=asked.seed,
        margin=asked.margin / 100,
        journal=path,
        same_output=not (asked.any_output or asked.check),
    )
    with showing(sweep):
        results = sweep.run()
    print_results(results, json_=asked.as_json, csv_=asked.as_csv)
    if results.interrupted:
        sys.exit(_CUT_SHORT)
    if not any(results.ratios(asked.metric).values()):
        sys.exit(_NOTHING)
    return results


def read_results(path: Path) -> tuple[Results, Found]:
    """Of a journal.

    Raises:
        JournalError: it is none, or has no runs.
    """
    found = read(path)
    try:
        return Results.of(found), found
    except (KeyError, TypeError):
        raise JournalError(f"{path}: of no experiment that is known") from None


def print_results(results: Results, *, json_: bool = False, csv_: bool = False) -> None:
    """As a table, or as data."""
    if csv_:
        click.echo(as_csv(results), nl=False)
        return
    if json_:
        click.echo(json.dumps(data(results), indent=2))
        return
    for name, why in results.left_out.items():
        click.echo(f"patalloc: {name} is left out: {why}", err=True)
    if results.is_idle:
        click.echo("patalloc: the program was not seen to call malloc", err=True)
    if results.interrupted:
        click.echo("patalloc: cut short: this is what ran", err=True)
    shown = [name for name in _SHOWN if name in results.metrics]
    if not shown:
        click.echo("patalloc: no run counts yet", err=True)
        return
    if not any(results.ratios(shown[0]).values()):
        click.echo("patalloc: no round is whole: nothing is compared", err=True)
    heads = [TITLES.get(name, name) for name in shown]
    view = table(
        "point", "rounds", *(part for head in heads for part in (head, "beside the baseline"))
    )
    comparisons = {metric: results.comparisons(metric) for metric in shown}
    for point in results.points:
        if point in results.left_out or not results.values(point, shown[0]):
            continue
        row = [point, str(len(results.values(point, shown[0])))]
        for metric in shown:
            row.append(number(results.typical(point, metric).median, metric))
            comparison = comparisons[metric].get(point)
            row.append(_told(comparison) if comparison else "")
        view.add_row(*row)
    show(view, sys.stdout)


def _told(comparison: Comparison) -> str:
    verdict = comparison.verdict
    told = f"{percent(comparison.interval)}: {verdict.value}"
    if verdict == Verdict.UNKNOWN and comparison.rounds_needed:
        told += f", about {comparison.rounds_needed} more rounds"
    return told
